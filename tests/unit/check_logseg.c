/* check_logseg.c - log segments: who owns them, what a reclaim keeps and clears, what the dead and the stopped leave
 * behind. */
#include "l1_fixture.h"

#include "l1/cache/evict.h"
#include "l1/cache/logseg.h"
#include "l1/segment/process.h"

#include <signal.h>
#include <sys/mman.h>

#define MIB   (UINT64_C(1) << 20)
#define VALUE mt_bytes_of("value")

static char big[4 << 20];

static unsigned in_state(uint32_t state)
{
        unsigned n = 0;

        for (uint32_t i = 0; i < fixture.l1->geometry.logseg_count; i++)
                n += mt_load_relaxed(&fixture.l1->logsegs[i].state) == state;
        return n;
}

/* Fill until so many log segments have been reclaimed. */
static unsigned fill_until_reclaims(const char *stem, uint64_t reclaims, size_t len)
{
        uint64_t until = fixture_count(COUNTER_reclaims) + reclaims;
        char     number[32];
        unsigned n = 0;

        while (fixture_count(COUNTER_reclaims) < until) {
                for (int i = 0; i < 50; i++, n++)
                        ck_assert(fixture_put(fixture_number(number, stem, n), mt_bytes(big, len)));
        }
        return n;
}

START_TEST(sealed_in_order)
{
        uint32_t count = fixture.l1->geometry.logseg_count;

        ck_assert_uint_eq(in_state(LOGSEG_FREE), count);
        fill_until_reclaims("k", 3, 3000);
        ck_assert_uint_ge(in_state(LOGSEG_FREE), 1);
        ck_assert_uint_eq(in_state(LOGSEG_OPEN), 1);
        ck_assert_uint_ge(in_state(LOGSEG_SEALED), count - 3);
        ck_assert_uint_eq(in_state(LOGSEG_RECLAIM), 0);
        for (uint32_t i = 0; i < count; i++)
                ck_assert_uint_eq(mt_load_relaxed(&fixture.l1->logsegs[i].owner), 0);
}
END_TEST

/* The oldest go, the newest are there, and the index has nothing that the log has not. */
START_TEST(oldest_leave)
{
        char     number[32];
        unsigned n = fill_until_reclaims("k", 5, 3000), there = 0;

        for (unsigned i = 0; i < 50; i++)
                ck_assert(!fixture_has(fixture_number(number, "k", i), mt_bytes(big, 3000)));
        for (unsigned i = n - 50; i < n; i++)
                ck_assert(fixture_has(fixture_number(number, "k", i), mt_bytes(big, 3000)));
        for (unsigned i = 0; i < n; i++)
                there += fixture_has(fixture_number(number, "k", i), mt_bytes(big, 3000));
        struct l1_totals totals;
        l1_totals(fixture.l1, true, &totals);
        ck_assert_uint_eq(totals.items, there);
        ck_assert_uint_eq(totals.count[COUNTER_evictions], n - there);
        ck_assert_uint_le(totals.bytes_taken, totals.bytes_total);
        ck_assert_uint_le(totals.bytes_used, totals.bytes_taken);
}
END_TEST

/* What was read moves to the main log, and stays there until that is full of what is read more; what was not leaves. */
START_TEST(visited_stay)
{
        char number[32];

        for (unsigned i = 0; i < 40; i++)
                ck_assert(fixture_put(fixture_number(number, "hot", i), mt_bytes(big, 1000)));
        for (unsigned i = 0; i < 40; i++)
                ck_assert(fixture_put(fixture_number(number, "cold", i), mt_bytes(big, 1000)));
        for (unsigned i = 0; i < 40; i++)
                ck_assert(fixture_has(fixture_number(number, "hot", i), mt_bytes(big, 1000)));
        fill_until_reclaims("a", 2 * fixture.l1->geometry.logseg_count, 3000);
        ck_assert_uint_eq(fixture_count(COUNTER_promotions), 40);
        for (unsigned i = 0; i < 40; i++)
                ck_assert(!fixture_has(fixture_number(number, "cold", i), mt_bytes(big, 1000)));
        for (unsigned i = 0; i < 40; i++)
                ck_assert(fixture_has(fixture_number(number, "hot", i), mt_bytes(big, 1000)));
        /* Everything that comes now is read twice: the main log turns over, and they are not read any more. */
        for (unsigned i = 0; i < 40000; i++) {
                ck_assert(fixture_put(fixture_number(number, "warm", i), mt_bytes(big, 1000)));
                ck_assert(fixture_has(mt_bytes_of(number), mt_bytes(big, 1000)));
                ck_assert(fixture_has(mt_bytes_of(number), mt_bytes(big, 1000)));
        }
        for (unsigned i = 0; i < 40; i++)
                ck_assert(!fixture_has(fixture_number(number, "hot", i), mt_bytes(big, 1000)));
}
END_TEST

