/* item.h - reading and writing an item in the log. Every length is checked here before it becomes an address. */
#ifndef MT_CACHE_ITEM_H
#define MT_CACHE_ITEM_H

#include "../segment/segment.h"

enum item_form {
        ITEM_FORM_WHOLE, /* the value follows the key */
        ITEM_FORM_LIST,  /* the offsets of its pieces do */
        ITEM_FORM_PIECE, /* a part of somebody's value; its key is a struct item_owner */
};

/* Whose piece it is: the hash under which the owner stands, and the PENDING word under which it was filled. */
struct item_owner {
        uint64_t hash, pending;
};

enum { ITEM_KEY_QUICK = 32 };

struct item {
        uint32_t    namespace_id;
        uint32_t    deadline;
        uint32_t    klen;
        uint32_t    vlen; /* 0 when nil */
        bool        nil;
        uint8_t     form; /* enum item_form */
        const char *key;  /* in the segment: what stands there may change while it is read */
        const char *value;
        uint64_t    size; /* with padding: the next item begins there */
};

static inline uint64_t item_pad(uint64_t bytes)
{
        return (bytes + ITEM_ALIGN - 1) & ~(uint64_t)(ITEM_ALIGN - 1);
}

/* Bytes of the log that an item takes. */
static inline uint64_t item_size(uint64_t klen, uint64_t vlen, bool nil)
{
        uint64_t extra = klen >= ITEM_KLEN_LONG || (!nil && vlen >= ITEM_NIL) ? ITEM_LONG_EXTRA : 0;

        return item_pad(sizeof(struct item_shm) + extra + klen + vlen);
}

static inline uint32_t item_load(const void *at)
{
        return mt_load_relaxed((const _Atomic uint32_t *)at);
}

/* How many pieces a value of this length is cut into, and how long number i is. */
static inline uint64_t item_pieces(const struct l1 *l1, uint64_t vlen)
{
        return (vlen + l1->piece_bytes - 1) / l1->piece_bytes;
}

static inline uint64_t item_piece_length(const struct l1 *l1, uint64_t vlen, uint64_t i)
{
        uint64_t left = vlen - i * l1->piece_bytes;

        return left < l1->piece_bytes ? left : l1->piece_bytes;
}

/* Where number i of a list's pieces is said to be. */
static inline uint64_t item_piece_offset(const char *list, uint64_t i)
{
        return (uint64_t)item_load(list + i * sizeof(uint32_t)) * ITEM_ALIGN;
}

/* The long form: two words more, and its two kinds that are not whole. False: not an item. */
static inline bool item_read_long(const struct l1 *l1, const char *at, struct item *item, uint64_t *klen,
                                  uint64_t *stored)
{
        uint32_t word = item_load(at), vlen = item_load(at + 4), flags = word & (ITEM_LIST | ITEM_PIECE);

        *klen = word & ~(ITEM_LIST | ITEM_PIECE);
        item->form = ITEM_FORM_WHOLE;
        item->nil = flags == 0 && vlen == ITEM_LONG_NIL;
        item->vlen = item->nil ? 0 : vlen;
        *stored = item->vlen;
        if (flags == ITEM_LIST) {
                item->form = ITEM_FORM_LIST;
                *stored = item_pieces(l1, vlen) * sizeof(uint32_t);
                return vlen <= l1->log_bytes;
        }
        if (flags == ITEM_PIECE) {
                item->form = ITEM_FORM_PIECE;
                return *klen == sizeof(struct item_owner);
        }
        return flags == 0;
}

