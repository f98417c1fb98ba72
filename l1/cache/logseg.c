/* logseg.c - who may write where in the log.
 *
 * Of each log up to LOGSEG_OPEN_MAX log segments are open at a time, listed in header->open[]; a writer takes the first
 * one that nobody owns. Memory is taken in steps as the head advances; where there is none to be had the log segment is
 * sealed as it is, and those that have memory are used again and again.
 *
 * A few log segments are kept free: whoever would take one of these reclaims first, and what a reclaim keeps goes
 * there. */
#include "logseg.h"

#include "../segment/process.h"
#include "evict.h"
#include "item.h"
#include "slot.h"

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

        if (seg->shm == NULL)
                return;
        /* [O1] release. A compare-and-swap, since the mapping may have been abandoned under us. */
        mt_cas_acq_rel(&seg->shm->owner, &self, 0);
        seg->shm = NULL;
}

/* ------------------------------------------------------------------------------------------- the lives of its items */

/* The class of a life of so many units of deadline: two an octave, from half a second (16 units) on; the last is for
 * all that is longer than nine hours. */
static uint32_t logseg_life(uint32_t units)
{
        uint32_t octave = units < 16 ? 4 : 31 - (uint32_t)__builtin_clz(units);
        uint32_t life = units < 16 ? 0 : 2 * (octave - 4) + (units >> (octave - 1) & 1) + 1;

        return life < LOGSEG_LIVES ? life : LOGSEG_LIVES - 1;
}

/* Everything of the class is over when so many units have gone. */
static uint32_t logseg_life_over(uint32_t life)
{
        return (2 + (life & 1)) << (life / 2 + 3);
}

static void logseg_count_items(struct logseg *seg, uint32_t items, uint32_t deadline)
{
        uint32_t          opened = mt_load_relaxed(&seg->shm->opened);
        _Atomic uint16_t *lives = &seg->shm->lives[logseg_life(deadline > opened ? deadline - opened : 0)];

        mt_store_relaxed(&seg->shm->items, mt_load_relaxed(&seg->shm->items) + items);
        mt_store_relaxed(lives, (uint16_t)(mt_load_relaxed(lives) + items));
}

void logseg_commit(struct logseg *seg, uint64_t size, uint32_t items, uint32_t deadline)
{
        seg->head += (uint32_t)size;
        /* [V] release: pairs with the acquire in verify.c; all below head is whole items. */
        mt_store_release(&seg->shm->head, seg->head);
        logseg_count_items(seg, items, deadline);
}

void logseg_retract(struct logseg *seg, uint64_t size, uint32_t items, uint32_t deadline)
{
        seg->head -= (uint32_t)size;
        mt_store_release(&seg->shm->head, seg->head);
        logseg_count_items(seg, -items, deadline);
}

void logseg_note_list(struct logseg *seg)
{
        mt_store_relaxed(&seg->shm->lists, mt_load_relaxed(&seg->shm->lists) + 1);
}

static void logseg_add_dead(struct l1 *l1, uint64_t offset)
{
        uint64_t number = offset / (l1->logseg_mask + 1);

        if (number < l1->geometry.logseg_count)
                mt_fetch_add_relaxed(&l1->logsegs[number].dead, 1);
}

/* The item is dead already, and its place may be another's by now: what is read here is believed only so far that it
 * may cost a reclaim too early. */
static MT_COLD void logseg_note_dead_pieces(struct l1 *l1, uint64_t offset)
{
        struct item item;

        if (!item_read(l1, offset, &item) || item.form != ITEM_FORM_LIST)
                return;
        for (uint64_t i = 0; i < item_pieces(l1, item.vlen) && i < ITEM_PIECES_MAX; i++)
                logseg_add_dead(l1, item_piece_offset(item.value, i));
}

