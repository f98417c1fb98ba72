/* scaling.c - operations a second of one and more threads, of one and more processes, on a core each, with and without
 * writes. The servers stay on their one core, so a side that asks one shares a core with it. */
#include "cells.h"
#include "rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CORES_MAX = 8, ROUNDS_MAX = 64, SCALED_MAX = 16 };
#define BATCH_FACTOR 6 /* longer batches than elsewhere: several have to be at work at the same time */

static const char *const scaling_sides[] = {"mtshim", "l1", "hiredis-unix", "memcached", "lmdb", "glib", "floor"};

/* What is asked: popularity, and every how many operations there is a write (0: never). */
struct work {
        const char *popularity, *sequence;
        size_t      every;
};
static const struct work scaling_work[] = {{"hot", "hot-100", 0}, {"zipf", "zipf", 0}, {"zipf", "zipf", 20}};

struct scaled {
        struct side  *side;
        struct worker worker[CORES_MAX]; /* one bound to each core, in turn; [0] alone is used for threads, unbound */
        size_t        n, calls, from;
        double        rate[CORES_MAX][ROUNDS_MAX]; /* millions a second of 1, 2, .. */
};

static size_t scaling_cores(void)
{
        int cores = worker_cores();

        return cores > CORES_MAX ? CORES_MAX : (size_t)cores;
}

static const char *scaling_share(const struct work *w)
{
        return w->every == 0 ? "reads" : "5% writes";
}

static void scaling_load(struct bench *b, struct side *s, struct worker *w)
{
        if (!side_shared(s))
                worker_ask(w, "load " HOT_SET " 0 %zu %d", b->scale->zipf_keys, HOT_BYTES);
        if (s->preloaded)
                load_warm(b, w);
}

static void scaling_open(struct bench *b, struct scaled *s, struct side *side, bool processes)
{
        memset(s, 0, sizeof *s);
        s->side = side;
        s->n = scaling_cores();
        for (size_t i = 0; i < (processes ? s->n : 1); i++) {
                s->worker[i] = side_start(side, processes ? (int)i : CORE_ANY);
                scaling_load(b, side, &s->worker[i]);
        }
}

static void scaling_close(struct scaled *s)
{
        for (size_t i = 0; i < CORES_MAX; i++)
                worker_end(&s->worker[i]);
}

/* How many operations take so long that all can be at work together. */
static void scaling_prepare(const struct bench *b, struct scaled *s, const struct work *w, size_t from)
{
        for (size_t i = 0; i < CORES_MAX && s->worker[i].pid != 0; i++)
                cells_warm(&s->worker[i],
                           (size_t)worker_ask(&s->worker[i], "use %s %d", bench_path(b, w->sequence), HOT_BYTES));
        for (s->calls = 256;
             worker_ask(&s->worker[0], "mix 0 %zu %zu", s->calls, w->every) < BATCH_FACTOR / 2.0 * b->scale->batch_ns;)
                s->calls *= 2;
        s->from = from;
}

/* Millions of operations a second: the sum of what each of `count` processes, from the first on, had. */
static double scaling_processes_rate(struct scaled *s, const struct work *w, size_t first, size_t count)
{
        double number[WORKER_NUMBERS], rate = 0;

        for (size_t i = first; i < first + count; i++)
                worker_tell(&s->worker[i], "mix %zu %zu %zu", s->from + i * s->calls, s->calls, w->every);
        for (size_t i = first; i < first + count; i++) {
                worker_hear(&s->worker[i], number);
                rate += (double)s->calls / number[0] * 1e3;
        }
        s->from += s->calls;
        return rate;
}

/* The same of threads, of which the first is on that core. */
static double scaling_threads_rate(struct scaled *s, const struct work *w, size_t core, size_t count)
{
        double number[WORKER_NUMBERS], rate = 0;

        worker_tell(&s->worker[0], "threads %zu %zu %zu %zu %zu", core, count, s->from, s->calls, w->every);
        if (worker_hear(&s->worker[0], number) != count)
                driver_fail("%s has not %zu threads", s->side->name, count);
        for (size_t i = 0; i < count; i++)
                rate += (double)s->calls / number[i] * 1e3;
        s->from += s->calls;
        return rate;
}

