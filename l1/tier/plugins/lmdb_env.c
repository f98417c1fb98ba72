/* lmdb_env.c - opening, reading, writing: an environment and its two kinds of transactions.
 * LMDB allows one environment a process and folder. Its descriptors belong to the descriptor table of the thread that
 * opened it, and all writing is done there; reading uses the map alone. */
#include "lmdb_store.h"

#include "../../base/forklock.h"
#include "../../base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAGIC UINT32_C(0x6d746c33) /* "mtl3" */

enum {
        ENV_READERS_MAX = 8192,
        ENV_LOCK_BYTES =
                (ENV_READERS_MAX + 8) * 64, /* a reader is a cache line; LMDB takes more, if the file has more */
        ENV_MIN_READERS = 2
};

struct store_head {
        uint32_t magic, format;
        uint32_t next_prefix, spare;
};
struct store_clock {
        uint64_t clock; /* whose; see struct store */
        int64_t  wall_minus_boot;
        uint64_t wall_us; /* the latest */
};

static struct forklock store_all_lock;
static struct store   *store_all; /* of this process, and, in a child of fork, what its parent had */

static MDB_val env_val(const void *data, size_t size)
{
        return (MDB_val){.mv_size = size, .mv_data = (void *)(uintptr_t)data};
}

/* ---------------------------------------------------------------------------------------------------------- time */

#ifdef MT_TEST_CLOCK
_Atomic int64_t store_test_wall_us, store_test_boot_us;
#define TEST_SHIFT(which) atomic_load_explicit(&store_test_##which##_us, memory_order_relaxed)
#else
#define TEST_SHIFT(which) 0
#endif

