/* claim.c - who computes a value that is nowhere. The calls are in l1.h.
 *
 *   FREE(turn)  -> OWNED(turn + 1)   l1_claim(): compare-and-swap, one wins the place; then the key is said
 *   OWNED(turn) -> OWNED(turn + 1)   l1_claim_take_over(): another, when he was waited for in vain
 *   OWNED(turn) -> FREE(turn + 1)    l1_unclaim(), or whoever finds that the owner is dead
 *
 * A key counts with the turn under which it was said alone, so that a place that changes hands has none for a moment,
 * never the last owner's; and it is said by compare-and-swap, so that who was stopped in between says nothing late.
 * A key may stand in any place, so two who begin at once may both find none and take one each. Each looks once more
 * after he has said his key, and gives way if there is another: the one whose fence [C] comes second sees what the
 * first has said before his own, so both never go on; if both give way, both begin again.
 * Waiters sleep on the lower half of the owner word, in which every change of hands is seen. Death wakes nobody, so
 * they look for it. Whatever stands in a hostile segment: waits end with their time, and a value is computed twice. */
#include "../l1.h"

#include "../segment/process.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CLAIM_SLOT_MASK  UINT64_C(0xfff)
#define CLAIM_TURN_MASK  UINT64_C(0xfffff000)
#define CLAIM_TURN_SHIFT 12
#define CLAIM_KEY_TURN   UINT64_C(0xfffff) /* of a key: its turn, in the place of as many bits of the hash */
#define CLAIM_LOOK_NS    (40 * NS_PER_MS)  /* between two looks whether the owner is alive */
_Static_assert(PROCESS_MAX < CLAIM_SLOT_MASK, "a slot's number leaves room for the turn");

enum { CLAIM_TRIES = 16, CLAIM_SELF_TRIES = 100 };

static struct claim_shm claim_here[CLAIM_MAX]; /* where there is no segment */

/* Two threads of a process that claims for the first time: the second is told nothing while the first finds a slot. */
static uint64_t claim_self(struct l1 *l1)
{
        const struct timespec pause = {.tv_nsec = 20000};
        uint64_t              self = l1_self(l1);

        for (unsigned tries = 0; self == 0 && tries < CLAIM_SELF_TRIES; tries++) {
                nanosleep(&pause, NULL);
                self = l1_self(l1);
        }
        return self;
}

static struct claim_shm *claim_table(struct l1 *l1, uint64_t *self)
{
        *self = l1 != NULL && l1->writable ? claim_self(l1) : 0;
        if (*self != 0)
                return l1->header->claim;
        *self = (uint64_t)getpid() << 32 | 1;
        return claim_here;
}

static bool claim_is_here(const struct claim_shm *place)
{
        return place >= claim_here && place < claim_here + CLAIM_MAX;
}

static bool claim_dead(const struct l1 *l1, const struct claim_shm *place, uint64_t owner)
{
        if (claim_is_here(place)) /* of a parent's thread */
                return owner >> 32 != (uint64_t)getpid();
        return l1 == NULL || l1_owner_dead(l1, owner & ~CLAIM_TURN_MASK);
}

/* The word of the next owner, or with self 0 that of a free place. */
static uint64_t claim_next(uint64_t owner, uint64_t self)
{
        return self | ((owner + (UINT64_C(1) << CLAIM_TURN_SHIFT)) & CLAIM_TURN_MASK);
}

