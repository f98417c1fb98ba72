/* main.c - the run, from the list of sides to the file of results.
 *
 *      driver full|quick|smoke SIDES ENVIRONMENT FIGURES HITRATIO FOLDER RESULTS
 *
 * SIDES: what bench/sides has written. ENVIRONMENT: lines "name, value"; FIGURES: lines "name, value, unit, target,
 * how" of what somebody else has measured; fields are parted by tabs. HITRATIO: of `make bench-hitratio`, may be
 * absent. FOLDER: for files that go away, on tmpfs where there is one. RESULTS: the JSON that is written. */
#include "driver.h"
#include "results.h"
#include "rows.h"
#include "sides.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct scale scales[] = {
        {.name = "full",
         .zipf_keys = 1000000,
         .uniform_keys = 4000000,
         .draws = 2000000,
         .rounds = 80,
         .batch_ns = 4e6,
         .each = 100000,
         .each_rounds = 9,
         .pairs = 400,
         .spawns = 1500,
         .firsts = 25,
         .scaling_rounds = 25,
         .callgrind = true},
        {.name = "quick",
         .zipf_keys = 100000,
         .uniform_keys = 400000,
         .draws = 500000,
         .rounds = 20,
         .batch_ns = 2e6,
         .each = 20000,
         .each_rounds = 3,
         .pairs = 100,
         .spawns = 200,
         .firsts = 7,
         .scaling_rounds = 9,
         .callgrind = true},
        {.name = "smoke",
         .zipf_keys = 1000,
         .uniform_keys = 2000,
         .draws = 2000,
         .rounds = 2,
         .batch_ns = 1e5,
         .each = 200,
         .each_rounds = 1,
         .pairs = 2,
         .spawns = 2,
         .firsts = 1,
         .scaling_rounds = 2,
         .callgrind = false},
};

noreturn void driver_fail(const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        fputs("driver: ", stderr);
        vfprintf(stderr, format, ap);
        fputc('\n', stderr);
        va_end(ap);
        exit(1);
}

static const struct scale *main_scale(const char *name)
{
        for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
                if (strcmp(scales[i].name, name) == 0)
                        return &scales[i];
        driver_fail("what is %s", name);
}

/* Without these there is nothing to compare: they are built here, from what `make deps` installs. */
static void main_must(struct bench *b)
{
        static const char *const must[] = {"mtshim",        "hiredis-unix", "hiredis-tcp", "mtshim-tcp", "preload",
                                           "preload-empty", "l1",           "l1-memory",   "floor"};

        for (size_t i = 0; i < sizeof must / sizeof *must; i++)
                if (bench_side(b, must[i]) == NULL)
                        driver_fail("no side %s", must[i]);
}

int main(int argc, char **argv)
{
        static struct bench b;

        if (argc != 8) {
                fprintf(stderr, "usage: driver full|quick|smoke SIDES ENVIRONMENT FIGURES HITRATIO FOLDER RESULTS\n");
                return 2;
        }
        signal(SIGPIPE, SIG_IGN);
        b.scale = main_scale(argv[1]);
        b.folder = argv[6];
        sides_read(&b, argv[2]);
        main_must(&b);
        results_begin(&b);
        results_environment(argv[3]);
        rows_load(&b);
        rows_latency(&b);
        rows_matrix(&b);
        rows_scaling(&b);
        rows_pairs(&b);
        rows_program(&b);
        sides_end(&b);
        results_import(argv[4]);
        results_hit_ratios(argv[5]);
        results_write(argv[7]);
        return 0;
}
