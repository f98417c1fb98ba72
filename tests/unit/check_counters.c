/* check_counters.c - blocks of counters: a thread's own, given back, taken from the dead, shared when there are no
 * more. */
#include "l1_fixture.h"

#include "l1/cache/counters.h"

#include <pthread.h>
#include <signal.h>

static unsigned owned(void)
{
        unsigned n = 0;

        for (uint32_t i = 0; i < mt_load_relaxed(&fixture.l1->header->counters_high); i++)
                n += mt_load_relaxed(&fixture.l1->counters[i].owner) != 0;
        return n;
}

/* The thread has counted so often that it has a block of its own. */
static void settle(void)
{
        for (int i = 0; i <= COUNTERS_EARLY; i++)
                l1_count(fixture.l1, COUNTER_hits, 0);
}

static uint64_t own(enum l1_counter counter)
{
        uint64_t count[COUNTER_COUNT];

        l1_own_counts(fixture.l1, count);
        return count[counter];
}

static void *count_some(void *arg)
{
        for (int i = 0; i < 1000; i++)
                l1_count(fixture.l1, COUNTER_hits, 1);
        return arg;
}

static void in_threads(unsigned n)
{
        pthread_t thread[64];

        for (unsigned i = 0; i < n; i++)
                pthread_create(&thread[i], NULL, count_some, NULL);
        for (unsigned i = 0; i < n; i++)
                pthread_join(thread[i], NULL);
}

START_TEST(sums)
{
        for (int i = 0; i < COUNTERS_EARLY; i++)
                l1_count(fixture.l1, COUNTER_fills, 2);
        ck_assert_uint_eq(owned(), 0); /* no block for a few */
        ck_assert_uint_eq(fixture_count(COUNTER_fills), 2 * COUNTERS_EARLY);
        ck_assert_uint_eq(own(COUNTER_fills), 2 * COUNTERS_EARLY);
        l1_count(NULL, COUNTER_hits, 1);
        l1_count(fixture.l1, COUNTER_misses, 5);
        ck_assert_uint_eq(fixture_count(COUNTER_misses), 5);
        in_threads(20);
        ck_assert_uint_eq(fixture_count(COUNTER_hits), 20000);
        ck_assert_uint_eq(own(COUNTER_hits), 20000);
        ck_assert_uint_eq(own(COUNTER_misses), 5);
        /* The blocks of threads that have ended are free. */
        ck_assert_uint_eq(owned(), 1);
        ck_assert_str_eq(l1_counter_rows[COUNTER_hits].name, "hits");
        ck_assert_str_eq(l1_counter_rows[COUNTER_error_memory].kind, "error");
}
END_TEST

static void count_in_child(void)
{
        settle();
        l1_count(fixture.l1, COUNTER_misses, 7);
        if (own(COUNTER_misses) != 7 || own(COUNTER_hits) != 0)
                _exit(1);
        l1_detach(fixture.l1);
        if (own(COUNTER_misses) != 7)
                _exit(2);
}

static void count_and_die(void)
{
        settle();
        l1_count(fixture.l1, COUNTER_misses, 1);
        raise(SIGKILL);
}

START_TEST(processes)
{
        settle();
        l1_count(fixture.l1, COUNTER_misses, 100);
        l1_count(fixture.l1, COUNTER_hits, 1);
        fixture_child(count_in_child, 0);
        ck_assert_uint_eq(fixture_count(COUNTER_misses), 107);
        ck_assert_uint_eq(own(COUNTER_misses), 100);
        ck_assert_uint_eq(owned(), 1);
        for (int i = 0; i < 40; i++)
                fixture_child(count_and_die, SIGKILL);
        /* What the dead counted stays, and their blocks are used again: forty deaths take no more than two pages. */
        ck_assert_uint_eq(fixture_count(COUNTER_misses), 147);
        ck_assert_uint_le(mt_load_relaxed(&fixture.l1->header->counters_high), 16);
}
END_TEST

static pthread_barrier_t barrier;

static void *hold_a_block(void *arg)
{
        settle();
        l1_count(fixture.l1, COUNTER_hits, 1);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        return arg;
}

START_TEST(more_blocks)
{
        pthread_t thread[40];

        pthread_barrier_init(&barrier, NULL, 41);
        for (int i = 0; i < 40; i++)
                pthread_create(&thread[i], NULL, hold_a_block, NULL);
        pthread_barrier_wait(&barrier);
        ck_assert_uint_eq(fixture_count(COUNTER_hits), 40);
        ck_assert_uint_eq(owned(), 40);
        ck_assert_uint_eq(mt_load_relaxed(&fixture.l1->header->counters_high), 48);
        pthread_barrier_wait(&barrier);
        for (int i = 0; i < 40; i++)
                pthread_join(thread[i], NULL);
        ck_assert_uint_eq(owned(), 0);
}
END_TEST

