/* stream_group.c - a group's read, in three steps, of which each takes what is left of `count`:
 *
 *   own      XREADGROUP from 0: what this consumer was given before
 *   idle     if that was not enough: XAUTOCLAIM makes what others left idle its own, and step one is done again; by
 *            their ids alone (JUSTID), so that there is one way on which entries are read, deleted ones and all
 *   new      XREADGROUP from >, which waits only if nothing was found before
 *
 * Where the server goes away in between, all of it is done again if nothing was handed out yet: what it gave in a reply
 * that never came is this consumer's own by then. If something was, that is the answer. */
#include "stream_group.h"

#include <stdlib.h>

enum {
        GROUP_SLICE_MS = 2000,    /* asked again after that long at most */
        GROUP_SLICE_MIN_MS = 100, /* and not more often, whatever is to be claimed */
};

enum stream_result stream_group_ack(const struct stream_group *g, const struct mt_bytes *id, size_t ids)
{
        struct mt_bytes   *word;
        struct exchange    x;
        enum stream_result result;

        if (ids == 0)
                return STREAM_DONE;
        word = ids < SIZE_MAX / 64 ? malloc((ids + 3) * sizeof *word) : NULL;
        if (word == NULL)
                return STREAM_FAILED;
        word[0] = WORD("XACK");
        word[1] = g->name;
        word[2] = g->group;
        memcpy(word + 3, id, ids * sizeof *id);
        result = stream_ask(g->store, &x, 0, word, ids + 3);
        if (result == STREAM_DONE && abi_reply_type(x.reply[0]) != ABI_REPLY_INTEGER)
                result = stream_odd(g->store, &x);
        exchange_end(&x);
        free(word);
        return result;
}

static enum stream_result group_ask(const struct stream_group *g, struct exchange *x, const char *from, size_t count,
                                    uint32_t block_ms)
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
        return stream_ask(g->store, x, block_ms, word, n);
}

/* Entries without fields: of them nobody is told. */
struct group_gone {
        const struct stream_group *group;
        size_t                     count;
        enum stream_result         result;
};

static void group_drop(void *arg, struct mt_bytes id)
{
        struct group_gone *gone = arg;

        gone->count++;
        if (gone->result == STREAM_DONE)
                gone->result = stream_group_ack(gone->group, &id, 1);
}

/* *gone: how many of them had no fields. */
static enum stream_result group_hand(const struct stream_group *g, const struct exchange *x, const void *entries,
                                     struct stream_taker *t, size_t *gone)
{
        struct group_gone dropped = {.group = g, .result = STREAM_DONE};

        stream_hand(x, entries, t, group_drop, &dropped);
        *gone = dropped.count;
        return t->torn ? stream_odd(g->store, x) : dropped.result;
}

/* Steps one and two. */
static enum stream_result group_read_own(const struct stream_group *g, size_t count, struct stream_taker *t)
{
        char               from[STORE_ID_MAX] = "0";
        struct exchange    x;
        enum stream_result result;
        bool               claimed, may_claim = g->idle_ms > 0;
        size_t             gone, own;
        const void        *entries;

        do {
                claimed = false;
                gone = 0;
                result = group_ask(g, &x, from, count - t->handed, 0);
                entries = result == STREAM_DONE ? stream_entries(&x, x.reply[0]) : NULL;
                own = entries != NULL ? abi_reply_elements(x.abi, entries) : 0;
                if (result == STREAM_DONE && entries == NULL)
                        result = stream_odd(g->store, &x);
                if (result == STREAM_DONE && may_claim && own < count)
                        result = stream_claim(g, count - own, &claimed);
                may_claim = false; /* one look a call */
                if (result == STREAM_DONE && !claimed && own > 0) {
                        stream_last(&x, entries, from);
                        result = group_hand(g, &x, entries, t, &gone);
                }
                exchange_end(&x);
                /* Again: there is more of our own now, or what is gone left room for more of it. */
        } while (result == STREAM_DONE && !t->enough && t->handed < count && (claimed || gone > 0));
        return result;
}

static enum stream_result group_read_new(const struct stream_group *g, size_t count, uint32_t block_ms,
                                         struct stream_taker *t)
{
        struct exchange    x;
        enum stream_result result = group_ask(g, &x, ">", count, block_ms);
        size_t             gone;

        if (result == STREAM_DONE && abi_reply_type(x.reply[0]) != ABI_REPLY_NIL) {
                const void *entries = stream_entries(&x, x.reply[0]);

                result = entries != NULL ? group_hand(g, &x, entries, t, &gone) : stream_odd(g->store, &x);
        }
        exchange_end(&x);
        return result;
}

/* All three, once; waits for block_ms if there is nothing. */
static enum stream_result group_turn(const struct stream_group *g, size_t count, uint32_t block_ms,
                                     struct stream_taker *t)
{
        enum stream_result result = group_read_own(g, count, t);

        if (result != STREAM_DONE || t->enough || t->handed >= count)
                return result;
        return group_read_new(g, count - t->handed, t->handed > 0 ? 0 : block_ms, t);
}

/* While it waits it looks now and then whether another consumer has left something: it may be gone for good. */
static uint32_t group_slice_ms(const struct stream_group *g, const struct stream_wait *w)
{
        uint32_t most_ms = GROUP_SLICE_MS;

        if (g->idle_ms > 0 && g->idle_ms < GROUP_SLICE_MS)
                most_ms = g->idle_ms > GROUP_SLICE_MIN_MS ? (uint32_t)g->idle_ms : GROUP_SLICE_MIN_MS;
        return stream_left_ms(w, most_ms);
}

enum mt_status stream_group_read(const struct stream_group *g, size_t count, int64_t block_ms, struct stream_taker *t)
{
        struct stream_wait wait = stream_wait_begin(block_ms);
        enum stream_result result;

        do {
                result = group_turn(g, count, group_slice_ms(g, &wait), t);
                if (result == STREAM_DONE)
                        stream_was_there(&wait);
        } while (t->handed == 0 && ((result == STREAM_AWAY && stream_pause(&wait)) ||
                                    (result == STREAM_DONE && stream_left_ms(&wait, 1) > 0)));
        if (t->handed > 0)
                return MT_OK;
        return result == STREAM_DONE ? MT_MISS : MT_ERROR;
}
