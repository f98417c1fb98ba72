/* results.c - one JSON object that grows, and its lines on standard output. */
#include "results.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 6 };

static json_t *results_root;

static json_t *results_array(const char *name)
{
        json_t *array = json_object_get(results_root, name);

        if (array == NULL) {
                array = json_array();
                json_object_set_new(results_root, name, array);
        }
        return array;
}

/* Four digits that mean something are enough for a reader, and make a small file. */
static json_t *results_number(double value)
{
        char text[32];

        snprintf(text, sizeof text, "%.5g", value);
        return json_real(strtod(text, NULL));
}

static void results_spread(json_t *to, struct spread s)
{
        json_object_set_new(to, "median", results_number(s.median));
        json_object_set_new(to, "p25", results_number(s.p25));
        json_object_set_new(to, "p75", results_number(s.p75));
        json_object_set_new(to, "min", results_number(s.min));
        json_object_set_new(to, "max", results_number(s.max));
        json_object_set_new(to, "samples", json_integer((json_int_t)s.samples));
}

/* Cuts a line at its tabs; how many fields there are. Empty ones count. */
static size_t results_cut(char *line, char *field[COLUMNS_MAX + 1])
{
        size_t n = 0;

        line[strcspn(line, "\n")] = '\0';
        for (char *at = line; at != NULL && n <= COLUMNS_MAX;)
                field[n++] = strsep(&at, "\t");
        return n;
}

/* ------------------------------------------------------------------------------------------------------ begin */

void results_begin(const struct bench *b)
{
        results_root = json_object();
        json_object_set_new(results_root, "scale", json_string(b->scale->name));
        for (size_t i = 0; i < b->sides; i++) {
                const struct side *s = &b->side[i];

                if (s->aux)
                        continue;
                json_array_append_new(results_array(s->left_out[0] == '\0' ? "sides" : "left_out"),
                                      json_pack("{s:s, s:s, s:s*}", "name", s->name, "label", s->label, "why",
                                                s->left_out[0] == '\0' ? NULL : s->left_out));
                if (s->left_out[0] != '\0')
                        printf("left out: %s: %s\n", s->label, s->left_out);
        }
        results_array("left_out");
}

void results_environment(const char *path)
{
        FILE   *file = fopen(path, "re");
        json_t *environment = json_object();
        char    line[1024], *field[COLUMNS_MAX + 1];

        if (file == NULL)
                driver_fail("no environment: %s", path);
        while (fgets(line, sizeof line, file) != NULL)
                if (results_cut(line, field) == 2)
                        json_object_set_new(environment, field[0], json_string(field[1]));
        fclose(file);
        json_object_set_new(results_root, "environment", environment);
}

/* ---------------------------------------------------------------------------------------------------- figures */

static bool results_met(double value, const char *target)
{
        double bound = strtod(target + 2, NULL);

        return strncmp(target, "<=", 2) == 0 ? value <= bound : value >= bound;
}

static void results_say(const char *name, struct spread s, const char *unit, const char *target, const char *verdict)
{
        int decimals = strcmp(unit, "x") == 0 || strcmp(unit, "M/s") == 0 ? 3 : s.median >= 1000 ? 0 : 1;

        printf("%-62s %10.*f %-4s %10.*f ..%10.*f   %-9s %s\n", name, decimals, s.median, unit, decimals, s.p25,
               decimals, s.p75, target, verdict);
        fflush(stdout);
}

void results_figure(const char *name, struct spread s, const char *unit, const char *target, const char *how)
{
        json_t     *figure = json_object();
        const char *verdict = target[0] == '\0' ? "" : results_met(s.median, target) ? "met" : "missed";

        json_object_set_new(figure, "name", json_string(name));
        json_object_set_new(figure, "unit", json_string(unit));
        json_object_set_new(figure, "target", json_string(target));
        json_object_set_new(figure, "verdict", json_string(verdict));
        json_object_set_new(figure, "how", json_string(how));
        results_spread(figure, s);
        json_array_append_new(results_array("figures"), figure);
        results_say(name, s, unit, target, verdict);
}

void results_import(const char *path)
{
        FILE *file = fopen(path, "re");
        char  line[1024], *field[COLUMNS_MAX + 1];

        if (file == NULL)
                return;
        while (fgets(line, sizeof line, file) != NULL)
                if (results_cut(line, field) == 5)
                        results_figure(field[0], stats_once(strtod(field[1], NULL)), field[2], field[3], field[4]);
        fclose(file);
}

