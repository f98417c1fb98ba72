/* stream_redis.c - streams in Redis, for programs that read and write them through the tables.
 *
 * The stream mode of invalidation reads a stream, too, and not through this: its room knows no hiredis, on purpose, and
 * its listener is one thread for all servers that must never wait for one of them; here a caller wants to wait. What it
 * must know is other things, too: not only what came, but that nothing is missing (invalidation/source_stream.c says how
 * a gap is told, by XINFO and XRANGE). Here a reader is promised every entry that is still there: what a maximum length
 * has trimmed before it came by is gone.
 *
 * A group's read, in three steps, of which each takes what is left of `count`:
 *   own      XREADGROUP from 0: what this consumer was given before
 *   idle     if that was not enough: XAUTOCLAIM makes what others left idle its own, and step one is done again; by
 *            their ids alone (JUSTID), so that there is one way on which entries are read, deleted ones and all
 *   new      XREADGROUP from >, which waits only if nothing was found before */
#include "stream_redis.h"

#include "../../l1/base/clock.h"
#include "../../l1/base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
        STREAM_SLICE_MS = 2000,    /* asked again after that long at most */
        STREAM_SLICE_MIN_MS = 100, /* and not more often, whatever is to be claimed */
        STREAM_PAUSE_FIRST_MS = 20,
        STREAM_PAUSE_MS = 1000,
        STREAM_FIELDS_ON_STACK = 32,
};

/* --------------------------------------------------------------------------------------------------------- waiting */

struct streams_wait {
        uint64_t until_ns; /* UINT64_MAX: for as long as it takes */
        uint32_t pause_ms;
        bool     blocks;
};

static struct streams_wait streams_wait(int64_t block_ms)
{
        struct streams_wait w = {.until_ns = UINT64_MAX, .pause_ms = STREAM_PAUSE_FIRST_MS, .blocks = block_ms != 0};
        uint64_t            now_ns = clock_read_ns(CLOCK_MONOTONIC);

        if (block_ms >= 0 && (uint64_t)block_ms < (UINT64_MAX - now_ns) / NS_PER_MS)
                w.until_ns = now_ns + (uint64_t)block_ms * NS_PER_MS;
        return w;
}

/* Of the time that is left, at most so much; 0: none is left. */
static uint32_t streams_left_ms(const struct streams_wait *w, uint32_t most_ms)
{
        uint64_t now_ns = clock_read_ns(CLOCK_MONOTONIC), left_ms;

        if (!w->blocks || now_ns >= w->until_ns)
                return 0;
        left_ms = (w->until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
        return left_ms < most_ms ? (uint32_t)left_ms : most_ms;
}

/* The server is not there, and nothing tells when it is: wait a moment. False: there is no time left. */
static bool streams_pause(struct streams_wait *w)
{
        uint32_t        ms = streams_left_ms(w, w->pause_ms);
        struct timespec moment = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000 * NS_PER_MS)};

        if (ms == 0)
                return false;
        nanosleep(&moment, NULL);
        w->pause_ms = w->pause_ms * 2 < STREAM_PAUSE_MS ? w->pause_ms * 2 : STREAM_PAUSE_MS;
        return true;
}

/* What came of an attempt. */
enum streams_result {
        STREAM_DONE,  /* a reply; an error among them is final */
        STREAM_AWAY,  /* no server, or one that is not ready: worth another attempt */
        STREAM_FAILED /* it will not have us */
};

static enum streams_result streams_ask(struct redis_store *store, struct exchange *x, uint32_t block_ms,
                                       const struct exchange_command *command)
{
        static const char *const passing[] = {"LOADING", "BUSY ", "MASTERDOWN", "UNBLOCKED",
                                              "ERR max number of clients"};

        if (exchange(x, store->pool, block_ms + store->timeout_ms, command, 1) != MT_OK) {
                exchange_end(x);
                *x = (struct exchange){0};
                return pool_refused(store->pool) ? STREAM_FAILED : STREAM_AWAY;
        }
        for (unsigned i = 0; i < sizeof passing / sizeof *passing; i++)
                if (exchange_is_error(x, x->reply[0], passing[i]))
                        return STREAM_AWAY;
        return STREAM_DONE;
}

