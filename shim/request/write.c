/* write.c - everything that is not a GET answered here: noticed, passed on, and its effect applied before the program
 * sees the reply. */
#include "request.h"

#include "through.h"

#include "../connection/session.h"
#include "../runtime/runtime.h"

#include "../../l1/base/assert.h"

#include <errno.h>
#include <sys/socket.h>

/* ------------------------------------------------------------------------------------------------- noticing */

/* Words of these are passwords. */
static bool write_is_secret(enum command_class class)
{
        return class == COMMAND_AUTH || class == COMMAND_HELLO || class == COMMAND_RIGHTS;
}

/* True: there are passwords in it. */
static bool write_note_resp(struct connection *c, const char *resp, size_t len)
{
        struct mt_bytes left = mt_bytes(resp, len);
        bool            secret = false;

        while (left.len > 0) {
                struct command     command;
                size_t             used = 0;
                enum command_parse parse = command_from_resp(&command, left, &used);

                c->below.behind = left.ptr != resp;
                session_sent(c, parse, &command);
                c->below.behind = false;
                if (parse != COMMAND_OK)
                        break;
                secret |= write_is_secret(command.class);
                MT_ASSERT(used > 0 && used <= left.len);
                left = mt_bytes(left.ptr + used, left.len - used);
        }
        return secret;
}

/* A format that we do not follow ourselves: hiredis writes it out, and we read that. */
static void write_note_by_hiredis(struct connection *c, const char *format, va_list ap)
{
        char *resp = NULL;
        int   len = c->hiredis->redisvFormatCommand(&resp, format, ap);

        if (len < 0) {
                session_sent(c, COMMAND_MALFORMED, NULL);
                return;
        }
        if (write_note_resp(c, resp, (size_t)len))
                explicit_bzero(resp, (size_t)len);
        c->hiredis->redisFreeCommand(resp);
}

/* Of a command that only reads, its class is all that matters: whatever its words are, even if hiredis refuses them. */
static const struct command write_a_read = {.class = COMMAND_READ};
const struct command        request_a_get = {.class = COMMAND_GET};

static bool write_note_read(struct connection *c, bool reads)
{
        if (reads)
                session_sent(c, COMMAND_OK, &write_a_read);
        return reads;
}

void request_note_format(struct connection *c, const char *format, va_list ap)
{
        struct command     command;
        enum command_parse parse;
        va_list            look;

        if (write_note_read(c, command_reads_format(format)))
                return;
        va_copy(look, ap);
        parse = command_from_format(&command, format, look);
        va_end(look);
        if (MT_LIKELY(parse != COMMAND_FORMAT)) {
                session_sent(c, parse, &command);
                return;
        }
        va_copy(look, ap);
        write_note_by_hiredis(c, format, look);
        va_end(look);
}

void request_note_argv(struct connection *c, int argc, const char **argv, const size_t *argvlen)
{
        struct command     command;
        enum command_parse parse;

        if (write_note_read(c, command_reads_argv(argc, argv, argvlen)))
                return;
        parse = command_from_argv(&command, argc, argv, argvlen);
        session_sent(c, parse, &command);
}

void request_note_resp(struct connection *c, const char *resp, size_t len)
{
        write_note_resp(c, resp, len);
}

/* ---------------------------------------------------------------------------------------------- passing on */

static bool write_is_push(const struct connection *c, const void *reply)
{
        return c->hiredis->abi.letter == 'B' && abi_reply_type(reply) == ABI_REPLY_PUSH;
}

static uint64_t write_enter(struct connection *c, bool get)
{
        if (c->l1 != NULL && !get)
                l1_count(c->l1, COUNTER_forwarded, 1);
        connection_enter_hiredis(c);
        return runtime_waits();
}

/* A call that sent a command and waited for a reply has returned. A non-blocking context returns NULL without an error.
 */
