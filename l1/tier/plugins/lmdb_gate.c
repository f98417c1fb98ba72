/* lmdb_gate.c - the file's life:
 *   absent, or nobody has it open   the opener gets its exclusive lock, makes it new, and keeps only what says whether
 *                                   the environment can be believed; then goes on with a shared lock
 *   somebody has it open            the opener waits for the shared lock, that is, for the former's end of making
 * The locks are of open file descriptions (OFD): the kernel gives them up when the last process that has it dies.
 * What is inside is believed as far as LMDB's own lock file is: both are mode 0600, in a folder of the same user. */
#include "lmdb_gate.h"

#include "../../base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define GATE_MAGIC UINT64_C(0x31657461676d746d) /* "mtmgate1" */
#define GATE_FILE  "mtshim.gate"

enum { GATE_VERSION = 1, GATE_BYTES = 4096 };

struct lmdb_gate_shm {
        _Atomic uint64_t magic; /* last of all: what follows is made; another one after each start of the machine, since
                                 * the kernel gives a robust lock up when its holder dies, not when the machine does */
        uint32_t         version, bytes;
        uint64_t         size_bytes;
        uint64_t         pids;     /* the pid namespace: LMDB knows readers by pid */
        _Atomic uint64_t unsynced; /* the boot in which somebody wrote without syncing; 0: all is on the disk */
        /* Who comes next waits for the writer, all others for him: so they go in turn, where a single lock goes to
         * whoever has just given it back. */
        pthread_mutex_t next, writer;
};
_Static_assert(sizeof(struct lmdb_gate_shm) <= GATE_BYTES, "one page");

struct lmdb_gate {
        int                   fd, folder;
        bool                  alone;
        struct lmdb_gate_shm *shm;
};

#ifdef MT_TEST_CLOCK
_Atomic uint64_t store_test_machine; /* another start of it */
#define GATE_TEST_MACHINE() atomic_load_explicit(&store_test_machine, memory_order_relaxed)
#else
#define GATE_TEST_MACHINE() UINT64_C(0)
#endif

uint64_t lmdb_gate_boot(void)
{
        static const struct hash_key key = {{UINT64_C(0x6d747368696d2d62), UINT64_C(0x6f6f742d69640000)}};
        char                         text[64];
        int                          fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
        ssize_t                      n = fd >= 0 ? read(fd, text, sizeof text) : -1;

        if (fd >= 0)
                close(fd);
        return n >= 36 ? (mt_hash(text, 36, key) ^ GATE_TEST_MACHINE()) | 1 : 0;
}

static uint64_t gate_magic(void)
{
        return GATE_MAGIC ^ lmdb_gate_boot();
}

static uint64_t gate_pids(void)
{
        struct stat st;

        return stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

static int gate_lock(int fd, int command, short type)
{
        struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_len = 1};
        int          rc;

        do
                rc = fcntl(fd, command, &lock);
        while (rc != 0 && errno == EINTR);
        return rc;
}

/* Alone, or with others who are done making it. */
static bool gate_come_in(struct lmdb_gate *g, char *why)
{
        for (;;) {
                if (gate_lock(g->fd, F_OFD_SETLK, F_WRLCK) == 0) {
                        g->alone = true;
                        return true;
                }
                if (errno != EAGAIN && errno != EACCES)
                        return plugin_refuse(why, "%s cannot be locked: %s", GATE_FILE, strerror(errno));
                if (gate_lock(g->fd, F_OFD_SETLKW, F_RDLCK) != 0)
                        return plugin_refuse(why, "%s cannot be locked: %s", GATE_FILE, strerror(errno));
                if (atomic_load_explicit(&g->shm->magic, memory_order_acquire) == gate_magic())
                        return true;
                gate_lock(g->fd, F_OFD_SETLK, F_UNLCK); /* who was making it has died */
        }
}

static bool gate_make_lock(pthread_mutex_t *lock)
{
        pthread_mutexattr_t attr;
        bool                made;

        if (pthread_mutexattr_init(&attr) != 0)
                return false;
        made = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0 &&
               pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0 && pthread_mutex_init(lock, &attr) == 0;
        pthread_mutexattr_destroy(&attr);
        return made;
}

/* Alone: the lock may be held by the dead of an earlier boot, so it is made anew. What is left of the environment is
 * thrown away if the machine went down on it before it was synced. */
