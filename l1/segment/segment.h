/* segment.h - what this process knows of one segment: its private copy of everything that must not change under it, and
 * the addresses of the shared parts. Nothing that decides an address or a length is read from shared memory twice. */
#ifndef MT_SEGMENT_SEGMENT_H
#define MT_SEGMENT_SEGMENT_H

#include "../base/log.h"
#include "../l1.h"
#include "geometry.h"

#include <sys/mman.h>

#define SEGMENT_DIRECTORY "/dev/shm"
#define SEGMENT_PATH_MAX  512
#define SEGMENT_PIECE     (UINT64_C(256) << 10) /* memory is taken in such steps: 0.1 ms each */

/* Linux 5.14; glibc may not know it yet. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

/* What this process has seen to have memory behind it. Shared words say so too, but where /dev/shm is full a touch of
 * what has none is a SIGBUS, and anybody may write such a word. Pieces of the log are SEGMENT_PIECE, or a log segment
 * where that is smaller, so that no piece is taken in part. A byte each, so that a look is one comparison. */
#define SEGMENT_PIECES_MAX (UINT64_C(1) << 17)
struct segment_backed {
        _Atomic uint32_t counters; /* blocks */
        _Atomic uint8_t  log[SEGMENT_PIECES_MAX];
};

/* Handles are never freed: a late thread may still be in a function here while the program ends, or changes its uid. */
struct l1 {
        /* What a hit reads. */
        struct bucket_shm     *index;
        char                  *log;
        uint64_t               log_bytes;
        uint64_t               logseg_mask; /* logseg_size - 1 */
        struct segment_backed *backed;      /* backed_here: whoever reads may learn */
        uint64_t               piece_mask;  /* bytes of one, less 1 */
        unsigned               piece_shift;
        uint32_t               offset_mask; /* of a LIVE slot's word: offset / 8 */
        _Atomic uint64_t edge_zero_ns;      /* clock_zero_ns, less how long before its end an item is looked at twice */
        struct hash_key  hash_key;
        uint32_t         bucket_count;
        bool             writable;
        _Atomic bool     closed; /* detached or abandoned: nothing is put in any more, nothing is claimed */
        _Atomic uint64_t serial; /* names this handle in this process: moves at fork; 0 = nothing may be counted */

        /* What fills and rarer things read. */
        char                   *base;
        struct segment_shm     *header;
        struct logseg_shm      *logsegs;
        struct process_shm     *processes;
        struct tier_shm        *tiers;
        struct counters_shm    *counters;
        struct server_shm      *servers;
        struct namespace_shm   *namespaces;
        struct segment_geometry geometry;
        uint64_t                created_ns;
        uint64_t                max_item_bytes;
        uint64_t                whole_bytes; /* values up to this are kept in one piece */
        uint64_t                piece_bytes; /* longer ones are cut into pieces of this */
        enum process_role       role;
        bool                    again;      /* not the first attempt: what keeps it from going well has been said */
        uint32_t                open_limit; /* log segments of one log open at a time */
        _Atomic uint32_t        writers;    /* threads of this process that may own something in the segment now */
        _Atomic uint64_t        self;       /* this process's owner word, 0 until claimed */
        _Atomic uint64_t        self_retry_ns;
        _Atomic uint64_t        look_ns; /* when owners were last looked at for signs of death */
        _Atomic uint64_t        still[LOGSEG_KINDS * LOGSEG_OPEN_MAX]; /* what was open and owned then: word, head */
        _Atomic uint64_t        full_until_ns;  /* /dev/shm was full: no new memory is asked for before */
        _Atomic uint64_t        table_retry_ns; /* the tables were held for too long: not waited for before */
        _Atomic uint64_t        full_said_ns;
        uint64_t                huge_at, huge_next_ns; /* of the one thread that makes huge pages */
        struct l1              *next;                  /* of all handles of this process */

        uint64_t         clock_zero_ns; /* created_ns less what the coarse clock may lag, see segment_deadline_now() */
        _Atomic uint64_t early_ns, kept_ns; /* l1_set_ends() */

        uint64_t file_dev, file_ino;
        char     directory[SEGMENT_PATH_MAX];
        char     path[SEGMENT_PATH_MAX];

        struct segment_backed backed_here;

