/* segment.c - find, map, refuse.
 *
 * What stands under the segment's name is one of
 *   absent     nothing there                                   made anew
 *   good       mode, owner, size, magic, ABI, fingerprint fit  mapped
 *   growing    the same, but its index has no memory yet       finished first, in steps if config->later says so
 *   bad        a file of ours that is none of this             unlinked and made anew if nobody maps it, else refused
 *   refused    another's file, a link, a directory, ...        one line, never touched
 * The header is read once, before the mapping; every number of the geometry is then this process's own. A file is never
 * shrunk, so that what was mapped stays there. */
#include "segment.h"

#include "../base/log.h"
#include "create.h"
#include "holders.h"
#include "huge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SEGMENT_TRIES       20 /* others create, unlink and create at the same time */
#define SEGMENT_FULL_NS     NS_PER_S
#define SEGMENT_STEP_NS     (300 * NS_PER_US) /* what one attempt to attach spends on the index */
#define SEGMENT_LEFT_OTHERS 8u                /* of the file system, this part stays free for other programs: 1/8 */

enum segment_finding { SEGMENT_GOOD, SEGMENT_UNFINISHED, SEGMENT_ABSENT, SEGMENT_BAD, SEGMENT_REFUSED };

/* ---------------------------------------------------------------------------------------------------- the name */

enum { SEGMENT_NAMESPACES = 3 };

/* The numbers of our namespaces; 0 where /proc cannot be read. Read off the links, in one walk to their directory:
 * stat() follows them and makes an inode for each, which a process of a few milliseconds feels (45 us against 27). */
static void segment_namespaces(uint64_t number[SEGMENT_NAMESPACES])
{
        static const char *const names[SEGMENT_NAMESPACES] = {"pid", "net", "time"};
        int                      directory = open("/proc/self/ns", O_PATH | O_DIRECTORY | O_CLOEXEC);

        for (unsigned i = 0; i < SEGMENT_NAMESPACES; i++) {
                char        text[64]; /* pid:[4026531836] */
                ssize_t     length = directory < 0 ? -1 : readlinkat(directory, names[i], text, sizeof text - 1);
                const char *open_bracket;

                text[length > 0 ? length : 0] = '\0';
                open_bracket = strchr(text, '[');
                number[i] = open_bracket != NULL ? strtoull(open_bracket + 1, NULL, 10) : 0;
        }
        if (directory >= 0)
                close(directory);
}

static bool segment_name(struct l1 *l1, const struct l1_config *config)
{
        const char *directory = config->directory != NULL ? config->directory : SEGMENT_DIRECTORY;
        const char *name = config->name != NULL ? config->name : "default";
        uint64_t    facts[2 + SEGMENT_NAMESPACES] = {geteuid(), SEGMENT_ABI};
        int         length;

        segment_namespaces(&facts[2]);
        if (name[0] == '\0' || strchr(name, '/') != NULL) {
                log_line(segment_loudness(l1), "segment name '%s' is empty or has a slash; going on without L1", name);
                return false;
        }
        length = snprintf(l1->path, sizeof l1->path, "%s/mtshim.%u.%s.%u.%016llx", directory, (unsigned)geteuid(), name,
                          SEGMENT_ABI,
                          (unsigned long long)mt_hash(facts, sizeof facts, (struct hash_key){{SEGMENT_MAGIC, 1}}));
        if (length < 0 || (size_t)length >= sizeof l1->path - 64) {
                log_line(segment_loudness(l1), "segment name '%s' is too long; going on without L1", name);
                return false;
        }
        snprintf(l1->directory, sizeof l1->directory, "%s", directory);
        return true;
}

/* ------------------------------------------------------------------------------------------------ what is there */

