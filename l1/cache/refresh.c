/* refresh.c - items near their end, and past it.
 *
 * Before the end. XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB
 * 2015): each reader draws u, evenly from 0 to 1, and fetches the value anew when no more is left of its life than
 * beta x delta x -ln(u), delta being the time that a fetch takes. The more readers, the earlier, and hardly ever two.
 * Here a reader who draws so claims the item first, so that one does; all others are answered with it until the new one
 * stands in its place.
 *
 * Past the end an item may be read for kept_ns more, by readers who ask for that. "No such key" may not.
 *
 * No PENDING is needed for either, and while there is one nobody can be answered. The lease is the LIVE word itself: it
 * is loaded before GET is sent, and the fill is the compare-and-swap from that word to the new one. Whoever clears the
 * key, moves the item, reclaims its log segment or takes the slot, exchanges the word for another, and the word does
 * not come back (slot.h). So all that is said of PENDING in lease.c holds of it; tests/model walks it.
 *
 * The claim is in the mark, four bits that a LIVE slot has to spare. It is a hint: lost, it costs a GET; left by the
 * dead, it is passed over after two seconds. */
#include "refresh.h"

#include "../base/hash.h"
#include "counters.h"
#include "item.h"
#include "lease.h"
#include "logseg.h"
#include "wait.h"

/* -ln(u) is not taken for larger than this: once in 9 million draws it would be. */
#define REFRESH_FAR 16u

#define REFRESH_LN2 UINT64_C(45426) /* in 65,536ths */

void l1_set_ends(struct l1 *l1, uint64_t early_ns, uint64_t kept_ns)
{
        mt_store_relaxed(&l1->early_ns, early_ns);
        mt_store_relaxed(&l1->kept_ns, kept_ns);
        mt_store_relaxed(&l1->edge_zero_ns, l1->clock_zero_ns - early_ns * REFRESH_FAR);
}

/* ------------------------------------------------------------------------------------------------------- the draw */

/* 64 bits by chance: a counter of the thread's own, hashed. */
static uint64_t refresh_random(void)
{
        static _Thread_local uint64_t count __attribute__((tls_model("initial-exec")));

        if (count == 0)
                count = (uintptr_t)&count ^ clock_precise_ns();
        count += UINT64_C(0x9e3779b97f4a7c15);
        return hash_fold(count, count ^ UINT64_C(0xd6e8feb86659fd93));
}

/* early_ns x -ln(random / 2^64), the logarithm to a twelfth: straight lines between the powers of two. */
static uint64_t refresh_gap_ns(uint64_t early_ns, uint64_t random)
{
        unsigned zeros = (unsigned)__builtin_clzll(random | 1);
        uint64_t below_one = (random << zeros << 1) >> 48; /* of 1.xxx x 2^-(zeros + 1) */
        uint64_t minus_log2 = ((uint64_t)(zeros + 1) << 16) - below_one;

        return (uint64_t)((unsigned __int128)early_ns * REFRESH_LN2 * minus_log2 >> 32);
}

/* ---------------------------------------------------------------------------------------------------- the look-up */

/* What is left of a life; below zero when it is over. As precise as the coarse clock, and never too much. */
static int64_t refresh_left_ns(const struct l1 *l1, uint32_t deadline, uint64_t now_ns)
{
        return (int64_t)((uint64_t)deadline << ITEM_DEADLINE_SHIFT) - (int64_t)(now_ns - l1->clock_zero_ns);
}

static _Atomic uint8_t *refresh_mark(const _Atomic uint64_t *slot)
{
        return lease_mark((_Atomic uint64_t *)(uintptr_t)slot);
}

/* The deadline of the item that the hit's word points to; 0 when it has left its slot. */
static uint32_t refresh_deadline(const struct l1 *l1, const struct l1_hit *hit)
{
        struct item item;
        bool        sane = item_read(l1, slot_offset(l1, hit->word), &item);

        /* [R1] acquire: pairs with [R2] in evict.c and logseg.c, as in l1_copy(). */
        mt_fence_acquire();
        return sane && mt_load_relaxed(hit->slot) == hit->word ? item.deadline : 0;
}

bool l1_still(struct l1 *l1, uint64_t now_ns, uint64_t past_ns, const struct l1_hit *hit)
{
        uint32_t deadline = refresh_deadline(l1, hit);

        return deadline != 0 && refresh_left_ns(l1, deadline, now_ns) > -(int64_t)past_ns;
}

/* The item of the key, whatever its end. False: none. */
static bool refresh_find(const struct l1 *l1, const struct l1_key *key, uint32_t namespace_id, struct l1_hit *hit,
                         uint32_t *deadline)
{
        struct index_place place = index_place(l1, key->hash);

        for (uint32_t left = namespace_id != 0 ? index_match(&place) : 0; left != 0; left &= left - 1) {
                const _Atomic uint64_t *slot = index_slot_of_bit(&place, (unsigned)__builtin_ctz(left));
                uint64_t                word = mt_load_acquire(slot); /* [A]: pairs with [B], the item is whole */
                struct item_found       found;

                if (word >> SLOT_PLACE_BITS != slot_live_head(place.tag))
                        continue;
                found = item_look_slowly(l1, slot_offset(l1, word), namespace_id, key->key);
                if (found.is != ITEM_THIS)
                        continue;
                *hit = (struct l1_hit){found.value, found.vlen, found.nil, slot, word, found.in_pieces ? l1 : NULL};
                *deadline = found.deadline;
                return true;
        }
        return false;
}

