/* check_refresh.c - items near their end and past it: who fetches them anew, and who is served meanwhile. */
#include "l1_fixture.h"

#include "l1/cache/lease.h"

#include <pthread.h>

#define KEY   mt_bytes_of("user:1")
#define VALUE mt_bytes_of("hello")
#define LATER mt_bytes_of("hello again")
#define UNIT  (UINT64_C(1) << ITEM_DEADLINE_SHIFT)
#define EARLY (50 * NS_PER_MS) /* beta x delta of these tests */

static struct l1_key key;

static void setup(void)
{
        fixture_usual();
        key = fixture_key(KEY);
}

static _Atomic uint8_t *mark_of(uint64_t hash)
{
        struct index_place place = index_place(fixture.l1, hash);
        uint32_t           match = index_match(&place);

        ck_assert_uint_ne(match, 0);
        return index_mark_of_bit(&place, (unsigned)__builtin_ctz(match));
}

/* A look-up as the shim does it, at a moment of the tests' choice; *hit as it leaves it. */
enum found { HIT, DUE, NONE };
static enum found find_at(uint64_t now_ns, struct l1_hit *hit)
{
        if (l1_find(fixture.l1, &key, fixture_id(), now_ns, hit))
                return HIT;
        if (hit->word == 0)
                return NONE;
        switch (l1_look_at_end(fixture.l1, &key, fixture_id(), now_ns, hit)) {
        case L1_END_HIT: return HIT;
        case L1_END_DUE: return DUE;
        default: return NONE;
        }
}

static void is(const struct l1_hit *hit, struct mt_bytes value)
{
        char got[32];

        ck_assert_uint_eq(hit->len, value.len);
        ck_assert(l1_copy_late(hit, got) && memcmp(got, value.ptr, value.len) == 0);
}

static bool refresh(uint64_t now_ns, const struct l1_hit *hit, struct l1_lease *lease)
{
        return l1_refresh(fixture.l1, fixture_id(), now_ns, hit, lease);
}

/* A value that ends in a minute; it returns when. */
static uint64_t put(void)
{
        uint64_t end_ns = clock_coarse_ns() + 60 * NS_PER_S;

        ck_assert(fixture_put_until(KEY, VALUE, end_ns));
        return end_ns;
}

/* Past the end by a little more than rounding and the clock's lag, or before it by as much. */
#define SLACK (2 * UNIT)

START_TEST(off)
{
        uint64_t      end_ns = put();
        struct l1_hit hit;

        ck_assert_int_eq(find_at(end_ns - SLACK, &hit), HIT);
        ck_assert_int_eq(find_at(end_ns + SLACK, &hit), NONE);
        ck_assert_uint_eq(fixture_count(COUNTER_expired), 1);
}
END_TEST

/* Of readers that come at a distance t from the end, a part of exp(-t / early) is to fetch. By its straight lines the
 * logarithm makes that up to 6% more; beyond that there are five standard deviations of so many draws. */
START_TEST(drawn_as_xfetch)
{
        static const struct {
                double t, part; /* in EARLY */
        } at[] = {{0.25, 0.7788}, {0.5, 0.6065}, {1, 0.3679}, {2, 0.1353}, {4, 0.0183}, {20, 0}};
        uint64_t      end_ns = put(), zero_ns = fixture.l1->clock_zero_ns;
        struct l1_hit hit;

        l1_set_ends(fixture.l1, EARLY, 0);
        end_ns = ((end_ns - fixture.l1->created_ns) / UNIT * UNIT) + zero_ns; /* as it is kept */
        for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
                unsigned due = 0;
                double   part;

                for (int n = 0; n < 20000; n++)
                        due += find_at(end_ns - (uint64_t)(at[i].t * (double)EARLY), &hit) == DUE;
                part = due / 20000.0;
                ck_assert_msg(part > at[i].part * 0.93 - 0.003 && part < at[i].part * 1.1 + 0.005,
                              "%.4f where %.4f is due, %.2f before the end", part, at[i].part, at[i].t);
        }
        is(&hit, VALUE);
        ck_assert_int_eq(find_at(end_ns, &hit), NONE);
}
END_TEST

/* Somebody draws it, sooner or later. */
static void due_at(uint64_t now_ns, struct l1_hit *hit)
{
        int tries = 0;

        while (find_at(now_ns, hit) != DUE)
                ck_assert_int_lt(++tries, 1000);
}

