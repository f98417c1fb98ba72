/* stat.c - `mtshim stat`: the rows of counters.def and the servers, for people and for programs.
 * Names are those of the rows: a counter stands by itself, bypass_x becomes x of "bypassed", error_x x of "errors". */
#include "ctl.h"
#include "json.h"

#include "../../l1/tier/tier.h"

#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

struct stat_view {
        struct options   options;
        const char      *segment; /* -s, or NULL */
        struct l1       *l1;
        struct l1_totals totals;
};

/* The name under which a counter is told, without the prefix of its kind. */
static const char *stat_name(const struct l1_counter_row *row)
{
        size_t len = strlen(row->kind);

        return strncmp(row->name, row->kind, len) == 0 && row->name[len] == '_' ? row->name + len + 1 : row->name;
}

/* ------------------------------------------------------------------------------------------------------ JSON */

static void stat_json_counters(struct json *j, const struct stat_view *v, const char *kind)
{
        for (int i = 0; i < COUNTER_COUNT; i++)
                if (strcmp(l1_counter_rows[i].kind, kind) == 0)
                        json_number(j, stat_name(&l1_counter_rows[i]), v->totals.count[i]);
}

static void stat_json_server(struct json *j, const struct ctl_server *s)
{
        json_object_begin(j, NULL);
        json_string(j, "address", s->address);
        json_string(j, "state", s->state);
        json_string(j, "learns_by", s->learns_by);
        json_number(j, "listener_pid", s->listener_pid);
        json_string(j, "listener", s->listener);
        json_number(j, "lease_ms_left", s->lease_ms_left);
        json_number(j, "bound_ms", s->bound_ms);
        json_number(j, "epoch", s->epoch);
        json_number(j, "incarnation", s->incarnation);
        json_number(j, "term", s->term);
        json_number(j, "invalidations", s->invalidations);
        json_number(j, "flushes", s->flushes);
        json_number(j, "reconnects", s->reconnects);
        json_object_end(j);
}

static void stat_json_tiers(struct json *j, const struct stat_view *v)
{
        struct tier_stats row[TIER_MAX];
        unsigned          n = tiers_stats(NULL, v->l1, row);

        json_array_begin(j, "tiers");
        for (unsigned i = 0; i < n; i++) {
                json_object_begin(j, NULL);
                json_number(j, "level", row[i].level);
                json_string(j, "store", row[i].name);
                json_bool(j, "closed", row[i].closed);
                json_number(j, "hits", row[i].hits);
                json_number(j, "misses", row[i].misses);
                json_number(j, "errors", row[i].errors);
                json_number(j, "timeouts", row[i].timeouts);
                json_number(j, "skipped", row[i].skipped);
                json_number(j, "sets", row[i].sets);
                json_number(j, "removes", row[i].removes);
                json_number(j, "promotions", row[i].promotions);
                json_number(j, "get_ns_mean", row[i].get_ns_mean);
                json_number(j, "get_ns_max", row[i].get_ns_max);
                json_object_end(j);
        }
        json_array_end(j);
}

static bool stat_json(const struct stat_view *v)
{
        const struct l1_totals *t = &v->totals;
        struct ctl_server       server;
        struct json             j;

        json_init(&j, stdout);
        json_object_begin(&j, NULL);
        json_string(&j, "segment", l1_path(v->l1));
        json_number(&j, "abi", SEGMENT_ABI);
        json_array_begin(&j, "servers");
        for (uint32_t i = 0; i < SERVER_MAX; i++)
                if (ctl_server_read(v->l1, i, &v->options, &server))
                        stat_json_server(&j, &server);
        json_array_end(&j);
        stat_json_tiers(&j, v);
        json_object_begin(&j, "bypassed");
        stat_json_counters(&j, v, "bypass");
        json_object_end(&j);
        json_object_begin(&j, "errors");
        stat_json_counters(&j, v, "error");
        json_object_end(&j);
        stat_json_counters(&j, v, "counter");
        json_number(&j, "items", t->items);
        json_number(&j, "pending", t->pending);
        json_number(&j, "live_bytes", t->live_bytes);
        json_number(&j, "key_value_bytes", t->key_value_bytes);
        json_number(&j, "bytes_used", t->bytes_used);
        json_number(&j, "bytes_taken", t->bytes_taken);
        json_number(&j, "bytes_total", t->bytes_total);
        json_number(&j, "log_segments", t->logsegs);
        json_number(&j, "log_segments_free", t->logsegs_free);
        json_number(&j, "processes", t->processes);
        json_object_end(&j);
        return json_end(&j);
}

static bool stat_json_none(const struct stat_view *v)
{
        struct json j;

        json_init(&j, stdout);
        json_object_begin(&j, NULL);
        json_string(&j, "error", ctl_no_segment(&v->options, v->segment));
        json_object_end(&j);
        return json_end(&j);
}

/* ------------------------------------------------------------------------------------------------------ text */

/* Zeros are left out of the reasons and errors: what is there is what happened. */
static void stat_text_counters(const struct stat_view *v, const char *kind, const char *title, bool zeros)
{
        bool titled = false;

        for (int i = 0; i < COUNTER_COUNT; i++) {
                const struct l1_counter_row *row = &l1_counter_rows[i];

                if (strcmp(row->kind, kind) != 0 || (v->totals.count[i] == 0 && !zeros))
                        continue;
                if (!titled)
                        printf("\n%s\n", title);
                titled = true;
                printf("  %-16s %14llu  %s\n", stat_name(row), (unsigned long long)v->totals.count[i], row->help);
        }
}

