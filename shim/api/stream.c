/* stream.c - streams of the C interface: Redis Streams by the table that every store of streams has
 * (l1/tier/backend.h), on connections of their own, since a reader may wait for long. */
#include "api.h"

#include <stdlib.h>

/* Made when it is first needed. */
static struct redis_store *stream_store(struct mtshim *m)
{
        struct redis_store *store = mt_load_acquire(&m->streams);
        struct pool_config  config;
        char                why[POOL_WHY_MAX] = "";

        if (store != NULL)
                return store;
        forklock_acquire(&m->lock);
        store = mt_load_relaxed(&m->streams);
        if (store == NULL) {
                config = *pool_config(m->pool);
                config.made = NULL;
                config.gone = NULL;
                config.command = NULL;
                store = redis_store_open(&config, mt_bytes("", 0), 0, why);
                mt_store_release(&m->streams, store); /* pairs with the acquire above */
        }
        forklock_release(&m->lock);
        if (store == NULL)
                api_say(MTSHIM_ERROR, "%s", why);
        return store;
}

static enum mtshim_status stream_status(struct redis_store *store, enum mt_status status)
{
        char              why[POOL_WHY_MAX] = "";
        enum pool_trouble trouble;

        switch (status) {
        case MT_OK: return MTSHIM_OK;
        case MT_MISS: return MTSHIM_MISS;
        case MT_REFUSED: return api_say(MTSHIM_REFUSED, "too large for a stream");
        case MT_UNSUPPORTED: return api_say(MTSHIM_UNSUPPORTED, "this server cannot do that with streams");
        case MT_STALE:
        case MT_ERROR: break;
        }
        trouble = pool_why(store->pool, why);
        return api_say(trouble == POOL_SAYS || trouble == POOL_REFUSED ? MTSHIM_REFUSED : MTSHIM_ERROR, "%s",
                       why[0] != '\0' ? why : "the server did not do it in time");
}

/* An id: the one value that goes out by a sink. */
struct stream_sink {
        struct mt_sink      sink;
        struct mtshim_value value;
};

static char *stream_room(struct mt_sink *sink, size_t len)
{
        struct mtshim_value *value = &((struct stream_sink *)sink)->value;

        free(value->data);
        *value = (struct mtshim_value){malloc(len + 1), len};
        if (value->data != NULL)
                value->data[len] = '\0';
        return value->data;
}

/* From one form of fields to the other. */
struct stream_out {
        mtshim_entry_f *f;
        void           *arg;
        bool            no_memory;
};

static bool stream_entry(void *arg, struct mt_bytes id, const struct mt_field *field, size_t fields)
{
        struct stream_out   *out = arg;
        struct mtshim_field *given = malloc((fields + 1) * sizeof *given);
        bool                 more;

        out->no_memory = given == NULL;
        if (given == NULL)
                return false;
        for (size_t i = 0; i < fields; i++)
                given[i] = (struct mtshim_field){mtshim_view(field[i].name.ptr, field[i].name.len),
                                                 mtshim_view(field[i].value.ptr, field[i].value.len)};
        more = out->f(out->arg, mtshim_view(id.ptr, id.len), given, fields) != 0;
        free(given);
        return more;
}

/* The store, if the arguments are good. */
static enum mtshim_status stream_begin(struct mtshim *m, const struct mtshim_bytes *name, size_t names,
                                       struct redis_store **store)
{
        enum mtshim_status status = api_check(m, name, names);

        *store = NULL;
        if (status != MTSHIM_OK)
                return status;
        *store = stream_store(m);
        return *store != NULL ? MTSHIM_OK : MTSHIM_ERROR;
}

static enum mtshim_status stream_answer(struct redis_store *store, const struct stream_out *out, enum mt_status status)
{
        return out->no_memory ? api_say(MTSHIM_ERROR, "no memory for an entry") : stream_status(store, status);
}

API_EXPORT enum mtshim_status mtshim_stream_add(struct mtshim *m, struct mtshim_bytes stream,
                                                const struct mtshim_field *field, size_t fields, uint64_t maxlen,
                                                struct mtshim_value *id)
{
        struct stream_sink  sink = {.sink.room = stream_room};
        struct redis_store *store;
        struct mt_field    *taken;
        enum mtshim_status  status = stream_begin(m, &stream, 1, &store);

