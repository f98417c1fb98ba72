/* stream_ask.h - one question about a stream, whether it is worth asking again, and how long there is time for that. */
#ifndef MT_REDIS_STREAM_ASK_H
#define MT_REDIS_STREAM_ASK_H

#include "store.h"

enum stream_result {
        STREAM_DONE,  /* the reply is there, and no error */
        STREAM_AWAY,  /* no server, or one that is not ready: worth another attempt */
        STREAM_FAILED /* it will not do it, or not have us; one line in the log says so */
};

/* Waits for block_ms (what the command itself says) and the store's timeout. Whatever it returns, exchange_end() frees
 * what came. */
enum stream_result stream_ask(struct redis_store *store, struct exchange *x, uint32_t block_ms,
                              const struct mt_bytes *word, size_t words);
/* The same, for what came of exchange(). */
enum stream_result stream_sort(struct redis_store *store, const struct exchange *x, enum mt_status status);

/* A caller's time. */
struct stream_wait {
        uint64_t until_ns; /* UINT64_MAX: for as long as it takes */
        uint32_t pause_ms;
        bool     blocks;
};
struct stream_wait stream_wait_begin(int64_t block_ms);
/* Of the time that is left, at most so much; 0: none is left. */
uint32_t stream_left_ms(const struct stream_wait *w, uint32_t most_ms);
/* The server is not there, and nothing tells when it is: wait a moment, each time a longer one. False: there is no time
 * left. */
bool stream_pause(struct stream_wait *w);
/* It was there: the next pause is a short one again. */
void stream_was_there(struct stream_wait *w);

/* The reply is none that the command has: STREAM_FAILED, with a line. */
enum stream_result stream_odd(struct redis_store *store, const struct exchange *x);

#endif
