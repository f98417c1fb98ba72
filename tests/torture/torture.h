/* torture.h - what the pieces of the torture share.
 *
 *   torture.c   rounds, options, the summary          values.c    what stands in the cache, and what a hit must be
 *   parent.c    makes, stops, continues and kills     worker.c    get, fill, write, flush, leave
 *   recover.c   after the deaths: nothing stuck, lost surprise.c  stops, deaths and forks at chosen places
 *
 * They know l1.h, and of the segment no more than who owns which log segment under which generation (layout.h). */
#ifndef MT_TORTURE_H
#define MT_TORTURE_H

#include "l1/l1.h"

enum {
        SERVERS = 2,
        DATABASES = 3,
        KEYS = 8192,
        KEY_SPACE = 2048, /* bytes, for the longest */
        SEATS = 64,
        GEOMETRIES = 4,
        TOKENS = 1 << 16,
        TORTURE_PAGE = 4096,
};

/* The server, and what the listener has said: one book for each segment. A number only goes up. One key stands in all
 * databases: one write changes it everywhere. */
struct book {
        _Atomic uint64_t truth[SERVERS][KEYS];
        _Atomic uint64_t applied[SERVERS][KEYS];
        _Atomic uint64_t flush_truth[SERVERS][DATABASES];
        _Atomic uint64_t flush_applied[SERVERS][DATABASES];
};

/* What is counted; from TORN on, what must never be. */
#define TORTURE_COUNTS(ROW)                                                                                            \
        ROW(HITS, "hits")                                                                                              \
        ROW(NILS, "of them nil")                                                                                       \
        ROW(GONE, "gone before the copy was done")                                                                     \
        ROW(MISSES, "misses")                                                                                          \
        ROW(FILLS, "fills")                                                                                            \
        ROW(REFUSED, "refused")                                                                                        \
        ROW(WRITES, "writes")                                                                                          \
        ROW(FLUSHES, "flushes")                                                                                        \
        ROW(ATTACHES, "attaches")                                                                                      \
        ROW(FORKS, "forks")                                                                                            \
        ROW(TORN, "torn")                                                                                              \
        ROW(FOREIGN, "foreign")                                                                                        \
        ROW(STALE, "stale: served after its removal was applied")                                                      \
        ROW(UNFLUSHED, "unflushed: served after a flush was applied")                                                  \
        ROW(LATE, "late: served past its deadline")                                                                    \
        ROW(TWICE, "twice: a token drawn, or a lease filled, by two")                                                  \
        ROW(UNDEAD, "served from a segment that was let go")

enum count {
#define ROW(name, says) name,
        TORTURE_COUNTS(ROW)
#undef ROW
                COUNTS
};

/* Where a process can be stopped, or end. */
#define TORTURE_PLACES(ROW)                                                                                            \
        ROW(ANYWHERE, "anywhere")                                                                                      \
        ROW(BEFORE_COPY, "between find and copy")                                                                      \
        ROW(IN_COPY, "in the middle of a copy")                                                                        \
        ROW(LEASED, "between lease and fill")                                                                          \
        ROW(IN_APPEND, "in the middle of an append")                                                                   \
        ROW(IN_FILL, "at an access inside a fill or reclaim")                                                          \
        ROW(IN_GET, "at an access elsewhere")

enum place {
#define ROW(name, says) name,
        TORTURE_PLACES(ROW)
#undef ROW
                PLACES
};

/* A worker's place at the table: its successor after a death goes on counting there. */
struct seat {
        _Alignas(64) _Atomic uint64_t count[COUNTS];
        _Atomic uint32_t place; /* where the one that sits here has stopped */
};

/* Shared by all, outside the segments. */
struct world {
        struct book      book[GEOMETRIES];
        struct seat      seat[SEATS];
        _Atomic uint64_t token[TOKENS]; /* the last one drawn of those that fall here */
        _Atomic bool     stop;
};
extern struct world *world;

struct geometry {
        uint64_t size_bytes, max_item_bytes;
};
extern const struct geometry geometries[GEOMETRIES];
uint64_t                     torture_item_max(void);
struct l1_config             torture_config(unsigned geometry);

/* What the workers of a round do, of a thousand operations. */
struct profile {
        const char *name;
        uint32_t    hot; /* keys that most operations are about */
        uint32_t    writes, cold, large;
};
extern const struct profile profiles[];
extern const unsigned       profile_count;

struct round {
        unsigned              geometry;
        const struct profile *profile;
};

struct worker {
        uint64_t              seed;
        struct l1            *l1;
        struct book          *book;
        struct seat          *seat;
        struct round          round;
        struct server_shm    *server[SERVERS];
        uint32_t              incarnation[SERVERS];
        struct namespace_shm *ns[SERVERS][DATABASES];
        char                 *value, *copy; /* room for the largest, on pages of their own */

