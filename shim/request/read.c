/* read.c - the way of a GET: hit, miss with lease, fill. Read read_get() from top to bottom.
 *
 * Budget of a hit: no lock, no system call, no allocation beyond the reply, no shared line written except a visited
 * mark that was unset. Rare cases leave sideways into cold functions. Any doubt ends in the same place: "false", and
 * the caller passes the command on. */
#include "request.h"
#include "stale.h"
#include "stampede.h"
#include "through.h"

#include "../connection/rights.h"
#include "../connection/session.h"
#include "../hiredis/reply.h"
#include "../runtime/ends.h"

#include "../../invalidation/invalidation.h"
#include "../../l1/base/log.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

enum {
        READ_IDLE_S = 10,     /* without a reply for so long, the next GET travels: servers and balancers close idle
                                 connections */
        READ_LONG_KEY = 1024, /* a key up to this length is put into one buffer with its commands */
        READ_RUN_ID = 40,
        READ_NO_FILL_MAX = 32,
};

/* --------------------------------------------------------------------------------------- reasons to pass it on */

/* Not a reply: the command is to be passed on. */
static char read_elsewhere;
#define READ_ELSEWHERE ((void *)&read_elsewhere)

static MT_COLD void *read_refuse(const struct connection *c, enum l1_counter why)
{
        l1_count(c->l1, why, 1);
        return READ_ELSEWHERE;
}

static bool read_maker_is_gone(struct connection *c, uint64_t now_ns)
{
        if (now_ns - c->asked_ns < 100 * NS_PER_MS)
                return false;
        c->asked_ns = now_ns;
        return c->maker_pid == getpid() || (kill(c->maker_pid, 0) != 0 && errno == ESRCH);
}

/* The value of a line "name:value\r\n" in the text of INFO. */
static struct mt_bytes read_info_field(struct mt_bytes text, struct mt_bytes name)
{
        const char *at = memmem(text.ptr, text.len, name.ptr, name.len);
        const char *end;

        if (at == NULL)
                return mt_bytes(NULL, 0);
        at += name.len;
        end = memchr(at, '\r', text.len - (size_t)(at - text.ptr));
        return end != NULL ? mt_bytes(at, (size_t)(end - at)) : mt_bytes(NULL, 0);
}

/* Is the server at the other end of this very connection the one that the listener of its address is connected to? */
static bool read_same_server(const struct connection *c, const void *reply)
{
        const struct abi *abi = &c->hiredis->abi;
        struct mt_bytes   run_id;
        char              listened[READ_RUN_ID];

        if (abi_reply_type(reply) != ABI_REPLY_STRING)
                return false;
        run_id = read_info_field(mt_bytes(abi_reply_str(abi, reply), abi_reply_len(abi, reply)),
                                 mt_bytes_of("\nrun_id:"));
        mt_copy_from_shared(listened, c->server->run_id, sizeof listened);
        return run_id.len == sizeof listened && memcmp(run_id.ptr, listened, sizeof listened) == 0;
}

/* The server behind the address was replaced after this connection was made, as far as the listener could tell. The
 * connection asks its own server who it is, once a second at the most. */
static void read_verify(struct connection *c, uint64_t now_ns)
{
        static const char     info[] = "*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n";
        const struct hiredis *h = c->hiredis;
        uint64_t              asked_ns = clock_precise_ns();
        uint32_t              incarnation = mt_load_acquire(&c->server->incarnation);
        void                 *reply = NULL;

        if (now_ns - c->asked_ns < NS_PER_S && c->asked_ns != 0)
                return;
        c->asked_ns = now_ns;
        connection_enter_hiredis(c);
        if (h->redisAppendFormattedCommand(c->context, info, sizeof info - 1) != REDIS_OK ||
            h->redisGetReply(c->context, &reply) != REDIS_OK)
                reply = NULL;
        connection_leave_hiredis(c);
        if (reply == NULL) { /* the program's own command meets the same error next */
                if (request_timed_out(c, errno))
                        session_late_own(c);
                c->doubt |= DOUBT_UNKNOWN;
                return;
        }
        if (read_same_server(c, reply) && mt_load_acquire(&c->server->incarnation) == incarnation) {
                c->known_ns = asked_ns;
                c->doubt |= DOUBT_UNBOUND;
        }
        h->freeReplyObject(reply);
}

