/* check_wait.c - waiting for somebody else's fill: what ends it, who takes another's place, what is left behind. */
#include "l1_fixture.h"

#include "l1/cache/logseg.h"
#include "l1/cache/wait.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#define KEY   mt_bytes_of("user:1")
#define VALUE mt_bytes_of("hello")
#define LONG  (20 * NS_PER_S) /* so that a lost wake-up is seen */

enum { WAITERS = 4 };

struct waiter {
        pthread_t       thread;
        struct l1_key   key;
        struct l1_other other;
        uint64_t        limit_ns;
        enum l1_waited  waited;
        struct l1_lease lease;
        bool            took;
};

static void *wait_for(void *arg)
{
        struct waiter *w = arg;

        w->waited = l1_wait(fixture.l1, &w->other, clock_precise_ns() + w->limit_ns);
        return NULL;
}

static void begin(struct waiter *w, void *(*body)(void *), uint64_t limit_ns)
{
        w->key = fixture_key(KEY);
        w->limit_ns = limit_ns;
        ck_assert_int_eq(l1_other(fixture.l1, &w->key, &w->other), L1_OTHER_FILLING);
        ck_assert_int_eq(pthread_create(&w->thread, NULL, body, w), 0);
}

static struct wait_shm *place_of(const struct l1_lease *lease)
{
        return wait_place(fixture.l1, lease->slot);
}

static void await_waiter(struct wait_shm *place)
{
        while (mt_load_relaxed(&place->until_ms) == 0)
                sched_yield();
}

static bool fill(const struct l1_key *key, struct l1_lease *lease)
{
        return l1_fill(fixture.l1, key, lease, VALUE, clock_coarse_ns() + 300 * NS_PER_S);
}

static unsigned pending_slots(void)
{
        struct l1_totals totals;

        l1_totals(fixture.l1, true, &totals);
        return (unsigned)totals.pending;
}

/* In whatever order they come: the fill before a look, between a look and the sleep, after it. Each in turn ends it. */
START_TEST(none_is_lost)
{
        struct waiter w[WAITERS];
        struct l1_key key = fixture_key(KEY);

        for (unsigned turn = 0; turn < 600; turn++) {
                struct l1_lease lease;
                enum l1_waited  expected = L1_WAITED;

                ck_assert(fixture_lease(&key, &lease));
                for (unsigned i = 0; i < WAITERS; i++)
                        begin(&w[i], wait_for, LONG);
                usleep(turn % 7 * 30); /* none asleep, some, all */
                switch (turn % 4) {
                case 0: ck_assert(fill(&key, &lease)); break;
                case 1: ck_assert_uint_eq(l1_remove(fixture.l1, key.hash), 1); break;
                case 2:
                        l1_release(fixture.l1, &lease);
                        expected = L1_WAITED_IN_VAIN;
                        break;
                default: l1_hold(fixture.l1, &lease, 0, L1_HOLD_FIRST); break;
                }
                for (unsigned i = 0; i < WAITERS; i++) {
                        pthread_join(w[i].thread, NULL);
                        ck_assert_int_eq(w[i].waited, expected);
                }
                l1_remove_pattern(fixture.l1, mt_bytes_of("*"));
        }
}
END_TEST

static void *wait_and_take(void *arg)
{
        struct waiter *w = arg;

        w->waited = l1_wait(fixture.l1, &w->other, clock_precise_ns() + w->limit_ns);
        w->took = l1_take_over(fixture.l1, &w->other, fixture_id(), clock_coarse_ns(), &w->lease);
        return NULL;
}

START_TEST(one_takes_over)
{
        struct waiter   w[WAITERS], *taker = NULL;
        struct l1_key   key = fixture_key(KEY);
        struct l1_lease dead;
        uint64_t        began_ns = clock_precise_ns();

        ck_assert(fixture_lease(&key, &dead));
        for (unsigned i = 0; i < WAITERS; i++)
                begin(&w[i], wait_and_take, 20 * NS_PER_MS);
        for (unsigned i = 0; i < WAITERS; i++) {
                pthread_join(w[i].thread, NULL);
                ck_assert(w[i].waited == L1_WAITED_LONG || (w[i].waited == L1_WAITED && !w[i].took));
                ck_assert(!w[i].took || taker == NULL);
                taker = w[i].took ? &w[i] : taker;
        }
        ck_assert_uint_ge(clock_precise_ns() - began_ns, 20 * NS_PER_MS);
        ck_assert_ptr_nonnull(taker);
        /* The former holder comes back: what it has is refused, and the other's stays. */
        ck_assert(!fill(&key, &dead));
        ck_assert_int_eq(fixture_get(KEY, NULL, 0), -1);
        ck_assert(fill(&key, &taker->lease));
        ck_assert(fixture_has(KEY, VALUE));
        /* A word that has left its slot is nobody's to take. */
        ck_assert(!l1_take_over(fixture.l1, &taker->other, fixture_id(), clock_coarse_ns(), &dead));
        ck_assert_ptr_null(dead.slot);
}
END_TEST

