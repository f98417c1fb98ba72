/* backend.h - what a store must be able to do to be a tier: the tables, and how a store that was built elsewhere is
 * loaded. Public: installed as mtshim/backend.h beside mtshim/bytes.h; needs nothing else of this project.
 *
 * A plugin is a shared object that exports one symbol, `mtshim_backend` (struct mt_backend). MTSHIM_TIERS names it:
 * l3=plugin:/path.so?option=value. One that was built for another MT_BACKEND_ABI is refused, with a line that says so.
 *
 * Keys and values are runs of bytes of any content, NUL and the empty ones included. What a store does not keep (a key
 * that is too long, a value that is too large) it refuses with MT_REFUSED, and then holds nothing under that key.
 * Times to live are in milliseconds; MT_TTL_NONE has no end, 0 is over: a set with it removes the key. A store never
 * gives out what is over, however long ago it was written, and rounds times down, not up: a value may die early, by a
 * second at most (`name` says in its documentation by how much), and never late.
 *
 * Threads: every function may be called by any number of threads at once, on one object. None of them keeps a pointer
 * that it was given. They wait for their store no longer than `timeout_ms` of struct mt_backend_config. They run with
 * all signals blocked, in a thread that has a descriptor table of its own, so that what they open is out of the
 * program's reach; except get and get_with_ttl where MT_BACKEND_READS_ANYWHERE is set: those run in the program's
 * threads, and must not use a descriptor.
 * That thread's stack has 128 KiB.
 * Fork: an object is never touched in a child; a child opens one of its own. */
#ifndef MT_TIER_BACKEND_H
#define MT_TIER_BACKEND_H

#include "../base/bytes.h"

#define MT_BACKEND_ABI 1u
#define MT_TTL_NONE    UINT64_MAX
#define MT_TTL_DEFAULT UINT64_C(300000) /* of set(), in ms */

/* The few things that a caller can do about a result. An error is never a miss: a miss was looked for and is not there.
 */
enum mt_status {
        MT_OK,
        MT_MISS,        /* no such key, or its time is over */
        MT_REFUSED,     /* not kept by this store (its size); nothing is held under that key now */
        MT_STALE,       /* set_marked() alone: the key was removed since the mark was taken; nothing was stored */
        MT_UNSUPPORTED, /* this store cannot do that */
        MT_ERROR,       /* the store failed, or is not there; what it holds now is not known */
};

/* Where a value goes: the store says how many bytes, the caller gives the room, the store writes there, once. A value
 * that has been overwritten or removed meanwhile must not be left half written with MT_OK. */
struct mt_sink {
        /* Room for len bytes, also for 0; NULL: the caller has none (the store returns MT_ERROR). May be called again,
         * for a value that has changed meanwhile: what was given before is void then. */
        char *(*room)(struct mt_sink *sink, size_t len);
};

/* One table for each kind of store; `self` is what open() gave. */
struct mt_cache_ops {
        const char *(*name)(const void *self);
        enum mt_status (*get)(void *self, struct mt_bytes key, struct mt_sink *out);
        enum mt_status (*set_with_ttl)(void *self, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms);
        enum mt_status (*set)(void *self, struct mt_bytes key, struct mt_bytes value); /* NULL: with MT_TTL_DEFAULT */
        enum mt_status (*remove)(void *self, struct mt_bytes key); /* MT_OK also when it was not there */
        /* All keys that match a Redis glob (* ? [a-z] [^x] \x). NULL or MT_UNSUPPORTED: the caller flushes instead. */
        enum mt_status (*remove_pattern)(void *self, struct mt_bytes glob);
        /* Everything that this object's configuration reaches (its prefix). */
        enum mt_status (*flush)(void *self);
        bool (*health_check)(void *self); /* asks the store itself, within timeout_ms */
};