/* Everything is read all the time: each reclaim still makes room. */
START_TEST(all_visited)
{
        char     number[32];
        unsigned before = 0;

        for (unsigned i = 0; i < 20000; i++) {
                ck_assert(fixture_put(fixture_number(number, "k", i), mt_bytes(big, 1000)));
                ck_assert(fixture_has(mt_bytes_of(number), mt_bytes(big, 1000)));
        }
        ck_assert_uint_gt(fixture_count(COUNTER_reclaims), 10);
        ck_assert_uint_eq(fixture_count(COUNTER_fills_skipped), before);
}
END_TEST

START_TEST(dead_namespaces_leave)
{
        char     number[32];
        uint32_t old;

        for (unsigned i = 0; i < 40; i++) {
                ck_assert(fixture_put(fixture_number(number, "hot", i), mt_bytes(big, 1000)));
                ck_assert(fixture_has(mt_bytes_of(number), mt_bytes(big, 1000)));
        }
        old = fixture_id();
        l1_flush_server(fixture.l1, fixture.server);
        ck_assert_uint_ne(fixture_id(), old);
        fill_until_reclaims("a", 3, 3000);
        for (unsigned i = 0; i < 40; i++) {
                struct l1_key key = fixture_key(fixture_number(number, "hot", i));
                struct l1_hit hit;

                ck_assert(!l1_find(fixture.l1, &key, old, clock_coarse_ns(), &hit));
        }
}
END_TEST

#ifdef MT_TEST_CLOCK
START_TEST(expired_leave)
{
        char     number[32];
        uint64_t expired;

        for (unsigned i = 0; i < 40; i++) {
                ck_assert(fixture_put_until(fixture_number(number, "hot", i), mt_bytes(big, 1000),
                                            clock_coarse_ns() + NS_PER_S));
                ck_assert(fixture_has(mt_bytes_of(number), mt_bytes(big, 1000)));
        }
        expired = fixture_count(COUNTER_expired);
        atomic_fetch_add(&clock_test_offset_ns, (int64_t)(2 * NS_PER_S));
        fill_until_reclaims("a", 3, 3000);
        ck_assert_uint_eq(fixture_count(COUNTER_expired), expired + 40);
}
END_TEST
#endif

/* A reader that found an item before its log segment was used again never takes what it copies for good. */
START_TEST(copy_across_reclaim)
{
        struct l1_key key = fixture_key(mt_bytes_of("k"));
        struct l1_hit hit;
        char          got[3000];

        ck_assert(fixture_put(key.key, mt_bytes(big, sizeof got)));
        ck_assert(l1_find(fixture.l1, &key, fixture_id(), clock_coarse_ns(), &hit));
        for (unsigned i = 0; i < BUCKET_SLOTS; i++) /* not visited: it leaves */
                mt_store_relaxed((_Atomic uint8_t *)(((uintptr_t)hit.slot & ~(uintptr_t)63) + 56 + i), 0);
        fill_until_reclaims("a", 2, 3000);
        ck_assert(!l1_copy(&hit, got));
        ck_assert(fixture_put(key.key, mt_bytes(big, sizeof got)));
        ck_assert(!l1_copy(&hit, got));
}
END_TEST

/* Replace the key until it is the first item of the first log segment. */
static void put_at_the_start(const struct l1_key *key, struct l1_hit *hit)
{
        for (unsigned i = 0; i < 10000; i++) {
                l1_remove(fixture.l1, key->hash);
                ck_assert(fixture_put(key->key, mt_bytes(big, 3000)));
                ck_assert(l1_find(fixture.l1, key, fixture_id(), clock_coarse_ns(), hit));
                if (slot_offset(fixture.l1, hit->word) == 0)
                        return;
        }
        ck_abort_msg("it never is");
}

/* A reader was stopped between its two looks while the log segment was reclaimed 2^16 times, and the same key stands at
 * the same offset in the same slot again: not under the same word. */
