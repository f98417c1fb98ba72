/* check_disk.c - the disk tier: everything a store must do, and what a disk adds: programs and machines that end at any
 * moment, a map and a disk that are full, a reader that stands still, clocks that are set, files that are not ours. */
#include "halt.h"
#include "store_fixture.h"

#include "l1/tier/plugins/lmdb_store.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>

extern _Atomic int64_t  store_test_wall_us, store_test_boot_us;
extern _Atomic uint64_t store_test_machine;

#define B         (&backend_lmdb)
#define MINUTE_US INT64_C(60000000)
#define MIB       (UINT64_C(1) << 20)

static const char fast[] = "size=64M&sync=0";

static void setup(void)
{
        store_folder_make();
}

static void teardown(void)
{
        store_folder_remove();
}

static uint64_t file_bytes(void)
{
        char        path[96];
        struct stat st;

        snprintf(path, sizeof path, "%s/data.mdb", store_folder);
        ck_assert_int_eq(stat(path, &st), 0);
        return (uint64_t)st.st_size;
}

static enum mt_status put_bytes(void *self, const char *key, const void *value, size_t len, uint64_t ttl_ms)
{
        return B->ops->cache.set_with_ttl(self, mt_bytes_of(key), mt_bytes(value, len), ttl_ms);
}

static const char *key_of(const char *word, unsigned n)
{
        static char key[64];

        snprintf(key, sizeof key, "%s%u", word, n);
        return key;
}

/* -------------------------------------------------------------------------------------- the environment itself */

static size_t rows(MDB_txn *txn, const char *table)
{
        MDB_dbi  dbi;
        MDB_stat stat;

        ck_assert_int_eq(mdb_dbi_open(txn, table, 0, &dbi), 0);
        ck_assert_int_eq(mdb_stat(txn, dbi, &stat), 0);
        return stat.ms_entries;
}

/* Every entry has its row of the index and its chunks; there are no others, once the garbage has been taken away. */
static void environment_sound(void)
{
        struct store_entry e;
        MDB_env           *env;
        MDB_txn           *txn;
        MDB_dbi            entries, index, chunks_dbi;
        MDB_cursor        *cursor;
        MDB_val            k, v;
        size_t             n = 0, chunks = 0;

        ck_assert_int_eq(mdb_env_create(&env), 0);
        mdb_env_set_maxdbs(env, 8);
        mdb_env_set_mapsize(env, 64 * MIB);
        ck_assert_int_eq(mdb_env_open(env, store_folder, MDB_RDONLY | MDB_NOTLS, 0600), 0);
        ck_assert_int_eq(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
        ck_assert_int_eq(mdb_dbi_open(txn, "entries", 0, &entries), 0);
        ck_assert_int_eq(mdb_dbi_open(txn, "index", 0, &index), 0);
        ck_assert_int_eq(mdb_dbi_open(txn, "chunks", 0, &chunks_dbi), 0);
        ck_assert_int_eq(mdb_cursor_open(txn, entries, &cursor), 0);
        while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == 0) {
                struct {
                        uint64_t over, seq;
                } name;
                MDB_val row = {sizeof name, &name}, there;

                ck_assert_uint_ge(v.mv_size, sizeof e);
                memcpy(&e, v.mv_data, sizeof e);
                name.over = htobe64(e.wall_over_us);
                name.seq = htobe64(e.seq);
                ck_assert_int_eq(mdb_get(txn, index, &row, &there), 0);
                ck_assert(there.mv_size == k.mv_size && memcmp(there.mv_data, k.mv_data, k.mv_size) == 0);
                chunks += e.chunks;
                n++;
        }
        mdb_cursor_close(cursor);
        ck_assert_uint_eq(rows(txn, "index"), n);
        if (rows(txn, "garbage") == 0)
                ck_assert_uint_eq(rows(txn, "chunks"), chunks);
        mdb_txn_abort(txn);
        mdb_env_close(env);
}

/* --------------------------------------------------------------------------------------------------------- tests */

START_TEST(conforms)
{
        store_conform(B, store_folder, fast, NULL, NULL);
        environment_sound();
}
END_TEST

static void child_writes(void)
{
        void *self = store_must_open(B, store_folder, "size=64M&sync=1");

        ck_assert_int_eq(put(B, self, "kept", "value"), MT_OK);
        ck_assert_int_eq(put(B, self, "gone", "value"), MT_OK);
        ck_assert_int_eq(drop(B, self, "gone"), MT_OK);
        kill(getpid(), SIGKILL);
}

