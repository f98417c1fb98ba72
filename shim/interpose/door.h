/* door.h - the shape of every exported function: whose context is it, one call inward, out.
 *
 *      h = door_open(context, DOOR_CALLER(), &c);     the real library, and what we know of the context
 *      if (h == NULL)
 *              return failure;                        no hiredis at all
 *      if (c == NULL)
 *              return h->name(...);                   nothing may be cached for it, or hiredis is calling itself
 *      ... one call inward ...
 *
 * Doors that only make or end contexts are in lifecycle.c; calls that are not hiredis' are in process.c. */
#ifndef MT_DOOR_H
#define MT_DOOR_H

#include "../hiredis/guard.h"
#include "../request/request.h"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#define MT_EXPORT __attribute__((visibility("default")))

/* Exports that no header of 0.14 declares. */
int                __redisAppendCommand(redisContext *context, const char *resp, size_t len);
redisContext      *redisConnectWithOptions(const void *options);
redisAsyncContext *redisAsyncConnectWithOptions(const void *options);

MT_COLD static const struct hiredis *door_open_rare(const void *context, const void *caller, struct connection **c)
{
        const struct hiredis *h;

        if (guard_inside())
                return guard.current;
        h = next_of(caller);
        if (h != NULL)
                *c = connection_adopt((void *)(uintptr_t)context, h);
        return h;
}

/* Whose context is it, and what do we know of it? A context whose making we have not seen is adopted: never served, but
 * its writes are noticed. *c is NULL when nothing may be cached for it, or when hiredis is calling itself. NULL: no
 * hiredis at all. */
static inline const struct hiredis *door_open(const void *context, const void *caller, struct connection **c)
{
        struct connection *found = connection_find(context);

        *c = NULL;
        if (MT_UNLIKELY(found == NULL))
                return door_open_rare(context, caller, c);
        if (MT_LIKELY(!found->inside))
                *c = found;
        return found->hiredis;
}

/* Where the program called from, for a hiredis that only its module sees. */
#define DOOR_CALLER() __builtin_return_address(0)

#endif
