/* index.h - where a key may stand: two buckets of seven slots.
 *
 * Which, depends on the key and the server; the same key in other databases, and of other users, stands in the same
 * two. Whoever meets an item in the log finds them as well: its namespace id tells the server. Contents never move
 * between slots. */
#ifndef MT_CACHE_INDEX_H
#define MT_CACHE_INDEX_H

#include "../segment/segment.h"
#include "slot.h"

#if defined(__SSE2__) && !defined(MT_TSAN)
#include <emmintrin.h>
#define INDEX_SSE2 1
#endif

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

/* The factor is odd: no two servers turn a hash, or its tag, alike. */
static inline uint64_t index_hash(const struct l1 *l1, uint32_t server_index, struct mt_bytes key)
{
        return mt_hash(key.ptr, key.len, l1->hash_key) ^ (server_index + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Of an item: the lower bits of its namespace id say which server's it is. */
static inline uint64_t index_hash_item(const struct l1 *l1, uint32_t namespace_id, const char *key, size_t len)
{
        return index_hash(l1, namespace_id % SERVER_MAX, mt_bytes(key, len));
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

/* Which slots hold a LIVE word with the tag of the place: bits 0 to 6 for the first bucket, 8 to 14 for the second. A
 * hint, taken without order: whoever follows it loads the word again and compares. Without a branch, since any may, and
 * in which of the two buckets a key stands is a toss-up: a branch on it is wrong half the time where keys do not
 * repeat. */
static inline uint32_t index_match_portable(const struct index_place *place)
{
        uint64_t head = slot_live_head(place->tag);
        uint32_t match = 0;

        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++) {
                const struct bucket_shm *bucket = place->bucket[i / BUCKET_SLOTS];
                unsigned                 n = i % BUCKET_SLOTS;

                match |= (uint32_t)(mt_load_relaxed(&bucket->slot[n]) >> 48 == head) << (i / BUCKET_SLOTS * 8 + n);
        }
        return match;
}

/* The same by SSE2, which every x86-64 has: no look at the processor, and a third of the instructions. All words of 16
 * bits are compared; packing with a sign keeps the upper of each two, twice, which leaves the uppermost of each slot.
 * Where the eighth slot of a bucket would be stand the marks. */
#ifdef INDEX_SSE2
static inline __m128i index_match_bucket(const struct bucket_shm *bucket, __m128i head)
{
        const __m128i *v = (const __m128i *)(const void *)bucket;
        __m128i        low =
                _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(v), head), _mm_cmpeq_epi16(_mm_load_si128(v + 1), head));
        __m128i high = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(v + 2), head),
                                       _mm_cmpeq_epi16(_mm_load_si128(v + 3), head));

        return _mm_packs_epi16(low, high);
}
#endif

static inline uint32_t index_match(const struct index_place *place)
{
#ifdef INDEX_SSE2
        __m128i head = _mm_set1_epi16((short)slot_live_head(place->tag));

        return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(index_match_bucket(place->bucket[0], head),
                                                           index_match_bucket(place->bucket[1], head))) &
               0x7f7f;
#else
        return index_match_portable(place);
#endif
}

/* The slot that points to the item of this key at this offset and generation; -1 when none does. */
int index_find_item(const struct l1 *l1, const struct index_place *place, uint32_t generation, uint64_t offset,
                    uint64_t *word);
/* A walk of the whole index, for a log segment whose items cannot be walked: clears every slot that may lead into
 * [from, to) of the log area. Besides those that point there these are the values in pieces, whose pieces may be
 * anywhere, and the PENDING ones, whose fillers may have written a piece there. How many were LIVE. */
uint64_t index_sweep(struct l1 *l1, uint64_t from, uint64_t to);

#endif
