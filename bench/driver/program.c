/* program.c - what a program pays that is only starting, and the instructions of a hit. */
#include "../common/clock.h"
#include "../common/quantiles.h"
#include "results.h"
#include "rows.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { SAMPLES_MAX = 4096, FIRST_GETS = 2000 };

/* --------------------------------------------------------------------------------- a program that never calls us */

static double program_spawn_us(const char *environment)
{
        char     entry[sizeof((struct side *)0)->environment];
        char    *argv[] = {(char *)"true", NULL}, *envp[] = {entry, NULL};
        uint64_t start = clock_ns();
        pid_t    pid;
        int      status;

        snprintf(entry, sizeof entry, "%s", environment);
        if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp) != 0 || waitpid(pid, &status, 0) != pid ||
            status != 0)
                driver_fail("/bin/true");
        return (double)(clock_ns() - start) / 1e3;
}

static void program_preload(struct bench *b)
{
        const struct side *which[2] = {bench_side(b, "preload-empty"), bench_side(b, "preload")};
        static double      more[SAMPLES_MAX];
        size_t             n = b->scale->spawns < SAMPLES_MAX ? b->scale->spawns : SAMPLES_MAX;

        for (size_t i = 0; i < n; i++) {
                double took[2];

                for (size_t turn = 0; turn < 2; turn++)
                        took[(i + turn) % 2] = program_spawn_us(which[(i + turn) % 2]->environment);
                more[i] = took[1] - took[0];
        }
        results_figure("preloading /bin/true, above an empty library", stats_spread(more, n), "us", "<= 50",
                       "pairs of posix_spawn to the end of waitpid");
}

/* -------------------------------------------------------------------------------- a program that is new to L1 */

/* The slowest of the first GETs of a new process. tag: part of the name of a segment of its own, or none. */
static double program_first_us(struct bench *b, const char *side, size_t tag)
{
        const struct side *s = bench_side(b, side);
        const char        *segment = getenv("MTSHIM_SEGMENT");
        char               environment[sizeof s->environment + 128];
        double             number[WORKER_NUMBERS];
        struct worker      w;

        snprintf(environment, sizeof environment, "%s", s->environment);
        if (tag != 0)
                snprintf(environment, sizeof environment, "%s MTSHIM_L1_SIZE=64M MTSHIM_SEGMENT=%s-%zu", s->environment,
                         segment == NULL ? "bench" : segment, tag);
        w = worker_start(side, environment, s->command, CORE_OURS);
        worker_ask(&w, "use %s %d", bench_path(b, "hot-100"), HOT_BYTES);
        worker_tell(&w, "each 0 %d", FIRST_GETS);
        worker_hear(&w, number);
        worker_end(&w);
        return number[QUANTILE_MAX] / 1e3;
}

static void program_firsts(struct bench *b)
{
        static double bare[SAMPLES_MAX], attach[SAMPLES_MAX], create[SAMPLES_MAX];
        size_t        n = b->scale->firsts < SAMPLES_MAX ? b->scale->firsts : SAMPLES_MAX;
        const char   *how = "a process each: the slowest of its first 2,000 GETs";

        for (size_t i = 0; i < n; i++) {
                bare[i] = program_first_us(b, "hiredis-unix", 0);
                attach[i] = program_first_us(b, "mtshim", 0);
                create[i] = program_first_us(b, "mtshim", i + 1);
        }
        results_figure("slowest of a program's first GETs, bare", stats_spread(bare, n), "us", "", how);
        results_figure("slowest of a program's first GETs, L1 is there", stats_spread(attach, n), "us", "<= 1000", how);
        results_figure("slowest of a program's first GETs, L1 is made", stats_spread(create, n), "us", "<= 1000", how);
}

/* ------------------------------------------------------------------------------------------------ instructions */

static double program_collected(const char *path)
{
        FILE  *file = fopen(path, "re");
        char   line[512];
        double collected = 0;

        if (file == NULL)
                driver_fail("callgrind has written nothing");
        while (fgets(line, sizeof line, file) != NULL) {
                const char *at = strstr(line, "Collected :");

                if (at != NULL)
                        collected = strtod(at + strlen("Collected :"), NULL);
        }
        fclose(file);
        return collected;
}

static double program_counted(struct bench *b, const struct side *s, size_t gets)
{
        struct worker w = side_start(s, CORE_OURS);
        char          path[512];

        worker_ask(&w, "use %s %d", bench_path(b, "hot-100"), HOT_BYTES);
        worker_ask(&w, "get 0 %zu", gets);
        worker_end(&w);
        snprintf(path, sizeof path, "%s/%s.log", b->folder, s->name);
        return program_collected(path);
}

/* As the difference of two lengths of the same run. Our own mtshim leads, so no listener's work is counted. */
static void program_instructions(struct bench *b, const char *side, const char *name, size_t few, size_t many,
                                 const char *target)
{
        const struct side *s = bench_side(b, side);
        char               how[64];
        double             least;

        if (s == NULL)
                return;
        least = program_counted(b, s, few);
        snprintf(how, sizeof how, "callgrind, %zu GETs less %zu", many, few);
        results_figure(name, stats_once((program_counted(b, s, many) - least) / (double)(many - few)), "", target, how);
}

void rows_program(struct bench *b)
{
        program_preload(b);
        program_firsts(b);
        if (!b->scale->callgrind)
                return;
        program_instructions(b, "callgrind", "instructions of a hit", 2000, 12000, "<= 450");
        program_instructions(b, "callgrind-bare", "instructions of a bare GET in hiredis", 200, 1200, "");
}
