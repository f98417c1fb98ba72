/* inject.c - the plan: a cycle hurts in one to three ways that may overlap, heals, waits until L1 serves again, and
 * leaves everything calm for a while. All that is drawn is drawn from the seed, before it is known how it ends. */
#include "chaos.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        PLAN_AT_ONCE = 3,
        PLAN_EVENTS = 4096,
        PLAN_CALM_MIN_MS = 300,
        PLAN_CALM_MAX_MS = 700,
        PLAN_SERVE_MS = 1000,
        PLAN_SHOWN_MS = 3000
};

struct event {
        uint64_t at_ns;
        char     text[72];
};

struct plan {
        uint64_t        seed;
        struct hurt     hurt[PLAN_AT_ONCE];
        unsigned        hurts;
        struct recovery recovery[ORACLE_ROWS];
        uint64_t        over_ns[ORACLE_ROWS]; /* when each was there for the last time */
        bool            there[ORACLE_ROWS];
        struct event    event[PLAN_EVENTS];
        unsigned        events;
};

struct plan *plan_create(struct chaos *c)
{
        struct plan *p = calloc(1, sizeof *p);

        if (p == NULL || injection_count > ORACLE_ROWS)
                abort();
        p->seed = oracle_seed(c->seed, 1000 + c->number);
        return p;
}

void plan_destroy(struct plan **plan)
{
        free(*plan);
        *plan = NULL;
}

const struct recovery *plan_recovery(const struct plan *plan)
{
        return plan->recovery;
}

static unsigned plan_row(const struct hurt *h)
{
        return (unsigned)(h->row - injections);
}

static void plan_event(struct chaos *c, const char *what, const struct hurt *h)
{
        struct event *e = &c->plan->event[c->plan->events++ % PLAN_EVENTS];

        e->at_ns = oracle_now_ns();
        snprintf(e->text, sizeof e->text, "%s %s", what, h != NULL ? h->row->name : "");
        if (c->verbose)
                printf("%8.3f %s\n", (double)(e->at_ns - c->begun_ns) / 1e9, e->text);
}

void plan_print(const struct chaos *c, uint64_t from_ns, uint64_t to_ns)
{
        const struct plan *p = c->plan;

        for (unsigned i = p->events > PLAN_EVENTS ? p->events - PLAN_EVENTS : 0; i < p->events; i++) {
                const struct event *e = &p->event[i % PLAN_EVENTS];

                if (e->at_ns >= from_ns && e->at_ns <= to_ns)
                        printf("  %8.3f %s\n", (double)(e->at_ns - c->begun_ns) / 1e9, e->text);
        }
}

void plan_list(void)
{
        for (unsigned i = 0; i < injection_count; i++)
                printf("%s\n", injections[i].name);
}

/* ------------------------------------------------------------------------------------------------------- drawing */

static bool plan_named(const char *only, const char *name)
{
        size_t len = strlen(name);

        for (const char *at = only; at != NULL && (at = strstr(at, name)) != NULL; at += len) {
                if ((at == only || at[-1] == ',') && (at[len] == '\0' || at[len] == ','))
                        return true;
        }
        return only == NULL;
}

static unsigned plan_weight(const struct chaos *c, unsigned row, uint32_t taken)
{
        const struct injection *i = &injections[row];

        return (i->needs & ~c->features) != 0 || (i->takes & taken) != 0 || !plan_named(c->only, i->name) ? 0
                                                                                                          : i->weight;
}

/* NULL: there is none that can be had beside those that are there. */
static const struct injection *plan_draw(struct chaos *c, uint32_t taken)
{
        uint64_t sum = 0, at;

        for (unsigned i = 0; i < injection_count; i++)
                sum += plan_weight(c, i, taken);
        at = sum != 0 ? oracle_below(&c->plan->seed, sum) : 0;
        for (unsigned i = 0; sum != 0; i++) {
                unsigned weight = plan_weight(c, i, taken);

                if (at < weight)
                        return &injections[i];
                at -= weight;
        }
        return NULL;
}

/* Each begins within half a second or so of the others. */
static void plan_prepare(struct chaos *c)
{
        struct plan *p = c->plan;
        unsigned     wanted = 1 + (unsigned)oracle_below(&p->seed, PLAN_AT_ONCE);
        uint64_t     now_ns = oracle_now_ns();
        uint32_t     taken = 0;

        for (p->hurts = 0; p->hurts < wanted; p->hurts++) {
                struct hurt            *h = &p->hurt[p->hurts];
                const struct injection *row = plan_draw(c, taken);

                if (row == NULL)
                        return;
                *h = (struct hurt){.row = row, .seed = oracle_draw(&p->seed), .seat = SEATS_USED};
                h->ms = row->min_ms + (uint32_t)oracle_below(&p->seed, row->max_ms - row->min_ms + 1);
                h->from_ns = now_ns + oracle_below(&p->seed, p->hurts == 0 ? 50 : 500) * ORACLE_MS;
                h->until_ns = h->from_ns + h->ms * ORACLE_MS;
                taken |= row->takes;
        }
}

/* -------------------------------------------------------------------------------------------------------- doing */

