/* lease.c - PENDING to LIVE, and the clearing of keys.
 *
 *   free (EMPTY, GHOST), or a LIVE  -> PENDING(token)   l1_lease(), before GET is sent
 *      or PENDING one that may go
 *   PENDING(token)                  -> LIVE             l1_fill(): only from its own token
 *   PENDING(token), or written      -> EMPTY            l1_release()
 *   LIVE with the key's tag         -> EMPTY            l1_remove()
 *   PENDING with the key's tag      -> a mark, removed  l1_remove(): the late value is refused
 *   PENDING(token)                  -> a mark           l1_hold(): no such key, and the others wait for it (wait.c)
 *   a mark                          -> PENDING(another) l1_lease(), which takes one that is written for EMPTY
 *   PENDING(token)                  -> PENDING(another) l1_take_over(): the others have waited long enough (wait.c)
 *   LIVE, seen before GET is sent    -> LIVE            l1_refresh(), then l1_fill(): only from that word (refresh.c)
 * Whoever takes a PENDING word away wakes those who wait for that (wait.h). So does the one who refreshes, for those
 * who wait for the LIVE word.
 *
 * Three rules, each found the hard way by tests/model: (a) removal compares tags only, reads no item, and stores EMPTY
 * by exchange, so that it cannot lose against a change between its load and its store; (b) a token is never used
 * twice; (c) see l1_find(). */
#include "lease.h"

#include "../base/fault.h"
#include "../segment/process.h"
#include "counters.h"
#include "ghost.h"
#include "item.h"
#include "logseg.h"
#include "namespace.h"
#include "refresh.h"
#include "wait.h"

#define LEASE_TOKEN_BLOCK 1024u
#define LEASE_BLOCK_LAST  (SLOT_TOKEN_MAX / LEASE_TOKEN_BLOCK)
#define LEASE_TRIES       4 /* somebody else changed the slot that was chosen */
#define LEASE_TEND_NS     NS_PER_S
#define LEASE_LARGE_SHARE 32u /* of the log: larger values would turn the small log over by themselves */

/* ----------------------------------------------------------------------------------------------------- tokens */

/* A thread draws tokens from a block of its own. serial: the handle and the process that it was drawn for; a child
 * after fork has another serial, so that it never uses what its parent also has. */
static _Thread_local struct lease_tokens {
        uint64_t serial;
        uint64_t next, end;
} lease_tokens __attribute__((tls_model("initial-exec")));

bool lease_token(struct l1 *l1, uint64_t *token)
{
        struct lease_tokens *t = &lease_tokens;
        uint64_t             serial = mt_load_relaxed(&l1->serial), block;

        if (fault(FAULT_tokens_forked) && t->serial != 0)
                serial = t->serial;
        if (MT_UNLIKELY(t->serial != serial || t->next == t->end)) {
                if (serial == 0 || mt_load_relaxed(&l1->header->token_block) > LEASE_BLOCK_LAST)
                        return false;
                block = mt_fetch_add_relaxed(&l1->header->token_block, 1);
                if (block > LEASE_BLOCK_LAST)
                        return false;
                *t = (struct lease_tokens){serial, block * LEASE_TOKEN_BLOCK, (block + 1) * LEASE_TOKEN_BLOCK};
        }
        *token = t->next++;
        return true;
}

/* ------------------------------------------------------------------------------------------------- choosing a slot */

enum lease_verdict { LEASE_OTHER, LEASE_TAKE, LEASE_TAKEN };

/* What a slot with our tag means: ours to replace, being filled or filled by another, or a different key's. */
static enum lease_verdict lease_judge(struct l1 *l1, uint64_t word, uint8_t mark, const struct l1_key *key,
                                      uint32_t namespace_id, uint64_t now_ns)
{
        struct item item;

        if (slot_state(word) == SLOT_PENDING)
                return slot_left(word, mark, now_ns) ? LEASE_TAKE : LEASE_TAKEN;
        if (slot_state(word) != SLOT_LIVE || !item_read(l1, slot_offset(l1, word), &item))
                return LEASE_TAKE;
        if (!item_has_key(&item, key->key))
                return LEASE_OTHER;
        if (item.namespace_id == namespace_id)
                return item.deadline <= segment_deadline_now(l1, now_ns) ? LEASE_TAKE : LEASE_TAKEN;
        /* A host that flushes often would fill its index with what no flush has to touch: the same keys under old
         * ids. */
        return namespace_lives(l1, item.namespace_id) ? LEASE_OTHER : LEASE_TAKE;
}

