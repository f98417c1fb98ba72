/* plots.c - columns for gnuplot (plots.gp), parted by tabs: one block a curve, its name first; or one row a side. */
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT_MAX = 8 };

static FILE *plots_open(const char *folder, const char *name)
{
        char  path[512];
        FILE *out;

        snprintf(path, sizeof path, "%s/%s", folder, name);
        out = fopen(path, "we");
        if (out == NULL) {
                fprintf(stderr, "report: %s: %s\n", path, strerror(errno));
                exit(1);
        }
        return out;
}

static void plots_latency(const json_t *root, FILE *out)
{
        size_t        i, k;
        const json_t *side, *quantile;

        json_array_foreach(json_object_get(root, "latency"), i, side)
        {
                fprintf(out, "\"%s\"\n", query_text(side, "label"));
                json_array_foreach(json_object_get(side, "quantiles"), k,
                                   quantile) if (query_number(quantile, "percent") < 100)
                        fprintf(out, "%g\t%g\n", query_number(quantile, "median"), query_number(quantile, "percent"));
                fputs("\n\n", out);
        }
}

static void plots_value_size(const json_t *root, FILE *out)
{
        size_t        i, k;
        const json_t *side, *place;

        json_array_foreach(json_object_get(root, "sides"), i, side)
        {
                fprintf(out, "\"%s\"\n", query_text(side, "label"));
                json_array_foreach(json_object_get(root, "times"), k,
                                   place) if (strcmp(query_text(place, "side"), query_text(side, "name")) == 0 &&
                                              strcmp(query_text(place, "popularity"), "hot") == 0)
                        fprintf(out, "%g\t%g\n", query_number(place, "value_bytes"),
                                1e9 / query_number(place, "median"));
                fputs("\n\n", out);
        }
}

/* A row a side: label, then a rate for each number of processes and of threads that was measured ("-": was not). */
static void plots_scaling(const json_t *root, FILE *out, const char *popularity, int writes_percent)
{
        size_t        i;
        const json_t *side, *place;

        fputs("side\t1 process\t2 processes\t2 threads\n", out);
        json_array_foreach(json_object_get(root, "sides"), i, side)
        {
                static const int shape[][2] = {{1, 1}, {2, 1}, {1, 2}};
                char             row[256] = "", cell[32];
                int              measured = 0;

                for (size_t k = 0; k < sizeof shape / sizeof *shape; k++) {
                        place = query_place(root, "rates", query_text(side, "name"), popularity, 100, shape[k][0],
                                            shape[k][1], writes_percent);
                        snprintf(cell, sizeof cell, place == NULL ? "\t-" : "\t%g", query_number(place, "median"));
                        strncat(row, cell, sizeof row - strlen(row) - 1);
                        measured += place != NULL;
                }
                if (measured > 0)
                        fprintf(out, "\"%s\"%s\n", query_text(side, "label"), row);
        }
}

static void plots_hit_ratio(const json_t *root, FILE *out)
{
        for (const char *const *policy = query_policies; *policy != NULL; policy++) {
                static const double sizes[] = {0.1, 0.5, 1, 2, 5, 10, 20, 40};

                fprintf(out, "\"%s\"\n", *policy);
                for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                        struct query_ratio r = query_hit_ratio(root, "objects", sizes[i], *policy);

                        if (r.traces > 0)
                                fprintf(out, "%g\t%g\n", sizes[i], r.mean);
                }
                fputs("\n\n", out);
        }
}

void plots_write(const json_t *root, const char *folder)
{
        FILE *out = plots_open(folder, "latency.tsv");

        plots_latency(root, out);
        fclose(out);
        out = plots_open(folder, "value-size.tsv");
        plots_value_size(root, out);
        fclose(out);
        out = plots_open(folder, "scaling-hot.tsv");
        plots_scaling(root, out, "hot", 0);
        fclose(out);
        out = plots_open(folder, "scaling-zipf.tsv");
        plots_scaling(root, out, "zipf", 0);
        fclose(out);
        out = plots_open(folder, "scaling-writes.tsv");
        plots_scaling(root, out, "zipf", 5);
        fclose(out);
        if (json_object_get(root, "hit_ratio") != NULL) {
                out = plots_open(folder, "hit-ratio.tsv");
                plots_hit_ratio(root, out);
                fclose(out);
        }
}
