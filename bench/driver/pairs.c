/* pairs.c - a forwarded command and a miss cost microseconds more of some ten, below the noise of two runs one after
 * the other. So the two programs take turns in batches of 100 calls; each pair gives one ratio, and the median is
 * the figure. */
#include "cells.h"
#include "rows.h"

#include <stdio.h>

enum { PAIR_BATCH = 100, PAIRS_MAX = 1000 };

static void pairs_forwarded(struct bench *b, struct worker *bare, struct worker *shimmed, const char *command)
{
        char name[64];

        worker_ask(bare, "use %s %d", bench_path(b, "hot-100"), HOT_BYTES);
        worker_ask(shimmed, "use %s %d", bench_path(b, "hot-100"), HOT_BYTES);
        snprintf(name, sizeof name, "forwarded %s against bare", command);
        results_figure(name, cells_pairs(b->scale->pairs, bare, shimmed, command, PAIR_BATCH), "x", "<= 1.01",
                       "pairs of 100 calls");
}

/* Every key is read once: on the shimmed side a look-up, GET and PTTL, and a fill. */
static void pairs_misses(struct bench *b, struct worker *bare, struct worker *shimmed, const char *set,
                         const char *name, const char *target)
{
        double        before = load_calls(b, "pttl"), filled;
        struct spread ratio;
        char          how[96];

        worker_ask(bare, "use %s %d", bench_path(b, set), HOT_BYTES);
        worker_ask(shimmed, "use %s %d", bench_path(b, set), HOT_BYTES);
        ratio = cells_pairs(b->scale->pairs, bare, shimmed, "get", PAIR_BATCH);
        filled = (load_calls(b, "pttl") - before) / (double)(b->scale->pairs * PAIR_BATCH);
        snprintf(how, sizeof how, "pairs of 100 new keys, %.1f%% of them filled", 100 * filled);
        results_figure(name, ratio, "x", target, how);
}

/* How much of that is the server's and hiredis' part: PTTL and GET in one write, by a program without us. */
static void pairs_lifetimes(struct bench *b, struct worker *bare, const char *set, const char *name)
{
        static double ratio[PAIRS_MAX];
        size_t        pairs = b->scale->pairs < PAIRS_MAX ? b->scale->pairs : PAIRS_MAX, from = 0;

        worker_ask(bare, "use %s %d", bench_path(b, set), HOT_BYTES);
        for (size_t i = 0; i < pairs; i++) {
                double took[2];

                for (size_t turn = 0; turn < 2; turn++, from += PAIR_BATCH) {
                        size_t which = (i + turn) % 2;

                        took[which] = worker_ask(bare, "%s %zu %d", which == 0 ? "get" : "pttl", from, PAIR_BATCH);
                }
                ratio[i] = took[1] / took[0];
        }
        results_figure(name, stats_spread(ratio, pairs), "x", "", "pairs of 100 keys, by the bare program");
}

void rows_pairs(struct bench *b)
{
        struct side  *bare = bench_side(b, "hiredis-unix"), *mtshim = bench_side(b, "mtshim");
        struct side  *bare_tcp = bench_side(b, "hiredis-tcp"), *tcp = bench_side(b, "mtshim-tcp");
        struct worker shimmed_tcp;

        pairs_forwarded(b, &bare->worker, &mtshim->worker, "hget");
        pairs_forwarded(b, &bare->worker, &mtshim->worker, "strlen");
        pairs_misses(b, &bare->worker, &mtshim->worker, "miss", "miss against bare GET, unix socket", "<= 1.04");
        pairs_lifetimes(b, &bare->worker, "miss", "PTTL and GET in one write against GET, bare, unix socket");
        shimmed_tcp = side_start(tcp, CORE_OURS);
        load_warm(b, &shimmed_tcp);
        pairs_misses(b, &bare_tcp->worker, &shimmed_tcp, "missTCP", "miss against bare GET, TCP", "<= 1.06");
        pairs_lifetimes(b, &bare_tcp->worker, "missTCP", "PTTL and GET in one write against GET, bare, TCP");
        worker_end(&shimmed_tcp);
}
