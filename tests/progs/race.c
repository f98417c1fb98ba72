/* race.c - reads that race writes: while the program reads a key for the first time, a foreigner writes it. Whatever
 * was kept of the read must not stay: once the bound has passed, every key says what was written last.
 *
 *   race KEYS */
// build: -pthread
#include "raw.h"

#include <pthread.h>
#include <stdatomic.h>

enum { VALUE = 40000 };

static _Atomic int turn = -1, written = -1;
static int         keys;

/* Values are large: the reader is busy taking in the old one while the news of the write overtakes it. */
static void set(struct raw *raw, const char *word, int i)
{
        static char value[VALUE + 1];

        char        key[32], text[32];
        const char *argv[] = {"SET", key, value};

        snprintf(key, sizeof(key), "race:%d", i);
        memset(value, '.', VALUE);
        memcpy(value, word, strlen(word));
        if (!raw_command(raw, 3, argv, NULL) || !raw_reply(raw, text, sizeof(text)) || text[0] != '+')
                die("SET");
}

static void *writer(void *arg)
{
        struct raw *raw = arg;
        unsigned    delay = 0;

        for (int i = 0; i < keys; i++) {
                uint64_t until_ns;

                while (atomic_load(&turn) < i)
                        ;
                until_ns = now_ns() + delay++ % 64 * 500; /* at every point of the reader's round trip */
                while (now_ns() < until_ns)
                        ;
                set(raw, "new", i);
                atomic_store(&written, i);
        }
        return NULL;
}

static long count_new(redisContext *c)
{
        long n = 0;

        for (int i = 0; i < keys; i++) {
                redisReply *r = redisCommand(c, "GET race:%d", i);

                n += r != NULL && r->str != NULL && r->len == VALUE && memcmp(r->str, "new", 3) == 0;
                drop_reply(r);
        }
        return n;
}

int main(int argc, char **argv)
{
        const char   *bound = getenv("MT_BOUND_MS");
        redisContext *c = must_connect(), *probe = must_connect();
        struct raw    raw;
        pthread_t     id;
        long long     before;
        long          n;

        keys = argc > 1 ? atoi(argv[1]) : 1000;
        alarm(50);
        if (!raw_open(&raw, server_name()))
                die("no server");
        for (int i = 0; i < keys; i++)
                set(&raw, "old", i);
        drop_reply(redisCommand(c, "SET k value"));
        if (!warm(c, probe, "k", 1, 5 * NS_PER_S))
                die("L1 never answered");
        pthread_create(&id, NULL, writer, &raw);
        for (int i = 0; i < keys; i++) {
                atomic_store(&turn, i);
                do
                        drop_reply(redisCommand(c, "GET race:%d", i));
                while (atomic_load(&written) < i);
        }
        pthread_join(id, NULL);
        sleep_ms(bound != NULL ? (unsigned)atoi(bound) : 1000);
        n = count_new(c);
        before = server_gets(probe);
        if (count_new(c) != n)
                die("the second look differs");
        before = server_gets(probe) - before;
        if (shimmed() && before > keys / 2)
                die("%lld of %d GETs travelled: L1 kept nothing", before, keys);
        printf("%ld of %d keys are new\n", n, keys);
        redisFree(c);
        redisFree(probe);
        raw_close(&raw);
        return n != keys;
}
