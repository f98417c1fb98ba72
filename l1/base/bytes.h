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

#endif
