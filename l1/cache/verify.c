/* verify.c - the promises that hold at every instruction, whoever died when.
 *
 *   header   still says what this process read when it attached
 *   log      [0, head) of each log segment is a row of whole items, backed by memory
 *   index    each LIVE slot stands in a bucket of its item's key, points inside what is committed, under the
 *            generation of its log segment, and no two point to the same item */
#include "verify.h"

#include "index.h"
#include "item.h"

#include <sys/mman.h>

#define VERIFY_TRIES 3

const char *verify_header(const struct l1 *l1)
{
        const struct segment_shm *header = l1->header;

        if (mt_load_acquire(&header->magic) != SEGMENT_MAGIC || header->abi != SEGMENT_ABI ||
            header->fingerprint != geometry_fingerprint())
                return "the header is not that of a segment of this version";
        if (header->l1_size != l1->geometry.l1_size || header->logseg_size != l1->geometry.logseg_size)
                return "the header's sizes are not those of the geometry";
        if (header->hash_key[0] != l1->hash_key.word[0] || header->hash_key[1] != l1->hash_key.word[1])
                return "the hash key has changed";
        if (mt_load_relaxed(&header->namespaces_high) > NAMESPACE_MAX)
                return "more namespaces than there is room for";
        return NULL;
}

/* ------------------------------------------------------------------------------------------------------------- log */

static const char *verify_walk(const struct l1 *l1, uint32_t number, uint64_t head)
{
        uint64_t    at = number * (l1->logseg_mask + 1), end = at + head;
        struct item item;

        while (at < end) {
                if (!item_read(l1, at, &item))
                        return "an item in the log has lengths that make no sense";
                at += item.size;
        }
        return at == end ? NULL : "an item reaches beyond what is committed";
}

/* Not the owner's: acquire pairs with the release in logseg_commit(), what is below head has been written. */
static const char *verify_logseg(const struct l1 *l1, uint32_t number)
{
        const struct logseg_shm *shm = &l1->logsegs[number];
        /* [V] acquire: pairs with the releases in logseg.c and evict.c. */
        uint32_t state = mt_load_acquire(&shm->state), head = mt_load_acquire(&shm->head);
        uint32_t ready = mt_load_acquire(&shm->ready);

        if (state > LOGSEG_RECLAIM)
                return "a log segment is in no known state";
        if (head > l1->logseg_mask + 1 || head % ITEM_ALIGN != 0)
                return "a log segment's head is beyond its end";
        if (ready > l1->logseg_mask + 1 || head > ready)
                return "a log segment has more bytes than memory";
        return verify_walk(l1, number, head);
}

const char *verify_log(const struct l1 *l1)
{
        for (uint32_t i = 0; i < l1->geometry.logseg_count; i++) {
                const char *fault = NULL;

                /* A writer that takes its item back, or a reclaim, may pass under a walk: a fault that stays counts. */
                for (int try = 0; try < VERIFY_TRIES; try++) {
                        fault = verify_logseg(l1, i);
                        if (fault == NULL)
                                break;
                }
                if (fault != NULL)
                        return fault;
        }
        return NULL;
}

/* ----------------------------------------------------------------------------------------------------------- index */

static const char *verify_pieces(const struct l1 *l1, const struct item *list)
{
        struct item piece;

        for (uint64_t i = 0; i < item_pieces(l1, list->vlen); i++) {
                uint64_t offset = item_piece_offset(list->value, i);

                if (!item_read(l1, offset, &piece) || piece.form != ITEM_FORM_PIECE ||
                    piece.vlen != item_piece_length(l1, list->vlen, i))
                        return "a list names what is no piece of it";
                if ((offset & l1->logseg_mask) + piece.size >
                    mt_load_acquire(&l1->logsegs[offset / (l1->logseg_mask + 1)].head))
                        return "a piece lies beyond what is committed";
        }
        return NULL;
}

static const char *verify_slot(const struct l1 *l1, const struct bucket_shm *bucket, uint64_t word)
{
        uint64_t                 offset = slot_offset(l1, word);
        const struct logseg_shm *shm;
        struct index_place       place;
        struct item              item;
        const char              *fault;

        if (!item_read(l1, offset, &item))
                return "a slot points to no item";
        shm = &l1->logsegs[offset / (l1->logseg_mask + 1)];
        if (slot_generation_of(l1, mt_load_acquire(&shm->generation)) != slot_generation(l1, word))
                return "a slot points to a generation that is gone";
        if (mt_load_acquire(&shm->state) == LOGSEG_FREE)
                return "a slot points into a free log segment";
        if (item.form == ITEM_FORM_PIECE)
                return "a slot points to a piece";
        if ((offset & l1->logseg_mask) + item.size > mt_load_acquire(&shm->head))
                return "a slot points beyond what is committed";
        if (item.form == ITEM_FORM_LIST && (fault = verify_pieces(l1, &item)) != NULL)
                return fault;
        place = index_place(l1, index_hash_item(l1, item.namespace_id, item.key, item.klen));
        if (place.bucket[0] != bucket && place.bucket[1] != bucket)
                return "a slot stands in a bucket that is not its key's";
        return NULL;
}

/* Remember that a slot points to this place, under this generation; true when one did before. Under another generation
 * it is another item: the log segment was reclaimed and filled again while we looked. */
static bool verify_seen(const struct l1 *l1, uint32_t *seen, uint64_t word)
{
        uint64_t place = slot_offset(l1, word) / ITEM_ALIGN;
        uint32_t mark = slot_generation(l1, word) + 1; /* never 0: it has 31 bits at most */
        bool     before = seen[place] == mark;

        seen[place] = mark;
        return before;
}

static const char *verify_slots(const struct l1 *l1, uint32_t *seen)
{
        for (uint32_t b = 0; b < l1->bucket_count; b++) {
                for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
                        const _Atomic uint64_t *slot = &l1->index[b].slot[i];
                        uint64_t                word = mt_load_acquire(slot);
                        const char             *fault;

                        if (slot_state(word) == SLOT_EMPTY && word != 0)
                                return "a slot is in no known state";
                        if (slot_state(word) != SLOT_LIVE)
                                continue;
                        fault = verify_slot(l1, &l1->index[b], word);
                        if (fault != NULL && mt_load_acquire(slot) == word)
                                return fault;
                        if (fault == NULL && verify_seen(l1, seen, word) && mt_load_acquire(slot) == word)
                                return "two slots point to one item";
                }
        }
        return NULL;
}

const char *verify_index(const struct l1 *l1)
{
        size_t    bytes = l1->log_bytes / ITEM_ALIGN * sizeof(uint32_t);
        uint32_t *seen = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        const char *fault;

        if (seen == MAP_FAILED)
                return "no memory to verify it";
        fault = verify_slots(l1, seen);
        munmap(seen, bytes);
        return fault;
}
