/* steps.c - what each process does next. The names beside the steps are those of l1/cache/. */
#include "model.h"

#define GENS      15
#define GENS_WRAP 3 /* rule wrap: two bits */

const char *lie, *step_name;

/* ----------------------------------------------------------------------------------------------------- small things */

static unsigned items(void)
{
        return scope.items != 0 ? scope.items : 1;
}

static uint8_t live(const struct state *s, unsigned seg, unsigned item)
{
        unsigned gens = broken == GENERATION ? 0 : broken == WRAP ? GENS_WRAP : GENS;

        return LIVE(seg, item, s->seg[seg].gen & gens);
}

static bool points_into(const struct state *s, uint8_t word, unsigned seg)
{
        return IS_LIVE(word) && word == live(s, seg, LIVE_ITEM(word));
}

static bool free_to_own(const struct seg *g)
{
        return g->owner == NOBODY || g->owner == DEAD || broken == OWNER;
}

static bool compare_and_swap(struct state *s, unsigned slot, uint8_t expected, uint8_t word)
{
        if (s->slot[slot] != expected)
                return false;
        s->slot[slot] = word;
        return true;
}

/* logseg_begin(): open, with room. */
static bool own_open(struct seg *g, unsigned owner)
{
        bool half_done = g->phase == RECLAIM && g->owner == DEAD && broken == HALF;

        if (half_done && free_to_own(g))
                g->head = 0;
        else if (!free_to_own(g) || g->phase == SEALED || g->phase == RECLAIM || g->head >= items())
                return false;
        g->owner = (uint8_t)owner;
        g->phase = OPEN;
        return true;
}

/* logseg_retract() of what was not published, logseg_end(). */
static void disown(struct seg *g, bool published)
{
        g->head = (uint8_t)(g->head - !published);
        g->phase = g->head == items() ? SEALED : g->head == 0 ? FREE : OPEN;
        g->owner = NOBODY;
}

/* -------------------------------------------------------------------------------------------- server and listener */

static bool server_step(struct state *s)
{
        step_name = "server: another writes";
        if (s->number == scope.writes)
                return false;
        s->number++;
        return true;
}

static void listener_next_slot(struct state *s)
{
        s->l_word = 0;
        s->l_at = 1;
        if (++s->l_slot == SLOTS) {
                s->l_slot = s->l_at = 0;
                s->applied++;
        }
}

/* l1_remove(): clears both slots for one announcement. */
static bool listener_removes(struct state *s)
{
        if (s->l_at == 0) {
                step_name = "listener: hears of a write";
                if (s->connection != CONNECTED || s->applied == s->number)
                        return false;
                s->l_at = 1;
        } else if (s->l_at == 1) {
                step_name = "listener: loads a slot";
                s->l_word = s->slot[s->l_slot];
                s->l_at = 2;
                if (s->l_word == 0)
                        listener_next_slot(s);
                else if (broken != EXCHANGE)
                        s->l_word = 0; /* what it was is of no consequence */
        } else {
                step_name = "listener: clears it";
                if (broken == EXCHANGE)
                        compare_and_swap(s, s->l_slot, s->l_word, 0);
                else
                        s->slot[s->l_slot] = 0;
                listener_next_slot(s);
        }
        return true;
}

static bool listener_says(struct state *s)
{
        step_name = "listener: renews fresh_at";
        if (s->connection != CONNECTED || s->l_at != 0 || s->fresh_at >= s->applied)
                return false;
        s->fresh_at = s->applied;
        return true;
}

/* Its death is the same: another takes over, and has heard nothing. */
static bool listener_loses(struct state *s)
{
        step_name = "listener: loses its connection, and what was on the way";
        if (s->connection == LOST || s->losses == scope.losses)
                return false;
        s->losses++;
        s->connection = LOST;
        s->l_at = s->l_slot = s->l_word = 0;
        return true;
}

