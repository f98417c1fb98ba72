/* ends.h - what this process does with values near their end and past it: from the options, and from how long it takes
 * to fetch one. */
#ifndef MT_ENDS_H
#define MT_ENDS_H

#include "runtime.h"

/* Of a segment that has just been attached. */
void ends_setup(struct l1 *l1);
/* A value was asked for and was here after so long: the delta of MTSHIM_EARLY_REFRESH. Thread-safe. */
void ends_fetched(struct l1 *l1, uint64_t took_ns);

#endif
