/* check_lease.c - lease, fill, find, copy, remove: what a key goes through. */
#include "l1_fixture.h"

#include "l1/cache/lease.h"

#define KEY   mt_bytes_of("user:1")
#define VALUE mt_bytes_of("hello")

START_TEST(fill_and_hit)
{
        ck_assert_int_eq(fixture_get(KEY, NULL, 0), -1);
        ck_assert(fixture_put(KEY, VALUE));
        ck_assert(fixture_has(KEY, VALUE));
        ck_assert(!fixture_has(mt_bytes_of("user:2"), VALUE));
        ck_assert_uint_eq(fixture_count(COUNTER_fills), 1);
}
END_TEST

START_TEST(empty_and_nil)
{
        char room[8];

        ck_assert(fixture_put(KEY, mt_bytes("", 0)));
        ck_assert_int_eq(fixture_get(KEY, room, sizeof room), 0);
        ck_assert(fixture_put(mt_bytes("", 0), VALUE));
        ck_assert(fixture_has(mt_bytes("", 0), VALUE));
        ck_assert(fixture_put(mt_bytes_of("none"), mt_bytes(NULL, 0)));
        ck_assert_int_eq(fixture_get(mt_bytes_of("none"), room, sizeof room), -2);
        ck_assert(fixture_put(mt_bytes("a\0b", 3), mt_bytes("x\0y", 3)));
        ck_assert(fixture_has(mt_bytes("a\0b", 3), mt_bytes("x\0y", 3)));
        ck_assert(!fixture_has(mt_bytes("a\0c", 3), mt_bytes("x\0y", 3)));
}
END_TEST

/* Each length at which the form of an item or the way of comparing a key changes, nil included. */
START_TEST(all_lengths)
{
        static const size_t lengths[] = {0, 1, 3, 7, 8, 9, 15, 16, 17, 24, 63, 64, 65, 255, 1022, 1023, 1024, 16384};
        static char         key[ITEM_KEY_MAX + 1], value[100000];
        char                room[8];

        memset(value, 'v', sizeof value);
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
                for (size_t v = 0; v < sizeof value; v = v * 3 + 1) {
                        memset(key, 'k', sizeof key);
                        snprintf(key, sizeof key, "%zu", v);
                        l1_remove(fixture.l1, fixture_key(mt_bytes(key, lengths[i])).hash);
                        ck_assert(fixture_put(mt_bytes(key, lengths[i]), mt_bytes(value, v)));
                        ck_assert(fixture_has(mt_bytes(key, lengths[i]), mt_bytes(value, v)));
                        if (lengths[i] > 0) {
                                key[lengths[i] - 1] ^= 1;
                                ck_assert(!fixture_has(mt_bytes(key, lengths[i]), mt_bytes(value, v)));
                        }
                }
                memset(key, 'n', sizeof key);
                ck_assert(lengths[i] == 0 || fixture_put(mt_bytes(key, lengths[i]), mt_bytes(NULL, 0)));
                ck_assert(lengths[i] == 0 || fixture_get(mt_bytes(key, lengths[i]), room, sizeof room) == -2);
        }
        ck_assert(!fixture_put(mt_bytes(key, sizeof key), VALUE));
        ck_assert_uint_eq(fixture_count(COUNTER_fills_skipped), 1);
}
END_TEST

START_TEST(too_large)
{
        static char value[100001];

        ck_assert(fixture_put(KEY, mt_bytes(value, sizeof value - 1)));
        ck_assert(!fixture_put(mt_bytes_of("b"), mt_bytes(value, sizeof value)));
        ck_assert_uint_eq(fixture_count(COUNTER_fills_skipped), 1);
        /* The lease was given back: the next may have the key at once. */
        ck_assert(fixture_put(mt_bytes_of("b"), VALUE));
}
END_TEST

START_TEST(one_lease_per_key)
{
        struct l1_key   key = fixture_key(KEY);
        struct l1_lease first, second;

        ck_assert(fixture_lease(&key, &first));
        ck_assert(!fixture_lease(&key, &second));
        ck_assert_ptr_null(second.slot);
        l1_release(fixture.l1, &first);
        l1_release(fixture.l1, &first);
        ck_assert(fixture_lease(&key, &second));
        ck_assert(l1_fill(fixture.l1, &key, &second, VALUE, clock_coarse_ns() + NS_PER_S));
        /* It is there now: nothing to lease. */
        ck_assert(!fixture_lease(&key, &first));
}
END_TEST

