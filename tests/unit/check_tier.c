/* check_tier.c - the tiers below Redis: who is asked, what is put where, who is left alone, and what is never given out
 * again. The stores do what the test says (tier_script.h); times to live pass on the injected clock. */
#include "halt.h"
#include "l1_fixture.h"

#include "l1/base/handover.h"
#include "l1/base/thread.h"
#include "l1/tier/name.h"
#include "l1/tier/worker.h"
#include "tier_script.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
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

START_TEST(a_ttl_of_0_does_not_become_300_s_on_promotion)
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
        ck_assert_uint_eq(row_of(4).hits, 0);
        ck_assert_uint_eq(row_of(4).misses, 2);
        mt_store_relaxed(&scripts[1].stays_ns, 0);
        script_put(1, 1, 41, 500);
        advance(10 * NS_PER_MS);
        ck_assert_int_eq(script_ask(tiers, 1, &found), 41);
        ck_assert_uint_ge(found.ttl_ms, 1);
        ck_assert_uint_le(found.ttl_ms, 500);
}
END_TEST

static const char tier_any[] = "l3=anywhere:0?promote=1&timeout=60s";
static const char tier_two[] = "l3=script:0?promote=1&timeout=60s;l4=anywhere:1?promote=1&timeout=60s";

static void *ask_in_thread(void *found)
{
        return (void *)(intptr_t)script_ask(tiers, 1, found);
}

START_TEST(removed_while_it_is_promoted)
{
        struct tier_found found;
        pthread_t         thread;
        void             *got;

        tier_open_with(tier_two);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -1); /* both are open now, so that it is read in the thread */
        script_put(1, 1, 41, 100000);
        mt_store_release(&scripts[1].hangs[SCRIPT_GOT], true);
        ck_assert_int_eq(pthread_create(&thread, NULL, ask_in_thread, &found), 0);
        ck_assert_int_eq(sem_wait(&scripts[1].inside), 0);
        script_delete(tiers, 1);
        sem_post(&scripts[1].gate);
        pthread_join(thread, &got);
        ck_assert_int_eq((intptr_t)got, 41); /* it began before */
        settle(3);
        ck_assert_int_eq(script_has(0, 1), -1);
        ck_assert_int_eq(script_has(1, 1), -1);
        ck_assert_uint_eq(row_of(3).promotions, 0);
}
END_TEST

/* The process lets go of its segment (its uid changes) while a look-up is on its way: what holds then is what the next
 * segment says, and a removal that fails in between is owed there. */
START_TEST(another_segment)
{
        struct l1_config    config = fixture.config;
        char                text[16];
        struct tier_key     key = script_tier_key(text, 2);
        struct tier_removal removal;
        struct tier_found   found;
        struct l1          *next;
        pthread_t           thread;
        void               *got;

        config.name = "next";
        next = l1_attach(&config);
        ck_assert_ptr_nonnull(next);
        tier_open_with(tier_two);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -1);
        script_put(1, 1, 41, 100000);
        mt_store_release(&scripts[0].hangs[SCRIPT_MARK], true);
        ck_assert_int_eq(pthread_create(&thread, NULL, ask_in_thread, &found), 0);
        ck_assert_int_eq(sem_wait(&scripts[0].inside), 0); /* it has looked where level 4 is in the old one */
        tiers_attach(tiers, NULL);
        tiers_attach(tiers, next);
        tiers_remove_begin(tiers, &key, 1, &removal);
        mt_store_release(&scripts[1].fails[SCRIPT_REMOVE], true);
        mt_store_release(&scripts[1].fails[SCRIPT_FLUSH], true);
        mt_store_release(&scripts[0].hangs[SCRIPT_MARK], false);
        sem_post(&scripts[0].gate);
        pthread_join(thread, &got);
        ck_assert_int_eq((intptr_t)got, -1); /* level 3 said so, before; level 4 was not asked */
        tiers_attach(tiers, NULL);
        tiers_attach(tiers, fixture.l1);
        tiers_remove_end(tiers, &key, 1, &removal);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -1);
        settle(4);
        ck_assert(row_of(4).closed);
        ck_assert(!row_of(3).closed);
}
END_TEST

static void *mark_in_thread(void *unused)
{
        char              text[16];
        struct tier_key   key = script_tier_key(text, 2);
        struct tier_marks marks;

        tiers_mark(tiers, &key, &marks);
        return unused;
}

/* The store above is busy with something else when the value is found, and for so long. */
static const struct {
        uint64_t waits_ms;
        int      there;
} waiting[] = {{400, 41}, {1100, -1}};

START_TEST(a_promotion_that_waits_does_not_lengthen_a_life)
{
        struct tier_found found;
        pthread_t         asks, marks;

        tier_open_with(tier_two);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -1); /* both are open now, so that it is read in the thread */
        script_put(1, 1, 41, 1000);
        mt_store_release(&scripts[1].hangs[SCRIPT_GOT], true);
        ck_assert_int_eq(pthread_create(&asks, NULL, ask_in_thread, &found), 0);
        ck_assert_int_eq(sem_wait(&scripts[1].inside), 0);
        mt_store_release(&scripts[0].hangs[SCRIPT_MARK], true);
        ck_assert_int_eq(pthread_create(&marks, NULL, mark_in_thread, NULL), 0);
        ck_assert_int_eq(sem_wait(&scripts[0].inside), 0);
        sem_post(&scripts[1].gate);
        pthread_join(asks, NULL);
        ck_assert_uint_le(found.ttl_ms, 1000);
        advance(waiting[_i].waits_ms * NS_PER_MS);
        sem_post(&scripts[0].gate);
        pthread_join(marks, NULL);
        settle(3);
        ck_assert_int_eq(script_has(0, 1), waiting[_i].there);
        ck_assert_uint_le(mt_load_relaxed(&scripts[0].ttl_ms[1]), 600);
        ck_assert_uint_eq(row_of(3).promotions, waiting[_i].there != -1);
        ck_assert(!row_of(3).tripped);
}
END_TEST

