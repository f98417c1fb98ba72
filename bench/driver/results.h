/* results.h - what the run has found: a line on standard output for whoever watches, and all of it in one JSON file. */
#ifndef MT_BENCH_RESULTS_H
#define MT_BENCH_RESULTS_H

#include "../common/quantiles.h"
#include "driver.h"
#include "stats.h"

/* One place of the matrix. */
struct place {
        const struct side *side;
        const char        *popularity; /* hot, zipf, uniform */
        size_t             keys, bytes;
        int                threads, processes, writes_percent;
};

void results_begin(const struct bench *b);
/* Lines "name, value", parted by tabs. */
void results_environment(const char *path);
/* Lines "name, value, unit, target, how": figures that somebody else has measured. */
void results_import(const char *path);
/* The row of a figure. target: "<= 40", ">= 1.9", or "". */
void results_figure(const char *name, struct spread s, const char *unit, const char *target, const char *how);
/* Operations: nanoseconds of one (times), or how many a second, in millions (rates). */
void results_time(const struct place *p, struct spread ns);
void results_rate(const struct place *p, struct spread millions);
void results_latency(const struct side *s, const struct spread ns[QUANTILES]);
void results_memory(const char *label, double bytes_per_item, double items);
void results_hit_ratios(const char *path);
void results_write(const char *path);

#endif