START_TEST(copy_across_many_reclaims)
{
        struct logseg_shm *shm = &fixture.l1->logsegs[0];
        struct l1_key      key = fixture_key(mt_bytes_of("k"));
        struct l1_hit      before, after;

        put_at_the_start(&key, &before);
        l1_remove(fixture.l1, key.hash);
        mt_store_relaxed(&shm->generation, 65535);
        put_at_the_start(&key, &after);
        ck_assert_uint_eq(mt_load_relaxed(&shm->generation), 65536);
        ck_assert_ptr_eq(before.slot, after.slot);
        ck_assert_ptr_eq(before.value, after.value);
        ck_assert_uint_eq(slot_generation(fixture.l1, before.word), 0);
        ck_assert_uint_eq(slot_generation(fixture.l1, after.word), 65536);
        ck_assert(l1_copy(&after, big));
        ck_assert(!l1_copy(&before, big));
}
END_TEST

/* ------------------------------------------------------------------------------------- the dead and the stopped */

static void hold_and_die(void)
{
        struct logseg seg;

        if (!logseg_begin(fixture.l1, LOGSEG_SMALL, 1000, &seg))
                _exit(1);
        memset(logseg_at(fixture.l1, &seg), 0xee, 1000); /* half an append */
        raise(SIGKILL);
}

static void wait_for_look(void)
{
        for (uint64_t end_ns = clock_precise_ns() + 30 * NS_PER_MS; clock_precise_ns() < end_ns;)
                ;
}

START_TEST(dead_owner)
{
        struct l1_totals totals;

        ck_assert(fixture_put(mt_bytes_of("before"), VALUE));
        for (int i = 0; i < 3 * LOGSEG_OPEN_MAX; i++)
                fixture_child(hold_and_die, SIGKILL);
        wait_for_look();
        ck_assert(fixture_put(mt_bytes_of("after"), VALUE));
        ck_assert(fixture_has(mt_bytes_of("before"), VALUE));
        ck_assert(fixture_has(mt_bytes_of("after"), VALUE));
        l1_totals(fixture.l1, false, &totals);
        ck_assert_uint_ge(totals.logsegs_free, totals.logsegs - LOGSEG_OPEN_MAX);
}
END_TEST

static int held[2];

static void hold_and_stop(void)
{
        struct logseg seg;
        bool          held_one = logseg_begin(fixture.l1, LOGSEG_SMALL, 1000, &seg);

        (void)!write(held[1], held_one ? "y" : "n", 1);
        for (;;)
                pause();
}

/* Each stopped owner pins the log segment it holds; the others go on, or skip a fill, but never wait. */
START_TEST(stopped_owners)
{
        pid_t    pid[LOGSEG_OPEN_MAX];
        uint32_t limit = fixture.l1->open_limit;
        char     c, number[32];

        ck_assert_int_eq(pipe(held), 0);
        for (uint32_t i = 0; i < limit; i++) {
                ck_assert(fixture_put(fixture_number(number, "k", i), VALUE));
                pid[i] = fork();
                if (pid[i] == 0) {
                        l1_after_fork(fixture.l1);
                        hold_and_stop();
                }
                ck_assert_int_eq(read(held[0], &c, 1), 1);
                ck_assert_int_eq(c, 'y');
                kill(pid[i], SIGSTOP);
        }
        uint64_t begin_ns = clock_precise_ns();
        ck_assert(!fixture_put(mt_bytes_of("skipped"), VALUE));
        ck_assert_uint_lt(clock_precise_ns() - begin_ns, 100 * NS_PER_MS);
        ck_assert_uint_eq(fixture_count(COUNTER_fills_skipped), 1);
        /* One of them dies: its place is everybody's again, and the log turns over around those that stand still. */
        kill(pid[0], SIGKILL);
        waitpid(pid[0], NULL, 0);
        wait_for_look();
        fill_until_reclaims("m", fixture.l1->geometry.logseg_count, 3000);
        for (uint32_t i = 1; i < limit; i++) {
                kill(pid[i], SIGKILL);
                waitpid(pid[i], NULL, 0);
        }
        wait_for_look();
        fill_until_reclaims("l", fixture.l1->geometry.logseg_count, 3000);
        for (uint32_t i = 0; i < fixture.l1->geometry.logseg_count; i++) {
                uint64_t owner = mt_load_relaxed(&fixture.l1->logsegs[i].owner);

                ck_assert(owner == 0 || l1_owner_dead(fixture.l1, owner));
        }
}
END_TEST

static void take_free_and_stop(void)
{
        struct logseg seg;
        bool          held_one = false;

        for (uint32_t i = fixture.l1->geometry.logseg_count; i > 0 && !held_one; i--)
                held_one = mt_load_relaxed(&fixture.l1->logsegs[i - 1].state) == LOGSEG_FREE &&
                           logseg_own(fixture.l1, i - 1, l1_self(fixture.l1), false, &seg);
        (void)!write(held[1], held_one ? "y" : "n", 1);
        for (;;)
                pause();
}

