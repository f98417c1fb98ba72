/* bytes.h - a run of bytes that somebody else owns. May hold NUL; ptr may be NULL only when len is 0. */
#ifndef MT_BASE_BYTES_H
#define MT_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct mt_bytes {
        const char *ptr;
        size_t      len;
};

static inline struct mt_bytes mt_bytes(const void *ptr, size_t len)
{
        return (struct mt_bytes){.ptr = ptr, .len = len};
}

static inline struct mt_bytes mt_bytes_of(const char *string)
{
        return mt_bytes(string, strlen(string));
}

static inline bool mt_bytes_equal(struct mt_bytes a, struct mt_bytes b)
{
        return a.len == b.len && (a.len == 0 || (a.ptr != NULL && b.ptr != NULL && memcmp(a.ptr, b.ptr, a.len) == 0));
}

/* Copy, and compare, what is secret: byte after byte, so that no vector register is left with a part of it, for the
 * next lazily bound call or signal to put on some stack. */
static inline void mt_copy_secret(char *to, const char *from, size_t n)
{
        for (size_t i = 0; i < n; i++)
                ((volatile char *)to)[i] = from[i];
}

static inline bool mt_equal_secret(struct mt_bytes a, struct mt_bytes b)
{
        bool equal = a.len == b.len;

        for (size_t i = 0; equal && i < a.len; i++)
                equal = ((const volatile char *)a.ptr)[i] == b.ptr[i];
        return equal;
}

#endif