/* --------------------------------------------------------------------------------------------------------- entries */

/* Who gets entries, and what became of them. */
struct streams_taker {
        mt_entry_f *f;
        void       *arg;
        size_t      handed;
        bool        enough; /* f wants no more */
        bool        torn;   /* the server sent something else */
};

static bool streams_is_string(const void *reply)
{
        return abi_reply_type(reply) == ABI_REPLY_STRING || abi_reply_type(reply) == ABI_REPLY_STATUS;
}

static bool streams_hand_fields(const struct exchange *x, struct mt_bytes id, const void *list, struct streams_taker *t)
{
        struct mt_field  on_stack[STREAM_FIELDS_ON_STACK], *field = on_stack;
        size_t           n = abi_reply_elements(x->abi, list) / 2;
        struct mt_field *memory = NULL;
        bool             good = true;

        if (n > STREAM_FIELDS_ON_STACK) {
                field = memory = malloc(n * sizeof *field);
                if (memory == NULL)
                        return false;
        }
        for (size_t i = 0; good && i < n; i++) {
                const void *name = abi_reply_element(x->abi, list, 2 * i),
                           *value = abi_reply_element(x->abi, list, 2 * i + 1);

                good = streams_is_string(name) && streams_is_string(value);
                if (good)
                        field[i] = (struct mt_field){exchange_bytes(x, name), exchange_bytes(x, value)};
        }
        if (good) {
                t->handed++;
                t->enough = !t->f(t->arg, id, field, n);
        }
        free(memory);
        return good;
}

/* An array of [id, [name, value, ...]]; gone: told of each that has no fields any more. */
static void streams_hand(const struct exchange *x, const void *entries, struct streams_taker *t,
                         void (*gone)(void *arg, struct mt_bytes id), void *arg)
{
        size_t n = abi_reply_type(entries) == ABI_REPLY_ARRAY ? abi_reply_elements(x->abi, entries) : 0;

        for (size_t i = 0; i < n && !t->enough && !t->torn; i++) {
                const void *entry = abi_reply_element(x->abi, entries, i), *id, *list;

                if (abi_reply_type(entry) != ABI_REPLY_ARRAY || abi_reply_elements(x->abi, entry) != 2 ||
                    !streams_is_string(id = abi_reply_element(x->abi, entry, 0))) {
                        t->torn = true;
                        break;
                }
                list = abi_reply_element(x->abi, entry, 1);
                if (abi_reply_type(list) == ABI_REPLY_NIL && gone != NULL)
                        gone(arg, exchange_bytes(x, id));
                else
                        t->torn = abi_reply_type(list) != ABI_REPLY_ARRAY ||
                                  !streams_hand_fields(x, exchange_bytes(x, id), list, t);
        }
}

/* What XREAD and XREADGROUP say of the one stream that was asked for. NULL: no entries. */
static const void *streams_entries(const struct exchange *x, const void *reply)
{
        const void *one;

        if (abi_reply_type(reply) != ABI_REPLY_ARRAY || abi_reply_elements(x->abi, reply) != 1)
                return NULL;
        one = abi_reply_element(x->abi, reply, 0);
        if (abi_reply_type(one) != ABI_REPLY_ARRAY || abi_reply_elements(x->abi, one) != 2)
                return NULL;
        return abi_reply_element(x->abi, one, 1);
}

static enum mt_status streams_verdict(struct redis_store *store, const struct exchange *x,
                                      const struct streams_taker *t)
{
        if (t->torn)
                return store_refused(store, x, x->reply[0]);
        return t->handed > 0 ? MT_OK : MT_MISS;
}

/* ---------------------------------------------------------------------------------------------- add, latest, read */

static enum mt_status streams_give_id(struct redis_store *store, const struct exchange *x, struct mt_sink *id)
{
        struct mt_bytes given;
        char           *room;