/* Are values of this connection's server good for as long as they live? Asked where no lease is current. The process
 * has the last word: it may have been sealed off. */
static inline bool read_trusts_ttl(const struct connection *c)
{
        return c->trusts_ttl && mt_load_relaxed(&runtime.trust_ttl);
}

/* The context itself: no error, blocking, nothing unsent, nothing unread, hiredis' own reply functions. Mostly all
 * hold: so one branch for the five. */
static inline bool read_context_plain(const struct connection *c)
{
        const struct abi *abi = &c->hiredis->abi;
        const void       *context = c->context, *reader = ABI_CONTEXT(const void *const, abi, context, READER);
        const char       *unsent = ABI_CONTEXT(const char *const, abi, context, OBUF);
        unsigned          err = (unsigned)ABI_CONTEXT(const int, abi, context, ERR);
        unsigned          nonblock = ~(unsigned)ABI_CONTEXT(const int, abi, context, FLAGS) & REDIS_BLOCK;
        size_t            unread =
                ABI_FIELD(const size_t, reader, ABI_READER_POS) ^ ABI_FIELD(const size_t, reader, ABI_READER_LEN);

        return ((err | nonblock | (unsigned char)unsent[0]) | unread) == 0 &&
               ABI_FIELD(const void *const, reader, abi->fn) == abi->default_fn;
}

static MT_COLD enum l1_counter read_why_not_plain(const struct connection *c)
{
        const struct abi *abi = &c->hiredis->abi;

        if ((ABI_CONTEXT(const int, abi, c->context, FLAGS) & REDIS_BLOCK) == 0)
                return COUNTER_bypass_nonblock;
        return request_default_reader(c) ? COUNTER_bypass_pending : COUNTER_bypass_reader;
}

static enum l1_counter read_why_doubted(uint32_t doubt)
{
        static const struct {
                uint32_t        bits;
                enum l1_counter why;
        } reasons[] = {
                {DOUBT_UNKNOWN | DOUBT_UNPROVED, COUNTER_bypass_unknown},
                {DOUBT_NONBLOCK, COUNTER_bypass_nonblock},
                {DOUBT_MULTI | DOUBT_WATCH | DOUBT_STREAM | DOUBT_TRACKING, COUNTER_bypass_state},
                {DOUBT_INHERITED, COUNTER_bypass_inherited},
                {DOUBT_ENDPOINT, COUNTER_bypass_reader},
                {DOUBT_SEGMENT, COUNTER_bypass_segment},
                {DOUBT_INCARNATION, COUNTER_bypass_incarnation},
        };

        for (unsigned i = 0; i < sizeof reasons / sizeof *reasons; i++)
                if (doubt & reasons[i].bits)
                        return reasons[i].why;
        return COUNTER_bypass_pending;
}

/* Something stands against this connection: see whether it can be cleared up now. True: nothing is left. */
static MT_COLD bool read_clear_up(struct connection *c)
{
        uint64_t now_ns = clock_coarse_ns();
        int      saved_errno = errno;

        if (c->owed == 0 && (c->doubt & DOUBT_INHERITED) && read_maker_is_gone(c, now_ns))
                c->doubt &= ~(uint32_t)DOUBT_INHERITED;
        if (c->owed == 0 && (c->doubt & ~(uint32_t)(DOUBT_UNBOUND | DOUBT_SEGMENT | DOUBT_INCARNATION)) == 0) {
                if (c->doubt & (DOUBT_UNBOUND | DOUBT_SEGMENT)) {
                        runtime_meet_agent();
                        connection_bind(c);
                }
                if (c->doubt == DOUBT_INCARNATION && read_context_plain(c)) {
                        read_verify(c, now_ns);
                        if (c->doubt & DOUBT_UNBOUND)
                                connection_bind(c);
                }
        }
        errno = saved_errno;
        if ((c->doubt | c->owed) == 0)
                return true;
        read_refuse(c, read_why_doubted(c->doubt));
        return false;
}

static MT_COLD bool read_rule_bypasses(struct mt_bytes key)
{
        const struct rule *rule = rules_match(&runtime.options.rules, key);

        return rule != NULL && (rule->flags & RULE_BYPASS);
}

/* No current freshness lease: say that somebody here wants one, and pass the GET on alone. Nobody wants one for a key
 * that a rule passes on: where a host reads no other key it has no listener, and the server no message for it. */
