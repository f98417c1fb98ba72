/* main.c - the hit ratio of the real L1 beside other policies' (make bench-hitratio; bench/README.md says how). */
#include "check.h"
#include "report.h"
#include "traces.h"

#include "l1/base/log.h"

#include <stdlib.h>
#include <string.h>

struct options {
        const char *directory, *tsv, *only, *unit;
        double      percent; /* 0: the usual ones */
        unsigned    segments;
        bool        quick, check, guard, curve;
};

static const double sizes_printed[] = {1, 10};
static const double sizes_plotted[] = {0.5, 2, 5, 20, 40}; /* beside those that are printed */

static void usage(void)
{
        fprintf(stderr, "usage: hitratio [--traces DIRECTORY] [--only TRACE] [--unit objects|bytes] [--size PERCENT]\n"
                        "                [--segments N] [--quick] [--curve] [--tsv FILE] | --check | --guard\n");
        exit(2);
}

static void options_read(struct options *options, int argc, char **argv)
{
        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--quick") == 0)
                        options->quick = true;
                else if (strcmp(argv[i], "--check") == 0)
                        options->check = true;
                else if (strcmp(argv[i], "--guard") == 0)
                        options->guard = true;
                else if (strcmp(argv[i], "--curve") == 0)
                        options->curve = true;
                else if (i + 1 == argc)
                        usage();
                else if (strcmp(argv[i], "--traces") == 0)
                        options->directory = argv[++i];
                else if (strcmp(argv[i], "--only") == 0)
                        options->only = argv[++i];
                else if (strcmp(argv[i], "--unit") == 0)
                        options->unit = argv[++i];
                else if (strcmp(argv[i], "--size") == 0)
                        options->percent = strtod(argv[++i], NULL);
                else if (strcmp(argv[i], "--segments") == 0)
                        options->segments = (unsigned)strtoul(argv[++i], NULL, 10);
                else if (strcmp(argv[i], "--tsv") == 0)
                        options->tsv = argv[++i];
                else
                        usage();
        }
        if (options->segments == 0)
                options->segments = options->quick ? 1 : 3;
}

static int checks(const struct options *options)
{
        struct check_counts counts = {0};

        if (options->check) {
                struct trace *trace = traces_load(0, options->directory, false);

                check_published(trace, &counts);
                check_limit(&counts);
                if (trace != NULL)
                        trace_destroy(&trace);
        }
        if (options->guard)
                check_guard(&counts);
        printf("%u passed, %u failed, %u skipped\n", counts.passed, counts.failed, counts.skipped);
        return counts.failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void rows_of_unit(const struct options *options, struct report *report, const struct trace *trace, bool bytes)
{
        if (options->percent > 0) {
                report_row(report, trace, bytes, options->percent, true);
                return;
        }
        for (unsigned i = 0; i < G_N_ELEMENTS(sizes_printed); i++)
                report_row(report, trace, bytes, sizes_printed[i], true);
        for (unsigned i = 0; options->curve && i < G_N_ELEMENTS(sizes_plotted); i++)
                report_row(report, trace, bytes, sizes_plotted[i], false);
}

static void rows(const struct options *options, struct report *report)
{
        for (unsigned i = 0; i < TRACES_COUNT; i++) {
                struct trace *trace;

                if (options->only != NULL && strcmp(options->only, traces_name(i)) != 0)
                        continue;
                trace = traces_load(i, options->directory, options->quick);
                if (trace == NULL) {
                        printf("%s: no such file in %s, left out\n", traces_name(i), options->directory);
                        continue;
                }
                if (options->unit == NULL || strcmp(options->unit, "objects") == 0)
                        rows_of_unit(options, report, trace, false);
                if (options->unit == NULL || strcmp(options->unit, "bytes") == 0)
                        rows_of_unit(options, report, trace, true);
                trace_destroy(&trace);
        }
}

int main(int argc, char **argv)
{
        struct options options = {.directory = "../shared/traces"};
        struct report  report = {.whole = true};

        options_read(&options, argc, argv);
        log_setup();
        if (options.check || options.guard)
                return checks(&options);
        report.segments = options.segments;
        if (options.tsv != NULL && (report.tsv = fopen(options.tsv, "w")) == NULL) {
                perror(options.tsv);
                return EXIT_FAILURE;
        }
        report_begin(&report);
        rows(&options, &report);
        for (unsigned i = 0; i < G_N_ELEMENTS(sizes_printed); i++)
                report_summary(&report, sizes_printed[i]);
        report_end(&report);
        if (report.tsv != NULL && fclose(report.tsv) != 0)
                return EXIT_FAILURE;
        return EXIT_SUCCESS;
}