/* What the look-up has met may be gone by now, and a new one in its place: it is looked up again. "No such key" is not
 * kept past its end. */
enum l1_end l1_look_at_end(struct l1 *l1, const struct l1_key *key, uint32_t namespace_id, uint64_t now_ns,
                           struct l1_hit *hit)
{
        uint32_t deadline;
        int64_t  left_ns;

        if (!refresh_find(l1, key, namespace_id, hit, &deadline))
                return L1_END_OVER;
        left_ns = refresh_left_ns(l1, deadline, now_ns);
        if (left_ns > 0 && (slot_is_claimed(mt_load_relaxed(refresh_mark(hit->slot)), now_ns, false) ||
                            refresh_gap_ns(mt_load_relaxed(&l1->early_ns), refresh_random()) < (uint64_t)left_ns))
                return L1_END_HIT;
        if (left_ns > 0 || (!hit->nil && (uint64_t)-left_ns < mt_load_relaxed(&l1->kept_ns)))
                return L1_END_DUE;
        counters_add(l1, COUNTER_expired, 1);
        return L1_END_OVER;
}

bool l1_recall(struct l1 *l1, const struct l1_key *key, uint32_t namespace_id, uint64_t now_ns, uint64_t past_ns,
               struct l1_hit *hit)
{
        uint32_t deadline;

        return refresh_find(l1, key, namespace_id, hit, &deadline) &&
               refresh_left_ns(l1, deadline, now_ns) > -(int64_t)past_ns;
}

/* ------------------------------------------------------------------------------------------------------ the lease */

/* Taken as a claim from the mark of another item, or given back. */
static void refresh_unclaim(_Atomic uint8_t *mark)
{
        mt_store_relaxed(mark, slot_unclaimed(mt_load_relaxed(mark), false));
}

bool l1_refresh(struct l1 *l1, uint32_t namespace_id, uint64_t now_ns, const struct l1_hit *hit, struct l1_lease *lease)
{
        uint32_t         deadline = refresh_deadline(l1, hit);
        _Atomic uint8_t *mark = refresh_mark(hit->slot);
        uint8_t          seen = mt_load_relaxed(mark);

        *lease = (struct l1_lease){0};
        if (deadline == 0 || !l1->writable || mt_load_relaxed(&l1->closed) ||
            slot_is_claimed(seen, now_ns, refresh_left_ns(l1, deadline, now_ns) <= 0) ||
            !mt_cas_acq_rel(mark, &seen, slot_claim(seen, now_ns)))
                return false;
        if (mt_load_acquire(hit->slot) != hit->word) { /* replaced by now: it is the mark of the new one */
                refresh_unclaim(mark);
                return false;
        }
        /* [S] full: the word was seen in its slot before GET leaves this process; pairs with the server as in
         * l1_lease(). */
        mt_fence_full();
        if (wait_given_up(l1, hit->slot, hit->word)) /* by another, once */
                wait_give_up(l1, hit->slot, 0);
        counters_add(l1, COUNTER_refreshes, 1);
        *lease = (struct l1_lease){
                .slot = (_Atomic uint64_t *)(uintptr_t)hit->slot,
                .pending = hit->word,
                .namespace_id = namespace_id,
        };
        return true;
}

bool refresh_make_pending(struct l1 *l1, struct l1_lease *lease, uint64_t now_ns)
{
        uint64_t word = lease->pending, token;

        if (!lease_token(l1, &token))
                return false;
        mt_store_relaxed(lease_mark(lease->slot), slot_birth(now_ns));
        lease->pending = slot_pending(slot_tag(word), token);
        if (!mt_cas_acq_rel(lease->slot, &word, lease->pending))
                return false;
        logseg_note_dead(l1, word);
        return true;
}

/* What has been read goes on being so. A new life that is near its end again is what was left in Redis, or short
 * anyway: to ask once more before it ends would gain nothing. */
void refresh_done(struct l1 *l1, const struct l1_lease *lease, uint32_t deadline, uint64_t now_ns)
{
        _Atomic uint8_t *mark = lease_mark(lease->slot);
        uint64_t         early_ns = mt_load_relaxed(&l1->early_ns);
        bool idle = early_ns != 0 && refresh_left_ns(l1, deadline, now_ns) < (int64_t)(2 * REFRESH_FAR * early_ns);

        logseg_note_dead(l1, lease->pending);
        mt_store_relaxed(mark, slot_unclaimed(mt_load_relaxed(mark), idle));
        wait_wake(l1, lease->slot);
}

/* Those who wait for another value are told that there is none; where the old one has gone meanwhile they see that. */
void refresh_give_up(const struct l1 *l1, const struct l1_lease *lease)
{
        if (mt_load_relaxed(lease->slot) == lease->pending)
                wait_give_up(l1, lease->slot, lease->pending);
        refresh_unclaim(lease_mark(lease->slot));
        wait_wake(l1, lease->slot);
}

/* The mark first: who refreshes changes the word, and then gives the claim back. */
bool l1_other_refresh(const struct l1 *l1, uint64_t now_ns, const struct l1_hit *hit, struct l1_other *other)
{
        bool claimed = slot_is_claimed(mt_load_acquire(refresh_mark(hit->slot)), now_ns, true);

        *other = (struct l1_other){(_Atomic uint64_t *)(uintptr_t)hit->slot, hit->word};
        return l1->writable && (claimed || mt_load_relaxed(hit->slot) != hit->word);
}

bool l1_refreshes(const struct l1_lease *lease)
{
        return refresh_holds(lease);
}
