/* sync.c - doors of the synchronous API: a command that waits for its reply. */
#include "door.h"

/* Any format. Out of the way of the common ones: it brings a kilobyte of scratch. */
static __attribute__((noinline)) void *sync_format(redisContext *context, const char *format, va_list ap,
                                                   const void *caller)
{
        char                  scratch[COMMAND_SCRATCH];
        struct connection    *c;
        const struct hiredis *h = door_open(context, caller, &c);
        struct mt_bytes       key;

        if (MT_UNLIKELY(h == NULL))
                return NULL;
        if (MT_UNLIKELY(c == NULL))
                return h->redisvCommand(context, format, ap);
        if (!command_get_format(format, ap, &key, scratch))
                return request_format(c, format, ap);
        return request_get(c, key, format + strspn(format, " "));
}

MT_EXPORT void *redisvCommand(redisContext *context, const char *format, va_list ap)
{
        return sync_format(context, format, ap, DOOR_CALLER());
}

MT_EXPORT void *redisCommand(redisContext *context, const char *format, ...)
{
        struct connection *c = connection_cached(context);
        const char        *key;
        va_list            ap, unseen; /* nobody else sees the second: taking its argument is one load */
        void              *reply;

        if (MT_LIKELY(c != NULL && !c->inside && command_get_plain(format))) {
                va_start(unseen, format);
                key = va_arg(unseen, const char *);
                va_end(unseen);
                return request_get(c, mt_bytes_of(key), format);
        }
        va_start(ap, format);
        reply = sync_format(context, format, ap, DOOR_CALLER());
        va_end(ap);
        return reply;
}

MT_EXPORT void *redisCommandArgv(redisContext *context, int argc, const char **argv, const size_t *argvlen)
{
        const struct hiredis *h;
        struct connection    *c;
        struct mt_bytes       key;

        h = door_open(context, DOOR_CALLER(), &c);
        if (MT_UNLIKELY(h == NULL))
                return NULL;
        if (MT_UNLIKELY(c == NULL))
                return h->redisCommandArgv(context, argc, argv, argvlen);
        if (!command_get_argv(argc, argv, argvlen, &key))
                return request_forward_argv(c, argc, argv, argvlen, false);
        return request_get(c, key, argv[0]);
}
