/* key.c - one key of the C interface: got, set, removed. */
#include "api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Redis takes it as a signed number of ms since 1970. */
#define KEY_TTL_MAX_MS (UINT64_C(1) << 53)

/* --------------------------------------------------------------------------------------------------------- get */

/* What a GET was answered with. */
static enum mtshim_status key_answer(struct api_call *call, const void *reply, struct mt_bytes *value)
{
        enum mtshim_status status = api_status(call, reply);

        *value = mt_bytes(NULL, 0);
        if (status != MTSHIM_OK)
                return status;
        switch (abi_reply_type(reply)) {
        case ABI_REPLY_NIL: return MTSHIM_MISS;
        case ABI_REPLY_STRING: *value = api_string(call, reply); return MTSHIM_OK;
        default: return api_say(MTSHIM_ERROR, "the server answers GET oddly");
        }
}

/* Once more where an idle connection turns out to have lost its server: a GET may be repeated. MTSHIM_OK: the reply is
 * there, and api_end() is owed. */
static enum mtshim_status key_ask(struct api_call *call, struct mtshim *m, struct mtshim_bytes key, void **reply)
{
        for (;;) {
                enum mtshim_status status = api_begin(call, m);
                bool               fresh;

                if (status != MTSHIM_OK)
                        return status;
                *reply = api_get(call, api_bytes(key));
                fresh = call->loan.fresh;
                if (*reply != NULL || fresh)
                        return MTSHIM_OK;
                api_end(call);
                pool_drop_idle(m->pool);
        }
}

enum mtshim_status api_fetch(struct mtshim *m, struct mtshim_bytes key, struct mtshim_value *value)
{
        struct api_call    call;
        struct mt_bytes    found;
        void              *reply;
        enum mtshim_status status = key_ask(&call, m, key, &reply);

        if (status != MTSHIM_OK)
                return status;
        status = key_answer(&call, reply, &found);
        if (status == MTSHIM_OK)
                status = api_value(found, value);
        api_free(&call, reply);
        api_end(&call);
        return status;
}

API_EXPORT enum mtshim_status mtshim_get(struct mtshim *m, struct mtshim_bytes key, struct mtshim_value *value)
{
        enum mtshim_status status = api_check(m, &key, 1);

        if (value == NULL)
                return api_say(MTSHIM_INVALID, "there is no place for the value");
        *value = (struct mtshim_value){NULL, 0};
        return status == MTSHIM_OK ? api_fetch(m, key, value) : status;
}

API_EXPORT enum mtshim_status mtshim_get_into(struct mtshim *m, struct mtshim_bytes key, void *to, size_t room,
                                              size_t *len)
{
        struct api_call    call;
        struct mt_bytes    found;
        void              *reply;
        enum mtshim_status status = api_check(m, &key, 1);

        if (len == NULL || (to == NULL && room != 0))
                return api_say(MTSHIM_INVALID, "there is no place for the value");
        *len = 0;
        if (status == MTSHIM_OK)
                status = key_ask(&call, m, key, &reply);
        if (status != MTSHIM_OK)
                return status;
        status = key_answer(&call, reply, &found);
        *len = found.len;
        if (status == MTSHIM_OK && found.len > room)
                status = api_say(MTSHIM_TOO_LARGE, "a value of %zu bytes, room for %zu", found.len, room);
        else if (found.len != 0)
                memcpy(to, found.ptr, found.len);
        api_free(&call, reply);
        api_end(&call);
        return status;
}

/* The four replies to MULTI, PTTL, GET, EXEC. */
struct key_with_ttl {
        struct api_call     *call;
        struct mtshim_value *value;
        uint64_t            *ttl_ms;
        enum mtshim_status   status;
        bool                 failed; /* an error was among them: its words are the thread's sentence */
};

static void key_take_pair(struct key_with_ttl *take, const void *reply)
{
        const struct abi *abi = &take->call->h->abi;
        const void       *pttl = abi_reply_element(abi, reply, 0), *get = abi_reply_element(abi, reply, 1);
        struct mt_bytes   found;
        long long         ms;

        take->status = api_status(take->call, pttl);
        if (take->status == MTSHIM_OK)
                take->status = key_answer(take->call, get, &found);
        if (take->status != MTSHIM_OK)
                return;
        ms = abi_reply_integer(abi, pttl);
        *take->ttl_ms = ms == -1 ? MTSHIM_TTL_NONE : ms < 1 ? 1 : (uint64_t)ms;
        take->status = api_value(found, take->value);
}

static void key_take(void *arg, const void *reply)
{
        struct key_with_ttl *take = arg;
        const struct abi    *abi = &take->call->h->abi;

        if (take->failed)
                return;
        if (abi_reply_type(reply) == ABI_REPLY_ERROR) {
                take->status = api_status(take->call, reply);
                take->failed = true;
        } else if (abi_reply_type(reply) == ABI_REPLY_ARRAY && abi_reply_elements(abi, reply) == 2) {
                key_take_pair(take, reply);
        }
}

static enum mtshim_status key_get_with_ttl(struct mtshim *m, struct mtshim_bytes key, struct key_with_ttl *take)
{
        struct api_call    call;
        enum mtshim_status status;
        size_t             room = key.len + 128, len;
        char              *resp = malloc(2 * room);
        bool               good, fresh;

