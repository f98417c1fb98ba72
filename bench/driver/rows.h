/* rows.h - what is measured, a group of rows a file. */
#ifndef MT_BENCH_ROWS_H
#define MT_BENCH_ROWS_H

#include "driver.h"

enum { HOT_KEYS = 16, HOT_BYTES = 100 };
#define HOT_SET "v100"

/* load.c: sequences of keys; values in every store, and what they take; L1 filled as far as its listener lets it. */
void rows_load(struct bench *b);
/* Until the hot keys no longer travel: the first reads start a listener, whose first word opens the cache. */
void load_warm(struct bench *b, struct worker *w);
/* How many such commands the server has executed. */
double load_calls(struct bench *b, const char *command);

void rows_latency(struct bench *b); /* latency.c: hot keys, each call by itself */
void rows_matrix(struct bench *b);  /* matrix.c: value sizes, popularities, other forms of a GET */
void rows_scaling(struct bench *b); /* scaling.c: threads and processes, with and without writes */
void rows_pairs(struct bench *b);   /* pairs.c: what costs microseconds, against the same without us */
void rows_program(struct bench *b); /* program.c: what a program pays that is only starting; instructions of a hit */

#endif
