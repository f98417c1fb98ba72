/* evict.h - room for new items: a log segment is emptied. */
#ifndef MT_CACHE_EVICT_H
#define MT_CACHE_EVICT_H

#include "logseg.h"

/* Reclaim until more log segments are free than reclaim itself needs, or as long as it may take. need: bytes that
 * somebody wants in one. The caller owns none. */
void evict_make_room(struct l1 *l1, uint64_t self, uint64_t need);

#endif
