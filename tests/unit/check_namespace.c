/* check_namespace.c - servers and namespaces: found, claimed, flushed, given to others; and what the dead leave half
 * done. */
#include "l1_fixture.h"

#include "l1/cache/namespace.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#define KEY   mt_bytes_of("k")
#define VALUE mt_bytes_of("value")

static struct server_shm *server_number(unsigned n)
{
        struct l1_server_id id;

        fixture_name_server(&id, n);
        return l1_server(fixture.l1, &id);
}

START_TEST(servers)
{
        struct server_shm *one = server_number(1), *two = server_number(2);

        ck_assert_ptr_nonnull(one);
        ck_assert_ptr_ne(one, two);
        ck_assert_ptr_eq(server_number(1), one);
        ck_assert_ptr_eq(server_number(2), two);
        ck_assert_ptr_eq(l1_server_at(fixture.l1, l1_server_index(fixture.l1, two)), two);
        ck_assert_ptr_null(l1_server_at(fixture.l1, 77));
        ck_assert_ptr_null(l1_server_at(fixture.l1, SERVER_MAX));
        ck_assert_str_eq(one->address, "/run/test-1.sock");
        ck_assert_uint_gt(mt_load_relaxed(&one->incarnation), 0);
        ck_assert_uint_eq(mt_load_relaxed(&one->fresh_at_ns), 0);
        /* The same key hashes to other tags, in other buckets. */
        uint64_t a = l1_hash(fixture.l1, 1, KEY), b = l1_hash(fixture.l1, 2, KEY);
        ck_assert_uint_ne(a & SLOT_TAG_MASK, b & SLOT_TAG_MASK);
        ck_assert_uint_ne(a >> SLOT_TAG_BITS, b >> SLOT_TAG_BITS);
}
END_TEST

/* Nobody sees what another user, database or server has. */
START_TEST(apart)
{
        static const char *names[] = {NULL, "", "default", "alice", "alicf"};
        uint32_t           ids[5 * 3], n = 0;
        uint64_t           user[2], other[2];
        struct l1_key      key = fixture_key(KEY);
        struct l1_hit      hit;

        for (unsigned u = 0; u < 5; u++) {
                l1_user_digest(fixture.l1, names[u], names[u] != NULL ? strlen(names[u]) : 0, user);
                for (unsigned v = 0; v < u; v++) {
                        l1_user_digest(fixture.l1, names[v], names[v] != NULL ? strlen(names[v]) : 0, other);
                        ck_assert(user[0] != other[0] || user[1] != other[1]);
                }
                for (uint32_t db = 0; db < 3; db++) {
                        struct namespace_shm *ns = l1_namespace(fixture.l1, fixture.server, db, user);

                        ck_assert_ptr_nonnull(ns);
                        ck_assert_ptr_eq(l1_namespace(fixture.l1, fixture.server, db, user), ns);
                        ids[n++] = l1_namespace_id(fixture.server, fixture.incarnation, ns);
                }
        }
        for (uint32_t i = 0; i < n; i++) {
                struct l1_lease lease;

                ck_assert(l1_lease(fixture.l1, &key, ids[i], clock_coarse_ns(), &lease));
                ck_assert(l1_fill(fixture.l1, &key, &lease, mt_bytes(&ids[i], 4), clock_coarse_ns() + NS_PER_S));
                for (uint32_t j = 0; j < n; j++) {
                        uint32_t got;

                        if (l1_find(fixture.l1, &key, ids[j], clock_coarse_ns(), &hit) && l1_copy(&hit, &got))
                                ck_assert_uint_eq(got, ids[j]);
                }
        }
        ck_assert(!l1_find(fixture.l1, &key, mt_load_relaxed(&fixture.l1->header->namespace_next) * SERVER_MAX,
                           clock_coarse_ns(), &hit));
}
END_TEST

