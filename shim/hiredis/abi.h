/* abi.h - the two layouts of hiredis' structs, told apart at run time (DESIGN.md section 7).
 *
 *              redisReply                        redisContext                            fn in redisReader
 *   A 0.13 0.14  48 bytes, len 16, str 24          err 0 fd 132 flags 136 obuf 144 reader 152   544
 *   B 1.0 and on 64 bytes, len 24, str 32          err 8 fd 140 flags 144 obuf 152 reader 160   200
 *
 * No struct of hiredis is ever read through its header: fields are reached through the offsets of struct abi. */
#ifndef MT_ABI_H
#define MT_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hiredis;

/* What hiredisAllocFns points at in 1.0 and on (alloc.h there). */
struct abi_allocators {
        void *(*malloc_fn)(size_t);
        void *(*calloc_fn)(size_t, size_t);
        void *(*realloc_fn)(void *, size_t);
        char *(*strdup_fn)(const char *);
        void (*free_fn)(void *);
};

struct abi {
        bool                         known;
        char                         letter; /* 'A' or 'B'; '?' when not known */
        uint16_t                     reply_size, reply_integer, reply_len, reply_str, reply_elements, reply_element;
        uint16_t                     err; /* what both have in the same order stands at ABI_CONTEXT_... from here */
        uint16_t                     connection_type, unix_path;
        uint16_t                     privctx;    /* 0 when the layout has none: set by TLS */
        uint16_t                     fn;         /* in redisReader; buf, pos and len are at 136, 144, 152 in both */
        const void                  *default_fn; /* the reply functions that hiredis itself installs */
        const struct abi_allocators *allocators; /* B: read at each use, the program may set others; A: NULL, malloc */
};

enum {
        ABI_CONTEXT_ERR = 0,
        ABI_CONTEXT_ERRSTR = 4, /* 128 bytes, NUL at the end */
        ABI_CONTEXT_FD = 132,
        ABI_CONTEXT_FLAGS = 136,
        ABI_CONTEXT_OBUF = 144,
        ABI_CONTEXT_READER = 152
};

enum { ABI_READER_BUF = 136, ABI_READER_POS = 144, ABI_READER_LEN = 152 };

/* Reply types that both layouts share. */
enum {
        ABI_REPLY_STRING = 1,
        ABI_REPLY_ARRAY = 2,
        ABI_REPLY_INTEGER = 3,
        ABI_REPLY_NIL = 4,
        ABI_REPLY_STATUS = 5,
        ABI_REPLY_ERROR = 6,
        ABI_REPLY_PUSH = 12
};

/* Find out the layout of the library that h was resolved from: first by which symbols it has, then by feeding a private
 * reader and finding the fields where they should be. Sets h->abi. alloc_fns and push_callback: hiredisAllocFns and
 * redisSetPushCallback as the program would see them, or NULL. Not thread-safe; the caller holds h alone. */
void abi_probe(struct hiredis *h, void *alloc_fns, void *push_callback);

/* A field of one of hiredis' structs. */
#define ABI_FIELD(type, base, offset) (*(type *)(void *)((char *)(uintptr_t)(base) + (offset)))

/* The same for those fields of a context that stand alike from err on. */
#define ABI_CONTEXT(type, abi, context, field) ABI_FIELD(type, context, (abi)->err + ABI_CONTEXT_##field)

static inline int abi_reply_type(const void *reply)
{
        return ABI_FIELD(const int, reply, 0);
}

static inline long long abi_reply_integer(const struct abi *abi, const void *reply)
{
        return ABI_FIELD(const long long, reply, abi->reply_integer);
}

static inline size_t abi_reply_len(const struct abi *abi, const void *reply)
{
        return ABI_FIELD(const size_t, reply, abi->reply_len);
}

static inline const char *abi_reply_str(const struct abi *abi, const void *reply)
{
        return ABI_FIELD(const char *const, reply, abi->reply_str);
}

static inline size_t abi_reply_elements(const struct abi *abi, const void *reply)
{
        return ABI_FIELD(const size_t, reply, abi->reply_elements);
}

static inline const void *abi_reply_element(const struct abi *abi, const void *reply, size_t i)
{
        return ABI_FIELD(const void *const *const, reply, abi->reply_element)[i];
}

#endif
