/* simulate.c - a trace through a policy: a cache filled on misses, and cleared of what is written or expired. */
#include "policy.h"

struct run {
        const struct policy_ops *policy;
        const struct load       *load;
        void                    *cache;
        uint64_t *deadline_ms; /* of each object; what it means while the object is not there is nothing */
};

/* The next request finds the object as it is cached now: it is a read, and comes before the deadline. */
static uint32_t run_next_use(const struct run *run, const struct trace_request *request)
{
        const struct trace_request *next = &run->load->trace->request[request->next];

        if (request->next == TRACE_NEVER || next->set || next->time_ms >= run->deadline_ms[request->object])
                return TRACE_NEVER;
        return request->next;
}

static bool run_get(struct run *run, const struct trace_request *request)
{
        const struct trace_object *object = &run->load->trace->object[request->object];
        bool                       there = run->policy->has(run->cache, request->object);

        if (there && request->time_ms < run->deadline_ms[request->object]) {
                run->policy->hit(run->cache, request->object, run_next_use(run, request));
                return true;
        }
        if (there)
                run->policy->remove(run->cache, request->object);
        run->deadline_ms[request->object] = object->ttl_ms == 0 ? UINT64_MAX : request->time_ms + object->ttl_ms;
        if (load_cost(run->load, request->object) <= run->load->capacity)
                run->policy->insert(run->cache, request->object, run_next_use(run, request));
        return false;
}

struct ratio simulate(const struct policy_ops *policy, const struct load *load)
{
        const struct trace *trace = load->trace;
        struct ratio        ratio = {0};
        struct run          run = {policy, load, policy->create(load), g_new0(uint64_t, trace->objects)};

        for (uint32_t i = 0; i < trace->requests; i++) {
                const struct trace_request *request = &trace->request[i];
                uint64_t                    bytes = trace->object[request->object].size_bytes;
                bool                        hit;

                if (request->set) {
                        if (policy->has(run.cache, request->object))
                                policy->remove(run.cache, request->object);
                        continue;
                }
                hit = run_get(&run, request);
                ratio.gets++;
                ratio.hits += hit;
                ratio.get_bytes += bytes;
                ratio.hit_bytes += hit ? bytes : 0;
        }
        policy->destroy(run.cache);
        g_free(run.deadline_ms);
        return ratio;
}
