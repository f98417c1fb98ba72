/* torture.c - many processes in one segment, killed and stopped at random instructions; what is served must be true.
 *
 *   torture [--seconds S] [--seed X] [--processes N] [--threads]
 *
 * A "server" outside the segment holds a number for each key of each database, which only goes up. Writers raise it,
 * then do what invalidation does: clear the key in L1, and only then say which number has been applied. Fillers do
 * what a miss does: lease, read the server, fill. Readers note what has been applied before they look, and a hit must
 * be
 *   whole      its checksum fits (not torn)
 *   its own    the server, database and key that were asked for (not foreign)
 *   true       no older than what had been applied, by removal or by flush, before the look began (not stale)
 *   in time    not past the deadline that it carries
 * The parent kills and stops at random, makes new processes, some by fork from one that is attached, and after each
 * round has the whole structure verified and sees that the cache still takes in and gives out. With --threads the same
 * workers are threads of one process, and nobody is killed: that is the form for ThreadSanitizer. */
#include "l1/base/log.h"
#include "l1/l1.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SERVERS = 2, DATABASES = 3, KEYS = 300, PROCESSES_MAX = 64 };

#define TORTURE_L1_SIZE  (UINT64_C(6) << 20)
#define TORTURE_MAX_ITEM 200000u
#define TORTURE_ROUND_NS (700 * NS_PER_MS)
#define TORTURE_MAGIC    UINT64_C(0x70727475746f7274)

/* The server, and what the listener has said; and what has been seen. Shared by all, outside the segment. */
struct world {
        _Atomic uint64_t truth[SERVERS][KEYS]; /* one key stands in all databases: one write changes it everywhere */
        _Atomic uint64_t applied[SERVERS][KEYS];
        _Atomic uint64_t flush_truth[SERVERS][DATABASES];
        _Atomic uint64_t flush_applied[SERVERS][DATABASES];
        _Atomic bool     stop;
        _Atomic uint64_t hits, misses, fills, refused, writes, flushes, attaches;
        _Atomic uint64_t torn, foreign, stale, unflushed, late;
};

struct value {
        uint64_t magic, server, database, key, number, flush, deadline_ns, len, checksum;
};

struct worker {
        uint64_t              seed;
        struct l1            *l1;
        struct server_shm    *server[SERVERS];
        uint32_t              incarnation[SERVERS];
        struct namespace_shm *ns[SERVERS][DATABASES];
        char                  buffer[TORTURE_MAX_ITEM];
        char                  copy[TORTURE_MAX_ITEM];
};

static struct world    *world;
static struct l1_config config = {
        .name = "torture",
        .size_bytes = TORTURE_L1_SIZE,
        .max_item_bytes = TORTURE_MAX_ITEM,
};

static uint64_t draw(uint64_t *seed)
{
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        return *seed;
}

static uint64_t below(uint64_t *seed, uint64_t n)
{
        return (draw(seed) >> 11) % n;
}

/* ----------------------------------------------------------------------------------------------------------- values */

static uint64_t checksum(const struct value *v, const char *body)
{
        struct value head = *v;

        head.checksum = 0;
        return mt_hash(&head, sizeof head, (struct hash_key){{1, 2}}) ^
               mt_hash(body, v->len - sizeof head, (struct hash_key){{3, 4}});
}

/* Sizes as they come: most are small, some fill a good part of a log segment. */
static uint64_t value_length(uint64_t *seed)
{
        switch (below(seed, 32)) {
        case 0: return sizeof(struct value) + below(seed, TORTURE_MAX_ITEM - sizeof(struct value));
        case 1:
        case 2:
        case 3: return sizeof(struct value) + below(seed, 8000);
        default: return sizeof(struct value) + below(seed, 300);
        }
}

static struct mt_bytes value_make(struct worker *w, const struct value *head)
{
        struct value v = *head;
        uint64_t     word = v.key << 32 ^ v.number;

