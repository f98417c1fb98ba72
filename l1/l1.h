/* l1.h - the cache itself: host-wide, in shared memory, below any knowledge of Redis' protocol.
 *
 *            get  lease  fill  remove  flush  reclaim      -  needs nothing, waits for nobody
 *   get       -    -      v      v       v      v          v  copy, then validate the slot
 *   lease          c      c      c       -      c          c  compare-and-swap (or exchange) on the slot
 *   fill                  c,o    c       v      o          o  owns the log segment it appends to
 *   remove                       c       -      c
 *   flush                                c      -
 *
 * All functions are thread-safe and async-signal-unsafe. None of them blocks but l1_wait(), which is there to wait;
 * l1_server() and l1_namespace() wait a few milliseconds at most for another process that is changing the tables. A
 * segment that turns out bad costs a miss and a counter. Times are CLOCK_MONOTONIC nanoseconds (base/clock.h). */
#ifndef MT_L1_H
#define MT_L1_H

#include "base/assert.h"
#include "base/atomic.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "segment/layout.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* --------------------------------------------------------------------------------------- attach and let go */

struct l1; /* what this process knows of one segment */

struct l1_config {
        const char *name;           /* MTSHIM_SEGMENT */
        uint64_t    size_bytes;     /* MTSHIM_L1_SIZE; counts only for whoever creates it */
        uint64_t    max_item_bytes; /* MTSHIM_L1_MAX_ITEM */
        const char *directory;      /* NULL: /dev/shm */
        bool        agent;          /* `mtshim agent`: it leads for others, see l1_owner_agent() */
        bool        again;          /* an earlier attempt has said what is wrong: not a second line for it */
        bool        there;          /* only one that is there already, whole and good: none is made or mended */
        bool       *later;          /* not NULL: set, and no handle given out, rather than take the index of a new
                                     * segment at once; the next attempt goes on. NULL: as long as it takes */
};

/* Map the segment of the effective uid, or create it. NULL: one line has said why (unless again), the caller goes on
 * without L1.
 * The name digests uid, SEGMENT_ABI and the pid, network and time namespaces. No descriptor stays open. */
struct l1 *l1_attach(const struct l1_config *config);
/* The same, but never creates and never claims anything: for the mtshim command. Maps the whole read-only if
 * !writable. */
struct l1 *l1_open(const struct l1_config *config, bool writable);
/* A tidy end: gives back what this process holds in the segment. The mapping stays valid for late threads: */
void l1_detach(struct l1 *l1);
/* Let go of a segment that this process must not touch again (its uid has changed): the mapping is replaced in one
 * step by private zero pages, so that a thread in the middle of a hit sees an empty cache and no fault. */
void l1_abandon(struct l1 *l1);
/* Call in the child after a fork, before anything else here: the parent's process slot, counters and tokens are not
 * ours. */
void l1_after_fork(struct l1 *l1);

/* Is an agent there for programs that use this segment? A hint, by one system call where there is none. Keeps errno. */
bool l1_agent_present(const struct l1_config *config);
/* An agent: say so for as long as *held (a descriptor, at first -1) is open, and say it again if somebody removed the
 * file. False: it cannot be said (errno), and programs that live for a moment find out late. */
bool l1_agent_announce(const struct l1_config *config, int *held);
void l1_agent_withdraw(const struct l1_config *config, int *held);
/* Does the segment's path still lead to it? Else it was removed, and programs that come now make another. */
bool l1_at_path(const struct l1 *l1);
/* Full path of the segment, for lines and for doctor. Valid as long as the handle. */
const char *l1_path(const struct l1 *l1);

/* ------------------------------------------------------------------------------------------ servers, namespaces */

struct l1_server_id {
        uint32_t family; /* AF_UNIX, AF_INET, AF_INET6 */
        uint64_t id[3];  /* as in struct server_shm */
        uint64_t source; /* likewise */
        char     address[120];
};

/* The server's place in the segment, claimed when new; NULL when the table is full of servers in use. The pointer
 * stays valid as long as the handle, but the place may be given to another server when this one was unused for a
 * minute without a leader: whoever keeps the pointer keeps server->incarnation beside it and compares. */
