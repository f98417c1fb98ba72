/* process.h - who is attached, who is alive, and the owner words that name them. */
#ifndef MT_SEGMENT_PROCESS_H
#define MT_SEGMENT_PROCESS_H

#include "segment.h"

/* The owner word of this process, claimed on first use; 0 when the table is full of the living or the handle is
 * closed. */
uint64_t process_self(struct l1 *l1);
/* Give the slot back: every owner word of this process is that of a dead one from here on. */
void process_release(struct l1 *l1);
void process_after_fork(struct l1 *l1);
/* Is the word that the handle has really this process's, and not that of the parent of a fork? True when it has
 * none. */
bool process_is_self(const struct l1 *l1);

/* Take an owner word that is free, or whose process is gone. Never takes one of the living: false. look: the caller may
 * afford to read /proc; without it only a free word is taken. */
bool process_own(struct l1 *l1, _Atomic uint64_t *owner, uint64_t self, bool look);
/* At most one look at the dead per 10 ms and handle: what a busy path asks before it passes look to process_own(). */
bool process_look_due(struct l1 *l1, uint64_t now_ns);

uint32_t process_count(const struct l1 *l1);

#endif