        if (abi_reply_type(x->reply[0]) != ABI_REPLY_STRING)
                return store_refused(store, x, x->reply[0]);
        given = exchange_bytes(x, x->reply[0]);
        room = id != NULL ? id->room(id, given.len) : NULL;
        if (room != NULL)
                memcpy(room, given.ptr, given.len);
        return MT_OK;
}

static enum mt_status streams_add(void *self, struct mt_bytes stream, const struct mt_field *field, size_t fields,
                                  uint64_t maxlen, struct mt_sink *id)
{
        struct redis_store    *store = self;
        struct store_name      name;
        struct exchange_number number;
        struct mt_bytes       *word = fields < SIZE_MAX / 64 ? malloc((2 * fields + 6) * sizeof *word) : NULL;
        struct exchange        x;
        enum mt_status         status = MT_ERROR;
        size_t                 n = 0;

        if (word == NULL)
                return MT_ERROR;
        if (store_name(store, stream, WORD(""), &name)) {
                word[n++] = WORD("XADD");
                word[n++] = name.name;
                if (maxlen > 0) {
                        word[n++] = WORD("MAXLEN");
                        word[n++] = WORD("~");
                        word[n++] = exchange_number(&number, maxlen < INT64_MAX ? maxlen : INT64_MAX);
                }
                word[n++] = WORD("*");
                for (size_t i = 0; i < fields; i++) {
                        word[n++] = field[i].name;
                        word[n++] = field[i].value;
                }
                status = store_ask(store, &x, &(struct exchange_command){word, n}, 1);
                if (status == MT_OK)
                        status = streams_give_id(store, &x, id);
                exchange_end(&x);
                store_name_end(&name);
        }
        free(word);
        return status;
}

static enum mt_status streams_read_latest(void *self, struct mt_bytes stream, size_t count, mt_entry_f *f, void *arg)
{
        struct redis_store    *store = self;
        struct streams_taker   taker = {.f = f, .arg = arg};
        struct store_name      name;
        struct exchange_number number;
        struct exchange        x;
        enum mt_status         status;

        if (count == 0)
                return MT_MISS;
        if (!store_name(store, stream, WORD(""), &name))
                return MT_ERROR;
        status = store_ask(store, &x,
                           &EXCHANGE_COMMAND(((struct mt_bytes[]){WORD("XREVRANGE"), name.name, WORD("+"), WORD("-"),
                                                                  WORD("COUNT"), exchange_number(&number, count)})),
                           1);
        if (status == MT_OK) {
                taker.torn = abi_reply_type(x.reply[0]) != ABI_REPLY_ARRAY;
                streams_hand(&x, x.reply[0], &taker, NULL, NULL);
                status = streams_verdict(store, &x, &taker);
        }
        exchange_end(&x);
        store_name_end(&name);
        return status;
}

/* The id behind which the next entry will be: what "$" means at this moment. */
static enum mt_status streams_resolve(struct redis_store *store, struct mt_bytes name, struct streams_wait *w,
                                      char id[STORE_ID_MAX])
{
        const struct mt_bytes word[] = {WORD("XREVRANGE"), name, WORD("+"), WORD("-"), WORD("COUNT"), WORD("1")};
        struct exchange       x;
        enum streams_result   result;
        enum mt_status        status = MT_ERROR;

        while ((result = streams_ask(store, &x, 0, &EXCHANGE_COMMAND(word))) == STREAM_AWAY) {
                exchange_end(&x);
                if (!streams_pause(w))
                        return MT_ERROR;
        }
        if (result == STREAM_FAILED)
                return MT_ERROR;
        if (abi_reply_type(x.reply[0]) == ABI_REPLY_ARRAY) {
                const void *newest =
                        abi_reply_elements(x.abi, x.reply[0]) > 0 ? abi_reply_element(x.abi, x.reply[0], 0) : NULL;

                if (newest == NULL)
                        strcpy(id, "0-0");
                else if (abi_reply_type(newest) == ABI_REPLY_ARRAY && abi_reply_elements(x.abi, newest) > 0)
                        snprintf(id, STORE_ID_MAX, "%s", abi_reply_str(x.abi, abi_reply_element(x.abi, newest, 0)));
                status = MT_OK;
        } else {
                status = store_refused(store, &x, x.reply[0]);
        }
        exchange_end(&x);
        return status;
}