/* Those who wait for the former word are woken by the fill of the one who has taken its place. */
START_TEST(taken_over_is_waited_for)
{
        struct waiter   w;
        struct l1_key   key = fixture_key(KEY);
        struct l1_lease dead, lease;

        ck_assert(fixture_lease(&key, &dead));
        begin(&w, wait_for, LONG);
        await_waiter(place_of(&dead));
        ck_assert(l1_take_over(fixture.l1, &w.other, fixture_id(), clock_coarse_ns(), &lease));
        ck_assert(fill(&key, &lease));
        pthread_join(w.thread, NULL);
        ck_assert_int_eq(w.waited, L1_WAITED);
        ck_assert(fixture_has(KEY, VALUE));
}
END_TEST

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
        (void)number;
        signals++;
}

START_TEST(signals_do_not_end_it)
{
        struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART */
        struct waiter    w;
        struct l1_key    key = fixture_key(KEY);
        struct l1_lease  lease;

        sigaction(SIGUSR1, &action, NULL);
        ck_assert(fixture_lease(&key, &lease));
        begin(&w, wait_for, LONG);
        await_waiter(place_of(&lease));
        for (int i = 1; i <= 5; i++) {
                pthread_kill(w.thread, SIGUSR1);
                while (signals < i)
                        sched_yield();
        }
        ck_assert(fill(&key, &lease));
        pthread_join(w.thread, NULL);
        ck_assert_int_eq(w.waited, L1_WAITED);
}
END_TEST

/* What the thread has is what it had. */
START_TEST(leaves_no_trace)
{
        struct l1_key   key = fixture_key(KEY);
        struct l1_other other;
        struct l1_lease lease;

        ck_assert(fixture_lease(&key, &lease));
        ck_assert_int_eq(l1_other(fixture.l1, &key, &other), L1_OTHER_FILLING);
        prctl(PR_SET_TIMERSLACK, 12345);
        errno = EDOM;
        ck_assert_int_eq(l1_wait(fixture.l1, &other, clock_precise_ns() + NS_PER_MS), L1_WAITED_LONG);
        ck_assert_int_eq(errno, EDOM);
        ck_assert_int_eq(prctl(PR_GET_TIMERSLACK), 12345);
        ck_assert_int_eq(l1_wait(fixture.l1, &other, clock_precise_ns() - NS_PER_MS), L1_WAITED_LONG);
        ck_assert_int_eq(l1_wait(fixture.l1, &other, clock_precise_ns() + NS_PER_S * 3600), L1_WAITED_LONG);
        l1_release(fixture.l1, &lease);
}
END_TEST

/* moves is moved where a system call is made. */
START_TEST(nobody_waits)
{
        struct l1_key    key = fixture_key(KEY);
        struct l1_lease  lease;
        struct wait_shm *place;
        struct waiter    w;

        ck_assert(fixture_lease(&key, &lease));
        place = place_of(&lease);
        l1_remove(fixture.l1, key.hash);
        ck_assert(!fill(&key, &lease));
        ck_assert(fixture_lease(&key, &lease));
        ck_assert(fill(&key, &lease));
        l1_remove(fixture.l1, key.hash);
        ck_assert_uint_eq(mt_load_relaxed(&place->moves), 0);

        /* Somebody has waited for a second: so long others look for him, also if he was killed. */
        ck_assert(fixture_lease(&key, &lease));
        begin(&w, wait_for, NS_PER_S);
        await_waiter(place_of(&lease));
        place = place_of(&lease);
        ck_assert(fill(&key, &lease));
        pthread_join(w.thread, NULL);
        ck_assert_uint_ge(mt_load_relaxed(&place->moves), 1);
        atomic_fetch_add(&clock_test_offset_ns, (int64_t)(2 * NS_PER_S));
        mt_store_relaxed(&place->moves, 0);
        l1_remove(fixture.l1, key.hash);
        ck_assert(fixture_lease(&key, &lease));
        ck_assert(fill(&key, &lease));
        ck_assert_uint_eq(mt_load_relaxed(&place->moves), 0);
}
END_TEST

