/* wtinylfu.c - W-TinyLFU: a window (LRU, 1%) that everything new passes through, and a main part (segmented LRU: 80% of
 * it protected, the rest on probation). What leaves the window stays only if the sketch has seen it more often than
 * what would have to go for it. The window's size is fixed: Caffeine's climbing of hills is not modelled. */
#include "queue.h"
#include "sketch.h"

enum { TINY_WINDOW = 1, TINY_PROBATION = 2, TINY_PROTECTED = 3 };

struct tiny {
        struct load        load;
        struct queue_node *node;
        struct queue       queue[TINY_PROTECTED + 1]; /* by what it is called; 0 is none */
        uint64_t           window_max, protected_max;
        struct sketch     *sketch;
};

static void *tiny_create(const struct load *load)
{
        struct tiny *cache = g_new0(struct tiny, 1);
        uint64_t     mean = load->bytes ? MAX(load->trace->bytes / MAX(load->trace->objects, 1), 1) : 1;

        cache->load = *load;
        cache->node = g_new0(struct queue_node, load->trace->objects);
        for (uint8_t where = TINY_WINDOW; where <= TINY_PROTECTED; where++)
                cache->queue[where] = queue_empty(where);
        cache->window_max = MAX(load->capacity / 100, 1);
        cache->protected_max = (load->capacity - cache->window_max) / 10 * 8;
        cache->sketch = sketch_create(load->capacity / mean);
        return cache;
}

static void tiny_destroy(void *self)
{
        struct tiny *cache = self;

        sketch_destroy(&cache->sketch);
        g_free(cache->node);
        g_free(cache);
}

static bool tiny_has(const void *self, uint32_t object)
{
        const struct tiny *cache = self;

        return cache->node[object].where != 0;
}

static void tiny_remove(void *self, uint32_t object)
{
        struct tiny *cache = self;

        queue_remove(&cache->queue[cache->node[object].where], cache->node, object, load_cost(&cache->load, object));
}

static void tiny_move(struct tiny *cache, uint32_t object, uint8_t where)
{
        tiny_remove(cache, object);
        queue_push(&cache->queue[where], cache->node, object, load_cost(&cache->load, object));
}

static void tiny_hit(void *self, uint32_t object, uint32_t next_use)
{
        struct tiny *cache = self;
        uint8_t      where = cache->node[object].where;

        (void)next_use;
        sketch_add(cache->sketch, object);
        tiny_move(cache, object, where == TINY_WINDOW ? TINY_WINDOW : TINY_PROTECTED);
        while (cache->queue[TINY_PROTECTED].used > cache->protected_max)
                tiny_move(cache, cache->queue[TINY_PROTECTED].oldest, TINY_PROBATION);
}

static bool tiny_full(const struct tiny *cache)
{
        return cache->queue[TINY_WINDOW].used + cache->queue[TINY_PROBATION].used + cache->queue[TINY_PROTECTED].used >
               cache->load.capacity;
}

/* Who goes first in the main part, the candidate left aside. */
static uint32_t tiny_victim(const struct tiny *cache, uint32_t candidate)
{
        uint32_t victim = cache->queue[TINY_PROBATION].oldest;

        if (victim == candidate && victim != QUEUE_END)
                victim = cache->node[victim].newer;
        return victim != QUEUE_END ? victim : cache->queue[TINY_PROTECTED].oldest;
}

/* The candidate has come from the window to the probation queue: it or those that it displaces. */
static void tiny_admit(struct tiny *cache, uint32_t candidate)
{
        while (tiny_full(cache)) {
                uint32_t victim = tiny_victim(cache, candidate);

                if (victim == QUEUE_END ||
                    sketch_estimate(cache->sketch, candidate) <= sketch_estimate(cache->sketch, victim)) {
                        tiny_remove(cache, candidate);
                        return;
                }
                tiny_remove(cache, victim);
        }
}

static void tiny_insert(void *self, uint32_t object, uint32_t next_use)
{
        struct tiny *cache = self;

        (void)next_use;
        sketch_add(cache->sketch, object);
        queue_push(&cache->queue[TINY_WINDOW], cache->node, object, load_cost(&cache->load, object));
        while (cache->queue[TINY_WINDOW].used > cache->window_max) {
                uint32_t candidate = cache->queue[TINY_WINDOW].oldest;

                tiny_move(cache, candidate, TINY_PROBATION);
                tiny_admit(cache, candidate);
        }
        while (tiny_full(cache)) /* the main part had what the window had left free */
                tiny_remove(cache, tiny_victim(cache, QUEUE_END));
}

const struct policy_ops policy_wtinylfu = {
        .name = "wtinylfu",
        .create = tiny_create,
        .destroy = tiny_destroy,
        .has = tiny_has,
        .hit = tiny_hit,
        .insert = tiny_insert,
        .remove = tiny_remove,
};
