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

/* PTTL, GET, PTTL. Neither MULTI nor a script: a server that is full (maxmemory) queues nothing, and not every user may
 * use them. Of a value that somebody writes in between, the two times do not fit together: asked again, and in the end
 * the lesser of the two is the one that is not too long. */
enum { KEY_REPLIES = 3, KEY_FITS_TRIES = 4 };

struct key_with_ttl {
        struct api_call    *call;
        struct mtshim_value value;
        long long           pttl_ms[2]; /* -1: no end */
        unsigned            replies;
        enum mtshim_status  status; /* MTSHIM_OK until one of them is something else: its words are the thread's */
};

static void key_take(void *arg, const void *reply)
{
        struct key_with_ttl *take = arg;
        unsigned             n = take->replies++;
        struct mt_bytes      found;

        if (take->status != MTSHIM_OK)
                return;
        if (n == 1) {
                take->status = key_answer(take->call, reply, &found);
                if (take->status == MTSHIM_OK)
                        take->status = api_value(found, &take->value);
                return;
        }
        take->status = api_status(take->call, reply);
        if (take->status != MTSHIM_OK)
                return;
        if (abi_reply_type(reply) != ABI_REPLY_INTEGER)
                take->status = api_say(MTSHIM_ERROR, "the server answers PTTL oddly");
        else
                take->pttl_ms[n / 2] = abi_reply_integer(&take->call->h->abi, reply);
}

/* Both of the same value's life, asked for within this time? */
static bool key_fits(const long long pttl_ms[2], uint64_t passed_ns)
{
        long long passed_ms = (long long)(passed_ns / NS_PER_MS) + 1;

        if (pttl_ms[0] < 0 || pttl_ms[1] < 0)
                return pttl_ms[0] == -1 && pttl_ms[1] == -1;
        return pttl_ms[0] >= pttl_ms[1] && pttl_ms[0] - pttl_ms[1] <= passed_ms;
}

/* "No such key" says nothing of the value. */
static uint64_t key_lesser_ms(const long long pttl_ms[2])
{
        uint64_t least = 0;

        for (unsigned i = 0; i < 2; i++) {
                uint64_t ms = pttl_ms[i] == -1 ? MTSHIM_TTL_NONE : pttl_ms[i] > 0 ? (uint64_t)pttl_ms[i] : 1;

                if (pttl_ms[i] >= -1 && (least == 0 || ms < least))
                        least = ms;
        }
        return least != 0 ? least : 1;
}

static size_t key_write_three(char *resp, struct mt_bytes key)
{
        static const char *const heads[KEY_REPLIES] = {"4\r\nPTTL", "3\r\nGET", "4\r\nPTTL"};
        char                    *p = resp;

        for (unsigned i = 0; i < KEY_REPLIES; i++) {
                p += sprintf(p, "*2\r\n$%s\r\n$%zu\r\n", heads[i], key.len);
                p = mempcpy(p, key.ptr, key.len);
                p = mempcpy(p, "\r\n", 2);
        }
        return (size_t)(p - resp);
}

/* Once more also where an idle connection turns out to have lost its server, as in key_ask(). */
static enum mtshim_status key_get_with_ttl(struct mtshim *m, struct mt_bytes resp, struct key_with_ttl *take,
                                           uint64_t *ttl_ms)
{
        struct api_call call;

        for (unsigned tries = 0;;) {
                enum mtshim_status status = api_begin(&call, m);
                uint64_t           sent_ns = clock_precise_ns();
                bool               good, fresh;

                if (status != MTSHIM_OK)
                        return status;
                *take = (struct key_with_ttl){.call = &call, .status = MTSHIM_OK};
                good = api_raw(&call, resp, KEY_REPLIES, key_take, take);
                fresh = call.loan.fresh;
                if (!good)
                        take->status = api_status(&call, NULL);
                api_end(&call);
                if (good && take->status == MTSHIM_OK &&
                    (key_fits(take->pttl_ms, clock_precise_ns() - sent_ns) || ++tries == KEY_FITS_TRIES)) {
                        *ttl_ms = key_lesser_ms(take->pttl_ms);
                        return MTSHIM_OK;
                }
                mtshim_free(take->value.data);
                take->value = (struct mtshim_value){NULL, 0};
                if (good ? take->status != MTSHIM_OK : fresh)
                        return take->status;
                if (!good)
                        pool_drop_idle(m->pool);
        }
}

API_EXPORT enum mtshim_status mtshim_get_with_ttl(struct mtshim *m, struct mtshim_bytes key, struct mtshim_value *value,
                                                  uint64_t *ttl_ms)
{
        enum mtshim_status  status = api_check(m, &key, 1);
        struct key_with_ttl take = {.value = {NULL, 0}};
        char               *resp;

        if (value == NULL || ttl_ms == NULL)
                return api_say(MTSHIM_INVALID, "there is no place for the value, or its time to live");
        *value = (struct mtshim_value){NULL, 0};
        *ttl_ms = 0;
        if (status != MTSHIM_OK)
                return status;
        resp = key.len < SIZE_MAX / KEY_REPLIES - 64 ? malloc(KEY_REPLIES * (key.len + 64)) : NULL;
        if (resp == NULL)
                return api_say(MTSHIM_ERROR, "no memory");
        status = key_get_with_ttl(m, mt_bytes(resp, key_write_three(resp, api_bytes(key))), &take, ttl_ms);
        free(resp);
        *value = take.value;
        return status;
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
