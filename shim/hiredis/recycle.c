/* recycle.c - whether blocks may be kept at all, and their end. */
#include "recycle.h"

#include "../../l1/base/assert.h"

#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

_Thread_local struct recycle recycle __attribute__((tls_model("initial-exec")));

/* The three functions as the program reaches them; found once. */
static struct {
        void *malloc, *free, *usable;
        bool  glibc; /* all are glibc's own, and no checker stands in for them */
} recycle_allocator;
static pthread_key_t  recycle_key; /* its destructor frees what an ending thread has kept */
static bool           recycle_key_there;
static pthread_once_t recycle_once = PTHREAD_ONCE_INIT;

static bool recycle_holds(const struct dl_phdr_info *object, const void *address)
{
        for (int i = 0; i < object->dlpi_phnum; i++) {
                const ElfW(Phdr) *p = &object->dlpi_phdr[i];

                if (p->p_type == PT_LOAD && (uintptr_t)address - object->dlpi_addr - p->p_vaddr < p->p_memsz)
                        return true;
        }
        return false;
}

/* Valgrind's tools leave the symbols as they are and exchange what is behind them; they show by what they preload. In
 * the flavour for tests they are let watch us at work. */
static bool recycle_is_checker(const struct dl_phdr_info *object)
{
#ifdef MT_TEST_CLOCK
        (void)object;
        return false;
#else
        return strstr(object->dlpi_name, "/vgpreload_") != NULL && strstr(object->dlpi_name, "/vgpreload_core") == NULL;
#endif
}

/* True: looked at enough. */
static int recycle_look_at(struct dl_phdr_info *object, size_t size, void *arg)
{
        (void)size;
        (void)arg;
        if (recycle_is_checker(object)) {
                recycle_allocator.glibc = false;
                return 1;
        }
        if (recycle_holds(object, (const void *)(uintptr_t)gnu_get_libc_version))
                recycle_allocator.glibc = recycle_holds(object, recycle_allocator.malloc) &&
                                          recycle_holds(object, recycle_allocator.free) &&
                                          recycle_holds(object, recycle_allocator.usable);
        return 0;
}

static void recycle_free(struct recycle_slot *slot)
{
        void *reply = slot->reply;

        if (reply == NULL)
                return;
        slot->reply = NULL;
        free(slot->str);
        free(reply);
}

static void recycle_free_all(void)
{
        for (unsigned i = 0; i < RECYCLE_SLOTS; i++)
                recycle_free(&recycle.slot[i]);
}

/* For good: a destructor of the program that runs after this one frees its replies as ever. */
static void recycle_end_thread(void *arg)
{
        (void)arg;
        recycle.abi = NULL;
        recycle_free_all();
}

static void recycle_setup(void)
{
        recycle_allocator.malloc = dlsym(RTLD_DEFAULT, "malloc");
        recycle_allocator.free = dlsym(RTLD_DEFAULT, "free");
        recycle_allocator.usable = dlsym(RTLD_DEFAULT, "malloc_usable_size");
        dl_iterate_phdr(recycle_look_at, NULL);
        recycle_key_there = recycle_allocator.glibc && pthread_key_create(&recycle_key, recycle_end_thread) == 0;
}

bool recycle_plain_slowly(const struct abi *abi)
{
        return (const void *)(uintptr_t)abi->allocators->malloc_fn == recycle_allocator.malloc &&
               (const void *)(uintptr_t)abi->allocators->free_fn == recycle_allocator.free;
}

/* Once a thread: may it keep anything? */
static void recycle_begin(const struct abi *abi)
{
        int saved_errno = errno;

        recycle.asked = true;
        pthread_once(&recycle_once, recycle_setup);
        if (recycle_key_there && pthread_setspecific(recycle_key, &recycle) == 0)
                recycle.abi = abi;
        errno = saved_errno;
}

MT_COLD void *recycle_take_slowly(const struct abi *abi, size_t fit, char **str)
{
        struct recycle_slot *slot = recycle_place(&recycle, fit), *above = recycle_place(&recycle, fit + RECYCLE_STEP);
        void                *reply = above->reply;

        if (fit > RECYCLE_ROOM_MAX) /* no such thing is kept, and what stands in the place is not in its way */
                return NULL;
        if (MT_UNLIKELY(!recycle.asked))
                recycle_begin(abi);
        if (recycle.abi == abi && recycle_plain(abi) && fit != 0 && reply != NULL &&
            above->room - fit < 2 * RECYCLE_STEP) {
                above->reply = NULL;
                *str = above->str;
                return reply;
        }
        recycle_free(slot); /* another size stands in the place that is wanted now */
        return NULL;
}

/* The place of reply's size is taken: by another size, which nobody has asked for since, or by one like it. */
static MT_COLD bool recycle_displace(struct recycle_slot *slot, const void *reply, size_t room)
{
        /* By itself: it is freed twice, and the allocator must find out, as it would without us. */
        if (slot->reply == reply) {
                slot->reply = NULL;
                return false;
        }
        if (slot->room == room)
                return false;
        recycle_free(slot);
        return true;
}

void recycle_give(struct recycle *here, void *reply, void (*f)(void *))
{
        const struct abi    *abi = here->abi;
        int                  type = abi_reply_type(reply);
        char                *str = NULL;
        size_t               room = 0;
        struct recycle_slot *slot;

        if (MT_UNLIKELY((type != ABI_REPLY_STRING && type != ABI_REPLY_NIL) || !recycle_plain(abi) ||
                        malloc_usable_size(reply) < abi->reply_size)) {
                f(reply);
                return;
        }
        if (MT_LIKELY(type == ABI_REPLY_STRING)) {
                str = ABI_FIELD(char *, reply, abi->reply_str);
                room = malloc_usable_size(str);
                if (MT_UNLIKELY(room - RECYCLE_ROOM_MIN > RECYCLE_ROOM_MAX - RECYCLE_ROOM_MIN)) { /* 0: str is NULL */
                        f(reply);
                        return;
                }
        }
        slot = recycle_place(here, room);
        if (MT_UNLIKELY(slot->reply != NULL) && !recycle_displace(slot, reply, room)) {
                f(reply);
                return;
        }
        slot->reply = reply;
        slot->str = str;
        slot->room = room;
}