/* Back again: subscribed, new id, fresh_at; in this order. */
static bool listener_returns(struct state *s)
{
        bool renew = s->connection == (broken == ORDER ? SUBSCRIBED : FLUSHED);

        if (s->connection == CONNECTED)
                return false;
        if (s->connection == LOST) {
                step_name = "listener: is subscribed again";
                s->applied = s->number;
                s->connection = SUBSCRIBED;
                return true;
        }
        step_name = renew ? "listener: renews fresh_at after a loss" : "listener: gives the namespace a new id";
        if (renew && s->fresh_at < s->applied)
                s->fresh_at = s->applied;
        if (!renew)
                s->id++;
        s->connection = s->connection == SUBSCRIBED ? FLUSHED : CONNECTED;
        return true;
}

/* ---------------------------------------------------------------------------------------------------------- fillers */

/* l1_lease(): whatever stands there: empty, expired, left behind, evicted for lack of room. l1_refresh(): a LIVE word
 * stays, and is the lease. */
static bool filler_leases(struct state *s, struct filler *f, unsigned slot, bool refresh)
{
        if (s->leases == scope.leases || (refresh && (!scope.refreshes || !IS_LIVE(s->slot[slot]))))
                return false;
        s->leases++;
        if (!refresh)
                s->slot[slot] = PENDING(broken == TOKEN ? 1 : s->leases);
        f->lease = s->slot[slot];
        f->slot = (uint8_t)slot;
        if (refresh)
                step_name = "filler: sees a LIVE slot, to replace it";
        return true;
}

/* Rule refresh: the word is not that of before the GET. */
static void filler_looks_too_late(const struct state *s, struct filler *f)
{
        if (broken == REFRESH && IS_LIVE(f->lease) && IS_LIVE(s->slot[f->slot]))
                f->lease = s->slot[f->slot];
}

static void filler_writes_rest(struct filler *f, struct seg *g)
{
        g->item[g->head - (broken == PUBLISH)].b_number = f->number;
        f->number = 0;
}

/* Rule refresh-lap: it does not look at the generation. */
static bool is_same_to_a_filler(uint8_t lease, uint8_t word)
{
        return broken == REFRESH_LAP && IS_LIVE(lease) && ((lease ^ word) & ~GENS) == 0;
}

/* l1_fill(): only from its own lease. */
static void filler_publishes(struct state *s, struct filler *f, unsigned item)
{
        if (is_same_to_a_filler(f->lease, s->slot[f->slot]))
                f->lease = s->slot[f->slot];
        f->published = compare_and_swap(s, f->slot, f->lease, live(s, f->seg, item));
        f->lease = f->slot = 0;
}

static bool filler_step(struct state *s, unsigned who, unsigned choice)
{
        static const char *const names[] = {"filler: loads the namespace's id",
                                            "filler: leases a slot",
                                            "filler: the server answers",
                                            "filler: owns a log segment",
                                            "filler: writes the first half",
                                            "filler: writes the second half, commits",
                                            "filler: publishes",
                                            "filler: takes back what was refused, disowns"};
        struct filler           *f = &s->filler[who];
        struct seg              *g = &s->seg[f->seg];

        step_name = names[f->at];
        if (choice >= (f->at == 1 ? FILLER_STEPS : f->at == 3 ? SEGS : 1))
                return false;
        switch (f->at++) {
        case 0: f->id = s->id; return s->leases < scope.leases;
        case 1: return filler_leases(s, f, choice % SLOTS, choice >= SLOTS);
        case 2: f->number = s->number; return true;
        case 3:
                filler_looks_too_late(s, f);
                f->seg = (uint8_t)choice;
                return own_open(&s->seg[choice], FILLER + who);
        case 4:
                g->item[g->head].a_id = f->id;
                g->item[g->head].a_number = f->number;
                f->id = 0;
                return true;
        case 5:
                if (broken == PUBLISH)
                        filler_publishes(s, f, g->head);
                else
                        filler_writes_rest(f, g);
                g->head++;
                return true;
        case 6:
                if (broken == PUBLISH)
                        filler_writes_rest(f, g);
                else
                        filler_publishes(s, f, g->head - 1U);
                return true;
        default:
                disown(g, f->published);
                *f = (struct filler){0};
                return true;
        }
}

/* ------------------------------------------------------------------------------------------------------- reclaimers */

/* From owning a victim to making it free; in between each slot that points there is cleared, or turned to a copy. */
enum { C_BEGIN, C_LOAD, C_DECIDE, C_COPY_FIRST, C_COPY_SECOND, C_TURN, C_END_KEEP, C_GENERATION, C_FREE };

