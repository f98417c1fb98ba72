/* fault.h - faults that are planted on purpose: a checker that does not find them proves nothing. `make fault-NAME`
 * builds one of them into build/fault-NAME, and `make chaos-planted` has tests/coherence look for each. No other build
 * has any: there fault() is the constant false, and nothing of it is left. */
#ifndef MT_BASE_FAULT_H
#define MT_BASE_FAULT_H

#include <stdbool.h>

/* The Makefile reads the names from here. */
enum fault {
        FAULT_none,
        FAULT_no_fill_lease,    /* a late value is kept although its PENDING was cleared */
        FAULT_early_epoch,      /* the epoch moves when CLIENT TRACKING is answered, not when SUBSCRIBE is */
        FAULT_no_epoch,         /* no new epoch after a reconnect */
        FAULT_fresh_at_arrival, /* fresh_at is when the PONG came in, not when the PING before it was sent */
        FAULT_own_writes,       /* the keys of an own write are not cleared when it is answered */
        FAULT_tokens_forked,    /* a child goes on with the fill tokens of its parent */
};

#ifndef MT_FAULT
#define MT_FAULT none
#endif

#define FAULT_NAME(name)    FAULT_NAME_OF(name)
#define FAULT_NAME_OF(name) FAULT_##name

static inline bool fault(enum fault which)
{
        return which != FAULT_none && which == FAULT_NAME(MT_FAULT);
}

#endif
