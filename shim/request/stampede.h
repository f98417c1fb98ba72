/* stampede.h - a GET that misses while somebody else asks Redis for the same key: does it wait, for what, how long?
 * MTSHIM_STAMPEDE: off, coalesce (for the reply to the other's GET), lease (after a nil, for the SET of who had it).
 *
 *   fresh    -> waited     stampede_meet() says AGAIN: the GET begins anew, with connection->waits > 0
 *   waited   -> answered   from L1, by what another's GET has fetched
 *   waited   -> fresh      it travels, with a lease or alone
 *
 * Whoever is inside a miss does not wait: hiredis may have been left by a signal handler, or for another fibre of the
 * same thread, and then the fill that it would wait for is its own, or one whose owner waits for it. */
#ifndef MT_STAMPEDE_H
#define MT_STAMPEDE_H

#include "../connection/connection.h"
#include "../runtime/runtime.h"

enum stampede { STAMPEDE_OFF, STAMPEDE_COALESCE, STAMPEDE_LEASE }; /* in the order of the option's words */

static inline bool stampede_controlled(void)
{
        return runtime.options.stampede != STAMPEDE_OFF;
}

/* Misses that this thread is in the middle of, the caller's own included: counted from before it asks for a lease until
 * it has given that back. A jump out of one, or a fibre that another thread goes on with, leaves
 * it wrong: then the thread does not wait any more, or for as long as it may. */
extern _Thread_local unsigned stampede_inside;

/* l1_lease() has been refused, and stampede_controlled(). */
enum stampede_verdict {
        STAMPEDE_TRAVEL, /* alone, without a lease */
        STAMPEDE_LET_GO, /* the same, since the reply is not one that is kept; look again if it is nil (lease) */
        STAMPEDE_AGAIN,  /* it has waited: look again */
        STAMPEDE_LEASED, /* the other takes too long: this one asks in its place */
};
enum stampede_verdict stampede_meet(struct connection *c, const struct l1_key *key, uint32_t namespace_id,
                                    struct l1_lease *lease);

/* l1_refresh() of a value past its end has been refused, and stampede_controlled(). TRAVEL or AGAIN: what is there
 * stays. The caller is not counted in stampede_inside. */
enum stampede_verdict stampede_meet_refresh(struct connection *c, uint64_t now_ns, const struct l1_hit *hit);

/* The GET of this connection has been answered or travels. True: it had waited. */
static inline bool stampede_end(struct connection *c)
{
        bool waited = c->waits != 0;

        c->waits = 0;
        c->wait_until_ns = 0;
        return waited;
}

/* Redis has answered what was sent at this time (precise clock). */
void stampede_took(const struct connection *c, uint64_t sent_ns);
/* How long a GET may wait in all. 0: no round trip is known, and nobody waits. */
uint64_t stampede_limit_ns(const struct connection *c);

/* MTSHIM_STAMPEDE=lease, and the reply is nil. The lease is over but for STAMPEDE_NIL. */
enum stampede_nil {
        STAMPEDE_NIL,      /* like any other */
        STAMPEDE_COMPUTES, /* for the program: it is the one who computes, others wait for it */
        STAMPEDE_WAITS,    /* somebody else computes: it is not for the program, look again */
};
enum stampede_nil stampede_nil(struct connection *c, struct l1_lease *lease);

#endif
