/* belady.c - the limit: who is asked for last, or never again, leaves. In bytes it looks at the times alone, not at the
 * sizes, as in the published numbers; there it is no strict limit. */
#include "policy.h"

/* Entries of the heap are not taken out when an object is read or removed: one that is no longer what the object's next
 * use says is passed over when it comes to the top. */
struct belady_entry {
        uint32_t next_use, object;
};

struct belady {
        struct load load;
        uint64_t    used;
        GArray     *heap;     /* of struct belady_entry, the latest on top */
        uint32_t   *next_use; /* of each object that is there */
        bool       *there;
};

static void *belady_create(const struct load *load)
{
        struct belady *cache = g_new0(struct belady, 1);

        cache->load = *load;
        cache->heap = g_array_new(FALSE, FALSE, sizeof(struct belady_entry));
        cache->next_use = g_new0(uint32_t, load->trace->objects);
        cache->there = g_new0(bool, load->trace->objects);
        return cache;
}

static void belady_destroy(void *self)
{
        struct belady *cache = self;

        g_array_free(cache->heap, TRUE);
        g_free(cache->next_use);
        g_free(cache->there);
        g_free(cache);
}

static bool belady_has(const void *self, uint32_t object)
{
        const struct belady *cache = self;

        return cache->there[object];
}

#define ENTRY(i) g_array_index(heap, struct belady_entry, i)

static void heap_push(GArray *heap, struct belady_entry entry)
{
        guint i = heap->len;

        g_array_append_val(heap, entry);
        for (; i > 0 && ENTRY((i - 1) / 2).next_use < entry.next_use; i = (i - 1) / 2)
                ENTRY(i) = ENTRY((i - 1) / 2);
        ENTRY(i) = entry;
}

static struct belady_entry heap_pop(GArray *heap)
{
        struct belady_entry top = ENTRY(0), last = ENTRY(heap->len - 1);
        guint               i = 0, child;

        g_array_set_size(heap, heap->len - 1);
        while ((child = 2 * i + 1) < heap->len) {
                if (child + 1 < heap->len && ENTRY(child + 1).next_use > ENTRY(child).next_use)
                        child++;
                if (ENTRY(child).next_use <= last.next_use)
                        break;
                ENTRY(i) = ENTRY(child);
                i = child;
        }
        if (heap->len > 0)
                ENTRY(i) = last;
        return top;
}

static void belady_hit(void *self, uint32_t object, uint32_t next_use)
{
        struct belady *cache = self;

        cache->next_use[object] = next_use;
        heap_push(cache->heap, (struct belady_entry){next_use, object});
}

static void belady_remove(void *self, uint32_t object)
{
        struct belady *cache = self;

        cache->there[object] = false;
        cache->used -= load_cost(&cache->load, object);
}

static void belady_evict(struct belady *cache)
{
        struct belady_entry top;

        do {
                top = heap_pop(cache->heap);
        } while (!cache->there[top.object] || cache->next_use[top.object] != top.next_use);
        belady_remove(cache, top.object);
}

static void belady_insert(void *self, uint32_t object, uint32_t next_use)
{
        struct belady *cache = self;
        uint64_t       cost = load_cost(&cache->load, object);

        while (cache->used + cost > cache->load.capacity)
                belady_evict(cache);
        cache->used += cost;
        cache->there[object] = true;
        belady_hit(cache, object, next_use);
}

const struct policy_ops policy_belady = {
        .name = "belady",
        .create = belady_create,
        .destroy = belady_destroy,
        .has = belady_has,
        .hit = belady_hit,
        .insert = belady_insert,
        .remove = belady_remove,
};
