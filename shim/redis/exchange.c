/* exchange.c - own reads and writes, since those of hiredis have no end: its time limit is one of each read, and a
 * server that sends a byte now and then is waited for for ever. The guard is held around calls that do not wait. */
#include "exchange.h"

#include "../../l1/base/clock.h"
#include "../hiredis/guard.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXCHANGE_WORDS_ON_STACK = 16 };

struct mt_bytes exchange_number(struct exchange_number *n, uint64_t value)
{
        return mt_bytes(n->text, (size_t)snprintf(n->text, sizeof n->text, "%llu", (unsigned long long)value));
}

static bool exchange_append(const struct hiredis *h, redisContext *context, const struct exchange_command *command)
{
        const char  *on_stack[EXCHANGE_WORDS_ON_STACK], **argv = on_stack;
        size_t       lens_on_stack[EXCHANGE_WORDS_ON_STACK], *argvlen = lens_on_stack;
        const size_t words = command->words;
        void        *memory = NULL;
        bool         good;

        if (words > EXCHANGE_WORDS_ON_STACK) {
                memory = malloc(words * (sizeof *argv + sizeof *argvlen));
                if (memory == NULL)
                        return false;
                argv = memory;
                argvlen = (size_t *)(void *)(argv + words);
        }
        for (size_t i = 0; i < words; i++) {
                argv[i] = command->word[i].len > 0 ? command->word[i].ptr : "";
                argvlen[i] = command->word[i].len;
        }
        guard_enter(h);
        good = h->redisAppendCommandArgv(context, (int)words, argv, argvlen) == REDIS_OK;
        guard_leave();
        free(memory);
        return good;
}

static bool exchange_append_all(const struct hiredis *h, redisContext *context, const struct exchange_command *command,
                                unsigned commands)
{
        for (unsigned i = 0; i < commands; i++)
                if (!exchange_append(h, context, &command[i]))
                        return false;
        return true;
}

/* *sent: something may have left. */
static bool exchange_write(const struct hiredis *h, redisContext *context, bool *sent)
{
        int  done = 0;
        bool good = true;

        while (good && !done) {
                guard_enter(h);
                good = h->redisBufferWrite(context, &done) == REDIS_OK;
                guard_leave();
                *sent |= good;
        }
        return good;
}

static bool exchange_wait(const struct hiredis *h, const redisContext *context, uint64_t until_ns)
{
        struct pollfd p = {.fd = ABI_CONTEXT(int, &h->abi, context, FD), .events = POLLIN};

        for (;;) {
                uint64_t now_ns = clock_read_ns(CLOCK_MONOTONIC), left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
                struct timespec left = {.tv_sec = (time_t)(left_ns / NS_PER_S), .tv_nsec = (long)(left_ns % NS_PER_S)};
                int             n = ppoll(&p, 1, &left, NULL);

                if (n > 0)
                        return true;
                if (n == 0 || errno != EINTR)
                        return false;
        }
}

/* NULL: none came. *late: it was the time that ended. */
static void *exchange_read(const struct hiredis *h, redisContext *context, uint64_t until_ns, bool *late)
{
        void *reply = NULL;
        bool  good;

        for (;;) {
                guard_enter(h);
                good = h->redisGetReplyFromReader(context, &reply) == REDIS_OK;
                guard_leave();
                if (!good || reply != NULL)
                        return good ? reply : NULL;
                if (!exchange_wait(h, context, until_ns)) {
                        *late = true;
                        return NULL;
                }
                guard_enter(h);
                good = h->redisBufferRead(context) == REDIS_OK;
                guard_leave();
                if (!good)
                        return NULL;
        }
}

static enum pool_trouble exchange_say(struct pool *pool, const struct pool_loan *loan, uint32_t wait_ms, bool late)
{
        const struct abi *abi = &loan->hiredis->abi;
        char              why[POOL_WHY_MAX];

        if (late)
                snprintf(why, sizeof why, "no answer within %u ms", (unsigned)wait_ms);
        else if (ABI_CONTEXT(int, abi, loan->context, ERR) != 0)
                snprintf(why, sizeof why, "%s", &ABI_FIELD(const char, loan->context, abi->err + ABI_CONTEXT_ERRSTR));
        else
                snprintf(why, sizeof why, "no memory");
        return pool_say(pool, POOL_AWAY, why);
}

enum mt_status exchange(struct exchange *x, struct pool *pool, uint32_t wait_ms, const struct exchange_command *command,
                        unsigned commands)
{
        const struct hiredis *h = pool_hiredis(pool);
        struct pool_loan      loan;
        int                   saved_errno = errno;
        bool                  written = false, sent, late = false;
        uint64_t              until_ns;
        unsigned              n = 0;

        *x = (struct exchange){.hiredis = h, .abi = &h->abi};
        do {
                sent = false;
                if (pool_lend(pool, &loan) != MT_OK) {
                        x->trouble = loan.trouble;
                        return MT_ERROR;
                }
                written = exchange_append_all(h, loan.context, command, commands) &&
                          exchange_write(h, loan.context, &sent);
                if (written || sent || loan.fresh)
                        break;
                pool_return(pool, &loan, false);
        } while (true); /* ends with a fresh one, if there are many that the server has closed this moment */
        until_ns = clock_read_ns(CLOCK_MONOTONIC) + wait_ms * NS_PER_MS;
        while (written && n < commands && (x->reply[n] = exchange_read(h, loan.context, until_ns, &late)) != NULL)
                n++;
        if (n < commands)
                x->trouble = exchange_say(pool, &loan, wait_ms, late);
        pool_return(pool, &loan, n == commands);
        errno = saved_errno;
        return n == commands ? MT_OK : MT_ERROR;
}

void exchange_end(struct exchange *x)
{
        for (unsigned i = 0; i < EXCHANGE_COMMANDS_MAX; i++) {
                if (x->reply[i] != NULL)
                        x->hiredis->freeReplyObject(x->reply[i]);
                x->reply[i] = NULL;
        }
}

struct mt_bytes exchange_bytes(const struct exchange *x, const void *reply)
{
        return mt_bytes(abi_reply_str(x->abi, reply), abi_reply_len(x->abi, reply));
}

bool exchange_is_error(const struct exchange *x, const void *reply, const char *beginning)
{
        size_t len = strlen(beginning);

        return abi_reply_type(reply) == ABI_REPLY_ERROR && abi_reply_len(x->abi, reply) >= len &&
               memcmp(abi_reply_str(x->abi, reply), beginning, len) == 0;
}

bool exchange_is_status(const struct exchange *x, const void *reply, const char *status)
{
        return abi_reply_type(reply) == ABI_REPLY_STATUS &&
               mt_bytes_equal(exchange_bytes(x, reply), mt_bytes_of(status));
}
