/* index.c - the walks over slots that are not on the way of a hit. */
#include "index.h"

int index_find_item(const struct index_place *place, uint32_t generation, uint64_t offset, uint64_t *word)
{
        uint64_t wanted = slot_live(0, generation, offset), others = ~(SLOT_TAG_MASK << 48);

        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++) {
                *word = mt_load_relaxed(index_slot(place, i));
                if ((*word & others) == wanted)
                        return (int)i;
        }
        return -1;
}

uint64_t index_sweep(struct l1 *l1, uint64_t from, uint64_t to)
{
        uint64_t cleared = 0;

        for (uint32_t b = 0; b < l1->bucket_count; b++) {
                for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
                        _Atomic uint64_t *slot = &l1->index[b].slot[i];
                        /* Relaxed: the caller owns the log segment, so none is published into it now; [O1] has shown
                         * those that were. */
                        uint64_t word = mt_load_relaxed(slot);

                        if (slot_state(word) == SLOT_LIVE && slot_offset(word) >= from && slot_offset(word) < to)
                                cleared += mt_cas_acq_rel(slot, &word, 0);
                }
        }
        return cleared;
}
