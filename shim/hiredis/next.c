/* next.c - finding the real hiredis.
 * First where the dynamic linker would have gone without us (RTLD_NEXT: the global scope behind us). If nothing is
 * there, hiredis came with a module loaded RTLD_LOCAL: then through the caller's own link map, which sees the module
 * and what it is linked to. Never ourselves: dlopen(NULL) finds the preloaded library first. */
#include "next.h"

#include "guard.h"

#include "../../l1/base/atomic.h"
#include "../../l1/base/forklock.h"
#include "../../l1/base/log.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NEXT_MAX = 8 };

_Thread_local struct guard guard;

struct next_entry {
        struct hiredis hiredis;
        const void    *identity; /* address of its redisvCommand: one entry a library */
};

static struct next_entry        next_entries[NEXT_MAX];
static _Atomic(unsigned)        next_count;
static struct forklock          next_lock;   /* an entry counts only when it is whole: nothing to mend after a fork */
_Atomic(const struct hiredis *) next_global; /* resolved through RTLD_NEXT: it is everybody's */

/* Which code reached which library, for the RTLD_LOCAL case. */
static struct {
        _Atomic(const void *) base; /* load address of the caller's module */
        const struct hiredis *hiredis;
} next_callers[NEXT_MAX];

/* The linker's marks of where this image begins and ends. dladdr() would tell too, but walks a whole symbol table each
 * time: for each of forty symbols, in a process of a few milliseconds. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

bool next_is_ours(const void *address)
{
        return (uintptr_t)address - (uintptr_t)__ehdr_start < (uintptr_t)_end - (uintptr_t)__ehdr_start;
}

/* A symbol as this handle sees it, unless it is one of ours. */
static void *next_symbol(void *handle, const char *name)
{
        void *symbol = dlsym(handle, name);

        return symbol != NULL && next_is_ours(symbol) ? NULL : symbol;
}

