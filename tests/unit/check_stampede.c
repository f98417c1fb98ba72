/* check_stampede.c - who waits for whom, and what a wait is measured by: the estimate of the median round trip. */
#include "l1_fixture.h"

#include "shim/request/stampede.h"

#define KEY mt_bytes_of("user:1")

static struct connection connection;

static uint64_t about_us(void)
{
        return mt_load_relaxed(&fixture.server->round_trip_ns) / NS_PER_US;
}

/* One that took so long. What the clock adds by itself is far below what is looked for. */
static void took(uint64_t us)
{
        stampede_took(&connection, clock_precise_ns() - us * NS_PER_US);
}

static void begin(void)
{
        fixture_usual();
        connection = (struct connection){.server = fixture.server, .l1 = fixture.l1};
        runtime.options.stampede = STAMPEDE_COALESCE;
        stampede_inside = 1; /* as its caller has it */
}

/* 1 ms to 3 ms evenly, median 2 ms; and one in five takes a hundred times as long: a mean would say 42 ms. */
START_TEST(median)
{
        uint64_t sum = 0;

        srandom(1);
        for (unsigned i = 0; i < 4000; i++) {
                took(random() % 5 == 0 ? 200000 : 1000 + (uint64_t)random() % 2000);
                sum += i >= 2000 ? about_us() : 0;
        }
        /* The median of all is where five eighths of the short ones are below: 2.25 ms. */
        ck_assert_uint_ge(sum / 2000, 1800);
        ck_assert_uint_le(sum / 2000, 2700);
}
END_TEST

/* The first is believed at once; a change by ten is caught up with in 40. */
START_TEST(follows)
{
        took(5000);
        ck_assert_uint_ge(about_us(), 5000);
        ck_assert_uint_le(about_us(), 6000);
        for (unsigned i = 0; i < 40; i++)
                took(50000);
        ck_assert_uint_ge(about_us(), 45000);
        for (unsigned i = 0; i < 40; i++)
                took(5000);
        ck_assert_uint_le(about_us(), 5500);
}
END_TEST

/* What stands in the segment may be anybody's doing; nobody waits for longer than a second by it. */
START_TEST(forged)
{
        static const uint64_t words[] = {1, UINT64_MAX, UINT64_MAX / 4 + 1, 3600 * NS_PER_S};

        for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
                mt_store_relaxed(&fixture.server->round_trip_ns, words[i]);
                ck_assert_uint_le(stampede_limit_ns(&connection), NS_PER_S);
                took(3000);
                ck_assert_uint_ge(about_us(), 3000);
                ck_assert_uint_le(about_us(), 4000);
        }
        mt_store_relaxed(&fixture.server->round_trip_ns, 0);
        ck_assert_uint_eq(stampede_limit_ns(&connection), 0);
        took(7200000); /* a server that stood still for two hours */
        ck_assert_uint_le(about_us(), 1000000);
}
END_TEST

START_TEST(limit)
{
        took(1000);
        ck_assert_uint_ge(stampede_limit_ns(&connection), 4 * NS_PER_MS);
        ck_assert_uint_le(stampede_limit_ns(&connection), 6 * NS_PER_MS);
        runtime.options.stampede_wait_ns = 7 * NS_PER_S;
        ck_assert_uint_eq(stampede_limit_ns(&connection), 7 * NS_PER_S);
        runtime.options.stampede_wait_ns = 0;
}
END_TEST

/* ------------------------------------------------------------------------------------------------ the decision */

static enum stampede_verdict meet(struct l1_lease *lease)
{
        struct l1_key key = fixture_key(KEY);

        return stampede_meet(&connection, &key, fixture_id(), lease);
}

START_TEST(nobody_there)
{
        struct l1_lease lease;

        runtime.options.stampede_wait_ns = NS_PER_S;
        ck_assert_int_eq(meet(&lease), STAMPEDE_LET_GO);
        /* It was filled since it was looked for: no reason to travel. Not for ever: it may be another key's. */
        ck_assert(fixture_put(KEY, mt_bytes_of("value")));
        ck_assert_int_eq(meet(&lease), STAMPEDE_AGAIN);
        for (int looks = 0; looks < 20; looks++)
                meet(&lease);
        ck_assert_int_eq(meet(&lease), STAMPEDE_TRAVEL);
        ck_assert(stampede_end(&connection));
        ck_assert(!stampede_end(&connection));
}
END_TEST

/* Who is let go looks again if the reply is nil: not for as long as he may wait, since each look is a call inside the
 * last. Where there is no lease to be had (all others have theirs), or L1 is closed, nothing else ends it. */
