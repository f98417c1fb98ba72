/* logseg.h - log segments: owned for one append, sealed when full, reclaimed when room is needed.
 *
 *   FREE     nothing in it             -> OPEN      a writer takes it for one of the two logs
 *   OPEN     takes in appends          -> SEALED    full
 *   SEALED   read only                 -> RECLAIM   chosen by evict.c
 *   RECLAIM  its slots are being cleared -> FREE    under a new generation
 * Whatever changes is changed by its owner: the process whose word is in `owner`, for the time of one append or one
 * reclaim. A dead owner is relieved, a stopped one pins that one log segment. */
#ifndef MT_CACHE_LOGSEG_H
#define MT_CACHE_LOGSEG_H

#include "../segment/segment.h"

/* A log segment that this thread owns, and its room. The copies are ours; nobody else changes the originals
 * meanwhile. */
struct logseg {
        struct logseg_shm *shm; /* NULL: none */
        uint64_t           self;
        uint64_t           start; /* of its bytes in the log area */
        uint32_t           number;
        uint32_t           head;
        uint32_t           generation;
};

/* Own an open log segment of this log with room for `need` bytes, backed by memory; reclaims where room is short.
 * False: none to be had now, nobody waits. */
bool logseg_begin(struct l1 *l1, enum logseg_kind kind, uint64_t need, struct logseg *seg);
/* The same for who reclaims: takes what is kept free for that. */
bool logseg_begin_kept(struct l1 *l1, enum logseg_kind kind, uint64_t need, struct logseg *seg);
/* Bytes [head, head + size) are written: `items` of them that live until `deadline` belong to the log. */
void logseg_commit(struct logseg *seg, uint64_t size, uint32_t items, uint32_t deadline);
/* Take back what was committed last: no slot points there. */
void logseg_retract(struct logseg *seg, uint64_t size, uint32_t items, uint32_t deadline);
/* Disown; no effect if there is none. Slots that point to what was written are published before it, so that no reclaim
 * overlooks them. */
void logseg_end(struct logseg *seg);

/* For reclaim (evict.c). */
bool logseg_own(struct l1 *l1, uint32_t number, uint64_t self, bool look, struct logseg *seg);
/* Is there room for n more bytes, with memory behind them? Takes memory when it may. */
bool logseg_has_room(struct l1 *l1, struct logseg *seg, uint64_t n);
bool logseg_is_listed(const struct l1 *l1, uint32_t number); /* among those that writers look at */
/* Those among them that the dead own are nobody's again. Reads /proc. */
void logseg_relieve(struct l1 *l1, uint64_t self);
/* Empty, so that a writer may take it: no slot points there any more. */
void logseg_clear(struct logseg *seg);
/* How many more are free than are kept for reclaims to move things to; counted are those that `need` bytes can be had
 * in. */
int logseg_spare(const struct l1 *l1, uint64_t need);

/* The LIVE word was taken out of its slot, or replaced: its item is dead. A hint by which reclaim chooses. */
void logseg_note_dead(struct l1 *l1, uint64_t word);
/* An estimate of how many items of a sealed one are dead or past their deadline; never more than `items`. */
uint32_t logseg_dead_items(const struct l1 *l1, uint32_t number, uint32_t deadline_now);

static inline char *logseg_at(const struct l1 *l1, const struct logseg *seg)
{
        return l1->log + seg->start + seg->head;
}

#endif
