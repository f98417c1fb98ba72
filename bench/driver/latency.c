/* latency.c - hot keys, 100 B, each call timed by itself: the quantiles of every side. */
#include "results.h"
#include "rows.h"

#include <stdio.h>
#include <string.h>

enum { ROUNDS_MAX = 32 };
#define SLOW_NS 2000 /* a call of a side that goes through a socket; a tenth of the calls does for it */

struct latency {
        struct side  *side;
        size_t        calls;
        double        sample[QUANTILES][ROUNDS_MAX];
        struct spread ns[QUANTILES];
};

static void latency_prepare(const struct bench *b, struct latency *l, struct side *s)
{
        double took;

        l->side = s;
        worker_ask(&s->worker, "use %s %d", bench_path(b, "hot-100"), HOT_BYTES);
        took = worker_ask(&s->worker, "get 0 100") / 100;
        l->calls = took > SLOW_NS ? b->scale->each / 10 : b->scale->each;
}

static void latency_round(struct latency *l, size_t round)
{
        double number[WORKER_NUMBERS];

        worker_tell(&l->side->worker, "each 0 %zu", l->calls);
        if (worker_hear(&l->side->worker, number) != QUANTILES)
                driver_fail("%s does not know the quantiles", l->side->name);
        for (size_t q = 0; q < QUANTILES; q++)
                l->sample[q][round] = number[q];
}

static void latency_figures(const struct latency *l, const char *who, const char *target_99)
{
        char name[96];

        snprintf(name, sizeof name, "%s, p50", who);
        results_figure(name, l->ns[QUANTILE_50], "ns", "", "each call timed by itself, the timer's own cost taken off");
        snprintf(name, sizeof name, "%s, p99", who);
        results_figure(name, l->ns[QUANTILE_99], "ns", target_99,
                       "each call timed by itself, the timer's own cost taken off");
}

void rows_latency(struct bench *b)
{
        static struct latency latency[SIDES_MAX];
        size_t                n = 0, rounds = b->scale->each_rounds < ROUNDS_MAX ? b->scale->each_rounds : ROUNDS_MAX;

        for (size_t i = 0; i < b->sides; i++)
                if (side_in_tables(&b->side[i]))
                        latency_prepare(b, &latency[n++], &b->side[i]);
        for (size_t round = 0; round < rounds; round++)
                for (size_t turn = 0; turn < n; turn++)
                        latency_round(&latency[(round + turn) % n], round);
        for (size_t i = 0; i < n; i++) {
                for (size_t q = 0; q < QUANTILES; q++)
                        latency[i].ns[q] = stats_spread(latency[i].sample[q], rounds);
                results_latency(latency[i].side, latency[i].ns);
        }
        for (size_t i = 0; i < n; i++) {
                if (strcmp(latency[i].side->name, "mtshim") == 0)
                        latency_figures(&latency[i], "hot hit", "<= 80");
                if (strcmp(latency[i].side->name, "hiredis-unix") == 0)
                        latency_figures(&latency[i], "the same GET bare, unix socket", "");
        }
}
