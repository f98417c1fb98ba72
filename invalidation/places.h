/* places.h - the servers that this process leads or stays away from. Here its threads meet the listener's.
 *
 *   FREE -> LED   a program's thread, under the lock, when it has won leadership
 *   LED  -> FREE  the listener's thread, when leadership is over
 *   LED  -> OUT   the same, refused by the server: not a candidate before out_until_ns
 *   OUT  -> FREE  under the lock: the time is over, other credentials have come, or the place is needed
 *
 * All but the state and out_until_ns is written under the lock while the place is FREE or OUT, and does not change
 * while it is LED. */
#ifndef MT_INVALIDATION_PLACES_H
#define MT_INVALIDATION_PLACES_H

#include "invalidation.h"
#include "leader.h"

enum { PLACES_MAX = 64 };
enum place_state { PLACE_FREE, PLACE_LED, PLACE_OUT };

struct place {
        _Atomic uint32_t             state; /* enum place_state */
        _Atomic uint64_t             out_until_ns;
        const struct server_shm     *server;
        struct leader                leader;
        struct invalidation_endpoint endpoint;
};

struct place *places_at(unsigned index);
/* A try-lock: whoever does not get it comes again another time, so that a fork leaves no waiter behind. */
bool places_enter(void);
void places_leave(void);
void places_after_fork(void);

/* Under the lock. */
struct place *places_of(const struct server_shm *server); /* NULL: none LED or OUT */
struct place *places_free(void);                          /* NULL: 64 servers are led */
bool          places_led(void);                           /* is any? */

#endif