struct server_shm *l1_server(struct l1 *l1, const struct l1_server_id *id);
uint32_t           l1_server_index(const struct l1 *l1, const struct server_shm *server);
struct server_shm *l1_server_at(struct l1 *l1, uint32_t index); /* NULL unless in use; 0 <= index < SERVER_MAX */
/* The places, from *index on, that lead to the same server or may: it is known by several addresses, and by how writes
 * to it are learnt; one whose run_id is not known may be any. `server` is among them. NULL: no more. */
struct server_shm *l1_server_alias(struct l1 *l1, const struct server_shm *server, uint32_t *index);

/* Keyed digest of an identity; name NULL is the identity of a connection that never authenticated. */
void l1_user_digest(const struct l1 *l1, const char *name, size_t len, uint64_t digest[2]);
/* The namespace's place, claimed when new; NULL when the table is full. Re-ask when the server's incarnation moves. */
struct namespace_shm *l1_namespace(struct l1 *l1, const struct server_shm *server, uint32_t database,
                                   const uint64_t user[2]);
/* The id that its items carry now; 0 (nothing is found, nothing is filled) when the server's place was given to
 * another since the caller read `incarnation`. [N] acquire: an id that belongs to the next holder of the place is seen
 * with the incarnation that was stored before it; so the id is loaded first, and compared after. */
static inline uint32_t l1_namespace_id(const struct server_shm *server, uint32_t incarnation,
                                       const struct namespace_shm *ns)
{
        uint32_t id = mt_load_acquire(&ns->id);

        if (MT_UNLIKELY(mt_load_relaxed(&server->incarnation) != incarnation))
                return 0;
        return id;
}

/* New ids for the namespaces of a server (all databases and users), or of one database of it: in O(namespaces) nothing
 * that was filled before is found any more, and no fill that began before is. */
void l1_flush_server(struct l1 *l1, struct server_shm *server);
void l1_flush_database(struct l1 *l1, struct server_shm *server, uint32_t database);
/* The same for one user of it, in every database. user: as in l1_namespace(). */
void l1_flush_user(struct l1 *l1, struct server_shm *server, const uint64_t user[2]);
void l1_flush_all(struct l1 *l1);

/* -------------------------------------------------------------------------------------------------- the hit */

struct l1_key {
        struct mt_bytes key;
        uint64_t        hash; /* of (server, key): the same in every database and for every user */
};

/* What a key hashes to on this server. */
uint64_t l1_hash(const struct l1 *l1, uint32_t server_index, struct mt_bytes key);
/* Where l1_find() will look: asked for, without waiting. */
void l1_prefetch(const struct l1 *l1, uint64_t hash);

struct l1_hit {
        const char             *value; /* in the segment: never read except by l1_copy() */
        uint32_t                len;
        bool                    nil; /* the answer is "no such key"; len is 0 */
        const _Atomic uint64_t *slot;
        uint64_t                word;   /* what the slot held */
        const struct l1        *pieces; /* not NULL: the value is in pieces, and value the list of them */
};

/* The way of a hit: find, then the caller makes room, then copy. find() is false on a miss (absent, malformed, of
 * another namespace; near its end or past it: l1_look_at_end()). copy() is false when the item was removed or its place
 * reused meanwhile: treat it as a miss, and throw away what was copied. Call copy() for a nil too (len 0): it is the
 * validation. now_ns is the coarse clock. Rule (c) of the model: server->fresh_at_ns is loaded (acquire) before
 * namespace->id, and that before find(). Marks the slot visited if it was not; writes nothing else to the segment. */
bool l1_find(struct l1 *l1, const struct l1_key *key, uint32_t namespace_id, uint64_t now_ns, struct l1_hit *hit);
bool l1_copy(const struct l1_hit *hit, void *to);

/* ------------------------------------------------------------------------------------------------- the fill */

/* The right to fill a missing key. FREE -> HELD l1_lease(); HELD -> filled l1_fill(); HELD -> FREE l1_release();
 * anybody's l1_remove() of the key in between takes it away, and the fill is refused. */
struct l1_lease {
        _Atomic uint64_t *slot;    /* NULL: none held */
        uint64_t          pending; /* the word that must still be there */
        uint32_t          namespace_id;
        bool              returned; /* the key had left unread, and is back soon */
        uint64_t          held;     /* the mark whose place it has taken, 0: none; l1_hold() */
};

