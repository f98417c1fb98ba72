/* check_claim.c - one computes, the others wait: whatever becomes of the one. */
#include "l1_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#define HASH UINT64_C(0x123456789abcdef0)

static uint64_t in_ms(unsigned ms)
{
        return clock_precise_ns() + ms * NS_PER_MS;
}

START_TEST(one_alone)
{
        struct l1_claim first, second, other;

        ck_assert_int_eq(l1_claim(fixture.l1, HASH, &first), L1_CLAIMED);
        ck_assert(l1_claim_holds(&first));
        ck_assert_int_eq(l1_claim(fixture.l1, HASH, &second), L1_CLAIMED_OTHER);
        ck_assert_ptr_eq(second.place, first.place);
        ck_assert_int_eq(l1_claim(fixture.l1, ~HASH, &other), L1_CLAIMED);
        ck_assert(!l1_claim_wait(fixture.l1, &second, in_ms(0)));
        l1_unclaim(&first);
        ck_assert(l1_claim_wait(fixture.l1, &second, in_ms(60000)));
        ck_assert_int_eq(l1_claim(fixture.l1, HASH, &second), L1_CLAIMED);
        l1_unclaim(&second);
        l1_unclaim(&other);
}
END_TEST

START_TEST(taken_over)
{
        struct l1_claim slow, waits, also, taken, none;

        ck_assert_int_eq(l1_claim(fixture.l1, HASH, &slow), L1_CLAIMED);
        ck_assert_int_eq(l1_claim(fixture.l1, HASH, &waits), L1_CLAIMED_OTHER);
        also = waits;
        ck_assert(l1_claim_take_over(fixture.l1, &waits, &taken));
        ck_assert(!l1_claim_take_over(fixture.l1, &also, &none)); /* one alone */
        ck_assert(l1_claim_wait(fixture.l1, &also, in_ms(60000)));
        ck_assert(!l1_claim_holds(&slow));
        ck_assert(l1_claim_holds(&taken));
        l1_unclaim(&slow); /* too late: nothing of the other's is touched */
        ck_assert(l1_claim_holds(&taken));
        ck_assert_int_eq(l1_claim(fixture.l1, HASH, &also), L1_CLAIMED_OTHER);
        l1_unclaim(&taken);
        ck_assert_int_eq(l1_claim(fixture.l1, HASH, &also), L1_CLAIMED);
        l1_unclaim(&also);
}
END_TEST

static void claim_and_die(void)
{
        struct l1_claim claim;

        ck_assert_int_eq(l1_claim(fixture.l1, HASH, &claim), L1_CLAIMED);
        raise(SIGKILL);
}

START_TEST(the_dead_are_seen)
{
        struct l1_claim claim;

        fixture_child(claim_and_die, SIGKILL);
        ck_assert_int_eq(l1_claim(fixture.l1, HASH, &claim), L1_CLAIMED);
        l1_unclaim(&claim);
}
END_TEST

/* Died while somebody waits: nobody wakes him, he looks. */
START_TEST(the_dead_are_not_waited_for)
{
        struct l1_claim claim;
        int             status, pipe_of[2];
        pid_t           pid;
        char            byte;

        ck_assert_int_eq(pipe(pipe_of), 0);
        pid = fork();
        if (pid == 0) {
                l1_after_fork(fixture.l1);
                if (l1_claim(fixture.l1, HASH, &claim) == L1_CLAIMED && write(pipe_of[1], "x", 1) == 1)
                        pause();
                _exit(1);
        }
        ck_assert_int_eq(read(pipe_of[0], &byte, 1), 1);
        ck_assert_int_eq(l1_claim(fixture.l1, HASH, &claim), L1_CLAIMED_OTHER);
        kill(pid, SIGKILL);
        ck_assert(l1_claim_wait(fixture.l1, &claim, in_ms(60000)));
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(l1_claim(fixture.l1, HASH, &claim), L1_CLAIMED);
        l1_unclaim(&claim);
}
END_TEST

START_TEST(full)
{
        struct l1_claim claim[CLAIM_MAX], more;

        for (unsigned i = 0; i < CLAIM_MAX; i++)
                ck_assert_int_eq(l1_claim(fixture.l1, (uint64_t)(i + 1) << 32, &claim[i]), L1_CLAIMED);
        ck_assert_int_eq(l1_claim(fixture.l1, HASH, &more), L1_CLAIMED_FULL);
        ck_assert_int_eq(l1_claim(fixture.l1, UINT64_C(1) << 32, &more), L1_CLAIMED_OTHER);
        for (unsigned i = 0; i < CLAIM_MAX; i++)
                l1_unclaim(&claim[i]);
        ck_assert_int_eq(l1_claim(fixture.l1, HASH, &more), L1_CLAIMED);
        l1_unclaim(&more);
}
END_TEST

START_TEST(without_a_segment)
{
        struct l1_claim here, other;

        ck_assert_int_eq(l1_claim(NULL, HASH, &here), L1_CLAIMED);
        ck_assert_int_eq(l1_claim(NULL, HASH, &other), L1_CLAIMED_OTHER);
        ck_assert_int_eq(l1_claim(fixture.l1, HASH, &other), L1_CLAIMED);
        l1_unclaim(&other);
        l1_unclaim(&here);
        ck_assert_int_eq(l1_claim(NULL, HASH, &here), L1_CLAIMED);
        l1_unclaim(&here);
}
END_TEST

