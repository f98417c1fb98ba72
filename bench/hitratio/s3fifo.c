/* s3fifo.c - S3-FIFO as its paper has it: a small queue that what is new passes through, a main queue for what was read
 * twice there or came back soon, and a ghost queue of names that left the small one.
 *
 *   new         -> SMALL               or MAIN, when its name is in GHOST
 *   SMALL, full -> MAIN                when read twice or more since it went in
 *               -> GHOST               else: the object is gone, its name stays
 *   MAIN, full  -> MAIN, at the front  when read, at most three times from one reading
 *               -> gone                else
 *
 * The shares (small 10%, ghost 90% as much as the cache holds) and the two readings are those of the published numbers.
 * An object that is as large as the small queue is not kept; so that a tiny cache keeps any at all, that queue has room
 * for two of the largest. */
#include "queue.h"

#define S3FIFO_READS_MAX     3
#define S3FIFO_READS_TO_MAIN 2

enum { S3FIFO_SMALL = 1, S3FIFO_MAIN = 2, S3FIFO_GHOST = 3 };

struct s3fifo {
        struct load        load;
        struct queue_node *node;
        struct queue       small, main, ghost;
        uint64_t           small_max, main_max, ghost_max;
};

static uint64_t s3fifo_largest(const struct load *load)
{
        uint64_t largest = 0;

        for (uint32_t i = 0; i < load->trace->objects; i++)
                largest = MAX(largest, load_cost(load, i));
        return largest;
}

static void *s3fifo_create(const struct load *load)
{
        struct s3fifo *cache = g_new0(struct s3fifo, 1);

        cache->load = *load;
        cache->node = g_new0(struct queue_node, load->trace->objects);
        cache->small = queue_empty(S3FIFO_SMALL);
        cache->main = queue_empty(S3FIFO_MAIN);
        cache->ghost = queue_empty(S3FIFO_GHOST);
        cache->small_max = MAX(load->capacity / 10, 2 * s3fifo_largest(load));
        cache->main_max = load->capacity - MIN(cache->small_max, load->capacity);
        cache->ghost_max = load->capacity / 10 * 9;
        return cache;
}

static void s3fifo_destroy(void *self)
{
        struct s3fifo *cache = self;

        g_free(cache->node);
        g_free(cache);
}

static bool s3fifo_has(const void *self, uint32_t object)
{
        const struct s3fifo *cache = self;

        return cache->node[object].where == S3FIFO_SMALL || cache->node[object].where == S3FIFO_MAIN;
}

static void s3fifo_hit(void *self, uint32_t object, uint32_t next_use)
{
        struct s3fifo *cache = self;

        (void)next_use;
        if (cache->node[object].mark < S3FIFO_READS_MAX)
                cache->node[object].mark++;
}

static void s3fifo_take(struct s3fifo *cache, struct queue *queue, uint32_t object)
{
        queue_remove(queue, cache->node, object, load_cost(&cache->load, object));
}

static void s3fifo_put(struct s3fifo *cache, struct queue *queue, uint32_t object, uint8_t mark)
{
        queue_push(queue, cache->node, object, load_cost(&cache->load, object));
        cache->node[object].mark = mark;
}

static void s3fifo_haunt(struct s3fifo *cache, uint32_t object)
{
        uint64_t cost = load_cost(&cache->load, object);

        if (cost > cache->ghost_max)
                return;
        while (cache->ghost.used + cost > cache->ghost_max)
                s3fifo_take(cache, &cache->ghost, cache->ghost.oldest);
        s3fifo_put(cache, &cache->ghost, object, 0);
}

static void s3fifo_evict_small(struct s3fifo *cache)
{
        while (cache->small.used > 0) {
                uint32_t object = cache->small.oldest;
                bool     wanted = cache->node[object].mark >= S3FIFO_READS_TO_MAIN;

                s3fifo_take(cache, &cache->small, object);
                if (!wanted) {
                        s3fifo_haunt(cache, object);
                        return;
                }
                s3fifo_put(cache, &cache->main, object, 0);
        }
}

static void s3fifo_evict_main(struct s3fifo *cache)
{
        while (cache->main.used > 0) {
                uint32_t object = cache->main.oldest;
                uint8_t  mark = cache->node[object].mark;

                s3fifo_take(cache, &cache->main, object);
                if (mark == 0)
                        return;
                s3fifo_put(cache, &cache->main, object, (uint8_t)(mark - 1));
        }
}

static void s3fifo_insert(void *self, uint32_t object, uint32_t next_use)
{
        struct s3fifo *cache = self;
        uint64_t       cost = load_cost(&cache->load, object);
        bool           known = cache->node[object].where == S3FIFO_GHOST;

        (void)next_use;
        if (known)
                s3fifo_take(cache, &cache->ghost, object);
        if (cost > cache->small_max)
                return;
        while (cache->small.used + cache->main.used + cost > cache->load.capacity) {
                if (cache->main.used > cache->main_max || cache->small.used == 0)
                        s3fifo_evict_main(cache);
                else
                        s3fifo_evict_small(cache);
        }
        if (known || cost < cache->small_max)
                s3fifo_put(cache, known ? &cache->main : &cache->small, object, 0);
}

static void s3fifo_remove(void *self, uint32_t object)
{
        struct s3fifo *cache = self;

        s3fifo_take(cache, cache->node[object].where == S3FIFO_SMALL ? &cache->small : &cache->main, object);
}

const struct policy_ops policy_s3fifo = {
        .name = "s3fifo",
        .create = s3fifo_create,
        .destroy = s3fifo_destroy,
        .has = s3fifo_has,
        .hit = s3fifo_hit,
        .insert = s3fifo_insert,
        .remove = s3fifo_remove,
};
