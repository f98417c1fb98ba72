/* check_pattern.c - removal by pattern: what matches goes, wherever and whosever it is, and what is being filled too.
 */
#include "l1_fixture.h"

#include <pthread.h>

#define VALUE mt_bytes_of("hello")

static uint64_t pattern_remove(const char *glob)
{
        return l1_remove_pattern(fixture.l1, mt_bytes_of(glob));
}

START_TEST(what_matches_goes)
{
        static const char *const keys[] = {"user:1", "user:2", "user:[x]", "other", ""};

        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
                ck_assert(fixture_put(mt_bytes_of(keys[i]), VALUE));
        ck_assert_uint_eq(pattern_remove("nobody*"), 0);
        ck_assert_uint_eq(pattern_remove("user:\\[*"), 1);
        ck_assert(!fixture_has(mt_bytes_of("user:[x]"), VALUE));
        ck_assert_uint_eq(pattern_remove("user:?"), 2);
        ck_assert(!fixture_has(mt_bytes_of("user:1"), VALUE));
        ck_assert(!fixture_has(mt_bytes_of("user:2"), VALUE));
        ck_assert(fixture_has(mt_bytes_of("other"), VALUE));
        ck_assert(fixture_has(mt_bytes_of(""), VALUE));
        ck_assert_uint_eq(pattern_remove("*"), 2);
        ck_assert(!fixture_has(mt_bytes_of("other"), VALUE));
}
END_TEST

START_TEST(of_every_length)
{
        static char key[ITEM_KEY_MAX];

        memset(key, 'k', sizeof key);
        for (size_t len = 1; len <= sizeof key; len = len * 2 + 1) {
                key[len - 1] = 'z';
                ck_assert(fixture_put(mt_bytes(key, len), len % 4 == 1 ? mt_bytes(NULL, 0) : VALUE));
                ck_assert_uint_eq(pattern_remove("k*y"), 0);
                ck_assert_uint_eq(pattern_remove("*z"), 1);
                ck_assert_int_eq(fixture_get(mt_bytes(key, len), NULL, 0), -1);
                key[len - 1] = 'k';
        }
}
END_TEST

START_TEST(of_every_server_and_database)
{
        struct l1_server_id id;
        uint64_t            user[2];
        struct l1_lease     lease;

        ck_assert(fixture_put(mt_bytes_of("k"), VALUE));
        fixture_name_server(&id, 1);
        struct server_shm *server = l1_server(fixture.l1, &id);

        l1_user_digest(fixture.l1, "bob", 3, user);
        struct namespace_shm *ns = l1_namespace(fixture.l1, server, 7, user);
        struct l1_key         key = {mt_bytes_of("k"),
                                     l1_hash(fixture.l1, l1_server_index(fixture.l1, server), mt_bytes_of("k"))};

        ck_assert(l1_lease(fixture.l1, &key, mt_load_relaxed(&ns->id), clock_coarse_ns(), &lease));
        ck_assert(l1_fill(fixture.l1, &key, &lease, VALUE, clock_coarse_ns() + NS_PER_S));
        ck_assert_uint_eq(pattern_remove("k"), 2);
}
END_TEST

/* What is asked for now was perhaps read before we began, and its key is not known: it is not kept. */
START_TEST(what_is_being_filled)
{
        struct l1_key   key = fixture_key(mt_bytes_of("being filled"));
        struct l1_lease lease;

        ck_assert(fixture_lease(&key, &lease));
        ck_assert_uint_eq(pattern_remove("nothing like it"), 0);
        ck_assert(!l1_fill(fixture.l1, &key, &lease, VALUE, clock_coarse_ns() + NS_PER_S));
        ck_assert(!fixture_has(key.key, VALUE));
        ck_assert_uint_eq(fixture_count(COUNTER_fills_refused), 1);
}
END_TEST