void logseg_note_dead(struct l1 *l1, uint64_t word)
{
        uint64_t           number = slot_offset(l1, word) / (l1->logseg_mask + 1);
        struct logseg_shm *shm;

        if (number >= l1->geometry.logseg_count)
                return;
        shm = logseg_shm_at(l1, (uint32_t)number);
        if (slot_generation_of(l1, mt_load_relaxed(&shm->generation)) != slot_generation(l1, word))
                return;
        mt_fetch_add_relaxed(&shm->dead, 1);
        if (MT_UNLIKELY(mt_load_relaxed(&shm->lists) != 0))
                logseg_note_dead_pieces(l1, slot_offset(l1, word));
}

uint32_t logseg_dead_items(const struct l1 *l1, uint32_t number, uint32_t items, uint32_t deadline_now)
{
        const struct logseg_shm *shm = logseg_shm_at(l1, number);
        uint32_t                 age = deadline_now - mt_load_relaxed(&shm->opened);
        uint64_t                 dead = mt_load_relaxed(&shm->dead);

        for (uint32_t life = 0; life < LOGSEG_LIVES - 1 && logseg_life_over(life) <= age; life++)
                dead += mt_load_relaxed(&shm->lives[life]);
        return dead < items ? (uint32_t)dead : items;
}

void logseg_clear(struct logseg *seg)
{
        seg->head = 0;
        /* [V] release, as in logseg_commit(). Owners need none of it: they have [O1]. And in this order, so that who
         * dies here leaves one that is reclaimed again or is free. */
        mt_store_release(&seg->shm->head, 0);
        mt_store_release(&seg->shm->state, LOGSEG_FREE);
}

static void logseg_seal(struct l1 *l1, struct logseg *seg)
{
        mt_store_relaxed(&seg->shm->sealed_seq, mt_fetch_add_relaxed(&l1->header->seal_next, 1) + 1);
        mt_store_release(&seg->shm->state, LOGSEG_SEALED);
}

/* ------------------------------------------------------------------------------------------------------------ room */

static bool logseg_may_grow(const struct l1 *l1)
{
        return clock_coarse_ns() >= mt_load_relaxed(&l1->full_until_ns);
}

bool logseg_has_room(struct l1 *l1, struct logseg *seg, uint64_t n)
{
        uint64_t size = l1->logseg_mask + 1, end = seg->head + n, ready = mt_load_relaxed(&seg->shm->ready), to;

        if (end > size)
                return false;
        if (end <= ready)
                return n == 0 || segment_has_memory(l1, seg->start + seg->head, seg->start + end);
        if (ready > size || ready % SEGMENT_PAGE != 0)
                ready = 0;
        to = (end + SEGMENT_PIECE - 1) / SEGMENT_PIECE * SEGMENT_PIECE;
        if (to > size)
                to = size;
        if (!segment_take_memory(l1, l1->geometry.log_at + seg->start + ready, l1->geometry.log_at + seg->start + to))
                return false;
        /* [V] release: pairs with the acquire in verify.c, which loads head before it; a head that needs this memory is
         * stored later. For nobody else: whoever owns it has [O1], and a number here is no promise that memory is there
         * (segment_has_memory() looks). */
        mt_store_release(&seg->shm->ready, (uint32_t)to);
        return true;
}

/* Can so many bytes be had in it, if it is free? */
static bool logseg_is_usable(const struct logseg_shm *shm, uint64_t need, bool grow)
{
        return grow || mt_load_relaxed(&shm->ready) >= need;
}

int logseg_spare(const struct l1 *l1, uint64_t need)
{
        bool grow = logseg_may_grow(l1);
        int  usable = 0, unused = 0;

        for (uint32_t i = 0; i < l1->geometry.logseg_count; i++) {
                const struct logseg_shm *shm = logseg_shm_at(l1, i);

                if (!logseg_is_usable(shm, need, grow))
                        continue;
                usable++;
                /* Somebody may have stopped while taking it. */
                unused += mt_load_relaxed(&shm->state) == LOGSEG_FREE && mt_load_relaxed(&shm->owner) == 0;
        }
        /* Two: one for each log. A log of a few log segments has none to spare. */
        return unused - (usable >= 16 ? 2 : usable >= 4 ? 1 : 0);
}

