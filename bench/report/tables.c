/* tables.c - the page. */
#include "report.h"

#include <string.h>

static const int tables_sizes[] = {16, 100, 1024, 16384, 262144};

enum { SIZES = sizeof tables_sizes / sizeof *tables_sizes, PROCESSES_MAX = 8 };

/* ------------------------------------------------------------------------------------------------------- words */

static void say_time(FILE *out, double ns)
{
        if (ns < 0)
                fputs(" | ", out);
        else if (ns < 1000)
                fprintf(out, " | %.1f ns", ns);
        else
                fprintf(out, ns < 1e5 ? " | %.2f us" : " | %.0f us", ns / 1e3);
}

/* "22.78 us (22.57–23.12)" */
static void say_place(FILE *out, const json_t *place)
{
        double median, unit;

        if (place == NULL) {
                fputs(" | ", out);
                return;
        }
        median = query_number(place, "median");
        unit = median < 1000 ? 1 : 1e3;
        fprintf(out, median < 1000 || median >= 1e5 ? " | %.1f %s (%.1f–%.1f)" : " | %.2f %s (%.2f–%.2f)",
                median / unit, median < 1000 ? "ns" : "us", query_number(place, "p25") / unit,
                query_number(place, "p75") / unit);
}

/* How a figure is written: in which unit, with how many decimals. */
struct notation {
        double      unit;
        const char *name;
        int         decimals;
};

static struct notation notation_of(double median, const char *unit)
{
        if (strcmp(unit, "ns") == 0 && median >= 10000)
                return (struct notation){1e3, " us", 2};
        if (strcmp(unit, "x") == 0)
                return (struct notation){1, "", median < 10 ? 3 : 1};
        if (unit[0] == '\0')
                return (struct notation){1, "", 0};
        return (struct notation){1,
                                 strcmp(unit, "ns") == 0   ? " ns"
                                 : strcmp(unit, "us") == 0 ? " us"
                                 : strcmp(unit, "%") == 0  ? " %"
                                                           : " B",
                                 median < 1000 ? 1 : 0};
}

static void say_figure(FILE *out, const json_t *figure)
{
        double          median = query_number(figure, "median");
        struct notation n = notation_of(median, query_text(figure, "unit"));

        fprintf(out, "| %.*f%s | ", n.decimals, median / n.unit, n.name);
        if (query_number(figure, "samples") > 1)
                fprintf(out, "%.*f–%.*f", n.decimals, query_number(figure, "p25") / n.unit, n.decimals,
                        query_number(figure, "p75") / n.unit);
}

static void say_rate(FILE *out, const json_t *place)
{
        if (place == NULL)
                fputs(" | ", out);
        else
                fprintf(out, query_number(place, "median") < 1 ? " | %.3f" : " | %.1f", query_number(place, "median"));
}

/* ------------------------------------------------------------------------------------------------------ sections */

static void tables_environment(const json_t *root, FILE *out)
{
        const char *name;
        json_t     *value;

        fputs("## Where\n\n| | |\n|---|---|\n", out);
        json_object_foreach(json_object_get(root, "environment"), name, value)
                fprintf(out, "| %s | %s |\n", name, json_string_value(value));
        fputc('\n', out);
}

static void tables_figures(const json_t *root, FILE *out)
{
        size_t        i;
        const json_t *figure;

        fputs("## Figures\n\nMedian, and what a quarter of the samples was below and above.\n\n"
              "| what | median | p25–p75 | samples | target | | how |\n|---|---|---|---|---|---|---|\n",
              out);
        json_array_foreach(json_object_get(root, "figures"), i, figure)
        {
                fprintf(out, "| %s ", query_text(figure, "name"));
                say_figure(out, figure);
                fprintf(out, " | %.0f | %s | %s | %s |\n", query_number(figure, "samples"),
                        query_text(figure, "target"), query_text(figure, "verdict"), query_text(figure, "how"));
        }
        fputc('\n', out);
}