/* What readers note beside an age: all that is there, or was less than the bound ago. */
static void plan_tell(struct chaos *c)
{
        struct plan *p = c->plan;
        uint64_t     now_ns = oracle_now_ns(), faults = 0;

        for (unsigned i = 0; i < injection_count; i++) {
                if (p->there[i])
                        p->over_ns[i] = now_ns;
                if (p->over_ns[i] != 0 && now_ns - p->over_ns[i] <= c->oracle->bound_ns)
                        faults |= UINT64_C(1) << i;
        }
        atomic_store(&c->oracle->faults, faults);
}

static void plan_heal(struct chaos *c, struct hurt *h)
{
        unsigned row = plan_row(h);

        if (h->row->heal != NULL) {
                h->row->heal(c, h);
                plan_event(c, "healed", h);
        }
        c->plan->over_ns[row] = oracle_now_ns();
        c->plan->there[row] = false;
        h->until_ns = 0;
}

static void plan_apply(struct chaos *c, struct hurt *h)
{
        unsigned row = plan_row(h);

        h->from_ns = UINT64_MAX;
        c->plan->there[row] = true;
        plan_tell(c);
        plan_event(c, "begins", h);
        if (!h->row->apply(c, h)) {
                plan_event(c, "could not be done:", h);
                c->plan->there[row] = false;
                h->until_ns = 0;
        } else if (h->row->heal == NULL) {
                plan_heal(c, h);
        }
}

/* True: one is there still, or to come. */
static bool plan_turn(struct chaos *c)
{
        struct plan *p = c->plan;
        uint64_t     now_ns = oracle_now_ns();
        bool         more = false;

        for (unsigned i = 0; i < p->hurts; i++) {
                struct hurt *h = &p->hurt[i];

                if (h->until_ns != 0 && now_ns >= h->from_ns)
                        plan_apply(c, h);
                else if (h->until_ns != 0 && h->from_ns == UINT64_MAX && now_ns >= h->until_ns)
                        plan_heal(c, h);
                else if (h->until_ns != 0 && h->from_ns == UINT64_MAX && h->row->again != NULL)
                        h->row->again(c, h);
                more = more || h->until_ns != 0;
        }
        return more;
}

void chaos_wait(struct chaos *c, unsigned ms)
{
        uint64_t until_ns = oracle_now_ns() + ms * ORACLE_MS;

        do {
                plan_tell(c);
                seats_reap(c);
                seats_fill(c);
                nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        } while (oracle_now_ns() < until_ns);
}

/* Something took too long: what was done before, and how it stands. */
static void plan_complain(const struct chaos *c, uint64_t healed_ns, uint64_t took_ns)
{
        printf("SLOW: L1 serves again %.0f ms after %.3f s (the machine is guilty of %.0f ms):\n",
               (double)took_ns / 1e6, (double)(healed_ns - c->begun_ns) / 1e9, (double)gauge_delay_ns(c->gauge) / 1e6);
        plan_print(c, healed_ns - PLAN_SHOWN_MS * ORACLE_MS, UINT64_MAX);
        gauge_print(c->gauge);
}

/* L1 must serve again within the bound and a second, and as much as this machine kept it waiting. */
static void plan_recover(struct chaos *c)
{
        struct plan *p = c->plan;
        uint64_t     healed_ns = oracle_now_ns(), most_ns = c->oracle->bound_ns + PLAN_SERVE_MS * ORACLE_MS, took_ns;
        bool         serves, late;

        gauge_mark(c->gauge);
        do {
                chaos_wait(c, 1);
                serves = gauge_serves(c->gauge, &took_ns);
        } while (oracle_now_ns() - healed_ns < c->oracle->bound_ns ||
                 (!serves && oracle_now_ns() - healed_ns < 2 * most_ns + gauge_delay_ns(c->gauge)));
        if (!serves)
                took_ns = oracle_now_ns() - healed_ns;
        late = took_ns > most_ns + gauge_delay_ns(c->gauge);
        if (late)
                plan_complain(c, healed_ns, took_ns);
        for (unsigned i = 0; i < p->hurts; i++) {
                struct recovery *r = &p->recovery[plan_row(&p->hurt[i])];

                r->times++;
                r->late += late;
                r->worst_ns = took_ns > r->worst_ns ? took_ns : r->worst_ns;
        }
}

static void plan_calm(struct chaos *c)
{
        unsigned ms = PLAN_CALM_MIN_MS + (unsigned)oracle_below(&c->plan->seed, PLAN_CALM_MAX_MS - PLAN_CALM_MIN_MS);

        atomic_store(&c->oracle->calm, CALM_FEW_WRITES);
        chaos_wait(c, 50); /* what was written much until now is read once more */
        plan_event(c, "calm", NULL);
        gauge_calm(c->gauge, true);
        chaos_wait(c, ms);
        gauge_calm(c->gauge, false);
        atomic_store(&c->oracle->calm, CALM_NOT);
}

void plan_cycle(struct chaos *c)
{
        plan_prepare(c);
        while (plan_turn(c))
                chaos_wait(c, 1);
        plan_recover(c);
        plan_calm(c);
}
