/* policy.h - an eviction policy as the simulator sees it. */
#ifndef MT_BENCH_HITRATIO_POLICY_H
#define MT_BENCH_HITRATIO_POLICY_H

#include "trace.h"

/* A trace, and how much of it fits. */
struct load {
        const struct trace *trace;
        bool                bytes; /* an object counts its bytes; else 1 */
        uint64_t            capacity;
};

static inline uint64_t load_cost(const struct load *load, uint32_t object)
{
        return load->bytes ? load->trace->object[object].size_bytes : 1;
}

/* insert() makes room first; it may decline. next_use: the number of the request that will find the object, if it is
 * kept till then; TRACE_NEVER when none will. For Belady alone: the others do not look ahead. */
struct policy_ops {
        const char *name;
        void *(*create)(const struct load *load);
        void (*destroy)(void *self);
        bool (*has)(const void *self, uint32_t object);
        void (*hit)(void *self, uint32_t object, uint32_t next_use);
        void (*insert)(void *self, uint32_t object, uint32_t next_use);
        void (*remove)(void *self, uint32_t object);
};

extern const struct policy_ops policy_fifo, policy_lru, policy_clock, policy_sieve, policy_s3fifo, policy_wtinylfu,
        policy_belady;

struct ratio {
        uint64_t gets, hits, get_bytes, hit_bytes;
};

static inline double ratio_of(const struct ratio *ratio)
{
        return ratio->gets == 0 ? 0 : (double)ratio->hits / (double)ratio->gets;
}

static inline double ratio_of_bytes(const struct ratio *ratio)
{
        return ratio->get_bytes == 0 ? 0 : (double)ratio->hit_bytes / (double)ratio->get_bytes;
}

struct ratio simulate(const struct policy_ops *policy, const struct load *load);

#endif
