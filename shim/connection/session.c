/* session.c - effects of commands.
 *
 *   class            when sent               when answered (QUEUED in MULTI: kept, applied at EXEC)
 *   WRITE            -                       its keys are cleared in L1
 *   SCRIPT           -                       the same, and a barrier: it may have written others
 *   OPAQUE, UNKNOWN  -                       barrier
 *   FLUSH, SWAPDB    -                       flush
 *   SELECT, AUTH ..  -                       the session changes if it was accepted; not known if no answer came
 *   RIGHTS           -                       flush, whoever's rights they are
 *   SUBSCRIBE, MONITOR, CLIENT REPLY         doubted for life: replies are no longer one to one
 *
 * Why at the reply and before the program sees it: cleared at sending, another thread could fill the old value between
 * then and the write; not cleared before the program sees the reply, its next GET could be answered with the old value.
 * A fill that began before the write has its PENDING cleared here, one that begins after asks a server that has
 * written. */
#include "session.h"

#include "rights.h"

#include "../runtime/runtime.h"

#include "../../invalidation/invalidation.h"
#include "../../l1/base/assert.h"
#include "../../l1/base/fault.h"

#include <strings.h>

struct session_keys {
        struct connection *connection;
        bool               whole; /* false: a key could not be noted */
};

static void session_add_key(void *arg, struct mt_bytes key)
{
        struct session_keys *keys = arg;
        struct connection   *c = keys->connection;

        if (keys->whole)
                keys->whole = owed_add(&c->queue, l1_hash(c->l1, c->server_index, key));
}

/* ------------------------------------------------------------------------------------------------ when sent */

static bool session_number(struct mt_bytes word, uint32_t *number)
{
        uint32_t value = 0;

        if (word.len == 0 || word.len > 9)
                return false;
        for (size_t i = 0; i < word.len; i++) {
                if (word.ptr[i] < '0' || word.ptr[i] > '9')
                        return false;
                value = value * 10 + (uint32_t)(word.ptr[i] - '0');
        }
        *number = value;
        return true;
}

static bool session_word_is(const struct command *command, uint32_t i, const char *upper)
{
        struct mt_bytes word = command_word(command, i);

        return word.len == strlen(upper) && strncasecmp(word.ptr, upper, word.len) == 0;
}

enum { SESSION_SECRET_NONE, SESSION_SECRET_HELD, SESSION_SECRET_LOST };

static uint32_t session_hold_secret(struct connection *c, bool has_user, struct mt_bytes user, struct mt_bytes password)
{
        if (c->secret.held || user.len >= OWED_SECRET_MAX || password.len >= OWED_SECRET_MAX)
                return SESSION_SECRET_LOST;
        owed_secret_hold(&c->secret, has_user, user, password);
        return SESSION_SECRET_HELD;
}

/* AUTH [user] password */
static uint32_t session_auth_secret(struct connection *c, const struct command *command)
{
        switch (command->argc) {
        case 2: return session_hold_secret(c, false, mt_bytes_of("default"), command_word(command, 1));
        case 3: return session_hold_secret(c, true, command_word(command, 1), command_word(command, 2));
        default: return SESSION_SECRET_LOST;
        }
}

/* HELLO [version [AUTH user password] [SETNAME name] ...]: an option that we do not know has we know not how many
 * words, so an AUTH that may stand behind it counts as one that was lost. Two of them count as lost too: the server
 * goes by the last, and if that fails it depends on the version whether the first has taken effect. */
static uint32_t session_hello_secret(struct connection *c, const struct command *command)
{
        uint32_t at = 0;

        for (uint32_t i = 2; i < command->argc; i += 2) {
                if (session_word_is(command, i, "AUTH") && at == 0)
                        at = i++;
                else if (!session_word_is(command, i, "SETNAME"))
                        return SESSION_SECRET_LOST;
        }
        if (at == 0)
                return SESSION_SECRET_NONE;
        if (at + 2 >= command->argc)
                return SESSION_SECRET_LOST;
        return session_hold_secret(c, true, command_word(command, at + 1), command_word(command, at + 2));
}