START_TEST(survives_programs)
{
        void    *self;
        uint64_t mark;

        ck_assert(WIFSIGNALED(store_status(store_child(child_writes))));
        self = store_must_open(B, store_folder, "size=64M");
        ck_assert(has(B, self, "kept", "value"));
        ck_assert_int_eq(look(B, self, "gone"), MT_MISS);
        ck_assert_int_eq(B->ops->mark(self, mt_bytes_of("kept"), &mark), MT_OK);
        ck_assert_int_eq(drop(B, self, "kept"), MT_OK);
        B->close(self);
        self = store_must_open(B, store_folder, "size=64M"); /* marks are in it, too */
        ck_assert_int_eq(B->ops->set_marked(self, mt_bytes_of("kept"), mt_bytes_of("late"), STORE_HOUR, mark),
                         MT_STALE);
        B->close(self);
}
END_TEST

/* The machine starts anew: what was written with sync is there, and lives no longer than it should though the wall
 * clock comes back an hour behind; what was written without is not believed. */
START_TEST(survives_the_machine)
{
        void    *self = store_must_open(B, store_folder, "size=64M&sync=1");
        uint64_t ttl_ms;

        ck_assert_int_eq(put_bytes(self, "k", "v", 1, 10 * 60000), MT_OK);
        B->close(self);
        store_test_machine = 12345;
        store_test_boot_us = -60 * MINUTE_US;
        store_test_wall_us = -60 * MINUTE_US;
        self = store_must_open(B, store_folder, "size=64M&sync=1");
        ck_assert_int_eq(B->ops->get_with_ttl(self, mt_bytes_of("k"), &store_sink, &ttl_ms), MT_OK);
        ck_assert_uint_le(ttl_ms, 10 * 60000);
        store_test_boot_us += 10 * MINUTE_US;
        ck_assert_int_eq(look(B, self, "k"), MT_MISS);
        B->close(self);

        self = store_must_open(B, store_folder, "size=64M&sync=0");
        ck_assert_int_eq(put(B, self, "unsynced", "v"), MT_OK);
        B->close(self);
        self = store_must_open(B, store_folder, "size=64M&sync=0");
        ck_assert(has(B, self, "unsynced", "v")); /* the same start of the machine */
        B->close(self);
        store_test_machine = 54321;
        self = store_must_open(B, store_folder, "size=64M&sync=1");
        ck_assert_int_eq(look(B, self, "unsynced"), MT_MISS);
        ck_assert_int_eq(put(B, self, "synced", "v"), MT_OK);
        B->close(self);
        store_test_machine = 11111;
        self = store_must_open(B, store_folder, "size=64M&sync=0");
        ck_assert(has(B, self, "synced", "v"));
        B->close(self);
        B->close(store_must_open(B, store_folder, "size=64M&sync=1")); /* alone: it brings all to the disk */
        store_test_machine = 22222;
        self = store_must_open(B, store_folder, "size=64M&sync=0");
        ck_assert(has(B, self, "synced", "v"));
        B->close(self);
}
END_TEST

START_TEST(clocks_that_are_set)
{
        void    *self = store_must_open(B, store_folder, fast);
        uint64_t ttl_ms;

        ck_assert_int_eq(put_bytes(self, "k", "v", 1, 10 * 60000), MT_OK);
        store_test_wall_us = -60 * MINUTE_US; /* set back: it lives no longer */
        ck_assert_int_eq(B->ops->get_with_ttl(self, mt_bytes_of("k"), &store_sink, &ttl_ms), MT_OK);
        ck_assert_uint_le(ttl_ms, 10 * 60000);
        store_test_boot_us = 10 * MINUTE_US;
        ck_assert_int_eq(look(B, self, "k"), MT_MISS);
        ck_assert_int_eq(put_bytes(self, "k", "v", 1, 10 * 60000), MT_OK);
        store_test_wall_us = 60 * MINUTE_US; /* set forward: it dies early */
        ck_assert_int_eq(look(B, self, "k"), MT_MISS);
        B->close(self);
}
END_TEST

/* Set forward and back again, seen by another process alone. */
static void child_runs_ahead(void)
{
        void *self;

        store_test_wall_us = 60 * MINUTE_US;
        self = store_must_open(B, store_folder, fast);
        ck_assert_int_eq(put_bytes(self, "k", "v", 1, 10 * 60000), MT_OK);
        B->close(self);
}

START_TEST(clocks_that_differ)
{
        void    *self = store_must_open(B, store_folder, fast);
        uint64_t ttl_ms;

        ck_assert_int_eq(store_status(store_child(child_runs_ahead)), 0);
        ck_assert_int_eq(B->ops->get_with_ttl(self, mt_bytes_of("k"), &store_sink, &ttl_ms), MT_OK);
        ck_assert_uint_le(ttl_ms, 10 * 60000);
        store_test_boot_us = 10 * MINUTE_US;
        ck_assert_int_eq(look(B, self, "k"), MT_MISS);
        B->close(self);
}
END_TEST