/* The caller's thread reads, and the thread of the store removes. */
START_TEST(read_anywhere)
{
        struct tier_found found;
        pthread_t         thread;
        void             *got;

        tier_open_with(tier_any);
        script_put(0, 1, 7, MT_TTL_NONE);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), 7);
        mt_store_release(&scripts[0].hangs[SCRIPT_REMOVE], true);
        ck_assert_int_eq(pthread_create(&thread, NULL, ask_in_thread, &found), 0);
        pthread_join(thread, &got);
        ck_assert_int_eq((intptr_t)got, 7);
        mt_store_release(&scripts[0].hangs[SCRIPT_GOT], true);
        ck_assert_int_eq(pthread_create(&thread, NULL, ask_in_thread, &found), 0);
        ck_assert_int_eq(sem_wait(&scripts[0].inside), 0);
        tiers_stop(tiers, 0); /* closed when the reader is out */
        ck_assert_uint_eq(mt_load_acquire(&scripts[0].closed), 0);
        sem_post(&scripts[0].gate);
        pthread_join(thread, &got);
        ck_assert_int_eq((intptr_t)got, 7);
        tiers_stop(tiers, 10 * NS_PER_S);
        ck_assert_uint_eq(mt_load_acquire(&scripts[0].closed), 1);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -2);
}
END_TEST

START_TEST(without_a_segment)
{
        tier_open_with(tier_any);
        tiers_attach(tiers, NULL);
        script_put(0, 1, 7, MT_TTL_NONE);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -2);
        ck_assert_uint_eq(script_store(tiers, 1, 8, 1000), 0);
        script_delete(tiers, 1);
        ck_assert_int_eq(script_has(0, 1), -1);
        mt_store_release(&scripts[0].fails[SCRIPT_REMOVE], true);
        script_put(0, 2, 7, MT_TTL_NONE);
        script_delete(tiers, 2);
        tiers_attach(tiers, fixture.l1); /* what failed before is remembered */
        ck_assert(row_of(3).closed);
        ck_assert_int_eq(script_ask(tiers, 2, NULL), -2);
}
END_TEST

static char *no_room(struct mt_sink *sink, size_t len)
{
        (void)sink;
        (void)len;
        return NULL;
}

START_TEST(no_room_is_nobodys_failure)
{
        static const char *const set[] = {"l3=script:0?timeout=60s", tier_any};
        struct mt_sink           sink = {no_room};
        struct tier_found        found;
        char                     text[16];
        struct tier_key          key = script_tier_key(text, 1);

        tier_open_with(set[_i]);
        script_put(0, 1, 7, MT_TTL_NONE);
        for (int i = 0; i < 2 * BREAKER_RUN; i++)
                ck_assert_int_eq(tiers_get(tiers, &key, &sink, &found), MT_ERROR);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), 7);
        ck_assert_uint_eq(row_of(3).errors, 0);
}
END_TEST

START_TEST(long_keys)
{
        static char        text[NAME_KEY_MAX + 2];
        struct tier_key    key = {.server = mt_bytes_of("s"), .key = mt_bytes(text, sizeof text)};
        struct script_sink sink = {.sink = {script_room}};
        struct tier_marks  marks;
        struct tier_found  found;

        tier_open_with(tier_any);
        memset(text, '1', sizeof text);
        tiers_mark(tiers, &key, &marks);
        ck_assert_uint_eq(marks.valid, 0);
        ck_assert_int_eq(tiers_get(tiers, &key, &sink.sink, &found), MT_MISS);
        tiers_remove(tiers, &key, 1);
        ck_assert_uint_eq(mt_load_relaxed(&scripts[0].calls[SCRIPT_GET]), 0);
        key.key.len = NAME_KEY_MAX;
        tiers_mark(tiers, &key, &marks);
        ck_assert_uint_eq(marks.valid, 1);
}
END_TEST

/* ----------------------------------------------------------------------------------------------------------- store */

START_TEST(scaled)
{
        tier_open_with("l3=script:0;l4=script:1;l5=script:2?ttl_scale=0.5");
        ck_assert_uint_eq(script_store(tiers, 1, 5, 1000), 3);
        ck_assert_uint_eq(mt_load_relaxed(&scripts[0].ttl_ms[1]), 2000);
        ck_assert_uint_eq(mt_load_relaxed(&scripts[1].ttl_ms[1]), 8000);
        ck_assert_uint_eq(mt_load_relaxed(&scripts[2].ttl_ms[1]), 500);
        ck_assert_uint_eq(script_store(tiers, 1, 5, MT_TTL_NONE - 1), 3);
        ck_assert_uint_eq(mt_load_relaxed(&scripts[0].ttl_ms[1]), MT_TTL_NONE - 1);
        ck_assert_uint_eq(script_store(tiers, 1, 5, MT_TTL_NONE), 3);
        ck_assert_uint_eq(mt_load_relaxed(&scripts[2].ttl_ms[1]), MT_TTL_NONE);
        ck_assert_uint_eq(script_store(tiers, 1, 6, 0), 0);
        ck_assert_uint_eq(row_of(4).sets, 3);
        ck_assert_int_eq(script_has(1, 1), 5);
}
END_TEST

