/* mtshim.h - the C interface: for programs that are written for mtshim, beside those that are preloaded with it.
 *
 *      #include <mtshim.h>                     cc prog.c -lmtshim             (or pkg-config --cflags --libs mtshim)
 *
 *      struct mtshim_config config = mtshim_defaults("/run/redis/redis.sock");
 *      struct mtshim       *m;
 *      struct mtshim_value  value;
 *
 *      if (mtshim_open(&config, &m) != MTSHIM_OK)
 *              errx(1, "%s", mtshim_error());
 *      if (mtshim_get(m, mtshim_text("user:1"), &value) == MTSHIM_OK) {
 *              puts(value.data);
 *              mtshim_free(value.data);
 *      }
 *
 * The same library that is preloaded, and the same cache: what is read here is answered from L1, the shared memory of
 * the host, as in a preloaded program, with the same promises (bounded staleness, a handle reads its own writes,
 * nothing outlives its time to live), and the rules and limits that the MTSHIM_* options set. A hiredis (0.13 to 1.x)
 * must be on the machine: the one that the program has is used, else the newest that the loader finds. A program that
 * uses hiredis itself is linked with -lmtshim before -lhiredis, or preloaded: then its own GETs are answered from L1
 * too.
 *
 * Threads: any thread may call anything with the same handle at once, but mtshim_close(). A call takes a connection of
 * the handle's for itself, and makes one when all are in use. Signals: none of this in a handler.
 * Fork: a child may go on with the handle; it gets connections of its own.
 * Bytes: keys, patterns and values are any bytes, the empty ones and NUL included; nothing is kept of what is passed
 * in. Times to live are in milliseconds. errno is left as it was.
 *
 * Errors: every function says how it went; mtshim_error() has one sentence more about the calling thread's last
 * failure. A miss is no error, and an error is never a miss. */
#ifndef MTSHIM_H
#define MTSHIM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MTSHIM_API            1u         /* goes up when something is added */
#define MTSHIM_TTL_NONE       UINT64_MAX /* no end */
#define MTSHIM_TTL_DEFAULT_MS UINT64_C(300000)

enum mtshim_status {
        MTSHIM_OK = 0,
        MTSHIM_MISS,        /* looked for, and not there; of a stream: nothing came in time */
        MTSHIM_REFUSED,     /* the server said no (rights, its memory, another type): nothing has changed */
        MTSHIM_TOO_LARGE,   /* the caller's room is too small: nothing was written there */
        MTSHIM_UNTOLD,      /* done in Redis, but others could not be told: they may go on with what was before */
        MTSHIM_UNSUPPORTED, /* not by this server, or not in this process */
        MTSHIM_INVALID,     /* what was passed in makes no sense; nothing was done */
        MTSHIM_ERROR,       /* no connection, or it broke, or no memory: whether a write took place is not known */
};

/* One sentence about the last call of this thread that did not return MTSHIM_OK or MTSHIM_MISS; never NULL, never a
 * password. Good until the thread's next failure. */
const char *mtshim_error(void);

/* A run of bytes of the caller's. data may be NULL if len is 0. */
struct mtshim_bytes {
        const char *data;
        size_t      len;
};

static inline struct mtshim_bytes mtshim_view(const void *data, size_t len)
{
        struct mtshim_bytes bytes;

        bytes.data = (const char *)data;
        bytes.len = len;
        return bytes;
}

static inline struct mtshim_bytes mtshim_text(const char *text)
{
        return mtshim_view(text, strlen(text));
}

/* A block from malloc(), with a NUL behind its len bytes. The caller's: mtshim_free(), or free(). Where a function did
 * not return MTSHIM_OK it is {NULL, 0}. */
struct mtshim_value {
        char  *data;
        size_t len;
};
void mtshim_free(void *data);

/* --------------------------------------------------------------------------------------------------- open and close */

/* An MTSHIM_* option of this process, as in the file of MTSHIM_CONF: ("l1_size", "256M"). Before anything in the
 * process has used mtshim or hiredis: they are read once. What an operator says, by the environment or that file, goes
 * before it. MTSHIM_INVALID: no such option, or no such value, or it is too late. Not thread-safe. */