static void *write_answered(struct connection *c, uint64_t began_ns, void *reply)
{
        int saved_errno = errno;

        connection_leave_hiredis(c);
        runtime_waited(began_ns);
        if (reply == NULL) {
                if (ABI_CONTEXT(int, &c->hiredis->abi, c->context, ERR) != 0) {
                        session_failed(c);
                        if ((c->doubt & DOUBT_UNKNOWN) == 0)
                                c->doubt |= DOUBT_FAILED;
                        c->doubt |= DOUBT_UNKNOWN; /* if the program reads on, replies are to what came before */
                }
        } else if (!request_default_reader(c)) {
                session_failed(c);
        } else if (!write_is_push(c, reply)) {
                session_replied(c, reply);
        }
        errno = saved_errno;
        return reply;
}

/* -------------------------------------------------------------------------------------- announced (announce.h) */

/* Is what is held back still waiting? hiredis itself takes what it has a callback for, the audit's last. What is asked
 * for our own sake belongs to the command behind it. */
static bool write_waits(struct connection *c)
{
        const uint32_t later = ANNOUNCE_DELIVER | ANNOUNCE_AUDIT;
        uint32_t       flags;

        return session_announced_next(c, &flags) && (flags & later) != later && !(flags & ANNOUNCE_OURS);
}

static int write_give(struct connection *c, void **reply)
{
        *reply = c->announce.held;
        c->announce.held = NULL;
        c->announce.ready = false;
        return REDIS_OK;
}

/* What was held goes to the program now, and this with the next call. */
static int write_give_before(struct connection *c, void **reply, void *next)
{
        *reply = c->announce.held;
        c->announce.held = next;
        c->announce.ready = next != NULL;
        return REDIS_OK;
}

/* Has the time to wait for a reply run out, and may it still come? Then what is owed and what is held stay as they are.
 * A context that had an error before is not read from: what has failed now says nothing. */
static MT_COLD bool write_is_late(struct connection *c, int err_before, int error)
{
        struct announce *a = &c->announce;

        if (err_before != 0)
                return a->late;
        a->late = request_timed_out(c, error);
        if (a->late)
                session_late(c);
        return a->late;
}

static void write_swallow(struct connection *c, void *reply)
{
        int saved_errno = errno;

        c->hiredis->freeReplyObject(reply);
        errno = saved_errno;
}

/* What comes next is an error: the connection is over, as if the server had closed it. */
static MT_COLD void write_break(struct connection *c)
{
        c->below.late = false;
        shutdown(ABI_CONTEXT(int, &c->hiredis->abi, c->context, FD), SHUT_RDWR);
}

/* No reply was to be had, or one that is not ours to read. An error that is held was the server's last word ("max
 * number of clients reached"): the program would have had it. */
static MT_COLD int write_ends(struct connection *c, void **reply, int rc, int err_before)
{
        int   saved_errno = errno;
        void *held = c->announce.held;

        if (rc != REDIS_OK && write_is_late(c, err_before, saved_errno)) {
                errno = saved_errno;
                return rc;
        }
        session_failed(c);
        c->announce.held = NULL;
        c->announce.ready = false;
        if (rc != REDIS_OK && held != NULL && abi_reply_type(held) == ABI_REPLY_ERROR) {
                *reply = held;
                rc = REDIS_OK;
        } else if (held != NULL) {
                c->hiredis->freeReplyObject(held);
        }
        errno = saved_errno;
        return rc;
}

/* The next reply for the program, where replies to announcements are among them: redisGetReply() and its kin. A write's
 * is held back until its announcement's has come; if that does not come any more the program sees an error, since what
 * it takes for acknowledged must be known to others. An out-of-band message of RESP3 that comes in between, on a
 * context that has no callback for it, goes behind the write's: that is the one reply that does not wait. */