/* One XREAD that waits for block_ms (0: not at all). */
static enum streams_result streams_read_once(struct redis_store *store, struct exchange *x, struct mt_bytes name,
                                             struct mt_bytes id, size_t count, uint32_t block_ms)
{
        struct exchange_number of_count, of_block;
        struct mt_bytes        word[8] = {WORD("XREAD"), WORD("COUNT"), exchange_number(&of_count, count)};
        size_t                 n = 3;

        if (block_ms > 0) { /* BLOCK 0 would be for ever */
                word[n++] = WORD("BLOCK");
                word[n++] = exchange_number(&of_block, block_ms);
        }
        word[n++] = WORD("STREAMS");
        word[n++] = name;
        word[n++] = id;
        return streams_ask(store, x, block_ms, &(struct exchange_command){word, n});
}

static enum mt_status streams_read_on(struct redis_store *store, struct mt_bytes name, struct mt_bytes id, size_t count,
                                      struct streams_wait *w, struct streams_taker *t)
{
        struct exchange     x;
        enum streams_result result;
        enum mt_status      status;

        for (;;) {
                uint32_t slice_ms = streams_left_ms(w, STREAM_SLICE_MS);

                status = MT_MISS;
                result = streams_read_once(store, &x, name, id, count, slice_ms);
                if (result == STREAM_DONE && abi_reply_type(x.reply[0]) != ABI_REPLY_NIL) {
                        const void *entries = streams_entries(&x, x.reply[0]);

                        t->torn = entries == NULL;
                        if (entries != NULL)
                                streams_hand(&x, entries, t, NULL, NULL);
                        status = streams_verdict(store, &x, t);
                }
                exchange_end(&x);
                if (result == STREAM_FAILED || (result == STREAM_AWAY && !streams_pause(w)))
                        return MT_ERROR;
                if (result == STREAM_DONE) {
                        if (status != MT_MISS || streams_left_ms(w, 1) == 0)
                                return status;
                        w->pause_ms = STREAM_PAUSE_FIRST_MS;
                }
        }
}

static enum mt_status streams_read(void *self, struct mt_bytes stream, struct mt_bytes last_id, size_t count,
                                   int64_t block_ms, mt_entry_f *f, void *arg)
{
        struct redis_store  *store = self;
        struct streams_taker taker = {.f = f, .arg = arg};
        struct streams_wait  wait = streams_wait(block_ms);
        struct store_name    name;
        char                 resolved[STORE_ID_MAX] = "0-0";
        enum mt_status       status = MT_OK;

        if (count == 0)
                return MT_MISS;
        if (!store_name(store, stream, WORD(""), &name))
                return MT_ERROR;
        if (mt_bytes_equal(last_id, WORD("$"))) {
                status = streams_resolve(store, name.name, &wait, resolved);
                last_id = mt_bytes_of(resolved);
        }
        if (status == MT_OK)
                status = streams_read_on(store, name.name, last_id, count, &wait, &taker);
        store_name_end(&name);
        return status;
}

/* ---------------------------------------------------------------------------------------------------------- groups */

static enum mt_status streams_create_group(void *self, struct mt_bytes stream, struct mt_bytes group,
                                           struct mt_bytes id)
{
        struct redis_store *store = self;
        struct store_name   name;
        struct exchange     x;
        enum mt_status      status;

        if (!store_name(store, stream, WORD(""), &name))
                return MT_ERROR;
        status = store_ask(store, &x,
                           &EXCHANGE_COMMAND(((struct mt_bytes[]){WORD("XGROUP"), WORD("CREATE"), name.name, group, id,
                                                                  WORD("MKSTREAM")})),
                           1);
        if (status == MT_OK && !exchange_is_status(&x, x.reply[0], "OK") &&
            !exchange_is_error(&x, x.reply[0], "BUSYGROUP"))
                status = store_refused(store, &x, x.reply[0]);
        exchange_end(&x);
        store_name_end(&name);
        return status;
}

