/* model.c - the slot protocol, all of it: every order in which the steps of a few processes can follow each other.
 *
 *   model [--break NAME] [--trace] [--deep]
 *
 * One key, two slots, two log segments of one item each, an item of two halves. A server whose number goes up; a
 * listener that hears of it, loses its connection and comes back; fillers; a reclaimer that clears or promotes; a
 * reader. Every step is one access to shared memory; every process may die, or stand still for as long as it likes,
 * between any two.
 *
 * The reader's hit must be whole, and no older than what fresh_at said had been applied when the reader began.
 *
 * The rules that the code keeps are kept here, and each can be broken by name; then the walk must find a lie. Without
 * --break, all of it: no rule broken finds nothing, each broken one finds something. A state is known by two hashes,
 * 128 bits. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 2, SEGS = 2, FILLERS = 2, DEPTH_MAX = 4096 };

/* A slot: 0 is EMPTY. */
#define PENDING(token) ((uint8_t)(0x40 | (token)))
#define LIVE(seg, gen) ((uint8_t)(0x80 | (seg) << 4 | (gen)))
#define IS_LIVE(word)  (((word)&0x80) != 0)
#define LIVE_SEG(word) ((word) >> 4 & 1)

enum phase { FREE, OPEN, SEALED, RECLAIM };
enum owner { NOBODY, FILLER, RECLAIMER = FILLER + FILLERS, DEAD };
enum connection { LOST, CONNECTED, SUBSCRIBED, FLUSHED };

struct seg {
        uint8_t owner, phase, gen, head;
        uint8_t a_id, a_number, b_number; /* first half: namespace id and number; second half: number */
};

struct filler {
        uint8_t at, id, token, slot, number, seg;
};

struct state {
        uint8_t       number;            /* the server's */
        uint8_t       applied, fresh_at; /* what the listener has cleared, and what it has said of it */
        uint8_t       id;                /* of the namespace */
        uint8_t       connection;
        uint8_t       l_at, l_slot, l_word;
        uint8_t       slot[SLOTS];
        struct seg    seg[SEGS];
        struct filler filler[FILLERS];
        uint8_t       c_at, c_seg, c_slot, c_word, c_to; /* the reclaimer */
        uint8_t       r_at, r_fresh, r_id, r_slot, r_word, r_a, r_b;
        uint8_t       leases, reclaims, deaths, losses;
};

/* How much of everything there is in one walk. */
struct scope {
        const char *name;
        uint8_t     writes, leases, reclaims, deaths, losses;
        bool        deep; /* only when asked for: minutes, and a gigabyte */
};

enum rule { NONE, RECHECK, TOKEN, EXCHANGE, ORDER, GENERATION, OWNER, PROMOTE, RULES };

static const struct {
        const char *name, *says;
} rules[RULES] = {
        [NONE] = {"none", "the protocol as it is"},
        [RECHECK] = {"recheck", "a reader does not look at the slot again after the copy"},
        [TOKEN] = {"token", "a token is used twice"},
        [EXCHANGE] = {"exchange", "removal clears by compare-and-swap of what it had loaded"},
        [ORDER] = {"order", "fresh_at is renewed before the namespace has its new id"},
        [GENERATION] = {"generation", "a slot's word does not tell the generation"},
        [OWNER] = {"owner", "a log segment is taken from one that only stands still"},
        [PROMOTE] = {"promote", "promotion stores the slot instead of comparing it"},
};

static enum rule    broken;
static struct scope scope;
static const char  *lie; /* what the last step has shown, NULL while all is well */
static const char  *step_name;

/* ------------------------------------------------------------------------------------------------------------ steps */

