/* fit.h - which MTSHIM_L1_SIZE, and which values, make the real L1 hold what the simulated caches hold. */
#ifndef MT_BENCH_HITRATIO_FIT_H
#define MT_BENCH_HITRATIO_FIT_H

#include "policy.h"

struct fit {
        uint64_t  l1_size, max_item_bytes;
        uint64_t  log_bytes;
        uint32_t  logsegs;
        uint64_t  item_bytes; /* by objects: what each item takes of the log, its header included; else 0 */
        uint64_t  items;      /* by objects: how many of these the log has room for */
        uint64_t  scale;      /* by bytes: items take so many times their bytes; 1 unless the log would be tiny */
        uint32_t *value_len;  /* of each object */
};

/* By objects: one item size, so that the log has room for as many items as load->capacity says, or a few less. By
 * bytes: the log has as many bytes as the capacity, or a little less; headers and padding are the L1's own loss. */
void fit_log(const struct load *load, struct fit *fit);
/* By bytes: all of MTSHIM_L1_SIZE, index and tables included, is the capacity. False: too little for a segment. */
bool fit_whole(const struct load *load, struct fit *fit);
void fit_end(struct fit *fit);

#endif