/* CONFIG SET name value [name value ...] of other things than passwords reads, as far as L1 is concerned. */
MT_COLD static enum command_class session_rights_class(const struct command *command)
{
        if (!session_word_is(command, 0, "CONFIG"))
                return COMMAND_RIGHTS;
        for (uint32_t i = 2; i < command->argc; i += 2)
                if (session_word_is(command, i, "REQUIREPASS"))
                        return COMMAND_RIGHTS;
        return COMMAND_READ;
}

/* Of a command whose words may be passwords: nothing of them stays on the program's stack. */
MT_COLD static uint32_t session_secret(struct connection *c, const struct command *command)
{
        uint32_t secret = SESSION_SECRET_NONE;

        if (command->class == COMMAND_AUTH)
                secret = session_auth_secret(c, command);
        else if (command->class == COMMAND_HELLO)
                secret = session_hello_secret(c, command);
        command_wipe(command);
        return secret;
}

static MT_INLINE uint32_t session_argument(struct connection *c, const struct command *command)
{
        uint32_t database;

        switch (command->class) {
        case COMMAND_SELECT:
                return command->argc == 2 && session_number(command_word(command, 1), &database) ? database + 1 : 0;
        case COMMAND_HELLO:
        case COMMAND_AUTH:
        case COMMAND_RIGHTS: return session_secret(c, command);
        case COMMAND_UNKNOWN: return memchr(command_word(command, 0).ptr, '.', command_word(command, 0).len) != NULL;
        default: return 0;
        }
}

static bool session_writes(enum command_class class)
{
        return class == COMMAND_WRITE || class == COMMAND_SCRIPT;
}

static bool session_may_write(enum command_class class)
{
        return session_writes(class) || class == COMMAND_OPAQUE || class == COMMAND_UNKNOWN ||
               class == COMMAND_FLUSHDB || class == COMMAND_FLUSHALL || class == COMMAND_SWAPDB;
}

static void session_touch(struct connection *c, enum command_class class, const uint64_t *hash, uint32_t count);

/* No room to remember what is owed: it counts as lost, and from here on keys are cleared when they are sent. Where
 * announcements are among it, it is remembered nonetheless: their replies must not reach the program. */
static void session_overflow(struct connection *c)
{
        if (!c->announces)
                session_failed(c);
        announce_lose_order(c);
        c->doubt |= DOUBT_UNKNOWN | DOUBT_STREAM;
}

/* Queue the effect. Keys that cannot be told, or noted, or hashed (the process has no L1 yet, and may have one by the
 * time of the answer), make it one that may have written anything. */
static MT_INLINE void session_push(struct connection *c, enum command_class class, uint32_t argument,
                                   const struct command *command)
{
        struct session_keys keys = {.connection = c, .whole = true};

        if (!owed_begin(&c->queue, class, argument)) {
                session_overflow(c);
                return;
        }
        c->owed++;
        c->wrote |= session_may_write(class);
        if (!session_writes(class))
                return;
        if (connection_server(c) && command_each_key(command, session_add_key, &keys) && keys.whole)
                return;
        owed_drop_last(&c->queue);
        if (!owed_begin(&c->queue, COMMAND_OPAQUE, 0))
                session_overflow(c);
}

/* What the others are to be told. Of bytes that are no command anything may come. */
static MT_COLD void session_announce(struct connection *c, enum command_parse parse, const struct command *command)
{
        if (parse == COMMAND_OK) {
                announce_note(c, command->class, command);
                return;
        }
        if (c->announce.form == ANNOUNCE_NONE)
                return;
        announcement_all(&c->announce.what);
        c->announce.pending = true;
        announce_lose_order(c);
}

/* Where replies are no longer one to one: of the last command, which will never be known to be answered. What came
 * before is answered still. */
static MT_COLD void session_apply_last(struct connection *c)
{
        struct owed_row row;

        if (!owed_last(&c->queue, &row))
                return;
        session_touch(c, row.class, row.hash, row.count);
        if (MT_UNLIKELY(runtime.below))
                below_never(c);
        owed_drop_last(&c->queue);
        c->owed--;
}

