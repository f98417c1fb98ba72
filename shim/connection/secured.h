/* secured.h - which of the program's TLS contexts (redisSSLContext) was made with which names of files. They are opaque
 * to us: known by their address, from the call that makes one to the call that frees it. Thread-safe. */
#ifndef MT_SECURED_H
#define MT_SECURED_H

#include "../../invalidation/invalidation.h"

/* tls NULL is remembered as such: nothing is known of it. No room: the same. */
void secured_made(const void *context, const struct invalidation_tls *tls);
void secured_gone(const void *context);
/* NULL: nothing is known of it. */
const struct invalidation_tls *secured_find(const void *context);

#endif