enum mtshim_status mtshim_configure(const char *name, const char *value);

/* Puts the password into to[0..room), and returns its length; 0: it cannot be had, and nothing is connected. Called in
 * whatever thread makes a connection; what it has put there is wiped when it has been sent. */
typedef size_t mtshim_password_f(void *arg, char *to, size_t room);

/* What to connect to. Made by mtshim_defaults(), so that fields which a later version adds have their defaults. */
struct mtshim_config {
        size_t      size;     /* of the struct, as the program was compiled: bytes */
        const char *server;   /* "/path", "unix:/path", "host", "host:port", "[v6]:port", "redis://user@host:port/2" */
        unsigned    database; /* 0; goes before the one in `server` */
        const char *user;     /* likewise. None: AUTH with the password alone, if there is one */
        const char *password_file;   /* its first line; read for each connection. NULL: none */
        mtshim_password_f *password; /* goes before password_file. NULL: none */
        void              *password_arg;
        unsigned           timeout_ms; /* for connecting, and for each reply: 5000 */
        unsigned           idle;       /* connections that are kept when nobody uses them, at most: 16 */
        /* Of "rediss://host", by the libhiredis_ssl that stands beside hiredis (1.0 and later). NULL: the system's
         * certificates; none is shown; the host's own name. */
        const char *tls_ca_file, *tls_cert_file, *tls_key_file, *tls_server_name;
        unsigned    tls_unverified; /* 1: believe whoever answers */
};

static inline struct mtshim_config mtshim_defaults(const char *server)
{
        struct mtshim_config config;

        memset(&config, 0, sizeof config);
        config.size = sizeof config;
        config.server = server;
        config.timeout_ms = 5000;
        return config;
}

struct mtshim;

/* *m is a handle until mtshim_close(). Does not connect: a server that is down is seen by the calls, and by
 * mtshim_health(). MTSHIM_INVALID: what is wrong with the configuration. MTSHIM_UNSUPPORTED: no hiredis is to be had.
 * The strings are copied; password_arg must live as long as the handle. */
enum mtshim_status mtshim_open(const struct mtshim_config *config, struct mtshim **m);
/* No other call with this handle runs, or follows. *m is NULL then. NULL, or a pointer to it, is fine. */
void mtshim_close(struct mtshim **m);

/* Does the server answer, within the timeout? Asks it. */
enum mtshim_status mtshim_health(struct mtshim *m);

/* ----------------------------------------------------------------------------------------------------- one key */

/* The value, from L1 or from the server (GET). */
enum mtshim_status mtshim_get(struct mtshim *m, struct mtshim_bytes key, struct mtshim_value *value);
/* The same into room of the caller's. *len: of the value in bytes, also with MTSHIM_TOO_LARGE; no NUL is put behind. */
enum mtshim_status mtshim_get_into(struct mtshim *m, struct mtshim_bytes key, void *to, size_t room, size_t *len);
/* The value and what remains of its time to live, at least 1 ms, or MTSHIM_TTL_NONE. Both come from the server, in one
 * round trip, or in up to four of them while others write the key: L1 is not asked, and not filled. */
enum mtshim_status mtshim_get_with_ttl(struct mtshim *m, struct mtshim_bytes key, struct mtshim_value *value,
                                       uint64_t *ttl_ms);

/* With MTSHIM_TTL_DEFAULT_MS: five minutes. All of these return when the server has the value, and no later read on
 * this host gets an older one from L1. */
enum mtshim_status mtshim_set(struct mtshim *m, struct mtshim_bytes key, struct mtshim_bytes value);
/* 0 is over at once: it removes the key. Up to 2^53 ms; MTSHIM_TTL_NONE for ever. */
enum mtshim_status mtshim_set_with_ttl(struct mtshim *m, struct mtshim_bytes key, struct mtshim_bytes value,
                                       uint64_t ttl_ms);

