/* stream_claim.c - owns the cursors of a store: where the next look of each group begins. Two threads that look at once
 * may begin at the same place: the server gives each entry to one of them. */
#include "stream_claim.h"

#include "../../l1/base/hash.h"

#include <stdio.h>
#include <stdlib.h>

enum {
        CLAIM_LOOK = 10,        /* entries for each that is wanted, as XAUTOCLAIM has it */
        CLAIM_COUNT_MAX = 1000, /* wanted of one look */
        CLAIM_WORDS = 5,        /* before the ids */
};
#define CLAIM_BEGINNING "0-0"

/* --------------------------------------------------------------------------------------------------------- cursors */

static uint64_t claim_digest(const struct stream_group *g)
{
        struct hash_key of_name = {{mt_hash(g->name.ptr, g->name.len, (struct hash_key){{1, 2}}), 3}};

        return mt_hash(g->group.ptr, g->group.len, of_name) | 1; /* 0 is an empty place */
}

/* The place of this group, or the one whose turn it is to be lost: then a look begins at the beginning, once. */
static struct store_cursor *claim_place(struct redis_store *store, uint64_t digest)
{
        struct store_cursor *c;

        for (unsigned i = 0; i < STORE_CURSORS; i++)
                if (store->cursor[i].digest == digest)
                        return &store->cursor[i];
        c = &store->cursor[store->cursor_next++ % STORE_CURSORS];
        *c = (struct store_cursor){.digest = digest, .id = CLAIM_BEGINNING};
        return c;
}

static void claim_cursor_get(const struct stream_group *g, char id[STORE_ID_MAX])
{
        forklock_acquire(&g->store->lock);
        memcpy(id, claim_place(g->store, claim_digest(g))->id, STORE_ID_MAX);
        forklock_release(&g->store->lock);
}

static void claim_cursor_set(const struct stream_group *g, const char *id)
{
        forklock_acquire(&g->store->lock);
        snprintf(claim_place(g->store, claim_digest(g))->id, STORE_ID_MAX, "%s", id);
        forklock_release(&g->store->lock);
}

/* --------------------------------------------------------------------------------- servers before 6.2, by hand */

/* The id behind this one: such servers know no "(". */
static void claim_next_id(const char *id, char next[STORE_ID_MAX])
{
        char    *end;
        uint64_t ms = strtoull(id, &end, 10), sequence = *end == '-' ? strtoull(end + 1, NULL, 10) : 0;

        if (++sequence == 0)
                ms++;
        snprintf(next, STORE_ID_MAX, "%llu-%llu", (unsigned long long)ms, (unsigned long long)sequence);
}

/* A row of XPENDING: [id, consumer, idle ms, deliveries]. NULL: it is none. */
static const void *claim_row(const struct exchange *x, const void *row, struct mt_bytes *whose, uint64_t *idle_ms)
{
        const void *id, *consumer, *idle;

        if (abi_reply_type(row) != ABI_REPLY_ARRAY || abi_reply_elements(x->abi, row) != 4)
                return NULL;
        id = abi_reply_element(x->abi, row, 0);
        consumer = abi_reply_element(x->abi, row, 1);
        idle = abi_reply_element(x->abi, row, 2);
        if (abi_reply_type(id) != ABI_REPLY_STRING || abi_reply_type(consumer) != ABI_REPLY_STRING ||
            abi_reply_type(idle) != ABI_REPLY_INTEGER)
                return NULL;
        *whose = exchange_bytes(x, consumer);
        *idle_ms = abi_reply_integer(x->abi, idle) > 0 ? (uint64_t)abi_reply_integer(x->abi, idle) : 0;
        return id;
}

/* Into word: the ids of rows that another has left idle, at most count. next: where to go on. Returns how many ids. */
static size_t claim_choose(const struct stream_group *g, const struct exchange *x, size_t count, struct mt_bytes *word,
                           char next[STORE_ID_MAX])
{
        const void *rows = x->reply[0], *id;
        size_t      n = abi_reply_elements(x->abi, rows), chosen = 0;

        strcpy(next, CLAIM_BEGINNING); /* all of them were looked at, if there were fewer than asked for */
        for (size_t i = 0; i < n; i++) {
                struct mt_bytes whose;
                uint64_t        idle_ms;

                id = claim_row(x, abi_reply_element(x->abi, rows, i), &whose, &idle_ms);
                if (id == NULL)
                        continue;
                if (!mt_bytes_equal(whose, g->consumer) && idle_ms >= g->idle_ms)
                        word[chosen++] = exchange_bytes(x, id);
                if (chosen == count || i + 1 == count * CLAIM_LOOK) {
                        claim_next_id(abi_reply_str(x->abi, id), next);
                        break;
                }
        }
        return chosen;
}

