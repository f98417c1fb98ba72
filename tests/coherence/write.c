/* write.c - the ways to write a key. A row: how it is called, what becomes of the key, can it have a time to live. Each
 * function sends, waits, and says what is known of the outcome. */
#include "worker.h"

#include <stdio.h>
#include <string.h>

enum outcome {
        WRITE_ACKED,
        WRITE_REFUSED, /* the server says that it did not do it */
        WRITE_LOST,    /* no answer: perhaps it did, perhaps it will */
};

struct writing {
        redisContext *c;
        uint64_t      seq;
        char          name[24];
        const char   *text;
        size_t        len;
        uint32_t      px_ms;
};

static enum outcome outcome_of(redisReply *reply)
{
        enum outcome outcome = reply == NULL                      ? WRITE_LOST
                               : reply->type == REDIS_REPLY_ERROR ? WRITE_REFUSED
                                                                  : WRITE_ACKED;

        if (reply != NULL)
                freeReplyObject(reply);
        return outcome;
}

/* -------------------------------------------------------------------------------------------------- in one word */

static enum outcome write_set(const struct writing *w)
{
        if (w->px_ms != 0)
                return outcome_of(redisCommand(w->c, "SET %s %b PX %u", w->name, w->text, w->len, w->px_ms));
        return outcome_of(redisCommand(w->c, "SET %s %b", w->name, w->text, w->len));
}

static enum outcome write_psetex(const struct writing *w)
{
        return w->px_ms == 0 ? write_set(w)
                             : outcome_of(redisCommand(w->c, "PSETEX %s %u %b", w->name, w->px_ms, w->text, w->len));
}

static enum outcome write_argv(const struct writing *w)
{
        char        px[16];
        const char *argv[] = {"set", w->name, w->text, "px", px};
        size_t      len[] = {3, strlen(w->name), w->len, 2, (size_t)snprintf(px, sizeof px, "%u", w->px_ms)};

        return outcome_of(redisCommandArgv(w->c, w->px_ms != 0 ? 5 : 3, argv, len));
}

static enum outcome write_set_get(const struct writing *w)
{
        return outcome_of(redisCommand(w->c, "SET %s %b GET", w->name, w->text, w->len));
}

static enum outcome write_getset(const struct writing *w)
{
        return outcome_of(redisCommand(w->c, "GETSET %s %b", w->name, w->text, w->len));
}

static enum outcome write_mset(const struct writing *w)
{
        return outcome_of(redisCommand(w->c, "MSET %s %b", w->name, w->text, w->len));
}

static enum outcome write_eval(const struct writing *w)
{
        return outcome_of(redisCommand(w->c, "EVAL %s 1 %s %b", "return redis.call('set', KEYS[1], ARGV[1])", w->name,
                                       w->text, w->len));
}

/* A script that does not say which key it writes. */
static enum outcome write_eval_unsaid(const struct writing *w)
{
        return outcome_of(redisCommand(w->c, "EVAL %s 0 %s %b", "return redis.call('set', ARGV[1], ARGV[2])", w->name,
                                       w->text, w->len));
}

static enum outcome write_del(const struct writing *w)
{
        return outcome_of(redisCommand(w->c, "DEL %s", w->name));
}

static enum outcome write_unlink(const struct writing *w)
{
        return outcome_of(redisCommand(w->c, "UNLINK %s", w->name));
}

static enum outcome write_getdel(const struct writing *w)
{
        return outcome_of(redisCommand(w->c, "GETDEL %s", w->name));
}

static enum outcome write_expire_now(const struct writing *w)
{
        return outcome_of(redisCommand(w->c, "PEXPIRE %s -1", w->name));
}

/* ------------------------------------------------------------------------------------------------- in several */

/* Beside the key, by the same connection, under a name that nothing older has: if the databases are swapped between the
 * two commands, the second must find nothing. */
static enum outcome write_beside(const struct writing *w, char other[64])
{
        snprintf(other, 64, "beside:%s:%llu", w->name, (unsigned long long)w->seq);
        if (w->px_ms != 0)
                return outcome_of(redisCommand(w->c, "SET %s %b PX %u", other, w->text, w->len, w->px_ms));
        return outcome_of(redisCommand(w->c, "SET %s %b", other, w->text, w->len));
}

static enum outcome write_rename(const struct writing *w)
{
        char         other[64];
        enum outcome outcome = write_beside(w, other);

        return outcome != WRITE_ACKED ? outcome : outcome_of(redisCommand(w->c, "RENAME %s %s", other, w->name));
}

static enum outcome write_copy(const struct writing *w)
{
        char         other[64];
        enum outcome outcome = write_beside(w, other);
        redisReply  *reply;

        if (outcome != WRITE_ACKED)
                return outcome;
        reply = redisCommand(w->c, "COPY %s %s REPLACE", other, w->name);
        if (reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer == 0) {
                freeReplyObject(reply);
                return WRITE_REFUSED; /* what was beside is gone */
        }
        outcome = outcome_of(reply);
        if (outcome != WRITE_LOST)
                outcome_of(redisCommand(w->c, "DEL %s", other));
        return outcome;
}

/* Of a transaction: every word must be queued, and EXEC not be empty. */
static enum outcome write_exec(const struct writing *w, bool queued)
{
        redisReply *reply;

        if (!queued && outcome_of(redisCommand(w->c, "DISCARD")) != WRITE_LOST)
                return WRITE_REFUSED;
        reply = queued ? redisCommand(w->c, "EXEC") : NULL;
        if (reply != NULL && reply->type == REDIS_REPLY_NIL) {
                freeReplyObject(reply);
                return WRITE_REFUSED;
        }
        return outcome_of(reply);
}