static MT_COLD void *read_stale(struct connection *c, struct mt_bytes key, uint64_t now_ns)
{
        int saved_errno = errno;

        if (runtime.options.rules.count != 0 && read_rule_bypasses(key))
                return read_refuse(c, COUNTER_bypass_rule);
        if (connection_fell_back(c)) { /* the next one is bound to where values of this server are kept from now on */
                l1_count(c->l1, COUNTER_bypass_lease, 1);
        } else if (connection_server(c)) { /* the segment may be another one by now */
                if (mt_load_relaxed(&c->server->flags) & SERVER_CLUSTER)
                        l1_count(c->l1, COUNTER_bypass_cluster, 1);
                else
                        l1_count(c->l1, COUNTER_bypass_lease, 1);
                invalidation_attend(c->l1, c->server, &c->endpoint.address, now_ns);
        } else {
                l1_count(c->l1, COUNTER_bypass_segment, 1);
        }
        errno = saved_errno;
        return READ_ELSEWHERE;
}

/* What the barrier waits for is moved by a leader: there must be one, and it must not wait for its next turn. */
static MT_COLD void *read_before_barrier(struct connection *c, uint64_t now_ns)
{
        int saved_errno = errno;

        invalidation_attend(c->l1, c->server, &c->endpoint.address, now_ns);
        invalidation_hurry(c->l1, c->server);
        errno = saved_errno;
        return read_refuse(c, COUNTER_bypass_barrier);
}

/* ------------------------------------------------------------------------------------------------- the miss */

/* Users to whom PTTL was refused: their values are not kept, since nobody knows how long they live. By identity, so
 * that each is asked once and not with every connection (the server logs a refusal each time). */
static struct {
        _Atomic uint64_t digest[READ_NO_FILL_MAX];
        _Atomic uint32_t count;
} read_no_fill;

static uint64_t read_identity(const struct connection *c)
{
        return c->authenticated ? mt_hash(c->user, c->user_len, (struct hash_key){{c->server_index + 1, 1}})
                                : c->server_index;
}

static void read_never_fill(struct connection *c)
{
        uint32_t at = mt_fetch_add_relaxed(&read_no_fill.count, 1);

        c->no_fill = true;
        if (at < READ_NO_FILL_MAX)
                mt_store_relaxed(&read_no_fill.digest[at], read_identity(c));
        l1_count(c->l1, COUNTER_error_pttl, 1);
        log_once(LOG_WARN, "%s refuses PTTL to %s: values read as that user are not kept", c->endpoint.id.address,
                 c->authenticated ? "this user" : "the default user");
}

static bool read_may_fill(struct connection *c)
{
        uint32_t count = mt_load_relaxed(&read_no_fill.count);

        for (uint32_t i = 0; MT_UNLIKELY(i < count && i < READ_NO_FILL_MAX); i++)
                if (mt_load_relaxed(&read_no_fill.digest[i]) == read_identity(c))
                        c->no_fill = true;
        return !c->no_fill;
}

/* "*2 $4 PTTL $n key *2 $3 GET $n key" into hiredis' buffer, so that both leave in one write. */
static bool read_append_short(const struct hiredis *h, void *context, struct mt_bytes key)
{
        static const char pttl[] = "*2\r\n$4\r\nPTTL\r\n$", get[] = "\r\n*2\r\n$3\r\nGET\r\n$";
        char              buffer[sizeof pttl + sizeof get + 2 * (READ_LONG_KEY + 16)], digits[8], *p = buffer;
        size_t            ndigits = 0, len = key.len;

        do {
                digits[ndigits++] = (char)('0' + len % 10);
                len /= 10;
        } while (len != 0);
        for (int twice = 0; twice < 2; twice++) {
                p = twice ? mempcpy(p, get, sizeof get - 1) : mempcpy(p, pttl, sizeof pttl - 1);
                for (size_t i = ndigits; i > 0; i--)
                        *p++ = digits[i - 1];
                *p++ = '\r';
                *p++ = '\n';
                if (key.len > 0)
                        p = mempcpy(p, key.ptr, key.len);
        }
        *p++ = '\r';
        *p++ = '\n';
        return h->redisAppendFormattedCommand(context, buffer, (size_t)(p - buffer)) == REDIS_OK;
}

