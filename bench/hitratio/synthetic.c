/* synthetic.c - traces that are made, the same ones each time: the generator is seeded by a constant. */
#include "trace.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SYNTHETIC_SEED 20200301u
#define SYNTHETIC_KEYS 50000u
#define SCAN_EVERY     25000u /* requests from the start of one scan to that of the next */
#define SCAN_KEYS      5000u
#define SCAN_SHARE     0.5 /* of the requests while it runs */
#define SIZE_LEAST     64.0
#define SIZE_MOST      16384.0
#define SECONDS(s)     ((uint64_t)(s)*1000)
#define HOURS(h)       SECONDS((h)*3600)
#define DAYS(d)        HOURS((d)*24)

/* ------------------------------------------------------------------------------------------------------ Zipf's law */

struct zipf {
        double  *sum; /* of the first i + 1 weights */
        uint32_t n;
};

static void zipf_init(struct zipf *zipf, double exponent, uint32_t n)
{
        double sum = 0;

        *zipf = (struct zipf){g_new(double, n), n};
        for (uint32_t i = 0; i < n; i++)
                zipf->sum[i] = sum += pow(i + 1, -exponent);
}

/* The rank that was drawn: the first whose sum exceeds the draw. */
static uint32_t zipf_draw(const struct zipf *zipf, GRand *random)
{
        double   draw = g_rand_double(random) * zipf->sum[zipf->n - 1];
        uint32_t low = 0, high = zipf->n - 1;

        while (low < high) {
                uint32_t middle = (low + high) / 2;

                if (zipf->sum[middle] > draw)
                        high = middle;
                else
                        low = middle + 1;
        }
        return low;
}

/* An object of this number, or the one that was made before; the keys have klen bytes. */
static uint32_t object_of(struct trace *trace, uint32_t *made, uint32_t number, unsigned klen, uint32_t size_bytes,
                          uint64_t ttl_ms)
{
        char key[128];

        if (made[number] == TRACE_NEVER) {
                snprintf(key, sizeof key, "%0*u", (int)klen, number);
                made[number] = trace_add_object(trace, key, size_bytes, ttl_ms);
        }
        return made[number];
}

static uint32_t *none_made(uint32_t n)
{
        uint32_t *made = g_new(uint32_t, n);

        memset(made, 0xff, n * sizeof *made); /* TRACE_NEVER */
        return made;
}

/* ------------------------------------------------------------------------------------------------ Zipf with scans */

/* Sizes spread evenly over their logarithm, independent of the popularity. */
static uint32_t size_draw(GRand *random)
{
        return (uint32_t)(SIZE_LEAST * pow(SIZE_MOST / SIZE_LEAST, g_rand_double(random)));
}

struct trace *trace_zipf(const char *name, double exponent, uint32_t requests)
{
        struct trace *trace = trace_create(name);
        GRand        *random = g_rand_new_with_seed(SYNTHETIC_SEED);
        uint32_t      scans = (requests / SCAN_EVERY + 1) * SCAN_KEYS, scanned = 0;
        uint32_t     *made = none_made(SYNTHETIC_KEYS + scans);
        struct zipf   zipf;

        zipf_init(&zipf, exponent, SYNTHETIC_KEYS);
        for (uint32_t i = 0; i < requests; i++) {
                bool     due = scanned < (i / SCAN_EVERY + 1) * SCAN_KEYS && g_rand_double(random) < SCAN_SHARE;
                uint32_t number = due ? SYNTHETIC_KEYS + scanned++ : zipf_draw(&zipf, random);

                trace_add_request(trace, object_of(trace, made, number, 24, size_draw(random), 0), false, i);
        }
        trace_finish(trace);
        g_free(zipf.sum);
        g_free(made);
        g_rand_free(random);
        return trace;
}

/* -------------------------------------------------------------------------------------------------- TTL mixes */

/* Key and value sizes, shares, times to live and exponents as Twitter published them; shares of times to live that do
 * not add up to 1 are scaled. The length is ours: long enough for most of those times to pass within it. */
static const struct cluster {
        const char *name;
        unsigned    klen, vlen;
        double      sets, exponent;
        uint64_t    length_ms;
        struct {
                double   share;
                uint64_t ttl_ms;
        } life[4];
} clusters[] = {
        {"cluster52", 20, 273, 0.09, 1.21, DAYS(2), {{0.65, DAYS(1)}, {0.27, DAYS(14)}, {0.07, HOURS(12)}}},
        {"cluster4",
         67,
         2439,
         0.07,
         1.10,
         HOURS(2),
         {{0.39, SECONDS(60)}, {0.24, SECONDS(300)}, {0.13, HOURS(1)}, {0.12, SECONDS(600)}}},
        {"cluster8", 23, 9497, 0.50, 1.74, HOURS(2), {{1.00, SECONDS(1380)}}},
};

static uint64_t life_draw(const struct cluster *cluster, GRand *random)
{
        double sum = 0, draw;

        for (unsigned i = 0; i < G_N_ELEMENTS(cluster->life); i++)
                sum += cluster->life[i].share;
        draw = g_rand_double(random) * sum;
        for (unsigned i = 0; i < G_N_ELEMENTS(cluster->life); i++) {
                draw -= cluster->life[i].share;
                if (draw < 0)
                        return cluster->life[i].ttl_ms;
        }
        return cluster->life[0].ttl_ms;
}

static struct trace *cluster_make(const struct cluster *cluster, uint32_t requests)
{
        struct trace *trace = trace_create(cluster->name);
        GRand        *random = g_rand_new_with_seed(SYNTHETIC_SEED);
        uint32_t     *made = none_made(SYNTHETIC_KEYS);
        struct zipf   zipf;

        zipf_init(&zipf, cluster->exponent, SYNTHETIC_KEYS);
        for (uint32_t i = 0; i < requests; i++) {
                uint32_t number = zipf_draw(&zipf, random);
                uint64_t life = life_draw(cluster, random); /* drawn always, used when the object is new */
                uint32_t object = object_of(trace, made, number, cluster->klen, cluster->klen + cluster->vlen, life);

                trace_add_request(trace, object, g_rand_double(random) < cluster->sets,
                                  cluster->length_ms * i / requests);
        }
        trace_finish(trace);
        g_free(zipf.sum);
        g_free(made);
        g_rand_free(random);
        return trace;
}

struct trace *trace_cluster(const char *name, uint32_t requests)
{
        for (unsigned i = 0; i < G_N_ELEMENTS(clusters); i++) {
                if (strcmp(clusters[i].name, name) == 0)
                        return cluster_make(&clusters[i], requests);
        }
        return NULL;
}