/* Whatever stands in the place: who waits is woken, or is done when his time is over, and others are not kept. */
START_TEST(forged)
{
        static const uint32_t until[] = {1, 0x7fffffff, 0x80000000, 0xffffffff, 40000, 3000000000u};
        struct l1_key         key = fixture_key(KEY);

        for (unsigned i = 0; i < sizeof until / sizeof until[0]; i++) {
                struct l1_lease  lease;
                struct wait_shm *place;
                struct waiter    w;
                uint32_t         was;

                ck_assert(fixture_lease(&key, &lease));
                place = place_of(&lease);
                mt_store_relaxed(&place->until_ms, until[i]);
                mt_store_relaxed(&place->given_up, ~UINT64_C(0));
                was = mt_load_relaxed(&place->moves);
                begin(&w, wait_for, LONG);
                while (mt_load_relaxed(&place->until_ms) == until[i] && i != 4)
                        sched_yield();
                ck_assert(fill(&key, &lease));
                pthread_join(w.thread, NULL);
                ck_assert_int_eq(w.waited, L1_WAITED);
                ck_assert(i == 4 || mt_load_relaxed(&place->moves) != was);
                l1_remove(fixture.l1, key.hash);
        }
}
END_TEST

static struct l1_other child_other;

static void child_waits(void)
{
        raise(SIGSTOP);
        l1_wait(fixture.l1, &child_other, clock_precise_ns() + LONG);
}

