/* name.h - under which key a tier has a key of one database of one server, and the globs for many of them.
 *
 *   DATABASE:LENGTH:SERVER:KEY    no other server, database and key give the same name
 *   DATABASE:KEY                  where the tier's prefix stands for the server */
#ifndef MT_TIER_NAME_H
#define MT_TIER_NAME_H

#include "tier.h"

enum { NAME_KEY_MAX = 4096, NAME_MAX_BYTES = NAME_KEY_MAX + 512 };

/* False: too long for a tier; none has such a key. */
bool name_key(char to[NAME_MAX_BYTES], bool with_server, const struct tier_key *key, struct mt_bytes *name);
/* False: too long. */
bool name_glob(char to[NAME_MAX_BYTES], bool with_server, struct mt_bytes server, uint32_t database,
               struct mt_bytes glob, struct mt_bytes *name);

#endif
