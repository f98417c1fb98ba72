/* geometry.h - where everything in a segment stands, computed from two numbers and never read from shared memory
 * again. */
#ifndef MT_SEGMENT_GEOMETRY_H
#define MT_SEGMENT_GEOMETRY_H

#include "layout.h"

#include <stdbool.h>
#include <stdint.h>

#define GEOMETRY_L1_MIN     (UINT64_C(2) << 20)
#define GEOMETRY_L1_MAX     (UINT64_C(32) << 30) /* offset / 8 takes 32 bits of a slot, and leaves 16 */
#define GEOMETRY_LOGSEG_MIN (UINT64_C(16) << 10)
#define GEOMETRY_LOGSEG_MAX (UINT64_C(1) << 20) /* what one reclaim walks: a quarter of a millisecond */

struct segment_geometry {
        uint64_t l1_size; /* the file's size */
        uint64_t servers_at, namespaces_at, processes_at, tiers_at, counters_at, logsegs_at, index_at, log_at;
        uint64_t logseg_size, log_bytes;
        uint32_t logseg_count, bucket_count;
        uint32_t offset_bits; /* of a LIVE slot: enough for every offset / 8 in the log */
};

/* What the creator of a segment takes: the size it was asked for within the limits, and some two hundred log segments
 * where they are neither too small nor too large then. */
void geometry_choose(uint64_t size_bytes, uint64_t *l1_size, uint64_t *logseg_size);
/* All of it. False when the two numbers are not ones that geometry_choose() could have given: they may be noise. */
bool geometry_compute(uint64_t l1_size, uint64_t logseg_size, struct segment_geometry *geometry);
/* Of the sizes and offsets of every struct that other processes can see. */
uint64_t geometry_fingerprint(void);

#endif
