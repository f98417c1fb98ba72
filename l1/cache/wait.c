/* wait.c - those who found somebody else asking for their key: how they wait, and how one of them takes its place.
 *
 *   PENDING(token)        -> PENDING(another)   l1_take_over(): compare-and-swap from the word that was waited for, so
 *                                               one of all who waited for it wins
 *   PENDING(token)        -> a mark             l1_hold(): by the token's own holder
 *   PENDING(token), mark  -> a mark, removed    l1_remove()
 *   a mark                -> PENDING(another)   l1_take_over(), when it has been there for too long; l1_lease(), when
 *                                               it is removed, or as old as a mark can be
 *   a mark                -> EMPTY              l1_release(), when the one whose token it has does not compute
 * A mark has the token of who computes. It may be put back under the same token by another who has only looked whether
 * the key is there (a nil again): the word comes back then, and may, since it means the same and no fill begins from
 * it. For the protocol all these are what a lease does that finds a word left by the dead: the former holder's fill is
 * refused, removals clear what they find. tests/model/waits.c has the waiting itself. */
#include "wait.h"

#include "index.h"
#include "lease.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WAIT_EXACT_NS (10 * NS_PER_MS) /* of shorter waits 50 us are much */

/* ------------------------------------------------------------------------------------------------------- the times */

/* ms since the segment was made, mod 2^32, never 0. Compared by differences alone. */
static uint32_t wait_ms(const struct l1 *l1, uint64_t ns)
{
        return (uint32_t)((ns - l1->created_ns) / NS_PER_MS) | 1;
}

/* Until then at least. What is later stays, but for what can only be forged, or left from 49 days ago. */
static void wait_announce(const struct l1 *l1, struct wait_shm *place, uint64_t until_ns)
{
        uint32_t until = wait_ms(l1, until_ns) + 2, said = mt_load_relaxed(&place->until_ms);

        while ((said == 0 || said - until > WAIT_LONGEST_MS) && !mt_cas_acq_rel(&place->until_ms, &said, until))
                ;
}

MT_COLD void wait_wake_all(const struct l1 *l1, struct wait_shm *place)
{
        int saved_errno = errno;

        /* The coarse clock lags: this errs on the side of a needless call. */
        if (mt_load_relaxed(&place->until_ms) - wait_ms(l1, clock_coarse_ns()) > 2 * WAIT_LONGEST_MS)
                return;
        mt_fetch_add_relaxed(&place->moves, 1);
        syscall(SYS_futex, &place->moves, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
        errno = saved_errno;
}

/* -------------------------------------------------------------------------------------------------------- the wait */

enum l1_other_is l1_other(const struct l1 *l1, const struct l1_key *key, struct l1_other *other)
{
        struct index_place place = index_place(l1, key->hash);
        enum l1_other_is   is = L1_OTHER_NONE;

        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++) {
                uint64_t word = mt_load_acquire(index_slot(&place, i));

                if (slot_is_free(word) || slot_tag(word) != place.tag)
                        continue;
                is = L1_OTHER_FILLED;
                if (slot_state(word) != SLOT_PENDING)
                        continue;
                *other = (struct l1_other){index_slot(&place, i), word};
                switch (slot_hold(word)) {
                case L1_HOLD_NONE: return L1_OTHER_FILLING;
                case L1_HOLD_REMOVED: return L1_OTHER_FILLED;
                default: return L1_OTHER_HELD;
                }
        }
        return is;
}

/* The kernel lets sleepers lie for 50 us longer than they asked for, so that it has to wake less often: as long as some
 * round trips. Returns the thread's slack, to be given back; 0: it is left as it is. By the bare system call: prctl()
 * is one of our own doors. */
static unsigned long wait_be_exact(uint64_t now_ns, uint64_t until_ns)
{
        long slack_ns = until_ns - now_ns < WAIT_EXACT_NS ? syscall(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0) : 0;

        if (slack_ns <= 1 || syscall(SYS_prctl, PR_SET_TIMERSLACK, 1, 0, 0, 0) != 0)
                return 0;
        return (unsigned long)slack_ns;
}

/* Until place->moves is no more what it was, or the time is over, or a signal has come: the caller looks anyway. The
 * word is shared between processes: no FUTEX_PRIVATE_FLAG. */
