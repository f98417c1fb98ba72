/* connection.c - the table of connections: by the address of their context.
 * Structs come from mappings of our own and are never unmapped, so that the threads' caches may hold stale pointers to
 * them. The table is open addressing with tombstones, behind a lock that is taken when a thread meets a context for the
 * first time, and when contexts come and go. */
#include "connection.h"

#include "session.h"

#include "../runtime/runtime.h"

#include "../../l1/base/forklock.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

_Thread_local struct connection *connection_cache[CONNECTION_CACHE];

enum { CONNECTION_CHUNK = 64 }; /* structs that are mapped at a time */

static struct {
        struct forklock     lock;
        struct connection **slot;     /* capacity of them: NULL, a tombstone, or a connection */
        _Atomic uint32_t    capacity; /* a power of two; 0 until the first context, seen without the lock */
        uint32_t            used;     /* tombstones included */
        struct connection  *free;
        struct connection  *fresh; /* what is left of the chunk mapped last: a page is touched when it is needed, */
        uint32_t            fresh_left; /* since a process of a few milliseconds has one connection */
} connection_table;

#define CONNECTION_TOMBSTONE ((struct connection *)(uintptr_t)1)

static void *connection_map(size_t size)
{
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        return memory == MAP_FAILED ? NULL : memory;
}

static void connection_lock(void)
{
        if (forklock_acquire(&connection_table.lock)) {
                memset(connection_cache, 0, sizeof connection_cache); /* a child's only thread, this one */
                /* The parent was changing the table when it forked: its contexts are forwarded here, as if never seen.
                 */
                connection_table.slot = NULL;
                connection_table.free = NULL;
                connection_table.fresh_left = 0;
                connection_table.capacity = 0;
                connection_table.used = 0;
        }
}

static void connection_unlock(void)
{
        forklock_release(&connection_table.lock);
}

/* ------------------------------------------------------------------------- the table; all of it under the lock */

