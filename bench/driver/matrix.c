/* matrix.c - means of batches: over the size of the values, over the popularity of the keys, and of other ways to
 * ask. */
#include "cells.h"
#include "rows.h"

#include <stdio.h>
#include <string.h>

static const size_t matrix_sizes[] = {16, 100, 1024, 16384, 262144};

enum { SIZES = sizeof matrix_sizes / sizeof *matrix_sizes, CELLS_MAX = SIDES_MAX * (SIZES + 1), ROUNDS_MAX = 32 };

struct matrix {
        struct cell cell[CELLS_MAX];
        size_t      n;
};

static const struct cell *matrix_find(const struct matrix *m, const char *side, size_t bytes, const char *command)
{
        for (size_t i = 0; i < m->n; i++)
                if (strcmp(m->cell[i].place.side->name, side) == 0 && m->cell[i].place.bytes == bytes &&
                    strcmp(m->cell[i].command, command) == 0)
                        return &m->cell[i];
        return NULL;
}

static void matrix_add(struct bench *b, struct matrix *m, const char *side, const char *command, size_t bytes)
{
        struct side *s = bench_side(b, side);
        char         sequence[32];

        if (s == NULL || m->n == CELLS_MAX)
                return;
        snprintf(sequence, sizeof sequence, "hot-%zu", bytes);
        m->cell[m->n] = cell_of(b, s, "hot", sequence, HOT_KEYS, bytes);
        snprintf(m->cell[m->n++].command, sizeof m->cell->command, "%s", command);
}

static void matrix_run(struct bench *b, struct matrix *m)
{
        cells_run(b, m->cell, m->n);
        for (size_t i = 0; i < m->n; i++)
                if (strcmp(m->cell[i].command, "get") == 0)
                        results_time(&m->cell[i].place, m->cell[i].ns);
}

static void matrix_figure(const struct matrix *m, const char *side, size_t bytes, const char *command, const char *name,
                          const char *target)
{
        const struct cell *c = matrix_find(m, side, bytes, command);
        char               how[96];

        if (c == NULL)
                return;
        snprintf(how, sizeof how, "means of batches of %zu calls", c->calls);
        results_figure(name, c->ns, "ns", target, how);
}

static void matrix_ratio(const struct bench *b, const struct cell *longer, const struct cell *shorter, const char *name,
                         const char *target)
{
        if (longer != NULL && shorter != NULL)
                results_figure(name, cells_ratio(b, longer, shorter), "x", target, "batches of the same round");
}

/* ------------------------------------------------------------------------------------------------------ hot keys */

static void matrix_sizes_figures(const struct bench *b, const struct matrix *m)
{
        matrix_figure(m, "mtshim", 100, "get", "hot hit, mean", "<= 40");
        matrix_figure(m, "mtshim", 100, "argv", "hot hit by redisCommandArgv, mean", "<= 40");
        matrix_ratio(b, matrix_find(m, "mtshim", 100, "argv"), matrix_find(m, "mtshim", 100, "get"),
                     "hot hit by redisCommandArgv against redisCommand", "<= 1.0");
        matrix_ratio(b, matrix_find(m, "hiredis-unix", 100, "get"), matrix_find(m, "mtshim", 100, "get"),
                     "hot: how many times faster than bare, unix socket", ">= 350");
        matrix_figure(m, "mtshim", 1024, "get", "hit of 1 KiB, mean", "<= 90");
        matrix_figure(m, "mtshim", 16384, "get", "hit of 16 KiB, mean", "<= 700");
        matrix_figure(m, "mtshim", 262144, "get", "hit of 256 KiB, mean", "");
        matrix_ratio(b, matrix_find(m, "mtshim", 262144, "get"), matrix_find(m, "floor", 262144, "copies"),
                     "hit of 256 KiB against two memcpys", "<= 1.2");
        matrix_figure(m, "mtshim", 100, "pipe 16", "16 GETs in a pipeline, per GET", "<= 100");
        matrix_figure(m, "hiredis-unix", 100, "pipe 16", "the same bare, unix socket", "");
}

