/* check_leader.c - the leadership word: who may take it, for how long it is held, and what a leader may say. Other
 * processes are real ones, in a segment of their own. */
#include "invalidation/leader.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define BOUND_MS 1000u

static char               folder[] = "/tmp/mtshim-leader-XXXXXX";
static struct l1         *l1;
static struct server_shm *server;

static void setup(void)
{
        struct l1_config    config = {.name = "leader",
                                      .size_bytes = 4 << 20,
                                      .max_item_bytes = 65536,
                                      .directory = folder};
        struct l1_server_id id = {.family = AF_UNIX, .id = {1, 2, 0}, .address = "/run/test.sock"};

        ck_assert_ptr_nonnull(mkdtemp(folder));
        l1 = l1_attach(&config);
        ck_assert_ptr_nonnull(l1);
        server = l1_server(l1, &id);
        ck_assert_ptr_nonnull(server);
}

static void teardown(void)
{
        char command[64];

        l1_detach(l1);
        snprintf(command, sizeof command, "rm -rf %s", folder);
        ck_assert_int_eq(system(command), 0);
}

static void pass(uint64_t ns)
{
        atomic_fetch_add(&clock_test_offset_ns, (int64_t)ns);
}

static bool vacant(void)
{
        uint64_t word;

        return leader_vacant(l1, server, clock_coarse_ns(), &word);
}

static bool take(struct leader *leader, uint32_t bound_ms)
{
        uint64_t word;

        return leader_vacant(l1, server, clock_coarse_ns(), &word) && leader_take(leader, l1, server, bound_ms, word);
}

/* A child that takes leadership, says so, and waits to be killed. */
static pid_t rival(void)
{
        struct leader leader;
        int           ready[2];
        char          said = 'n';
        pid_t         pid;

        ck_assert_int_eq(pipe(ready), 0);
        pid = fork();
        if (pid == 0) {
                l1_after_fork(l1);
                leader_lower_bound(server, BOUND_MS);
                said = take(&leader, BOUND_MS) ? 'y' : 'n';
                if (write(ready[1], &said, 1) == 1)
                        pause();
                _exit(0);
        }
        ck_assert_int_eq(read(ready[0], &said, 1), 1);
        ck_assert_int_eq(said, 'y');
        close(ready[0]);
        close(ready[1]);
        return pid;
}

