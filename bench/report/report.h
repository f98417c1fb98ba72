/* report.h - the results, read back from their JSON, as a page and as data for plots. */
#ifndef MT_BENCH_REPORT_H
#define MT_BENCH_REPORT_H

#include <jansson.h>
#include <stdio.h>

/* query.c */
const char *query_text(const json_t *object, const char *name); /* "" when it is not there */
double      query_number(const json_t *object, const char *name);
/* The place of the matrix in that array ("times", "rates"); NULL when it was not measured. */
const json_t *query_place(const json_t *root, const char *array, const char *side, const char *popularity, int bytes,
                          int processes, int threads, int writes_percent);
/* A quantile of a side's latency, in nanoseconds; negative when it was not measured. */
double query_quantile(const json_t *root, const char *side, double percent);
/* Means over traces of a policy's hit ratio, in percent, and how far it is behind the best one of the simulated
 * (Belady apart). */
struct query_ratio {
        double mean, behind, worst;
        int    traces;
};
struct query_ratio query_hit_ratio(const json_t *root, const char *unit, double size_percent, const char *policy);

extern const char *const query_policies[]; /* NULL at the end */
extern const char *const query_units[];

void tables_write(const json_t *root, FILE *out);
/* Files of columns for gnuplot, into a folder. */
void plots_write(const json_t *root, const char *folder);

#endif
