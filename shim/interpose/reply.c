/* reply.c - the door of what ends a reply. hiredis calls it too, from inside itself and for the elements of an array:
 * whatever is not ours to keep is passed on at once. */
#include "door.h"

#include "../hiredis/recycle.h"

/* Where each module has a hiredis of its own: whose this thread's last caller had. What it names is never unloaded. */
static _Thread_local struct {
        const void           *caller;
        const struct hiredis *hiredis;
} reply_memo __attribute__((tls_model("initial-exec")));

MT_COLD static const struct hiredis *reply_free_rare(void *reply, const void *caller)
{
        const struct hiredis *h = NULL;
        next_free_f          *f = guard_inside() ? guard.current->freeReplyObject : next_free_of(caller, &h);

        if (h != NULL) {
                reply_memo.hiredis = h;
                reply_memo.caller = caller;
                return h;
        }
        if (f != NULL)
                f(reply);
        return NULL;
}

MT_EXPORT void freeReplyObject(void *reply)
{
        const struct hiredis *h = mt_load_acquire(&next_global); /* pairs with the release in next_of() */
        struct recycle       *here = recycle_here();

        if (MT_UNLIKELY(h == NULL)) {
                h = reply_memo.caller == DOOR_CALLER() ? reply_memo.hiredis : reply_free_rare(reply, DOOR_CALLER());
                if (h == NULL)
                        return;
        }
        if (MT_LIKELY(reply != NULL && recycle_wants(here, &h->abi)))
                recycle_give(here, reply, h->freeReplyObject);
        else
                h->freeReplyObject(reply);
}