bool session_announcing(struct connection *c, uint32_t argument)
{
        if (!owed_begin(&c->queue, COMMAND_ANNOUNCE, argument)) {
                session_overflow(c);
                return false;
        }
        c->owed++;
        c->announce.queued = true;
        return true;
}

void session_late_own(struct connection *c)
{
        if (!c->announces) {
                c->announces = true;
                c->announce.form = ANNOUNCE_NONE;
        }
        c->announce.late = true;
        session_announcing(c, ANNOUNCE_OURS);
}

/* Where writes are announced. What is owed is never thrown away while its replies may come: announcements are among it.
 */
static MT_COLD void session_sent_announced(struct connection *c, enum command_parse parse,
                                           const struct command *command)
{
        enum command_class class = parse == COMMAND_OK ? command->class : COMMAND_UNKNOWN;
        uint32_t owed = c->owed;

        c->announce.queued = false;
        session_announce(c, parse, command);
        switch (class) {
        case COMMAND_SUBSCRIBE:
        case COMMAND_MONITOR:
        case COMMAND_CLIENT_REPLY: c->doubt |= DOUBT_STREAM; return;
        case COMMAND_CLIENT_TRACKING: c->doubt |= DOUBT_TRACKING; break;
        case COMMAND_RIGHTS: class = session_rights_class(command); break;
        default: break;
        }
        session_push(c, class, parse == COMMAND_OK ? session_argument(c, command) : 0, command);
        c->announce.queued = c->owed > owed && !(c->doubt & DOUBT_STREAM);
        if (c->doubt & DOUBT_STREAM && c->owed > owed)
                session_apply_last(c);
}

void session_sent(struct connection *c, enum command_parse parse, const struct command *command)
{
        enum command_class class = parse == COMMAND_OK ? command->class : COMMAND_UNKNOWN;

        if (parse == COMMAND_MALFORMED)
                c->doubt |=
                        DOUBT_UNKNOWN; /* hiredis refuses it, or the server may answer anything, any number of times */
        if (MT_UNLIKELY(runtime.below) && parse == COMMAND_OK)
                below_sent(c, command);
        if (MT_UNLIKELY(c->announces)) {
                session_sent_announced(c, parse, command);
                return;
        }
        switch (class) {
        case COMMAND_SUBSCRIBE:
        case COMMAND_MONITOR:
        case COMMAND_CLIENT_REPLY:
                session_failed(c);
                c->doubt |= DOUBT_STREAM;
                return;
        case COMMAND_CLIENT_TRACKING:
                c->doubt |= DOUBT_TRACKING; /* even if it is refused: nobody does this by mistake */
                break;
        case COMMAND_RIGHTS: class = session_rights_class(command); break;
        default: break;
        }
        session_push(c, class, parse == COMMAND_OK ? session_argument(c, command) : 0, command);
        if (c->doubt & DOUBT_STREAM)
                session_failed(c); /* nobody will tell when it is answered: clear its keys now */
}

void session_unsent(struct connection *c)
{
        if (c->owed == 0 || (c->announces && !c->announce.queued))
                return;
        c->announce.queued = false;
        owed_drop_last(&c->queue);
        c->owed--;
        owed_secret_wipe(&c->secret); /* it may have been its own */
        c->doubt |= DOUBT_UNKNOWN;    /* hiredis has no memory left: what is in its buffer is anybody's guess */
}

/* -------------------------------------------------------------------------------------------- when answered */

static bool session_clear(struct connection *c, const uint64_t *hash, uint32_t count)
{
        struct l1 *l1 = c->l1;

        if (l1 == NULL || l1 != runtime_l1_now())
                return false; /* hashed for a segment that this process has let go of */
        for (uint32_t i = 0; i < count && !fault(FAULT_own_writes); i++)
                l1_remove(l1, hash[i]);
        l1_count(l1, COUNTER_removes, count);
        return true;
}