static void tables_latency(const json_t *root, FILE *out)
{
        size_t        i;
        const json_t *side;
        const json_t *reference = query_place(root, "times", "hiredis-unix", "hot", 100, 1, 1, 0);

        fputs("## A GET of 100 B, hot keys\n\nThe mean is that of batches; the quantiles are of calls timed one by "
              "one.\n\n"
              "| side | mean | p50 | p99 | p99.9 | times as fast as Redis, unix socket |\n|---|---|---|---|---|---|\n",
              out);
        json_array_foreach(json_object_get(root, "sides"), i, side)
        {
                const char   *name = query_text(side, "name");
                const json_t *place = query_place(root, "times", name, "hot", 100, 1, 1, 0);

                fprintf(out, "| %s", query_text(side, "label"));
                say_time(out, place == NULL ? -1 : query_number(place, "median"));
                say_time(out, query_quantile(root, name, 50));
                say_time(out, query_quantile(root, name, 99));
                say_time(out, query_quantile(root, name, 99.9));
                fprintf(out, " | %.1f |\n",
                        place == NULL ? 0 : query_number(reference, "median") / query_number(place, "median"));
        }
        fputs("\n![Latency](plots/latency.svg)\n\n", out);
}

static void tables_value_sizes(const json_t *root, FILE *out)
{
        size_t        i;
        const json_t *side;

        fputs("## Over the size of values\n\nHot keys; time of a GET, with p25–p75.\n\n| side", out);
        for (int k = 0; k < SIZES; k++)
                fprintf(out, " | %d B", tables_sizes[k]);
        fputs(" |\n|---|---|---|---|---|---|\n", out);
        json_array_foreach(json_object_get(root, "sides"), i, side)
        {
                fprintf(out, "| %s", query_text(side, "label"));
                for (int k = 0; k < SIZES; k++)
                        say_place(out, query_place(root, "times", query_text(side, "name"), "hot", tables_sizes[k], 1,
                                                   1, 0));
                fputs(" |\n", out);
        }
        fputs("\n![Throughput over the size of values](plots/value-size.svg)\n\n", out);
}

static double tables_keys(const json_t *root, const char *popularity)
{
        const json_t *place = query_place(root, "times", "mtshim", popularity, 100, 1, 1, 0);

        return place == NULL ? 0 : query_number(place, "keys");
}

static void tables_popularity(const json_t *root, FILE *out)
{
        size_t        i;
        const json_t *side;

        fprintf(out,
                "## Over popularity\n\nValues of 100 B; time of a GET, with p25–p75.\n\n"
                "| side | 16 hot keys | Zipf 0.99 over %.0f | uniform over %.0f |\n|---|---|---|---|\n",
                tables_keys(root, "zipf"), tables_keys(root, "uniform"));
        json_array_foreach(json_object_get(root, "sides"), i, side)
        {
                const char *name = query_text(side, "name");

                fprintf(out, "| %s", query_text(side, "label"));
                say_place(out, query_place(root, "times", name, "hot", 100, 1, 1, 0));
                say_place(out, query_place(root, "times", name, "zipf", 100, 1, 1, 0));
                say_place(out, query_place(root, "times", name, "uniform", 100, 1, 1, 0));
                fputs(" |\n", out);
        }
        fputc('\n', out);
}

static void tables_scaling_rows(const json_t *root, FILE *out, const char *side, const char *label, int p, int t)
{
        const json_t *hot = query_place(root, "rates", side, "hot", 100, p, t, 0);

        if (hot == NULL)
                return;
        fprintf(out, "| %s | %d | %d", label, p, t);
        say_rate(out, hot);
        say_rate(out, query_place(root, "rates", side, "zipf", 100, p, t, 0));
        say_rate(out, query_place(root, "rates", side, "zipf", 100, p, t, 5));
        fputs(" |\n", out);
}

