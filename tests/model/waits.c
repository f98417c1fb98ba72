/* waits.c - waiting for a PENDING word to leave its slot (l1/cache/wait.h), all of it: two or three waiters, a filler
 * that may die or be stopped, a remover, and the one who takes another's place. Every step is one access to shared
 * memory, or one system call; every order of them is walked.
 *
 * What must hold:
 *   - nobody sleeps for a word that is gone and that nobody is about to wake him for, unless who was to do it has died;
 *   - a word is taken over once;
 *   - wherever nothing can happen any more, everybody is done.
 * Time is a step of its own that ends any sleep, so what is looked for is a sleep that only time would end. */
#include "model.h"

#include <stdio.h>
#include <string.h>

enum { WAITERS = 3, ACTORS = WAITERS + 2, TURNS = 2, DEPTH = 200, TABLE = 1 << 22 };

#define W_PENDING(token) ((uint8_t)(token))
#define W_WRITTEN(token) ((uint8_t)(0x40 | (token)))
#define W_LIVE           ((uint8_t)0x80)
#define W_IS_PENDING(w)  ((w) != 0 && (w) < 0x40)

enum wait_rule { W_NONE, W_LOOK, W_MOVES, W_LATE, W_SILENT, W_STORE, W_KERNEL, WAIT_RULES };

static const struct {
        const char *name, *says;
} wait_rules[WAIT_RULES] = {
        [W_NONE] = {"waits", "waiting as it is"},
        [W_LOOK] = {"look", "[W2] a waiter looks at the slot before it is seen to wait"},
        [W_MOVES] = {"moves", "a waiter loads moves after it has looked at the slot"},
        [W_LATE] = {"w1", "[W1] who changes the slot has looked for waiters before"},
        [W_SILENT] = {"silent", "a removal wakes nobody"},
        [W_STORE] = {"store", "a place is taken by a store, not by compare-and-swap"},
        [W_KERNEL] = {"kernel", "the kernel lets a waiter sleep without comparing moves"},
};

/* What an actor does next. Waiters begin at SEE; who has a lease is at ASKS; CHANGE and on are anybody's who changes
 * the slot. */
enum at { DONE, SEE, LOAD_MOVES, ANNOUNCE, LOOK, SLEEP, ASLEEP, TIMED_OUT, TAKE, ASKS, EARLY, CHANGE, LOOK_FOR, WAKE };

struct actor {
        uint8_t at, word, moves, turns, token, early;
};

struct waits {
        struct actor actor[ACTORS]; /* the waiters, the first filler, the remover */
        uint8_t      slot, announced, moves, tokens, deaths, taken, died_waking;
};

static enum wait_rule     waits_broken;
static unsigned           waits_most; /* waiters of this walk */
static const char        *waits_lie;
static struct waits       waits_seen[TABLE];
static unsigned long long waits_count;

/* ----------------------------------------------------------------------------------------------------------- steps */

static bool waits_removes(unsigned who)
{
        return who == WAITERS + 1;
}

/* Where a turn of the wait begins. */
static uint8_t waits_begin(void)
{
        return waits_broken == W_MOVES ? ANNOUNCE : LOAD_MOVES;
}

/* A waiter that finds another word begins anew; one that has been so too often travels. */
static void waits_again(struct actor *a)
{
        a->at = a->turns++ < TURNS ? SEE : DONE;
        a->word = a->moves = 0;
}

/* The change itself: what a filler publishes, only from its own token; what a remover makes of what it finds. */
static void waits_change(struct waits *s, unsigned who)
{
        struct actor *a = &s->actor[who];
        bool          wakes = waits_broken != W_SILENT;

        a->at = DONE;
        if (!waits_removes(who)) {
                if (s->slot != W_PENDING(a->token))
                        return;
                s->slot = W_LIVE;
                a->at = LOOK_FOR;
        } else if (W_IS_PENDING(s->slot)) {
                s->slot = W_WRITTEN(s->slot);
                a->at = wakes ? LOOK_FOR : DONE;
        }
}

static void waits_wake(struct waits *s)
{
        s->moves++;
        for (unsigned i = 0; i < waits_most; i++)
                if (s->actor[i].at == ASLEEP)
                        s->actor[i].at = waits_begin();
}

/* l1_other(), and l1_lease() where nobody asks. */
static void waits_see(struct waits *s, struct actor *a)
{
        a->word = s->slot;
        if (W_IS_PENDING(a->word)) {
                a->at = waits_begin();
        } else if (a->word == W_LIVE) {
                a->at = DONE;
        } else {
                a->token = ++s->tokens;
                s->slot = W_PENDING(a->token);
                a->at = ASKS;
        }
}

/* l1_take_over() */
static void waits_take(struct waits *s, struct actor *a)
{
        uint8_t bit = (uint8_t)(1 << a->word);

        if (s->slot != a->word && waits_broken != W_STORE) {
                waits_again(a);
                return;
        }
        if (s->taken & bit)
                waits_lie = "two take one place";
        s->taken |= bit;
        a->token = ++s->tokens;
        s->slot = W_PENDING(a->token);
        a->at = ASKS;
}

static void waits_sleep(const struct waits *s, struct actor *a)
{
        a->at = s->moves == a->moves || waits_broken == W_KERNEL ? ASLEEP : waits_begin();
}

static void waits_look(struct waits *s, struct actor *a)
{
        if (s->slot != a->word)
                waits_again(a);
        else
                a->at = waits_broken == W_MOVES ? LOAD_MOVES : waits_broken == W_LOOK ? ANNOUNCE : SLEEP;
}

