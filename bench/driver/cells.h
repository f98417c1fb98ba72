/* cells.h - many measurements that take turns. */
#ifndef MT_BENCH_CELLS_H
#define MT_BENCH_CELLS_H

#include "results.h"

/* One measurement: batches of some command of one worker, each of about the same length. */
struct cell {
        struct place   place;
        struct worker *worker;
        char           use[300];    /* "use FILE BYTES", told when another cell of the worker was before */
        char           command[32]; /* "get", or what takes FROM and N as well */
        size_t         calls, from; /* of a batch; where the next one starts */
        double        *sample;      /* nanoseconds of a call, a round each, in the order of rounds */
        struct spread  ns;          /* the same, when all is done */
};

/* A cell of GETs; sequence: a name for bench_path(). */
struct cell cell_of(const struct bench *b, struct side *s, const char *popularity, const char *sequence, size_t keys,
                    size_t bytes);
/* How long a batch has to be, found by trying; that warms the side, too. Then every cell in turn, in an order that
 * rotates from round to round. */
void cells_run(const struct bench *b, struct cell *cell, size_t n);
/* How many times longer the one takes than the other, round by round. */
struct spread cells_ratio(const struct bench *b, const struct cell *longer, const struct cell *shorter);
void          cells_free(struct cell *cell, size_t n);

/* Reads all keys of the sequence in use once, on a side where that takes no more than seconds: its pages are mapped,
 * and the processor has them where it will have them later. */
void cells_warm(struct worker *w, size_t keys);

/* Batches of the same commands on two workers, one first in turn: the ratios of the second to the first. */
struct spread cells_pairs(size_t pairs, struct worker *first, struct worker *second, const char *command, size_t calls);

#endif
