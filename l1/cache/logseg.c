/* logseg.c - who may write where in the log.
 *
 * Up to LOGSEG_OPEN_MAX log segments are open at a time, listed in header->open[]; a writer takes the first one that
 * nobody owns. Memory is taken in steps as the head advances; where there is none to be had the log segment is sealed
 * as it is, and those that have memory are used again and again.
 *
 * One log segment is kept free: whoever takes the last free one reclaims the oldest sealed one into it at once, so
 * that what is worth keeping has somewhere to go. */
#include "logseg.h"

#include "../segment/process.h"
#include "evict.h"

#define LOGSEG_LOOKS 4 /* owners looked up in /proc during one search */

static struct logseg_shm *logseg_shm_at(const struct l1 *l1, uint32_t number)
{
        return &l1->logsegs[number];
}

/* ------------------------------------------------------------------------------------------------- own, disown */

bool logseg_own(struct l1 *l1, uint32_t number, uint64_t self, bool look, struct logseg *seg)
{
        struct logseg_shm *shm = logseg_shm_at(l1, number);
        uint32_t           head;

        if (!process_own(l1, &shm->owner, self, look))
                return false;
        head = mt_load_relaxed(&shm->head);
        *seg = (struct logseg){
                .shm = shm,
                .self = self,
                .start = number * (l1->logseg_mask + 1),
                .number = number,
                .head = head <= l1->logseg_mask + 1 && head % ITEM_ALIGN == 0 ? head : (uint32_t)(l1->logseg_mask + 1),
                .generation = mt_load_relaxed(&shm->generation),
        };
        /* [R2] release fence: orders the clearing of slots that we have seen done ([O1]) before the bytes that we write
         * here; a reader that sees such a byte, and then [R1] fences, sees its slot cleared. */
        mt_fence_release();
        return true;
}

void logseg_end(struct logseg *seg)
{
        uint64_t self = seg->self;

        /* [O1] release. A compare-and-swap, since the mapping may have been abandoned under us. */
        mt_cas_acq_rel(&seg->shm->owner, &self, 0);
        seg->shm = NULL;
}

void logseg_commit(struct logseg *seg, uint64_t n)
{
        seg->head += (uint32_t)n;
        mt_store_release(&seg->shm->head, seg->head);
}

void logseg_retract(struct logseg *seg, uint64_t n)
{
        seg->head -= (uint32_t)n;
        mt_store_release(&seg->shm->head, seg->head);
}

static void logseg_seal(struct l1 *l1, struct logseg *seg)
{
        mt_store_relaxed(&seg->shm->sealed_seq, mt_fetch_add_relaxed(&l1->header->seal_next, 1) + 1);
        mt_store_release(&seg->shm->state, LOGSEG_SEALED);
}

/* ------------------------------------------------------------------------------------------------------------ room */

bool logseg_may_grow(const struct l1 *l1)
{
        return clock_coarse_ns() >= mt_load_relaxed(&l1->full_until_ns);
}

bool logseg_has_room(struct l1 *l1, struct logseg *seg, uint64_t n)
{
        uint64_t size = l1->logseg_mask + 1, end = seg->head + n, ready = mt_load_relaxed(&seg->shm->ready), to;

        if (end > size)
                return false;
        if (end <= ready)
                return true;
        if (ready > size || ready % SEGMENT_PAGE != 0)
                ready = 0;
        to = (end + SEGMENT_PIECE - 1) / SEGMENT_PIECE * SEGMENT_PIECE;
        if (to > size)
                to = size;
        if (!segment_take_memory(l1, l1->geometry.log_at + seg->start + ready, l1->geometry.log_at + seg->start + to))
                return false;
        mt_store_release(&seg->shm->ready, (uint32_t)to);
        return true;
}

/* ----------------------------------------------------------------------------------------------------- a new one */

/* Own a free log segment. Those that have memory come first; without leave to grow, only they do. *left: how many
 * more there are like it. */
static bool logseg_take_free(struct l1 *l1, uint64_t need, uint64_t self, struct logseg *seg, unsigned *left)
{
        bool grow = logseg_may_grow(l1), found = false;
        int  looks = LOGSEG_LOOKS;

        *left = 0;
        for (int fresh = 0; fresh <= (grow ? 1 : 0); fresh++) {
                for (uint32_t i = 0; i < l1->geometry.logseg_count; i++) {
                        struct logseg_shm *shm = logseg_shm_at(l1, i);
                        bool               backed = mt_load_relaxed(&shm->ready) >= need;

                        if (mt_load_relaxed(&shm->state) != LOGSEG_FREE || backed != !fresh)
                                continue;
                        if (found) {
                                ++*left;
                                continue;
                        }
                        looks -= mt_load_relaxed(&shm->owner) != 0;
                        if (!logseg_own(l1, i, self, looks >= 0, seg))
                                continue;
                        found = mt_load_relaxed(&shm->state) == LOGSEG_FREE;
                        if (!found)
                                logseg_end(seg);
                }
        }
        return found;
}

