/* check_untold.c - the walk over keys that were read here and that Redis was not told of: each is found once, with its
 * reads, and none that is not the server's. */
#include "l1_fixture.h"

#include <pthread.h>

#define VALUE mt_bytes_of("hello")
enum { KEYS = 2000 };

static char                 untold_to[ITEM_KEY_MAX];
static struct l1_untold     untold_walk;
static struct l1_untold_key untold_key;

static void untold_begin(unsigned least)
{
        untold_walk = (struct l1_untold){.server_index = l1_server_index(fixture.l1, fixture.server),
                                         .key_max = ITEM_KEY_MAX,
                                         .least = least};
}

static enum l1_untold_step untold_next(void)
{
        enum l1_untold_step step;

        do
                step = l1_next_untold(fixture.l1, &untold_walk, 7, untold_to, sizeof untold_to, &untold_key);
        while (step == L1_UNTOLD_MORE);
        return step;
}

static unsigned untold_count(unsigned least)
{
        unsigned n = 0;

        for (untold_begin(least); untold_next() == L1_UNTOLD_KEY;)
                n++;
        return n;
}

static bool untold_is(const char *key, unsigned reads)
{
        return untold_next() == L1_UNTOLD_KEY && untold_key.reads == reads &&
               mt_bytes_equal(mt_bytes(untold_to, untold_key.len), mt_bytes_of(key));
}

static void read_times(struct mt_bytes key, unsigned n)
{
        while (n-- > 0)
                ck_assert(fixture_has(key, VALUE));
}

START_TEST(told_once)
{
        ck_assert(fixture_put(mt_bytes_of("a"), VALUE));
        ck_assert_uint_eq(untold_count(1), 0);
        read_times(mt_bytes_of("a"), 1);
        untold_begin(1);
        ck_assert(untold_is("a", 1));
        ck_assert_uint_eq(untold_key.database, 0);
        ck_assert_int_eq(untold_next(), L1_UNTOLD_END);
        ck_assert_uint_eq(untold_count(1), 0);
        read_times(mt_bytes_of("a"), 2);
        untold_begin(1);
        ck_assert(untold_is("a", 2));
        read_times(mt_bytes_of("a"), 100);
        untold_begin(1);
        ck_assert(untold_is("a", MARK_MAX));
        ck_assert_uint_eq(untold_count(1), 0);
}
END_TEST

/* What eviction counts is another matter: telling leaves it as it is. */
START_TEST(eviction_counts_on)
{
        struct l1_key      key = fixture_key(mt_bytes_of("a"));
        struct index_place place = index_place(fixture.l1, key.hash);
        unsigned           reads = 0;

        ck_assert(fixture_put(key.key, VALUE));
        read_times(key.key, 2);
        ck_assert_uint_eq(untold_count(1), 1);
        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++)
                reads |= mt_load_relaxed(index_mark(&place, i));
        ck_assert_uint_eq(reads, 2);
        read_times(key.key, 1);
        reads = 0;
        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++)
                reads |= mt_load_relaxed(index_mark(&place, i));
        ck_assert_uint_eq(reads, 3 | 1 << SLOT_MARK_BITS);
}
END_TEST

START_TEST(every_key_once)
{
        static bool seen[KEYS];
        char        key[32];

        for (unsigned n = 0; n < KEYS; n++)
                ck_assert(fixture_put(fixture_number(key, "key", n), VALUE));
        for (unsigned n = 0; n < KEYS; n += 2)
                read_times(fixture_number(key, "key", n), 1);
        for (untold_begin(1); untold_next() == L1_UNTOLD_KEY;) {
                unsigned n;

                untold_to[untold_key.len] = '\0';
                ck_assert_int_eq(sscanf(untold_to, "key:%u", &n), 1);
                ck_assert(n < KEYS && n % 2 == 0 && !seen[n]);
                seen[n] = true;
        }
        ck_assert_uint_eq(untold_walk.found[1], KEYS / 2);
        for (unsigned n = 0; n < KEYS; n += 2)
                ck_assert(seen[n]);
}
END_TEST

