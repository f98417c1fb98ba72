/* check_index.c - places in the index: spread, load, tags; and 200 processes in one segment of 64 MiB. */
#include "l1_fixture.h"

#include <sched.h>
#include <sys/mman.h>

#define MIB   (UINT64_C(1) << 20)
#define VALUE mt_bytes_of("v")

/* At every place of the split: the least and the most that each part holds, and nothing of one in another. */
START_TEST(live_words)
{
        static struct l1 l1; /* large */

        for (unsigned bits = SLOT_OFFSET_BITS_MIN; bits <= SLOT_OFFSET_BITS_MAX; bits++) {
                uint64_t offset = ((UINT64_C(1) << bits) - 1) * ITEM_ALIGN;
                uint32_t generation = (uint32_t)((UINT64_C(1) << (SLOT_PLACE_BITS - bits)) - 1);
                uint64_t most, none;

                l1.geometry.offset_bits = bits;
                l1.offset_mask = (uint32_t)(offset / ITEM_ALIGN);
                most = slot_live(&l1, 0x2abc, UINT32_MAX, offset);
                none = slot_live(&l1, 0x2abc, generation + 1, 0);
                ck_assert_uint_eq(slot_state(most), SLOT_LIVE);
                ck_assert_uint_eq(slot_tag(most), 0x2abc);
                ck_assert_uint_eq(most >> 48, slot_live_head(0x2abc));
                ck_assert_uint_eq(most & SLOT_PLACE_MAX, SLOT_PLACE_MAX);
                ck_assert_uint_eq(slot_generation(&l1, most), generation);
                ck_assert_uint_eq(slot_generation_of(&l1, UINT32_MAX), generation);
                ck_assert_uint_eq(slot_offset(&l1, most), offset);
                ck_assert_uint_eq(none, slot_live_head(0x2abc) << 48);
                ck_assert_uint_eq(slot_generation(&l1, slot_live(&l1, 0x3fff, 0x4321, 0)), 0x4321);
                ck_assert_uint_eq(slot_offset(&l1, slot_live(&l1, 0x3fff, 0, 0x1238)), 0x1238);
        }
}
END_TEST

START_TEST(words)
{
        uint64_t pending = slot_pending(0x3fff, SLOT_TOKEN_MAX);

        ck_assert_uint_eq(slot_state(pending), SLOT_PENDING);
        ck_assert_uint_eq(slot_tag(pending), 0x3fff);
        ck_assert_uint_eq(pending & SLOT_TOKEN_MAX, SLOT_TOKEN_MAX);
        ck_assert(!slot_pending_old(slot_birth(NS_PER_S), NS_PER_S + 3 * NS_PER_S / 2));
        ck_assert(slot_pending_old(slot_birth(NS_PER_S), NS_PER_S + 3 * NS_PER_S));
        ck_assert(slot_pending_old(slot_birth(67 * NS_PER_S), 71 * NS_PER_S)); /* over the 256th */
}
END_TEST

/* Every bucket is reached by both windows of the hash, and no more often than chance has it. */
START_TEST(spread)
{
        uint32_t  n = fixture.l1->bucket_count;
        unsigned *count[2] = {calloc(n, sizeof(unsigned)), calloc(n, sizeof(unsigned))};
        unsigned  same = 0;
        char      number[32];

        for (unsigned i = 0; i < 40 * n; i++) {
                struct l1_key      key = fixture_key(fixture_number(number, "key", i));
                struct index_place place = index_place(fixture.l1, key.hash);

                for (int b = 0; b < 2; b++)
                        count[b][place.bucket[b] - fixture.l1->index]++;
                same += place.bucket[0] == place.bucket[1];
        }
        for (uint32_t i = 0; i < n; i++) {
                for (int b = 0; b < 2; b++) {
                        ck_assert_uint_ge(count[b][i], 5);
                        ck_assert_uint_le(count[b][i], 100);
                }
        }
        ck_assert_uint_le(same, 40 * 5);
        free(count[0]);
        free(count[1]);
}
END_TEST

