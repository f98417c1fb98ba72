/* torture.c - many processes in one segment, killed, stopped and forked anywhere; what is served must be true.
 *
 *   torture [--seconds S] [--seed X] [--processes N] [--threads]
 *
 * Rounds of a second, each with one of a few segments and one of a few mixes of work: processes come and go, one after
 * the other is stopped for longer than a lap of the log, or killed, at a random instruction or at a chosen place. After
 * each round all are dead; the whole structure is verified, and a fresh process finds nothing stuck and nothing lost,
 * also while one process stands still in the middle of an append. With --threads the same workers are threads of one
 * process, and nobody is hurt: that is the form for ThreadSanitizer. */
#include "torture.h"

#include "l1/base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define TORTURE_ROUND_NS   (900 * NS_PER_MS)
#define TORTURE_AT_ONCE_NS NS_PER_S /* something goes in again: within a second of the deaths at the latest */

/* Logs of a few small segments lap quickly; in the last one a large value is a megabyte. */
const struct geometry geometries[GEOMETRIES] = {
        {UINT64_C(2) << 20, 30000},
        {UINT64_C(3) << 20, 200000},
        {UINT64_C(8) << 20, 60000},
        {UINT64_C(48) << 20, 1000000},
};
static const unsigned order[] = {0, 1, 2, 0, 2, 1, 3};

const struct profile profiles[] = {
        {"mixed", .hot = 300, .writes = 150, .cold = 50, .large = 4},
        {"hot keys that are kept again and again", .hot = 64, .writes = 3, .cold = 120, .large = 1},
        {"many writes to few keys", .hot = 40, .writes = 300, .cold = 20, .large = 1},
        {"large values", .hot = 100, .writes = 30, .cold = 200, .large = 60},
        {"hits", .hot = 200, .writes = 2, .cold = 10, .large = 0},
};
const unsigned profile_count = sizeof profiles / sizeof profiles[0];

struct world *world;
static char   directory[] = "/dev/shm/mtshim-torture.XXXXXX";

uint64_t torture_item_max(void)
{
        return geometries[GEOMETRIES - 1].max_item_bytes;
}

struct l1_config torture_config(unsigned geometry)
{
        static char names[GEOMETRIES][16];

        snprintf(names[geometry], sizeof names[geometry], "torture-%u", geometry);
        return (struct l1_config){
                .name = names[geometry],
                .size_bytes = geometries[geometry].size_bytes,
                .max_item_bytes = geometries[geometry].max_item_bytes,
                .directory = directory,
        };
}

struct torture {
        uint64_t     seed, seconds, rounds, verified, slowest_fill_ns;
        unsigned     processes;
        bool         threads;
        struct l1   *l1[GEOMETRIES];
        struct round round;
        struct hurts hurts;
        unsigned     passed, failed;
};

static void expect(struct torture *t, bool good, const char *what, uint64_t n)
{
        t->passed += good;
        t->failed += !good;
        if (!good)
                printf("FAILED: %s (%llu)\n", what, (unsigned long long)n);
}

/* ----------------------------------------------------------------------------------------------------- a round */

/* Of a whole run only what went wrong is told. */
static void must(struct torture *t, bool good, const char *what, uint64_t n)
{
        if (good)
                return;
        printf("round %llu, segment %u, %s: %s (%llu)\n", (unsigned long long)t->rounds, t->round.geometry,
               t->round.profile->name, what, (unsigned long long)n);
        t->failed++;
}

static void verify(struct torture *t)
{
        const char *fault = l1_verify(t->l1[t->round.geometry]);

        t->verified++;
        must(t, fault == NULL, fault, 0);
}

/* pinned: log segments that one who stands still may keep. */
static void recover(struct torture *t, uint32_t pinned)
{
        struct recovery found = {0};
        bool            ended = recover_run(t->l1[t->round.geometry], t->round, t->threads, draw(&t->seed), &found);

        must(t, ended, "a fresh process cannot begin", 0);
        if (!ended)
                return;
        if (found.first_fill_ns != UINT64_MAX && found.first_fill_ns > t->slowest_fill_ns)
                t->slowest_fill_ns = found.first_fill_ns;
        must(t, found.first_fill_ns <= TORTURE_AT_ONCE_NS,
             pinned ? "nothing goes in while one stands still" : "nothing goes in", found.first_fill_ns);
        must(t, found.lost <= pinned, pinned ? "one that stands still pins too much" : "log segments do not come round",
             found.lost);
        must(t, found.bytes_used >= found.bytes_log / 2 || pinned, "less than half of the log is in use",
             found.bytes_used);
        verify(t);
}

/* One stands still where it owns something; then it dies. */
static void recover_beside_stopped(struct torture *t)
{
        bool  in_append = t->rounds % 2 == 0;
        pid_t pid = recover_leave_stopped(t->l1[t->round.geometry], t->round, draw(&t->seed), in_append);

        if (pid == 0)
                return;
        recover(t, in_append ? 1 : 2); /* who reclaims also owns where it keeps */
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        t->hurts.kills++;
        t->hurts.stops[in_append ? IN_APPEND : IN_FILL]++;
}

static void torture_round(struct torture *t)
{
        uint64_t   end_ns = clock_precise_ns() + TORTURE_ROUND_NS;
        struct l1 *l1;

        t->round.geometry = order[t->rounds % (sizeof order / sizeof order[0])];
        t->round.profile = &profiles[below(&t->seed, profile_count)];
        l1 = t->l1[t->round.geometry];
        if (t->threads)
                parent_round_of_threads(l1, t->round, t->processes, &t->seed, end_ns);
        else
                parent_round(l1, t->round, t->processes, &t->seed, end_ns, &t->hurts);
        verify(t);
        if (!t->threads)
                recover_beside_stopped(t);
        recover(t, 0);
        t->rounds++;
}

