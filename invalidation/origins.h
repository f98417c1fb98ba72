/* origins.h - who has announced what, so that a message that got lost is noticed: each origin counts its messages. */
#ifndef MT_INVALIDATION_ORIGINS_H
#define MT_INVALIDATION_ORIGINS_H

#include "../l1/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

enum { ORIGINS_SETS = 256, ORIGINS_WAYS = 4 };

struct origins {
        uint64_t seed; /* of the hash: nobody can choose origins that push each other out */
        uint32_t turn; /* whose place in a set is taken next */
        struct origins_way {
                uint64_t hash, sequence; /* sequence 0: free */
        } way[ORIGINS_SETS][ORIGINS_WAYS];
};

void origins_reset(struct origins *origins, uint64_t seed);
/* A message has come. False: some of this origin's, between the last one and this, have not. One that is met for the
 * first time, or was forgotten for lack of room, is taken as it is; so is one that begins to count anew. */
bool origins_follow(struct origins *origins, struct mt_bytes origin, uint64_t sequence);

#endif