static void claim_wake(struct claim_shm *place)
{
        syscall(SYS_futex, &place->owner, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Of whoever owns it by that word. Another word there: it has changed hands already. */
static void claim_free(struct claim_shm *place, uint64_t owner)
{
        if (mt_cas_acq_rel(&place->owner, &owner, claim_next(owner, 0)))
                claim_wake(place);
}

static uint64_t claim_key(uint64_t hash, uint64_t owner)
{
        return (hash & ~CLAIM_KEY_TURN) | (owner & CLAIM_TURN_MASK) >> CLAIM_TURN_SHIFT;
}

/* Another place with this key whose owner lives. */
static bool claim_find(struct l1 *l1, struct claim_shm *table, uint64_t hash, const struct claim_shm *mine,
                       struct l1_claim *found)
{
        for (unsigned i = 0; i < CLAIM_MAX; i++) {
                uint64_t owner = mt_load_acquire(&table[i].owner);

                if ((owner & CLAIM_SLOT_MASK) == 0 || &table[i] == mine ||
                    mt_load_relaxed(&table[i].key) != claim_key(hash, owner))
                        continue;
                if (claim_dead(l1, &table[i], owner)) {
                        claim_free(&table[i], owner);
                        continue;
                }
                *found = (struct l1_claim){&table[i], owner, hash};
                return true;
        }
        return false;
}

/* From that word on the place is self's, if it still holds it; then the key is said, and the others looked at. */
static bool claim_take(struct l1 *l1, struct claim_shm *table, struct claim_shm *place, uint64_t owner, uint64_t self,
                       uint64_t hash, struct l1_claim *claim)
{
        uint64_t        key = mt_load_relaxed(&place->key), mine = claim_next(owner, self);
        struct l1_claim other;

        if (!mt_cas_acq_rel(&place->owner, &owner, mine))
                return false;
        claim_wake(place); /* who waits for the former owner */
        if (!mt_cas_acq_rel(&place->key, &key, claim_key(hash, mine)))
                return false; /* stopped for so long that it was taken over */
        mt_fence_full();      /* [C] pairs with itself in another process */
        if (claim_find(l1, table, hash, place, &other)) {
                claim_free(place, mine);
                return false;
        }
        *claim = (struct l1_claim){place, mine, hash};
        return true;
}

static bool claim_anywhere(struct l1 *l1, struct claim_shm *table, uint64_t self, uint64_t hash, bool *full,
                           struct l1_claim *claim)
{
        for (unsigned i = 0; i < CLAIM_MAX; i++) {
                struct claim_shm *place = &table[(hash + i) % CLAIM_MAX];
                uint64_t          owner = mt_load_acquire(&place->owner);

                if ((owner & CLAIM_SLOT_MASK) == 0) {
                        *full = false;
                        return claim_take(l1, table, place, owner, self, hash, claim);
                }
        }
        *full = true;
        for (unsigned i = 0; i < CLAIM_MAX; i++) {
                uint64_t owner = mt_load_acquire(&table[i].owner);

                if (claim_dead(l1, &table[i], owner))
                        claim_free(&table[i], owner);
        }
        return false;
}

enum l1_claimed l1_claim(struct l1 *l1, uint64_t hash, struct l1_claim *claim)
{
        int               saved_errno = errno;
        uint64_t          self;
        struct claim_shm *table = claim_table(l1, &self);
        enum l1_claimed   claimed = L1_CLAIMED_FULL;
        bool              full;

        *claim = (struct l1_claim){.place = NULL};
        for (unsigned tries = 0; tries < CLAIM_TRIES && claimed == L1_CLAIMED_FULL; tries++) {
                if (claim_find(l1, table, hash, NULL, claim))
                        claimed = L1_CLAIMED_OTHER;
                else if (claim_anywhere(l1, table, self, hash, &full, claim))
                        claimed = L1_CLAIMED;
                else if (full && tries > 0)
                        break;
        }
        errno = saved_errno;
        return claimed;
}

bool l1_claim_wait(struct l1 *l1, const struct l1_claim *other, uint64_t until_ns)
{
        uint32_t seen = (uint32_t)other->owner;
        bool     moved;
        int      saved_errno = errno;

        for (;;) {
                uint64_t        now_ns = clock_precise_ns(), at_ns = now_ns + CLAIM_LOOK_NS;
                struct timespec at;

                moved = mt_load_acquire(&other->place->owner) != other->owner;
                if (moved || now_ns >= until_ns)
                        break;
                at_ns = (at_ns < until_ns ? at_ns : until_ns) - CLOCK_SHIFT(); /* the kernel's clock */
                at = (struct timespec){.tv_sec = (time_t)(at_ns / NS_PER_S), .tv_nsec = (long)(at_ns % NS_PER_S)};
                if (syscall(SYS_futex, &other->place->owner, FUTEX_WAIT_BITSET, seen, &at, NULL,
                            FUTEX_BITSET_MATCH_ANY) != 0 &&
                    errno == ETIMEDOUT && claim_dead(l1, other->place, other->owner))
                        claim_free(other->place, other->owner);
        }
        errno = saved_errno;
        return moved;
}

bool l1_claim_take_over(struct l1 *l1, const struct l1_claim *other, struct l1_claim *claim)
{
        int               saved_errno = errno;
        uint64_t          self;
        struct claim_shm *table = claim_table(l1, &self);
        bool              taken;

        taken = (table == claim_here) == claim_is_here(other->place) &&
                claim_take(l1, table, other->place, other->owner, self, other->hash, claim);
        errno = saved_errno;
        return taken;
}

bool l1_claim_holds(const struct l1_claim *claim)
{
        return claim->place != NULL && mt_load_acquire(&claim->place->owner) == claim->owner;
}

void l1_unclaim(struct l1_claim *claim)
{
        int saved_errno = errno;

        if (claim->place != NULL)
                claim_free(claim->place, claim->owner);
        claim->place = NULL;
        errno = saved_errno;
}
