/* through.c - nil, a tier, and back into Redis; SET, and a tier.
 *
 * Answering from a tier is safe by itself: whoever deleted the key removed it from the tiers before he was told so, and
 * the look-up comes after the GET was answered. Nothing of it is kept in L1: to a deletion of a key that Redis does not
 * have, no listener listens.
 *
 * Putting back, on the program's own connection, in two writes, between which nothing of the program's is sent:
 *
 *   MULTI | EXEC                                             refused? then SET would be no transaction's below
 *   WATCH permits key | PTTL of each permit | GET key        has each stood for BELOW_SETTLE_MS, and is it nil still?
 *   (look in the tiers once more)
 *   MULTI | SET key value PX ttl NX | EXEC                   or UNWATCH, and permits that are not there are made
 *
 * If EXEC is executed, no permit of the key's was deleted since it had stood for so long, and nobody wrote the key. A
 * deletion of it that is acknowledged deleted the permit either so long ago that it had left the tiers before they were
 * looked into, or not yet: then it deletes what is put back. tests/tiers/model.c leaves out each of the guards in turn.
 *
 * Storing: the key is removed and then marked before SET is sent; what is stored after it is stored only if the mark
 * holds. Of two writes that overlap, at least one finds its mark void, and removes: so nothing stays that was not
 * written last. */
#include "through.h"

#include "../connection/below.h"
#include "../connection/session.h"
#include "../hiredis/reply.h"
#include "../runtime/runtime.h"

#include "../../invalidation/invalidation.h"
#include "../../l1/base/fault.h"
#include "../../l1/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* ----------------------------------------------------------------------------------------------------- look-up */

struct through_sink {
        struct mt_sink    sink;
        const struct abi *abi;
        void             *reply;
};

static char *through_room(struct mt_sink *sink, size_t len)
{
        struct through_sink *s = (struct through_sink *)sink; /* its first member */
        char                *str;

        if (s->reply != NULL)
                reply_destroy(s->abi, s->reply);
        s->reply = reply_value(s->abi, false, len, &str);
        return s->reply != NULL ? str : NULL;
}

/* A reply as GET would have given it, or NULL. */
static void *through_look(const struct connection *c, const struct tier_key *key, struct tier_found *found)
{
        struct through_sink s = {.sink = {through_room}, .abi = &c->hiredis->abi};

        if (tiers_get(runtime_tiers(), key, &s.sink, found) == MT_OK)
                return s.reply;
        if (s.reply != NULL)
                reply_destroy(s.abi, s.reply);
        return NULL;
}

/* Like read_context_plain(): nothing on its way in either direction. */
static bool through_plain(const struct connection *c)
{
        const struct abi *abi = &c->hiredis->abi;
        const void       *reader = ABI_CONTEXT(const void *const, abi, c->context, READER);

        return ABI_CONTEXT(const int, abi, c->context, ERR) == 0 &&
               (ABI_CONTEXT(const int, abi, c->context, FLAGS) & REDIS_BLOCK) != 0 &&
               ABI_CONTEXT(const char *const, abi, c->context, OBUF)[0] == '\0' &&
               ABI_FIELD(const size_t, reader, ABI_READER_POS) == ABI_FIELD(const size_t, reader, ABI_READER_LEN) &&
               request_default_reader(c);
}

static bool through_quiet(const struct connection *c)
{
        return c->owed == 0 && c->below.multi_ns == 0 && c->announce.held == NULL &&
               (c->doubt & ~(uint32_t)(DOUBT_UNBOUND | DOUBT_SEGMENT | DOUBT_UNPROVED)) == 0;
}

bool through_concerns(struct connection *c, struct mt_bytes key)
{
        struct tier_key named;

        if (c->owed == 0 && (c->doubt & DOUBT_MULTI) == 0)
                c->below.multi_ns = 0;
        /* What others announce, and has not been heard, may have ended what is there. */
        return through_quiet(c) && through_plain(c) && below_names(c, key, &named) &&
               invalidation_source(&c->endpoint.id) == 0;
}

/* ---------------------------------------------------------------------------------------------- questions of ours */

enum { THROUGH_ANSWERS = 6 };

struct through_answers {
        void    *reply[THROUGH_ANSWERS];
        unsigned asked, answered;
};

static void through_forget(const struct connection *c, struct through_answers *answers)
{
        for (unsigned i = 0; i < answers->answered; i++)
                c->hiredis->freeReplyObject(answers->reply[i]);
        answers->answered = answers->asked = 0;
}

static bool through_append(struct connection *c, struct through_answers *answers, int argc, const char **argv,
                           const size_t *argvlen)
{
        answers->asked++;
        return c->hiredis->redisAppendCommandArgv(c->context, argc, argv, argvlen) == REDIS_OK;
}