        for (uint64_t i = sizeof v; i < v.len; i += 8) {
                word += UINT64_C(0x9e3779b97f4a7c15);
                memcpy(w->buffer + i, &word, v.len - i < 8 ? v.len - i : 8);
        }
        v.checksum = checksum(&v, w->buffer + sizeof v);
        memcpy(w->buffer, &v, sizeof v);
        return mt_bytes(w->buffer, v.len);
}

static struct mt_bytes key_make(char to[64], uint64_t key)
{
        /* Some short, some past the long form's border in another program's keys; here up to 63 bytes. */
        return mt_bytes(to, (size_t)snprintf(to, 64, "key:%0*llu", (int)(1 + key % 48), (unsigned long long)key));
}

/* --------------------------------------------------------------------------------------------------- the workers */

static bool worker_attach(struct worker *w)
{
        for (unsigned s = 0; s < SERVERS; s++) {
                struct l1_server_id id = {.family = 1, .id = {1, s, 0}};
                uint64_t            user[2];

                w->server[s] = l1_server(w->l1, &id);
                if (w->server[s] == NULL)
                        return false; /* somebody was stopped while changing the table: another time */
                w->incarnation[s] = mt_load_relaxed(&w->server[s]->incarnation);
                l1_user_digest(w->l1, NULL, 0, user);
                for (uint32_t d = 0; d < DATABASES; d++) {
                        w->ns[s][d] = l1_namespace(w->l1, w->server[s], d, user);
                        if (w->ns[s][d] == NULL)
                                return false;
                }
        }
        mt_fetch_add_relaxed(&world->attaches, 1);
        return true;
}

/* A hit, and what is wrong with it. */
static void judge(const struct worker *w, const struct l1_hit *hit, uint64_t s, uint64_t d, uint64_t key,
                  uint64_t applied, uint64_t flushed, uint64_t asked_ns)
{
        struct value v;

        mt_fetch_add_relaxed(&world->hits, 1);
        memcpy(&v, w->copy, sizeof v);
        if (hit->len < sizeof v || v.magic != TORTURE_MAGIC || v.len != hit->len ||
            checksum(&v, w->copy + sizeof v) != v.checksum)
                mt_fetch_add_relaxed(&world->torn, 1);
        else if (v.server != s || v.database != d || v.key != key)
                mt_fetch_add_relaxed(&world->foreign, 1);
        else if (v.number < applied)
                mt_fetch_add_relaxed(&world->stale, 1);
        else if (v.flush < flushed)
                mt_fetch_add_relaxed(&world->unflushed, 1);
        else if (v.deadline_ns <= asked_ns)
                mt_fetch_add_relaxed(&world->late, 1);
}

static void fill(struct worker *w, const struct l1_key *wanted, struct l1_lease *lease, uint64_t s, uint64_t d,
                 uint64_t key)
{
        struct value v = {
                .magic = TORTURE_MAGIC,
                .server = s,
                .database = d,
                .key = key,
                .number = mt_load_acquire(&world->truth[s][key]),
                .flush = mt_load_acquire(&world->flush_truth[s][d]),
                .deadline_ns = clock_precise_ns() + (100 + below(&w->seed, 1000)) * NS_PER_MS,
                .len = value_length(&w->seed),
        };

        if (below(&w->seed, 8) == 0) /* the answer takes a while */
                sched_yield();
        if (below(&w->seed, 64) == 0)
                l1_release(w->l1, lease);
        else if (l1_fill(w->l1, wanted, lease, value_make(w, &v), v.deadline_ns))
                mt_fetch_add_relaxed(&world->fills, 1);
        else
                mt_fetch_add_relaxed(&world->refused, 1);
}

