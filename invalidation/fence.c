/* fence.c - when PINGs leave and what PONGs prove. Pure, but for fence_advance(): it owns server->fresh_at_ns. */
#include "fence.h"

void fence_reset(struct fence *fence)
{
        fence->sent_ns = fence->answered_ns = fence->last_ns = 0;
        fence->rebuffed = false;
}

void fence_want(struct fence *fence, uint64_t now_ns)
{
        if (now_ns > fence->wanted_ns)
                fence->wanted_ns = now_ns;
}

uint64_t fence_due_ns(const struct fence *fence, uint64_t period_ns)
{
        if (fence->sent_ns != 0)
                return UINT64_MAX;
        if (fence->last_ns == 0)
                return 0;
        if (fence->wanted_ns == 0 || fence->rebuffed)
                return fence->last_ns + period_ns;
        if (fence->wanted_ns <= fence->answered_ns) /* one more PONG will do */
                return 0;
        return fence->last_ns + (period_ns < FENCE_HURRY_NS ? period_ns : FENCE_HURRY_NS);
}

void fence_sent(struct fence *fence, uint64_t before_ns)
{
        fence->sent_ns = fence->last_ns = before_ns;
        fence->rebuffed = false;
}

bool fence_pong(struct fence *fence, uint64_t *proved_ns)
{
        if (fence->sent_ns == 0)
                return false;
        *proved_ns = fence->answered_ns;
        if (*proved_ns == 0) /* the first of this connection: the lease is not open, the next one is wanted at once */
                fence_want(fence, fence->sent_ns);
        else if (*proved_ns >= fence->wanted_ns)
                fence->wanted_ns = 0;
        fence->answered_ns = fence->sent_ns;
        fence->sent_ns = 0;
        return true;
}

uint64_t fence_answered(struct fence *fence, bool rebuffed)
{
        uint64_t sent_ns = fence->sent_ns;

        if (sent_ns >= fence->wanted_ns)
                fence->wanted_ns = 0;
        fence->sent_ns = 0;
        fence->rebuffed = rebuffed;
        return sent_ns;
}

bool fence_refused(struct fence *fence)
{
        bool outstanding = fence->sent_ns != 0;

        fence->sent_ns = 0;
        fence->rebuffed = true;
        return outstanding;
}

void fence_advance(struct server_shm *server, uint64_t proved_ns, bool (*holds)(const void *arg), const void *arg)
{
        uint64_t was_ns;

        do {
                /* Loaded before the leadership is looked at: if the place is given away in between, its fresh_at has
                 * become another and the exchange fails. */
                was_ns = mt_load_acquire(&server->fresh_at_ns);
                if (was_ns >= proved_ns && was_ns - proved_ns < NS_PER_S * 3600)
                        return; /* another listener has proved more; a time an hour ahead was not written by one */
                if (!holds(arg))
                        return;
                /* [F2] release: pairs with [F1] in invalidation_fresh(). The namespace ids that a flush has changed,
                 * and the slots that this stream has cleared, were stored before; whoever sees the new time sees them
                 * too. */
        } while (!mt_cas_acq_rel(&server->fresh_at_ns, &was_ns, proved_ns));
}
