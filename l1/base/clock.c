/* clock.c - how far the coarse clock lags, and the offset that tests add to it. */
#include "clock.h"

#include "atomic.h"

#ifdef MT_TEST_CLOCK
_Atomic int64_t clock_test_offset_ns;
#endif

uint64_t clock_tick_ns(void)
{
        static _Atomic uint64_t cached_ns;
        uint64_t                tick_ns = mt_load_relaxed(&cached_ns);
        struct timespec         ts;

        if (tick_ns != 0)
                return tick_ns;
        clock_getres(CLOCK_MONOTONIC_COARSE, &ts);
        tick_ns = 2 * ((uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec);
        mt_store_relaxed(&cached_ns, tick_ns); /* every thread computes the same value */
        return tick_ns;
}
