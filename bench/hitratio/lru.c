/* lru.c - what was read longest ago leaves. */
#include "queue.h"

static void lru_hit(void *self, uint32_t object, uint32_t next_use)
{
        struct queue_cache *cache = self;
        uint64_t            cost = load_cost(&cache->load, object);

        (void)next_use;
        queue_remove(&cache->queue, cache->node, object, cost);
        queue_push(&cache->queue, cache->node, object, cost);
}

const struct policy_ops policy_lru = {
        .name = "lru",
        .create = queue_cache_create,
        .destroy = queue_cache_destroy,
        .has = queue_cache_has,
        .hit = lru_hit,
        .insert = queue_cache_insert,
        .remove = queue_cache_remove,
};
