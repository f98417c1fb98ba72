/* atomic.h - C11 atomics with the memory order in the name, so that a reader sees it without looking it up.
 * The partner of every acquire and release is named where it is used, as [A] <-> [B]. */
#ifndef MT_BASE_ATOMIC_H
#define MT_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define mt_load_relaxed(p)         atomic_load_explicit((p), memory_order_relaxed)
#define mt_load_acquire(p)         atomic_load_explicit((p), memory_order_acquire)
#define mt_store_relaxed(p, v)     atomic_store_explicit((p), (v), memory_order_relaxed)
#define mt_store_release(p, v)     atomic_store_explicit((p), (v), memory_order_release)
#define mt_exchange_acq_rel(p, v)  atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define mt_fetch_add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define mt_fetch_add_acq_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
/* expected is a pointer; on failure it receives what was found (read with acquire). */
#define mt_cas_acq_rel(p, expected, desired)                                                                           \
        atomic_compare_exchange_strong_explicit((p), (expected), (desired), memory_order_acq_rel, memory_order_acquire)

/* Add to a word that only this thread writes and others read: no locked instruction. */
#define mt_add_single_writer(p, v) mt_store_relaxed((p), mt_load_relaxed(p) + (v))

#if defined(__SANITIZE_THREAD__)
#define MT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MT_TSAN 1
#endif
#endif

/* ThreadSanitizer knows no fences: there an addition of nothing to a word of this thread stands in, a full barrier to
 * the processor and no edge between threads to the tool. What the fences order is read and written by relaxed atomics
 * then. */
#ifdef MT_TSAN
static inline void mt_fence_for_tsan(void)
{
        _Atomic int word = 0;

        atomic_fetch_add(&word, 0);
}
#define MT_FENCE(order) mt_fence_for_tsan()
#else
#define MT_FENCE(order) atomic_thread_fence(order)
#endif
#define mt_fence_acquire() MT_FENCE(memory_order_acquire)
#define mt_fence_release() MT_FENCE(memory_order_release)
#define mt_fence_full()    MT_FENCE(memory_order_seq_cst)

/* Copies of bytes that another process may be overwriting meanwhile; the caller validates afterwards (read side)
 * or has made the bytes unreachable before (write side). Under ThreadSanitizer the copy goes by relaxed atomic bytes,
 * which is what the pair of fences around it makes it mean; elsewhere it is memcpy. */
static inline void mt_copy_from_shared(void *to, const void *from, size_t n)
{
#ifdef MT_TSAN
        for (size_t i = 0; i < n; i++)
                ((char *)to)[i] = mt_load_relaxed((const _Atomic char *)from + i);
#else
        memcpy(to, from, n);
#endif
}

static inline void mt_copy_to_shared(void *to, const void *from, size_t n)
{
#ifdef MT_TSAN
        for (size_t i = 0; i < n; i++)
                mt_store_relaxed((_Atomic char *)to + i, ((const char *)from)[i]);
#else
        memcpy(to, from, n);
#endif
}

#endif
