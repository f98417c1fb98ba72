/* tier.h - the tiers below Redis, in order: what MTSHIM_TIERS names. The facade of the part of this room that is not in
 * shared memory; nothing here is on the way of a hit in L1, or of a command that concerns no rule with `tiers`.
 *
 *   l3=lmdb:/var/cache/x?ttl_scale=2&promote=10;l4=plugin:/lib/x.so
 *
 * Options of a tier, all optional; the rest is the backend's: ttl_scale (L3 2, L4 and beyond 8), promote (one look-up
 * in N that finds something here moves it up; 10; 0: never), timeout (250ms), prefix (instead of the server's address,
 * so that hosts which know it by different ones share a store).
 *
 * Each tier has a thread of ours with a descriptor table of its own, in which its backend works (backend.h, Threads);
 * started when first needed, never under a sandbox, and gone in a child of fork, which opens its own. Callers wait
 * for it at most the tier's timeout. A tier that fails or is slow is skipped (a circuit breaker, half open after a
 * while: one call in a hundred milliseconds, then twice as long, to ten seconds).
 *
 * What has been removed is never given out again, whatever fails: a removal that could not be done (the store is down,
 * or slow) closes the tier to all processes of the host until it has been done, or the whole tier been flushed; that is
 * remembered in the segment.
 *
 * All functions are thread-safe, keep errno, and cost microseconds. `tiers` may be NULL in all of them: there are none.
 */
#ifndef MT_TIER_H
#define MT_TIER_H

#include "backend.h"

struct l1;

enum { TIER_FIRST = 3, TIER_LAST = 8, TIER_MAX = TIER_LAST - TIER_FIRST + 1 };

struct tiers;

/* A backend that stands in a room above this one, known by its name from here on; the table stays the caller's and must
 * outlive the process. Four at most; one of them twice is once. Before tiers_create(), by one thread at a time. */
void tiers_register(const struct mt_backend *backend);

/* Read what MTSHIM_TIERS says; nothing is loaded or opened before it is needed. Each part that is bad is named in one
 * line, and left out. NULL: no tier is left (text is empty). The set lives as long as the process. plugins: the folder
 * of our own plugins, beside the library; NULL: where this library lies. */
struct tiers *tiers_create(const char *text, const char *plugins);
/* Parts that were left out, by this process so far: MTSHIM_ABORT_CONF asks. */
unsigned tiers_left_out(void);
/* The segment in which debts and statistics are: NULL: none (yet); then nothing is read from a tier. */
void tiers_attach(struct tiers *tiers, struct l1 *l1);
void tiers_after_fork(struct tiers *tiers);
/* No thread of ours runs in this process any more, or is started: before a sandbox. */
void tiers_stop(struct tiers *tiers, uint64_t wait_ns);
/* What is open is let go of, and opened anew when needed: the process has become somebody else (its uid). */
void tiers_pause(struct tiers *tiers);

/* A key of one server's database, as all tiers name it. */
struct tier_key {
        struct mt_bytes server;   /* its address, as in struct l1_server_id, or what stands for it */
        uint32_t        database; /* Redis' number */
        struct mt_bytes key;
};

/* A look-up downwards. */
struct tier_found {
        uint64_t ttl_ms;  /* what really remains, at least 1; or MT_TTL_NONE */
        uint8_t  level;   /* where it was found */
        bool     promote; /* this one is to be put back into Redis (one in N, of the tier where it was found) */
};
/* MT_OK: the value is in the sink, and tiers between are given it too (promotion, with what remains). MT_MISS: all
 * tiers that could be asked do not have it. MT_ERROR: none of them could be asked. */
enum mt_status tiers_get(struct tiers *tiers, const struct tier_key *key, struct mt_sink *out,
                         struct tier_found *found);

/* What must be taken before a write is sent to Redis for its value to be stored here after it: a removal that comes
 * between makes it void. */
struct tier_marks {
        uint64_t mark[TIER_MAX];
        uint32_t valid; /* bit level - TIER_FIRST: this tier may be written */
};
void tiers_mark(struct tiers *tiers, const struct tier_key *key, struct tier_marks *marks);
/* Store with ttl_ms x each tier's scale. Returns the number of tiers that have it. */
unsigned tiers_set(struct tiers *tiers, const struct tier_key *key, struct mt_bytes value, uint64_t ttl_ms,
                   const struct tier_marks *marks);

/* From every tier; whoever overwrites a key removes it first, since a tiers_set() that fails leaves what was there.
 * When they return, tiers_get() of any process of this host does not find what was there before, and no mark that was
 * taken before is good. */
void tiers_remove(struct tiers *tiers, const struct tier_key *key, size_t keys);
/* Keys of one database that match; of every database known if database is TIER_EVERY_DATABASE. */
#define TIER_EVERY_DATABASE UINT32_MAX
void tiers_remove_pattern(struct tiers *tiers, struct mt_bytes server, uint32_t database, struct mt_bytes glob);
void tiers_flush(struct tiers *tiers, struct mt_bytes server, uint32_t database);

/* tiers_remove() in two steps, around the command that deletes: from begin to end no process of this host is given what
 * the tiers have under these keys, and if this process is killed in between they are closed to all until flushed. Every
 * begin has its end, also if the command failed. */
struct tier_removal {
        struct tier_shm *shm[TIER_MAX];
        uint64_t         word[TIER_MAX];
        int8_t           place[TIER_MAX];
};
void tiers_remove_begin(struct tiers *tiers, const struct tier_key *key, size_t keys, struct tier_removal *removal);
void tiers_remove_end(struct tiers *tiers, const struct tier_key *key, size_t keys, const struct tier_removal *removal);

/* For whoever prints: a row for each tier, host-wide, since the segment began. */
struct tier_stats {
        char     name[32]; /* "lmdb" */
        uint8_t  level;
        bool     closed;  /* a removal is owed */
        bool     tripped; /* by its circuit breaker, in this process */
        uint64_t hits, misses, errors, timeouts, skipped, sets, removes, promotions;
        uint64_t get_ns_mean, get_ns_max;
};
/* Rows written, at most TIER_MAX. tiers NULL: from the segment alone. */
unsigned tiers_stats(struct tiers *tiers, const struct l1 *l1, struct tier_stats row[TIER_MAX]);
/* Does the backend of that level answer? Asks it. */
bool tiers_health(struct tiers *tiers, unsigned level);
/* Kind and address of that level's store, as MTSHIM_TIERS has them; false: there is none. */
bool tiers_named(const struct tiers *tiers, unsigned level, struct mt_bytes *kind, struct mt_bytes *address);

#endif