static void session_flush(struct connection *c, bool whole_server)
{
        struct server_shm *place;

        if (!connection_server(c))
                return;
        if (whole_server) /* SWAPDB is told to nobody: by whatever address the server is reached */
                for (uint32_t at = 0; (place = l1_server_alias(c->l1, c->server, &at)) != NULL;)
                        l1_flush_server(c->l1, place);
        else
                l1_flush_database(c->l1, c->server, c->database);
}

/* Something may have been written that we cannot name. The server names it, where it does: wait until it has. */
static void session_barrier(struct connection *c)
{
        if (c->endpoint.id.source == 0)
                c->barrier_ns = clock_precise_ns();
        else
                session_flush(c, true);
}

/* The part of an effect that concerns L1. Applied whether the command succeeded, failed or was never answered: clearing
 * too much costs a miss. */
static void session_touch(struct connection *c, enum command_class class, const uint64_t *hash, uint32_t count)
{
        switch (class) {
        case COMMAND_WRITE: session_clear(c, hash, count); break;
        case COMMAND_SCRIPT:
                session_clear(c, hash, count);
                if (count == 0 || c->endpoint.id.source == 0)
                        session_barrier(c);
                break;
        case COMMAND_OPAQUE:
        case COMMAND_UNKNOWN: session_barrier(c); break;
        case COMMAND_FLUSHDB:
        case COMMAND_FLUSHALL:
                if (MT_UNLIKELY(runtime.below))
                        below_flush(c, class == COMMAND_FLUSHALL);
                session_flush(c, class == COMMAND_FLUSHALL);
                break;
        case COMMAND_SWAPDB: /* the server announces it to nobody: a process that has not attached yet does so now */
                if (MT_UNLIKELY(runtime.below))
                        below_flush(c, true);
                runtime_l1_there();
                session_flush(c, true);
                break;
        case COMMAND_RIGHTS: rights_changed(c); break;
        default: break;
        }
}

void session_reset(struct connection *c)
{
        c->doubt &=
                DOUBT_FOR_LIFE | DOUBT_NONBLOCK | DOUBT_ENDPOINT | DOUBT_SEGMENT | DOUBT_INCARNATION | DOUBT_INHERITED;
        c->doubt |= DOUBT_UNBOUND;
        c->database = 0;
        c->authenticated = c->proved = c->no_fill = c->multi_unknown = false;
        c->user_len = 0;
        owed_drop_all(&c->multi);
        owed_secret_wipe(&c->secret);
}

MT_COLD static void session_authenticated(struct connection *c, uint32_t secret)
{
        const struct owed_secret *s = &c->secret;

        if (secret != SESSION_SECRET_HELD || !s->held) {
                c->doubt |= DOUBT_UNKNOWN;
                return;
        }
        memcpy(c->user, s->user, s->user_len);
        c->user_len = s->user_len;
        c->authenticated = true;
        c->no_fill = false;
        c->doubt = (c->doubt & ~(uint32_t)DOUBT_UNPROVED) | DOUBT_UNBOUND;
        if (c->endpoint.known)
                invalidation_credentials(connection_server(c) ? c->server : NULL, &c->endpoint.address,
                                         s->has_user ? mt_bytes(s->user, s->user_len) : mt_bytes(NULL, 0),
                                         mt_bytes(s->password, s->password_len));
}

/* Of an EXEC or DISCARD that was answered by an error the transaction goes on (it had a word too many, or there was
 * none), but for one that tells that it was given up. */
static bool session_goes_on(const struct connection *c, const void *reply)
{
        const struct abi *abi = &c->hiredis->abi;

        return abi_reply_type(reply) == ABI_REPLY_ERROR &&
               (abi_reply_len(abi, reply) < 9 || memcmp(abi_reply_str(abi, reply), "EXECABORT", 9) != 0);
}

/* Is there neither a transaction nor a MULTI on its way that would begin one? */
static bool session_no_multi(const struct connection *c)
{
        struct owed_queue look = c->queue;
        struct owed_row   row;

        if (c->doubt & DOUBT_MULTI)
                return false;
        while (owed_take(&look, &row))
                if (row.class == COMMAND_MULTI)
                        return false;
        return true;
}

