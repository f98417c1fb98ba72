/* evict.c - reclaims a log segment: walks its items, gives some another life, clears the slots of the rest.
 *
 * S3-FIFO (Yang et al., SOSP 2023) over log segments instead of items. New items go to the small log; what was read
 * there moves to the main log when its log segment's turn has come, the rest leaves and is remembered (ghost.h). What
 * was read in the main log goes round once more, its mark counted down. The small log is emptied while the main one has
 * less than its nine tenths, else the main one. "No such key" never leaves the small log, whose share so bounds it. A
 * log segment whose items are mostly dead or past their time goes first, whichever it is, and loses nothing that lives.
 *
 * Why no reader copies bytes of two items. The reader loads the slot, copies, [R1] fences (acquire) and loads the slot
 * again; the reclaimer clears the slot, [R2] fences (release), and only then are the bytes written by anybody: by the
 * one that owns the log segment next, which has seen the clearing through the owner word and fences too. If the reader
 * saw one new byte, its second load sees the slot cleared, or filled with something later; that is a different word,
 * because the generation is part of it. When that comes round is in slot.h.
 *
 * A reclaimer that dies leaves RECLAIM under a dead owner: its head still says what there is to walk, and whoever
 * comes next walks it again from the start; slots that were cleared or moved before are simply not found.
 *
 * The same for a value in pieces. A piece is reached through the list that its owner's slot points to, and carries the
 * hash of that slot and the lease under which it was written. Before a piece's log segment is used again, the slot is
 * cleared, or turned to a new list that names the piece's new place; one that is still PENDING under that lease is
 * cleared as well, since its filler may be about to publish a list with this piece. A slot that is neither when it is
 * looked at will not become it: the lease was taken before the piece was written, and never comes back.
 *
 * A quarter of a millisecond for 1 MiB, a quarter of that for the 256 KiB of a usual log segment; the bucket lines are
 * fetched a batch ahead. */
#include "evict.h"

#include "../segment/process.h"
#include "counters.h"
#include "ghost.h"
#include "item.h"
#include "namespace.h"
#include "wait.h"

#define EVICT_BATCH 16
#define EVICT_LOOKS 4 /* owners looked up in /proc during one search */
/* Bytes that are reclaimed for one append, and two log segments: up to the first, all that was read is kept; from there
 * on half of it, so that it comes to an end; more than the second the append does not wait for. */
#define EVICT_FREELY (UINT64_C(768) << 10)
#define EVICT_MOST   (UINT64_C(2) << 20)
#define EVICT_TEND   (UINT64_C(1) << 20) /* the same where nobody waits */
/* One in so many of all log segments is not looked at for what is dead: those sealed last. If they were fewer, the
 * generations in slots would come round sooner (slot.h). */
#define EVICT_YOUNG 16u
#define EVICT_TRIES 8 /* at a slot that changes under us */

struct evict_entry {
        uint64_t           offset;
        struct item        item;
        struct index_place place;
        struct item_owner  owner; /* of a piece */
};

struct evict_run {
        struct l1              *l1;
        struct logseg          *victim;
        enum logseg_kind        kind;    /* the victim's */
        bool                    salvage; /* mostly dead: what lives goes on as it is */
        struct logseg           keep[LOGSEG_KINDS];
        uint64_t                kept_bytes, kept_max;
        uint64_t                deadline_now;
        struct namespace_filter living;
        uint64_t                evicted, expired, promoted;
        uint64_t                forgotten; /* bytes that left the small log unread */
};

/* ---------------------------------------------------------------------------------------------------- the policy */

/* Does an item that lives get another life? This is the decision, all of it. */
static bool evict_keeps(const struct evict_run *run, uint64_t size, uint8_t mark)
{
        return run->salvage || (slot_reads(mark) != 0 && run->kept_bytes + size <= run->kept_max);
}

/* In which log, and how often it counts as read there. */
static enum logseg_kind evict_log_of(const struct evict_run *run, const struct item *item)
{
        return item->nil || (run->salvage && run->kind == LOGSEG_SMALL) ? LOGSEG_SMALL : LOGSEG_MAIN;
}

/* What Redis has not been told stays so. */
static uint8_t evict_mark_of(const struct evict_run *run, uint8_t mark)
{
        uint8_t less = run->kind == LOGSEG_SMALL ? slot_reads(mark) : slot_reads(mark) != 0;

        return run->salvage ? mark : (uint8_t)(mark - less);
}

