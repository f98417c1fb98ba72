/* stats.h - what many samples of one thing say. */
#ifndef MT_BENCH_STATS_H
#define MT_BENCH_STATS_H

#include <stddef.h>

struct spread {
        double median, p25, p75, min, max;
        size_t samples;
};

/* Sorts them in place; all zero when there are none. */
struct spread stats_spread(double *samples, size_t n);
/* The same number, once. */
struct spread stats_once(double value);

#endif
