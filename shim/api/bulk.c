/* bulk.c - many keys of the C interface: removed by their names, or by a pattern. */
#include "api.h"

#include <stdlib.h>

/* Words of one UNLINK, or DEL of a server that has no UNLINK. */
struct bulk {
        const char *argv[API_BULK + 1];
        size_t      argvlen[API_BULK + 1];
        size_t      keys, removed;
        bool        old; /* the server does not know UNLINK */
};

static enum mtshim_status bulk_send(struct api_call *call, struct bulk *bulk)
{
        const struct abi  *abi = &call->h->abi;
        void              *reply;
        enum mtshim_status status;

        if (bulk->keys == 0)
                return MTSHIM_OK;
        bulk->argv[0] = bulk->old ? "DEL" : "UNLINK";
        bulk->argvlen[0] = bulk->old ? 3 : 6;
        reply = api_command(call, (int)bulk->keys + 1, bulk->argv, bulk->argvlen);
        status = api_status(call, reply);
        if (status == MTSHIM_REFUSED && !bulk->old && strncmp(mtshim_error(), "ERR unknown command", 19) == 0) {
                api_free(call, reply);
                bulk->old = true;
                return bulk_send(call, bulk);
        }
        if (status == MTSHIM_OK && abi_reply_type(reply) == ABI_REPLY_INTEGER)
                bulk->removed += (size_t)abi_reply_integer(abi, reply);
        api_free(call, reply);
        bulk->keys = 0;
        return status;
}

static void bulk_add(struct bulk *bulk, struct mt_bytes key)
{
        bulk->keys++;
        bulk->argv[bulk->keys] = key.ptr;
        bulk->argvlen[bulk->keys] = key.len;
}

static enum mtshim_status bulk_remove(struct api_call *call, struct bulk *bulk, const struct mtshim_bytes *key,
                                      size_t keys)
{
        enum mtshim_status status = MTSHIM_OK;

        for (size_t i = 0; i < keys && status == MTSHIM_OK; i++) {
                bulk_add(bulk, api_bytes(key[i]));
                if (bulk->keys == API_BULK || i + 1 == keys)
                        status = bulk_send(call, bulk);
        }
        return status;
}

API_EXPORT enum mtshim_status mtshim_remove_bulk(struct mtshim *m, const struct mtshim_bytes *key, size_t keys,
                                                 size_t *removed)
{
        struct api_call    call;
        struct bulk       *bulk;
        enum mtshim_status status = api_check(m, key, keys);

        if (removed != NULL)
                *removed = 0;
        if (status != MTSHIM_OK || keys == 0)
                return status;
        bulk = calloc(1, sizeof *bulk);
        if (bulk == NULL)
                return api_say(MTSHIM_ERROR, "no memory");
        status = api_begin(&call, m);
        if (status == MTSHIM_OK) {
                status = bulk_remove(&call, bulk, key, keys);
                api_end(&call);
        }
        if (removed != NULL)
                *removed = bulk->removed;
        free(bulk);
        return status;
}

/* ------------------------------------------------------------------------------------------------------ by pattern */

enum { BULK_CURSOR_MAX = 24 };

/* Is it what SCAN answers with: the next cursor, and names? */
static bool bulk_is_scan(const struct abi *abi, const void *reply, const void **next, const void **names)
{
        if (abi_reply_type(reply) != ABI_REPLY_ARRAY || abi_reply_elements(abi, reply) != 2)
                return false;
        *next = abi_reply_element(abi, reply, 0);
        *names = abi_reply_element(abi, reply, 1);
        return abi_reply_type(*next) == ABI_REPLY_STRING && abi_reply_len(abi, *next) < BULK_CURSOR_MAX &&
               abi_reply_type(*names) == ABI_REPLY_ARRAY;
}

/* One step of SCAN: what it names is removed at once. Servers may name more keys than they were asked for. */
static enum mtshim_status bulk_step(struct api_call *call, struct bulk *bulk, struct mt_bytes glob,
                                    char cursor[BULK_CURSOR_MAX])
{
        const struct abi  *abi = &call->h->abi;
        const char        *argv[] = {"SCAN", cursor, "MATCH", glob.ptr, "COUNT", "1000"};
        size_t             argvlen[] = {4, strlen(cursor), 5, glob.len, 5, 4};
        void              *reply = api_command(call, 6, argv, argvlen);
        enum mtshim_status status = api_status(call, reply);
        const void        *next, *names;

        if (status != MTSHIM_OK)
                goto out;
        if (!bulk_is_scan(abi, reply, &next, &names)) {
                status = api_say(MTSHIM_ERROR, "the server answers SCAN oddly");
                goto out;
        }
        memcpy(cursor, abi_reply_str(abi, next), abi_reply_len(abi, next) + 1);
        for (size_t i = 0; i < abi_reply_elements(abi, names) && status == MTSHIM_OK; i++) {
                const void *name = abi_reply_element(abi, names, i);

                bulk_add(bulk, api_string(call, name));
                if (bulk->keys == API_BULK)
                        status = bulk_send(call, bulk);
        }
        if (status == MTSHIM_OK)
                status = bulk_send(call, bulk);
out:
        api_free(call, reply);
        return status;
}

/* The message comes last: what it names has been removed by then. Each step's own keys are told right behind it where
 * writes are announced, so that a caller who dies half way leaves nothing that others do not know of; the pattern tells
 * those who keep more than Redis did. */
static enum mtshim_status bulk_scan(struct api_call *call, struct bulk *bulk, struct mtshim_bytes glob)
{
        char               cursor[BULK_CURSOR_MAX] = "0";
        enum mtshim_status below, status;

        status = api_remove_below(call, api_bytes(glob)); /* before, so that nothing is put back that is passed over */
        if (status != MTSHIM_OK)
                return status; /* nothing has been removed from Redis */
        do {
                status = bulk_step(call, bulk, api_bytes(glob), cursor);
        } while (status == MTSHIM_OK && strcmp(cursor, "0") != 0);
        below = api_remove_below(call, api_bytes(glob));
        status = status == MTSHIM_OK ? below : status;
        if (status == MTSHIM_OK && call->c != NULL && call->c->announces)
                status = api_tell(call, API_PATTERN, glob);
        return status;
}

API_EXPORT enum mtshim_status mtshim_remove_pattern(struct mtshim *m, struct mtshim_bytes glob, size_t *removed)
{
        struct api_call    call;
        struct bulk       *bulk;
        enum mtshim_status status = api_check(m, &glob, 1);

        if (removed != NULL)
                *removed = 0;
        if (status != MTSHIM_OK)
                return status;
        bulk = calloc(1, sizeof *bulk);
        if (bulk == NULL)
                return api_say(MTSHIM_ERROR, "no memory");
        status = api_begin(&call, m);
        if (status == MTSHIM_OK) {
                status = bulk_scan(&call, bulk, glob);
                api_end(&call);
        }
        if (removed != NULL)
                *removed = bulk->removed;
        free(bulk);
        return status;
}
