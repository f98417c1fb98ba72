/* index.h - where a key may stand: two buckets of seven slots.
 *
 * The buckets depend on the key alone, and the server only turns the tag: whoever meets an item in the log finds its
 * slot without knowing whose it is, by the offset. Contents never move between slots. */
#ifndef MT_CACHE_INDEX_H
#define MT_CACHE_INDEX_H

#include "../segment/segment.h"
#include "slot.h"

struct index_place {
        struct bucket_shm *bucket[2]; /* the same one twice, now and then: harmless to all who look */
        uint64_t           tag;
};

/* Bits 0-13 of a hash are the tag, 14-45 and 32-63 choose the buckets; of each of these windows the upper bits
 * count. */
static inline struct index_place index_place(const struct l1 *l1, uint64_t hash)
{
        uint64_t n = l1->bucket_count;

        return (struct index_place){
                .bucket = {&l1->index[(uint64_t)(uint32_t)(hash >> SLOT_TAG_BITS) * n >> 32],
                           &l1->index[(hash >> 32) * n >> 32]},
                .tag = hash & SLOT_TAG_MASK,
        };
}

/* Of the key alone: right for index_place() except for the tag. */
static inline uint64_t index_hash_key(const struct l1 *l1, const char *key, size_t len)
{
        return mt_hash(key, len, l1->hash_key);
}

static inline uint64_t index_hash(const struct l1 *l1, uint32_t server_index, struct mt_bytes key)
{
        uint64_t turn = hash_fold(l1->hash_key.word[1] ^ (server_index + 1), UINT64_C(0x9e3779b97f4a7c15));

        return index_hash_key(l1, key.ptr, key.len) ^ (turn & SLOT_TAG_MASK);
}

/* One of the fourteen, by number. */
static inline _Atomic uint64_t *index_slot(const struct index_place *place, unsigned i)
{
        return &place->bucket[i / BUCKET_SLOTS]->slot[i % BUCKET_SLOTS];
}

static inline _Atomic uint8_t *index_mark(const struct index_place *place, unsigned i)
{
        return &place->bucket[i / BUCKET_SLOTS]->mark[i % BUCKET_SLOTS];
}

/* The slot that points to the item of this key at this offset and generation; -1 when none does. */
int index_find_item(const struct index_place *place, uint32_t generation, uint64_t offset, uint64_t *word);
/* A walk of the whole index, for a log segment whose items cannot be walked: clears every slot that may lead into
 * [from, to) of the log area. Besides those that point there these are the values in pieces, whose pieces may be
 * anywhere, and the PENDING ones, whose fillers may have written a piece there. How many were LIVE. */
uint64_t index_sweep(struct l1 *l1, uint64_t from, uint64_t to);

#endif
