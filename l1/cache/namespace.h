/* namespace.h - which namespace ids are alive, and the tables of servers and namespaces.
 *
 * Both tables are read without a lock and changed under header->table_owner, which names the process that changes them:
 *   FREE     -> CLAIMED   table_enter(), being filled in            a CLAIMED that stands there when somebody else
 *   CLAIMED  -> READY     everything is in place                    enters was left by the dead: it is FREE
 *   READY    -> CLAIMED   given to another server (incarnation first, then its namespaces' ids, then the rest)
 * A flush changes ids without entering: it must never have to wait. */
#ifndef MT_CACHE_NAMESPACE_H
#define MT_CACHE_NAMESPACE_H

#include "../segment/segment.h"

/* Changing the tables. False: the living are at it and took too long, or this process may not write. */
bool namespace_enter(struct l1 *l1);
void namespace_leave(struct l1 *l1);

/* Slots ever claimed. */
uint32_t namespace_high(const struct l1 *l1);
/* Nothing of this server is served or filled from here on; its places are free. Only between enter and leave. */
void namespace_drop_server(struct l1 *l1, uint32_t server_index);
/* Give away the places of all servers but one that were unused for a minute, and with them their namespaces; true if
 * there were any. Only between enter and leave. In server.c. */
bool server_retire_unused(struct l1 *l1, const struct server_shm *keep, uint64_t now_ns);

/* Does any namespace carry this id now? */
bool namespace_lives(const struct l1 *l1, uint32_t id);

/* The same for many ids at a time: a bit for each, but not a bit of its own, so it may say yes for a dead one. */
#define NAMESPACE_FILTER_BITS 8192u
struct namespace_filter {
        uint64_t word[NAMESPACE_FILTER_BITS / 64];
};
void namespace_filter_build(const struct l1 *l1, struct namespace_filter *filter);

static inline uint32_t namespace_filter_bit(uint32_t id)
{
        return (id / SERVER_MAX + id % SERVER_MAX * (NAMESPACE_FILTER_BITS / SERVER_MAX)) % NAMESPACE_FILTER_BITS;
}

static inline bool namespace_filter_has(const struct namespace_filter *filter, uint32_t id)
{
        uint32_t bit = namespace_filter_bit(id);

        return filter->word[bit / 64] >> (bit % 64) & 1;
}

#endif