START_TEST(the_hottest_alone)
{
        char key[32];

        for (unsigned n = 0; n < 30; n++) {
                ck_assert(fixture_put(fixture_number(key, "key", n), VALUE));
                read_times(fixture_number(key, "key", n), n % 3 + 1);
        }
        ck_assert_uint_eq(untold_count(3), 10);
        ck_assert_uint_eq(untold_walk.found[1], 10);
        ck_assert_uint_eq(untold_walk.found[2], 10);
        ck_assert_uint_eq(untold_walk.found[3], 10);
        ck_assert_uint_eq(untold_count(2), 10);
        ck_assert_uint_eq(untold_walk.found[3], 0);
        ck_assert_uint_eq(untold_count(1), 10);
}
END_TEST

START_TEST(of_this_server_in_each_database)
{
        struct l1_server_id   id;
        uint64_t              user[2];
        struct l1_key         key = fixture_key(mt_bytes_of("k"));
        struct namespace_shm *seventh;
        struct l1_lease       lease;
        struct l1_hit         hit;

        fixture_name_server(&id, 1);
        struct server_shm *other = l1_server(fixture.l1, &id);

        l1_user_digest(fixture.l1, "bob", 3, user);
        seventh = l1_namespace(fixture.l1, fixture.server, 7, user);
        ck_assert(l1_lease(fixture.l1, &key, mt_load_acquire(&seventh->id), clock_coarse_ns(), &lease));
        ck_assert(l1_fill(fixture.l1, &key, &lease, VALUE, clock_coarse_ns() + NS_PER_S * 60));
        ck_assert(l1_find(fixture.l1, &key, mt_load_acquire(&seventh->id), clock_coarse_ns(), &hit));
        untold_begin(1);
        untold_walk.server_index = l1_server_index(fixture.l1, other);
        ck_assert_int_eq(untold_next(), L1_UNTOLD_END);
        untold_begin(1);
        ck_assert(untold_is("k", 1));
        ck_assert_uint_eq(untold_key.database, 7);
        /* After a flush it is nobody's. */
        ck_assert(l1_find(fixture.l1, &key, mt_load_acquire(&seventh->id), clock_coarse_ns(), &hit));
        l1_flush_database(fixture.l1, fixture.server, 7);
        ck_assert_uint_eq(untold_count(1), 0);
}
END_TEST

/* What Redis does not have, and what has been cleared here. */
START_TEST(nothing_to_tell)
{
        struct l1_key key = fixture_key(mt_bytes_of("gone"));
        char          nothing[1];

        ck_assert(fixture_put(mt_bytes_of("nil"), mt_bytes(NULL, 0)));
        ck_assert_int_eq(fixture_get(mt_bytes_of("nil"), nothing, 0), -2);
        ck_assert(fixture_put(key.key, VALUE));
        read_times(key.key, 1);
        ck_assert_uint_eq(l1_remove(fixture.l1, key.hash), 1);
        ck_assert_uint_eq(untold_count(1), 0);
}
END_TEST

/* A value in pieces has one slot: its list's. */
START_TEST(value_in_pieces)
{
        static char value[100000], got[sizeof value];

        memset(value, 'v', sizeof value);
        ck_assert(fixture_put(mt_bytes_of("long"), mt_bytes(value, sizeof value)));
        ck_assert_int_eq(fixture_get(mt_bytes_of("long"), got, sizeof got), sizeof got);
        untold_begin(1);
        ck_assert(untold_is("long", 1));
        ck_assert_int_eq(untold_next(), L1_UNTOLD_END);
}
END_TEST

