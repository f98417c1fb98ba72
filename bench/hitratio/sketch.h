/* sketch.h - how often an object was asked for lately, roughly: a count-min sketch of four rows of small counters, all
 * of them halved once ten times as many requests have come as it was made for. */
#ifndef MT_BENCH_HITRATIO_SKETCH_H
#define MT_BENCH_HITRATIO_SKETCH_H

#include <stdint.h>

struct sketch;

struct sketch *sketch_create(uint64_t objects);
void           sketch_destroy(struct sketch **sketch);
void           sketch_add(struct sketch *sketch, uint32_t object);
unsigned       sketch_estimate(const struct sketch *sketch, uint32_t object);

#endif
