/* fifo.c - first in, first out: what is read makes no difference. */
#include "queue.h"

static void fifo_hit(void *self, uint32_t object, uint32_t next_use)
{
        (void)self;
        (void)object;
        (void)next_use;
}

static void fifo_insert(void *self, uint32_t object, uint32_t next_use)
{
        struct queue_cache *cache = self;
        uint64_t            cost = load_cost(&cache->load, object);

        (void)next_use;
        while (cache->queue.used + cost > cache->load.capacity)
                queue_cache_remove(cache, cache->queue.oldest);
        queue_push(&cache->queue, cache->node, object, cost);
}

const struct policy_ops policy_fifo = {
        .name = "fifo",
        .create = queue_cache_create,
        .destroy = queue_cache_destroy,
        .has = queue_cache_has,
        .hit = fifo_hit,
        .insert = fifo_insert,
        .remove = queue_cache_remove,
};
