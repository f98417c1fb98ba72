/* ghost.c - three entries in a free slot.
 *
 * A ghost orders nothing: it is a hint, and no byte is read by it. What matters is that each compare-and-swap names the
 * whole word: one that meets PENDING or LIVE where a ghost was fails, and a ghost that is the same word again is as
 * free as it was. That a LIVE word is gone is what [R2] in evict.c orders. */
#include "ghost.h"

#define GHOST_ENTRIES    3u
#define GHOST_BITS       20u
#define GHOST_PRINT_BITS 12u
#define GHOST_AGES       255u /* an age is never 0, so that no entry is */
#define GHOST_UNITS      16u  /* of the log */
#define GHOST_KEPT       14u  /* units: 0.9 of the log, which is the main log's share, and the one that has begun */

static uint32_t ghost_now(const struct l1 *l1)
{
        return (uint32_t)(mt_load_relaxed(&l1->header->forgotten) / (l1->log_bytes / GHOST_UNITS) % GHOST_AGES);
}

static uint64_t ghost_entry(uint64_t tag, uint32_t now)
{
        return (uint64_t)(now + 1) << GHOST_PRINT_BITS | (tag & ((1u << GHOST_PRINT_BITS) - 1));
}

static uint64_t ghost_at(uint64_t word, unsigned n)
{
        return word >> (n * GHOST_BITS) & ((1u << GHOST_BITS) - 1);
}

static uint64_t ghost_put(uint64_t word, unsigned n, uint64_t entry)
{
        return (word & ~(((UINT64_C(1) << GHOST_BITS) - 1) << (n * GHOST_BITS))) | entry << (n * GHOST_BITS);
}

static bool ghost_counts(uint64_t entry, uint32_t now)
{
        uint32_t born = (uint32_t)(entry >> GHOST_PRINT_BITS);

        return born != 0 && (now + GHOST_AGES - (born - 1) % GHOST_AGES) % GHOST_AGES <= GHOST_KEPT;
}

/* Into another free slot of the bucket, where an entry is not in use. */
static bool ghost_join(struct bucket_shm *bucket, uint64_t entry, uint32_t now)
{
        for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
                uint64_t word = mt_load_relaxed(&bucket->slot[i]);

                if (slot_state(word) != SLOT_GHOST)
                        continue;
                for (unsigned n = 0; n < GHOST_ENTRIES; n++) {
                        if (!ghost_counts(ghost_at(word, n), now))
                                return mt_cas_acq_rel(&bucket->slot[i], &word, ghost_put(word, n, entry));
                }
        }
        return false;
}

bool ghost_leave(struct l1 *l1, const struct index_place *place, unsigned i, uint64_t word)
{
        uint32_t now = ghost_now(l1);
        uint64_t entry = ghost_entry(slot_tag(word), now), alone = (uint64_t)SLOT_GHOST << 62 | entry;

        if (ghost_join(place->bucket[i / BUCKET_SLOTS], entry, now))
                return mt_cas_acq_rel(index_slot(place, i), &word, 0);
        return mt_cas_acq_rel(index_slot(place, i), &word, alone);
}

bool ghost_take(struct l1 *l1, const struct index_place *place, uint32_t ghosts)
{
        uint32_t now = ghost_now(l1);
        uint64_t print = ghost_entry(place->tag, 0) & ((1u << GHOST_PRINT_BITS) - 1);

        for (; ghosts != 0; ghosts &= ghosts - 1) {
                _Atomic uint64_t *slot = index_slot_of_bit(place, (unsigned)__builtin_ctz(ghosts));
                uint64_t          word = mt_load_relaxed(slot);

                if (slot_state(word) != SLOT_GHOST)
                        continue;
                for (unsigned n = 0; n < GHOST_ENTRIES; n++) {
                        uint64_t entry = ghost_at(word, n);

                        if ((entry & ((1u << GHOST_PRINT_BITS) - 1)) != print || !ghost_counts(entry, now))
                                continue;
                        mt_cas_acq_rel(slot, &word, ghost_put(word, n, 0));
                        return true;
                }
        }
        return false;
}

void ghost_age(struct l1 *l1, uint64_t bytes)
{
        mt_fetch_add_relaxed(&l1->header->forgotten, bytes);
}
