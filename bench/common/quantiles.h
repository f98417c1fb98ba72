/* quantiles.h - which quantiles a worker answers to "each", in percent, in this order. */
#ifndef MT_BENCH_QUANTILES_H
#define MT_BENCH_QUANTILES_H

static const double quantiles[] = {0, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 100};

enum {
        QUANTILE_50 = 5,
        QUANTILE_99 = 9,
        QUANTILE_999 = 11,
        QUANTILE_MAX = 13,
        QUANTILES = sizeof quantiles / sizeof *quantiles
};
_Static_assert(QUANTILES == QUANTILE_MAX + 1, "the last is the slowest");

#endif
