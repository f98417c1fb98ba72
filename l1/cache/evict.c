/* evict.c - reclaims a log segment: walks its items, gives some another life, clears the slots of the rest.
 *
 * Why no reader copies bytes of two items. The reader loads the slot, copies, [R1] fences (acquire) and loads the slot
 * again; the reclaimer clears the slot, [R2] fences (release), and only then are the bytes written by anybody: by the
 * one that owns the log segment next, which has seen the clearing through the owner word and fences too. If the reader
 * saw one new byte, its second load sees the slot cleared, or filled with something later; that is a different word,
 * because the generation is part of it: one and the same word comes again only after 65,536 reclaims of this log
 * segment between the two loads of one copy, at the same offset, with the same tag. The same guards a reader that was
 * stopped in between.
 *
 * A reclaimer that dies leaves RECLAIM under a dead owner: its head still says what there is to walk, and whoever
 * comes next walks it again from the start; slots that were cleared or moved before are simply not found.
 *
 * About 1 ms for the 2 MiB of a usual log segment, half of it kept; the bucket lines are fetched a batch ahead. */
#include "evict.h"

#include "../segment/process.h"
#include "counters.h"
#include "index.h"
#include "item.h"
#include "namespace.h"

#define EVICT_BATCH 16
#define EVICT_LOOKS 4 /* owners looked up in /proc during one search */
#define EVICT_TRIES 4

struct evict_entry {
        uint64_t           offset;
        struct item        item;
        struct index_place place;
};

struct evict_run {
        struct l1              *l1;
        struct logseg          *victim;
        struct logseg          *keep;    /* NULL: nowhere to keep anything */
        uint64_t                reserve; /* stays free in keep */
        uint64_t                kept_bytes, kept_max;
        uint64_t                deadline_now;
        struct namespace_filter living;
        uint64_t                evicted, expired;
};

/* ---------------------------------------------------------------------------------------------------- the policy */

/* Does a live item get another life? This is the decision, all of it: kept is what was read since it was put in or
 * last kept, at most half of what is reclaimed, so that each reclaim makes room. */
static bool evict_keeps(const struct evict_run *run, const struct item *item, uint8_t mark)
{
        return mark != 0 && run->kept_bytes + item->size <= run->kept_max;
}

/* ------------------------------------------------------------------------------------------------------- one item */

/* Copy it to the log segment that stays and turn its slot there. The slot still has to hold what we found: whoever
 * removed the item meanwhile wins. */
static bool evict_promote(struct evict_run *run, struct evict_entry *e, unsigned i, uint64_t word)
{
        struct logseg *keep = run->keep;
        uint64_t       size = e->item.size, turned;

        if (keep == NULL || !logseg_has_room(run->l1, keep, size + run->reserve))
                return false;
        turned = slot_live(slot_tag(word), keep->generation, keep->start + keep->head);
        mt_copy_to_shared(logseg_at(run->l1, keep), run->l1->log + e->offset, size);
        logseg_commit(keep, size);
        /* [B] release: as in l1_fill(). */
        if (!mt_cas_acq_rel(index_slot(&e->place, i), &word, turned)) {
                logseg_retract(keep, size);
                return true; /* gone already: nothing is left to clear */
        }
        mt_store_relaxed(index_mark(&e->place, i), 0);
        run->kept_bytes += size;
        return true;
}

static void evict_item(struct evict_run *run, struct evict_entry *e)
{
        uint64_t word;
        int      i = index_find_item(&e->place, run->victim->generation, e->offset, &word);
        bool     expired = e->item.deadline <= run->deadline_now;
        bool     dead = !namespace_filter_has(&run->living, e->item.namespace_id);

        if (i < 0)
                return;
        if (!expired && !dead && evict_keeps(run, &e->item, mt_load_relaxed(index_mark(&e->place, (unsigned)i))) &&
            evict_promote(run, e, (unsigned)i, word))
                return;
        if (!mt_cas_acq_rel(index_slot(&e->place, (unsigned)i), &word, 0))
                return;
        run->expired += expired;
        run->evicted += !expired && !dead;
}

/* ------------------------------------------------------------------------------------------------------- the walk */

