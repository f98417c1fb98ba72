/* sieve.c - SIEVE: the hand goes from the oldest to the newest and clears marks; what it finds unmarked leaves, what
 * it passes stays where it is. */
#include "queue.h"

static void sieve_hit(void *self, uint32_t object, uint32_t next_use)
{
        struct queue_cache *cache = self;

        (void)next_use;
        cache->node[object].mark = 1;
}

/* The hand never points at what is gone. */
static void sieve_remove(void *self, uint32_t object)
{
        struct queue_cache *cache = self;

        if (cache->hand == object)
                cache->hand = cache->node[object].newer;
        queue_cache_remove(cache, object);
}

static void sieve_evict(struct queue_cache *cache)
{
        uint32_t at = cache->hand != QUEUE_END ? cache->hand : cache->queue.oldest;

        while (cache->node[at].mark != 0) {
                cache->node[at].mark = 0;
                at = cache->node[at].newer != QUEUE_END ? cache->node[at].newer : cache->queue.oldest;
        }
        cache->hand = at;
        sieve_remove(cache, at);
}

static void sieve_insert(void *self, uint32_t object, uint32_t next_use)
{
        struct queue_cache *cache = self;
        uint64_t            cost = load_cost(&cache->load, object);

        (void)next_use;
        while (cache->queue.used + cost > cache->load.capacity)
                sieve_evict(cache);
        queue_push(&cache->queue, cache->node, object, cost);
}

const struct policy_ops policy_sieve = {
        .name = "sieve",
        .create = queue_cache_create,
        .destroy = queue_cache_destroy,
        .has = queue_cache_has,
        .hit = sieve_hit,
        .insert = sieve_insert,
        .remove = sieve_remove,
};
