/* geometry.c - the arithmetic of a segment's parts.
 *
 *   what               share of MTSHIM_L1_SIZE           at 64 MiB
 *   tables, counters   fixed: 1.25 MiB (1 MiB of it      128 servers, 1024 namespaces, 2048 processes,
 *                      counter blocks, taken lazily)     2048 counter blocks
 *   index              10/131: 0.81 of its slots in use  80,000 buckets, 560,000 slots
 *                      when key and value have 124 B
 *   log                the rest, in equal segments       231 segments of 256 KiB
 *
 * Many small log segments: those that are open and those that are kept free are room that holds nothing, and what is
 * reclaimed is reclaimed by a whole one. With 28 of them the hit ratio is 0.5 points lower than with 112, and from
 * there on the same. */
#include "geometry.h"

#include "../base/hash.h"

#define GEOMETRY_INDEX_PART   10u
#define GEOMETRY_INDEX_OF     131u
#define GEOMETRY_LOGSEG_SHARE 256u

static uint64_t geometry_pages(uint64_t bytes)
{
        return (bytes + SEGMENT_PAGE - 1) & ~(uint64_t)(SEGMENT_PAGE - 1);
}

static uint64_t geometry_floor_power(uint64_t v)
{
        return UINT64_C(1) << (63 - __builtin_clzll(v));
}

static uint64_t geometry_clamp(uint64_t v, uint64_t low, uint64_t high)
{
        return v < low ? low : v > high ? high : v;
}

static uint32_t geometry_offset_bits(uint64_t log_bytes)
{
        uint32_t bits = SLOT_OFFSET_BITS_MIN;

        while (UINT64_C(1) << bits < log_bytes / ITEM_ALIGN)
                bits++;
        return bits;
}

void geometry_choose(uint64_t size_bytes, uint64_t *l1_size, uint64_t *logseg_size)
{
        uint64_t size = geometry_clamp(size_bytes, GEOMETRY_L1_MIN, GEOMETRY_L1_MAX) & ~(uint64_t)(SEGMENT_PAGE - 1);

        *l1_size = size;
        *logseg_size = geometry_clamp(geometry_floor_power(size / GEOMETRY_LOGSEG_SHARE), GEOMETRY_LOGSEG_MIN,
                                      GEOMETRY_LOGSEG_MAX);
}

bool geometry_compute(uint64_t l1_size, uint64_t logseg_size, struct segment_geometry *g)
{
        uint64_t at = SEGMENT_PAGE, index, descriptors;

        if (l1_size < GEOMETRY_L1_MIN || l1_size > GEOMETRY_L1_MAX || l1_size % SEGMENT_PAGE != 0)
                return false;
        if (logseg_size < GEOMETRY_LOGSEG_MIN || logseg_size > GEOMETRY_LOGSEG_MAX ||
            (logseg_size & (logseg_size - 1)) != 0)
                return false;
        g->l1_size = l1_size;
        g->logseg_size = logseg_size;
        g->servers_at = at;
        g->namespaces_at = at += geometry_pages(SERVER_MAX * sizeof(struct server_shm));
        g->processes_at = at += geometry_pages(NAMESPACE_MAX * sizeof(struct namespace_shm));
        g->tiers_at = at += geometry_pages(PROCESS_MAX * sizeof(struct process_shm));
        g->counters_at = at += geometry_pages(TIER_SHM_MAX * sizeof(struct tier_shm));
        g->logsegs_at = at += geometry_pages(COUNTERS_MAX * sizeof(struct counters_shm));
        index = l1_size / GEOMETRY_INDEX_OF * GEOMETRY_INDEX_PART & ~(uint64_t)(SEGMENT_PAGE - 1);
        /* A page more than they may need, at most: the descriptors of log segments that their own pages displace. */
        descriptors = geometry_pages((l1_size - at - index) / logseg_size * sizeof(struct logseg_shm));
        g->index_at = at += descriptors;
        g->log_at = at += index;
        if (at >= l1_size)
                return false;
        g->logseg_count = (uint32_t)((l1_size - at) / logseg_size);
        g->log_bytes = g->logseg_count * logseg_size;
        g->bucket_count = (uint32_t)(index / sizeof(struct bucket_shm));
        g->offset_bits = geometry_offset_bits(g->log_bytes);
        return g->logseg_count >= 2;
}

uint64_t geometry_fingerprint(void)
{
        static const uint64_t facts[] = {
                SEGMENT_ABI,
                sizeof(struct segment_shm),
                offsetof(struct segment_shm, token_block),
                offsetof(struct segment_shm, namespace_next),
                offsetof(struct segment_shm, seal_next),
                offsetof(struct segment_shm, table_owner),
                offsetof(struct segment_shm, forgotten),
                offsetof(struct segment_shm, wait),
                sizeof(struct wait_shm),
                offsetof(struct segment_shm, claim),
                sizeof(struct process_shm),
                offsetof(struct process_shm, role),
                sizeof(struct counters_shm),
                sizeof(struct server_shm),
                offsetof(struct server_shm, state),
                offsetof(struct server_shm, epoch),
                offsetof(struct server_shm, round_trip_ns),
                sizeof(struct namespace_shm),
                offsetof(struct namespace_shm, user),
                sizeof(struct tier_shm),
                offsetof(struct tier_shm, hits),
                offsetof(struct tier_shm, removing),
                sizeof(struct bucket_shm),
                sizeof(struct logseg_shm),
                offsetof(struct logseg_shm, kind),
                offsetof(struct logseg_shm, lives),
                sizeof(struct item_shm),
                offsetof(struct item_shm, namespace_id),
                SERVER_MAX,
                NAMESPACE_MAX,
                PROCESS_MAX,
                TIER_SHM_MAX,
                TIER_TAG_BITS,
                COUNTERS_MAX,
                BUCKET_SLOTS,
                SLOT_TAG_BITS,
                SLOT_PLACE_BITS, /* of these the offset has what it needs, and no less than this: */
                SLOT_OFFSET_BITS_MIN,
                LOGSEG_KINDS,
                LOGSEG_OPEN_MAX,
                ITEM_ALIGN,
                ITEM_DEADLINE_SHIFT,
                ITEM_KLEN_LONG,
                ITEM_KEY_MAX,
                ITEM_LIST,
                ITEM_PIECE,
                ITEM_WHOLE_SHARE,
                ITEM_PIECES,
                GEOMETRY_INDEX_PART,
                GEOMETRY_INDEX_OF,
        };

        return mt_hash(facts, sizeof facts, (struct hash_key){{0x6d747368, 0x696d0001}});
}
