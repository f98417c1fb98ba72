/* check_debts.c - what was removed is never given out again: many processes over two stores that fail, dawdle and hang
 * on, killed with -9 and stopped at random, each look-up judged by what had been removed when it began.
 *
 * A value is a number that is drawn after the mark was taken, so that every smaller number that was drawn before a
 * removal began is void by it. `gone` of a key is the highest number drawn before a removal that has been
 * acknowledged, or whose process has been killed, began. */
#include "l1_fixture.h"

#include "tier_script.h"

#include <signal.h>

enum { WORKERS = 6, KEYS = 4, ROUND_MS = 2500 };

struct worker_record {
        _Atomic uint32_t key; /* 1 + the key that it removes; 0: none */
        _Atomic uint64_t drawn;
};

static struct record {
        _Atomic uint64_t     drawn;
        _Atomic uint64_t     gone[KEYS];
        struct worker_record worker[WORKERS];
        _Atomic uint64_t     hits, misses, unasked, removals, sets;
        _Atomic uint64_t     wrong, wrong_gone;
} * record;

static struct tiers *tiers;

static void raise_to(_Atomic uint64_t *word, uint64_t to)
{
        uint64_t is = mt_load_acquire(word);

        while (is < to && !mt_cas_acq_rel(word, &is, to))
                ;
}

static void work_get(unsigned k)
{
        uint64_t gone = mt_load_acquire(&record->gone[k]);
        long     got = script_ask(tiers, k, NULL);

        mt_fetch_add_relaxed(got >= 0 ? &record->hits : got == -1 ? &record->misses : &record->unasked, 1);
        if (got < 0 || (uint64_t)got > gone)
                return;
        mt_store_release(&record->wrong_gone, gone);
        mt_store_release(&record->wrong, (uint64_t)got);
}

static void work_set(unsigned k)
{
        char              text[16], number[24];
        struct tier_key   key = script_tier_key(text, k);
        struct tier_marks marks;
        uint64_t          drawn;

        tiers_mark(tiers, &key, &marks);
        drawn = mt_fetch_add_acq_rel(&record->drawn, 1) + 1;
        mt_fetch_add_relaxed(&record->sets,
                             tiers_set(tiers, &key,
                                       mt_bytes(number, (size_t)snprintf(number, sizeof number, "%lu", drawn)),
                                       MT_TTL_NONE, &marks));
}

static void work_remove(struct worker_record *own, unsigned k)
{
        char                text[16];
        struct tier_key     key = script_tier_key(text, k);
        struct tier_removal removal;

        tiers_remove_begin(tiers, &key, 1, &removal);
        mt_store_release(&own->drawn, mt_load_acquire(&record->drawn));
        mt_store_release(&own->key, k + 1);
        tiers_remove_end(tiers, &key, 1, &removal);
        raise_to(&record->gone[k], mt_load_relaxed(&own->drawn));
        mt_store_release(&own->key, 0);
        mt_fetch_add_relaxed(&record->removals, 1);
}

static void work(unsigned number)
{
        unsigned seed = number + 1 + (unsigned)getpid() * 97;

        fixture.l1 = l1_attach(&fixture.config);
        tiers = set_create("l3=anywhere:0?timeout=20ms&promote=1;l4=script:1?timeout=20ms&promote=1", NULL,
                           script_backends);
        tiers_attach(tiers, fixture.l1);
        for (;;) {
                unsigned what = (unsigned)rand_r(&seed) % 16, k = (unsigned)rand_r(&seed) % KEYS;

                if (what < 10)
                        work_get(k);
                else if (what < 14)
                        work_set(k);
                else
                        work_remove(&record->worker[number], k);
                if (rand_r(&seed) % 64 == 0) /* breakers and flushes wait for times that come sooner here */
                        mt_fetch_add_relaxed(&clock_test_offset_ns, (int64_t)(20 * NS_PER_MS));
        }
}

static pid_t begin(unsigned number)
{
        pid_t pid = fork();

        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                l1_after_fork(fixture.l1);
                work(number);
        }
        return pid;
}

/* What it was removing is gone: its note stands, or it has been done. */
static void kill_one(pid_t *pid, unsigned number)
{
        struct worker_record *own = &record->worker[number];
        uint32_t              key;
        int                   status;

        kill(*pid, SIGKILL);
        ck_assert_int_eq(waitpid(*pid, &status, 0), *pid);
        ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "a worker ended by itself: %d", status);
        key = mt_load_acquire(&own->key);
        if (key != 0)
                raise_to(&record->gone[key - 1], mt_load_acquire(&own->drawn));
        mt_store_release(&own->key, 0);
        *pid = begin(number);
}