static bool read_append(const struct hiredis *h, void *context, struct mt_bytes key)
{
        const char *pttl[] = {"PTTL", key.ptr}, *get[] = {"GET", key.ptr};
        size_t      pttl_len[] = {4, key.len}, get_len[] = {3, key.len};

        if (MT_LIKELY(key.len <= READ_LONG_KEY))
                return read_append_short(h, context, key);
        return h->redisAppendCommandArgv(context, 2, pttl, pttl_len) == REDIS_OK &&
               h->redisAppendCommandArgv(context, 2, get, get_len) == REDIS_OK;
}

/* Until when a value is kept. What is random in it is a hash of key and time: the same key at another time, and another
 * key at the same time, end differently. */
static uint64_t read_deadline(const struct l1_key *key, uint64_t sent_ns, uint64_t longest_ns, uint64_t remains_ns)
{
        const struct options *o = &runtime.options;
        uint64_t              random = 0;

        if (o->ttl_jitter != 0)
                random = mt_hash(&sent_ns, sizeof sent_ns, (struct hash_key){{key->hash, key->hash}});
        return sent_ns + strategy_share(remains_ns, longest_ns, o->ttl_scale, o->ttl_jitter, random);
}

/* What PTTL said: what remains to the value from the moment before it was asked. False: it is not to be kept. */
static bool read_remains(struct connection *c, const void *pttl, bool is_nil, uint64_t *remains_ns)
{
        const struct abi *abi = &c->hiredis->abi;
        long long         ms;

        if (abi_reply_type(pttl) != ABI_REPLY_INTEGER) {
                if (abi_reply_type(pttl) == ABI_REPLY_ERROR && abi_reply_len(abi, pttl) >= 6 &&
                    memcmp(abi_reply_str(abi, pttl), "NOPERM", 6) == 0)
                        read_never_fill(c);
                return false;
        }
        ms = abi_reply_integer(abi, pttl);
        *remains_ns = UINT64_MAX;
        if (is_nil || ms == -1) /* no such key, or no time to live: MTSHIM_L1_TTL */
                return true;
        if (ms < 0 || (ms == 0 && !is_nil)) /* gone when PTTL looked, there when GET did: somebody is writing it */
                return false;
        if ((uint64_t)ms < UINT64_MAX / NS_PER_MS)
                *remains_ns = (uint64_t)ms * NS_PER_MS;
        return true;
}

/* False: the reply is not for the program, which waits for what another computes. */
static bool read_fill(struct connection *c, const struct l1_key *key, struct l1_lease *lease, const void *pttl,
                      const void *reply, uint64_t sent_ns, uint64_t longest_ns)
{
        const struct abi *abi = &c->hiredis->abi;
        int               type = abi_reply_type(reply);
        struct mt_bytes   value = mt_bytes(NULL, 0);
        uint64_t          remains_ns;
        enum stampede_nil nil = type == ABI_REPLY_NIL ? stampede_nil(c, lease) : STAMPEDE_NIL;

        if (MT_UNLIKELY(nil != STAMPEDE_NIL))
                return nil == STAMPEDE_COMPUTES;
        if (type == ABI_REPLY_STRING) {
                value = mt_bytes(abi_reply_str(abi, reply), abi_reply_len(abi, reply));
        } else if (type != ABI_REPLY_NIL || !runtime.options.negative) {
                if (type == ABI_REPLY_ERROR)
                        rights_look(c, reply);
                else if (type == ABI_REPLY_NIL && l1_refreshes(lease))
                        l1_remove(c->l1, key->hash); /* what is there is gone in Redis */
                goto release;                        /* an error is never kept */
        }
        if (!read_remains(c, pttl, type == ABI_REPLY_NIL, &remains_ns) || value.len > runtime.options.l1_max_item_bytes)
                goto release;
        l1_fill(c->l1, key, lease, value, read_deadline(key, sent_ns, longest_ns, remains_ns));
        return true;
release:
        l1_release(c->l1, lease);
        return true;
}

/* Neither may be answered any more, or both are still to be: then PTTL's reply is not for the program, if it reads on.
 */
static MT_COLD void read_failed(struct connection *c, bool pttl_answered, int error)
{
        c->doubt |= DOUBT_UNKNOWN;
        if (!request_timed_out(c, error))
                return;
        if (!pttl_answered)
                session_late_own(c);
        c->announce.late = true;
        session_sent(c, COMMAND_OK, &request_a_get);
}