static bool next_fill(struct hiredis *h, void *handle)
{
        const char *missing = NULL;

#define ROW(ret, name, params, needed)                                                                                 \
        h->name = (ret(*) params)(uintptr_t)next_symbol(handle, #name);                                                \
        if (needed && h->name == NULL)                                                                                 \
                missing = #name;
#define NEED(ret, name, params)   ROW(ret, name, params, true)
#define MAY(ret, name, params)    ROW(ret, name, params, false)
#define CALLED(ret, name, params) ROW(ret, name, params, true)
#include "hooks.def"
#undef ROW
#undef NEED
#undef MAY
#undef CALLED
        if (missing == NULL)
                return true;
        log_line(LOG_WARN, "this hiredis has no %s: its calls are passed on as they are", missing);
        return false;
}

static const struct hiredis *next_known(const void *identity)
{
        unsigned count = mt_load_acquire(&next_count); /* pairs with the release in next_publish() */

        for (unsigned i = 0; i < count; i++)
                if (next_entries[i].identity == identity)
                        return &next_entries[i].hiredis;
        return NULL;
}

static const struct hiredis *next_publish(const struct hiredis *h, const void *identity)
{
        const struct hiredis *known;
        unsigned              count;

        forklock_acquire(&next_lock);
        known = next_known(identity);
        count = mt_load_relaxed(&next_count);
        if (known == NULL && count < NEXT_MAX) {
                next_entries[count] = (struct next_entry){.hiredis = *h, .identity = identity};
                mt_store_release(&next_count, count + 1);
                known = &next_entries[count].hiredis;
        }
        forklock_release(&next_lock);
        if (known == NULL)
                log_once(LOG_WARN, "more than %d hiredis libraries in one process: the rest is not reached", NEXT_MAX);
        return known;
}

/* Pointers into the library that this address lies in will live on: so does it. */
static void next_pin(const void *address)
{
        Dl_info info;

        if (dladdr(address, &info) != 0 && info.dli_fname != NULL)
                (void)dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

/* The library of this handle, made known if it is new. No lock of ours is held around calls of the dynamic linker: it
 * has its own, and another thread may hold that while a constructor calls us. Two threads may do all this at once; one
 * result counts. */
static const struct hiredis *next_register(void *handle)
{
        const void           *identity = next_symbol(handle, "redisvCommand");
        const struct hiredis *known = identity != NULL ? next_known(identity) : NULL;
        struct hiredis        h = {.visible = false};
        struct guard          outer = guard;
        void                 *alloc_fns;

        if (identity == NULL || known != NULL)
                return known;
        /* An executable may hold a copy relocation of hiredisAllocFns, which is then the one in use: the global look-up
         * finds it first; only a hiredis that is nobody's global is asked directly. */
        alloc_fns = handle == RTLD_NEXT ? dlsym(RTLD_DEFAULT, "hiredisAllocFns") : dlsym(handle, "hiredisAllocFns");
        if (next_fill(&h, handle)) {
                guard_enter(&h); /* the probe's calls come back through our doors */
                abi_probe(&h, alloc_fns, next_symbol(handle, "redisSetPushCallback"));
                guard = (struct guard){.depth = outer.depth, .current = outer.current, .replies = guard.replies};
        }
        next_pin(identity);
        return next_publish(&h, identity);
}

static const struct hiredis *next_remember(const void *base, const struct hiredis *found)
{
        forklock_acquire(&next_lock);
        for (unsigned i = 0; found != NULL && i < NEXT_MAX; i++) {
                if (mt_load_relaxed(&next_callers[i].base) != NULL)
                        continue;
                next_callers[i].hiredis = found;
                mt_store_release(&next_callers[i].base, base); /* pairs with the acquire in next_of_caller_map() */
                break;
        }
        forklock_release(&next_lock);
        return found;
}

/* Newest first: of several that lie in the system's folders the one that has TLS. What is in the process already goes
 * before any of them. */
static const char *const next_sonames[] = {"libhiredis.so.1.4.0", "libhiredis.so.1.3.0", "libhiredis.so.1.1.0",
                                           "libhiredis.so.1.0.0", "libhiredis.so.0.14",  "libhiredis.so.0.13"};

/* A program that was linked to us before hiredis, by a linker that leaves out what adds nothing (--as-needed): all that
 * it calls was found here. Which one it was compiled for is not said any more: so only where all that the loader finds
 * have the same layout. */
static const struct hiredis *next_left_out(const void *caller)
{
        const struct hiredis *found = NULL;
        struct link_map      *map;
        Dl_info               info;

        if (dladdr1(caller, &info, (void **)&map, RTLD_DL_LINKMAP) == 0 || map->l_name[0] != '\0')
                return NULL; /* a module's */

        for (unsigned i = 0; i < sizeof next_sonames / sizeof *next_sonames; i++) {
                void                 *handle = dlopen(next_sonames[i], RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
                const struct hiredis *h = handle != NULL ? next_register(handle) : NULL;

                if (h != NULL && found != NULL && h->abi.letter != found->abi.letter) {
                        log_once(LOG_ERROR, "the program was linked without the hiredis that it calls, and there are "
                                            "several: link it with -Wl,--no-as-needed");
                        return NULL;
                }
                found = found != NULL ? found : h;
        }
        return next_remember(info.dli_fbase, found);
}

static const struct hiredis *next_of_caller_map(const void *caller)
{
        struct link_map *map;
        Dl_info          info;
        void            *handle;

        if (dladdr1(caller, &info, (void **)&map, RTLD_DL_LINKMAP) == 0)
                return NULL;
        for (unsigned i = 0; i < NEXT_MAX; i++)
                if (mt_load_acquire(&next_callers[i].base) == info.dli_fbase)
                        return next_callers[i].hiredis;
        handle = dlopen(map->l_name[0] == '\0' ? NULL : map->l_name, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
        return handle != NULL ? next_remember(info.dli_fbase, next_register(handle)) : NULL;
}

const struct hiredis *next_of(const void *caller)
{
        const struct hiredis *found = mt_load_acquire(&next_global); /* pairs with the release below */
        int                   saved_errno = errno;

        if (MT_LIKELY(found != NULL))
                return found;
        found = next_register(RTLD_NEXT);
        if (found != NULL)
                mt_store_release(&next_global, found);
        else
                found = next_of_caller_map(caller);
        if (found == NULL)
                found = next_left_out(caller);
        if (found == NULL)
                log_once(LOG_ERROR, "no hiredis behind a call to it: the call fails as if the connection had failed");
        errno = saved_errno;
        return found;
}

void *next_beside(const void *caller, const char *name)
{
        int              saved_errno = errno;
        void            *symbol = next_symbol(RTLD_NEXT, name), *handle;
        struct link_map *map;
        Dl_info          info;

        if (symbol == NULL && dladdr1(caller, &info, (void **)&map, RTLD_DL_LINKMAP) != 0 && map->l_name[0] != '\0') {
                handle = dlopen(map->l_name, RTLD_LAZY | RTLD_NOLOAD);
                if (handle != NULL) {
                        symbol = next_symbol(handle, name);
                        dlclose(handle); /* the caller runs: its module, and what that is linked to, stay */
                }
        }
        errno = saved_errno;
        return symbol;
}

/* ------------------------------------------------------------------------------ for connections of our own */

static const struct hiredis *next_good(const struct hiredis *h)
{
        return h != NULL && h->abi.known ? h : NULL;
}

/* The first known library that can be used. */
static const struct hiredis *next_first_known(void)
{
        unsigned count = mt_load_acquire(&next_count); /* pairs with the release in next_publish() */

        for (unsigned i = 0; i < count; i++)
                if (next_entries[i].hiredis.abi.known)
                        return &next_entries[i].hiredis;
        return NULL;
}

/* Local, so that nobody else's look-ups find it; its own calls of its exports reach our doors where we are preloaded,
 * and come back by its link map (next_of_caller_map()). */
static const struct hiredis *next_open(int how)
{
        const struct hiredis *found = NULL;

        for (unsigned i = 0; found == NULL && i < sizeof next_sonames / sizeof *next_sonames; i++) {
                void *handle = dlopen(next_sonames[i], RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE | how);

                if (handle != NULL)
                        found = next_good(next_register(handle));
        }
        return found;
}

const struct hiredis *next_any(void)
{
        static _Atomic(const struct hiredis *) next_chosen; /* the same for the life of the process */
        const struct hiredis                  *found = mt_load_acquire(&next_chosen);
        int                                    saved_errno = errno;

        if (found != NULL)
                return found;
        found = next_good(mt_load_acquire(&next_global));
        if (found == NULL)
                found = next_good(next_register(RTLD_NEXT));
        if (found == NULL) /* before us in the order of look-up: we were linked to, not preloaded */
                found = next_good(next_register(RTLD_DEFAULT));
        if (found == NULL)
                found = next_first_known();
        if (found == NULL)
                found = next_open(RTLD_NOLOAD);
        if (found == NULL)
                found = next_open(0);
        if (found != NULL)
                mt_store_release(&next_chosen, found); /* pairs with the acquire above; two threads find the same */
        errno = saved_errno;
        return found;
}

void *next_sibling(const struct hiredis *h, const char *infix)
{
        static const char name[] = "libhiredis";
        char              path[PATH_MAX];
        const char       *file;
        Dl_info           info;
        int               saved_errno = errno;
        void             *handle = NULL;

        if (dladdr((const void *)(uintptr_t)h->redisvCommand, &info) == 0 || info.dli_fname == NULL)
                return NULL;
        file = strrchr(info.dli_fname, '/');
        file = file != NULL ? file + 1 : info.dli_fname;
        if (strncmp(file, name, sizeof name - 1) == 0 &&
            snprintf(path, sizeof path, "%.*s%s%s%s", (int)(file - info.dli_fname), info.dli_fname, name, infix,
                     file + sizeof name - 1) < (int)sizeof path) {
                /* It is not linked to hiredis (Debian's is not), and looks for it in the global scope alone. */
                (void)dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_GLOBAL | RTLD_NODELETE);
                handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
        }
        errno = saved_errno;
        return handle;
}

/* One of those that are known, if all have the same layout: then it does not matter which of them frees. */
static const struct hiredis *next_alike(void)
{
        unsigned count = mt_load_acquire(&next_count);

        for (unsigned i = 1; i < count; i++)
                if (next_entries[i].hiredis.abi.letter != next_entries[0].hiredis.abi.letter)
                        return NULL;
        return count > 0 ? &next_entries[0].hiredis : NULL;
}

next_free_f *next_free_of(const void *caller, const struct hiredis **h)
{
        static _Atomic(next_free_f *) next_free; /* everybody's, found before all the rest of it was asked for */
        next_free_f                  *f = mt_load_acquire(&next_free);
        int                           saved_errno = errno;

        *h = mt_load_acquire(&next_global);
        if (*h != NULL)
                return (*h)->freeReplyObject;
        if (f != NULL)
                return f;
        f = (next_free_f *)(uintptr_t)next_symbol(RTLD_NEXT, "freeReplyObject");
        if (f != NULL) {
                next_pin((const void *)(uintptr_t)f);
                mt_store_release(&next_free, f);
        } else {
                *h = next_of_caller_map(caller);
                if (*h == NULL)
                        *h = next_alike();
                f = *h != NULL ? (*h)->freeReplyObject : NULL;
        }
        errno = saved_errno;
        return f;
}
