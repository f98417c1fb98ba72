/* namespace.c - (server, database, user) to an id that is never used twice, and the flush that changes it.
 *
 * A hit compares one word, the id: whatever was filled under an id that its namespace no longer carries is not found
 * any more, and leaves when its log segment is reclaimed. Ids run out after four billion flushes of a database; then
 * nothing is found and nothing is filled any more, until the segment is removed. */
#include "namespace.h"

#include "../base/log.h"
#include "../segment/process.h"
#include "counters.h"

#include <time.h>

/* So many could be drawing at once, and do no harm. */
#define NAMESPACE_LAST        (UINT32_MAX / SERVER_MAX - (UINT32_C(1) << 20))
#define NAMESPACE_ENTER_TRIES 40
#define NAMESPACE_ENTER_NS    50000
#define NAMESPACE_RETRY_NS    (250 * NS_PER_MS) /* after the living took too long: stopped, perhaps, for hours */

/* ------------------------------------------------------------------------------------------------------- the lock */

/* Who waited in vain looks in without waiting for a while: the holder may be stopped for hours, and each GET of a
 * connection that has no namespace yet asks again. */
bool namespace_enter(struct l1 *l1)
{
        struct timespec moment = {.tv_nsec = NAMESPACE_ENTER_NS};
        uint64_t        self, now_ns = clock_coarse_ns(), retry_ns = mt_load_relaxed(&l1->table_retry_ns);
        bool            waits = now_ns >= retry_ns || retry_ns - now_ns > NAMESPACE_RETRY_NS;

        if (!segment_enter(l1))
                return false;
        self = process_self(l1);
        for (int try = 0; self != 0 && try < (waits ? NAMESPACE_ENTER_TRIES : 1); try++) {
                bool look = waits ? try % 16 == 1 : process_look_due(l1, now_ns);

                if (process_own(l1, &l1->header->table_owner, self, look))
                        return true;
                if (waits)
                        nanosleep(&moment, NULL);
        }
        if (self != 0 && waits)
                mt_store_relaxed(&l1->table_retry_ns, now_ns + NAMESPACE_RETRY_NS);
        segment_leave(l1);
        return false;
}

void namespace_leave(struct l1 *l1)
{
        uint64_t self = mt_load_relaxed(&l1->self);

        mt_cas_acq_rel(&l1->header->table_owner, &self, 0); /* [O1] release: pairs with process_own() */
        segment_leave(l1);
}

uint32_t namespace_high(const struct l1 *l1)
{
        /* Acquire: pairs with the release in namespace_claim(), the places below have been filled in. */
        uint32_t high = mt_load_acquire(&l1->header->namespaces_high);

        return high < NAMESPACE_MAX ? high : NAMESPACE_MAX;
}

/* ------------------------------------------------------------------------------------------------------------ ids */

/* A number that was never used, and the server's in the lower bits: an item says with its id whose it is. */
static uint32_t namespace_new_id(struct l1 *l1, uint32_t server_index)
{
        if (mt_load_relaxed(&l1->header->namespace_next) < NAMESPACE_LAST)
                return mt_fetch_add_relaxed(&l1->header->namespace_next, 1) * SERVER_MAX + server_index % SERVER_MAX;
        log_once(LOG_WARN,
                 "%s: namespace ids have run out: nothing is kept any more; remove it when no program uses it",
                 l1->path);
        return 0;
}

bool namespace_lives(const struct l1 *l1, uint32_t id)
{
        uint32_t high = namespace_high(l1);

        for (uint32_t i = 0; i < high; i++) {
                if (mt_load_relaxed(&l1->namespaces[i].id) == id)
                        return true;
        }
        return false;
}

void namespace_filter_build(const struct l1 *l1, struct namespace_filter *filter)
{
        uint32_t high = namespace_high(l1);

        *filter = (struct namespace_filter){0};
        for (uint32_t i = 0; i < high; i++) {
                uint32_t id = mt_load_relaxed(&l1->namespaces[i].id), bit = namespace_filter_bit(id);

                if (id != 0)
                        filter->word[bit / 64] |= UINT64_C(1) << (bit % 64);
        }
}

/* --------------------------------------------------------------------------------------------------------- places */

void l1_user_digest(const struct l1 *l1, const char *name, size_t len, uint64_t digest[2])
{
        struct hash_key first = {{l1->hash_key.word[0] ^ UINT64_C(0x5d6f3a8c1e9b4720), l1->hash_key.word[1]}};
        struct hash_key second = {{l1->hash_key.word[0], l1->hash_key.word[1] ^ UINT64_C(0x91c7e25b08d4f36a)}};

        /* No name is not the name "", nor any other: the lowest bit says which. */
        digest[0] = mt_hash(name, name != NULL ? len : 0, first);
        digest[1] = (mt_hash(name, name != NULL ? len : 0, second) & ~UINT64_C(1)) | (name != NULL);
}

/* Is it this one? Its words are plain and another process may be giving the place away; the state is looked at before
 * and after: [T1] acquire pairs with [T2], READY shows all of the words, and a word of the next holder shows that the
 * state was left. */
