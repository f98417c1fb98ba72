/* trace.c - a trace while it grows, and when it is complete. */
#include "trace.h"

#include <string.h>

struct trace *trace_create(const char *name)
{
        struct trace *trace = g_new0(struct trace, 1);

        trace->name = name;
        trace->request_array = g_array_new(FALSE, FALSE, sizeof(struct trace_request));
        trace->object_array = g_array_new(FALSE, FALSE, sizeof(struct trace_object));
        trace->keys = g_string_chunk_new(1 << 16);
        return trace;
}

void trace_destroy(struct trace **trace)
{
        g_array_free((*trace)->request_array, TRUE);
        g_array_free((*trace)->object_array, TRUE);
        g_string_chunk_free((*trace)->keys);
        g_free(*trace);
        *trace = NULL;
}

uint32_t trace_add_object(struct trace *trace, const char *key, uint32_t size_bytes, uint64_t ttl_ms)
{
        struct trace_object object = {
                .key = g_string_chunk_insert(trace->keys, key),
                .klen = (uint32_t)strlen(key),
                .size_bytes = size_bytes,
                .ttl_ms = ttl_ms,
        };

        g_array_append_val(trace->object_array, object);
        trace->bytes += size_bytes;
        return trace->objects++;
}

void trace_add_request(struct trace *trace, uint32_t object, bool set, uint64_t time_ms)
{
        struct trace_request request = {object, set, time_ms, TRACE_NEVER};

        g_array_append_val(trace->request_array, request);
        trace->requests++;
        trace->gets += !set;
}

void trace_finish(struct trace *trace)
{
        uint32_t *next = g_new(uint32_t, trace->objects + 1);

        trace->request = (struct trace_request *)(void *)trace->request_array->data;
        trace->object = (struct trace_object *)(void *)trace->object_array->data;
        memset(next, 0xff, trace->objects * sizeof *next); /* TRACE_NEVER */
        for (uint32_t i = trace->requests; i-- > 0;) {
                struct trace_request *request = &trace->request[i];

                request->next = next[request->object];
                next[request->object] = i;
        }
        g_free(next);
}