/* Those who stand still while they take a free log segment keep nobody from reclaiming others; when they die theirs is
 * used again, wherever it is. */
START_TEST(stopped_takers)
{
        pid_t pid[3];
        char  c;

        ck_assert_int_eq(pipe(held), 0);
        for (int i = 0; i < 3; i++) {
                pid[i] = fork();
                if (pid[i] == 0) {
                        l1_after_fork(fixture.l1);
                        take_free_and_stop();
                }
                ck_assert_int_eq(read(held[0], &c, 1), 1);
                ck_assert_int_eq(c, 'y');
        }
        fill_until_reclaims("k", 3, 3000);
        for (int i = 0; i < 3; i++) {
                kill(pid[i], SIGKILL);
                waitpid(pid[i], NULL, 0);
        }
        fill_until_reclaims("l", 3, 3000);
        for (uint32_t i = 0; i < fixture.l1->geometry.logseg_count; i++)
                ck_assert_uint_eq(mt_load_relaxed(&fixture.l1->logsegs[i].owner), 0);
}
END_TEST

/* A place in the list names a log segment that has been sealed, reclaimed and opened for the other log since. */
START_TEST(listed_for_the_other_log)
{
        struct l1_key key = fixture_key(mt_bytes_of("k"));
        struct logseg seg;
        struct l1_hit hit;

        ck_assert(logseg_begin(fixture.l1, LOGSEG_MAIN, 100, &seg));
        logseg_end(&seg);
        mt_store_relaxed(&fixture.l1->header->open[LOGSEG_SMALL][0], seg.number + 1);
        ck_assert(fixture_put(key.key, VALUE));
        ck_assert(l1_find(fixture.l1, &key, fixture_id(), clock_coarse_ns(), &hit));
        ck_assert_uint_ne(slot_offset(fixture.l1, hit.word) / (fixture.l1->logseg_mask + 1), seg.number);
        ck_assert(logseg_is_listed(fixture.l1, seg.number));
        /* Nor does it keep one from being found that its own log does not list. */
        mt_store_relaxed(&fixture.l1->header->open[LOGSEG_SMALL][1], seg.number + 1);
        mt_store_relaxed(&fixture.l1->header->open[LOGSEG_MAIN][0], 0);
        ck_assert(!logseg_is_listed(fixture.l1, seg.number));
        l1_tend(fixture.l1, clock_coarse_ns(), 0);
        ck_assert_uint_eq(mt_load_relaxed(&fixture.l1->logsegs[seg.number].state), LOGSEG_FREE);
}
END_TEST

static void die_reclaiming(void)
{
        struct logseg victim;

        for (uint32_t i = 0; i < fixture.l1->geometry.logseg_count; i++) {
                if (mt_load_relaxed(&fixture.l1->logsegs[i].state) != LOGSEG_SEALED)
                        continue;
                if (!logseg_own(fixture.l1, i, l1_self(fixture.l1), false, &victim))
                        _exit(1);
                mt_store_relaxed(&victim.shm->state, LOGSEG_RECLAIM); /* before the first slot is cleared */
                raise(SIGKILL);
        }
        _exit(2);
}

START_TEST(dead_reclaimer)
{
        fill_until_reclaims("k", 1, 3000);
        fixture_child(die_reclaiming, SIGKILL);
        ck_assert_uint_eq(in_state(LOGSEG_RECLAIM), 1);
        fill_until_reclaims("l", 2, 3000);
        ck_assert_uint_eq(in_state(LOGSEG_RECLAIM), 0);
}
END_TEST

static void die_between_open_and_listed(void)
{
        struct logseg seg;

        for (uint32_t i = 0; i < fixture.l1->geometry.logseg_count; i++) {
                if (mt_load_relaxed(&fixture.l1->logsegs[i].state) != LOGSEG_FREE)
                        continue;
                if (!logseg_own(fixture.l1, i, l1_self(fixture.l1), false, &seg))
                        _exit(1);
                mt_store_relaxed(&seg.shm->state, LOGSEG_OPEN);
                raise(SIGKILL);
        }
        _exit(2);
}

START_TEST(dead_opener)
{
        ck_assert(fixture_put(mt_bytes_of("k"), VALUE));
        for (int i = 0; i < 5; i++)
                fixture_child(die_between_open_and_listed, SIGKILL);
        ck_assert_uint_eq(in_state(LOGSEG_OPEN), 6);
        fill_until_reclaims("k", 8, 3000);
        ck_assert_uint_eq(in_state(LOGSEG_OPEN), 1);
}
END_TEST

