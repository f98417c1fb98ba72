/* slot.h - the word in a slot of the index: see struct bucket_shm for the picture. */
#ifndef MT_CACHE_SLOT_H
#define MT_CACHE_SLOT_H

#include "../segment/layout.h"

#include <stdbool.h>
#include <stdint.h>

enum slot_state { SLOT_EMPTY = 0, SLOT_PENDING = 1, SLOT_LIVE = 2, SLOT_GHOST = 3 };

#define SLOT_TAG_BITS   14
#define SLOT_TAG_MASK   ((UINT64_C(1) << SLOT_TAG_BITS) - 1)
#define SLOT_TOKEN_BITS 48
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

static inline uint64_t slot_live(uint64_t tag, uint32_t generation, uint64_t offset)
{
        return slot_live_head(tag) << 48 | (uint64_t)(generation & 0xffff) << 32 | offset / ITEM_ALIGN;
}

static inline uint64_t slot_pending(uint64_t tag, uint64_t token)
{
        return (uint64_t)SLOT_PENDING << 62 | tag << 48 | token;
}

/* Of a LIVE slot: from the start of the log area. At most 32 GiB: not yet known to be inside. */
static inline uint64_t slot_offset(uint64_t word)
{
        return (word & UINT32_MAX) * ITEM_ALIGN;
}

static inline uint32_t slot_generation(uint64_t word)
{
        return (uint32_t)(word >> 32 & 0xffff);
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