/* Both are full: a PENDING that was left or is only held (absent keys must not displace what is read), else the LIVE
 * one that was read least, beginning anywhere; its bit, or -1 when all are being filled. */
MT_COLD static int lease_find_victim(const struct index_place *place, uint64_t token, uint64_t now_ns, uint64_t *word)
{
        unsigned hand = (unsigned)(token * 5 % (2 * BUCKET_SLOTS)), least = UINT8_MAX + 1;
        int      victim = -1;

        for (unsigned n = 0; n < 2 * BUCKET_SLOTS; n++) {
                unsigned i = (hand + n) % (2 * BUCKET_SLOTS);
                uint64_t found = mt_load_relaxed(index_slot(place, i));
                uint8_t  mark = mt_load_relaxed(index_mark(place, i));
                bool     left =
                        slot_state(found) == SLOT_PENDING && (slot_is_held(found) || slot_left(found, mark, now_ns));

                if (!left && (slot_state(found) != SLOT_LIVE || slot_reads(mark) >= least))
                        continue;
                victim = (int)(i / BUCKET_SLOTS * 8 + i % BUCKET_SLOTS);
                least = slot_reads(mark);
                *word = found;
                if (left)
                        break;
        }
        return victim;
}

/* Are more bits set in the upper byte than in the lower? Both are counted at once. */
static inline bool lease_upper_has_more(uint32_t bits)
{
        bits -= bits >> 1 & 0x5555;
        bits = (bits & 0x3333) + (bits >> 2 & 0x3333);
        bits = (bits + (bits >> 4)) & 0x0f0f;
        return bits >> 8 > (bits & 0xff);
}

/* A free slot, in the bucket that has more of them; one that remembers nothing if there is one. -1: none. */
static int lease_find_free(const struct index_place *place, const struct index_view *view, uint64_t *word)
{
        uint32_t free = ~view->taken & INDEX_ALL;

        free &= lease_upper_has_more(free) ? 0x7f00 : 0x7f;
        while (free != 0) {
                uint32_t empty = free & ~view->ghosts;
                unsigned bit = (unsigned)__builtin_ctz(empty != 0 ? empty : free);

                *word = mt_load_relaxed(index_slot_of_bit(place, bit));
                if (MT_LIKELY(slot_is_free(*word)))
                        return (int)bit;
                free &= ~(1u << bit);
        }
        return -1;
}

/* The slot to take, by its bit, and what it holds; -1: somebody else is filling or has filled this key, or there is no
 * room. */
static int lease_choose(struct l1 *l1, const struct index_place *place, const struct index_view *view,
                        const struct l1_key *key, uint32_t namespace_id, uint64_t token, uint64_t now_ns,
                        uint64_t *word)
{
        int ours = -1;

        for (uint32_t left = view->tagged; MT_UNLIKELY(left != 0); left &= left - 1) {
                unsigned bit = (unsigned)__builtin_ctz(left);
                uint64_t found = mt_load_acquire(index_slot_of_bit(place, bit)); /* [A]: pairs with [B], it is whole */

                if (slot_is_free(found) || slot_tag(found) != place->tag)
                        continue;
                switch (lease_judge(l1, found, mt_load_relaxed(index_mark_of_bit(place, bit)), key, namespace_id,
                                    now_ns)) {
                case LEASE_TAKEN: return -1;
                case LEASE_TAKE:
                        ours = (int)bit;
                        *word = found;
                        break;
                case LEASE_OTHER: break;
                }
        }
        if (ours < 0)
                ours = lease_find_free(place, view, word);
        return ours >= 0 ? ours : lease_find_victim(place, token, now_ns, word);
}

/* ------------------------------------------------------------------------------------------------ lease, release */

