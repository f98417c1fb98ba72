/* check_memory.c - what memory the cache takes: for an item, for a process, from /dev/shm; and that it comes back. */
#include "l1_fixture.h"

#include <signal.h>
#include <sys/stat.h>

#define MIB (UINT64_C(1) << 20)

enum { MILLION = 1000000, KEY_BYTES = 24, VALUE_BYTES = 100, BEYOND_MOST = 24 };

static char filler[2 << 20];

static struct l1_totals totals_now(void)
{
        struct l1_totals totals;

        l1_totals(fixture.l1, true, &totals);
        return totals;
}

/* A key of 24 bytes. */
static struct mt_bytes long_key(char to[32], unsigned n)
{
        return mt_bytes(to, (size_t)snprintf(to, 32, "user:profile:%011u", n));
}

static uint64_t index_bytes(void)
{
        return fixture.l1->bucket_count * sizeof(struct bucket_shm);
}

static uint64_t memory_of_file(void)
{
        struct stat st;

        ck_assert_int_eq(stat(l1_path(fixture.l1), &st), 0);
        return (uint64_t)st.st_blocks * 512;
}

/* ---------------------------------------------------------------------------------------------------------- an item */

/* Every live item is in the index or counted as lost, and at four fifths of its slots the index loses next to none. */
START_TEST(index_at_four_fifths)
{
        struct l1_totals totals;
        char             key[32];
        unsigned         n;

        fixture_setup(144 * MIB, MIB);
        n = fixture.l1->bucket_count * BUCKET_SLOTS / 5 * 4;
        ck_assert_uint_ge(n, MILLION);
        for (unsigned i = 0; i < n; i++)
                ck_assert(fixture_put(long_key(key, i), mt_bytes_of("v")));
        totals = totals_now();
        printf("index: %u items put into %u slots: %llu live, %llu lost to the index (%.4f%%)\n", n,
               fixture.l1->bucket_count * BUCKET_SLOTS, (unsigned long long)totals.items,
               (unsigned long long)totals.count[COUNTER_index_evictions],
               100.0 * (double)totals.count[COUNTER_index_evictions] / n);
        /* One that gives way to a key with the same tag is taken for that key's own, uncounted: one in 16384. */
        ck_assert_uint_le(totals.items + totals.count[COUNTER_evictions], n);
        ck_assert_uint_ge(totals.items + totals.count[COUNTER_evictions], n - 4);
        ck_assert_uint_le(totals.count[COUNTER_index_evictions], n / 1000);
}
END_TEST

/* A segment with as many bytes as a million items may take, filled with more than it has room for: what an item takes
 * beyond its key and value is its header and padding, and its share of the index. */
START_TEST(bytes_beyond_key_and_value)
{
        struct l1_totals totals;
        char             key[32];
        double           live, header, index, all;

        fixture_setup(UINT64_C(1) * MILLION * (KEY_BYTES + VALUE_BYTES + BEYOND_MOST), MIB);
        for (unsigned i = 0; i < MILLION; i++)
                ck_assert(fixture_put(long_key(key, i), mt_bytes(filler, VALUE_BYTES)));
        totals = totals_now();
        live = (double)totals.items;
        ck_assert_uint_eq(totals.key_value_bytes, totals.items * (KEY_BYTES + VALUE_BYTES));
        header = (double)(totals.live_bytes - totals.key_value_bytes) / live;
        index = (double)index_bytes() / live;
        all = (double)(totals.bytes_taken - totals.key_value_bytes) / live;
        printf("%d items of %d + %d bytes: %.0f live, index at load %.3f; beyond key and value each takes %.2f bytes "
               "in "
               "the log and %.2f of the index, and %.2f of all memory taken\n",
               MILLION, KEY_BYTES, VALUE_BYTES, live, live / ((double)fixture.l1->bucket_count * BUCKET_SLOTS), header,
               index, all);
        fflush(stdout);
        ck_assert(live >= 0.95 * MILLION);
        ck_assert(header + index <= BEYOND_MOST);
}
END_TEST

