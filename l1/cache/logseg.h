/* logseg.h - log segments: owned for one append, sealed when full, reclaimed when no room is left.
 *
 *   FREE     nothing in it             -> OPEN      a writer takes it
 *   OPEN     takes in appends          -> SEALED    full
 *   SEALED   read only                 -> RECLAIM   the oldest, when room is needed
 *   RECLAIM  its slots are being cleared -> FREE    under a new generation
 * Whatever changes is changed by its owner: the process whose word is in `owner`, for the time of one append or one
 * reclaim. A dead owner is relieved, a stopped one pins that one log segment. */
#ifndef MT_CACHE_LOGSEG_H
#define MT_CACHE_LOGSEG_H

#include "../segment/segment.h"

/* A log segment that this thread owns, and its room. The copies are ours; nobody else changes the originals
 * meanwhile. */
struct logseg {
        struct logseg_shm *shm;
        uint64_t           self;
        uint64_t           start; /* of its bytes in the log area */
        uint32_t           number;
        uint32_t           head;
        uint32_t           generation;
};

/* Own a log segment with room for `need` bytes, backed by memory. False: none to be had now, nobody waits. */
bool logseg_begin(struct l1 *l1, uint64_t need, struct logseg *seg);
/* Bytes [head, head + n) are written: they belong to the log. */
void logseg_commit(struct logseg *seg, uint64_t n);
/* Take the last n bytes back: no slot points there. */
void logseg_retract(struct logseg *seg, uint64_t n);
/* Disown. Slots that point to what was written are published before it, so that no reclaim overlooks them. */
void logseg_end(struct logseg *seg);

/* For reclaim (evict.c). */
bool logseg_own(struct l1 *l1, uint32_t number, uint64_t self, bool look, struct logseg *seg);
/* Is there room for n more bytes, with memory behind them? Takes memory when it may. */
bool logseg_has_room(struct l1 *l1, struct logseg *seg, uint64_t n);
bool logseg_may_grow(const struct l1 *l1);                   /* /dev/shm was not full just now */
bool logseg_is_listed(const struct l1 *l1, uint32_t number); /* among those that writers look at */

static inline char *logseg_at(const struct l1 *l1, const struct logseg *seg)
{
        return l1->log + seg->start + seg->head;
}

#endif