static void get(struct worker *w, uint64_t s, uint64_t d, uint64_t key)
{
        char            text[64];
        struct mt_bytes bytes = key_make(text, key);
        struct l1_key   wanted = {bytes, l1_hash(w->l1, l1_server_index(w->l1, w->server[s]), bytes)};
        uint64_t        applied = mt_load_acquire(&world->applied[s][key]);
        uint64_t        flushed = mt_load_acquire(&world->flush_applied[s][d]), asked_ns = clock_precise_ns();
        uint32_t        id = l1_namespace_id(w->server[s], w->incarnation[s], w->ns[s][d]);
        struct l1_lease lease;
        struct l1_hit   hit;

        if (l1_find(w->l1, &wanted, id, clock_coarse_ns(), &hit)) {
                if (l1_copy(&hit, w->copy))
                        judge(w, &hit, s, d, key, applied, flushed, asked_ns);
                return;
        }
        mt_fetch_add_relaxed(&world->misses, 1);
        if (l1_lease(w->l1, &wanted, id, clock_coarse_ns(), &lease))
                fill(w, &wanted, &lease, s, d, key);
}

static void raise_to(_Atomic uint64_t *word, uint64_t v)
{
        uint64_t now = mt_load_relaxed(word);

        while (now < v && !mt_cas_acq_rel(word, &now, v))
                ;
}

static void write_key(struct worker *w, uint64_t s, uint64_t key)
{
        char     text[64];
        uint64_t number = mt_fetch_add_acq_rel(&world->truth[s][key], 1) + 1;

        l1_remove(w->l1, l1_hash(w->l1, l1_server_index(w->l1, w->server[s]), key_make(text, key)));
        raise_to(&world->applied[s][key], number);
        mt_fetch_add_relaxed(&world->writes, 1);
}

static void flush(struct worker *w, uint64_t s)
{
        uint64_t number[DATABASES], d = below(&w->seed, DATABASES + 1);

        for (uint64_t i = 0; i < DATABASES; i++)
                number[i] = mt_fetch_add_acq_rel(&world->flush_truth[s][i], 1) + 1;
        if (d == DATABASES)
                l1_flush_server(w->l1, w->server[s]);
        else
                l1_flush_database(w->l1, w->server[s], (uint32_t)d);
        for (uint64_t i = 0; i < DATABASES; i++) {
                if (d == DATABASES || d == i)
                        raise_to(&world->flush_applied[s][i], number[i]);
        }
        mt_fetch_add_relaxed(&world->flushes, 1);
}

static void work(struct worker *w, uint64_t operations)
{
        for (uint64_t i = 0; i < operations && !mt_load_relaxed(&world->stop); i++) {
                uint64_t s = below(&w->seed, SERVERS), d = below(&w->seed, DATABASES);
                uint64_t key = below(&w->seed, below(&w->seed, KEYS) + 1);

                switch (below(&w->seed, 1000)) {
                case 0: flush(w, s); break;
                case 1 ... 150: write_key(w, s, key); break;
                default: get(w, s, d, key); break;
                }
        }
}

/* One process. handle: inherited through fork, or NULL. */
static void process(struct worker *w, struct l1 *handle, uint64_t seed)
{
        w->seed = seed | 1;
        if (handle != NULL)
                l1_after_fork(handle);
        w->l1 = handle != NULL ? handle : l1_attach(&config);
        if (w->l1 == NULL)
                _exit(1);
        if (worker_attach(w))
                work(w, 1000 + below(&w->seed, 200000));
        if (below(&w->seed, 2) == 0)
                l1_detach(w->l1);
        _exit(0);
}

/* ------------------------------------------------------------------------------------------------------ the parent */

struct torture {
        uint64_t       seed, seconds;
        unsigned       processes;
        bool           threads;
        struct l1     *l1;
        struct worker *worker; /* the parent's own, and what children copy */
        pid_t          pid[PROCESSES_MAX];
        bool           stopped[PROCESSES_MAX];
        uint64_t       kills, stops, rounds, odd_ends, verified;
        unsigned       passed, failed;
};