static int64_t env_clock_us(clockid_t id)
{
        struct timespec ts;

        clock_gettime(id, &ts);
        return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* The machine's wall clock, unless that was set back: then what it would be had it not been. CLOCK_BOOTTIME cannot be
 * set, and goes on while the machine is suspended. */
struct store_now store_now(const struct store *s)
{
        int64_t boot = env_clock_us(CLOCK_BOOTTIME) + TEST_SHIFT(boot);
        int64_t wall = env_clock_us(CLOCK_REALTIME) + TEST_SHIFT(wall);
        int64_t least = boot + atomic_load_explicit(&s->wall_minus_boot, memory_order_relaxed);

        return (struct store_now){.wall_us = (uint64_t)(wall > least ? wall : least), .boot_us = (uint64_t)boot};
}

/* CLOCK_BOOTTIME means the same to whoever started with the machine and has its time namespace. */
static uint64_t env_clock_name(void)
{
        struct stat st;
        uint64_t    boot = lmdb_gate_boot();

        if (boot == 0)
                return 0;
        if (stat("/proc/self/ns/time", &st) != 0)
                return boot;
        return hash_fold(boot, (uint64_t)st.st_ino * UINT64_C(0x9e3779b97f4a7c15)) | 1;
}

/* Go on from the latest time that was written, by whatever boot. */
static int env_clock_load(struct store *s, MDB_txn *txn)
{
        MDB_val            k = env_val("clock", 5), v;
        struct store_clock c;
        int64_t            least, boot = env_clock_us(CLOCK_BOOTTIME) + TEST_SHIFT(boot);
        int                rc = mdb_get(txn, 1, &k, &v);

        if (rc == MDB_NOTFOUND)
                return MDB_SUCCESS;
        if (rc != MDB_SUCCESS || v.mv_size != sizeof c)
                return rc != MDB_SUCCESS ? rc : MDB_INVALID;
        memcpy(&c, v.mv_data, sizeof c);
        least = c.clock == s->clock && c.clock != 0 ? c.wall_minus_boot : (int64_t)c.wall_us - boot;
        if (least > atomic_load_explicit(&s->wall_minus_boot, memory_order_relaxed))
                atomic_store_explicit(&s->wall_minus_boot, least, memory_order_relaxed);
        return MDB_SUCCESS;
}

static int env_clock_note(struct store *s, MDB_txn *txn)
{
        struct store_now   now;
        struct store_clock c;
        MDB_val            k = env_val("clock", 5), v = env_val(&c, sizeof c);
        int                rc = env_clock_load(s, txn);

        if (rc != MDB_SUCCESS)
                return rc;
        now = store_now(s);
        c = (struct store_clock){.clock = s->clock,
                                 .wall_us = now.wall_us,
                                 .wall_minus_boot = (int64_t)(now.wall_us - now.boot_us)};
        atomic_store_explicit(&s->wall_minus_boot, c.wall_minus_boot, memory_order_relaxed);
        return mdb_put(txn, 1, &k, &v, 0);
}

/* ------------------------------------------------------------------------------------------------------- readers */

/* Its number, or STORE_READERS: none is idle. */
static unsigned env_take(struct store *s)
{
        uint64_t idle = atomic_load_explicit(&s->idle, memory_order_relaxed);

        while (idle != 0) {
                unsigned i = (unsigned)__builtin_ctzll(idle);

                /* Pairs with store_read_end(): the transaction is as its last user left it. */
                if (atomic_compare_exchange_weak_explicit(&s->idle, &idle, idle & ~(UINT64_C(1) << i),
                                                          memory_order_acquire, memory_order_relaxed))
                        return i;
        }
        return STORE_READERS;
}

static uint64_t env_ms(void)
{
        return (uint64_t)env_clock_us(CLOCK_MONOTONIC) / 1000;
}

MDB_txn *store_read(struct store *s, uint32_t timeout_ms, unsigned *reader)
{
        unsigned i = env_take(s);

        if (i == STORE_READERS) { /* all at work, some of them perhaps at the disk */
                uint64_t until = env_ms() + timeout_ms;

                while ((i = env_take(s)) == STORE_READERS && env_ms() < until)
                        sched_yield();
                if (i == STORE_READERS)
                        return NULL;
        }
        *reader = i;
        if (mdb_txn_renew(s->reader[i]) == MDB_SUCCESS)
                return s->reader[i];
        store_read_end(s, i);
        return NULL;
}

void store_read_end(struct store *s, unsigned reader)
{
        mdb_txn_reset(s->reader[reader]);
        atomic_fetch_or_explicit(&s->idle, UINT64_C(1) << reader, memory_order_release);
}

/* ------------------------------------------------------------------------------------------------------- writing */

MDB_txn *store_begin(struct store *s)
{
        MDB_txn *txn;

        if (mdb_txn_begin(s->env, NULL, 0, &txn) != MDB_SUCCESS)
                return NULL;
        if (env_clock_note(s, txn) == MDB_SUCCESS)
                return txn;
        mdb_txn_abort(txn);
        return NULL;
}

MDB_txn *store_write(struct store *s, uint32_t timeout_ms, uint64_t need)
{
        MDB_txn *txn = NULL;

        if (!lmdb_gate_enter(s->gate, timeout_ms))
                return NULL;
        if (need == 0 || store_room(s, need))
                txn = store_begin(s);
        if (txn == NULL)
                lmdb_gate_leave(s->gate);
        return txn;
}

bool store_commit(struct store *s, MDB_txn *txn)
{
        int rc = mdb_txn_commit(txn);

        lmdb_gate_leave(s->gate);
        return rc == MDB_SUCCESS;
}

void store_abort(struct store *s, MDB_txn *txn)
{
        mdb_txn_abort(txn);
        lmdb_gate_leave(s->gate);
}

/* ------------------------------------------------------------------------------------------------------- opening */

static bool env_folder(struct store *s, const char *folder, char *why)
{
        struct stat st;

        if (mkdir(folder, 0700) != 0 && errno != EEXIST)
                return plugin_refuse(why, "the folder '%.80s' cannot be made: %s", folder, strerror(errno));
        s->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->folder < 0 || fstat(s->folder, &st) != 0)
                return plugin_refuse(why, "the folder '%.80s' cannot be opened: %s", folder, strerror(errno));
        if (st.st_uid != geteuid())
                return plugin_refuse(why, "the folder '%.80s' belongs to another user", folder);
        if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
                return plugin_refuse(why, "the folder '%.80s' may be written by others", folder);
        if (faccessat(s->folder, ".", W_OK | X_OK, AT_EACCESS) != 0)
                return plugin_refuse(why, "the folder '%.80s' cannot be written: %s", folder, strerror(errno));
        s->dev = st.st_dev;
        s->ino = st.st_ino;
        return true;
}

/* Another environment's records are not touched. */
static int env_head(MDB_txn *txn, const char **what)
{
        struct store_head head = {.magic = HEAD_MAGIC, .format = STORE_FORMAT, .next_prefix = 1};
        MDB_val           k = env_val("mtshim", 6), v;
        MDB_stat          stat;
        int               rc = mdb_get(txn, 1, &k, &v);

        if (rc == MDB_SUCCESS) {
                if (v.mv_size != sizeof head)
                        *what = "it is another program's";
                else if (memcpy(&head, v.mv_data, sizeof head), head.magic != HEAD_MAGIC)
                        *what = "it is another program's";
                else if (head.format != STORE_FORMAT)
                        *what = "it is of another version; remove the folder";
                return *what == NULL ? MDB_SUCCESS : MDB_INVALID;
        }
        if (rc != MDB_NOTFOUND)
                return rc;
        rc = mdb_stat(txn, 1, &stat);
        if (rc == MDB_SUCCESS && stat.ms_entries > 0) {
                *what = "it is another program's";
                return MDB_INVALID;
        }
        v = env_val(&head, sizeof head);
        return rc != MDB_SUCCESS ? rc : mdb_put(txn, 1, &k, &v, 0);
}

