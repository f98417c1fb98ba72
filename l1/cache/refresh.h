/* refresh.h - what a fill has to know of leases that l1_refresh() gave. */
#ifndef MT_CACHE_REFRESH_H
#define MT_CACHE_REFRESH_H

#include "index.h"

/* Has this lease a LIVE word for its own? */
static inline bool refresh_holds(const struct l1_lease *lease)
{
        return lease->slot != NULL && slot_state(lease->pending) == SLOT_LIVE;
}

/* A value in pieces is about to be written under a lease that is a LIVE word: make that PENDING, which a reclaim of the
 * pieces takes away (evict.c). False: the word is not there any more. */
bool refresh_make_pending(struct l1 *l1, struct l1_lease *lease, uint64_t now_ns);
/* The old item was replaced by one with this deadline. */
void refresh_done(struct l1 *l1, const struct l1_lease *lease, uint32_t deadline, uint64_t now_ns);
/* It was not, and stays. */
void refresh_give_up(const struct l1 *l1, const struct l1_lease *lease);

#endif
