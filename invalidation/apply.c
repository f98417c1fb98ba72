/* apply.c - the only place of this room that touches entries. Idempotent: clearing once more is harmless, so a former
 * leader, or a message read twice, does no wrong. */
#include "apply.h"

#include "../l1/base/glob.h"
#include "../l1/tier/tier.h"

enum { APPLY_GLOB = 1024, APPLY_ADDRESS = sizeof((struct server_shm *)0)->address };

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

/* A walk keeps all servers of this thread waiting: not where it takes longer than a short lease can wait, and not for
 * more than a tenth of the time. */
#define APPLY_WALK_BYTES (UINT64_C(256) << 20) /* of a whole segment: some 100 ms */
enum { APPLY_WALK_SHARE = 10 };

static bool apply_may_walk(const struct apply *apply, const struct leader *leader, uint64_t now_ns)
{
        struct l1_totals totals;

        if (now_ns - apply->walked_ns < apply->walk_ns * APPLY_WALK_SHARE)
                return false;
        l1_totals(leader->l1, false, &totals);
        return totals.bytes_total <= APPLY_WALK_BYTES;
}

void apply_pattern(struct apply *apply, const struct leader *leader, struct mt_bytes glob)
{
        uint64_t begin_ns = clock_precise_ns();

        apply->keys++;
        if (mt_bytes_equal(glob, mt_bytes_of("*")) || !apply_may_walk(apply, leader, begin_ns)) {
                apply_flush(leader);
                return;
        }
        apply->slots += l1_remove_pattern(leader->l1, glob);
        apply->walked_ns = clock_precise_ns();
        apply->walk_ns = apply->walked_ns - begin_ns;
}

static bool apply_tiers(const struct invalidation_config *config, const struct leader *leader, struct tiers **tiers,
                        char address[APPLY_ADDRESS])
{
        *tiers = config->tiers != NULL ? config->tiers() : NULL;
        mt_copy_from_shared(address, leader->server->address, APPLY_ADDRESS);
        address[APPLY_ADDRESS - 1] = '\0';
        return *tiers != NULL;
}

void apply_below_all(const struct invalidation_config *config, const struct leader *leader)
{
        char          address[APPLY_ADDRESS];
        struct tiers *tiers;

        if (apply_tiers(config, leader, &tiers, address))
                tiers_flush(tiers, mt_bytes_of(address), TIER_EVERY_DATABASE);
}

void apply_below(const struct invalidation_config *config, const struct leader *leader, const struct event *event)
{
        char            address[APPLY_ADDRESS], glob[APPLY_GLOB];
        struct tiers   *tiers;
        struct mt_bytes pattern = event->bytes;

        if (!apply_tiers(config, leader, &tiers, address))
                return;
        if (event->kind == EVENT_REMOVE)
                pattern = glob_literal(event->bytes, glob, sizeof glob);
        if (pattern.ptr == NULL || (event->kind != EVENT_REMOVE && event->kind != EVENT_PATTERN))
                tiers_flush(tiers, mt_bytes_of(address), TIER_EVERY_DATABASE);
        else
                tiers_remove_pattern(tiers, mt_bytes_of(address), TIER_EVERY_DATABASE, pattern);
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