START_TEST(one_fetches_the_others_are_served)
{
        uint64_t        end_ns = put(), now_ns = end_ns - SLACK;
        struct l1_hit   hit, other;
        struct l1_lease lease, second;

        l1_set_ends(fixture.l1, EARLY, 0);
        due_at(now_ns, &hit);
        ck_assert(refresh(now_ns, &hit, &lease));
        ck_assert(l1_refreshes(&lease));
        ck_assert(!refresh(now_ns, &hit, &second));
        for (int i = 0; i < 1000; i++)
                ck_assert_int_eq(find_at(now_ns, &other), HIT);
        is(&other, VALUE);
        ck_assert(!fixture_lease(&key, &second)); /* nor as if it were missing */

        ck_assert(l1_fill(fixture.l1, &key, &lease, LATER, end_ns + 60 * NS_PER_S));
        ck_assert_ptr_null(lease.slot);
        ck_assert_int_eq(find_at(now_ns, &other), HIT);
        is(&other, LATER);
        ck_assert(!l1_copy_late(&hit, &(char[32]){0})); /* who was still copying the old one throws it away */
        ck_assert_int_eq(find_at(end_ns + SLACK, &other), HIT);
        ck_assert_uint_eq(fixture_count(COUNTER_refreshes), 1);
        ck_assert_uint_eq(fixture_count(COUNTER_fills), 2);
}
END_TEST

START_TEST(reads_are_kept)
{
        uint64_t        end_ns = put(), now_ns = end_ns - SLACK;
        struct l1_hit   hit;
        struct l1_lease lease;

        for (int i = 0; i < 5; i++)
                ck_assert(fixture_has(KEY, VALUE));
        ck_assert_uint_eq(mt_load_relaxed(mark_of(key.hash)), MARK_FULL);
        l1_set_ends(fixture.l1, EARLY, 0);
        due_at(now_ns, &hit);
        ck_assert(refresh(now_ns, &hit, &lease));
        ck_assert(l1_fill(fixture.l1, &key, &lease, LATER, end_ns + 600 * NS_PER_S));
        ck_assert_uint_eq(mt_load_relaxed(mark_of(key.hash)), MARK_FULL);
}
END_TEST

/* What was invalidated after the word was seen is not filled, whatever stands there by then. */
START_TEST(removed_meanwhile)
{
        uint64_t        end_ns = put(), now_ns = end_ns - SLACK;
        struct l1_hit   hit;
        struct l1_lease lease, other;

        l1_set_ends(fixture.l1, EARLY, 0);
        due_at(now_ns, &hit);
        ck_assert(refresh(now_ns, &hit, &lease));
        ck_assert_uint_eq(l1_remove(fixture.l1, key.hash), 1);
        ck_assert(!l1_fill(fixture.l1, &key, &lease, VALUE, end_ns + 60 * NS_PER_S));
        ck_assert_int_eq(find_at(now_ns, &hit), NONE);

        put();
        due_at(now_ns, &hit);
        ck_assert(refresh(now_ns, &hit, &lease));
        l1_remove(fixture.l1, key.hash);
        ck_assert(fixture_lease(&key, &other)); /* PENDING in the same slot */
        ck_assert(!l1_fill(fixture.l1, &key, &lease, VALUE, end_ns + 60 * NS_PER_S));
        ck_assert(l1_fill(fixture.l1, &key, &other, LATER, end_ns));
        ck_assert(fixture_has(KEY, LATER));

        due_at(now_ns, &hit);
        ck_assert(refresh(now_ns, &hit, &lease));
        l1_remove(fixture.l1, key.hash);
        ck_assert(fixture_put(KEY, LATER)); /* LIVE, but another's */
        ck_assert(!l1_fill(fixture.l1, &key, &lease, VALUE, end_ns + 60 * NS_PER_S));
        ck_assert(fixture_has(KEY, LATER));
        ck_assert(!refresh(now_ns, &hit, &lease)); /* the word that was found has gone */
        ck_assert_uint_eq(fixture_count(COUNTER_fills_refused), 3);
}
END_TEST

