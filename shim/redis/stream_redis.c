/* stream_redis.c - streams in Redis, for programs that read and write them through the tables.
 *
 * The stream mode of invalidation reads a stream, too, and not through this: its room knows no hiredis, on purpose, and
 * its listener is one thread for all servers that must never wait for one of them; here a caller wants to wait. What it
 * must know is other things, too: not only what came, but that nothing is missing (invalidation/source_stream.c says
 * how a gap is told, by XINFO and XRANGE). Here a reader is promised every entry that is still there: what a maximum
 * length has trimmed before it came by is gone. */
#include "stream_redis.h"

#include "stream_group.h"

#include <stdio.h>
#include <stdlib.h>

enum { STREAM_SLICE_MS = 2000 }; /* asked again after that long at most */

/* ------------------------------------------------------------------------------------------------- add, and latest */

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

static enum mt_status streams_verdict(struct redis_store *store, const struct exchange *x, const struct stream_taker *t)
{
        if (t->torn)
                return store_refused(store, x, x->reply[0]);
        return t->handed > 0 ? MT_OK : MT_MISS;
}

static enum mt_status streams_read_latest(void *self, struct mt_bytes stream, size_t count, mt_entry_f *f, void *arg)
{
        struct redis_store    *store = self;
        struct stream_taker    taker = {.f = f, .arg = arg};
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
                if (!taker.torn)
                        stream_hand(&x, x.reply[0], &taker, NULL, NULL);
                status = streams_verdict(store, &x, &taker);
        }
        exchange_end(&x);
        store_name_end(&name);
        return status;
}

/* ------------------------------------------------------------------------------------------------------------ read */

/* The id behind which the next entry will be: what "$" means at this moment. */
static enum stream_result streams_newest(struct redis_store *store, struct mt_bytes name, char id[STORE_ID_MAX])
{
        const struct mt_bytes word[] = {WORD("XREVRANGE"), name, WORD("+"), WORD("-"), WORD("COUNT"), WORD("1")};
        struct exchange       x;
        enum stream_result    result = stream_ask(store, &x, 0, word, sizeof word / sizeof *word);

        strcpy(id, "0-0");
        if (result == STREAM_DONE && abi_reply_type(x.reply[0]) != ABI_REPLY_ARRAY)
                result = stream_odd(store, &x);
        else if (result == STREAM_DONE && abi_reply_elements(x.abi, x.reply[0]) > 0)
                stream_last(&x, x.reply[0], id);
        exchange_end(&x);
        return result;
}

/* One XREAD that waits for block_ms (0: not at all). */
static enum stream_result streams_read_once(struct redis_store *store, struct mt_bytes name, struct mt_bytes id,
                                            size_t count, uint32_t block_ms, struct stream_taker *t)
{
        struct exchange_number of_count, of_block;
        struct mt_bytes        word[8] = {WORD("XREAD"), WORD("COUNT"), exchange_number(&of_count, count)};
        struct exchange        x;
        enum stream_result     result;
        size_t                 n = 3;

        if (block_ms > 0) { /* BLOCK 0 would be for ever */
                word[n++] = WORD("BLOCK");
                word[n++] = exchange_number(&of_block, block_ms);
        }
        word[n++] = WORD("STREAMS");
        word[n++] = name;
        word[n++] = id;
        result = stream_ask(store, &x, block_ms, word, n);
        if (result == STREAM_DONE && abi_reply_type(x.reply[0]) != ABI_REPLY_NIL) {
                const void *entries = stream_entries(&x, x.reply[0]);

                t->torn = entries == NULL;
                if (entries != NULL)
                        stream_hand(&x, entries, t, NULL, NULL);
                if (t->torn)
                        result = stream_odd(store, &x);
        }
        exchange_end(&x);
        return result;
}

/* Entries all come in one reply: whatever goes wrong before it, nothing was handed out, and the id is good. */
static enum mt_status streams_read_on(struct redis_store *store, struct mt_bytes name, struct mt_bytes id, size_t count,
                                      int64_t block_ms, struct stream_taker *t)
{
        const bool         newest = mt_bytes_equal(id, WORD("$"));
        struct stream_wait wait = stream_wait_begin(block_ms);
        enum stream_result result;
        bool               resolved = !newest;
        char               resolved_id[STORE_ID_MAX];

        do {
                result = STREAM_DONE;
                if (!resolved) {
                        result = streams_newest(store, name, resolved_id);
                        resolved = result == STREAM_DONE;
                        id = mt_bytes_of(resolved_id);
                }
                if (resolved)
                        result = streams_read_once(store, name, id, count, stream_left_ms(&wait, STREAM_SLICE_MS), t);
                if (result == STREAM_DONE)
                        stream_was_there(&wait);
        } while (t->handed == 0 && ((result == STREAM_AWAY && stream_pause(&wait)) ||
                                    (result == STREAM_DONE && stream_left_ms(&wait, 1) > 0)));
        if (result != STREAM_DONE)
                return MT_ERROR;
        return t->handed > 0 ? MT_OK : MT_MISS;
}

static enum mt_status streams_read(void *self, struct mt_bytes stream, struct mt_bytes last_id, size_t count,
                                   int64_t block_ms, mt_entry_f *f, void *arg)
{
        struct redis_store *store = self;
        struct stream_taker taker = {.f = f, .arg = arg};
        struct store_name   name;
        enum mt_status      status;

        if (count == 0)
                return MT_MISS;
        if (!store_name(store, stream, WORD(""), &name))
                return MT_ERROR;
        status = streams_read_on(store, name.name, last_id, count, block_ms, &taker);
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

static enum mt_status streams_read_group(void *self, struct mt_bytes stream, struct mt_bytes group,
                                         struct mt_bytes consumer, size_t count, int64_t block_ms,
                                         uint64_t claim_idle_ms, mt_entry_f *f, void *arg)
{
        struct stream_group g = {.store = self, .group = group, .consumer = consumer, .idle_ms = claim_idle_ms};
        struct stream_taker taker = {.f = f, .arg = arg};
        struct store_name   name;
        enum mt_status      status;

        if (count == 0)
                return MT_MISS;
        if (!store_name(g.store, stream, WORD(""), &name))
                return MT_ERROR;
        g.name = name.name;
        status = stream_group_read(&g, count, block_ms, &taker);
        store_name_end(&name);
        return status;
}

static enum mt_status streams_ack(void *self, struct mt_bytes stream, struct mt_bytes group, const struct mt_bytes *id,
                                  size_t ids)
{
        struct stream_group g = {.store = self, .group = group};
        struct store_name   name;
        enum stream_result  result;

        if (!store_name(g.store, stream, WORD(""), &name))
                return MT_ERROR;
        g.name = name.name;
        result = stream_group_ack(&g, id, ids);
        store_name_end(&name);
        return result == STREAM_DONE ? MT_OK : MT_ERROR;
}

const struct mt_stream_ops redis_stream_ops = {
        .stream_add = streams_add,
        .stream_read_latest = streams_read_latest,
        .stream_read = streams_read,
        .stream_create_group = streams_create_group,
        .stream_read_group = streams_read_group,
        .stream_ack = streams_ack,
};
