/* check_tier.c - the tiers below Redis: who is asked, what is put where, who is left alone, and what is never given out
 * again. The stores do what the test says (tier_script.h); times to live pass on the injected clock. */
#include "l1_fixture.h"

#include "tier_script.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

static struct tiers *tiers;

static void tier_open_with(const char *text)
{
        tiers = set_create(text, NULL, script_backends);
        ck_assert_ptr_nonnull(tiers);
        tiers_attach(tiers, fixture.l1);
}

static void tier_setup(void)
{
        fixture_usual();
        script_setup();
}

static void tier_end(void)
{
        tiers_stop(tiers, 10 * NS_PER_S);
        tiers = NULL;
        fixture_end();
}

static struct tier_stats row_of(unsigned level)
{
        struct tier_stats row[TIER_MAX];
        unsigned          n = tiers_stats(tiers, fixture.l1, row);

        for (unsigned i = 0; i < n; i++)
                if (row[i].level == level)
                        return row[i];
        ck_abort_msg("no row for level %u", level);
        return row[0];
}

static void advance(uint64_t ns)
{
        mt_fetch_add_relaxed(&clock_test_offset_ns, (int64_t)ns);
}

/* What runs in a store's thread is waited for by asking it something: it does one thing after the other. */
static void settle(unsigned level)
{
        tiers_health(tiers, level);
}

/* ------------------------------------------------------------------------------------------------------- look-ups */

START_TEST(downwards)
{
        struct tier_found found;

        tier_open_with("l4=script:1?promote=0&timeout=60s;l3=script:0?promote=0&timeout=60s");
        ck_assert_int_eq(script_ask(tiers, 1, &found), -1);
        script_put(1, 1, 41, 1000);
        ck_assert_int_eq(script_ask(tiers, 1, &found), 41);
        ck_assert_uint_eq(found.level, 4);
        ck_assert(!found.promote);
        ck_assert_uint_le(found.ttl_ms, 1000);
        ck_assert_uint_ge(found.ttl_ms, 1);
        script_put(0, 1, 31, MT_TTL_NONE);
        ck_assert_int_eq(script_ask(tiers, 1, &found), 31);
        ck_assert_uint_eq(found.level, 3);
        ck_assert_uint_eq(found.ttl_ms, MT_TTL_NONE);
        ck_assert_uint_eq(row_of(3).hits, 1);
        ck_assert_uint_eq(row_of(3).misses, 2);
        ck_assert_uint_eq(row_of(4).hits, 1);
        ck_assert_uint_eq(row_of(4).misses, 1);
        ck_assert_int_eq(script_has(0, 1), 31);
}
END_TEST

START_TEST(promoted)
{
        struct tier_found found;

        tier_open_with("l3=script:0?timeout=60s;l4=script:1?promote=3&timeout=60s");
        script_put(1, 1, 41, 100000);
        for (int i = 1; i <= 3; i++) {
                ck_assert_int_eq(script_ask(tiers, 1, &found), 41);
                ck_assert_uint_eq(found.level, 4);
                ck_assert_int_eq(found.promote, i == 3);
                settle(3);
                ck_assert_int_eq(script_has(0, 1), i == 3 ? 41 : -1);
        }
        ck_assert_uint_le(mt_load_relaxed(&scripts[0].ttl_ms[1]), 100000);
        ck_assert_uint_eq(row_of(3).promotions, 1);
        ck_assert_uint_eq(row_of(4).promotions, 0);
        ck_assert_int_eq(script_ask(tiers, 1, &found), 41);
        ck_assert_uint_eq(found.level, 3);
}
END_TEST

START_TEST(over)
{
        struct tier_found found;

        tier_open_with("l3=script:0?promote=1&timeout=60s;l4=script:1?promote=1&timeout=60s");
        script_put(1, 1, 41, 0);
        ck_assert_int_eq(script_ask(tiers, 1, &found), -1);
        script_put(1, 1, 41, 500);
        mt_store_relaxed(&scripts[1].stays_ns, 499 * NS_PER_MS);
        ck_assert_int_eq(script_ask(tiers, 1, &found), -1);
        settle(3);
        ck_assert_int_eq(script_has(0, 1), -1);
        mt_store_relaxed(&scripts[1].stays_ns, 0);
        script_put(1, 1, 41, 500);
        advance(10 * NS_PER_MS);
        ck_assert_int_eq(script_ask(tiers, 1, &found), 41);
        ck_assert_uint_ge(found.ttl_ms, 1);
        ck_assert_uint_le(found.ttl_ms, 500);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("tier");
        TCase *looks = tcase_create("looks");

        tcase_add_checked_fixture(looks, tier_setup, tier_end);
        tcase_add_test(looks, downwards);
        tcase_add_test(looks, promoted);
        tcase_add_test(looks, over);
        suite_add_tcase(suite, looks);
        return fixture_run(suite);
}