/* A key that is too long for LMDB is a hash there: what has the same one is another key. */
static void tamper(void)
{
        MDB_env    *env;
        MDB_txn    *txn;
        MDB_dbi     dbi;
        MDB_cursor *cursor;
        MDB_val     k, v;
        char        copy[4096];

        mdb_env_create(&env);
        mdb_env_set_maxdbs(env, 8);
        mdb_env_set_mapsize(env, 64 * MIB);
        ck_assert_int_eq(mdb_env_open(env, store_folder, MDB_NOSYNC, 0600), 0);
        ck_assert_int_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
        ck_assert_int_eq(mdb_dbi_open(txn, "entries", 0, &dbi), 0);
        ck_assert_int_eq(mdb_cursor_open(txn, dbi, &cursor), 0);
        ck_assert_int_eq(mdb_cursor_get(cursor, &k, &v, MDB_FIRST), 0);
        ck_assert_uint_eq(k.mv_size, STORE_LMDB_KEY);
        ck_assert_uint_lt(v.mv_size, sizeof copy);
        memcpy(copy, v.mv_data, v.mv_size);
        copy[sizeof(struct store_entry) + 600]++; /* in its key */
        v.mv_data = copy;
        ck_assert_int_eq(mdb_cursor_put(cursor, &k, &v, MDB_CURRENT), 0);
        mdb_cursor_close(cursor);
        ck_assert_int_eq(mdb_txn_commit(txn), 0);
        mdb_env_close(env);
}

START_TEST(hashes_that_meet)
{
        static char key[1001];
        void       *self = store_must_open(B, store_folder, fast);

        memset(key, 'k', sizeof key - 1);
        ck_assert_int_eq(put(B, self, key, "v"), MT_OK);
        ck_assert(has(B, self, key, "v"));
        B->close(self);
        tamper();
        self = store_must_open(B, store_folder, fast);
        ck_assert_int_eq(look(B, self, key), MT_MISS);
        ck_assert_int_eq(put(B, self, key, "w"), MT_OK);
        ck_assert(has(B, self, key, "w"));
        B->close(self);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------- room */

/* Four times what it can have, in values of all sizes: every set goes through, the file stays below its size, the
 * newest are there, everything can be removed. */
START_TEST(full_map)
{
        enum { SETS = 4000 };
        static char value[MIB];
        void       *self = store_must_open(B, store_folder, "size=16M&sync=0");
        unsigned    there = 0;

        memset(value, 'v', sizeof value);
        for (unsigned i = 0; i < SETS; i++) {
                size_t len = i % 100 == 0 ? sizeof value - 4096 : i % 10 == 0 ? 60000 : 2000 + i % 3000;

                ck_assert_int_eq(put_bytes(self, key_of("k", i), value, len, STORE_HOUR), MT_OK);
                ck_assert_int_eq(look(B, self, key_of("k", i)), MT_OK);
                ck_assert_uint_eq(store_value_len, len);
        }
        ck_assert_uint_le(file_bytes(), 16 * MIB);
        for (unsigned i = 0; i < SETS; i++)
                there += look(B, self, key_of("k", i)) == MT_OK;
        ck_assert_uint_ge(there, 300);
        ck_assert_uint_lt(there, SETS / 2);
        for (unsigned i = SETS - 200; i < SETS; i++)
                ck_assert_int_eq(look(B, self, key_of("k", i)), MT_OK);
        for (unsigned i = 0; i < SETS; i++)
                ck_assert_int_eq(drop(B, self, key_of("k", i)), MT_OK);
        for (unsigned i = 0; i < SETS; i++)
                ck_assert_int_eq(look(B, self, key_of("k", i)), MT_MISS);
        B->close(self);
        environment_sound();
}
END_TEST

/* What ends first goes first, whatever came first. */
START_TEST(evicts_what_ends_first)
{
        static char value[3000];
        void       *self = store_must_open(B, store_folder, "size=16M&sync=0");

        ck_assert_int_eq(put_bytes(self, "long", value, sizeof value, 100 * STORE_HOUR), MT_OK);
        ck_assert_int_eq(put_bytes(self, "for ever", value, sizeof value, MT_TTL_NONE), MT_OK);
        for (unsigned i = 0; i < 8000; i++)
                ck_assert_int_eq(put_bytes(self, key_of("k", i), value, sizeof value, STORE_HOUR), MT_OK);
        ck_assert_int_eq(look(B, self, "long"), MT_OK);
        ck_assert_int_eq(look(B, self, "for ever"), MT_OK);
        ck_assert_int_eq(look(B, self, "k0"), MT_MISS);
        B->close(self);
}
END_TEST

/* Far more than fits in the time of its life does not fill it: what is over makes room before anything is evicted. */
START_TEST(what_is_over_goes)
{
        static char value[1000];
        void       *self = store_must_open(B, store_folder, fast);

        for (unsigned i = 0; i < 20000; i++) {
                ck_assert_int_eq(put_bytes(self, key_of("k", i), value, sizeof value, 1000), MT_OK);
                store_test_boot_us += 1000;
                store_test_wall_us += 1000;
        }
        ck_assert_uint_le(file_bytes(), 8 * MIB); /* a thousand of them at a time */
        B->close(self);
        environment_sound();
}
END_TEST

/* A flush takes effect at once, and what it left lying about is taken away by what follows. */
START_TEST(flushes_lie_about_for_a_while)
{
        static char value[20000];
        void       *self = store_must_open(B, store_folder, fast);

        for (unsigned round = 0; round < 20; round++) {
                for (unsigned i = 0; i < 400; i++)
                        ck_assert_int_eq(put_bytes(self, key_of("k", i), value, i % 5 ? 1000 : sizeof value,
                                                   STORE_HOUR),
                                         MT_OK);
                ck_assert_int_eq(B->ops->cache.flush(self), MT_OK);
                ck_assert_int_eq(look(B, self, "k1"), MT_MISS);
        }
        ck_assert_uint_le(file_bytes(), 16 * MIB);
        for (unsigned i = 0; i < 400; i++)
                ck_assert_int_eq(put(B, self, "k", "v"), MT_OK);
        B->close(self);
        environment_sound();
}
END_TEST

static int pipe_to[2];

/* What is mapped and written has its blocks: a hole would be a SIGBUS on a full disk. */
START_TEST(no_holes)
{
        static const char *const names[] = {"lock.mdb", "mtshim.gate"};
        void                    *self = store_must_open(B, store_folder, fast);

        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
                char        path[96];
                struct stat st;

                snprintf(path, sizeof path, "%s/%s", store_folder, names[i]);
                ck_assert_int_eq(stat(path, &st), 0);
                ck_assert_int_ge(st.st_blocks * 512, st.st_size);
                ck_assert_uint_eq(st.st_mode & 0777, 0600);
        }
        B->close(self);
}
END_TEST

