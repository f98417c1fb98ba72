/* huge.h - huge pages for the segment, made while it is in use.
 *
 * A hit in a large cache waits for the page table more than for the item: with pages of 4 KiB a look at a random place
 * of 640 MiB takes 270 ns, with pages of 2 MiB 160 (in a virtual machine, where each level of the table is walked
 * twice). /dev/shm gets none by itself where shmem_enabled is "never", as it is by default, and MADV_HUGEPAGE is
 * ignored then. MADV_COLLAPSE (Linux 6.1) is not: it copies 512 pages into one that takes their place, for everybody
 * who maps the file, here and later. Whoever touches these pages in the meantime waits in the page fault: some
 * milliseconds, once for each 2 MiB. So it is not done at once, when a program has just begun, and not where the cache
 * is so small that the processor's own table has most of it. Nothing else changes, and nothing depends on it. */
#ifndef MT_SEGMENT_HUGE_H
#define MT_SEGMENT_HUGE_H

#include "segment.h"

#define HUGE_SIZE     (UINT64_C(2) << 20)
#define HUGE_L1_LEAST (UINT64_C(256) << 20) /* of MTSHIM_L1_SIZE */

/* Map the file where its huge pages can be mapped as such: at an address that is a multiple of their size. MAP_FAILED
 * as mmap(). */
void *huge_map(int fd, uint64_t bytes, int protection);

#endif
