/* check_retention.c - what stays and what goes when there is more than fits: a scan, a flood of "no such key", and time
 * that runs out. */
#include "l1_fixture.h"

#define VALUE_BYTES 1000u
#define ITEM_BYTES  (VALUE_BYTES + 24u) /* about: header, key, padding */

static char value[VALUE_BYTES];

/* How many items of so many bytes the log has room for. */
static unsigned capacity(uint64_t item_bytes)
{
        return (unsigned)(fixture.l1->geometry.log_bytes / item_bytes);
}

/* As a program reads: what is not there is filled. True when it was there. */
static bool read_through(const char *stem, unsigned n)
{
        char            number[32];
        struct mt_bytes key = fixture_number(number, stem, n);

        if (fixture_has(key, mt_bytes(value, sizeof value)))
                return true;
        fixture_put(key, mt_bytes(value, sizeof value));
        return false;
}

/* Those of the first n that are there. A look that marks what it finds as read. */
static unsigned present(const char *stem, unsigned n, bool *there)
{
        unsigned found = 0;

        for (unsigned i = 0; i < n; i++) {
                char number[32];
                bool has = fixture_has(fixture_number(number, stem, i), mt_bytes(value, sizeof value));

                if (there != NULL)
                        there[i] = has;
                found += has;
        }
        return found;
}

/* ----------------------------------------------------------------------------------------------------------- a scan */

static void scan_against(unsigned hot, unsigned reads)
{
        unsigned scanned = 10 * capacity(ITEM_BYTES), left;

        for (unsigned round = 0; round < reads; round++) {
                for (unsigned i = 0; i < hot; i++)
                        read_through("hot", i);
        }
        ck_assert_uint_eq(present("hot", hot, NULL), hot);
        for (unsigned i = 0; i < scanned; i++)
                ck_assert(!read_through("scan", i));
        left = present("hot", hot, NULL);
        ck_assert_msg(left * 10 >= hot * 9, "%u of %u hot keys are left after a scan of %u", left, hot, scanned);
}

START_TEST(scan_spares_small_hot_set)
{
        scan_against(capacity(ITEM_BYTES) / 10, 4);
}
END_TEST

START_TEST(scan_spares_large_hot_set)
{
        scan_against(capacity(ITEM_BYTES) / 2, 4);
}
END_TEST

/* The cache has been full for a while when the hot set becomes hot. */
START_TEST(scan_spares_late_hot_set)
{
        for (unsigned i = 0; i < 3 * capacity(ITEM_BYTES); i++)
                read_through("before", i);
        scan_against(capacity(ITEM_BYTES) / 4, 4);
}
END_TEST