/* A program that stands still in the middle of a look. */
static void child_pins(void)
{
        MDB_env *env;
        MDB_txn *txn;

        mdb_env_create(&env);
        mdb_env_set_maxdbs(env, 8);
        mdb_env_open(env, store_folder, MDB_NOTLS, 0600);
        if (mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0 && write(pipe_to[1], "r", 1) == 1)
                pause();
        _exit(1);
}

START_TEST(pinned)
{
        static char    value[3000];
        void          *self = store_must_open(B, store_folder, "size=16M&sync=0");
        enum mt_status status = MT_OK;
        unsigned       sets = 0, there = 0;
        pid_t          child;
        char           c;

        for (unsigned i = 0; i < 6000; i++)
                ck_assert_int_eq(put_bytes(self, key_of("k", i), value, sizeof value, STORE_HOUR), MT_OK);
        ck_assert_int_eq(pipe(pipe_to), 0);
        child = store_child(child_pins);
        ck_assert_int_eq(read(pipe_to[0], &c, 1), 1);
        for (; status == MT_OK && sets < 20000; sets++)
                status = put_bytes(self, key_of("k", sets), value, sizeof value, STORE_HOUR);
        ck_assert_int_eq(status, MT_ERROR); /* what is freed is pinned */
        for (unsigned i = 0; i < 20; i++)
                ck_assert_int_eq(put_bytes(self, "k", value, sizeof value, STORE_HOUR), MT_ERROR);
        for (unsigned i = 0; i < 6000; i++)
                there += look(B, self, key_of("k", i)) == MT_OK;
        ck_assert_uint_ge(there, 2000); /* and nothing was thrown away for nothing */
        for (unsigned i = 0; i < 10; i++)
                ck_assert_int_eq(drop(B, self, key_of("k", 5990 + i)), MT_OK);
        halt(child);
        ck_assert_int_eq(put_bytes(self, "k", value, sizeof value, STORE_HOUR), MT_ERROR);
        store_kill(child); /* its slot of the reader table is still there, and noticed */
        for (unsigned i = 0; i < 2000; i++)
                ck_assert_int_eq(put_bytes(self, key_of("k", i), value, sizeof value, STORE_HOUR), MT_OK);
        B->close(self);
        close(pipe_to[0]);
        close(pipe_to[1]);
        environment_sound();
}
END_TEST

