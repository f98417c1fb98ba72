/* runtime.h - the one process-wide object, built on first use: options, the segment, who we are. */
#ifndef MT_RUNTIME_H
#define MT_RUNTIME_H

#include "../../l1/base/options.h"
#include "../../l1/l1.h"
#include "../../l1/tier/tier.h"

#include <stdbool.h>
#include <stdint.h>

struct runtime {
        struct options   options;
        _Atomic uint64_t window_ns; /* of invalidation_fresh(); 0: nothing is fresh */
        _Atomic bool     trust_ttl; /* connections that trust times to live may (MTSHIM_INVALIDATION, _FALLBACK) */
        struct tiers    *tiers;     /* NULL: none; runtime_tiers() is what others ask */
        void (*on_fork)(void);      /* set once by the room above; called in a child, which has one thread */
        bool            below;      /* there are tiers, and a rule that names keys for them */
        uint64_t        tiers_hash; /* of both, as the options have them */
        const uint64_t *alive;      /* one word of a page that a fork wipes: 0 there means that we are a child */
};
extern struct runtime runtime;

/* Set up on the first call; true when L1 may be used by this process at all (ENABLE, good options, not sealed off). */
bool runtime_ready(void);

/* The segment of the effective uid, attached on first need; NULL: none can be had now (asked again after a second), or
 * it does not pay yet: a process attaches when it has waited for Redis as long as attaching takes, so that it never
 * loses more than it might have saved, and a compiler cache's process, which asks twice in its 3 ms, loses nothing.
 * Where there are tiers it attaches at once: what they owe each other is kept there. */
struct l1 *runtime_l1(void);
/* A GET is about to ask for it. Where an agent is there, L1 is warm whoever comes, and attaching is worth it at once:
 * looked at once in the life of a process. */
void runtime_meet_agent(void);
/* The same, and made if it is not there, now: that takes milliseconds. */
struct l1 *runtime_l1_at_once(void);
/* This process wants L1 however short its life: it attaches with its next call. */
void runtime_want_l1(void);
/* Has nobody asked yet? Then options may still be set. */
bool runtime_is_new(void);
/* The same, however little the process has waited, for what others of this host must be told; none is made for it. */
struct l1 *runtime_l1_there(void);
/* When the segment was attached (precise clock); 0: it is not. */
uint64_t runtime_attached_ns(void);
/* Around a wait for Redis: measured only while there is no segment. */
uint64_t runtime_waits(void);
void     runtime_waited(uint64_t began_ns);
/* The one attached at this moment, or NULL; no side effects. */
struct l1 *runtime_l1_now(void);

/* The tiers below Redis; they come to the segment, and lose it, as the process does. NULL: there are none. */
struct tiers *runtime_tiers(void);

/* Processes that share a segment and name the same tiers, and the same keys for them, are one household as far as this
 * server is concerned: a write by one of them has left the tiers of all in order before it is believed in. 0: there are
 * no tiers. */
uint64_t runtime_household(const struct l1 *l1, uint32_t server_index);

/* Are we the child of a fork that has not been noticed yet? Asked on every request: one load. */
static inline bool runtime_forked(void)
{
        return runtime.alive != NULL && *(const volatile uint64_t *)runtime.alive == 0;
}
/* Make the process's state a child's. Call when runtime_forked(), before anything else. */
void runtime_after_fork(void);

/* The effective uid may have changed: if so, let go of the old user's segment. */
void runtime_check_uid(void);
/* The program is about to enter a sandbox, or other namespaces, where addresses, pids and times mean other things: no
 * thread, no system calls of ours, no L1 from here on. Waits for the listener to end. */
void runtime_seal_off(void);
/* The process ends: leadership is given up, MTSHIM_SHOW_STATS is printed. */
void runtime_exit(void);

#endif
