/* check_fence.c - what PONGs prove, when PINGs leave, and that fresh_at_ns moves forward only, for a leader only. */
#include "invalidation/fence.h"

#include "invalidation/invalidation.h"

#include <check.h>

#define PERIOD (250 * NS_PER_MS)

static struct fence fence;

static void setup(void)
{
        memset(&fence, 0, sizeof fence);
        fence_reset(&fence);
}

/* One PING, answered by a PONG: what that proves. */
static uint64_t ping(uint64_t at_ns)
{
        uint64_t proved_ns = 1;

        fence_sent(&fence, at_ns);
        ck_assert(fence_pong(&fence, &proved_ns));
        return proved_ns;
}

/* Redis may announce a write one loop later than it answers a PING that came behind it: PONG n is worth PING n-1. */
START_TEST(test_fence_proves_the_ping_before)
{
        ck_assert_uint_eq(ping(1000), 0);
        ck_assert_uint_eq(ping(2000), 1000);
        ck_assert_uint_eq(ping(3000), 2000);
}
END_TEST

START_TEST(test_fence_new_connection_proves_nothing)
{
        ping(1000);
        ping(2000);
        fence_sent(&fence, 3000);
        fence_reset(&fence);
        ck_assert_uint_eq(ping(4000), 0);
        ck_assert_uint_eq(ping(5000), 4000);
}
END_TEST

START_TEST(test_fence_unasked_pong)
{
        uint64_t proved_ns;

        ck_assert(!fence_pong(&fence, &proved_ns));
        ping(1000);
        ck_assert(!fence_pong(&fence, &proved_ns));
}
END_TEST

/* -BUSY is sent from within a script, when nothing is announced: neither it nor its PING proves anything. */
START_TEST(test_fence_refusal_proves_nothing)
{
        ping(1000);
        fence_sent(&fence, 2000);
        ck_assert(fence_refused(&fence));
        ck_assert(!fence_refused(&fence));
        ck_assert_uint_eq(ping(3000), 1000);
        ck_assert_uint_eq(ping(4000), 3000);
}
END_TEST

START_TEST(test_fence_one_outstanding)
{
        ck_assert_uint_eq(fence_due_ns(&fence, PERIOD), 0);
        fence_sent(&fence, NS_PER_S);
        fence_want(&fence, NS_PER_S + 1);
        ck_assert_uint_eq(fence_due_ns(&fence, PERIOD), UINT64_MAX);
}
END_TEST

/* Two round trips after the connection the lease is open; then it is asked for once a period. */
START_TEST(test_fence_opens_at_once)
{
        ping(NS_PER_S);
        ck_assert_uint_eq(fence_due_ns(&fence, PERIOD), 0);
        ck_assert_uint_eq(ping(NS_PER_S + 50000), NS_PER_S);
        ck_assert_uint_eq(fence_due_ns(&fence, PERIOD), NS_PER_S + 50000 + PERIOD);
}
END_TEST

START_TEST(test_fence_hurries_until_proved)
{
        uint64_t now = NS_PER_S;

        ping(now);
        ping(now + 1000);
        fence_sent(&fence, now + 2000);
        fence_want(&fence, now + 3000); /* later than the outstanding one was sent: two more are needed */
        uint64_t proved_ns;

        ck_assert(fence_pong(&fence, &proved_ns));
        ck_assert_uint_eq(fence_due_ns(&fence, PERIOD), now + 2000 + FENCE_HURRY_NS);
        ck_assert_uint_lt(ping(now + 300000), now + 3000);
        ck_assert_uint_eq(fence_due_ns(&fence, PERIOD), 0);
        ck_assert_uint_ge(ping(now + 400000), now + 3000);
        ck_assert_uint_eq(fence_due_ns(&fence, PERIOD), now + 400000 + PERIOD);
}
END_TEST

/* A server that is busy or loading is asked again, not stormed, whoever waits. */
START_TEST(test_fence_does_not_storm)
{
        ping(NS_PER_S);
        fence_want(&fence, NS_PER_S + 1);
        fence_sent(&fence, NS_PER_S + 2);
        fence_refused(&fence);
        ck_assert_uint_eq(fence_due_ns(&fence, PERIOD), NS_PER_S + 2 + PERIOD);
        setup();
        fence_sent(&fence, NS_PER_S);
        fence_refused(&fence);
        ck_assert_uint_eq(fence_due_ns(&fence, PERIOD), NS_PER_S + PERIOD);
}
END_TEST

