/* address.h - when two ways to reach a server are one, and whether one leads to the server of a place. */
#ifndef MT_INVALIDATION_ADDRESS_H
#define MT_INVALIDATION_ADDRESS_H

#include "invalidation.h"

bool address_equal(const struct invalidation_endpoint *a, const struct invalidation_endpoint *b);
/* Is it that of the server with this identity (struct server_shm)? A unix path: see address_look(). */
bool address_is(const struct invalidation_endpoint *endpoint, uint32_t family, const uint64_t id[3]);
/* Is the server's socket still at its path? 0: yes, or not a path. ESTALE: another one is there. Else why there is
 * none. */
int address_look(const struct invalidation_endpoint *endpoint, const uint64_t id[3]);

#endif