enum mtshim_strategy {
        MTSHIM_REALTIME, /* 10 s */
        MTSHIM_SHORT,    /* 5 min */
        MTSHIM_MEDIUM,   /* 1 h */
        MTSHIM_LONG,     /* 3 h */
        MTSHIM_DEFAULT,  /* MTSHIM_TTL_DEFAULT_MS */
        MTSHIM_CUSTOM,   /* custom_ms, as in mtshim_set_with_ttl(); of the others it is ignored */
};
enum mtshim_status mtshim_set_with_strategy(struct mtshim *m, struct mtshim_bytes key, struct mtshim_bytes value,
                                            enum mtshim_strategy strategy, uint64_t custom_ms);
/* What that is in milliseconds. */
uint64_t mtshim_strategy_ttl_ms(enum mtshim_strategy strategy, uint64_t custom_ms);

/* From Redis and everywhere (UNLINK). MTSHIM_OK also when it was not there. */
enum mtshim_status mtshim_remove(struct mtshim *m, struct mtshim_bytes key);

/* ---------------------------------------------------------------------------------------------------- many keys */

/* *removed (NULL: not asked for) is how many there were. Done in pieces of 1000: with an error some may be gone. */
enum mtshim_status mtshim_remove_bulk(struct mtshim *m, const struct mtshim_bytes *key, size_t keys, size_t *removed);
/* All keys of this database that match a Redis glob (* ? [a-z] [^x] \x). SCAN in steps of 1000 and UNLINK, by this
 * caller alone: no other host scans, each is told of what was removed. A key that was there all the time is removed;
 * one that is made meanwhile perhaps. With an error some may be gone. */
enum mtshim_status mtshim_remove_pattern(struct mtshim *m, struct mtshim_bytes glob, size_t *removed);

/* ---------------------------------------------------------------------------------------------- compute it once */

/* Makes the value: value->data from malloc(), which belongs to mtshim then. MTSHIM_OK; MTSHIM_MISS: there is none, and
 * nothing is stored; anything else: it failed. Runs in the thread that called mtshim_get_or_compute(). It must return:
 * no exception, no longjmp(), no pthread_exit() out of it; it may call anything here, but not for the same key. */
typedef enum mtshim_status mtshim_compute_f(void *arg, struct mtshim_bytes key, struct mtshim_value *value);

/* The value from L1 or Redis; where there is none, compute it, set it with ttl_ms, return it. Of all threads and
 * processes of this host (with one MTSHIM_SEGMENT) that want it, one computes; the others wait and share it, at most
 * wait_ms for one who computes: if he is killed another takes his place within 50 ms, if he is stopped or slow after
 * wait_ms, and who was replaced stores nothing. After twice wait_ms a caller computes for himself. What compute
 * returned is returned (another waiting caller then computes in turn). Where the value was computed and could not be
 * stored it is returned with MTSHIM_OK all the same. If the server cannot be asked, MTSHIM_ERROR; compute is not
 * called. Where there is no L1 all this goes for the threads of the process; where 64 values are being computed on the
 * host already, a caller computes for himself. */
enum mtshim_status mtshim_get_or_compute(struct mtshim *m, struct mtshim_bytes key, uint64_t ttl_ms, unsigned wait_ms,
                                         mtshim_compute_f *compute, void *arg, struct mtshim_value *value);

/* --------------------------------------------------------------------------------------------------- telling others */

/* As mtshim_set_with_ttl(), and an Update message (MESSAGES.md): where the writes of the process are announced anyway
 * (MTSHIM_INVALIDATION=pubsub or stream) that is the one that every write has behind it; else one more, by PUBLISH on
 * MTSHIM_CHANNEL, for whoever listens there. The message does not hold the value. */
enum mtshim_status mtshim_update_and_broadcast(struct mtshim *m, struct mtshim_bytes key, struct mtshim_bytes value,
                                               uint64_t ttl_ms);
/* A Remove, or a RemovePattern message, sent as above, and what L1 of this host and the tiers below Redis have of it is
 * cleared. The value in Redis stays: the next read finds it there. Needed where something has changed that Redis does
 * not know of. */
enum mtshim_status mtshim_invalidate(struct mtshim *m, struct mtshim_bytes key);
enum mtshim_status mtshim_invalidate_pattern(struct mtshim *m, struct mtshim_bytes glob);

/* ------------------------------------------------------------------------------------------------------- statistics */