static enum outcome write_multi(const struct writing *w)
{
        enum outcome outcome = outcome_of(redisCommand(w->c, "MULTI"));
        bool         queued;

        if (outcome != WRITE_ACKED)
                return outcome;
        queued = outcome_of(redisCommand(w->c, "SET %s %b", w->name, w->text, w->len)) == WRITE_ACKED;
        if (queued && w->px_ms != 0)
                queued = outcome_of(redisCommand(w->c, "PEXPIRE %s %u", w->name, w->px_ms)) == WRITE_ACKED;
        return write_exec(w, queued);
}

static enum outcome write_watch(const struct writing *w)
{
        enum outcome outcome = outcome_of(redisCommand(w->c, "WATCH %s", w->name));

        if (outcome != WRITE_ACKED)
                return outcome;
        if (outcome_of(redisCommand(w->c, "GET %s", w->name)) == WRITE_LOST)
                return WRITE_LOST;
        return write_multi(w);
}

static enum outcome write_pipeline(const struct writing *w)
{
        redisReply  *reply = NULL;
        enum outcome outcome;

        redisAppendCommand(w->c, "PING");
        redisAppendCommand(w->c, "SET %s %b", w->name, w->text, w->len);
        redisAppendCommand(w->c, "PING");
        if (redisGetReply(w->c, (void **)&reply) != REDIS_OK)
                return WRITE_LOST;
        freeReplyObject(reply);
        reply = NULL;
        if (redisGetReply(w->c, (void **)&reply) != REDIS_OK)
                return WRITE_LOST;
        outcome = outcome_of(reply);
        reply = NULL;
        if (redisGetReply(w->c, (void **)&reply) == REDIS_OK)
                freeReplyObject(reply);
        return outcome;
}

/* --------------------------------------------------------------------------------------------------- the table */

static const struct way {
        enum outcome (*send)(const struct writing *w);
        enum entry_kind kind;
        bool            px; /* may be given a time to live */
} ways[] = {
        {write_set, ENTRY_VALUE, true},          {write_set, ENTRY_VALUE, false},
        {write_argv, ENTRY_VALUE, true},         {write_psetex, ENTRY_VALUE, true},
        {write_set_get, ENTRY_VALUE, false},     {write_getset, ENTRY_VALUE, false},
        {write_mset, ENTRY_VALUE, false},        {write_eval, ENTRY_VALUE, false},
        {write_eval_unsaid, ENTRY_VALUE, false}, {write_rename, ENTRY_VALUE, true},
        {write_copy, ENTRY_VALUE, true},         {write_multi, ENTRY_VALUE, true},
        {write_watch, ENTRY_VALUE, false},       {write_pipeline, ENTRY_VALUE, false},
        {write_del, ENTRY_DELETE, false},        {write_unlink, ENTRY_DELETE, false},
        {write_getdel, ENTRY_DELETE, false},     {write_expire_now, ENTRY_DELETE, false},
};

/* In calm the first few of them: after a script a reader hurries the listener, which would hide that it is slow. */
enum { WAYS = sizeof ways / sizeof ways[0], WAYS_IN_CALM = 7 };

void write_key(struct thread *t, uint32_t number)
{
        struct key       *key = &oracle->key[number];
        struct writing    w = {.c = t->c, .text = t->text};
        bool              calm = atomic_load(&oracle->calm);
        const struct way *way = &ways[oracle_below(&t->seed, calm ? WAYS_IN_CALM : WAYS)];
        uint64_t          seq;

        if (way->px && !oracle->no_px && oracle_below(&t->seed, 2) == 0)
                w.px_ms = 20 + (uint32_t)oracle_below(&t->seed, 1500);
        oracle_key_name(key, w.name);
        w.len = oracle_value(key, oracle_next(key), t->text);
        w.seq = seq = oracle_send(key, way->kind, w.px_ms);
        switch (way->send(&w)) {
        case WRITE_ACKED:
                oracle_acked(key, seq);
                t->own[number] = seq;
                atomic_fetch_add(&t->note->writes, 1);
                break;
        case WRITE_REFUSED:
                oracle_refused(key, seq);
                atomic_fetch_add(&t->note->refused, 1);
                break;
        case WRITE_LOST:
                atomic_fetch_add(&t->note->lost, 1);
                thread_drop(t);
                break;
        }
}

/* In calm, a twentieth of what is written otherwise. The first of a writer's keys is written many times a second, each
 * further one a third less often, the last only now and then: a value that nobody announced shows only if nothing
 * follows it for a while. A key that was never written is next. */
uint32_t write_pick(struct thread *t)
{
        const struct writer *w = t->writer;
        uint32_t             i = 0, calm = atomic_load(&oracle->calm);

        if (calm == CALM_NO_WRITES || (calm == CALM_FEW_WRITES && oracle_below(&t->seed, 20) != 0))
                return NO_WRITER;
        for (uint32_t at = 0; at < w->count; at++) {
                if (atomic_load(&oracle->key[w->first + at].sent) == 0)
                        return w->first + at;
        }
        while (i < w->count - 1 && oracle_below(&t->seed, 3) != 0)
                i++;
        return w->first + i;
}

void write_turn(struct thread *t)
{
        uint32_t number = write_pick(t);

        if (number == NO_WRITER)
                return;
        write_key(t, number);
        if (t->up && oracle_below(&t->seed, 2) == 0)
                thread_read(t, number);
}
