/* guard.h - are we inside hiredis already, with a context that nobody knows yet?
 * hiredis calls its own exports through the PLT in some builds (Debian's) and so re-enters our doors; what it asks of
 * itself is none of our business. For a context that we know its connection says so (connection->inside); while one is
 * being made, this thread-local depth lets those calls pass. It is not used for more: a thread may run coroutines, and
 * be inside of one context while it calls for another. */
#ifndef MT_GUARD_H
#define MT_GUARD_H

#include <stdbool.h>

struct hiredis;

struct guard {
        unsigned              depth;
        const struct hiredis *current; /* the hiredis that this thread is inside of, while depth > 0 */
        unsigned replies; /* how often hiredis asked our redisGetReply for what it could have asked itself */
};

extern _Thread_local struct guard guard;

static inline bool guard_inside(void)
{
        return guard.depth != 0;
}

static inline void guard_enter(const struct hiredis *h)
{
        guard.current = h;
        guard.depth++;
}

static inline void guard_leave(void)
{
        guard.depth--;
}

#endif