/* Counted on this host by all that use the segment, since it was made, but for what is said to be of the handle. */
struct mtshim_counts {
        uint64_t hits, negative_hits; /* GETs answered from L1; of these, with "no such key" */
        uint64_t misses, fills, fills_refused;
        uint64_t invalidations;           /* keys cleared because the server announced a write */
        uint64_t announcements, messages; /* sent; heard, of others and of our own */
        uint64_t message_gaps;
        uint64_t items, bytes_used, bytes_total; /* in L1 now */
        uint64_t computed, waited;               /* of the handle: computations; values that another had computed */
        uint64_t connections;                    /* of the handle: open now */
};
/* size is sizeof *stats. Walks the index: milliseconds, if L1 is large. MTSHIM_MISS: there is no L1 (yet); what is of
 * the handle is filled in. */
enum mtshim_status mtshim_stats(struct mtshim *m, struct mtshim_counts *stats, size_t size);

struct mtshim_tier {
        char     name[32]; /* "shm", "redis", "lmdb", ... */
        unsigned level;    /* 1: L1, 2: Redis, 3 and on: MTSHIM_TIERS */
        unsigned down;     /* 1: skipped now: it fails or is slow, or a removal is owed to it */
        uint64_t hits, misses, errors, timeouts, skipped, sets, removes, promotions;
        uint64_t get_ns_mean, get_ns_max; /* 0: not measured */
};
/* A row for each tier, the nearest first. *rows: in, how many there is room for; out, how many there are. size is
 * sizeof *tier. Levels 1 and from 3 on are counted on this host, since
 * the segment was made; of level 2 hits, misses and errors are what the server says of all its clients (INFO). */
enum mtshim_status mtshim_tier_stats(struct mtshim *m, struct mtshim_tier *tier, size_t size, size_t *rows);

/* ---------------------------------------------------------------------------------------------------------- streams */

/* One field of an entry. */
struct mtshim_field {
        struct mtshim_bytes name, value;
};
/* An entry, while it is called: nothing of it is there afterwards. Returns 1 for more, 0 for no more. */
typedef int mtshim_entry_f(void *arg, struct mtshim_bytes id, const struct mtshim_field *field, size_t fields);

/* Ids are Redis' ("1700000000000-0"); "$" and "0" mean what they mean there. block_ms: how long to wait for an entry at
 * most; 0: not at all, -1: for as long as it takes, over losses of the server too. */

/* id (NULL: not asked for) is the new entry's. About maxlen entries are kept; 0: all. */
enum mtshim_status mtshim_stream_add(struct mtshim *m, struct mtshim_bytes stream, const struct mtshim_field *field,
                                     size_t fields, uint64_t maxlen, struct mtshim_value *id);
/* The newest `count`, the newest first. */
enum mtshim_status mtshim_stream_read_latest(struct mtshim *m, struct mtshim_bytes stream, size_t count,
                                             mtshim_entry_f *f, void *arg);
/* What came after last_id, the oldest first. */
enum mtshim_status mtshim_stream_read(struct mtshim *m, struct mtshim_bytes stream, struct mtshim_bytes last_id,
                                      size_t count, int64_t block_ms, mtshim_entry_f *f, void *arg);
/* The stream is made if it is not there. MTSHIM_OK also when the group was. */
enum mtshim_status mtshim_stream_create_group(struct mtshim *m, struct mtshim_bytes stream, struct mtshim_bytes group,
                                              struct mtshim_bytes id);
/* First what this consumer had been given and did not acknowledge, and what others left idle for claim_idle_ms (0:
 * nothing is claimed), then what is new. */
enum mtshim_status mtshim_stream_read_group(struct mtshim *m, struct mtshim_bytes stream, struct mtshim_bytes group,
                                            struct mtshim_bytes consumer, size_t count, int64_t block_ms,
                                            uint64_t claim_idle_ms, mtshim_entry_f *f, void *arg);
enum mtshim_status mtshim_stream_ack(struct mtshim *m, struct mtshim_bytes stream, struct mtshim_bytes group,
                                     const struct mtshim_bytes *id, size_t ids);

#ifdef __cplusplus
}
#endif

#endif
