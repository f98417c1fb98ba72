/* secured.c - a small table behind a lock: it is asked once a connection, which takes a handshake anyway. */
#include "secured.h"

#include "../../l1/base/forklock.h"

enum { SECURED_MAX = 256 };

static struct {
        struct forklock lock;
        unsigned        count;
        struct {
                const void                    *context;
                const struct invalidation_tls *tls;
        } row[SECURED_MAX];
} secured;

static void secured_lock(void)
{
        if (forklock_acquire(&secured.lock))
                secured.count = 0; /* the parent was changing it: contexts from before the fork are unknown here */
}

static unsigned secured_place(const void *context)
{
        unsigned i = 0;

        while (i < secured.count && secured.row[i].context != context)
                i++;
        return i;
}

void secured_made(const void *context, const struct invalidation_tls *tls)
{
        unsigned i;

        secured_lock();
        i = secured_place(context);
        if (i < SECURED_MAX) {
                secured.row[i].context = context;
                secured.row[i].tls = tls;
                if (i == secured.count)
                        secured.count++;
        }
        forklock_release(&secured.lock);
}

void secured_gone(const void *context)
{
        unsigned i;

        secured_lock();
        i = secured_place(context);
        if (i < secured.count)
                secured.row[i] = secured.row[--secured.count];
        forklock_release(&secured.lock);
}

const struct invalidation_tls *secured_find(const void *context)
{
        const struct invalidation_tls *tls = NULL;
        unsigned                       i;

        secured_lock();
        i = secured_place(context);
        if (i < secured.count)
                tls = secured.row[i].tls;
        forklock_release(&secured.lock);
        return tls;
}