/* ------------------------------------------------------------------------------------------------------- one item */

/* A log segment of that log with room for so much, that this reclaim owns; NULL: there is none. */
static struct logseg *evict_room(struct evict_run *run, enum logseg_kind kind, uint64_t size)
{
        struct logseg *keep = &run->keep[kind];

        if (keep->shm != NULL && logseg_has_room(run->l1, keep, size))
                return keep;
        logseg_end(keep);
        return logseg_begin_kept(run->l1, kind, size, keep) ? keep : NULL;
}

/* Copy it to the log segment that stays and turn its slot there. The slot still has to hold what we found: whoever
 * removed the item meanwhile wins. */
static bool evict_promote(struct evict_run *run, struct evict_entry *e, unsigned i, uint64_t word, uint8_t mark)
{
        enum logseg_kind kind = evict_log_of(run, &e->item);
        uint64_t         size = e->item.size, turned;
        struct logseg   *keep = evict_room(run, kind, size);

        if (keep == NULL)
                return false;
        turned = slot_live(run->l1, slot_tag(word), keep->generation, keep->start + keep->head);
        mt_copy_to_shared(logseg_at(run->l1, keep), run->l1->log + e->offset, size);
        if (e->item.form == ITEM_FORM_LIST)
                logseg_note_list(keep);
        logseg_commit(keep, size, 1, e->item.deadline);
        /* [B] release: as in l1_fill(). */
        if (!mt_cas_acq_rel(index_slot(&e->place, i), &word, turned)) {
                logseg_retract(keep, size, 1, e->item.deadline);
                return true; /* gone already: nothing is left to clear */
        }
        if (e->item.form != ITEM_FORM_LIST) /* that one's is counted down by its pieces */
                mt_store_relaxed(index_mark(&e->place, i), evict_mark_of(run, mark));
        run->kept_bytes += size;
        run->promoted += run->kind == LOGSEG_SMALL && kind == LOGSEG_MAIN;
        return true;
}

static bool evict_lives(const struct evict_run *run, const struct item *item)
{
        return item->deadline > run->deadline_now && namespace_filter_has(&run->living, item->namespace_id);
}

/* Clear its slot; who leaves the small log alive is remembered. False: the slot has changed. */
static bool evict_drop(struct evict_run *run, const struct index_place *place, unsigned i, uint64_t word,
                       const struct item *item)
{
        bool lives = evict_lives(run, item), remembered = run->kind == LOGSEG_SMALL && lives && !item->nil;

        if (!(remembered ? ghost_leave(run->l1, place, i, word) : mt_cas_acq_rel(index_slot(place, i), &word, 0)))
                return false;
        run->forgotten += remembered ? item->vlen + item->klen + sizeof(struct item_shm) : 0;
        run->expired += item->deadline <= run->deadline_now;
        run->evicted += lives;
        return true;
}

static void evict_item(struct evict_run *run, struct evict_entry *e)
{
        uint64_t word;
        int      found = index_find_item(run->l1, &e->place, run->victim->generation, e->offset, &word);
        unsigned i = (unsigned)found;
        uint8_t  mark;

        if (found < 0)
                return;
        mark = mt_load_relaxed(index_mark(&e->place, i));
        if (evict_lives(run, &e->item) && evict_keeps(run, e->item.size, mark) && evict_promote(run, e, i, word, mark))
                return;
        evict_drop(run, &e->place, i, word, &e->item);
}

/* ------------------------------------------------------------------------------------------------------ one piece */

/* Does the slot still hold it? Then what was read where it points was what it points to. [R1] acquire: pairs with [R2]
 * of the reclaim that makes room for other bytes there. */
static bool evict_still(const _Atomic uint64_t *slot, uint64_t word)
{
        mt_fence_acquire();
        return mt_load_relaxed(slot) == word;
}

/* Put the piece elsewhere, and behind it the list as it is then; turn the slot to that list. The mark is counted down
 * when the last piece moves: all of them are kept, or none. */
