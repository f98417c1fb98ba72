/* server.c - the table of servers: found by the address that programs reach them at, given to another when long
 * unused.
 *
 * Giving a place away, in this order, so that nobody is ever served what belongs to the other server: the incarnation
 * moves (whoever keeps the pointer compares it after loading a namespace's id, see l1_namespace_id()), the namespaces
 * lose their ids, fresh_at_ns becomes 0, then the identity changes. A leader that was stopped all that time finds a
 * leader word that is not its own. */
#include "namespace.h"

#include "../base/log.h"

#define SERVER_UNUSED_NS (60 * NS_PER_S)

uint32_t l1_server_index(const struct l1 *l1, const struct server_shm *server)
{
        ptrdiff_t index = server - l1->servers;

        return index >= 0 && index < SERVER_MAX ? (uint32_t)index : 0;
}

struct server_shm *l1_server_at(struct l1 *l1, uint32_t index)
{
        return index < SERVER_MAX && mt_load_acquire(&l1->servers[index].state) == SERVER_READY ? &l1->servers[index]
                                                                                                : NULL;
}

/* One that changes while it is read belongs to a place whose namespaces get new ids just then. */
static bool server_may_be(const struct server_shm *a, const struct server_shm *b)
{
        char ids[2][sizeof a->run_id];

        mt_copy_from_shared(ids[0], a->run_id, sizeof ids[0]);
        mt_copy_from_shared(ids[1], b->run_id, sizeof ids[1]);
        return a == b || ids[0][0] == '\0' || ids[1][0] == '\0' || memcmp(ids[0], ids[1], sizeof ids[0]) == 0;
}

struct server_shm *l1_server_alias(struct l1 *l1, const struct server_shm *server, uint32_t *index)
{
        while (*index < SERVER_MAX) {
                struct server_shm *other = l1_server_at(l1, (*index)++);

                if (other != NULL && server_may_be(server, other))
                        return other;
        }
        return NULL;
}

/* The identity's words are plain, and another process may be giving the place away: the incarnation is looked at before
 * and after. [I1] acquire pairs with [I2] in server_vacate(). */
static bool server_is(const struct server_shm *server, const struct l1_server_id *wanted)
{
        uint32_t incarnation = mt_load_acquire(&server->incarnation), family;
        uint64_t id[3], source;

        if (mt_load_acquire(&server->state) != SERVER_READY)
                return false;
        mt_copy_from_shared(&family, &server->family, sizeof family);
        mt_copy_from_shared(id, server->id, sizeof id);
        source = mt_load_relaxed(&server->source);
        mt_fence_acquire();
        return family == wanted->family && memcmp(id, wanted->id, sizeof id) == 0 && source == wanted->source &&
               mt_load_relaxed(&server->state) == SERVER_READY && mt_load_relaxed(&server->incarnation) == incarnation;
}

static struct server_shm *server_find(const struct l1 *l1, const struct l1_server_id *wanted)
{
        for (uint32_t i = 0; i < SERVER_MAX; i++) {
                if (server_is(&l1->servers[i], wanted))
                        return &l1->servers[i];
        }
        return NULL;
}

static bool server_unused(const struct server_shm *server, uint64_t now_ns)
{
        bool led = mt_load_relaxed(&server->leader) != 0 && mt_load_relaxed(&server->leader_until_ns) > now_ns;

        return !led && now_ns > mt_load_relaxed(&server->used_ns) + SERVER_UNUSED_NS;
}

/* A free place, else the one that was unused for longest; between enter and leave. */
static struct server_shm *server_choose(struct l1 *l1, uint64_t now_ns)
{
        struct server_shm *best = NULL;

        for (uint32_t i = 0; i < SERVER_MAX; i++) {
                struct server_shm *server = &l1->servers[i];

                if (mt_load_relaxed(&server->state) != SERVER_READY)
                        return server;
                if (server_unused(server, now_ns) &&
                    (best == NULL || mt_load_relaxed(&server->used_ns) < mt_load_relaxed(&best->used_ns)))
                        best = server;
        }
        return best;
}

static void server_reset(struct server_shm *server)
{
        mt_store_relaxed(&server->fresh_was_ns, 0);
        mt_store_release(&server->fresh_at_ns, 0);
        mt_store_relaxed(&server->flags, 0);
        mt_store_relaxed(&server->leader, 0);
        mt_store_relaxed(&server->leader_until_ns, 0);
        mt_fetch_add_relaxed(&server->leader_term, 1);
        mt_store_relaxed(&server->leader_tid, 0);
        mt_store_relaxed(&server->ping_wanted, 0);
        mt_store_relaxed(&server->bound_ms, 0);
        mt_store_relaxed(&server->retry_ns, 0);
        mt_store_relaxed(&server->costly_until_ns, 0);
        mt_store_relaxed(&server->invalidations, 0);
        mt_store_relaxed(&server->reconnects, 0);
        mt_store_relaxed(&server->flushes, 0);
        mt_store_relaxed(&server->debt, 0);
}

/* The first steps of giving a place away; between enter and leave. */
static void server_vacate(struct l1 *l1, struct server_shm *server)
{
        mt_store_release(&server->state, SERVER_CLAIMED);
        mt_fetch_add_acq_rel(&server->incarnation, 1);
        namespace_drop_server(l1, l1_server_index(l1, server));
        server_reset(server);
        mt_fence_release(); /* [I2]: whoever sees a word of the next identity sees the incarnation moved */
}

bool server_retire_unused(struct l1 *l1, const struct server_shm *keep, uint64_t now_ns)
{
        bool any = false;

        for (uint32_t i = 0; i < SERVER_MAX; i++) {
                struct server_shm *server = &l1->servers[i];

                if (server == keep || mt_load_relaxed(&server->state) != SERVER_READY || !server_unused(server, now_ns))
                        continue;
                server_vacate(l1, server);
                mt_store_release(&server->state, SERVER_FREE);
                any = true;
        }
        return any;
}

/* [N] release: the incarnation stands before anything else changes; pairs with l1_namespace_id(). */
static struct server_shm *server_claim(struct l1 *l1, const struct l1_server_id *id, uint64_t now_ns)
{
        struct server_shm *server = server_choose(l1, now_ns);
        char               address[sizeof server->address] = "", run_id[sizeof server->run_id] = "";

        if (server == NULL)
                return NULL;
        server_vacate(l1, server);
        memcpy(address, id->address, sizeof address - 1);
        mt_copy_to_shared(server->address, address, sizeof address);
        mt_copy_to_shared(server->run_id, run_id, sizeof run_id);
        mt_copy_to_shared(&server->family, &id->family, sizeof id->family);
        mt_copy_to_shared(server->id, id->id, sizeof id->id);
        mt_store_relaxed(&server->source, id->source);
        mt_store_relaxed(&server->used_ns, now_ns);
        mt_store_release(&server->state, SERVER_READY);
        return server;
}

struct server_shm *l1_server(struct l1 *l1, const struct l1_server_id *id)
{
        struct server_shm *server = server_find(l1, id);
        uint64_t           now_ns = clock_coarse_ns();

        if (server == NULL && namespace_enter(l1)) {
                server = server_find(l1, id);
                if (server == NULL)
                        server = server_claim(l1, id, now_ns);
                namespace_leave(l1);
                if (server == NULL)
                        log_once(LOG_WARN, "%s: more than %d servers in use: %s is not cached", l1->path, SERVER_MAX,
                                 id->address);
        }
        if (server != NULL && l1->writable)
                mt_store_relaxed(&server->used_ns, now_ns);
        return server;
}
