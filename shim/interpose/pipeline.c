/* pipeline.c - doors of the pipelined API: commands are appended, replies are taken later, in order. All are passed on
 * untouched; we count, and notice. redisBufferRead and redisBufferWrite need no door: they move bytes, not replies. */
#include "door.h"

#include "../connection/session.h"

static int pipeline_appended(struct connection *c, int rc)
{
        if (c != NULL && rc != REDIS_OK)
                session_unsent(c);
        return rc;
}

static int pipeline_format(redisContext *context, const char *format, va_list ap, const void *caller)
{
        struct connection    *c;
        const struct hiredis *h = door_open(context, caller, &c);
        int                   rc;

        if (h == NULL)
                return REDIS_ERR;
        guard_enter(h);
        if (c != NULL)
                request_note_format(c, format, ap);
        rc = pipeline_appended(c, h->redisvAppendCommand(context, format, ap));
        guard_leave();
        return rc;
}

MT_EXPORT int redisvAppendCommand(redisContext *context, const char *format, va_list ap)
{
        if (guard_inside())
                return guard.current->redisvAppendCommand(context, format, ap);
        return pipeline_format(context, format, ap, DOOR_CALLER());
}

MT_EXPORT int redisAppendCommand(redisContext *context, const char *format, ...)
{
        va_list ap;
        int     rc;

        va_start(ap, format);
        rc = guard_inside() ? guard.current->redisvAppendCommand(context, format, ap) :
                              pipeline_format(context, format, ap, DOOR_CALLER());
        va_end(ap);
        return rc;
}

MT_EXPORT int redisAppendCommandArgv(redisContext *context, int argc, const char **argv, const size_t *argvlen)
{
        const struct hiredis *h;
        struct connection    *c;
        int                   rc;

        if (guard_inside())
                return guard.current->redisAppendCommandArgv(context, argc, argv, argvlen);
        h = door_open(context, DOOR_CALLER(), &c);
        if (h == NULL)
                return REDIS_ERR;
        guard_enter(h);
        if (c != NULL)
                request_note_argv(c, argc, argv, argvlen);
        rc = pipeline_appended(c, h->redisAppendCommandArgv(context, argc, argv, argvlen));
        guard_leave();
        return rc;
}

static int pipeline_resp(redisContext *context, const char *resp, size_t len, const void *caller, bool internal)
{
        struct connection    *c;
        const struct hiredis *h = door_open(context, caller, &c);
        int                   rc;

        if (h == NULL)
                return REDIS_ERR;
        guard_enter(h);
        if (c != NULL)
                request_note_resp(c, resp, len);
        rc = internal ? h->__redisAppendCommand(context, resp, len) : h->redisAppendFormattedCommand(context, resp, len);
        pipeline_appended(c, rc);
        guard_leave();
        return rc;
}

MT_EXPORT int redisAppendFormattedCommand(redisContext *context, const char *resp, size_t len)
{
        if (guard_inside())
                return guard.current->redisAppendFormattedCommand(context, resp, len);
        return pipeline_resp(context, resp, len, DOOR_CALLER(), false);
}

/* Exported by every version, declared by none: hiredis' own async part calls it. */
MT_EXPORT int __redisAppendCommand(redisContext *context, const char *resp, size_t len)
{
        if (guard_inside())
                return guard.current->__redisAppendCommand(context, resp, len);
        return pipeline_resp(context, resp, len, DOOR_CALLER(), true);
}

MT_EXPORT int redisGetReply(redisContext *context, void **reply)
{
        const struct hiredis *h;
        struct connection    *c;
        int                   rc;

        if (guard_inside()) {
                guard.replies++;
                return guard.current->redisGetReply(context, reply);
        }
        h = door_open(context, DOOR_CALLER(), &c);
        if (h == NULL)
                return REDIS_ERR;
        guard_enter(h);
        rc = request_reply(h, c, context, reply, h->redisGetReply);
        guard_leave();
        return rc;
}

MT_EXPORT int redisGetReplyFromReader(redisContext *context, void **reply)
{
        const struct hiredis *h;
        struct connection    *c;
        int                   rc;

        if (guard_inside())
                return guard.current->redisGetReplyFromReader(context, reply);
        h = door_open(context, DOOR_CALLER(), &c);
        if (h == NULL)
                return REDIS_ERR;
        guard_enter(h);
        rc = request_reply(h, c, context, reply, h->redisGetReplyFromReader);
        guard_leave();
        return rc;
}