/* One is each core's in turn: a core that is slower than another, or nearer to the server, is no gain of two. */
static void scaling_round(struct scaled *s, const struct work *w, size_t round, bool processes)
{
        double (*rate)(struct scaled *, const struct work *, size_t, size_t) =
                processes ? scaling_processes_rate : scaling_threads_rate;
        double alone = 0;

        for (size_t i = 0; i < s->n; i++)
                alone += rate(s, w, i, 1) / (double)s->n;
        s->rate[0][round] = alone;
        for (size_t count = 2; count <= s->n; count++)
                s->rate[count - 1][round] = rate(s, w, 0, count);
}

static void scaling_figure(const struct scaled *s, const struct work *w, size_t rounds, const char *what)
{
        double gain[ROUNDS_MAX];
        char   name[96];
        bool   own = strcmp(s->side->name, "mtshim") == 0;

        if (s->n < 2 || (!own && strcmp(s->side->name, "l1") != 0))
                return;
        for (size_t i = 0; i < rounds; i++)
                gain[i] = s->rate[1][i] / s->rate[0][i];
        snprintf(name, sizeof name, "%s, %s, %s: 2 %s against 1", own ? "mtshim" : "L1 alone", w->popularity,
                 scaling_share(w), what);
        results_figure(name, stats_spread(gain, rounds), "x", w->every == 0 ? ">= 1.9" : ">= 1.8",
                       own && w->every != 0
                               ? "each write is a SET that Redis executes, on a core that the programs use too"
                       : w->every != 0 ? "a write is an invalidation, then a fill"
                                       : "rounds of one after the other");
}

static void scaling_results(const struct bench *b, struct scaled *s, const struct work *w, size_t rounds,
                            bool processes)
{
        bool hot = strcmp(w->popularity, "hot") == 0;

        scaling_figure(s, w, rounds, processes ? "processes" : "threads");
        for (size_t count = 1; count <= s->n; count++) {
                struct place place = {.side = s->side,
                                      .popularity = w->popularity,
                                      .keys = hot ? HOT_KEYS : b->scale->zipf_keys,
                                      .bytes = HOT_BYTES,
                                      .threads = processes ? 1 : (int)count,
                                      .processes = processes ? (int)count : 1,
                                      .writes_percent = w->every == 0 ? 0 : 100 / (int)w->every};

                if (processes || count > 1 || !side_shared(s->side))
                        results_rate(&place, stats_spread(s->rate[count - 1], rounds));
        }
}

static void scaling_run(struct bench *b, struct scaled *scaled, size_t n, bool processes)
{
        size_t rounds = b->scale->scaling_rounds < ROUNDS_MAX ? b->scale->scaling_rounds : ROUNDS_MAX;

        for (size_t k = 0; k < sizeof scaling_work / sizeof *scaling_work; k++) {
                const struct work *w = &scaling_work[k];

                for (size_t i = 0; i < n; i++)
                        if (w->every == 0 || scaled[i].side->write)
                                scaling_prepare(b, &scaled[i], w, i * b->scale->draws / n);
                for (size_t round = 0; round < rounds; round++) {
                        for (size_t turn = 0; turn < n; turn++) {
                                struct scaled *s = &scaled[(round + turn) % n];

                                if (w->every != 0 && !s->side->write)
                                        continue;
                                scaling_round(s, w, round, processes);
                        }
                }
                for (size_t i = 0; i < n; i++)
                        if (w->every == 0 || scaled[i].side->write)
                                scaling_results(b, &scaled[i], w, rounds, processes);
        }
}

static void scaling_group(struct bench *b, bool processes)
{
        static struct scaled scaled[SCALED_MAX];
        size_t               n = 0;

        for (size_t i = 0; i < sizeof scaling_sides / sizeof *scaling_sides; i++) {
                struct side *s = bench_side(b, scaling_sides[i]);

                if (s != NULL && (processes ? side_shared(s) : s->threads))
                        scaling_open(b, &scaled[n++], s, processes);
        }
        scaling_run(b, scaled, n, processes);
        for (size_t i = 0; i < n; i++)
                scaling_close(&scaled[i]);
}

void rows_scaling(struct bench *b)
{
        scaling_group(b, true);
        scaling_group(b, false);
}