START_TEST(removed_after_the_mark)
{
        char              text[16];
        struct tier_key   key = script_tier_key(text, 1);
        struct tier_marks marks;

        tier_open_with(tier_two);
        tiers_mark(tiers, &key, &marks);
        ck_assert_uint_eq(marks.valid, 3);
        script_delete(tiers, 1);
        ck_assert_uint_eq(tiers_set(tiers, &key, mt_bytes_of("9"), 1000, &marks), 0);
        ck_assert_int_eq(script_has(0, 1), -1);
        tiers_mark(tiers, &key, &marks);
        ck_assert_uint_eq(tiers_set(tiers, &key, mt_bytes_of("9"), 1000, &marks), 2);
}
END_TEST

START_TEST(unmarked_is_never_written)
{
        tier_open_with("l3=unmarked:0?promote=1&timeout=60s;l4=script:1?promote=1&timeout=60s");
        ck_assert_uint_eq(script_store(tiers, 1, 5, 1000), 1);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), 5);
        settle(3);
        ck_assert_int_eq(script_has(0, 1), -1);
        ck_assert_uint_eq(row_of(3).errors, 0);
}
END_TEST

/* ----------------------------------------------------------------------------------------------- stores that fail */

START_TEST(an_error_is_no_miss)
{
        tier_open_with("l3=script:0?timeout=60s;l4=script:1?timeout=60s");
        mt_store_release(&scripts[0].fails[SCRIPT_GET], true);
        script_put(1, 1, 41, 1000);
        for (int i = 0; i < BREAKER_RUN + 3; i++)
                ck_assert_int_eq(script_ask(tiers, 1, NULL), 41);
        ck_assert_uint_eq(row_of(3).errors, BREAKER_RUN);
        ck_assert_uint_eq(row_of(3).skipped, 3);
        ck_assert_uint_eq(row_of(3).misses, 0);
        ck_assert(row_of(3).tripped && !row_of(4).tripped);
        mt_store_release(&scripts[0].fails[SCRIPT_GET], false);
        advance(BREAKER_PAUSE_NS);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), 41);
        ck_assert_uint_eq(row_of(3).misses, 1);
        ck_assert(!row_of(3).tripped);
        mt_store_release(&scripts[0].fails[SCRIPT_GET], true);
        mt_store_release(&scripts[1].fails[SCRIPT_GET], true);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -2);
}
END_TEST

/* What is known without asking says nothing of a store that is down. */
START_TEST(unasked_is_no_probe)
{
        struct tier_marks marks;
        char              text[16];
        struct tier_key   key = script_tier_key(text, 1);

        tier_open_with("l3=unmarked:0?timeout=60s");
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -1);
        mt_store_release(&scripts[0].fails[SCRIPT_GET], true);
        for (int i = 0; i < BREAKER_RUN; i++)
                ck_assert_int_eq(script_ask(tiers, 1, NULL), -2);
        ck_assert(row_of(3).tripped);
        advance(BREAKER_PAUSE_NS);
        tiers_mark(tiers, &key, &marks);
        ck_assert_uint_eq(marks.valid, 0);
        ck_assert(row_of(3).tripped);
        mt_store_release(&scripts[0].fails[SCRIPT_GET], false);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -1); /* this one is the probe */
        ck_assert(!row_of(3).tripped);
}
END_TEST

START_TEST(slow_is_skipped)
{
        tier_open_with("l3=script:0?timeout=1s");
        script_put(0, 1, 31, MT_TTL_NONE);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), 31);
        mt_store_relaxed(&scripts[0].stays_ns, 600 * NS_PER_MS);
        for (int i = 0; i < BREAKER_RUN; i++)
                ck_assert_int_eq(script_ask(tiers, 1, NULL), 31);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -2);
        ck_assert_uint_eq(row_of(3).skipped, 1);
        ck_assert_uint_ge(row_of(3).get_ns_max, 600 * NS_PER_MS);
        ck_assert_uint_ge(row_of(3).get_ns_mean, 500 * NS_PER_MS);
        ck_assert_uint_eq(row_of(3).hits, BREAKER_RUN + 1);
}
END_TEST

/* What is given up is freed by the thread, and what it has found thrown away. */
START_TEST(hanging)
{
        tier_open_with("l3=script:0?timeout=10ms");
        script_put(0, 1, 31, MT_TTL_NONE);
        settle(3);
        mt_store_release(&scripts[0].hangs[SCRIPT_GET], true);
        for (int i = 0; i < 2 * WORKER_JOBS; i++) {
                ck_assert_int_eq(script_ask(tiers, 1, NULL), -2);
                advance(BREAKER_PAUSE_MAX_NS);
        }
        ck_assert_uint_eq(row_of(3).timeouts, WORKER_JOBS);
        ck_assert_uint_eq(row_of(3).errors, WORKER_JOBS);
        ck_assert_uint_eq(row_of(3).misses, 0);
        mt_store_release(&scripts[0].hangs[SCRIPT_GET], false);
        for (int i = 0; i < WORKER_JOBS; i++)
                sem_post(&scripts[0].gate);
        while (!tiers_health(tiers, 3))
                ;
        advance(BREAKER_PAUSE_MAX_NS);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), 31);
        ck_assert_uint_eq(row_of(3).hits, 1);
}
END_TEST