/* At four fifths of its slots next to nothing is lost for lack of room in the index. */
START_TEST(load)
{
        unsigned n = fixture.l1->bucket_count * BUCKET_SLOTS * 4 / 5, there = 0;
        char     number[32];

        for (unsigned i = 0; i < n; i++)
                ck_assert(fixture_put(fixture_number(number, "k", i), VALUE));
        for (unsigned i = 0; i < n; i++)
                there += fixture_has(fixture_number(number, "k", i), VALUE);
        ck_assert_uint_ge(there, n - n / 1000);
        ck_assert_uint_eq(n - there, fixture_count(COUNTER_index_evictions));
        ck_assert_uint_eq(fixture_count(COUNTER_reclaims), 0);
}
END_TEST

/* The vector form finds what the portable one finds: random words, among them near misses, and marks of any value. */
START_TEST(match_forms_agree)
{
        static _Alignas(64) struct bucket_shm bucket[2];
        unsigned                              matches = 0;
        struct index_view                     a, b;

        for (unsigned round = 0; round < 200000; round++) {
                uint64_t tag = (uint64_t)random() & SLOT_TAG_MASK;

                struct index_place place = {.bucket = {&bucket[0], &bucket[1]}, .tag = tag};

                for (unsigned i = 0; i < 2 * (BUCKET_SLOTS + 1); i++) {
                        uint64_t word = (uint64_t)random() << 33 ^ (uint64_t)random();

                        switch (random() % 6) {
                        case 0: word = slot_live_head(tag) << 48 | (word & SLOT_PLACE_MAX); break;
                        case 1: word = slot_pending(tag, word & SLOT_TOKEN_MAX); break;
                        case 2: word = slot_live_head(tag ^ 1) << 48 | (word & SLOT_PLACE_MAX); break;
                        case 3: word = slot_live_head(tag) * UINT64_C(0x100010001) & SLOT_PLACE_MAX; break;
                        case 4: word = (uint64_t)SLOT_GHOST << 62 | word >> 2; break;
                        default: break;
                        }
                        memcpy((char *)bucket + 8 * i, &word, sizeof word); /* the eighth are the marks */
                }
                ck_assert_uint_eq(index_match(&place), index_match_portable(&place));
                matches += index_match(&place) != 0;
                a = index_view(&place), b = index_view_portable(&place);
                ck_assert_uint_eq(a.tagged, b.tagged);
                ck_assert_uint_eq(a.taken, b.taken);
                ck_assert_uint_eq(a.ghosts, b.ghosts);
        }
        ck_assert_uint_ge(matches, 1000);
}
END_TEST

/* item_look() agrees with item_read() and item_has_key(), for keys and values of every form, whole and damaged. */
START_TEST(looks_agree)
{
        struct l1        *l1 = fixture.l1;
        char              key[1100], value[64] = "v";
        struct item_found a;
        struct item       b = {0};
        unsigned          seen[3] = {0};

        memset(key, 'k', sizeof key);
        for (unsigned round = 0; round < 40000; round++) {
                size_t          klen = random() % 40 == 0 ? 1000 + (size_t)random() % 60 : (size_t)random() % 70;
                struct mt_bytes k = mt_bytes(key, klen), asked;
                bool            nil = random() % 4 == 0, whole;
                uint64_t        size = item_size(klen, sizeof value, nil), offset, end = l1->logseg_mask + 1;
                uint32_t        id = 1 + (uint32_t)random() % 2;
                uint32_t       *lens;

                /* at the end of a log segment, in its middle, or across it */
                offset = random() % 2 ? end - size : (uint64_t)random() % (end / 8) * 8;
                item_write(l1->log + offset, id, 77, k, nil ? mt_bytes(NULL, 0) : mt_bytes(value, sizeof value));
                lens = (uint32_t *)(void *)(l1->log + offset + offsetof(struct item_shm, lens));
                if (random() % 4 == 0)
                        *lens ^= 1u << random() % 32;
                asked = random() % 4 != 0 ? k : mt_bytes(key, klen ^ 1);
                if (random() % 4 == 0 && klen > 0)
                        l1->log[offset + sizeof(struct item_shm) + (size_t)random() % klen] ^= 1;
                a = item_look(l1, offset, 1, asked);
                whole = item_read(l1, offset, &b);
                ck_assert_int_eq(a.is == ITEM_THIS, whole && b.namespace_id == 1 && item_has_key(&b, asked));
                seen[a.is]++;
                if (a.is == ITEM_THIS)
                        ck_assert(a.nil == b.nil && a.vlen == b.vlen && a.deadline == b.deadline && a.value == b.value);
        }
        ck_assert(seen[ITEM_THIS] > 1000 && seen[ITEM_OTHER] > 1000 && seen[ITEM_CORRUPT] > 50);
}
END_TEST

