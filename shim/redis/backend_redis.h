/* backend_redis.h - Redis as a tier: l3=redis:host:port?db=1. Another Redis than the program's, mostly, or another
 * database of it; other hosts may share it.
 *
 *   address      as redis_address_parse() takes it; "//user@host:port/db" too
 *   db           its number; 0
 *   user         for AUTH; none
 *   password_file  its first line is the password; none
 *   tls          1: through TLS (hiredis 1.0 and later), the certificate made out to the host; 0
 *   ca_file, ca_dir, cert_file, key_file   of TLS; the system's store, nothing to show
 *   max_item     larger values are refused; 16M, at most 512M; so are keys of more than 1 MiB
 *
 * Times to live are Redis' own less one ms, in the course of which it would be late; what get_with_ttl() says is less
 * by the time that the answer took, rounded up. More than 2^62 ms are taken for that. A call waits twice timeout_ms at
 * most if it has to connect, the removal of a pattern and a flush so long for each thousand keys of the database.
 *
 * Marks are a hash beside the keys, named prefix + NUL + "marks": of each of 4096 groups of keys a random number, which
 * is there from the first mark() of the group until the next removal of a key of it. A removal takes both away; a
 * pattern and a flush take the whole hash, before they begin and when they are done. Scripts (EVAL) are needed for
 * get_with_ttl() and set_marked(). Whoever empties the database (FLUSHALL, an eviction, a restart) makes all marks void
 * as well. A Redis that comes back with an older state than it had (RDB, AOF that is not flushed at each write) comes
 * back with what was removed since: as with any key of it. */
#ifndef MT_REDIS_BACKEND_REDIS_H
#define MT_REDIS_BACKEND_REDIS_H

#include "store.h"

/* self: struct redis_store. */
extern const struct mt_l2_ops redis_l2_ops;

/* For tiers_register(). */
extern const struct mt_backend backend_redis;

#endif
