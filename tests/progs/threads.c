/* threads.c - contexts and threads in every combination that hiredis allows.
 *   threads own       four threads, each with a context of its own, keys of its own and keys of all
 *   threads handed    one context, handed on under a mutex by four threads
 *   threads many      a thousand connections at once
 *   threads churn     four threads that connect, read and free */
// build: -pthread
#include "common.h"

#include <pthread.h>

enum { THREADS = 4, STEPS = 2000, SHARED = 20 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static redisContext   *handed, *probe;
static long            wrong[THREADS];
static _Atomic long    asked;

static long get(redisContext *c, const char *format, int n)
{
        redisReply *r = redisCommand(c, format, n);
        long        value = -1;

        asked++;
        if (r == NULL || (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_NIL))
                die("GET: %s", r != NULL ? r->str : c->errstr);
        if (r->str != NULL)
                value = atol(r->str);
        freeReplyObject(r);
        return value;
}

static void *own(void *arg)
{
        long          self = (long)(intptr_t)arg;
        redisContext *c = must_connect();
        char          format[32];

        snprintf(format, sizeof(format), "GET own:%ld:%%d", self);
        for (int i = 0; i < STEPS; i++) {
                drop_reply(redisCommand(c, "SET own:%ld:%d %d", self, i % 10, i));
                wrong[self] += get(c, format, i % 10) != i;
                wrong[self] += get(c, format, i % 10) != i;
                /* Shared keys say their own number, whoever wrote them. */
                wrong[self] += get(c, "GET shared:%d", i % SHARED) != i % SHARED;
                if (i % 7 == 0)
                        drop_reply(redisCommand(c, "SET shared:%d %d", i % SHARED, i % SHARED));
        }
        redisFree(c);
        return NULL;
}

static void *hand_on(void *arg)
{
        long self = (long)(intptr_t)arg;

        for (int i = 0; i < STEPS; i++) {
                pthread_mutex_lock(&mutex);
                drop_reply(redisCommand(handed, "SET handed %ld", self * STEPS + i));
                wrong[self] += get(handed, "GET handed", 0) != self * STEPS + i;
                pthread_mutex_unlock(&mutex);
        }
        return NULL;
}

static void *churn(void *arg)
{
        long self = (long)(intptr_t)arg;

        for (int i = 0; i < STEPS / 4; i++) {
                redisContext *c = must_connect();

                if (i % 2 != 0)
                        drop_reply(redisCommand(c, "SELECT 1"));
                wrong[self] += get(c, "GET database", 0) != i % 2;
                wrong[self] += get(c, "GET database", 0) != i % 2;
                redisFree(c);
        }
        return NULL;
}

static long run(void *(*f)(void *))
{
        pthread_t id[THREADS];
        long      sum = 0;

        for (int i = 0; i < THREADS; i++)
                pthread_create(&id[i], NULL, f, (void *)(intptr_t)i);
        for (int i = 0; i < THREADS; i++)
                pthread_join(id[i], NULL);
        for (int i = 0; i < THREADS; i++)
                sum += wrong[i];
        return sum;
}

static long many(void)
{
        static redisContext *c[1000];
        long                 sum = 0;

        for (size_t i = 0; i < NELEMENTS(c); i++)
                c[i] = must_connect();
        for (int turn = 0; turn < 3; turn++) {
                for (size_t i = 0; i < NELEMENTS(c); i++)
                        sum += get(c[i], "GET shared:%d", (int)i % SHARED) != (long)i % SHARED;
        }
        for (size_t i = 0; i < NELEMENTS(c); i++)
                redisFree(c[i]);
        return sum;
}

static long run_own(void)
{
        return run(own);
}

static long run_handed(void)
{
        return run(hand_on);
}

static long run_churn(void)
{
        return run(churn);
}

static const struct {
        const char *name;
        long (*f)(void);
        long travel; /* at most so many of a hundred GETs may reach the server */
} modes[] = {
        {"own", run_own, 85}, /* one of three is the first after its write */
        {"handed", run_handed, 100},
        {"many", many, 40},
        {"churn", run_churn, 40},
};

int main(int argc, char **argv)
{
        redisContext *c = must_connect();
        long long     before;
        long          sum = 0;

        probe = must_connect();
        handed = must_connect();
        drop_reply(redisCommand(c, "SELECT 1"));
        drop_reply(redisCommand(c, "SET database 1"));
        drop_reply(redisCommand(c, "SELECT 0"));
        drop_reply(redisCommand(c, "SET database 0"));
        for (int i = 0; i < SHARED; i++)
                drop_reply(redisCommand(c, "SET shared:%d %d", i, i));
        if (!warm(c, probe, "database", 8, 5 * NS_PER_S))
                die("L1 never answered");
        for (size_t i = 0; i < NELEMENTS(modes); i++) {
                if (argc > 1 && strcmp(argv[1], modes[i].name) != 0)
                        continue;
                before = server_gets(probe);
                asked = 0;
                sum += modes[i].f();
                before = server_gets(probe) - before;
                if (shimmed() && before * 100 > asked * modes[i].travel)
                        die("%s: %lld of %ld GETs travelled", modes[i].name, before, asked);
                printf("%s: %ld wrong\n", modes[i].name, sum);
        }
        redisFree(handed);
        redisFree(probe);
        redisFree(c);
        return sum != 0;
}
