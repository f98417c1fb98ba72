/* stale.h - MTSHIM_STALE_IF_ERROR: a GET that fails for want of a server is answered with what was true a while ago. */
#ifndef MT_STALE_H
#define MT_STALE_H

#include "request.h"

#include "../runtime/runtime.h"

/* What stood against the connection before the GET. */
struct stale_before {
        uint32_t doubt, owed; /* as in struct connection */
};

static inline struct stale_before stale_before(const struct connection *c)
{
        return (struct stale_before){c->doubt, c->owed};
}

void *stale_answer(struct connection *c, struct mt_bytes key, struct stale_before before, void *reply);

/* What a GET of Redis has returned, an error and nothing among it, or in their place the value. The context is left as
 * it is, with its error. */
static inline void *stale_if_error(struct connection *c, struct mt_bytes key, struct stale_before before, void *reply)
{
        return MT_LIKELY(runtime.options.stale_if_error_ns == 0) ? reply : stale_answer(c, key, before, reply);
}

#endif
