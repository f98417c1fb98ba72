/* create.c - makes a segment that nobody sees before it is whole.
 *
 * The file has no name (O_TMPFILE) until its tables and index have memory, the header is written and the magic is in
 * place; linkat() then gives it the final name, or finds that another process was faster. Where a file without a name
 * cannot be had, or /proc is not there to link it by, a temporary name stands in.
 *
 * Memory: everything up to the index, so that a touch there can never be a SIGBUS, except the counter blocks after
 * their first page; these and the log are taken piece by piece. */
#include "create.h"

#include "../base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

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

static bool create_header(int fd, const struct segment_geometry *g)
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
        /* Release: pairs with the acquire in verify_header(). Who opens the file finds it whole: it had no name. */
        mt_store_release(&header->magic, SEGMENT_MAGIC);
        return munmap(header, SEGMENT_PAGE) == 0;
}

/* Size, memory, contents. 0 or an errno. */
static int create_contents(int fd, const struct segment_geometry *g)
{
        int error;

        if (fchmod(fd, 0600) != 0 || ftruncate(fd, (off_t)g->l1_size) != 0)
                return errno;
        if ((error = create_back(fd, 0, g->counters_at + SEGMENT_PAGE)) != 0 ||
            (error = create_back(fd, g->logsegs_at, g->log_at)) != 0)
                return error;
        return create_header(fd, g) ? 0 : errno;
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

/* The way with a temporary name: link() refuses to replace, as linkat() does. */
static int create_named(const struct l1 *l1, const struct segment_geometry *g)
{
        char temporary[SEGMENT_PATH_MAX + 64];
        int  fd, error;

        snprintf(temporary, sizeof temporary, "%s.new.%d.%llx", l1->path, (int)getpid(),
                 (unsigned long long)clock_precise_ns());
        fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return errno == EEXIST ? EBUSY : errno;
        error = create_contents(fd, g);
        if (error == 0 && link(temporary, l1->path) != 0)
                error = errno;
        unlink(temporary);
        close(fd);
        return error;
}

enum create_result create_segment(const struct l1 *l1, const struct segment_geometry *g)
{
        char link_name[32];
        int  error = 0, fd = open(l1->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        if (fd < 0)
                return create_verdict(l1, create_named(l1, g));
        error = create_contents(fd, g);
        if (error == 0) {
                snprintf(link_name, sizeof link_name, "/proc/self/fd/%d", fd);
                if (linkat(AT_FDCWD, link_name, AT_FDCWD, l1->path, AT_SYMLINK_FOLLOW) != 0)
                        error = errno;
        }
        close(fd);
        if (error == ENOENT) /* no /proc */
                error = create_named(l1, g);
        return create_verdict(l1, error);
}