START_TEST(let_go_for_good)
{
        struct l1_lease lease;
        int             looks = 0;

        runtime.options.stampede_wait_ns = 20 * NS_PER_S;
        l1_detach(fixture.l1);
        while (meet(&lease) == STAMPEDE_LET_GO && looks < 100)
                looks++;
        ck_assert_int_eq(looks, 8);
        ck_assert_int_eq(meet(&lease), STAMPEDE_TRAVEL);
}
END_TEST

/* Another fill of the same thread is outstanding, no round trip is known, or the time is over. */
START_TEST(does_not_wait)
{
        struct l1_key   key = fixture_key(KEY);
        struct l1_lease first, lease;

        ck_assert(fixture_lease(&key, &first));
        runtime.options.stampede_wait_ns = 20 * NS_PER_S;
        stampede_inside = 2;
        ck_assert_int_eq(meet(&lease), STAMPEDE_TRAVEL);
        stampede_inside = 1;
        runtime.options.stampede_wait_ns = 0;
        ck_assert_int_eq(meet(&lease), STAMPEDE_TRAVEL);
        runtime.options.stampede_wait_ns = 20 * NS_PER_S;
        ck_assert_int_eq(meet(&lease), STAMPEDE_TRAVEL); /* the limit is that of its first look */
        ck_assert(!stampede_end(&connection));
        /* A mark of one who computes is nothing to those who only coalesce. */
        l1_hold(fixture.l1, &first, 0, L1_HOLD_FIRST);
        ck_assert_int_eq(meet(&lease), STAMPEDE_TRAVEL);
}
END_TEST

/* What becomes of a nil: the first computes, a second when the first did not, then it is a nil like any other. */
START_TEST(two_compute_at_most)
{
        struct l1_key   key = fixture_key(KEY);
        struct l1_lease lease;

        runtime.options.stampede_wait_ns = 20 * NS_PER_MS;
        ck_assert(fixture_lease(&key, &lease));
        ck_assert_int_eq(stampede_nil(&connection, &lease), STAMPEDE_NIL);
        runtime.options.stampede = STAMPEDE_LEASE;
        ck_assert_int_eq(stampede_nil(&connection, &lease), STAMPEDE_COMPUTES);
        for (enum l1_hold hold = L1_HOLD_FIRST; hold <= L1_HOLD_SECOND; hold++) {
                struct l1_other other;

                stampede_end(&connection);
                ck_assert_int_eq(l1_other(fixture.l1, &key, &other), L1_OTHER_HELD);
                ck_assert_int_eq(l1_hold_of(other.word), hold);
                /* Somebody else's, as far as this thread remembers. */
                mt_store_relaxed(other.slot, other.word ^ 1 << 20);
                ck_assert_int_eq(meet(&lease), STAMPEDE_LEASED);
                ck_assert_int_eq(stampede_nil(&connection, &lease),
                                 hold == L1_HOLD_FIRST ? STAMPEDE_COMPUTES : STAMPEDE_NIL);
        }
        ck_assert(l1_fill(fixture.l1, &key, &lease, mt_bytes(NULL, 0), clock_coarse_ns() + NS_PER_S));
        ck_assert_uint_eq(fixture_count(COUNTER_computations), 2);
        ck_assert_uint_eq(fixture_count(COUNTER_wait_timeouts), 2);
}
END_TEST

/* Who reads again when nobody waits for it any more does not compute: nil is kept. */
START_TEST(polls)
{
        struct l1_key   key = fixture_key(KEY);
        struct l1_lease lease;

        runtime.options.stampede = STAMPEDE_LEASE;
        runtime.options.stampede_wait_ns = 5 * NS_PER_S;
        ck_assert(fixture_lease(&key, &lease));
        ck_assert_int_eq(stampede_nil(&connection, &lease), STAMPEDE_COMPUTES);
        ck_assert_int_eq(meet(&lease), STAMPEDE_TRAVEL); /* its own: at once */
        stampede_end(&connection);
        atomic_fetch_add(&clock_test_offset_ns, (int64_t)(6 * NS_PER_S));
        ck_assert_int_eq(meet(&lease), STAMPEDE_LEASED);
        ck_assert_int_eq(stampede_nil(&connection, &lease), STAMPEDE_NIL);
        l1_release(fixture.l1, &lease);
}
END_TEST