static bool gate_make(struct lmdb_gate *g, uint64_t size_bytes, char *why)
{
        struct lmdb_gate_shm *s = g->shm;
        uint64_t              unsynced = atomic_load_explicit(&s->unsynced, memory_order_relaxed);

        if (s->version != 0 && (s->version != GATE_VERSION || s->bytes != sizeof *s))
                return plugin_refuse(why, "%s is of another version; remove the folder", GATE_FILE);
        if (unsynced != 0 && unsynced != lmdb_gate_boot()) {
                unlinkat(g->folder, "data.mdb", 0);
                unlinkat(g->folder, "lock.mdb", 0);
                unsynced = 0;
        }
        atomic_store_explicit(&s->magic, 0, memory_order_relaxed);
        s->version = GATE_VERSION;
        s->bytes = sizeof *s;
        s->size_bytes = size_bytes;
        s->pids = gate_pids();
        atomic_store_explicit(&s->unsynced, unsynced, memory_order_relaxed);
        return (gate_make_lock(&s->next) && gate_make_lock(&s->writer)) ||
               plugin_refuse(why, "%s: no robust lock can be made", GATE_FILE);
}

static bool gate_map(struct lmdb_gate *g, char *why)
{
        struct stat st;
        int         rc;

        g->fd = openat(g->folder, GATE_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (g->fd < 0 || fstat(g->fd, &st) != 0)
                return plugin_refuse(why, "%s cannot be opened: %s", GATE_FILE, strerror(errno));
        if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
                return plugin_refuse(why, "%s is not a file of this user", GATE_FILE);
        rc = posix_fallocate(g->fd, 0, GATE_BYTES); /* a hole would be a SIGBUS on a full disk */
        if (rc != 0)
                return plugin_refuse(why, "%s: no room: %s", GATE_FILE, strerror(rc));
        g->shm = mmap(NULL, GATE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
        if (g->shm == MAP_FAILED) {
                g->shm = NULL;
                return plugin_refuse(why, "%s cannot be mapped: %s", GATE_FILE, strerror(errno));
        }
        return true;
}

struct lmdb_gate *lmdb_gate_open(int folder, uint64_t *size_bytes, bool *alone, char why[MT_BACKEND_WHY_MAX])
{
        struct lmdb_gate *g = calloc(1, sizeof *g);

        if (g == NULL) {
                plugin_refuse(why, "no memory");
                return NULL;
        }
        g->folder = folder;
        g->fd = -1;
        if (!gate_map(g, why) || !gate_come_in(g, why) || (g->alone && !gate_make(g, *size_bytes, why))) {
                lmdb_gate_close(&g);
                return NULL;
        }
        if (g->shm->pids != gate_pids()) {
                plugin_refuse(why, "the folder is in use by processes of another pid namespace");
                lmdb_gate_close(&g);
                return NULL;
        }
        *size_bytes = g->shm->size_bytes;
        *alone = g->alone;
        return g;
}

bool lmdb_gate_ready(struct lmdb_gate *g, bool synced, char why[MT_BACKEND_WHY_MAX])
{
        uint64_t boot = lmdb_gate_boot();

        if (synced && g->alone)
                atomic_store_explicit(&g->shm->unsynced, 0, memory_order_relaxed);
        if (!synced)
                atomic_store_explicit(&g->shm->unsynced, boot != 0 ? boot : UINT64_MAX, memory_order_relaxed);
        if (g->alone)
                atomic_store_explicit(&g->shm->magic, gate_magic(),
                                      memory_order_release); /* pairs with gate_come_in() */
        /* The file and its name, before the first write that depends on it. */
        if (msync(g->shm, GATE_BYTES, MS_SYNC) != 0 || fsync(g->fd) != 0 || fsync(g->folder) != 0)
                return plugin_refuse(why, "%s cannot be written to the disk: %s", GATE_FILE, strerror(errno));
        if (g->alone && gate_lock(g->fd, F_OFD_SETLK, F_RDLCK) != 0)
                return plugin_refuse(why, "%s cannot be locked: %s", GATE_FILE, strerror(errno));
        g->alone = false;
        return true;
}

void lmdb_gate_close(struct lmdb_gate **gate)
{
        struct lmdb_gate *g = *gate;

        *gate = NULL;
        if (g->shm != NULL)
                munmap(g->shm, GATE_BYTES);
        if (g->fd >= 0)
                close(g->fd);
        free(g);
}

/* What a holder who died left of a transaction is LMDB's affair: it was not committed. */
static bool gate_take(pthread_mutex_t *lock, const struct timespec *until)
{
        int rc = pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, until);

        if (rc == EOWNERDEAD)
                rc = pthread_mutex_consistent(lock);
        return rc == 0;
}

bool lmdb_gate_enter(struct lmdb_gate *g, uint32_t timeout_ms)
{
        struct timespec until;
        bool            entered;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += timeout_ms / 1000;
        until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
        if (until.tv_nsec >= 1000000000) {
                until.tv_nsec -= 1000000000;
                until.tv_sec++;
        }
        if (!gate_take(&g->shm->next, &until))
                return false;
        entered = gate_take(&g->shm->writer, &until);
        pthread_mutex_unlock(&g->shm->next);
        return entered;
}

void lmdb_gate_leave(struct lmdb_gate *g)
{
        pthread_mutex_unlock(&g->shm->writer);
}