/* Stopped before it sleeps, or killed in its sleep: nobody else is held up, and what it waited for goes its way. */
START_TEST(waiter_is_killed)
{
        struct l1_key   key = fixture_key(KEY);
        struct l1_lease lease;
        int             status;
        pid_t           pid;

        ck_assert(fixture_lease(&key, &lease));
        ck_assert_int_eq(l1_other(fixture.l1, &key, &child_other), L1_OTHER_FILLING);
        pid = fork();
        if (pid == 0) {
                l1_after_fork(fixture.l1);
                child_waits();
                _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
        kill(pid, SIGCONT);
        await_waiter(place_of(&lease));
        kill(pid, SIGKILL);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(fill(&key, &lease));
        ck_assert(fixture_has(KEY, VALUE));
}
END_TEST

/* A removal does not make a free slot of PENDING; whoever held it does, and so does the next one who wants the key. */
START_TEST(removal_leaves_a_mark)
{
        struct l1_key   key = fixture_key(KEY);
        struct l1_lease first, second;
        struct l1_other other;
        uint64_t        word;

        ck_assert(fixture_lease(&key, &first));
        word = first.pending;
        ck_assert_uint_eq(l1_remove(fixture.l1, key.hash), 1);
        ck_assert_uint_eq(l1_remove(fixture.l1, key.hash), 0);
        ck_assert_int_eq(l1_other(fixture.l1, &key, &other), L1_OTHER_FILLED);
        ck_assert_uint_eq(pending_slots(), 1);
        ck_assert(!fill(&key, &first));
        ck_assert_uint_eq(pending_slots(), 0);

        ck_assert(fixture_lease(&key, &first));
        word = first.pending;
        l1_remove(fixture.l1, key.hash);
        ck_assert(fixture_lease(&key, &second));
        ck_assert(l1_hold_same(second.held, word));
        ck_assert_int_eq(l1_hold_of(second.held), L1_HOLD_REMOVED);
        ck_assert(!fill(&key, &first));
        ck_assert(fill(&key, &second));
        ck_assert(fixture_has(KEY, VALUE));
        ck_assert_int_eq(l1_other(fixture.l1, &key, &other), L1_OTHER_FILLED);
        ck_assert_uint_eq(pending_slots(), 0);
}
END_TEST

START_TEST(held)
{
        struct l1_key   key = fixture_key(KEY);
        struct l1_lease lease, other_lease;
        struct l1_other other;
        uint64_t        first;

        ck_assert_int_eq(l1_other(fixture.l1, &key, &other), L1_OTHER_NONE);
        ck_assert(fixture_lease(&key, &lease));
        first = lease.pending;
        l1_hold(fixture.l1, &lease, 0, L1_HOLD_FIRST);
        ck_assert_ptr_null(lease.slot);
        ck_assert(!fixture_lease(&key, &other_lease)); /* nobody else asks meanwhile */
        ck_assert_int_eq(l1_other(fixture.l1, &key, &other), L1_OTHER_HELD);
        ck_assert(l1_hold_same(other.word, first));
        /* Something happens to the key: the next one may look, and put the mark back as it was. */
        ck_assert_uint_eq(l1_remove(fixture.l1, key.hash), 1);
        ck_assert(fixture_lease(&key, &lease));
        l1_hold(fixture.l1, &lease, lease.held, L1_HOLD_FIRST);
        ck_assert_uint_eq(mt_load_relaxed(other.slot), other.word);
        /* It takes too long. */
        ck_assert(l1_take_over(fixture.l1, &other, fixture_id(), clock_coarse_ns(), &lease));
        ck_assert_int_eq(l1_hold_of(lease.held), L1_HOLD_FIRST);
        ck_assert(!l1_hold_same(lease.pending, first));
        l1_hold(fixture.l1, &lease, 0, L1_HOLD_SECOND);
        /* Half a minute is the longest that anybody may wait; then it was left by the dead. */
        atomic_fetch_add(&clock_test_offset_ns, (int64_t)(31 * NS_PER_S));
        ck_assert(!fixture_lease(&key, &lease));
        atomic_fetch_add(&clock_test_offset_ns, (int64_t)(3 * NS_PER_S));
        ck_assert(fixture_lease(&key, &lease));
        ck_assert(fill(&key, &lease));
        ck_assert(fixture_has(KEY, VALUE));
}
END_TEST

/* One is removed while he asks; another looks for him, has a nil, and holds the key for him. He then says what he has
 * had. */
START_TEST(held_for_another)
{
        struct l1_key   key = fixture_key(KEY);
        struct l1_lease first, second;
        struct l1_other other;

        for (int order = 0; order < 4; order++) {
                bool gives_up = order % 2 != 0, before = order / 2 != 0;

                ck_assert(fixture_lease(&key, &first));
                l1_remove(fixture.l1, key.hash);
                ck_assert(fixture_lease(&key, &second));
                for (int turn = 0; turn < 2; turn++) {
                        if ((turn == 0) != before)
                                l1_hold(fixture.l1, &second, second.held, L1_HOLD_FIRST);
                        else if (gives_up)
                                ck_assert(!fill(&key, &first));
                        else
                                l1_hold(fixture.l1, &first, 0, L1_HOLD_FIRST);
                }
                ck_assert_int_eq(l1_other(fixture.l1, &key, &other), gives_up ? L1_OTHER_NONE : L1_OTHER_HELD);
                l1_remove_pattern(fixture.l1, mt_bytes_of("*"));
        }
}
END_TEST

/* Absent keys must not take the room of those that are there: where both buckets are full of marks one has to go, where
 * they are full of fills that are under way none. */
START_TEST(marks_make_room)
{
        struct l1_key      key = fixture_key(KEY);
        struct index_place place = index_place(fixture.l1, key.hash);
        struct l1_lease    lease;

        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++) {
                mt_store_relaxed(index_slot(&place, i), slot_pending(place.tag ^ 1, 1000 + i));
                mt_store_relaxed(index_mark(&place, i), slot_birth(clock_coarse_ns()));
        }
        ck_assert(!fixture_lease(&key, &lease));
        mt_store_relaxed(index_slot(&place, 5), slot_with_hold(slot_pending(place.tag ^ 1, 1005), L1_HOLD_FIRST));
        ck_assert(fixture_lease(&key, &lease));
        ck_assert_uint_eq(lease.held, 0); /* another key's mark says nothing of this one */
        ck_assert(fill(&key, &lease));
        ck_assert(fixture_has(KEY, VALUE));
}
END_TEST

/* A reclaim takes PENDING away as well: one under which pieces were written that have to leave, and any where the log
 * segment cannot be walked. */