/* The key's end is announced behind the nil that found it out: the next one looks, and then waits for the first. */
START_TEST(removed_behind_the_nil)
{
        struct l1_key   key = fixture_key(KEY);
        struct l1_lease first, second;
        struct l1_other other;

        runtime.options.stampede = STAMPEDE_LEASE;
        runtime.options.stampede_wait_ns = 5 * NS_PER_S;
        ck_assert(fixture_lease(&key, &first));
        l1_remove(fixture.l1, key.hash);
        ck_assert(fixture_lease(&key, &second));
        ck_assert_int_eq(stampede_nil(&connection, &second), STAMPEDE_WAITS);
        ck_assert(connection.again);
        ck_assert_int_eq(l1_other(fixture.l1, &key, &other), L1_OTHER_HELD);
        ck_assert(l1_hold_same(other.word, first.pending));
        connection.again = false;
        stampede_end(&connection);
        ck_assert_int_eq(stampede_nil(&connection, &first), STAMPEDE_COMPUTES);
        ck_assert_int_eq(l1_other(fixture.l1, &key, &other), L1_OTHER_HELD);
}
END_TEST

/* One who looks for another, and is removed each time, comes to an end as well. */
START_TEST(removed_again_and_again)
{
        struct l1_key     key = fixture_key(KEY);
        struct l1_lease   lease;
        enum stampede_nil nil = STAMPEDE_WAITS;
        int               looks = 0;

        runtime.options.stampede = STAMPEDE_LEASE;
        runtime.options.stampede_wait_ns = 20 * NS_PER_S;
        ck_assert(fixture_lease(&key, &lease));
        while (nil == STAMPEDE_WAITS && looks++ < 100) {
                l1_remove(fixture.l1, key.hash);
                ck_assert(fixture_lease(&key, &lease));
                nil = stampede_nil(&connection, &lease);
        }
        ck_assert_int_eq(nil, STAMPEDE_COMPUTES);
        ck_assert_int_eq(looks, 9);
}
END_TEST

/* Who fetches a value anew that is still there keeps nobody waiting. */
START_TEST(refreshed)
{
        struct l1_lease lease = {.pending = UINT64_C(2) << 62, .slot = &fixture.l1->index[0].slot[0]};

        runtime.options.stampede = STAMPEDE_LEASE;
        ck_assert_int_eq(stampede_nil(&connection, &lease), STAMPEDE_NIL);
}
END_TEST

/* A value past its end that is kept, and one who fetches it anew and does not come back: waited for no longer than may
 * be, and not by one who may be the same. */
START_TEST(refreshed_by_the_dead)
{
        struct l1_key   key = fixture_key(KEY);
        uint64_t        end_ns = clock_coarse_ns() + 60 * NS_PER_S, late_ns = end_ns + NS_PER_S;
        struct l1_lease lease;
        struct l1_hit   hit;

        l1_set_ends(fixture.l1, 0, 100 * NS_PER_S);
        runtime.options.stampede_wait_ns = 400 * NS_PER_MS;
        stampede_inside = 0;
        ck_assert(fixture_put_until(KEY, mt_bytes_of("value"), end_ns));
        ck_assert_int_eq(l1_look_at_end(fixture.l1, &key, fixture_id(), late_ns, &hit), L1_END_DUE);
        ck_assert_int_eq(stampede_meet_refresh(&connection, late_ns, &hit), STAMPEDE_TRAVEL); /* nobody does */
        ck_assert(l1_refresh(fixture.l1, fixture_id(), late_ns, &hit, &lease));
        stampede_end(&connection);
        stampede_inside = 1;
        ck_assert_int_eq(stampede_meet_refresh(&connection, late_ns, &hit), STAMPEDE_TRAVEL);
        stampede_inside = 0;
        ck_assert_int_eq(stampede_meet_refresh(&connection, late_ns, &hit), STAMPEDE_AGAIN); /* half of it */
        ck_assert_int_eq(stampede_meet_refresh(&connection, late_ns, &hit), STAMPEDE_TRAVEL);
        ck_assert_uint_eq(fixture_count(COUNTER_wait_timeouts), 2);
        l1_release(fixture.l1, &lease);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("stampede");
        TCase *tcase = tcase_create("stampede");

        tcase_add_checked_fixture(tcase, begin, fixture_end);
        tcase_add_test(tcase, median);
        tcase_add_test(tcase, follows);
        tcase_add_test(tcase, forged);
        tcase_add_test(tcase, limit);
        tcase_add_test(tcase, nobody_there);
        tcase_add_test(tcase, let_go_for_good);
        tcase_add_test(tcase, does_not_wait);
        tcase_add_test(tcase, two_compute_at_most);
        tcase_add_test(tcase, polls);
        tcase_add_test(tcase, removed_behind_the_nil);
        tcase_add_test(tcase, removed_again_and_again);
        tcase_add_test(tcase, refreshed);
        tcase_add_test(tcase, refreshed_by_the_dead);
        suite_add_tcase(suite, tcase);
        return fixture_run(suite);
}