/* Another consumer may be at the same: XCLAIM looks at the idle time again. */
static enum stream_result claim_chosen(const struct stream_group *g, struct mt_bytes *word, size_t ids, bool *claimed)
{
        struct exchange_number number;
        struct exchange        x;
        enum stream_result     result;

        word[0] = WORD("XCLAIM");
        word[1] = g->name;
        word[2] = g->group;
        word[3] = g->consumer;
        word[4] = exchange_number(&number, g->idle_ms);
        word[CLAIM_WORDS + ids] = WORD("JUSTID");
        result = stream_ask(g->store, &x, 0, word, CLAIM_WORDS + ids + 1);
        if (result == STREAM_DONE && abi_reply_type(x.reply[0]) != ABI_REPLY_ARRAY)
                result = stream_odd(g->store, &x);
        else if (result == STREAM_DONE)
                *claimed = abi_reply_elements(x.abi, x.reply[0]) > 0;
        exchange_end(&x);
        return result;
}

static enum stream_result claim_rows(const struct stream_group *g, const struct exchange *x, size_t count,
                                     bool *claimed)
{
        struct mt_bytes   *word = malloc((CLAIM_WORDS + count + 1) * sizeof *word);
        char               next[STORE_ID_MAX];
        enum stream_result result = STREAM_DONE;
        size_t             ids;

        if (word == NULL)
                return STREAM_FAILED;
        ids = claim_choose(g, x, count, word + CLAIM_WORDS, next);
        if (ids > 0)
                result = claim_chosen(g, word, ids, claimed);
        if (result == STREAM_DONE)
                claim_cursor_set(g, next);
        free(word);
        return result;
}

static enum stream_result claim_by_hand(const struct stream_group *g, size_t count, bool *claimed)
{
        struct exchange_number number;
        struct exchange        x;
        char                   from[STORE_ID_MAX];
        enum stream_result     result;

        claim_cursor_get(g, from);
        result = stream_ask(g->store, &x, 0,
                            (struct mt_bytes[]){WORD("XPENDING"), g->name, g->group, mt_bytes_of(from), WORD("+"),
                                                exchange_number(&number, count * CLAIM_LOOK)},
                            6);
        if (result == STREAM_DONE && abi_reply_type(x.reply[0]) != ABI_REPLY_ARRAY)
                result = stream_odd(g->store, &x);
        else if (result == STREAM_DONE)
                result = claim_rows(g, &x, count, claimed);
        exchange_end(&x);
        return result;
}

/* ------------------------------------------------------------------------------------------------------ XAUTOCLAIM */

/* [where to go on, [id, ...], ...] */
static bool claim_is_answer(const struct exchange *x)
{
        const void *reply = x->reply[0];

        return abi_reply_type(reply) == ABI_REPLY_ARRAY && abi_reply_elements(x->abi, reply) >= 2 &&
               abi_reply_type(abi_reply_element(x->abi, reply, 0)) == ABI_REPLY_STRING &&
               abi_reply_type(abi_reply_element(x->abi, reply, 1)) == ABI_REPLY_ARRAY;
}

enum stream_result stream_claim(const struct stream_group *g, size_t count, bool *claimed)
{
        struct exchange_number of_idle, of_count;
        struct exchange        x;
        char                   from[STORE_ID_MAX];
        enum mt_status         status;
        enum stream_result     result;

        *claimed = false;
        count = count < CLAIM_COUNT_MAX ? count : CLAIM_COUNT_MAX;
        if (mt_load_relaxed(&g->store->no_autoclaim))
                return claim_by_hand(g, count, claimed);
        claim_cursor_get(g, from);
        status = store_ask(g->store, &x,
                           &EXCHANGE_COMMAND(((struct mt_bytes[]){WORD("XAUTOCLAIM"), g->name, g->group, g->consumer,
                                                                  exchange_number(&of_idle, g->idle_ms),
                                                                  mt_bytes_of(from), WORD("COUNT"),
                                                                  exchange_number(&of_count, count), WORD("JUSTID")})),
                           1);
        if (status == MT_OK && exchange_is_error(&x, x.reply[0], "ERR unknown command")) {
                exchange_end(&x);
                mt_store_relaxed(&g->store->no_autoclaim, true);
                return claim_by_hand(g, count, claimed);
        }
        result = stream_sort(g->store, &x, status);
        if (result == STREAM_DONE && !claim_is_answer(&x)) {
                result = stream_odd(g->store, &x);
        } else if (result == STREAM_DONE) {
                *claimed = abi_reply_elements(x.abi, abi_reply_element(x.abi, x.reply[0], 1)) > 0;
                claim_cursor_set(g, abi_reply_str(x.abi, abi_reply_element(x.abi, x.reply[0], 0)));
        }
        exchange_end(&x);
        return result;
}
