/* cells.c - who is asked when. */
#include "cells.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS_MIN = 16, CALLS_MAX = 100000, WARM_TRY = 200, HOT_ENOUGH = 1000 };
#define WARM_NS 4000.0 /* of a call: slower ones go through a socket, to a server that has its pages */

struct cell cell_of(const struct bench *b, struct side *s, const char *popularity, const char *sequence, size_t keys,
                    size_t bytes)
{
        struct cell cell = {.place = {.side = s,
                                      .popularity = popularity,
                                      .keys = keys,
                                      .bytes = bytes,
                                      .threads = 1,
                                      .processes = 1},
                            .worker = &s->worker,
                            .command = "get"};

        snprintf(cell.use, sizeof cell.use, "use %s %zu", bench_path(b, sequence), bytes);
        return cell;
}

/* Nanoseconds of a batch. The sequence goes on where the cell's last batch ended. */
static double cell_batch(struct cell *cell)
{
        double took;

        worker_ask(cell->worker, "%s", cell->use);
        took = worker_ask(cell->worker, "%s %zu %zu", cell->command, cell->from, cell->calls);
        cell->from += cell->calls;
        return took;
}

void cells_warm(struct worker *w, size_t keys)
{
        size_t step = keys < CALLS_MAX ? keys : CALLS_MAX;

        if (worker_ask(w, "get 0 %d", WARM_TRY) / WARM_TRY < WARM_NS)
                for (size_t from = 0; from < keys; from += step)
                        worker_ask(w, "get %zu %zu", from, step);
}

/* share: where in its sequence the cell begins, 0 to 1. Each somewhere else: sides of one store would otherwise find in
 * the processor's caches what the side before them has just read. */
static void cell_prepare(const struct bench *b, struct cell *cell, double share)
{
        size_t keys = (size_t)worker_ask(cell->worker, "%s", cell->use);

        if (keys > HOT_ENOUGH)
                cells_warm(cell->worker, keys);
        else /* or the first batch is of misses, and long enough for that alone */
                worker_ask(cell->worker, "%s 0 %zu", cell->command, 2 * keys);
        cell->calls = CALLS_MIN;
        while (cell_batch(cell) < b->scale->batch_ns / 2 && cell->calls < CALLS_MAX)
                cell->calls *= 2;
        cell->from = (size_t)(share * (double)keys);
}

static struct spread cell_spread(const double *sample, size_t n)
{
        double       *sorted = calloc(n, sizeof *sorted);
        struct spread spread;

        if (sorted == NULL)
                driver_fail("no memory for samples");
        memcpy(sorted, sample, n * sizeof *sorted);
        spread = stats_spread(sorted, n);
        free(sorted);
        return spread;
}

void cells_run(const struct bench *b, struct cell *cell, size_t n)
{
        size_t rounds = b->scale->rounds;

        for (size_t i = 0; i < n; i++) {
                cell[i].sample = calloc(rounds, sizeof *cell[i].sample);
                if (cell[i].sample == NULL)
                        driver_fail("no memory for samples");
                cell_prepare(b, &cell[i], (double)i / (double)n);
        }
        for (size_t round = 0; round < rounds; round++) {
                for (size_t turn = 0; turn < n; turn++) {
                        struct cell *c = &cell[(round + turn) % n];

                        c->sample[round] = cell_batch(c) / (double)c->calls;
                }
        }
        for (size_t i = 0; i < n; i++)
                cell[i].ns = cell_spread(cell[i].sample, rounds);
}

struct spread cells_ratio(const struct bench *b, const struct cell *longer, const struct cell *shorter)
{
        size_t        rounds = b->scale->rounds;
        double       *ratio = calloc(rounds, sizeof *ratio);
        struct spread spread;

        if (ratio == NULL)
                driver_fail("no memory for samples");
        for (size_t i = 0; i < rounds; i++)
                ratio[i] = longer->sample[i] / shorter->sample[i];
        spread = stats_spread(ratio, rounds);
        free(ratio);
        return spread;
}

void cells_free(struct cell *cell, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(cell[i].sample);
}

struct spread cells_pairs(size_t pairs, struct worker *first, struct worker *second, const char *command, size_t calls)
{
        struct worker *side[2] = {first, second};
        double         took[2], *ratio = calloc(pairs, sizeof *ratio);
        struct spread  spread;
        size_t         from = 0;

        if (ratio == NULL)
                driver_fail("no memory for samples");
        for (size_t i = 0; i < pairs; i++) {
                for (size_t turn = 0; turn < 2; turn++, from += calls) {
                        size_t which = (i + turn) % 2;

                        if (strcmp(command, "get") == 0)
                                took[which] = worker_ask(side[which], "get %zu %zu", from, calls);
                        else
                                took[which] = worker_ask(side[which], "%s %zu", command, calls);
                }
                ratio[i] = took[1] / took[0];
        }
        spread = stats_spread(ratio, pairs);
        free(ratio);
        return spread;
}