/* Given back, the old one stays, and the next may try. */
START_TEST(given_up)
{
        uint64_t        now_ns = put() - SLACK;
        struct l1_hit   hit;
        struct l1_lease lease;

        l1_set_ends(fixture.l1, EARLY, 0);
        for (int i = 0; i < 3; i++) {
                due_at(now_ns, &hit);
                ck_assert(refresh(now_ns, &hit, &lease));
                l1_release(fixture.l1, &lease);
                ck_assert_ptr_null(lease.slot);
                ck_assert(fixture_has(KEY, VALUE));
        }
        /* Too large for a fill: the same. */
        due_at(now_ns, &hit);
        ck_assert(refresh(now_ns, &hit, &lease));
        ck_assert(!l1_fill(fixture.l1, &key, &lease, mt_bytes(fixture.directory, 100001), now_ns + 600 * NS_PER_S));
        ck_assert(fixture_has(KEY, VALUE));
        due_at(now_ns, &hit);
}
END_TEST

/* A claim of one who died is nobody's after two seconds. */
START_TEST(claim_of_the_dead)
{
        uint64_t        now_ns = put() + SLACK;
        struct l1_hit   hit;
        struct l1_lease lease, second;

        l1_set_ends(fixture.l1, EARLY, 100 * NS_PER_S);
        ck_assert_int_eq(find_at(now_ns, &hit), DUE);
        ck_assert(refresh(now_ns, &hit, &lease));
        ck_assert(!refresh(now_ns + NS_PER_S, &hit, &second));
        ck_assert(refresh(now_ns + 5 * NS_PER_S / 2, &hit, &second));
        /* Both publish: the second finds another word there. */
        ck_assert(l1_fill(fixture.l1, &key, &second, LATER, now_ns + 600 * NS_PER_S));
        ck_assert(!l1_fill(fixture.l1, &key, &lease, VALUE, now_ns + 600 * NS_PER_S));
        ck_assert(fixture_has(KEY, LATER));
}
END_TEST

/* The new life is what was left of the old one: nobody is to ask once more before it ends. */
START_TEST(ends_where_it_ends_in_redis)
{
        uint64_t        end_ns = put(), now_ns = end_ns - SLACK;
        struct l1_hit   hit;
        struct l1_lease lease;

        l1_set_ends(fixture.l1, 2 * NS_PER_S, 10 * NS_PER_S); /* 60 s are no life worth asking again for */
        due_at(now_ns, &hit);
        ck_assert(refresh(now_ns, &hit, &lease));
        ck_assert(l1_fill(fixture.l1, &key, &lease, VALUE, end_ns));
        ck_assert_uint_eq(mt_load_relaxed(mark_of(key.hash)) >> 4, SLOT_CLAIM_IDLE);
        for (int i = 0; i < 1000; i++)
                ck_assert_int_eq(find_at(now_ns, &hit), HIT);
        /* But past it somebody is. */
        ck_assert_int_eq(find_at(end_ns + SLACK, &hit), DUE);
        ck_assert(refresh(end_ns + SLACK, &hit, &lease));
}
END_TEST

START_TEST(kept_past_its_end)
{
        uint64_t        end_ns = put(), now_ns = end_ns + SLACK;
        struct l1_hit   hit;
        struct l1_lease lease;

        l1_set_ends(fixture.l1, 0, 10 * NS_PER_S);
        ck_assert_int_eq(find_at(end_ns - SLACK, &hit), HIT);
        ck_assert_int_eq(find_at(now_ns, &hit), DUE);
        ck_assert(!l1_still(fixture.l1, now_ns, 0, &hit));
        ck_assert(l1_still(fixture.l1, now_ns, 5 * NS_PER_S, &hit));
        ck_assert(!l1_still(fixture.l1, now_ns + 5 * NS_PER_S, 5 * NS_PER_S, &hit));
        is(&hit, VALUE);
        ck_assert_int_eq(find_at(end_ns + 10 * NS_PER_S - SLACK, &hit), DUE);
        ck_assert_int_eq(find_at(end_ns + 10 * NS_PER_S + SLACK, &hit), NONE);

        ck_assert(l1_recall(fixture.l1, &key, fixture_id(), now_ns, 5 * NS_PER_S, &hit));
        is(&hit, VALUE);
        ck_assert(!l1_recall(fixture.l1, &key, fixture_id(), now_ns, 0, &hit));
        ck_assert(!l1_recall(fixture.l1, &key, fixture_id() + SERVER_MAX, now_ns, 5 * NS_PER_S, &hit));
        ck_assert(!l1_recall(fixture.l1, &key, 0, now_ns, 5 * NS_PER_S, &hit));

        ck_assert_int_eq(find_at(now_ns, &hit), DUE);
        ck_assert(refresh(now_ns, &hit, &lease));
        l1_remove(fixture.l1, key.hash);
        ck_assert(!l1_still(fixture.l1, now_ns, 5 * NS_PER_S, &hit)); /* invalidated: nothing is served */
        ck_assert(!l1_recall(fixture.l1, &key, fixture_id(), now_ns, 5 * NS_PER_S, &hit));
        ck_assert_int_eq(find_at(now_ns, &hit), NONE);

        /* "No such key" ends with its end. */
        ck_assert(fixture_put_until(KEY, mt_bytes(NULL, 0), end_ns));
        ck_assert_int_eq(find_at(now_ns, &hit), NONE);
}
END_TEST

