/* stream_ask.c - where errors are sorted, and time is kept. */
#include "stream_ask.h"

#include "../../l1/base/clock.h"

#include <time.h>

enum { ASK_PAUSE_FIRST_MS = 20, ASK_PAUSE_MS = 1000 };

enum stream_result stream_odd(struct redis_store *store, const struct exchange *x)
{
        store_refused(store, x, x->reply[0]);
        return STREAM_FAILED;
}

enum stream_result stream_sort(struct redis_store *store, const struct exchange *x, enum mt_status status)
{
        if (status != MT_OK)
                return x->trouble == POOL_REFUSED ? STREAM_FAILED : STREAM_AWAY;
        if (abi_reply_type(x->reply[0]) != ABI_REPLY_ERROR)
                return STREAM_DONE;
        if (pool_trouble_of(exchange_bytes(x, x->reply[0])) == POOL_AWAY)
                return STREAM_AWAY;
        return stream_odd(store, x);
}

enum stream_result stream_ask(struct redis_store *store, struct exchange *x, uint32_t block_ms,
                              const struct mt_bytes *word, size_t words)
{
        const struct exchange_command command = {word, words};

        return stream_sort(store, x, exchange(x, store->pool, block_ms + store->timeout_ms, &command, 1));
}

struct stream_wait stream_wait_begin(int64_t block_ms)
{
        struct stream_wait w = {.until_ns = UINT64_MAX, .pause_ms = ASK_PAUSE_FIRST_MS, .blocks = block_ms != 0};
        uint64_t           now_ns = clock_read_ns(CLOCK_MONOTONIC);

        if (block_ms >= 0 && (uint64_t)block_ms < (UINT64_MAX - now_ns) / NS_PER_MS)
                w.until_ns = now_ns + (uint64_t)block_ms * NS_PER_MS;
        return w;
}

uint32_t stream_left_ms(const struct stream_wait *w, uint32_t most_ms)
{
        uint64_t now_ns = clock_read_ns(CLOCK_MONOTONIC), left_ms;

        if (!w->blocks || now_ns >= w->until_ns)
                return 0;
        left_ms = (w->until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
        return left_ms < most_ms ? (uint32_t)left_ms : most_ms;
}

bool stream_pause(struct stream_wait *w)
{
        uint32_t        ms = stream_left_ms(w, w->pause_ms);
        struct timespec moment = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000 * NS_PER_MS)};

        if (ms == 0)
                return false;
        nanosleep(&moment, NULL);
        w->pause_ms = w->pause_ms * 2 < ASK_PAUSE_MS ? w->pause_ms * 2 : ASK_PAUSE_MS;
        return true;
}

void stream_was_there(struct stream_wait *w)
{
        w->pause_ms = ASK_PAUSE_FIRST_MS;
}