/* ----------------------------------------------------------------------------------------------------- matrix */

static void results_place(const struct place *p, struct spread s, const char *array, const char *unit)
{
        json_t *cell = json_object();
        char    name[128];

        json_object_set_new(cell, "side", json_string(p->side->name));
        json_object_set_new(cell, "label", json_string(p->side->label));
        json_object_set_new(cell, "popularity", json_string(p->popularity));
        json_object_set_new(cell, "keys", json_integer((json_int_t)p->keys));
        json_object_set_new(cell, "value_bytes", json_integer((json_int_t)p->bytes));
        json_object_set_new(cell, "threads", json_integer(p->threads));
        json_object_set_new(cell, "processes", json_integer(p->processes));
        json_object_set_new(cell, "writes_percent", json_integer(p->writes_percent));
        json_object_set_new(cell, "unit", json_string(unit));
        results_spread(cell, s);
        json_array_append_new(results_array(array), cell);
        snprintf(name, sizeof name, "%s: %s, %zu keys of %zu B, %dp %dt %d%%w", p->side->label, p->popularity, p->keys,
                 p->bytes, p->processes, p->threads, p->writes_percent);
        results_say(name, s, unit, "", "");
}

void results_time(const struct place *p, struct spread ns)
{
        results_place(p, ns, "times", "ns");
}

void results_rate(const struct place *p, struct spread millions)
{
        results_place(p, millions, "rates", "M/s");
}

void results_latency(const struct side *s, const struct spread ns[QUANTILES])
{
        json_t *at = json_array();
        char    name[128];

        for (size_t q = 0; q < QUANTILES; q++) {
                json_t *one = json_object();

                json_object_set_new(one, "percent", json_real(quantiles[q]));
                results_spread(one, ns[q]);
                json_array_append_new(at, one);
        }
        json_array_append_new(results_array("latency"),
                              json_pack("{s:s, s:s, s:o}", "side", s->name, "label", s->label, "quantiles", at));
        snprintf(name, sizeof name, "%s: hot, each call by itself, p99", s->label);
        results_say(name, ns[QUANTILE_99], "ns", "", "");
}

void results_memory(const char *label, double bytes_per_item, double items)
{
        json_t *memory = json_object();

        json_object_set_new(memory, "label", json_string(label));
        json_object_set_new(memory, "bytes_per_item", results_number(bytes_per_item));
        json_object_set_new(memory, "items", json_integer((json_int_t)items));
        json_array_append_new(results_array("memory"), memory);
        printf("%-62s %10.1f B     of %.0f items\n", label, bytes_per_item, items);
}

/* What `make bench-hitratio` has written: trace, unit, size_percent, policy, requests, hit_ratio, after a line of
 * names. */
void results_hit_ratios(const char *path)
{
        FILE *file = fopen(path, "re");
        char  line[1024], *field[COLUMNS_MAX + 1];

        if (file == NULL) {
                json_array_append_new(results_array("left_out"),
                                      json_pack("{s:s, s:s, s:s}", "name", "hit-ratio", "label", "hit ratios", "why",
                                                "make bench-hitratio has not been run"));
                printf("left out: hit ratios: make bench-hitratio has not been run\n");
                return;
        }
        if (fgets(line, sizeof line, file) == NULL)
                line[0] = '\0';
        while (fgets(line, sizeof line, file) != NULL) {
                json_t *one;

                if (results_cut(line, field) < 6)
                        continue;
                one = json_object();
                json_object_set_new(one, "trace", json_string(field[0]));
                json_object_set_new(one, "unit", json_string(field[1]));
                json_object_set_new(one, "size_percent", results_number(strtod(field[2], NULL)));
                json_object_set_new(one, "policy", json_string(field[3]));
                json_object_set_new(one, "requests", json_integer(strtoll(field[4], NULL, 10)));
                json_object_set_new(one, "hit_ratio", results_number(strtod(field[5], NULL)));
                json_array_append_new(results_array("hit_ratio"), one);
        }
        fclose(file);
}

void results_write(const char *path)
{
        if (json_dump_file(results_root, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) != 0)
                driver_fail("cannot write %s", path);
        json_decref(results_root);
        results_root = NULL;
}
