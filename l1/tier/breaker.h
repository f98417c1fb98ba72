/* breaker.h - when a store that fails is left alone, and when it is asked again. A pure state machine: the caller gives
 * the time, and holds whatever lock it needs (breaker_quiet() alone needs none).
 *
 *   CLOSED -> OPEN     BREAKER_RUN failures in a row; a call that is slow is one
 *   OPEN   -> HALF     the pause is over: the one who asks first is the probe
 *   HALF   -> CLOSED   the probe came back well
 *   HALF   -> OPEN     it did not: a pause twice as long
 *   HALF   -> HALF     a probe that was never heard of again: after such a pause there is another */
#ifndef MT_TIER_BREAKER_H
#define MT_TIER_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_PAUSE_NS     UINT64_C(100000000)
#define BREAKER_PAUSE_MAX_NS UINT64_C(10000000000)
enum { BREAKER_RUN = 5 };

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF };

struct breaker {
        _Atomic uint32_t state;    /* enum breaker_state */
        _Atomic uint32_t failures; /* in a row */
        uint64_t         until_ns; /* OPEN: no call before; HALF: no other probe before */
        uint64_t         pause_ns; /* the last one; 0 while CLOSED */
};

/* Closed, and nothing has failed lately: there is nothing to ask, and no success to report. */
bool breaker_quiet(const struct breaker *breaker);
/* May a call be made now? True for the one probe of a HALF state too; whoever got it reports. */
bool breaker_may(struct breaker *breaker, uint64_t now_ns);
void breaker_report(struct breaker *breaker, uint64_t now_ns, bool well);
/* Not closed. */
bool breaker_tripped(const struct breaker *breaker);

#endif