START_TEST(bad_options)
{
        tier_open_with("l3=script:0?colour=red;l4=script:1?timeout=60s;l5=nosuch:x");
        script_put(0, 1, 31, 1000);
        script_put(1, 1, 41, 1000);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), 41);
        ck_assert_uint_eq(row_of(3).errors, 1);
        ck_assert(!tiers_health(tiers, 3) && tiers_health(tiers, 4) && !tiers_health(tiers, 5));
        ck_assert(!tiers_health(tiers, 6) && !tiers_health(tiers, 2));
}
END_TEST

/* Whatever a store's thread has to say, a thread of the program says, also when nobody waited for it any more. */
START_TEST(why_it_cannot_be_opened_is_said_though_late)
{
        char  path[128], said[512] = "";
        FILE *file;

        snprintf(path, sizeof path, "%s/log", fixture.directory);
        log_configure(LOG_WARN, path);
        tier_open_with("l3=script:0?timeout=10ms");
        mt_store_release(&scripts[0].hangs[SCRIPT_OPEN], true);
        mt_store_release(&scripts[0].fails[SCRIPT_OPEN], true);
        for (int i = 0; i < BREAKER_RUN; i++)
                ck_assert_int_eq(script_ask(tiers, 1, NULL), -2);
        ck_assert_int_ne(access(path, F_OK), 0);
        sem_post(&scripts[0].gate);
        while (!handover_waiting())
                sched_yield();
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -2);
        ck_assert_uint_eq(row_of(3).skipped, 1); /* it is left alone by now */
        file = fopen(path, "r");
        ck_assert_ptr_nonnull(file);
        ck_assert_ptr_nonnull(fgets(said, sizeof said, file));
        ck_assert_msg(strstr(said, "l3=script:0 is not used: ") != NULL, "%s", said);
        ck_assert_ptr_null(fgets(said, sizeof said, file));
        fclose(file);
        log_configure(LOG_WARN, NULL);
}
END_TEST

/* --------------------------------------------------------------------------------------------------------- removals */

START_TEST(removed_everywhere)
{
        char            text[3][16];
        struct tier_key key[3];

        tier_open_with(tier_two);
        for (unsigned k = 0; k < 3; k++) {
                script_put(0, k, 1, 1000);
                script_put(1, k, 1, 1000);
                key[k] = script_tier_key(text[k], k);
        }
        tiers_remove(tiers, key, 2);
        for (unsigned k = 0; k < 3; k++) {
                ck_assert_int_eq(script_has(0, k), k < 2 ? -1 : 1);
                ck_assert_int_eq(script_has(1, k), k < 2 ? -1 : 1);
        }
        ck_assert_int_eq(script_ask(tiers, 2, NULL), 1);
        tiers_remove_pattern(tiers, mt_bytes_of("127.0.0.1:6379"), 0, mt_bytes_of("k*")); /* scripts have no patterns */
        ck_assert_int_eq(script_has(0, 2), -1);
        ck_assert_uint_eq(mt_load_relaxed(&scripts[1].calls[SCRIPT_FLUSH]), 1);
        tiers_flush(tiers, mt_bytes_of("127.0.0.1:6379"), TIER_EVERY_DATABASE);
        ck_assert_uint_eq(mt_load_relaxed(&scripts[0].calls[SCRIPT_FLUSH]), 2);
        ck_assert_uint_eq(row_of(3).removes, 3);
        ck_assert(!row_of(3).closed);
}
END_TEST

/* Late: the key is closed until the store has done it after all, and nothing else is. */
START_TEST(late_removal)
{
        tier_open_with("l3=anywhere:0?timeout=20ms");
        script_put(0, 1, 31, MT_TTL_NONE);
        script_put(0, 2, 32, MT_TTL_NONE);
        settle(3);
        mt_store_release(&scripts[0].hangs[SCRIPT_REMOVE], true);
        script_delete(tiers, 1);
        ck_assert_int_eq(script_has(0, 1), 31);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -2);
        ck_assert_int_eq(script_ask(tiers, 2, NULL), 32);
        ck_assert(!row_of(3).closed);
        mt_store_release(&scripts[0].hangs[SCRIPT_REMOVE], false);
        sem_post(&scripts[0].gate);
        while (!tiers_health(tiers, 3))
                ;
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -1);
        ck_assert_uint_eq(mt_load_relaxed(&scripts[0].calls[SCRIPT_FLUSH]), 0);
        ck_assert_uint_eq(row_of(3).timeouts, 1);
}
END_TEST

/* Failed: closed to everybody until it is flushed, which whoever comes next has done in the background. */
START_TEST(failed_removal)
{
        tier_open_with("l3=script:0?timeout=60s");
        script_put(0, 1, 31, MT_TTL_NONE);
        script_put(0, 2, 32, MT_TTL_NONE);
        mt_store_release(&scripts[0].fails[SCRIPT_REMOVE], true);
        mt_store_release(&scripts[0].fails[SCRIPT_FLUSH], true);
        script_delete(tiers, 1);
        settle(3);
        ck_assert(row_of(3).closed);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -2);
        ck_assert_int_eq(script_ask(tiers, 2, NULL), -2);
        ck_assert_uint_eq(script_store(tiers, 2, 33, 1000), 0);
        mt_store_release(&scripts[0].fails[SCRIPT_FLUSH], false);
        settle(3);
        advance(NS_PER_S);
        ck_assert_int_eq(script_ask(tiers, 2, NULL), -2);
        settle(3);
        ck_assert(!row_of(3).closed);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -1);
        ck_assert_int_eq(script_ask(tiers, 2, NULL), -1);
        ck_assert_uint_eq(script_store(tiers, 2, 34, 1000), 1);
        ck_assert_int_eq(script_ask(tiers, 2, NULL), 34);
}
END_TEST

