/* l1.c - the hit, from top to bottom.
 *
 *   hash the key                 index_hash()         4 ns    keyed, 64 bits: two buckets and a tag of 14 bits
 *   compare 7 tags, or 14        l1_find()            4 ns    a cache line or two; a wrong match is one in a thousand
 *   compare item                                      5 ns    namespace, deadline, key: one cache line or two
 *   copy, look at the slot again l1_copy()            4 ns    the value's lines
 * No lock, no system call, and no shared write but the mark, three times in an item's life. */
#include "l1.h"

#include "cache/counters.h"
#include "cache/index.h"
#include "cache/item.h"
#include "cache/verify.h"
#include "segment/process.h"
#include "segment/segment.h"

#include <time.h>

/* -------------------------------------------------------------------------------------------------------- the hit */

uint64_t l1_hash(const struct l1 *l1, uint32_t server_index, struct mt_bytes key)
{
        return index_hash(l1, server_index, key);
}

/* Which slots of a bucket hold a LIVE word with this tag: one bit each. Without a branch, since any may; between the
 * two buckets there is one, which costs less than looking at fourteen always. */
static inline uint32_t l1_match(const struct bucket_shm *bucket, uint64_t tag)
{
        uint64_t head = slot_live_head(tag);
        uint32_t match = 0;

        for (unsigned i = 0; i < BUCKET_SLOTS; i++)
                match |= (uint32_t)(mt_load_relaxed(&bucket->slot[i]) >> 48 == head) << i;
        return match;
}

/* The item belongs to this key and namespace, and its time is not over. */
static inline bool l1_fits(struct l1 *l1, const struct item *item, const struct l1_key *key, uint32_t namespace_id,
                           uint64_t now_ns)
{
        if (item->namespace_id != namespace_id || !item_has_key(item, key->key))
                return false;
        if (MT_LIKELY(segment_deadline_now(l1, now_ns) < item->deadline))
                return true;
        counters_add(l1, COUNTER_expired, 1);
        return false;
}

/* Lengths that make no sense: those of another item, if its place was reclaimed meanwhile; else somebody else's
 * doing. */
static MT_COLD void l1_note_corrupt(struct l1 *l1, const _Atomic uint64_t *slot, uint64_t word)
{
        mt_fence_acquire();
        if (mt_load_relaxed(slot) == word)
                counters_add(l1, COUNTER_error_corrupt, 1);
}

/* One read more, as far as the marks count: then nothing is written any more. Two readers may count as one. */
static inline void l1_mark(const struct l1 *l1, struct bucket_shm *bucket, unsigned i)
{
        uint8_t mark = mt_load_relaxed(&bucket->mark[i]);

        if (MT_UNLIKELY(mark < MARK_MAX) && l1->writable)
                mt_store_relaxed(&bucket->mark[i], (uint8_t)(mark + 1));
}

static inline bool l1_find_in(struct l1 *l1, struct bucket_shm *bucket, uint64_t tag, const struct l1_key *key,
                              uint32_t namespace_id, uint64_t now_ns, struct l1_hit *hit)
{
        struct item item;

        for (uint32_t match = l1_match(bucket, tag); match != 0; match &= match - 1) {
                unsigned i = (unsigned)__builtin_ctz(match);
                /* [A] acquire: pairs with [B] in l1_fill() and in promotion: all of the item is there. */
                uint64_t word = mt_load_acquire(&bucket->slot[i]);

                if (MT_UNLIKELY(word >> 48 != slot_live_head(tag)))
                        continue;
                if (MT_UNLIKELY(!item_read(l1, slot_offset(word), &item))) {
                        l1_note_corrupt(l1, &bucket->slot[i], word);
                        continue;
                }
                if (!l1_fits(l1, &item, key, namespace_id, now_ns))
                        continue;
                l1_mark(l1, bucket, i);
                *hit = (struct l1_hit){item.value, item.vlen,
                                       item.nil,   &bucket->slot[i],
                                       word,       MT_UNLIKELY(item.form != ITEM_FORM_WHOLE) ? l1 : NULL};
                return true;
        }
        return false;
}

/* Rule (c): the caller has loaded server->fresh_at_ns (acquire), then namespace->id (acquire), and now come the slots.
 * A listener changes ids first and renews fresh_at_ns after (release): who believes the new time cannot use an old id.
 * And a slot that was cleared before that time was stored is seen cleared here. */
bool l1_find(struct l1 *l1, const struct l1_key *key, uint32_t namespace_id, uint64_t now_ns, struct l1_hit *hit)
{
        struct index_place place = index_place(l1, key->hash);

        if (MT_UNLIKELY(namespace_id == 0))
                return false;
        __builtin_prefetch(place.bucket[1]);
        return l1_find_in(l1, place.bucket[0], place.tag, key, namespace_id, now_ns, hit) ||
               l1_find_in(l1, place.bucket[1], place.tag, key, namespace_id, now_ns, hit);
}

bool l1_copy(const struct l1_hit *hit, void *to)
{
        if (MT_UNLIKELY(hit->pieces != NULL)) {
                if (!item_gather(hit->pieces, hit->value, hit->len, to))
                        return false;
        } else if (hit->len > 0) {
                mt_copy_from_shared(to, hit->value, hit->len);
        }
        /* [R1] acquire: pairs with [R2] in evict.c and logseg.c. If a byte was already that of another item, the slot
         * is seen changed here. */
        mt_fence_acquire();
        return mt_load_relaxed(hit->slot) == hit->word;
}

/* ------------------------------------------------------------------------------------------ attach and let go */

#define L1_LEAVE_TRIES 100
#define L1_LEAVE_NS    10000

struct l1 *l1_attach(const struct l1_config *config)
{
        return segment_open(config, true, true);
}

struct l1 *l1_open(const struct l1_config *config, bool writable)
{
        return segment_open(config, false, writable);
}

void l1_detach(struct l1 *l1)
{
        struct timespec moment = {.tv_nsec = L1_LEAVE_NS};

        if (!l1->writable || atomic_exchange(&l1->closed, true))
                return;
        /* The end of a child that never came here since the fork: nothing of its parent's is its own to give back. */
        if (!process_is_self(l1))
                l1_after_fork(l1);
        counters_give_back(l1);
        for (int i = 0; i < L1_LEAVE_TRIES && atomic_load(&l1->writers) != 0; i++)
                nanosleep(&moment, NULL);
        /* A thread that is still inside, stopped perhaps, may own a log segment: then our words stay those of a living
         * process until this one has ended. */
        if (atomic_load(&l1->writers) == 0)
                process_release(l1);
}

void l1_abandon(struct l1 *l1)
{
        l1_detach(l1);
        segment_replace_by_zeros(l1);
}

void l1_after_fork(struct l1 *l1)
{
        if (!l1->writable)
                return;
        process_after_fork(l1);
        mt_store_relaxed(&l1->writers, 0); /* the threads that were inside are not in this process */
        counters_after_fork(l1);
        if (!mt_load_relaxed(&l1->closed))
                segment_renew_serial(l1);
}

const char *l1_path(const struct l1 *l1)
{
        return l1->path;
}

const char *l1_verify(const struct l1 *l1)
{
        const char *fault = verify_header(l1);

        if (fault == NULL)
                fault = verify_log(l1);
        return fault != NULL ? fault : verify_index(l1);
}