/* Keys that share buckets and tag are told apart by the item. */
START_TEST(same_hash)
{
        struct l1_key   one = fixture_key(mt_bytes_of("one")), two = {mt_bytes_of("two"), one.hash};
        struct l1_lease lease;
        struct l1_hit   hit;
        char            got[8];

        ck_assert(fixture_put(one.key, VALUE));
        ck_assert(!l1_find(fixture.l1, &two, fixture_id(), clock_coarse_ns(), &hit));
        ck_assert(fixture_lease(&two, &lease));
        /* A lease on one is taken for one on the other: a fill less, no wrong value. */
        struct l1_key three = {mt_bytes_of("three"), one.hash};
        ck_assert(!fixture_lease(&three, &lease) || lease.slot == NULL);
        ck_assert_int_eq(fixture_get(one.key, got, sizeof got), 1);
        ck_assert_uint_eq(l1_remove(fixture.l1, one.hash), 2);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ many processes */

#define MANY 200

struct together {
        _Atomic unsigned arrived, wrong, hits;
};

static void be_one_of_many(struct together *together, unsigned number)
{
        static char value[1000];
        char        key[32];
        uint64_t    until_ns = clock_precise_ns() + 60 * NS_PER_S;

        memset(value, (int)number, sizeof value);
        for (unsigned i = 0; i < 600; i++) {
                /* As if after a round trip. Who is put off the processor in the middle of an append keeps its log
                 * segment. */
                sched_yield();
                fixture_number(key, "k", number * 1000 + i);
                if (!fixture_put(mt_bytes_of(key), mt_bytes(value, sizeof value)))
                        continue;
                if (fixture_has(mt_bytes_of(key), mt_bytes(value, sizeof value)))
                        mt_fetch_add_relaxed(&together->hits, 1);
        }
        mt_fetch_add_acq_rel(&together->arrived, 1);
        while (mt_load_acquire(&together->arrived) < MANY && clock_precise_ns() < until_ns)
                usleep(1000);
        /* All are attached now: a value of any of them is whole. */
        for (unsigned i = 0; i < 2000; i++) {
                char got[1000];
                long len = fixture_get(fixture_number(key, "k", i * 101 % (MANY * 1000)), got, sizeof got);

                if (len == (long)sizeof got && (got[0] != got[999] || memcmp(got, got + 1, 999) != 0))
                        mt_fetch_add_relaxed(&together->wrong, 1);
        }
}

START_TEST(two_hundred_processes)
{
        struct together *together;
        struct l1_totals totals;
        int              status;

        fixture_setup(64 * MIB, MIB);
        together = mmap(NULL, sizeof *together, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        for (unsigned i = 0; i < MANY; i++) {
                if (fork() == 0) {
                        l1_after_fork(fixture.l1);
                        be_one_of_many(together, i);
                        _exit(0); /* without a word: what it held is free all the same */
                }
        }
        for (unsigned i = 0; i < MANY; i++)
                ck_assert(wait(&status) > 0 && status == 0);
        ck_assert_uint_eq(mt_load_relaxed(&together->wrong), 0);
        unsigned hits = mt_load_relaxed(&together->hits);
        ck_assert_uint_ge(hits, MANY * 600 * 3 / 4);
        l1_totals(fixture.l1, true, &totals);
        ck_assert_uint_gt(totals.count[COUNTER_reclaims], 10);
        ck_assert_uint_ge(totals.logsegs_free, 1);
        ck_assert(fixture_put(mt_bytes_of("after"), VALUE));
        munmap(together, sizeof *together);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("index");
        TCase *all = tcase_create("places"), *many = tcase_create("many");

        tcase_add_checked_fixture(all, fixture_usual, fixture_end);
        tcase_set_timeout(all, 60);
        tcase_add_test(all, live_words);
        tcase_add_test(all, words);
        tcase_add_test(all, spread);
        tcase_add_test(all, load);
        tcase_add_test(all, same_hash);
        tcase_add_test(all, match_forms_agree);
        tcase_add_test(all, looks_agree);
        suite_add_tcase(suite, all);
        tcase_add_checked_fixture(many, NULL, fixture_end);
        tcase_set_timeout(many, 120);
        tcase_add_test(many, two_hundred_processes);
        suite_add_tcase(suite, many);
        return fixture_run(suite);
}
