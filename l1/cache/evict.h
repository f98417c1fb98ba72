/* evict.h - room for new items: the oldest sealed log segment is emptied. */
#ifndef MT_CACHE_EVICT_H
#define MT_CACHE_EVICT_H

#include "logseg.h"

/* Reclaim the oldest. keep: an open log segment that this thread owns, where what is worth it gets another life as
 * long as room for `need` bytes is left; NULL: nothing is kept, and the victim must have memory for `need` itself
 * where none can be taken. On true the victim is empty, FREE and still owned; the caller ends it or goes on with it. */
bool evict_oldest(struct l1 *l1, uint64_t self, uint64_t need, struct logseg *keep, struct logseg *victim);

#endif