/* ------------------------------------------------------------------------------------------------------ the summary */

static uint64_t total(enum count what)
{
        uint64_t sum = 0;

        for (unsigned i = 0; i < SEATS; i++)
                sum += mt_load_relaxed(&world->seat[i].count[what]);
        return sum;
}

static const char *const count_names[COUNTS] = {
#define ROW(name, says) says,
        TORTURE_COUNTS(ROW)
#undef ROW
};
static const char *const place_names[PLACES] = {
#define ROW(name, says) says,
        TORTURE_PLACES(ROW)
#undef ROW
};

static void print_counts(const struct torture *t, uint64_t elapsed_ns)
{
        uint64_t laps = 0, logsegs, stops = 0;

        for (unsigned g = 0; g < GEOMETRIES; g++) {
                uint64_t reclaims = parent_reclaims(t->l1[g], &logsegs);

                laps += reclaims / logsegs;
        }
        for (unsigned i = 0; i < TORN; i++)
                printf("%s %llu, ", count_names[i], (unsigned long long)total(i));
        printf("\nhits/s %llu, laps %llu, rounds %llu, verified %llu, slowest first fill %llu us\n",
               (unsigned long long)(total(HITS) * NS_PER_MS / (elapsed_ns / NS_PER_US)), (unsigned long long)laps,
               (unsigned long long)t->rounds, (unsigned long long)t->verified,
               (unsigned long long)(t->slowest_fill_ns / NS_PER_US));
        if (t->threads)
                return;
        for (unsigned i = 0; i < PLACES; i++)
                stops += t->hurts.stops[i];
        printf("kills %llu, stops %llu, longer than a lap %llu, at most %llu laps; stopped",
               (unsigned long long)t->hurts.kills, (unsigned long long)stops, (unsigned long long)t->hurts.long_stops,
               (unsigned long long)t->hurts.most_laps);
        for (unsigned i = 0; i < PLACES; i++)
                printf("%s %s %llu", i > 0 ? "," : "", place_names[i], (unsigned long long)t->hurts.stops[i]);
        printf("\n");
}

static void torture_report(struct torture *t, uint64_t elapsed_ns)
{
        uint64_t corrupt = 0, hits = total(HITS);

        print_counts(t, elapsed_ns);
        for (unsigned i = TORN; i < COUNTS; i++) {
                printf("%s %llu\n", count_names[i], (unsigned long long)total(i));
                expect(t, total(i) == 0, count_names[i], total(i));
        }
        for (unsigned g = 0; g < GEOMETRIES; g++) {
                struct l1_totals totals;

                l1_totals(t->l1[g], false, &totals);
                corrupt += totals.count[COUNTER_error_corrupt];
        }
        expect(t, corrupt == 0, "malformed items", corrupt);
        expect(t, t->hurts.odd_ends == 0, "workers that ended by themselves, badly", t->hurts.odd_ends);
        expect(t, hits > 1000 && total(FILLS) > 1000, "hardly anything happened", hits);
        expect(t, t->threads || t->hurts.long_stops > 0, "nobody slept for a lap", t->hurts.long_stops);
        printf("%u passed, %u failed\n", t->passed, t->failed);
}

/* ------------------------------------------------------------------------------------------------------------- main */

static void torture_options(struct torture *t, int argc, char **argv)
{
        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--threads") == 0) {
                        t->threads = true;
                } else if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0) {
                        t->seconds = strtoull(argv[++i], NULL, 10);
                } else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
                        t->seed = strtoull(argv[++i], NULL, 10);
                } else if (i + 1 < argc && strcmp(argv[i], "--processes") == 0) {
                        t->processes = (unsigned)strtoul(argv[++i], NULL, 10);
                } else {
                        fprintf(stderr, "usage: torture [--seconds S] [--seed X] [--processes N] [--threads]\n");
                        exit(2);
                }
        }
        if (t->processes == 0 || t->processes > SEATS)
                t->processes = t->threads ? 6 : 16;
}

/* Of the children of those that die we take care; what they see is mapped before the first one is made. */
static bool torture_setup(struct torture *t)
{
        world = mmap(NULL, sizeof *world, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (world == MAP_FAILED || mkdtemp(directory) == NULL || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
                fprintf(stderr, "torture: %s\n", strerror(errno));
                return false;
        }
        log_setup();
        values_setup();
        if (!t->threads)
                surprise_setup();
        for (unsigned g = 0; g < GEOMETRIES; g++) {
                struct l1_config config = torture_config(g);

                t->l1[g] = l1_attach(&config);
                if (t->l1[g] == NULL)
                        return false;
        }
        return true;
}

int main(int argc, char **argv)
{
        struct torture t = {.seed = 1, .seconds = 10};
        uint64_t       begun_ns = clock_precise_ns();

        torture_options(&t, argc, argv);
        printf("seed %llu, %u %s\n", (unsigned long long)t.seed, t.processes, t.threads ? "threads" : "processes");
        fflush(stdout);
        t.seed = t.seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
        if (!torture_setup(&t))
                return 2;
        while (clock_precise_ns() < begun_ns + t.seconds * NS_PER_S)
                torture_round(&t);
        torture_report(&t, clock_precise_ns() - begun_ns);
        for (unsigned g = 0; g < GEOMETRIES; g++)
                unlink(l1_path(t.l1[g]));
        rmdir(directory);
        return t.failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
