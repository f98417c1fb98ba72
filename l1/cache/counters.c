/* counters.c - blocks of counters: claimed by a thread on its first count, given back when it ends.
 *
 *   free    owner 0                     counters_claim()      compare-and-swap, the counts stay and go on counting
 *   owned   owner word of the process   the thread's end, l1_detach(), or found dead by a claimer
 * Blocks beyond counters_high have no memory yet; whoever finds none free takes a page, which is eight. Block 0 is
 * everybody's: for those that find none at all, and for a thread's first counts.
 *
 * What this process alone has counted is what its blocks hold beyond what they held at the claim (own_base), and what
 * it added to blocks that it has no more, and to block 0 (own_past). */
#include "counters.h"

#include "../segment/process.h"
#include "item.h"
#include "slot.h"

#include <pthread.h>

#define COUNTERS_PER_PAGE (SEGMENT_PAGE / (uint32_t)sizeof(struct counters_shm))
#define COUNTERS_LOOKS    4u /* blocks whose owner is looked up in /proc during one claim */

_Thread_local struct counters_thread counters_thread __attribute__((tls_model("initial-exec")));

const struct l1_counter_row l1_counter_rows[COUNTER_COUNT] = {
#define COUNTER(name, kind, help) {#name, #kind, help},
#include "counters.def"
#undef COUNTER
};

/* Blocks that have memory; the word is shared, so it is believed only within the table, and where memory is seen.
 * Acquire: pairs with the release in counters_extend(), the memory was taken before. */
static uint32_t counters_high(const struct l1 *l1)
{
        uint32_t high = mt_load_acquire(&l1->header->counters_high);

        uint32_t known = mt_load_relaxed(&l1->backed->counters);

        high = high < COUNTERS_PER_PAGE ? COUNTERS_PER_PAGE : high > COUNTERS_MAX ? COUNTERS_MAX : high;
        return MT_LIKELY(high <= known) ? high : segment_look_counters(l1, known, high);
}

/* ------------------------------------------------------------------------------------------------ claim, give back */

static uint32_t counters_claim_among(struct l1 *l1, uint32_t from, uint32_t to, uint64_t self, unsigned looks)
{
        for (uint32_t i = from; i < to; i++) {
                uint64_t owner = mt_load_relaxed(&l1->counters[i].owner);
                bool     look = owner != 0 && looks > 0;

                looks -= look;
                if (process_own(l1, &l1->counters[i].owner, self, look))
                        return i;
        }
        return 0;
}

/* Another page of blocks. Two may take the same one at once: the second finds its blocks in use, or free, like
 * anybody. */
static bool counters_extend(struct l1 *l1, uint32_t high)
{
        uint64_t at = l1->geometry.counters_at + high * sizeof(struct counters_shm);

        if (high + COUNTERS_PER_PAGE > COUNTERS_MAX || !segment_take_memory(l1, at, at + SEGMENT_PAGE))
                return false;
        mt_cas_acq_rel(&l1->header->counters_high, &high, high + COUNTERS_PER_PAGE);
        return true;
}

static uint32_t counters_claim_below(struct l1 *l1, uint32_t high, uint64_t self)
{
        uint32_t block = counters_claim_among(l1, 1, high, self, 0), middle;

        /* Starting anywhere, so that the few looks at the dead meet other blocks each time. */
        middle = 1 + (uint32_t)(clock_precise_ns() / NS_PER_US) % (high - 1);
        if (block == 0)
                block = counters_claim_among(l1, middle, high, self, COUNTERS_LOOKS);
        if (block == 0 && counters_extend(l1, high))
                block = counters_claim_among(l1, high, high + COUNTERS_PER_PAGE, self, 0);
        return block;
}

/* Threads that begin at the same time may have taken all of the page that this one found: as long as there are more of
 * them it looks again, rather than share block 0 with others for the rest of its life. */
static uint32_t counters_claim(struct l1 *l1, uint64_t self)
{
        uint32_t block = 0, seen = 0, high = counters_high(l1);

        while (self != 0 && block == 0 && high > seen) {
                block = counters_claim_below(l1, high, self);
                seen = high;
                high = counters_high(l1);
        }
        return block;
}

/* Remember what this process added to the block, before it has it no longer. */
static void counters_keep_past(struct l1 *l1, uint32_t block)
{
        for (unsigned c = 0; c < COUNTER_COUNT; c++)
                mt_fetch_add_relaxed(&l1->own_past[c], mt_load_relaxed(&l1->counters[block].count[c]) -
                                                               mt_load_relaxed(&l1->own_base[block][c]));
}

static void counters_give_back_block(struct l1 *l1, uint32_t block, uint64_t self)
{
        if (self == 0 || mt_load_relaxed(&l1->counters[block].owner) != self || !process_is_self(l1))
                return;
        counters_keep_past(l1, block);
        mt_cas_acq_rel(&l1->counters[block].owner, &self, 0); /* [O1] release: pairs with process_own() */
}

static void counters_end_thread(void *arg)
{
        struct counters_thread *t = arg;

        if (t->serial != 0 && t->block != 0 && t->serial == mt_load_relaxed(&t->l1->serial))
                counters_give_back_block(t->l1, t->block, mt_load_relaxed(&t->l1->self));
        *t = (struct counters_thread){0};
}

void counters_give_back(struct l1 *l1)
{
        uint64_t self = mt_load_relaxed(&l1->self);

        mt_store_relaxed(&l1->serial, 0);
        for (uint32_t i = 1; i < counters_high(l1); i++)
                counters_give_back_block(l1, i, self);
}

