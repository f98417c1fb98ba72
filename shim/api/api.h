/* api.h - what the parts of the C interface share: a handle, and a call with a connection of its own.
 *
 *   the program calls      api_begin()    lends a connection, which the doors' own machinery knows (connection.h)
 *   commands               api_command()  by the way that a preloaded program's take: L1, leases, announcements, rules
 *   it is answered         api_end()      gives it back; one that broke, or owes replies, is freed
 *
 * A call's struct is its thread's. The functions below keep errno as a whole: api_begin() saves it, api_end() gives it
 * back. */
#ifndef MT_API_H
#define MT_API_H

#include "../mtshim.h"
#include "../redis/stream_redis.h"
#include "../request/request.h"

#include "../../l1/base/forklock.h"

#define API_EXPORT __attribute__((visibility("default")))
#define API_MAGIC  UINT32_C(0x6d74736d)

enum { API_BULK = 1000 }; /* keys of one command; a step of SCAN */

struct mtshim {
        uint32_t                       magic;
        uint32_t                       database;
        struct pool                   *pool;
        struct mtshim_config           config; /* its strings are the pool's */
        const struct invalidation_tls *tls;
        uint64_t                       identity; /* of server and database, where there is no segment */
        _Atomic uint64_t               computed, waited, connections;
        struct forklock                lock;
        _Atomic(struct redis_store *)  streams; /* NULL until one is asked for */
};

struct api_call {
        struct mtshim        *m;
        struct pool_loan      loan;
        struct connection    *c; /* NULL: nothing may be cached in this process */
        const struct hiredis *h;
        bool                  broken;
        int                   saved_errno;
};

/* The thread's sentence, for mtshim_error(). Returns status. */
enum mtshim_status api_say(enum mtshim_status status, const char *format, ...) MT_PRINTF(2, 3);
/* Is the handle one, and are these bytes? MTSHIM_OK, or MTSHIM_INVALID with its sentence. */
enum mtshim_status api_check(const struct mtshim *m, const struct mtshim_bytes *bytes, size_t count);

static inline struct mt_bytes api_bytes(struct mtshim_bytes bytes)
{
        return mt_bytes(bytes.len != 0 ? bytes.data : "", bytes.len);
}

/* MTSHIM_OK: api_end() is owed. */
enum mtshim_status api_begin(struct api_call *call, struct mtshim *m);
void               api_end(struct api_call *call);

/* The reply, for api_free(); NULL: the connection broke, which api_status() puts into words. Words of length 0 may be
 * anywhere. */
void *api_command(struct api_call *call, int argc, const char **argv, const size_t *argvlen);
void *api_get(struct api_call *call, struct mt_bytes key);
/* Commands that leave the session as it is, written out, and `replies` replies, for each of which f is called while it
 * is good. Not noticed by the doors' machinery. False: the connection broke. */
bool api_raw(struct api_call *call, struct mt_bytes resp, unsigned replies, void (*f)(void *arg, const void *reply),
             void *arg);
void api_free(struct api_call *call, void *reply);
/* MTSHIM_OK for any reply that is no error; else with its sentence. */
enum mtshim_status api_status(struct api_call *call, const void *reply);

/* The string or status of a reply, as a block of the caller's. */
enum mtshim_status            api_value(struct mt_bytes bytes, struct mtshim_value *value);
static inline struct mt_bytes api_string(const struct api_call *call, const void *reply)
{
        return mt_bytes(abi_reply_str(&call->h->abi, reply), abi_reply_len(&call->h->abi, reply));
}

/* What the C interface's own functions call of each other, past the checks of their arguments. */
enum mtshim_status api_fetch(struct mtshim *m, struct mtshim_bytes key, struct mtshim_value *value);
enum mtshim_status api_store(struct api_call *call, struct mtshim_bytes key, struct mtshim_bytes value,
                             uint64_t ttl_ms);
enum mtshim_status api_store_alone(struct mtshim *m, struct mtshim_bytes key, struct mtshim_bytes value,
                                   uint64_t ttl_ms);

enum mtshim_status api_check_ttl(uint64_t ttl_ms);

/* What matches is removed from the tiers below Redis, of this database, and does not come back. */
enum mtshim_status api_remove_below(struct api_call *call, struct mt_bytes glob);

/* One message to whoever listens: that this key was written, or removed, or that those which match were. */
enum api_message { API_UPDATE, API_REMOVE, API_PATTERN };
enum mtshim_status api_tell(struct api_call *call, enum api_message what, struct mtshim_bytes key);

#endif
