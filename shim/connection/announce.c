/* announce.c - when which words go out. The words are invalidation/publisher.c's. */
#include "announce.h"

#include "session.h"

#include "../../l1/base/log.h"
#include "../runtime/runtime.h"

#include <errno.h>

/* ------------------------------------------------------------------------------------------------ what is owed */

static MT_COLD void announce_say(const struct connection *c, const char *why, size_t len)
{
        log_once(LOG_WARN, "%s: a write could not be announced, other hosts may go on with what was before: %.*s",
                 c->endpoint.known ? c->endpoint.id.address : "a server", (int)(len < 100 ? len : 100), why);
}

void announce_owe(struct connection *c)
{
        if (c->server != NULL)
                mt_store_release(&c->server->debt, 1);
        else
                c->announce.owes = true;
}

/* Whoever pays says that everything has changed. */
static bool announce_takes_debt(struct connection *c)
{
        bool owes = c->announce.owes;

        c->announce.owes = false;
        if (c->server != NULL && mt_load_relaxed(&c->server->debt) != 0 &&
            mt_exchange_acq_rel(&c->server->debt, 0) != 0)
                owes = true;
        return owes;
}

/* The number is used up: whoever hears the next one sees that this one is missing. */
static MT_COLD void announce_failed(struct connection *c, const char *why, size_t len)
{
        announce_owe(c);
        l1_count(c->l1, COUNTER_error_announce, 1);
        announce_say(c, why, len);
}

void announce_lose_order(struct connection *c)
{
        if (c->announces && c->announce.form != ANNOUNCE_NONE)
                c->announce.form = ANNOUNCE_NEVER;
}

/* ------------------------------------------------------------------------------------------------- when it is sent */

struct announce_keys {
        struct announcement *what;
        bool                 removed;
};

static void announce_add(void *arg, struct mt_bytes key)
{
        struct announce_keys *keys = arg;

        announcement_key(keys->what, key, keys->removed);
}

static bool announce_removes(const struct command *command)
{
        static const char *const verbs[] = {"DEL", "UNLINK", "GETDEL"};

        for (unsigned i = 0; command->row != NULL && i < sizeof verbs / sizeof *verbs; i++)
                if (strcmp(command->row->name, verbs[i]) == 0)
                        return true;
        return false;
}

/* Of a script that names no key nobody knows what it writes. */
static void announce_keys_of(struct connection *c, const struct command *command)
{
        struct announcement *what = &c->announce.what;
        struct announce_keys keys = {.what = what, .removed = announce_removes(command)};
        uint32_t             before = what->keys;

        if (!command_each_key(command, announce_add, &keys) || (what->keys == before && !what->lost))
                announcement_all(what);
}

static bool announce_is_modules(const struct command *command)
{
        struct mt_bytes verb = command_word(command, 0);

        return memchr(verb.ptr, '.', verb.len) != NULL;
}

/* EXEC with a word too many is none. */
static void announce_transaction(struct connection *c, enum command_class class, const struct command *command)
{
        struct announce *a = &c->announce;

        if (command->argc != 1)
                return;
        a->gathering = class == COMMAND_MULTI;
        a->pending = !a->gathering && !announcement_empty(&a->what);
}

void announce_note(struct connection *c, enum command_class class, const struct command *command)
{
        struct announce *a = &c->announce;

        if (a->form == ANNOUNCE_NONE)
                return;
        switch (class) {
        case COMMAND_WRITE:
        case COMMAND_SCRIPT: announce_keys_of(c, command); break;
        case COMMAND_OPAQUE:
        case COMMAND_FLUSHDB:
        case COMMAND_FLUSHALL:
        case COMMAND_SWAPDB: announcement_all(&a->what); break;
        case COMMAND_UNKNOWN:
                if (!announce_is_modules(
                            command)) { /* MULTI under another name, perhaps: what followed would be in it */
                        a->unsure++;
                        return;
                }
                announcement_all(&a->what);
                break;
        case COMMAND_MULTI:
        case COMMAND_EXEC:
        case COMMAND_DISCARD: announce_transaction(c, class, command); return;
        case COMMAND_RESET:
                a->gathering = false;
                a->pending = !announcement_empty(&a->what);
                return;
        case COMMAND_SELECT: a->selecting = true; return;
        case COMMAND_CLIENT_REPLY: /* whether it is accepted is not said */
        case COMMAND_SUBSCRIBE:
        case COMMAND_MONITOR: a->form = ANNOUNCE_NEVER; return;
        default: return;
        }
        a->pending = !a->gathering;
}

void announce_drop(struct connection *c)
{
        struct announce *a = &c->announce;

        if (a->pending)
                announcement_clear(&a->what);
        a->pending = false;
}

static bool announce_append(struct connection *c, struct mt_bytes bytes, bool async)
{
        const struct hiredis *h = c->hiredis;
        int                   rc;

        if (bytes.ptr == NULL)
                return false;
        connection_enter_hiredis(c);
        if (async)
                rc = h->redisAsyncFormattedCommand(c->context, NULL, NULL, bytes.ptr, bytes.len);
        else
                rc = h->redisAppendFormattedCommand(c->context, bytes.ptr, bytes.len);
        connection_leave_hiredis(c);
        return rc == REDIS_OK;
}