/* A breaker that is open: the removal is not tried, and nobody waits. */
START_TEST(removal_while_tripped)
{
        tier_open_with("l3=script:0?timeout=60s");
        script_put(0, 1, 31, MT_TTL_NONE);
        mt_store_release(&scripts[0].fails[SCRIPT_GET], true);
        for (int i = 0; i < BREAKER_RUN; i++)
                script_ask(tiers, 2, NULL);
        mt_store_release(&scripts[0].fails[SCRIPT_GET], false);
        script_delete(tiers, 1);
        ck_assert_uint_eq(mt_load_relaxed(&scripts[0].calls[SCRIPT_REMOVE]), 0);
        ck_assert(row_of(3).closed);
        advance(BREAKER_PAUSE_NS);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -2); /* the flush is the probe */
        settle(3);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -1);
        ck_assert(!row_of(3).tripped);
}
END_TEST

/* More removals at once than there are words for them: the debt comes first. */
START_TEST(crowd_of_removals)
{
        char                text[16];
        struct tier_key     key = script_tier_key(text, 1);
        struct tier_removal removal[TIER_REMOVALS + 1];

        tier_open_with("l3=script:0?timeout=60s");
        for (int i = 0; i <= TIER_REMOVALS; i++) {
                ck_assert(!row_of(3).closed);
                tiers_remove_begin(tiers, &key, 1, &removal[i]);
        }
        ck_assert(row_of(3).closed);
        for (int i = 0; i <= TIER_REMOVALS; i++)
                tiers_remove_end(tiers, &key, 1, &removal[i]);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -2);
        settle(3);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -1);
}
END_TEST

START_TEST(between_begin_and_end)
{
        char                text[16];
        struct tier_key     key = script_tier_key(text, 1);
        struct tier_removal removal;

        tier_open_with(tier_two);
        script_put(0, 1, 31, MT_TTL_NONE);
        script_put(0, 2, 32, MT_TTL_NONE);
        tiers_remove_begin(tiers, &key, 1, &removal);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -2);
        ck_assert_int_eq(script_ask(tiers, 2, NULL), 32);
        tiers_remove_end(tiers, &key, 1, &removal);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -1);
}
END_TEST

/* --------------------------------------------------------------------------------------------- the host's processes */

/* A child with a handle and a set of its own, as another program has; it begins when it is told to. It is made before
 * this process has a thread: ThreadSanitizer wants it so. */
static sem_t *begins;

static pid_t another_process(void (*body)(void))
{
        pid_t pid;

        begins = mmap(NULL, sizeof *begins, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ck_assert_ptr_ne(begins, MAP_FAILED);
        sem_init(begins, 1, 0);
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid != 0)
                return pid;
        while (sem_wait(begins) != 0)
                ;
        l1_after_fork(fixture.l1);
        fixture.l1 = l1_attach(&fixture.config);
        tier_open_with("l3=anywhere:0?timeout=60s");
        body();
        _exit(0);
}

static void ends_well(pid_t pid)
{
        int status;

        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
}

static void delete_one(void)
{
        script_delete(tiers, 1);
}

START_TEST(debts_are_the_hosts)
{
        pid_t pid = another_process(delete_one);

        tier_open_with("l3=anywhere:0?timeout=60s");
        script_put(0, 1, 31, MT_TTL_NONE);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), 31);
        mt_store_release(&scripts[0].fails[SCRIPT_REMOVE], true);
        mt_store_release(&scripts[0].fails[SCRIPT_FLUSH], true);
        sem_post(begins);
        ends_well(pid);
        ck_assert_int_eq(script_has(0, 1), 31);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -2);
}
END_TEST

START_TEST(killed_in_a_removal)
{
        pid_t pid = another_process(delete_one);
        int   status;

        tier_open_with("l3=anywhere:0?timeout=60s");
        script_put(0, 1, 31, MT_TTL_NONE);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), 31);
        mt_store_release(&scripts[0].hangs[SCRIPT_REMOVE], true);
        sem_post(begins);
        ck_assert_int_eq(sem_wait(&scripts[0].inside), 0);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -2);
        halt(pid);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -2);
        kill(pid, SIGKILL);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        advance(NS_PER_S); /* the dead are looked for now and then */
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -2);
        advance(NS_PER_S);
        script_ask(tiers, 1, NULL);
        settle(3);
        ck_assert_int_eq(script_has(0, 1), -1);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -1);
}
END_TEST

/* A library that a backend uses takes itself apart when the process ends. Code: was our thread inside? */
static _Atomic bool leaving_inside;
static sem_t        leaving_begins;

static void leaving_library_ends(void)
{
        _exit(mt_load_acquire(&leaving_inside) ? 3 : 0);
}

static enum mt_status leaving_open(const struct mt_backend_config *config, void **self, char *why)
{
        ck_assert_int_eq(atexit(leaving_library_ends), 0);
        return script_open(config, self, why);
}

static pthread_mutex_t leaving_lock = PTHREAD_MUTEX_INITIALIZER; /* of that library */

