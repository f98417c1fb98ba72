/* clock.c - FIFO with a second chance: what was read since it went in goes round once more. */
#include "queue.h"

static void clock_hit(void *self, uint32_t object, uint32_t next_use)
{
        struct queue_cache *cache = self;

        (void)next_use;
        cache->node[object].mark = 1;
}

static void clock_evict(struct queue_cache *cache)
{
        uint32_t victim;

        while (cache->node[victim = cache->queue.oldest].mark != 0) {
                uint64_t cost = load_cost(&cache->load, victim);

                queue_remove(&cache->queue, cache->node, victim, cost);
                queue_push(&cache->queue, cache->node, victim, cost);
        }
        queue_cache_remove(cache, victim);
}

static void clock_insert(void *self, uint32_t object, uint32_t next_use)
{
        struct queue_cache *cache = self;
        uint64_t            cost = load_cost(&cache->load, object);

        (void)next_use;
        while (cache->queue.used + cost > cache->load.capacity)
                clock_evict(cache);
        queue_push(&cache->queue, cache->node, object, cost);
}

const struct policy_ops policy_clock = {
        .name = "clock",
        .create = queue_cache_create,
        .destroy = queue_cache_destroy,
        .has = queue_cache_has,
        .hit = clock_hit,
        .insert = clock_insert,
        .remove = queue_cache_remove,
};
