/* ends.c - beta x delta. Deadlines count in units of 33.5 ms, so delta is one of them at least: a server of the same
 * host answers in a hundredth of that, and readers that come less often than every few milliseconds would all be too
 * late. */
#include "ends.h"

#define ENDS_DELTA_MIN_NS (UINT64_C(1) << ITEM_DEADLINE_SHIFT)
#define ENDS_DELTA_MAX_NS (10 * NS_PER_S)

/* An average of the last fetches, those of all servers: an eighth of it is the last one's. Threads that add to it at
 * the same time may lose a share: it is an estimate. */
static _Atomic uint64_t ends_delta_ns;

static void ends_set(struct l1 *l1, uint64_t delta_ns)
{
        const struct options *o = &runtime.options;
        uint64_t              kept_ns = o->stale_while_revalidate_ns;

        if (kept_ns < o->stale_if_error_ns)
                kept_ns = o->stale_if_error_ns;
        if (delta_ns < ENDS_DELTA_MIN_NS)
                delta_ns = ENDS_DELTA_MIN_NS;
        l1_set_ends(l1, strategy_scaled(delta_ns, o->early_refresh), kept_ns);
}

void ends_setup(struct l1 *l1)
{
        ends_set(l1, mt_load_relaxed(&ends_delta_ns));
}

void ends_fetched(struct l1 *l1, uint64_t took_ns)
{
        uint64_t was_ns = mt_load_relaxed(&ends_delta_ns), now_ns;

        if (took_ns > ENDS_DELTA_MAX_NS)
                took_ns = ENDS_DELTA_MAX_NS;
        now_ns = was_ns == 0 ? took_ns : was_ns - was_ns / 8 + took_ns / 8;
        mt_store_relaxed(&ends_delta_ns, now_ns);
        if (was_ns > ENDS_DELTA_MIN_NS || now_ns > ENDS_DELTA_MIN_NS)
                ends_set(l1, now_ns);
}