START_TEST(room_for_keys)
{
        static char key[ITEM_KEY_MAX];

        memset(key, 'k', sizeof key);
        ck_assert(fixture_put(mt_bytes(key, sizeof key), VALUE));
        read_times(mt_bytes(key, sizeof key), 1);
        untold_begin(1);
        for (int i = 0; i < 3; i++) /* however often it is asked for */
                ck_assert_int_eq(l1_next_untold(fixture.l1, &untold_walk, UINT32_MAX, untold_to, sizeof key - 1,
                                                &untold_key),
                                 L1_UNTOLD_FULL);
        ck_assert_int_eq(untold_next(), L1_UNTOLD_KEY);
        ck_assert_uint_eq(untold_key.len, sizeof key);
        read_times(mt_bytes(key, sizeof key), 1);
        untold_begin(1);
        untold_walk.key_max = sizeof key - 1;
        ck_assert_int_eq(untold_next(), L1_UNTOLD_END);
}
END_TEST

static _Atomic bool untold_stop;

static void *untold_reader(void *arg)
{
        struct mt_bytes key = mt_bytes_of("a");
        char            got[16];
        uint64_t        reads = 0;

        while (!mt_load_relaxed(&untold_stop))
                reads += fixture_get(key, got, sizeof got) >= 0;
        *(uint64_t *)arg = reads;
        return arg;
}

/* A read is never lost for good: whatever was not told at the end is found by one walk more. */
START_TEST(beside_readers)
{
        pthread_t thread[3];
        uint64_t  reads[3], told = 0;

        ck_assert(fixture_put(mt_bytes_of("a"), VALUE));
        for (int i = 0; i < 3; i++)
                ck_assert_int_eq(pthread_create(&thread[i], NULL, untold_reader, &reads[i]), 0);
        for (int i = 0; i < 3000; i++)
                told += untold_count(1);
        mt_store_relaxed(&untold_stop, true);
        for (int i = 0; i < 3; i++)
                ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
        ck_assert_uint_gt(told, 0);
        ck_assert_uint_le(told, reads[0] + reads[1] + reads[2]);
        untold_count(1);
        ck_assert_uint_eq(untold_count(1), 0);
        read_times(mt_bytes_of("a"), 1);
        ck_assert_uint_eq(untold_count(1), 1);
}
END_TEST

/* Keys that leave and come while the walk copies them: what it hands out was one of them, whole. */
static void *untold_writer(void *arg)
{
        char value[3000], key[64];

        memset(value, 'v', sizeof value);
        for (unsigned n = 0; !mt_load_relaxed(&untold_stop); n++) {
                struct mt_bytes name =
                        mt_bytes(key, (size_t)snprintf(key, sizeof key, "%08x%08x%08x%08x%08x%08x", n, n, n, n, n, n));
                char got[sizeof value];

                fixture_put(name, mt_bytes(value, sizeof value));
                fixture_get(name, got, sizeof got);
        }
        return arg;
}

START_TEST(beside_writers)
{
        pthread_t thread[2];
        unsigned  whole = 0;

        for (int i = 0; i < 2; i++)
                ck_assert_int_eq(pthread_create(&thread[i], NULL, untold_writer, NULL), 0);
        while (fixture_count(COUNTER_reclaims) < 100) {
                for (untold_begin(1); untold_next() == L1_UNTOLD_KEY; whole++) {
                        ck_assert_uint_eq(untold_key.len, 48);
                        for (unsigned i = 8; i < 48; i += 8)
                                ck_assert_int_eq(memcmp(untold_to, untold_to + i, 8), 0);
                }
        }
        mt_store_relaxed(&untold_stop, true);
        for (int i = 0; i < 2; i++)
                ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
        ck_assert_uint_gt(whole, 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("untold");
        TCase *one = tcase_create("one segment");

        tcase_add_checked_fixture(one, fixture_usual, fixture_end);
        tcase_set_timeout(one, 30);
        tcase_add_test(one, told_once);
        tcase_add_test(one, eviction_counts_on);
        tcase_add_test(one, every_key_once);
        tcase_add_test(one, the_hottest_alone);
        tcase_add_test(one, of_this_server_in_each_database);
        tcase_add_test(one, nothing_to_tell);
        tcase_add_test(one, value_in_pieces);
        tcase_add_test(one, room_for_keys);
        tcase_add_test(one, beside_readers);
        tcase_add_test(one, beside_writers);
        suite_add_tcase(suite, one);
        return fixture_run(suite);
}