static enum mt_status leaving_set_marked(void *self, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms,
                                         uint64_t mark)
{
        enum mt_status status;

        pthread_mutex_lock(&leaving_lock);
        mt_store_release(&leaving_inside, true);
        sem_post(&leaving_begins);
        nanosleep(&script_nap, NULL);
        status = script_set_marked(self, key, value, ttl_ms, mark);
        mt_store_release(&leaving_inside, false);
        pthread_mutex_unlock(&leaving_lock);
        return status;
}

/* Returns in the middle of a promotion. */
static void leaving_promotes(void)
{
        static struct mt_l2_ops               ops;
        static struct mt_backend              leaving;
        static const struct mt_backend *const all[] = {&leaving, &script_anywhere, NULL};

        ops = script_ops;
        leaving = script_backend;
        ops.set_marked = leaving_set_marked;
        leaving.name = "leaving";
        leaving.open = leaving_open;
        leaving.ops = &ops;
        tiers = set_create("l3=leaving:0?promote=1&timeout=60s;l4=anywhere:1?promote=1&timeout=60s", NULL, all);
        tiers_attach(tiers, fixture.l1);
        script_put(1, 1, 41, 100000);
        if (script_ask(tiers, 1, NULL) != 41)
                _exit(4);
        while (sem_wait(&leaving_begins) != 0)
                ;
}

static void exits_while_it_promotes(void)
{
        leaving_promotes();
        exit(5);
}

static void forks_while_it_promotes(void)
{
        pid_t pid;

        leaving_promotes();
        pid = fork();
        if (pid == 0)
                _exit(pthread_mutex_trylock(&leaving_lock));
        ends_well(pid);
        if (script_ask(tiers, 1, NULL) != 41) /* nothing is held here any more */
                _exit(6);
        _exit(0);
}

START_TEST(leaving)
{
        static void (*const how[])(void) = {exits_while_it_promotes, forks_while_it_promotes};
        pid_t pid;

        sem_init(&leaving_begins, 0, 0);
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                l1_after_fork(fixture.l1);
                how[_i]();
        }
        ends_well(pid);
        ck_assert_int_eq(script_has(0, 1), 41);
}
END_TEST

#ifndef MT_TSAN /* it has no threads after a fork of a process that has some */
START_TEST(forked)
{
        pid_t pid;

        tier_open_with("l3=script:0?timeout=60s");
        script_put(0, 1, 31, MT_TTL_NONE);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), 31);
        pid = fork();
        if (pid == 0) {
                l1_after_fork(fixture.l1);
                tiers_after_fork(tiers);
                if (script_ask(tiers, 1, NULL) != 31 || mt_load_acquire(&scripts[0].calls[SCRIPT_OPEN]) != 2)
                        _exit(1);
                script_delete(tiers, 1);
                _exit(script_ask(tiers, 1, NULL) == -1 && script_store(tiers, 1, 32, 1000) == 1 ? 0 : 2);
        }
        ends_well(pid);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), 32);
        ck_assert_uint_eq(mt_load_acquire(&scripts[0].closed), 0);
}
END_TEST
#endif

static bool job_begins(void *arg)
{
        return arg == NULL;
}
static void job_ends(void *arg)
{
        (void)arg;
}

/* A crowd of callers is no failure of the store, which has not even been asked. */
START_TEST(crowd_of_jobs)
{
        static const struct worker_life life = {job_begins, job_ends};
        static struct worker            worker;

        worker_init(&worker, &life, NULL);
        for (int i = 0; i < 100; i++)
                ck_assert_ptr_nonnull(worker_job(&worker, 1));
}
END_TEST

/* A fork comes while a thread of the parent has given a job's memory back, and not yet written that down. */
START_TEST(forked_while_memory_moves)
{
        static const struct worker_life life = {job_begins, job_ends};
        static struct worker            worker;
        struct worker_job              *job;

        worker_init(&worker, &life, NULL);
        job = worker_job(&worker, 1);
        ck_assert(worker_room(&job->out, 1));
        munmap(job->in.bytes, job->in.room);
        munmap(job->out.bytes, job->out.room);
        worker_init(&worker, &life, NULL);
        for (int i = 0; i < WORKER_JOBS; i++) {
                job = worker_job(&worker, 1);
                ck_assert_ptr_nonnull(job);
                ck_assert(worker_room(&job->out, 1));
                job->in.bytes[0] = job->out.bytes[0] = 'x';
        }
        ck_assert_ptr_null(worker_job(&worker, 1));
}
END_TEST

START_TEST(paused_and_stopped)
{
        char            text[16];
        struct tier_key key = script_tier_key(text, 1);

        tier_open_with("l3=script:0?timeout=60s");
        script_put(0, 1, 31, MT_TTL_NONE);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), 31);
        tiers_pause(tiers);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), 31);
        ck_assert_uint_eq(mt_load_acquire(&scripts[0].calls[SCRIPT_OPEN]), 2);
        tiers_stop(tiers, 10 * NS_PER_S);
        ck_assert_uint_ge(mt_load_acquire(&scripts[0].closed), 1);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), -2);
        ck_assert(!row_of(3).closed);
        tiers_remove(tiers, &key, 1); /* a debt is left by a few stores in memory alone */
        ck_assert(row_of(3).closed);
        ck_assert(!tiers_health(tiers, 3));
}
END_TEST

/* A program with large thread-local variables: libc takes them from each thread's stack. */
enum { STACK_PROMISED = 100 << 10 }; /* of 128 KiB (backend.h), for what a sanitizer adds */
static _Thread_local volatile char stack_is_taken[120 << 10];
static sem_t                       stack_was_used;