/* Put PENDING in before GET is sent. namespace_id was loaded before the call. False: somebody else is filling this key,
 * there is no room, or the process may not write; then the GET travels alone. */
bool l1_lease(struct l1 *l1, const struct l1_key *key, uint32_t namespace_id, uint64_t now_ns, struct l1_lease *lease);
/* Publish the value (value.ptr NULL: nil) until deadline_ns. True when it is live. Ends the lease either way. */
bool l1_fill(struct l1 *l1, const struct l1_key *key, struct l1_lease *lease, struct mt_bytes value,
             uint64_t deadline_ns);
/* Give it back unused. No effect if none is held. */
void l1_release(struct l1 *l1, struct l1_lease *lease);

/* ------------------------------------------------------------------------------------- near the end, and past it */

/* What this process does with items near their end and past it. early_ns: beta x delta of XFetch (cache/refresh.c), so
 * that of readers of an item one, by chance, is to fetch it anew shortly before its end; 0: none is. kept_ns: so long
 * past its end an item may still be read, as far as it is not evicted; processes that lead and do not say the same
 * evict it. At any time. */
void l1_set_ends(struct l1 *l1, uint64_t early_ns, uint64_t kept_ns);

/* l1_find() is false and has left hit->word: that is an item near its end or past it. */
enum l1_end {
        L1_END_HIT, /* it is to be served: hit is as after a find */
        L1_END_DUE, /* by chance it is on this reader to fetch it anew; or it is past its end: hit is as after a find */
        L1_END_OVER, /* there is nothing */
};
enum l1_end l1_look_at_end(struct l1 *l1, const struct l1_key *key, uint32_t namespace_id, uint64_t now_ns,
                           struct l1_hit *hit);
/* One reader may fetch it anew, and all others go on reading it. The lease is ended by l1_fill(), which replaces the
 * item, or l1_release(), which leaves it. False: somebody else does, or it is not there any more. */
bool l1_refresh(struct l1 *l1, uint32_t namespace_id, uint64_t now_ns, const struct l1_hit *hit,
                struct l1_lease *lease);
/* Is it the lease of a value that is still there? */
bool l1_refreshes(const struct l1_lease *lease);
/* May it be read, its end being less than past_ns ago? past_ns 0: is its time not over? */
bool l1_still(struct l1 *l1, uint64_t now_ns, uint64_t past_ns, const struct l1_hit *hit);
/* As l1_find(), but also past its end by less than past_ns. */
bool l1_recall(struct l1 *l1, const struct l1_key *key, uint32_t namespace_id, uint64_t now_ns, uint64_t past_ns,
               struct l1_hit *hit);
/* l1_copy() for the hits of these: that one is a part of the way of a hit as long as it has one caller. */
bool l1_copy_late(const struct l1_hit *hit, void *to);

/* ------------------------------------------------------------------------------------- somebody else's fill */

/* What l1_lease() has found to be there already. FILLING and HELD: by a PENDING word in a slot. Its key is known by its
 * tag alone and its namespace not at all: now and then it is another's, and waiting for it is in vain. */
struct l1_other {
        _Atomic uint64_t *slot;
        uint64_t          word;
};
enum l1_other_is {
        L1_OTHER_NONE,    /* nobody now */
        L1_OTHER_FILLED,  /* look again: there may be a value, or a lease to be had */
        L1_OTHER_FILLING, /* it asks the server */
        L1_OTHER_HELD,    /* it has had a nil, and computes: l1_hold() */
};
enum l1_other_is l1_other(const struct l1 *l1, const struct l1_key *key, struct l1_other *other);
/* The same of a value past its end, for which l1_refresh() was refused: does somebody fetch it anew, or has it left its
 * slot? Then other is its LIVE word, to be waited for; not one to be taken over. */
bool l1_other_refresh(const struct l1 *l1, uint64_t now_ns, const struct l1_hit *hit, struct l1_other *other);

/* Wait until that word has left its slot, whoever did it (a fill, a removal, a release, a hold), or until the precise
 * clock says until_ns; signals do not end it. The one function here that blocks. Call it without a lease: who holds one
 * may wait for himself. */
