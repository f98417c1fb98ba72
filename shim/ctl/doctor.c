/* doctor.c - `mtshim doctor`: who is asked about what, and how a row looks. */
#include "doctor.h"

#include "elf_file.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DOCTOR_FAILS_MAX = 100 };

void doctor_row(struct doctor *d, enum doctor_state state, const char *what, const char *advice, const char *detail,
                ...)
{
        static const char *const words[] = {
                [DOCTOR_OK] = "ok", [DOCTOR_WARN] = "warn", [DOCTOR_FAIL] = "FAIL", [DOCTOR_SKIP] = "skip"};
        va_list args;

        printf("%-5s %-14s ", words[state], what);
        va_start(args, detail);
        vprintf(detail, args);
        va_end(args);
        if (advice)
                printf(" -- %s", advice);
        putchar('\n');
        d->fails += state == DOCTOR_FAIL;
}

/* What of a list is not ours, as it would be written. */
static void doctor_others(const char *list, char *others, size_t size)
{
        size_t used = 0;

        others[0] = '\0';
        while (*list && used < size) {
                size_t      len = strcspn(list, " :\n");
                const char *slash = memrchr(list, '/', len);
                const char *base = slash ? slash + 1 : list;

                if (len > 0 && strncmp(base, CTL_LIBRARY, strlen(CTL_LIBRARY)) != 0)
                        used += (size_t)snprintf(others + used, size - used, "%s%.*s", used ? " " : "", (int)len, list);
                list += len;
                list += strspn(list, " :\n");
        }
}

void doctor_preload(struct doctor *d, const char *ld_preload)
{
        char   list[PATH_MAX] = "", others[PATH_MAX];
        FILE  *file = fopen("/etc/ld.so.preload", "re");
        size_t n;

        if (file) {
                n = fread(list, 1, sizeof list - 1, file);
                list[n] = '\0';
                fclose(file);
        }
        doctor_others(list, others, sizeof others);
        if (others[0])
                doctor_row(d, DOCTOR_WARN, "preload", "what it interposes too goes through it and us both",
                           "/etc/ld.so.preload brings %s", ctl_printable(others));
        doctor_others(ld_preload ? ld_preload : "", others, sizeof others);
        if (others[0])
                doctor_row(d, DOCTOR_WARN, "preload", "`mtshim run` keeps it, behind " CTL_LIBRARY,
                           "LD_PRELOAD brings %s", ctl_printable(others));
        else
                doctor_row(d, DOCTOR_OK, "preload", NULL, "LD_PRELOAD brings nothing else");
}

static void doctor_library(struct doctor *d)
{
        struct elf_file elf;

        if (!ctl_library(d->library)) {
                d->library[0] = '\0';
                doctor_row(d, DOCTOR_FAIL, "library", "install it, or keep it beside this command",
                           CTL_LIBRARY " is neither beside this command nor in " MTSHIM_LIBDIR);
                return;
        }
        enum elf_kind kind = elf_open(&elf, d->library);

        if (kind == ELF_NATIVE && elf_defines(&elf, "redisCommand"))
                doctor_row(d, DOCTOR_OK, "library", NULL, "%s", ctl_printable(d->library));
        else
                doctor_row(d, DOCTOR_FAIL, "library", "install it again", "%s is not ours, or of another machine",
                           ctl_printable(d->library));
        elf_close(&elf);
}

/* The listener reads them as the user that the program runs as. */
static void doctor_options_file(struct doctor *d, enum option_id id, const char *path)
{
        char variable[OPTION_VARIABLE_MAX];

        if (path[0] == '\0' || access(path, R_OK) == 0)
                return;
        options_variable(id, variable);
        doctor_row(d, DOCTOR_FAIL, "tls", "let the program's user read it", "%s=%s: %s", variable, ctl_printable(path),
                   strerror(errno));
}

static void doctor_options_tls(struct doctor *d)
{
        doctor_options_file(d, OPTION_tls_ca_file, d->options.tls_ca_file);
        doctor_options_file(d, OPTION_tls_ca_dir, d->options.tls_ca_dir);
        doctor_options_file(d, OPTION_tls_cert_file, d->options.tls_cert_file);
        doctor_options_file(d, OPTION_tls_key_file, d->options.tls_key_file);
}

static void doctor_options(struct doctor *d)
{
        ctl_options(&d->options);
        doctor_options_tls(d);
        if (d->options.complained)
                doctor_row(d, DOCTOR_FAIL, "options",
                           "a line of the log names each: `mtshim config` shows what is used instead",
                           "an option is bad%s",
                           d->options.refused ? ", and MTSHIM_ABORT_CONF=1: nothing is cached" : "");
        else if (!d->options.enable)
                doctor_row(d, DOCTOR_WARN, "options", "unset it", "MTSHIM_ENABLE=0: everything is passed through");
        else
                doctor_row(d, DOCTOR_OK, "options", NULL, "good; `mtshim config` lists them");
}

static bool doctor_is_pid(const char *text, pid_t *pid)
{
        const char *why;
        long long   number = strtonum(text, 1, INT_MAX, &why);

        *pid = (pid_t)number;
        return why == NULL;
}

/* What is asked about, beside this host. */
struct doctor_subject {
        const char *server, *program, *backend;
        bool        quick;
};

static void doctor_ask(struct doctor *d, const struct doctor_subject *subject)
{
        pid_t pid;

        if (subject->backend) {
                doctor_backend(d, subject->backend, subject->quick);
                return;
        }
        doctor_library(d);
        doctor_options(d);
        if (subject->program && doctor_is_pid(subject->program, &pid))
                doctor_process(d, pid);
        else if (subject->program)
                doctor_program(d, subject->program);
        else if (!subject->server)
                doctor_host(d);
        if (subject->server)
                doctor_server(d, subject->server);
}

int doctor_command(int argc, char **argv)
{
        static const struct option long_options[] = {
                {"server", required_argument, NULL, 'S'},  {"segment", required_argument, NULL, 's'},
                {"backend", required_argument, NULL, 'B'}, {"quick", no_argument, NULL, 'q'},
                {"help", no_argument, NULL, 'h'},          {0},
        };
        static struct doctor  d;
        struct doctor_subject subject = {0};
        int                   c;

        while ((c = getopt_long(argc, argv, "s:h", long_options, NULL)) != -1) {
                switch (c) {
                case 'S': subject.server = optarg; break;
                case 's': d.segment = optarg; break;
                case 'B': subject.backend = optarg; break;
                case 'q': subject.quick = true; break;
                case 'h': return ctl_help(argv[0]);
                default: return ctl_usage(argv[0]);
                }
        }
        subject.program = argv[optind];
        if (argc - optind > 1 || (subject.quick && !subject.backend) ||
            (subject.backend && (subject.program || subject.server)))
                return ctl_usage(argv[0]);
        setlinebuf(stdout);       /* a server that does not answer takes its time */
        signal(SIGPIPE, SIG_IGN); /* one that closes is a row */
        doctor_ask(&d, &subject);
        return (int)(d.fails > DOCTOR_FAILS_MAX ? DOCTOR_FAILS_MAX : d.fails);
}