static int write_take(struct connection *c, void **reply, int (*f)(redisContext *, void **))
{
        struct announce *a = &c->announce;

        *reply = NULL;
        for (;;) {
                void    *taken = NULL;
                uint32_t flags = 0;
                int      err_before, rc;
                bool     announced;

                if (a->held != NULL && (a->ready || !write_waits(c)))
                        return write_give(c, reply);
                err_before = ABI_CONTEXT(const int, &c->hiredis->abi, c->context, ERR);
                connection_enter_hiredis(c);
                rc = f(c->context, &taken);
                connection_leave_hiredis(c);
                if (rc != REDIS_OK || (taken != NULL && !request_default_reader(c))) {
                        *reply = taken;
                        return write_ends(c, reply, rc, err_before);
                }
                if (taken == NULL) /* nothing has come yet */
                        return REDIS_OK;
                if (write_is_push(c, taken)) {
                        if (a->held != NULL)
                                return write_give_before(c, reply, taken);
                        *reply = taken;
                        return REDIS_OK;
                }
                announced = session_announced_next(c, &flags);
                session_replied_announced(c, taken);
                if (MT_UNLIKELY(c->below.late)) { /* below.h: the program must not believe in it */
                        write_swallow(c, taken);
                        write_break(c);
                        continue;
                }
                if (announced && !(flags & ANNOUNCE_DELIVER)) {
                        write_swallow(c, taken);
                } else if (announced && a->held != NULL) {
                        return write_give_before(c, reply, taken);
                } else if (!announced && write_waits(c)) {
                        a->held = taken;
                } else {
                        *reply = taken;
                        return REDIS_OK;
                }
        }
}

/* The rest of a call that waits for its reply; rc says whether its command was appended. */
static void *write_round(struct connection *c, uint64_t began_ns, int rc)
{
        void *reply = NULL;
        int   saved_errno = errno;

        connection_leave_hiredis(c);
        if (rc == REDIS_OK) {
                announce_send(c, false);
                if (ABI_CONTEXT(const int, &c->hiredis->abi, c->context, FLAGS) & REDIS_BLOCK) {
                        write_take(c, &reply, c->hiredis->redisGetReply);
                        saved_errno = errno;
                }
        } else {
                announce_drop(c);
                session_unsent(c);
        }
        runtime_waited(began_ns);
        errno = saved_errno;
        return reply;
}

int request_append_resp(struct connection *c, const char *resp, size_t len,
                        int (*f)(redisContext *, const char *, size_t))
{
        struct mt_bytes left = mt_bytes(resp, len);

        do {
                struct command     command;
                size_t             used = 0;
                enum command_parse parse = command_from_resp(&command, left, &used);
                int                rc;

                session_sent(c, parse, &command);
                if (parse != COMMAND_OK)
                        used = left.len;
                connection_enter_hiredis(c);
                rc = f(c->context, left.ptr, used);
                connection_leave_hiredis(c);
                if (rc != REDIS_OK) {
                        session_unsent(c);
                        announce_drop(c);
                        return rc;
                }
                announce_send(c, false);
                left = mt_bytes(left.ptr + used, left.len - used);
        } while (left.len > 0);
        return REDIS_OK;
}

/* ---------------------------------------------------------------------------------------------- passing on */

/* Noticed already. */
static void *write_send(struct connection *c, const char *format, va_list ap)
{
        uint64_t began_ns = write_enter(c, false);

        if (MT_UNLIKELY(c->announces))
                return write_round(c, began_ns, c->hiredis->redisvAppendCommand(c->context, format, ap));
        return write_answered(c, began_ns, c->hiredis->redisvCommand(c->context, format, ap));
}

static MT_COLD void *write_through(struct connection *c, const struct command *command, const char *format, va_list ap)
{
        struct through through;
        void          *reply;

        through_begin(&through, c, command);
        session_sent(c, COMMAND_OK, command);
        reply = write_send(c, format, ap);
        if (through.on)
                through_end(&through, c, reply);
        return reply;
}

/* As hiredis writes it out: a shape that we do not follow ourselves. */
static bool write_get_formatted(struct connection *c, const char *format, va_list ap, void **reply)
{
        struct command command;
        char          *resp = NULL;
        size_t         used = 0;
        int            len = c->hiredis->redisvFormatCommand(&resp, format, ap);
        bool           done = false;

        if (len < 0)
                return false;
        if (command_from_resp(&command, mt_bytes(resp, (size_t)len), &used) == COMMAND_OK && used == (size_t)len) {
                if (command.class == COMMAND_GET) {
                        *reply = request_get(c, command_word(&command, 1), command_word(&command, 0).ptr);
                        done = true;
                } else if (write_is_secret(command.class)) {
                        explicit_bzero(resp, (size_t)len);
                }
        }
        c->hiredis->redisFreeCommand(resp);
        return done;
}

