/* query.c - finds things in the results. */
#include "report.h"

#include <math.h>
#include <string.h>

const char *const query_policies[] = {"mtshim", "fifo", "lru", "clock", "sieve", "s3fifo", "wtinylfu", "belady", NULL};
const char *const query_units[] = {"objects", "bytes", NULL};

const char *query_text(const json_t *object, const char *name)
{
        const char *text = json_string_value(json_object_get(object, name));

        return text == NULL ? "" : text;
}

double query_number(const json_t *object, const char *name)
{
        return json_number_value(json_object_get(object, name));
}

const json_t *query_place(const json_t *root, const char *array, const char *side, const char *popularity, int bytes,
                          int processes, int threads, int writes_percent)
{
        size_t        i;
        const json_t *place;

        json_array_foreach(json_object_get(root, array), i, place)
        {
                if (strcmp(query_text(place, "side"), side) == 0 &&
                    strcmp(query_text(place, "popularity"), popularity) == 0 &&
                    (int)query_number(place, "value_bytes") == bytes &&
                    (int)query_number(place, "processes") == processes &&
                    (int)query_number(place, "threads") == threads &&
                    (int)query_number(place, "writes_percent") == writes_percent)
                        return place;
        }
        return NULL;
}

double query_quantile(const json_t *root, const char *side, double percent)
{
        size_t        i, k;
        const json_t *one, *quantile;

        json_array_foreach(json_object_get(root, "latency"), i, one)
        {
                if (strcmp(query_text(one, "side"), side) != 0)
                        continue;
                json_array_foreach(json_object_get(one, "quantiles"), k,
                                   quantile) if (fabs(query_number(quantile, "percent") - percent) <
                                                 1e-6) return query_number(quantile, "median");
        }
        return -1;
}

static const json_t *ratio_row(const json_t *root, const json_t *like, const char *policy)
{
        size_t        i;
        const json_t *row;

        json_array_foreach(json_object_get(root, "hit_ratio"), i, row)
        {
                if (strcmp(query_text(row, "trace"), query_text(like, "trace")) == 0 &&
                    strcmp(query_text(row, "unit"), query_text(like, "unit")) == 0 &&
                    query_number(row, "size_percent") == query_number(like, "size_percent") &&
                    strcmp(query_text(row, "policy"), policy) == 0)
                        return row;
        }
        return NULL;
}

/* Of the simulated policies that do not know the future. */
static double ratio_best(const json_t *root, const json_t *like)
{
        double best = 0;

        for (const char *const *policy = query_policies; *policy != NULL; policy++) {
                const json_t *row = ratio_row(root, like, *policy);

                if (row != NULL && strcmp(*policy, "belady") != 0 && strcmp(*policy, "mtshim") != 0)
                        best = fmax(best, query_number(row, "hit_ratio"));
        }
        return best;
}

struct query_ratio query_hit_ratio(const json_t *root, const char *unit, double size_percent, const char *policy)
{
        struct query_ratio sum = {.worst = -100};
        size_t             i;
        const json_t      *row;

        json_array_foreach(json_object_get(root, "hit_ratio"), i, row)
        {
                double behind;

                if (strcmp(query_text(row, "policy"), policy) != 0 || strcmp(query_text(row, "unit"), unit) != 0 ||
                    query_number(row, "size_percent") != size_percent)
                        continue;
                behind = 100 * (ratio_best(root, row) - query_number(row, "hit_ratio"));
                sum.mean += 100 * query_number(row, "hit_ratio");
                sum.behind += behind;
                sum.worst = fmax(sum.worst, behind);
                sum.traces++;
        }
        if (sum.traces > 0) {
                sum.mean /= sum.traces;
                sum.behind /= sum.traces;
        }
        return sum;
}