static bool reclaimer_next_slot(struct reclaimer *c)
{
        c->word = c->turned = 0;
        c->at = ++c->slot == SLOTS ? C_GENERATION : C_LOAD;
        return true;
}

static bool reclaimer_begins(struct state *s, unsigned who, unsigned n)
{
        struct seg       *g = &s->seg[n];
        struct reclaimer *c = &s->reclaimer[who];
        bool              nothing = g->phase == FREE || (g->phase == OPEN && g->head == 0);

        step_name = "reclaimer: owns a log segment";
        if (s->reclaims == scope.reclaims || !free_to_own(g) || (nothing && !scope.empty_laps))
                return false;
        s->reclaims++;
        g->owner = (uint8_t)(RECLAIMER + who);
        g->phase = RECLAIM;
        *c = (struct reclaimer){.at = C_LOAD, .seg = (uint8_t)n};
        return true;
}

static void reclaimer_clears(struct state *s, const struct reclaimer *c)
{
        if (broken == CLEAR)
                return;
        if (broken == LATE && s->late_slot == 0) {
                s->late_slot = (uint8_t)(c->slot + 1);
                s->late_word = c->word;
                return;
        }
        compare_and_swap(s, c->slot, c->word, 0);
}

static bool clearing_is_seen(struct state *s)
{
        step_name = "what the reclaimer cleared is seen to be";
        if (s->late_slot == 0)
                return false;
        compare_and_swap(s, s->late_slot - 1U, s->late_word, 0);
        s->late_slot = s->late_word = 0;
        return true;
}

static bool reclaimer_decides(struct state *s, unsigned who, unsigned choice)
{
        struct reclaimer *c = &s->reclaimer[who];

        if (choice == 0) {
                step_name = "reclaimer: clears the slot";
                reclaimer_clears(s, c);
                return reclaimer_next_slot(c);
        }
        step_name = "reclaimer: owns another log segment, to keep the item";
        c->at = C_COPY_FIRST;
        return own_open(&s->seg[1 - c->seg], RECLAIMER + who);
}

/* evict_promote() */
static bool reclaimer_turns(struct state *s, struct reclaimer *c)
{
        unsigned to = 1 - c->seg;
        uint8_t  turned = live(s, to, s->seg[to].head - 1U);

        step_name = "reclaimer: turns the slot";
        c->turned = true;
        if (broken == PROMOTE)
                s->slot[c->slot] = turned;
        else
                c->turned = compare_and_swap(s, c->slot, c->word, turned);
        return true;
}

static bool reclaimer_step(struct state *s, unsigned who, unsigned choice)
{
        struct reclaimer *c = &s->reclaimer[who];
        struct seg       *g = &s->seg[c->seg], *to = &s->seg[1 - c->seg]; /* where it keeps */

        if (who != 0 && who >= scope.reclaimers)
                return false;
        if (c->at == C_BEGIN)
                return reclaimer_begins(s, who, choice);
        if (c->at == C_DECIDE)
                return reclaimer_decides(s, who, choice);
        if (choice != 0)
                return false;
        switch (c->at++) {
        case C_LOAD:
                step_name = "reclaimer: loads a slot";
                c->word = s->slot[c->slot];
                return points_into(s, c->word, c->seg) || reclaimer_next_slot(c);
        case C_COPY_FIRST:
                step_name = "reclaimer: copies the first half";
                to->item[to->head].a_id = g->item[LIVE_ITEM(c->word)].a_id;
                to->item[to->head].a_number = g->item[LIVE_ITEM(c->word)].a_number;
                return true;
        case C_COPY_SECOND:
                step_name = "reclaimer: copies the second half, commits";
                to->item[to->head].b_number = g->item[LIVE_ITEM(c->word)].b_number;
                to->head++;
                return true;
        case C_TURN: return reclaimer_turns(s, c);
        case C_END_KEEP:
                step_name = "reclaimer: disowns where it keeps";
                disown(to, c->turned);
                return reclaimer_next_slot(c);
        case C_GENERATION:
                step_name = "reclaimer: next generation";
                g->gen++;
                return true;
        default:
                step_name = "reclaimer: free";
                g->head = 0;
                g->phase = FREE;
                g->owner = NOBODY;
                *c = (struct reclaimer){0};
                return true;
        }
}

