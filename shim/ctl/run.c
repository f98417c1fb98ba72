/* run.c - `mtshim run`: puts the library in front of a program and gives way to it.
 * Nothing may keep the program from running: whatever is wrong with the shim costs one line. */
#include "ctl.h"
#include "program.h"

#include <bsd/err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RUN_CANNOT_EXECUTE = 126, RUN_NOT_FOUND = 127 }; /* as the shell has them */

/* "l1-size=1G" -> MTSHIM_L1_SIZE=1G. False: not of this form. Whether the value is good is for the library to say,
 * since it knows what it uses instead. */
static bool run_set_option(const char *text)
{
        const char *equals = strchr(text, '=');
        char        variable[OPTION_VARIABLE_MAX];

        if (!equals || equals == text)
                return false;
        int id = options_find(mt_bytes(text, (size_t)(equals - text)));

        if (id < 0) {
                warnx("-o %s: no such option, ignored; `mtshim config` lists them", ctl_printable(text));
                return true;
        }
        options_variable((enum option_id)id, variable);
        if (setenv(variable, equals + 1, 1) != 0)
                err(CTL_FAILED, "%s", variable);
        return true;
}

static bool run_same_file(const char *a, size_t len, const char *b)
{
        char        path[PATH_MAX];
        struct stat sa, sb;

        if (len >= sizeof path)
                return false;
        memcpy(path, a, len);
        path[len] = '\0';
        return strcmp(path, b) == 0 ||
               (stat(path, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino);
}

/* Ours in front of what is preloaded already, and nowhere else. The list is separated by spaces and colons. */
static void run_preload(const char *library)
{
        const char *before = getenv("LD_PRELOAD");
        size_t      room = strlen(library) + (before ? strlen(before) : 0) + 2, used;
        char       *list = malloc(room);

        if (!list)
                err(CTL_FAILED, NULL);
        used = (size_t)snprintf(list, room, "%s", library);
        for (const char *p = before ? before : ""; *p;) {
                size_t len = strcspn(p, " :");

                if (len > 0 && !run_same_file(p, len, library))
                        used += (size_t)snprintf(list + used, room - used, ":%.*s", (int)len, p);
                p += len;
                p += strspn(p, " :");
        }
        if (setenv("LD_PRELOAD", list, 1) != 0)
                err(CTL_FAILED, "LD_PRELOAD");
        free(list);
}

static void run_prepare(const char *name)
{
        char library[PATH_MAX], path[PATH_MAX], why[128];

        if (!ctl_library(library)) {
                warnx(CTL_LIBRARY " is neither beside this command nor in " MTSHIM_LIBDIR ": running without it");
                return;
        }
        if (strpbrk(library, " :")) {
                warnx("%s: LD_PRELOAD takes no path with a space or colon: running without it", ctl_printable(library));
                return;
        }
        run_preload(library);
        if (program_find(name, path) == 0) {
                program_follow(path);
                if (program_privileged(path, true, why, sizeof why))
                        warnx("%s has privileges of its own (%s): the loader ignores LD_PRELOAD, it runs without the "
                              "shim",
                              ctl_printable(path), why);
        }
}

int run_command(int argc, char **argv)
{
        static const struct option long_options[] = {
                {"option", required_argument, NULL, 'o'},
                {"help", no_argument, NULL, 'h'},
                {0},
        };
        int c;

        while ((c = getopt_long(argc, argv, "+o:h", long_options, NULL)) != -1) {
                if (c == 'h')
                        return ctl_help(argv[0]);
                if (c != 'o')
                        return ctl_usage(argv[0]);
                if (!run_set_option(optarg)) {
                        warnx("-o %s: not of the form name=value", ctl_printable(optarg));
                        return ctl_usage(argv[0]);
                }
        }
        if (optind >= argc)
                return ctl_usage(argv[0]);
        run_prepare(argv[optind]);
        execvp(argv[optind], argv + optind);

        int error = errno;

        warnc(error, "%s", ctl_printable(argv[optind]));
        return error == ENOENT || error == ENOTDIR ? RUN_NOT_FOUND : RUN_CANNOT_EXECUTE;
}