static void stat_text_servers(const struct stat_view *v)
{
        struct ctl_server s;
        bool              titled = false;

        for (uint32_t i = 0; i < SERVER_MAX; i++) {
                if (!ctl_server_read(v->l1, i, &v->options, &s))
                        continue;
                if (!titled)
                        printf("\nservers\n");
                titled = true;
                printf("  %-28s %-11s lease %llu ms of %llu, listener ", ctl_printable(s.address), s.state,
                       (unsigned long long)s.lease_ms_left, (unsigned long long)s.bound_ms);
                if (s.listener_pid)
                        printf("%llu%s", (unsigned long long)s.listener_pid,
                               strcmp(s.listener, "agent") == 0 ? " (agent)" : "");
                else
                        fputs("none", stdout);
                if (strcmp(s.learns_by, "tracking") != 0)
                        printf(", by %s", s.learns_by);
                printf(", epoch %llu, %llu invalidations, %llu flushes, %llu reconnects\n", (unsigned long long)s.epoch,
                       (unsigned long long)s.invalidations, (unsigned long long)s.flushes,
                       (unsigned long long)s.reconnects);
        }
}

static void stat_text_tiers(const struct stat_view *v)
{
        struct tier_stats row[TIER_MAX];
        unsigned          n = tiers_stats(NULL, v->l1, row);

        if (n > 0)
                printf("\ntiers below Redis\n");
        for (unsigned i = 0; i < n; i++)
                printf("  L%u %-12s %llu hits, %llu misses, %llu errors, %llu timeouts, %llu skipped, %llu sets, "
                       "%llu removes, %llu promotions, a look-up %.1f us, at most %.1f%s\n",
                       row[i].level, ctl_printable(row[i].name), (unsigned long long)row[i].hits,
                       (unsigned long long)row[i].misses, (unsigned long long)row[i].errors,
                       (unsigned long long)row[i].timeouts, (unsigned long long)row[i].skipped,
                       (unsigned long long)row[i].sets, (unsigned long long)row[i].removes,
                       (unsigned long long)row[i].promotions, (double)row[i].get_ns_mean / NS_PER_US,
                       (double)row[i].get_ns_max / NS_PER_US, row[i].closed ? "; closed, a removal is owed" : "");
}

static double stat_percent(uint64_t part, uint64_t whole)
{
        return whole > 0 ? 100.0 * (double)part / (double)whole : 0.0;
}

/* How much of the memory holds something that a GET could be answered with: the rest is what was replaced, removed or
 * has expired and was not reclaimed yet, room to grow into, and the index. */
static void stat_text_memory(const struct l1_totals *t)
{
        printf("memory     %s of %s used, %s taken\n", ctl_size(t->bytes_used), ctl_size(t->bytes_total),
               ctl_size(t->bytes_taken));
        printf("items      %llu, %llu being filled\n", (unsigned long long)t->items, (unsigned long long)t->pending);
        printf("live       %s in items: %.1f%% of what is used, %.1f%% of what is taken, %.1f%% of the ceiling\n",
               ctl_size(t->live_bytes), stat_percent(t->live_bytes, t->bytes_used),
               stat_percent(t->live_bytes, t->bytes_taken), stat_percent(t->live_bytes, t->bytes_total));
}

static void stat_text(const struct stat_view *v)
{
        const struct l1_totals *t = &v->totals;
        uint64_t                asked = t->count[COUNTER_hits] + t->count[COUNTER_misses];

        printf("segment    %s\n", ctl_printable(l1_path(v->l1)));
        printf("processes  %u attached\n", t->processes);
        stat_text_memory(t);
        if (asked > 0)
                printf("hit ratio  %.2f%%\n", 100.0 * (double)t->count[COUNTER_hits] / (double)asked);
        stat_text_counters(v, "counter", "counters", true);
        stat_text_counters(v, "bypass", "bypassed: GETs that went to Redis unasked", false);
        stat_text_counters(v, "error", "errors", false);
        stat_text_servers(v);
        stat_text_tiers(v);
}

int stat_command(int argc, char **argv)
{
        static const struct option long_options[] = {
                {"json", no_argument, NULL, 'j'},
                {"segment", required_argument, NULL, 's'},
                {"help", no_argument, NULL, 'h'},
                {0},
        };
        static struct stat_view v;
        bool                    json = false;
        int                     c;

        while ((c = getopt_long(argc, argv, "js:h", long_options, NULL)) != -1) {
                switch (c) {
                case 'j': json = true; break;
                case 's': v.segment = optarg; break;
                case 'h': return ctl_help(argv[0]);
                default: return ctl_usage(argv[0]);
                }
        }
        if (optind < argc)
                return ctl_usage(argv[0]);
        ctl_options(&v.options);
        v.l1 = ctl_open(&v.options, v.segment, false);
        if (!v.l1) {
                warnx("%s", ctl_no_segment(&v.options, v.segment));
                if (json)
                        stat_json_none(&v);
                return CTL_FAILED;
        }
        l1_totals(v.l1, true, &v.totals);
        if (json)
                return stat_json(&v) ? CTL_OK : CTL_FAILED;
        stat_text(&v);
        return CTL_OK;
}