/* A state that there is not: somebody else's doing, and its place is had again like what the dead left. */
START_TEST(unknown_state)
{
        struct logseg_shm *shm = &fixture.l1->logsegs[fixture.l1->geometry.logseg_count - 1];

        mt_store_relaxed(&shm->state, LOGSEG_RECLAIM + 1);
        fill_until_reclaims("k", 3, 3000);
        ck_assert_uint_le(mt_load_relaxed(&shm->state), LOGSEG_RECLAIM);
}
END_TEST

/* Fill until a reclaim has met what makes no sense. The fill that meets it is itself refused. */
static void fill_until_corrupt(const char *stem)
{
        uint64_t before = fixture_count(COUNTER_error_corrupt);
        char     number[32];

        for (unsigned i = 0; fixture_count(COUNTER_error_corrupt) == before; i++) {
                bool put = fixture_put(fixture_number(number, stem, i), mt_bytes(big, 3000));

                ck_assert(put || fixture_count(COUNTER_error_corrupt) > before);
        }
}

/* Lengths in the log that make no sense: all slots that point there are cleared, one way or the other. */
START_TEST(noise_in_the_log)
{
        struct logseg_shm *shm = &fixture.l1->logsegs[0];
        char               number[32];
        struct l1_totals   totals;

        for (unsigned n = 0; mt_load_relaxed(&shm->state) != LOGSEG_SEALED; n++)
                ck_assert(fixture_put(fixture_number(number, "k", n), mt_bytes(big, 3000)));
        struct item item;
        uint64_t    at = 0;
        for (int i = 0; i < 5; i++, at += item.size)
                ck_assert(item_read(fixture.l1, at, &item));
        memset(fixture.l1->log + at, 0xff, 64);
        fill_until_corrupt("l");
        for (uint32_t b = 0; b < fixture.l1->bucket_count; b++) {
                for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
                        uint64_t word = mt_load_relaxed(&fixture.l1->index[b].slot[i]);

                        ck_assert(slot_state(word) != SLOT_LIVE ||
                                  slot_offset(fixture.l1, word) > fixture.l1->logseg_mask ||
                                  slot_generation(fixture.l1, word) != 0);
                }
        }
        l1_totals(fixture.l1, true, &totals);
        ck_assert_uint_gt(totals.items, 0);
}
END_TEST

/* Somebody wrote into the process table: this process looks dead, and what it owns seems to be anybody's. A log segment
 * is not reclaimed into itself. */
START_TEST(seems_dead)
{
        struct process_shm *slot = &fixture.l1->processes[(uint32_t)l1_self(fixture.l1) - 1];

        atomic_fetch_add(&slot->incarnation, 2);
        fill_until_reclaims("k", 3, 3000);
        ck_assert_ptr_null(l1_verify(fixture.l1));
}
END_TEST

/* The first piece of a value makes no sense: its log segment is not walked, and still neither the list, which stands
 * elsewhere, leads into it any more, nor can a filler that may have a piece there publish one. */
START_TEST(noise_in_a_piece)
{
        struct l1_key   key = fixture_key(mt_bytes_of("k")), asked = fixture_key(mt_bytes_of("asked"));
        struct l1_lease lease;
        struct l1_hit   hit;

        ck_assert(fixture_put(key.key, mt_bytes(big, 90000)));
        ck_assert(l1_find(fixture.l1, &key, fixture_id(), clock_coarse_ns(), &hit));
        ck_assert_uint_gt(slot_offset(fixture.l1, hit.word), fixture.l1->logseg_mask);
        ck_assert(fixture_lease(&asked, &lease));
        memset(fixture.l1->log, 0xff, 64);
        fill_until_corrupt("l");
        ck_assert(!l1_copy(&hit, big));
        ck_assert_uint_ne(mt_load_relaxed(hit.slot), hit.word);
        ck_assert(!l1_fill(fixture.l1, &asked, &lease, VALUE, clock_coarse_ns() + NS_PER_S));
        fill_until_reclaims("m", 1, 3000);
}
END_TEST

