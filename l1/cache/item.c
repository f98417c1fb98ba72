/* item.c - the writing side: the owner of a log segment puts an item where no slot points yet; and the general way of
 * recognising one. */
#include "item.h"

struct item_found item_look_slowly(const struct l1 *l1, uint64_t offset, uint32_t namespace_id, struct mt_bytes key)
{
        struct item item;
        bool        ours;

        if (!item_read(l1, offset, &item))
                return (struct item_found){.is = ITEM_CORRUPT};
        ours = item.namespace_id == namespace_id && item_has_key(&item, key);
        return (struct item_found){ours ? ITEM_THIS : ITEM_OTHER, item.nil, item.deadline, item.vlen, item.value};
}

static char *item_put(char *at, const void *from, size_t n)
{
        if (n > 0)
                mt_copy_to_shared(at, from, n);
        return at + n;
}

void item_write(char *at, uint32_t namespace_id, uint32_t deadline, struct mt_bytes key, struct mt_bytes value)
{
        bool            nil = value.ptr == NULL;
        uint32_t        klen = (uint32_t)key.len, vlen = nil ? 0 : (uint32_t)value.len;
        bool            is_long = klen >= ITEM_KLEN_LONG || (!nil && vlen >= ITEM_NIL);
        uint32_t        lengths[2] = {klen, nil ? ITEM_LONG_NIL : vlen};
        struct item_shm head = {
                .namespace_id = namespace_id,
                .deadline = deadline,
                .lens = is_long ? ITEM_KLEN_LONG << 22 : klen << 22 | (nil ? ITEM_NIL : vlen),
        };

        at = item_put(at, &head, sizeof head);
        if (is_long)
                at = item_put(at, lengths, sizeof lengths);
        at = item_put(at, key.ptr, klen);
        item_put(at, value.ptr, vlen);
}
