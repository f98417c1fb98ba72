/* report.h - one row for each trace, unit and size; what they come to; the file for plots. */
#ifndef MT_BENCH_HITRATIO_REPORT_H
#define MT_BENCH_HITRATIO_REPORT_H

#include "trace.h"

#include <stdio.h>

struct report {
        FILE    *tsv;      /* NULL: none */
        unsigned segments; /* that the real L1's ratio is the mean of */
        bool     whole;    /* by bytes also with all of MTSHIM_L1_SIZE as the capacity */
        GArray  *rows;     /* of those printed; report.c */
};

void report_begin(struct report *report);
void report_end(struct report *report);
/* print: a line of the table, and part of the summary; else for the plot alone. */
void report_row(struct report *report, const struct trace *trace, bool bytes, double percent, bool print);
/* The mean and the worst of what was printed with that size. */
void report_summary(const struct report *report, double percent);

#endif