/* All that was appended is answered. False: the connection is over, or late: what may still come is not the program's.
 */
static bool through_ask(struct connection *c, struct through_answers *answers, bool appended)
{
        int error;

        while (appended && answers->answered < answers->asked &&
               c->hiredis->redisGetReply(c->context, &answers->reply[answers->answered]) == REDIS_OK)
                answers->answered++;
        error = errno;
        connection_leave_hiredis(c);
        c->replied_ns = clock_coarse_ns();
        if (answers->answered == answers->asked)
                return true;
        if (appended && request_timed_out(c, error))
                for (unsigned i = answers->answered; i < answers->asked; i++)
                        session_late_own(c);
        c->doubt |= DOUBT_UNKNOWN;
        through_forget(c, answers);
        errno = error;
        return false;
}

static bool through_status(const struct connection *c, const void *reply, const char *status)
{
        const struct abi *abi = &c->hiredis->abi;

        return abi_reply_type(reply) == ABI_REPLY_STATUS && abi_reply_len(abi, reply) == strlen(status) &&
               memcmp(abi_reply_str(abi, reply), status, strlen(status)) == 0;
}

/* ------------------------------------------------------------------------------------------------- putting back */

enum through_permit { THROUGH_NONE, THROUGH_YOUNG, THROUGH_OLD };

static enum through_permit through_permit(const struct connection *c, const void *pttl)
{
        long long left = abi_reply_type(pttl) == ABI_REPLY_INTEGER ? abi_reply_integer(&c->hiredis->abi, pttl) : -1;

        if (left == -2)
                return THROUGH_NONE;
        if (left <= 0) /* not ours, or not to be asked for */
                return THROUGH_YOUNG;
        return left <= BELOW_PERMIT_LIFE_MS - BELOW_SETTLE_MS || fault(FAULT_below_age) ? THROUGH_OLD : THROUGH_YOUNG;
}

/* Who may not ask for permits puts nothing back; the server logs each refusal, so he asks once. */
static bool through_denied(struct connection *c, const struct through_answers *answers)
{
        const struct abi *abi = &c->hiredis->abi;

        for (unsigned i = 0; i < answers->answered; i++) {
                const void *reply = answers->reply[i];

                if (abi_reply_type(reply) != ABI_REPLY_ERROR)
                        continue;
                c->below.denied = true;
                log_once(LOG_WARN, "%s: nothing is put back from tiers: %.*s", c->endpoint.id.address,
                         abi_reply_len(abi, reply) < 100 ? (int)abi_reply_len(abi, reply) : 100,
                         abi_reply_str(abi, reply));
                return true;
        }
        return false;
}

struct through_names {
        char permit[2][BELOW_PERMIT_NAME];
};

/* True: the answers are MULTI's, EXEC's, WATCH's, one of PTTL for each permit, and GET's. */
enum { THROUGH_PTTL = 3, THROUGH_GET = 5 };
static bool through_watch(struct connection *c, struct mt_bytes key, struct through_names *names,
                          struct through_answers *answers)
{
        const char *multi[] = {"MULTI"}, *exec[] = {"EXEC"};
        const char *watch[] = {"WATCH", names->permit[0], names->permit[1], key.ptr};
        size_t      watch_len[] = {5, strlen(names->permit[0]), strlen(names->permit[1]), key.len};
        const char *get[] = {"GET", key.ptr};
        size_t      get_len[] = {3, key.len};
        bool        appended;

        if (fault(FAULT_below_watch)) { /* another one */
                watch[1] = watch[2] = watch[3] = "mtshim:permit";
                watch_len[1] = watch_len[2] = watch_len[3] = 13;
        }
        connection_enter_hiredis(c);
        appended = through_append(c, answers, 1, multi, NULL) && through_append(c, answers, 1, exec, NULL) &&
                   through_append(c, answers, 4, watch, watch_len);
        for (unsigned i = 0; i < 2; i++) {
                const char *pttl[] = {"PTTL", names->permit[i]};

                appended = appended && through_append(c, answers, 2, pttl, NULL);
        }
        appended = appended && through_append(c, answers, 2, get, get_len);
        return through_ask(c, answers, appended);
}