static void matrix_hot(struct bench *b)
{
        static struct matrix m;
        double               before = load_calls(b, "get"), after;
        struct side         *mtshim = bench_side(b, "mtshim");

        for (size_t i = 0; i < b->sides; i++)
                for (size_t k = 0; k < SIZES && side_in_tables(&b->side[i]); k++)
                        matrix_add(b, &m, b->side[i].name, "get", matrix_sizes[k]);
        matrix_add(b, &m, "mtshim", "argv", HOT_BYTES);
        matrix_add(b, &m, "mtshim", "pipe 16", HOT_BYTES);
        matrix_add(b, &m, "hiredis-unix", "pipe 16", HOT_BYTES);
        matrix_add(b, &m, "floor", "copies", 262144);
        matrix_run(b, &m);
        matrix_sizes_figures(b, &m);
        cells_free(m.cell, m.n);

        worker_ask(&mtshim->worker, "use %s %d", bench_path(b, "hot-100"), HOT_BYTES);
        before = load_calls(b, "get");
        worker_ask(&mtshim->worker, "get 0 1000000");
        after = load_calls(b, "get");
        results_figure("hot hits that reached the server", stats_once((after - before) / 1e4), "%", "",
                       "INFO commandstats around 1,000,000 GETs");
}

/* -------------------------------------------------------------------------------------------------- popularities */

static void matrix_travelled(struct bench *b, const char *popularity)
{
        struct side *mtshim = bench_side(b, "mtshim");
        double       before, after;
        char         name[64];

        worker_ask(&mtshim->worker, "use %s %d", bench_path(b, popularity), HOT_BYTES);
        before = load_calls(b, "get");
        worker_ask(&mtshim->worker, "get 0 20000");
        after = load_calls(b, "get");
        snprintf(name, sizeof name, "%s: GETs that reached the server", popularity);
        results_figure(name, stats_once((after - before) / 200), "%", "", "INFO commandstats around 20,000 GETs");
}

static void matrix_popularity(struct bench *b, const char *popularity, size_t keys, bool wide_alone)
{
        static struct matrix m;
        char                 name[96];

        m.n = 0;
        for (size_t i = 0; i < b->sides; i++)
                if (side_in_tables(&b->side[i]) && (b->side[i].wide || !wide_alone))
                        m.cell[m.n++] = cell_of(b, &b->side[i], popularity, popularity, keys, HOT_BYTES);
        matrix_run(b, &m);
        snprintf(name, sizeof name, "%s over %zu keys: how many times faster than bare, unix socket", popularity, keys);
        matrix_ratio(b, matrix_find(&m, "hiredis-unix", HOT_BYTES, "get"), matrix_find(&m, "mtshim", HOT_BYTES, "get"),
                     name, wide_alone ? "" : ">= 80");
        snprintf(name, sizeof name, "%s over %zu keys against the floor", popularity, keys);
        matrix_ratio(b, matrix_find(&m, "mtshim", HOT_BYTES, "get"), matrix_find(&m, "floor", HOT_BYTES, "get"), name,
                     wide_alone ? "<= 1.35" : "");
        cells_free(m.cell, m.n);
        matrix_travelled(b, popularity);
}

/* In a batch the processor begins the next GETs while it waits for memory, the more of them the shorter each is; a
 * program that looks at a value before it asks for another has nothing of that. Reading the counter waits for the
 * value. */
static void matrix_one_by_one(struct bench *b, const char *popularity, size_t keys)
{
        struct side *side[2] = {bench_side(b, "floor"), bench_side(b, "mtshim")};
        double       ratio[ROUNDS_MAX], number[WORKER_NUMBERS], median[2];
        size_t       rounds = b->scale->each_rounds < ROUNDS_MAX ? b->scale->each_rounds : ROUNDS_MAX;
        char         name[96];

        for (size_t round = 0; round < rounds; round++) {
                for (size_t turn = 0; turn < 2; turn++) {
                        size_t         which = (round + turn) % 2;
                        struct worker *w = &side[which]->worker;

                        worker_ask(w, "use %s %d", bench_path(b, popularity), HOT_BYTES);
                        worker_tell(w, "each %zu %zu", (2 * round + turn) * b->scale->each, b->scale->each);
                        worker_hear(w, number);
                        median[which] = number[QUANTILE_50];
                }
                ratio[round] = median[1] / median[0];
        }
        snprintf(name, sizeof name, "%s over %zu keys against the floor, calls one by one", popularity, keys);
        results_figure(name, stats_spread(ratio, rounds), "x", "<= 1.35", "p50 of calls timed by themselves");
}

void rows_matrix(struct bench *b)
{
        matrix_hot(b);
        matrix_popularity(b, "zipf", b->scale->zipf_keys, false);
        matrix_popularity(b, "uniform", b->scale->uniform_keys, true);
        matrix_one_by_one(b, "uniform", b->scale->uniform_keys);
}