START_TEST(removed_meanwhile)
{
        struct l1_key   key = fixture_key(KEY);
        struct l1_lease lease;

        ck_assert(fixture_lease(&key, &lease));
        ck_assert_uint_eq(l1_remove(fixture.l1, key.hash), 1);
        ck_assert(!l1_fill(fixture.l1, &key, &lease, VALUE, clock_coarse_ns() + NS_PER_S));
        ck_assert_uint_eq(fixture_count(COUNTER_fills_refused), 1);
        ck_assert_int_eq(fixture_get(KEY, NULL, 0), -1);
        /* Nor when another lease stands in the same slot meanwhile. */
        ck_assert(fixture_lease(&key, &lease));
        l1_remove(fixture.l1, key.hash);
        struct l1_lease other;
        ck_assert(fixture_lease(&key, &other));
        ck_assert(!l1_fill(fixture.l1, &key, &lease, VALUE, clock_coarse_ns() + NS_PER_S));
        ck_assert(l1_fill(fixture.l1, &key, &other, mt_bytes_of("new"), clock_coarse_ns() + NS_PER_S));
        ck_assert(fixture_has(KEY, mt_bytes_of("new")));
}
END_TEST

START_TEST(removed_while_copied)
{
        struct l1_key key = fixture_key(KEY);
        struct l1_hit hit;
        char          room[8];

        ck_assert(fixture_put(KEY, VALUE));
        ck_assert(l1_find(fixture.l1, &key, fixture_id(), clock_coarse_ns(), &hit));
        ck_assert(l1_copy(&hit, room));
        l1_remove(fixture.l1, key.hash);
        ck_assert(!l1_copy(&hit, room));
}
END_TEST

/* One removal clears the key in every database and for every user, filled or being filled, and no other server's. */
START_TEST(removed_everywhere)
{
        struct l1_key   key = fixture_key(KEY);
        struct l1_lease lease;
        struct l1_hit   hit;
        uint64_t        user[2];
        uint32_t        id[8];

        for (uint32_t i = 0; i < 8; i++) {
                l1_user_digest(fixture.l1, i % 2 != 0 ? "alice" : NULL, 5, user);
                id[i] = mt_load_relaxed(&l1_namespace(fixture.l1, fixture.server, i / 2, user)->id);
                for (uint32_t before = 0; before < i; before++)
                        ck_assert_uint_ne(id[before], id[i]);
                ck_assert(l1_lease(fixture.l1, &key, id[i], clock_coarse_ns(), &lease));
                if (i != 7)
                        ck_assert(l1_fill(fixture.l1, &key, &lease, VALUE, clock_coarse_ns() + NS_PER_S));
        }
        for (uint32_t i = 0; i < 7; i++)
                ck_assert(l1_find(fixture.l1, &key, id[i], clock_coarse_ns(), &hit));
        ck_assert_uint_eq(l1_remove(fixture.l1, l1_hash(fixture.l1, 1, KEY)), 0);
        ck_assert_uint_eq(l1_remove(fixture.l1, key.hash), 8);
        for (uint32_t i = 0; i < 8; i++)
                ck_assert(!l1_find(fixture.l1, &key, id[i], clock_coarse_ns(), &hit));
        ck_assert(!l1_fill(fixture.l1, &key, &lease, VALUE, clock_coarse_ns() + NS_PER_S));
}
END_TEST

/* The visited mark: set by the first hit, 0 after the fill. */
START_TEST(mark)
{
        struct l1_key      key = fixture_key(KEY);
        struct index_place place = index_place(fixture.l1, key.hash);
        struct l1_hit      hit;
        unsigned           marked = 0;

        ck_assert(fixture_put(KEY, VALUE));
        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++)
                ck_assert_uint_eq(mt_load_relaxed(index_mark(&place, i)), 0);
        ck_assert(l1_find(fixture.l1, &key, fixture_id(), clock_coarse_ns(), &hit));
        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++)
                marked += mt_load_relaxed(index_mark(&place, i)) == (1 | 1 << SLOT_MARK_BITS);
        ck_assert_uint_ge(marked, 1);
        ck_assert(fixture_has(KEY, VALUE) && fixture_has(KEY, VALUE) && fixture_has(KEY, VALUE));
        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++)
                ck_assert(mt_load_relaxed(index_mark(&place, i)) == 0 ||
                          mt_load_relaxed(index_mark(&place, i)) == MARK_FULL);
}
END_TEST

