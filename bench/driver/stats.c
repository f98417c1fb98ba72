/* stats.c - order statistics, with linear interpolation between neighbours. */
#include "stats.h"

#include <math.h>
#include <stdlib.h>

static int stats_by_value(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static double stats_at(const double *sorted, size_t n, double share)
{
        double place = share * (double)(n - 1), below = floor(place);
        size_t i = (size_t)below;

        return i + 1 < n ? sorted[i] + (place - below) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

struct spread stats_spread(double *samples, size_t n)
{
        if (n == 0)
                return (struct spread){0};
        qsort(samples, n, sizeof *samples, stats_by_value);
        return (struct spread){.median = stats_at(samples, n, 0.5),
                               .p25 = stats_at(samples, n, 0.25),
                               .p75 = stats_at(samples, n, 0.75),
                               .min = samples[0],
                               .max = samples[n - 1],
                               .samples = n};
}

struct spread stats_once(double value)
{
        return stats_spread(&value, 1);
}