/* What stood in the slot that has been taken: an old item of the same key, or another that had to leave. */
static void lease_note_replaced(struct l1 *l1, uint64_t word, uint64_t tag)
{
        if (slot_state(word) != SLOT_LIVE)
                return;
        logseg_note_dead(l1, word);
        if (slot_tag(word) == tag)
                return;
        counters_add(l1, COUNTER_evictions, 1);
        counters_add(l1, COUNTER_index_evictions, 1);
}

/* Where the fill will probably write: asked for before the value travels, since the compare-and-swap that publishes it
 * would wait for these lines. A wrong guess does no harm, nor does an address that is none. */
static void lease_prefetch(const struct l1 *l1)
{
        uint32_t number = mt_load_relaxed(&l1->header->open[LOGSEG_SMALL][0]) - 1;
        char    *at;

        if (number >= l1->geometry.logseg_count)
                return;
        at = l1->log + number * (l1->logseg_mask + 1) + mt_load_relaxed(&l1->logsegs[number].head);
        __builtin_prefetch(at, 1);
        __builtin_prefetch(at + 64, 1);
        __builtin_prefetch(at + 128, 1);
}

bool l1_lease(struct l1 *l1, const struct l1_key *key, uint32_t namespace_id, uint64_t now_ns, struct l1_lease *lease)
{
        struct index_place place = index_place(l1, key->hash);
        struct index_view  view = index_view(&place);
        uint64_t           token, word, found;
        bool               returned;
        int                bit;

        *lease = (struct l1_lease){0};
        if (namespace_id == 0 || !l1->writable || mt_load_relaxed(&l1->closed) || !lease_token(l1, &token))
                return false;
        /* Before the slot that remembers it may be taken. */
        returned = view.ghosts != 0 && ghost_take(l1, &place, view.ghosts);
        for (int try = 0; try < LEASE_TRIES; try++, view = index_view(&place)) {
                _Atomic uint64_t *slot;

                bit = lease_choose(l1, &place, &view, key, namespace_id, token, now_ns, &word);
                if (bit < 0)
                        return false;
                slot = index_slot_of_bit(&place, (unsigned)bit);
                found = word;
                /* The birth goes first, so that nobody takes ours for an old one; if we lose the slot, it was a wrong
                 * mark. */
                mt_store_relaxed(index_mark_of_bit(&place, (unsigned)bit), slot_birth(now_ns));
                if (!mt_cas_acq_rel(slot, &found, slot_pending(place.tag, token)))
                        continue;
                /* [S] full: PENDING stands where every remover looks before GET leaves this process. Pairs with the
                 * server: if it answered before the write, the invalidation that the write causes is read after this,
                 * and l1_remove() finds PENDING or what came of it. */
                mt_fence_full();
                if (MT_UNLIKELY(slot_state(word) == SLOT_PENDING))
                        wait_wake(l1, slot);
                lease_note_replaced(l1, word, place.tag);
                lease_prefetch(l1);
                *lease = (struct l1_lease){slot, slot_pending(place.tag, token), namespace_id, returned,
                                           slot_is_held(word) && slot_tag(word) == place.tag ? word : 0};
                return true;
        }
        return false;
}

/* What the lease has left behind while it was away: a mark of its removal, or one that another put there for it since
 * he took it for one who had a nil. */
static MT_COLD void lease_clear_marks(struct l1 *l1, _Atomic uint64_t *slot, uint64_t pending)
{
        uint64_t word;

        mt_fence_full(); /* [G1]: after wait_give_up(); pairs with [G2] in l1_hold() */
        word = mt_load_relaxed(slot);
        while (slot_state(word) == SLOT_PENDING && l1_hold_same(word, pending)) {
                if (!mt_cas_acq_rel(slot, &word, 0))
                        continue;
                wait_wake(l1, slot);
                return;
        }
}

void l1_release(struct l1 *l1, struct l1_lease *lease)
{
        uint64_t word = lease->pending;

        if (refresh_holds(lease)) {
                refresh_give_up(l1, lease);
        } else if (lease->slot != NULL) {
                wait_give_up(l1, lease->slot, word);
                if (mt_cas_acq_rel(lease->slot, &word, 0))
                        wait_wake(l1, lease->slot);
                else
                        lease_clear_marks(l1, lease->slot, lease->pending);
        }
        lease->slot = NULL;
}

/* ------------------------------------------------------------------------------------------------------- the fill */

