/* wait.h - waiting for a PENDING word to leave its slot. The calls are in l1.h: l1_other(), l1_wait(), l1_take_over(),
 * l1_hold(). This is the side of whoever takes such a word away. A LIVE word past its end that somebody fetches anew is
 * waited for likewise (l1_other_refresh()); the one who does wakes them, whatever comes of it, and nobody else.
 *
 *      waiter                                      whoever changes the slot (fill, removal, release, hold, lease)
 *      loads the place's moves
 *      raises the place's until_ms
 *      [W2] full fence                             changes the slot
 *      loads the slot: changed? then done          [W1] full fence
 *      sleeps while moves is what it was           loads until_ms: past? then done
 *                                                  adds one to moves, wakes all who sleep there
 *
 * No wake-up is lost. Each side writes its word, fences, and reads the other's: of [W1] and [W2] one is first, and who
 * is second sees what the first has written. If that is the waiter, it sees the slot changed and does not sleep. If it
 * is the other, it sees until_ms and moves moves, which the waiter had loaded before it looked at the slot: the kernel
 * compares before it lets it sleep, and under the lock that the wake takes.
 *
 * There is no count of waiters that one who is killed could leave too high: until_ms is over by itself, with the
 * longest wait that was begun there. Until then fills in that one of WAIT_MAX places make a system call that finds
 * nobody. Where the word was forged it says nothing unless it lies within the longest wait that there is
 * (WAIT_LONGEST_MS), and one that is forged too low costs the waiters their time and no more: each has its own. */
#ifndef MT_CACHE_WAIT_H
#define MT_CACHE_WAIT_H

#include "../segment/segment.h"

enum { WAIT_LONGEST_MS = 31000 }; /* MTSHIM_STAMPEDE_WAIT is 30 s at most */

/* Which place: by the slot, since whoever clears one may not know its key. */
static inline struct wait_shm *wait_place(const struct l1 *l1, const _Atomic uint64_t *slot)
{
        uint64_t number = (uint64_t)((uintptr_t)slot - (uintptr_t)l1->index) / sizeof *slot;

        return &l1->header->wait[number * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (WAIT_MAX - 1)];
}

void wait_wake_all(const struct l1 *l1, struct wait_shm *place);

/* A PENDING word has left this slot, by the caller's doing. Costs a fence and a look where nobody waits. */
static inline void wait_wake(const struct l1 *l1, const _Atomic uint64_t *slot)
{
        struct wait_shm *place = wait_place(l1, slot);

        mt_fence_full(); /* [W1] pairs with [W2] in l1_wait(), see above */
        if (MT_UNLIKELY(mt_load_relaxed(&place->until_ms) != 0))
                wait_wake_all(l1, place);
}

/* The word is about to leave its slot, or has left it, or is LIVE and stays, and its reply is not kept: who waits
 * for it need not, and who holds it for that of one who computes is wrong. Said before the slot is changed, so that
 * who acquires the change of the slot reads it. A hint: another of the same place may overwrite it. Then a waiter
 * takes it for a removal, looks again and has lost a turn; or waits for one who does not compute, for half of its
 * limit. */
static inline void wait_give_up(const struct l1 *l1, const _Atomic uint64_t *slot, uint64_t word)
{
        mt_store_relaxed(&wait_place(l1, slot)->given_up, word);
}

static inline bool wait_given_up(const struct l1 *l1, const _Atomic uint64_t *slot, uint64_t word)
{
        return mt_load_relaxed(&wait_place(l1, slot)->given_up) == word;
}

#endif
