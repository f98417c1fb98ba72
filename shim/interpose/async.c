/* async.c - doors of the asynchronous API: passed on untouched, writes noticed.
 * Replies reach the program through redisAsyncHandleRead -> redisProcessCallbacks -> redisGetReply. Where that last
 * call goes through the PLT (Debian's builds) it comes to our door in pipeline.c, and each write is cleared before its
 * callback runs. Where it does not, what is outstanding is cleared around the whole of redisAsyncHandleRead. No GET of
 * an asynchronous context is answered here, so what is at stake is only how soon other connections of the program see
 * its writes. */
#include "door.h"

#include "../connection/session.h"

/* What the others are to be told is a command like the program's, with no callback. The door of redisGetReply hands on
 * the write's reply when this one's has come, where hiredis comes to that door; elsewhere the program's callback may
 * run a moment before. */
static MT_COLD void async_announce(struct connection *c, bool sent)
{
        if (sent)
                announce_send(c, true);
        else
                announce_drop(c);
}

/* Inside an async command hiredis appends through its own exports: those calls pass, the command was noticed here. The
 * program's event library is told to listen for writes from inside; what that does is the program's own. */
static int async_sent(struct connection *c, int rc)
{
        connection_leave_hiredis(c);
        if (rc != REDIS_OK)
                session_unsent(c);
        if (MT_UNLIKELY(c->announces))
                async_announce(c, rc == REDIS_OK);
        return rc;
}

static int async_format(redisAsyncContext *ac, redisCallbackFn *fn, void *privdata, const char *format, va_list ap,
                        const void *caller)
{
        struct connection    *c;
        const struct hiredis *h = door_open(ac, caller, &c);

        if (h == NULL || h->redisvAsyncCommand == NULL)
                return REDIS_ERR;
        if (c == NULL)
                return h->redisvAsyncCommand(ac, fn, privdata, format, ap);
        c->below.async = true;
        request_note_format(c, format, ap);
        connection_enter_hiredis(c);
        return async_sent(c, h->redisvAsyncCommand(ac, fn, privdata, format, ap));
}

MT_EXPORT int redisvAsyncCommand(redisAsyncContext *ac, redisCallbackFn *fn, void *privdata, const char *format,
                                 va_list ap)
{
        return async_format(ac, fn, privdata, format, ap, DOOR_CALLER());
}

MT_EXPORT int redisAsyncCommand(redisAsyncContext *ac, redisCallbackFn *fn, void *privdata, const char *format, ...)
{
        va_list ap;
        int     rc;

        va_start(ap, format);
        rc = async_format(ac, fn, privdata, format, ap, DOOR_CALLER());
        va_end(ap);
        return rc;
}

MT_EXPORT int redisAsyncCommandArgv(redisAsyncContext *ac, redisCallbackFn *fn, void *privdata, int argc,
                                    const char **argv, const size_t *argvlen)
{
        struct connection    *c;
        const struct hiredis *h = door_open(ac, DOOR_CALLER(), &c);

        if (h == NULL)
                return REDIS_ERR;
        if (c == NULL)
                return h->redisAsyncCommandArgv(ac, fn, privdata, argc, argv, argvlen);
        c->below.async = true;
        request_note_argv(c, argc, argv, argvlen);
        connection_enter_hiredis(c);
        return async_sent(c, h->redisAsyncCommandArgv(ac, fn, privdata, argc, argv, argvlen));
}

MT_EXPORT int redisAsyncFormattedCommand(redisAsyncContext *ac, redisCallbackFn *fn, void *privdata, const char *resp,
                                         size_t len)
{
        struct connection    *c;
        const struct hiredis *h = door_open(ac, DOOR_CALLER(), &c);

        if (h == NULL)
                return REDIS_ERR;
        if (c == NULL)
                return h->redisAsyncFormattedCommand(ac, fn, privdata, resp, len);
        c->below.async = true;
        request_note_resp(c, resp, len);
        connection_enter_hiredis(c);
        return async_sent(c, h->redisAsyncFormattedCommand(ac, fn, privdata, resp, len));
}

/* Not marked as inside: the callbacks are the program's, and may use any context, this one too. The context may be
 * freed inside. */
MT_EXPORT void redisAsyncHandleRead(redisAsyncContext *ac)
{
        struct connection    *c;
        const struct hiredis *h = door_open(ac, DOOR_CALLER(), &c);

        if (h == NULL)
                return;
        if (c != NULL && !h->visible)
                session_clear_outstanding(c);
        h->redisAsyncHandleRead(ac);
        c = h->visible ? NULL : connection_find(ac);
        if (c != NULL) {
                session_forget(c); /* which of them were answered cannot be told */
                c->doubt |= DOUBT_UNKNOWN;
        }
}