/* No block to be had: all add to block 0, and nothing is lost. */
START_TEST(shared_block)
{
        uint64_t self = l1_self(fixture.l1);

        mt_store_relaxed(&fixture.l1->full_until_ns, UINT64_MAX);
        for (uint32_t i = 1; i < 8; i++)
                mt_store_relaxed(&fixture.l1->counters[i].owner, self);
        in_threads(10);
        ck_assert_uint_eq(mt_load_relaxed(&fixture.l1->counters[0].count[COUNTER_hits]), 10000);
        ck_assert_uint_eq(fixture_count(COUNTER_hits), 10000);
        ck_assert_uint_eq(own(COUNTER_hits), 10000);
}
END_TEST

static struct l1_totals totals_now(void)
{
        struct l1_totals totals;

        l1_totals(fixture.l1, true, &totals);
        return totals;
}

/* What is live is told from what the log holds: a value that was replaced is not, nor one that was removed; and what
 * makes no sense is not believed. */
START_TEST(live_bytes)
{
        static char      value[1000];
        struct l1_totals now, before;

        ck_assert(fixture_put(mt_bytes_of("one"), mt_bytes(value, 1000)));
        ck_assert(fixture_put(mt_bytes_of("two"), mt_bytes(value, 10)));
        ck_assert(fixture_put(mt_bytes_of("nothing"), mt_bytes(NULL, 0)));
        now = totals_now();
        ck_assert_uint_eq(now.items, 3);
        ck_assert_uint_eq(now.key_value_bytes, 1003 + 13 + 7);
        ck_assert_uint_le(now.live_bytes, now.bytes_used);
        ck_assert_uint_gt(now.live_bytes, now.key_value_bytes);
        ck_assert_uint_le(now.live_bytes, now.key_value_bytes + 3 * 24);
        before = now;
        ck_assert_uint_eq(l1_remove(fixture.l1, fixture_key(mt_bytes_of("one")).hash), 1);
        ck_assert(fixture_put(mt_bytes_of("one"), mt_bytes(value, 400)));
        now = totals_now();
        ck_assert_uint_eq(now.key_value_bytes, before.key_value_bytes - 600);
        ck_assert_uint_eq(now.live_bytes, before.live_bytes - 600);
        ck_assert_uint_gt(now.bytes_used, before.bytes_used);
        l1_totals(fixture.l1, false, &now);
        ck_assert_uint_eq(now.live_bytes | now.key_value_bytes | now.items, 0);
        memset(fixture.l1->log, 0xff, fixture.l1->log_bytes);
        now = totals_now();
        ck_assert_uint_eq(now.items, 3);
        ck_assert_uint_eq(now.live_bytes | now.key_value_bytes, 0);
        fixture.l1 = NULL; /* it is not sound any more, and l1_verify() would say so */
}
END_TEST

/* Another handle in the same thread: each keeps its own counts. */
START_TEST(two_handles)
{
        struct l1 *first = fixture.l1, *second;

        fixture.config.name = "second";
        second = l1_attach(&fixture.config);
        for (int i = 0; i < 10; i++) {
                l1_count(first, COUNTER_hits, 1);
                l1_count(second, COUNTER_hits, 2);
        }
        ck_assert_uint_eq(fixture_count(COUNTER_hits), 10);
        fixture.l1 = second;
        ck_assert_uint_eq(fixture_count(COUNTER_hits), 20);
        ck_assert_uint_eq(own(COUNTER_hits), 20);
        fixture.l1 = first;
        l1_abandon(second);
        l1_count(second, COUNTER_hits, 1);
        l1_count(first, COUNTER_hits, 1);
        ck_assert_uint_eq(fixture_count(COUNTER_hits), 11);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("counters");
        TCase *all = tcase_create("blocks");

        tcase_add_checked_fixture(all, fixture_usual, fixture_end);
        tcase_set_timeout(all, 60);
        tcase_add_test(all, sums);
        tcase_add_test(all, processes);
        tcase_add_test(all, more_blocks);
        tcase_add_test(all, shared_block);
        tcase_add_test(all, live_bytes);
        tcase_add_test(all, two_handles);
        suite_add_tcase(suite, all);
        return fixture_run(suite);
}