/* ----------------------------------------------------------------------------------------------------- fresh_at_ns */

static struct server_shm server;
static unsigned          asked;

static bool yes(const void *arg)
{
        (void)arg;
        asked++;
        return true;
}

static bool no(const void *arg)
{
        (void)arg;
        return false;
}

/* While the caller looks, the place is given to another server, whose fresh_at_ns is 0; then leadership is gone. */
static bool given_away(const void *arg)
{
        (void)arg;
        if (asked++ > 0)
                return false;
        mt_store_release(&server.fresh_at_ns, 0);
        return true;
}

START_TEST(test_fence_moves_forward_only)
{
        fence_advance(&server, 5000, yes, NULL);
        ck_assert_uint_eq(mt_load_relaxed(&server.fresh_at_ns), 5000);
        fence_advance(&server, 4000, yes, NULL);
        ck_assert_uint_eq(mt_load_relaxed(&server.fresh_at_ns), 5000);
        fence_advance(&server, 6000, yes, NULL);
        ck_assert_uint_eq(mt_load_relaxed(&server.fresh_at_ns), 6000);
        /* Noise: a time that lies hours ahead would close L1 for as long. */
        mt_store_relaxed(&server.fresh_at_ns, UINT64_MAX / 2);
        fence_advance(&server, 7000, yes, NULL);
        ck_assert_uint_eq(mt_load_relaxed(&server.fresh_at_ns), 7000);
}
END_TEST

START_TEST(test_fence_is_the_leaders)
{
        mt_store_relaxed(&server.fresh_at_ns, 5000);
        fence_advance(&server, 6000, no, NULL);
        ck_assert_uint_eq(mt_load_relaxed(&server.fresh_at_ns), 5000);
        asked = 0;
        fence_advance(&server, 6000, given_away, NULL);
        ck_assert_uint_eq(mt_load_relaxed(&server.fresh_at_ns), 0);
}
END_TEST

START_TEST(test_fence_arithmetic_of_readers)
{
        uint64_t bound = NS_PER_S, tick = clock_tick_ns(), window = invalidation_window_ns(bound), now = 100 * NS_PER_S;

        uint64_t margin = bound - tick;

        ck_assert_uint_eq(window, margin + NS_PER_S);
        ck_assert_uint_eq(invalidation_window_ns(tick), 0);
        mt_store_relaxed(&server.fresh_at_ns, 0);
        ck_assert(!invalidation_fresh(&server, window, now));
        mt_store_relaxed(&server.fresh_at_ns, now - margin + 1);
        ck_assert(invalidation_fresh(&server, window, now));
        mt_store_relaxed(&server.fresh_at_ns, now - margin);
        ck_assert(!invalidation_fresh(&server, window, now));
        mt_store_relaxed(&server.fresh_at_ns, now + tick); /* the coarse clock lags */
        ck_assert(invalidation_fresh(&server, window, now));
        mt_store_relaxed(&server.fresh_at_ns, now + 2 * NS_PER_S); /* no listener wrote that */
        ck_assert(!invalidation_fresh(&server, window, now));
        mt_store_relaxed(&server.fresh_at_ns, now);
        ck_assert(!invalidation_fresh(&server, 0, now));
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("fence");
        TCase   *tc = tcase_create("fence");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_add_checked_fixture(tc, setup, NULL);
        tcase_add_test(tc, test_fence_proves_the_ping_before);
        tcase_add_test(tc, test_fence_new_connection_proves_nothing);
        tcase_add_test(tc, test_fence_unasked_pong);
        tcase_add_test(tc, test_fence_refusal_proves_nothing);
        tcase_add_test(tc, test_fence_one_outstanding);
        tcase_add_test(tc, test_fence_opens_at_once);
        tcase_add_test(tc, test_fence_hurries_until_proved);
        tcase_add_test(tc, test_fence_does_not_storm);
        tcase_add_test(tc, test_fence_moves_forward_only);
        tcase_add_test(tc, test_fence_is_the_leaders);
        tcase_add_test(tc, test_fence_arithmetic_of_readers);
        suite_add_tcase(suite, tc);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? 0 : 1;
}