/* The right to fill the key, as the first who asks for it or in the place of one who takes too long. True: counted in
 * stampede_inside, until the lease is over. */
static bool read_lease(struct connection *c, const struct l1_key *wanted, uint32_t namespace_id, uint64_t now_ns,
                       struct l1_lease *lease)
{
        enum stampede_verdict verdict = STAMPEDE_TRAVEL;

        if (!read_may_fill(c))
                return false;
        stampede_inside++;
        if (MT_LIKELY(l1_lease(c->l1, wanted, namespace_id, now_ns, lease)))
                return true;
        if (stampede_controlled())
                verdict = stampede_meet(c, wanted, namespace_id, lease);
        if (verdict == STAMPEDE_LEASED)
                return true;
        stampede_inside--;
        c->again = verdict == STAMPEDE_AGAIN;
        c->let_go = verdict == STAMPEDE_LET_GO && runtime.options.stampede == STAMPEDE_LEASE;
        return false;
}

/* Ask Redis, and keep what it says. The lease was taken before anything leaves: an invalidation that was applied before
 * it came from a write that this GET will see, one that comes later takes the lease away. */
static void *read_ask(struct connection *c, const struct l1_key *wanted, struct l1_lease *lease)
{
        const struct hiredis *h = c->hiredis;
        const struct rule    *rule = rules_match(&runtime.options.rules, wanted->key);
        uint64_t              longest_ns = rule_life_ns(rule, runtime.options.l1_ttl_ns);
        struct stale_before   before = stale_before(c);
        uint64_t              sent_ns;
        void                 *pttl = NULL, *reply = NULL;
        int                   saved_errno;
        bool                  below;

        sent_ns = clock_precise_ns();
        connection_enter_hiredis(c);
        if (!read_append(h, c->context, wanted->key) || h->redisGetReply(c->context, &pttl) != REDIS_OK ||
            h->redisGetReply(c->context, &reply) != REDIS_OK)
                reply = NULL; /* the error is in the context, as the program expects it */
        connection_leave_hiredis(c);
        saved_errno = errno;
        if (reply == NULL)
                read_failed(c, pttl != NULL, saved_errno);
        if (reply == NULL && pttl != NULL && abi_reply_type(pttl) == ABI_REPLY_ERROR) {
                reply = pttl; /* a last word of the server, unasked ("max number of clients reached"): the GET would
                                  have had it */
                pttl = NULL;
                rights_look(c, reply);
        }
        below = MT_UNLIKELY(runtime.below) && reply != NULL && pttl != NULL && abi_reply_type(reply) == ABI_REPLY_NIL &&
                rule != NULL && (rule->flags & RULE_TIERS);
        if (reply != NULL && pttl != NULL) {
                c->replied_ns = clock_coarse_ns();
                if (stampede_controlled())
                        stampede_took(c, sent_ns);
                if (runtime.options.early_refresh != 0)
                        ends_fetched(c->l1, clock_precise_ns() - sent_ns);
                if (below) { /* what is not there may be in a tier the next time */
                        l1_release(c->l1, lease);
                        l1_remove(c->l1, wanted->hash);
                } else if (MT_UNLIKELY(!read_fill(c, wanted, lease, pttl, reply, sent_ns, longest_ns))) {
                        h->freeReplyObject(reply);
                }
        } else {
                l1_release(c->l1, lease);
        }
        if (pttl != NULL)
                h->freeReplyObject(pttl);
        errno = saved_errno;
        if (MT_UNLIKELY(c->again))
                return READ_ELSEWHERE;
        if (below)
                reply = through_nil(c, wanted->key, reply);
        return stale_if_error(c, wanted->key, before, reply);
}

static MT_COLD void *read_miss(struct connection *c, struct mt_bytes key, uint64_t hash, uint32_t namespace_id,
                               uint64_t now_ns)
{
        const struct l1_key wanted = {key, hash};
        struct l1_lease     lease;
        int                 saved_errno = errno;
        void               *reply = READ_ELSEWHERE;
        bool                leased;

        if (key.len > ITEM_KEY_MAX) /* never kept, so never found */
                return read_refuse(c, COUNTER_bypass_key);
        if (!read_trusts_ttl(c))
                invalidation_attend(c->l1, c->server, &c->endpoint.address, now_ns);
        leased = read_lease(c, &wanted, namespace_id, now_ns, &lease);
        errno = saved_errno;
        if (leased) {
                reply = read_ask(c, &wanted, &lease);
                stampede_inside--;
                if (!c->again)
                        stampede_end(c);
        }
        if (!c->again)
                l1_count(c->l1, COUNTER_misses, 1);
        return reply;
}

