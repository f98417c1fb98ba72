/* store.h - one Redis as a store of ours: connections and a prefix, which the tables of backend_redis.h (values) and
 * stream_redis.h (streams) both take as their `self`. */
#ifndef MT_REDIS_STORE_H
#define MT_REDIS_STORE_H

#include "exchange.h"

#include "../../l1/base/forklock.h"

enum {
        STORE_CURSORS = 32,
        STORE_ID_MAX = 48, /* of a stream's entry: two numbers of 64 bits */
        STORE_NAME_ON_STACK = 256,
        STORE_KEY_MAX = 1 << 20, /* longer ones are refused */
};
#define STORE_ITEM_MAX     (UINT64_C(512) << 20) /* what Redis takes (proto-max-bulk-len) */
#define STORE_ITEM_DEFAULT (UINT64_C(16) << 20)

/* Where the next look for entries that were left idle begins, for one group of one stream. */
struct store_cursor {
        uint64_t digest; /* of both names; two that collide share a place, which costs nothing but order */
        char     id[STORE_ID_MAX];
};

struct redis_store {
        struct pool    *pool;
        struct mt_bytes prefix; /* before every name; the store's own copy */
        uint32_t        timeout_ms;
        uint64_t        item_max;     /* bytes of a value; larger ones are refused */
        _Atomic bool    no_unlink;    /* seen: a server before 4.0 */
        _Atomic bool    no_autoclaim; /* seen: a server before 6.2 */

        struct forklock     lock; /* for the cursors */
        struct store_cursor cursor[STORE_CURSORS];
        unsigned            cursor_next; /* whose place is taken when all are */
};

/* Strings and prefix are copied; config->timeout_ms is taken for all that is asked. item_max 0: STORE_ITEM_DEFAULT.
 * NULL: why (POOL_WHY_MAX bytes) has one sentence. */
struct redis_store *redis_store_open(const struct pool_config *config, struct mt_bytes prefix, uint64_t item_max,
                                     char *why);
void                redis_store_close(struct redis_store *store);

/* exchange(), with this store's timeout. */
enum mt_status store_ask(struct redis_store *store, struct exchange *x, const struct exchange_command *command,
                         unsigned commands);
/* One line of what the server said instead of doing it, once a minute. Returns MT_ERROR. */
enum mt_status store_refused(struct redis_store *store, const struct exchange *x, const void *reply);

/* A name as the server knows it: prefix, key, tail. False: no memory. */
struct store_name {
        struct mt_bytes name;
        char           *memory; /* NULL: in buffer, or the key itself */
        char            buffer[STORE_NAME_ON_STACK];
};
bool store_name(const struct redis_store *store, struct mt_bytes key, struct mt_bytes tail, struct store_name *name);
void store_name_end(struct store_name *name);

#endif