        if (id != NULL)
                *id = (struct mtshim_value){NULL, 0};
        if (status != MTSHIM_OK)
                return status;
        if (fields == 0 || field == NULL)
                return api_say(MTSHIM_INVALID, "an entry has at least one field");
        taken = malloc(fields * sizeof *taken);
        if (taken == NULL)
                return api_say(MTSHIM_ERROR, "no memory");
        for (size_t i = 0; i < fields; i++)
                taken[i] = (struct mt_field){api_bytes(field[i].name), api_bytes(field[i].value)};
        status = stream_status(store, redis_stream_ops.stream_add(store, api_bytes(stream), taken, fields, maxlen,
                                                                  &sink.sink));
        free(taken);
        if (status == MTSHIM_OK && id != NULL)
                *id = sink.value;
        else
                free(sink.value.data);
        return status;
}

API_EXPORT enum mtshim_status mtshim_stream_read_latest(struct mtshim *m, struct mtshim_bytes stream, size_t count,
                                                        mtshim_entry_f *f, void *arg)
{
        struct stream_out   out = {f, arg, false};
        struct redis_store *store;
        enum mtshim_status  status = stream_begin(m, &stream, 1, &store);

        if (status != MTSHIM_OK)
                return status;
        return stream_answer(store, &out,
                             redis_stream_ops.stream_read_latest(store, api_bytes(stream), count, stream_entry, &out));
}

API_EXPORT enum mtshim_status mtshim_stream_read(struct mtshim *m, struct mtshim_bytes stream,
                                                 struct mtshim_bytes last_id, size_t count, int64_t block_ms,
                                                 mtshim_entry_f *f, void *arg)
{
        const struct mtshim_bytes names[] = {stream, last_id};
        struct stream_out         out = {f, arg, false};
        struct redis_store       *store;
        enum mtshim_status        status = stream_begin(m, names, 2, &store);

        if (status != MTSHIM_OK)
                return status;
        return stream_answer(store, &out,
                             redis_stream_ops.stream_read(store, api_bytes(stream), api_bytes(last_id), count, block_ms,
                                                          stream_entry, &out));
}

API_EXPORT enum mtshim_status mtshim_stream_create_group(struct mtshim *m, struct mtshim_bytes stream,
                                                         struct mtshim_bytes group, struct mtshim_bytes id)
{
        const struct mtshim_bytes names[] = {stream, group, id};
        struct redis_store       *store;
        enum mtshim_status        status = stream_begin(m, names, 3, &store);

        if (status != MTSHIM_OK)
                return status;
        return stream_status(store, redis_stream_ops.stream_create_group(store, api_bytes(stream), api_bytes(group),
                                                                         api_bytes(id)));
}

API_EXPORT enum mtshim_status mtshim_stream_read_group(struct mtshim *m, struct mtshim_bytes stream,
                                                       struct mtshim_bytes group, struct mtshim_bytes consumer,
                                                       size_t count, int64_t block_ms, uint64_t claim_idle_ms,
                                                       mtshim_entry_f *f, void *arg)
{
        const struct mtshim_bytes names[] = {stream, group, consumer};
        struct stream_out         out = {f, arg, false};
        struct redis_store       *store;
        enum mtshim_status        status = stream_begin(m, names, 3, &store);

        if (status != MTSHIM_OK)
                return status;
        return stream_answer(store, &out,
                             redis_stream_ops.stream_read_group(store, api_bytes(stream), api_bytes(group),
                                                                api_bytes(consumer), count, block_ms, claim_idle_ms,
                                                                stream_entry, &out));
}

API_EXPORT enum mtshim_status mtshim_stream_ack(struct mtshim *m, struct mtshim_bytes stream, struct mtshim_bytes group,
                                                const struct mtshim_bytes *id, size_t ids)
{
        const struct mtshim_bytes names[] = {stream, group};
        struct redis_store       *store;
        struct mt_bytes          *taken;
        enum mtshim_status        status = stream_begin(m, names, 2, &store);

        if (status == MTSHIM_OK)
                status = api_check(m, id, ids);
        if (status != MTSHIM_OK || ids == 0)
                return status;
        taken = malloc(ids * sizeof *taken);
        if (taken == NULL)
                return api_say(MTSHIM_ERROR, "no memory");
        for (size_t i = 0; i < ids; i++)
                taken[i] = api_bytes(id[i]);
        status = stream_status(store,
                               redis_stream_ops.stream_ack(store, api_bytes(stream), api_bytes(group), taken, ids));
        free(taken);
        return status;
}