static bool namespace_is(const struct namespace_shm *ns, const struct namespace_shm *wanted)
{
        struct namespace_shm copy;

        if (mt_load_acquire(&ns->state) != SERVER_READY)
                return false;
        mt_copy_from_shared(&copy, ns, sizeof copy);
        mt_fence_acquire();
        return mt_load_relaxed(&ns->state) == SERVER_READY && copy.server == wanted->server &&
               copy.database == wanted->database && copy.user[0] == wanted->user[0] && copy.user[1] == wanted->user[1];
}

static struct namespace_shm *namespace_find(const struct l1 *l1, const struct namespace_shm *wanted)
{
        uint32_t high = namespace_high(l1);

        for (uint32_t i = 0; i < high; i++) {
                if (namespace_is(&l1->namespaces[i], wanted))
                        return &l1->namespaces[i];
        }
        return NULL;
}

/* Between enter and leave. */
static struct namespace_shm *namespace_claim(struct l1 *l1, const struct namespace_shm *wanted)
{
        uint32_t              high = namespace_high(l1), i = 0;
        struct namespace_shm *ns;

        while (i < high && mt_load_relaxed(&l1->namespaces[i].state) == SERVER_READY)
                i++;
        if (i == NAMESPACE_MAX)
                return NULL;
        ns = &l1->namespaces[i];
        mt_store_release(&ns->id, 0);
        mt_store_release(&ns->state, SERVER_CLAIMED);
        mt_fence_release(); /* [T2]: CLAIMED stands before any word changes, READY after all have */
        mt_copy_to_shared(&ns->server, &wanted->server, sizeof *ns - offsetof(struct namespace_shm, server));
        mt_store_release(&ns->id, namespace_new_id(l1, wanted->server));
        mt_store_release(&ns->state, SERVER_READY);
        if (i == high)
                mt_store_release(&l1->header->namespaces_high, high + 1);
        return ns;
}

struct namespace_shm *l1_namespace(struct l1 *l1, const struct server_shm *server, uint32_t database,
                                   const uint64_t user[2])
{
        struct namespace_shm wanted = {
                .server = l1_server_index(l1, server),
                .database = database,
                .user = {user[0], user[1]},
                .server_incarnation = mt_load_relaxed(&server->incarnation),
        };
        struct namespace_shm *ns = namespace_find(l1, &wanted);

        if (ns != NULL || !namespace_enter(l1))
                return ns;
        ns = namespace_find(l1, &wanted);
        if (ns == NULL)
                ns = namespace_claim(l1, &wanted);
        if (ns == NULL && server_retire_unused(l1, server, clock_coarse_ns()))
                ns = namespace_claim(l1, &wanted);
        namespace_leave(l1);
        if (ns == NULL)
                log_once(LOG_WARN, "%s: more than %d databases and users in use: further ones are not cached", l1->path,
                         NAMESPACE_MAX);
        return ns;
}

void namespace_drop_server(struct l1 *l1, uint32_t server_index)
{
        for (uint32_t i = 0; i < namespace_high(l1); i++) {
                struct namespace_shm *ns = &l1->namespaces[i];

                if (mt_load_acquire(&ns->state) == SERVER_FREE || ns->server != server_index)
                        continue;
                mt_store_release(&ns->id, 0);
                mt_store_release(&ns->state, SERVER_FREE);
        }
}

/* ---------------------------------------------------------------------------------------------------------- flushes */

/* Of all databases, or the one; of all users, or the one. Release: the new ids stand before whatever the caller stores
 * next, fresh_at_ns above all (rule (c) at l1_find()). */
static void namespace_flush(struct l1 *l1, struct server_shm *server, const uint32_t *database, const uint64_t *user)
{
        uint32_t index = l1_server_index(l1, server);

        if (!l1->writable)
                return;
        for (uint32_t i = 0; i < namespace_high(l1); i++) {
                struct namespace_shm *ns = &l1->namespaces[i];
                struct namespace_shm  copy = {0};

                if (mt_load_acquire(&ns->id) == 0)
                        continue;
                mt_copy_from_shared(&copy.server, &ns->server, sizeof copy - offsetof(struct namespace_shm, server));
                if (copy.server == index && (database == NULL || copy.database == *database) &&
                    (user == NULL || memcmp(copy.user, user, sizeof copy.user) == 0))
                        mt_store_release(&ns->id, namespace_new_id(l1, index));
        }
        mt_fetch_add_relaxed(&server->flushes, 1);
        if (database == NULL && user == NULL)
                mt_fetch_add_acq_rel(&server->epoch, 1);
        counters_add(l1, COUNTER_flushes, 1);
        mt_fence_release();
}

void l1_flush_server(struct l1 *l1, struct server_shm *server)
{
        namespace_flush(l1, server, NULL, NULL);
}

void l1_flush_database(struct l1 *l1, struct server_shm *server, uint32_t database)
{
        namespace_flush(l1, server, &database, NULL);
}

void l1_flush_user(struct l1 *l1, struct server_shm *server, const uint64_t user[2])
{
        namespace_flush(l1, server, NULL, user);
}

void l1_flush_all(struct l1 *l1)
{
        for (uint32_t i = 0; i < SERVER_MAX; i++) {
                struct server_shm *server = l1_server_at(l1, i);

                if (server != NULL)
                        namespace_flush(l1, server, NULL, NULL);
        }
}
