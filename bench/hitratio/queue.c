/* queue.c - links, and the cache of one queue that FIFO, LRU, CLOCK and SIEVE share. */
#include "queue.h"

void queue_push(struct queue *queue, struct queue_node *node, uint32_t object, uint64_t cost)
{
        node[object] = (struct queue_node){.newer = QUEUE_END, .older = queue->newest, .where = queue->where};
        if (queue->newest != QUEUE_END)
                node[queue->newest].newer = object;
        else
                queue->oldest = object;
        queue->newest = object;
        queue->used += cost;
}

void queue_remove(struct queue *queue, struct queue_node *node, uint32_t object, uint64_t cost)
{
        struct queue_node *gone = &node[object];

        if (gone->newer != QUEUE_END)
                node[gone->newer].older = gone->older;
        else
                queue->newest = gone->older;
        if (gone->older != QUEUE_END)
                node[gone->older].newer = gone->newer;
        else
                queue->oldest = gone->newer;
        gone->where = 0;
        queue->used -= cost;
}

void *queue_cache_create(const struct load *load)
{
        struct queue_cache *cache = g_new0(struct queue_cache, 1);

        cache->load = *load;
        cache->node = g_new0(struct queue_node, load->trace->objects);
        cache->queue = queue_empty(1);
        cache->hand = QUEUE_END;
        return cache;
}

void queue_cache_destroy(void *self)
{
        struct queue_cache *cache = self;

        g_free(cache->node);
        g_free(cache);
}

bool queue_cache_has(const void *self, uint32_t object)
{
        const struct queue_cache *cache = self;

        return cache->node[object].where != 0;
}

void queue_cache_remove(void *self, uint32_t object)
{
        struct queue_cache *cache = self;

        queue_remove(&cache->queue, cache->node, object, load_cost(&cache->load, object));
}

void queue_cache_insert(void *self, uint32_t object, uint32_t next_use)
{
        struct queue_cache *cache = self;
        uint64_t            cost = load_cost(&cache->load, object);

        (void)next_use;
        while (cache->queue.used + cost > cache->load.capacity)
                queue_cache_remove(cache, cache->queue.oldest);
        queue_push(&cache->queue, cache->node, object, cost);
}
