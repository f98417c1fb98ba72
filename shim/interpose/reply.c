/* reply.c - the door of what ends a reply. hiredis calls it too, from inside itself and for the elements of an array:
 * whatever is not ours to keep is passed on at once. */
#include "door.h"

#include "../hiredis/recycle.h"

/* Where each module has a hiredis of its own: whose this thread's last caller had. What it names is never unloaded. */
static _Thread_local struct {
        const void           *caller;
        const struct hiredis *hiredis;
} reply_memo __attribute__((tls_model("initial-exec")));

static inline void reply_end(const struct hiredis *h, void *reply)
{
        struct recycle *here = recycle_here();

        if (MT_LIKELY(reply != NULL && recycle_wants(here, &h->abi)))
                recycle_give(here, reply, h->freeReplyObject);
        else
                h->freeReplyObject(reply);
}

__attribute__((noinline)) static void reply_end_rare(void *reply, const void *caller)
{
        const struct hiredis *h = NULL;
        next_free_f          *f;

        if (MT_LIKELY(reply_memo.caller == caller)) {
                reply_end(reply_memo.hiredis, reply);
                return;
        }
        f = guard_inside() ? guard.current->freeReplyObject : next_free_of(caller, &h);
        if (h != NULL) {
                reply_memo.hiredis = h;
                reply_memo.caller = caller;
        }
        if (f != NULL)
                f(reply);
}

MT_EXPORT void freeReplyObject(void *reply)
{
        const struct hiredis *h = mt_load_acquire(&next_global); /* pairs with the release in next_of() */

        if (MT_LIKELY(h != NULL))
                reply_end(h, reply);
        else
                reply_end_rare(reply, DOOR_CALLER());
}
