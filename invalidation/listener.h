/* listener.h - the one thread of this process that listens, for all servers that the process leads.
 *
 *   IDLE    -> RUNNING  listener_run(), by a program's thread that holds the lock of places.h
 *   RUNNING -> IDLE     the thread itself, under the same lock, when it leads nothing or was asked to end */
#ifndef MT_INVALIDATION_LISTENER_H
#define MT_INVALIDATION_LISTENER_H

#include "invalidation.h"

/* May a thread of ours run in this process? One line says why not, when that is for ever. */
bool listener_allowed(void);
/* Under the lock, after a place has become LED: start the thread or wake it. False: there is none, and will not be
 * soon. */
bool listener_run(const struct invalidation_config *config, struct l1 *l1);
void listener_stop(enum invalidation_stop how);
/* Has the thread ended, to the last instruction? */
bool listener_ended(void);
void listener_after_fork(void);

#ifdef MT_TEST_CLOCK
extern _Atomic int64_t listener_test_suspended_ns; /* as if the host had been suspended for so long */
#endif

#endif
