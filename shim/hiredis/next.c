/* next.c - finding the real hiredis.
 * First where the dynamic linker would have gone without us (RTLD_NEXT: the global scope behind us). If nothing is there,
 * hiredis came with a module loaded RTLD_LOCAL: then through the caller's own link map, which sees the module and what
 * it is linked to. Never ourselves: dlopen(NULL) finds the preloaded library first. */
#include "next.h"

#include "guard.h"

#include "../../l1/base/atomic.h"
#include "../../l1/base/forklock.h"
#include "../../l1/base/log.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>

enum { NEXT_MAX = 8 };

_Thread_local struct guard guard;

struct next_entry {
        struct hiredis hiredis;
        const void    *identity; /* address of its redisvCommand: one entry a library */
        bool           usable;
};

static struct next_entry      next_entries[NEXT_MAX];
static _Atomic(unsigned)      next_count;
static struct forklock        next_lock; /* an entry counts only when it is whole: nothing to mend after a fork */
static _Atomic(const struct hiredis *) next_global; /* resolved through RTLD_NEXT: it is everybody's */

/* Which code reached which library, for the RTLD_LOCAL case. */
static struct {
        _Atomic(const void *)    base; /* load address of the caller's module */
        const struct hiredis    *hiredis;
} next_callers[NEXT_MAX];

/* The linker's marks of where this image begins and ends. dladdr() would tell too, but walks a whole symbol table each
 * time: for each of forty symbols, in a process of a few milliseconds. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

static bool next_is_ours(const void *address)
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

#define ROW(ret, name, params, needed)                                                                               \
        h->name = (ret(*) params)(uintptr_t)next_symbol(handle, #name);                                              \
        if (needed && h->name == NULL)                                                                               \
                missing = #name;
#define NEED(ret, name, params) ROW(ret, name, params, true)
#define MAY(ret, name, params) ROW(ret, name, params, false)
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

/* The library of this handle, made known if it is new. Called under next_lock. */
static const struct hiredis *next_register(void *handle)
{
        const void        *identity = next_symbol(handle, "redisvCommand");
        unsigned           count = mt_load_relaxed(&next_count);
        struct next_entry *entry;
        void              *alloc_fns;

        if (identity == NULL)
                return NULL;
        for (unsigned i = 0; i < count; i++)
                if (next_entries[i].identity == identity)
                        return &next_entries[i].hiredis;
        if (count == NEXT_MAX) {
                log_once(LOG_WARN, "more than %d hiredis libraries in one process: the rest is not reached", NEXT_MAX);
                return NULL;
        }
        entry = &next_entries[count];
        entry->identity = identity;
        entry->usable = next_fill(&entry->hiredis, handle);

        /* An executable may hold a copy relocation of hiredisAllocFns, which is then the one in use: the global look-up finds it
         * first; only a hiredis that is nobody's global is asked directly. */
        alloc_fns = handle == RTLD_NEXT ? dlsym(RTLD_DEFAULT, "hiredisAllocFns") : dlsym(handle, "hiredisAllocFns");
        if (entry->usable) {
                struct guard outer = guard;

                guard_enter(&entry->hiredis); /* the probe's calls come back through our doors */
                abi_probe(&entry->hiredis, alloc_fns, next_symbol(handle, "redisSetPushCallback"));
                guard = outer;
        }

        Dl_info info;
        if (dladdr(identity, &info) != 0 && info.dli_fname != NULL)
                (void)dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE); /* pinned: pointers to it live on */
        mt_store_release(&next_count, count + 1);
        return &entry->hiredis;
}

static const struct hiredis *next_of_caller_map(const void *caller)
{
        const struct hiredis *found = NULL;
        struct link_map      *map;
        Dl_info               info;
        void                 *handle;

        if (dladdr1(caller, &info, (void **)&map, RTLD_DL_LINKMAP) == 0)
                return NULL;
        for (unsigned i = 0; i < NEXT_MAX; i++)
                if (mt_load_relaxed(&next_callers[i].base) == info.dli_fbase)
                        return next_callers[i].hiredis;
        handle = dlopen(map->l_name[0] == '\0' ? NULL : map->l_name, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
        if (handle != NULL)
                found = next_register(handle);
        for (unsigned i = 0; found != NULL && i < NEXT_MAX; i++)
                if (mt_load_relaxed(&next_callers[i].base) == NULL) {
                        next_callers[i].hiredis = found;
                        mt_store_relaxed(&next_callers[i].base, info.dli_fbase);
                        break;
                }
        return found;
}

const struct hiredis *next_of(const void *caller)
{
        const struct hiredis *found = mt_load_acquire(&next_global); /* pairs with the release below */
        int                   saved_errno = errno;

        if (MT_LIKELY(found != NULL))
                return found;
        forklock_acquire(&next_lock);
        found = next_register(RTLD_NEXT);
        if (found != NULL)
                mt_store_release(&next_global, found);
        else
                found = next_of_caller_map(caller);
        forklock_release(&next_lock);
        if (found == NULL)
                log_once(LOG_ERROR, "no hiredis behind a call to it: the call fails as if the connection had failed");
        errno = saved_errno;
        return found;
}
