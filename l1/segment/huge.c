/* huge.c - one 2 MiB after the other, by whoever has the time: the listener's thread.
 * Only what has memory already is collapsed: a hole would be given some. */
#include "huge.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define HUGE_EVERY_NS (100 * NS_PER_MS) /* one at a time, so that nobody waits for two */
#define HUGE_LAP_NS   (10 * NS_PER_S)   /* to the first walk over the segment, and from one to the next */

void *huge_map(int fd, uint64_t bytes, int protection)
{
        uint64_t more = bytes + HUGE_SIZE, before, after;
        char    *room = MAP_FAILED;
        void    *base;

        if (bytes >= HUGE_L1_LEAST)
                room = mmap(NULL, more, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (room == MAP_FAILED)
                return mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
        before = -(uint64_t)(uintptr_t)room % HUGE_SIZE;
        after = more - before - bytes;
        base = mmap(room + before, bytes, protection, MAP_SHARED | MAP_FIXED, fd, 0);
        if (base == MAP_FAILED) {
                munmap(room, more);
                return MAP_FAILED;
        }
        if (before != 0)
                munmap(room, before);
        if (after != 0)
                munmap(room + before + bytes, after);
        return base;
}

/* Does all of [at, at + HUGE_SIZE) of the file have memory? The tables before the log segments' descriptors have holes;
 * the index is whole. */
static bool huge_is_whole(const struct l1 *l1, uint64_t at)
{
        const struct segment_geometry *g = &l1->geometry;
        uint64_t                       end = at + HUGE_SIZE, from = at > g->log_at ? at - g->log_at : 0;

        if (at < g->logsegs_at || end > g->log_at + g->log_bytes)
                return false;
        for (uint64_t i = from / g->logseg_size; g->log_at + i * g->logseg_size < end; i++) {
                if (mt_load_relaxed(&l1->logsegs[i].ready) != g->logseg_size)
                        return false;
        }
        return true;
}

/* False: this kernel cannot, or does not want to. */
static bool huge_collapse(const struct l1 *l1, uint64_t at)
{
        return madvise(l1->base + at, HUGE_SIZE, MADV_COLLAPSE) == 0 || (errno != EINVAL && errno != EPERM);
}

uint64_t l1_huge_pages(struct l1 *l1, uint64_t now_ns)
{
        uint64_t *at = &l1->huge_at;
        int       saved_errno = errno;

        if (l1->geometry.l1_size < HUGE_L1_LEAST)
                return UINT64_MAX;
        if (l1->huge_next_ns == 0)
                l1->huge_next_ns = now_ns + HUGE_LAP_NS;
        if (now_ns < l1->huge_next_ns)
                return l1->huge_next_ns;
        if (!segment_enter(l1))
                return UINT64_MAX;
        l1->huge_next_ns = now_ns + HUGE_EVERY_NS;
        while (*at + HUGE_SIZE <= l1->geometry.l1_size && !huge_is_whole(l1, *at))
                *at += HUGE_SIZE;
        if (*at + HUGE_SIZE > l1->geometry.l1_size) {
                *at = 0;
                l1->huge_next_ns = now_ns + HUGE_LAP_NS;
        } else if (huge_collapse(l1, *at)) {
                *at += HUGE_SIZE;
        } else {
                *at = 0;
                l1->huge_next_ns = UINT64_MAX;
        }
        segment_leave(l1);
        errno = saved_errno;
        return l1->huge_next_ns;
}
