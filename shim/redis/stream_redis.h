/* stream_redis.h - Redis Streams behind the table of backend.h. Redis 5 and later.
 *
 * Waiting. A reader that waits asks the server again every two seconds at most, so that one that went silent is noticed
 * after that and the store's timeout. One that loses its server (or finds it loading) tries again, after 20 ms and then
 * after twice as long each time, up to a second, until block_ms have passed: then it is MT_ERROR, not MT_MISS. It
 * misses nothing: it goes on behind the id that it was given, and "$" is made the id of the newest entry first, since
 * what came while there was no connection would not be behind a "$" of later. A server that refuses us (a password, a
 * right, a group that is not there) is an error at once.
 *
 * Groups. What a consumer was given and did not acknowledge it is given again by its next call, oldest first, before
 * anything new: acknowledge before you read on, and one thread is one consumer. So nothing is lost with a reply that
 * never came. Entries that were deleted or trimmed while they waited to be acknowledged have no fields any more: they
 * are acknowledged here, and nobody is shown them. A call looks through a part of what others left idle, the next one
 * goes on behind it, in this object: a large backlog of entries that are not idle costs each call little.
 *
 * stream_add() is never tried twice: MT_ERROR may mean that it was added. count 0: MT_MISS. */
#ifndef MT_REDIS_STREAM_REDIS_H
#define MT_REDIS_STREAM_REDIS_H

#include "store.h"

/* self: struct redis_store; its prefix stands before the names of streams, not of groups and consumers. Threads: any
 * number at once; each that waits has a connection of its own meanwhile. */
extern const struct mt_stream_ops redis_stream_ops;

#endif