/* ------------------------------------------------------------------------------------------------------------ death */

/* Somebody's owner word is that of the dead from here on; what it left in slots and log stays. */
static bool dies(struct state *s, unsigned owner)
{
        bool reclaims = owner >= RECLAIMER;

        step_name = reclaims ? "a reclaimer dies" : "a filler dies";
        if (s->deaths == scope.deaths)
                return false;
        if ((reclaims ? s->reclaimer[owner - RECLAIMER].at : s->filler[owner - FILLER].at) == 0)
                return false;
        if (reclaims)
                s->reclaimer[owner - RECLAIMER] = (struct reclaimer){0};
        else
                s->filler[owner - FILLER] = (struct filler){0};
        for (unsigned i = 0; i < SEGS; i++) {
                if (s->seg[i].owner == owner)
                        s->seg[i].owner = DEAD;
        }
        s->deaths++;
        return true;
}

/* ----------------------------------------------------------------------------------------------------------- reader */

static bool reader_ends(struct state *s)
{
        s->r_at = s->r_fresh = s->r_id = s->r_slot = s->r_word = s->r_a = s->r_b = s->r_same = 0;
        return true;
}

static void reader_copies_rest(struct state *s)
{
        step_name = "reader: copies the second half";
        s->r_b = s->seg[LIVE_SEG(s->r_word)].item[LIVE_ITEM(s->r_word)].b_number;
}

static void reader_looks_again(struct state *s)
{
        step_name = "reader: looks at the slot again";
        s->r_same = s->slot[s->r_slot] == s->r_word || broken == RECHECK;
}

/* The hit must be whole, and no older than what fresh_at said had been applied when the reader began. */
static bool reader_has(struct state *s)
{
        if (s->r_same && s->r_a != s->r_b)
                lie = "a torn hit";
        else if (s->r_same && s->r_a < s->r_fresh)
                lie = "a stale hit";
        return reader_ends(s);
}

/* l1_find(), l1_copy() */
static bool reader_step(struct state *s, unsigned choice)
{
        static const char *const names[] = {"reader: loads fresh_at", "reader: loads the namespace's id",
                                            "reader: loads a slot", "reader: looks at the first half"};
        const struct item       *item = &s->seg[LIVE_SEG(s->r_word)].item[LIVE_ITEM(s->r_word)];

        if (choice != 0 && s->r_at != 2)
                return false;
        if (s->r_at < 4)
                step_name = names[s->r_at];
        switch (s->r_at++) {
        case 0: s->r_fresh = s->fresh_at; return true;
        case 1: s->r_id = s->id; return true;
        case 2:
                s->r_slot = (uint8_t)choice;
                s->r_word = s->slot[choice];
                return IS_LIVE(s->r_word) || reader_ends(s);
        case 3:
                s->r_a = item->a_number;
                if (item->a_id != s->r_id)
                        return reader_ends(s);
                s->r_id = 0;
                return true;
        case 4:
                if (broken == FENCE)
                        reader_looks_again(s);
                else
                        reader_copies_rest(s);
                return true;
        default:
                if (broken == FENCE)
                        reader_copies_rest(s);
                else
                        reader_looks_again(s);
                return reader_has(s);
        }
}

/* ------------------------------------------------------------------------------------------------------------ which */

bool step_take(struct state *s, unsigned n)
{
        switch (n) {
        case 0: return server_step(s);
        case 1: return listener_removes(s);
        case 2: return listener_says(s);
        case 3: return listener_loses(s);
        case 4: return listener_returns(s);
        default: break;
        }
        n -= 5;
        if (n < FILLER_STEPS * FILLERS)
                return filler_step(s, n / FILLER_STEPS, n % FILLER_STEPS);
        n -= FILLER_STEPS * FILLERS;
        if (n < 2 * RECLAIMERS)
                return reclaimer_step(s, n / 2, n % 2);
        n -= 2 * RECLAIMERS;
        if (n < 2)
                return reader_step(s, n);
        n -= 2;
        if (n < FILLERS + RECLAIMERS)
                return dies(s, FILLER + n);
        return clearing_is_seen(s);
}
