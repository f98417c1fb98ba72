/* breaker.c - counts failures, and doubles pauses. */
#include "breaker.h"

#include "../base/atomic.h"

bool breaker_quiet(const struct breaker *breaker)
{
        return mt_load_relaxed(&breaker->state) == BREAKER_CLOSED && mt_load_relaxed(&breaker->failures) == 0;
}

bool breaker_tripped(const struct breaker *breaker)
{
        return mt_load_relaxed(&breaker->state) != BREAKER_CLOSED;
}

static void breaker_open(struct breaker *breaker, uint64_t now_ns)
{
        breaker->pause_ns = breaker->pause_ns == 0 ? BREAKER_PAUSE_NS : 2 * breaker->pause_ns;
        if (breaker->pause_ns > BREAKER_PAUSE_MAX_NS)
                breaker->pause_ns = BREAKER_PAUSE_MAX_NS;
        breaker->until_ns = now_ns + breaker->pause_ns;
        mt_store_relaxed(&breaker->state, BREAKER_OPEN);
}

bool breaker_may(struct breaker *breaker, uint64_t now_ns)
{
        if (mt_load_relaxed(&breaker->state) == BREAKER_CLOSED)
                return true;
        if (now_ns < breaker->until_ns)
                return false;
        breaker->until_ns = now_ns + breaker->pause_ns;
        mt_store_relaxed(&breaker->state, BREAKER_HALF);
        return true;
}

/* While it is OPEN only calls that began before report: they say nothing new. */
void breaker_report(struct breaker *breaker, uint64_t now_ns, bool well)
{
        uint32_t state = mt_load_relaxed(&breaker->state), failures;

        if (state == BREAKER_OPEN)
                return;
        if (well) {
                breaker->pause_ns = 0;
                mt_store_relaxed(&breaker->failures, 0);
                mt_store_relaxed(&breaker->state, BREAKER_CLOSED);
                return;
        }
        failures = mt_load_relaxed(&breaker->failures);
        mt_store_relaxed(&breaker->failures, failures < BREAKER_RUN ? failures + 1 : BREAKER_RUN);
        if (state == BREAKER_HALF || failures + 1 >= BREAKER_RUN)
                breaker_open(breaker, now_ns);
}