static bool evict_move_piece(struct evict_run *run, const struct evict_entry *e, uint64_t nth, const struct item *list,
                             uint64_t list_offset, unsigned i, uint64_t word, uint8_t mark)
{
        uint64_t       size = e->item.size + list->size, turned;
        uint64_t       place_in_list = (uint64_t)(list->value - (run->l1->log + list_offset)) + nth * sizeof(uint32_t);
        struct logseg *keep = evict_room(run, evict_log_of(run, list), size);
        uint32_t       moved;
        char          *at;

        if (keep == NULL)
                return false;
        /* A list lies before the head of its log segment; a word that somebody forged may point into the room itself.
         */
        if (list_offset < keep->start + keep->head + size && keep->start + keep->head < list_offset + list->size)
                return false;
        at = logseg_at(run->l1, keep);
        moved = (uint32_t)((keep->start + keep->head) / ITEM_ALIGN);
        turned = slot_live(run->l1, slot_tag(word), keep->generation, keep->start + keep->head + e->item.size);
        mt_copy_to_shared(at, run->l1->log + e->offset, e->item.size);
        mt_copy_to_shared(at + e->item.size, run->l1->log + list_offset, list->size);
        mt_copy_to_shared(at + e->item.size + place_in_list, &moved, sizeof moved);
        /* The list is in a log segment that is not ours: nothing but a whole item is ever committed. */
        if (!evict_still(index_slot(&e->place, i), word))
                return false;
        logseg_note_list(keep);
        logseg_commit(keep, size, 1, list->deadline); /* lists that were moved count for nothing: they are small */
        /* [B] release: as in l1_fill(). */
        if (!mt_cas_acq_rel(index_slot(&e->place, i), &word, turned)) {
                logseg_retract(keep, size, 1, list->deadline);
                return false;
        }
        if (nth + 1 == item_pieces(run->l1, list->vlen))
                mt_store_relaxed(index_mark(&e->place, i), evict_mark_of(run, mark));
        run->kept_bytes += e->item.size;
        return true;
}

/* The number of the piece at this offset in the list that the LIVE word points to; -1: none, or no list. */
static int64_t evict_find_piece(const struct l1 *l1, uint64_t word, uint64_t offset, struct item *list)
{
        return item_read(l1, slot_offset(l1, word), list) && list->form == ITEM_FORM_LIST
                       ? item_list_find(l1, list, offset)
                       : -1;
}

/* One look at a slot that may belong to the piece's owner. True: nothing there depends on the piece any more. */
static bool evict_piece_at(struct evict_run *run, const struct evict_entry *e, unsigned i)
{
        struct l1  *l1 = run->l1;
        uint64_t    word = mt_load_acquire(index_slot(&e->place, i)); /* [A]: pairs with [B], the list is whole */
        uint8_t     mark = mt_load_relaxed(index_mark(&e->place, i));
        struct item list;
        int64_t     nth;

        if (slot_is_free(word) || slot_tag(word) != e->place.tag)
                return true;
        if (slot_state(word) == SLOT_PENDING) {
                if (word != e->owner.pending)
                        return true;
                if (!mt_cas_acq_rel(index_slot(&e->place, i), &word, 0))
                        return false;
                wait_wake(l1, index_slot(&e->place, i));
                return true;
        }
        nth = evict_find_piece(l1, word, e->offset, &list);
        /* What we read there was its list only if the slot still says so: another reclaim may have moved the list, and
         * somebody else have filled its place since. */
        if (nth < 0)
                return evict_still(index_slot(&e->place, i), word);
        if (evict_lives(run, &list) && evict_keeps(run, e->item.size, mark) &&
            evict_move_piece(run, e, (uint64_t)nth, &list, slot_offset(l1, word), i, word, mark))
                return true;
        if (!evict_drop(run, &e->place, i, word, &list))
                return false;
        logseg_note_dead(l1, word);
        return true;
}

static void evict_piece(struct evict_run *run, struct evict_entry *e)
{
        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++) {
                int tries = EVICT_TRIES;

                while (tries > 0 && !evict_piece_at(run, e, i))
                        tries--;
                if (tries > 0)
                        continue;
                mt_exchange_acq_rel(index_slot(&e->place, i), 0);
                wait_wake(run->l1, index_slot(&e->place, i));
        }
}

/* ------------------------------------------------------------------------------------------------------- the walk */