static void tables_scaling(const json_t *root, FILE *out)
{
        size_t        i;
        const json_t *side;

        fputs("## Processes and threads\n\nMillions of operations a second, all together. Servers stay on one core, "
              "which the "
              "programs use too.\n\n"
              "| side | processes | threads | hot, reads | Zipf, reads | Zipf, 5% writes "
              "|\n|---|---|---|---|---|---|\n",
              out);
        json_array_foreach(json_object_get(root, "sides"), i, side)
        {
                for (int p = 1; p <= PROCESSES_MAX; p++)
                        tables_scaling_rows(root, out, query_text(side, "name"), query_text(side, "label"), p, 1);
                for (int t = 2; t <= PROCESSES_MAX; t++)
                        tables_scaling_rows(root, out, query_text(side, "name"), query_text(side, "label"), 1, t);
        }
        fputs("\n![Processes and threads](plots/scaling.svg)\n\n", out);
}

static void tables_memory(const json_t *root, FILE *out)
{
        size_t        i;
        const json_t *row;

        fputs("## Memory\n\nBytes of an item beyond its key (24 B) and value (100 B), by what each side says of "
              "itself.\n\n"
              "| side | bytes | items |\n|---|---|---|\n",
              out);
        json_array_foreach(json_object_get(root, "memory"), i, row)
                fprintf(out, "| %s | %.1f | %.0f |\n", query_text(row, "label"), query_number(row, "bytes_per_item"),
                        query_number(row, "items"));
        fputc('\n', out);
}

static void tables_hit_ratio_of(const json_t *root, FILE *out, const char *unit, double percent)
{
        for (const char *const *policy = query_policies; *policy != NULL; policy++) {
                struct query_ratio r = query_hit_ratio(root, unit, percent, *policy);

                if (r.traces > 0)
                        fprintf(out, "| %.4g%% of %s | %s | %.2f | %.2f | %.2f | %d |\n", percent, unit, *policy,
                                r.mean, r.behind, r.worst, r.traces);
        }
}

static void tables_hit_ratio(const json_t *root, FILE *out)
{
        if (json_object_get(root, "hit_ratio") == NULL)
                return;
        fputs("## Hit ratio\n\nMeans over traces, in percent; behind: points behind the best simulated one that does "
              "not know the future.\n\n"
              "| cache | policy | hit ratio | behind, mean | behind, worst trace | traces "
              "|\n|---|---|---|---|---|---|\n",
              out);
        for (const char *const *unit = query_units; *unit != NULL; unit++) {
                tables_hit_ratio_of(root, out, *unit, 1);
                tables_hit_ratio_of(root, out, *unit, 10);
        }
        fputs("\n![Hit ratio over the size of the cache](plots/hit-ratio.svg)\n\n", out);
}

static void tables_left_out(const json_t *root, FILE *out)
{
        size_t        i;
        const json_t *side, *left_out = json_object_get(root, "left_out");

        fputs("## Left out\n\n", out);
        if (json_array_size(left_out) == 0)
                fputs("Nothing.\n", out);
        json_array_foreach(left_out, i, side)
                fprintf(out, "- %s: %s\n", query_text(side, "label"), query_text(side, "why"));
}

void tables_write(const json_t *root, FILE *out)
{
        fprintf(out,
                "# Beside the others\n\nWritten by `make bench` from what it measured (scale: %s); not by hand. "
                "To have your own:\n\n```\nmake bench-deps && make bench\n```\n\n"
                "`bench/README.md` says how each figure is made; every sample's spread is in "
                "`build/bench/results.json`.\n\n",
                query_text(root, "scale"));
        tables_environment(root, out);
        tables_figures(root, out);
        tables_latency(root, out);
        tables_value_sizes(root, out);
        tables_popularity(root, out);
        tables_scaling(root, out);
        tables_memory(root, out);
        tables_hit_ratio(root, out);
        tables_left_out(root, out);
}
