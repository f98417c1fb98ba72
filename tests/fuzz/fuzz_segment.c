/* fuzz_segment.c - a hostile segment: somebody writes anything anywhere in it, between the steps of readers and
 * writers.
 *
 * An input is a row of steps of 16 bytes: of two writers, a reader that maps it read-only, a guest that attaches and
 * leaves, and of the hostile process. Nothing may crash, hang, or touch a byte that is not its own; what is found lies
 * in one log segment. As long as nobody was hostile values are right and the segment is sound at the end: so the steps
 * themselves are known to work.
 *
 * With FUZZ_RACE (fuzz_segment_race.c) the hostile steps are taken by a thread of their own, over and over, while the
 * others run: what is read twice may differ. */
#include "segment_hostile.h"

#include "invalidation/leader.h"
#include "shim/ctl/ctl.c"

#include <pthread.h>
#include <semaphore.h>

#ifdef FUZZ_RACE
enum { SWEEPS = 20 }; /* the other thread is to get in between */
#else
enum { SWEEPS = 1 };
#endif
enum { STEPS_MAX = 64, LEASES = 4, BATCH_MAX = 24 };

struct held {
        struct l1      *l1;
        unsigned        k;
        struct l1_lease lease;
};

static struct {
        struct held   lease[LEASES];
        struct l1_hit hit[BED_HANDLES]; /* found, not yet copied; slot NULL: none */
        unsigned      hit_key[BED_HANDLES];
        unsigned      guests; /* attaching walks /proc at worst: once an input */
} run;

/* ------------------------------------------------------------------------------------------------------------ steps */

static struct l1 *step_l1(const struct step *s, unsigned *who)
{
        *who = s->who % BED_HANDLES;
        if (bed.l1[*who] == NULL)
                *who = BED_WRITER;
        return bed.l1[*who];
}

static void take_find(struct l1 *l1, unsigned who, const struct step *s)
{
        struct l1_key  key = bed_key(l1, s->a);
        struct l1_hit *hit = &run.hit[who];
        uint64_t       offset, bytes;

        hit->slot = NULL;
        if (!l1_find(l1, &key, bed_namespace_id(l1, s->b), clock_coarse_ns(), hit)) {
                hit->slot = NULL;
                return;
        }
        run.hit_key[who] = s->a;
        offset = (uint64_t)(hit->value - l1->log);
        bytes = hit->pieces == NULL ? hit->len : item_pieces(l1, hit->len) * sizeof(uint32_t); /* a list of them */
        BED_CHECK(offset <= l1->log_bytes && bytes <= l1->log_bytes - offset);
        BED_CHECK(bytes == 0 || offset / l1->geometry.logseg_size == (offset + bytes - 1) / l1->geometry.logseg_size);
        BED_CHECK(!hit->nil || hit->len == 0);
}

static void take_copy(struct l1 *l1, unsigned who, const struct step *s)
{
        struct l1_hit *hit = &run.hit[who];
        char          *to;

        (void)l1, (void)s;
        if (hit->slot == NULL)
                return;
        to = malloc(hit->len > 0 ? hit->len : 1);
        if (l1_copy(hit, to) && !bed.hostile && !hit->nil)
                BED_CHECK(memcmp(to, bed_value(run.hit_key[who], hit->len).ptr, hit->len) == 0);
        free(to);
        hit->slot = NULL;
}

static void take_get(struct l1 *l1, unsigned who, const struct step *s)
{
        take_find(l1, who, s);
        take_copy(l1, who, s);
}

/* All keys: whatever was written comes to light. */
static void take_sweep(struct l1 *l1, unsigned who, const struct step *s)
{
        struct step each = *s;

        for (unsigned k = 0; k < BED_KEYS; k++) {
                each.a = (uint8_t)k;
                take_get(l1, who, &each);
        }
}

static void take_lease(struct l1 *l1, unsigned who, const struct step *s)
{
        struct held  *held = &run.lease[s->b % LEASES];
        struct l1_key key = bed_key(l1, s->a);

        (void)who;
        if (held->l1 != NULL)
                l1_release(held->l1, &held->lease);
        *held = (struct held){.l1 = l1, .k = s->a};
        l1_lease(l1, &key, bed_namespace_id(l1, s->c), clock_coarse_ns(), &held->lease);
}

