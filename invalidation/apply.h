/* apply.h - from event to effect, and the counting of it. */
#ifndef MT_INVALIDATION_APPLY_H
#define MT_INVALIDATION_APPLY_H

#include "event.h"
#include "invalidation.h"
#include "leader.h"

enum { APPLY_AHEAD = 16 };

/* Applied since the last apply_settle(): counters are added to once per read, not once per key. Keys wait a moment
 * until there are some: their buckets are asked for meanwhile, which in a large index are in no cache. */
struct apply {
        uint64_t keys;
        uint64_t slots;              /* that held something */
        uint32_t waiting;            /* keys that are not cleared yet */
        uint64_t hash[APPLY_AHEAD];  /* theirs */
        uint64_t walked_ns, walk_ns; /* by pattern: when the last walk ended, and how long it took */
};

/* Nothing may be concluded from what came after the key (a PONG) before apply_waiting(). */
void apply_remove(struct apply *apply, const struct leader *leader, struct mt_bytes key);
void apply_waiting(struct apply *apply, const struct leader *leader);
/* All namespaces of the server get new ids. What comes after in program order is seen after it. */
void apply_flush(const struct leader *leader);
/* Keys that match. O(index): where that is long, or would be done all the time, the server is flushed instead. */
void apply_pattern(struct apply *apply, const struct leader *leader, struct mt_bytes glob);
/* What a message says concerns the tiers below Redis too, in every database: it tells of a program's write, and not,
 * as tracking may, of Redis' own eviction. Waits for a store that is slow once, for as long as its timeout says;
 * then a debt stands for what was not done. EVENT_REMOVE, EVENT_PATTERN; whatever else: everything. */
void apply_below(const struct invalidation_config *config, const struct leader *leader, const struct event *event);
void apply_below_all(const struct invalidation_config *config, const struct leader *leader);
void apply_settle(struct apply *apply, struct leader *leader);

#endif
