/* check_process.c - who is alive: the dead, zombies, the stopped, reused slots, fork, exec, a main thread that has
 * ended. */
#include "l1_fixture.h"

#include "l1/segment/process.h"

#include <pthread.h>
#include <signal.h>

/* A child that has an owner word and says it through the pipe; then it does what `body` says. */
static pid_t start(void (*body)(void), uint64_t *word)
{
        int   ends[2];
        pid_t pid;

        ck_assert_int_eq(pipe(ends), 0);
        pid = fork();
        if (pid == 0) {
                l1_after_fork(fixture.l1);
                uint64_t self = l1_self(fixture.l1);
                (void)!write(ends[1], &self, sizeof self);
                body();
                _exit(0);
        }
        ck_assert_int_eq(read(ends[0], word, sizeof *word), sizeof *word);
        close(ends[0]);
        close(ends[1]);
        ck_assert_uint_ne(*word, 0);
        return pid;
}

static void wait_for_ever(void)
{
        for (;;)
                pause();
}

static void end(pid_t pid)
{
        kill(pid, SIGKILL);
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(own_word)
{
        uint64_t self = l1_self(fixture.l1);

        ck_assert_uint_ne(self, 0);
        ck_assert_uint_eq(l1_self(fixture.l1), self);
        ck_assert(!l1_owner_dead(fixture.l1, self));
        ck_assert_int_eq(l1_owner_pid(fixture.l1, self), getpid());
        ck_assert(l1_owner_dead(fixture.l1, 0));
        ck_assert_int_eq(l1_owner_pid(fixture.l1, 0), 0);
        /* Words that no slot ever gave out. */
        ck_assert(l1_owner_dead(fixture.l1, UINT64_MAX));
        ck_assert(l1_owner_dead(fixture.l1, self + (UINT64_C(2) << 32)));
        ck_assert(l1_owner_dead(fixture.l1, PROCESS_MAX + 1));
}
END_TEST

START_TEST(killed_and_zombie)
{
        uint64_t  word;
        pid_t     pid = start(wait_for_ever, &word);
        siginfo_t info;

        ck_assert(!l1_owner_dead(fixture.l1, word));
        ck_assert_int_eq(l1_owner_pid(fixture.l1, word), pid);
        kill(pid, SIGKILL);
        ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        ck_assert_int_eq(kill(pid, 0), 0); /* the pid is there still */
        ck_assert(l1_owner_dead(fixture.l1, word));
        waitpid(pid, NULL, 0);
        ck_assert(l1_owner_dead(fixture.l1, word));
}
END_TEST

START_TEST(stopped_is_alive)
{
        uint64_t word;
        pid_t    pid = start(wait_for_ever, &word);

        kill(pid, SIGSTOP);
        ck_assert_int_eq(waitpid(pid, NULL, WUNTRACED), pid);
        ck_assert(!l1_owner_dead(fixture.l1, word));
        end(pid);
}
END_TEST

static void *outlive_main(void *arg)
{
        (void)arg;
        wait_for_ever();
        return NULL;
}

static void leave_a_thread(void)
{
        pthread_t thread;

        pthread_create(&thread, NULL, outlive_main, NULL);
        pthread_exit(NULL);
}

/* Its main thread has ended, so that /proc shows a zombie; another thread of it may be writing. */
START_TEST(main_thread_ended)
{
        char     path[64], stat[512] = "", *after = NULL;
        uint64_t word;
        pid_t    pid = start(leave_a_thread, &word);

        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        do {
                FILE *f = fopen(path, "r");
                ck_assert_ptr_nonnull(fgets(stat, sizeof stat, f));
                fclose(f);
                after = strrchr(stat, ')');
        } while (after[2] != 'Z');
        ck_assert(!l1_owner_dead(fixture.l1, word));
        end(pid);
        ck_assert(l1_owner_dead(fixture.l1, word));
}
END_TEST

/* The pid is there, and is another process. */
START_TEST(pid_reused)
{
        uint64_t            word;
        pid_t               pid = start(wait_for_ever, &word);
        struct process_shm *slot = &fixture.l1->processes[(uint32_t)word - 1];

        ck_assert_int_eq(mt_load_relaxed(&slot->pid), pid);
        mt_store_relaxed(&slot->start_time, mt_load_relaxed(&slot->start_time) - 1);
        ck_assert(l1_owner_dead(fixture.l1, word));
        end(pid);
}
END_TEST

static uint64_t parent_word;

static void child_of_fork(void)
{
        uint64_t self = l1_self(fixture.l1);

        if (self == 0 || self == parent_word || l1_owner_pid(fixture.l1, self) != getpid())
                _exit(1);
        l1_detach(fixture.l1);
        if (l1_owner_dead(fixture.l1, parent_word))
                _exit(2);
}

START_TEST(fork_takes_another)
{
        parent_word = l1_self(fixture.l1);
        fixture_child(child_of_fork, 0);
        ck_assert_uint_eq(l1_self(fixture.l1), parent_word);
        ck_assert(!l1_owner_dead(fixture.l1, parent_word));
}
END_TEST

/* A child that knows nothing of the fork ends, destructors and all: its parent's word and counters stay the
 * parent's. */
START_TEST(ignorant_child)
{
        pid_t pid;

        parent_word = l1_self(fixture.l1);
        for (int i = 0; i < 100; i++) /* the first few are counted elsewhere */
                l1_count(fixture.l1, COUNTER_hits, 1);
        pid = fork();
        if (pid == 0) {
                l1_detach(fixture.l1);
                _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
        ck_assert(!l1_owner_dead(fixture.l1, parent_word));
        ck_assert_uint_eq(l1_self(fixture.l1), parent_word);
        ck_assert_uint_eq(mt_load_relaxed(&fixture.l1->counters[1].owner), parent_word);
        ck_assert(fixture_put(mt_bytes_of("k"), mt_bytes_of("v")));
}
END_TEST

/* Slots of the dead are taken again, one incarnation later. */
START_TEST(dead_slots_return)
{
        struct process_shm *slot;
        uint64_t            word, again;
        pid_t               pid = start(wait_for_ever, &word);

        end(pid);
        slot = &fixture.l1->processes[(uint32_t)word - 1];
        for (uint32_t i = 0; i < PROCESS_MAX; i++) {
                if (&fixture.l1->processes[i] != slot && mt_load_relaxed(&fixture.l1->processes[i].pid) == 0) {
                        mt_store_relaxed(&fixture.l1->processes[i].pid, getppid());
                        mt_store_relaxed(&fixture.l1->processes[i].incarnation, 1);
                }
        }
        pid = start(wait_for_ever, &again);
        ck_assert_uint_eq((uint32_t)again, (uint32_t)word);
        ck_assert_uint_gt(again, word);
        ck_assert(l1_owner_dead(fixture.l1, word));
        ck_assert(!l1_owner_dead(fixture.l1, again));
        end(pid);
        /* A claimer that died between pid and incarnation. */
        mt_store_relaxed(&slot->incarnation, mt_load_relaxed(&slot->incarnation) + 1);
        mt_store_relaxed(&slot->pid, pid);
        pid = start(wait_for_ever, &again);
        ck_assert_uint_eq((uint32_t)again, (uint32_t)word);
        end(pid);
}
END_TEST

static void full_for_me(void)
{
        struct l1_lease lease;
        struct l1_key   key = fixture_key(mt_bytes_of("k"));

        if (l1_self(fixture.l1) != 0)
                _exit(1);
        /* It reads, it may even lease, but nothing is put in. */
        if (!fixture_has(mt_bytes_of("there"), mt_bytes_of("v")))
                _exit(2);
        if (fixture_lease(&key, &lease) &&
            l1_fill(fixture.l1, &key, &lease, mt_bytes_of("v"), clock_coarse_ns() + NS_PER_S))
                _exit(3);
        l1_count(fixture.l1, COUNTER_hits, 7);
}

START_TEST(table_full)
{
        ck_assert(fixture_put(mt_bytes_of("there"), mt_bytes_of("v")));
        for (uint32_t i = 0; i < PROCESS_MAX; i++) {
                struct process_shm *slot = &fixture.l1->processes[i];

                if (mt_load_relaxed(&slot->pid) == 0) {
                        mt_store_relaxed(&slot->pid, getppid());
                        mt_store_relaxed(&slot->incarnation, 1);
                }
        }
        fixture_child(full_for_me, 0);
        ck_assert_uint_eq(fixture_count(COUNTER_hits), 7);
}
END_TEST

/* The image before exec() had our pid and start time. What it held is free once we have attached. */
START_TEST(image_before_exec)
{
        struct l1          *l1 = fixture.l1;
        uint64_t            self = l1_self(l1), old;
        uint32_t            first = (uint32_t)getpid() % PROCESS_MAX;
        struct process_shm *slot = &l1->processes[first];

        ck_assert_uint_eq((uint32_t)self, first + 1);
        old = self;
        /* As exec() leaves it: the slot stands, and no handle of this image has the word. */
        mt_store_relaxed(&l1->self, 0);
        ck_assert(!l1_owner_dead(l1, old));
        self = l1_self(l1);
        ck_assert_uint_eq((uint32_t)self, first + 1);
        ck_assert(l1_owner_dead(l1, old));
        ck_assert_int_eq(mt_load_relaxed(&slot->pid), getpid());
        /* A second handle of this image is not mistaken for it. */
        struct l1 *second = l1_attach(&fixture.config);
        ck_assert_uint_ne(l1_self(second), 0);
        ck_assert_uint_ne(l1_self(second), self);
        ck_assert(!l1_owner_dead(l1, self));
        l1_detach(second);
}
END_TEST

static void *ask_self(void *arg)
{
        uint64_t *word = arg;

        do
                *word = l1_self(fixture.l1);
        while (*word == 0);
        return NULL;
}

static void many_ask(void)
{
        pthread_t thread[8];
        uint64_t  word[8];

        for (int i = 0; i < 8; i++)
                pthread_create(&thread[i], NULL, ask_self, &word[i]);
        for (int i = 0; i < 8; i++)
                pthread_join(thread[i], NULL);
        for (int i = 1; i < 8; i++) {
                if (word[i] != word[0])
                        _exit(1);
        }
        if (l1_owner_dead(fixture.l1, word[0]))
                _exit(2);
}

START_TEST(threads_agree)
{
        for (int round = 0; round < 20; round++)
                fixture_child(many_ask, 0);
}
END_TEST

START_TEST(own_words)
{
        _Atomic uint64_t owner = 0;
        uint64_t         self = l1_self(fixture.l1), word;
        pid_t            pid = start(wait_for_ever, &word);

        ck_assert(process_own(fixture.l1, &owner, self, false));
        ck_assert(!process_own(fixture.l1, &owner, self, true)); /* another thread of ours has it */
        mt_store_relaxed(&owner, word);
        ck_assert(!process_own(fixture.l1, &owner, self, true));
        end(pid);
        ck_assert(!process_own(fixture.l1, &owner, self, false));
        ck_assert(process_own(fixture.l1, &owner, self, true));
        ck_assert_uint_eq(mt_load_relaxed(&owner), self);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("process");
        TCase *all = tcase_create("owner words");

        tcase_add_checked_fixture(all, fixture_usual, fixture_end);
        tcase_set_timeout(all, 60);
        tcase_add_test(all, own_word);
        tcase_add_test(all, killed_and_zombie);
        tcase_add_test(all, stopped_is_alive);
        tcase_add_test(all, main_thread_ended);
        tcase_add_test(all, pid_reused);
        tcase_add_test(all, fork_takes_another);
        tcase_add_test(all, ignorant_child);
        tcase_add_test(all, dead_slots_return);
        tcase_add_test(all, table_full);
        tcase_add_test(all, image_before_exec);
        tcase_add_test(all, threads_agree);
        tcase_add_test(all, own_words);
        suite_add_tcase(suite, all);
        return fixture_run(suite);
}