static void hurt(unsigned *seed)
{
        static const enum script_call calls[] = {SCRIPT_GET, SCRIPT_SET, SCRIPT_REMOVE, SCRIPT_FLUSH, SCRIPT_REMOVE};
        struct script                *s = &scripts[rand_r(seed) % 2];
        enum script_call              call = calls[(unsigned)rand_r(seed) % (sizeof calls / sizeof calls[0])];

        mt_store_release(&s->fails[call], rand_r(seed) % 16 == 0);
        mt_store_release(&s->naps, rand_r(seed) % 3 == 0 ? 200 : 0);
}

static void torture(pid_t pid[WORKERS], unsigned *seed)
{
        const struct timespec moment = {.tv_nsec = 3000000};
        uint64_t              until_ns = clock_read_ns(CLOCK_MONOTONIC) + ROUND_MS * NS_PER_MS;
        bool                  stopped[WORKERS] = {false};

        while (clock_read_ns(CLOCK_MONOTONIC) < until_ns && mt_load_acquire(&record->wrong) == 0) {
                unsigned n = (unsigned)rand_r(seed) % WORKERS;

                nanosleep(&moment, NULL);
                hurt(seed);
                if (rand_r(seed) % 2 == 0) {
                        kill_one(&pid[n], n);
                        stopped[n] = false;
                } else {
                        kill(pid[n], stopped[n] ? SIGCONT : SIGSTOP);
                        stopped[n] = !stopped[n];
                }
        }
}

