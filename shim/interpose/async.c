/* async.c - doors of the asynchronous API: passed on untouched, writes noticed.
 * Replies reach the program through redisAsyncHandleRead -> redisProcessCallbacks -> redisGetReply. Where that last call goes
 * through the PLT (Debian's builds) it comes to our door in pipeline.c, and each write is cleared before its callback runs.
 * Where it does not, what is outstanding is cleared around the whole of redisAsyncHandleRead. No GET of an asynchronous
 * context is answered here, so what is at stake is only how soon other connections of the program see its writes. */
#include "door.h"

#include "../connection/session.h"

/* Inside an async command hiredis appends through its own exports: those calls pass, the command was noticed here. */
static int async_format(redisAsyncContext *ac, redisCallbackFn *fn, void *privdata, const char *format, va_list ap,
                        const void *caller)
{
        struct connection    *c;
        const struct hiredis *h = door_open(ac, caller, &c);
        int                   rc;

        if (h == NULL || h->redisvAsyncCommand == NULL)
                return REDIS_ERR;
        guard_enter(h);
        if (c != NULL)
                request_note_format(c, format, ap);
        rc = h->redisvAsyncCommand(ac, fn, privdata, format, ap);
        if (c != NULL && rc != REDIS_OK)
                session_unsent(c);
        guard_leave();
        return rc;
}

MT_EXPORT int redisvAsyncCommand(redisAsyncContext *ac, redisCallbackFn *fn, void *privdata, const char *format, va_list ap)
{
        if (guard_inside())
                return guard.current->redisvAsyncCommand(ac, fn, privdata, format, ap);
        return async_format(ac, fn, privdata, format, ap, DOOR_CALLER());
}

MT_EXPORT int redisAsyncCommand(redisAsyncContext *ac, redisCallbackFn *fn, void *privdata, const char *format, ...)
{
        va_list ap;
        int     rc;

        va_start(ap, format);
        rc = guard_inside() ? guard.current->redisvAsyncCommand(ac, fn, privdata, format, ap) :
                              async_format(ac, fn, privdata, format, ap, DOOR_CALLER());
        va_end(ap);
        return rc;
}

MT_EXPORT int redisAsyncCommandArgv(redisAsyncContext *ac, redisCallbackFn *fn, void *privdata, int argc, const char **argv,
                                    const size_t *argvlen)
{
        const struct hiredis *h;
        struct connection    *c;
        int                   rc;

        if (guard_inside())
                return guard.current->redisAsyncCommandArgv(ac, fn, privdata, argc, argv, argvlen);
        h = door_open(ac, DOOR_CALLER(), &c);
        if (h == NULL)
                return REDIS_ERR;
        guard_enter(h);
        if (c != NULL)
                request_note_argv(c, argc, argv, argvlen);
        rc = h->redisAsyncCommandArgv(ac, fn, privdata, argc, argv, argvlen);
        if (c != NULL && rc != REDIS_OK)
                session_unsent(c);
        guard_leave();
        return rc;
}

MT_EXPORT int redisAsyncFormattedCommand(redisAsyncContext *ac, redisCallbackFn *fn, void *privdata, const char *resp,
                                         size_t len)
{
        const struct hiredis *h;
        struct connection    *c;
        int                   rc;

        if (guard_inside())
                return guard.current->redisAsyncFormattedCommand(ac, fn, privdata, resp, len);
        h = door_open(ac, DOOR_CALLER(), &c);
        if (h == NULL)
                return REDIS_ERR;
        guard_enter(h);
        if (c != NULL)
                request_note_resp(c, resp, len);
        rc = h->redisAsyncFormattedCommand(ac, fn, privdata, resp, len);
        if (c != NULL && rc != REDIS_OK)
                session_unsent(c);
        guard_leave();
        return rc;
}

/* Not under the guard: the callbacks are the program's, and may use any other context. The context may be freed inside. */
MT_EXPORT void redisAsyncHandleRead(redisAsyncContext *ac)
{
        const struct hiredis *h;
        struct connection    *c;

        if (guard_inside()) {
                guard.current->redisAsyncHandleRead(ac);
                return;
        }
        h = door_open(ac, DOOR_CALLER(), &c);
        if (h == NULL)
                return;
        if (c != NULL && !h->visible)
                session_clear_outstanding(c);
        h->redisAsyncHandleRead(ac);
        c = h->visible ? NULL : connection_find(ac);
        if (c != NULL) {
                session_failed(c); /* which of them were answered cannot be told */
                c->doubt |= DOUBT_UNKNOWN;
        }
}
