/* report.c - runs all policies of a row, prints it and remembers how far the real L1 was behind. */
#include "report.h"

#include "replay.h"

#define POLICIES       7u
#define TARGET_PERCENT 10.0
#define TARGET_MEAN    -0.75
#define TARGET_WORST   -2.0

static const struct policy_ops *const policies[POLICIES] = {
        &policy_fifo, &policy_lru, &policy_clock, &policy_sieve, &policy_s3fifo, &policy_wtinylfu, &policy_belady,
};
enum { ROW_S3FIFO = 4, ROW_ONLINE = 6 }; /* Belady, the last one, knows the future */

struct row {
        const struct trace *trace;
        const char         *trace_name;
        bool                bytes;
        double              percent;
        struct ratio        policy[POLICIES];
        double              real, real_bytes, whole; /* whole < 0: there is none */
        double              to_best, to_s3fifo;      /* points; below 0: behind */
        uint64_t            refused;
        struct fit          fit;
        uint64_t            capacity;
};

void report_begin(struct report *report)
{
        report->rows = g_array_new(FALSE, FALSE, sizeof(struct row));
        if (report->tsv != NULL)
                fprintf(report->tsv, "trace\tunit\tsize_percent\tpolicy\trequests\thit_ratio\n");
}

void report_end(struct report *report)
{
        g_array_free(report->rows, TRUE);
}

/* --------------------------------------------------------------------------------------------------------- one row */

/* The mean of several segments: the hash that places items in the index is keyed anew in each. */
static void row_real(struct row *row, const struct load *load, unsigned segments)
{
        fit_log(load, &row->fit);
        for (unsigned i = 0; i < segments; i++) {
                struct replay replay = replay_run(load, &row->fit);

                row->real += ratio_of(&replay.ratio) / segments;
                row->real_bytes += ratio_of_bytes(&replay.ratio) / segments;
                row->refused += replay.refused;
        }
        fit_end(&row->fit);
}

static void row_whole(struct row *row, const struct load *load)
{
        struct fit    fit;
        struct replay replay;

        if (!fit_whole(load, &fit))
                return;
        replay = replay_run(load, &fit);
        row->whole = ratio_of(&replay.ratio);
        fit_end(&fit);
}

static void row_compare(struct row *row)
{
        double best = 0;

        for (unsigned i = 0; i < ROW_ONLINE; i++)
                best = MAX(best, ratio_of(&row->policy[i]));
        row->to_best = 100 * (row->real - best);
        row->to_s3fifo = 100 * (row->real - ratio_of(&row->policy[ROW_S3FIFO]));
}

static void row_save(const struct row *row, FILE *tsv)
{
        const char *unit = row->bytes ? "bytes" : "objects";

        for (unsigned i = 0; i < POLICIES; i++)
                fprintf(tsv, "%s\t%s\t%g\t%s\t%lu\t%.6f\n", row->trace_name, unit, row->percent, policies[i]->name,
                        (unsigned long)row->trace->gets, ratio_of(&row->policy[i]));
        fprintf(tsv, "%s\t%s\t%g\tmtshim\t%lu\t%.6f\n", row->trace_name, unit, row->percent,
                (unsigned long)row->trace->gets, row->real);
}

/* -------------------------------------------------------------------------------------------------------- the table */

static void row_print_head(const struct trace *trace)
{
        printf("%s: %u requests, %lu of them reads, %u objects of %lu bytes together\n", trace->name, trace->requests,
               (unsigned long)trace->gets, trace->objects, (unsigned long)trace->bytes);
        printf("  %-12s", "");
        for (unsigned i = 0; i < POLICIES; i++)
                printf(" %8s", policies[i]->name);
        printf(" %8s %8s %8s\n", "mtshim", "to best", "to s3f.");
}

static void row_print(const struct row *row)
{
        printf("  %4g%% %-7s", row->percent, row->bytes ? "bytes" : "objects");
        for (unsigned i = 0; i < POLICIES; i++)
                printf(" %8.4f", ratio_of(&row->policy[i]));
        printf(" %8.4f %+8.2f %+8.2f", row->real, row->to_best, row->to_s3fifo);
        printf("  L1_SIZE %lu, log %lu in %u", (unsigned long)row->fit.l1_size, (unsigned long)row->fit.log_bytes,
               row->fit.logsegs);
        if (!row->bytes)
                printf(", room for %lu of %lu items of %lu", (unsigned long)row->fit.items,
                       (unsigned long)row->capacity, (unsigned long)row->fit.item_bytes);
        if (row->fit.scale > 1)
                printf(", sizes x%lu", (unsigned long)row->fit.scale);
        if (row->refused > 0)
                printf(", %lu not filled", (unsigned long)row->refused);
        printf("\n");
        if (!row->bytes)
                return;
        printf("        of bytes");
        for (unsigned i = 0; i < POLICIES; i++)
                printf(" %7.4f ", ratio_of_bytes(&row->policy[i]));
        printf(" %7.4f ", row->real_bytes);
        if (row->whole >= 0)
                printf(" with tables and index inside the size: %.4f", row->whole);
        printf("\n");
}

void report_row(struct report *report, const struct trace *trace, bool bytes, double percent, bool print)
{
        uint64_t    all = bytes ? trace->bytes : trace->objects;
        struct load load = {trace, bytes, MAX((uint64_t)((double)all * percent / 100), 1)};
        struct row  row = {.trace = trace,
                           .trace_name = trace->name,
                           .bytes = bytes,
                           .percent = percent,
                           .capacity = load.capacity,
                           .whole = -1};
        guint       rows = report->rows->len;

        for (unsigned i = 0; i < POLICIES; i++)
                row.policy[i] = simulate(policies[i], &load);
        row_real(&row, &load, print ? report->segments : 1);
        if (report->whole && bytes && print)
                row_whole(&row, &load);
        row_compare(&row);
        if (report->tsv != NULL)
                row_save(&row, report->tsv);
        if (!print)
                return;
        if (rows == 0 || g_array_index(report->rows, struct row, rows - 1).trace_name != trace->name)
                row_print_head(trace);
        row_print(&row);
        fflush(stdout);
        g_array_append_val(report->rows, row);
}

void report_summary(const struct report *report, double percent)
{
        double   sum = 0, sum_s3fifo = 0, worst = 100;
        unsigned n = 0;
        guint    at = 0;

        for (guint i = 0; i < report->rows->len; i++) {
                const struct row *row = &g_array_index(report->rows, struct row, i);

                if (row->percent < percent || row->percent > percent)
                        continue;
                n++;
                sum += row->to_best;
                sum_s3fifo += row->to_s3fifo;
                if (row->to_best < worst) {
                        worst = row->to_best;
                        at = i;
                }
        }
        if (n == 0)
                return;
        printf("At %g%%, mean of %u rows: %+.2f points to the best online policy, %+.2f to S3-FIFO; worst %+.2f (%s, "
               "%s)\n",
               percent, n, sum / n, sum_s3fifo / n, worst, g_array_index(report->rows, struct row, at).trace_name,
               g_array_index(report->rows, struct row, at).bytes ? "bytes" : "objects");
        if (percent >= TARGET_PERCENT && percent <= TARGET_PERCENT)
                printf("Target at %g%%: mean %+.2f or better: %s; none below %+.2f: %s\n", percent, TARGET_MEAN,
                       sum / n >= TARGET_MEAN ? "met" : "MISSED", TARGET_WORST,
                       worst >= TARGET_WORST ? "met" : "MISSED");
}