/* The same key of as many servers as a host has: all of them at the same time. */
START_TEST(same_key_of_many_servers)
{
        enum { SERVERS = 64 };
        struct server_shm    *server[SERVERS];
        struct namespace_shm *ns[SERVERS];
        struct l1_key         key[SERVERS];
        struct l1_server_id   id;
        struct l1_lease       lease;
        struct l1_hit         hit;
        uint64_t              user[2];
        unsigned              hits = 0;

        l1_user_digest(fixture.l1, NULL, 0, user);
        for (unsigned i = 0; i < SERVERS; i++) {
                fixture_name_server(&id, i);
                server[i] = l1_server(fixture.l1, &id);
                ck_assert_ptr_nonnull(server[i]);
                ns[i] = l1_namespace(fixture.l1, server[i], 0, user);
                ck_assert_ptr_nonnull(ns[i]);
                key[i].key = mt_bytes_of("config");
                key[i].hash = l1_hash(fixture.l1, l1_server_index(fixture.l1, server[i]), key[i].key);
                ck_assert(l1_lease(fixture.l1, &key[i], mt_load_relaxed(&ns[i]->id), clock_coarse_ns(), &lease));
                ck_assert(l1_fill(fixture.l1, &key[i], &lease, mt_bytes_of("v"), clock_coarse_ns() + 300 * NS_PER_S));
        }
        for (unsigned i = 0; i < SERVERS; i++)
                hits += l1_find(fixture.l1, &key[i], mt_load_relaxed(&ns[i]->id), clock_coarse_ns(), &hit);
        ck_assert_uint_eq(hits, SERVERS);
}
END_TEST

START_TEST(flush)
{
        uint64_t              user[2] = {1, 2};
        struct namespace_shm *one = l1_namespace(fixture.l1, fixture.server, 1, user);
        struct server_shm    *other = server_number(9);
        struct namespace_shm *theirs = l1_namespace(fixture.l1, other, 1, user);
        struct l1_key         key = fixture_key(KEY);
        struct l1_lease       lease;
        uint32_t              zero_id = fixture_id(), one_id = one->id, theirs_id = theirs->id, epoch;

        ck_assert(fixture_put(KEY, VALUE));
        l1_flush_database(fixture.l1, fixture.server, 1);
        ck_assert_uint_ne(mt_load_relaxed(&one->id), one_id);
        ck_assert_uint_eq(fixture_id(), zero_id);
        ck_assert(fixture_has(KEY, VALUE));
        epoch = mt_load_relaxed(&fixture.server->epoch);
        /* A fill that began before the flush is not found after it. */
        l1_remove(fixture.l1, key.hash);
        ck_assert(fixture_lease(&key, &lease));
        l1_flush_server(fixture.l1, fixture.server);
        ck_assert(l1_fill(fixture.l1, &key, &lease, VALUE, clock_coarse_ns() + NS_PER_S));
        ck_assert(!fixture_has(KEY, VALUE));
        ck_assert_uint_eq(mt_load_relaxed(&fixture.server->epoch), epoch + 1);
        ck_assert_uint_eq(mt_load_relaxed(&fixture.server->flushes), 2);
        ck_assert_uint_eq(mt_load_relaxed(&theirs->id), theirs_id);
        l1_flush_all(fixture.l1);
        ck_assert_uint_ne(mt_load_relaxed(&theirs->id), theirs_id);
        ck_assert_uint_eq(fixture_count(COUNTER_flushes), 4);
        for (uint32_t i = 0; i < 3; i++) /* never an id twice, and never 0 */
                ck_assert_uint_gt(mt_load_relaxed(&fixture.l1->namespaces[i].id), zero_id);
}
END_TEST

