/* api.c - handles, connections and replies of the C interface. */
#include "api.h"

#include "../hiredis/recycle.h"
#include "../runtime/runtime.h"

#include "../../invalidation/invalidation.h"
#include "../../l1/base/hash.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { API_SENTENCE_MAX = 160 };

static _Thread_local char api_sentence[API_SENTENCE_MAX];

API_EXPORT const char *mtshim_error(void)
{
        return api_sentence;
}

enum mtshim_status api_say(enum mtshim_status status, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        vsnprintf(api_sentence, sizeof api_sentence, format, ap);
        va_end(ap);
        return status;
}

enum mtshim_status api_check(const struct mtshim *m, const struct mtshim_bytes *bytes, size_t count)
{
        if (m == NULL || m->magic != API_MAGIC)
                return api_say(MTSHIM_INVALID, "this is no handle");
        if (bytes == NULL && count != 0)
                return api_say(MTSHIM_INVALID, "there are no keys where %zu were promised", count);
        for (size_t i = 0; i < count; i++)
                if (bytes[i].data == NULL && bytes[i].len != 0)
                        return api_say(MTSHIM_INVALID, "bytes at NULL, %zu of them", bytes[i].len);
        return MTSHIM_OK;
}

API_EXPORT void mtshim_free(void *data)
{
        free(data);
}

/* --------------------------------------------------------------------------------------------------- open and close */

API_EXPORT enum mtshim_status mtshim_configure(const char *name, const char *value)
{
        const char *why;

        if (name == NULL || value == NULL)
                return api_say(MTSHIM_INVALID, "an option has a name and a value");
        if (!runtime_is_new())
                return api_say(MTSHIM_INVALID, "%s: options have been read already", name);
        why = options_program(mt_bytes_of(name), mt_bytes_of(value));
        return why == NULL ? MTSHIM_OK : api_say(MTSHIM_INVALID, "%s='%s' %s", name, value, why);
}

/* The doors' machinery knows of each connection from its making on, as it does of a program's. */
static void api_made(void *arg, redisContext *context, const struct hiredis *h, uint64_t began_ns)
{
        struct mtshim     *m = arg;
        struct connection *c;

        runtime_check_uid();
        runtime_want_l1();
        c = connection_made(context, h, false, began_ns);
        if (c != NULL && m->tls != NULL)
                connection_secured(c, m->tls);
        mt_fetch_add_relaxed(&m->connections, 1);
}

static void api_gone(void *arg, redisContext *context)
{
        struct mtshim     *m = arg;
        struct connection *c = connection_find(context);

        if (c != NULL)
                connection_gone(c);
        mt_fetch_add_relaxed(&m->connections, (uint64_t)-1);
}

/* AUTH and SELECT: they are part of the session. */
static void *api_opening(void *arg, redisContext *context, int argc, const char **argv, const size_t *argvlen)
{
        struct connection *c = connection_find(context);

        (void)arg;
        return c != NULL ? request_forward_argv(c, argc, argv, argvlen, false) : NULL;
}

static bool api_password(void *arg, char *to, size_t room, size_t *len)
{
        struct mtshim *m = arg;

        *len = m->config.password(m->config.password_arg, to, room);
        return *len <= room;
}

/* What an older program has, and the defaults for the rest. */
static bool api_take_config(const struct mtshim_config *config, struct mtshim_config *taken)
{
        if (config == NULL || config->size < offsetof(struct mtshim_config, timeout_ms))
                return false;
        *taken = mtshim_defaults(config->server);
        memcpy(taken, config, config->size < sizeof *taken ? config->size : sizeof *taken);
        taken->size = sizeof *taken;
        return taken->server != NULL && taken->timeout_ms != 0;
}

static bool api_copy(char *to, size_t room, const char *from)
{
        return from == NULL || snprintf(to, room, "%s", from) < (int)room;
}

