/* worker.c - a side of the comparison at work: a command a line on standard input, a line of numbers for each.
 *
 *      NAME ADDRESS
 *
 *      can                      what this side can                                   words
 *      load SET FIRST N BYTES   store N keys of the set with values of BYTES         nanoseconds
 *      use FILE BYTES           take the keys of that sequence from now on           how many they are
 *      get FROM N               GET N keys of the sequence from FROM on              nanoseconds, all together
 *      each FROM N              the same, each call timed by itself                  quantiles (quantiles.h)
 *      mix FROM N EVERY         the same, but each EVERYth of them is a SET          nanoseconds, all together
 *      threads CORE T FROM N EVERY
 *                               T threads, one bound to each core from that on, N of these operations each (EVERY 0:
 *                               GETs alone)                                          nanoseconds of each thread
 *      memory                   what the store takes                                 bytes, items
 * and what the peer has more (peer_more). A sequence starts again after its last key. A wrong answer of the store ends
 * the program with status 1. */
// build: -pthread
#include "clock.h"
#include "peer.h"
#include "quantiles.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { THREADS_MAX = 64, VALUE_MAX = 1 << 20, FILES_MAX = 32, PATH_LEN = 200 };

struct peer_sequence sequence;

static const char *worker_address;
static char        worker_value[VALUE_MAX];

struct worker_file {
        char                   path[PATH_LEN];
        const struct peer_key *key;
        size_t                 count;
};
struct worker_thread {
        pthread_t          id;
        pthread_barrier_t *start;
        void              *handle;
        size_t             core, from, n, every;
        uint64_t           took_ns;
};

noreturn void peer_fail(const char *what, const char *why)
{
        fprintf(stderr, "bench: %s: %s\n", what, why);
        exit(1);
}

static void worker_load(void *handle, const char *set, unsigned long first, unsigned long n, size_t bytes)
{
        struct peer_key key;
        uint64_t        start = clock_ns();

        if (bytes > sizeof worker_value)
                peer_fail("load", "values of that size are not for this program");
        peer_room(handle, n, bytes);
        for (unsigned long i = first; i < first + n; i++) {
                peer_key(&key, set, i);
                peer_put(handle, key.text, worker_value, bytes);
        }
        peer_flush(handle);
        printf("%llu\n", (unsigned long long)(clock_ns() - start));
}

static void worker_map(struct worker_file *f, const char *path)
{
        struct stat st;
        int         fd = open(path, O_RDONLY | O_CLOEXEC);
        void       *at;

        if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < (off_t)sizeof *f->key)
                peer_fail(path, "no sequence of keys");
        at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
        close(fd);
        if (at == MAP_FAILED)
                peer_fail(path, "cannot be mapped");
        snprintf(f->path, sizeof f->path, "%s", path);
        f->key = at;
        f->count = (size_t)st.st_size / sizeof *f->key;
}

/* A file once used stays mapped: batches of several sequences take turns. */
static void worker_use(const char *path, size_t bytes)
{
        static struct worker_file file[FILES_MAX];
        struct worker_file       *f = file;

        while (f->key != NULL && strcmp(f->path, path) != 0)
                if (++f == file + FILES_MAX)
                        peer_fail(path, "too many sequences");
        if (f->key == NULL)
                worker_map(f, path);
        sequence = (struct peer_sequence){.key = f->key, .count = f->count, .bytes = bytes};
        printf("%zu\n", sequence.count);
}

/* every 0: GETs alone. */
static void worker_do(void *handle, size_t from, size_t n, size_t every)
{
        size_t at = from % sequence.count, until_set = every;

        for (size_t i = 0; i < n; i++) {
                const char *key = sequence.key[at].text;

                if (until_set != 0 && --until_set == 0) {
                        peer_set(handle, key, worker_value, sequence.bytes);
                        until_set = every;
                } else {
                        peer_get(handle, key, sequence.bytes);
                }
                at = at + 1 == sequence.count ? 0 : at + 1;
        }
}

