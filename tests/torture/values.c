/* values.c - what stands in the cache during the torture, and what a hit must be.
 *
 *   whole      its checksum fits                                          else torn
 *   its own    the server, database and key that were asked for           else foreign
 *   true       no older than what had been applied before the look, by    else stale, or unflushed
 *              removal or by flush
 *   in time    not past the deadline that it carries                      else late */
#include "torture.h"

#include <stdio.h>
#include <string.h>

#define VALUE_MAGIC UINT64_C(0x70727475746f7274)
/* One number of so many means "no such key". */
#define VALUE_NIL_EVERY 16u
#define VALUE_NIL_REST  5u

struct value {
        uint64_t magic, server, database, key, number, flush, deadline_ns, len, checksum;
};

/* ------------------------------------------------------------------------------------------------------------ keys */

static char key_text[KEYS][KEY_SPACE];
static int  key_length[KEYS];

void values_setup(void)
{
        for (unsigned k = 0; k < KEYS; k++) {
                /* Most are short; some are long, a few need the long form of an item. */
                int digits = k % 257 == 9 ? 1500 : k % 31 == 4 ? 120 : (int)(5 + k % 48);

                key_length[k] = snprintf(key_text[k], KEY_SPACE, "key:%0*u", digits, k);
        }
}

struct mt_bytes value_key(uint64_t key)
{
        return mt_bytes(key_text[key], (size_t)key_length[key]);
}

/* ---------------------------------------------------------------------------------------------------------- values */

static uint64_t checksum(const struct value *v, const char *body)
{
        struct value head = *v;

        head.checksum = 0;
        return mt_hash(&head, sizeof head, (struct hash_key){{1, 2}}) ^
               mt_hash(body, v->len - sizeof head, (struct hash_key){{3, 4}});
}

/* Sizes as they come: most are small, a few are as large as the segment allows, and a little more. */
static uint64_t value_length(struct worker *w)
{
        uint64_t most = geometries[w->round.geometry].max_item_bytes, roll = below(&w->seed, 1000);

        if (roll < w->round.profile->large)
                return sizeof(struct value) + below(&w->seed, most - sizeof(struct value) + 64);
        if (roll < 100)
                return sizeof(struct value) + below(&w->seed, 6000);
        return sizeof(struct value) + below(&w->seed, 300);
}

static void value_body(char *to, uint64_t len, uint64_t word)
{
        for (uint64_t i = 0; i < len; i += 8) {
                word += UINT64_C(0x9e3779b97f4a7c15);
                memcpy(to + i, &word, len - i < 8 ? len - i : 8);
        }
}

struct mt_bytes value_answer(struct worker *w, uint64_t *deadline_ns)
{
        struct value v = {
                .magic = VALUE_MAGIC,
                .server = w->s,
                .database = w->d,
                .key = w->key,
                .number = mt_load_acquire(&w->book->truth[w->s][w->key]),
                .flush = mt_load_acquire(&w->book->flush_truth[w->s][w->d]),
                .deadline_ns = clock_precise_ns() + (100 + below(&w->seed, 2000)) * NS_PER_MS,
                .len = value_length(w),
        };
        char *page = NULL, *to = w->value;

        *deadline_ns = v.deadline_ns;
        if (v.number % VALUE_NIL_EVERY == VALUE_NIL_REST)
                return mt_bytes(NULL, 0);
        if (w->surprise == STOP_IN_APPEND)
                to = surprise_middle(w->value, v.len, &page);
        value_body(to + sizeof v, v.len - sizeof v, v.key << 32 ^ v.number);
        v.checksum = checksum(&v, to + sizeof v);
        memcpy(to, &v, sizeof v);
        if (surprise_is(w, STOP_IN_APPEND))
                surprise_trap(w, page, IN_APPEND);
        return mt_bytes(to, v.len);
}

/* ----------------------------------------------------------------------------------------------------------- hits */

/* The smallest number that means nil and had not been overruled must have been reached. */
static enum count value_judge_nil(const struct worker *w)
{
        uint64_t n = w->applied;

        while (n % VALUE_NIL_EVERY != VALUE_NIL_REST)
                n++;
        return n <= mt_load_acquire(&w->book->truth[w->s][w->key]) ? HITS : STALE;
}

static enum count value_verdict(const struct worker *w, uint64_t len, const char *copy, struct value *v)
{
        if (len >= sizeof *v)
                memcpy(v, copy, sizeof *v);
        if (len < sizeof *v || v->magic != VALUE_MAGIC || v->len != len || checksum(v, copy + sizeof *v) != v->checksum)
                return TORN;
        if (v->server != w->s || v->database != w->d || v->key != w->key)
                return FOREIGN;
        if (v->number < w->applied)
                return STALE;
        if (v->flush < w->flushed)
                return UNFLUSHED;
        return v->deadline_ns <= w->asked_ns ? LATE : HITS;
}

void value_judge(const struct worker *w, const struct l1_hit *hit, const char *copy)
{
        struct value   v = {0};
        enum count     verdict = hit->nil ? value_judge_nil(w) : value_verdict(w, hit->len, copy, &v);
        const uint64_t asked[] = {w->s, w->d, w->key, w->applied, w->flushed};

        count(w, w->let_go ? UNDEAD : HITS);
        if (hit->nil)
                count(w, NILS);
        if (verdict == HITS)
                return;
        count(w, verdict);
        fprintf(stderr,
                "count %d, geometry %u: asked for server %llu, database %llu, key %llu, at least %llu, flush %llu; "
                "word %016llx, %u bytes; found %llu, %llu, %llu, %llu, %llu\n",
                (int)verdict, w->round.geometry, (unsigned long long)asked[0], (unsigned long long)asked[1],
                (unsigned long long)asked[2], (unsigned long long)asked[3], (unsigned long long)asked[4],
                (unsigned long long)hit->word, hit->len, (unsigned long long)v.server, (unsigned long long)v.database,
                (unsigned long long)v.key, (unsigned long long)v.number, (unsigned long long)v.flush);
}