/* Nothing is put back now: what is watched is let go of, and permits begin to stand. */
static bool through_let_go(struct connection *c, const struct through_names *names, const enum through_permit permit[2])
{
        struct through_answers answers = {.asked = 0};
        const char            *unwatch[] = {"UNWATCH"};
        char                   life[16];
        bool                   appended, done;

        snprintf(life, sizeof life, "%d", BELOW_PERMIT_LIFE_MS);
        connection_enter_hiredis(c);
        appended = through_append(c, &answers, 1, unwatch, NULL);
        for (unsigned i = 0; i < 2; i++) {
                const char *set[] = {"SET", names->permit[i], "", "PX", life, "NX"};

                if (permit[i] == THROUGH_NONE)
                        appended = appended && through_append(c, &answers, 6, set, NULL);
        }
        done = through_ask(c, &answers, appended);
        if (done)
                through_denied(c, &answers);
        through_forget(c, &answers);
        return done;
}

static bool through_set(struct connection *c, struct mt_bytes key, const void *value, uint64_t ttl_ms, bool *set)
{
        const struct abi      *abi = &c->hiredis->abi;
        struct through_answers answers = {.asked = 0};
        char                   life[24];
        const char            *multi[] = {"MULTI"}, *exec[] = {"EXEC"};
        const char            *words[] = {"SET", key.ptr, abi_reply_str(abi, value), "NX", "PX", life};
        size_t                 len[] = {3, key.len, abi_reply_len(abi, value), 2, 2, 0};
        int                    argc = ttl_ms == MT_TTL_NONE ? 4 : 6;
        bool                   done;

        if (fault(FAULT_below_watch))
                words[3] = "GET", len[3] = 3;
        len[5] = (size_t)snprintf(life, sizeof life, "%llu", (unsigned long long)ttl_ms);
        connection_enter_hiredis(c);
        done = through_ask(c, &answers,
                           through_append(c, &answers, 1, multi, NULL) &&
                                   through_append(c, &answers, argc, words, len) &&
                                   through_append(c, &answers, 1, exec, NULL));
        *set = done && abi_reply_type(answers.reply[2]) == ABI_REPLY_ARRAY &&
               abi_reply_elements(abi, answers.reply[2]) == 1 &&
               through_status(c, abi_reply_element(abi, answers.reply[2], 0), "OK");
        through_forget(c, &answers);
        return done;
}

/* False: the connection broke. */
static bool through_put_back(struct connection *c, const struct tier_key *named)
{
        struct through_answers answers = {.asked = 0};
        struct through_names   names;
        enum through_permit    permit[2];
        struct tier_found      found;
        void                  *value = NULL;
        bool                   denied, nil, set = false, done;

        below_permit(named->key, names.permit[0]);
        below_permit(mt_bytes(NULL, 0), names.permit[1]);
        if (!through_watch(c, named->key, &names, &answers))
                return false;
        denied = through_denied(c, &answers);
        for (unsigned i = 0; i < 2; i++)
                permit[i] = denied ? THROUGH_YOUNG : through_permit(c, answers.reply[THROUGH_PTTL + i]);
        nil = !denied && abi_reply_type(answers.reply[THROUGH_GET]) == ABI_REPLY_NIL;
        through_forget(c, &answers);
        if (nil && permit[0] == THROUGH_OLD && permit[1] == THROUGH_OLD)
                value = through_look(c, named, &found); /* after WATCH was answered */
        if (value == NULL)
                return through_let_go(c, &names, permit);
        fault_dawdle();
        done = through_set(c, named->key, value, found.ttl_ms, &set);
        reply_destroy(&c->hiredis->abi, value);
        if (set && c->l1 != NULL) {
                l1_remove(c->l1, l1_hash(c->l1, c->server_index, named->key));
                l1_count(c->l1, COUNTER_put_back, 1);
        }
        return done;
}

/* In pubsub and stream mode other hosts would have to be told, and what they delete is heard of too late. */
static bool through_may_put_back(const struct connection *c)
{
        return !c->below.denied && invalidation_source(&c->endpoint.id) == 0 && through_quiet(c) && through_plain(c) &&
               (!c->announces || c->announce.form == ANNOUNCE_NONE);
}

void *through_nil(struct connection *c, struct mt_bytes key, void *nil)
{
        struct tier_key   named;
        struct tier_found found;
        void             *value;
        int               saved_errno = errno;

        if (!through_quiet(c) || !below_names(c, key, &named))
                return nil;
        value = through_look(c, &named, &found);
        errno = saved_errno;
        if (value == NULL)
                return nil;
        c->hiredis->freeReplyObject(nil);
        if (found.promote && through_may_put_back(c) && !through_put_back(c, &named)) {
                saved_errno = errno;
                reply_destroy(&c->hiredis->abi, value);
                value = NULL;
        }
        errno = saved_errno;
        return value;
}

/* ------------------------------------------------------------------------------------------------------ storing */

