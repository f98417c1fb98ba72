/* counters.h - what each thread counts on its own line. */
#ifndef MT_CACHE_COUNTERS_H
#define MT_CACHE_COUNTERS_H

#include "../segment/segment.h"

/* So many counts of a thread go to block 0 before it asks for one of its own. A process that hits five times and ends
 * needs no slot in the process table then, nor /proc/self/stat for that: 20 us of the 100 that attaching takes. */
enum { COUNTERS_EARLY = 16 };

/* The block that this thread adds to. A few ns: one thread-local look-up, one plain addition. */
struct counters_thread {
        uint64_t          serial; /* l1->serial that the rest is for: another handle, or a fork, begins anew */
        _Atomic uint64_t *count;
        struct l1        *l1;
        uint32_t          block;        /* 0: shared by all that found none of their own, added to atomically */
        uint32_t          early;        /* counts of this thread before it asked for a block, */
        uint64_t          early_serial; /* for this handle */
};
extern _Thread_local struct counters_thread counters_thread __attribute__((tls_model("initial-exec")));

void counters_add_slowly(struct l1 *l1, enum l1_counter counter, uint64_t n);

static inline void counters_add(struct l1 *l1, enum l1_counter counter, uint64_t n)
{
        struct counters_thread *t = &counters_thread;

        if (MT_LIKELY(t->serial == mt_load_relaxed(&l1->serial) && t->block != 0))
                mt_add_single_writer(&t->count[counter], n);
        else
                counters_add_slowly(l1, counter, n);
}

/* All blocks of this process: they keep their counts, and are free for others. Nothing is counted after it. */
void counters_give_back(struct l1 *l1);
/* In the child: it has counted nothing yet, and owns no block. */
void counters_after_fork(struct l1 *l1);

#endif
