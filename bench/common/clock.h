/* clock.h - two ways to ask what time it is: nanoseconds for batches, the cheapest steady counter for single calls. */
#ifndef MT_BENCH_CLOCK_H
#define MT_BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

static inline uint64_t clock_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline uint64_t clock_ticks(void)
{
#if defined(__x86_64__)
        unsigned aux;

        return __rdtscp(&aux);
#elif defined(__aarch64__)
        uint64_t ticks;

        __asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(ticks));
        return ticks;
#else
        return clock_ns();
#endif
}

/* How many ticks are a nanosecond: watched for 20 ms. */
static inline double clock_ticks_per_ns(void)
{
        uint64_t ns = clock_ns(), ticks = clock_ticks(), later;

        do
                later = clock_ns();
        while (later - ns < 20000000);
        return (double)(clock_ticks() - ticks) / (double)(later - ns);
}

#endif