/* ----------------------------------------------------------------------------------------------------- a new one */

/* Own a free log segment: one that has memory if there is one. */
static bool logseg_take_free(struct l1 *l1, uint64_t need, uint64_t self, struct logseg *seg)
{
        bool grow = logseg_may_grow(l1);
        int  looks = LOGSEG_LOOKS;

        for (int fresh = 0; fresh <= (grow ? 1 : 0); fresh++) {
                for (uint32_t i = 0; i < l1->geometry.logseg_count; i++) {
                        struct logseg_shm *shm = logseg_shm_at(l1, i);

                        if (mt_load_relaxed(&shm->state) != LOGSEG_FREE || !logseg_is_usable(shm, need, fresh))
                                continue;
                        looks -= mt_load_relaxed(&shm->owner) != 0;
                        if (!logseg_own(l1, i, self, looks >= 0, seg))
                                continue;
                        if (mt_load_relaxed(&shm->state) == LOGSEG_FREE)
                                return true;
                        logseg_end(seg);
                }
        }
        return false;
}

/* Own an empty one, OPEN and with room for `need`. */
static bool logseg_open(struct l1 *l1, enum logseg_kind kind, uint64_t need, uint64_t self, struct logseg *seg)
{
        struct logseg_shm *shm;

        if (!logseg_take_free(l1, need, self, seg))
                return false;
        shm = seg->shm;
        seg->head = 0;
        mt_store_relaxed(&shm->head, 0);
        if (!logseg_has_room(l1, seg, need)) {
                logseg_end(seg);
                return false;
        }
        mt_store_relaxed(&shm->kind, kind);
        mt_store_relaxed(&shm->items, 0);
        mt_store_relaxed(&shm->dead, 0);
        mt_store_relaxed(&shm->lists, 0);
        mt_store_relaxed(&shm->opened, (uint32_t)segment_deadline_now(l1, clock_coarse_ns()));
        for (uint32_t i = 0; i < LOGSEG_LIVES; i++)
                mt_store_relaxed(&shm->lives[i], 0);
        mt_store_release(&shm->state, LOGSEG_OPEN);
        return true;
}

/* ---------------------------------------------------------------------------------------------------- one append */

bool logseg_is_listed(const struct l1 *l1, uint32_t number)
{
        uint32_t kind = mt_load_relaxed(&l1->logsegs[number].kind);

        for (uint32_t i = 0; kind < LOGSEG_KINDS && i < LOGSEG_OPEN_MAX; i++) {
                /* [O2] acquire: pairs with the listing in logseg_begin_new(). Who owns it sees it by [O1] as well: it
                 * was listed before it was disowned. */
                if (mt_load_acquire(&l1->header->open[kind][i]) == number + 1)
                        return true;
        }
        return false;
}

void logseg_relieve(struct l1 *l1, uint64_t self)
{
        for (uint32_t i = 0; i < LOGSEG_KINDS * LOGSEG_OPEN_MAX; i++) {
                uint32_t      number = mt_load_acquire(&l1->header->open[i / LOGSEG_OPEN_MAX][i % LOGSEG_OPEN_MAX]) - 1;
                struct logseg seg;

                if (number < l1->geometry.logseg_count && mt_load_relaxed(&l1->logsegs[number].owner) != 0 &&
                    logseg_own(l1, number, self, true, &seg))
                        logseg_end(&seg);
        }
}

/* Own what is listed at *open if it still takes in `need` bytes; seal it if it does not. *word: what stands there; it
 * may have been sealed, reclaimed and opened for the other log since. *busy: the living own it. */
