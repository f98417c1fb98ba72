/* store.c - what values and streams have in common. */
#include "store.h"

#include "../../l1/base/log.h"

#include <stdio.h>
#include <stdlib.h>

struct redis_store *redis_store_open(const struct pool_config *config, struct mt_bytes prefix, uint64_t item_max,
                                     char *why)
{
        struct redis_store *store = calloc(1, sizeof *store + prefix.len);

        if (store == NULL) {
                snprintf(why, POOL_WHY_MAX, "no memory");
                return NULL;
        }
        if (prefix.len > 0)
                memcpy(store + 1, prefix.ptr, prefix.len);
        store->prefix = mt_bytes(store + 1, prefix.len);
        store->timeout_ms = config->timeout_ms;
        store->item_max = item_max != 0 ? item_max : STORE_ITEM_DEFAULT;
        store->pool = pool_create(config, why);
        if (store->pool != NULL)
                return store;
        free(store);
        return NULL;
}

void redis_store_close(struct redis_store *store)
{
        pool_close(store->pool);
        free(store);
}

enum mt_status store_ask(struct redis_store *store, struct exchange *x, const struct exchange_command *command,
                         unsigned commands)
{
        return exchange(x, store->pool, store->timeout_ms, command, commands);
}

enum mt_status store_refused(struct redis_store *store, const struct exchange *x, const void *reply)
{
        char            why[POOL_WHY_MAX];
        struct mt_bytes said = mt_bytes_of("what nobody asked for");

        if (abi_reply_type(reply) == ABI_REPLY_ERROR || abi_reply_type(reply) == ABI_REPLY_STATUS)
                said = exchange_bytes(x, reply);
        snprintf(why, sizeof why, "it says %.*s", (int)(said.len < 200 ? said.len : 200), said.ptr);
        pool_say(store->pool, pool_trouble_of(said), why);
        return MT_ERROR;
}

bool store_name(const struct redis_store *store, struct mt_bytes key, struct mt_bytes tail, struct store_name *name)
{
        size_t len = store->prefix.len + key.len + tail.len;
        char  *p = name->buffer;

        name->memory = NULL;
        if (len == key.len) {
                name->name = key;
                return true;
        }
        if (len > sizeof name->buffer) {
                p = name->memory = malloc(len);
                if (p == NULL)
                        return false;
        }
        name->name = mt_bytes(p, len);
        p = mempcpy(p, store->prefix.ptr, store->prefix.len);
        if (key.len > 0)
                p = mempcpy(p, key.ptr, key.len);
        if (tail.len > 0)
                memcpy(p, tail.ptr, tail.len);
        return true;
}

void store_name_end(struct store_name *name)
{
        free(name->memory);
}
