/* verify.h - is a segment what it should be? Looked at by tests, torture and doctor; nothing is changed. */
#ifndef MT_CACHE_VERIFY_H
#define MT_CACHE_VERIFY_H

#include "../segment/segment.h"

/* NULL when sound. Each may run while others use the segment: what changes under it is looked at again. */
const char *verify_header(const struct l1 *l1);
const char *verify_log(const struct l1 *l1);
const char *verify_index(const struct l1 *l1);

#endif
