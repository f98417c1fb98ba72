/* forklock.h - a lock for rare paths inside somebody else's process.
 * It survives fork, raw fork included: the word is the holder's pid, and a holder of another pid is the parent's
 * thread, which does not exist here. Held for microseconds; a waiter sleeps rather than spin, so that a holder of lower
 * priority gets on. Never taken on the way of a hit. */
#ifndef MT_BASE_FORKLOCK_H
#define MT_BASE_FORKLOCK_H

#include "atomic.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

struct forklock {
        _Atomic int32_t pid;    /* 0 = free */
        int             cancel; /* the holder's: whether it could be cancelled before; it cannot while it holds */
};

/* A word of a page that a fork wipes, for this process's pid; NULL until there is one. With it the lock makes no system
 * call unless it has to wait: a program may have forbidden itself all of them. */
extern volatile int32_t *forklock_pid;

static inline int32_t forklock_self(void)
{
        if (forklock_pid == NULL)
                return getpid();
        if (*forklock_pid == 0) /* a child; threads that find out at once write the same */
                *forklock_pid = getpid();
        return *forklock_pid;
}

/* Without waiting; false: another thread has it. *taken_over as forklock_acquire() returns it. */
static inline bool forklock_try(struct forklock *lock, bool *taken_over)
{
        int32_t self = forklock_self(), holder = 0;
        int     cancel;

        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
        *taken_over = false;
        if (mt_cas_acq_rel(&lock->pid, &holder, self) || /* pairs with the release of whoever held it last */
            (*taken_over = holder != self && mt_cas_acq_rel(&lock->pid, &holder, self))) {
                lock->cancel = cancel;
                return true;
        }
        pthread_setcancelstate(cancel, NULL);
        return false;
}

/* True: taken over from the parent of a fork, in the middle of whatever it was doing; the caller mends or drops the
 * state that the lock protects. */
static inline bool forklock_acquire(struct forklock *lock)
{
        const struct timespec pause = {.tv_nsec = 20000};
        bool                  taken_over;

        for (unsigned tries = 0; !forklock_try(lock, &taken_over); tries++) {
                if (tries >= 100)
                        nanosleep(&pause, NULL);
        }
        return taken_over;
}

static inline void forklock_release(struct forklock *lock)
{
        int cancel = lock->cancel;

        mt_store_release(&lock->pid, 0);
        pthread_setcancelstate(cancel, NULL);
}

#endif