MT_COLD void *request_build(const struct abi *abi, const struct l1_hit *hit)
{
        char *str;
        void *reply = reply_value(abi, hit->nil, hit->len, &str);

        if (reply != NULL && !l1_copy_late(hit, str)) {
                reply_destroy(abi, reply);
                reply = NULL;
        }
        return reply;
}

/* One reader fetches the value anew, the others are answered with it as long as they may be. Who may not be asks too,
 * but does not take the place of what is there: where Redis fails it is still wanted. */
static void *read_near_end(struct connection *c, const struct l1_key *wanted, uint32_t namespace_id, uint64_t now_ns,
                           enum l1_end is, const struct l1_hit *hit)
{
        struct l1_lease lease;
        bool            in_time, stale;
        void           *reply = NULL;

        if (is == L1_END_DUE && read_may_fill(c) && l1_refresh(c->l1, namespace_id, now_ns, hit, &lease)) {
                l1_count(c->l1, COUNTER_misses, 1);
                if (!read_trusts_ttl(c))
                        invalidation_attend(c->l1, c->server, &c->endpoint.address, now_ns);
                stampede_inside++;
                reply = read_ask(c, wanted, &lease);
                stampede_inside--;
                stampede_end(c);
                return reply;
        }
        in_time = is == L1_END_HIT || l1_still(c->l1, now_ns, 0, hit);
        stale = !in_time && l1_still(c->l1, now_ns, runtime.options.stale_while_revalidate_ns, hit);
        if (in_time || stale)
                reply = request_build(&c->hiredis->abi, hit);
        else if (stampede_controlled() && !c->no_fill)
                c->again = stampede_meet_refresh(c, now_ns, hit) == STAMPEDE_AGAIN;
        if (c->again)
                return READ_ELSEWHERE;
        l1_count(c->l1, reply != NULL ? COUNTER_hits : COUNTER_misses, 1);
        if (reply == NULL)
                return READ_ELSEWHERE;
        if (hit->nil || stale)
                l1_count(c->l1, hit->nil ? COUNTER_negative_hits : COUNTER_stale_hits, 1);
        return reply;
}

/* word: of a value that was found near its end or past it, else 0. Where values are fetched anew, one that was found
 * and has left its place while it was copied has mostly made room for its successor. */
static MT_COLD void *read_no_hit(struct connection *c, struct mt_bytes key, uint64_t hash, uint32_t namespace_id,
                                 uint64_t now_ns, uint64_t word)
{
        const struct options *o = &runtime.options;
        const struct l1_key   wanted = {key, hash};
        struct l1_hit         hit;
        enum l1_end           is;

        if (word == 0 && o->early_refresh == 0 && o->stale_while_revalidate_ns == 0)
                return read_miss(c, key, hash, namespace_id, now_ns);
        is = l1_look_at_end(c->l1, &wanted, namespace_id, now_ns, &hit);
        if (is == L1_END_OVER || (hit.nil && !o->negative))
                return read_miss(c, key, hash, namespace_id, now_ns);
        return read_near_end(c, &wanted, namespace_id, now_ns, is, &hit);
}

/* -------------------------------------------------------------------------------------------------- the hit */

/* Make the reply that hiredis would have made. NULL: the item went away meanwhile, or there is no memory. */
static inline void *read_build(const struct abi *abi, const struct l1_hit *hit)
{
        char *str;
        void *reply = reply_value(abi, hit->nil, hit->len, &str);

        if (MT_LIKELY(reply != NULL && l1_copy(hit, str)))
                return reply;
        if (reply != NULL)
                reply_destroy(abi, reply);
        return NULL;
}