static void end(pid_t pid)
{
        ck_assert_int_eq(kill(pid, SIGKILL), 0);
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* ------------------------------------------------------------------------------------------------- candidates */

START_TEST(test_leader_long_lived)
{
        for (int i = 0; i < 31; i++)
                ck_assert(!leader_long_lived(NS_PER_S));
        ck_assert(leader_long_lived(NS_PER_S));
        leader_forget_life();
        ck_assert(!leader_long_lived(NS_PER_S));
        ck_assert(!leader_long_lived(NS_PER_S + 99 * NS_PER_MS));
        ck_assert(leader_long_lived(NS_PER_S + 100 * NS_PER_MS));
}
END_TEST

START_TEST(test_leader_bound)
{
        ck_assert(leader_lower_bound(server, 1000));
        ck_assert(!leader_lower_bound(server, 1000));
        ck_assert(!leader_lower_bound(server, 2000));
        ck_assert(leader_lower_bound(server, 50));
        ck_assert_uint_eq(leader_bound_ms(server, 1000), 50);
        ck_assert_uint_eq(leader_bound_ms(server, 20), 20);
        ck_assert_uint_eq(leader_period_ns(1000), 250 * NS_PER_MS);
        ck_assert_uint_eq(leader_period_ns(1), NS_PER_MS);
        ck_assert_uint_eq(leader_period_ns(3600000), NS_PER_S);
        for (uint32_t ms = 1; ms < 100000; ms = ms * 3 + 1) /* replaced within the bound and a second */
                ck_assert_uint_le(leader_lapse_ns(ms), (ms + 500) * NS_PER_MS);
}
END_TEST

START_TEST(test_leader_takes_and_gives_up)
{
        struct leader leader;
        uint32_t      term;
        uint64_t      fresh_ns = clock_coarse_ns();

        ck_assert(vacant());
        ck_assert(take(&leader, BOUND_MS));
        ck_assert(leader_holds(&leader));
        ck_assert(!vacant());
        ck_assert_uint_eq(mt_load_relaxed(&server->leader), l1_self(l1));
        term = mt_load_relaxed(&server->leader_term);
        mt_store_relaxed(&server->fresh_at_ns, fresh_ns);
        leader_give_up(&leader);
        ck_assert(!leader_holds(&leader));
        ck_assert(vacant());
        ck_assert_uint_eq(mt_load_relaxed(&server->fresh_at_ns), 0); /* nobody listens: nobody is to believe L1 */
        ck_assert(take(&leader, BOUND_MS));
        ck_assert_uint_eq(mt_load_relaxed(&server->leader_term), term + 1);
        /* Until when it was true is not forgotten, whoever has led since and reached nobody. */
        leader_give_up(&leader);
        ck_assert_uint_eq(mt_load_relaxed(&server->fresh_was_ns), fresh_ns);
}
END_TEST

/* A leadership of the past is not taken for the present one of the same process. */
START_TEST(test_leader_terms)
{
        struct leader first, second;

        ck_assert(take(&first, BOUND_MS));
        leader_give_up(&first);
        ck_assert(take(&second, BOUND_MS));
        ck_assert(!leader_holds(&first));
        mt_store_relaxed(&server->fresh_at_ns, 77);
        leader_give_up(&first);
        ck_assert(leader_holds(&second));
        ck_assert_uint_eq(mt_load_relaxed(&server->fresh_at_ns), 77);
}
END_TEST

START_TEST(test_leader_expires)
{
        struct leader leader;
        pid_t         pid = rival();
        uint64_t      lapse_ns = leader_lapse_ns(BOUND_MS);

        ck_assert(!vacant());
        pass(lapse_ns / 4);
        ck_assert(!vacant());
        pass(lapse_ns); /* it lives, and has not renewed */
        ck_assert(take(&leader, BOUND_MS));
        ck_assert(leader_holds(&leader));
        end(pid);
}
END_TEST

/* Half of the time has passed without being renewed: a look at the process is worth its price, and it is gone. */
START_TEST(test_leader_dead_is_noticed_early)
{
        struct leader leader;
        pid_t         pid = rival();

        end(pid);
        ck_assert(!vacant()); /* as if it had just renewed */
        pass(leader_lapse_ns(BOUND_MS) * 5 / 8);
        ck_assert(take(&leader, BOUND_MS));
}
END_TEST

START_TEST(test_leader_looks_sparingly)
{
        pid_t    pid = rival();
        uint64_t lapse_ns = leader_lapse_ns(BOUND_MS);

        pass(lapse_ns * 5 / 8);
        ck_assert(!vacant()); /* looked: it lives */
        end(pid);
        ck_assert(!vacant()); /* not looked again */
        pass(lapse_ns / 8 + clock_tick_ns());
        ck_assert(vacant());
}
END_TEST

START_TEST(test_leader_renews)
{
        struct leader leader, other;
        uint64_t      lapse_ns = leader_lapse_ns(BOUND_MS), until_ns;

        ck_assert(take(&leader, BOUND_MS));
        for (int i = 0; i < 10; i++) {
                pass(lapse_ns / 3);
                leader_renew(&leader, clock_precise_ns());
                ck_assert(!vacant());
        }
        /* One that comes late, from before a stop, does not shorten it. */
        until_ns = mt_load_relaxed(&server->leader_until_ns);
        leader_renew(&leader, clock_precise_ns() - lapse_ns);
        ck_assert_uint_eq(mt_load_relaxed(&server->leader_until_ns), until_ns);
        /* One of a former leader does nothing. */
        leader_give_up(&leader);
        ck_assert(take(&other, BOUND_MS));
        until_ns = mt_load_relaxed(&server->leader_until_ns);
        pass(lapse_ns / 3);
        leader_renew(&leader, clock_precise_ns());
        ck_assert_uint_eq(mt_load_relaxed(&server->leader_until_ns), until_ns);
}
END_TEST

START_TEST(test_leader_noise)
{
        struct leader leader;

        mt_store_relaxed(&server->leader, UINT64_MAX);
        mt_store_relaxed(&server->leader_until_ns, UINT64_MAX);
        ck_assert(take(&leader, BOUND_MS));
        ck_assert_uint_lt(mt_load_relaxed(&server->leader_until_ns), clock_precise_ns() + 4 * NS_PER_S);
        mt_store_relaxed(&server->bound_ms, 0);
        leader_renew(&leader, clock_precise_ns());
        ck_assert(leader_holds(&leader));
}
END_TEST

START_TEST(test_leader_bound_is_forgotten)
{
        struct leader leader;

        leader_lower_bound(server, 20);
        ck_assert(take(&leader, BOUND_MS));
        leader_renew(&leader, clock_precise_ns());
        ck_assert_uint_eq(mt_load_relaxed(&server->bound_ms), 20);
        pass(10 * NS_PER_S);
        leader_renew(&leader, clock_precise_ns());
        ck_assert_uint_eq(mt_load_relaxed(&server->bound_ms), BOUND_MS);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------ terms of it */

START_TEST(test_leader_forbidden)
{
        static const enum server_flag flag[] = {SERVER_NO_TRACKING, SERVER_CLUSTER, SERVER_COSTLY};
        struct leader                 leader;

        for (int i = 0; i < 3; i++) {
                ck_assert(take(&leader, BOUND_MS));
                leader_forbid(&leader, flag[i], clock_precise_ns() + 60 * NS_PER_S);
                leader_give_up(&leader);
                ck_assert(!vacant());
                pass(59 * NS_PER_S);
                ck_assert(!vacant());
                pass(2 * NS_PER_S);
                ck_assert(take(&leader, BOUND_MS));
                leader_clear_flags(&leader, flag[i]);
                ck_assert_uint_eq(mt_load_relaxed(&server->flags), 0);
                leader_give_up(&leader);
        }
}
END_TEST

START_TEST(test_leader_identify)
{
        struct leader leader;
        uint32_t      first = mt_load_relaxed(&server->incarnation);

        ck_assert(take(&leader, BOUND_MS));
        ck_assert(!leader_identify(&leader, "aaaa"));
        ck_assert(!leader_identify(&leader, "aaaa"));
        ck_assert_uint_eq(mt_load_relaxed(&server->incarnation), first);
        ck_assert(leader_identify(&leader, "bbbb"));
        ck_assert_uint_eq(mt_load_relaxed(&server->incarnation), first + 1);
        ck_assert_str_eq(server->run_id, "bbbb");
        ck_assert(leader_holds(&leader));
        /* Gone: the next is another, whoever it is, and connections made since then are its. */
        leader_server_gone(&leader);
        leader_server_gone(&leader);
        ck_assert_uint_eq(mt_load_relaxed(&server->incarnation), first + 2);
        ck_assert(!leader_identify(&leader, "cccc"));
        ck_assert_uint_eq(mt_load_relaxed(&server->incarnation), first + 2);
}
END_TEST

/* INFO refused: each connection may be to another server; the first one has nothing to be compared with. */
START_TEST(test_leader_identify_unknown)
{
        struct leader leader;
        uint32_t      first = mt_load_relaxed(&server->incarnation);

        ck_assert(take(&leader, BOUND_MS));
        ck_assert(!leader_identify(&leader, ""));
        l1_flush_server(l1, server);
        ck_assert(leader_identify(&leader, ""));
        ck_assert(leader_identify(&leader, ""));
        ck_assert_uint_eq(mt_load_relaxed(&server->incarnation), first + 2);
}
END_TEST

START_TEST(test_leader_place_given_away)
{
        struct leader leader;

        ck_assert(take(&leader, BOUND_MS));
        mt_fetch_add_acq_rel(&server->incarnation, 1);
        ck_assert(!leader_holds(&leader));
        ck_assert(!leader_identify(&leader, "aaaa"));
        leader_forbid(&leader, SERVER_COSTLY, UINT64_MAX);
        ck_assert_uint_eq(mt_load_relaxed(&server->flags), 0);
}
END_TEST

START_TEST(test_leader_abandoned)
{
        struct leader leader;

        ck_assert(take(&leader, BOUND_MS));
        l1_abandon(l1);
        ck_assert(!leader_holds(&leader));
        leader_renew(&leader, clock_precise_ns());
        ck_assert_uint_eq(mt_load_relaxed(&server->leader), 0);
}
END_TEST

START_TEST(test_leader_too_costly)
{
        struct leader leader;

        ck_assert(take(&leader, BOUND_MS));
        leader.keys = 1001;
        ck_assert(!leader_too_costly(&leader, clock_precise_ns())); /* not a minute yet */
        pass(61 * NS_PER_S);
        l1_count(l1, COUNTER_hits, 101);
        ck_assert(!leader_too_costly(&leader, clock_precise_ns())); /* ten keys a hit, no more */
        pass(61 * NS_PER_S);
        l1_count(l1, COUNTER_hits, 99);
        leader.keys += 1001;
        ck_assert(leader_too_costly(&leader, clock_precise_ns()));
        pass(61 * NS_PER_S);
        leader.keys += 900; /* costs nothing worth mentioning */
        ck_assert(!leader_too_costly(&leader, clock_precise_ns()));
}
END_TEST

/* A host on which nobody reads any more is told of writes for a minute. */
START_TEST(test_leader_too_costly_without_a_hit)
{
        struct leader leader;

        l1_count(l1, COUNTER_hits, 1000000); /* of before */
        ck_assert(take(&leader, BOUND_MS));
        leader.keys = 1000;
        ck_assert(!leader_too_costly(&leader, clock_precise_ns()));
        pass(61 * NS_PER_S);
        ck_assert(leader_too_costly(&leader, clock_precise_ns()));
}
END_TEST

/* Hosts that close in the same minute come back over ten, also where their clocks read nearly the same. */
START_TEST(test_leader_costly_is_spread)
{
        uint64_t now_ns = clock_precise_ns();
        unsigned in_minute[10] = {0};

        for (unsigned i = 0; i < 1000; i++) {
                uint64_t ns = leader_costly_ns(now_ns + i * 7919);

                ck_assert_uint_ge(ns, 600 * NS_PER_S);
                ck_assert_uint_lt(ns, 1200 * NS_PER_S);
                in_minute[(ns - 600 * NS_PER_S) / (60 * NS_PER_S)]++;
        }
        for (unsigned i = 0; i < 10; i++)
                ck_assert_uint_le(in_minute[i], 150);
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("leader");
        TCase   *tc = tcase_create("leader");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_add_checked_fixture(tc, setup, teardown);
        tcase_add_test(tc, test_leader_long_lived);
        tcase_add_test(tc, test_leader_bound);
        tcase_add_test(tc, test_leader_takes_and_gives_up);
        tcase_add_test(tc, test_leader_terms);
        tcase_add_test(tc, test_leader_expires);
        tcase_add_test(tc, test_leader_dead_is_noticed_early);
        tcase_add_test(tc, test_leader_looks_sparingly);
        tcase_add_test(tc, test_leader_renews);
        tcase_add_test(tc, test_leader_noise);
        tcase_add_test(tc, test_leader_bound_is_forgotten);
        tcase_add_test(tc, test_leader_forbidden);
        tcase_add_test(tc, test_leader_identify);
        tcase_add_test(tc, test_leader_identify_unknown);
        tcase_add_test(tc, test_leader_place_given_away);
        tcase_add_test(tc, test_leader_abandoned);
        tcase_add_test(tc, test_leader_too_costly);
        tcase_add_test(tc, test_leader_too_costly_without_a_hit);
        tcase_add_test(tc, test_leader_costly_is_spread);
        suite_add_tcase(suite, tc);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? 0 : 1;
}
