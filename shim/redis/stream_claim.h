/* stream_claim.h - entries of a group that were given to a consumer, and then left idle: made another one's own. */
#ifndef MT_REDIS_STREAM_CLAIM_H
#define MT_REDIS_STREAM_CLAIM_H

#include "stream_ask.h"

/* Who reads, of which group of which stream. */
struct stream_group {
        struct redis_store *store;
        struct mt_bytes     name; /* as the server knows it */
        struct mt_bytes     group, consumer;
        uint64_t            idle_ms; /* 0: nothing is claimed */
};

/* At most about `count` of those that are idle for idle_ms become the consumer's own, as if they had been given to it
 * and not acknowledged; *claimed: some did. Looks at ten times as many entries, and goes on behind them the next time,
 * to the end, and from the beginning again. By XAUTOCLAIM, and by XPENDING and XCLAIM on servers before 6.2.
 * Thread-safe. */
enum stream_result stream_claim(const struct stream_group *g, size_t count, bool *claimed);

#endif