/* What stands there may be anything: calls end, and nothing is written outside of the table. */
START_TEST(hostile)
{
        struct claim_shm *table = fixture.l1->header->claim;
        struct l1_claim   claim;
        uint64_t          word = 1;

        for (unsigned round = 0; round < 2000; round++) {
                word = word * UINT64_C(6364136223846793005) + 1442695040888963407U;
                mt_store_relaxed(&table[word >> 58].owner, round % 3 == 0 ? word : word >> 40);
                mt_store_relaxed(&table[word >> 52 & 63].key, round % 2 == 0 ? HASH ^ (word >> 44) : word);
                if (l1_claim(fixture.l1, HASH, &claim) == L1_CLAIMED_OTHER)
                        l1_claim_wait(fixture.l1, &claim, in_ms(0));
                else
                        l1_unclaim(&claim);
        }
        memset(table, 0, CLAIM_MAX * sizeof *table);
}
END_TEST

/* Who waits is woken, and does not lie until he looks for the dead: fifty times that would be two seconds. */
static _Atomic unsigned hand_over_waits, hand_over_heard;

static void *hand_over_thread(void *arg)
{
        struct l1_claim other;

        for (unsigned i = 0; i < 50; i++) {
                while (l1_claim(fixture.l1, HASH, &other) == L1_CLAIMED)
                        l1_unclaim(&other);
                hand_over_waits++;
                l1_claim_wait(fixture.l1, &other, in_ms(60000));
                hand_over_heard++;
        }
        return arg;
}

START_TEST(who_waits_is_woken)
{
        const struct timespec pause = {.tv_nsec = 1000000};
        uint64_t              began_ns = clock_precise_ns();
        pthread_t             thread;
        struct l1_claim       claim;

        hand_over_waits = hand_over_heard = 0;
        pthread_create(&thread, NULL, hand_over_thread, NULL);
        for (unsigned i = 0; i < 50; i++) {
                while (l1_claim(fixture.l1, HASH, &claim) != L1_CLAIMED)
                        sched_yield();
                while (hand_over_waits == i)
                        sched_yield();
                nanosleep(&pause, NULL); /* long enough for it to lie down, mostly */
                l1_unclaim(&claim);
                while (hand_over_heard == i)
                        sched_yield();
        }
        pthread_join(thread, NULL);
        ck_assert_uint_lt(clock_precise_ns() - began_ns, NS_PER_S);
}
END_TEST

/* Many threads of several processes, two keys that look for a place from the same one on, no time between: never two at
 * once with one key. */
enum { RACERS = 3, RACE_THREADS = 4 };
static struct race {
        _Atomic int      inside[2];
        _Atomic unsigned rounds, violations;
} * race;

static void *race_thread(void *arg)
{
        unsigned which = (unsigned)(uintptr_t)arg % 2;
        uint64_t until_ns = in_ms(700), hash = HASH ^ (uint64_t)which << 60;

        while (clock_precise_ns() < until_ns) {
                struct l1_claim claim;

                switch (l1_claim(fixture.l1, hash, &claim)) {
                case L1_CLAIMED:
                        if (atomic_exchange(&race->inside[which], 1) != 0)
                                atomic_fetch_add(&race->violations, 1);
                        sched_yield();
                        atomic_store(&race->inside[which], 0);
                        l1_unclaim(&claim);
                        atomic_fetch_add(&race->rounds, 1);
                        break;
                case L1_CLAIMED_OTHER: l1_claim_wait(fixture.l1, &claim, in_ms(100)); break;
                case L1_CLAIMED_FULL: break; /* gave way too often */
                }
        }
        return arg;
}

static void race_child(void)
{
        pthread_t thread[RACE_THREADS];

        l1_after_fork(fixture.l1);
        for (unsigned i = 0; i < RACE_THREADS; i++)
                pthread_create(&thread[i], NULL, race_thread, (void *)(uintptr_t)i);
        for (unsigned i = 0; i < RACE_THREADS; i++)
                pthread_join(thread[i], NULL);
        _exit(0);
}

START_TEST(never_two)
{
        pid_t pid[RACERS];
        int   status;

        race = mmap(NULL, sizeof *race, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ck_assert_ptr_ne(race, MAP_FAILED);
        for (unsigned i = 0; i < RACERS; i++) {
                pid[i] = fork();
                if (pid[i] == 0)
                        race_child();
        }
        for (unsigned i = 0; i < RACERS; i++)
                ck_assert_int_eq(waitpid(pid[i], &status, 0), pid[i]);
        ck_assert_uint_eq(race->violations, 0);
        ck_assert_uint_gt(race->rounds, 1000);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("claim");
        TCase *all = tcase_create("claims");

        tcase_add_checked_fixture(all, fixture_usual, fixture_end);
        tcase_add_test(all, one_alone);
        tcase_add_test(all, taken_over);
        tcase_add_test(all, the_dead_are_seen);
        tcase_add_test(all, the_dead_are_not_waited_for);
        tcase_add_test(all, full);
        tcase_add_test(all, without_a_segment);
        tcase_add_test(all, hostile);
        tcase_add_test(all, who_waits_is_woken);
        tcase_add_test(all, never_two);
        suite_add_tcase(suite, all);
        return fixture_run(suite);
}
