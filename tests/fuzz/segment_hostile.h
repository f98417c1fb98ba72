/* segment_hostile.h - what the hostile process of fuzz_segment.c writes: words that mean something, in places that mean
 * something, and any bytes anywhere. */
#ifndef MT_TESTS_SEGMENT_HOSTILE_H
#define MT_TESTS_SEGMENT_HOSTILE_H

#include "segment_bed.h"

/* One step of an input. What its fields mean depends on the kind of step. */
struct step {
        uint8_t  kind, who, a, b;
        uint16_t c, d;
        uint64_t v;
};
_Static_assert(sizeof(struct step) == 16, "inputs are made of these");

enum { HOSTILE_KINDS = 8 };

static void hostile_store(uint64_t at, uint64_t value, unsigned width)
{
        char *to = bed.file + at;

        if (at + 8 > BED_SIZE)
                return;
        bed.hostile = true;
        switch (width % 4) {
        case 0: mt_store_relaxed((_Atomic uint8_t *)to, (uint8_t)value); break;
        case 1: mt_store_relaxed((_Atomic uint16_t *)(to - at % 2), (uint16_t)value); break;
        case 2: mt_store_relaxed((_Atomic uint32_t *)(to - at % 4), (uint32_t)value); break;
        default: mt_store_relaxed((_Atomic uint64_t *)(to - at % 8), value); break;
        }
}

static uint64_t hostile_load(uint64_t at)
{
        return mt_load_relaxed((_Atomic uint64_t *)(bed.file + at - at % 8));
}

/* A word that somebody might take for a good one. was: what stands there; like: what stands in the same place of
 * another element. */
static uint64_t hostile_value(const struct step *s, uint64_t was, uint64_t like)
{
        uint64_t size = bed.geometry.logseg_size;

        switch (s->b % 10) {
        case 0: return s->v;
        case 1: return s->v % 8;
        case 2: return was + (uint64_t)(int8_t)s->v;
        case 3: return size + (uint64_t)(int8_t)s->v;
        case 4: return bed.owner[s->v % BED_OWNERS] + (s->v >> 8) % 2;
        case 5: return like;
        case 6: return UINT64_MAX >> s->v % 64;
        case 7: return BED_NOW_NS + (uint64_t)(int32_t)s->v * NS_PER_MS;
        case 8: return was ^ UINT64_C(1) << s->v % 64;
        default: return s->v % bed.geometry.logseg_count * size + (s->v >> 32) % size;
        }
}

/* Which element: the first few are those in use, and some of the processes. */
static uint64_t hostile_element(unsigned part, unsigned choice)
{
        uint64_t count = bed.part[part].bytes / bed.part[part].each;

        if (part == BED_processes && choice % 8 < BED_OWNERS)
                return ((uint32_t)bed.owner[choice % 8] - 1) % count;
        return choice % (choice & 0x8000 || count < 12 ? count : 12);
}

/* A word of one element of one table; so also of whatever tables and fields will be. */
static void hostile_word(const struct step *s)
{
        unsigned               part = s->a % BED_PART_COUNT;
        const struct bed_span *span = &bed.part[part];
        uint64_t               word = s->d % (span->each / 4) * 4;
        uint64_t               at = span->at + hostile_element(part, s->c) * span->each + word;
        uint64_t like = span->at + hostile_element(part, s->c + 1u + (unsigned)(s->v % 3)) * span->each + word;

        if (part == BED_header && !(s->d & 0x8000)) /* most of it is spare */
                at = s->d % 8u * 64 + s->d / 8u % 8 * 4;
        hostile_store(at, hostile_value(s, hostile_load(at) >> at % 8 * 8, hostile_load(like)), 2 + (s->who >> 7));
}

/* A slot where a key belongs: LIVE, PENDING or neither, pointing somewhere. */
static void hostile_slot(const struct step *s)
{
        struct l1         *l1 = bed.l1[BED_WRITER];
        struct l1_key      key = bed_key(l1, s->a);
        struct index_place place = index_place(l1, key.hash);
        unsigned           i = s->d % (2 * BUCKET_SLOTS), n = s->c % bed.geometry.logseg_count;
        char              *slot = (char *)index_slot(&place, i);
        uint64_t           at = bed.part[BED_index].at + (uint64_t)(slot - (char *)bed.glass[BED_WRITER][BED_index]);
        uint64_t           descriptor = bed.part[BED_logsegs].at + n * sizeof(struct logseg_shm);
        struct logseg_shm *shm = (struct logseg_shm *)(bed.file + descriptor);
        uint64_t           base = n * bed.geometry.logseg_size, offset = 0;
        uint32_t           head = mt_load_relaxed(&shm->head), generation = mt_load_relaxed(&shm->generation);

        switch (s->b % 8) {
        case 0: offset = base; break;
        case 1: offset = base + head; break;
        case 2: offset = base + bed.geometry.logseg_size - s->v % 8 * 8; break;
        case 3: offset = base + s->v % bed.geometry.logseg_size; break;
        case 4: offset = s->v; break;
        case 5: offset = bed.geometry.log_bytes - s->v % 16; break;
        case 6: offset = slot_offset(l1, hostile_load(at)) + (s->v % 16) * 8; break;
        default:
                offset = slot_offset(l1, hostile_load(at));
                generation += (uint32_t)s->v % 4;
                break;
        }
        switch (s->who >> 6) {
        case 0: hostile_store(at, slot_pending(place.tag, s->v & SLOT_PLACE_MAX), 3); break;
        case 1: hostile_store(at, s->v, 3); break;
        default:
                offset = slot_offset(l1, offset / ITEM_ALIGN);
                hostile_store(at, slot_live(l1, place.tag, generation, offset), 3);
                break;
        }
        hostile_store(bed.part[BED_index].at +
                              (uint64_t)((char *)index_mark(&place, i) - (char *)bed.glass[BED_WRITER][BED_index]),
                      s->v >> 56, 0);
}

