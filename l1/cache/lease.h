/* lease.h - who may fill a missing key, and the clearing of keys. The calls are in l1.h: l1_lease(), l1_fill(),
 * l1_release(), l1_remove(). */
#ifndef MT_CACHE_LEASE_H
#define MT_CACHE_LEASE_H

#include "../segment/segment.h"

/* A number that no lease of this segment ever had or will have. False when there are no more. */
bool lease_token(struct l1 *l1, uint64_t *token);
/* The mark that belongs to a slot of the index: buckets begin on cache lines. */
_Atomic uint8_t *lease_mark(_Atomic uint64_t *slot);

#endif
