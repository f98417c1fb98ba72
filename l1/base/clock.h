/* clock.h - one clock that tests can move.
 * All times are nanoseconds of CLOCK_MONOTONIC. The coarse clock costs 3 ns instead of 23 and lags behind it:
 * coarse <= real < coarse + clock_tick_ns(). Whoever compares an age against a bound adds that. */
#ifndef MT_BASE_CLOCK_H
#define MT_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

/* Builds with MT_TEST_CLOCK let a test add to the clock of this process; release builds have no such variable. */
#ifdef MT_TEST_CLOCK
#include <stdatomic.h>
extern _Atomic int64_t clock_test_offset_ns;
#define CLOCK_SHIFT() ((uint64_t)atomic_load_explicit(&clock_test_offset_ns, memory_order_relaxed))
#else
#define CLOCK_SHIFT() UINT64_C(0)
#endif

static inline uint64_t clock_read_ns(clockid_t id)
{
        struct timespec ts;

        clock_gettime(id, &ts);
        return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static inline uint64_t clock_coarse_ns(void)
{
        return clock_read_ns(CLOCK_MONOTONIC_COARSE) + CLOCK_SHIFT();
}

static inline uint64_t clock_precise_ns(void)
{
        return clock_read_ns(CLOCK_MONOTONIC) + CLOCK_SHIFT();
}

/* How far the coarse clock lags at most: two of its ticks (a tick is 1 to 10 ms, by the kernel's HZ). A timer
 * interrupt that comes a moment before a tick's length is full leaves the clock for the next one: 6.8 ms seen where a
 * tick is 4 ms. Read once, then cached. Thread-safe. */
uint64_t clock_tick_ns(void);

#endif
