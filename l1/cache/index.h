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

#define INDEX_ALL 0x7f7fu /* all fourteen, in bits as of index_match() */

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
 * bits are compared; packing with a sign keeps the sign of the upper of each two, twice, which leaves that of the
 * uppermost of each slot. Where the eighth slot of a bucket would be stand the marks. */
#ifdef INDEX_SSE2
static MT_INLINE __m128i index_pack(__m128i a, __m128i b, __m128i c, __m128i d)
{
        return _mm_packs_epi16(_mm_packs_epi16(a, b), _mm_packs_epi16(c, d));
}

static MT_INLINE uint32_t index_bits(__m128i first, __m128i second)
{
        return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(first, second)) & INDEX_ALL;
}

static inline __m128i index_match_bucket(const struct bucket_shm *bucket, __m128i head)
{
        const __m128i *v = (const __m128i *)(const void *)bucket;

        return index_pack(_mm_cmpeq_epi16(_mm_load_si128(v), head), _mm_cmpeq_epi16(_mm_load_si128(v + 1), head),
                          _mm_cmpeq_epi16(_mm_load_si128(v + 2), head), _mm_cmpeq_epi16(_mm_load_si128(v + 3), head));
}
#endif

static inline uint32_t index_match(const struct index_place *place)
{
#ifdef INDEX_SSE2
        __m128i head = _mm_set1_epi16((short)slot_live_head(place->tag));

        return index_bits(index_match_bucket(place->bucket[0], head), index_match_bucket(place->bucket[1], head));
#else
        return index_match_portable(place);
#endif
}

/* What a lease asks of the fourteen, in bits as of index_match(): a hint as well. */
struct index_view {
        uint32_t tagged; /* LIVE or PENDING, with the tag of the place */
        uint32_t taken;  /* LIVE or PENDING: the others are free */
        uint32_t ghosts;
};

static inline struct index_view index_view_portable(const struct index_place *place)
{
        struct index_view view = {0, 0, 0};

        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++) {
                unsigned bit = i / BUCKET_SLOTS * 8 + i % BUCKET_SLOTS;
                uint64_t word = mt_load_relaxed(&place->bucket[i / BUCKET_SLOTS]->slot[i % BUCKET_SLOTS]);
                bool     taken = !slot_is_free(word);

                view.tagged |= (uint32_t)(taken && slot_tag(word) == place->tag) << bit;
                view.taken |= (uint32_t)taken << bit;
                view.ghosts |= (uint32_t)(slot_state(word) == SLOT_GHOST) << bit;
        }
        return view;
}

/* A state is two bits: what is taken has just one of them, a ghost has both. Shifted by one, they meet in the sign. */
#ifdef INDEX_SSE2
static MT_INLINE __m128i index_tagged(__m128i x, __m128i live, __m128i pending)
{
        return _mm_or_si128(_mm_cmpeq_epi16(x, live), _mm_cmpeq_epi16(x, pending));
}

static MT_INLINE __m128i index_taken(__m128i x)
{
        return _mm_xor_si128(x, _mm_slli_epi16(x, 1));
}

static MT_INLINE __m128i index_ghost(__m128i x)
{
        return _mm_and_si128(x, _mm_slli_epi16(x, 1));
}

static MT_INLINE void index_view_bucket(const struct bucket_shm *bucket, __m128i live, __m128i pending, __m128i out[3])
{
        const __m128i *v = (const __m128i *)(const void *)bucket;
        __m128i        a = _mm_load_si128(v), b = _mm_load_si128(v + 1);
        __m128i        c = _mm_load_si128(v + 2), d = _mm_load_si128(v + 3);

        out[0] = index_pack(index_tagged(a, live, pending), index_tagged(b, live, pending),
                            index_tagged(c, live, pending), index_tagged(d, live, pending));
        out[1] = index_pack(index_taken(a), index_taken(b), index_taken(c), index_taken(d));
        out[2] = index_pack(index_ghost(a), index_ghost(b), index_ghost(c), index_ghost(d));
}

static inline struct index_view index_view(const struct index_place *place)
{
        __m128i live = _mm_set1_epi16((short)slot_live_head(place->tag)), first[3], second[3];
        __m128i pending = _mm_xor_si128(live, _mm_set1_epi16((short)((SLOT_LIVE ^ SLOT_PENDING) << SLOT_TAG_BITS)));

        index_view_bucket(place->bucket[0], live, pending, first);
        index_view_bucket(place->bucket[1], live, pending, second);
        return (struct index_view){index_bits(first[0], second[0]), index_bits(first[1], second[1]),
                                   index_bits(first[2], second[2])};
}
#else
static inline struct index_view index_view(const struct index_place *place)
{
        return index_view_portable(place);
}
#endif

/* One of the fourteen, by its bit. */
static inline _Atomic uint64_t *index_slot_of_bit(const struct index_place *place, unsigned bit)
{
        return &place->bucket[bit / 8]->slot[bit % 8];
}

static inline _Atomic uint8_t *index_mark_of_bit(const struct index_place *place, unsigned bit)
{
        return &place->bucket[bit / 8]->mark[bit % 8];
}

/* The slot that points to the item of this key at this offset and generation; -1 when none does. */
int index_find_item(const struct l1 *l1, const struct index_place *place, uint32_t generation, uint64_t offset,
                    uint64_t *word);
/* A walk of the whole index, for a log segment whose items cannot be walked: clears every slot that may lead into
 * [from, to) of the log area. Besides those that point there these are the values in pieces, whose pieces may be
 * anywhere, and the PENDING ones, whose fillers may have written a piece there. How many were LIVE. */
uint64_t index_sweep(struct l1 *l1, uint64_t from, uint64_t to);

#endif
