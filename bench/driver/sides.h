/* sides.h - reads what there is to compare. */
#ifndef MT_BENCH_SIDES_H
#define MT_BENCH_SIDES_H

#include "driver.h"

/* Lines of bench/sides: kind, name, label, store, environment, command, parted by tabs; kind is side, wide
 * (which is given the keys of the uniform popularity too), aux (for certain rows alone) or out (the fourth field is
 * why). */
void sides_read(struct bench *b, const char *path);
/* Starts those that are in the tables, and asks what they can: L1 by itself (store "l1"), or all the others. The one
 * needs the segment that the others make. */
void sides_start(struct bench *b, bool l1);
void sides_end(struct bench *b);

#endif