static enum mt_status streams_ack_name(struct redis_store *store, struct mt_bytes name, struct mt_bytes group,
                                       const struct mt_bytes *id, size_t ids)
{
        struct mt_bytes *word;
        struct exchange  x;
        enum mt_status   status;

        if (ids == 0)
                return MT_OK;
        word = ids < SIZE_MAX / 64 ? malloc((ids + 3) * sizeof *word) : NULL;
        if (word == NULL)
                return MT_ERROR;
        word[0] = WORD("XACK");
        word[1] = name;
        word[2] = group;
        memcpy(word + 3, id, ids * sizeof *id);
        status = store_ask(store, &x, &(struct exchange_command){word, ids + 3}, 1);
        if (status == MT_OK && abi_reply_type(x.reply[0]) != ABI_REPLY_INTEGER)
                status = store_refused(store, &x, x.reply[0]);
        exchange_end(&x);
        free(word);
        return status;
}

static enum mt_status streams_ack(void *self, struct mt_bytes stream, struct mt_bytes group, const struct mt_bytes *id,
                                  size_t ids)
{
        struct redis_store *store = self;
        struct store_name   name;
        enum mt_status      status;

        if (!store_name(store, stream, WORD(""), &name))
                return MT_ERROR;
        status = streams_ack_name(store, name.name, group, id, ids);
        store_name_end(&name);
        return status;
}

/* Who reads, of which group of which stream. */
struct streams_group {
        struct redis_store *store;
        struct mt_bytes     name, group, consumer;
        uint64_t            idle_ms; /* 0: nothing is claimed */
};

/* ------------------------------------------------------------------------------- what others left (XAUTOCLAIM) */

static uint64_t streams_digest(const struct streams_group *g)
{
        struct hash_key of_name = {{mt_hash(g->name.ptr, g->name.len, (struct hash_key){{1, 2}}), 3}};

        return mt_hash(g->group.ptr, g->group.len, of_name) | 1; /* 0 is an empty place */
}

/* The place of this group, or the one whose turn it is to be lost: then a look begins at the beginning, once. */
static struct store_cursor *streams_cursor(struct redis_store *store, uint64_t digest)
{
        struct store_cursor *c;

        for (unsigned i = 0; i < STORE_CURSORS; i++)
                if (store->cursor[i].digest == digest)
                        return &store->cursor[i];
        c = &store->cursor[store->cursor_next++ % STORE_CURSORS];
        *c = (struct store_cursor){.digest = digest, .id = "0-0"};
        return c;
}

static void streams_cursor_get(const struct streams_group *g, char id[STORE_ID_MAX])
{
        forklock_acquire(&g->store->lock);
        memcpy(id, streams_cursor(g->store, streams_digest(g))->id, STORE_ID_MAX);
        forklock_release(&g->store->lock);
}

static void streams_cursor_set(const struct streams_group *g, const char *id)
{
        forklock_acquire(&g->store->lock);
        snprintf(streams_cursor(g->store, streams_digest(g))->id, STORE_ID_MAX, "%s", id);
        forklock_release(&g->store->lock);
}

/* The id behind this one: servers before 6.2 know no "(". */
static void streams_next_id(const char *id, char next[STORE_ID_MAX])
{
        char    *end;
        uint64_t ms = strtoull(id, &end, 10), sequence = *end == '-' ? strtoull(end + 1, NULL, 10) : 0;

        if (++sequence == 0)
                ms++;
        snprintf(next, STORE_ID_MAX, "%llu-%llu", (unsigned long long)ms, (unsigned long long)sequence);
}

/* Rows of XPENDING: [id, consumer, idle ms, deliveries]. Claims those that another has left idle, sets the cursor.
 * Another consumer may be at the same: XCLAIM looks at the idle time again, and gives each to one of them. */