/* One user of one server, in every database; items and fills of everybody else stay. */
START_TEST(flush_of_a_user)
{
        enum { OTHERS = 4, DATABASES = 3 };
        struct namespace_shm *mine[DATABASES], *theirs[OTHERS][DATABASES];
        struct server_shm    *other = server_number(9);
        const char           *names[OTHERS] = {NULL, "", "bob", "alicf"};
        struct l1_key         key = fixture_key(KEY);
        struct l1_lease       lease;
        struct l1_hit         hit;
        uint64_t              user[2], of[2];
        uint32_t              old_id, theirs_id, epoch = mt_load_relaxed(&fixture.server->epoch);

        l1_user_digest(fixture.l1, "alice", 5, user);
        for (uint32_t db = 0; db < DATABASES; db++) {
                mine[db] = l1_namespace(fixture.l1, fixture.server, db, user);
                for (unsigned u = 0; u < OTHERS; u++) {
                        l1_user_digest(fixture.l1, names[u], names[u] != NULL ? strlen(names[u]) : 0, of);
                        theirs[u][db] = l1_namespace(fixture.l1, fixture.server, db, of);
                        ck_assert(l1_lease(fixture.l1, &key, theirs[u][db]->id, clock_coarse_ns(), &lease));
                        ck_assert(l1_fill(fixture.l1, &key, &lease, VALUE, clock_coarse_ns() + 300 * NS_PER_S));
                        l1_remove(fixture.l1, key.hash);
                }
        }
        theirs_id = l1_namespace(fixture.l1, other, 0, user)->id;
        old_id = mine[0]->id;
        /* What alice is filling just now is not found afterwards, what bob is filling is. */
        ck_assert(l1_lease(fixture.l1, &key, old_id, clock_coarse_ns(), &lease));
        l1_flush_user(fixture.l1, fixture.server, user);
        ck_assert(l1_fill(fixture.l1, &key, &lease, VALUE, clock_coarse_ns() + 300 * NS_PER_S));
        ck_assert(!l1_find(fixture.l1, &key, mt_load_relaxed(&mine[0]->id), clock_coarse_ns(), &hit));
        l1_remove(fixture.l1, key.hash);
        ck_assert(l1_lease(fixture.l1, &key, theirs[2][0]->id, clock_coarse_ns(), &lease));
        l1_flush_user(fixture.l1, fixture.server, user);
        ck_assert(l1_fill(fixture.l1, &key, &lease, VALUE, clock_coarse_ns() + 300 * NS_PER_S));
        ck_assert(l1_find(fixture.l1, &key, mt_load_relaxed(&theirs[2][0]->id), clock_coarse_ns(), &hit));
        for (uint32_t db = 0; db < DATABASES; db++) {
                ck_assert_uint_gt(mt_load_relaxed(&mine[db]->id), theirs_id); /* new in each database */
                for (unsigned u = 0; u < OTHERS; u++)
                        ck_assert_uint_lt(mt_load_relaxed(&theirs[u][db]->id), theirs_id);
        }
        ck_assert_uint_eq(mt_load_relaxed(&l1_namespace(fixture.l1, other, 0, user)->id), theirs_id);
        ck_assert_uint_eq(mt_load_relaxed(&fixture.server->epoch), epoch);
}
END_TEST

/* A host that flushes all the time: the same keys under old ids do not push the others out of the index. */
START_TEST(flushes_leave_no_litter)
{
        struct l1_totals totals;
        char             number[32];

        for (unsigned round = 0; round < 200; round++) {
                for (unsigned i = 0; i < 100; i++)
                        ck_assert(fixture_put(fixture_number(number, "k", i), VALUE));
                l1_flush_server(fixture.l1, fixture.server);
        }
        l1_totals(fixture.l1, true, &totals);
        ck_assert_uint_le(totals.items, 100);
        ck_assert_uint_eq(totals.count[COUNTER_index_evictions], 0);
}
END_TEST