/* The item at an offset of the log area; false unless all of it lies in the log segment that the offset is in. */
static inline bool item_read(const struct l1 *l1, uint64_t offset, struct item *item)
{
        uint64_t    room = l1->logseg_mask + 1 - (offset & l1->logseg_mask);
        const char *at = l1->log + offset;
        uint64_t    klen, stored, body = sizeof(struct item_shm);
        uint32_t    lens;

        if (MT_UNLIKELY(offset >= l1->log_bytes || room < body))
                return false;
        if (MT_UNLIKELY(!segment_has_memory(l1, offset, offset + body)))
                return false;
        lens = item_load(at + offsetof(struct item_shm, lens));
        klen = lens >> 22;
        stored = lens & ITEM_NIL;
        if (MT_UNLIKELY(klen == ITEM_KLEN_LONG)) {
                if (room < body + ITEM_LONG_EXTRA || !segment_has_memory(l1, offset, offset + body + ITEM_LONG_EXTRA) ||
                    !item_read_long(l1, at + body, item, &klen, &stored))
                        return false;
                body += ITEM_LONG_EXTRA;
        } else {
                item->form = ITEM_FORM_WHOLE;
                item->nil = stored == ITEM_NIL;
                if (item->nil)
                        stored = 0;
                item->vlen = (uint32_t)stored;
        }
        if (MT_UNLIKELY(klen > ITEM_KEY_MAX || body + klen + stored > room))
                return false;
        if (MT_UNLIKELY(!segment_has_memory(l1, offset, offset + body + klen + stored)))
                return false;
        item->namespace_id = item_load(at + offsetof(struct item_shm, namespace_id));
        item->deadline = item_load(at + offsetof(struct item_shm, deadline));
        item->klen = (uint32_t)klen;
        item->key = at + body;
        item->value = at + body + klen;
        item->size = item_pad(body + klen + stored);
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
        bool         nil; /* these if it is */
        bool         in_pieces;
        uint32_t     deadline;
        uint32_t     vlen;
        const char  *value;
};
struct item_found item_look_slowly(const struct l1 *l1, uint64_t offset, uint32_t namespace_id, struct mt_bytes key);

/* The same. A value behind a key of 8 to 32 bytes is recognised here, everything else by the way of item_read().
 * Lengths are believed no further than there: the key's is the one that is asked for, or it is another item, and the
 * value ends in the piece of the log in which it begins, which has memory, as nearly all do. */
static MT_INLINE struct item_found item_look(const struct l1 *l1, uint64_t offset, uint32_t namespace_id,
                                             struct mt_bytes key)
{
        const char *at = l1->log + offset, *a = at + sizeof(struct item_shm), *b = key.ptr;
        uint64_t    differ;
        uint32_t    vlen;

        if (MT_UNLIKELY(offset >= l1->log_bytes || !segment_knows_piece(l1, offset)))
                return item_look_slowly(l1, offset, namespace_id, key);
        /* Less than ITEM_NIL when the key's length is this one and a value is there. */
        vlen = item_load(at + offsetof(struct item_shm, lens)) - ((uint32_t)key.len << 22);
        if (MT_UNLIKELY(key.len - 8 > ITEM_KEY_QUICK - 8 || vlen >= ITEM_NIL) ||
            MT_UNLIKELY((offset & l1->piece_mask) + sizeof(struct item_shm) + key.len + vlen > l1->piece_mask + 1))
                return item_look_slowly(l1, offset, namespace_id, key);
        differ = item_load(at + offsetof(struct item_shm, namespace_id)) ^ namespace_id;
        differ |= item_differ(a, b) | item_differ(a + key.len - 8, b + key.len - 8);
        if (MT_LIKELY(key.len > 16)) /* 16 from each end, overlapping in the middle */
                differ |= item_differ(a + 8, b + 8) | item_differ(a + key.len - 16, b + key.len - 16);
        return (struct item_found){.is = MT_UNLIKELY(differ != 0) ? ITEM_OTHER : ITEM_THIS,
                                   .nil = false,
                                   .in_pieces = false,
                                   .deadline = item_load(at + offsetof(struct item_shm, deadline)),
                                   .vlen = vlen,
                                   .value = a + key.len};
}

/* Write one where nobody looks yet; its size is item_size() of the same. */
void item_write(char *at, uint32_t namespace_id, uint32_t deadline, struct mt_bytes key, struct mt_bytes value);

/* The same for a value in pieces: number i of `vlen` bytes in all stands at offset[i] of the log area / 8. */
uint64_t item_list_size(const struct l1 *l1, uint64_t klen, uint64_t vlen);
void     item_write_list(char *at, uint32_t namespace_id, uint32_t deadline, struct mt_bytes key, uint32_t vlen,
                         const uint32_t *offset, uint64_t pieces);
uint64_t item_piece_size(uint64_t len);
void     item_write_piece(char *at, uint32_t deadline, const struct item_owner *owner, struct mt_bytes bytes);
/* Number of the piece of this list that stands at this offset; -1 when none does. */
int64_t item_list_find(const struct l1 *l1, const struct item *list, uint64_t offset);
/* All pieces, one after the other, to where the caller has room for list->vlen bytes. False: a piece is not what the
 * list says it is. */
bool item_gather(const struct l1 *l1, const char *list, uint64_t vlen, char *to);

#endif
