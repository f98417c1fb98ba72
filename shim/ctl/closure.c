/* closure.c - owns the search for libraries. Breadth first, like the loader, so that the first of two libraries of one
 * name is the one that the program would get. */
#include "closure.h"

#include <bsd/string.h>
#include <bsd/sys/cdefs.h>
#include <elf.h>
#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLOSURE_MAX       2048 /* more libraries than any program has: a loop in a forged file ends here */
#define CLOSURE_CACHE     "/etc/ld.so.cache"
#define CLOSURE_MAGIC     "glibc-ld.so.cache1.1"
#define CLOSURE_OLD_MAGIC "ld.so-1.7.0"

#if defined(__x86_64__)
#define CLOSURE_MULTIARCH "x86_64-linux-gnu"
#else
#define CLOSURE_MULTIARCH "aarch64-linux-gnu"
#endif

static const char *const closure_folders[] = {
        "/lib/" CLOSURE_MULTIARCH, "/usr/lib/" CLOSURE_MULTIARCH, "/lib64", "/usr/lib64", "/lib", "/usr/lib",
};

static char *closure_copy(const char *text)
{
        char *copy = strdup(text);

        if (!copy)
                err(1, NULL);
        return copy;
}

bool closure_is_hiredis(const char *name)
{
        const char *slash = strrchr(name, '/');

        return strncmp(slash ? slash + 1 : name, "libhiredis.so", strlen("libhiredis.so")) == 0;
}

const struct closure_object *closure_hiredis(const struct closure *c)
{
        for (size_t i = 1; i < c->count; i++)
                if (c->object[i].path && closure_is_hiredis(c->object[i].name))
                        return &c->object[i];
        return NULL;
}

/* ------------------------------------------------------------------------------------------------ the search */

/* Take path for the object if it is a library of this machine: the loader goes on looking when it is not. */
static bool closure_try(struct closure_object *o, const char *path)
{
        struct stat st;

        if (elf_open(&o->elf, path) != ELF_NATIVE) {
                elf_close(&o->elf);
                return false;
        }
        if (stat(path, &st) == 0) {
                o->dev = st.st_dev;
                o->ino = st.st_ino;
        }
        o->path = closure_copy(path);
        return true;
}

/* Folder of the object, for $ORIGIN. Links are not resolved, except in the program's own path (closure_build). */
static void closure_origin(const struct closure_object *o, char folder[PATH_MAX])
{
        strlcpy(folder, o->path, PATH_MAX);
        char *slash = strrchr(folder, '/');

        if (slash)
                *slash = '\0';
}

/* One element of a search path, its tokens replaced. False: it has one that we do not know, or is too long. */
static bool closure_expand(const struct closure_object *o, const char *element, size_t len, char out[PATH_MAX])
{
        static const struct {
                const char *token, *value;
        } tokens[] = {
                {"$ORIGIN", NULL},
                {"${ORIGIN}", NULL},
                {"$LIB", "lib/" CLOSURE_MULTIARCH},
                {"${LIB}", "lib/" CLOSURE_MULTIARCH},
        };
        char   origin[PATH_MAX];
        size_t used = 0;

        closure_origin(o, origin);
        for (size_t i = 0; i < len;) {
                const char *value = NULL;
                size_t      step = 1;

                for (size_t t = 0; element[i] == '$' && t < sizeof tokens / sizeof tokens[0]; t++) {
                        size_t n = strlen(tokens[t].token);

                        if (len - i >= n && memcmp(element + i, tokens[t].token, n) == 0) {
                                value = tokens[t].value ? tokens[t].value : origin;
                                step = n;
                        }
                }
                if (element[i] == '$' && !value)
                        return false;
                size_t n = value ? strlen(value) : 1;

                if (used + n >= PATH_MAX)
                        return false;
                memcpy(out + used, value ? value : element + i, n);
                used += n;
                i += step;
        }
        out[used] = '\0';
        return used > 0;
}

static bool closure_try_in(struct closure_object *o, const char *folder)
{
        char path[PATH_MAX];

        return snprintf(path, sizeof path, "%s/%s", folder, o->name) < (int)sizeof path && closure_try(o, path);
}

/* A list of folders separated by ':' (or ';' in LD_LIBRARY_PATH); an empty element is the working folder. */
static bool closure_try_list(struct closure_object *o, const struct closure_object *origin, const char *list)
{
        if (!list)
                return false;
        for (const char *p = list;; p++) {
                size_t len = strcspn(p, ":;");
                char   folder[PATH_MAX];

                if (len == 0 && closure_try_in(o, "."))
                        return true;
                if (len > 0 && closure_expand(origin, p, len, folder) && closure_try_in(o, folder))
                        return true;
                p += len;
                if (*p == '\0')
                        return false;
        }
}

static uint32_t closure_cache_word(const struct closure *c, uint64_t offset)
{
        uint32_t word = 0;

        if (offset <= c->cache.size && c->cache.size - offset >= sizeof word)
                memcpy(&word, c->cache.map + offset, sizeof word);
        return word;
}

static const char *closure_cache_string(const struct closure *c, uint64_t offset)
{
        if (offset >= c->cache.size || !memchr(c->cache.map + offset, '\0', c->cache.size - offset))
                return NULL;
        return (const char *)c->cache.map + offset;
}

/* The loader's cache: a header of 48 bytes, entries of 24 (flags, name, path, ...), strings; all offsets count from its
 * header, which an old format with entries of 12 may precede. */