/* A small file system, in a mount namespace of a child's own. 77: it may not. */
static void child_full_disk(void)
{
        static char value[3000];
        char        path[96];
        void       *self;
        int         fd;

        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("tmpfs", store_folder, "tmpfs", 0, "size=12m,mode=0700") != 0)
                _exit(77);
        self = store_must_open(B, store_folder, "size=64M&sync=0");
        for (unsigned i = 0; i < 8000; i++)
                ck_assert_int_eq(put_bytes(self, key_of("k", i), value, sizeof value, STORE_HOUR), MT_OK);
        ck_assert_int_eq(look(B, self, "k7999"), MT_OK);
        snprintf(path, sizeof path, "%s/other", store_folder);
        fd = open(path, O_WRONLY | O_CREAT, 0600);
        while (write(fd, value, sizeof value) > 0)
                ; /* the last byte is somebody else's */
        close(fd);
        for (unsigned i = 0; i < 2000; i++)
                ck_assert_int_eq(put_bytes(self, key_of("n", i), value, sizeof value, STORE_HOUR), MT_OK);
        ck_assert_int_eq(look(B, self, "n1999"), MT_OK);
        for (unsigned i = 0; i < 2000; i++)
                ck_assert_int_eq(drop(B, self, key_of("n", i)), MT_OK);
        unlink(path);
        B->close(self);
}

START_TEST(full_disk)
{
        int status = store_status(store_child(child_full_disk));

        if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
                printf("full_disk: no mount is allowed here, skipped\n");
                return;
        }
        ck_assert_int_eq(status, 0);
}
END_TEST

/* A disk that is full from the start is said so. */
static void child_no_disk(void)
{
        char  why[MT_BACKEND_WHY_MAX];
        void *self;

        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("tmpfs", store_folder, "tmpfs", 0, "size=8k,mode=0700") != 0)
                _exit(77);
        ck_assert_int_eq(store_try_open(B, store_folder, fast, &self, why), MT_ERROR);
        ck_assert_msg(strstr(why, "No space") != NULL, "%s", why);
}

START_TEST(no_disk)
{
        int status = store_status(store_child(child_no_disk));

        ck_assert(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77));
}
END_TEST

/* ----------------------------------------------------------------------------------------------------- processes */

enum { TORTURE_KEYS = 64 };

static size_t torture_len(unsigned key, unsigned n)
{
        return (key + n) % 7 == 0 ? 150000 : (key + n) % 3 == 0 ? 9000 : 200;
}

static void child_torments(void)
{
        static char value[150000];
        void       *self = store_must_open(B, store_folder, fast);
        unsigned    seed = (unsigned)getpid();

        for (;;) {
                unsigned key = (unsigned)rand_r(&seed) % TORTURE_KEYS, n = (unsigned)rand_r(&seed) % 26;

                memset(value, (int)('a' + n), sizeof value);
                if (n == 25 && key == 0)
                        B->ops->cache.flush(self);
                else if (n > 20 && key == 1)
                        B->ops->cache.remove_pattern(self, mt_bytes_of("k*[13579]"));
                else if (n > 20)
                        drop(B, self, key_of("k", key));
                else
                        put_bytes(self, key_of("k", key), value, torture_len(key, n), STORE_HOUR);
        }
}

/* A value is whole, or is not there. */
static unsigned torture_look(void *self)
{
        unsigned there = 0;

        for (unsigned key = 0; key < TORTURE_KEYS; key++) {
                enum mt_status status = look(B, self, key_of("k", key));

                ck_assert_int_ne(status, MT_ERROR);
                if (status != MT_OK)
                        continue;
                ck_assert_uint_eq(store_value_len, torture_len(key, (unsigned)(store_value[0] - 'a')));
                ck_assert_int_eq(memcmp(store_value, store_value + 1, store_value_len - 1), 0); /* all bytes alike */
                there++;
        }
        return there;
}

START_TEST(killed_while_writing)
{
        enum { CHILDREN = 3, ROUNDS = 40 };
        void    *self = store_must_open(B, store_folder, fast);
        pid_t    child[CHILDREN];
        unsigned there = 0, seed = 1;

        for (unsigned i = 0; i < CHILDREN; i++)
                child[i] = store_child(child_torments);
        for (unsigned round = 0; round < ROUNDS; round++) {
                unsigned victim = (unsigned)rand_r(&seed) % CHILDREN;

                usleep(10000 + (useconds_t)rand_r(&seed) % 20000);
                there += torture_look(self);
                store_kill(child[victim]);
                ck_assert_int_eq(put(B, self, "mine", "v"), MT_OK); /* whatever he held is free */
                ck_assert(has(B, self, "mine", "v") || look(B, self, "mine") == MT_MISS);
                child[victim] = store_child(child_torments);
        }
        for (unsigned i = 0; i < CHILDREN; i++)
                store_kill(child[i]);
        ck_assert_uint_gt(there, 100);
        torture_look(self);
        B->close(self);
        environment_sound();
}
END_TEST