/* Where it stands, or its owner: that one's hash says it with the tag. */
static uint64_t evict_hash_of(const struct l1 *l1, struct evict_entry *e)
{
        if (e->item.form != ITEM_FORM_PIECE)
                return index_hash_item(l1, e->item.namespace_id, e->item.key, e->item.klen);
        mt_copy_from_shared(&e->owner, e->item.key, sizeof e->owner);
        return e->owner.hash;
}

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
                        e->place = index_place(l1, evict_hash_of(l1, e));
                        __builtin_prefetch(e->place.bucket[0], 1);
                        __builtin_prefetch(e->place.bucket[1], 1);
                        at += e->item.size;
                }
                for (unsigned i = 0; i < n; i++) {
                        if (batch[i].item.form == ITEM_FORM_PIECE)
                                evict_piece(run, &batch[i]);
                        else
                                evict_item(run, &batch[i]);
                }
                if (n < EVICT_BATCH && at < end) {
                        counters_add(l1, COUNTER_error_corrupt, 1);
                        run->evicted += index_sweep(l1, run->victim->start, run->victim->start + l1->logseg_mask + 1);
                        return;
                }
        }
}

static void evict_reclaim(struct l1 *l1, bool salvage, bool capped, struct logseg *victim)
{
        struct evict_run run = {
                .l1 = l1,
                .victim = victim,
                .kind = mt_load_relaxed(&victim->shm->kind) == LOGSEG_MAIN ? LOGSEG_MAIN : LOGSEG_SMALL,
                .salvage = salvage,
                .kept_max = capped ? victim->head / 2 : victim->head,
                .deadline_now = segment_kept_now(l1, clock_coarse_ns()),
        };

        mt_store_release(&victim->shm->state, LOGSEG_RECLAIM); /* [V]: pairs with verify.c */
        namespace_filter_build(l1, &run.living);
        evict_walk(&run);
        for (uint32_t kind = 0; kind < LOGSEG_KINDS; kind++)
                logseg_end(&run.keep[kind]);
        /* [R2] release: the slots are cleared before any later byte; pairs with [R1] in l1_copy(). */
        mt_fence_release();
        victim->generation++;
        /* [V] release: pairs with verify.c; no slot holds the old one any more. */
        mt_store_release(&victim->shm->generation, victim->generation);
        logseg_clear(victim);
        ghost_age(l1, run.forgotten);
        counters_add(l1, COUNTER_reclaims, 1);
        counters_add(l1, COUNTER_promotions, run.promoted);
        counters_add(l1, COUNTER_evictions, run.evicted);
        counters_add(l1, COUNTER_expired, run.expired);
}

/* ----------------------------------------------------------------------------------------------------- the victim */

/* What one look over the log segments finds; logseg_count where there is none of a kind. */
struct evict_census {
        uint32_t left;                 /* half reclaimed, half taken, or opened and never listed: by one that died */
        uint32_t mostly_dead;          /* the one with the largest part of its items dead, if that is half or more */
        uint32_t oldest[LOGSEG_KINDS]; /* sealed */
        uint32_t used, in_main;        /* not free; of these, of the main log */
};

static bool evict_may_own(const struct l1 *l1, uint32_t number, int *looks)
{
        uint64_t owner = mt_load_relaxed(&l1->logsegs[number].owner);

        return owner == 0 || (--*looks >= 0 && l1_owner_dead(l1, owner));
}

static void evict_count_sealed(const struct l1 *l1, uint32_t number, uint32_t deadline_now, uint64_t *oldest_seq,
                               uint64_t *dead_part, struct evict_census *census)
{
        const struct logseg_shm *shm = &l1->logsegs[number];
        uint32_t                 kind = mt_load_relaxed(&shm->kind) == LOGSEG_MAIN ? LOGSEG_MAIN : LOGSEG_SMALL;
        uint32_t                 items = mt_load_relaxed(&shm->items); /* once: it is not ours, and a divisor */
        uint64_t                 seq = mt_load_relaxed(&shm->sealed_seq);
        uint64_t                 dead = logseg_dead_items(l1, number, items, deadline_now);

        if (seq < oldest_seq[kind]) {
                oldest_seq[kind] = seq;
                census->oldest[kind] = number;
        }
        /* Not the youngest: somebody may be filling a value whose pieces are there, and would lose his lease. */
        if (mt_load_relaxed(&l1->header->seal_next) - seq < l1->geometry.logseg_count / EVICT_YOUNG)
                return;
        if (dead != 0 && 2 * dead >= items && dead * 1024 > *dead_part * items) {
                *dead_part = dead * 1024 / items;
                census->mostly_dead = number;
        }
}