/* A store that can also tell how long a value lives, and refuse a late one. */
struct mt_l2_ops {
        struct mt_cache_ops cache;
        /* *ttl_ms: what remains, at least 1, or MT_TTL_NONE. */
        enum mt_status (*get_with_ttl)(void *self, struct mt_bytes key, struct mt_sink *out, uint64_t *ttl_ms);
        /* A mark of the key that every later remove of it (by key, by pattern, by flush, by whatever process that uses
         * the same store) makes void. A set that is not marked leaves marks as they are. Both NULL: the store cannot;
         * then a preloaded program never writes to it, since a late write would bring back what was deleted. */
        enum mt_status (*mark)(void *self, struct mt_bytes key, uint64_t *mark);
        /* As set_with_ttl(), in one step with the look at the mark; MT_STALE: it is void. */
        enum mt_status (*set_marked)(void *self, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms,
                                     uint64_t mark);
};

/* One field of a stream's entry, and who takes entries. */
struct mt_field {
        struct mt_bytes name, value;
};
/* False: no more of them. Everything is gone when it returns. */
typedef bool mt_entry_f(void *arg, struct mt_bytes id, const struct mt_field *field, size_t fields);

/* A store of streams, as Redis has them. Ids are Redis' ("1700000000000-0"); "$" and "0" mean what they mean there.
 * block_ms: how long to wait for an entry at most; 0: not at all, -1: for as long as it takes. */
struct mt_stream_ops {
        /* id receives the new entry's. maxlen: about so many entries are kept (0: all). */
        enum mt_status (*stream_add)(void *self, struct mt_bytes stream, const struct mt_field *field, size_t fields,
                                     uint64_t maxlen, struct mt_sink *id);
        /* The newest `count`, the newest first. MT_MISS: there are none. */
        enum mt_status (*stream_read_latest)(void *self, struct mt_bytes stream, size_t count, mt_entry_f *f,
                                             void *arg);
        /* What came after last_id, the oldest first. MT_MISS: nothing within block_ms. */
        enum mt_status (*stream_read)(void *self, struct mt_bytes stream, struct mt_bytes last_id, size_t count,
                                      int64_t block_ms, mt_entry_f *f, void *arg);
        /* The stream is made if it is not there (MKSTREAM). MT_OK also when the group was there. */
        enum mt_status (*stream_create_group)(void *self, struct mt_bytes stream, struct mt_bytes group,
                                              struct mt_bytes id);
        /* First what this consumer had been given and did not acknowledge, and what others left idle for
         * claim_idle_ms (0: nothing is claimed), then what is new. */
        enum mt_status (*stream_read_group)(void *self, struct mt_bytes stream, struct mt_bytes group,
                                            struct mt_bytes consumer, size_t count, int64_t block_ms,
                                            uint64_t claim_idle_ms, mt_entry_f *f, void *arg);
        enum mt_status (*stream_ack)(void *self, struct mt_bytes stream, struct mt_bytes group,
                                     const struct mt_bytes *id, size_t ids);
};

/* "lmdb:/var/cache/x?size=1G&sync=0": address is /var/cache/x, options are what follows, decoded, without those that
 * the tiers take themselves (tier.h). */
struct mt_option {
        struct mt_bytes name, value;
};
struct mt_backend_config {
        struct mt_bytes         address;
        struct mt_bytes         prefix; /* before every key, by whoever stores: what this object's flush() reaches */
        const struct mt_option *option;
        size_t                  options;
        uint32_t                timeout_ms; /* no call waits longer */
};

enum {
        MT_BACKEND_READS_ANYWHERE = 1u << 0, /* see above, Threads */
        MT_BACKEND_SHARED = 1u << 1,         /* other hosts may use the same store */
};
enum { MT_BACKEND_WHY_MAX = 256 };

/* What a plugin exports. */
struct mt_backend {
        uint32_t    abi;   /* MT_BACKEND_ABI */
        uint32_t    size;  /* sizeof(struct mt_backend): of what follows only so much is read */
        const char *name;  /* as in MTSHIM_TIERS */
        uint32_t    flags; /* MT_BACKEND_* */
        /* *self belongs to the caller until close(). MT_ERROR: why has one sentence that names option and value
         * (MT_BACKEND_WHY_MAX bytes). A store that is merely down is MT_OK: health_check() tells. */
        enum mt_status (*open)(const struct mt_backend_config *config, void **self, char *why);
        void (*close)(void *self); /* no other call runs or follows */
        const struct mt_l2_ops     *ops;
        const struct mt_stream_ops *streams; /* NULL: it has none */
};

#endif
