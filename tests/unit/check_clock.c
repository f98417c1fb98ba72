/* check_clock.c - what is said about the coarse clock is true of this machine. */
#include "l1/base/clock.h"

#include <check.h>
#include <stdlib.h>

/* Promise 2 stands on it: coarse <= real < coarse + clock_tick_ns(). A virtual machine that the host has put aside in
 * the middle of a timer interrupt lags for that long: that much is allowed for. */
START_TEST(lag)
{
        uint64_t end_ns = clock_precise_ns() + 200 * NS_PER_MS, now_ns = 0;
        unsigned reads = 0, late = 0;

        for (; now_ns < end_ns; reads++) {
                now_ns = clock_precise_ns();
                late += now_ns >= clock_coarse_ns() + clock_tick_ns();
                ck_assert_uint_le(clock_coarse_ns(), clock_precise_ns());
        }
        ck_assert_uint_le(late, reads / 100);
}
END_TEST

#ifdef MT_TEST_CLOCK
START_TEST(shift)
{
        uint64_t before_ns = clock_precise_ns();

        atomic_fetch_add(&clock_test_offset_ns, (int64_t)(100 * NS_PER_S));
        ck_assert_uint_ge(clock_precise_ns(), before_ns + 100 * NS_PER_S);
        ck_assert_uint_ge(clock_coarse_ns(), before_ns + 100 * NS_PER_S - clock_tick_ns());
}
END_TEST
#endif

int main(void)
{
        Suite   *suite = suite_create("clock");
        TCase   *all = tcase_create("clock");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_add_test(all, lag);
#ifdef MT_TEST_CLOCK
        tcase_add_test(all, shift);
#endif
        suite_add_tcase(suite, all);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