/* Under which word the pieces of the value were written: a reclaim of theirs takes it away only if that is PENDING. */
static void is_written_under_pending(const struct l1_hit *hit)
{
        struct item       piece;
        struct item_owner owner;

        ck_assert_ptr_nonnull(hit->pieces);
        ck_assert(item_read(fixture.l1, item_piece_offset(hit->value, 0), &piece));
        ck_assert_int_eq(piece.form, ITEM_FORM_PIECE);
        memcpy(&owner, piece.key, sizeof owner);
        ck_assert_uint_eq(slot_state(owner.pending), SLOT_PENDING);
}

/* A value in pieces, in the place of one that is whole or in pieces: readers see one or the other, whole. */
START_TEST(in_pieces)
{
        static char     before[100000], after[100000], got[100000];
        uint64_t        end_ns = clock_coarse_ns() + 60 * NS_PER_S, now_ns = end_ns - SLACK;
        struct l1_hit   hit;
        struct l1_lease lease;

        memset(before, 'b', sizeof before);
        memset(after, 'a', sizeof after);
        l1_set_ends(fixture.l1, EARLY, 0);
        ck_assert(fixture_put_until(KEY, mt_bytes(before, sizeof before), end_ns));
        for (int i = 0; i < 3; i++, now_ns += 60 * NS_PER_S) {
                due_at(now_ns, &hit);
                ck_assert(refresh(now_ns, &hit, &lease));
                ck_assert_int_eq(find_at(now_ns, &hit), HIT);
                end_ns += 60 * NS_PER_S;
                ck_assert(l1_fill(fixture.l1, &key, &lease, mt_bytes(after, sizeof after), end_ns));
                ck_assert_int_eq(find_at(now_ns, &hit), HIT);
                ck_assert(l1_copy_late(&hit, got) && memcmp(got, after, sizeof after) == 0);
                is_written_under_pending(&hit);
        }
        due_at(now_ns, &hit);
        ck_assert(refresh(now_ns, &hit, &lease));
        l1_remove(fixture.l1, key.hash);
        ck_assert(!l1_fill(fixture.l1, &key, &lease, mt_bytes(after, sizeof after), end_ns));
        ck_assert_int_eq(find_at(now_ns, &hit), NONE);
}
END_TEST

