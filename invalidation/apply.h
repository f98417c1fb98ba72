/* apply.h - from event to effect, and the counting of it. */
#ifndef MT_INVALIDATION_APPLY_H
#define MT_INVALIDATION_APPLY_H

#include "event.h"
#include "leader.h"

/* Applied since the last apply_settle(): counters are added to once per read, not once per key. */
struct apply {
        uint64_t keys;
        uint64_t slots;              /* that held something */
        uint64_t walked_ns, walk_ns; /* by pattern: when the last walk ended, and how long it took */
};

void apply_remove(struct apply *apply, const struct leader *leader, struct mt_bytes key);
/* All namespaces of the server get new ids. What comes after in program order is seen after it. */
void apply_flush(const struct leader *leader);
/* Keys that match. O(index): where that is long, or would be done all the time, the server is flushed instead. */
void apply_pattern(struct apply *apply, const struct leader *leader, struct mt_bytes glob);
void apply_settle(struct apply *apply, struct leader *leader);

#endif