/* EXEC or DISCARD: what was queued inside takes place now, or never; clearing is right for both. */
static void session_multi_ends(struct connection *c)
{
        struct owed_row row;

        while (owed_take(&c->multi, &row))
                session_touch(c, row.class, row.hash, row.count);
        owed_drop_all(&c->multi);
        if (c->multi_unknown)
                c->doubt |= DOUBT_UNKNOWN;
        if (c->doubt & DOUBT_MULTI)
                c->doubt &= ~(uint32_t)(DOUBT_MULTI | DOUBT_WATCH);
        c->multi_unknown = false;
        if (MT_UNLIKELY(runtime.below))
                below_executed(c, !session_no_multi(c));
}

/* What an AUTH or HELLO brought along; another that is under way may still need its own. */
MT_COLD static void session_forget_secret(struct connection *c, const struct owed_row *row)
{
        if ((row->class == COMMAND_AUTH || row->class == COMMAND_HELLO) && row->argument == SESSION_SECRET_HELD)
                owed_secret_wipe(&c->secret);
}

/* The part of an effect that concerns the session, for a command that the server accepted. */
static void session_accepted(struct connection *c, const struct owed_row *row)
{
        switch (row->class) {
        case COMMAND_SELECT:
                if (row->argument == 0)
                        c->doubt |= DOUBT_UNKNOWN;
                else
                        c->database = row->argument - 1;
                c->doubt |= DOUBT_UNBOUND;
                break;
        case COMMAND_AUTH:
        case COMMAND_HELLO:
                if (row->argument != SESSION_SECRET_NONE)
                        session_authenticated(c, row->argument);
                session_forget_secret(c, row);
                break;
        case COMMAND_RESET: session_reset(c); break;
        case COMMAND_QUIT:
                c->doubt |= DOUBT_UNKNOWN; /* the server closes: the next command fails, a GET too */
                break;
        case COMMAND_MULTI: c->doubt |= DOUBT_MULTI; break;
        case COMMAND_WATCH: c->doubt |= DOUBT_WATCH; break;
        case COMMAND_UNWATCH: c->doubt &= ~(uint32_t)DOUBT_WATCH; break;
        case COMMAND_UNKNOWN: /* SELECT or AUTH under another name, perhaps; modules' commands have a dot in theirs */
                if (row->argument == 0)
                        c->doubt |= DOUBT_UNKNOWN;
                break;
        default: break;
        }
}

/* Inside MULTI a command is answered QUEUED, and executed at EXEC. */
MT_COLD static void session_queued(struct connection *c, const struct owed_row *row)
{
        bool kept;

        switch (row->class) {
        case COMMAND_READ:
        case COMMAND_GET: return;
        case COMMAND_WRITE:
        case COMMAND_SCRIPT:
        case COMMAND_OPAQUE:
        case COMMAND_UNKNOWN:
        case COMMAND_FLUSHDB:
        case COMMAND_FLUSHALL:
        case COMMAND_SWAPDB:
        case COMMAND_RIGHTS:
                kept = owed_begin(&c->multi, row->class, 0);
                for (uint32_t i = 0; kept && i < row->count; i++)
                        kept = owed_add(&c->multi, row->hash[i]);
                if (!kept)
                        c->multi_unknown = true;
                return;
        default: /* SELECT and the like inside a transaction */ c->multi_unknown = true; session_forget_secret(c, row);
        }
}

static MT_INLINE bool session_is_queued(const struct connection *c, const void *reply)
{
        const struct abi *abi = &c->hiredis->abi;

        return c->doubt & DOUBT_MULTI && abi_reply_type(reply) == ABI_REPLY_STATUS && abi_reply_len(abi, reply) == 6 &&
               memcmp(abi_reply_str(abi, reply), "QUEUED", 6) == 0;
}