static void expect(struct torture *t, bool good, const char *what, uint64_t n)
{
        t->passed += good;
        t->failed += !good;
        if (!good)
                printf("FAILED: %s (%llu)\n", what, (unsigned long long)n);
}

static void spawn(struct torture *t, unsigned i)
{
        uint64_t seed = draw(&t->seed);

        fflush(stdout);
        t->stopped[i] = false;
        t->pid[i] = fork();
        if (t->pid[i] == 0)
                process(t->worker, seed % 2 != 0 ? t->l1 : NULL, seed);
}

static void reap(struct torture *t)
{
        int   status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                t->odd_ends += WIFEXITED(status) ? WEXITSTATUS(status) != 0 : WTERMSIG(status) != SIGKILL;
                for (unsigned i = 0; i < t->processes; i++) {
                        if (t->pid[i] == pid)
                                t->pid[i] = 0;
                }
        }
}

static void hurt(struct torture *t)
{
        unsigned i = (unsigned)below(&t->seed, t->processes);

        if (t->pid[i] == 0) {
                spawn(t, i);
        } else if (t->stopped[i]) {
                kill(t->pid[i], SIGCONT);
                t->stopped[i] = false;
        } else if (below(&t->seed, 3) == 0) {
                kill(t->pid[i], SIGSTOP);
                t->stopped[i] = true;
                t->stops++;
        } else {
                kill(t->pid[i], SIGKILL);
                t->kills++;
        }
}

static void end_all(struct torture *t)
{
        for (unsigned i = 0; i < t->processes; i++) {
                if (t->pid[i] == 0)
                        continue;
                kill(t->pid[i], SIGKILL);
                waitpid(t->pid[i], NULL, 0);
                t->pid[i] = 0;
                t->kills++;
        }
}

static void verify(struct torture *t, const char *when)
{
        const char *fault = l1_verify(t->l1);

        t->verified++;
        if (fault != NULL) {
                printf("%s, round %llu: %s\n", when, (unsigned long long)t->rounds, fault);
                t->failed++;
        }
}

/* After the deaths of a round: something still goes in, and comes out. */
static void still_works(struct torture *t)
{
        uint64_t hits = mt_load_relaxed(&world->hits), fills = mt_load_relaxed(&world->fills);

        if (!worker_attach(t->worker)) {
                expect(t, false, "the tables cannot be changed any more", t->rounds);
                return;
        }
        work(t->worker, 3000);
        if (mt_load_relaxed(&world->hits) == hits || mt_load_relaxed(&world->fills) == fills)
                expect(t, false, "no hits or fills after a round", t->rounds);
}

static void round_of_processes(struct torture *t, uint64_t end_ns)
{
        for (unsigned i = 0; i < t->processes; i++)
                spawn(t, i);
        while (clock_precise_ns() < end_ns) {
                usleep((useconds_t)(200 + below(&t->seed, 2500)));
                reap(t);
                hurt(t);
                if (below(&t->seed, 400) == 0)
                        verify(t, "while in use");
        }
        end_all(t);
}

static void *thread_main(void *arg)
{
        work(arg, UINT64_MAX);
        return NULL;
}

static void round_of_threads(struct torture *t, uint64_t end_ns)
{
        static struct worker *workers;
        pthread_t             thread[PROCESSES_MAX];

        if (workers == NULL)
                workers = calloc(t->processes, sizeof *workers);
        mt_store_release(&world->stop, false);
        for (unsigned i = 0; i < t->processes; i++) {
                workers[i].seed = draw(&t->seed) | 1;
                workers[i].l1 = t->l1;
                if (!worker_attach(&workers[i]))
                        exit(2);
                pthread_create(&thread[i], NULL, thread_main, &workers[i]);
        }
        while (clock_precise_ns() < end_ns)
                usleep(10000);
        mt_store_release(&world->stop, true);
        for (unsigned i = 0; i < t->processes; i++)
                pthread_join(thread[i], NULL);
        mt_store_release(&world->stop, false);
}

