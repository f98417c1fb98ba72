/* trace.h - what is replayed: requests for numbered objects, each object with its key, its size and its time to live.
 *
 * Objects are numbered from 0 as they first appear, so that the simulators need arrays and no hash tables. An object's
 * size is that of its first request, as in the traces that libCacheSim's published numbers were made with. */
#ifndef MT_BENCH_HITRATIO_TRACE_H
#define MT_BENCH_HITRATIO_TRACE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define TRACE_NEVER UINT32_MAX

struct trace_object {
        const char *key;
        uint32_t    klen;
        uint32_t    size_bytes; /* key and value */
        uint64_t    ttl_ms;     /* 0: none */
};

struct trace_request {
        uint32_t object;
        bool     set; /* a write: what is cached of the object is no longer true */
        uint64_t time_ms;
        uint32_t next; /* the next request of the same object, TRACE_NEVER if there is none */
};

struct trace {
        const char           *name;
        struct trace_request *request;
        struct trace_object  *object;
        uint32_t              requests, objects;
        uint64_t              gets, bytes; /* bytes: of all objects together */
        GArray               *request_array, *object_array;
        GStringChunk         *keys;
        GHashTable           *numbers; /* key -> number + 1; while a file is read */
};

struct trace *trace_create(const char *name);
void          trace_destroy(struct trace **trace);
/* A new object; its number. */
uint32_t trace_add_object(struct trace *trace, const char *key, uint32_t size_bytes, uint64_t ttl_ms);
void     trace_add_request(struct trace *trace, uint32_t object, bool set, uint64_t time_ms);
/* After the last request: sums, and who comes next. */
void trace_finish(struct trace *trace);

/* One "key size" a line, compressed; a millisecond from one request to the next. NULL: there is no such file. */
struct trace *trace_read(const char *name, const char *path);

/* Popularity by Zipf's law over a fixed set of keys, sizes from 64 B to 16 KiB, and now and then a scan of keys that
 * nobody else asks for. */
struct trace *trace_zipf(const char *name, double exponent, uint32_t requests);
/* What is published of one of Twitter's clusters: NULL if name is none of those known. */
struct trace *trace_cluster(const char *name, uint32_t requests);

#endif
