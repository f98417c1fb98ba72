/* recycle.h - blocks of replies that came back to freeReplyObject(), kept for the next hit of this thread.
 *
 *   handed out -> kept       recycle_give(): instead of two free(), if what it came in can be told for certain
 *   kept -> handed out       recycle_take(): instead of two malloc(), for a value of just that size class
 *   kept -> freed            the thread ends, or its place is wanted for another size
 *
 * Whatever reaches freeReplyObject() is the callee's to free, so it is the callee's to keep: no matter who made it, no
 * record of what was handed out is needed, and none could be trusted, since a program may free() or realloc() a part
 * and get the same address for something smaller. What a block can hold is asked of the allocator itself each time
 * (malloc_usable_size): a str that the program exchanged, shrank in place or took over is seen for what it is.
 *
 * So it is done only where malloc, free and malloc_usable_size are glibc's own three. Another allocator may bring one
 * without the others; a checker's (asan, memcheck, libc_malloc_debug) must see every free() at the moment it happens,
 * or it would miss a program's use after it. A hiredis with allocators of its own (hiredisSetAllocators) is left alone
 * too, from the moment that it has them. Nothing is kept in threads that have had no hit.
 *
 * Bound: RECYCLE_SLOTS pairs a thread, none with a str beyond RECYCLE_ROOM_MAX, and never handed out for a value for
 * which glibc would not have given it: who keeps what he is handed holds no more memory than without us. */
#ifndef MT_RECYCLE_H
#define MT_RECYCLE_H

#include "abi.h"

#include "../../l1/base/assert.h"

enum {
        RECYCLE_SLOTS = 8,
        RECYCLE_STEP = 16,     /* of glibc's sizes: 24, 40, 56, ... */
        RECYCLE_ROOM_MIN = 24, /* the least that glibc gives */
        RECYCLE_ROOM_MAX = 4096
};

struct recycle_slot {
        void    *reply; /* NULL: nothing is kept here */
        char    *str;
        size_t   room; /* bytes of str; 0: no str, it was a nil */
        uint64_t pad;  /* to a power of two */
};

struct recycle {
        const struct abi   *abi; /* whose replies; NULL: nothing is kept in this thread (yet, or any more) */
        bool                asked;
        struct recycle_slot slot[RECYCLE_SLOTS]; /* by the size class of str: recycle_place() */
};
extern _Thread_local struct recycle recycle __attribute__((tls_model("initial-exec")));

/* The place where it would be is empty, or not to be used. Something from the next one, which glibc may have given 16
 * bytes more than it had to; or NULL, and then the next one will be kept, if this thread may keep anything. */
void *recycle_take_slowly(const struct abi *abi, size_t fit, char **str);

/* Is the allocator that hiredis uses now the one that what is kept came from? */
bool recycle_plain_slowly(const struct abi *abi);

static inline bool recycle_plain(const struct abi *abi)
{
        return abi->allocators == NULL || recycle_plain_slowly(abi);
}

/* This thread's, found once: the compiler would compute the address anew at each use. */
static inline struct recycle *recycle_here(void)
{
        struct recycle *here = &recycle;

        __asm__("" : "+r"(here));
        return here;
}

static inline struct recycle_slot *recycle_place(struct recycle *here, size_t room)
{
        struct recycle_slot *slot = &here->slot[(room + RECYCLE_STEP / 2 - 1) / RECYCLE_STEP % RECYCLE_SLOTS];

        __asm__("" : "+r"(slot)); /* found once, as well */
        return slot;
}

/* A struct and, if need is not 0, a str with room for need bytes; what they hold is garbage. NULL: none is kept. */
static inline void *recycle_take(const struct abi *abi, size_t need, char **str)
{
        struct recycle      *here = recycle_here();
        size_t               fit = MT_UNLIKELY(need < RECYCLE_ROOM_MIN) && need != 0 ? RECYCLE_ROOM_MIN : need;
        struct recycle_slot *slot = recycle_place(here, fit);
        void                *reply = slot->reply;

        if (MT_UNLIKELY(reply == NULL || slot->room - fit >= RECYCLE_STEP || here->abi != abi || !recycle_plain(abi)))
                return recycle_take_slowly(abi, fit, str);
        slot->reply = NULL;
        *str = slot->str;
        return reply;
}

/* reply has come to freeReplyObject(), and here->abi is its layout: it is kept, or else goes to f. Out of line, so that
 * the door itself, which all replies pass, saves no registers. */
__attribute__((noinline)) void recycle_give(struct recycle *here, void *reply, void (*f)(void *));

/* False: not worth the call, nothing is kept here. */
static inline bool recycle_wants(const struct recycle *here, const struct abi *abi)
{
        return here->abi == abi;
}

#endif
