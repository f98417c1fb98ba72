/* create.c - makes a segment that nobody uses before it is whole.
 *
 *   absent  -> GROWING   create_segment(stepwise)   tables have memory, the header is written, the index is empty
 *   absent  -> whole     create_segment()           the index has memory too
 *   GROWING -> GROWING   create_grow()              a piece more, by whoever comes to attach
 *   GROWING -> whole     create_grow()              the last piece: the magic says so
 *   GROWING -> absent    create_grow()              no memory left
 * The file has no name (O_TMPFILE) until the header is written; linkat() then gives it the final name, or finds that
 * another process was faster. Where a file without a name cannot be had, or /proc is not there to link it by, a
 * temporary name stands in.
 *
 * Memory: everything up to the log, so that a touch there can never be a SIGBUS, except the counter blocks after their
 * first page; these and the log are taken piece by piece. The index of 8 GiB is 680 MB and takes a quarter of a second:
 * whoever must not wait so long takes it in steps, each of which is one more GET that travels bare.
 *
 * Why the steps populate a mapping, and do not call fallocate(): populating gives nothing back when it is interrupted,
 * so that steps of several processes may overlap; fallocate() undoes what it did, and glibc's stand-in for it writes.
 * It takes three times as long (0.1 ms per 256 KiB) because it gives the pages their zeros too, which otherwise the
 * first touch of each does. */
#include "create.h"

#include "../base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define CREATE_STEP (UINT64_C(128) << 10) /* of the index, between two looks at the clock: 0.05 ms */

/* glibc offers it since 2.25; the kernel may still refuse, or have no entropy yet this early: then the 16 random bytes
 * that it gave this process at exec do. */
static void create_secret(uint64_t key[2])
{
        const void *given = (const void *)getauxval(AT_RANDOM);

        if (getrandom(key, 16, GRND_NONBLOCK) == 16)
                return;
        if (given != NULL)
                memcpy(key, given, 16);
        key[0] ^= clock_precise_ns();
        key[1] ^= (uint64_t)getpid() << 32;
}

static int create_back(int fd, uint64_t from, uint64_t to)
{
        int error = 0;

        while (from < to && error == 0) {
                uint64_t piece = to - from < SEGMENT_PIECE ? to - from : SEGMENT_PIECE;

                error = segment_allocate(fd, from, piece);
                from += piece;
        }
        return error;
}

static uint64_t create_index_bytes(const struct segment_geometry *g)
{
        return g->log_at - g->index_at;
}

