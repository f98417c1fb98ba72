/* config.c - `mtshim config`: the table of options as a program started here would see it. */
#include "ctl.h"

#include <getopt.h>
#include <stdio.h>

static const char *const config_origins[] = {
        [ORIGIN_DEFAULT] = "default",
        [ORIGIN_FILE] = "file",
        [ORIGIN_ENVIRONMENT] = "environment",
        [ORIGIN_PROGRAM] = "program",
};

static void config_print(const struct options *options, enum option_id id, bool verbose)
{
        static char value[RULES_TEXT_MAX * 2 + PATH_MAX];
        char        variable[OPTION_VARIABLE_MAX];

        options_variable(id, variable);
        options_format(options, id, value, sizeof value);
        printf("%-22s %-12s %s\n", variable, config_origins[options->origin[id]], ctl_printable(value));
        if (verbose)
                printf("        %s (%s)\n", option_rows[id].sentence, option_rows[id].limits);
}

int config_command(int argc, char **argv)
{
        static const struct option long_options[] = {
                {"verbose", no_argument, NULL, 'v'},
                {"help", no_argument, NULL, 'h'},
                {0},
        };
        static struct options options;
        bool                  verbose = false;
        int                   c;

        while ((c = getopt_long(argc, argv, "vh", long_options, NULL)) != -1) {
                if (c == 'h')
                        return ctl_help(argv[0]);
                if (c != 'v')
                        return ctl_usage(argv[0]);
                verbose = true;
        }
        if (optind < argc)
                return ctl_usage(argv[0]);
        ctl_options(&options);
        for (int id = 0; id < OPTION_COUNT; id++)
                config_print(&options, (enum option_id)id, verbose);
        return options.complained ? CTL_FAILED : CTL_OK;
}
