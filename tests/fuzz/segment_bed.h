/* segment_bed.h - a segment under glass, for fuzz_segment.c.
 *
 * Every table and the log are mapped apart, each between pages that may not be touched and with the rest of its last
 * page poisoned: an index that is one too high faults at once instead of meeting the table next to it. Before each
 * input segment, handles and clock are put back to what they were, so that an input always means the same; pids alone
 * differ from run to run. The hostile process writes through a mapping of the whole file, bed.file. */
#ifndef MT_TESTS_SEGMENT_BED_H
#define MT_TESTS_SEGMENT_BED_H

#include "l1/cache/counters.h"
#include "l1/cache/index.h"
#include "l1/cache/item.h"
#include "l1/segment/process.h"
/* What is not for callers: handles are taken out of the list again, which a program never does. */
#include "l1/segment/segment.c"

#include <sanitizer/asan_interface.h>
#include <sys/wait.h>

#define BED_SIZE     (UINT64_C(2) << 20)
#define BED_ITEM_MAX 40000u
#define BED_NOW_NS   (UINT64_C(1000000) * NS_PER_S)

enum { BED_WRITER, BED_OTHER, BED_READER, BED_GUEST, BED_HANDLES }; /* a guest comes and goes within an input */
enum { BED_KEYS = 64, BED_STATES = 2, BED_OWNERS = 6 };
enum { BED_EMPTY, BED_FULL };

#define BED_CHECK(cond)                                                                                                \
        do {                                                                                                           \
                if (!(cond)) {                                                                                         \
                        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                                     \
                        abort();                                                                                       \
                }                                                                                                      \
        } while (0)

/* The parts of a segment, and the pointer of the handle that each is reached by. */
#define BED_PARTS(PART)                                                                                                \
        PART(header, 0, sizeof(struct segment_shm), sizeof(struct segment_shm))                                        \
        PART(servers, g->servers_at, SERVER_MAX * sizeof(struct server_shm), sizeof(struct server_shm))                \
        PART(namespaces, g->namespaces_at, NAMESPACE_MAX * sizeof(struct namespace_shm), sizeof(struct namespace_shm)) \
        PART(processes, g->processes_at, PROCESS_MAX * sizeof(struct process_shm), sizeof(struct process_shm))         \
        PART(tiers, g->tiers_at, TIER_SHM_MAX * sizeof(struct tier_shm), sizeof(struct tier_shm))                      \
        PART(counters, g->counters_at, COUNTERS_MAX * sizeof(struct counters_shm), sizeof(struct counters_shm))        \
        PART(logsegs, g->logsegs_at, g->logseg_count * sizeof(struct logseg_shm), sizeof(struct logseg_shm))           \
        PART(index, g->index_at, g->bucket_count * sizeof(struct bucket_shm), sizeof(struct bucket_shm))               \
        PART(log, g->log_at, g->log_bytes, ITEM_ALIGN)

enum bed_part {
#define PART(name, at, bytes, each) BED_##name,
        BED_PARTS(PART)
#undef PART
                BED_PART_COUNT
};

struct bed_span {
        uint64_t at, bytes, each;
};

struct bed {
        char                    directory[64];
        struct l1_config        config;
        int                     fd;
        char                   *file; /* all of it, as the hostile process has it */
        char                   *state[BED_STATES];
        struct segment_geometry geometry;
        struct bed_span         part[BED_PART_COUNT];
        struct l1              *l1[BED_HANDLES];
        struct l1              *saved[BED_HANDLES]; /* all but what is learnt and counted */
        void                   *glass[BED_HANDLES][BED_PART_COUNT];
        uint64_t                owner[BED_OWNERS]; /* the living, the dead, nobody */
        struct mt_bytes         key[BED_KEYS];
        char                   *value;   /* what all values are the beginning of, but for their first bytes */
        bool                    hostile; /* since the last reset something was written that no friend writes */
};

static struct bed bed;

/* -------------------------------------------------------------------------------------------------------- glass */