/* The one thing that the actor does next. */
static bool waits_step(struct waits *s, unsigned who)
{
        struct actor *a = &s->actor[who];

        switch ((enum at)a->at) {
        case DONE:
        case ASLEEP: return false;
        case SEE: waits_see(s, a); return true;
        case LOAD_MOVES:
                a->moves = s->moves;
                a->at = waits_broken == W_MOVES ? SLEEP : waits_broken == W_LOOK ? LOOK : ANNOUNCE;
                return true;
        case ANNOUNCE:
                s->announced = 1;
                a->at = waits_broken == W_LOOK ? SLEEP : LOOK;
                return true;
        case LOOK: waits_look(s, a); return true;
        case SLEEP: waits_sleep(s, a); return true;
        case TIMED_OUT: a->at = s->slot == a->word ? TAKE : SEE; return true;
        case TAKE: waits_take(s, a); return true;
        case ASKS: a->at = waits_broken == W_LATE ? EARLY : CHANGE; return true;
        case EARLY:
                a->early = s->announced;
                a->at = CHANGE;
                return true;
        case CHANGE: waits_change(s, who); return true;
        case LOOK_FOR:
                a->at = (waits_broken == W_LATE && !waits_removes(who) ? a->early : s->announced) ? WAKE : DONE;
                return true;
        case WAKE:
                waits_wake(s);
                a->at = DONE;
                return true;
        }
        return false;
}

/* Half of the limit is over. */
static bool waits_time(struct waits *s, unsigned who)
{
        if (s->actor[who].at != ASLEEP)
                return false;
        s->actor[who].at = TIMED_OUT;
        return true;
}

/* Once, whoever has a lease or is about to wake. One who is stopped is one who takes no step: that is in every walk. */
static bool waits_dies(struct waits *s, unsigned who)
{
        struct actor *a = &s->actor[who];

        if (s->deaths != 0 || a->at < ASKS)
                return false;
        s->deaths = 1;
        s->died_waking = a->at >= LOOK_FOR;
        a->at = DONE;
        return true;
}

/* ------------------------------------------------------------------------------------------------------------ walk */

static void waits_judge(const struct waits *s)
{
        bool waking = s->died_waking != 0;

        for (unsigned i = 0; i < ACTORS; i++)
                waking |= s->actor[i].at == LOOK_FOR || s->actor[i].at == WAKE;
        for (unsigned i = 0; i < waits_most && !waking; i++)
                if (s->actor[i].at == ASLEEP && s->slot != s->actor[i].word &&
                    !(W_IS_PENDING(s->slot) && (s->taken >> s->actor[i].word & 1)))
                        waits_lie = "a sleep that only time ends";
}

/* True when it is new. */
static bool waits_insert(const struct waits *s)
{
        const unsigned char *byte = (const unsigned char *)s;
        uint64_t             h = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < sizeof *s; i++)
                h = (h ^ byte[i]) * UINT64_C(0x100000001b3);
        for (h ^= h >> 29;; h++) {
                struct waits *at = &waits_seen[h % TABLE];

                if (memcmp(at, s, sizeof *s) == 0)
                        return false;
                if (at->tokens != 0)
                        continue;
                *at = *s;
                waits_count++;
                return true;
        }
}

static void waits_walk(const struct waits *s, unsigned depth)
{
        bool moved = false;

        for (unsigned n = 0; n < 3 * ACTORS && waits_lie == NULL; n++) {
                struct waits next = *s;
                unsigned     who = n % ACTORS;
                bool         taken = n < ACTORS       ? waits_step(&next, who)
                                     : n < 2 * ACTORS ? waits_time(&next, who)
                                                      : waits_dies(&next, who);

                if (!taken)
                        continue;
                moved |= n < 2 * ACTORS;
                if (waits_lie == NULL)
                        waits_judge(&next);
                if (waits_lie == NULL && depth < DEPTH && waits_insert(&next))
                        waits_walk(&next, depth + 1);
        }
        for (unsigned i = 0; i < waits_most && !moved && waits_lie == NULL; i++)
                if (s->actor[i].at != DONE)
                        waits_lie = "a waiter hangs";
        if (depth == DEPTH)
                waits_lie = "a path too long";
}

static bool waits_run(enum wait_rule rule)
{
        struct waits first = {.slot = W_PENDING(1), .tokens = 1};

        waits_broken = rule;
        waits_lie = NULL;
        waits_count = 0;
        memset(waits_seen, 0, sizeof waits_seen);
        for (unsigned i = 0; i < waits_most; i++)
                first.actor[i].at = SEE;
        first.actor[WAITERS] = (struct actor){.at = ASKS, .token = 1};
        first.actor[WAITERS + 1].at = CHANGE;
        waits_insert(&first);
        waits_walk(&first, 0);
        printf("%-10s  %-30s  %9llu states  %s\n", wait_rules[rule].name,
               waits_most == 2 ? "two waiters" : "three waiters", waits_count,
               waits_lie != NULL ? waits_lie
               : rule == W_NONE  ? "no lie"
                                 : "and no lie found");
        fflush(stdout);
        return (rule == W_NONE) == (waits_lie == NULL);
}

bool waits_all(const char *name, unsigned *passed, unsigned *failed)
{
        bool known = false;

        for (unsigned r = 0; r < WAIT_RULES; r++) {
                if (name != NULL && strcmp(name, wait_rules[r].name) != 0)
                        continue;
                known = true;
                waits_most = r == W_NONE ? WAITERS : 2;
                if (waits_run((enum wait_rule)r)) {
                        ++*passed;
                } else {
                        ++*failed;
                        printf("    %s\n", wait_rules[r].says);
                }
        }
        return known;
}
