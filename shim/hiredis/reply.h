/* reply.h - reply objects that nobody can tell from hiredis' own.
 * The struct and str are separate blocks from the allocator that hiredis itself uses, since programs take str over and
 * free it, and freeReplyObject() frees the rest. */
#ifndef MT_REPLY_H
#define MT_REPLY_H

#include "abi.h"

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

/* A reply of this type with all else zero, or NULL. The two sizes are constants so that the clearing is inlined. */
static inline void *reply_empty(const struct abi *abi, int type)
{
        char *reply = reply_malloc(abi, abi->reply_size);

        if (MT_UNLIKELY(reply == NULL))
                return NULL;
        memset(reply, 0, 48);
        if (abi->reply_size == 64)
                memset(reply + 48, 0, 16);
        ABI_FIELD(int, reply, 0) = type;
        return reply;
}

/* A string reply with room for len bytes (and the NUL after them, which is written); *str is where they go. NULL: no
 * memory, nothing stays allocated; the caller forwards, and hiredis meets the same wall. */
static inline void *reply_string(const struct abi *abi, size_t len, char **str)
{
        char *room = reply_malloc(abi, len + 1);
        char *reply;

        if (MT_UNLIKELY(room == NULL))
                return NULL;
        reply = reply_empty(abi, ABI_REPLY_STRING);
        if (MT_UNLIKELY(reply == NULL)) {
                reply_free(abi, room);
                return NULL;
        }
        ABI_FIELD(size_t, reply, abi->reply_len) = len;
        ABI_FIELD(char *, reply, abi->reply_str) = room;
        room[len] = '\0';
        *str = room;
        return reply;
}

static inline void *reply_nil(const struct abi *abi)
{
        return reply_empty(abi, ABI_REPLY_NIL);
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