static uint32_t step_length(const struct step *s)
{
        return s->who & 0x40 ? s->c : s->c % 512u;
}

static void take_fill(struct l1 *l1, unsigned who, const struct step *s)
{
        struct held  *held = &run.lease[s->b % LEASES];
        struct l1_key key;

        (void)l1, (void)who;
        if (held->l1 == NULL)
                return;
        key = bed_key(held->l1, held->k);
        l1_fill(held->l1, &key, &held->lease, s->d % 8 == 0 ? mt_bytes(NULL, 0) : bed_value(held->k, step_length(s)),
                clock_coarse_ns() + (s->v % 300 + 1) * NS_PER_S);
        held->l1 = NULL;
}

static void take_release(struct l1 *l1, unsigned who, const struct step *s)
{
        struct held *held = &run.lease[s->b % LEASES];

        (void)l1, (void)who;
        if (held->l1 != NULL)
                l1_release(held->l1, &held->lease);
        held->l1 = NULL;
}

/* A row of values: what fills a log segment in one step. */
static void take_put(struct l1 *l1, unsigned who, const struct step *s)
{
        (void)who;
        for (unsigned i = 0; i <= s->b % BATCH_MAX; i++)
                bed_put(l1, s->a + i * (1 + s->d % 7u), step_length(s));
}

static void take_remove(struct l1 *l1, unsigned who, const struct step *s)
{
        (void)who;
        for (uint32_t i = 0; i <= s->b % 4u; i++)
                if (l1_server_at(l1, i) != NULL)
                        l1_remove(l1, l1_hash(l1, i, bed.key[s->a % BED_KEYS]));
}

static void take_pattern(struct l1 *l1, unsigned who, const struct step *s)
{
        static const char *const globs[] = {"*", "a*", "*b*c", "[a-m]*[^x]?", "\\z*", "ahov*", "*z"};

        (void)who;
        l1_remove_pattern(l1, mt_bytes_of(globs[s->a % (sizeof globs / sizeof *globs)]));
}

static void take_flush(struct l1 *l1, unsigned who, const struct step *s)
{
        (void)who;
        switch (s->a % 4) {
        case 0: l1_flush_all(l1); break;
        case 1: l1_flush_server(l1, &l1->servers[s->b % SERVER_MAX]); break;
        default: l1_flush_database(l1, &l1->servers[s->b % 2], s->c % 3); break;
        }
}

static void take_tables(struct l1 *l1, unsigned who, const struct step *s)
{
        struct l1_server_id id = {.family = 1, .id = {42, s->a % 4, 0}, .address = "/run/other.sock"};
        struct server_shm  *server = l1_server(l1, &id);
        uint64_t            user[2];

        (void)who;
        l1_user_digest(l1, s->b & 1 ? "user" : NULL, s->b & 1 ? 4 : 0, user);
        if (server != NULL)
                l1_namespace(l1, server, s->c % 4, user);
}

/* What a listener reads to tell the server which keys were read. A key that was copied is one that was put. */
static void walk_untold(struct l1 *l1, const struct step *s)
{
        struct l1_untold     walk = {.server_index = s->a % 4u, .key_max = ITEM_KEY_MAX, .least = s->c % 4u};
        struct l1_untold_key key;
        enum l1_untold_step  next;
        char                *to = malloc(ITEM_KEY_MAX);
        bool                 known;

        while ((next = l1_next_untold(l1, &walk, 1 + s->d, to, ITEM_KEY_MAX, &key)) != L1_UNTOLD_END) {
                BED_CHECK(next != L1_UNTOLD_FULL);
                if (next != L1_UNTOLD_KEY)
                        continue;
                BED_CHECK(key.len <= ITEM_KEY_MAX && key.reads <= MARK_MAX && key.reads >= walk.least);
                known = bed.hostile;
                for (unsigned k = 0; k < BED_KEYS && !known; k++)
                        known = mt_bytes_equal(bed.key[k], mt_bytes(to, key.len));
                BED_CHECK(known);
        }
        free(to);
}

