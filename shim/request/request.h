/* request.h - what to do with a call: answer it, or pass it on and notice what it does. The whole policy. */
#ifndef MT_REQUEST_H
#define MT_REQUEST_H

#include "../connection/connection.h"

#include <errno.h>
#include <hiredis/hiredis.h>

/* Does the context make replies by hiredis' own functions? Others' objects are not ours to read, let alone to make. */
static inline bool request_default_reader(const struct connection *c)
{
        const struct abi *abi = &c->hiredis->abi;
        const void       *reader = ABI_CONTEXT(const void *const, abi, c->context, READER);

        return ABI_FIELD(const void *const, reader, abi->fn) == abi->default_fn;
}

/* A call of hiredis has failed, with this errno: because a time of the program's ran out (SO_RCVTIMEO), so that what
 * was asked may still be answered? */
static inline bool request_timed_out(const struct connection *c, int error)
{
        return ABI_CONTEXT(const int, &c->hiredis->abi, c->context, ERR) == REDIS_ERR_IO &&
               (error == EAGAIN || error == EWOULDBLOCK);
}

/* The reply that hiredis would have made of a hit. NULL: it went away meanwhile, or there is no memory. Of a hit that
 * l1_find() has not found: that one has a way of its own. */
void *request_build(const struct abi *abi, const struct l1_hit *hit);

/* A GET, for session_sent(): of what only reads the class is all that matters. */
extern const struct command request_a_get;

/* A GET of one key: what the call returns, from L1 or from Redis. verb: its three letters, as the program wrote them.
 * Passed on it is the same on the wire as in whatever form it was given. errno is kept where hiredis would not have set
 * it. */
void *request_get(struct connection *c, struct mt_bytes key, const char *verb);

/* Commands as redisvCommand() and redisCommandArgv() do them: noticed, passed on, their effect applied when the reply
 * comes. get: it is a GET that request_get() has left alone. */
void *request_forward_argv(struct connection *c, int argc, const char **argv, const size_t *argvlen, bool get);
/* A format that is not one of the common shapes of GET: another GET (its verb may be an argument), or any other
 * command. */
void *request_format(struct connection *c, const char *format, va_list ap);

/* Notice a command that is about to be appended or sent asynchronously. */
void request_note_format(struct connection *c, const char *format, va_list ap);
void request_note_argv(struct connection *c, int argc, const char **argv, const size_t *argvlen);
void request_note_resp(struct connection *c, const char *resp, size_t len);

/* Where writes are announced: append commands that are written out already, each with its announcement behind it. f is
 * the real function. */
int request_append_resp(struct connection *c, const char *resp, size_t len,
                        int (*f)(redisContext *, const char *, size_t));

/* redisGetReply or redisGetReplyFromReader, the reply noticed. f is the real one. */
int request_reply(struct connection *c, void **reply, int (*f)(redisContext *, void **));

#endif