/* The deadline as an item holds it; 0 when no time is left, or more than can be said. */
static uint32_t lease_deadline(const struct l1 *l1, uint64_t deadline_ns, uint64_t now_ns)
{
        uint64_t units = deadline_ns > l1->created_ns ? (deadline_ns - l1->created_ns) >> ITEM_DEADLINE_SHIFT : 0;

        if (units > UINT32_MAX)
                units = UINT32_MAX;
        return units > segment_deadline_now(l1, now_ns) ? (uint32_t)units : 0;
}

/* Publish what has been written at the head of seg; whoever cleared the key meanwhile wins. */
static bool lease_publish(const struct l1 *l1, const struct l1_lease *lease, struct logseg *seg, uint64_t size,
                          uint32_t deadline)
{
        uint64_t word = lease->pending;
        uint64_t live = slot_live(l1, slot_tag(word), seg->generation, seg->start + seg->head);

        logseg_commit(seg, size, 1, deadline);
        if (fault(FAULT_no_fill_lease))
                word = mt_load_acquire(lease->slot);
        /* [B] release: pairs with [A] in l1_find(); whoever sees this slot sees every byte of the item behind it. */
        if (mt_cas_acq_rel(lease->slot, &word, live))
                return true;
        logseg_retract(seg, size, 1, deadline);
        return false;
}

static enum l1_counter lease_append_whole(struct l1 *l1, const struct l1_key *key, const struct l1_lease *lease,
                                          enum logseg_kind kind, struct mt_bytes value, uint32_t deadline)
{
        uint64_t      size = item_size(key->key.len, value.len, value.ptr == NULL);
        struct logseg seg;
        bool          published;

        if (!logseg_begin(l1, kind, size, &seg))
                return COUNTER_fills_skipped;
        item_write(logseg_at(l1, &seg), lease->namespace_id, deadline, key->key, value);
        published = lease_publish(l1, lease, &seg, size, deadline);
        logseg_end(&seg);
        return published ? COUNTER_fills : COUNTER_fills_refused;
}

/* The pieces first, each an append of its own, then the list that says where they are. What is left half done is
 * nobody's, and goes with its log segment. */
static enum l1_counter lease_append_pieces(struct l1 *l1, const struct l1_key *key, const struct l1_lease *lease,
                                           enum logseg_kind kind, struct mt_bytes value, uint32_t deadline)
{
        uint64_t          pieces = item_pieces(l1, value.len), size = item_list_size(l1, key->key.len, value.len);
        struct item_owner owner = {key->hash, lease->pending};
        uint32_t          offset[ITEM_PIECES_MAX];
        struct logseg     seg;
        bool              published;

        if (pieces > ITEM_PIECES_MAX || value.len > l1->log_bytes / 4)
                return COUNTER_fills_skipped;
        for (uint64_t i = 0; i < pieces; i++) {
                struct mt_bytes piece =
                        mt_bytes((const char *)value.ptr + i * l1->piece_bytes, item_piece_length(l1, value.len, i));

                if (!logseg_begin(l1, kind, item_piece_size(piece.len), &seg))
                        return COUNTER_fills_skipped;
                offset[i] = (uint32_t)((seg.start + seg.head) / ITEM_ALIGN);
                item_write_piece(logseg_at(l1, &seg), deadline, &owner, piece);
                logseg_commit(&seg, item_piece_size(piece.len), 1, deadline);
                logseg_end(&seg);
        }
        if (!logseg_begin(l1, kind, size, &seg))
                return COUNTER_fills_skipped;
        logseg_note_list(&seg);
        item_write_list(logseg_at(l1, &seg), lease->namespace_id, deadline, key->key, (uint32_t)value.len, offset,
                        pieces);
        published = lease_publish(l1, lease, &seg, size, deadline);
        logseg_end(&seg);
        return published ? COUNTER_fills : COUNTER_fills_refused;
}

/* Write the item and publish it. COUNTER_fills, or why not. */
static enum l1_counter lease_append(struct l1 *l1, const struct l1_key *key, struct l1_lease *lease,
                                    struct mt_bytes value, uint32_t deadline)
{
        bool             nil = value.ptr == NULL;
        bool             large = value.len > l1->log_bytes / LEASE_LARGE_SHARE;
        enum logseg_kind kind = (lease->returned || large) && !nil ? LOGSEG_MAIN : LOGSEG_SMALL;

