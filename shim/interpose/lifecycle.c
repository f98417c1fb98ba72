/* lifecycle.c - doors of what makes, remakes and ends contexts. */
#include "door.h"

#include "../runtime/runtime.h"

enum { LIFECYCLE_USERFD = 2 }; /* redisOptions.type, its first field, for a descriptor of the program's own */

/* foreign: somebody else made the descriptor, and may have selected and authenticated whatever on it. */
static void *lifecycle_made(void *context, const struct hiredis *h, bool nonblock, bool foreign, uint64_t began_ns)
{
        if (context != NULL) {
                runtime_check_uid();
                if (foreign)
                        connection_foreign(context, h, began_ns);
                else
                        connection_made(context, h, nonblock, began_ns);
        }
        return context;
}

/* One door: the real function under the guard, then the context's history begins. */
#define LIFECYCLE_CONNECT(type, name, params, args, nonblock, foreign)                                                 \
        MT_EXPORT type *name params                                                                                    \
        {                                                                                                              \
                const struct hiredis *h = guard_inside() ? guard.current : next_of(DOOR_CALLER());                     \
                type                 *context;                                                                         \
                uint64_t              began_ns;                                                                        \
                                                                                                                       \
                if (h == NULL || h->name == NULL)                                                                      \
                        return NULL;                                                                                   \
                if (guard_inside())                                                                                    \
                        return h->name args;                                                                           \
                began_ns = clock_precise_ns();                                                                         \
                guard_enter(h);                                                                                        \
                context = h->name args;                                                                                \
                guard_leave();                                                                                         \
                lifecycle_made(context, h, nonblock, foreign, began_ns);                                               \
                return context;                                                                                        \
        }

#define SYNC(name, params, args)           LIFECYCLE_CONNECT(redisContext, name, params, args, false, false)
#define ADOPT(name, params, args, foreign) LIFECYCLE_CONNECT(redisContext, name, params, args, false, foreign)
#define LATER(name, params, args)          LIFECYCLE_CONNECT(redisContext, name, params, args, true, false)
#define ASYNC(name, params, args)          LIFECYCLE_CONNECT(redisAsyncContext, name, params, args, true, false)

SYNC(redisConnect, (const char *ip, int port), (ip, port))
SYNC(redisConnectWithTimeout, (const char *ip, int port, const struct timeval tv), (ip, port, tv))
SYNC(redisConnectUnix, (const char *path), (path))
SYNC(redisConnectUnixWithTimeout, (const char *path, const struct timeval tv), (path, tv))
ADOPT(redisConnectFd, (int fd), (fd), true)
ADOPT(redisConnectWithOptions, (const void *options), (options), *(const int *)options == LIFECYCLE_USERFD)
LATER(redisConnectNonBlock, (const char *ip, int port), (ip, port))
LATER(redisConnectBindNonBlock, (const char *ip, int port, const char *source), (ip, port, source))
LATER(redisConnectBindNonBlockWithReuse, (const char *ip, int port, const char *source), (ip, port, source))
LATER(redisConnectUnixNonBlock, (const char *path), (path))
ASYNC(redisAsyncConnect, (const char *ip, int port), (ip, port))
ASYNC(redisAsyncConnectBind, (const char *ip, int port, const char *source), (ip, port, source))
ASYNC(redisAsyncConnectBindWithReuse, (const char *ip, int port, const char *source), (ip, port, source))
ASYNC(redisAsyncConnectUnix, (const char *path), (path))
ASYNC(redisAsyncConnectWithOptions, (const void *options), (options))

#undef SYNC
#undef ADOPT
#undef LATER
#undef ASYNC

MT_EXPORT int redisReconnect(redisContext *context)
{
        struct connection    *c;
        const struct hiredis *h = door_open(context, DOOR_CALLER(), &c);
        uint64_t              began_ns = clock_precise_ns();
        int                   rc;

        if (h == NULL || h->redisReconnect == NULL)
                return REDIS_ERR;
        if (c == NULL) /* a jump out of hiredis may have left the mark: it begins anew here too */
                c = connection_find(context);
        rc = h->redisReconnect(context);
        if (c != NULL) {
                runtime_check_uid();
                connection_remade(c, began_ns);
        }
        return rc;
}

/* A context ends, whoever ends it: hiredis frees asynchronous ones through these doors from inside itself. What is
 * known of it ends first: the address may be another context's as soon as it is free. */
static const struct hiredis *lifecycle_ends(const void *context, const void *caller)
{
        struct connection *c = connection_find(context);

        if (c == NULL)
                return guard_inside() ? guard.current : next_of(caller);
        const struct hiredis *h = c->hiredis;

        connection_gone(c);
        return h;
}

MT_EXPORT void redisFree(redisContext *context)
{
        const struct hiredis *h = lifecycle_ends(context, DOOR_CALLER());

        if (h != NULL)
                h->redisFree(context);
}

MT_EXPORT int redisFreeKeepFd(redisContext *context)
{
        const struct hiredis *h = lifecycle_ends(context, DOOR_CALLER());

        return h != NULL ? h->redisFreeKeepFd(context) : REDIS_ERR;
}

/* Asynchronous contexts end when hiredis says so, perhaps later: their end is redisFree's, or the reuse of the address.
 * Callbacks of the program run inside, so these are passed on without the guard. */
MT_EXPORT void redisAsyncFree(redisAsyncContext *ac)
{
        struct connection    *c = connection_find(ac);
        const struct hiredis *h = c != NULL ? c->hiredis : guard_inside() ? guard.current : next_of(DOOR_CALLER());

        if (h != NULL && h->redisAsyncFree != NULL)
                h->redisAsyncFree(ac);
}

MT_EXPORT void redisAsyncDisconnect(redisAsyncContext *ac)
{
        struct connection    *c = connection_find(ac);
        const struct hiredis *h = c != NULL ? c->hiredis : guard_inside() ? guard.current : next_of(DOOR_CALLER());

        if (h != NULL && h->redisAsyncDisconnect != NULL)
                h->redisAsyncDisconnect(ac);
}