/* What may still be asked for is not reclaimed because its time is over. */
START_TEST(not_evicted_when_it_ends)
{
        char     number[32];
        unsigned there = 0;

        l1_set_ends(fixture.l1, 0, 100 * NS_PER_S);
        for (unsigned i = 0; i < 40000; i++) /* enough to seal log segments, not to fill the log */
                ck_assert(fixture_put_until(fixture_number(number, "k", i), VALUE, clock_coarse_ns() + 10 * NS_PER_S));
#ifdef MT_TEST_CLOCK
        atomic_fetch_add(&clock_test_offset_ns, 20 * (int64_t)NS_PER_S);
#endif
        l1_tend(fixture.l1, clock_coarse_ns(), 0);
        l1_tend(fixture.l1, clock_coarse_ns() + 1, 0);
        for (unsigned i = 0; i < 40000; i++) {
                struct l1_key wanted = fixture_key(fixture_number(number, "k", i));
                struct l1_hit hit;

                there += l1_recall(fixture.l1, &wanted, fixture_id(), clock_coarse_ns(), 100 * NS_PER_S, &hit);
        }
        ck_assert_msg(there > 39500, "%u of 40000 are still there", there);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------- together */

enum { READERS = 8, LIVES = 200, LIFE_S = 10, READS = 64 };

static _Atomic uint64_t moment_ns;
static _Atomic unsigned fetches, missed, refused, stale;

/* Time goes on with reads, faster where the end is far, and stands still while somebody fetches. */
static void go_on(unsigned *reads, uint64_t now_ns, uint64_t end_ns)
{
        if (++*reads % READS != 0 || mt_load_relaxed(mark_of(key.hash)) >> 4 != 0)
                return;
        mt_cas_acq_rel(&moment_ns, &now_ns, now_ns + (end_ns > now_ns + 3 * NS_PER_S / 2 ? NS_PER_S / 10 : UNIT / 4));
}

static struct mt_bytes say(char text[32], uint64_t end_ns)
{
        return mt_bytes(text, (size_t)snprintf(text, 32, "%llu", (unsigned long long)end_ns));
}

static void fetch(uint64_t now_ns, const struct l1_hit *hit)
{
        struct l1_lease lease;
        char            text[32];

        if (!refresh(now_ns, hit, &lease))
                return;
        mt_fetch_add_relaxed(&fetches, 1);
        if (!l1_fill(fixture.l1, &key, &lease, say(text, now_ns + LIFE_S * NS_PER_S), now_ns + LIFE_S * NS_PER_S))
                mt_fetch_add_relaxed(&refused, 1);
}

/* Reads all the time, and fetches when it is on it; a value's text tells its end. */
static void *reader(void *arg)
{
        unsigned reads = 0;

        (void)arg;
        while (mt_load_relaxed(&fetches) < LIVES) {
                uint64_t      now_ns = mt_load_acquire(&moment_ns), end_ns;
                char          text[32];
                struct l1_hit hit;

                switch (find_at(now_ns, &hit)) {
                case DUE: fetch(now_ns, &hit); break;
                case NONE: mt_fetch_add_relaxed(&missed, 1); break;
                case HIT:
                        if (!l1_copy_late(&hit, text))
                                break;
                        text[hit.len] = '\0';
                        end_ns = strtoull(text, NULL, 10);
                        mt_fetch_add_relaxed(&stale, end_ns + UNIT < now_ns);
                        go_on(&reads, now_ns, end_ns);
                        break;
                }
        }
        return NULL;
}

/* Eight threads that never stop reading, through two hundred lives: one fetch each (a claim may be lost to a reader who
 * marks the item as read), and never a miss. */
START_TEST(one_fetch_a_life)
{
        pthread_t thread[READERS];
        uint64_t  began_ns = clock_coarse_ns(), end_ns = began_ns + LIFE_S * NS_PER_S, lives;
        char      text[32];

        l1_set_ends(fixture.l1, UNIT, 0);
        ck_assert(fixture_put_until(KEY, say(text, end_ns), end_ns));
        mt_store_relaxed(&moment_ns, began_ns);
        for (int i = 0; i < READERS; i++)
                pthread_create(&thread[i], NULL, reader, NULL);
        for (int i = 0; i < READERS; i++)
                pthread_join(thread[i], NULL);
        lives = (mt_load_relaxed(&moment_ns) - began_ns) / (LIFE_S * NS_PER_S);
        ck_assert_msg(mt_load_relaxed(&missed) + mt_load_relaxed(&stale) == 0 && mt_load_relaxed(&refused) <= 2 &&
                              lives + 30 >= LIVES,
                      "%u fetches in %llu lives: %u missed, %u stale, %u refused", mt_load_relaxed(&fetches),
                      (unsigned long long)lives, mt_load_relaxed(&missed), mt_load_relaxed(&stale),
                      mt_load_relaxed(&refused));
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("refresh");
        TCase *one = tcase_create("one segment");

        tcase_add_checked_fixture(one, setup, fixture_end);
        tcase_set_timeout(one, 30);
        tcase_add_test(one, off);
        tcase_add_test(one, drawn_as_xfetch);
        tcase_add_test(one, one_fetches_the_others_are_served);
        tcase_add_test(one, reads_are_kept);
        tcase_add_test(one, removed_meanwhile);
        tcase_add_test(one, given_up);
        tcase_add_test(one, claim_of_the_dead);
        tcase_add_test(one, ends_where_it_ends_in_redis);
        tcase_add_test(one, kept_past_its_end);
        tcase_add_test(one, in_pieces);
        tcase_add_test(one, not_evicted_when_it_ends);
        tcase_add_test(one, one_fetch_a_life);
        suite_add_tcase(suite, one);
        return fixture_run(suite);
}