/* Noise in the items: nothing is read past them, and what cannot be judged goes. */
START_TEST(malformed_items)
{
        char number[32];

        for (unsigned i = 0; i < 1000; i++)
                ck_assert(fixture_put(fixture_number(number, "key", i), VALUE));
        memset(fixture.l1->log, 0xff, 1000 * 32);
        ck_assert_uint_ge(pattern_remove("no such key"), 900);
        for (unsigned i = 0; i < fixture.l1->bucket_count; i++)
                for (unsigned s = 0; s < BUCKET_SLOTS; s++)
                        mt_store_relaxed(&fixture.l1->index[i].slot[s], (uint64_t)random() << 32 | (uint64_t)random());
        pattern_remove("no such key");
        l1_detach(fixture.l1);
        fixture.l1 = NULL; /* not to be verified: it is full of noise */
}
END_TEST

START_TEST(read_only)
{
        ck_assert(fixture_put(mt_bytes_of("k"), VALUE));
        struct l1 *reader = l1_open(&fixture.config, false);

        ck_assert_ptr_nonnull(reader);
        ck_assert_uint_eq(l1_remove_pattern(reader, mt_bytes_of("*")), 0);
        ck_assert(fixture_has(mt_bytes_of("k"), VALUE));
}
END_TEST

/* While others fill and the log is reclaimed under us: an old value that was there when a removal began is gone after
 * it. */
enum { PATTERN_KEYS = 3000 };
static _Atomic unsigned pattern_round, pattern_stop;

static void *pattern_filler(void *arg)
{
        char     number[32], value[400] = {0};
        unsigned seed = (unsigned)(uintptr_t)arg;

        while (!mt_load_relaxed(&pattern_stop)) {
                struct l1_key key = fixture_key(fixture_number(number, "key", (unsigned)rand_r(&seed) % PATTERN_KEYS));
                struct l1_lease lease;

                if (!fixture_lease(&key, &lease))
                        continue;
                unsigned round = mt_load_acquire(&pattern_round); /* what "the server" says, read under the lease */

                memcpy(value, &round, sizeof round);
                l1_fill(fixture.l1, &key, &lease, mt_bytes(value, sizeof value), clock_coarse_ns() + 300 * NS_PER_S);
        }
        return NULL;
}

START_TEST(while_others_fill)
{
        pthread_t filler[2];
        char      number[32], value[400];
        unsigned  seen = 0, round;
        uint64_t  until_ns = clock_precise_ns() + 5 * NS_PER_S; /* memcheck is slow */

        for (uintptr_t i = 0; i < 2; i++)
                ck_assert_int_eq(pthread_create(&filler[i], NULL, pattern_filler, (void *)i), 0);
        for (unsigned n = 1; n <= 60 && (n <= 3 || clock_precise_ns() < until_ns); n++) {
                mt_store_release(&pattern_round, n);
                pattern_remove(n % 2 ? "*" : "key:*");
                for (unsigned i = 0; i < PATTERN_KEYS; i++) {
                        if (fixture_get(fixture_number(number, "key", i), value, sizeof value) != (long)sizeof value)
                                continue;
                        memcpy(&round, value, sizeof round);
                        ck_assert_uint_ge(round, n);
                        seen++;
                }
        }
        mt_store_relaxed(&pattern_stop, 1);
        for (unsigned i = 0; i < 2; i++)
                pthread_join(filler[i], NULL);
        ck_assert_uint_gt(seen, 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("pattern");
        TCase *tcase = tcase_create("pattern");

        tcase_add_checked_fixture(tcase, fixture_usual, fixture_end);
        tcase_set_timeout(tcase, 60);
        tcase_add_test(tcase, what_matches_goes);
        tcase_add_test(tcase, of_every_length);
        tcase_add_test(tcase, of_every_server_and_database);
        tcase_add_test(tcase, what_is_being_filled);
        tcase_add_test(tcase, malformed_items);
        tcase_add_test(tcase, read_only);
        tcase_add_test(tcase, while_others_fill);
        suite_add_tcase(suite, tcase);
        return fixture_run(suite);
}
