/* stats.c - figures of the C interface. */
#include "api.h"

#include "../runtime/runtime.h"

#include "../../l1/tier/tier.h"

#include <stdio.h>
#include <stdlib.h>

API_EXPORT enum mtshim_status mtshim_stats(struct mtshim *m, struct mtshim_counts *stats, size_t size)
{
        struct mtshim_counts s = {.hits = 0};
        struct l1_totals     totals;
        struct l1           *l1 = runtime_l1_now();
        enum mtshim_status   status = api_check(m, NULL, 0);

        if (status != MTSHIM_OK)
                return status;
        if (stats == NULL || size == 0 || size > sizeof s)
                return api_say(MTSHIM_INVALID, "statistics of %zu bytes: this library has %zu", size, sizeof s);
        s.computed = mt_load_relaxed(&m->computed);
        s.waited = mt_load_relaxed(&m->waited);
        s.connections = mt_load_relaxed(&m->connections);
        if (l1 != NULL) {
                l1_totals(l1, true, &totals);
                s.hits = totals.count[COUNTER_hits];
                s.negative_hits = totals.count[COUNTER_negative_hits];
                s.misses = totals.count[COUNTER_misses];
                s.fills = totals.count[COUNTER_fills];
                s.fills_refused = totals.count[COUNTER_fills_refused];
                s.invalidations = totals.count[COUNTER_invalidations];
                s.announcements = totals.count[COUNTER_announcements];
                s.messages = totals.count[COUNTER_messages];
                s.message_gaps = totals.count[COUNTER_message_gaps];
                s.items = totals.items;
                s.bytes_used = totals.bytes_used;
                s.bytes_total = totals.bytes_total;
        }
        memcpy(stats, &s, size);
        return l1 != NULL ? MTSHIM_OK : MTSHIM_MISS;
}

/* --------------------------------------------------------------------------------------------------------- tiers */

enum { STATS_ROWS = 2 + TIER_MAX };

static void stats_of_l1(struct mtshim_tier *row)
{
        struct l1       *l1 = runtime_l1_now();
        struct l1_totals totals;

        snprintf(row->name, sizeof row->name, "shm");
        row->level = 1;
        row->down = l1 == NULL;
        if (l1 == NULL)
                return;
        l1_totals(l1, false, &totals);
        row->hits = totals.count[COUNTER_hits];
        row->misses = totals.count[COUNTER_misses];
        row->errors = totals.count[COUNTER_error_corrupt];
        row->sets = totals.count[COUNTER_fills];
        row->removes = totals.count[COUNTER_removes] + totals.count[COUNTER_invalidations];
}

static uint64_t stats_info(struct mt_bytes text, const char *name)
{
        const char *at = memmem(text.ptr, text.len, name, strlen(name));

        return at != NULL ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* The server's own figures: of all its clients, since it started. */
static void stats_of_redis(struct mtshim *m, struct mtshim_tier *row)
{
        const char     *argv[] = {"INFO", "stats"};
        const size_t    argvlen[] = {4, 5};
        struct api_call call;
        void           *reply;

        snprintf(row->name, sizeof row->name, "redis");
        row->level = 2;
        row->down = 1;
        if (api_begin(&call, m) != MTSHIM_OK)
                return;
        reply = api_command(&call, 2, argv, argvlen);
        row->down = reply == NULL;
        if (api_status(&call, reply) == MTSHIM_OK && abi_reply_type(reply) == ABI_REPLY_STRING) {
                row->hits = stats_info(api_string(&call, reply), "\nkeyspace_hits:");
                row->misses = stats_info(api_string(&call, reply), "\nkeyspace_misses:");
                row->errors = stats_info(api_string(&call, reply), "\ntotal_error_replies:");
        }
        api_free(&call, reply);
        api_end(&call);
}

static size_t stats_of_tiers(struct mtshim_tier *row)
{
        struct tier_stats tier[TIER_MAX];
        unsigned          count = tiers_stats(runtime_tiers(), runtime_l1_now(), tier);

        for (unsigned i = 0; i < count; i++) {
                const struct tier_stats *t = &tier[i];

                row[i] = (struct mtshim_tier){.level = t->level,
                                              .down = t->closed || t->tripped,
                                              .hits = t->hits,
                                              .misses = t->misses,
                                              .errors = t->errors,
                                              .timeouts = t->timeouts,
                                              .skipped = t->skipped,
                                              .sets = t->sets,
                                              .removes = t->removes,
                                              .promotions = t->promotions,
                                              .get_ns_mean = t->get_ns_mean,
                                              .get_ns_max = t->get_ns_max};
                _Static_assert(sizeof row->name == sizeof t->name, "names fit");
                memcpy(row[i].name, t->name, sizeof t->name);
        }
        return count;
}

API_EXPORT enum mtshim_status mtshim_tier_stats(struct mtshim *m, struct mtshim_tier *tier, size_t size, size_t *rows)
{
        struct mtshim_tier row[STATS_ROWS];
        enum mtshim_status status = api_check(m, NULL, 0);
        size_t             count = 2;

        if (status != MTSHIM_OK)
                return status;
        if (rows == NULL || (tier == NULL && *rows != 0) || size == 0 || size > sizeof *row)
                return api_say(MTSHIM_INVALID, "rows of %zu bytes: this library has %zu", size, sizeof *row);
        memset(row, 0, sizeof row);
        stats_of_l1(&row[0]);
        stats_of_redis(m, &row[1]);
        count += stats_of_tiers(&row[2]);
        for (size_t i = 0; i < count && i < *rows; i++)
                memcpy((char *)tier + i * size, &row[i], size);
        *rows = count;
        return MTSHIM_OK;
}