static MT_INLINE void *read_get(struct connection *c, struct mt_bytes key)
{
        uint64_t      now_ns;
        uint32_t      namespace_id;
        struct l1_key wanted;
        struct l1_hit hit;
        void         *reply;

        if (MT_UNLIKELY(runtime_forked()))
                runtime_after_fork();
        if (MT_UNLIKELY((c->doubt | c->owed) != 0) && !read_clear_up(c))
                return READ_ELSEWHERE;
        wanted = (struct l1_key){key, l1_hash(c->l1, c->server_index, key)};
        l1_prefetch(c->l1, wanted.hash); /* mostly two lines of no cache: they come while the rest is looked at */
        if (MT_UNLIKELY(!read_context_plain(c)))
                return read_refuse(c, read_why_not_plain(c));
        now_ns = clock_coarse_ns();
        if (MT_UNLIKELY(now_ns - c->replied_ns >= READ_IDLE_S * NS_PER_S))
                return read_refuse(c, COUNTER_bypass_idle);

        /* Rule (c) of the model, in this order: freshness (acquire, [F1]), then the namespace id, then the slots. The
         * listener changes ids first and renews freshness after: whoever sees the new time sees the new ids. */
        if (MT_UNLIKELY(!invalidation_fresh(c->server, mt_load_relaxed(&runtime.window_ns), now_ns) &&
                        !read_trusts_ttl(c)))
                return read_stale(c, key, now_ns);
        namespace_id = l1_namespace_id(c->server, c->incarnation, c->space);
        if (MT_UNLIKELY(namespace_id == 0)) {
                c->doubt |= DOUBT_UNBOUND; /* looked up again by the next GET */
                return read_refuse(c, COUNTER_bypass_incarnation);
        }
        if (MT_UNLIKELY(c->barrier_ns != 0)) {
                if (mt_load_acquire(&c->server->fresh_at_ns) <= c->barrier_ns && !read_trusts_ttl(c))
                        return read_before_barrier(c, now_ns);
                c->barrier_ns = 0;
        }
        if (MT_UNLIKELY(runtime.options.rules.count != 0) && read_rule_bypasses(key))
                return read_refuse(c, COUNTER_bypass_rule);

        if (MT_LIKELY(l1_find(c->l1, &wanted, namespace_id, now_ns, &hit)) &&
            MT_LIKELY(!hit.nil || runtime.options.negative)) {
                reply = read_build(&c->hiredis->abi, &hit);
                if (MT_LIKELY(reply != NULL)) {
                        l1_count(c->l1, COUNTER_hits, 1);
                        if (hit.nil)
                                l1_count(c->l1, COUNTER_negative_hits, 1);
                        return reply;
                }
        }
        return read_no_hit(c, key, wanted.hash, namespace_id, now_ns, hit.slot == NULL ? hit.word : 0);
}

/* As if it had not been asked yet: what another has fetched meanwhile is a hit like any other, and must pass all that a
 * hit must pass, in the same order. The connection knows how long it has waited, and how often. */
static MT_COLD void *read_again(struct connection *c, struct mt_bytes key, const char *verb)
{
        void *reply;

        c->again = false;
        reply = request_get(c, key, verb);
        if (stampede_end(c)) /* neither a lease nor a GET of its own has ended it */
                l1_count(c->l1, COUNTER_coalesced, 1);
        return reply;
}

static MT_COLD void *read_pass_on(struct connection *c, struct mt_bytes key, const char *verb)
{
        struct stale_before before = stale_before(c);
        const char         *argv[] = {verb, key.ptr};
        size_t              argvlen[] = {3, key.len};
        bool                below = MT_UNLIKELY(runtime.below) && through_concerns(c, key), let_go = c->let_go;
        void               *reply;

        if (c->again)
                return read_again(c, key, verb);
        c->let_go = false; /* before hiredis is called: the program may jump out of that */
        reply = request_forward_argv(c, 2, argv, argvlen, true);
        if (below && reply != NULL && abi_reply_type(reply) == ABI_REPLY_NIL)
                reply = through_nil(c, key, reply);
        reply = stale_if_error(c, key, before, reply);
        if (MT_UNLIKELY(let_go) && !below && reply != NULL && abi_reply_type(reply) == ABI_REPLY_NIL) {
                c->hiredis->freeReplyObject(reply); /* who computes it, if anybody, is not for this reply to say */
                return read_again(c, key, verb);
        }
        stampede_end(c);
        return reply;
}

void *request_get(struct connection *c, struct mt_bytes key, const char *verb)
{
        void *reply = read_get(c, key);

        return MT_LIKELY(reply != READ_ELSEWHERE) ? reply : read_pass_on(c, key, verb);
}
