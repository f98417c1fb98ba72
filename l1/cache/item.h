/* item.h - reading and writing an item in the log. Every length is checked here before it becomes an address. */
#ifndef MT_CACHE_ITEM_H
#define MT_CACHE_ITEM_H

#include "../segment/segment.h"

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

static inline uint64_t item_word(const char *p)
{
        uint64_t v;

        memcpy(&v, p, sizeof v);
        return v;
}

/* Is it this key? Most have 8 bytes or more: then words, the last one overlapping, instead of a call. */
static inline bool item_has_key(const struct item *item, struct mt_bytes key)
{
        const char *a = item->key, *b = key.ptr;

        if (item->klen != key.len)
                return false;
#ifdef MT_TSAN
        for (size_t i = 0; i < key.len; i++) {
                if (mt_load_relaxed((const _Atomic char *)a + i) != b[i])
                        return false;
        }
        return true;
#else
        if (MT_UNLIKELY(key.len < 8 || key.len > 64))
                return key.len == 0 || memcmp(a, b, key.len) == 0;
        for (size_t i = 0; i + 8 < key.len; i += 8) {
                if (item_word(a + i) != item_word(b + i))
                        return false;
        }
        return item_word(a + key.len - 8) == item_word(b + key.len - 8);
#endif
}

/* Write one where nobody looks yet; size is item_size() of the same. */
void item_write(char *at, uint32_t namespace_id, uint32_t deadline, struct mt_bytes key, struct mt_bytes value);

#endif
