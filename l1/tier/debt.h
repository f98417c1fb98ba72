/* debt.h - what has been removed is never given out again, whoever dies or stops when: what the processes of a host
 * tell each other about one store (struct tier_shm).
 *
 * A removal is
 *   begin      a word in removing[], by compare-and-swap from 0: who, and which keys (a tag of 20 bits, 0: every key)
 *   do         the store is asked
 *   done       the word back to 0                     the store said that it has done it, in time or late
 *   or lost    debt + 1, and then the word back to 0  the store failed, was not asked, or the process is gone
 * Nobody waits for a removal that is late: its word stays, and the key is closed to everybody until the store
 * answers. A word whose process is gone is lost by whoever comes across it (twice, perhaps: that costs nothing). So
 * at every instruction one of these holds: the removal has not begun, a word says that it is in flight, debt is ahead
 * of paid, or it has been done. A removal that finds no place for its word (TIER_REMOVALS are in flight, or the
 * process table is full) is a debt when it begins, and again unless it is done in time; only if it is killed between
 * the two, and somebody has flushed for the first, nothing is left of it.
 *
 * debt is paid by flushing all of the store: paid and then debt are read, the store is flushed, and paid moves from
 * what was read to that debt by compare-and-swap. All that was lost up to that debt was lost before the flush began.
 * paid only goes up, since debt was read after it; a flusher that was stopped finds paid moved, and its swap fails.
 *
 * A look-up asks debt_closed() before it asks the store. [T1] If a removal has been acknowledged before that, then
 * its word is seen, or the debt that was added before the word went (release, acquire), or it has been done, or all
 * been flushed: and the store, asked after that, does not have what was removed. A removal that begins later is
 * concurrent with the look-up.
 *
 * Tags of two keys may be equal: a look-up that is not made, for a moment. All of it may be hostile: then look-ups
 * are made or not, wrongly, and nothing else happens. */
#ifndef MT_TIER_DEBT_H
#define MT_TIER_DEBT_H

#include "../l1.h"

struct debt_name {
        struct mt_bytes kind, address, prefix;
        uint8_t         level;
};

/* The store's place in the segment, claimed when new; NULL: none is to be had. */
struct tier_shm *debt_place(struct l1 *l1, const struct debt_name *name);

#define DEBT_TAG_ALL 0u
/* Of one key; never DEBT_TAG_ALL. */
uint32_t debt_tag(struct mt_bytes key);

/* May what the store has under that tag be something that was removed? */
bool debt_closed(struct l1 *l1, struct tier_shm *shm, uint32_t tag);

/* The place of the removal's word, or DEBT_NOWHERE: then there is a debt until somebody flushes. */
enum { DEBT_NOWHERE = -1 };
int  debt_begin(struct l1 *l1, struct tier_shm *shm, uint32_t tag, uint64_t *word);
void debt_done(struct tier_shm *shm, int place, uint64_t word);
void debt_lost(struct tier_shm *shm, int place, uint64_t word);
/* A removal that has no word is not done. */
void debt_add(struct tier_shm *shm);

bool debt_owed(const struct tier_shm *shm);
struct debt_flush {
        uint64_t paid, debt;
};
/* True: there is a debt, and this caller is to flush now; others wait for it, for some seconds at most. */
bool debt_flush_begin(struct tier_shm *shm, uint64_t now_ns, struct debt_flush *flush);
void debt_flush_end(struct tier_shm *shm, uint64_t now_ns, const struct debt_flush *flush, bool flushed);

#endif
