/* ctl.h - what the sub-commands of mtshim share. The command reads l1/ and never the interposing half of shim/. */
#ifndef MT_CTL_H
#define MT_CTL_H

#include "../../l1/base/options.h"
#include "../../l1/l1.h"

#include <glob.h>
#include <stdbool.h>
#include <stdio.h>

#ifndef MTSHIM_VERSION
#define MTSHIM_VERSION "0.1.0"
#endif
/* Where `make install` puts libmtshim.so. */
#ifndef MTSHIM_LIBDIR
#define MTSHIM_LIBDIR "/usr/local/lib/mtshim"
#endif

#define CTL_LIBRARY "libmtshim.so"

enum ctl_exit { CTL_OK = 0, CTL_FAILED = 1, CTL_USAGE = 2 };

/* A sub-command: argv[0] is its name. */
struct ctl_command {
        const char *name;
        int (*run)(int argc, char **argv);
        const char *synopsis; /* what follows the name */
        const char *sentence; /* one, for `mtshim help` */
        const char *text;     /* what --help adds: options and exit status, one a line */
};

int agent_command(int argc, char **argv);
int config_command(int argc, char **argv);
int doctor_command(int argc, char **argv);
int flush_command(int argc, char **argv);
int run_command(int argc, char **argv);
int stat_command(int argc, char **argv);

/* Usage of a sub-command: on stderr, CTL_USAGE. The other is what was asked for with --help: on stdout, CTL_OK. */
int ctl_usage(const char *name);
int ctl_help(const char *name);

/* The options as a program started here would see them; lines on stderr name what is wrong with them. */
void ctl_options(struct options *options);
/* The segment of those options, or of name when that is not NULL. NULL: there is none, or none to be trusted. */
struct l1 *ctl_open(const struct options *options, const char *name, bool writable);
/* Paths of the files that carry that name, of whatever version and container. Returns how many; globfree() them. */
size_t ctl_segment_files(const struct options *options, const char *name, glob_t *files);
/* What to say when there is none. */
const char *ctl_no_segment(const struct options *options, const char *name);

/* The real path of libmtshim.so: beside this command, in ../lib/mtshim, or where it was installed. False: nowhere. */
bool ctl_library(char path[PATH_MAX]);

/* What the segment says of a server, copied out once. */
struct ctl_server {
        char        address[120]; /* NUL-terminated, any bytes */
        const char *state;        /* fresh, stale, no-tracking, cluster, costly */
        const char *learns_by;    /* tracking, pubsub, stream */
        uint64_t    listener_pid; /* 0: nobody leads now */
        const char *listener;     /* agent, program, none */
        uint64_t    lease_ms_left, bound_ms;
        uint64_t    epoch, incarnation, term, invalidations, reconnects, flushes;
};
/* False when place index is not in use. */
bool ctl_server_read(struct l1 *l1, uint32_t index, const struct options *options, struct ctl_server *out);

/* Text from elsewhere, fit for a terminal: control characters are escaped. Good until the fourth next call. */
const char *ctl_printable(const char *text);
/* "64 MiB", "1.5 KiB". Good until the fourth next call. */
const char *ctl_size(uint64_t bytes);

#endif
