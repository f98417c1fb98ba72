/* stale.c - when a failure is one, what may be said in its place, and until when.
 *
 * Until when: both bounds are MTSHIM_STALE_IF_ERROR. One counts from the time up to which all writes are known to have
 * been applied (server->fresh_at_ns, or what that was when the leader gave up): nothing that was overwritten longer
 * ago is said. The other counts from the end of the value's life. What an invalidation has cleared, or a flush, is not
 * there to be said; a listener that comes back flushes first, as ever.
 *
 * To whom: a connection whose history is known but for commands that have failed since it broke. One among them that
 * might have changed what it is (SELECT, AUTH ...) ends that, and so does a reply. */
#include "stale.h"

#include "../connection/session.h"

#include <errno.h>

enum { STALE_ERR_TIMEOUT = 6 }; /* hiredis 1.0 and later */

/* Does the server say that it cannot serve now? */
static bool stale_is_refusal(const struct abi *abi, const void *reply)
{
        static const char *const words[] = {"LOADING ", "BUSY ", "MASTERDOWN "};

        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
                size_t len = strlen(words[i]);

                if (abi_reply_len(abi, reply) >= len && memcmp(abi_reply_str(abi, reply), words[i], len) == 0)
                        return true;
        }
        return false;
}

/* A context whose replies are the program's own objects, or come by another call, has no use for one of ours. */
static bool stale_is_failure(const struct connection *c, const void *reply)
{
        const struct abi *abi = &c->hiredis->abi;
        int               err;

        if (!request_default_reader(c) || !(ABI_CONTEXT(const int, abi, c->context, FLAGS) & REDIS_BLOCK))
                return false;
        if (reply != NULL)
                return abi_reply_type(reply) == ABI_REPLY_ERROR && stale_is_refusal(abi, reply);
        err = ABI_CONTEXT(const int, abi, c->context, ERR);
        return err == REDIS_ERR_IO || err == REDIS_ERR_EOF || err == STALE_ERR_TIMEOUT;
}

static bool stale_is_known(const struct connection *c, struct stale_before before)
{
        uint32_t against = before.doubt & ~(uint32_t)(DOUBT_FAILED | DOUBT_UNBOUND);

        if (before.doubt & DOUBT_FAILED)
                against &= ~(uint32_t)DOUBT_UNKNOWN;
        return against == 0 && before.owed == 0 && c->endpoint.known;
}

/* Has nobody met another server behind the address since this connection was made? That nobody is there is no news. */
static bool stale_is_same_server(const struct connection *c, const struct server_shm *server)
{
        return mt_load_acquire(&server->incarnation_ns) < c->known_ns ||
               mt_load_relaxed((const _Atomic char *)&server->run_id[0]) == '\0';
}

/* Is what L1 has of this server known to have been true so short a time ago? Of what lives by its time alone that is
 * all there is to know. [F1] acquire, as on the way of a hit: this is loaded before the namespace's id. */
static bool stale_was_true(const struct connection *c, const struct server_shm *server, uint64_t now_ns)
{
        uint64_t fresh_at_ns = mt_load_acquire(&server->fresh_at_ns);

        if (fresh_at_ns == 0) /* [F3] in leader.c: its leader has given up */
                fresh_at_ns = mt_load_relaxed(&server->fresh_was_ns);
        if (c->trusts_ttl && mt_load_relaxed(&runtime.trust_ttl))
                return true;
        return fresh_at_ns != 0 && fresh_at_ns > c->barrier_ns && fresh_at_ns < now_ns + NS_PER_S &&
               now_ns < fresh_at_ns + runtime.options.stale_if_error_ns;
}

/* The id of the connection's namespace, looked up anew: the leader that finds its server gone unbinds every connection.
 * 0: nothing that may be answered from. */
static uint32_t stale_namespace(const struct connection *c, struct l1 *l1, struct server_shm *server, uint64_t now_ns)
{
        uint32_t                    incarnation = mt_load_acquire(&server->incarnation);
        const struct namespace_shm *space;
        uint64_t                    digest[2];

        if (!stale_is_same_server(c, server) || !stale_was_true(c, server, now_ns))
                return 0;
        l1_user_digest(l1, c->authenticated ? c->user : NULL, c->user_len, digest);
        space = l1_namespace(l1, server, c->database, digest);
        return space != NULL ? l1_namespace_id(server, incarnation, space) : 0;
}

static void *stale_find(struct connection *c, struct mt_bytes key)
{
        const struct rule *rule = rules_match(&runtime.options.rules, key);
        struct l1         *l1 = runtime_l1_now();
        struct server_shm *server;
        struct l1_key      wanted;
        struct l1_hit      hit;
        uint64_t           now_ns = clock_precise_ns();

        if (l1 == NULL || key.len > ITEM_KEY_MAX || (rule != NULL && (rule->flags & RULE_BYPASS)))
                return NULL;
        server = l1_server(l1, &c->endpoint.id);
        if (server == NULL)
                return NULL;
        wanted = (struct l1_key){key, l1_hash(l1, l1_server_index(l1, server), key)};
        if (!l1_recall(l1, &wanted, stale_namespace(c, l1, server, now_ns), now_ns, runtime.options.stale_if_error_ns,
                       &hit) ||
            hit.nil)
                return NULL;
        return request_build(&c->hiredis->abi, &hit);
}

/* The server may answer the GET still, and the program, which has its answer, would take that for the next one's. */
static void stale_disown(struct connection *c)
{
        if (c->owed != 0)
                session_unsent(c);
        session_late_own(c);
}

MT_COLD void *stale_answer(struct connection *c, struct mt_bytes key, struct stale_before before, void *reply)
{
        int   saved_errno = errno;
        bool  failed = stale_is_failure(c, reply) && stale_is_known(c, before);
        bool  late = failed && reply == NULL && request_timed_out(c, saved_errno);
        void *stale = failed ? stale_find(c, key) : NULL;

        if (failed && reply == NULL)
                c->doubt |= DOUBT_FAILED;
        if (stale != NULL) {
                if (reply != NULL)
                        c->hiredis->freeReplyObject(reply);
                if (late)
                        stale_disown(c);
                l1_count(runtime_l1_now(), COUNTER_stale_errors, 1);
                reply = stale;
        }
        errno = saved_errno;
        return reply;
}
