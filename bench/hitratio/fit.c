/* fit.c - sizes for the real L1, found by asking its own geometry. */
#include "fit.h"

#include "l1/cache/item.h"
#include "l1/segment/geometry.h"

#define MIB            (UINT64_C(1) << 20)
#define FIT_STEP       (UINT64_C(64) << 10)
#define FIT_LEAST      (4 * MIB)
#define FIT_MOST       (24 * MIB) /* by objects, where the value size is ours to choose */
#define FIT_ITEM_LEAST 128u       /* smaller items than the index is made for would be lost to it */
#define FIT_TIMES      8u
#define FIT_EXACT      200u      /* 1/200 of the capacity more or less is no reason to prefer one size */
#define FIT_LOG_LEAST  (3 * MIB) /* by bytes: smaller logs are scaled up to it */

static void fit_geometry(struct fit *fit, uint64_t size, uint64_t max_item, struct segment_geometry *geometry)
{
        uint64_t l1_size, logseg_size;

        geometry_choose(size, max_item, &l1_size, &logseg_size);
        if (!geometry_compute(l1_size, logseg_size, geometry))
                g_error("no geometry for %lu bytes", (unsigned long)size);
        fit->l1_size = l1_size;
        fit->max_item_bytes = max_item;
        fit->log_bytes = geometry->log_bytes;
        fit->logsegs = geometry->logseg_count;
}

/* Value lengths that make the items take item_bytes, or else scale times what the items of the trace would take. */
static void fit_values(const struct load *load, struct fit *fit)
{
        fit->value_len = g_new0(uint32_t, load->trace->objects);
        for (uint32_t i = 0; i < load->trace->objects; i++) {
                const struct trace_object *object = &load->trace->object[i];
                uint64_t                   head = sizeof(struct item_shm) + object->klen, bytes = fit->item_bytes;

                if (bytes == 0)
                        bytes = fit->scale * item_size(object->klen, object->size_bytes - object->klen, false);
                fit->value_len[i] = (uint32_t)(bytes > head ? bytes - head : 0);
        }
}

void fit_end(struct fit *fit)
{
        g_clear_pointer(&fit->value_len, g_free);
}

/* ------------------------------------------------------------------------------------------------------- by objects */

/* As many log segments as there are by default: with finer or coarser ones it would be another cache. */
static uint32_t fit_usual_logsegs(void)
{
        struct segment_geometry geometry;
        struct fit              usual;

        fit_geometry(&usual, 64 * MIB, MIB, &geometry);
        return geometry.logseg_count;
}

static uint64_t fit_distance(uint64_t a, uint64_t b)
{
        return a > b ? a - b : b - a;
}

/* How many items are missing, in steps that matter; then how far the log segments are from the usual number. */
static uint64_t fit_badness(uint64_t capacity, uint64_t items, uint32_t logsegs, uint32_t usual)
{
        return (capacity - items) * FIT_EXACT / capacity * 100000 + fit_distance(logsegs, usual);
}

/* The best of all sizes, made for items of so many times what one of them would take; false: none will do. */
static bool fit_objects_of(const struct load *load, uint64_t times, struct fit *fit)
{
        uint64_t best = UINT64_MAX;
        uint32_t usual = fit_usual_logsegs();

        for (uint64_t size = FIT_LEAST; size <= FIT_MOST; size += FIT_STEP) {
                struct segment_geometry geometry;
                struct fit              try = {.scale = 1};
                uint64_t                each, badness; /* each: items of one log segment */

                fit_geometry(&try, size, times * size / load->capacity, &geometry);
                each = load->capacity / geometry.logseg_count;
                if (each == 0 || geometry.logseg_size / each < FIT_ITEM_LEAST)
                        continue;
                try.items = each * geometry.logseg_count;
                badness = fit_badness(load->capacity, try.items, geometry.logseg_count, usual);
                if (badness >= best)
                        continue;
                best = badness;
                try.item_bytes = geometry.logseg_size / each & ~(uint64_t)(ITEM_ALIGN - 1);
                *fit = try;
        }
        return best != UINT64_MAX;
}

/* A cache of few items needs few log segments: it gets them by asking for larger items than it will be given. */
static void fit_objects(const struct load *load, struct fit *fit)
{
        for (uint64_t times = 1; times <= FIT_TIMES; times *= 2) {
                if (!fit_objects_of(load, times, fit))
                        continue;
                fit->max_item_bytes = MAX(fit->max_item_bytes, fit->item_bytes);
                return;
        }
        g_error("no size for %lu objects", (unsigned long)load->capacity);
}

/* --------------------------------------------------------------------------------------------------------- by bytes */

/* MTSHIM_L1_MAX_ITEM: the largest object, scaled as its item is. */
static uint64_t fit_largest(const struct load *load, uint64_t scale)
{
        uint64_t largest = 0;

        for (uint32_t i = 0; i < load->trace->objects; i++)
                largest = MAX(largest, item_size(0, load->trace->object[i].size_bytes, false));
        return largest * scale;
}

static void fit_bytes(const struct load *load, struct fit *fit)
{
        uint64_t max_item, wanted;

        while (load->capacity * fit->scale < FIT_LOG_LEAST)
                fit->scale *= 2;
        wanted = load->capacity * fit->scale;
        max_item = fit_largest(load, fit->scale);
        for (uint64_t size = wanted; size <= wanted + wanted / 4 + 2 * MIB; size += SEGMENT_PAGE) {
                struct segment_geometry geometry;
                struct fit              try = {.scale = fit->scale};

                fit_geometry(&try, size, max_item, &geometry);
                if (try.log_bytes <= wanted && try.log_bytes > fit->log_bytes)
                        *fit = try;
        }
        if (fit->log_bytes == 0)
                g_error("no size for %lu bytes", (unsigned long)wanted);
}

void fit_log(const struct load *load, struct fit *fit)
{
        *fit = (struct fit){.scale = 1};
        if (load->bytes)
                fit_bytes(load, fit);
        else
                fit_objects(load, fit);
        fit_values(load, fit);
}

bool fit_whole(const struct load *load, struct fit *fit)
{
        struct segment_geometry geometry;

        *fit = (struct fit){.scale = 1};
        if (load->capacity < FIT_LEAST)
                return false;
        fit_geometry(fit, load->capacity, fit_largest(load, 1), &geometry);
        fit_values(load, fit);
        return true;
}