void *request_format(struct connection *c, const char *format, va_list ap)
{
        struct command     command;
        enum command_parse parse;
        va_list            look;

        if (write_note_read(c, command_reads_format(format)))
                return write_send(c, format, ap);
        va_copy(look, ap);
        parse = command_from_format(&command, format, look);
        va_end(look);
        if (MT_UNLIKELY(parse == COMMAND_FORMAT)) {
                void *reply;
                bool  done;

                va_copy(look, ap);
                done = write_get_formatted(c, format, look, &reply);
                va_end(look);
                if (done)
                        return reply;
                request_note_format(c, format, ap);
                return write_send(c, format, ap);
        }
        if (parse == COMMAND_OK && command.class == COMMAND_GET)
                return request_get(c, command_word(&command, 1), command_word(&command, 0).ptr);
        if (MT_UNLIKELY(runtime.below) && parse == COMMAND_OK)
                return write_through(c, &command, format, ap);
        session_sent(c, parse, &command);
        return write_send(c, format, ap);
}

static void *write_send_argv(struct connection *c, int argc, const char **argv, const size_t *argvlen, bool get)
{
        uint64_t began_ns = write_enter(c, get);

        if (MT_UNLIKELY(c->announces))
                return write_round(c, began_ns, c->hiredis->redisAppendCommandArgv(c->context, argc, argv, argvlen));
        return write_answered(c, began_ns, c->hiredis->redisCommandArgv(c->context, argc, argv, argvlen));
}

static MT_COLD void *write_through_argv(struct connection *c, int argc, const char **argv, const size_t *argvlen)
{
        struct command     command;
        enum command_parse parse = command_from_argv(&command, argc, argv, argvlen);
        struct through     through = {.on = false};
        void              *reply;

        if (parse == COMMAND_OK)
                through_begin(&through, c, &command);
        session_sent(c, parse, &command);
        reply = write_send_argv(c, argc, argv, argvlen, false);
        if (through.on)
                through_end(&through, c, reply);
        return reply;
}

void *request_forward_argv(struct connection *c, int argc, const char **argv, const size_t *argvlen, bool get)
{
        if (MT_UNLIKELY(runtime.below) && !get && !command_reads_argv(argc, argv, argvlen))
                return write_through_argv(c, argc, argv, argvlen);
        if (get)
                session_sent(c, COMMAND_OK, &request_a_get);
        else
                request_note_argv(c, argc, argv, argvlen);
        return write_send_argv(c, argc, argv, argvlen, get);
}

/* ------------------------------------------------------------------------------------------------- replies */

/* Replies of the program's own making are not ours to read: they end everything that is owed, and a session whose
 * changes went unseen is not known any more. */
int request_reply(struct connection *c, void **reply, int (*f)(redisContext *, void **))
{
        void *taken = NULL;
        bool  ours = request_default_reader(c);
        int   rc, saved_errno;

        if (MT_UNLIKELY(c->announces) && (ours || reply != NULL)) {
                rc = write_take(c, &taken, f);
                if (reply != NULL)
                        *reply = taken;
                else if (taken != NULL)
                        c->hiredis->freeReplyObject(taken);
                return rc;
        }
        connection_enter_hiredis(c);
        rc = f(c->context, ours || reply != NULL ? &taken : NULL);
        connection_leave_hiredis(c);
        saved_errno = errno;
        if (rc != REDIS_OK)
                c->doubt |= DOUBT_UNKNOWN;
        if (rc != REDIS_OK || !ours)
                session_failed(c);
        else if (taken != NULL && !write_is_push(c, taken))
                session_replied(c, taken);
        if (reply != NULL)
                *reply = taken;
        else if (taken != NULL)
                c->hiredis->freeReplyObject(taken);
        errno = saved_errno;
        return rc;
}
