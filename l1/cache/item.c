/* item.c - the writing side: the owner of a log segment puts an item where no slot points yet; the general way of
 * recognising one; and values in pieces.
 *
 * A piece is bound to the slot of its owner by the hash and the lease that it carries: whoever reclaims a piece first
 * clears that slot, or turns it to a list that says where the piece is now (evict.c). So the reader's look at its slot
 * after the copy vouches for the pieces as it does for the item. */
#include "item.h"

struct item_found item_look_slowly(const struct l1 *l1, uint64_t offset, uint32_t namespace_id, struct mt_bytes key)
{
        struct item item;
        bool        ours;

        if (!item_read(l1, offset, &item))
                return (struct item_found){.is = ITEM_CORRUPT};
        ours = item.namespace_id == namespace_id && item_has_key(&item, key);
        return (struct item_found){.is = ours ? ITEM_THIS : ITEM_OTHER,
                                   .nil = item.nil,
                                   .in_pieces = item.form != ITEM_FORM_WHOLE,
                                   .deadline = item.deadline,
                                   .vlen = item.vlen,
                                   .value = item.value};
}

static char *item_put(char *at, const void *from, size_t n)
{
        if (n > 0)
                mt_copy_to_shared(at, from, n);
        return at + n;
}

static char *item_put_long(char *at, uint32_t namespace_id, uint32_t deadline, uint32_t klen, uint32_t vlen)
{
        struct item_shm head = {.lens = ITEM_KLEN_LONG << 22, .namespace_id = namespace_id, .deadline = deadline};
        uint32_t        lengths[2] = {klen, vlen};

        return item_put(item_put(at, &head, sizeof head), lengths, sizeof lengths);
}

void item_write(char *at, uint32_t namespace_id, uint32_t deadline, struct mt_bytes key, struct mt_bytes value)
{
        bool            nil = value.ptr == NULL;
        uint32_t        klen = (uint32_t)key.len, vlen = nil ? 0 : (uint32_t)value.len;
        struct item_shm head = {.lens = klen << 22 | (nil ? ITEM_NIL : vlen),
                                .namespace_id = namespace_id,
                                .deadline = deadline};

        if (klen >= ITEM_KLEN_LONG || (!nil && vlen >= ITEM_NIL))
                at = item_put_long(at, namespace_id, deadline, klen, nil ? ITEM_LONG_NIL : vlen);
        else
                at = item_put(at, &head, sizeof head);
        at = item_put(at, key.ptr, klen);
        item_put(at, value.ptr, vlen);
}

uint64_t item_list_size(const struct l1 *l1, uint64_t klen, uint64_t vlen)
{
        return item_pad(sizeof(struct item_shm) + ITEM_LONG_EXTRA + klen + item_pieces(l1, vlen) * sizeof(uint32_t));
}

void item_write_list(char *at, uint32_t namespace_id, uint32_t deadline, struct mt_bytes key, uint32_t vlen,
                     const uint32_t *offset, uint64_t pieces)
{
        at = item_put_long(at, namespace_id, deadline, (uint32_t)key.len | ITEM_LIST, vlen);
        at = item_put(at, key.ptr, key.len);
        item_put(at, offset, pieces * sizeof *offset);
}

uint64_t item_piece_size(uint64_t len)
{
        return item_pad(sizeof(struct item_shm) + ITEM_LONG_EXTRA + sizeof(struct item_owner) + len);
}

void item_write_piece(char *at, uint32_t deadline, const struct item_owner *owner, struct mt_bytes bytes)
{
        at = item_put_long(at, 0, deadline, sizeof *owner | ITEM_PIECE, (uint32_t)bytes.len);
        at = item_put(at, owner, sizeof *owner);
        item_put(at, bytes.ptr, bytes.len);
}

int64_t item_list_find(const struct l1 *l1, const struct item *list, uint64_t offset)
{
        uint64_t pieces = item_pieces(l1, list->vlen);

        for (uint64_t i = 0; i < pieces; i++) {
                if (item_piece_offset(list->value, i) == offset)
                        return (int64_t)i;
        }
        return -1;
}

bool item_gather(const struct l1 *l1, const char *list, uint64_t vlen, char *to)
{
        uint64_t    pieces = item_pieces(l1, vlen);
        struct item piece;

        for (uint64_t i = 0; i < pieces; i++) {
                uint64_t length = item_piece_length(l1, vlen, i);

                if (!item_read(l1, item_piece_offset(list, i), &piece) || piece.form != ITEM_FORM_PIECE ||
                    piece.vlen != length)
                        return false;
                mt_copy_from_shared(to, piece.value, length);
                to += length;
        }
        return true;
}