static bool closure_try_cache(const struct closure *c, struct closure_object *o)
{
        uint64_t at = 0;

        if (!c->cache.map)
                return false;
        if (c->cache.size > 16 && memcmp(c->cache.map, CLOSURE_OLD_MAGIC, strlen(CLOSURE_OLD_MAGIC)) == 0)
                at = (16 + (uint64_t)closure_cache_word(c, 12) * 12 + 7) & ~UINT64_C(7);
        if (c->cache.size < 48 || at > c->cache.size - 48 ||
            memcmp(c->cache.map + at, CLOSURE_MAGIC, strlen(CLOSURE_MAGIC)) != 0)
                return false;
        uint32_t count = closure_cache_word(c, at + 20);

        for (uint32_t i = 0; i < count && 48 + (uint64_t)i * 24 < c->cache.size; i++) {
                uint64_t    entry = at + 48 + (uint64_t)i * 24;
                const char *name = closure_cache_string(c, at + closure_cache_word(c, entry + 4));
                const char *path = closure_cache_string(c, at + closure_cache_word(c, entry + 8));

                if (name && path && strcmp(name, o->name) == 0 && closure_try(o, path))
                        return true;
        }
        return false;
}

/* DT_RPATH counts for all that an object brings, directly or not, unless the asking object has a DT_RUNPATH. */
static bool closure_try_rpaths(const struct closure *c, struct closure_object *o)
{
        if (elf_dynamic_string(&c->object[o->loader].elf, DT_RUNPATH, 0))
                return false;
        for (size_t i = o->loader;; i = c->object[i].loader) {
                const struct closure_object *by = &c->object[i];

                if (!elf_dynamic_string(&by->elf, DT_RUNPATH, 0) &&
                    closure_try_list(o, by, elf_dynamic_string(&by->elf, DT_RPATH, 0)))
                        return true;
                if (i == 0)
                        return false;
        }
}

static bool closure_find(const struct closure *c, struct closure_object *o)
{
        const struct closure_object *by = &c->object[o->loader];

        if (strchr(o->name, '/')) {
                char path[PATH_MAX];

                return closure_expand(by, o->name, strlen(o->name), path) && closure_try(o, path);
        }
        if (closure_try_rpaths(c, o) || closure_try_list(o, by, getenv("LD_LIBRARY_PATH")) ||
            closure_try_list(o, by, elf_dynamic_string(&by->elf, DT_RUNPATH, 0)) || closure_try_cache(c, o))
                return true;
        for (size_t i = 0; i < sizeof closure_folders / sizeof closure_folders[0]; i++)
                if (closure_try_in(o, closure_folders[i]))
                        return true;
        return false;
}

/* -------------------------------------------------------------------------------------------------- the list */

static bool closure_has_name(const struct closure *c, const char *name)
{
        for (size_t i = 0; i < c->count; i++) {
                const struct closure_object *o = &c->object[i];
                const char                  *soname = o->path ? elf_dynamic_string(&o->elf, DT_SONAME, 0) : NULL;

                if (strcmp(o->name, name) == 0 || (soname && strcmp(soname, name) == 0))
                        return true;
        }
        return false;
}

static bool closure_has_file(const struct closure *c, const struct closure_object *found)
{
        for (size_t i = 0; i < c->count; i++)
                if (c->object[i].path && c->object[i].dev == found->dev && c->object[i].ino == found->ino)
                        return true;
        return false;
}

static void closure_forget(struct closure_object *o)
{
        elf_close(&o->elf);
        free(o->path);
        free(o->name);
}

static void closure_append(struct closure *c, const struct closure_object *o)
{
        if (c->count == c->room) {
                c->room = c->room ? c->room * 2 : 16;
                c->object = reallocarray(c->object, c->room, sizeof *c->object);
                if (!c->object)
                        err(1, NULL);
        }
        c->object[c->count++] = *o;
}

static void closure_add_needed(struct closure *c, size_t loader)
{
        if (!c->object[loader].path)
                return;
        for (unsigned i = 0; c->count < CLOSURE_MAX; i++) {
                struct closure_object o = {.loader = loader};
                const char           *name = elf_dynamic_string(&c->object[loader].elf, DT_NEEDED, i);

                if (!name)
                        return;
                if (closure_has_name(c, name))
                        continue;
                o.name = closure_copy(name);
                if (closure_find(c, &o) && closure_has_file(c, &o))
                        closure_forget(&o);
                else
                        closure_append(c, &o);
        }
}

/* The cache is no ELF file: only mapped. */
static void closure_map_cache(struct closure *c)
{
        struct stat st;
        int         fd = open(CLOSURE_CACHE, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return;
        if (fstat(fd, &st) == 0 && st.st_size > 0) {
                void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);

                if (map != MAP_FAILED) {
                        c->cache.map = map;
                        c->cache.size = (size_t)st.st_size;
                }
        }
        close(fd);
}

enum elf_kind closure_build(struct closure *c, const char *path)
{
        struct closure_object program = {0};
        struct stat           st;

        memset(c, 0, sizeof *c);
        enum elf_kind kind = elf_open(&program.elf, path);

        if (kind != ELF_NATIVE && kind != ELF_FOREIGN)
                return kind;
        program.name = closure_copy(path);
        program.path = realpath(path, NULL);
        if (!program.path)
                program.path = closure_copy(path);
        if (stat(path, &st) == 0) {
                program.dev = st.st_dev;
                program.ino = st.st_ino;
        }
        closure_append(c, &program);
        if (kind == ELF_NATIVE) {
                closure_map_cache(c);
                for (size_t i = 0; i < c->count; i++)
                        closure_add_needed(c, i);
        }
        return kind;
}

void closure_destroy(struct closure *c)
{
        for (size_t i = 0; i < c->count; i++)
                closure_forget(&c->object[i]);
        free(c->object);
        elf_close(&c->cache);
        memset(c, 0, sizeof *c);
}