void counters_after_fork(struct l1 *l1)
{
        for (unsigned c = 0; c < COUNTER_COUNT; c++)
                mt_store_relaxed(&l1->own_past[c], 0);
}

/* ---------------------------------------------------------------------------------------------------------- count */

/* The key whose destructor runs when a thread ends. A process that has none left to give loses a block a thread until
 * it exits. */
static pthread_key_t counters_key;
static bool          counters_key_there;

static void counters_make_key(void)
{
        counters_key_there = pthread_key_create(&counters_key, counters_end_thread) == 0;
}

static void counters_begin_thread(struct l1 *l1, uint64_t serial)
{
        static pthread_once_t   once = PTHREAD_ONCE_INIT;
        struct counters_thread *t = &counters_thread;

        counters_end_thread(t);
        pthread_once(&once, counters_make_key);
        t->l1 = l1;
        t->block = 0;
        if (segment_enter(l1)) {
                t->block = counters_claim(l1, process_self(l1));
                segment_leave(l1);
        }
        t->count = l1->counters[t->block].count;
        for (unsigned c = 0; t->block != 0 && c < COUNTER_COUNT; c++)
                mt_store_relaxed(&l1->own_base[t->block][c], mt_load_relaxed(&t->count[c]));
        t->serial = serial;
        if (counters_key_there)
                pthread_setspecific(counters_key, t);
}

static bool counters_is_early(struct counters_thread *t, uint64_t serial)
{
        if (t->early_serial != serial) {
                t->early_serial = serial;
                t->early = 0;
        }
        return ++t->early <= COUNTERS_EARLY;
}

MT_COLD void counters_add_slowly(struct l1 *l1, enum l1_counter counter, uint64_t n)
{
        struct counters_thread *t = &counters_thread;
        uint64_t                serial = mt_load_relaxed(&l1->serial);

        if (serial == 0)
                return;
        if (t->serial != serial && !counters_is_early(t, serial))
                counters_begin_thread(l1, serial);
        if (t->serial == serial && t->block != 0) {
                mt_add_single_writer(&t->count[counter], n);
                return;
        }
        mt_fetch_add_relaxed(&l1->counters[0].count[counter], n);
        mt_fetch_add_relaxed(&l1->own_past[counter], n);
}

void l1_count(struct l1 *l1, enum l1_counter counter, uint64_t n)
{
        if (MT_LIKELY(l1 != NULL))
                counters_add(l1, counter, n);
}

/* ----------------------------------------------------------------------------------------------------------- sums */

void l1_own_counts(const struct l1 *l1, uint64_t count[COUNTER_COUNT])
{
        uint64_t self = mt_load_relaxed(&l1->self);

        for (unsigned c = 0; c < COUNTER_COUNT; c++)
                count[c] = mt_load_relaxed(&l1->own_past[c]);
        for (uint32_t i = 1; self != 0 && i < counters_high(l1); i++) {
                if (mt_load_relaxed(&l1->counters[i].owner) != self)
                        continue;
                for (unsigned c = 0; c < COUNTER_COUNT; c++)
                        count[c] += mt_load_relaxed(&l1->counters[i].count[c]) - mt_load_relaxed(&l1->own_base[i][c]);
        }
}

/* Its size, if the slot still says the same after it was read: else its place may have been used again. */
static void counters_total_item(const struct l1 *l1, const _Atomic uint64_t *slot, uint64_t word,
                                struct l1_totals *totals)
{
        struct item item;
        bool        whole = item_read(l1, slot_offset(l1, word), &item);

        mt_fence_acquire(); /* [R1], as in l1_copy() */
        if (!whole || mt_load_relaxed(slot) != word)
                return;
        totals->live_bytes += item.size;
        totals->key_value_bytes += (uint64_t)item.klen + item.vlen;
}

static void counters_total_items(const struct l1 *l1, struct l1_totals *totals)
{
        for (uint32_t b = 0; b < l1->bucket_count; b++) {
                for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
                        const _Atomic uint64_t *slot = &l1->index[b].slot[i];
                        uint64_t                word = mt_load_acquire(slot); /* [A] */

                        totals->pending += slot_state(word) == SLOT_PENDING;
                        if (slot_state(word) != SLOT_LIVE)
                                continue;
                        totals->items++;
                        counters_total_item(l1, slot, word, totals);
                }
        }
}

void l1_totals(const struct l1 *l1, bool with_items, struct l1_totals *totals)
{
        const struct segment_geometry *g = &l1->geometry;
        uint32_t                       high = counters_high(l1);

        *totals = (struct l1_totals){.bytes_total = g->l1_size, .logsegs = g->logseg_count};
        for (uint32_t i = 0; i < high; i++) {
                for (unsigned c = 0; c < COUNTER_COUNT; c++)
                        totals->count[c] += mt_load_relaxed(&l1->counters[i].count[c]);
        }
        totals->bytes_taken = g->counters_at + high * sizeof(struct counters_shm) + (g->log_at - g->logsegs_at);
        for (uint32_t i = 0; i < g->logseg_count; i++) {
                totals->bytes_used += mt_load_relaxed(&l1->logsegs[i].head);
                totals->bytes_taken += mt_load_relaxed(&l1->logsegs[i].ready);
                totals->logsegs_free += mt_load_relaxed(&l1->logsegs[i].state) == LOGSEG_FREE;
        }
        if (!with_items)
                return;
        totals->processes = process_count(l1);
        counters_total_items(l1, totals);
}
