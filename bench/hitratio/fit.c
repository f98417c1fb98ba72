/* fit.c - sizes for the real L1, found by asking its own geometry. */
#include "fit.h"

#include "l1/cache/item.h"
#include "l1/segment/geometry.h"

#define MIB            (UINT64_C(1) << 20)
#define FIT_STEP       (UINT64_C(16) << 10)
#define FIT_MOST       (24 * MIB)    /* by objects, where the value size is ours to choose */
#define FIT_ITEM_LEAST 128u          /* smaller items than the index is made for would be lost to it */
#define FIT_EXACT      200u          /* 1/200 of the capacity more or less is no reason to prefer one size */
#define FIT_LOG_LEAST  (3 * MIB / 2) /* by bytes: a smaller log has too few log segments, and is scaled up */
#define FIT_WHOLE      (4 * MIB)     /* and less than this is no MTSHIM_L1_SIZE to speak of */

static void fit_geometry(struct fit *fit, uint64_t size, struct segment_geometry *geometry)
{
        uint64_t l1_size, logseg_size;

        geometry_choose(size, &l1_size, &logseg_size);
        if (!geometry_compute(l1_size, logseg_size, geometry))
                g_error("no geometry for %lu bytes", (unsigned long)size);
        fit->l1_size = l1_size;
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
                fit->max_item_bytes = MAX(fit->max_item_bytes, fit->value_len[i]);
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

        fit_geometry(&usual, 64 * MIB, &geometry);
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

/* Items so large that a whole number of them fills a log segment, and none is cut into pieces. False: the cache has too
 * few items for that. */
static bool fit_whole_items(const struct load *load, struct fit *fit)
{
        uint64_t best = UINT64_MAX;
        uint32_t usual = fit_usual_logsegs();

        for (uint64_t size = GEOMETRY_L1_MIN; size <= FIT_MOST; size += FIT_STEP) {
                struct segment_geometry geometry;
                struct fit              try = {.scale = 1};
                uint64_t                each, badness; /* each: items of one log segment */

                fit_geometry(&try, size, &geometry);
                each = load->capacity / geometry.logseg_count;
                if (each < ITEM_WHOLE_SHARE || geometry.logseg_size / each < FIT_ITEM_LEAST)
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

/* A cache of very few items has values that are cut into pieces: what the log has, divided by their number. */
static void fit_pieces(const struct load *load, struct fit *fit)
{
        struct segment_geometry geometry;
        uint64_t                pieces;

        fit_geometry(fit, FIT_WHOLE, &geometry);
        fit->items = load->capacity;
        fit->item_bytes = fit->log_bytes / load->capacity;
        pieces = fit->item_bytes / (geometry.logseg_size / ITEM_PIECES) + 1;
        fit->item_bytes -= MIN(pieces * (ITEM_PIECE_EXTRA + sizeof(uint32_t)) + ITEM_LONG_EXTRA, fit->item_bytes / 2);
}

/* --------------------------------------------------------------------------------------------------------- by bytes */

static void fit_bytes(const struct load *load, struct fit *fit)
{
        uint64_t wanted;

        while (load->capacity * fit->scale < FIT_LOG_LEAST)
                fit->scale *= 2;
        wanted = load->capacity * fit->scale;
        for (uint64_t size = wanted; size <= wanted + wanted / 4 + 2 * MIB; size += SEGMENT_PAGE) {
                struct segment_geometry geometry;
                struct fit              try = {.scale = fit->scale};

                if (size < GEOMETRY_L1_MIN)
                        continue;
                fit_geometry(&try, size, &geometry);
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
        else if (!fit_whole_items(load, fit))
                fit_pieces(load, fit);
        fit_values(load, fit);
}

bool fit_whole(const struct load *load, struct fit *fit)
{
        struct segment_geometry geometry;

        *fit = (struct fit){.scale = 1};
        if (load->capacity < FIT_WHOLE)
                return false;
        fit_geometry(fit, load->capacity, &geometry);
        fit_values(load, fit);
        return true;
}
