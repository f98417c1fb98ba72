/* check_breaker.c - the states of a circuit breaker, one after the other, at times that the test makes up. */
#include "l1/tier/breaker.h"

#include <check.h>
#include <stdlib.h>

#define PAUSE BREAKER_PAUSE_NS

static struct breaker b;

static void fail_times(unsigned n, uint64_t now_ns)
{
        while (n-- > 0)
                breaker_report(&b, now_ns, false);
}

static void begin(void)
{
        b = (struct breaker){.until_ns = 0};
}

START_TEST(opens_after_a_run)
{
        ck_assert(breaker_quiet(&b));
        fail_times(BREAKER_RUN - 1, 1);
        ck_assert(!breaker_quiet(&b) && !breaker_tripped(&b) && breaker_may(&b, 1));
        breaker_report(&b, 1, true);
        ck_assert(breaker_quiet(&b));
        fail_times(BREAKER_RUN - 1, 1);
        ck_assert(breaker_may(&b, 1));
        fail_times(1, 1);
        ck_assert(breaker_tripped(&b) && !breaker_quiet(&b));
        ck_assert(!breaker_may(&b, 1) && !breaker_may(&b, PAUSE));
}
END_TEST

START_TEST(one_probe)
{
        fail_times(BREAKER_RUN, 1);
        ck_assert(breaker_may(&b, 1 + PAUSE));
        ck_assert(!breaker_may(&b, 1 + PAUSE));
        breaker_report(&b, 2 + PAUSE, true);
        ck_assert(breaker_quiet(&b) && breaker_may(&b, 2 + PAUSE));
}
END_TEST

START_TEST(pauses_double)
{
        uint64_t now_ns = 1, pause_ns = PAUSE;

        fail_times(BREAKER_RUN, now_ns);
        for (int i = 0; i < 12; i++) {
                ck_assert(!breaker_may(&b, now_ns + pause_ns - 1));
                now_ns += pause_ns;
                ck_assert(breaker_may(&b, now_ns));
                breaker_report(&b, now_ns, false);
                pause_ns = 2 * pause_ns < BREAKER_PAUSE_MAX_NS ? 2 * pause_ns : BREAKER_PAUSE_MAX_NS;
        }
        ck_assert_uint_eq(pause_ns, BREAKER_PAUSE_MAX_NS);
        ck_assert(breaker_may(&b, now_ns + pause_ns));
        breaker_report(&b, now_ns + pause_ns, true);
        now_ns += pause_ns;
        fail_times(BREAKER_RUN, now_ns); /* and begins anew */
        ck_assert(breaker_may(&b, now_ns + PAUSE));
}
END_TEST

START_TEST(lost_probe)
{
        fail_times(BREAKER_RUN, 1);
        ck_assert(breaker_may(&b, 1 + PAUSE));
        ck_assert(!breaker_may(&b, 2 * PAUSE));
        ck_assert(breaker_may(&b, 1 + 2 * PAUSE));
}
END_TEST

/* Calls that were on their way when it opened. */
START_TEST(late_reports)
{
        fail_times(BREAKER_RUN, 1);
        fail_times(3, 2);
        breaker_report(&b, 2, true);
        ck_assert(!breaker_may(&b, PAUSE));
        ck_assert(breaker_may(&b, 1 + PAUSE));
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("breaker");
        TCase   *states = tcase_create("states");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_add_checked_fixture(states, begin, NULL);
        tcase_add_test(states, opens_after_a_run);
        tcase_add_test(states, one_probe);
        tcase_add_test(states, pauses_double);
        tcase_add_test(states, lost_probe);
        tcase_add_test(states, late_reports);
        suite_add_tcase(suite, states);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