/* Clears what points into the victim. A length that makes no sense ends the walk: then all slots are looked at. */
static void evict_walk(struct evict_run *run)
{
        struct l1         *l1 = run->l1;
        struct evict_entry batch[EVICT_BATCH];
        uint64_t           at = run->victim->start, end = at + run->victim->head;

        while (at < end) {
                unsigned n = 0;

                for (; n < EVICT_BATCH && at < end; n++) {
                        struct evict_entry *e = &batch[n];

                        if (!item_read(l1, at, &e->item))
                                break;
                        e->offset = at;
                        e->place = index_place(l1, index_hash_key(l1, e->item.key, e->item.klen));
                        __builtin_prefetch(e->place.bucket[0], 1);
                        __builtin_prefetch(e->place.bucket[1], 1);
                        at += e->item.size;
                }
                for (unsigned i = 0; i < n; i++)
                        evict_item(run, &batch[i]);
                if (n < EVICT_BATCH && at < end) {
                        counters_add(l1, COUNTER_error_corrupt, 1);
                        run->evicted += index_sweep(l1, run->victim->start, run->victim->start + l1->logseg_mask + 1);
                        return;
                }
        }
}

static void evict_reclaim(struct l1 *l1, uint64_t need, struct logseg *keep, struct logseg *victim)
{
        struct evict_run run = {
                .l1 = l1,
                .victim = victim,
                .keep = keep,
                .reserve = need,
                .kept_max = victim->head / 2,
                .deadline_now = segment_deadline_now(l1, clock_coarse_ns()),
        };

        mt_store_release(&victim->shm->state, LOGSEG_RECLAIM);
        namespace_filter_build(l1, &run.living);
        evict_walk(&run);
        /* [R2] release: the slots are cleared before any later byte; pairs with [R1] in l1_copy(). */
        mt_fence_release();
        victim->generation++;
        mt_store_release(&victim->shm->generation, victim->generation);
        victim->head = 0;
        mt_store_release(&victim->shm->head, 0);
        mt_store_release(&victim->shm->state, LOGSEG_FREE);
        counters_add(l1, COUNTER_reclaims, 1);
        counters_add(l1, COUNTER_evictions, run.evicted);
        counters_add(l1, COUNTER_expired, run.expired);
}

/* ----------------------------------------------------------------------------------------------------- the victim */

/* What speaks for a log segment as the next victim: lower is sooner; UINT64_MAX: none. Half-done reclaims, and open
 * ones that nobody lists (their opener died before it could), come first. */
static uint64_t evict_rank(const struct l1 *l1, uint32_t number)
{
        const struct logseg_shm *shm = &l1->logsegs[number];

        switch (mt_load_relaxed(&shm->state)) {
        case LOGSEG_SEALED: return mt_load_relaxed(&shm->sealed_seq);
        case LOGSEG_RECLAIM: return 0;
        case LOGSEG_OPEN: return logseg_is_listed(l1, number) ? UINT64_MAX : 0;
        default: return UINT64_MAX;
        }
}

/* The best one that is not owned by the living; logseg_count when there is none. Owned ones need a look, and looks are
 * few. Never `keep`: where somebody wrote into the process table, its owner, this process, may look dead. */
static uint32_t evict_choose(const struct l1 *l1, uint64_t need, const struct logseg *keep, int *looks)
{
        uint32_t best = l1->geometry.logseg_count;
        uint64_t best_rank = UINT64_MAX;

        for (uint32_t i = 0; i < l1->geometry.logseg_count; i++) {
                uint64_t owner = mt_load_relaxed(&l1->logsegs[i].owner), rank = evict_rank(l1, i);

                if (rank >= best_rank || mt_load_relaxed(&l1->logsegs[i].ready) < need)
                        continue;
                if (keep != NULL && i == keep->number)
                        continue;
                if (owner != 0 && (--*looks < 0 || !l1_owner_dead(l1, owner)))
                        continue;
                best = i;
                best_rank = rank;
        }
        return best;
}

bool evict_oldest(struct l1 *l1, uint64_t self, uint64_t need, struct logseg *keep, struct logseg *victim)
{
        int looks = EVICT_LOOKS;

        for (int try = 0; try < EVICT_TRIES; try++) {
                uint32_t number = evict_choose(l1, keep == NULL && !logseg_may_grow(l1) ? need : 0, keep, &looks);

                if (number == l1->geometry.logseg_count)
                        return false;
                if (!logseg_own(l1, number, self, true, victim))
                        continue;
                if (evict_rank(l1, number) != UINT64_MAX) {
                        evict_reclaim(l1, need, keep, victim);
                        return true;
                }
                logseg_end(victim);
        }
        return false;
}