/* Where the item of a key stands, if it has one. */
static bool hostile_item_at(unsigned k, uint64_t *at)
{
        struct l1_key      key = bed_key(bed.l1[BED_WRITER], k);
        struct index_place place = index_place(bed.l1[BED_WRITER], key.hash);

        for (unsigned i = 0; i < 2 * BUCKET_SLOTS; i++) {
                uint64_t word = mt_load_relaxed(index_slot(&place, i));

                if (slot_state(word) == SLOT_LIVE && slot_tag(word) == place.tag &&
                    slot_offset(bed.l1[BED_WRITER], word) < bed.geometry.log_bytes) {
                        *at = bed.part[BED_log].at + slot_offset(bed.l1[BED_WRITER], word);
                        return true;
                }
        }
        return false;
}

/* A length that might pass: of this key or another, the rest of the log segment and a little more or less, a limit. */
static uint32_t hostile_length(unsigned choice, unsigned k, uint64_t at, uint64_t v)
{
        uint64_t room = bed.geometry.logseg_size - (at - bed.part[BED_log].at) % bed.geometry.logseg_size;

        switch (choice % 8) {
        case 0: return (uint32_t)v % 256;
        case 1: return (uint32_t)bed.key[v % BED_KEYS].len;
        case 2: return ITEM_KEY_MAX + (uint32_t)(int8_t)v;
        case 3: return (uint32_t)(room - bed.key[k % BED_KEYS].len) + (uint32_t)(int8_t)v;
        case 4: return (uint32_t)room + (uint32_t)(int8_t)v;
        case 5: return UINT32_MAX >> v % 32;
        default: return (uint32_t)bed.key[k % BED_KEYS].len;
        }
}

/* The head of an item: a word of it, or its lengths, in the short form or the long one. */
static void hostile_item(const struct step *s)
{
        unsigned k = s->a;
        uint64_t at, lens;
        uint32_t klen, vlen;

        while (!hostile_item_at(k, &at))
                if (++k == s->a + 16u)
                        return;
        klen = hostile_length(s->b, k, at, s->v);
        vlen = hostile_length(s->b / 8, k, at, s->v >> 32);
        lens = at + offsetof(struct item_shm, lens);
        switch (s->d % 4) {
        case 0: hostile_store(at + s->c % 6 * 4, s->v, 2); break;
        case 1:
                hostile_store(lens, ITEM_KLEN_LONG << 22 | (vlen & ITEM_NIL), 2);
                hostile_store(lens + 4, klen, 2);
                hostile_store(lens + 8, vlen, 2);
                break;
        default: hostile_store(lens, klen << 22 | (vlen & ITEM_NIL), 2); break;
        }
}

static void hostile_bytes(const struct step *s)
{
        hostile_store((s->v >> 32) % (s->who >> 7 ? BED_SIZE : bed.part[BED_log].at), s->v, s->b);
}

static void hostile_fill(const struct step *s)
{
        const struct bed_span *span = &bed.part[s->a % BED_PART_COUNT];
        uint64_t               from = s->v % span->bytes, n = s->d;

        bed.hostile = true;
        memset(bed.file + span->at + from, s->b, n < span->bytes - from ? n : span->bytes - from);
}

/* One element over another, or over all: a descriptor, a bucket, a process that says what another should. */
static void hostile_twin(const struct step *s)
{
        unsigned               part = s->a % BED_PART_COUNT;
        const struct bed_span *span = &bed.part[part];
        uint64_t               to = hostile_element(part, s->c), from = hostile_element(part, s->d);
        uint64_t               end = s->v % 8 == 0 ? span->bytes / span->each : to + 1;

        bed.hostile = true;
        for (; to < end; to++)
                memmove(bed.file + span->at + to * span->each, bed.file + span->at + from * span->each, span->each);
}

/* A part of the beginning again, as if time had gone back there. */
static void hostile_past(const struct step *s)
{
        const struct bed_span *span = &bed.part[s->a % BED_PART_COUNT];

        bed.hostile = true;
        bed_restore(bed.state[s->b % BED_STATES], span->at, span->at + span->bytes);
}

static void hostile_step(const struct step *s)
{
        static void (*const does[HOSTILE_KINDS])(const struct step *) = {
                hostile_word, hostile_slot, hostile_item, hostile_bytes,
                hostile_fill, hostile_twin, hostile_past, hostile_word,
        };

        does[s->kind % HOSTILE_KINDS](s);
}

#endif