static enum mt_status streams_claim_rows(const struct streams_group *g, const struct exchange *x, const void *rows,
                                         size_t asked, bool *claimed)
{
        size_t                 n = abi_reply_elements(x->abi, rows), words = 5;
        struct mt_bytes       *word = malloc((n + 6) * sizeof *word);
        struct exchange        answer = {0};
        struct exchange_number number;
        char                   next[STORE_ID_MAX] = "0-0";
        enum mt_status         status = MT_OK;

        if (word == NULL)
                return MT_ERROR;
        word[0] = WORD("XCLAIM");
        word[1] = g->name;
        word[2] = g->group;
        word[3] = g->consumer;
        word[4] = exchange_number(&number, g->idle_ms);
        for (size_t i = 0; i < n; i++) {
                const void *row = abi_reply_element(x->abi, rows, i), *id, *whose, *idle;

                if (abi_reply_type(row) != ABI_REPLY_ARRAY || abi_reply_elements(x->abi, row) != 4)
                        continue;
                id = abi_reply_element(x->abi, row, 0);
                whose = abi_reply_element(x->abi, row, 1);
                idle = abi_reply_element(x->abi, row, 2);
                if (!mt_bytes_equal(exchange_bytes(x, whose), g->consumer) && abi_reply_integer(x->abi, idle) >= 0 &&
                    (uint64_t)abi_reply_integer(x->abi, idle) >= g->idle_ms)
                        word[words++] = exchange_bytes(x, id);
                if (i + 1 == n && n == asked)
                        streams_next_id(abi_reply_str(x->abi, id), next);
        }
        if (words > 5) {
                word[words++] = WORD("JUSTID");
                status = store_ask(g->store, &answer, &(struct exchange_command){word, words}, 1);
                if (status == MT_OK && abi_reply_type(answer.reply[0]) != ABI_REPLY_ARRAY)
                        status = store_refused(g->store, &answer, answer.reply[0]);
                *claimed = status == MT_OK && abi_reply_elements(answer.abi, answer.reply[0]) > 0;
                exchange_end(&answer);
        }
        if (status == MT_OK)
                streams_cursor_set(g, next);
        free(word);
        return status;
}

/* Servers before 6.2. */
static enum mt_status streams_claim_by_hand(const struct streams_group *g, size_t count, bool *claimed)
{
        struct exchange_number number;
        struct exchange        x;
        char                   from[STORE_ID_MAX];
        enum mt_status         status;

        streams_cursor_get(g, from);
        status =
                store_ask(g->store, &x,
                          &EXCHANGE_COMMAND(((struct mt_bytes[]){WORD("XPENDING"), g->name, g->group, mt_bytes_of(from),
                                                                 WORD("+"), exchange_number(&number, count)})),
                          1);
        if (status == MT_OK && abi_reply_type(x.reply[0]) != ABI_REPLY_ARRAY)
                status = store_refused(g->store, &x, x.reply[0]);
        else if (status == MT_OK)
                status = streams_claim_rows(g, &x, x.reply[0], count, claimed);
        exchange_end(&x);
        return status;
}

/* Make what others left idle this consumer's own: at most count, *claimed: some. */
static enum mt_status streams_claim(const struct streams_group *g, size_t count, bool *claimed)
{
        struct exchange_number of_idle, of_count;
        struct exchange        x;
        char                   from[STORE_ID_MAX];
        const void            *ids, *next;
        enum mt_status         status;

        *claimed = false;
        if (mt_load_relaxed(&g->store->no_autoclaim))
                return streams_claim_by_hand(g, count, claimed);
        streams_cursor_get(g, from);
        status = store_ask(g->store, &x,
                           &EXCHANGE_COMMAND(((struct mt_bytes[]){WORD("XAUTOCLAIM"), g->name, g->group, g->consumer,
                                                                  exchange_number(&of_idle, g->idle_ms),
                                                                  mt_bytes_of(from), WORD("COUNT"),
                                                                  exchange_number(&of_count, count), WORD("JUSTID")})),
                           1);
        if (status == MT_OK && exchange_is_error(&x, x.reply[0], "ERR unknown command")) {
                mt_store_relaxed(&g->store->no_autoclaim, true);
                exchange_end(&x);
                return streams_claim_by_hand(g, count, claimed);
        }
        if (status == MT_OK &&
            (abi_reply_type(x.reply[0]) != ABI_REPLY_ARRAY || abi_reply_elements(x.abi, x.reply[0]) < 2 ||
             !streams_is_string(next = abi_reply_element(x.abi, x.reply[0], 0)) ||
             abi_reply_type(ids = abi_reply_element(x.abi, x.reply[0], 1)) != ABI_REPLY_ARRAY)) {
                status = store_refused(g->store, &x, x.reply[0]);
        } else if (status == MT_OK) {
                *claimed = abi_reply_elements(x.abi, ids) > 0;
                streams_cursor_set(g, abi_reply_str(x.abi, next));
        }
        exchange_end(&x);
        return status;
}

