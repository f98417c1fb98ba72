/* index.c - the walks over slots that are not on the way of a hit. */
#include "index.h"

#include "item.h"
#include "wait.h"

#define INDEX_LOOKS 4 /* at a slot that changes under us; then it is cleared whatever it holds: a miss, no lie */

int index_find_item(const struct l1 *l1, const struct index_place *place, uint32_t generation, uint64_t offset,
                    uint64_t *word)
{
        uint64_t wanted = slot_live(l1, 0, generation, offset), others = ~(SLOT_TAG_MASK << 48);

        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++) {
                /* Relaxed: it was published before its log segment was disowned, and we have owned that since [O1]. */
                *word = mt_load_relaxed(index_slot(place, i));
                if ((*word & others) == wanted)
                        return (int)i;
        }
        return -1;
}

/* Is it LIVE, outside [from, to), and a whole item, so that nothing of it is inside? */
static bool index_is_apart(const struct l1 *l1, uint64_t word, uint64_t from, uint64_t to)
{
        uint64_t    offset = slot_offset(l1, word);
        struct item item;

        return slot_state(word) == SLOT_LIVE && (offset < from || offset >= to) && item_read(l1, offset, &item) &&
               item.form == ITEM_FORM_WHOLE;
}

/* What it held when it had to be cleared, else 0. */
static uint64_t index_sweep_slot(const struct l1 *l1, _Atomic uint64_t *slot, uint64_t from, uint64_t to)
{
        for (unsigned look = 0; look < INDEX_LOOKS; look++) {
                uint64_t word = mt_load_acquire(slot); /* [A]: pairs with [B] in l1_fill(), the item is whole */
                bool     apart = index_is_apart(l1, word, from, to);

                if (slot_is_free(word))
                        return 0;
                if (!apart && mt_cas_acq_rel(slot, &word, 0))
                        return word;
                /* [R1] acquire: pairs with [R2] in evict.c; if bytes were written over the item's, its slot is seen to
                 * have changed. */
                mt_fence_acquire();
                if (apart && mt_load_relaxed(slot) == word)
                        return 0;
        }
        return mt_exchange_acq_rel(slot, 0);
}

uint64_t index_sweep(struct l1 *l1, uint64_t from, uint64_t to)
{
        uint64_t cleared = 0;

        for (uint32_t b = 0; b < l1->bucket_count; b++)
                for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
                        unsigned state = slot_state(index_sweep_slot(l1, &l1->index[b].slot[i], from, to));

                        cleared += state == SLOT_LIVE;
                        if (state == SLOT_PENDING)
                                wait_wake(l1, &l1->index[b].slot[i]);
                }
        return cleared;
}
