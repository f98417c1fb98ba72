/* stream_group.h - one consumer of a group reads. */
#ifndef MT_REDIS_STREAM_GROUP_H
#define MT_REDIS_STREAM_GROUP_H

#include "stream_ask.h"
#include "stream_claim.h"
#include "stream_entries.h"

/* As stream_read_group() of backend.h. */
enum mt_status stream_group_read(const struct stream_group *g, size_t count, int64_t block_ms, struct stream_taker *t);
/* XACK; no ids are nothing to do. */
enum stream_result stream_group_ack(const struct stream_group *g, const struct mt_bytes *id, size_t ids);

#endif