/* Own an empty one, OPEN and with room for `need`. */
static bool logseg_open(struct l1 *l1, uint64_t need, uint64_t self, struct logseg *seg)
{
        unsigned left;
        bool     taken = logseg_take_free(l1, need, self, seg, &left);

        if (!taken && !evict_oldest(l1, self, need, NULL, seg))
                return false;
        seg->head = 0;
        mt_store_relaxed(&seg->shm->head, 0);
        if (!logseg_has_room(l1, seg, need)) {
                mt_store_release(&seg->shm->state, LOGSEG_FREE);
                logseg_end(seg);
                return false;
        }
        mt_store_release(&seg->shm->state, LOGSEG_OPEN);
        if (taken && left == 0) {
                struct logseg victim;

                if (evict_oldest(l1, self, need, seg, &victim))
                        logseg_end(&victim);
        }
        return true;
}

/* ---------------------------------------------------------------------------------------------------- one append */

/* What stands in open[i], less 1; logseg_count when nothing usable does. */
static uint32_t logseg_listed(const struct l1 *l1, uint32_t i, uint32_t *word)
{
        *word = mt_load_acquire(&l1->header->open[i]);
        return *word - 1 < l1->geometry.logseg_count ? *word - 1 : l1->geometry.logseg_count;
}

bool logseg_is_listed(const struct l1 *l1, uint32_t number)
{
        for (uint32_t i = 0; i < LOGSEG_OPEN_MAX; i++) {
                if (mt_load_acquire(&l1->header->open[i]) == number + 1)
                        return true;
        }
        return false;
}

/* Own the log segment in open[i] if it still takes in `need` bytes; seal it if it does not. *busy: the living own
 * it. */
static bool logseg_begin_listed(struct l1 *l1, uint32_t number, uint64_t need, uint64_t self, bool look, bool *busy,
                                struct logseg *seg)
{
        *busy = !logseg_own(l1, number, self, look, seg);
        if (*busy)
                return false;
        if (mt_load_relaxed(&seg->shm->state) == LOGSEG_OPEN) {
                if (logseg_has_room(l1, seg, need))
                        return true;
                logseg_seal(l1, seg);
        }
        logseg_end(seg);
        return false;
}

/* Put a new one in open[i]. If another was faster ours is not listed: what it holds is sealed with it. */
static bool logseg_begin_new(struct l1 *l1, uint32_t i, uint32_t word, uint64_t need, uint64_t self, struct logseg *seg)
{
        if (!logseg_open(l1, need, self, seg))
                return false;
        if (mt_cas_acq_rel(&l1->header->open[i], &word, seg->number + 1)) {
                if (logseg_has_room(l1, seg, need))
                        return true;
                logseg_seal(l1, seg); /* what the reclaim kept has filled it */
        } else if (seg->head == 0) {
                mt_store_release(&seg->shm->state, LOGSEG_FREE);
        } else {
                logseg_seal(l1, seg);
        }
        logseg_end(seg);
        return false;
}

/* The living own what is listed in open[i], and it has not grown since the last look: they stand still, and it is
 * passed over. If they only were slow, theirs is the next to be reclaimed. */
static bool logseg_stands_still(struct l1 *l1, uint32_t i, uint32_t number)
{
        uint64_t seen = (uint64_t)(number + 1) << 32 | mt_load_relaxed(&logseg_shm_at(l1, number)->head);
        bool     same = mt_load_relaxed(&l1->still[i]) == seen;

        mt_store_relaxed(&l1->still[i], seen);
        return same;
}

bool logseg_begin(struct l1 *l1, uint64_t need, struct logseg *seg)
{
        uint64_t self = process_self(l1);
        bool     busy, look = false;
        uint32_t word;

        if (self == 0 || need > l1->logseg_mask + 1)
                return false;
        for (int round = 0; round < 2; round++) {
                for (uint32_t i = 0; i < l1->open_limit; i++) {
                        uint32_t number = logseg_listed(l1, i, &word);

                        busy = false;
                        if (number < l1->geometry.logseg_count &&
                            logseg_begin_listed(l1, number, need, self, look, &busy, seg))
                                return true;
                        if (busy && look)
                                busy = !logseg_stands_still(l1, i, number);
                        if (!busy && logseg_begin_new(l1, i, word, need, self, seg))
                                return true;
                }
                /* All owned by others, the dead among them perhaps. */
                look = process_look_due(l1, clock_coarse_ns());
                if (!look)
                        return false;
        }
        return false;
}
