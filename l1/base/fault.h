/* fault.h - faults that are planted on purpose: a checker that does not find them proves nothing. `make fault-NAME`
 * builds one of them into build/fault-NAME, and `make chaos-planted` has tests/coherence look for each. No other build
 * has any: there fault() is the constant false, and nothing of it is left. */
#ifndef MT_BASE_FAULT_H
#define MT_BASE_FAULT_H

#include <stdbool.h>

/* The Makefile reads the names from here. */
enum fault {
        FAULT_none,
        FAULT_no_fill_lease,    /* a late value is kept although its PENDING was cleared */
        FAULT_early_epoch,      /* the epoch moves when CLIENT TRACKING is answered, not when SUBSCRIBE is */
        FAULT_no_epoch,         /* no new epoch after a reconnect */
        FAULT_fresh_at_arrival, /* fresh_at is when the PONG came in, not when the PING before it was sent */
        FAULT_own_writes,       /* the keys of an own write are not cleared when it is answered */
        FAULT_tokens_forked,    /* a child goes on with the fill tokens of its parent */
        FAULT_below_marks,      /* a value is stored in tiers whatever was removed since its write was sent */
        FAULT_below_after,      /* what a write ended is not removed from tiers */
        FAULT_below_permit,     /* a deletion leaves the permit to put back alone */
        FAULT_below_age,        /* a permit is good as soon as it is there */
        FAULT_below_watch,      /* neither key nor permit is watched while a value is put back */
        FAULT_below_late,       /* a deletion is believed in however long it took */
};

#ifndef MT_FAULT
#define MT_FAULT none
#endif

#define FAULT_NAME(name)    FAULT_NAME_OF(name)
#define FAULT_NAME_OF(name) FAULT_##name

static inline bool fault(enum fault which)
{
        return which != FAULT_none && which == FAULT_NAME(MT_FAULT);
}

/* A place where it would be bad luck to be held up. Where tests can move the clock, they can also have one thread in
 * eight wait there, for up to MT_DAWDLE_US (environment) microseconds, and of those one in 128 for MT_DAWDLE_MS
 * milliseconds; elsewhere there is nothing. */
#ifdef MT_TEST_CLOCK
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static inline uint32_t fault_dawdle_most(const char *name)
{
        const char *most = getenv(name);

        return most != NULL ? (uint32_t)atoi(most) : 0;
}

static inline void fault_dawdle(void)
{
        static _Thread_local uint32_t lot;
        uint64_t                      us = fault_dawdle_most("MT_DAWDLE_US");
        struct timespec               wait;

        if (us == 0)
                return;
        if (lot == 0) {
                clock_gettime(CLOCK_MONOTONIC, &wait);
                lot = (uint32_t)wait.tv_nsec | 1;
        }
        lot = lot * UINT32_C(1664525) + UINT32_C(1013904223);
        if (lot >> 29 != 0)
                return;
        us = us * (lot >> 8 & 0xffff) / 0xffff;
        if ((lot >> 22 & 127) == 0)
                us = UINT64_C(1000) * fault_dawdle_most("MT_DAWDLE_MS");
        wait = (struct timespec){(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};
        nanosleep(&wait, NULL);
}
#else
static inline void fault_dawdle(void)
{
}
#endif

#endif
