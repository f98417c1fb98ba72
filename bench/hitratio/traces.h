/* traces.h - which traces there are. */
#ifndef MT_BENCH_HITRATIO_TRACES_H
#define MT_BENCH_HITRATIO_TRACES_H

#include "trace.h"

#define TRACES_COUNT 8u

/* The trace of that number, in the order of the report. NULL: it is a file, and not in the directory. */
struct trace *traces_load(unsigned number, const char *directory, bool quick);
const char   *traces_name(unsigned number);

#endif