/* A segment full of noise under a good header: nothing is found, nothing faults, whatever is called. */
START_TEST(hostile_segment)
{
        struct l1 *l1 = fixture.l1;
        uint64_t   seed = 12345 + (uint64_t)_i;
        uint64_t  *words = (uint64_t *)(l1->base + l1->geometry.servers_at);
        size_t     n = (l1->geometry.counters_at - l1->geometry.servers_at) / 8;
        char       number[32], got[64];

        for (unsigned i = 0; i < 500; i++)
                fixture_put(fixture_number(number, "k", i), mt_bytes(big, 3000));
        for (int part = 0; part < 2; part++) {
                for (size_t i = 0; i < n; i++) {
                        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
                        words[i] = seed ^ seed >> 29;
                }
                words = (uint64_t *)(l1->base + l1->geometry.logsegs_at);
                n = (l1->geometry.log_at - l1->geometry.logsegs_at + 65536) / 8;
        }
        for (int i = 0; i < LOGSEG_KINDS * LOGSEG_OPEN_MAX; i++)
                mt_store_relaxed(&l1->header->open[i / LOGSEG_OPEN_MAX][i % LOGSEG_OPEN_MAX], (uint32_t)(seed >> i));
        for (unsigned i = 0; i < 3000; i++) {
                struct l1_key   key = fixture_key(fixture_number(number, "k", i));
                struct l1_lease lease;
                struct l1_hit   hit;

                if (l1_find(l1, &key, 1, clock_coarse_ns(), &hit) && hit.len <= sizeof got)
                        l1_copy(&hit, got);
                if (l1_lease(l1, &key, 1, clock_coarse_ns(), &lease))
                        l1_fill(l1, &key, &lease, VALUE, clock_coarse_ns() + NS_PER_S);
                l1_remove(l1, key.hash);
        }
        struct l1_server_id id;
        struct l1_totals    totals;
        uint64_t            user[2] = {1, 2};
        fixture_name_server(&id, 3);
        struct server_shm *server = l1_server(l1, &id);
        l1_namespace(l1, server != NULL ? server : fixture.server, 0, user);
        l1_flush_all(l1);
        l1_totals(l1, false, &totals);
        ck_assert_ptr_nonnull(l1_verify(l1));
        fixture.l1 = NULL;
}
END_TEST

/* ------------------------------------------------------------------------------------------------------- pieces */

/* Every length around where a value begins to be cut, and around whole pieces. */
START_TEST(pieces_of_all_lengths)
{
        uint64_t piece = fixture.l1->piece_bytes, whole = fixture.l1->whole_bytes;
        char     number[32];
        unsigned n = 0;

        for (size_t i = 0; i < sizeof big; i++)
                big[i] = (char)(i * 7 + i / 251);
        for (uint64_t middle = piece; middle <= 4 * piece; middle += piece) {
                for (uint64_t len = middle - 2; len <= middle + 2; len++, n++) {
                        ck_assert(fixture_put(fixture_number(number, "p", n), mt_bytes(big, len)));
                        ck_assert(fixture_has(mt_bytes_of(number), mt_bytes(big, len)));
                }
        }
        for (uint64_t len = whole - 60; len <= whole + 8; len++, n++) {
                ck_assert(fixture_put(fixture_number(number, "w", n), mt_bytes(big, len)));
                ck_assert(fixture_has(mt_bytes_of(number), mt_bytes(big, len)));
        }
}
END_TEST

/* A value in pieces that is read moves to the main log with all of them, time and again; one that is not leaves. */
START_TEST(pieces_move)
{
        char     number[32];
        uint64_t removed;

        for (size_t i = 0; i < sizeof big; i++)
                big[i] = (char)(i * 13 + i / 257);
        ck_assert(fixture_put(mt_bytes_of("read"), mt_bytes(big, 90000)));
        ck_assert(fixture_put(mt_bytes_of("unread"), mt_bytes(big, 90000)));
        for (unsigned i = 0; i < 12000; i++) {
                ck_assert(fixture_put(fixture_number(number, "k", i), mt_bytes(big, 3000)));
                if (i % 4 == 0) /* fills the main log as well */
                        ck_assert(fixture_has(mt_bytes_of(number), mt_bytes(big, 3000)));
                if (i % 100 == 0)
                        ck_assert(fixture_has(mt_bytes_of("read"), mt_bytes(big, 90000)));
        }
        ck_assert(fixture_has(mt_bytes_of("read"), mt_bytes(big, 90000)));
        ck_assert(!fixture_has(mt_bytes_of("unread"), mt_bytes(big, 90000)));
        removed = l1_remove(fixture.l1, fixture_key(mt_bytes_of("read")).hash);
        ck_assert_uint_eq(removed, 1);
        ck_assert(!fixture_has(mt_bytes_of("read"), mt_bytes(big, 90000)));
        /* No longer read, it leaves the main log when that turns over. */
        ck_assert(fixture_put(mt_bytes_of("read"), mt_bytes(big, 90000)));
        ck_assert(fixture_has(mt_bytes_of("read"), mt_bytes(big, 90000)));
        for (unsigned i = 0; i < 30000; i++) {
                ck_assert(fixture_put(fixture_number(number, "m", i), mt_bytes(big, 3000)));
                ck_assert(fixture_has(mt_bytes_of(number), mt_bytes(big, 3000)));
                ck_assert(fixture_has(mt_bytes_of(number), mt_bytes(big, 3000)));
        }
        ck_assert(!fixture_has(mt_bytes_of("read"), mt_bytes(big, 90000)));
}
END_TEST

