/* apply.c - the only place of this room that touches entries. Idempotent: clearing once more is harmless, so a former
 * leader, or a message read twice, does no wrong. */
#include "apply.h"

void apply_remove(struct apply *apply, const struct leader *leader, struct mt_bytes key)
{
        uint64_t hash = l1_hash(leader->l1, leader->index, key);

        l1_prefetch(leader->l1, hash);
        apply->hash[apply->waiting++] = hash;
        if (apply->waiting == APPLY_AHEAD)
                apply_waiting(apply, leader);
}

void apply_waiting(struct apply *apply, const struct leader *leader)
{
        for (uint32_t i = 0; i < apply->waiting; i++)
                apply->slots += l1_remove(leader->l1, apply->hash[i]);
        apply->keys += apply->waiting;
        apply->waiting = 0;
}

void apply_flush(const struct leader *leader)
{
        l1_flush_server(leader->l1, leader->server);
}

void apply_settle(struct apply *apply, struct leader *leader)
{
        apply_waiting(apply, leader);
        if (apply->keys == 0)
                return;
        leader->keys += apply->keys;
        mt_fetch_add_relaxed(&leader->server->invalidations, apply->keys);
        l1_count(leader->l1, COUNTER_invalidations, apply->keys);
        apply->keys = apply->slots = 0;
}