static int worker_by_value(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

/* Each call by itself; what reading the counter costs, its median, is taken off each. */
static void worker_each(void *handle, size_t from, size_t n)
{
        double    per_ns = clock_ticks_per_ns();
        uint64_t *took = calloc(n + 1, sizeof *took);
        uint64_t  own;

        if (took == NULL || n == 0)
                peer_fail("each", "no room");
        for (size_t i = 0; i < n; i++) {
                uint64_t start = clock_ticks();

                took[i] = clock_ticks() - start;
        }
        qsort(took, n, sizeof *took, worker_by_value);
        own = took[n / 2];
        for (size_t i = 0; i < n; i++) {
                const char *key = sequence.key[(from + i) % sequence.count].text;
                uint64_t    start = clock_ticks();

                peer_get(handle, key, sequence.bytes);
                took[i] = clock_ticks() - start;
        }
        qsort(took, n, sizeof *took, worker_by_value);
        for (size_t q = 0; q < QUANTILES; q++) {
                uint64_t ticks = took[(size_t)((double)(n - 1) * quantiles[q] / 100)];

                printf("%.1f ", ticks > own ? (double)(ticks - own) / per_ns : 0.0);
        }
        putchar('\n');
        free(took);
}

/* To one of the cores that the process may use: where the kernel puts two threads is not what is measured. */
static void worker_bind(size_t wanted)
{
        cpu_set_t may, one;
        size_t    nth;

        if (sched_getaffinity(0, sizeof may, &may) != 0)
                return;
        nth = wanted % (size_t)CPU_COUNT(&may);
        for (size_t core = 0; core < CPU_SETSIZE; core++) {
                if (!CPU_ISSET(core, &may) || nth-- > 0)
                        continue;
                CPU_ZERO(&one);
                CPU_SET(core, &one);
                pthread_setaffinity_np(pthread_self(), sizeof one, &one);
                return;
        }
}

static void *worker_thread(void *arg)
{
        struct worker_thread *t = arg;
        uint64_t              started;

        worker_bind(t->core);
        pthread_barrier_wait(t->start);
        started = clock_ns();
        worker_do(t->handle, t->from, t->n, t->every);
        t->took_ns = clock_ns() - started;
        return NULL;
}

/* Handles are kept from call to call: what is timed is work, not its preparation. */
static void worker_threads(size_t core, size_t threads, size_t from, size_t n, size_t every)
{
        static struct worker_thread thread[THREADS_MAX];
        pthread_barrier_t           start;

        pthread_barrier_init(&start, NULL, (unsigned)threads);
        for (size_t i = 0; i < threads; i++) {
                struct worker_thread *t = &thread[i];

                if (t->handle == NULL)
                        t->handle = peer_open(worker_address);
                t->start = &start, t->core = core + i, t->n = n, t->every = every;
                t->from = from + i * (sequence.count / threads);
                if (pthread_create(&t->id, NULL, worker_thread, t) != 0)
                        peer_fail("threads", "cannot start one");
        }
        for (size_t i = 0; i < threads; i++) {
                pthread_join(thread[i].id, NULL);
                printf("%llu ", (unsigned long long)thread[i].took_ns);
        }
        putchar('\n');
        pthread_barrier_destroy(&start);
}

static bool worker_obey(void *handle, const char *line)
{
        char   word[16] = "", path[PATH_LEN] = "";
        size_t a = 0, b = 0, c = 0, d = 0, e = 0;

        if (sscanf(line, "%15s", word) != 1)
                return false;
        if (strcmp(word, "can") == 0) {
                puts(peer_can);
        } else if (strcmp(word, "memory") == 0) {
                struct peer_memory memory = peer_memory(handle);

                printf("%.0f %.0f\n", memory.bytes, memory.items);
        } else if (sscanf(line, "load %15s %zu %zu %zu", path, &a, &b, &c) == 4) {
                worker_load(handle, path, a, b, c);
        } else if (sscanf(line, "use %199s %zu", path, &a) == 2) {
                worker_use(path, a);
        } else if (sequence.count == 0) {
                return peer_more(handle, line);
        } else if (sscanf(line, "each %zu %zu", &a, &b) == 2) {
                worker_each(handle, a, b);
        } else if (sscanf(line, "threads %zu %zu %zu %zu %zu", &a, &b, &c, &d, &e) == 5 && b >= 1 && b <= THREADS_MAX) {
                worker_threads(a, b, c, d, e);
        } else if (sscanf(line, "get %zu %zu", &a, &b) == 2 || sscanf(line, "mix %zu %zu %zu", &a, &b, &c) == 3) {
                uint64_t start = clock_ns();

                worker_do(handle, a, b, c);
                printf("%llu\n", (unsigned long long)(clock_ns() - start));
        } else {
                return peer_more(handle, line);
        }
        return true;
}

int main(int argc, char **argv)
{
        char  line[320];
        void *handle;

        if (argc != 2) {
                fprintf(stderr, "usage: %s ADDRESS < COMMANDS\n", argv[0]);
                return 2;
        }
        memset(worker_value, 'v', sizeof worker_value);
        worker_address = argv[1];
        handle = peer_open(worker_address);
        while (fgets(line, sizeof line, stdin) != NULL) {
                if (!worker_obey(handle, line)) {
                        fprintf(stderr, "%s: what is %s", argv[0], line);
                        return 2;
                }
                fflush(stdout);
        }
        peer_close(handle);
        return 0;
}
