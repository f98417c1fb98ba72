/* proc.h - what /proc tells of another process. Every answer may be out of date when it is read. */
#ifndef MT_CTL_PROC_H
#define MT_CTL_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_mapping {
        uint64_t start, end, offset;
        char    *path; /* "" when it has none; " (deleted)" is cut off and remembered: */
        bool     deleted;
};

struct proc_maps {
        struct proc_mapping *mapping;
        size_t               count, room;
};

/* False: errno says why (ESRCH, EACCES). */
bool proc_maps_read(struct proc_maps *m, pid_t pid);
void proc_maps_free(struct proc_maps *m);
/* The first mapping whose file name starts with prefix; NULL when none. */
const struct proc_mapping *proc_maps_file(const struct proc_maps *m, const char *prefix);
/* The mapping that holds an address; NULL when none. */
const struct proc_mapping *proc_maps_at(const struct proc_maps *m, uint64_t address);
/* The part of a path after its last slash. */
const char *proc_base(const char *path);

/* The whole of /proc/PID/name, NUL-terminated, to be freed; NULL when it cannot be read. */
char *proc_read(pid_t pid, const char *name, size_t *size);
/* A number from /proc/PID/status: the field-th (from 0) after "key:". */
bool proc_status(pid_t pid, const char *key, unsigned field, uint64_t *value);
/* The value of a variable in the environment that the process was started with; NULL when not set. To be freed. */
char *proc_environ(pid_t pid, const char *variable);
/* Was it started with AT_SECURE? False too when that cannot be read. */
bool proc_secure(pid_t pid);
/* The id of a thread of that name; 0 when none. */
pid_t proc_thread(pid_t pid, const char *name);
/* Is it in the same namespace ("pid", "net", "time", "mnt") as we are? True when that cannot be told. */
bool proc_same_namespace(pid_t pid, const char *kind);

#endif