static void torture_run(struct torture *t)
{
        uint64_t end_ns = clock_precise_ns() + t->seconds * NS_PER_S;

        while (clock_precise_ns() < end_ns) {
                uint64_t round_ns = clock_precise_ns() + TORTURE_ROUND_NS;

                if (t->threads)
                        round_of_threads(t, round_ns);
                else
                        round_of_processes(t, round_ns);
                verify(t, "after a round");
                still_works(t);
                verify(t, "after more work");
                t->rounds++;
        }
}

static void torture_report(struct torture *t)
{
        struct l1_totals totals;

        l1_totals(t->l1, true, &totals);
        printf("rounds %llu, attached %llu, kills %llu, stops %llu, verified %llu\n", (unsigned long long)t->rounds,
               (unsigned long long)world->attaches, (unsigned long long)t->kills, (unsigned long long)t->stops,
               (unsigned long long)t->verified);
        printf("hits %llu, misses %llu, fills %llu, refused %llu, writes %llu, flushes %llu, reclaims %llu\n",
               (unsigned long long)world->hits, (unsigned long long)world->misses, (unsigned long long)world->fills,
               (unsigned long long)world->refused, (unsigned long long)world->writes,
               (unsigned long long)world->flushes, (unsigned long long)totals.count[COUNTER_reclaims]);
        expect(t, world->torn == 0, "torn", world->torn);
        expect(t, world->foreign == 0, "foreign", world->foreign);
        expect(t, world->stale == 0, "served after its invalidation was applied", world->stale);
        expect(t, world->unflushed == 0, "served after a flush was applied", world->unflushed);
        expect(t, world->late == 0, "served past its deadline", world->late);
        expect(t, totals.count[COUNTER_error_corrupt] == 0, "malformed items", totals.count[COUNTER_error_corrupt]);
        expect(t, t->odd_ends == 0, "workers that ended by themselves, badly", t->odd_ends);
        expect(t, world->hits > 1000 && world->fills > 1000, "hardly anything happened", world->hits);
        printf("%u passed, %u failed\n", t->passed, t->failed);
}

static void torture_options(struct torture *t, int argc, char **argv)
{
        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--threads") == 0) {
                        t->threads = true;
                } else if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0) {
                        t->seconds = strtoull(argv[++i], NULL, 10);
                } else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
                        t->seed = strtoull(argv[++i], NULL, 10);
                } else if (i + 1 < argc && strcmp(argv[i], "--processes") == 0) {
                        t->processes = (unsigned)strtoul(argv[++i], NULL, 10);
                } else {
                        fprintf(stderr, "usage: torture [--seconds S] [--seed X] [--processes N] [--threads]\n");
                        exit(2);
                }
        }
        if (t->processes == 0 || t->processes > PROCESSES_MAX)
                t->processes = t->threads ? 6 : 16;
}

int main(int argc, char **argv)
{
        struct torture t = {.seed = 1, .seconds = 10};
        static char    directory[] = "/dev/shm/mtshim-torture.XXXXXX";

        torture_options(&t, argc, argv);
        printf("seed %llu, %u %s\n", (unsigned long long)t.seed, t.processes, t.threads ? "threads" : "processes");
        t.seed = t.seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
        world = mmap(NULL, sizeof *world, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        t.worker = calloc(1, sizeof *t.worker);
        if (world == MAP_FAILED || t.worker == NULL || mkdtemp(directory) == NULL) {
                fprintf(stderr, "torture: %s\n", strerror(errno));
                return 2;
        }
        log_setup();
        config.directory = directory;
        t.l1 = l1_attach(&config);
        if (t.l1 == NULL)
                return 2;
        t.worker->l1 = t.l1;
        t.worker->seed = t.seed;
        torture_run(&t);
        torture_report(&t);
        unlink(l1_path(t.l1));
        rmdir(directory);
        free(t.worker);
        return t.failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