        if (resp == NULL)
                return api_say(MTSHIM_ERROR, "no memory");
        len = (size_t)snprintf(resp, room, "*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nPTTL\r\n$%zu\r\n", key.len);
        memcpy(resp + len, api_bytes(key).ptr, key.len);
        len += key.len;
        len += (size_t)snprintf(resp + len, room, "\r\n*2\r\n$3\r\nGET\r\n$%zu\r\n", key.len);
        memcpy(resp + len, api_bytes(key).ptr, key.len);
        len += key.len;
        len += (size_t)snprintf(resp + len, room, "\r\n*1\r\n$4\r\nEXEC\r\n");
        do {
                status = api_begin(&call, m);
                if (status != MTSHIM_OK)
                        break;
                *take = (struct key_with_ttl){&call, take->value, take->ttl_ms, MTSHIM_ERROR, false};
                good = api_raw(&call, mt_bytes(resp, len), 4, key_take, take);
                fresh = call.loan.fresh;
                status = good ? take->status : api_status(&call, NULL);
                api_end(&call);
                if (!good && !fresh)
                        pool_drop_idle(m->pool);
        } while (!good && !fresh);
        free(resp);
        return status;
}

API_EXPORT enum mtshim_status mtshim_get_with_ttl(struct mtshim *m, struct mtshim_bytes key, struct mtshim_value *value,
                                                  uint64_t *ttl_ms)
{
        enum mtshim_status  status = api_check(m, &key, 1);
        struct key_with_ttl take = {.value = value, .ttl_ms = ttl_ms};

        if (value == NULL || ttl_ms == NULL)
                return api_say(MTSHIM_INVALID, "there is no place for the value, or its time to live");
        *value = (struct mtshim_value){NULL, 0};
        *ttl_ms = 0;
        return status == MTSHIM_OK ? key_get_with_ttl(m, key, &take) : status;
}

/* --------------------------------------------------------------------------------------------------------- set */

enum mtshim_status api_store(struct api_call *call, struct mtshim_bytes key, struct mtshim_bytes value, uint64_t ttl_ms)
{
        char               number[24];
        const char        *argv[] = {"SET", api_bytes(key).ptr, api_bytes(value).ptr, "PX", number};
        size_t             argvlen[] = {3, key.len, value.len, 2, 0};
        int                argc = ttl_ms == MTSHIM_TTL_NONE ? 3 : 5;
        void              *reply;
        enum mtshim_status status;

        if (ttl_ms == 0) {
                argv[0] = "DEL";
                argc = 2;
        }
        argvlen[4] = (size_t)snprintf(number, sizeof number, "%llu", (unsigned long long)ttl_ms);
        reply = api_command(call, argc, argv, argvlen);
        status = api_status(call, reply);
        api_free(call, reply);
        return status;
}

enum mtshim_status api_store_alone(struct mtshim *m, struct mtshim_bytes key, struct mtshim_bytes value,
                                   uint64_t ttl_ms)
{
        struct api_call    call;
        enum mtshim_status status = api_begin(&call, m);

        if (status != MTSHIM_OK)
                return status;
        status = api_store(&call, key, value, ttl_ms);
        api_end(&call);
        return status;
}

enum mtshim_status api_check_ttl(uint64_t ttl_ms)
{
        if (ttl_ms > KEY_TTL_MAX_MS && ttl_ms != MTSHIM_TTL_NONE)
                return api_say(MTSHIM_INVALID, "a time to live of %llu ms", (unsigned long long)ttl_ms);
        return MTSHIM_OK;
}

API_EXPORT enum mtshim_status mtshim_set_with_ttl(struct mtshim *m, struct mtshim_bytes key, struct mtshim_bytes value,
                                                  uint64_t ttl_ms)
{
        const struct mtshim_bytes bytes[] = {key, value};
        enum mtshim_status        status = api_check(m, bytes, 2);

        if (status == MTSHIM_OK)
                status = api_check_ttl(ttl_ms);
        return status == MTSHIM_OK ? api_store_alone(m, key, value, ttl_ms) : status;
}

API_EXPORT enum mtshim_status mtshim_set(struct mtshim *m, struct mtshim_bytes key, struct mtshim_bytes value)
{
        return mtshim_set_with_ttl(m, key, value, MTSHIM_TTL_DEFAULT_MS);
}

API_EXPORT uint64_t mtshim_strategy_ttl_ms(enum mtshim_strategy strategy, uint64_t custom_ms)
{
        static const uint64_t ttl_ms[] = {[MTSHIM_REALTIME] = 10000,
                                          [MTSHIM_SHORT] = 300000,
                                          [MTSHIM_MEDIUM] = 3600000,
                                          [MTSHIM_LONG] = 3 * 3600000,
                                          [MTSHIM_DEFAULT] = MTSHIM_TTL_DEFAULT_MS};

        return strategy == MTSHIM_CUSTOM ? custom_ms : ttl_ms[(unsigned)strategy % (sizeof ttl_ms / sizeof *ttl_ms)];
}

API_EXPORT enum mtshim_status mtshim_set_with_strategy(struct mtshim *m, struct mtshim_bytes key,
                                                       struct mtshim_bytes value, enum mtshim_strategy strategy,
                                                       uint64_t custom_ms)
{
        if ((unsigned)strategy > MTSHIM_CUSTOM)
                return api_say(MTSHIM_INVALID, "no such strategy: %d", (int)strategy);
        return mtshim_set_with_ttl(m, key, value, mtshim_strategy_ttl_ms(strategy, custom_ms));
}

API_EXPORT enum mtshim_status mtshim_remove(struct mtshim *m, struct mtshim_bytes key)
{
        return mtshim_remove_bulk(m, &key, 1, NULL);
}
