/* sketch.c - the counters of W-TinyLFU. */
#include "sketch.h"

#include <glib.h>

#define SKETCH_ROWS   4u
#define SKETCH_MOST   15u
#define SKETCH_SAMPLE 10u

struct sketch {
        uint64_t width, added, sample; /* width is a power of two */
        uint8_t *count;                /* SKETCH_ROWS rows of width */
};

struct sketch *sketch_create(uint64_t objects)
{
        struct sketch *sketch = g_new0(struct sketch, 1);

        sketch->width = 16;
        while (sketch->width < objects)
                sketch->width *= 2;
        sketch->sample = SKETCH_SAMPLE * MAX(objects, 1);
        sketch->count = g_new0(uint8_t, sketch->width * SKETCH_ROWS);
        return sketch;
}

void sketch_destroy(struct sketch **sketch)
{
        g_free((*sketch)->count);
        g_free(*sketch);
        *sketch = NULL;
}

/* The finaliser of splitmix64, another one for each row. */
static uint8_t *sketch_at(const struct sketch *sketch, uint32_t object, unsigned row)
{
        uint64_t h = (object + 1) * UINT64_C(0x9e3779b97f4a7c15) + row * UINT64_C(0xd1342543de82ef95);

        h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
        return &sketch->count[row * sketch->width + ((h ^ h >> 31) & (sketch->width - 1))];
}

void sketch_add(struct sketch *sketch, uint32_t object)
{
        for (unsigned row = 0; row < SKETCH_ROWS; row++) {
                uint8_t *count = sketch_at(sketch, object, row);

                *count = (uint8_t)MIN(*count + 1u, SKETCH_MOST);
        }
        if (++sketch->added < sketch->sample)
                return;
        for (uint64_t i = 0; i < sketch->width * SKETCH_ROWS; i++)
                sketch->count[i] /= 2;
        sketch->added /= 2;
}

unsigned sketch_estimate(const struct sketch *sketch, uint32_t object)
{
        unsigned least = SKETCH_MOST;

        for (unsigned row = 0; row < SKETCH_ROWS; row++)
                least = MIN(least, *sketch_at(sketch, object, row));
        return least;
}