/* The command was answered by an error. */
MT_COLD static void session_denied(struct connection *c, const struct owed_row *row, const void *reply)
{
        const struct owed_secret *s = &c->secret;

        if ((row->class != COMMAND_AUTH && row->class != COMMAND_HELLO) || row->argument == SESSION_SECRET_NONE) {
                rights_look(c, reply);
                return;
        }
        rights_look_named(c, reply,
                          row->argument == SESSION_SECRET_HELD && s->held ? mt_bytes(s->user, s->user_len)
                                                                          : mt_bytes(NULL, 0));
        if (row->class == COMMAND_HELLO)
                c->doubt |= DOUBT_UNKNOWN; /* it may have authenticated before it stumbled over another of its words */
        session_forget_secret(c, row);
}

static MT_INLINE void session_apply(struct connection *c, const struct owed_row *row, const void *reply)
{
        bool queued = session_is_queued(c, reply);

        if (MT_UNLIKELY(runtime.below))
                below_answered(c, false, queued);
        if (queued) {
                session_queued(c, row);
                return;
        }
        session_touch(c, row->class, row->hash, row->count);
        if (row->class == COMMAND_EXEC || row->class == COMMAND_DISCARD) {
                rights_look_inside(c, reply);
                if (!session_goes_on(c, reply))
                        session_multi_ends(c);
        } else if (abi_reply_type(reply) != ABI_REPLY_ERROR) {
                session_accepted(c, row);
        } else {
                session_denied(c, row, reply);
        }
}

/* A connection that never authenticated is let in if the server answers what it answers nobody else. */
MT_COLD static void session_prove(struct connection *c, const void *reply)
{
        struct owed_queue look = c->queue;
        struct owed_row   row;

        if (abi_reply_type(reply) == ABI_REPLY_ERROR || !owed_take(&look, &row) || row.class == COMMAND_AUTH ||
            row.class == COMMAND_HELLO || row.class == COMMAND_RESET || row.class == COMMAND_QUIT ||
            row.class == COMMAND_UNKNOWN || row.class == COMMAND_ANNOUNCE)
                return;
        c->proved = true;
        c->doubt &= ~(uint32_t)DOUBT_UNPROVED;
}

void session_replied(struct connection *c, const void *reply)
{
        struct owed_row row;

        c->replied_ns = clock_coarse_ns();
        if (MT_UNLIKELY(c->doubt & (DOUBT_STREAM | DOUBT_UNPROVED | DOUBT_FAILED))) {
                c->doubt &= ~(uint32_t)DOUBT_FAILED;
                if (c->doubt & DOUBT_STREAM) {
                        rights_look(c, reply);
                        return;
                }
                if (c->doubt & DOUBT_UNPROVED)
                        session_prove(c, reply);
        }
        if (c->owed == 0 || !owed_take(&c->queue, &row)) {
                c->doubt |= DOUBT_UNKNOWN; /* an answer that nobody asked for */
                return;
        }
        c->owed--;
        session_apply(c, &row, reply);
}

/* What the announcement of this command may say when it is answered in its turn, and what that of later ones must. */
static void session_announced(struct connection *c, const struct owed_row *row, const void *reply, bool queued)
{
        bool refused = abi_reply_type(reply) == ABI_REPLY_ERROR;

        c->announce.cleared = !queued && row->class == COMMAND_WRITE && row->count > 0 && c->server != NULL &&
                              c->l1 != NULL && c->l1 == runtime_l1_now() && c->endpoint.id.source != 0;
        if (row->class == COMMAND_UNKNOWN && row->argument == 0)
                announce_known(c, refused);
        if (row->class == COMMAND_MULTI && refused && session_no_multi(c))
                announce_not_gathering(c);
        if (c->owed == 0 && !c->announce.gathering && !(c->doubt & (DOUBT_MULTI | DOUBT_UNKNOWN)))
                c->announce.selecting = false;
}

/* A reply is about to be applied. Replies to announcements prove nothing, and their refusals are no news of L1's. */
static MT_COLD void session_doubted(struct connection *c, const void *reply)
{
        uint32_t argument;

        c->doubt &= ~(uint32_t)DOUBT_FAILED;
        if (session_announced_next(c, &argument))
                return;
        if (c->doubt & DOUBT_STREAM)
                rights_look(c, reply);
        else if (c->doubt & DOUBT_UNPROVED)
                session_prove(c, reply);
}

