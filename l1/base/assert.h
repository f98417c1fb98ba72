/* assert.h - what this process alone can break.
 * MT_ASSERT() is for our own promises and aborts debug builds (MT_DEBUG); in release it states the fact to
 * the reader only. What another process may have written is never asserted: it is validated and counted. */
#ifndef MT_BASE_ASSERT_H
#define MT_BASE_ASSERT_H

#ifdef MT_DEBUG
#include <stdio.h>
#include <stdlib.h>
#define MT_ASSERT(cond)                                                                                                \
        do {                                                                                                           \
                if (__builtin_expect(!(cond), 0)) {                                                                    \
                        fprintf(stderr, "mtshim: %s:%d: broken promise: %s\n", __FILE__, __LINE__, #cond);             \
                        abort();                                                                                       \
                }                                                                                                      \
        } while (0)
#else
#define MT_ASSERT(cond) ((void)sizeof(!(cond)))
#endif

#define MT_LIKELY(x)    __builtin_expect(!!(x), 1)
#define MT_UNLIKELY(x)  __builtin_expect(!!(x), 0)
#define MT_COLD         __attribute__((cold, noinline))
#define MT_INLINE       inline __attribute__((always_inline)) /* a part of the hit that has a rare caller too */
#define MT_PRINTF(f, a) __attribute__((format(printf, f, a)))

#endif
