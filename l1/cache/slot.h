/* slot.h - the word in a slot of the index: see struct bucket_shm for the picture.
 *
 * When one and the same LIVE word can mean two items. The generation in it has the bits that the offset leaves, and the
 * very same word can stand there again once its log segment has been reclaimed so often that it has come round. Between
 * two reclaims of one, at the fastest, one more than a sixteenth of all log segments are filled: those sealed last are
 * not reclaimed for being mostly dead (EVICT_YOUNG), and the small log, which is emptied in the order of sealing, is a
 * tenth. Bits and log segments make up for each other: at any size it takes 2^46 bytes, 70 TB.
 *
 *                log segments     bits of               reclaims until   filled with what is soon dead, at
 *   L1_SIZE      of them          offset, generation    it comes round   20 GB/s   1 GB/s
 *     2 MiB         37 x  16 KiB     17, 31             2,147,483,648    88 min    29 h
 *     4 MiB        154 x  16 KiB     19, 29               536,870,912    73 min    24 h
 *    64 MiB        231 x 256 KiB     23, 25                33,554,432   110 min    37 h
 *     1 GiB        943 x   1 MiB     27, 21                 2,097,152   108 min    36 h
 *    32 GiB     30,222 x   1 MiB     32, 16                    65,536   108 min    36 h
 *
 * 20 GB/s is one thread that puts the same 64 KB in and takes them out again, with no Redis behind it: memory's pace.
 * What has come through sockets is a tenth of that or less: a day at the least. (Log segments may be sealed with a
 * quarter of them empty: three quarters of these times. Where /dev/shm is full only those that have memory go round:
 * sooner by as much as the log is short of its size.) A reader would have to be stopped for so long between the two
 * looks of one copy, and go on in the very lap that has the same generation, with the same tag in that slot for an item
 * at that offset. That is left to chance: no clock is asked. */
#ifndef MT_CACHE_SLOT_H
#define MT_CACHE_SLOT_H

#include "../segment/segment.h"

#include <stdbool.h>
#include <stdint.h>

enum slot_state { SLOT_EMPTY = 0, SLOT_PENDING = 1, SLOT_LIVE = 2, SLOT_GHOST = 3 };

#define SLOT_TAG_MASK   ((UINT64_C(1) << SLOT_TAG_BITS) - 1)
#define SLOT_TOKEN_BITS SLOT_PLACE_BITS
#define SLOT_TOKEN_MAX  ((UINT64_C(1) << SLOT_TOKEN_BITS) - 1)

static inline unsigned slot_state(uint64_t word)
{
        return (unsigned)(word >> 62);
}

/* Nothing is lost when it is taken: it is neither LIVE nor PENDING, whatever else somebody may have written there. */
static inline bool slot_is_free(uint64_t word)
{
        return slot_state(word) == SLOT_EMPTY || slot_state(word) == SLOT_GHOST;
}

static inline uint64_t slot_tag(uint64_t word)
{
        return word >> 48 & SLOT_TAG_MASK;
}

/* State and tag of a LIVE slot: what a look-up compares the upper 16 bits with. */
static inline uint64_t slot_live_head(uint64_t tag)
{
        return (uint64_t)SLOT_LIVE << SLOT_TAG_BITS | tag;
}

/* What words say of a log segment that has come to this generation. */
static inline uint32_t slot_generation_of(const struct l1 *l1, uint32_t generation)
{
        return (uint32_t)(generation & SLOT_TOKEN_MAX >> l1->geometry.offset_bits);
}

/* The offset is one in the log. */
static inline uint64_t slot_live(const struct l1 *l1, uint64_t tag, uint32_t generation, uint64_t offset)
{
        uint64_t lap = slot_generation_of(l1, generation);

        return slot_live_head(tag) << SLOT_PLACE_BITS | lap << l1->geometry.offset_bits | offset / ITEM_ALIGN;
}

static inline uint64_t slot_pending(uint64_t tag, uint64_t token)
{
        return (uint64_t)SLOT_PENDING << 62 | tag << 48 | token;
}

/* Of a LIVE slot: from the start of the log area. Not yet known to be inside. */
static inline uint64_t slot_offset(const struct l1 *l1, uint64_t word)
{
        return (uint64_t)((uint32_t)word & l1->offset_mask) * ITEM_ALIGN;
}

/* Of a LIVE slot: compare with slot_generation_of(). */
static inline uint32_t slot_generation(const struct l1 *l1, uint64_t word)
{
        return (uint32_t)((word & SLOT_TOKEN_MAX) >> l1->geometry.offset_bits);
}

/* The mark of a LIVE slot has two counts. Only the first is eviction's. */
#define SLOT_MARK_BITS 2u

static inline uint8_t slot_reads(uint8_t mark)
{
        return (uint8_t)(mark & MARK_MAX);
}

static inline uint8_t slot_untold(uint8_t mark)
{
        return (uint8_t)(mark >> SLOT_MARK_BITS & MARK_MAX);
}

/* One read more, of a mark below MARK_FULL: neither count goes beyond MARK_MAX. */
static inline uint8_t slot_mark_read(uint8_t mark)
{
        unsigned more = (slot_reads(mark) < MARK_MAX) | (unsigned)(slot_untold(mark) < MARK_MAX) << SLOT_MARK_BITS;

        return (uint8_t)(mark + more);
}

/* All reads have been told. */
static inline uint8_t slot_mark_told(uint8_t mark)
{
        return (uint8_t)(mark & ~(MARK_MAX << SLOT_MARK_BITS));
}

/* The claim in it: somebody fetches the value anew, for two seconds at the most, or nobody is to. */
#define SLOT_CLAIM_LAP  14u
#define SLOT_CLAIM_IDLE 15u /* the value ends where it does in Redis */
#define SLOT_CLAIM_OLD  8u  /* in units of 0.27 s */

static inline uint8_t slot_claim(uint8_t mark, uint64_t now_ns)
{
        return (uint8_t)((mark & MARK_FULL) | (1 + (now_ns >> 28) % SLOT_CLAIM_LAP) << 4);
}

static inline uint8_t slot_unclaimed(uint8_t mark, bool idle)
{
        return (uint8_t)((mark & MARK_FULL) | (idle ? SLOT_CLAIM_IDLE << 4 : 0));
}

static inline bool slot_is_claimed(uint8_t mark, uint64_t now_ns, bool over)
{
        unsigned claim = mark >> 4;

        if (claim == 0 || claim == SLOT_CLAIM_IDLE)
                return claim == SLOT_CLAIM_IDLE && !over;
        return ((now_ns >> 28) + SLOT_CLAIM_LAP + 1 - claim) % SLOT_CLAIM_LAP < SLOT_CLAIM_OLD;
}

/* The mark of a PENDING slot: when it was born, in units of 0.27 s, mod 256. Above SLOT_PENDING_OLD (2 s) it was left
 * by the dead, or by a server that slow; whoever wants the place may have it. */
#define SLOT_PENDING_OLD 8u

static inline uint8_t slot_birth(uint64_t now_ns)
{
        return (uint8_t)(now_ns >> 28);
}

static inline bool slot_pending_old(uint8_t mark, uint64_t now_ns)
{
        return (uint8_t)(slot_birth(now_ns) - mark) >= SLOT_PENDING_OLD;
}

#endif