/* A reader in the middle of a value in pieces, one of which is used for something else meanwhile: not whole, no hit. */
START_TEST(pieces_reclaimed_under_a_reader)
{
        struct l1_key key = fixture_key(mt_bytes_of("k"));
        struct l1_hit hit;

        ck_assert(fixture_put(key.key, mt_bytes(big, 90000)));
        ck_assert(l1_find(fixture.l1, &key, fixture_id(), clock_coarse_ns(), &hit));
        ck_assert_uint_eq(hit.len, 90000);
        mt_store_relaxed((_Atomic uint8_t *)(((uintptr_t)hit.slot & ~(uintptr_t)63) + 56 +
                                             ((uintptr_t)hit.slot & 63) / 8),
                         0); /* not read: it leaves */
        fill_until_reclaims("a", 2, 3000);
        ck_assert_uint_ne(mt_load_relaxed(hit.slot), hit.word);
        ck_assert(!l1_copy(&hit, big));
}
END_TEST

/* A filler that stands still between the last piece and the list, until the log segments of the pieces have been used
 * for something else: what it publishes then would not be whole, so it is refused. */
START_TEST(pieces_reclaimed_under_a_filler)
{
        struct l1_key     key = fixture_key(mt_bytes_of("k"));
        struct l1_lease   lease;
        struct logseg     seg;
        uint64_t          size = item_piece_size(1000);
        struct item_owner owner;

        ck_assert(fixture_lease(&key, &lease));
        owner = (struct item_owner){key.hash, lease.pending};
        ck_assert(logseg_begin(fixture.l1, LOGSEG_SMALL, size, &seg));
        item_write_piece(logseg_at(fixture.l1, &seg), UINT32_MAX, &owner, mt_bytes(big, 1000));
        logseg_commit(&seg, size, 1, UINT32_MAX);
        logseg_end(&seg);
        fill_until_reclaims("a", 1, 3000);
        ck_assert_uint_ne(mt_load_relaxed(lease.slot), lease.pending);
        ck_assert(!l1_fill(fixture.l1, &key, &lease, VALUE, clock_coarse_ns() + NS_PER_S));
}
END_TEST

/* ----------------------------------------------------------------------------------------------------- retention */

/* Removed items make room before any that lives has to leave. */
START_TEST(removed_go_first)
{
        static bool there[8192];
        uint32_t    half = fixture.l1->geometry.logseg_count / 2;
        char        number[32];
        unsigned    n, lost = 0;

        for (n = 0; in_state(LOGSEG_SEALED) < half; n++)
                ck_assert(fixture_put(fixture_number(number, "live", n), mt_bytes(big, 3000)));
        for (unsigned i = 0; in_state(LOGSEG_FREE) > 3; i++)
                ck_assert(fixture_put(fixture_number(number, "gone", i), mt_bytes(big, 3000)));
        for (unsigned i = 0; i < 20 * half; i++)
                l1_remove(fixture.l1, fixture_key(fixture_number(number, "gone", i)).hash);
        ck_assert_uint_lt(n, sizeof there);
        for (unsigned i = 0; i < n; i++) {
                there[i] = fixture_has(fixture_number(number, "live", i), mt_bytes(big, 3000));
                lost += !there[i];
        }
        ck_assert_uint_le(lost, 4); /* removal compares tags: one in some thousands takes another's item with it */
        for (unsigned i = 0; i < 5 * half; i++)
                ck_assert(fixture_put(fixture_number(number, "new", i), mt_bytes(big, 3000)));
        ck_assert_uint_gt(fixture_count(COUNTER_reclaims), half / 4);
        ck_assert_uint_eq(fixture_count(COUNTER_evictions), 0);
        for (unsigned i = 0; i < n; i++)
                ck_assert(!there[i] || fixture_has(fixture_number(number, "live", i), mt_bytes(big, 3000)));
}
END_TEST

/* Who comes back soon after leaving unread is put into the main log. */
START_TEST(returned_go_to_main)
{
        char     number[32];
        unsigned n = fill_until_reclaims("k", 3, 3000), back = 0;

        for (unsigned i = 0; i < n; i++) {
                if (fixture_has(fixture_number(number, "k", i), mt_bytes(big, 3000)))
                        continue;
                ck_assert(fixture_put(mt_bytes_of(number), mt_bytes(big, 3000)));
                back++;
                if (back == 20)
                        break;
        }
        ck_assert_uint_eq(fixture_count(COUNTER_returns), back);
        fill_until_reclaims("l", 2 * fixture.l1->geometry.logseg_count, 3000);
        for (unsigned i = 0; i < 20; i++)
                ck_assert(fixture_has(fixture_number(number, "k", i), mt_bytes(big, 3000)));
}
END_TEST