/* What a listener does to a server's words and keys, all but the connection. */
static void take_leader(struct l1 *l1, unsigned who, const struct step *s)
{
        static struct leader leader;
        struct server_shm   *server = l1_server_at(l1, s->a % 4u);
        uint64_t             now_ns = clock_coarse_ns(), word;

        (void)who;
        walk_untold(l1, s);
        if (server == NULL || !l1->writable || !leader_vacant(l1, server, now_ns, &word) ||
            !leader_take(&leader, l1, server, 1000, word))
                return;
        leader_identify(&leader, s->b & 1 ? "0123456789012345678901234567890123456789" : "");
        leader_renew(&leader, now_ns);
        leader_period_ns(leader_bound_ms(server, 1000));
        leader_give_up(&leader);
}

/* What `mtshim stat`, `doctor` and a summary at the end read. */
static void take_stat(struct l1 *l1, unsigned who, const struct step *s)
{
        static const struct options options = {.max_staleness_ns = NS_PER_S};
        uint64_t                    own[COUNTER_COUNT];
        struct l1_totals            totals;
        struct ctl_server           server;

        (void)who;
        l1_totals(l1, s->a & 1, &totals);
        ctl_size(totals.bytes_used);
        l1_own_counts(l1, own);
        for (uint32_t i = 0; i < 4; i++)
                if (ctl_server_read(l1, i, &options, &server))
                        ctl_printable(server.address);
}

static void take_verify(struct l1 *l1, unsigned who, const struct step *s)
{
        const char *fault = l1_verify(l1);

        (void)who, (void)s;
        BED_CHECK(fault == NULL || bed.hostile);
}

/* Handles that are given up, in all ways that there are. */
static void take_end(struct l1 *l1, unsigned who, const struct step *s)
{
        if (s->a % 4 == 0)
                l1_after_fork(l1);
        else if (who != BED_GUEST && s->a % 4 == 1)
                l1_detach(l1);
}

static void forget(const struct l1 *l1, unsigned who)
{
        run.hit[who].slot = NULL;
        for (unsigned i = 0; i < LEASES; i++)
                if (run.lease[i].l1 == l1)
                        run.lease[i].l1 = NULL;
}

/* What stands there now is attached, or refused. Seldom by the way that makes a bad one anew: it reads all of /proc. */
static void take_guest(struct l1 *l1, unsigned who, const struct step *s)
{
        (void)l1, (void)who;
        if (run.guests++ >= 2)
                return;
        if (bed.l1[BED_GUEST] != NULL)
                forget(bed.l1[BED_GUEST], BED_GUEST);
        bed_leave(BED_GUEST);
        bed_attach(BED_GUEST, s->v % 64 == 63, s->a & 1);
}

static void take_time(struct l1 *l1, unsigned who, const struct step *s)
{
        static const uint64_t units[] = {NS_PER_MS, NS_PER_S / 4, 10 * NS_PER_S, 1000 * NS_PER_S};

        (void)l1, (void)who;
        atomic_fetch_add(&clock_test_offset_ns, (int64_t)(s->v % 64 * units[s->a % 4]));
}

static void (*const steps[])(struct l1 *, unsigned, const struct step *) = {
        take_get,  take_find,   take_copy,   take_get,     take_lease, take_fill,   take_release,
        take_put,  take_put,    take_remove, take_pattern, take_flush, take_tables, take_leader,
        take_stat, take_verify, take_end,    take_guest,   take_time,  take_sweep,
};
enum { STEP_KINDS = sizeof steps / sizeof *steps };

/* ------------------------------------------------------------------------------------------------- the other thread */

#ifdef FUZZ_RACE
static struct {
        struct step  step[STEPS_MAX];
        size_t       count;
        sem_t        begin, ended;
        _Atomic bool stop;
} race;

static void *race_thread(void *arg)
{
        for (;;) {
                sem_wait(&race.begin);
                while (!mt_load_acquire(&race.stop))
                        for (size_t i = 0; i < race.count && !mt_load_acquire(&race.stop); i++)
                                hostile_step(&race.step[i]);
                sem_post(&race.ended);
        }
        return arg;
}

