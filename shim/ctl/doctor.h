/* doctor.h - the rows of `mtshim doctor`, and the five places that they come from. */
#ifndef MT_CTL_DOCTOR_H
#define MT_CTL_DOCTOR_H

#include "ctl.h"

#include <limits.h>

enum doctor_state { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL, DOCTOR_SKIP };

struct doctor {
        unsigned       fails;
        struct options options;
        const char    *segment;           /* -s, or NULL */
        char           library[PATH_MAX]; /* "" when there is none */
};

/* One row: "FAIL  what  detail; advice". advice NULL: none. */
void doctor_row(struct doctor *d, enum doctor_state state, const char *what, const char *advice, const char *detail,
                ...) __attribute__((format(printf, 5, 6)));
/* What else is preloaded: the value of LD_PRELOAD, or NULL, and /etc/ld.so.preload. */
void doctor_preload(struct doctor *d, const char *ld_preload);

/* Library, options, memory, segment; the servers that the segment names. */
void doctor_host(struct doctor *d);
/* A Redis server: "host:port", "[v6]:port", or a path. */
void doctor_server(struct doctor *d, const char *address);
/* A program that is not running: nothing of it is executed. */
void doctor_program(struct doctor *d, const char *name);
/* A process that runs: is it served, and if not, why. */
void doctor_process(struct doctor *d, pid_t pid);
/* A store, as MTSHIM_TIERS names it: a row for each check of l1/tier/conform.h, then how many there were. */
void doctor_backend(struct doctor *d, const char *spec, bool quick);

#endif