void session_replied_announced(struct connection *c, const void *reply)
{
        struct owed_row row;

        c->replied_ns = clock_coarse_ns();
        if (MT_UNLIKELY(c->doubt & (DOUBT_STREAM | DOUBT_UNPROVED | DOUBT_FAILED)))
                session_doubted(c, reply);
        if (c->owed == 0 || !owed_take(&c->queue, &row)) {
                c->doubt |= DOUBT_UNKNOWN;
                return;
        }
        c->owed--;
        if (row.class == COMMAND_ANNOUNCE) {
                if (MT_UNLIKELY(runtime.below))
                        below_answered(c, true, false);
                announce_answered(c, row.argument, reply);
        } else {
                bool queued = session_is_queued(c, reply);

                session_apply(c, &row, reply);
                session_announced(c, &row, reply, queued);
        }
}

bool session_announced_next(struct connection *c, uint32_t *flags)
{
        struct owed_row row;

        if (!owed_front(&c->queue, &row) || row.class != COMMAND_ANNOUNCE)
                return false;
        *flags = row.argument;
        return true;
}

/* Does an effect of this class change what later GETs would mean? Then an unanswered one leaves the session unknown. */
static bool session_changes(enum command_class class)
{
        return class != COMMAND_READ && class != COMMAND_GET && class != COMMAND_WRITE && class != COMMAND_SCRIPT &&
               class != COMMAND_OPAQUE && class != COMMAND_RIGHTS && class != COMMAND_ANNOUNCE;
}

/* May a command of this class have written something, that somebody else was to be told? */
static bool session_tells(enum command_class class)
{
        switch (class) {
        case COMMAND_WRITE:
        case COMMAND_SCRIPT:
        case COMMAND_OPAQUE:
        case COMMAND_UNKNOWN:
        case COMMAND_EXEC:
        case COMMAND_FLUSHDB:
        case COMMAND_FLUSHALL:
        case COMMAND_SWAPDB:
        case COMMAND_ANNOUNCE: return true;
        default: return false;
        }
}

static bool session_is_told(const struct connection *c, const struct owed_row *row)
{
        return c->announce.form != ANNOUNCE_NONE && session_tells(row->class) &&
               !(row->class == COMMAND_ANNOUNCE && row->argument & ANNOUNCE_OURS);
}

static void session_end(struct connection *c, bool owes)
{
        struct owed_row row;

        while (owed_take(&c->queue, &row)) {
                session_touch(c, row.class, row.hash, row.count);
                if (session_changes(row.class))
                        c->doubt = (c->doubt | DOUBT_UNKNOWN) & ~(uint32_t)DOUBT_FAILED;
                if (MT_UNLIKELY(c->announces) && owes && session_is_told(c, &row))
                        announce_owe(c);
        }
        owed_drop_all(&c->queue);
        owed_secret_wipe(&c->secret);
        if (MT_UNLIKELY(runtime.below))
                below_ended(c);
        c->owed = 0;
        if (c->doubt & DOUBT_MULTI) { /* for the server; the program may think itself inside */
                session_multi_ends(c);
                c->doubt = (c->doubt | DOUBT_UNKNOWN) & ~(uint32_t)DOUBT_FAILED;
        }
}

void session_failed(struct connection *c)
{
        session_end(c, true);
}

void session_forget(struct connection *c)
{
        session_end(c, false);
}

void session_clear_outstanding(struct connection *c)
{
        struct owed_queue all = c->queue; /* a look at the rows; the words stay where they are */
        struct owed_row   row;

        while (owed_take(&all, &row))
                session_touch(c, row.class, row.hash, row.count);
        if (MT_UNLIKELY(runtime.below))
                below_doubted(c);
}

void session_late(struct connection *c)
{
        struct owed_queue look = c->queue;
        struct owed_row   row;

        session_clear_outstanding(c);
        while (c->announces && owed_take(&look, &row))
                if (session_is_told(c, &row))
                        announce_owe(c);
        c->doubt |= DOUBT_UNKNOWN;
}