static void *stack_use(void *arg)
{
        volatile char deep[STACK_PROMISED];

        for (size_t i = 0; i < sizeof deep; i += 1024)
                deep[sizeof deep - 1 - i] = stack_is_taken[i];
        sem_post(&stack_was_used);
        return arg;
}

START_TEST(stack_is_there)
{
        sem_init(&stack_was_used, 0, 0);
        ck_assert(thread_start(stack_use, NULL));
        ck_assert_int_eq(sem_wait(&stack_was_used), 0);
}
END_TEST

/* The thread has not closed under a reader that takes too long, but it has ended, and with it what protected him. */
START_TEST(reader_stays_inside)
{
        struct tier_found found;
        pthread_t         thread;
        void             *got;

        tier_open_with(tier_any);
        script_put(0, 1, 31, MT_TTL_NONE);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), 31);
        ck_assert_int_eq(script_ask(tiers, 1, NULL), 31); /* it is open now */
        mt_store_release(&scripts[0].hangs[SCRIPT_GOT], true);
        ck_assert_int_eq(pthread_create(&thread, NULL, ask_in_thread, &found), 0);
        ck_assert_int_eq(sem_wait(&scripts[0].inside), 0);
        tiers_stop(tiers, 60 * NS_PER_S);
        sem_post(&scripts[0].gate);
        pthread_join(thread, &got);
        ck_assert_int_eq((intptr_t)got, -2);
        ck_assert_uint_eq(mt_load_acquire(&scripts[0].closed), 0);
}
END_TEST

/* Without the one that ThreadSanitizer starts beside the first. */
static unsigned threads_here(void)
{
        DIR     *tasks = opendir("/proc/self/task");
        unsigned n = 0;

        for (struct dirent *entry; (entry = readdir(tasks)) != NULL;)
                n += entry->d_name[0] != '.';
        closedir(tasks);
        return n;
}

