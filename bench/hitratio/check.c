/* check.c - the published numbers, and a guard of the real L1's hit ratio. */
#include "check.h"

#include "replay.h"

#include <math.h>
#include <stdio.h>

#define CHECK_MIB       (UINT64_C(1) << 20)
#define CHECK_TOLERANCE 0.002
#define GUARD_REQUESTS  100000u
#define GUARD_POINTS    2.0
#define GUARD_SEGMENTS  3u

/* Miss ratios of the cloudphysics trace at so many MiB, as libCacheSim's tests have them; S3-FIFO is the paper's form
 * (S3FIFOv0 there). */
static const struct {
        const struct policy_ops *policy;
        double                   miss[3];
} published[] = {
        {&policy_fifo, {0.8202, 0.7379, 0.6335}},  {&policy_lru, {0.820, 0.718, 0.630}},
        {&policy_clock, {0.8195, 0.7142, 0.5660}}, {&policy_sieve, {0.8053, 0.6736, 0.5653}},
        {&policy_s3fifo, {0.784, 0.674, 0.618}},   {&policy_belady, {0.696, 0.541, 0.430}},
};
static const uint64_t                 published_mib[] = {128, 512, 1024};
static const struct policy_ops *const online[] = {
        &policy_fifo, &policy_lru, &policy_clock, &policy_sieve, &policy_s3fifo, &policy_wtinylfu,
};

static void check_one(bool good, struct check_counts *counts)
{
        printf("%s\n", good ? "" : "   OFF");
        counts->passed += good;
        counts->failed += !good;
}

void check_published(const struct trace *trace, struct check_counts *counts)
{
        unsigned n = G_N_ELEMENTS(published) * G_N_ELEMENTS(published_mib);

        if (trace == NULL) {
                printf("The cloudphysics trace is not there: the simulators are not checked against published "
                       "numbers.\n\n");
                counts->skipped += n;
                return;
        }
        printf("Miss ratios of %s, by bytes, beside the published ones\n", trace->name);
        for (unsigned i = 0; i < n; i++) {
                const struct policy_ops *policy = published[i / 3].policy;
                struct load              load = {trace, true, published_mib[i % 3] * CHECK_MIB};
                struct ratio             ratio = simulate(policy, &load);
                double                   miss = 1 - ratio_of(&ratio), expected = published[i / 3].miss[i % 3];

                printf("  %-9s %5lu MiB  %.4f  published %.4f", policy->name, (unsigned long)published_mib[i % 3], miss,
                       expected);
                check_one(fabs(miss - expected) <= CHECK_TOLERANCE, counts);
        }
        printf("\n");
}

void check_limit(struct check_counts *counts)
{
        struct trace *trace = trace_zipf("zipf1.0", 1.0, GUARD_REQUESTS);
        struct load   load = {trace, false, trace->objects / 10};
        struct ratio  limit = simulate(&policy_belady, &load);

        printf("Hit ratios at 10%% of the objects of Zipf 1.0 with scans; the limit is %.4f\n", ratio_of(&limit));
        for (unsigned i = 0; i < G_N_ELEMENTS(online); i++) {
                struct ratio ratio = simulate(online[i], &load);

                printf("  %-9s %.4f", online[i]->name, ratio_of(&ratio));
                check_one(ratio.hits > 0 && ratio.hits < limit.hits, counts);
        }
        printf("\n");
        trace_destroy(&trace);
}

void check_guard(struct check_counts *counts)
{
        struct trace *trace = trace_zipf("zipf1.0", 1.0, GUARD_REQUESTS);
        struct load   load = {trace, false, trace->objects / 10};
        struct ratio  best = simulate(&policy_s3fifo, &load);
        struct fit    fit;
        double        mean = 0, behind;

        fit_log(&load, &fit);
        for (unsigned i = 0; i < GUARD_SEGMENTS; i++) {
                struct replay replay = replay_run(&load, &fit);

                mean += ratio_of(&replay.ratio) / GUARD_SEGMENTS;
        }
        behind = 100 * (ratio_of(&best) - mean);
        printf("Zipf 1.0 with scans, 10%% of the objects: s3fifo %.4f, mtshim %.4f, %.2f points behind of %.1f allowed",
               ratio_of(&best), mean, behind, GUARD_POINTS);
        check_one(behind <= GUARD_POINTS, counts);
        fit_end(&fit);
        trace_destroy(&trace);
}
