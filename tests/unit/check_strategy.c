/* check_strategy.c - named lives, and what scale, spread and cap make of a life. */
#include "l1/base/hash.h"
#include "l1/base/strategy.h"

#include <check.h>
#include <stdlib.h>

#define HALF (STRATEGY_ONE / 2)

/* The lives that the documentation promises. */
START_TEST(the_table)
{
        static const struct {
                const char      *name;
                enum mt_strategy strategy;
                uint64_t         life_ms;
        } promised[] = {
                {"default", MT_STRATEGY_DEFAULT, 300000}, {"realtime", MT_STRATEGY_REALTIME, 10000},
                {"short", MT_STRATEGY_SHORT, 300000},     {"medium", MT_STRATEGY_MEDIUM, 3600000},
                {"long", MT_STRATEGY_LONG, 10800000},
        };

        for (size_t i = 0; i < sizeof promised / sizeof promised[0]; i++) {
                ck_assert_int_eq(strategy_find(mt_bytes_of(promised[i].name)), (int)promised[i].strategy);
                ck_assert_str_eq(strategy_name(promised[i].strategy), promised[i].name);
                ck_assert_uint_eq(strategy_life_ms(promised[i].strategy), promised[i].life_ms);
        }
        ck_assert_int_eq((int)(sizeof promised / sizeof promised[0]), MT_STRATEGY_CUSTOM);
        ck_assert_int_eq(strategy_find(mt_bytes_of("custom")), -1); /* a word alone is no duration */
        ck_assert_int_eq(strategy_find(mt_bytes_of("Long")), -1);
        ck_assert_int_eq(strategy_find(mt_bytes_of("lon")), -1);
        ck_assert_int_eq(strategy_find(mt_bytes_of("longer")), -1);
        ck_assert_int_eq(strategy_find(mt_bytes("", 0)), -1);
}
END_TEST

START_TEST(scaled)
{
        ck_assert_uint_eq(strategy_scaled(1000, STRATEGY_ONE), 1000);
        ck_assert_uint_eq(strategy_scaled(1000, HALF), 500);
        ck_assert_uint_eq(strategy_scaled(1000, 8 * STRATEGY_ONE), 8000);
        ck_assert_uint_eq(strategy_scaled(3, HALF), 1);
        ck_assert_uint_eq(strategy_scaled(0, 8 * STRATEGY_ONE), 0);
        ck_assert_uint_eq(strategy_scaled(UINT64_MAX, STRATEGY_ONE), UINT64_MAX);
        ck_assert_uint_eq(strategy_scaled(UINT64_MAX, 2 * STRATEGY_ONE), UINT64_MAX);
        ck_assert_uint_eq(strategy_scaled(UINT64_MAX / 4, 8 * STRATEGY_ONE), UINT64_MAX);
}
END_TEST

/* Never up, never by more than jitter, and over the whole of that evenly. */
START_TEST(spread)
{
        unsigned in[10] = {0};

        ck_assert_uint_eq(strategy_spread(1000, 0, UINT64_MAX), 1000);
        ck_assert_uint_eq(strategy_spread(1000, HALF, 0), 1000);
        ck_assert_uint_eq(strategy_spread(1000, HALF, UINT64_MAX), 501);
        ck_assert_uint_eq(strategy_spread(UINT64_MAX, STRATEGY_ONE - 1, UINT64_MAX) > 0, 1);
        for (uint64_t i = 0; i < 10000; i++) {
                uint64_t random = mt_hash(&i, sizeof i, (struct hash_key){{7, 9}});
                uint64_t life = strategy_spread(1000000, STRATEGY_ONE / 5, random);

                ck_assert(life > 800000 - 1 && life <= 1000000);
                in[(life - 800000) * 10 / 200001]++;
        }
        for (int i = 0; i < 10; i++)
                ck_assert_msg(in[i] > 850 && in[i] < 1150, "%u in tenth %d", in[i], i);
}
END_TEST

START_TEST(shares)
{
        /* remains, longest, scale, jitter, random */
        ck_assert_uint_eq(strategy_share(1000, 5000, STRATEGY_ONE, 0, 0), 1000);
        ck_assert_uint_eq(strategy_share(1000, 5000, HALF, 0, 0), 500);
        ck_assert_uint_eq(strategy_share(1000, 5000, 8 * STRATEGY_ONE, 0, 0), 1000);
        ck_assert_uint_eq(strategy_share(100000, 5000, HALF, 0, 0), 5000);
        ck_assert_uint_eq(strategy_share(UINT64_MAX, 5000, HALF, 0, 0), 5000);
        /* For ever is for ever, whatever part of it: scale is about what remains. */
        ck_assert_uint_eq(strategy_share(UINT64_MAX, UINT64_MAX, STRATEGY_ONE / 1000, 0, 0), UINT64_MAX);
        /* Spread is what comes last: also of what the cap has cut. */
        ck_assert_uint_eq(strategy_share(100000, 5000, STRATEGY_ONE, HALF, UINT64_MAX), 2501);
        srand(1);
        for (int i = 0; i < 100000; i++) {
                uint64_t remains = (uint64_t)rand() << rand() % 32, longest = (uint64_t)rand() << rand() % 32;
                uint64_t scale = (uint64_t)rand() % (3 * STRATEGY_ONE), jitter = (uint64_t)rand() % STRATEGY_ONE;
                uint64_t share =
                        strategy_share(remains, longest, scale, jitter, (uint64_t)rand() << 33 | (uint64_t)rand());

                ck_assert(share <= remains && share <= longest && share <= strategy_scaled(remains, scale));
        }
}
END_TEST

START_TEST(ttl)
{
        ck_assert_uint_eq(strategy_ttl_ms(MT_STRATEGY_REALTIME, 0, STRATEGY_ONE, 0, 0, 0), 10000);
        ck_assert_uint_eq(strategy_ttl_ms(MT_STRATEGY_REALTIME, 7, 8 * STRATEGY_ONE, 0, 0, 0), 80000);
        ck_assert_uint_eq(strategy_ttl_ms(MT_STRATEGY_LONG, 0, STRATEGY_ONE, 300000, 0, 0), 300000);
        ck_assert_uint_eq(strategy_ttl_ms(MT_STRATEGY_SHORT, 0, HALF, 300000, 0, 0), 150000);
        ck_assert_uint_eq(strategy_ttl_ms(MT_STRATEGY_CUSTOM, 1234, STRATEGY_ONE, 0, 0, 0), 1234);
        ck_assert_uint_eq(strategy_ttl_ms(MT_STRATEGY_CUSTOM, 1000, 2 * STRATEGY_ONE, 1500, HALF, UINT64_MAX), 751);
        /* 0 is gone, and stays so; what is more than that is not made 0. */
        ck_assert_uint_eq(strategy_ttl_ms(MT_STRATEGY_CUSTOM, 0, 8 * STRATEGY_ONE, 0, 0, 0), 0);
        ck_assert_uint_eq(strategy_ttl_ms(MT_STRATEGY_CUSTOM, 1, STRATEGY_ONE / 1000, 0, HALF, UINT64_MAX), 1);
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("strategy");
        TCase   *tcase = tcase_create("strategy");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_add_test(tcase, the_table);
        tcase_add_test(tcase, scaled);
        tcase_add_test(tcase, spread);
        tcase_add_test(tcase, shares);
        tcase_add_test(tcase, ttl);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
