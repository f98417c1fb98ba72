/* set.h - struct tiers, for this room and its tests. */
#ifndef MT_TIER_SET_H
#define MT_TIER_SET_H

#include "breaker.h"
#include "store.h"

#include <errno.h>
#include <limits.h>

struct tier {
        const struct tier_setting *setting;
        struct store               store;
        struct breaker             breaker;
        struct forklock            breaker_lock;
        _Atomic(struct tier_shm *) place; /* in the segment; NULL: not looked up yet */
        _Atomic uint64_t           looks;
        _Atomic bool               owed; /* a removal failed while there was no segment */
};

struct tiers {
        struct tier_setting  setting[TIER_MAX];
        struct tier          tier[TIER_MAX]; /* by level; setting->level 0: none */
        _Atomic(struct l1 *) l1;
        _Atomic bool         stopped; /* for good: nothing is asked, and no system call made; removals are debts */
        struct forklock      lock;    /* l1 and places */
        struct plugin_places places;
        char                 folder[PATH_MAX];
};

static inline bool set_has(const struct tier *t)
{
        return t->setting->level != 0;
}

/* A program's thread while it is here: errno is its own, and it is not cancelled in the middle. */
struct set_guest {
        int error, cancel;
};

static inline struct set_guest set_enter(void)
{
        struct set_guest guest = {.error = errno};

        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &guest.cancel);
        return guest;
}

static inline void set_leave(struct set_guest guest)
{
        pthread_setcancelstate(guest.cancel, NULL);
        errno = guest.error;
}

/* The tier's place in the segment. NULL: no segment, or no place in it. */
struct tier_shm *set_place(struct tiers *tiers, struct tier *t);
/* For the breaker of a struct tier: a call has ended. */
void set_report(void *tier, bool well);

/* tiers_create() with stores that are linked in. */
struct tiers *set_create(const char *text, const char *plugins, const struct mt_backend *const *built_in);

#endif