static bool announce_one(struct connection *c, bool async, bool audit)
{
        struct announce       *a = &c->announce;
        bool                   here = c->database == 0 && !a->selecting && !(c->doubt & DOUBT_UNKNOWN);
        enum announcement_form form = here ? ANNOUNCEMENT_HERE : ANNOUNCEMENT_ELSEWHERE;
        uint32_t               flags =
                (a->what.all ? ANNOUNCE_ALL : 0) | (audit ? ANNOUNCE_AUDIT : 0) | (async ? ANNOUNCE_DELIVER : 0);
        struct mt_bytes bytes = announcement_command(&a->what, form, audit, &a->origin, a->sequence);

        if (!session_announcing(c, (uint32_t)a->sequence << ANNOUNCE_FLAG_BITS | flags))
                return false;
        if (announce_append(c, bytes, async))
                return true;
        session_unsent(c);
        return false;
}

/* Replies that the program makes itself, by functions of its own, are not ours to free. */
static bool announce_reads_replies(const struct connection *c, bool async)
{
        const struct abi *abi = &c->hiredis->abi;
        const void       *reader = ABI_CONTEXT(const void *const, abi, c->context, READER);

        return ABI_FIELD(const void *const, reader, abi->fn) == abi->default_fn &&
               (!async || c->hiredis->redisAsyncFormattedCommand != NULL);
}

/* In another household (another user's segment) it is another origin. */
static void announce_introduce(struct connection *c)
{
        struct announce *a = &c->announce;
        uint64_t         household = c->server != NULL ? runtime_household(c->l1, c->server_index) : 0;

        if (a->origin.number != 0 && a->origin.household == household)
                return;
        a->origin = (struct announcement_origin){publisher_origin(), household};
        a->sequence = 0;
}

/* Cold in the sense that a program in tracking mode never comes here. */
MT_COLD void announce_send(struct connection *c, bool async)
{
        struct announce *a = &c->announce;
        int              saved_errno = errno;

        if (!a->pending)
                return;
        a->pending = false;
        if (a->gathering) /* a transaction began in the same bytes: with what is written in it */
                return;
        announce_introduce(c);
        a->sequence++;
        if (announce_takes_debt(c))
                announcement_all(&a->what);
        if (a->form == ANNOUNCE_NEVER || a->unsure != 0 || !announce_reads_replies(c, async)) {
                static const char why[] = "replies of its connection cannot be told apart";

                announce_failed(c, why, sizeof why - 1);
        } else if (!announce_one(c, async, false)) {
                announce_failed(c, "no memory", 9);
        } else {
                l1_count(c->l1, COUNTER_announcements, 1);
                if (publisher_audits())
                        announce_one(c, async, true);
        }
        announcement_clear(&a->what);
        errno = saved_errno;
}

/* ------------------------------------------------------------------------------------------- when it is answered */

static void announce_took_place(struct connection *c, uint32_t argument)
{
        struct announce *a = &c->announce;
        uint64_t         mask = (UINT64_C(1) << (32 - ANNOUNCE_FLAG_BITS)) - 1;
        uint64_t         sequence = (a->sequence & ~mask) | argument >> ANNOUNCE_FLAG_BITS;

        if (sequence > a->sequence)
                sequence -= mask + 1;
        if (a->cleared && !(argument & ANNOUNCE_ALL))
                publisher_note_cleared(a->origin.number, sequence);
        a->cleared = false;
}

void announce_answered(struct connection *c, uint32_t argument, const void *reply)
{
        const struct abi *abi = &c->hiredis->abi;
        int               type = abi_reply_type(reply);

        if (argument & ANNOUNCE_OURS) {
                if (argument & ANNOUNCE_PERMIT)
                        below_permitted(c, reply);
                return;
        }
        if (type == ABI_REPLY_INTEGER || type == ABI_REPLY_STRING) {
                if (!(argument & ANNOUNCE_AUDIT))
                        announce_took_place(c, argument);
                return;
        }
        if (argument & ANNOUNCE_AUDIT)
                log_once(LOG_WARN, "%s: the audit stream cannot be written: %.*s", c->endpoint.id.address,
                         type == ABI_REPLY_ERROR && abi_reply_len(abi, reply) < 100 ? (int)abi_reply_len(abi, reply)
                                                                                    : 0,
                         abi_reply_str(abi, reply));
        else if (type == ABI_REPLY_ERROR || type == ABI_REPLY_STATUS)
                announce_failed(c, abi_reply_str(abi, reply), abi_reply_len(abi, reply));
        else
                announce_failed(c, "an odd answer", 13);
}

void announce_known(struct connection *c, bool refused)
{
        struct announce *a = &c->announce;

        if (a->unsure > 0)
                a->unsure--;
        if (refused || a->form == ANNOUNCE_NONE)
                return;
        announce_owe(c);
        a->form = ANNOUNCE_NEVER;
}

/* What was written meanwhile has taken place already. */
void announce_not_gathering(struct connection *c)
{
        struct announce *a = &c->announce;

        if (!a->gathering)
                return;
        a->gathering = false;
        if (!announcement_empty(&a->what))
                announce_owe(c);
        announcement_clear(&a->what);
}

/* ---------------------------------------------------------------------------------------------------------- life */

void announce_end(struct connection *c)
{
        struct announce *a = &c->announce;
        bool             owes = a->owes;

        if (a->held != NULL)
                c->hiredis->freeReplyObject(a->held);
        announcement_free(&a->what);
        *a = (struct announce){.owes = owes};
}

void announce_begin(struct connection *c)
{
        announce_end(c);
        c->announces = publisher_wanted();
}