START_TEST(ids_run_out)
{
        struct l1_lease lease;
        struct l1_key   key = fixture_key(KEY);

        ck_assert(fixture_put(KEY, VALUE));
        mt_store_relaxed(&fixture.l1->header->namespace_next, UINT32_MAX / SERVER_MAX - (1u << 20) - 2);
        l1_flush_server(fixture.l1, fixture.server);
        ck_assert(fixture_put(KEY, VALUE));
        l1_flush_server(fixture.l1, fixture.server);
        ck_assert(fixture_put(KEY, VALUE));
        for (int i = 0; i < 3; i++) {
                l1_flush_server(fixture.l1, fixture.server);
                ck_assert_uint_eq(fixture_id(), 0);
                ck_assert(!fixture_has(KEY, VALUE));
                ck_assert(!fixture_lease(&key, &lease));
        }
        ck_assert_uint_lt(mt_load_relaxed(&fixture.l1->header->namespace_next),
                          UINT32_MAX / SERVER_MAX - (1u << 20) + 1);
}
END_TEST

/* ----------------------------------------------------------------------------------------------- full tables */

START_TEST(namespaces_full)
{
        uint64_t user[2] = {1, 2};
        uint32_t n = 0;

        while (l1_namespace(fixture.l1, fixture.server, n + 1, user) != NULL)
                n++;
        ck_assert_uint_eq(n, NAMESPACE_MAX - 1);
        ck_assert(fixture_put(KEY, VALUE));
        ck_assert_ptr_nonnull(l1_namespace(fixture.l1, fixture.server, 5, user));
}
END_TEST

#ifdef MT_TEST_CLOCK
static void advance(uint64_t ns)
{
        atomic_fetch_add(&clock_test_offset_ns, (int64_t)ns);
}

/* What servers that nobody uses any more have filled is given away (each restart on a unix socket leaves one), what is
 * in use is not. */
START_TEST(namespaces_of_the_unused)
{
        uint64_t              user[2] = {1, 2};
        struct server_shm    *gone = server_number(1);
        uint32_t              n = 0;
        struct namespace_shm *kept = l1_namespace(fixture.l1, fixture.server, 1, user);

        while (l1_namespace(fixture.l1, gone, n, user) != NULL)
                n++;
        ck_assert_uint_eq(n, NAMESPACE_MAX - 2);
        ck_assert_ptr_null(l1_namespace(fixture.l1, fixture.server, 2, user));
        advance(61 * NS_PER_S);
        ck_assert_ptr_nonnull(l1_namespace(fixture.l1, fixture.server, 2, user));
        ck_assert_uint_ne(l1_namespace_id(fixture.server, fixture.incarnation, kept), 0);
        ck_assert_ptr_null(l1_server_at(fixture.l1, l1_server_index(fixture.l1, gone)));
        ck_assert_ptr_nonnull(server_number(1));
        ck_assert_ptr_nonnull(l1_namespace(fixture.l1, server_number(1), 0, user));
}
END_TEST

/* The table is full: a server in use keeps its place; one that nobody used for a minute loses it, and whoever still
 * holds on to it is served nothing. */
