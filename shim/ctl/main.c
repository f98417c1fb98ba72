/* main.c - the mtshim command: a table of sub-commands and the way to them. */
#include "ctl.h"

#include <hiredis/hiredis.h>
#include <mimalloc.h>

#include <err.h>
#include <stdio.h>
#include <string.h>

static const struct ctl_command ctl_commands[] = {
        {"run", run_command, "[-o name=value]... [--] program [argument]...",
         "run a program with the shim in front of it",
         "  -o name=value   set an option for the program: l1_size=256M is MTSHIM_L1_SIZE=256M\n"
         "\n"
         "The program takes mtshim's place: pid, signals and exit status are its own. 127: not found, 126: cannot be\n"
         "executed. Without " CTL_LIBRARY " it runs as it would alone, after one line that says so.\n"},
        {"stat", stat_command, "[-j] [-s segment]", "what the shared cache holds and has done",
         "  -j, --json          as JSON\n"
         "  -s, --segment NAME  of this segment instead of MTSHIM_SEGMENT\n"
         "\n"
         "Reads the segment alone: asks no server and no process. Exit status 1: there is no segment.\n"},
        {"flush", flush_command, "[-s segment] --key KEY | --pattern GLOB | --all",
         "take things out of the shared cache",
         "  -k, --key KEY       this key, on every server, in every database\n"
         "  -p, --pattern GLOB  every key that matches, as Redis matches in KEYS\n"
         "  -a, --all           everything\n"
         "  -s, --segment NAME  of this segment instead of MTSHIM_SEGMENT\n"
         "\n"
         "Nothing is removed from Redis. Exit status 1: there is no segment.\n"},
        {"agent", agent_command, "[--server ADDRESS]... [-s segment] [--ready-fd N]",
         "listen for the whole host, so that programs that live for a moment find L1 warm",
         "  --server ADDRESS    lead this server: host:port, [v6]:port, the path of its socket, or "
         "redis://user@host:port;\n"
         "                      without it: every server that programs of this user use\n"
         "  -s, --segment NAME  in this segment instead of MTSHIM_SEGMENT\n"
         "  --ready-fd N        write a line to this descriptor when it is ready (NOTIFY_SOCKET is told too)\n"
         "\n"
         "Runs until SIGTERM, SIGINT or SIGHUP, as the user whose programs it serves and with their options. It takes\n"
         "the place of a program that leads; a second agent stands by. Exit status 1: it cannot begin.\n"},
        {"config", config_command, "[-v]", "each option, its value, and where that came from",
         "  -v, --verbose   also what each option means and takes\n"
         "\n"
         "Exit status 1: an option is bad; a line on stderr names it.\n"},
        {"doctor", doctor_command, "[-s segment] [--server ADDRESS] [PROGRAM | PID] | --backend SPEC [--quick]",
         "is it well, and if not, why",
         "  --server ADDRESS    look at this Redis server: host:port or the path of its socket\n"
         "  -s, --segment NAME  look at this segment instead of MTSHIM_SEGMENT\n"
         "  --backend SPEC      put a store through what every store must pass: kind:address?name=value, as in\n"
         "                      MTSHIM_TIERS, or plugin:/path.so; under keys of its own, which it removes again\n"
         "  --quick             without a key of 512 MB and values beyond 4 MiB\n"
         "\n"
         "Without PROGRAM and PID: this host, its segment, the servers that it names. A program is read, never run.\n"
         "The exit status is the number of FAIL rows, at most 100.\n"},
};
enum { CTL_COMMANDS = sizeof ctl_commands / sizeof ctl_commands[0] };

static const struct ctl_command *ctl_find(const char *name)
{
        for (size_t i = 0; i < CTL_COMMANDS; i++)
                if (strcmp(ctl_commands[i].name, name) == 0)
                        return &ctl_commands[i];
        return NULL;
}

static void ctl_print(FILE *out, const struct ctl_command *command)
{
        fprintf(out, "usage: mtshim %s %s\n", command->name, command->synopsis);
}

int ctl_usage(const char *name)
{
        ctl_print(stderr, ctl_find(name));
        fprintf(stderr, "`mtshim %s --help` says more\n", name);
        return CTL_USAGE;
}

int ctl_help(const char *name)
{
        const struct ctl_command *command = ctl_find(name);

        ctl_print(stdout, command);
        printf("%s\n\n%s", command->sentence, command->text);
        return CTL_OK;
}

static void ctl_overview(FILE *out)
{
        fputs("usage: mtshim COMMAND [option]... [argument]...\n\n", out);
        for (size_t i = 0; i < CTL_COMMANDS; i++)
                fprintf(out, "  %-8s %s\n", ctl_commands[i].name, ctl_commands[i].sentence);
        fputs("\n`mtshim COMMAND --help` says more; --version names the version\n", out);
}

static int ctl_version(void)
{
        int mimalloc = mi_version();

        printf("mtshim %s, segment ABI %u, hiredis %d.%d.%d, mimalloc %d.%d.%d\n", MTSHIM_VERSION, SEGMENT_ABI,
               HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH, mimalloc / 100, mimalloc / 10 % 10, mimalloc % 10);
        return CTL_OK;
}

static int ctl_dispatch(int argc, char **argv)
{
        const char *name = argc > 1 ? argv[1] : NULL;

        if (!name) {
                ctl_overview(stderr);
                return CTL_USAGE;
        }
        if (strcmp(name, "--version") == 0)
                return ctl_version();
        if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
                if (argc > 2 && ctl_find(argv[2]))
                        return ctl_help(argv[2]);
                ctl_overview(stdout);
                return CTL_OK;
        }
        const struct ctl_command *command = ctl_find(name);

        if (!command) {
                fprintf(stderr, "mtshim: no such command: %s\n", ctl_printable(name));
                ctl_overview(stderr);
                return CTL_USAGE;
        }
        return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
        int status = ctl_dispatch(argc, argv);

        if ((fflush(stdout) != 0 || ferror(stdout)) && status == CTL_OK) {
                warn("standard output");
                status = CTL_FAILED;
        }
        return status;
}