static bool create_header(int fd, const struct segment_geometry *g, bool stepwise)
{
        struct segment_shm *header = mmap(NULL, SEGMENT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (header == MAP_FAILED)
                return false;
        header->abi = SEGMENT_ABI;
        header->header_size = sizeof *header;
        header->fingerprint = geometry_fingerprint();
        header->l1_size = g->l1_size;
        header->logseg_size = g->logseg_size;
        create_secret(header->hash_key);
        /* A little early: no clock that this process reads from now on, lagging or not, is before it. */
        header->created_ns = clock_precise_ns() - NS_PER_S;
        mt_store_relaxed(&header->namespace_next, 1);
        mt_store_relaxed(&header->counters_high, SEGMENT_PAGE / sizeof(struct counters_shm));
        mt_store_relaxed(&header->index_ready, stepwise ? 0 : create_index_bytes(g));
        /* Release: pairs with the acquire in verify_header(). Who opens the file finds it whole: it had no name. */
        mt_store_release(&header->magic, stepwise ? SEGMENT_GROWING : SEGMENT_MAGIC);
        return munmap(header, SEGMENT_PAGE) == 0;
}

/* Can the index be taken in steps here? Not before Linux 5.14, and not on file systems where a mapping's page has no
 * block of its own yet. ENOSPC when there is no room for all of it anyway. */
static int create_look(int fd, const struct segment_geometry *g, bool *stepwise)
{
        struct statfs fs;

        if (fstatfs(fd, &fs) != 0)
                return errno;
        if (fs.f_blocks != 0 && (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize < create_index_bytes(g))
                return ENOSPC;
        *stepwise = *stepwise && fs.f_type == TMPFS_MAGIC && madvise(NULL, 0, MADV_POPULATE_WRITE) == 0;
        return 0;
}

/* Size, memory, contents. 0 or an errno. */
static int create_contents(int fd, const struct segment_geometry *g, bool stepwise)
{
        int error = create_look(fd, g, &stepwise);

        if (error != 0)
                return error;
        if (fchmod(fd, 0600) != 0 || ftruncate(fd, (off_t)g->l1_size) != 0)
                return errno;
        if ((error = create_back(fd, 0, g->counters_at + SEGMENT_PAGE)) != 0 ||
            (error = create_back(fd, g->logsegs_at, stepwise ? g->index_at : g->log_at)) != 0)
                return error;
        return create_header(fd, g, stepwise) ? 0 : errno;
}

static enum create_result create_verdict(const struct l1 *l1, int error)
{
        if (error == 0)
                return CREATE_DONE;
        if (error == EEXIST)
                return CREATE_EXISTS;
        log_line(segment_loudness(l1), "cannot create %s: %s; going on without L1", l1->path, strerrordesc_np(error));
        return CREATE_FAILED;
}

/* The way with a temporary name, which refuses to replace, as linkat() does. In one step where the file system can:
 * whoever sees a segment with two names leaves it alone. */
static bool create_give_name(const char *temporary, const char *path)
{
        return renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0 ||
               (errno != EEXIST && link(temporary, path) == 0);
}

static int create_named(const struct l1 *l1, const struct segment_geometry *g, bool stepwise)
{
        char temporary[SEGMENT_PATH_MAX + 64];
        int  fd, error;

        snprintf(temporary, sizeof temporary, "%s.new.%d.%llx", l1->path, (int)getpid(),
                 (unsigned long long)clock_precise_ns());
        fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return errno == EEXIST ? EBUSY : errno;
        error = create_contents(fd, g, stepwise);
        if (error == 0 && !create_give_name(temporary, l1->path))
                error = errno;
        unlink(temporary);
        close(fd);
        return error;
}

enum create_result create_segment(const struct l1 *l1, const struct segment_geometry *g, bool stepwise)
{
        char link_name[32];
        int  error = 0, fd = open(l1->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        if (fd < 0)
                return create_verdict(l1, create_named(l1, g, stepwise));
        error = create_contents(fd, g, stepwise);
        if (error == 0) {
                snprintf(link_name, sizeof link_name, "/proc/self/fd/%d", fd);
                if (linkat(AT_FDCWD, link_name, AT_FDCWD, l1->path, AT_SYMLINK_FOLLOW) != 0)
                        error = errno;
        }
        close(fd);
        if (error == ENOENT) /* no /proc */
                error = create_named(l1, g, stepwise);
        return create_verdict(l1, error);
}

/* ------------------------------------------------------------------------------------------------- in steps */

/* 0 or an errno. Populating fails where a touch would be a SIGBUS. */
static int create_populate(char *from, uint64_t bytes)
{
        int error = EINTR;

        for (int i = 0; i < 1000 && error == EINTR; i++)
                error = madvise(from, bytes, MADV_POPULATE_WRITE) == 0 ? 0 : errno;
        return error == EFAULT ? ENOSPC : error;
}

/* The highest that anybody has said. Each begins at or below it and goes on from there, so all before it has memory. */
static void create_raise(struct segment_shm *header, uint64_t ready)
{
        uint64_t said = mt_load_relaxed(&header->index_ready);

        while (said < ready && !mt_cas_acq_rel(&header->index_ready, &said, ready))
                ;
}

/* 0 when it is whole, EAGAIN when the time is over, or another errno. */
static int create_steps(struct segment_shm *header, char *index, uint64_t bytes, uint64_t until_ns)
{
        uint64_t ready = mt_load_acquire(&header->index_ready) & ~(uint64_t)(SEGMENT_PAGE - 1), step;
        uint64_t growing = SEGMENT_GROWING;
        int      error;

        while (ready < bytes) {
                step = bytes - ready < CREATE_STEP ? bytes - ready : CREATE_STEP;
                if ((error = create_populate(index + ready, step)) != 0)
                        return error;
                ready += step;
                create_raise(header, ready);
                if (ready < bytes && clock_precise_ns() >= until_ns)
                        return EAGAIN;
        }
        mt_cas_acq_rel(&header->magic, &growing, SEGMENT_MAGIC);
        return 0;
}

/* It cannot be finished: leave nothing behind that takes memory from others. Whoever is about to go on with it does so
 * with a file that has no name. */
static void create_undo(const struct l1 *l1, int fd, const struct segment_shm *header)
{
        struct stat ours, now;

        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &ours) == 0 && lstat(l1->path, &now) == 0 &&
            now.st_dev == ours.st_dev && now.st_ino == ours.st_ino &&
            mt_load_acquire(&header->magic) == SEGMENT_GROWING)
                unlink(l1->path);
}

enum create_result create_grow(const struct l1 *l1, int fd, const struct segment_geometry *g, uint64_t until_ns)
{
        uint64_t            bytes = create_index_bytes(g);
        struct segment_shm *header = mmap(NULL, SEGMENT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        char               *index = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)g->index_at);
        int                 error = header != MAP_FAILED && index != MAP_FAILED ? 0 : ENOMEM;

        if (error == 0) {
                error = create_steps(header, index, bytes, until_ns);
                if (error != 0 && error != EAGAIN)
                        create_undo(l1, fd, header);
        }
        if (header != MAP_FAILED)
                munmap(header, SEGMENT_PAGE);
        if (index != MAP_FAILED)
                munmap(index, bytes);
        return error == EAGAIN ? CREATE_LATER : create_verdict(l1, error);
}
