/* program.h - which file would be executed, and what the kernel would do with it. Runs nothing. */
#ifndef MT_CTL_PROGRAM_H
#define MT_CTL_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* The file that execvp() would execute for name. 0, or the errno that execvp() would give. */
int program_find(const char *name, char path[PATH_MAX]);

/* The program that runs a script: what its #! line names, /usr/bin/env looked through. False: not a script. */
bool program_interpreter(const char *path, char interpreter[PATH_MAX]);
/* The same to the end: path becomes the file that holds machine code. Returns how many #! lines were followed. */
unsigned program_follow(char path[PATH_MAX]);

/* Does the file give privileges (set-uid, set-gid, capabilities), so that the loader ignores LD_PRELOAD? why says
 * which. for_me: only if they are more than this process has already. */
bool program_privileged(const char *path, bool for_me, char *why, size_t size);

#endif