START_TEST(no_namespace)
{
        struct l1_key   key = fixture_key(KEY);
        struct l1_lease lease;
        struct l1_hit   hit;

        ck_assert(!l1_lease(fixture.l1, &key, 0, clock_coarse_ns(), &lease));
        ck_assert(!l1_find(fixture.l1, &key, 0, clock_coarse_ns(), &hit));
}
END_TEST

START_TEST(tokens_are_new)
{
        uint64_t token, last = 0;

        for (unsigned i = 0; i < 10000; i++) {
                ck_assert(lease_token(fixture.l1, &token));
                ck_assert(i == 0 || token > last);
                last = token;
        }
        /* The last block of 48 bits is given out, then no more. */
        mt_store_relaxed(&fixture.l1->header->token_block, (UINT64_C(1) << 36) - 1);
        do {
                ck_assert(lease_token(fixture.l1, &token));
        } while (token != SLOT_TOKEN_MAX);
        ck_assert(!lease_token(fixture.l1, &token));
        struct l1_key   key = fixture_key(KEY);
        struct l1_lease lease;
        ck_assert(!fixture_lease(&key, &lease));
}
END_TEST

static struct l1_lease inherited;

static void fill_inherited(void)
{
        struct l1_key key = fixture_key(KEY);
        uint64_t      token;

        if (l1_fill(fixture.l1, &key, &inherited, mt_bytes_of("child"), clock_coarse_ns() + NS_PER_S))
                _exit(1);
        if (!lease_token(fixture.l1, &token) || token == (inherited.pending & SLOT_TOKEN_MAX) + 1)
                _exit(2);
}

/* A fork between lease and fill: the parent's fill stands, the child's late one is refused, and the child draws tokens
 * that its parent does not have. */
START_TEST(fork_between)
{
        struct l1_key key = fixture_key(KEY);

        ck_assert(fixture_lease(&key, &inherited));
        struct l1_lease lease = inherited;
        ck_assert(l1_fill(fixture.l1, &key, &lease, VALUE, clock_coarse_ns() + NS_PER_S));
        fixture_child(fill_inherited, 0);
        ck_assert(fixture_has(KEY, VALUE));
}
END_TEST

#ifdef MT_TEST_CLOCK
static void advance(uint64_t ns)
{
        atomic_fetch_add(&clock_test_offset_ns, (int64_t)ns);
}

START_TEST(expiry)
{
        uint64_t now_ns = clock_coarse_ns(), unit_ns = UINT64_C(1) << ITEM_DEADLINE_SHIFT;

        ck_assert(fixture_put_until(KEY, VALUE, now_ns + 10 * NS_PER_S));
        advance(10 * NS_PER_S - 2 * unit_ns - 3 * clock_tick_ns());
        /* Unless this very process was held up for a unit: real time goes by as well. */
        ck_assert(fixture_has(KEY, VALUE) || clock_coarse_ns() > now_ns + 10 * NS_PER_S - unit_ns);
        /* Never later than the deadline, the tick that the coarse clock may lag included. */
        advance(2 * unit_ns + 3 * clock_tick_ns() - (clock_coarse_ns() - now_ns - (10 * NS_PER_S - 2 * unit_ns)) +
                unit_ns);
        ck_assert(!fixture_has(KEY, VALUE));
        ck_assert_uint_ge(fixture_count(COUNTER_expired), 1);
        /* Its place is taken again, and nothing is put in whose time is over. */
        ck_assert(!fixture_put_until(KEY, VALUE, clock_coarse_ns()));
        ck_assert(fixture_put(KEY, mt_bytes_of("again")));
        ck_assert(fixture_has(KEY, mt_bytes_of("again")));
}
END_TEST