static uint8_t live(const struct state *s, unsigned seg)
{
        return LIVE(seg, broken == GENERATION ? 0 : s->seg[seg].gen);
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

static bool server_step(struct state *s)
{
        step_name = "server: another writes";
        if (s->number == scope.writes)
                return false;
        s->number++;
        return true;
}

/* Clears both slots for one announcement. */
static bool listener_removes(struct state *s)
{
        if (s->l_at == 0) {
                step_name = "listener: hears of a write";
                if (s->connection != CONNECTED || s->applied == s->number)
                        return false;
                s->l_at = 1;
                return true;
        }
        if (s->l_at == 1) {
                step_name = "listener: loads a slot";
                s->l_word = s->slot[s->l_slot];
                s->l_at = s->l_word != 0 ? 2 : 3;
        } else if (s->l_at == 2) {
                step_name = "listener: clears it";
                if (broken == EXCHANGE)
                        compare_and_swap(s, s->l_slot, s->l_word, 0);
                else
                        s->slot[s->l_slot] = 0;
                s->l_at = 3;
        }
        if (s->l_at == 3) {
                s->l_word = 0;
                s->l_at = 1;
                if (++s->l_slot == SLOTS) {
                        s->l_slot = s->l_at = 0;
                        s->applied++;
                }
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

static bool filler_leases(struct state *s, struct filler *f, unsigned slot)
{
        /* Whatever stands there: empty, expired, left behind, evicted for lack of room. */
        f->token = broken == TOKEN ? 1 : (uint8_t)(s->leases + 1);
        s->leases++;
        s->slot[slot] = PENDING(f->token);
        f->slot = (uint8_t)slot;
        f->at = 2;
        return true;
}

static bool filler_owns(struct state *s, struct filler *f, unsigned n, unsigned who)
{
        struct seg *g = &s->seg[n];

        if (!free_to_own(g) || g->phase == SEALED || g->phase == RECLAIM || g->head != 0)
                return false;
        g->owner = (uint8_t)(FILLER + who);
        g->phase = OPEN;
        f->seg = (uint8_t)n;
        f->at = 4;
        return true;
}

static void seg_end(struct seg *g, bool published)
{
        g->head = published;
        g->phase = published ? SEALED : FREE;
        g->owner = NOBODY;
}

static bool filler_step(struct state *s, unsigned who, unsigned choice)
{
        static const char *const names[] = {"filler: loads the namespace's id",
                                            "filler: leases a slot",
                                            "filler: the server answers",
                                            "filler: owns a log segment",
                                            "filler: writes the first half",
                                            "filler: writes the second half, commits",
                                            "filler: publishes, disowns"};
        struct filler           *f = &s->filler[who];
        struct seg              *g = &s->seg[f->seg];

        step_name = names[f->at];
        if (choice != 0 && f->at != 1 && f->at != 3)
                return false;
        switch (f->at++) {
        case 0: f->id = s->id; return s->leases < scope.leases;
        case 1: return s->leases < scope.leases && filler_leases(s, f, choice);
        case 2: f->number = s->number; return true;
        case 3: return filler_owns(s, f, choice, who);
        case 4:
                g->a_id = f->id;
                g->a_number = f->number;
                return true;
        case 5:
                g->b_number = f->number;
                g->head = 1;
                return true;
        default:
                seg_end(g, compare_and_swap(s, f->slot, PENDING(f->token), live(s, f->seg)));
                *f = (struct filler){0};
                return true;
        }
}

/* From owning a victim to making it free; in between each slot that points there is cleared, or turned to a copy. */
static bool reclaimer_next_slot(struct state *s)
{
        s->c_word = s->c_to = 0;
        s->c_at = ++s->c_slot == SLOTS ? 6 : 1;
        return true;
}

static bool reclaimer_begins(struct state *s, unsigned n)
{
        struct seg *g = &s->seg[n];

        step_name = "reclaimer: owns a log segment";
        if (s->reclaims == scope.reclaims || !free_to_own(g) || g->phase == FREE || (g->phase == OPEN && g->head == 0))
                return false;
        s->reclaims++;
        g->owner = RECLAIMER;
        g->phase = RECLAIM;
        s->c_seg = (uint8_t)n;
        s->c_slot = 0;
        s->c_at = 1;
        return true;
}

static bool reclaimer_decides(struct state *s, unsigned choice)
{
        unsigned    n = 1 - s->c_seg;
        struct seg *to = &s->seg[n];

        if (choice == 0) {
                step_name = "reclaimer: clears the slot";
                compare_and_swap(s, s->c_slot, s->c_word, 0);
                return reclaimer_next_slot(s);
        }
        step_name = "reclaimer: owns another log segment, to keep the item";
        if (!free_to_own(to) || (to->phase != FREE && to->phase != OPEN) || to->head != 0)
                return false;
        to->owner = RECLAIMER;
        to->phase = OPEN;
        s->c_to = (uint8_t)n;
        s->c_at = 3;
        return true;
}

static bool reclaimer_step(struct state *s, unsigned choice)
{
        struct seg *g = &s->seg[s->c_seg], *to = &s->seg[s->c_to];

        if (s->c_at == 0)
                return reclaimer_begins(s, choice);
        if (s->c_at == 2)
                return reclaimer_decides(s, choice);
        if (choice != 0)
                return false;
        switch (s->c_at++) {
        case 1:
                step_name = "reclaimer: loads a slot";
                s->c_word = s->slot[s->c_slot];
                return s->c_word == live(s, s->c_seg) || reclaimer_next_slot(s);
        case 3:
                step_name = "reclaimer: copies the first half";
                to->a_id = g->a_id;
                to->a_number = g->a_number;
                return true;
        case 4:
                step_name = "reclaimer: copies the second half, commits";
                to->b_number = g->b_number;
                to->head = 1;
                return true;
        case 5:
                step_name = "reclaimer: turns the slot";
                if (broken == PROMOTE) {
                        s->slot[s->c_slot] = live(s, s->c_to);
                        seg_end(to, true);
                } else {
                        seg_end(to, compare_and_swap(s, s->c_slot, s->c_word, live(s, s->c_to)));
                }
                return reclaimer_next_slot(s);
        default:
                step_name = "reclaimer: next generation, free";
                g->gen++;
                seg_end(g, false);
                s->c_at = s->c_seg = s->c_slot = 0;
                return true;
        }
}

/* Somebody's owner word is that of the dead from here on; what it left in slots and log stays. */
static bool dies(struct state *s, unsigned owner)
{
        step_name = owner == RECLAIMER ? "the reclaimer dies" : "a filler dies";
        if (s->deaths == scope.deaths)
                return false;
        if (owner == RECLAIMER) {
                if (s->c_at == 0)
                        return false;
                s->c_at = s->c_seg = s->c_slot = s->c_word = s->c_to = 0;
        } else {
                if (s->filler[owner - FILLER].at == 0)
                        return false;
                s->filler[owner - FILLER] = (struct filler){0};
        }
        for (unsigned i = 0; i < SEGS; i++) {
                if (s->seg[i].owner == owner)
                        s->seg[i].owner = DEAD;
        }
        s->deaths++;
        return true;
}

static bool reader_ends(struct state *s)
{
        s->r_at = s->r_fresh = s->r_id = s->r_slot = s->r_word = s->r_a = s->r_b = 0;
        return true;
}

static bool reader_step(struct state *s, unsigned choice)
{
        static const char *const names[] = {"reader: loads fresh_at",         "reader: loads the namespace's id",
                                            "reader: loads a slot",           "reader: looks at the first half",
                                            "reader: copies the second half", "reader: looks at the slot again"};
        const struct seg        *g = &s->seg[LIVE_SEG(s->r_word)];

        step_name = names[s->r_at];
        if (choice != 0 && s->r_at != 2)
                return false;
        switch (s->r_at++) {
        case 0: s->r_fresh = s->fresh_at; return true;
        case 1: s->r_id = s->id; return true;
        case 2:
                s->r_slot = (uint8_t)choice;
                s->r_word = s->slot[choice];
                return IS_LIVE(s->r_word) || reader_ends(s);
        case 3: s->r_a = g->a_number; return g->a_id == s->r_id || reader_ends(s);
        case 4: s->r_b = g->b_number; return true;
        default:
                if (s->slot[s->r_slot] == s->r_word || broken == RECHECK) {
                        if (s->r_a != s->r_b)
                                lie = "a torn hit";
                        else if (s->r_a < s->r_fresh)
                                lie = "a stale hit";
                }
                return reader_ends(s);
        }
}

/* Every step that there is, by number; false: not from here. */
enum { STEPS = 5 + 2 * FILLERS + 2 + 2 + FILLERS + 1 };

static bool take_step(struct state *s, unsigned n)
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
        if (n < 2 * FILLERS)
                return filler_step(s, n / 2, n % 2);
        n -= 2 * FILLERS;
        if (n < 2)
                return reclaimer_step(s, n);
        n -= 2;
        if (n < 2)
                return reader_step(s, n);
        return dies(s, FILLER + n - 2);
}

/* --------------------------------------------------------------------------------------------------------- the walk */

struct print {
        uint64_t word[2];
};

static struct print *seen;
static uint64_t      seen_size, seen_count;

static struct print print_of(const struct state *s)
{
        uint64_t     words[(sizeof *s + 7) / 8] = {0};
        struct print h = {{UINT64_C(0xcbf29ce484222325), UINT64_C(0x9e3779b97f4a7c15)}};

        memcpy(words, s, sizeof *s);
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
                h.word[0] = (h.word[0] ^ words[i]) * UINT64_C(0x9fb21c651e98df25);
                h.word[0] ^= h.word[0] >> 32;
                h.word[1] = (h.word[1] + words[i]) * UINT64_C(0xd6e8feb86659fd93);
                h.word[1] ^= h.word[1] >> 29;
        }
        h.word[0] |= h.word[0] == 0;
        return h;
}

static bool seen_insert(struct print h);

static void seen_grow(void)
{
        struct print *old = seen;
        uint64_t      size = seen_size;

        seen_size = size != 0 ? 2 * size : UINT64_C(1) << 20;
        seen_count = 0;
        seen = calloc(seen_size, sizeof *seen);
        if (seen == NULL) {
                fprintf(stderr, "model: out of memory\n");
                exit(2);
        }
        for (uint64_t i = 0; i < size; i++) {
                if (old[i].word[0] != 0)
                        seen_insert(old[i]);
        }
        free(old);
}

/* True when it is new. */
static bool seen_insert(struct print h)
{
        uint64_t at;

        if (seen_count * 4 >= seen_size * 3)
                seen_grow();
        for (at = h.word[1] & (seen_size - 1); seen[at].word[0] != 0; at = (at + 1) & (seen_size - 1)) {
                if (seen[at].word[0] == h.word[0] && seen[at].word[1] == h.word[1])
                        return false;
        }
        seen[at] = h;
        seen_count++;
        return true;
}

struct frame {
        struct state state;
        unsigned     next;
        const char  *came_by;
};

static struct frame path[DEPTH_MAX];

static void print_path(unsigned depth)
{
        printf("    %s:\n", lie);
        for (unsigned i = 1; i <= depth; i++)
                printf("    %3u  %s\n", i, path[i].came_by);
}

/* Depth first, so that the path is at hand. NULL when every order is without a lie. */
static const char *walk(bool trace)
{
        unsigned depth = 0;

        free(seen);
        seen = NULL;
        seen_size = seen_count = 0;
        lie = NULL;
        memset(&path[0], 0, sizeof path[0]);
        path[0].state.id = 1;
        path[0].state.connection = CONNECTED;
        seen_insert(print_of(&path[0].state));
        for (;;) {
                struct frame *f = &path[depth];

                if (f->next == STEPS) {
                        if (depth-- == 0)
                                return NULL;
                        continue;
                }
                path[depth + 1].state = f->state;
                if (!take_step(&path[depth + 1].state, f->next++) ||
                    (lie == NULL && !seen_insert(print_of(&path[depth + 1].state))))
                        continue;
                path[++depth].next = 0;
                path[depth].came_by = step_name;
                if (lie != NULL) {
                        if (trace)
                                print_path(depth);
                        return lie;
                }
                if (depth + 2 == DEPTH_MAX) {
                        fprintf(stderr, "model: a path of %u steps\n", depth);
                        exit(2);
                }
        }
}

/* Each scope is small in some directions so that it can be large in others. */
static const struct scope scopes[] = {
        {"fill against fill and removal", .writes = 2, .leases = 2, .reclaims = 0, .deaths = 1, .losses = 0},
        {"reclaim and death", .writes = 1, .leases = 2, .reclaims = 2, .deaths = 1, .losses = 0},
        {"three fills in two places", .writes = 1, .leases = 3, .reclaims = 1, .deaths = 0, .losses = 0},
        {"loss of the listener", .writes = 2, .leases = 1, .reclaims = 1, .deaths = 0, .losses = 1},
        {"a little of everything", .writes = 1, .leases = 2, .reclaims = 1, .deaths = 0, .losses = 1},
        {"three fills and a death", .writes = 2, .leases = 3, .reclaims = 0, .deaths = 1, .losses = 0, .deep = true},
        {"three fills, two reclaims", .writes = 1, .leases = 3, .reclaims = 2, .deaths = 0, .losses = 0, .deep = true},
        {"everything", .writes = 1, .leases = 2, .reclaims = 1, .deaths = 1, .losses = 1, .deep = true},
};

static bool run_rule(enum rule rule, bool trace, bool deep)
{
        uint64_t    states = 0;
        const char *found = NULL;

        broken = rule;
        for (size_t i = 0; i < sizeof scopes / sizeof scopes[0] && found == NULL; i++) {
                if (scopes[i].deep && !deep)
                        continue;
                scope = scopes[i];
                found = walk(trace);
                states += seen_count;
                if (rule == NONE || found != NULL)
                        printf("%-10s  %-30s  %9llu states  %s\n", rules[rule].name, scope.name,
                               (unsigned long long)seen_count, found != NULL ? found : "no lie");
                fflush(stdout);
        }
        if (rule != NONE && found == NULL)
                printf("%-10s  %llu states and no lie found: %s\n", rules[rule].name, (unsigned long long)states,
                       rules[rule].says);
        return (rule == NONE) == (found == NULL);
}

int main(int argc, char **argv)
{
        bool     trace = false, deep = false;
        unsigned passed = 0, failed = 0, first = 0, last = RULES - 1;

        for (int i = 1; i < argc; i++) {
                bool known = strcmp(argv[i], "--trace") == 0 || strcmp(argv[i], "--deep") == 0;

                trace |= strcmp(argv[i], "--trace") == 0;
                deep |= strcmp(argv[i], "--deep") == 0;
                for (unsigned r = 0; r < RULES && i + 1 < argc && strcmp(argv[i], "--break") == 0; r++) {
                        if (strcmp(argv[i + 1], rules[r].name) != 0)
                                continue;
                        first = last = r;
                        known = true;
                }
                if (!known) {
                        fprintf(stderr, "usage: model [--deep] [--trace] [--break recheck|token|exchange|order|...]\n");
                        return 2;
                }
                i += strcmp(argv[i], "--break") == 0;
        }
        for (unsigned r = first; r <= last; r++) {
                bool good = run_rule((enum rule)r, trace, deep);

                passed += good;
                failed += !good;
        }
        printf("%u passed, %u failed\n", passed, failed);
        free(seen);
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
