/* queue.h - queues of numbered objects, linked through one array: an object is in one queue at most. */
#ifndef MT_BENCH_HITRATIO_QUEUE_H
#define MT_BENCH_HITRATIO_QUEUE_H

#include "policy.h"

#define QUEUE_END TRACE_NEVER

struct queue_node {
        uint32_t newer, older; /* QUEUE_END where there is none */
        uint8_t  where;        /* 0: in no queue; else what the policy calls the queue */
        uint8_t  mark;         /* the policy's */
};

struct queue {
        uint8_t  where;
        uint32_t newest, oldest;
        uint64_t used; /* costs of all that are in it */
};

/* What the simple policies are made of: the nodes of all objects, and one queue. */
struct queue_cache {
        struct load        load;
        struct queue_node *node;
        struct queue       queue;
        uint32_t           hand; /* Sieve's */
};

void *queue_cache_create(const struct load *load);
void  queue_cache_destroy(void *self);
bool  queue_cache_has(const void *self, uint32_t object);
void  queue_cache_remove(void *self, uint32_t object);
/* As the newest; what has been in longest makes room. */
void queue_cache_insert(void *self, uint32_t object, uint32_t next_use);

static inline struct queue queue_empty(uint8_t where)
{
        return (struct queue){where, QUEUE_END, QUEUE_END, 0};
}

/* In as the newest, its mark cleared. */
void queue_push(struct queue *queue, struct queue_node *node, uint32_t object, uint64_t cost);
void queue_remove(struct queue *queue, struct queue_node *node, uint32_t object, uint64_t cost);

#endif
