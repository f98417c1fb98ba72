/* sync.c - doors of the synchronous API: a command that waits for its reply. */
#include "door.h"

static inline void *sync_format(redisContext *context, const char *format, va_list ap, const void *caller)
{
        char                  scratch[COMMAND_SCRATCH];
        struct connection    *c;
        const struct hiredis *h = door_open(context, caller, &c);
        struct mt_bytes       key;
        void                 *reply;

        if (MT_UNLIKELY(h == NULL))
                return NULL;
        guard_enter(h);
        if (MT_UNLIKELY(c == NULL))
                reply = request_forward_format(h, c, context, format, ap);
        else if (!command_get_format(format, ap, &key, scratch))
                reply = request_format(h, c, context, format, ap);
        else if (!request_get(c, key, &reply))
                reply = request_forward_format(h, c, context, format, ap);
        guard_leave();
        return reply;
}

MT_EXPORT void *redisvCommand(redisContext *context, const char *format, va_list ap)
{
        if (guard_inside())
                return guard.current->redisvCommand(context, format, ap);
        return sync_format(context, format, ap, DOOR_CALLER());
}

MT_EXPORT void *redisCommand(redisContext *context, const char *format, ...)
{
        va_list ap;
        void   *reply;

        va_start(ap, format);
        reply = guard_inside() ? guard.current->redisvCommand(context, format, ap) :
                                 sync_format(context, format, ap, DOOR_CALLER());
        va_end(ap);
        return reply;
}

MT_EXPORT void *redisCommandArgv(redisContext *context, int argc, const char **argv, const size_t *argvlen)
{
        const struct hiredis *h;
        struct connection    *c;
        struct mt_bytes       key;
        void                 *reply;

        if (guard_inside())
                return guard.current->redisCommandArgv(context, argc, argv, argvlen);
        h = door_open(context, DOOR_CALLER(), &c);
        if (MT_UNLIKELY(h == NULL))
                return NULL;
        guard_enter(h);
        if (MT_UNLIKELY(c == NULL) || !command_get_argv(argc, argv, argvlen, &key) || !request_get(c, key, &reply))
                reply = request_forward_argv(h, c, context, argc, argv, argvlen);
        guard_leave();
        return reply;
}