/* ------------------------------------------------------------------------------------------------- the three steps */

static enum streams_result streams_group_once(const struct streams_group *g, struct exchange *x, const char *from,
                                              size_t count, uint32_t block_ms)
{
        struct exchange_number of_count, of_block;
        struct mt_bytes        word[11] = {WORD("XREADGROUP"), WORD("GROUP"), g->group,
                                           g->consumer,        WORD("COUNT"), exchange_number(&of_count, count)};
        size_t                 n = 6;

        if (block_ms > 0) {
                word[n++] = WORD("BLOCK");
                word[n++] = exchange_number(&of_block, block_ms);
        }
        word[n++] = WORD("STREAMS");
        word[n++] = g->name;
        word[n++] = mt_bytes_of(from);
        return streams_ask(g->store, x, block_ms, &(struct exchange_command){word, n});
}

/* Entries without fields: of them nobody is told. */
struct streams_gone {
        const struct streams_group *group;
        size_t                      count;
        enum mt_status              status;
};

static void streams_drop_gone(void *arg, struct mt_bytes id)
{
        struct streams_gone *gone = arg;

        gone->count++;
        if (gone->status == MT_OK)
                gone->status = streams_ack_name(gone->group->store, gone->group->name, gone->group->group, &id, 1);
}

/* How many entries a reply has. SIZE_MAX: it is none. */
static size_t streams_count(const struct exchange *x)
{
        const void *entries = streams_entries(x, x->reply[0]);

        return entries != NULL && abi_reply_type(entries) == ABI_REPLY_ARRAY ? abi_reply_elements(x->abi, entries)
                                                                             : SIZE_MAX;
}

static enum mt_status streams_group_hand(const struct streams_group *g, struct exchange *x, struct streams_taker *t,
                                         size_t *gone)
{
        struct streams_gone forgotten = {.group = g, .status = MT_OK};

        streams_hand(x, streams_entries(x, x->reply[0]), t, streams_drop_gone, &forgotten);
        *gone = forgotten.count;
        if (t->torn)
                return store_refused(g->store, x, x->reply[0]);
        return forgotten.status;
}

/* The id of the last entry of a reply that has some. */
static void streams_last(const struct exchange *x, size_t entries, char id[STORE_ID_MAX])
{
        const void *last = abi_reply_element(x->abi, streams_entries(x, x->reply[0]), entries - 1);

        if (abi_reply_type(last) == ABI_REPLY_ARRAY && abi_reply_elements(x->abi, last) > 0 &&
            streams_is_string(abi_reply_element(x->abi, last, 0)))
                snprintf(id, STORE_ID_MAX, "%s", abi_reply_str(x->abi, abi_reply_element(x->abi, last, 0)));
}

/* Steps one and two. STREAM_AWAY: no server, as far as one came. *status: when done. */
static enum streams_result streams_group_own(const struct streams_group *g, size_t count, struct streams_taker *t,
                                             enum mt_status *status)
{
        char                from[STORE_ID_MAX] = "0";
        struct exchange     x;
        enum streams_result result;
        bool                claimed, may_claim = g->idle_ms > 0;
        size_t              gone;

