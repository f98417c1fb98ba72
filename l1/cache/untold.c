/* untold.c - which keys were read here, for whoever tells the server, which sees misses alone.
 *
 * A walk over the marks: a hit counts there, beside eviction's count, the reads that Redis has not been told of. The
 * item's key is copied first, as a hit copies a value: then the slot is looked at again, and only a copy that was the
 * item's own counts. Then the reads are taken from the mark by compare-and-swap: one that comes meanwhile is not lost,
 * the exchange fails, and all of them are told in the next walk. */
#include "index.h"
#include "item.h"
#include "namespace.h"

/* The database whose namespace carries the id now; false when none of this server does any more. */
static bool untold_database(const struct l1 *l1, uint32_t server_index, uint32_t id, uint32_t *database)
{
        uint32_t high = namespace_high(l1);

        for (uint32_t i = 0; i < high; i++) {
                const struct namespace_shm *ns = &l1->namespaces[i];
                struct namespace_shm        copy;

                if (mt_load_acquire(&ns->id) != id)
                        continue;
                mt_copy_from_shared(&copy.server, &ns->server, sizeof copy - offsetof(struct namespace_shm, server));
                *database = copy.database;
                return copy.server == server_index;
        }
        return false;
}

/* Is it of this server, something that Redis has, and its key no longer than is wanted? */
static bool untold_is_wanted(const struct l1_untold *walk, const struct item *item)
{
        return !item->nil && item->form != ITEM_FORM_PIECE && item->namespace_id % SERVER_MAX == walk->server_index &&
               item->klen <= walk->key_max;
}

static enum l1_untold_step untold_look(const struct l1 *l1, const struct l1_untold *walk, struct bucket_shm *bucket,
                                       uint64_t word, uint8_t mark, char *to, size_t room, struct l1_untold_key *key)
{
        struct item item;

        if (!item_read(l1, slot_offset(l1, word), &item) || !untold_is_wanted(walk, &item))
                return L1_UNTOLD_MORE;
        if (item.klen > room)
                return L1_UNTOLD_FULL;
        mt_copy_from_shared(to, item.key, item.klen);
        /* [R1] acquire: pairs with [R2] in evict.c and logseg.c; if bytes were written over the item's, its slot is
         * seen to have changed. */
        mt_fence_acquire();
        if (mt_load_relaxed(&bucket->slot[walk->slot]) != word ||
            !untold_database(l1, walk->server_index, item.namespace_id, &key->database) ||
            !mt_cas_acq_rel(&bucket->mark[walk->slot], &mark, slot_mark_told(mark)))
                return L1_UNTOLD_MORE;
        key->len = item.klen;
        key->reads = slot_untold(mark);
        return L1_UNTOLD_KEY;
}

/* One slot. The mark first: most say that there is nothing to tell, and their slots are not looked at. */
static enum l1_untold_step untold_visit(const struct l1 *l1, struct l1_untold *walk, struct bucket_shm *bucket,
                                        char *to, size_t room, struct l1_untold_key *key)
{
        uint8_t  mark = mt_load_relaxed(&bucket->mark[walk->slot]);
        unsigned reads = slot_untold(mark);
        uint64_t word;

        if (reads == 0)
                return L1_UNTOLD_MORE;
        word = mt_load_acquire(&bucket->slot[walk->slot]); /* [A]: pairs with [B] in l1_fill(), the item is whole */
        if (slot_state(word) != SLOT_LIVE)
                return L1_UNTOLD_MORE;
        walk->found[reads]++;
        return reads < walk->least ? L1_UNTOLD_MORE : untold_look(l1, walk, bucket, word, mark, to, room, key);
}

enum l1_untold_step l1_next_untold(struct l1 *l1, struct l1_untold *walk, uint32_t buckets, char *to, size_t room,
                                   struct l1_untold_key *key)
{
        if (!l1->writable)
                return L1_UNTOLD_END;
        for (; walk->bucket < l1->bucket_count && buckets > 0; walk->bucket++, walk->slot = 0, buckets--) {
                for (; walk->slot < BUCKET_SLOTS; walk->slot++) {
                        enum l1_untold_step step = untold_visit(l1, walk, &l1->index[walk->bucket], to, room, key);

                        if (step == L1_UNTOLD_MORE)
                                continue;
                        walk->slot += step == L1_UNTOLD_KEY;
                        return step;
                }
        }
        return walk->bucket < l1->bucket_count ? L1_UNTOLD_MORE : L1_UNTOLD_END;
}
