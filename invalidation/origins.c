/* origins.c - a table of sets: an origin has one set, and in it any of four places. */
#include "origins.h"

#include "../l1/base/hash.h"

void origins_reset(struct origins *origins, uint64_t seed)
{
        memset(origins, 0, sizeof *origins);
        origins->seed = seed;
}

bool origins_follow(struct origins *origins, struct mt_bytes origin, uint64_t sequence)
{
        uint64_t            hash = mt_hash(origin.ptr, origin.len, (struct hash_key){{origins->seed, 1}});
        struct origins_way *set = origins->way[hash % ORIGINS_SETS], *to = NULL;
        uint64_t            last;

        for (unsigned i = 0; i < ORIGINS_WAYS && !to; i++)
                if (set[i].sequence != 0 && set[i].hash == hash)
                        to = &set[i];
        last = to ? to->sequence : 0;
        for (unsigned i = 0; i < ORIGINS_WAYS && !to; i++)
                if (set[i].sequence == 0)
                        to = &set[i];
        if (!to)
                to = &set[origins->turn++ % ORIGINS_WAYS];
        *to = (struct origins_way){.hash = hash, .sequence = sequence};
        return last == 0 || sequence <= last + 1;
}
