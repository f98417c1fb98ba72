/* model.h - the slot protocol as a state and its steps.
 *
 * One key, two slots, two log segments of one or two items, an item of two halves. A server whose number goes up; a
 * listener that hears of it, loses its connection (or dies) and comes back; fillers; reclaimers that clear or promote;
 * a reader. Every step is one access to shared memory, or two that nobody can tell from one; every process may die, or
 * stand still for as long as it likes, between any two.
 *
 *   steps.c   the steps: what each process does next
 *   walk.c    every order of them
 *   same.c    states that differ in names alone are one
 *   model.c   rules, scopes, main
 *
 * Not in it: that two processes see each other's accesses in different orders. The walk is sequentially consistent, and
 * what a fence is for is shown by doing without: rules publish, fence and late do the accesses that it keeps apart in
 * the other order. */
#ifndef MT_MODEL_H
#define MT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum { SLOTS = 2, SEGS = 2, ITEMS = 2, FILLERS = 2, RECLAIMERS = 2 };

enum phase { FREE, OPEN, SEALED, RECLAIM };
enum owner { NOBODY, FILLER, RECLAIMER = FILLER + FILLERS, DEAD = RECLAIMER + RECLAIMERS };
enum connection { LOST, CONNECTED, SUBSCRIBED, FLUSHED };

/* A slot: 0 is EMPTY. */
#define PENDING(token)       ((uint8_t)(0x40 | (token)))
#define LIVE(seg, item, gen) ((uint8_t)(0x80 | (seg) << LIVE_SEG_BIT | (item) << 4 | (gen)))
#define IS_LIVE(word)        (((word)&0x80) != 0)
#define LIVE_SEG(word)       ((word) >> LIVE_SEG_BIT & 1)
#define LIVE_ITEM(word)      ((word) >> 4 & 1)
#define LIVE_SEG_BIT         5

/* First half: namespace id and number; second half: number. */
struct item {
        uint8_t a_id, a_number, b_number;
};

struct seg {
        uint8_t     owner, phase, gen, head;
        struct item item[ITEMS];
};

/* lease: the word in its slot that its fill replaces. */
struct filler {
        uint8_t at, id, lease, slot, number, seg, published;
};

struct reclaimer {
        uint8_t at, seg, slot, word, turned;
};

struct state {
        uint8_t          number;            /* the server's */
        uint8_t          applied, fresh_at; /* what the listener has cleared, and what it has said of it */
        uint8_t          id;                /* of the namespace */
        uint8_t          connection;
        uint8_t          l_at, l_slot, l_word;
        uint8_t          slot[SLOTS];
        struct seg       seg[SEGS];
        struct filler    filler[FILLERS];
        struct reclaimer reclaimer[RECLAIMERS];
        uint8_t          r_at, r_fresh, r_id, r_slot, r_word, r_a, r_b, r_same;
        uint8_t          late_slot, late_word; /* rule late: a clearing that is not seen yet; slot + 1 */
        uint8_t          leases, reclaims, deaths, losses;
};

/* How much of everything there is in one walk. */
struct scope {
        const char *name;
        uint8_t     writes, leases, reclaims, deaths, losses;
        uint8_t     items;      /* in a log segment; 0 = 1 */
        uint8_t     reclaimers; /* 0 = 1 */
        bool        empty_laps; /* a free log segment may be reclaimed too: laps are cheap then */
        bool        refreshes;  /* a fill may replace a LIVE word that stays there meanwhile */
        bool        deep;       /* only when asked for: minutes, and gigabytes */
};

enum rule {
        NONE,
        RECHECK,
        TOKEN,
        EXCHANGE,
        ORDER,
        GENERATION,
        OWNER,
        PROMOTE,
        CLEAR,
        HALF,
        PUBLISH,
        FENCE,
        LATE,
        WRAP,
        REFRESH,
        REFRESH_LAP,
        RULES
};

extern enum rule    broken;
extern struct scope scope;

/* ------------------------------------------------------------------------------------------------------- steps.c */

/* Every step that there is, by number. */
enum { FILLER_STEPS = 2 * SLOTS };
enum { STEPS = 5 + FILLER_STEPS * FILLERS + 2 * RECLAIMERS + 2 + FILLERS + RECLAIMERS + 1 };

extern const char *lie; /* what the last step has shown, NULL while all is well */
extern const char *step_name;

/* False: not from here. */
bool step_take(struct state *s, unsigned n);

/* -------------------------------------------------------------------------------------------------------- same.c */

/* Fillers, reclaimers and log segments have no names, and what nobody can reach any more is nothing. */
void same_settle(struct state *s);

/* -------------------------------------------------------------------------------------------------------- walk.c */

/* NULL when every order is without a lie, else what it is; trace prints how it came to it. */
const char *walk(bool trace, uint64_t *states);

#endif