START_TEST(abandoned_lease)
{
        struct l1_key   key = fixture_key(KEY);
        struct l1_lease dead, next;

        ck_assert(fixture_lease(&key, &dead));
        advance(NS_PER_S);
        ck_assert(!fixture_lease(&key, &next));
        advance(2 * NS_PER_S);
        ck_assert(fixture_lease(&key, &next));
        ck_assert(!l1_fill(fixture.l1, &key, &dead, mt_bytes_of("late"), clock_coarse_ns() + NS_PER_S));
        ck_assert(l1_fill(fixture.l1, &key, &next, VALUE, clock_coarse_ns() + NS_PER_S));
}
END_TEST

/* Both buckets full of leases: young ones stay, old ones go. */
START_TEST(full_of_leases)
{
        struct l1_key      key = fixture_key(KEY);
        struct index_place place = index_place(fixture.l1, key.hash);
        struct l1_lease    lease;

        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++) {
                mt_store_relaxed(index_slot(&place, i), slot_pending(place.tag ^ 1, i));
                mt_store_relaxed(index_mark(&place, i), slot_birth(clock_coarse_ns()));
        }
        ck_assert(!fixture_lease(&key, &lease));
        advance(3 * NS_PER_S);
        ck_assert(fixture_lease(&key, &lease));
}
END_TEST
#endif

/* Words that are neither: whoever wrote them, they are not in the way for ever. */
START_TEST(full_of_noise)
{
        struct l1_key      key = fixture_key(KEY);
        struct index_place place = index_place(fixture.l1, key.hash);

        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++)
                mt_store_relaxed(index_slot(&place, i), (i % 2 ? UINT64_C(3) << 62 : 1) | (place.tag ^ 1) << 48);
        ck_assert(fixture_put(KEY, VALUE));
        ck_assert(fixture_has(KEY, VALUE));
        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++)
                mt_store_relaxed(index_slot(&place, i), 0);
}
END_TEST

/* Both buckets full of values: one that nobody read goes, and the hand clears the marks that it passes. */
START_TEST(full_of_values)
{
        struct l1_key      key = fixture_key(KEY);
        struct index_place place = index_place(fixture.l1, key.hash);
        struct l1_lease    lease;

        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++) {
                mt_store_relaxed(index_slot(&place, i), slot_live(fixture.l1, place.tag ^ 1, 0, ITEM_ALIGN * i));
                mt_store_relaxed(index_mark(&place, i), i != 9);
        }
        if (place.bucket[0] != place.bucket[1]) {
                ck_assert(fixture_lease(&key, &lease));
                ck_assert_ptr_eq(lease.slot, index_slot(&place, 9));
                ck_assert_uint_eq(slot_state(mt_load_relaxed(index_slot(&place, 3))), SLOT_LIVE);
                ck_assert_uint_eq(fixture_count(COUNTER_index_evictions), 1);
                l1_release(fixture.l1, &lease);
        }
        /* All visited: still one goes. */
        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++) {
                mt_store_relaxed(index_slot(&place, i), slot_live(fixture.l1, place.tag ^ 1, 0, ITEM_ALIGN * i));
                mt_store_relaxed(index_mark(&place, i), 1);
        }
        ck_assert(fixture_put(KEY, VALUE));
        ck_assert(fixture_has(KEY, VALUE));
        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++)
                mt_store_relaxed(index_slot(&place, i), 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("lease");
        TCase *one = tcase_create("one segment");

        tcase_add_checked_fixture(one, fixture_usual, fixture_end);
        tcase_add_test(one, fill_and_hit);
        tcase_add_test(one, empty_and_nil);
        tcase_add_test(one, all_lengths);
        tcase_add_test(one, too_large);
        tcase_add_test(one, one_lease_per_key);
        tcase_add_test(one, removed_meanwhile);
        tcase_add_test(one, removed_while_copied);
        tcase_add_test(one, removed_everywhere);
        tcase_add_test(one, mark);
        tcase_add_test(one, no_namespace);
        tcase_add_test(one, tokens_are_new);
        tcase_add_test(one, fork_between);
        tcase_add_test(one, full_of_noise);
        tcase_add_test(one, full_of_values);
#ifdef MT_TEST_CLOCK
        tcase_add_test(one, expiry);
        tcase_add_test(one, abandoned_lease);
        tcase_add_test(one, full_of_leases);
#endif
        suite_add_tcase(suite, one);
        return fixture_run(suite);
}