static unsigned descriptors_here(void)
{
        unsigned n = 0;

        for (int fd = 0; fd < 256; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

START_TEST(a_guest)
{
        unsigned threads = threads_here(), descriptors = descriptors_here();

        tier_open_with(tier_two);
        ck_assert_uint_eq(threads_here(), threads);
        mt_store_release(&scripts[0].fails[SCRIPT_GET], true);
        errno = EDOM;
        script_ask(tiers, 1, NULL);
        script_store(tiers, 1, 2, 1000);
        script_delete(tiers, 1);
        tiers_health(tiers, 3);
        ck_assert_int_eq(errno, EDOM);
#ifdef MT_TSAN
        threads++;
#endif
        ck_assert_uint_eq(threads_here(), threads + 2);
        ck_assert_uint_eq(descriptors_here(), descriptors);
        errno = EDOM;
        tiers_stop(tiers, 10 * NS_PER_S);
        ck_assert_int_eq(errno, EDOM);
        ck_assert_uint_eq(threads_here(), threads);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ what is written */

static const struct {
        const char *text, *line;
} bad[] = {
        {"lmdb:/x", "MTSHIM_TIERS: 'lmdb:/x' is left out: it does not begin with a level, l3= to l8="},
        {"l2=script", "MTSHIM_TIERS: 'l2=script' is left out: its level is not within 3..8"},
        {"l9=script", "MTSHIM_TIERS: 'l9=script' is left out: its level is not within 3..8"},
        {"l3=script; l3=script:1", "MTSHIM_TIERS: 'l3=script:1' is left out: its level is given twice"},
        {"l3=script?ttl_scale=0", "is left out: ttl_scale is not a number within 0.001..1000"},
        {"l3=script?ttl_scale=1.", "is left out: ttl_scale is not a number within 0.001..1000"},
        {"l3=script?ttl_scale=1001", "is left out: ttl_scale is not a number within 0.001..1000"},
        {"l3=script?promote=-1", "is left out: promote is not a number within 0..1000000000"},
        {"l3=script?timeout=0s", "is left out: timeout is not a duration within 1ms..60s"},
        {"l3=script?timeout=2m", "is left out: timeout is not a duration within 1ms..60s"},
        {"l3=script?prefix=", "is left out: prefix is empty"},
        {"l3=", "is left out: it is empty"},
};

START_TEST(bad_parts)
{
        static struct tier_setting setting[TIER_MAX];
        char                       path[128], said[512] = "";
        FILE                      *file;

        snprintf(path, sizeof path, "%s/log", fixture.directory);
        log_configure(LOG_WARN, path);
        ck_assert_uint_eq(tiers_left_out(), 0);
        settings_parse(bad[_i].text, setting);
        ck_assert_uint_eq(tiers_left_out(), 1);
        log_configure(LOG_WARN, NULL);
        file = fopen(path, "r");
        ck_assert_ptr_nonnull(file);
        ck_assert_ptr_nonnull(fgets(said, sizeof said, file));
        ck_assert_msg(strstr(said, bad[_i].line) != NULL, "%s", said);
        ck_assert_ptr_null(fgets(said, sizeof said, file));
        fclose(file);
}
END_TEST

START_TEST(good_parts)
{
        static struct tier_setting setting[TIER_MAX];

        ck_assert(settings_parse(" L4=script:a%3Bb?ttl_scale=1.25&x=y&promote=0&timeout=2s&prefix=p ;; l3=script;",
                                 setting));
        ck_assert_uint_eq(setting[0].level, 3);
        ck_assert_uint_eq(setting[0].scale, 2000);
        ck_assert_uint_eq(setting[0].promote, 10);
        ck_assert_uint_eq(setting[0].timeout_ms, 250);
        ck_assert(mt_bytes_equal(setting[0].prefix, mt_bytes_of("mtshim:")));
        ck_assert_uint_eq(setting[1].level, 4);
        ck_assert_uint_eq(setting[1].scale, 1250);
        ck_assert_uint_eq(setting[1].promote, 0);
        ck_assert_uint_eq(setting[1].config.timeout_ms, 2000);
        ck_assert(mt_bytes_equal(setting[1].config.prefix, mt_bytes_of("p:")));
        ck_assert(mt_bytes_equal(setting[1].config.address, mt_bytes_of("a;b")));
        ck_assert_uint_eq(setting[1].config.options, 1);
        ck_assert_uint_eq(setting[2].level, 0);
        ck_assert(!settings_parse(";;", setting));
        ck_assert_ptr_null(tiers_create("", NULL));
}
END_TEST

static bool name_is(bool with_server, uint32_t database, const char *key, const char *wanted)
{
        char            text[NAME_MAX_BYTES];
        struct tier_key k = {mt_bytes_of("a*b"), database, mt_bytes_of(key)};
        struct mt_bytes name;

        return name_key(text, with_server, &k, &name) && mt_bytes_equal(name, mt_bytes_of(wanted));
}

static bool glob_is(bool with_server, uint32_t database, const char *glob, const char *wanted)
{
        char            text[NAME_MAX_BYTES];
        struct mt_bytes name;

        return name_glob(text, with_server, mt_bytes_of("a*b"), database, mt_bytes_of(glob), &name) &&
               mt_bytes_equal(name, mt_bytes_of(wanted));
}

START_TEST(names)
{
        ck_assert(name_is(true, 0, "k", "0:3:a*b:k") && name_is(false, UINT32_MAX - 1, "k", "4294967294:k") &&
                  name_is(false, 1, "", "1:"));
        ck_assert(glob_is(true, 0, "x?", "0:3:a\\*b:x?") && glob_is(false, TIER_EVERY_DATABASE, "*", "*:*"));
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("tier");
        TCase *looks = tcase_create("looks"), *sets = tcase_create("sets"), *fails = tcase_create("fails"),
              *removals = tcase_create("removals"), *host = tcase_create("host"), *text = tcase_create("text");

        tcase_add_checked_fixture(looks, tier_setup, tier_end);
        tcase_add_test(looks, downwards);
        tcase_add_test(looks, promoted);
        tcase_add_test(looks, a_ttl_of_0_does_not_become_300_s_on_promotion);
        tcase_add_loop_test(looks, a_promotion_that_waits_does_not_lengthen_a_life, 0,
                            (int)(sizeof waiting / sizeof waiting[0]));
        tcase_add_test(looks, removed_while_it_is_promoted);
        tcase_add_test(looks, another_segment);
        tcase_add_test(looks, read_anywhere);
        tcase_add_test(looks, without_a_segment);
        tcase_add_loop_test(looks, no_room_is_nobodys_failure, 0, 2);
        tcase_add_test(looks, long_keys);
        suite_add_tcase(suite, looks);
        tcase_add_checked_fixture(sets, tier_setup, tier_end);
        tcase_add_test(sets, scaled);
        tcase_add_test(sets, removed_after_the_mark);
        tcase_add_test(sets, unmarked_is_never_written);
        suite_add_tcase(suite, sets);
        tcase_add_checked_fixture(fails, tier_setup, tier_end);
        tcase_add_test(fails, an_error_is_no_miss);
        tcase_add_test(fails, unasked_is_no_probe);
        tcase_add_test(fails, slow_is_skipped);
        tcase_add_test(fails, hanging);
        tcase_add_test(fails, bad_options);
        tcase_add_test(fails, why_it_cannot_be_opened_is_said_though_late);
        suite_add_tcase(suite, fails);
        tcase_add_checked_fixture(removals, tier_setup, tier_end);
        tcase_add_test(removals, removed_everywhere);
        tcase_add_test(removals, late_removal);
        tcase_add_test(removals, failed_removal);
        tcase_add_test(removals, removal_while_tripped);
        tcase_add_test(removals, crowd_of_removals);
        tcase_add_test(removals, between_begin_and_end);
        suite_add_tcase(suite, removals);
        tcase_add_checked_fixture(host, tier_setup, tier_end);
        tcase_add_test(host, debts_are_the_hosts);
        tcase_add_test(host, killed_in_a_removal);
        tcase_add_loop_test(host, leaving, 0, 2);
#ifndef MT_TSAN
        tcase_add_test(host, forked);
#endif
        tcase_add_test(host, crowd_of_jobs);
        tcase_add_test(host, forked_while_memory_moves);
        tcase_add_test(host, paused_and_stopped);
        tcase_add_test(host, stack_is_there);
        tcase_add_test(host, reader_stays_inside);
        tcase_add_test(host, a_guest);
        suite_add_tcase(suite, host);
        tcase_add_checked_fixture(text, fixture_usual, fixture_end);
        tcase_add_loop_test(text, bad_parts, 0, sizeof bad / sizeof bad[0]);
        tcase_add_test(text, good_parts);
        tcase_add_test(text, names);
        suite_add_tcase(suite, text);
        return fixture_run(suite);
}