static bool logseg_begin_listed(struct l1 *l1, _Atomic uint32_t *open, enum logseg_kind kind, uint64_t need,
                                uint64_t self, bool look, uint32_t *word, bool *busy, struct logseg *seg)
{
        *word = mt_load_acquire(open); /* [O2]; a number alone: all else is read after [O1] */
        *busy = false;
        if (*word - 1 >= l1->geometry.logseg_count)
                return false;
        *busy = !logseg_own(l1, *word - 1, self, look, seg);
        if (*busy)
                return false;
        if (mt_load_relaxed(&seg->shm->state) == LOGSEG_OPEN && mt_load_relaxed(&seg->shm->kind) == kind) {
                if (logseg_has_room(l1, seg, need))
                        return true;
                logseg_seal(l1, seg);
        }
        logseg_end(seg);
        return false;
}

/* Put a new one there. If another was faster ours goes back. */
static bool logseg_begin_new(struct l1 *l1, _Atomic uint32_t *open, uint32_t word, enum logseg_kind kind, uint64_t need,
                             uint64_t self, struct logseg *seg)
{
        if (!logseg_open(l1, kind, need, self, seg))
                return false;
        /* [O2] release: it is open, and of this kind, for those who find it here. */
        if (mt_cas_acq_rel(open, &word, seg->number + 1))
                return true;
        logseg_clear(seg);
        logseg_end(seg);
        return false;
}

/* The living own what is listed there, and it has not grown since the last look: they stand still, and it is passed
 * over. If they only were slow, theirs is the next to be reclaimed. */
static bool logseg_stands_still(struct l1 *l1, const _Atomic uint32_t *open, uint32_t word)
{
        uint64_t          seen = (uint64_t)word << 32 | mt_load_relaxed(&logseg_shm_at(l1, word - 1)->head);
        _Atomic uint64_t *still = &l1->still[open - &l1->header->open[0][0]];
        bool              same = mt_load_relaxed(still) == seen;

        mt_store_relaxed(still, seen);
        return same;
}

static bool logseg_begin_at(struct l1 *l1, _Atomic uint32_t *open, enum logseg_kind kind, uint64_t need, uint64_t self,
                            bool look, bool kept, struct logseg *seg)
{
        uint32_t word, still = 0;
        bool     busy;

        if (logseg_begin_listed(l1, open, kind, need, self, look, &word, &busy, seg))
                return true;
        if (busy && look && logseg_stands_still(l1, open, word))
                still = word;
        if (busy && word != still)
                return false;
        if (!kept) {
                /* What the reclaim keeps may itself have opened one there. */
                evict_make_room(l1, self, need);
                if (logseg_begin_listed(l1, open, kind, need, self, look, &word, &busy, seg))
                        return true;
        }
        return (!busy || word == still) && logseg_begin_new(l1, open, word, kind, need, self, seg);
}

static bool logseg_begin_in(struct l1 *l1, enum logseg_kind kind, uint64_t need, bool kept, struct logseg *seg)
{
        uint64_t self = process_self(l1);
        bool     look = false;

        seg->shm = NULL;
        if (self == 0 || need > l1->logseg_mask + 1)
                return false;
        for (int round = 0; round < 2; round++) {
                for (uint32_t i = 0; i < l1->open_limit; i++) {
                        if (logseg_begin_at(l1, &l1->header->open[kind][i], kind, need, self, look, kept, seg))
                                return true;
                }
                /* All owned by others, the dead among them perhaps. */
                look = process_look_due(l1, clock_coarse_ns());
                if (!look)
                        break;
        }
        seg->shm = NULL;
        return false;
}

bool logseg_begin(struct l1 *l1, enum logseg_kind kind, uint64_t need, struct logseg *seg)
{
        return logseg_begin_in(l1, kind, need, false, seg);
}

bool logseg_begin_kept(struct l1 *l1, enum logseg_kind kind, uint64_t need, struct logseg *seg)
{
        return logseg_begin_in(l1, kind, need, true, seg);
}