/* EX 10 and the like: milliseconds. */
static bool through_number(struct mt_bytes word, uint64_t unit_ms, uint64_t *ms)
{
        uint64_t n = 0;

        if (word.len == 0 || word.len > 15)
                return false;
        for (size_t i = 0; i < word.len; i++) {
                if (word.ptr[i] < '0' || word.ptr[i] > '9')
                        return false;
                n = n * 10 + (uint64_t)(word.ptr[i] - '0');
        }
        *ms = n * unit_ms;
        return n > 0;
}

static bool through_word_is(struct mt_bytes word, const char *upper)
{
        return word.len == strlen(upper) && strncasecmp(word.ptr, upper, word.len) == 0;
}

/* The words behind SET key value. What has other ones is removed like any other write. */
static bool through_set_words(struct through *t, const struct command *command)
{
        t->ttl_ms = MT_TTL_NONE;
        for (uint32_t i = 3; i < command->argc; i++) {
                struct mt_bytes word = command_word(command, i);
                bool            ex = through_word_is(word, "EX"), px = through_word_is(word, "PX");

                if (through_word_is(word, "NX") || through_word_is(word, "XX"))
                        continue;
                if (through_word_is(word, "KEEPTTL")) {
                        t->asks = true;
                } else if ((ex || px) && i + 1 < command->argc) {
                        if (!through_number(command_word(command, ++i), ex ? 1000 : 1, &t->ttl_ms))
                                return false;
                } else if ((through_word_is(word, "EXAT") || through_word_is(word, "PXAT")) && i + 1 < command->argc) {
                        i++;
                        t->asks = true; /* by the server's clock, which need not be ours */
                } else {
                        return false;
                }
        }
        return true;
}

static bool through_words(struct through *t, const struct command *command)
{
        const char *name = command->row->name;
        bool        ex = strcmp(name, "SETEX") == 0;

        if (strcmp(name, "SET") == 0 && command->argc >= 3) {
                t->value = command_word(command, 2);
                return through_set_words(t, command);
        }
        if ((ex || strcmp(name, "PSETEX") == 0) && command->argc == 4) {
                t->value = command_word(command, 3);
                return through_number(command_word(command, 2), ex ? 1000 : 1, &t->ttl_ms);
        }
        return false;
}

static bool through_may_store(const struct connection *c)
{
        const uint32_t against = DOUBT_UNKNOWN | DOUBT_MULTI | DOUBT_STREAM | DOUBT_NONBLOCK | DOUBT_INHERITED;

        return c->owed == 0 && (c->doubt & against) == 0 && through_plain(c);
}

void through_begin(struct through *t, struct connection *c, const struct command *command)
{
        int saved_errno = errno;

        t->on = t->asks = false;
        if (command->class != COMMAND_WRITE || !through_may_store(c) || !through_words(t, command) ||
            !below_names(c, command_word(command, 1), &t->key))
                return;
        t->on = c->below.through = true;
        runtime_l1_at_once();
        tiers_remove(runtime_tiers(), &t->key, 1);
        tiers_mark(runtime_tiers(), &t->key, &t->marks);
        errno = saved_errno;
}

/* What remains, as the server sees it. False: it cannot be told, or the key is gone. */
static bool through_remains(struct connection *c, struct through *t)
{
        struct through_answers answers = {.asked = 0};
        const char            *pttl[] = {"PTTL", t->key.key.ptr};
        size_t                 len[] = {4, t->key.key.len};
        long long              left = -2;

        if (!through_quiet(c) || !through_plain(c))
                return false;
        connection_enter_hiredis(c);
        if (through_ask(c, &answers, through_append(c, &answers, 2, pttl, len)) &&
            abi_reply_type(answers.reply[0]) == ABI_REPLY_INTEGER)
                left = abi_reply_integer(&c->hiredis->abi, answers.reply[0]);
        through_forget(c, &answers);
        t->ttl_ms = left == -1 ? MT_TTL_NONE : (uint64_t)left;
        return left == -1 || left > 0;
}

static unsigned through_store(struct through *t)
{
        fault_dawdle();
        if (fault(FAULT_below_marks))
                tiers_mark(runtime_tiers(), &t->key, &t->marks);
        return tiers_set(runtime_tiers(), &t->key, t->value, t->ttl_ms, &t->marks);
}

void through_end(struct through *t, struct connection *c, const void *reply)
{
        unsigned stored = 0, wanted;
        int      saved_errno = errno;

        c->below.through = false;
        wanted = (unsigned)__builtin_popcount(t->marks.valid);
        if (reply != NULL && through_status(c, reply, "OK") && (!t->asks || through_remains(c, t)))
                stored = through_store(t);
        if (stored < wanted || wanted == 0)
                tiers_remove(runtime_tiers(), &t->key, 1);
        errno = saved_errno;
}
