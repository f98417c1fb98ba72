/* reply.h - reply objects that nobody can tell from hiredis' own.
 * The struct and str are separate blocks from the allocator that hiredis itself uses, since programs take str over and
 * free it, and freeReplyObject() frees the rest. */
#ifndef MT_REPLY_H
#define MT_REPLY_H

#include "abi.h"
#include "recycle.h"

#include "../../l1/base/assert.h"

#include <stdlib.h>
#include <string.h>

static inline void *reply_malloc(const struct abi *abi, size_t size)
{
        return abi->allocators != NULL ? abi->allocators->malloc_fn(size) : malloc(size);
}

static inline void reply_free(const struct abi *abi, void *block)
{
        if (abi->allocators != NULL)
                abi->allocators->free_fn(block);
        else
                free(block);
}

/* Two fresh blocks, or one (need 0). Out of line: where replies are freed as they come, blocks are kept. */
MT_COLD static void *reply_allocate(const struct abi *abi, size_t need, char **str)
{
        void *reply;

        *str = NULL;
        if (need != 0 && (*str = reply_malloc(abi, need)) == NULL)
                return NULL;
        reply = reply_malloc(abi, abi->reply_size);
        if (reply == NULL && *str != NULL)
                reply_free(abi, *str);
        return reply;
}

/* What GET answers: a nil, or a string reply with room for len bytes (and the NUL after them, which is written); *str
 * is where they go. NULL: no memory, nothing stays allocated; the caller forwards, and hiredis meets the same wall. The
 * two sizes of a struct are constants so that the clearing is inlined. */
static MT_INLINE void *reply_value(const struct abi *abi, bool nil, size_t len, char **str)
{
        size_t need = MT_UNLIKELY(nil) ? 0 : len + 1;
        char  *reply = recycle_take(abi, need, str);

        if (MT_UNLIKELY(reply == NULL)) {
                reply = reply_allocate(abi, need, str);
                if (MT_UNLIKELY(reply == NULL))
                        return NULL;
        }
        memset(reply, 0, 48);
        if (abi->reply_size == 64)
                memset(reply + 48, 0, 16);
        ABI_FIELD(int, reply, 0) = MT_UNLIKELY(nil) ? ABI_REPLY_NIL : ABI_REPLY_STRING;
        if (MT_UNLIKELY(nil))
                return reply;
        ABI_FIELD(size_t, reply, abi->reply_len) = len;
        ABI_FIELD(char *, reply, abi->reply_str) = *str;
        (*str)[len] = '\0';
        return reply;
}

/* Both blocks of a reply made here, str still in it. */
static inline void reply_destroy(const struct abi *abi, void *reply)
{
        char *str = ABI_FIELD(char *, reply, abi->reply_str);

        if (str != NULL)
                reply_free(abi, str);
        reply_free(abi, reply);
}

#endif
