/* check.h - are the simulators right, and does the real L1 keep up? */
#ifndef MT_BENCH_HITRATIO_CHECK_H
#define MT_BENCH_HITRATIO_CHECK_H

#include "trace.h"

struct check_counts {
        unsigned passed, failed, skipped;
};

/* The simulators' miss ratios beside those that libCacheSim's own tests publish. trace NULL: skipped, and said so. */
void check_published(const struct trace *trace, struct check_counts *counts);
/* On a trace that is made, by objects: who does not know the future keeps no more than who does. */
void check_limit(struct check_counts *counts);
/* A small mix of Zipf 1.0 and scans: the real L1 stays within two points of S3-FIFO. */
void check_guard(struct check_counts *counts);

#endif