/* Another process' removes end this one's marks, and its values are seen. */
static void child_removes(void)
{
        void *self = store_must_open(B, store_folder, fast);

        ck_assert(has(B, self, "a", "1"));
        ck_assert_int_eq(drop(B, self, "a"), MT_OK);
        ck_assert_int_eq(put(B, self, "b", "2"), MT_OK);
        B->close(self);
}

START_TEST(two_processes)
{
        void    *self = store_must_open(B, store_folder, fast);
        uint64_t mark, other;

        ck_assert_int_eq(put(B, self, "a", "1"), MT_OK);
        ck_assert_int_eq(B->ops->mark(self, mt_bytes_of("a"), &mark), MT_OK);
        ck_assert_int_eq(B->ops->mark(self, mt_bytes_of("b"), &other), MT_OK);
        ck_assert_int_eq(store_status(store_child(child_removes)), 0);
        ck_assert_int_eq(look(B, self, "a"), MT_MISS);
        ck_assert(has(B, self, "b", "2"));
        ck_assert_int_eq(B->ops->set_marked(self, mt_bytes_of("a"), mt_bytes_of("old"), STORE_HOUR, mark), MT_STALE);
        ck_assert_int_eq(B->ops->set_marked(self, mt_bytes_of("b"), mt_bytes_of("3"), STORE_HOUR, other), MT_OK);
        B->close(self);
}
END_TEST

/* Nothing was ever removed: what is promoted into a new folder is kept. */
START_TEST(first_mark)
{
        void    *self = store_must_open(B, store_folder, fast);
        uint64_t mark;

        ck_assert_int_eq(B->ops->mark(self, mt_bytes_of("a"), &mark), MT_OK);
        ck_assert_int_eq(B->ops->set_marked(self, mt_bytes_of("a"), mt_bytes_of("1"), STORE_HOUR, mark), MT_OK);
        ck_assert_int_eq(B->ops->set_marked(self, mt_bytes_of("b"), mt_bytes_of("2"), STORE_HOUR, mark), MT_OK);
        ck_assert(has(B, self, "a", "1") && has(B, self, "b", "2"));
        B->close(self);
        store_folder_remove();
        store_folder_make();
        for (unsigned i = 0; i < 3; i++) { /* the first of all, and ends marks: by key, by pattern, by flush */
                self = store_must_open(B, store_folder, fast);
                ck_assert_int_eq(B->ops->mark(self, mt_bytes_of("a"), &mark), MT_OK);
                ck_assert_int_eq(i == 0   ? drop(B, self, "a")
                                 : i == 1 ? B->ops->cache.remove_pattern(self, mt_bytes_of("a*"))
                                          : B->ops->cache.flush(self),
                                 MT_OK);
                ck_assert_int_eq(B->ops->set_marked(self, mt_bytes_of("a"), mt_bytes_of("1"), STORE_HOUR, mark),
                                 MT_STALE);
                B->close(self);
                store_folder_remove();
                store_folder_make();
        }
}
END_TEST

/* A process that is stopped while it writes. */
static void child_holds(void)
{
        char          why[MT_BACKEND_WHY_MAX];
        struct store *s = store_open(store_folder, 64 * MIB, false, why);

        if (s != NULL && store_write(s, 1000, 0) != NULL && write(pipe_to[1], "w", 1) == 1)
                pause();
        _exit(1);
}

