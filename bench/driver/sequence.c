/* sequence.c - draws keys, always the same ones. */
#include "sequence.h"

#include "../common/peer.h"
#include "driver.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZIPF_EXPONENT 0.99
#define SCATTER       UINT64_C(1000003) /* a prime that no span here is a multiple of */

struct draw {
        enum sequence_pattern pattern;
        uint64_t              state, span;
        double               *sum; /* of Zipf's shares, up to each rank */
};

/* splitmix64 (https://prng.di.unimi.it/splitmix64.c) */
static uint64_t draw_random(struct draw *d)
{
        uint64_t z = d->state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

static double *zipf_shares(uint64_t span)
{
        double *sum = calloc(span, sizeof *sum), all = 0;

        if (sum == NULL)
                driver_fail("no memory for the shares of %llu keys", (unsigned long long)span);
        for (uint64_t i = 0; i < span; i++)
                sum[i] = all += pow((double)(i + 1), -ZIPF_EXPONENT);
        return sum;
}

static uint64_t draw_zipf(struct draw *d)
{
        double   wanted = (double)(draw_random(d) >> 11) / 9007199254740992.0 * d->sum[d->span - 1];
        uint64_t low = 0, high = d->span - 1;

        while (low < high) {
                uint64_t middle = low + (high - low) / 2;

                if (d->sum[middle] < wanted)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low * SCATTER % d->span;
}

static uint64_t draw_next(struct draw *d, uint64_t turn)
{
        switch (d->pattern) {
        case SEQUENCE_ZIPF: return draw_zipf(d);
        case SEQUENCE_UNIFORM: return draw_random(d) % d->span;
        case SEQUENCE_TURN: break;
        }
        return turn % d->span;
}

void sequence_write(const char *path, const char *set, enum sequence_pattern pattern, size_t span, size_t count)
{
        struct draw d = {.pattern = pattern, .state = 42, .span = span};
        FILE       *file = fopen(path, "we");

        if (file == NULL)
                driver_fail("cannot write %s", path);
        if (pattern == SEQUENCE_ZIPF)
                d.sum = zipf_shares(span);
        for (size_t i = 0; i < count; i++) {
                struct peer_key key;

                peer_key(&key, set, draw_next(&d, i));
                fwrite(&key, sizeof key, 1, file);
        }
        free(d.sum);
        if (fclose(file) != 0)
                driver_fail("cannot write %s", path);
}
