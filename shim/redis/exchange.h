/* exchange.h - a few commands to Redis in one write, and their replies, within a time. */
#ifndef MT_REDIS_EXCHANGE_H
#define MT_REDIS_EXCHANGE_H

#include "pool.h"

enum { EXCHANGE_COMMANDS_MAX = 4 };

struct exchange_command {
        const struct mt_bytes *word; /* the verb first */
        size_t                 words;
};
#define WORD(text)              mt_bytes("" text, sizeof(text) - 1)
#define EXCHANGE_COMMAND(array) ((struct exchange_command){(array), sizeof(array) / sizeof *(array)})

/* A number as a word. */
struct exchange_number {
        char text[24];
};
struct mt_bytes exchange_number(struct exchange_number *n, uint64_t value);

struct exchange {
        const struct hiredis *hiredis;
        const struct abi     *abi;
        enum pool_trouble     trouble;                      /* of MT_ERROR */
        void                 *reply[EXCHANGE_COMMANDS_MAX]; /* one for each command; NULL: none came */
};

/* Asks on a context of the pool. MT_OK: all replies are there; errors are replies, too. MT_ERROR: there is no server,
 * it ended the connection, or its replies did not come within wait_ms: x->trouble and pool_why() tell; some may have
 * come, and what was sent may have been done. Sent a second time, on a new context, if nothing of it had left. Either
 * way exchange_end() frees what came. Thread-safe; keeps errno. Waits for wait_ms, and before that for a connection, if
 * one has to be made, and for the socket to take what is sent: each as long as the pool's timeout. */
enum mt_status exchange(struct exchange *x, struct pool *pool, uint32_t wait_ms, const struct exchange_command *command,
                        unsigned commands);
void           exchange_end(struct exchange *x);

/* A reply that is an error, and begins so. */
bool exchange_is_error(const struct exchange *x, const void *reply, const char *beginning);
/* A reply that is this status: "OK". */
bool exchange_is_status(const struct exchange *x, const void *reply, const char *status);
/* The bytes of a string, status or error reply. */
struct mt_bytes exchange_bytes(const struct exchange *x, const void *reply);

#endif