static void evict_take_census(const struct l1 *l1, struct evict_census *census)
{
        uint32_t none = l1->geometry.logseg_count, now = (uint32_t)segment_kept_now(l1, clock_coarse_ns());
        uint64_t oldest_seq[LOGSEG_KINDS] = {UINT64_MAX, UINT64_MAX}, dead_part = 0;
        int      looks = EVICT_LOOKS;

        *census = (struct evict_census){.left = none, .mostly_dead = none, .oldest = {none, none}};
        for (uint32_t i = 0; i < l1->geometry.logseg_count; i++) {
                const struct logseg_shm *shm = &l1->logsegs[i];
                uint32_t                 state = mt_load_relaxed(&shm->state);

                census->used += state != LOGSEG_FREE;
                census->in_main += state != LOGSEG_FREE && mt_load_relaxed(&shm->kind) == LOGSEG_MAIN;
                if ((state == LOGSEG_FREE && mt_load_relaxed(&shm->owner) == 0) ||
                    (state == LOGSEG_OPEN && logseg_is_listed(l1, i)) || !evict_may_own(l1, i, &looks))
                        continue;
                if (state == LOGSEG_SEALED)
                        evict_count_sealed(l1, i, now, oldest_seq, &dead_part, census);
                else
                        census->left = i;
        }
}

enum evict_greed {
        EVICT_NO_LOSS, /* only what nothing that lives has to leave for */
        EVICT_ROOM,    /* by the policy */
};

/* Which one, and how; logseg_count when there is none. */
static uint32_t evict_choose(const struct l1 *l1, enum evict_greed greed, bool *salvage)
{
        uint32_t            none = l1->geometry.logseg_count;
        struct evict_census census;
        bool                main_full;

        evict_take_census(l1, &census);
        *salvage = census.left == none && census.mostly_dead != none;
        if (census.left != none)
                return census.left;
        if (census.mostly_dead != none || greed == EVICT_NO_LOSS)
                return census.mostly_dead;
        main_full = census.in_main * UINT64_C(10) > census.used * UINT64_C(9);
        if (census.oldest[LOGSEG_SMALL] == none || (main_full && census.oldest[LOGSEG_MAIN] != none))
                return census.oldest[LOGSEG_MAIN];
        return census.oldest[LOGSEG_SMALL];
}

/* Still what it was chosen as, now that it is ours? A free one that the dead held is free again with that. */
static bool evict_is_ripe(const struct l1 *l1, uint32_t number)
{
        uint32_t state = mt_load_relaxed(&l1->logsegs[number].state);

        return state != LOGSEG_FREE && (state != LOGSEG_OPEN || !logseg_is_listed(l1, number));
}

/* False: there is nothing to reclaim. */
static bool evict_one(struct l1 *l1, uint64_t self, enum evict_greed greed, bool capped)
{
        bool          salvage;
        uint32_t      number = evict_choose(l1, greed, &salvage);
        struct logseg victim;

        if (number == l1->geometry.logseg_count)
                return false;
        if (!logseg_own(l1, number, self, true, &victim))
                return true; /* somebody else reclaims it just now */
        if (evict_is_ripe(l1, number))
                evict_reclaim(l1, salvage, capped, &victim);
        logseg_end(&victim);
        return true;
}

void evict_make_room(struct l1 *l1, uint64_t self, uint64_t need)
{
        uint64_t done = 0, size = l1->logseg_mask + 1;

        for (; done < EVICT_MOST + 2 * size && logseg_spare(l1, need) <= 0; done += size) {
                if (!evict_one(l1, self, EVICT_ROOM, done >= EVICT_FREELY + 2 * size))
                        return;
        }
}

void l1_tend(struct l1 *l1, uint64_t now_ns, uint64_t every_ns)
{
        uint64_t tended_ns = mt_load_relaxed(&l1->header->tended_ns), done = 0, self;

        if (MT_LIKELY(now_ns - tended_ns < every_ns) || !segment_enter(l1))
                return;
        self = process_self(l1);
        /* Orders nothing: who is first does it. */
        if (self != 0 && mt_cas_acq_rel(&l1->header->tended_ns, &tended_ns, now_ns)) {
                logseg_relieve(l1, self);
                while (done < EVICT_TEND && evict_one(l1, self, EVICT_NO_LOSS, false))
                        done += l1->logseg_mask + 1;
        }
        segment_leave(l1);
}