/* As a listener is to do it, which finds the server by the connections of this process. */
static const struct invalidation_tls *api_tls(const struct pool_config *pool)
{
        const struct pool_tls        *t = &pool->tls;
        const char                   *name = t->server_name != NULL ? t->server_name : pool->address.host;
        const struct invalidation_tls wanted = {.ca_file = t->ca_file,
                                                .cert_file = t->cert_file,
                                                .key_file = t->key_file,
                                                .server_name = name,
                                                .check_name = !t->unverified,
                                                .unverified = t->unverified};

        return pool->address.secured && runtime_ready() ? invalidation_tls_intern(&wanted) : NULL;
}

static enum mtshim_status api_open(struct mtshim *m)
{
        const struct mtshim_config *config = &m->config;
        struct pool_config          pool = {
                         .password_file = config->password_file,
                         .password = config->password != NULL ? api_password : NULL,
                         .tls = {.ca_file = config->tls_ca_file,
                                 .cert_file = config->tls_cert_file,
                                 .key_file = config->tls_key_file,
                                 .server_name = config->tls_server_name,
                                 .unverified = config->tls_unverified != 0},
                         .timeout_ms = config->timeout_ms,
                         .idle = config->idle,
                         .made = api_made,
                         .gone = api_gone,
                         .command = api_opening,
                         .arg = m,
        };
        const char *bad = redis_address_parse(config->server, &pool.address);
        char        why[POOL_WHY_MAX] = "";

        if (bad != NULL)
                return api_say(MTSHIM_INVALID, "server '%s': %s", config->server, bad);
        if (!api_copy(pool.address.user, sizeof pool.address.user, config->user))
                return api_say(MTSHIM_INVALID, "the user's name is too long");
        if (config->database != 0)
                pool.address.database = config->database;
        if (!runtime_ready()) /* MTSHIM_ENABLE=0: hiredis alone */
                pool.made = NULL, pool.gone = NULL, pool.command = NULL;
        m->database = pool.address.database;
        m->identity = mt_hash(pool.address.host, strlen(pool.address.host), (struct hash_key){{pool.address.port, 1}}) +
                      m->database;
        m->tls = api_tls(&pool);
        m->pool = pool_create(&pool, why);
        return m->pool != NULL ? MTSHIM_OK : api_say(MTSHIM_UNSUPPORTED, "%s", why);
}

API_EXPORT enum mtshim_status mtshim_open(const struct mtshim_config *config, struct mtshim **out)
{
        struct mtshim     *m;
        enum mtshim_status status;
        int                saved_errno = errno;

        if (out == NULL)
                return api_say(MTSHIM_INVALID, "there is no place for the handle");
        *out = NULL;
        m = calloc(1, sizeof *m);
        if (m == NULL)
                return api_say(MTSHIM_ERROR, "no memory");
        status = api_take_config(config, &m->config)
                         ? api_open(m)
                         : api_say(MTSHIM_INVALID,
                                   "the configuration was not made by mtshim_defaults(), names no server, "
                                   "or has no timeout");
        if (status == MTSHIM_OK) {
                m->magic = API_MAGIC;
                *out = m;
        } else {
                free(m);
        }
        errno = saved_errno;
        return status;
}

API_EXPORT void mtshim_close(struct mtshim **m)
{
        int saved_errno = errno;

        if (m == NULL || *m == NULL || (*m)->magic != API_MAGIC)
                return;
        if ((*m)->streams != NULL)
                redis_store_close((*m)->streams);
        pool_close((*m)->pool);
        (*m)->magic = 0;
        free(*m);
        *m = NULL;
        errno = saved_errno;
}

/* ------------------------------------------------------------------------------------------------------- calls */

enum mtshim_status api_begin(struct api_call *call, struct mtshim *m)
{
        char why[POOL_WHY_MAX];

        *call = (struct api_call){.m = m, .saved_errno = errno};
        if (runtime_forked())
                runtime_after_fork();
        if (pool_lend(m->pool, &call->loan) != MT_OK) {
                pool_why(m->pool, why);
                errno = call->saved_errno;
                return api_say(call->loan.trouble == POOL_REFUSED ? MTSHIM_REFUSED : MTSHIM_ERROR, "no connection: %s",
                               why);
        }
        call->h = call->loan.hiredis;
        call->c = connection_find(call->loan.context);
        return MTSHIM_OK;
}

