/* check_stampede.c - what a wait is measured by: the estimate of the median round trip. */
#include "shim/request/stampede.h"

#include "l1/base/clock.h"

#include <check.h>
#include <stdlib.h>

static struct server_shm server;
static struct connection connection = {.server = &server};

static uint64_t about_us(void)
{
        return mt_load_relaxed(&server.round_trip_ns) / NS_PER_US;
}

/* One that took so long. What the clock adds by itself is far below what is looked for. */
static void took(uint64_t us)
{
        stampede_took(&connection, clock_precise_ns() - us * NS_PER_US);
}

static void reset(void)
{
        mt_store_relaxed(&server.round_trip_ns, 0);
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
                mt_store_relaxed(&server.round_trip_ns, words[i]);
                ck_assert_uint_le(stampede_limit_ns(&connection), NS_PER_S);
                took(3000);
                ck_assert_uint_ge(about_us(), 3000);
                ck_assert_uint_le(about_us(), 4000);
        }
        reset();
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

int main(void)
{
        Suite   *suite = suite_create("stampede");
        TCase   *tcase = tcase_create("stampede");
        SRunner *runner;
        int      failed;

        tcase_add_checked_fixture(tcase, reset, NULL);
        tcase_add_test(tcase, median);
        tcase_add_test(tcase, follows);
        tcase_add_test(tcase, forged);
        tcase_add_test(tcase, limit);
        suite_add_tcase(suite, tcase);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
