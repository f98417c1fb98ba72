/* hot.c - a key that many read all the time: 8 processes of 8 threads, each thread once a millisecond.
 *
 *   hot KEY MS     how many GETs reach the server in so many ms, once every reader has read for a second; and how many
 *                  answers were not the value of the first */
// build: -pthread
#include "common.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PROCESSES = 8, THREADS = 8, WARM_MS = 1000 };

static struct shared {
        _Atomic int      ready, over;
        _Atomic unsigned wrong, reads;
} * shared;

static const char *key;

static void *reader(void *arg)
{
        redisContext *c = must_connect();
        uint64_t      warm_ns = now_ns() + WARM_MS * NS_PER_MS;
        bool          warm = false;

        (void)arg;
        while (!atomic_load(&shared->over)) {
                redisReply *r = redisCommand(c, "GET %s", key);

                if (r == NULL || r->type != REDIS_REPLY_STRING || strcmp(r->str, "value") != 0)
                        atomic_fetch_add(&shared->wrong, 1);
                drop_reply(r);
                atomic_fetch_add(&shared->reads, 1);
                if (!warm && now_ns() > warm_ns) {
                        warm = true;
                        atomic_fetch_add(&shared->ready, 1);
                }
                sleep_ms(1);
        }
        redisFree(c);
        return NULL;
}

static void process(void)
{
        pthread_t thread[THREADS];

        for (int i = 0; i < THREADS; i++)
                if (pthread_create(&thread[i], NULL, reader, NULL) != 0)
                        die("no thread");
        for (int i = 0; i < THREADS; i++)
                pthread_join(thread[i], NULL);
        _exit(0);
}

int main(int argc, char **argv)
{
        redisContext *probe;
        long long     gets;
        unsigned      reads;

        if (argc != 3)
                die("usage: hot KEY MS");
        key = argv[1];
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
                die("no memory");
        for (int i = 0; i < PROCESSES; i++)
                if (fork() == 0)
                        process();
        while (atomic_load(&shared->ready) < PROCESSES * THREADS)
                sleep_ms(1);
        probe = must_connect();
        gets = server_gets(probe);
        reads = atomic_load(&shared->reads);
        sleep_ms((unsigned)atoi(argv[2]));
        printf("%lld gets, %u reads, ", server_gets(probe) - gets, atomic_load(&shared->reads) - reads);
        atomic_store(&shared->over, 1);
        while (wait(NULL) > 0)
                ;
        printf("%u wrong\n", atomic_load(&shared->wrong));
        redisFree(probe);
        return 0;
}