START_TEST(recycled)
{
        uint64_t              user[2] = {1, 2};
        struct server_shm    *server, *first = server_number(1);
        uint32_t              incarnation = mt_load_relaxed(&first->incarnation);
        struct namespace_shm *ns = l1_namespace(fixture.l1, first, 0, user);

        ck_assert_uint_ne(l1_namespace_id(first, incarnation, ns), 0);
        for (unsigned n = 2; n < SERVER_MAX; n++)
                ck_assert_ptr_nonnull(server_number(n));
        ck_assert_ptr_null(server_number(SERVER_MAX));
        advance(61 * NS_PER_S);
        /* Led ones and used ones stay. */
        for (uint32_t i = 0; i < SERVER_MAX; i++) {
                server = l1_server_at(fixture.l1, i);
                if (server == first)
                        continue;
                if (i % 2 == 0) {
                        mt_store_relaxed(&server->used_ns, clock_coarse_ns());
                } else {
                        mt_store_relaxed(&server->leader, l1_self(fixture.l1));
                        mt_store_relaxed(&server->leader_until_ns, clock_coarse_ns() + 10 * NS_PER_S);
                }
        }
        mt_store_relaxed(&first->fresh_at_ns, clock_coarse_ns());
        mt_store_relaxed(&first->flags, SERVER_CLUSTER);
        server = server_number(SERVER_MAX);
        ck_assert_ptr_eq(server, first);
        ck_assert_str_eq(server->address, "/run/test-128.sock");
        ck_assert_uint_eq(mt_load_relaxed(&server->fresh_at_ns), 0);
        ck_assert_uint_eq(mt_load_relaxed(&server->flags), 0);
        ck_assert_uint_ne(mt_load_relaxed(&server->incarnation), incarnation);
        ck_assert_uint_eq(l1_namespace_id(server, incarnation, ns), 0);
        /* Even when the very place of the namespace is another's by now. */
        struct namespace_shm *next = l1_namespace(fixture.l1, server, 7, user);
        ck_assert_ptr_eq(next, ns);
        ck_assert_uint_ne(mt_load_relaxed(&ns->id), 0);
        ck_assert_uint_eq(l1_namespace_id(server, incarnation, ns), 0);
        ck_assert_ptr_null(server_number(1));
        /* A leader whose time is over counts no more. */
        advance(71 * NS_PER_S);
        ck_assert_ptr_nonnull(server_number(1));
}
END_TEST
#endif

/* ------------------------------------------------------------------------------------------- many, and the dead */

/* Who has to wait for others for more than a few milliseconds goes without, and asks again. */
static void claim_all(void)
{
        enum { CLAIM_TRIES = 5000 };
        uint64_t user[2] = {3, 4};

        for (unsigned n = 10; n < 60; n++) {
                struct server_shm *server = NULL;
                bool               claimed = false;

                for (int try = 0; try < CLAIM_TRIES && !claimed; try++) {
                        if (server == NULL)
                                server = server_number(n);
                        claimed = server != NULL && l1_namespace(fixture.l1, server, 0, user) != NULL;
                }
                if (!claimed)
                        _exit(1);
        }
}

/* Many claim the same servers at once: each has one place, and each namespace too. */
START_TEST(claimed_once)
{
        pid_t    pid[12];
        unsigned count = 0, spaces = 0;
        int      status;

        for (int i = 0; i < 12; i++) {
                pid[i] = fork();
                if (pid[i] == 0) {
                        l1_after_fork(fixture.l1);
                        claim_all();
                        _exit(0);
                }
        }
        for (int i = 0; i < 12; i++)
                ck_assert(waitpid(pid[i], &status, 0) == pid[i] && status == 0);
        for (uint32_t i = 0; i < SERVER_MAX; i++)
                count += l1_server_at(fixture.l1, i) != NULL;
        for (uint32_t i = 0; i < NAMESPACE_MAX; i++)
                spaces += mt_load_relaxed(&fixture.l1->namespaces[i].id) != 0;
        ck_assert_uint_eq(count, 51);
        ck_assert_uint_eq(spaces, 51);
}
END_TEST

static void die_claiming(void)
{
        if (!namespace_enter(fixture.l1))
                _exit(1);
        struct server_shm *server = &fixture.l1->servers[1];
        mt_store_relaxed(&server->state, SERVER_CLAIMED);
        server->family = 77;
        struct namespace_shm *ns = &fixture.l1->namespaces[1];
        mt_store_relaxed(&ns->state, SERVER_CLAIMED);
        mt_store_relaxed(&fixture.l1->header->namespaces_high, 2);
        raise(SIGKILL);
}

START_TEST(dead_claimer)
{
        uint64_t user[2] = {1, 2};

        fixture_child(die_claiming, SIGKILL);
        struct server_shm *server = server_number(5);
        ck_assert_ptr_eq(server, &fixture.l1->servers[1]);
        ck_assert_ptr_eq(l1_namespace(fixture.l1, server, 0, user), &fixture.l1->namespaces[1]);
        ck_assert_uint_eq(mt_load_relaxed(&fixture.l1->header->table_owner), 0);
}
END_TEST