/* Any length there may be: around each power of two, and at both ends. */
START_TEST(values_of_any_size)
{
        char     key[32];
        uint64_t size;

        fixture_setup(64 * MIB, MIB);
        for (size_t i = 0; i < sizeof filler; i++)
                filler[i] = (char)(i * 31 >> 3);
        for (unsigned power = 0; power <= 20; power++) {
                for (int around = -1; around <= 1; around++) {
                        size = (UINT64_C(1) << power) + (uint64_t)(int64_t)around;
                        fixture_number(key, "size", power * 4 + (unsigned)(around + 1));
                        ck_assert(fixture_put(mt_bytes_of(key), mt_bytes(filler, size)) == (size <= MIB));
                        ck_assert(fixture_has(mt_bytes_of(key), mt_bytes(filler, size)) == (size <= MIB));
                }
        }
}
END_TEST

/* ---------------------------------------------------------------------------------------------- from /dev/shm */

/* What is not needed yet is not taken, what is taken is what stat says, and it ends at the ceiling. */
START_TEST(taken_as_needed)
{
        char     key[32];
        uint64_t at_first, before = 0, taken;

        fixture_setup(64 * MIB, MIB);
        at_first = memory_of_file();
        ck_assert_uint_lt(at_first, 8 * MIB);
        for (unsigned i = 0; i < 2000; i++) {
                ck_assert(fixture_put(fixture_number(key, "k", i), mt_bytes(filler, 64000)));
                taken = memory_of_file();
                ck_assert_uint_ge(taken, before);
                ck_assert_uint_le(taken, fixture.l1->geometry.l1_size);
                /* Never more than a little ahead of what has been put in. */
                ck_assert_uint_le(taken, at_first + (i + 1) * UINT64_C(64100) + 4 * MIB);
                before = taken;
        }
        ck_assert_uint_eq(taken, totals_now().bytes_taken);
        ck_assert_uint_gt(taken, 56 * MIB);
}
END_TEST

/* ------------------------------------------------------------------------------------------- a thousand processes */

enum { MANY = 1000, BUSY = 8, ROOM_VALUE = 4000 };

static int ready[2], go[2];

/* How many items of 4000 bytes live there when more are put in than there is room for. */
static uint64_t room(const char *stem)
{
        char     key[32];
        unsigned n = (unsigned)(fixture.l1->geometry.l1_size / ROOM_VALUE) * 5 / 4;

        for (unsigned i = 0; i < n; i++)
                fixture_put(fixture_number(key, stem, i), mt_bytes(filler, ROOM_VALUE));
        /* The newest are there. */
        for (unsigned i = n - 100; i < n; i++)
                ck_assert(fixture_has(fixture_number(key, stem, i), mt_bytes(filler, ROOM_VALUE)));
        return totals_now().items;
}

/* Attached for itself, as a program is: counts, fills, and stays. Whoever reads a word from `go` fills on and on, to be
 * killed in the middle of it. */
static void be_one_of_many(unsigned number)
{
        char key[32];

        fixture_attach();
        l1_count(fixture.l1, COUNTER_hits, 1);
        if (!fixture_put(fixture_number(key, "p", number), mt_bytes(filler, ROOM_VALUE)))
                l1_count(fixture.l1, COUNTER_misses, 1);
        (void)!write(ready[1], "r", 1);
        (void)!read(go[0], key, 1);
        (void)!write(ready[1], "b", 1);
        for (unsigned i = 0;; i++)
                fixture_put(fixture_number(key, "busy", number * 100000 + i % 100000), mt_bytes(filler, ROOM_VALUE));
}

static void await_ready(void)
{
        char c;

        ck_assert_int_eq(read(ready[0], &c, 1), 1);
}

static void start_many(pid_t *pid, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                pid[i] = fork();
                ck_assert_int_ge(pid[i], 0);
                if (pid[i] == 0)
                        be_one_of_many(i);
                await_ready();
        }
}