/* NULL when the header is one of this version and fits the file. */
static const char *segment_header_fault(const struct segment_shm *header, const struct stat *st,
                                        struct segment_geometry *geometry)
{
        if (header->magic != SEGMENT_MAGIC && header->magic != SEGMENT_GROWING)
                return "it is not a segment";
        if (header->abi != SEGMENT_ABI || header->header_size != sizeof *header ||
            header->fingerprint != geometry_fingerprint())
                return "it is a segment of another version";
        if (!geometry_compute(header->l1_size, header->logseg_size, geometry))
                return "its sizes make no sense";
        if ((uint64_t)st->st_size != geometry->l1_size)
                return "its size is not what its header says";
        /* A copy with holes would fault where memory runs out. */
        if (header->magic == SEGMENT_MAGIC &&
            (uint64_t)st->st_blocks * 512 <
                    geometry->log_at - (COUNTERS_MAX * sizeof(struct counters_shm) - SEGMENT_PAGE))
                return "parts of it have no memory";
        return NULL;
}

static enum segment_finding segment_refuse(const struct l1 *l1, const char *why)
{
        log_line(segment_loudness(l1), "%s: %s; going on without L1", l1->path, why);
        return SEGMENT_REFUSED;
}

/* *why is set when it is bad; *fd when it is good, unfinished or bad. */
static enum segment_finding segment_inspect(const struct l1 *l1, bool writable, int *fd, struct stat *st,
                                            struct segment_shm *header, struct segment_geometry *geometry,
                                            const char **why)
{
        ssize_t got;

        *fd = open(l1->path, (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (*fd < 0)
                return errno == ENOENT ? SEGMENT_ABSENT
                                       : segment_refuse(l1, errno == ELOOP    ? "it is a symbolic link"
                                                            : errno == EACCES ? "it belongs to somebody else"
                                                                              : strerrordesc_np(errno));
        *why = fstat(*fd, st) != 0       ? "it cannot be examined"
               : !S_ISREG(st->st_mode)   ? "it is not a regular file"
               : st->st_uid != geteuid() ? "it belongs to somebody else"
               : st->st_nlink > 1        ? "it has another name as well" /* by which others may reach it */
                                         : NULL;
        if (*why != NULL) {
                close(*fd);
                return segment_refuse(l1, *why);
        }
        got = pread(*fd, header, sizeof *header, 0);
        if ((st->st_mode & 077) != 0)
                *why = "others may use it";
        /* Its memory as it is after the header was read: another process may just have finished it. */
        else if (got != (ssize_t)sizeof *header || fstat(*fd, st) != 0)
                *why = "it is truncated";
        else
                *why = segment_header_fault(header, st, geometry);
        if (*why != NULL)
                return SEGMENT_BAD;
        return header->magic == SEGMENT_MAGIC ? SEGMENT_GOOD : SEGMENT_UNFINISHED;
}

/* Unlink a bad segment if nobody maps it. The lock and the second look at the name keep two that found it bad from
 * unlinking what one of them has made anew meanwhile. True: look again. */
static bool segment_discard(const struct l1 *l1, int fd, const struct stat *bad, const char *why)
{
        struct stat     now;
        struct timespec moment = {.tv_nsec = (long)NS_PER_MS};

        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
                nanosleep(&moment, NULL);
                return true;
        }
        if (lstat(l1->path, &now) != 0 || now.st_dev != bad->st_dev || now.st_ino != bad->st_ino)
                return true;
        if (holders_any(bad->st_dev, bad->st_ino)) {
                log_line(segment_loudness(l1), "%s: %s, and it is in use; going on without L1", l1->path, why);
                return false;
        }
        if (unlink(l1->path) != 0) {
                log_line(segment_loudness(l1), "%s: %s, and it cannot be removed: %s; going on without L1", l1->path,
                         why, strerrordesc_np(errno));
                return false;
        }
        log_line(LOG_WARN, "%s: %s; made anew", l1->path, why);
        return true;
}

/* ---------------------------------------------------------------------------------------------------- the handle */

static struct l1 *_Atomic segment_first;
static _Atomic uint64_t   segment_serials;

struct l1 *segment_handles(void)
{
        return mt_load_acquire(&segment_first);
}

void segment_renew_serial(struct l1 *l1)
{
        mt_store_release(&l1->serial, mt_fetch_add_relaxed(&segment_serials, 1) + 1);
}

static void segment_fill_handle(struct l1 *l1, const struct segment_shm *header, const struct segment_geometry *g)
{
        l1->geometry = *g;
        l1->header = (struct segment_shm *)l1->base;
        l1->servers = (struct server_shm *)(l1->base + g->servers_at);
        l1->namespaces = (struct namespace_shm *)(l1->base + g->namespaces_at);
        l1->processes = (struct process_shm *)(l1->base + g->processes_at);
        l1->tiers = (struct tier_shm *)(l1->base + g->tiers_at);
        l1->counters = (struct counters_shm *)(l1->base + g->counters_at);
        l1->logsegs = (struct logseg_shm *)(l1->base + g->logsegs_at);
        l1->index = (struct bucket_shm *)(l1->base + g->index_at);
        l1->log = l1->base + g->log_at;
        l1->log_bytes = g->log_bytes;
        l1->logseg_mask = g->logseg_size - 1;
        l1->offset_mask = (uint32_t)((UINT64_C(1) << g->offset_bits) - 1);
        l1->bucket_count = g->bucket_count;
        l1->backed = &l1->backed_here;
        l1->piece_shift = (unsigned)__builtin_ctzll(g->logseg_size < SEGMENT_PIECE ? g->logseg_size : SEGMENT_PIECE);
        l1->piece_mask = (UINT64_C(1) << l1->piece_shift) - 1;
        mt_store_relaxed(&l1->backed->counters, SEGMENT_PAGE / (uint32_t)sizeof(struct counters_shm));
        l1->hash_key = (struct hash_key){{header->hash_key[0], header->hash_key[1]}};
        l1->created_ns = header->created_ns;
        l1->clock_zero_ns = header->created_ns - clock_tick_ns();
        mt_store_relaxed(&l1->edge_zero_ns, l1->clock_zero_ns);
        l1->open_limit = g->logseg_count < 14 ? 1 : g->logseg_count / 14;
        if (l1->open_limit > LOGSEG_OPEN_MAX)
                l1->open_limit = LOGSEG_OPEN_MAX;
        l1->whole_bytes = g->logseg_size / ITEM_WHOLE_SHARE;
        l1->piece_bytes = g->logseg_size / ITEM_PIECES - ITEM_PIECE_EXTRA;
}

static bool segment_map(struct l1 *l1, int fd, const struct stat *st, const struct segment_shm *header,
                        const struct segment_geometry *g)
{
        int   protection = PROT_READ | (l1->writable ? PROT_WRITE : 0);
        void *base = huge_map(fd, g->l1_size, protection);

        if (base == MAP_FAILED) {
                segment_refuse(l1, strerrordesc_np(errno));
                return false;
        }
        madvise(base, g->l1_size, MADV_DONTDUMP);
        l1->base = base;
        l1->file_dev = st->st_dev;
        l1->file_ino = st->st_ino;
        segment_fill_handle(l1, header, g);
        return true;
}

static enum create_result segment_create(const struct l1 *l1, const struct l1_config *config)
{
        struct segment_geometry geometry;
        uint64_t                size, logseg_size;

        geometry_choose(config->size_bytes, &size, &logseg_size);
        return geometry_compute(size, logseg_size, &geometry) ? create_segment(l1, &geometry, config->later != NULL)
                                                              : CREATE_FAILED;
}

/* False: not now. */
static bool segment_finish(const struct l1 *l1, const struct l1_config *config, bool create, int fd,
                           const struct segment_geometry *geometry, uint64_t until_ns)
{
        enum create_result result;

        if (!create) {
                segment_refuse(l1, "it is not finished yet");
                return false;
        }
        result = create_grow(l1, fd, geometry, until_ns);
        if (result == CREATE_LATER && config->later != NULL)
                *config->later = true;
        return result == CREATE_DONE;
}

/* Open what is there, or make it; as often as others change it under us, within reason. */
static bool segment_settle(struct l1 *l1, const struct l1_config *config, bool create)
{
        uint64_t                until_ns = config->later != NULL ? clock_precise_ns() + SEGMENT_STEP_NS : UINT64_MAX;
        struct segment_shm      header;
        struct segment_geometry geometry;
        struct stat             st;
        const char             *why = NULL;
        bool                    again, mapped;
        int                     fd;

        for (int try = 0; try < SEGMENT_TRIES; try++) {
                switch (segment_inspect(l1, l1->writable, &fd, &st, &header, &geometry, &why)) {
                case SEGMENT_GOOD:
                        mapped = segment_map(l1, fd, &st, &header, &geometry);
                        close(fd);
                        return mapped;
                case SEGMENT_UNFINISHED:
                        again = segment_finish(l1, config, create, fd, &geometry, until_ns);
                        close(fd);
                        if (!again)
                                return false;
                        break;
                case SEGMENT_BAD:
                        again = create && segment_discard(l1, fd, &st, why);
                        close(fd);
                        if (!create)
                                segment_refuse(l1, why);
                        if (!again)
                                return false;
                        break;
                case SEGMENT_ABSENT:
                        if (!create) {
                                log_line(segment_loudness(l1), "%s: there is no such segment", l1->path);
                                return false;
                        }
                        if (segment_create(l1, config) == CREATE_FAILED)
                                return false;
                        break;
                case SEGMENT_REFUSED: return false;
                }
        }
        segment_refuse(l1, "others keep changing it");
        return false;
}

struct l1 *segment_open(const struct l1_config *config, bool create, bool writable)
{
        struct l1 *l1 =
                mmap(NULL, sizeof *l1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (l1 == MAP_FAILED) {
                log_line(LOG_WARN, "no memory for a segment's handle; going on without L1");
                return NULL;
        }
        l1->writable = writable;
        l1->max_item_bytes = config->max_item_bytes;
        l1->again = config->again;
        l1->role = config->agent ? PROCESS_AGENT : PROCESS_PROGRAM;
        if (!segment_name(l1, config) || !segment_settle(l1, config, create)) {
                munmap(l1, sizeof *l1);
                return NULL;
        }
        if (writable)
                segment_renew_serial(l1);
        l1->next = mt_load_acquire(&segment_first);
        while (!mt_cas_acq_rel(&segment_first, &l1->next, l1))
                ;
        return l1;
}

void segment_replace_by_zeros(struct l1 *l1)
{
        mmap(l1->base, l1->geometry.l1_size, PROT_READ | PROT_WRITE,
             MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/* ----------------------------------------------------------------------------------------------------------- memory */

int segment_allocate(int fd, uint64_t from, uint64_t bytes)
{
        int error = EINTR;

        for (int i = 0; i < 1000 && error == EINTR; i++)
                error = posix_fallocate(fd, (off_t)from, (off_t)bytes);
        return error;
}

/* Populating reads like a touch, and fails where that would be a SIGBUS (Linux 5.14; before it the shared words are all
 * that there is to go by). */
static bool segment_populate_read(const struct l1 *l1, uint64_t from, uint64_t bytes)
{
        return madvise(l1->base + from, bytes, MADV_POPULATE_READ) == 0 || errno == EINVAL;
}

/* Are all pages in memory as it is? A tenth of what populating them takes (2 us for 256 KiB against 23), which a
 * process of a few milliseconds feels, and the kernel maps sixteen around the one that is touched. A page that was
 * swapped out, or is not there, is not told: then populating finds out. Not under a filter, which may know madvise()
 * alone. */
static bool segment_is_in_core(const struct l1 *l1, uint64_t from, uint64_t bytes)
{
        unsigned char in[SEGMENT_PIECE / SEGMENT_PAGE];
        uint64_t      pages = (bytes + SEGMENT_PAGE - 1) / SEGMENT_PAGE;
        unsigned      all = 1;

        if (pages > sizeof in || syscall(SYS_prctl, PR_GET_SECCOMP, 0, 0, 0, 0) != 0 ||
            mincore(l1->base + from, bytes, in) != 0)
                return false;
        for (uint64_t i = 0; i < pages; i++)
                all &= in[i];
        return all != 0;
}

static bool segment_look(const struct l1 *l1, uint64_t from, uint64_t bytes)
{
        int  saved = errno;
        bool there = segment_is_in_core(l1, from, bytes) || segment_populate_read(l1, from, bytes);

        errno = saved;
        return there;
}

MT_COLD bool segment_look_pieces(const struct l1 *l1, uint64_t from, uint64_t to)
{
        uint64_t size = UINT64_C(1) << l1->piece_shift, last = (to - 1) / size;

        for (uint64_t piece = from / size; piece <= last; piece++) {
                if (mt_load_relaxed(&l1->backed->log[piece]) != 0)
                        continue;
                if (!segment_look(l1, l1->geometry.log_at + piece * size, size))
                        return false;
                mt_store_relaxed(&l1->backed->log[piece], 1);
        }
        return true;
}

MT_COLD uint32_t segment_look_counters(const struct l1 *l1, uint32_t known, uint32_t high)
{
        uint64_t from = known * sizeof(struct counters_shm) & ~(uint64_t)(SEGMENT_PAGE - 1);

        if (!segment_look(l1, l1->geometry.counters_at + from, high * sizeof(struct counters_shm) - from))
                return known;
        mt_store_relaxed(&l1->backed->counters, high);
        return high;
}

/* Populating for writing takes memory and maps it, in one go: half of what the two cost one after the other (0.1 ms for
 * 256 KiB instead of 0.2). It fails where a touch would be a SIGBUS (Linux 5.14, EINVAL before). */
static bool segment_populate(const struct l1 *l1, uint64_t from, uint64_t bytes)
{
        return madvise(l1->base + from, bytes, MADV_POPULATE_WRITE) == 0;
}

/* By the file's name, since no descriptor is kept. 0 or an errno; ENOENT when the name leads elsewhere now. */
static int segment_allocate_by_path(const struct l1 *l1, uint64_t from, uint64_t bytes)
{
        int           fd = open(l1->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), error;
        struct stat   st;
        struct statfs fs;

        if (fd < 0)
                return errno;
        if (fstat(fd, &st) != 0 || st.st_dev != l1->file_dev || st.st_ino != l1->file_ino)
                error = ENOENT;
        else if (fstatfs(fd, &fs) == 0 && fs.f_blocks != 0 &&
                 (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize <
                         bytes + (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize / SEGMENT_LEFT_OTHERS)
                error = ENOSPC;
        else
                error = segment_populate(l1, from, bytes) ? 0 : segment_allocate(fd, from, bytes);
        close(fd);
        return error;
}

bool segment_take_memory(struct l1 *l1, uint64_t from, uint64_t to)
{
        uint64_t now_ns = clock_coarse_ns();
        int      error;

        if (now_ns < mt_load_relaxed(&l1->full_until_ns))
                return false;
        error = segment_allocate_by_path(l1, from, to - from);
        if (error == 0)
                return true;
        /* The name is out of reach (chroot, another uid) or gone. */
        if (error != ENOSPC && segment_populate(l1, from, to - from))
                return true;
        mt_store_relaxed(&l1->full_until_ns, now_ns + SEGMENT_FULL_NS);
        l1_count(l1, COUNTER_error_memory, 1);
        log_limited(&l1->full_said_ns, UINT64_MAX, LOG_WARN,
                    "%s: no more memory (%s): it stays at the size that it has", l1->path, strerrordesc_np(error));
        return false;
}