/* ------------------------------------------------------------------------------------------------------- sizes */

START_TEST(big_values)
{
        static const uint64_t max = MIB;
        char                  number[32];

        fixture_setup(64 * MIB, max);
        memset(big, 'b', sizeof big);
        for (unsigned i = 0; i < 60; i++) {
                memset(big, (int)('a' + i % 26), sizeof big);
                ck_assert(fixture_put(fixture_number(number, "k", i), mt_bytes(big, max - i % 3)));
                ck_assert(fixture_has(mt_bytes_of(number), mt_bytes(big, max - i % 3)));
        }
        ck_assert_uint_gt(fixture_count(COUNTER_reclaims), 0);
        ck_assert(!fixture_put(mt_bytes_of("more"), mt_bytes(big, max + 1)));
}
END_TEST

/* Past the short form's 22 bits. */
START_TEST(long_values)
{
        const size_t len = ITEM_NIL + 5;
        char        *value = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        char         number[32];

        fixture_setup(64 * MIB, 6 * MIB);
        for (unsigned i = 0; i < 6; i++) {
                for (size_t l = ITEM_NIL - 1; l <= len; l += 2) {
                        memset(value, (int)i, len);
                        l1_remove(fixture.l1, fixture_key(fixture_number(number, "k", i)).hash);
                        ck_assert(fixture_put(mt_bytes_of(number), mt_bytes(value, l)));
                        ck_assert(fixture_has(mt_bytes_of(number), mt_bytes(value, l)));
                }
        }
        ck_assert_uint_gt(fixture_count(COUNTER_reclaims), 0);
        munmap(value, len);
}
END_TEST

/* The smallest segment there is. */
START_TEST(small_segment)
{
        char number[32];

        fixture_setup(1, MIB);
        ck_assert_uint_eq(fixture.l1->geometry.l1_size, GEOMETRY_L1_MIN);
        for (unsigned i = 0; i < 5000; i++)
                ck_assert(fixture_put(fixture_number(number, "k", i), mt_bytes(big, 1000)));
        ck_assert(fixture_has(mt_bytes_of(number), mt_bytes(big, 1000)));
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("logseg");
        TCase *usual = tcase_create("8 MiB"), *sizes = tcase_create("other sizes");

        tcase_add_checked_fixture(usual, fixture_usual, fixture_end);
        tcase_set_timeout(usual, 60);
        tcase_add_test(usual, sealed_in_order);
        tcase_add_test(usual, oldest_leave);
        tcase_add_test(usual, visited_stay);
        tcase_add_test(usual, all_visited);
        tcase_add_test(usual, dead_namespaces_leave);
#ifdef MT_TEST_CLOCK
        tcase_add_test(usual, expired_leave);
#endif
        tcase_add_test(usual, copy_across_reclaim);
        tcase_add_test(usual, copy_across_many_reclaims);
        tcase_add_test(usual, dead_owner);
        tcase_add_test(usual, stopped_owners);
        tcase_add_test(usual, stopped_takers);
        tcase_add_test(usual, listed_for_the_other_log);
        tcase_add_test(usual, dead_reclaimer);
        tcase_add_test(usual, dead_opener);
        tcase_add_test(usual, unknown_state);
        tcase_add_test(usual, noise_in_the_log);
        tcase_add_test(usual, seems_dead);
        tcase_add_test(usual, noise_in_a_piece);
        tcase_add_loop_test(usual, hostile_segment, 0, 20);
        tcase_add_test(usual, pieces_of_all_lengths);
        tcase_add_test(usual, pieces_move);
        tcase_add_test(usual, pieces_reclaimed_under_a_reader);
        tcase_add_test(usual, pieces_reclaimed_under_a_filler);
        tcase_add_test(usual, removed_go_first);
        tcase_add_test(usual, returned_go_to_main);
        suite_add_tcase(suite, usual);

        tcase_add_checked_fixture(sizes, NULL, fixture_end);
        tcase_set_timeout(sizes, 60);
        tcase_add_test(sizes, big_values);
        tcase_add_test(sizes, long_values);
        tcase_add_test(sizes, small_segment);
        suite_add_tcase(suite, sizes);
        return fixture_run(suite);
}