static void end_many(const pid_t *pid, unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                kill(pid[i], SIGKILL);
        for (unsigned i = 0; i < n; i++)
                ck_assert_int_eq(waitpid(pid[i], NULL, 0), pid[i]);
}

static unsigned blocks_with_memory(void)
{
        return mt_load_relaxed(&fixture.l1->header->counters_high);
}

/* Slots of the process table that nobody has given back: the dead keep theirs until another wants it. */
static unsigned slots_in_use(void)
{
        unsigned n = 0;

        for (unsigned i = 0; i < PROCESS_MAX; i++)
                n += mt_load_relaxed(&fixture.l1->processes[i].pid) != 0;
        return n;
}

static unsigned logsegs_owned(void)
{
        unsigned n = 0;

        for (uint32_t i = 0; i < fixture.l1->geometry.logseg_count; i++)
                n += mt_load_relaxed(&fixture.l1->logsegs[i].owner) != 0;
        return n;
}

/* What the dead held is to be had again within a second of their death: the room, their counter blocks, their slots. */
static void assert_all_returns(uint64_t alone)
{
        uint64_t died_ns = clock_precise_ns(), room_now;
        unsigned blocks = blocks_with_memory(), slots = slots_in_use();
        pid_t    pid[MANY / 4];

        ck_assert_uint_eq(totals_now().processes, 1);
        room_now = room("after");
        ck_assert_uint_lt(clock_precise_ns() - died_ns, NS_PER_S);
        /* Those that filled side by side have left so many log segments open, each filled to a part. */
        ck_assert_uint_ge(room_now + alone * LOGSEG_OPEN_MAX / totals_now().logsegs, alone * 99 / 100);
        /* Some that nobody happened to want are relieved by whoever tends the segment, once a second. */
        mt_store_relaxed(&fixture.l1->header->tended_ns, 0);
        ck_assert(fixture_put(mt_bytes_of("one more"), mt_bytes(filler, ROOM_VALUE)));
        ck_assert_uint_eq(logsegs_owned(), 0);
        start_many(pid, MANY / 4);
        ck_assert_uint_eq(totals_now().processes, 1 + MANY / 4);
        /* A claim looks at a few owners only, so now and then it takes new memory though there are dead ones. */
        ck_assert_uint_lt(blocks_with_memory(), blocks + MANY / 8);
        ck_assert_uint_le(slots_in_use(), slots + MANY / 4);
        end_many(pid, MANY / 4);
}

START_TEST(thousand_processes)
{
        static pid_t pid[MANY];
        uint64_t     alone, beside;

        fixture_setup(64 * MIB, MIB);
        ck_assert(pipe(ready) == 0 && pipe(go) == 0);
        alone = room("alone");
        start_many(pid, MANY);
        ck_assert_uint_eq(totals_now().processes, MANY + 1);
        ck_assert_uint_eq(fixture_count(COUNTER_hits), MANY);
        beside = room("beside");
        printf("room for items of %d bytes: %llu alone, %llu beside %d processes\n", ROOM_VALUE,
               (unsigned long long)alone, (unsigned long long)beside, MANY);
        ck_assert_uint_ge(beside * 100, alone * 97);
        ck_assert_uint_le(memory_of_file(), fixture.l1->geometry.l1_size);
        for (int i = 0; i < BUSY; i++)
                ck_assert_int_eq(write(go[1], "g", 1), 1);
        for (int i = 0; i < BUSY; i++)
                await_ready();
        end_many(pid, MANY);
        assert_all_returns(alone);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("memory");
        TCase *all = tcase_create("memory");

        tcase_add_checked_fixture(all, NULL, fixture_end);
        tcase_set_timeout(all, 120);
        tcase_add_test(all, index_at_four_fifths);
        tcase_add_test(all, bytes_beyond_key_and_value);
        tcase_add_test(all, values_of_any_size);
        tcase_add_test(all, taken_as_needed);
        tcase_add_test(all, thousand_processes);
        suite_add_tcase(suite, all);
        return fixture_run(suite);
}