void api_end(struct api_call *call)
{
        pool_return(call->m->pool, &call->loan, !call->broken);
        errno = call->saved_errno;
}

void *api_command(struct api_call *call, int argc, const char **argv, const size_t *argvlen)
{
        void *reply = call->c != NULL ? request_forward_argv(call->c, argc, argv, argvlen, false)
                                      : call->h->redisCommandArgv(call->loan.context, argc, argv, argvlen);

        call->broken |= reply == NULL;
        return reply;
}

void *api_get(struct api_call *call, struct mt_bytes key)
{
        const char *argv[] = {"GET", key.ptr};
        size_t      argvlen[] = {3, key.len};
        void       *reply = call->c != NULL ? request_get(call->c, key, "GET")
                                            : call->h->redisCommandArgv(call->loan.context, 2, argv, argvlen);

        call->broken |= reply == NULL;
        return reply;
}

bool api_raw(struct api_call *call, struct mt_bytes resp, unsigned replies, void (*f)(void *arg, const void *reply),
             void *arg)
{
        redisContext *context = call->loan.context;
        bool          good;

        if (call->c != NULL)
                connection_enter_hiredis(call->c);
        good = call->h->redisAppendFormattedCommand(context, resp.ptr, resp.len) == REDIS_OK;
        for (unsigned i = 0; good && i < replies; i++) {
                void *reply = NULL;

                good = call->h->redisGetReply(context, &reply) == REDIS_OK && reply != NULL;
                if (good)
                        f(arg, reply);
                if (reply != NULL)
                        call->h->freeReplyObject(reply);
        }
        if (call->c != NULL) {
                connection_leave_hiredis(call->c);
                if (good)
                        call->c->replied_ns = clock_coarse_ns();
        }
        call->broken |= !good;
        return good;
}

/* By the door's way: blocks of a hit are kept for the next one. */
void api_free(struct api_call *call, void *reply)
{
        struct recycle *here = recycle_here();

        if (reply == NULL)
                return;
        if (recycle_wants(here, &call->h->abi))
                recycle_give(here, reply, call->h->freeReplyObject);
        else
                call->h->freeReplyObject(reply);
}

enum mtshim_status api_status(struct api_call *call, const void *reply)
{
        const struct abi *abi = &call->h->abi;
        struct mt_bytes   words;

        if (reply == NULL)
                return api_say(MTSHIM_ERROR, "the connection broke: %s",
                               &ABI_FIELD(const char, call->loan.context, abi->err + ABI_CONTEXT_ERRSTR));
        if (abi_reply_type(reply) != ABI_REPLY_ERROR)
                return MTSHIM_OK;
        words = api_string(call, reply);
        return api_say(MTSHIM_REFUSED, "%.*s", (int)(words.len < 512 ? words.len : 512), words.ptr);
}

enum mtshim_status api_value(struct mt_bytes bytes, struct mtshim_value *value)
{
        value->data = malloc(bytes.len + 1);
        if (value->data == NULL)
                return api_say(MTSHIM_ERROR, "no memory for %zu bytes", bytes.len);
        memcpy(value->data, bytes.ptr, bytes.len);
        value->data[bytes.len] = '\0';
        value->len = bytes.len;
        return MTSHIM_OK;
}

API_EXPORT enum mtshim_status mtshim_health(struct mtshim *m)
{
        const char        *argv[] = {"PING"};
        const size_t       argvlen[] = {4};
        struct api_call    call;
        enum mtshim_status status = api_check(m, NULL, 0);
        void              *reply;

        if (status == MTSHIM_OK)
                status = api_begin(&call, m);
        if (status != MTSHIM_OK)
                return status;
        reply = api_command(&call, 1, argv, argvlen);
        status = api_status(&call, reply);
        api_free(&call, reply);
        api_end(&call);
        return status;
}
