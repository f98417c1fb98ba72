/* pattern.c - removal by pattern: the one removal that reads items, because a pattern has no hash to look under.
 *
 * Why it is complete: contents never move between slots, so each slot is looked at once, in whatever state. What is
 * LIVE then is judged by its key. What is PENDING has a key that cannot be known, and its value may have been read
 * before we began: it is cleared. What comes into a slot behind us was leased, and so asked for, after we began. */
#include "../base/glob.h"
#include "index.h"
#include "item.h"
#include "logseg.h"
#include "wait.h"

#define PATTERN_LOOKS 4 /* at a slot that changes under us; then it is cleared whatever it holds: a miss, no lie */

enum pattern_verdict { PATTERN_KEEP, PATTERN_CLEAR, PATTERN_AGAIN };

static enum pattern_verdict pattern_judge(const struct l1 *l1, const _Atomic uint64_t *slot, uint64_t word,
                                          struct mt_bytes glob)
{
        char        key[ITEM_KEY_MAX];
        struct item item;
        bool        sane = item_read(l1, slot_offset(l1, word), &item);

        if (sane)
                mt_copy_from_shared(key, item.key, item.klen);
        /* [R1] acquire: pairs with [R2] in evict.c and logseg.c; if bytes were written over ours, the slot is seen to
         * have changed. */
        mt_fence_acquire();
        if (mt_load_relaxed(slot) != word)
                return PATTERN_AGAIN;
        return sane && !glob_match(glob, mt_bytes(key, item.klen)) ? PATTERN_KEEP : PATTERN_CLEAR;
}

/* 1 when a LIVE slot was cleared. */
static uint64_t pattern_visit(struct l1 *l1, _Atomic uint64_t *slot, struct mt_bytes glob)
{
        for (unsigned look = 0; look < PATTERN_LOOKS; look++) {
                uint64_t word = mt_load_acquire(slot); /* [A]: pairs with [B] in l1_fill(), the item is whole */

                if (slot_is_free(word))
                        return 0;
                if (slot_state(word) != SLOT_LIVE)
                        break;
                enum pattern_verdict verdict = pattern_judge(l1, slot, word, glob);

                if (verdict == PATTERN_KEEP)
                        return 0;
                if (verdict == PATTERN_CLEAR)
                        break;
        }
        /* Release, as in l1_remove(): for whatever the caller stores next. */
        uint64_t cleared = mt_exchange_acq_rel(slot, 0);

        if (slot_state(cleared) == SLOT_PENDING)
                wait_wake(l1, slot);
        if (slot_state(cleared) != SLOT_LIVE)
                return 0;
        logseg_note_dead(l1, cleared);
        return 1;
}

uint64_t l1_remove_pattern(struct l1 *l1, struct mt_bytes glob)
{
        uint64_t cleared = 0;

        if (!l1->writable)
                return 0;
        for (uint32_t b = 0; b < l1->bucket_count; b++)
                for (unsigned i = 0; i < BUCKET_SLOTS; i++)
                        cleared += pattern_visit(l1, &l1->index[b].slot[i], glob);
        return cleared;
}