        do {
                claimed = false;
                gone = 0;
                result = streams_group_once(g, &x, from, count - t->handed, 0);
                if (result == STREAM_DONE) {
                        size_t own = streams_count(&x);

                        *status = MT_OK;
                        if (own == SIZE_MAX)
                                *status = store_refused(g->store, &x, x.reply[0]);
                        else if (may_claim && own < count)
                                *status = streams_claim(g, count - own, &claimed);
                        may_claim = false; /* one look a call */
                        if (*status == MT_OK && !claimed && own > 0) {
                                streams_last(&x, own, from);
                                *status = streams_group_hand(g, &x, t, &gone);
                        }
                }
                exchange_end(&x);
                /* Again: there is more of our own now, or what is gone left room for more of it. */
        } while (result == STREAM_DONE && *status == MT_OK && !t->enough && t->handed < count && (claimed || gone > 0));
        return result;
}

static enum streams_result streams_group_new(const struct streams_group *g, size_t count, uint32_t block_ms,
                                             struct streams_taker *t, enum mt_status *status)
{
        struct exchange     x;
        enum streams_result result = streams_group_once(g, &x, ">", count, block_ms);
        size_t              gone;

        *status = MT_OK;
        if (result == STREAM_DONE && abi_reply_type(x.reply[0]) != ABI_REPLY_NIL)
                *status = streams_count(&x) != SIZE_MAX ? streams_group_hand(g, &x, t, &gone)
                                                        : store_refused(g->store, &x, x.reply[0]);
        exchange_end(&x);
        return result;
}

/* All three, once; waits for block_ms if there is nothing. */
static enum streams_result streams_group_turn(const struct streams_group *g, size_t count, uint32_t block_ms,
                                              struct streams_taker *t, enum mt_status *status)
{
        enum streams_result result = streams_group_own(g, count, t, status);

        if (result != STREAM_DONE || *status != MT_OK || t->enough || t->handed >= count)
                return result;
        result = streams_group_new(g, count - t->handed, t->handed > 0 ? 0 : block_ms, t, status);
        return t->handed > 0 ? STREAM_DONE : result; /* what was handed out is good, whatever came behind it */
}

/* While it waits it looks now and then whether another consumer has left something: it may be gone for good. */
static uint32_t streams_group_slice(const struct streams_group *g, const struct streams_wait *w)
{
        uint32_t most_ms = STREAM_SLICE_MS;

        if (g->idle_ms > 0 && g->idle_ms < STREAM_SLICE_MS)
                most_ms = g->idle_ms > STREAM_SLICE_MIN_MS ? (uint32_t)g->idle_ms : STREAM_SLICE_MIN_MS;
        return streams_left_ms(w, most_ms);
}

static enum mt_status streams_read_group(void *self, struct mt_bytes stream, struct mt_bytes group,
                                         struct mt_bytes consumer, size_t count, int64_t block_ms,
                                         uint64_t claim_idle_ms, mt_entry_f *f, void *arg)
{
        struct streams_group g = {.store = self, .group = group, .consumer = consumer, .idle_ms = claim_idle_ms};
        struct streams_taker taker = {.f = f, .arg = arg};
        struct streams_wait  wait = streams_wait(block_ms);
        struct store_name    name;
        enum mt_status       status = MT_MISS;
        enum streams_result  result;

        if (count == 0)
                return MT_MISS;
        if (!store_name(g.store, stream, WORD(""), &name))
                return MT_ERROR;
        g.name = name.name;
        do {
                result = streams_group_turn(&g, count, streams_group_slice(&g, &wait), &taker, &status);
                if (result == STREAM_DONE)
                        wait.pause_ms = STREAM_PAUSE_FIRST_MS;
                else
                        status = MT_ERROR;
        } while (taker.handed == 0 && ((result == STREAM_AWAY && streams_pause(&wait)) ||
                                       (result == STREAM_DONE && status == MT_OK && streams_left_ms(&wait, 1) > 0)));
        store_name_end(&name);
        if (taker.handed > 0)
                return MT_OK;
        return status == MT_OK ? MT_MISS : status;
}

const struct mt_stream_ops redis_stream_ops = {
        .stream_add = streams_add,
        .stream_read_latest = streams_read_latest,
        .stream_read = streams_read,
        .stream_create_group = streams_create_group,
        .stream_read_group = streams_read_group,
        .stream_ack = streams_ack,
};