START_TEST(reclaimed)
{
        static char         large[10000];
        struct l1_key       key = fixture_key(KEY);
        struct l1_lease     lease;
        struct item_owner   owner;
        struct logseg       seg;
        struct waiter       w;
        const unsigned long puts = 10 * (fixture.l1->log_bytes / sizeof large);
        unsigned long       put = 0;
        uint64_t            began_ns = clock_precise_ns();
        char                number[32];

        ck_assert(fixture_lease(&key, &lease));
        owner = (struct item_owner){key.hash, lease.pending};
        ck_assert(logseg_begin(fixture.l1, LOGSEG_SMALL, item_piece_size(sizeof large), &seg));
        item_write_piece(logseg_at(fixture.l1, &seg), UINT32_MAX, &owner, mt_bytes(large, sizeof large));
        logseg_commit(&seg, item_piece_size(sizeof large), 1, UINT32_MAX);
        logseg_end(&seg);
        begin(&w, wait_for, LONG);
        await_waiter(place_of(&lease));
        while (mt_load_relaxed(lease.slot) == lease.pending && put++ < puts)
                fixture_put(fixture_number(number, "k", (unsigned)put), mt_bytes(large, sizeof large));
        ck_assert_uint_le(put, puts);
        pthread_join(w.thread, NULL);
        ck_assert_int_eq(w.waited, L1_WAITED);
        ck_assert(!fill(&key, &lease));

        ck_assert(fixture_lease(&key, &lease));
        begin(&w, wait_for, LONG);
        usleep(20000);
        index_sweep(fixture.l1, 0, fixture.l1->log_bytes);
        pthread_join(w.thread, NULL);
        ck_assert_int_eq(w.waited, L1_WAITED);
        ck_assert_uint_lt(clock_precise_ns() - began_ns, LONG); /* woken, both times */
}
END_TEST

/* The value is past its end and kept, and one fetches it anew: the others wait for its LIVE word. */
START_TEST(refreshed)
{
        enum { FILLED, GIVEN_UP, REMOVED, ENDS };
        struct l1_key key = fixture_key(KEY);
        uint64_t      end_ns = clock_coarse_ns() + 60 * NS_PER_S, late_ns = end_ns + NS_PER_S;

        l1_set_ends(fixture.l1, 0, 100 * NS_PER_S);
        for (unsigned turn = 0; turn < 50 * ENDS; turn++) {
                uint64_t        began_ns = clock_precise_ns();
                struct waiter   w = {.limit_ns = LONG};
                struct l1_lease lease;
                struct l1_hit   hit;
                enum l1_waited  expected = L1_WAITED;

                if (turn % ENDS == FILLED) {
                        l1_remove(fixture.l1, key.hash);
                        ck_assert(fixture_put_until(KEY, VALUE, end_ns));
                }
                ck_assert(!l1_find(fixture.l1, &key, fixture_id(), late_ns, &hit));
                ck_assert_int_eq(l1_look_at_end(fixture.l1, &key, fixture_id(), late_ns, &hit), L1_END_DUE);
                ck_assert(!l1_other_refresh(fixture.l1, late_ns, &hit, &w.other)); /* nobody does */
                ck_assert(l1_refresh(fixture.l1, fixture_id(), late_ns, &hit, &lease));
                ck_assert(l1_other_refresh(fixture.l1, late_ns, &hit, &w.other));
                ck_assert_int_eq(pthread_create(&w.thread, NULL, wait_for, &w), 0);
                usleep(turn % 7 * 30);
                switch (turn % ENDS) {
                case FILLED: ck_assert(l1_fill(fixture.l1, &key, &lease, VALUE, end_ns)); break;
                case GIVEN_UP: /* and another may try it: what was said of the first time is over */
                        l1_release(fixture.l1, &lease);
                        expected = L1_WAITED_IN_VAIN;
                        break;
                default:
                        ck_assert_uint_eq(l1_remove(fixture.l1, key.hash), 1);
                        ck_assert(!l1_fill(fixture.l1, &key, &lease, VALUE, end_ns));
                }
                pthread_join(w.thread, NULL);
                ck_assert_int_eq(w.waited, expected);
                ck_assert_uint_lt(clock_precise_ns() - began_ns, LONG / 2);
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("wait");
        TCase *tcase = tcase_create("wait");

        tcase_add_checked_fixture(tcase, fixture_usual, fixture_end);
        tcase_set_timeout(tcase, 60);
        tcase_add_test(tcase, none_is_lost);
        tcase_add_test(tcase, one_takes_over);
        tcase_add_test(tcase, taken_over_is_waited_for);
        tcase_add_test(tcase, signals_do_not_end_it);
        tcase_add_test(tcase, leaves_no_trace);
        tcase_add_test(tcase, nobody_waits);
        tcase_add_test(tcase, forged);
        tcase_add_test(tcase, waiter_is_killed);
        tcase_add_test(tcase, removal_leaves_a_mark);
        tcase_add_test(tcase, held);
        tcase_add_test(tcase, held_for_another);
        tcase_add_test(tcase, marks_make_room);
        tcase_add_test(tcase, reclaimed);
        tcase_add_test(tcase, refreshed);
        suite_add_tcase(suite, tcase);
        return fixture_run(suite);
}
