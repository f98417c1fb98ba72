/* pipeline.c - doors of the pipelined API: commands are appended, replies are taken later, in order. All are passed on
 * untouched; we count, and notice. redisBufferRead and redisBufferWrite need no door: they move bytes, not replies. */
#include "door.h"

#include "../connection/session.h"
#include "../runtime/runtime.h"

/* What the others are to be told follows at once. */
static MT_COLD void pipeline_announce(struct connection *c, bool sent)
{
        if (sent)
                announce_send(c, false);
        else
                announce_drop(c);
}

/* The real function has returned. */
static int pipeline_leave(struct connection *c, int rc)
{
        connection_leave_hiredis(c);
        if (rc != REDIS_OK)
                session_unsent(c);
        if (MT_UNLIKELY(c->announces))
                pipeline_announce(c, rc == REDIS_OK);
        return rc;
}

static int pipeline_format(redisContext *context, const char *format, va_list ap, const void *caller)
{
        struct connection    *c;
        const struct hiredis *h = door_open(context, caller, &c);

        if (h == NULL)
                return REDIS_ERR;
        if (c == NULL)
                return h->redisvAppendCommand(context, format, ap);
        request_note_format(c, format, ap);
        connection_enter_hiredis(c);
        return pipeline_leave(c, h->redisvAppendCommand(context, format, ap));
}

MT_EXPORT int redisvAppendCommand(redisContext *context, const char *format, va_list ap)
{
        return pipeline_format(context, format, ap, DOOR_CALLER());
}

MT_EXPORT int redisAppendCommand(redisContext *context, const char *format, ...)
{
        va_list ap;
        int     rc;

        va_start(ap, format);
        rc = pipeline_format(context, format, ap, DOOR_CALLER());
        va_end(ap);
        return rc;
}

MT_EXPORT int redisAppendCommandArgv(redisContext *context, int argc, const char **argv, const size_t *argvlen)
{
        struct connection    *c;
        const struct hiredis *h = door_open(context, DOOR_CALLER(), &c);

        if (h == NULL)
                return REDIS_ERR;
        if (c == NULL)
                return h->redisAppendCommandArgv(context, argc, argv, argvlen);
        request_note_argv(c, argc, argv, argvlen);
        connection_enter_hiredis(c);
        return pipeline_leave(c, h->redisAppendCommandArgv(context, argc, argv, argvlen));
}

static int pipeline_resp(redisContext *context, const char *resp, size_t len, const void *caller, bool internal)
{
        struct connection    *c;
        const struct hiredis *h = door_open(context, caller, &c);
        int (*f)(redisContext *, const char *, size_t);

        if (h == NULL)
                return REDIS_ERR;
        f = internal ? h->__redisAppendCommand : h->redisAppendFormattedCommand;
        if (c == NULL)
                return f(context, resp, len);
        if (MT_UNLIKELY(c->announces || runtime.below)) /* what goes in front of a command needs it by itself */
                return request_append_resp(c, resp, len, f);
        request_note_resp(c, resp, len);
        connection_enter_hiredis(c);
        return pipeline_leave(c, f(context, resp, len));
}

MT_EXPORT int redisAppendFormattedCommand(redisContext *context, const char *resp, size_t len)
{
        return pipeline_resp(context, resp, len, DOOR_CALLER(), false);
}

/* Exported by every version, declared by none: hiredis' own async part calls it. */
MT_EXPORT int __redisAppendCommand(redisContext *context, const char *resp, size_t len)
{
        return pipeline_resp(context, resp, len, DOOR_CALLER(), true);
}

MT_EXPORT int redisGetReply(redisContext *context, void **reply)
{
        struct connection    *c;
        const struct hiredis *h = door_open(context, DOOR_CALLER(), &c);

        if (h == NULL)
                return REDIS_ERR;
        if (c != NULL)
                return request_reply(c, reply, h->redisGetReply);
        guard.replies += guard_inside();
        return h->redisGetReply(context, reply);
}

MT_EXPORT int redisGetReplyFromReader(redisContext *context, void **reply)
{
        struct connection    *c;
        const struct hiredis *h = door_open(context, DOOR_CALLER(), &c);

        if (h == NULL)
                return REDIS_ERR;
        if (c != NULL)
                return request_reply(c, reply, h->redisGetReplyFromReader);
        return h->redisGetReplyFromReader(context, reply);
}