        /* The operation that is going on. */
        uint64_t s, d, key;
        uint64_t applied, flushed, asked_ns; /* what a hit must not be older than */
        bool     filling;

        /* surprise.c */
        uint64_t until_surprise; /* operations */
        unsigned surprise;
        uint64_t fills_only; /* this many operations */
        bool     calm;       /* none for this one */
        bool     alone;      /* no second thread in this process */
        bool     let_go;     /* of the segment */
        char    *trap;       /* this page stops whoever touches it */
        unsigned trap_place;
};

/* ------------------------------------------------------------------------------------------------- small things */

static inline uint64_t draw(uint64_t *seed)
{
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        return *seed;
}

static inline uint64_t below(uint64_t *seed, uint64_t n)
{
        return ((draw(seed) >> 32) * n) >> 32;
}

static inline void count(const struct worker *w, enum count what)
{
        mt_fetch_add_relaxed(&w->seat->count[what], 1);
}

/* ------------------------------------------------------------------------------------------------------ values.c */

/* Texts of all keys: made once, before anybody forks. */
void            values_setup(void);
struct mt_bytes value_key(uint64_t key);
/* Bytes of the value that the server would answer now; nil when ptr is NULL. */
struct mt_bytes value_answer(struct worker *w, uint64_t *deadline_ns);
/* Judge and count what was copied. */
void value_judge(const struct worker *w, const struct l1_hit *hit, const char *copy);

/* ------------------------------------------------------------------------------------------------------ worker.c */

/* NULL handle: attach. False: the tables could not be changed just now. */
bool worker_begin(struct worker *w, struct l1 *l1, struct round round, struct seat *seat, uint64_t seed);
void worker_rooms(struct worker *w); /* memory for values */
void worker_work(struct worker *w, uint64_t operations);
bool worker_fill(struct worker *w, const struct l1_key *wanted, struct l1_lease *lease);
/* A whole life, with attach and leave. inherited: a handle that came through the fork, or NULL. */
_Noreturn void worker_life(struct l1 *inherited, struct round round, struct seat *seat, uint64_t seed);
struct l1_key  worker_key(const struct worker *w);

/* ---------------------------------------------------------------------------------------------------- surprise.c */

enum surprise {
        SURPRISE_NONE,
        STOP_BEFORE_COPY,
        STOP_IN_COPY,
        STOP_LEASED,
        STOP_IN_APPEND,
        STOP_AT_ACCESS,
        FORK_LEASED,
        SURPRISES
};

void surprise_setup(void);
/* Is it due, and this one? Then it is over. */
bool surprise_is(struct worker *w, enum surprise which);
/* Stop here until the parent says otherwise, or die. */
void surprise_pause(struct worker *w, enum place place);
/* Where n bytes can go to, or come from, so that the middle of them lies where the trap is set. */
char *surprise_middle(char *room, uint64_t n, char **page);
void  surprise_trap(struct worker *w, char *page, enum place place);
void  surprise_clear(struct worker *w);
/* Somewhere in this process's mapping of the segment. near: rather there, or NULL. */
void surprise_trap_segment(struct worker *w, const char *near);
/* Parent and child go on with the same lease. */
void surprise_fork(struct worker *w, const struct l1_key *wanted, struct l1_lease *lease);

/* ------------------------------------------------------------------------------------------------------ parent.c */

struct hurts {
        uint64_t kills, stops[PLACES], long_stops, odd_ends, most_laps;
};

/* Processes that live and die until end_ns; all are gone on return. */
void parent_round(struct l1 *l1, struct round round, unsigned processes, uint64_t *seed, uint64_t end_ns,
                  struct hurts *hurts);
/* The same as threads of this process; nobody is hurt. */
void parent_round_of_threads(struct l1 *l1, struct round round, unsigned threads, uint64_t *seed, uint64_t end_ns);
/* Reclaims since the segment was made, and log segments. */
uint64_t parent_reclaims(const struct l1 *l1, uint64_t *logsegs);

/* ----------------------------------------------------------------------------------------------------- recover.c */

struct recovery {
        uint64_t first_fill_ns; /* how long it took until something went in; UINT64_MAX: it never did */
        uint32_t lost;          /* log segments that did not come round, or that the dead still own */
        uint32_t logsegs;
        uint64_t bytes_used, bytes_log;
};

/* A fresh process, or this one if in_place, fills several times what the log holds. */
bool recover_run(struct l1 *l1, struct round round, bool in_place, uint64_t seed, struct recovery *found);
/* One process is left stopped: inside its append, or at an access in a fill. 0: it did not come to that. */
pid_t recover_leave_stopped(struct l1 *l1, struct round round, uint64_t seed, bool in_append);

#endif