static void race_begin(const struct step *step, size_t count)
{
        static pthread_t thread;

        if (thread == 0) {
                sem_init(&race.begin, 0, 0);
                sem_init(&race.ended, 0, 0);
                BED_CHECK(pthread_create(&thread, NULL, race_thread, NULL) == 0);
        }
        race.count = 0;
        for (size_t i = 0; i < count; i++)
                if (step[i].kind & 0x80)
                        race.step[race.count++] = step[i];
        mt_store_release(&race.stop, race.count == 0);
        bed.hostile = race.count > 0;
        sem_post(&race.begin);
}

static void race_end(void)
{
        mt_store_release(&race.stop, true);
        while (sem_wait(&race.ended) != 0)
                ;
}
#else
static void race_begin(const struct step *step, size_t count)
{
        (void)step, (void)count;
}

static void race_end(void)
{
}
#endif

/* ------------------------------------------------------------------------------------------------------- the target */

int    LLVMFuzzerInitialize(int *argc, char ***argv);
int    LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
        (void)argc, (void)argv;
        bed_setup();
        return 0;
}

/* At the end all is read, some walks are taken, and a writer needs room: what was written is met. */
static void run_end(const struct step *first)
{
        const struct step room = {.a = first->c & 63, .b = BATCH_MAX - 1, .c = 9000, .who = 0x40};

        if (first->b & 1)
                take_pattern(bed.l1[BED_WRITER], BED_WRITER, first);
        for (unsigned i = 0; i < SWEEPS; i++)
                take_sweep(bed.l1[BED_READER], BED_READER, first);
        if (first->b & 2)
                take_put(bed.l1[BED_OTHER], BED_OTHER, &room);
        if (first->b & 4)
                take_verify(bed.l1[BED_WRITER], BED_WRITER, first);
}

/* A kind with its highest bit set is hostile. In a race the thread has these. */
static void run_steps(const struct step *step, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                unsigned   who;
                struct l1 *l1 = step_l1(&step[i], &who);

                if (!(step[i].kind & 0x80))
                        steps[step[i].kind % STEP_KINDS](l1, who, &step[i]);
#ifndef FUZZ_RACE
                else
                        hostile_step(&step[i]);
#endif
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct step step[STEPS_MAX];
        size_t      count = size / sizeof *step;

        if (count < 2 || count > STEPS_MAX)
                return 0;
        memcpy(step, data, count * sizeof *step);
        memset(&run, 0, sizeof run);
        bed_reset(step[0].a % BED_STATES);
        race_begin(step + 1, count - 1);
        run_steps(step + 1, count - 1);
        run_end(&step[0]);
        race_end();
        return 0;
}

static void mutate_any(struct step *step, uint64_t seed)
{
        uint64_t word[2] = {hash_fold(seed + 1, UINT64_C(0x9e3779b97f4a7c15)),
                            hash_fold(seed + 1, UINT64_C(0xd6e8feb86659fd93))};

        memcpy(step, word, sizeof *step);
}

/* Whole steps are put in, taken out, doubled and moved; or one is changed in place. The first says how it begins. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
        struct step step[STEPS_MAX + 1] = {0};
        size_t      most = max / sizeof *step, count = size / sizeof *step, at;

        most = most < STEPS_MAX ? most : STEPS_MAX;
        count = count < most ? count : most;
        if (most < 4)
                return size;
        memcpy(step, data, count * sizeof *step);
        for (; count < 2; count++)
                LLVMFuzzerMutate((uint8_t *)&step[count], 1, sizeof *step);
        at = 1 + seed / 8 % (count - 1);
        switch (seed % 8) {
        case 0:
                if (count > 2)
                        memmove(&step[at], &step[at + 1], (--count - at) * sizeof *step);
                break;
        case 1:
        case 2:
                if (count < most)
                        memmove(&step[at + 1], &step[at], (count++ - at) * sizeof *step);
                if (seed % 8 == 1)
                        mutate_any(&step[at], seed);
                break;
        case 3: step[at] = step[1 + seed / 512 % (count - 1)]; break;
        case 4:
                step[0].a ^= seed / 512 & 1;
                step[0].b ^= (uint8_t)(seed / 1024);
                break;
        default: LLVMFuzzerMutate((uint8_t *)&step[at], sizeof *step, sizeof *step); break;
        }
        memcpy(data, step, count * sizeof *step);
        return count * sizeof *step;
}