START_TEST(writer_stands_still)
{
        void    *self = store_open_brief(B, store_folder, fast);
        uint64_t start;
        pid_t    child;
        char     c;

        ck_assert_int_eq(put(B, self, "k", "v"), MT_OK);
        ck_assert_int_eq(pipe(pipe_to), 0);
        child = store_child(child_holds);
        ck_assert_int_eq(read(pipe_to[0], &c, 1), 1);
        start = store_ms();
        ck_assert_int_eq(put(B, self, "k", "w"), MT_ERROR);
        ck_assert_uint_ge(store_ms() - start, STORE_BRIEF_MS - 10);
        ck_assert_uint_lt(store_ms() - start, STORE_BRIEF_MS + STORE_GRACE_MS);
        ck_assert_int_eq(drop(B, self, "k"), MT_ERROR);
        ck_assert(!B->ops->cache.health_check(self));
        ck_assert(has(B, self, "k", "v"));
        store_kill(child);
        ck_assert_int_eq(put(B, self, "k", "w"), MT_OK);
        ck_assert(has(B, self, "k", "w"));
        B->close(self);
        close(pipe_to[0]);
        close(pipe_to[1]);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------- reading */

/* From here on every system call but the end of this thread is death. (The strict mode would forbid the clock too.) */
static void no_more_calls(void)
{
        struct sock_filter only_exit[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
                                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
        struct sock_fprog  program = {sizeof only_exit / sizeof only_exit[0], only_exit};

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
                _exit(3);
}

static void child_reads_the_clock(void)
{
        struct timespec ts;

        no_more_calls();
        clock_gettime(CLOCK_BOOTTIME, &ts);
        clock_gettime(CLOCK_REALTIME, &ts);
        syscall(SYS_exit, 0);
}

/* Every descriptor is closed, too. */
static void child_reads_alone(void)
{
        static char value[100000];
        void       *self = store_must_open(B, store_folder, fast);
        bool        fine = true;

        ck_assert_int_eq(put(B, self, "k", "value"), MT_OK);
        ck_assert_int_eq(put_bytes(self, "large", value, sizeof value, STORE_HOUR), MT_OK);
        close_range(0, ~0u, 0);
        no_more_calls();
        for (unsigned i = 0; fine && i < 100; i++)
                fine = has(B, self, "k", "value") && look(B, self, "absent") == MT_MISS &&
                       look(B, self, "large") == MT_OK;
        syscall(SYS_exit, fine ? 0 : 2);
}

START_TEST(reads_without_the_kernel)
{
        if (store_status(store_child(child_reads_the_clock)) != 0) {
                printf("reads_without_the_kernel: here the clock is a system call, skipped\n");
                return;
        }
        ck_assert_int_eq(store_status(store_child(child_reads_alone)), 0);
}
END_TEST

/* LMDB's lock of the reader table: what lock.mdb begins with is a magic, a format, and that. */
static pthread_mutex_t *readers_lock(void)
{
        char path[96], *map;
        int  fd;

        snprintf(path, sizeof path, "%s/lock.mdb", store_folder);
        fd = open(path, O_RDWR | O_CLOEXEC);
        map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        ck_assert_ptr_ne(map, MAP_FAILED);
        close(fd);
        return (pthread_mutex_t *)(map + 8);
}

static void child_holds_the_table(void)
{
        if (pthread_mutex_lock(readers_lock()) == 0 && write(pipe_to[1], "w", 1) == 1)
                pause();
        _exit(1);
}

/* However many read, none of them waits for another process, or has to know a descriptor. */
START_TEST(readers_ask_nobody)
{
        char          why[MT_BACKEND_WHY_MAX];
        struct store *s = store_open(store_folder, 64 * MIB, false, why);
        unsigned      reader[STORE_READERS], none;
        pid_t         child;
        char          c;

        ck_assert_msg(s != NULL, "%s", why);
        ck_assert_int_eq(pipe(pipe_to), 0);
        child = store_child(child_holds_the_table);
        ck_assert_int_eq(read(pipe_to[0], &c, 1), 1);
        ck_assert_int_eq(pthread_mutex_trylock(readers_lock()), EBUSY);
        for (unsigned i = 0; i < STORE_READERS; i++)
                ck_assert_ptr_nonnull(store_read(s, 0, &reader[i]));
        ck_assert_ptr_null(store_read(s, 1, &none));
        for (unsigned i = 0; i < STORE_READERS; i++)
                store_read_end(s, reader[i]);
        store_kill(child);
        store_close(&s);
        close(pipe_to[0]);
        close(pipe_to[1]);
}
END_TEST

/* LMDB knows its readers by pid: those of two containers must not meet. Its init, in a pid namespace: 77, it may not.
 * */
static void child_contained(void)
{
        char  why[MT_BACKEND_WHY_MAX];
        void *self;
        pid_t pid;

        if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
                _exit(77);
        pid = fork();
        if (pid == 0) {
                if (mount("proc", "/proc", "proc", 0, NULL) != 0)
                        _exit(77);
                ck_assert_int_eq(store_try_open(B, store_folder, fast, &self, why), MT_ERROR);
                ck_assert_msg(strstr(why, "namespace") != NULL, "%s", why);
                _exit(0);
        }
        _exit(WEXITSTATUS(store_status(pid)));
}

START_TEST(another_container)
{
        void *self = store_must_open(B, store_folder, fast);
        int   status = store_status(store_child(child_contained));

        ck_assert(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77));
        B->close(self);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------- refusals */

static void refused(const char *folder, const char *options, const char *word)
{
        char  why[MT_BACKEND_WHY_MAX];
        void *self;

        ck_assert_int_eq(store_try_open(B, folder, options, &self, why), MT_ERROR);
        ck_assert_msg(strstr(why, word) != NULL, "%s %s: '%s' is not in: %s", folder, options, word, why);
}

static void write_file(const char *name, const char *bytes, size_t len)
{
        char path[96];
        int  fd;

        snprintf(path, sizeof path, "%s/%s", store_folder, name);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
        close(fd);
}

START_TEST(refusals)
{
        char junk[8192], path[96];

        refused("", "", "absolute path");
        refused("var/cache", "", "absolute path");
        refused("/proc/nothing/here", "", "/proc/nothing/here");
        refused(store_folder, "size=1M", "size=1M");
        refused(store_folder, "size=lots", "size=lots");
        refused(store_folder, "sync=2", "sync=2");
        refused(store_folder, "colour=red", "colour");
        memset(junk, 'x', sizeof junk);
        write_file("data.mdb", junk, sizeof junk);
        refused(store_folder, fast, "damaged");
        write_file("data.mdb", junk, 0);
        snprintf(path, sizeof path, "%s/sub", store_folder);
        ck_assert_int_eq(mkdir(path, 0770), 0);
        ck_assert_int_eq(chmod(path, 0770), 0);
        refused(path, fast, "by others");
        ck_assert_int_eq(chown(path, 65534, 65534) == 0 || geteuid() != 0, 1);
        if (geteuid() == 0)
                refused(path, fast, "another user");
}
END_TEST

START_TEST(another_program)
{
        MDB_env *env;
        MDB_txn *txn;
        MDB_dbi  dbi;
        MDB_val  k = {1, "k"};

        ck_assert_int_eq(mdb_env_create(&env), 0);
        ck_assert_int_eq(mdb_env_open(env, store_folder, 0, 0600), 0);
        ck_assert_int_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
        ck_assert_int_eq(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
        ck_assert_int_eq(mdb_put(txn, dbi, &k, &k, 0), 0);
        ck_assert_int_eq(mdb_txn_commit(txn), 0);
        mdb_env_close(env);
        refused(store_folder, fast, "another program's");
}
END_TEST

/* Its size is decided by whoever is alone. */
static void child_wants_more(void)
{
        static char value[8000];
        void       *self = store_must_open(B, store_folder, "size=64M&sync=0");

        for (unsigned i = 0; i < 4000; i++)
                ck_assert_int_eq(put_bytes(self, key_of("k", i), value, sizeof value, STORE_HOUR), MT_OK);
        B->close(self);
}

START_TEST(sizes)
{
        static char value[8000];
        void       *self = store_must_open(B, store_folder, "size=16M&sync=0");

        ck_assert_int_eq(store_status(store_child(child_wants_more)), 0);
        ck_assert_uint_le(file_bytes(), 16 * MIB);
        B->close(self);
        self = store_must_open(B, store_folder, "size=64M&sync=0");
        for (unsigned i = 0; i < 4000; i++)
                ck_assert_int_eq(put_bytes(self, key_of("k", i), value, sizeof value, STORE_HOUR), MT_OK);
        ck_assert_uint_gt(file_bytes(), 24 * MIB);
        B->close(self);
        refused(store_folder, "size=16M&sync=0", "size=16777216");
}
END_TEST

/* No value is longer by LMDB than it says: a chunk fills a page, and room is never needed in one piece. */
START_TEST(chunks_fill_pages)
{
        static char value[MIB];
        void       *self = store_must_open(B, store_folder, fast);
        uint64_t    before;

        ck_assert_int_eq(put(B, self, "k", "v"), MT_OK);
        before = file_bytes();
        for (unsigned i = 0; i < 16; i++)
                ck_assert_int_eq(put_bytes(self, key_of("k", i), value, sizeof value, STORE_HOUR), MT_OK);
        ck_assert_uint_le(file_bytes() - before, 18 * MIB + MIB / 2);
        B->close(self);
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("disk");
        TCase   *tests = tcase_create("disk");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_set_timeout(tests, 60);
        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, conforms);
        tcase_add_test(tests, survives_programs);
        tcase_add_test(tests, survives_the_machine);
        tcase_add_test(tests, clocks_that_are_set);
        tcase_add_test(tests, clocks_that_differ);
        tcase_add_test(tests, hashes_that_meet);
        tcase_add_test(tests, full_map);
        tcase_add_test(tests, evicts_what_ends_first);
        tcase_add_test(tests, what_is_over_goes);
        tcase_add_test(tests, flushes_lie_about_for_a_while);
        tcase_add_test(tests, no_holes);
        tcase_add_test(tests, pinned);
        tcase_add_test(tests, full_disk);
        tcase_add_test(tests, no_disk);
        tcase_add_test(tests, killed_while_writing);
        tcase_add_test(tests, two_processes);
        tcase_add_test(tests, first_mark);
        tcase_add_test(tests, writer_stands_still);
        tcase_add_test(tests, reads_without_the_kernel);
        tcase_add_test(tests, readers_ask_nobody);
        tcase_add_test(tests, another_container);
        tcase_add_test(tests, refusals);
        tcase_add_test(tests, another_program);
        tcase_add_test(tests, sizes);
        tcase_add_test(tests, chunks_fill_pages);
        suite_add_tcase(suite, tests);
        srunner_run_all(runner, CK_ENV);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
