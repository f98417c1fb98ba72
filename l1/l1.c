/* l1.c - the hit, from top to bottom.
 *
 *   hash the key                 index_hash()         keyed, 64 bits: two buckets and a tag of 14 bits
 *   compare 14 tags              l1_find()            two cache lines; a wrong match is one in a thousand
 *   compare item                 l1_find_at()         namespace, deadline, key: one cache line or two
 *   copy, look at the slot again l1_copy()            the value's lines
 * No lock, no system call, and no shared write but the mark: three times in an item's life, and again each time that
 * Redis has been told of its reads. */
#include "l1.h"

#include "cache/counters.h"
#include "cache/index.h"
#include "cache/item.h"
#include "cache/refresh.h"
#include "cache/verify.h"
#include "segment/process.h"
#include "segment/segment.h"

#include <sys/stat.h>
#include <time.h>

/* -------------------------------------------------------------------------------------------------------- the hit */

uint64_t l1_hash(const struct l1 *l1, uint32_t server_index, struct mt_bytes key)
{
        return index_hash(l1, server_index, key);
}

void l1_prefetch(const struct l1 *l1, uint64_t hash)
{
        struct index_place place = index_place(l1, hash);

        __builtin_prefetch(place.bucket[0]);
        __builtin_prefetch(place.bucket[1]);
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
static inline void l1_visit(const struct l1 *l1, _Atomic uint8_t *mark)
{
        uint8_t seen = mt_load_relaxed(mark);

        if (MT_UNLIKELY(seen < MARK_FULL) && l1->writable)
                mt_store_relaxed(mark, slot_mark_read(seen));
}

/* Is there an item of this key and namespace behind the slot, and its time not over? hit->slot is NULL if not. Then
 * hit->word is that of an item near its end or past it, or 0. */
static MT_INLINE struct l1_hit l1_find_at(struct l1 *l1, const _Atomic uint64_t *slot, uint64_t tag,
                                          struct mt_bytes key, uint32_t namespace_id, uint64_t now_ns)
{
        /* [A] acquire: pairs with [B] in l1_fill() and in promotion: all of the item is there. */
        uint64_t          word = mt_load_acquire(slot), offset = slot_offset(l1, word);
        struct item_found found;

        if (MT_UNLIKELY(word >> 48 != slot_live_head(tag)))
                return (struct l1_hit){.slot = NULL};
        /* An item of usual size is on two or three lines: all are asked for before the first is looked at. An address
         * that is none does no harm. */
        __builtin_prefetch(l1->log + offset + 64);
        __builtin_prefetch(l1->log + offset + 128);
        found = item_look(l1, offset, namespace_id, key);
        if (MT_UNLIKELY(found.is != ITEM_THIS)) {
                if (found.is == ITEM_CORRUPT)
                        l1_note_corrupt(l1, slot, word);
                return (struct l1_hit){.slot = NULL};
        }
        if (MT_UNLIKELY(segment_edge_now(l1, now_ns) >= found.deadline))
                return (struct l1_hit){.slot = NULL, .word = word};
        return (struct l1_hit){found.value, found.vlen, found.nil,
                               slot,        word,       MT_UNLIKELY(found.in_pieces) ? l1 : NULL};
}

/* One candidate after the other: all but the first are other keys with the same tag. */
static MT_COLD struct l1_hit l1_find_among(struct l1 *l1, uint32_t match, struct mt_bytes key, uint64_t hash,
                                           uint32_t namespace_id, uint64_t now_ns)
{
        struct index_place place = index_place(l1, hash);

        for (; match != 0; match &= match - 1) {
                unsigned           i = (unsigned)__builtin_ctz(match);
                struct bucket_shm *bucket = place.bucket[i / 8];
                struct l1_hit      hit = l1_find_at(l1, &bucket->slot[i % 8], place.tag, key, namespace_id, now_ns);

                if (hit.slot == NULL) {
                        if (hit.word != 0)
                                return hit;
                        continue;
                }
                l1_visit(l1, &bucket->mark[i % 8]);
                return hit;
        }
        return (struct l1_hit){.slot = NULL};
}

/* Rule (c): the caller has loaded server->fresh_at_ns (acquire), then namespace->id (acquire), and now come the slots.
 * A listener changes ids first and renews fresh_at_ns after (release): who believes the new time cannot use an old id.
 * And a slot that was cleared before that time was stored is seen cleared here. */
bool l1_find(struct l1 *l1, const struct l1_key *key, uint32_t namespace_id, uint64_t now_ns, struct l1_hit *hit)
{
        struct index_place place = index_place(l1, key->hash);
        struct bucket_shm *bucket;
        uint32_t           match;
        unsigned           i;

        *hit = (struct l1_hit){.slot = NULL};
        if (MT_UNLIKELY(namespace_id == 0))
                return false;
        match = index_match(&place);
        if (MT_UNLIKELY(match == 0))
                return false;
        i = (unsigned)__builtin_ctz(match);
        bucket = i < 8 ? place.bucket[0] : place.bucket[1];
        *hit = l1_find_at(l1, &bucket->slot[i % 8], place.tag, key->key, namespace_id, now_ns);
        if (MT_LIKELY(hit->slot != NULL)) {
                l1_visit(l1, &bucket->mark[i % 8]);
                return true;
        }
        if (hit->word != 0)
                return false;
        *hit = l1_find_among(l1, match & (match - 1), key->key, key->hash, namespace_id, now_ns);
        return hit->slot != NULL;
}

static MT_INLINE bool l1_copy_here(const struct l1_hit *hit, void *to)
{
        if (MT_LIKELY(hit->pieces == NULL))
                mt_copy_from_shared(to, hit->value, hit->len);
        else if (!item_gather(hit->pieces, hit->value, hit->len, to))
                return false;
        /* [R1] acquire: pairs with [R2] in evict.c and logseg.c. If a byte was already that of another item, the slot
         * is seen changed here: the same word does not come back in the time of a copy, nor in that of a stop (slot.h).
         */
        mt_fence_acquire();
        return mt_load_relaxed(hit->slot) == hit->word;
}

bool l1_copy(const struct l1_hit *hit, void *to)
{
        return l1_copy_here(hit, to);
}

MT_COLD bool l1_copy_late(const struct l1_hit *hit, void *to)
{
        return l1_copy_here(hit, to);
}

/* ------------------------------------------------------------------------------------------ attach and let go */

#define L1_LEAVE_TRIES 100
#define L1_LEAVE_NS    10000

struct l1 *l1_attach(const struct l1_config *config)
{
        return segment_open(config, !config->there, true);
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

bool l1_at_path(const struct l1 *l1)
{
        struct stat st;

        return stat(l1->path, &st) == 0 && st.st_dev == l1->file_dev && st.st_ino == l1->file_ino;
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
