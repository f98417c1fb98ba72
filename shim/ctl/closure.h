/* closure.h - a program and every library that the dynamic loader would bring with it, found without running anything.
 * Follows ld.so(8): DT_RPATH of the asking chain, LD_LIBRARY_PATH, DT_RUNPATH, /etc/ld.so.cache, default folders. */
#ifndef MT_CTL_CLOSURE_H
#define MT_CTL_CLOSURE_H

#include "elf_file.h"

#include <stdbool.h>
#include <stddef.h>

struct closure_object {
        char           *name;   /* as it was asked for: a soname, or the path of the program */
        char           *path;   /* NULL: nowhere to be found */
        size_t          loader; /* index of the object that asked for it first */
        struct elf_file elf;    /* ELF_NATIVE when path is not NULL */
        uint64_t        dev, ino;
};

struct closure {
        struct closure_object *object; /* [0] is the program, then in the order of the loader */
        size_t                 count, room;
        struct elf_file        cache; /* /etc/ld.so.cache, only as bytes */
};

/* What kind of file path is; the closure is built when ELF_NATIVE, and holds the program alone when ELF_FOREIGN. */
enum elf_kind closure_build(struct closure *c, const char *path);
void          closure_destroy(struct closure *c);

/* The object that provides hiredis, by its file name (libhiredis.so.*); NULL when none. */
const struct closure_object *closure_hiredis(const struct closure *c);
/* Does a path or soname look like hiredis' own library (not its TLS half)? */
bool closure_is_hiredis(const char *name);

#endif