static uint32_t connection_place(const void *context, uint32_t capacity)
{
        return (uint32_t)((uint64_t)(uintptr_t)context * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (capacity - 1);
}

static struct connection **connection_slot(const void *context)
{
        uint32_t mask = connection_table.capacity - 1;

        if (connection_table.slot == NULL)
                return NULL;
        for (uint32_t i = connection_place(context, connection_table.capacity);; i++) {
                struct connection *c = connection_table.slot[i & mask];

                if (c == NULL)
                        return NULL;
                if (c != CONNECTION_TOMBSTONE && c->context == context)
                        return &connection_table.slot[i & mask];
        }
}

static void connection_insert(struct connection *c)
{
        uint32_t mask = connection_table.capacity - 1;
        uint32_t i = connection_place(c->context, connection_table.capacity);

        while (connection_table.slot[i & mask] != NULL)
                i++;
        connection_table.slot[i & mask] = c;
        connection_table.used++;
}

/* Keep at most half of the table in use; rebuilding drops the tombstones. */
static bool connection_reserve(void)
{
        struct connection **old = connection_table.slot;
        uint32_t            old_capacity = connection_table.capacity, live = 0, capacity = 512;

        if (connection_table.used + 1 <= old_capacity / 2)
                return true;
        for (uint32_t i = 0; i < old_capacity; i++)
                live += old[i] != NULL && old[i] != CONNECTION_TOMBSTONE;
        while (capacity < 4 * (live + 1))
                capacity *= 2;
        struct connection **fresh = connection_map(capacity * sizeof(struct connection *));
        if (fresh == NULL)
                return false;
        connection_table.slot = fresh;
        connection_table.capacity = capacity;
        connection_table.used = 0;
        for (uint32_t i = 0; i < old_capacity; i++)
                if (old[i] != NULL && old[i] != CONNECTION_TOMBSTONE)
                        connection_insert(old[i]);
        if (old != NULL)
                munmap(old, old_capacity * sizeof(struct connection *));
        return true;
}

static struct connection *connection_take_free(void)
{
        struct connection *c = connection_table.free;

        if (c != NULL) {
                connection_table.free = c->next_free;
                return c;
        }
        if (connection_table.fresh_left == 0) {
                struct connection *chunk = connection_map(CONNECTION_CHUNK * sizeof *chunk);

                if (chunk == NULL)
                        return NULL;
                madvise(chunk, CONNECTION_CHUNK * sizeof *chunk, MADV_DONTDUMP); /* passwords pass through it */
                connection_table.fresh = chunk;
                connection_table.fresh_left = CONNECTION_CHUNK;
        }
        connection_table.fresh_left--;
        return connection_table.fresh++;
}

/* --------------------------------------------------------------------------------------------- life */

struct connection *connection_find_slow(const void *context)
{
        struct connection **slot, *found = NULL;

        if (context == NULL || mt_load_relaxed(&connection_table.capacity) == 0)
                return NULL;
        connection_lock();
        slot = connection_slot(context);
        if (slot != NULL)
                found = *slot;
        connection_unlock();
        if (found != NULL)
                connection_cache[connection_cache_index(context)] = found;
        return found;
}

/* The struct for this context: the one it has already (its address was reused behind our back), or a fresh one. */
static struct connection *connection_enter(void *context)
{
        struct connection **slot, *c = NULL;

        connection_lock();
        slot = connection_slot(context);
        if (slot != NULL) {
                c = *slot;
        } else if (connection_reserve()) {
                c = connection_take_free();
                if (c != NULL) {
                        c->context = context;
                        connection_insert(c);
                }
        }
        connection_unlock();
        return c;
}

static void connection_begin(struct connection *c, uint64_t began_ns)
{
        session_failed(c); /* of its former life, if anything was owed */
        session_reset(c);
        c->doubt = DOUBT_UNBOUND | (c->nonblock ? DOUBT_NONBLOCK : 0);
        c->server = NULL;
        c->space = NULL;
        c->l1 = NULL;
        c->tls = NULL;
        c->endpoint.known = false;
        if (!c->nonblock) /* now, while a relative path means what it meant to connect() */
                endpoint_of(c->hiredis, c->context, &c->endpoint);
        c->barrier_ns = c->asked_ns = c->l1_since_ns = 0;
        c->replied_ns = clock_coarse_ns(); /* the handshake of the connection itself */
        c->known_ns = began_ns;
        c->maker_pid = getpid();
        c->inside = false;
        c->wrote = false;
        announce_begin(c);
        below_begin(c);
}

struct connection *connection_made(void *context, const struct hiredis *h, bool nonblock, uint64_t began_ns)
{
        int                saved_errno = errno;
        struct connection *c;

        if (context == NULL || !h->abi.known || !runtime_ready())
                return NULL;
        if (runtime_forked())
                runtime_after_fork();
        runtime.on_fork = connection_after_fork;
        c = connection_enter(context);
        if (c != NULL) {
                c->hiredis = h;
                c->nonblock = nonblock;
                connection_begin(c, began_ns);
        }
        errno = saved_errno;
        return c;
}

void connection_remade(struct connection *c, uint64_t began_ns)
{
        int saved_errno = errno;

        connection_begin(c, began_ns);
        errno = saved_errno;
}

void connection_secured(struct connection *c, const struct invalidation_tls *tls)
{
        c->tls = tls;
        c->doubt = (c->doubt & ~(uint32_t)DOUBT_ENDPOINT) | DOUBT_UNBOUND;
}

struct connection *connection_adopt(void *context, const struct hiredis *h)
{
        struct connection *c = connection_made(context, h, false, clock_precise_ns());

        if (c != NULL) {
                c->doubt |= DOUBT_UNKNOWN;
                announce_lose_order(c);
        }
        return c;
}

void connection_foreign(void *context, const struct hiredis *h, uint64_t began_ns)
{
        struct connection *c = connection_made(context, h, false, began_ns);

        if (c == NULL)
                return;
        c->doubt |= DOUBT_UNKNOWN;
        announce_lose_order(c); /* it may be inside of MULTI, or be owed replies */
}

/* The next connection in its place may be another server's. Where there is no segment to say it in, that one pays: it
 * costs too much rather than too little. */
static void connection_leave_debt(struct connection *c)
{
        if (!c->announce.owes || runtime_l1_there() == NULL || !connection_server(c))
                return;
        announce_owe(c);
        c->announce.owes = false;
}

void connection_gone(struct connection *c)
{
        int                 saved_errno = errno;
        struct connection **slot;

        session_failed(c);
        owed_drop_all(&c->multi);
        owed_secret_wipe(&c->secret);
        connection_leave_debt(c);
        announce_end(c);
        below_begin(c);
        connection_lock();
        slot = connection_slot(c->context);
        c->context = c; /* from here on no thread's cache takes it for that context's */
        if (slot != NULL && *slot == c) {
                *slot = CONNECTION_TOMBSTONE;
                c->next_free = connection_table.free;
                connection_table.free = c;
        }
        connection_unlock();
        errno = saved_errno;
}

void connection_after_fork(void)
{
        connection_lock();
        for (uint32_t i = 0; connection_table.slot != NULL && i < connection_table.capacity; i++) {
                struct connection *c = connection_table.slot[i];

                if (c != NULL && c != CONNECTION_TOMBSTONE) {
                        c->doubt |= DOUBT_INHERITED;
                        c->announce.origin.number = 0; /* the parent goes on counting as that one */
                }
        }
        connection_unlock();
}

/* ------------------------------------------------------------------------------------------------- binding */

bool connection_fell_back(struct connection *c)
{
        if (c->server == NULL || (invalidation_source(&c->endpoint.id) == c->endpoint.id.source &&
                                  invalidation_trusts_ttl(&c->endpoint.id) == c->trusts_ttl))
                return false;
        c->server = NULL;
        c->doubt |= DOUBT_UNBOUND;
        /* What this connection has written was cleared in the place that it leaves; where it goes, it was announced. */
        if (c->wrote)
                c->barrier_ns = clock_precise_ns();
        return true;
}

bool connection_server(struct connection *c)
{
        struct l1 *l1 = runtime_l1();

        if (l1 != NULL && c->l1 == l1 && c->server != NULL &&
            mt_load_acquire(&c->server->incarnation) == c->incarnation)
                return true;
        if (c->owed != 0 && c->server != NULL)
                c->doubt |=
                        DOUBT_UNKNOWN; /* what is owed was hashed for another place: its keys could not be cleared */
        c->l1 = l1;
        c->server = NULL;
        c->space = NULL;
        c->doubt |= DOUBT_UNBOUND;
        if (l1 == NULL)
                return false;
        if (!c->endpoint.known)
                endpoint_of(c->hiredis, c->context, &c->endpoint);
        if (!c->endpoint.known)
                return false;
        c->endpoint.id.source = invalidation_source(&c->endpoint.id);
        c->trusts_ttl = invalidation_trusts_ttl(&c->endpoint.id);
        c->server = l1_server(l1, &c->endpoint.id);
        if (c->server == NULL)
                return false;
        if (c->wrote && c->l1_since_ns < runtime_attached_ns() && c->known_ns < runtime_attached_ns())
                c->barrier_ns = runtime_attached_ns(); /* what it wrote before then was cleared by nobody here */
        c->l1_since_ns = runtime_attached_ns();
        c->server_index = l1_server_index(l1, c->server);
        c->incarnation = mt_load_acquire(&c->server->incarnation);
        return true;
}

/* For an agent, which knows of the server's address alone. */
static void connection_say_secured(const struct connection *c)
{
        if ((mt_load_relaxed(&c->server->flags) & SERVER_SECURED) == 0)
                atomic_fetch_or_explicit(&c->server->flags, SERVER_SECURED, memory_order_acq_rel);
}

/* Could a listener reach this server as the program does? Something else than hiredis_ssl, or a copy of it inside of
 * the program, may have secured the connection in a way that we have not seen. */
static bool connection_within_reach(struct connection *c)
{
        const struct abi *abi = &c->hiredis->abi;
        bool              encrypted = abi->privctx != 0 && ABI_FIELD(void *const, c->context, abi->privctx) != NULL;
        bool              always = runtime.options.tls == INVALIDATION_TLS_ON;

        c->endpoint.address.tls = encrypted ? c->tls : NULL;
        if (always && c->endpoint.address.tls == NULL)
                c->endpoint.address.tls = invalidation_tls_intern(NULL);
        if (encrypted || always)
                connection_say_secured(c);
        return c->endpoint.address.tls != NULL || !(encrypted || always);
}

void connection_bind(struct connection *c)
{
        uint64_t digest[2];

        c->doubt &= ~(uint32_t)(DOUBT_SEGMENT | DOUBT_ENDPOINT | DOUBT_INCARNATION);
        if (!connection_server(c)) {
                c->doubt |= c->l1 != NULL && !c->endpoint.known ? DOUBT_ENDPOINT : DOUBT_SEGMENT;
                return;
        }
        if (!connection_within_reach(c)) {
                c->doubt |= DOUBT_ENDPOINT;
                return;
        }
        l1_user_digest(c->l1, c->authenticated ? c->user : NULL, c->user_len, digest);
        c->space = l1_namespace(c->l1, c->server, c->database, digest);
        if (c->space == NULL) {
                c->doubt |= DOUBT_SEGMENT;
                return;
        }
        if (mt_load_acquire(&c->server->incarnation_ns) >= c->known_ns)
                c->doubt |= DOUBT_INCARNATION;
        /* "default" without a password lets everybody in; when it gets one, those who are in stay in, and who comes
         * later is nobody: two kinds of connections that never authenticated, told apart by an answer. */
        if (!c->authenticated && !c->proved && (mt_load_acquire(&c->server->flags) & SERVER_GUARDED))
                c->doubt |= DOUBT_UNPROVED;
        c->doubt &= ~(uint32_t)DOUBT_UNBOUND;
}