static void wait_sleep(struct wait_shm *place, uint32_t moves, uint64_t until_ns)
{
        uint64_t        at_ns = until_ns - CLOCK_SHIFT(); /* the kernel's clock */
        struct timespec at = {.tv_sec = (time_t)(at_ns / NS_PER_S), .tv_nsec = (long)(at_ns % NS_PER_S)};

        syscall(SYS_futex, &place->moves, FUTEX_WAIT_BITSET, moves, &at, NULL, FUTEX_BITSET_MATCH_ANY);
}

enum l1_waited l1_wait(struct l1 *l1, const struct l1_other *other, uint64_t until_ns)
{
        struct wait_shm *place = wait_place(l1, other->slot);
        unsigned long    slack_ns = 0;
        enum l1_waited   waited = L1_WAITED_LONG;
        uint64_t         now_ns = clock_precise_ns();
        int              saved_errno = errno;
        bool             left, given_up;

        if (!l1->writable || until_ns - now_ns > UINT64_C(1000000) * WAIT_LONGEST_MS)
                return L1_WAITED_LONG;
        slack_ns = wait_be_exact(now_ns, until_ns);
        for (;;) {
                uint32_t moves = mt_load_acquire(&place->moves); /* before the look at the slot: see wait.h */

                wait_announce(l1, place, until_ns);
                mt_fence_full(); /* [W2] pairs with [W1] in wait_wake(), and in every caller of it */
                /* [A] acquire: pairs with [B] in l1_fill(), and with whoever gives up: what was said is seen too. A
                 * LIVE word stays where its refresh is given up. */
                left = mt_load_acquire(other->slot) != other->word;
                given_up = wait_given_up(l1, other->slot, other->word);
                if (left || given_up) {
                        waited = given_up ? L1_WAITED_IN_VAIN : L1_WAITED;
                        break;
                }
                if (clock_precise_ns() >= until_ns)
                        break;
                wait_sleep(place, moves, until_ns);
        }
        if (slack_ns != 0)
                syscall(SYS_prctl, PR_SET_TIMERSLACK, slack_ns, 0, 0, 0);
        errno = saved_errno;
        return waited;
}

/* ------------------------------------------------------------------------------------------ one of them goes on */

/* The word that was waited for is that of one lease alone (rule (b): no token comes back), so whoever exchanges it
 * while it still stands there is the one and only: the others find another word, and wait for that. */
bool l1_take_over(struct l1 *l1, const struct l1_other *other, uint32_t namespace_id, uint64_t now_ns,
                  struct l1_lease *lease)
{
        uint64_t word = other->word, token, pending;

        *lease = (struct l1_lease){0};
        if (namespace_id == 0 || !l1->writable || mt_load_relaxed(&l1->closed) || !lease_token(l1, &token))
                return false;
        pending = slot_pending(slot_tag(word), token);
        mt_store_relaxed(lease_mark(other->slot), slot_birth(now_ns)); /* first, as in l1_lease() */
        if (!mt_cas_acq_rel(other->slot, &word, pending))
                return false;
        mt_fence_full(); /* [S] as in l1_lease(): PENDING stands before GET leaves */
        *lease = (struct l1_lease){other->slot, pending, namespace_id, false,
                                   slot_is_held(other->word) ? other->word : 0};
        /* Those who wait for the former word are not woken: what they wait for comes with this one, from the same slot,
         * and its fill wakes them. One whose time is over before sees that the word is another. */
        return true;
}

void l1_hold(struct l1 *l1, struct l1_lease *lease, uint64_t of, enum l1_hold hold)
{
        uint64_t          word = lease->pending, mark = slot_with_hold(of != 0 ? of : word, hold);
        _Atomic uint64_t *slot = lease->slot;

        lease->slot = NULL;
        if (slot == NULL)
                return;
        mt_store_relaxed(lease_mark(slot), slot_birth(clock_coarse_ns()));
        if (!mt_cas_acq_rel(slot, &word, mark))
                return;
        wait_wake(l1, slot); /* they wait for something else now */
        /* [G2] full: pairs with [G1]. Either the one whose mark it is sees it when he gives up, or we see that he
         * has. */
        mt_fence_full();
        if (wait_given_up(l1, slot, slot_with_hold(mark, L1_HOLD_NONE)) && mt_cas_acq_rel(slot, &mark, 0))
                wait_wake(l1, slot);
}

enum l1_hold l1_hold_of(uint64_t word)
{
        return slot_hold(word);
}

bool l1_hold_same(uint64_t word, uint64_t other)
{
        return word != 0 && slot_with_hold(word, L1_HOLD_NONE) == slot_with_hold(other, L1_HOLD_NONE);
}
