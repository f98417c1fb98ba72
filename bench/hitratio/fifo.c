/* fifo.c - first in, first out: what is read makes no difference. */
#include "queue.h"

static void fifo_hit(void *self, uint32_t object, uint32_t next_use)
{
        (void)self;
        (void)object;
        (void)next_use;
}

const struct policy_ops policy_fifo = {
        .name = "fifo",
        .create = queue_cache_create,
        .destroy = queue_cache_destroy,
        .has = queue_cache_has,
        .hit = fifo_hit,
        .insert = queue_cache_insert,
        .remove = queue_cache_remove,
};