enum l1_waited {
        L1_WAITED,         /* look again */
        L1_WAITED_IN_VAIN, /* the reply was one that is not kept */
        L1_WAITED_LONG,    /* until_ns is past and the word still there */
};
enum l1_waited l1_wait(struct l1 *l1, const struct l1_other *other, uint64_t until_ns);
/* Who has waited long enough: take the word's place. True for one alone of all who try it. */
bool l1_take_over(struct l1 *l1, const struct l1_other *other, uint32_t namespace_id, uint64_t now_ns,
                  struct l1_lease *lease);
/* The reply was nil, and somebody is taken to compute the value: leave a mark, so that others wait until a removal (his
 * SET) wakes them. Ends the lease. A removal does not take the mark away, nor PENDING: Redis announces that a key
 * expired just as it announces a SET, and right behind the nil that found it expired. It says so in the mark, and the
 * next l1_lease() takes its place. of: whose mark it is: lease->held of one who was removed, who has had a nil as well
 * or is about to say that he has not; or 0: the caller's own, whose word is lease->pending. */
enum l1_hold {
        L1_HOLD_NONE = 0, /* it is being asked for */
        L1_HOLD_FIRST = 1,
        L1_HOLD_SECOND = 2,  /* the first one did not set it in time */
        L1_HOLD_REMOVED = 3, /* something has happened to the key */
};
void         l1_hold(struct l1 *l1, struct l1_lease *lease, uint64_t of, enum l1_hold hold);
enum l1_hold l1_hold_of(uint64_t word);
/* Are two words of the same one's lease, or mark? */
bool l1_hold_same(uint64_t word, uint64_t other);

/* --------------------------------------------------------------------------- who computes what is not there */

/* The right to compute a value, of all threads and processes of the host (cache/claim.c): exact, where the lease of a
 * slot is held for a round trip and is anybody's to take away. l1 NULL, or one that this process may not write: among
 * the threads of this process. hash: of whatever names the value. */
struct l1_claim {
        struct claim_shm *place; /* NULL: none */
        uint64_t          owner; /* its word while this claim holds */
        uint64_t          hash;
};
enum l1_claimed {
        L1_CLAIMED,       /* *claim is the caller's until l1_unclaim() */
        L1_CLAIMED_OTHER, /* *claim is another's, to be waited for */
        L1_CLAIMED_FULL,  /* no place is left */
};
enum l1_claimed l1_claim(struct l1 *l1, uint64_t hash, struct l1_claim *claim);
/* Wait until another's has ended or has changed hands: true; it was the dead's: true, after 50 ms at most. False: the
 * precise clock says until_ns. Blocks; signals do not end it; errno kept. */
bool l1_claim_wait(struct l1 *l1, const struct l1_claim *other, uint64_t until_ns);
/* Take the place of one who is too slow: true for one alone of all who try it, and *claim is his. */
bool l1_claim_take_over(struct l1 *l1, const struct l1_claim *other, struct l1_claim *claim);
/* Has nobody taken it over? */
bool l1_claim_holds(const struct l1_claim *claim);
/* Give it back, if it holds, and wake who waits. */
void l1_unclaim(struct l1_claim *claim);

/* ------------------------------------------------------------------------------------------------ the removal */

/* Clear every slot of the key, LIVE and PENDING, of every database and user. Compares tags only, never reads items.
 * Returns the number of slots cleared. */
unsigned l1_remove(struct l1 *l1, uint64_t hash);
/* Clear every slot whose item's key matches, of every server, database and user, and every PENDING one, since its key
 * is not known: a walk of the whole index, for operators. Returns the number of LIVE slots cleared. */
uint64_t l1_remove_pattern(struct l1 *l1, struct mt_bytes glob);

/* Look for log segments that can be reclaimed without loss: items expired or removed, a reclaim left by the dead. At
 * most every_ns on this host, and for a quarter of a millisecond; now_ns is the coarse clock. Every fill does it once a
 * second at the least, a leader's thread does it more often so that fills need not. */
