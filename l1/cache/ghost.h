/* ghost.h - keys that left the small log unread: who comes back while it is remembered goes to the main log at once.
 *
 * The ghost queue of S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023), in no memory
 * of its own: the free slots of the index remember three keys each, until somebody needs the slot.
 *
 *   63 62 61 60 59      40 39      20 19       0
 *   | 3  |  0  |  third   |  second  |  first  |      entry: age : 8 (1-255), fingerprint : 12;  0 = none
 *
 * Ages are told in sixteenths of the log: how much has left the small log since. An entry counts while the main log's
 * size has not left yet; after that it is the first to be written over. All of it is a hint: a fingerprint that fits by
 * chance, an age that has come round, an entry lost to a race cost a place in the wrong log. */
#ifndef MT_CACHE_GHOST_H
#define MT_CACHE_GHOST_H

#include "index.h"

/* Clear slot i of the place, which holds the LIVE `word`, and remember its key there. False: it has changed, nothing is
 * done. */
bool ghost_leave(struct l1 *l1, const struct index_place *place, unsigned i, uint64_t word);
/* Is the key remembered in one of these slots (index_view)? It is forgotten then. */
bool ghost_take(struct l1 *l1, const struct index_place *place, uint32_t ghosts);
/* So many bytes have left the small log unread. */
void ghost_age(struct l1 *l1, uint64_t bytes);

#endif