static int holding[2];

static void hold_the_table(void)
{
        (void)!write(holding[1], namespace_enter(fixture.l1) ? "y" : "n", 1);
        for (;;)
                pause();
}

/* How often this thread has given the processor away of its own accord: each nanosleep() does. */
static uint64_t waited(void)
{
        struct rusage usage;

        ck_assert_int_eq(getrusage(RUSAGE_THREAD, &usage), 0);
        return (uint64_t)usage.ru_nvcsw;
}

/* A stopped claimer: known servers are found, new ones are not cached for now, flushes go through, nobody hangs. */
START_TEST(stopped_claimer)
{
        pid_t pid;
        char  c;

        ck_assert_int_eq(pipe(holding), 0);
        pid = fork();
        if (pid == 0) {
                l1_after_fork(fixture.l1);
                hold_the_table();
        }
        ck_assert_int_eq(read(holding[0], &c, 1), 1);
        ck_assert_int_eq(c, 'y');
        uint64_t begin_ns = clock_precise_ns(), before;
        ck_assert_ptr_null(server_number(5));
        ck_assert_uint_lt(clock_precise_ns() - begin_ns, 500 * NS_PER_MS);
        /* Whoever asks on hardly waits: each of a hundred that did would sleep forty times. */
        before = waited();
        for (unsigned i = 0; i < 100; i++)
                ck_assert_ptr_null(server_number(5));
        ck_assert_uint_le(waited() - before, 80);
        ck_assert_ptr_eq(server_number(0), fixture.server);
        ck_assert(fixture_put(KEY, VALUE));
        l1_flush_server(fixture.l1, fixture.server);
        ck_assert(!fixture_has(KEY, VALUE));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        while (server_number(5) == NULL) /* whoever asks looks for signs of death, every 10 ms */
                ;
}
END_TEST

START_TEST(filter_of_ids)
{
        struct namespace_filter filter;
        uint64_t                user[2] = {1, 2};
        uint32_t                living = 0;

        for (uint32_t db = 1; db < 50; db++)
                l1_namespace(fixture.l1, fixture.server, db, user);
        for (int i = 0; i < 100; i++)
                l1_flush_database(fixture.l1, fixture.server, 7);
        namespace_filter_build(fixture.l1, &filter);
        for (uint32_t n = 1; n < mt_load_relaxed(&fixture.l1->header->namespace_next); n++) {
                uint32_t id = n * SERVER_MAX + l1_server_index(fixture.l1, fixture.server);

                ck_assert(namespace_filter_has(&filter, id) == namespace_lives(fixture.l1, id));
                living += namespace_lives(fixture.l1, id);
        }
        ck_assert_uint_eq(living, 50);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("namespace");
        TCase *all = tcase_create("tables");

        tcase_add_checked_fixture(all, fixture_usual, fixture_end);
        tcase_set_timeout(all, 60);
        tcase_add_test(all, servers);
        tcase_add_test(all, apart);
        tcase_add_test(all, same_key_of_many_servers);
        tcase_add_test(all, flush);
        tcase_add_test(all, flush_of_a_user);
        tcase_add_test(all, flushes_leave_no_litter);
        tcase_add_test(all, ids_run_out);
        tcase_add_test(all, namespaces_full);
#ifdef MT_TEST_CLOCK
        tcase_add_test(all, namespaces_of_the_unused);
        tcase_add_test(all, recycled);
#endif
        tcase_add_test(all, claimed_once);
        tcase_add_test(all, dead_claimer);
        tcase_add_test(all, stopped_claimer);
        tcase_add_test(all, filter_of_ids);
        suite_add_tcase(suite, all);
        return fixture_run(suite);
}