int store_next_prefix(MDB_txn *txn, uint32_t *number)
{
        struct store_head head;
        MDB_val           k = env_val("mtshim", 6), v;
        int               rc = mdb_get(txn, 1, &k, &v);

        if (rc != MDB_SUCCESS || v.mv_size != sizeof head)
                return rc != MDB_SUCCESS ? rc : MDB_CORRUPTED;
        memcpy(&head, v.mv_data, sizeof head);
        *number = head.next_prefix++;
        v = env_val(&head, sizeof head);
        return mdb_put(txn, 1, &k, &v, 0);
}

static int env_tables(struct store *s, const char **what)
{
        static const char *const names[DB_COUNT] = {"prefixes", "entries", "index", "chunks", "garbage", "marks"};
        MDB_txn                 *txn;
        MDB_dbi                  main_dbi;
        int                      rc = mdb_txn_begin(s->env, NULL, 0, &txn);

        if (rc != MDB_SUCCESS)
                return rc;
        rc = mdb_dbi_open(txn, NULL, 0, &main_dbi); /* always number 1 */
        if (rc == MDB_SUCCESS)
                rc = env_head(txn, what);
        for (unsigned i = 0; rc == MDB_SUCCESS && i < DB_COUNT; i++)
                rc = mdb_dbi_open(txn, names[i], MDB_CREATE, &s->dbi[i]);
        if (rc == MDB_SUCCESS)
                rc = env_clock_note(s, txn);
        if (rc == MDB_SUCCESS)
                return mdb_txn_commit(txn);
        mdb_txn_abort(txn);
        return rc;
}

static const char *env_words(int rc)
{
        switch (rc) {
        case MDB_INVALID: return "data.mdb is damaged, or no file of LMDB; remove the folder";
        case MDB_VERSION_MISMATCH: return "data.mdb is of another version of LMDB; remove the folder";
        case MDB_CORRUPTED:
        case MDB_PAGE_NOTFOUND:
        case MDB_PANIC: return "data.mdb is damaged; remove the folder";
        case MDB_READERS_FULL: return "too many processes have it open";
        case MDB_MAP_FULL: return "it is full, and something pins what was removed";
        default: return mdb_strerror(rc);
        }
}

/* LMDB maps this file and writes to it, and makes it with a hole: on a disk that is full later, that is a SIGBUS. */
static bool env_lock_file(const struct store *s, const char *folder, char *why)
{
        int fd = openat(s->folder, "lock.mdb", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        int rc = fd < 0 ? errno : posix_fallocate(fd, 0, ENV_LOCK_BYTES);

        if (fd >= 0)
                close(fd);
        return rc == 0 || plugin_refuse(why, "no room for lock.mdb in '%.80s': %s", folder, strerror(rc));
}

/* A size below what the file has cannot be had: LMDB never gives pages back. */
static bool env_map(struct store *s, const char *folder, uint64_t size_bytes, bool alone, bool sync, char *why)
{
        struct stat st;
        MDB_stat    stat;
        int         rc, dead;
        const char *what = NULL;

        if (alone && fstatat(s->folder, "data.mdb", &st, 0) == 0 && (uint64_t)st.st_size > size_bytes)
                return plugin_refuse(why, "size=%llu: data.mdb in '%.80s' has %llu bytes already; remove the folder",
                                     (unsigned long long)size_bytes, folder, (unsigned long long)st.st_size);
        if (alone && !env_lock_file(s, folder, why))
                return false;
        rc = mdb_env_create(&s->env);
        if (rc == MDB_SUCCESS)
                rc = mdb_env_set_mapsize(s->env, size_bytes);
        if (rc == MDB_SUCCESS)
                rc = mdb_env_set_maxdbs(s->env, DB_COUNT);
        if (rc == MDB_SUCCESS)
                rc = mdb_env_set_maxreaders(s->env, ENV_READERS_MAX);
        if (rc == MDB_SUCCESS)
                rc = mdb_env_open(s->env, folder, MDB_NOTLS | MDB_NORDAHEAD | (sync ? 0 : MDB_NOSYNC), 0600);
        if (rc == MDB_SUCCESS)
                rc = mdb_reader_check(s->env, &dead);
        if (rc == MDB_SUCCESS)
                rc = mdb_env_get_fd(s->env, &s->data);
        if (rc == MDB_SUCCESS)
                rc = mdb_env_stat(s->env, &stat);
        if (rc != MDB_SUCCESS)
                return plugin_refuse(why, "'%.80s' cannot be opened: %s", folder, env_words(rc));
        s->page_bytes = stat.ms_psize;
        s->pages = size_bytes / stat.ms_psize;
        s->reserve = s->pages / 32 < 64 ? 64 : s->pages / 32 > 1024 ? 1024 : s->pages / 32;
        rc = env_tables(s, &what);
        return rc == MDB_SUCCESS ||
               plugin_refuse(why, "'%.80s' cannot be used: %s", folder, what != NULL ? what : env_words(rc));
}

static void store_destroy(struct store **store)
{
        struct store *s = *store;

        *store = NULL;
        for (unsigned i = 0; i < s->readers; i++)
                mdb_txn_abort(s->reader[i]);
        if (s->env != NULL)
                mdb_env_close(s->env);
        if (s->gate != NULL)
                lmdb_gate_close(&s->gate);
        if (s->folder >= 0)
                close(s->folder);
        free(s);
}

/* All readers are made here, in the thread that has the descriptors. Who makes one takes LMDB's lock of the table,
 * which another process may hold while it is stopped, or have died with: then whoever gets it asks a descriptor who
 * lives. A full table leaves fewer. */
static bool env_readers(struct store *s, char *why)
{
        while (s->readers < STORE_READERS &&
               mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->reader[s->readers]) == MDB_SUCCESS)
                mdb_txn_reset(s->reader[s->readers++]);
        if (s->readers < ENV_MIN_READERS)
                return plugin_refuse(why, "no place in LMDB's table of readers, of %u", ENV_READERS_MAX);
        atomic_store_explicit(&s->idle, (UINT64_C(1) << s->readers) - 1, memory_order_release);
        return true;
}