        if (mt_load_relaxed(lease->slot) != lease->pending && !fault(FAULT_no_fill_lease))
                return COUNTER_fills_refused;
        if (item_size(key->key.len, value.len, nil) <= l1->whole_bytes || value.len <= l1->piece_bytes)
                return lease_append_whole(l1, key, lease, kind, value, deadline);
        if (refresh_holds(lease) && !refresh_make_pending(l1, lease, clock_coarse_ns()))
                return COUNTER_fills_refused;
        return lease_append_pieces(l1, key, lease, kind, value, deadline);
}

_Atomic uint8_t *lease_mark(_Atomic uint64_t *slot)
{
        struct bucket_shm *bucket = (struct bucket_shm *)((uintptr_t)slot & ~(uintptr_t)(sizeof *bucket - 1));

        return &bucket->mark[slot - bucket->slot];
}

bool l1_fill(struct l1 *l1, const struct l1_key *key, struct l1_lease *lease, struct mt_bytes value,
             uint64_t deadline_ns)
{
        enum l1_counter result = COUNTER_fills_skipped;
        uint64_t        now_ns = clock_coarse_ns();
        uint32_t        deadline = lease_deadline(l1, deadline_ns, now_ns);

        if (lease->slot == NULL)
                return false;
        if (value.len <= l1->max_item_bytes && key->key.len <= ITEM_KEY_MAX && value.len < ITEM_LONG_NIL &&
            deadline != 0 && segment_enter(l1)) {
                result = lease_append(l1, key, lease, value, deadline);
                segment_leave(l1);
        }
        counters_add(l1, result, 1);
        if (result == COUNTER_fills && lease->returned)
                counters_add(l1, COUNTER_returns, 1);
        if (result == COUNTER_fills && refresh_holds(lease)) {
                refresh_done(l1, lease, deadline, now_ns);
        } else if (result == COUNTER_fills) {
                mt_store_relaxed(lease_mark(lease->slot), 0); /* not visited yet */
                wait_wake(l1, lease->slot);
        } else {
                l1_release(l1, lease);
        }
        lease->slot = NULL;
        l1_tend(l1, now_ns, LEASE_TEND_NS);
        return result == COUNTER_fills;
}

/* --------------------------------------------------------------------------------------------------------- remove */

/* A PENDING word, or a mark, is not cleared but turned into a mark that says that something has happened: no fill
 * begins from that, the one that was on its way from this word is refused, and l1_lease() takes it for free. So it is
 * as good as EMPTY, and tells whoever comes next that somebody had asked before, and may be computing. False: another
 * word stands there by now, LIVE perhaps; then it is rule (a)'s. */
static MT_COLD bool lease_note_removed(struct l1 *l1, _Atomic uint64_t *slot, uint64_t word, unsigned *cleared)
{
        if (slot_hold(word) == L1_HOLD_REMOVED)
                return true;
        if (!mt_cas_acq_rel(slot, &word, slot_with_hold(word, L1_HOLD_REMOVED)))
                return false;
        wait_wake(l1, slot);
        ++*cleared;
        return true;
}

unsigned l1_remove(struct l1 *l1, uint64_t hash)
{
        struct index_place place = index_place(l1, hash);
        unsigned           cleared = 0;

        if (!l1->writable)
                return 0;
        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++) {
                uint64_t word = mt_load_acquire(index_slot(&place, i)); /* [S]; no item is read */

                if (slot_is_free(word) || slot_tag(word) != place.tag)
                        continue;
                if (MT_UNLIKELY(slot_state(word) == SLOT_PENDING) &&
                    lease_note_removed(l1, index_slot(&place, i), word, &cleared))
                        continue;
                /* Before freshness is renewed: [F2] in fence.c orders that. */
                word = mt_exchange_acq_rel(index_slot(&place, i), 0);
                cleared += !slot_is_free(word);
                if (slot_state(word) == SLOT_LIVE)
                        logseg_note_dead(l1, word);
                else if (slot_state(word) == SLOT_PENDING)
                        wait_wake(l1, index_slot(&place, i));
        }
        return cleared;
}