START_TEST(never_given_out_again)
{
        unsigned seed = (unsigned)_i + 1;
        pid_t    pid[WORKERS];
        int      status;

        record = mmap(NULL, sizeof *record, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ck_assert_ptr_ne(record, MAP_FAILED);
        for (unsigned i = 0; i < WORKERS; i++)
                pid[i] = begin(i);
        torture(pid, &seed);
        for (unsigned i = 0; i < WORKERS; i++) {
                kill(pid[i], SIGKILL);
                waitpid(pid[i], &status, 0);
        }
        ck_assert_msg(mt_load_acquire(&record->wrong) == 0, "value %llu was given out; all to %llu had been removed",
                      (unsigned long long)record->wrong, (unsigned long long)record->wrong_gone);
        printf("hits %llu, misses %llu, not asked %llu, sets %llu, removals %llu, flushes %u and %u, debts %llu and "
               "%llu\n",
               (unsigned long long)record->hits, (unsigned long long)record->misses,
               (unsigned long long)record->unasked, (unsigned long long)record->sets,
               (unsigned long long)record->removals, scripts[0].calls[SCRIPT_FLUSH], scripts[1].calls[SCRIPT_FLUSH],
               (unsigned long long)fixture.l1->tiers[0].debt, (unsigned long long)fixture.l1->tiers[1].debt);
        ck_assert_uint_gt(record->hits, 100);
        ck_assert_uint_gt(record->removals, 100);
        ck_assert_uint_gt(record->sets, 100);
        ck_assert_uint_gt(scripts[0].calls[SCRIPT_FLUSH] + scripts[1].calls[SCRIPT_FLUSH], 0);
}
END_TEST

/* ------------------------------------------------------------------------------------------------- step by step */

static struct tier_shm *shm;

static void steps_setup(void)
{
        const struct debt_name name = {mt_bytes_of("kind"), mt_bytes_of("address"), mt_bytes_of("prefix:"), 3};

        fixture_usual();
        shm = debt_place(fixture.l1, &name);
        ck_assert_ptr_nonnull(shm);
}

static bool closed(uint32_t tag)
{
        return debt_closed(fixture.l1, shm, tag);
}

START_TEST(places)
{
        const struct debt_name same = {mt_bytes_of("kind"), mt_bytes_of("address"), mt_bytes_of("prefix:"), 4},
                               other[] = {{mt_bytes_of("kin"), mt_bytes_of("daddress"), mt_bytes_of("prefix:"), 3},
                                          {mt_bytes_of("kind"), mt_bytes_of("addres"), mt_bytes_of("sprefix:"), 3},
                                          {mt_bytes_of("kind"), mt_bytes_of("address"), mt_bytes_of("p:"), 3}};
        char             number[16];
        struct tier_shm *place;

        ck_assert_ptr_eq(debt_place(fixture.l1, &same), shm);
        for (int i = 0; i < 3; i++)
                ck_assert_ptr_ne(debt_place(fixture.l1, &other[i]), shm);
        for (int i = 4; i <= TIER_SHM_MAX; i++) {
                const struct debt_name more = {mt_bytes_of("kind"),
                                               mt_bytes(number, (size_t)snprintf(number, sizeof number, "%d", i)),
                                               mt_bytes_of("p:"), 3};

                place = debt_place(fixture.l1, &more);
                ck_assert(i < TIER_SHM_MAX ? place != NULL : place == NULL);
        }
        ck_assert_ptr_eq(debt_place(fixture.l1, &same), shm);
}
END_TEST

START_TEST(tags)
{
        uint64_t word[2];
        int      one = debt_begin(fixture.l1, shm, 7, &word[0]), all;

        ck_assert_int_ge(one, 0);
        ck_assert(closed(7) && closed(DEBT_TAG_ALL) && !closed(8));
        all = debt_begin(fixture.l1, shm, DEBT_TAG_ALL, &word[1]);
        ck_assert(closed(8));
        debt_done(shm, all, word[1]);
        ck_assert(closed(7) && !closed(8));
        debt_lost(shm, one, word[0]);
        ck_assert(closed(7) && closed(8) && debt_owed(shm));
        ck_assert_uint_ne(debt_tag(mt_bytes_of("")), DEBT_TAG_ALL);
}
END_TEST

/* What is lost while somebody flushes may have been removed after the flush went by. */
START_TEST(lost_during_the_flush)
{
        struct debt_flush flush;

        ck_assert(!debt_flush_begin(shm, 1, &flush));
        debt_add(shm);
        ck_assert(debt_flush_begin(shm, 1, &flush));
        debt_add(shm);
        debt_flush_end(shm, 1, &flush, true);
        ck_assert(closed(7) && debt_owed(shm));
        ck_assert(debt_flush_begin(shm, 1, &flush));
        debt_flush_end(shm, 1, &flush, true);
        ck_assert(!closed(7) && !debt_owed(shm));
}
END_TEST

START_TEST(a_flusher_that_was_stopped)
{
        struct debt_flush slow, quick;

        debt_add(shm);
        debt_add(shm);
        ck_assert(debt_flush_begin(shm, 1, &slow));
        ck_assert(!debt_flush_begin(shm, NS_PER_S, &quick));
        debt_add(shm);
        ck_assert(debt_flush_begin(shm, 3 * NS_PER_S, &quick));
        debt_flush_end(shm, 3 * NS_PER_S, &quick, true);
        ck_assert(!debt_owed(shm));
        debt_flush_end(shm, 3 * NS_PER_S, &slow, true);
        ck_assert(!debt_owed(shm));
        ck_assert_uint_eq(mt_load_relaxed(&shm->paid), 3);
        debt_add(shm);
        ck_assert(closed(7));
}
END_TEST

START_TEST(a_flush_that_failed)
{
        struct debt_flush flush;

        debt_add(shm);
        ck_assert(debt_flush_begin(shm, NS_PER_S, &flush));
        debt_flush_end(shm, NS_PER_S, &flush, false);
        ck_assert(debt_owed(shm));
        ck_assert(!debt_flush_begin(shm, NS_PER_S, &flush));
        ck_assert(debt_flush_begin(shm, 2 * NS_PER_S, &flush));
        mt_store_relaxed(&shm->flush_ns, UINT64_MAX); /* whoever wrote that */
        ck_assert(debt_flush_begin(shm, 2 * NS_PER_S, &flush));
}
END_TEST

static void debts_setup(void)
{
        fixture_usual();
        script_setup();
}

int main(void)
{
        Suite *suite = suite_create("debts");
        TCase *steps = tcase_create("steps"), *torturing = tcase_create("torture");

        tcase_add_checked_fixture(steps, steps_setup, fixture_end);
        tcase_add_test(steps, places);
        tcase_add_test(steps, tags);
        tcase_add_test(steps, lost_during_the_flush);
        tcase_add_test(steps, a_flusher_that_was_stopped);
        tcase_add_test(steps, a_flush_that_failed);
        suite_add_tcase(suite, steps);
        tcase_add_checked_fixture(torturing, debts_setup, fixture_end);
        tcase_set_timeout(torturing, 60);
        tcase_add_loop_test(torturing, never_given_out_again, 0, 1);
        suite_add_tcase(suite, torturing);
        return fixture_run(suite);
}
