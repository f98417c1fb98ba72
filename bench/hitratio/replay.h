/* replay.h - a trace through the real L1: not a model of it, the code that programs are given. */
#ifndef MT_BENCH_HITRATIO_REPLAY_H
#define MT_BENCH_HITRATIO_REPLAY_H

#include "fit.h"

struct replay {
        struct ratio ratio;
        uint64_t     refused; /* misses that were not filled */
};

/* Through a new segment in a directory of its own, which is gone afterwards. The clock of the process is moved along
 * with the times of the trace. */
struct replay replay_run(const struct load *load, const struct fit *fit);

#endif
