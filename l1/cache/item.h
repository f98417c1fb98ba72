/* item.h - reading and writing an item in the log. Every length is checked here before it becomes an address. */
#ifndef MT_CACHE_ITEM_H
#define MT_CACHE_ITEM_H

#include "../segment/segment.h"

enum { ITEM_KEY_QUICK = 32 };

struct item {
        uint32_t    namespace_id;
        uint32_t    deadline;
        uint32_t    klen;
        uint32_t    vlen; /* 0 when nil */
        bool        nil;
        const char *key; /* in the segment: what stands there may change while it is read */
        const char *value;
        uint64_t    size; /* with padding: the next item begins there */
};

/* Bytes of the log that an item takes. */
static inline uint64_t item_size(uint64_t klen, uint64_t vlen, bool nil)
{
        uint64_t extra = klen >= ITEM_KLEN_LONG || (!nil && vlen >= ITEM_NIL) ? ITEM_LONG_EXTRA : 0;

        return (sizeof(struct item_shm) + extra + klen + vlen + ITEM_ALIGN - 1) & ~(uint64_t)(ITEM_ALIGN - 1);
}

static inline uint32_t item_load(const void *at)
{
        return mt_load_relaxed((const _Atomic uint32_t *)at);
}

/* The item at an offset of the log area; false unless all of it lies in the log segment that the offset is in. */
static inline bool item_read(const struct l1 *l1, uint64_t offset, struct item *item)
{
        uint64_t    room = l1->logseg_mask + 1 - (offset & l1->logseg_mask);
        const char *at = l1->log + offset;
        uint64_t    klen, vlen, body = sizeof(struct item_shm);
        uint32_t    lens;

        if (MT_UNLIKELY(offset >= l1->log_bytes || room < body))
                return false;
        lens = item_load(at + offsetof(struct item_shm, lens));
        klen = lens >> 22;
        vlen = lens & ITEM_NIL;
        item->nil = vlen == ITEM_NIL;
        if (MT_UNLIKELY(klen == ITEM_KLEN_LONG)) {
                if (room < body + ITEM_LONG_EXTRA)
                        return false;
                klen = item_load(at + body);
                vlen = item_load(at + body + 4);
                item->nil = vlen == ITEM_LONG_NIL;
                body += ITEM_LONG_EXTRA;
        }
        if (item->nil)
                vlen = 0;
        if (MT_UNLIKELY(klen > ITEM_KEY_MAX || body + klen + vlen > room))
                return false;
        item->namespace_id = item_load(at);
        item->deadline = item_load(at + offsetof(struct item_shm, deadline));
        item->klen = (uint32_t)klen;
        item->vlen = (uint32_t)vlen;
        item->key = at + body;
        item->value = at + body + klen;
        item->size = (body + klen + vlen + ITEM_ALIGN - 1) & ~(uint64_t)(ITEM_ALIGN - 1);
        return true;
}

/* What differs in 8 bytes, of which the first may be changing: not 0 if any did. */
static inline uint64_t item_differ(const char *a, const char *b)
{
        uint64_t x = 0, y;

        mt_copy_from_shared(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return x ^ y;
}

/* Is it this key? */
static inline bool item_has_key(const struct item *item, struct mt_bytes key)
{
        if (item->klen != key.len)
                return false;
#ifdef MT_TSAN
        for (size_t i = 0; i < key.len; i++) {
                if (mt_load_relaxed((const _Atomic char *)item->key + i) != key.ptr[i])
                        return false;
        }
        return true;
#else
        return key.len == 0 || memcmp(item->key, key.ptr, key.len) == 0;
#endif
}

enum item_is { ITEM_OTHER, ITEM_THIS, ITEM_CORRUPT };

/* What a look-up asks of the item at an offset: is it this key's, in this namespace? By value, so that what is found
 * stays in registers. */
struct item_found {
        enum item_is is;
        bool         nil;
        uint32_t     deadline; /* these if it is */
        uint32_t     vlen;
        const char  *value;
};
struct item_found item_look_slowly(const struct l1 *l1, uint64_t offset, uint32_t namespace_id, struct mt_bytes key);

/* The same. A value behind a key of 8 to 32 bytes is recognised here, everything else by the way of item_read().
 * Lengths are believed no further than there: the key's is the one that is asked for, or it is another item, and where
 * the value ends is compared with the end of the log segment. */
static MT_INLINE struct item_found item_look(const struct l1 *l1, uint64_t offset, uint32_t namespace_id,
                                             struct mt_bytes key)
{
        const char *at = l1->log + offset, *a = at + sizeof(struct item_shm), *b = key.ptr;
        uint64_t    differ;
        uint32_t    vlen;

        if (MT_UNLIKELY(offset + sizeof(struct item_shm) > l1->log_bytes))
                return (struct item_found){.is = ITEM_CORRUPT};
        /* Less than ITEM_NIL when the key's length is this one and a value is there. */
        vlen = item_load(at + offsetof(struct item_shm, lens)) - ((uint32_t)key.len << 22);
        if (MT_UNLIKELY(key.len - 8 > ITEM_KEY_QUICK - 8 || vlen >= ITEM_NIL))
                return item_look_slowly(l1, offset, namespace_id, key);
        if (MT_UNLIKELY((offset & l1->logseg_mask) + sizeof(struct item_shm) + key.len + vlen - 1 > l1->logseg_mask))
                return (struct item_found){.is = ITEM_CORRUPT};
        differ = item_load(at) ^ namespace_id;
        differ |= item_differ(a, b) | item_differ(a + key.len - 8, b + key.len - 8);
        if (key.len > 16) /* 16 from each end, overlapping in the middle */
                differ |= item_differ(a + 8, b + 8) | item_differ(a + key.len - 16, b + key.len - 16);
        return (struct item_found){.is = MT_UNLIKELY(differ != 0) ? ITEM_OTHER : ITEM_THIS,
                                   .nil = false,
                                   .deadline = item_load(at + offsetof(struct item_shm, deadline)),
                                   .vlen = vlen,
                                   .value = a + key.len};
}

/* Write one where nobody looks yet; size is item_size() of the same. */
void item_write(char *at, uint32_t namespace_id, uint32_t deadline, struct mt_bytes key, struct mt_bytes value);

#endif