        /* l1_own_counts(): what the blocks held when this process took them, and what it added to blocks that it no
         * longer has. Last, because pages of it that are never touched cost nothing. */
        _Atomic uint64_t own_past[COUNTER_COUNT];
        _Atomic uint64_t own_base[COUNTERS_MAX][COUNTER_COUNT];
};

/* Deadlines are counted in units of 2^ITEM_DEADLINE_SHIFT ns from created_ns. An item is served while this is below its
 * deadline: the zero lies early by as much as the coarse clock may lag behind the real one. */
static inline uint64_t segment_deadline_now(const struct l1 *l1, uint64_t now_ns)
{
        return (now_ns - l1->clock_zero_ns) >> ITEM_DEADLINE_SHIFT;
}

/* The same for a look-up: as if it were later by as much as counts as near the end (refresh.c). */
static inline uint64_t segment_edge_now(const struct l1 *l1, uint64_t now_ns)
{
        return (now_ns - mt_load_relaxed(&l1->edge_zero_ns)) >> ITEM_DEADLINE_SHIFT;
}

/* The same for who makes room: items may be asked for when they are past their end, too. */
static inline uint64_t segment_kept_now(const struct l1 *l1, uint64_t now_ns)
{
        uint64_t since_ns = now_ns - l1->clock_zero_ns, kept_ns = mt_load_relaxed(&l1->kept_ns);

        return (since_ns > kept_ns ? since_ns - kept_ns : 0) >> ITEM_DEADLINE_SHIFT;
}

/* Between these two a thread may own log segments, tables or counters of the segment. False: the handle is closed, or
 * cannot write. l1_detach() gives the process slot back only when nobody is inside: else the slot's words stay those
 * of a living process until it is gone. Both sides are sequentially consistent: one of them sees the other. */
static inline bool segment_enter(struct l1 *l1)
{
        if (!l1->writable)
                return false;
        atomic_fetch_add(&l1->writers, 1);
        if (MT_LIKELY(!atomic_load(&l1->closed)))
                return true;
        atomic_fetch_sub(&l1->writers, 1);
        return false;
}

static inline void segment_leave(struct l1 *l1)
{
        atomic_fetch_sub(&l1->writers, 1);
}

/* How loud a reason to go on without L1 is. */
static inline enum log_level segment_loudness(const struct l1 *l1)
{
        return l1->again ? LOG_DEBUG : LOG_WARN;
}

/* Map what the configuration names; create: make it if it is absent, or bad and unused. NULL: one line has said why. */
struct l1 *segment_open(const struct l1_config *config, bool create, bool writable);
/* Another number for the handle: what threads keep under the old one (tokens, counter blocks) is no longer theirs. */
void segment_renew_serial(struct l1 *l1);
/* In one step; whoever is in the middle of something finds an empty cache. */
void segment_replace_by_zeros(struct l1 *l1);

/* Memory for [from, to) of the file, so that a touch of it can never be a SIGBUS. False when there is none to be had;
 * then none is asked for during the next second. */
bool segment_take_memory(struct l1 *l1, uint64_t from, uint64_t to);
/* Look whether pieces of the log, or counter blocks up to `high`, have memory; never a fault. */
uint32_t segment_look_counters(const struct l1 *l1, uint32_t known, uint32_t high);
bool     segment_look_pieces(const struct l1 *l1, uint64_t from, uint64_t to);

/* Has the piece of the log that this offset is in memory, as far as this process knows? */
static inline bool segment_knows_piece(const struct l1 *l1, uint64_t offset)
{
        return mt_load_relaxed(&l1->backed->log[offset >> l1->piece_shift]) != 0;
}

/* May the bytes [from, to) of the log be touched? They lie in one log segment: in two pieces, mostly one. A
 * piece that this process has not met before is looked at, once. */
static inline bool segment_has_memory(const struct l1 *l1, uint64_t from, uint64_t to)
{
        uint64_t first = from >> l1->piece_shift, last = (to - 1) >> l1->piece_shift;

        return MT_LIKELY(mt_load_relaxed(&l1->backed->log[first]) != 0 &&
                         mt_load_relaxed(&l1->backed->log[last]) != 0 && last - first <= 1) ||
               segment_look_pieces(l1, from, to);
}
/* fallocate() of one piece, however often signals interrupt it: 0 or an errno. */
int segment_allocate(int fd, uint64_t from, uint64_t bytes);
/* All handles of this process, newest first. */
struct l1 *segment_handles(void);

#endif