static uint64_t bed_pages(uint64_t bytes)
{
        return (bytes + SEGMENT_PAGE - 1) & ~(uint64_t)(SEGMENT_PAGE - 1);
}

static void bed_spans(const struct segment_geometry *g, struct bed_span span[BED_PART_COUNT])
{
#define PART(name, at, bytes, each) span[BED_##name] = (struct bed_span){at, bytes, each};
        BED_PARTS(PART)
#undef PART
}

static void *bed_glass(const struct bed_span *span, bool writable)
{
        uint64_t pages = bed_pages(span->bytes);
        char    *room = mmap(NULL, pages + 2 * SEGMENT_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        char    *part = room + SEGMENT_PAGE;

        BED_CHECK(room != MAP_FAILED);
        BED_CHECK(mmap(part, pages, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED | MAP_FIXED, bed.fd,
                       (off_t)span->at) == part);
        ASAN_POISON_MEMORY_REGION(part + span->bytes, pages - span->bytes);
        return part;
}

static void bed_break(void *part, const struct bed_span *span)
{
        uint64_t pages = bed_pages(span->bytes);

        ASAN_UNPOISON_MEMORY_REGION(part, pages);
        munmap((char *)part - SEGMENT_PAGE, pages + 2 * SEGMENT_PAGE);
}

/* Put a handle's tables under glass. */
static void bed_enclose(unsigned who)
{
        struct l1      *l1 = bed.l1[who];
        struct bed_span span[BED_PART_COUNT];

        bed_spans(&l1->geometry, span);
        for (unsigned i = 0; i < BED_PART_COUNT; i++)
                bed.glass[who][i] = bed_glass(&span[i], l1->writable);
#define PART(name, at, bytes, each) l1->name = bed.glass[who][BED_##name];
        BED_PARTS(PART)
#undef PART
}

/* ------------------------------------------------------------------------------------------------------- guests */

static bool bed_attach(unsigned who, bool create, bool writable)
{
        bed.l1[who] = create ? l1_attach(&bed.config) : l1_open(&bed.config, writable);
        if (bed.l1[who] != NULL)
                bed_enclose(who);
        return bed.l1[who] != NULL;
}

/* Only the newest handle can go. */
static void bed_leave(unsigned who)
{
        struct l1      *l1 = bed.l1[who];
        struct bed_span span[BED_PART_COUNT];

        if (l1 == NULL)
                return;
        l1_detach(l1);
        counters_thread = (struct counters_thread){0};
        BED_CHECK(segment_handles() == l1);
        segment_first = l1->next;
        bed_spans(&l1->geometry, span);
        for (unsigned i = 0; i < BED_PART_COUNT; i++)
                bed_break(bed.glass[who][i], &span[i]);
        munmap(l1->base, l1->geometry.l1_size);
        munmap(l1, sizeof *l1);
        bed.l1[who] = NULL;
}

/* ------------------------------------------------------------------------------------------------- keys and values */

static void bed_make_keys(void)
{
        static const unsigned special[8] = {
                0, 1, 7, 64, ITEM_KLEN_LONG, ITEM_KLEN_LONG - 1, ITEM_KEY_MAX, ITEM_KEY_MAX + 1};

        for (unsigned i = 0; i < BED_KEYS; i++) {
                size_t len = i < 8 ? special[i] : 8 + i;
                char  *key = malloc(len + 1); /* one at least */

                for (size_t at = 0; at < len; at++)
                        key[at] = (char)('a' + (at * 7 + i) % 26);
                bed.key[i] = mt_bytes(key, len);
        }
        bed.value = malloc(BED_SIZE);
        for (size_t i = 0; i < BED_SIZE; i++)
                bed.value[i] = (char)(i * 31 >> 4);
}

static struct l1_key bed_key(const struct l1 *l1, unsigned k)
{
        struct mt_bytes key = bed.key[k % BED_KEYS];

        return (struct l1_key){key, l1_hash(l1, 0, key)};
}

/* A value tells whose it is, as far as it has room. */
static struct mt_bytes bed_value(unsigned k, uint32_t len)
{
        struct mt_bytes key = bed.key[k % BED_KEYS];

        memset(bed.value, '.', 64);
        memcpy(bed.value, key.ptr, key.len < 64 ? key.len : 64);
        return mt_bytes(bed.value, len);
}

static uint32_t bed_namespace_id(const struct l1 *l1, unsigned database)
{
        return mt_load_acquire(&l1->namespaces[database % 2].id);
}

static bool bed_put(struct l1 *l1, unsigned k, uint32_t len)
{
        struct l1_key   key = bed_key(l1, k);
        uint64_t        now_ns = clock_coarse_ns();
        struct l1_lease lease;

        return l1_lease(l1, &key, bed_namespace_id(l1, 0), now_ns, &lease) &&
               l1_fill(l1, &key, &lease, bed_value(k, len), now_ns + 60 * NS_PER_S);
}

/* ---------------------------------------------------------------------------------------------------- set up, reset */

static void bed_set_clock(void)
{
        mt_store_relaxed(&clock_test_offset_ns, 0);
        mt_store_relaxed(&clock_test_offset_ns, (int64_t)(BED_NOW_NS - clock_coarse_ns()));
}

static void bed_restore(const char *from, uint64_t at, uint64_t end)
{
        memcpy(bed.file + at, from + at, end - at);
}

/* Back to the beginning. Counter blocks beyond the first are many and seldom used: looked at before. */
static void bed_reset(unsigned state)
{
        const char *from = bed.state[state];
        uint64_t    blocks = bed.part[BED_counters].at + SEGMENT_PAGE, end = blocks + BED_SIZE / 2 - SEGMENT_PAGE;

        bed_leave(BED_GUEST);
        bed_set_clock();
        bed_restore(from, 0, blocks);
        for (; blocks < end; blocks += SEGMENT_PAGE)
                if (memcmp(bed.file + blocks, from + blocks, SEGMENT_PAGE) != 0)
                        bed_restore(from, blocks, blocks + SEGMENT_PAGE);
        bed_restore(from, blocks, BED_SIZE);
        counters_thread = (struct counters_thread){0};
        for (unsigned i = 0; i < BED_GUEST; i++) {
                memcpy(bed.l1[i], bed.saved[i], offsetof(struct l1, backed_here));
                if (bed.l1[i]->writable)
                        segment_renew_serial(bed.l1[i]); /* tokens and counters are drawn anew */
        }
        bed.hostile = false;
}

static void bed_remove(void)
{
        unlink(l1_path(bed.l1[BED_WRITER]));
        rmdir(bed.directory);
}

/* The secret is the same in every run. */
static void bed_create(void)
{
        static const uint64_t secret[2] = {UINT64_C(0x6d74736869), UINT64_C(0x6d66757a7a)};

        const char *parent = getenv("FUZZ_DIRECTORY"); /* of whoever cleans up after a crash */

        snprintf(bed.directory, sizeof bed.directory, "%s/mtshim-fuzz.XXXXXX", parent != NULL ? parent : "/dev/shm");
        BED_CHECK(mkdtemp(bed.directory) != NULL);
        bed.config = (struct l1_config){.name = "fuzz",
                                        .size_bytes = BED_SIZE,
                                        .max_item_bytes = BED_ITEM_MAX,
                                        .directory = bed.directory};
        bed.l1[BED_GUEST] = l1_attach(&bed.config);
        BED_CHECK(bed.l1[BED_GUEST] != NULL);
        bed.fd = open(l1_path(bed.l1[BED_GUEST]), O_RDWR | O_CLOEXEC);
        BED_CHECK(bed.fd >= 0);
        BED_CHECK(pwrite(bed.fd, secret, sizeof secret, offsetof(struct segment_shm, hash_key)) == sizeof secret);
        bed.file = mmap(NULL, BED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, bed.fd, 0);
        BED_CHECK(bed.file != MAP_FAILED);
        bed_enclose(BED_GUEST);
        bed_leave(BED_GUEST);
}

/* A process that died with its slot, another that lives (its start time unknown, so that a pid is enough). */
static void bed_populate_processes(void)
{
        struct l1          *l1 = bed.l1[BED_WRITER];
        uint32_t            other = ((uint32_t)getpid() + PROCESS_MAX / 2) % PROCESS_MAX; /* nobody begins there */
        struct process_shm *lives = &l1->processes[other];
        int                 pipes[2];
        pid_t               pid;

        BED_CHECK(pipe(pipes) == 0 && (pid = fork()) >= 0);
        if (pid == 0) {
                l1_after_fork(l1);
                bed.owner[2] = l1_self(l1);
                _exit(write(pipes[1], &bed.owner[2], sizeof bed.owner[2]) != sizeof bed.owner[2]);
        }
        BED_CHECK(read(pipes[0], &bed.owner[2], sizeof bed.owner[2]) == sizeof bed.owner[2]);
        BED_CHECK(waitpid(pid, NULL, 0) == pid);
        close(pipes[0]);
        close(pipes[1]);
        mt_store_relaxed(&lives->pid, 1);
        mt_store_relaxed(&lives->incarnation, 3);
        bed.owner[0] = l1_self(l1);
        bed.owner[1] = l1_self(bed.l1[BED_OTHER]);
        bed.owner[3] = UINT64_C(3) << 32 | (other + 1);
        bed.owner[4] = UINT64_C(1) << 32 | PROCESS_MAX;
        bed.owner[5] = UINT64_C(1) << 32 | (PROCESS_MAX + 1);
}

static void bed_populate(void)
{
        struct l1                *l1 = bed.l1[BED_WRITER];
        const struct l1_server_id id = {.family = 1, .id = {42, 1, 0}, .address = "/run/redis.sock"};
        struct server_shm        *server = l1_server(l1, &id);
        uint64_t                  user[2], reclaims;
        struct l1_totals          totals;

        BED_CHECK(server == &l1->servers[0]);
        l1_user_digest(l1, NULL, 0, user);
        for (uint32_t database = 0; database < 2; database++)
                BED_CHECK(l1_namespace(l1, server, database, user) == &l1->namespaces[database]);
        mt_store_release(&server->fresh_at_ns, BED_NOW_NS);
        for (unsigned k = 0; k < BED_KEYS; k += 3)
                bed_put(l1, k, 40 + k);
        memcpy(bed.state[BED_EMPTY], bed.file, BED_SIZE);
        for (unsigned n = 0; n < 1000; n++) {
                bed_put(l1, n, 300 + n * 97 % 9000);
                l1_remove(l1, bed_key(l1, n * 5).hash);
        }
        l1_totals(l1, true, &totals);
        reclaims = totals.count[COUNTER_reclaims];
        BED_CHECK(reclaims > 2 && totals.items > 8);
        memcpy(bed.state[BED_FULL], bed.file, BED_SIZE);
}

static void bed_setup(void)
{
        log_configure(LOG_ERROR, "/dev/null");
        bed_set_clock();
        bed_make_keys();
        bed_create();
        BED_CHECK(bed_attach(BED_WRITER, true, true) && bed_attach(BED_OTHER, true, true) &&
                  bed_attach(BED_READER, false, false));
        bed.geometry = bed.l1[BED_WRITER]->geometry;
        bed_spans(&bed.geometry, bed.part);
        bed_populate_processes();
        for (unsigned i = 0; i < BED_STATES; i++)
                bed.state[i] = malloc(BED_SIZE);
        bed_populate();
        for (unsigned i = 0; i < BED_GUEST; i++) {
                bed.saved[i] = malloc(sizeof *bed.saved[i]);
                memcpy(bed.saved[i], bed.l1[i], offsetof(struct l1, backed_here));
        }
        atexit(bed_remove);
}

#endif