/* Two thirds of the traffic go to the hot set all the time: then hardly any of it may be missed. */
START_TEST(scan_beside_hot_set)
{
        unsigned hot = capacity(ITEM_BYTES) / 2, missed = 0, asked = 0;

        for (unsigned i = 0; i < 3 * hot; i++)
                read_through("hot", i % hot);
        for (unsigned i = 0; i < 10 * capacity(ITEM_BYTES); i++) {
                read_through("scan", i);
                for (unsigned n = 0; n < 2; n++, asked++)
                        missed += !read_through("hot", asked % hot);
        }
        ck_assert_msg(missed * 20 <= asked, "%u of %u reads of the hot set missed beside a scan", missed, asked);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ "no such key" */

/* A key of so many bytes that nobody has. */
static struct mt_bytes absent_key(char *to, size_t len, unsigned n)
{
        memset(to, 'x', len);
        to[snprintf(to, len, "absent:%u", n)] = ':';
        return mt_bytes(to, len);
}

static void nil_flood(size_t klen, bool read)
{
        unsigned filled = 3 * capacity(ITEM_BYTES), nils = 10 * capacity(item_size(klen, 0, true)), before, left = 0;
        bool    *there = calloc(filled, sizeof *there);
        char     key[256];

        for (unsigned i = 0; i < filled; i++)
                read_through("k", i);
        before = present("k", filled, there);
        for (unsigned i = 0; i < nils; i++) {
                fixture_put(absent_key(key, klen, i), mt_bytes(NULL, 0));
                if (read)
                        fixture_get(absent_key(key, klen, i), key, sizeof key);
        }
        for (unsigned i = 0; i < filled; i++) {
                char number[32];

                if (there[i])
                        left += fixture_has(fixture_number(number, "k", i), mt_bytes(value, sizeof value));
        }
        free(there);
        ck_assert_msg(left * 10 >= before * 8, "%u of %u values are left after %u nils of %zu bytes", left, before,
                      nils, klen);
}

START_TEST(nils_with_short_keys_are_bounded)
{
        nil_flood(40, false);
}
END_TEST

START_TEST(nils_with_long_keys_are_bounded)
{
        nil_flood(200, false);
}
END_TEST

/* Each of them is asked for again: they stay longer than others, and take no more room for it. */
START_TEST(nils_that_are_read_are_bounded)
{
        nil_flood(40, true);
}
END_TEST

/* Bounded, but not refused: the latest ones are there. */
START_TEST(latest_nils_are_kept)
{
        unsigned nils = capacity(item_size(40, 0, true)), kept = 0;
        char     key[256], none[1];

        for (unsigned i = 0; i < 3 * capacity(ITEM_BYTES); i++)
                read_through("k", i);
        for (unsigned i = 0; i < nils; i++)
                fixture_put(absent_key(key, 40, i), mt_bytes(NULL, 0));
        for (unsigned i = nils - 500; i < nils; i++)
                kept += fixture_get(absent_key(key, 40, i), none, sizeof none) == -2;
        ck_assert_msg(kept >= 450, "%u of the latest 500 nils are there", kept);
}
END_TEST

/* ----------------------------------------------------------------------------------------------------------- expiry */

#ifdef MT_TEST_CLOCK

#define TRAFFIC 1000u

static uint64_t bytes_used(void)
{
        struct l1_totals totals;

        l1_totals(fixture.l1, false, &totals);
        return totals.bytes_used;
}

static void put_for(const char *stem, unsigned n, uint64_t life_ns)
{
        char number[32];

        ck_assert(fixture_put_until(fixture_number(number, stem, n), mt_bytes(value, sizeof value),
                                    clock_coarse_ns() + life_ns));
}

/* The clock moves on, and a program goes on working: a few small values, ten milliseconds apart. It comes to less than
 * a hundredth of the log. */
static void time_passes(uint64_t ns)
{
        char number[32];

        clock_test_offset_ns += (int64_t)ns;
        for (unsigned i = 0; i < TRAFFIC; i++) {
                clock_test_offset_ns += (int64_t)(10 * NS_PER_MS);
                fixture_put(fixture_number(number, "traffic", i), mt_bytes_of("value"));
        }
}

/* Half of the log, no more: there is no need to make room. */
START_TEST(expired_bytes_return)
{
        unsigned n = capacity(ITEM_BYTES) / 2;
        uint64_t before;

        for (unsigned i = 0; i < n; i++)
                put_for("short", i, 1 * NS_PER_S);
        before = bytes_used();
        ck_assert_uint_ge(before, (uint64_t)n * VALUE_BYTES);
        time_passes(2 * NS_PER_S);
        ck_assert_msg(bytes_used() <= before / 5, "%lu of %lu bytes are still used after all has expired",
                      (unsigned long)bytes_used(), (unsigned long)before);
}
END_TEST

/* Short lives and long ones side by side: the bytes of the short come back, and the long are there to their end. */
START_TEST(expired_bytes_return_from_among_the_living)
{
        unsigned n = capacity(ITEM_BYTES) / 3, left;
        uint64_t before;

        for (unsigned i = 0; i < n; i++) {
                put_for("long", i, 3000 * NS_PER_S);
                put_for("short", i, 1 * NS_PER_S);
        }
        before = bytes_used();
        time_passes(2 * NS_PER_S);
        left = present("long", n, NULL);
        ck_assert_uint_eq(left, n);
        ck_assert_msg(bytes_used() <= before * 3 / 5, "%lu of %lu bytes are still used after half of them expired",
                      (unsigned long)bytes_used(), (unsigned long)before);
}
END_TEST

/* What has expired goes before what has not, also when room has to be made. */
START_TEST(expired_leave_before_the_living)
{
        unsigned n = capacity(ITEM_BYTES) / 3, left;

        for (unsigned i = 0; i < n; i++)
                put_for("long", i, 3000 * NS_PER_S);
        for (unsigned i = 0; i < n; i++)
                put_for("short", i, 1 * NS_PER_S);
        time_passes(2 * NS_PER_S);
        for (unsigned i = 0; i < n; i++)
                put_for("new", i, 3000 * NS_PER_S);
        left = present("long", n, NULL);
        ck_assert_msg(left * 10 >= n * 9, "%u of %u that had time left are there: the expired should have gone", left,
                      n);
}
END_TEST

#endif

static void setup(void)
{
        fixture_setup(UINT64_C(16) << 20, 100000);
        memset(value, 'v', sizeof value);
}

static Suite *retention_suite(void)
{
        Suite *suite = suite_create("retention");
        TCase *scan = tcase_create("scan"), *nil = tcase_create("nil"), *expiry = tcase_create("expiry");

        tcase_add_checked_fixture(scan, setup, fixture_end);
        tcase_add_checked_fixture(nil, setup, fixture_end);
        tcase_add_checked_fixture(expiry, setup, fixture_end);
        tcase_set_timeout(scan, 60);
        tcase_set_timeout(nil, 60);
        tcase_set_timeout(expiry, 60);
        tcase_add_test(scan, scan_spares_small_hot_set);
        tcase_add_test(scan, scan_spares_large_hot_set);
        tcase_add_test(scan, scan_spares_late_hot_set);
        tcase_add_test(scan, scan_beside_hot_set);
        tcase_add_test(nil, nils_with_short_keys_are_bounded);
        tcase_add_test(nil, nils_with_long_keys_are_bounded);
        tcase_add_test(nil, nils_that_are_read_are_bounded);
        tcase_add_test(nil, latest_nils_are_kept);
#ifdef MT_TEST_CLOCK
        tcase_add_test(expiry, expired_bytes_return);
        tcase_add_test(expiry, expired_bytes_return_from_among_the_living);
        tcase_add_test(expiry, expired_leave_before_the_living);
#endif
        suite_add_tcase(suite, scan);
        suite_add_tcase(suite, nil);
        suite_add_tcase(suite, expiry);
        return suite;
}

int main(void)
{
        log_setup();
        return fixture_run(retention_suite());
}