static struct store *env_open(const char *folder, uint64_t size_bytes, bool sync, char *why, struct store *s)
{
        bool alone, fine;

        s->gate = lmdb_gate_open(s->folder, &size_bytes, &alone, why);
        fine = s->gate != NULL && env_map(s, folder, size_bytes, alone, sync, why);
        if (fine && sync && alone && mdb_env_sync(s->env, 1) != MDB_SUCCESS)
                fine = plugin_refuse(why, "'%.80s' cannot be written to the disk: %s", folder, strerror(errno));
        fine = fine && lmdb_gate_ready(s->gate, sync, why) && env_readers(s, why);
        if (!fine)
                store_destroy(&s);
        return s;
}

/* This process has it already? Only from where its descriptors are can it be used twice. */
static struct store *env_shared(const struct store *wanted, const char *folder, bool *refused, char *why)
{
        for (struct store *s = store_all; s != NULL; s = s->next) {
                struct stat ours, data;

                if (s->pid != getpid() || s->dev != wanted->dev || s->ino != wanted->ino)
                        continue;
                if (fstat(s->data, &ours) == 0 && fstatat(s->folder, "data.mdb", &data, 0) == 0 &&
                    ours.st_ino == data.st_ino && ours.st_dev == data.st_dev)
                        return s;
                *refused = !plugin_refuse(why, "'%.80s' is used by another tier of this process already", folder);
        }
        return NULL;
}

struct store *store_open(const char *folder, uint64_t size_bytes, bool sync, char why[MT_BACKEND_WHY_MAX])
{
        struct store *s = calloc(1, sizeof *s), *there;
        bool          refused = false;

        if (s == NULL) {
                plugin_refuse(why, "no memory");
                return NULL;
        }
        s->folder = -1;
        s->pid = getpid();
        s->clock = env_clock_name();
        atomic_store_explicit(&s->wall_minus_boot, INT64_MIN / 2, memory_order_relaxed);
        if (!env_folder(s, folder, why)) {
                store_destroy(&s);
                return NULL;
        }
        if (forklock_acquire(&store_all_lock))
                store_all = NULL; /* the parent's, perhaps half linked */
        there = env_shared(s, folder, &refused, why);
        if (there != NULL || refused) {
                store_destroy(&s);
                s = there;
        } else {
                s = env_open(folder, size_bytes, sync, why, s);
                if (s != NULL) {
                        s->next = store_all;
                        store_all = s;
                }
        }
        if (s != NULL)
                s->objects++;
        forklock_release(&store_all_lock);
        return s;
}

void store_close(struct store **store)
{
        struct store *s = *store;

        *store = NULL;
        forklock_acquire(&store_all_lock);
        if (--s->objects == 0) {
                for (struct store **at = &store_all; *at != NULL; at = &(*at)->next) {
                        if (*at == s) {
                                *at = s->next;
                                break;
                        }
                }
                store_destroy(&s);
        }
        forklock_release(&store_all_lock);
}