void l1_tend(struct l1 *l1, uint64_t now_ns, uint64_t every_ns);
/* Collapse what has memory into huge pages, where the kernel can and it pays (segment/huge.h): a few milliseconds at a
 * time, for one thread of a process that nobody waits for. Returns when it wants to be called again, UINT64_MAX: never.
 * now_ns is the coarse clock. */
uint64_t l1_huge_pages(struct l1 *l1, uint64_t now_ns);

/* ------------------------------------------------------------------------------------ what Redis was not told */

/* A walk over the index in steps, for a leader's thread that tells the server which of its keys were read here. */
struct l1_untold {
        uint32_t server_index;
        uint32_t key_max; /* bytes; longer keys are passed over */
        uint32_t least;   /* 1 to MARK_MAX: keys with fewer reads are passed over */
        /* The walk's own, 0 at the start: */
        uint32_t bucket, slot;
        uint32_t found[MARK_MAX + 1]; /* about how many keys, of all servers, had so many reads untold; [0] stays 0 */
};
struct l1_untold_key {
        uint32_t database;
        uint32_t len;   /* of the key, in bytes */
        uint32_t reads; /* since it was last told, counted up to MARK_MAX */
};
enum l1_untold_step {
        L1_UNTOLD_KEY,  /* one is found, and copied; its reads count as told */
        L1_UNTOLD_FULL, /* one is found for which there is no room; nothing is changed, it comes again */
        L1_UNTOLD_MORE, /* so many buckets were looked at: come again */
        L1_UNTOLD_END,
};
enum l1_untold_step l1_next_untold(struct l1 *l1, struct l1_untold *walk, uint32_t buckets, char *to, size_t room,
                                   struct l1_untold_key *key);

/* ------------------------------------------------------------------------------------------------- counters */

enum l1_counter {
#define COUNTER(name, kind, help) COUNTER_##name,
#include "cache/counters.def"
#undef COUNTER
        COUNTER_COUNT
};
_Static_assert((int)COUNTER_COUNT <= (int)COUNTER_SPACE, "a counter block has room for all");

/* Add to this thread's own line. l1 may be NULL (then nothing is counted). */
void l1_count(struct l1 *l1, enum l1_counter counter, uint64_t n);

struct l1_totals {
        uint64_t count[COUNTER_COUNT];
        uint64_t items;           /* LIVE slots, from a walk of the index */
        uint64_t pending;         /* PENDING slots */
        uint64_t live_bytes;      /* what these items take in the log: header, key, value, padding */
        uint64_t key_value_bytes; /* their keys and values alone */
        uint64_t bytes_used;  /* committed bytes of all log segments: live_bytes, and what was replaced or removed */
        uint64_t bytes_taken; /* backed by memory now, everything included */
        uint64_t bytes_total; /* the ceiling */
        uint32_t processes;   /* alive and attached; 0 unless with_items, since it reads /proc */
        uint32_t logsegs, logsegs_free;
};
/* Counters alone are cheap; walk the index, and look at each item, if with_items. */
void l1_totals(const struct l1 *l1, bool with_items, struct l1_totals *totals);
/* What this process alone has counted since it attached (MTSHIM_SHOW_STATS). */
void l1_own_counts(const struct l1 *l1, uint64_t count[COUNTER_COUNT]);
/* One row of counters.def, for whoever prints: name, "counter", and one sentence. */
struct l1_counter_row {
        const char *name, *kind, *help;
};
extern const struct l1_counter_row l1_counter_rows[COUNTER_COUNT];

/* Whole-structure walks for tests, torture and doctor: NULL when sound, else a static sentence of what is not. */
const char *l1_verify(const struct l1 *l1);

/* ------------------------------------------------------------------- owner words, for leadership (invalidation/) */

/* The owner word of this process; 0 when it has no slot. After a fork a new one is claimed on first use. */
uint64_t l1_self(struct l1 *l1);
/* Is the process that the word names gone? Reads /proc: not for hot paths. 0 is nobody: true. */
bool  l1_owner_dead(const struct l1 *l1, uint64_t owner);
pid_t l1_owner_pid(const struct l1 *l1, uint64_t owner); /* 0 when it names nobody */
/* Does it name an agent: a process that is there to lead, and to which others need not be preferred? */
bool l1_owner_agent(const struct l1 *l1, uint64_t owner);

#endif
