/* history.h - what was acknowledged when: a file that a writer and readers map, so that each read can be judged against
 * promise 2. Kept by processes that nothing ties together but this file. */
#ifndef TESTS_HISTORY_H
#define TESTS_HISTORY_H

#include "common.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { HISTORY_MAX = 1 << 20 };

struct history {
        _Atomic uint64_t next;      /* sequence number that the writer writes next; the first is 1 */
        _Atomic uint64_t reads;     /* by all readers */
        _Atomic uint64_t late;      /* reads that saw less than they had to */
        _Atomic uint64_t errors;    /* reads that failed: the connection was cut, the server away */
        _Atomic uint64_t served_ns; /* when a reader last saw that its GETs do not travel */
        _Atomic uint64_t served_pid;
        _Atomic uint64_t worst_ns; /* oldest value seen: read begun - acknowledgement of the next one */
        _Atomic uint64_t stop;
        _Atomic uint64_t acked_ns[HISTORY_MAX]; /* 0: not acknowledged (yet, or at all) */
};

static UNUSED struct history *history_map(const char *path)
{
        int   fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        void *p;

        if (fd < 0 || ftruncate(fd, sizeof(struct history)) != 0)
                die("%s: %s", path, strerror(errno));
        p = mmap(NULL, sizeof(struct history), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
                die("%s: %s", path, strerror(errno));
        close(fd);
        return p;
}

/* A reader's place in it: everything up to seq was acknowledged by then. */
struct judge {
        uint64_t scanned; /* numbers below were looked at */
        uint64_t required;
};

/* The newest number that was acknowledged at or before the time. */
static UNUSED uint64_t judge_required(struct judge *j, struct history *h, uint64_t time_ns)
{
        uint64_t next = atomic_load(&h->next);

        for (uint64_t i = j->scanned + 1; i < next && i < HISTORY_MAX; i++) {
                uint64_t acked_ns = atomic_load(&h->acked_ns[i]);

                if (acked_ns > time_ns)
                        break;
                if (acked_ns != 0)
                        j->required = i;
                /* One that is not acknowledged may still be in flight: look again next time unless a later one is. */
                if (acked_ns != 0)
                        j->scanned = i;
        }
        return j->required;
}

/* A read that began at begun_ns saw seq (0: no such key). */
static UNUSED bool judge_read(struct judge *j, struct history *h, uint64_t begun_ns, uint64_t bound_ns, uint64_t seq)
{
        uint64_t newer_ns = seq + 1 < HISTORY_MAX ? atomic_load(&h->acked_ns[seq + 1]) : 0;

        atomic_fetch_add(&h->reads, 1);
        if (newer_ns != 0 && newer_ns < begun_ns && begun_ns - newer_ns > atomic_load(&h->worst_ns))
                atomic_store(&h->worst_ns, begun_ns - newer_ns);
        if (seq >= judge_required(j, h, begun_ns - bound_ns))
                return true;
        atomic_fetch_add(&h->late, 1);
        return false;
}

static UNUSED uint64_t bound_ns(void)
{
        const char *ms = getenv("MT_BOUND_MS");

        return (ms != NULL ? strtoull(ms, NULL, 10) : 1000) * NS_PER_MS;
}
#endif
