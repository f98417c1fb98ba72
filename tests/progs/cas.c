/* cas.c - threads that each compare and set one counter: WATCH, GET, MULTI, SET, EXEC, until it went through. A GET
 * that were answered from a cache would defeat the compare. cas THREADS STEPS */
// build: -pthread
#include "common.h"

#include <pthread.h>

static int steps;

static void *worker(void *arg)
{
        redisContext *c = must_connect();

        (void)arg;
        for (int done = 0; done < steps;) {
                redisReply *r;
                long        seen;

                drop_reply(redisCommand(c, "GET counter")); /* brings the value near, if there is such a thing */
                drop_reply(redisCommand(c, "WATCH counter"));
                r = redisCommand(c, "GET %s", "counter");
                seen = r->str != NULL ? atol(r->str) : 0;
                freeReplyObject(r);
                drop_reply(redisCommand(c, "MULTI"));
                drop_reply(redisCommand(c, "SET counter %ld", seen + 1));
                r = redisCommand(c, "EXEC");
                done += r->type == REDIS_REPLY_ARRAY;
                freeReplyObject(r);
        }
        redisFree(c);
        return NULL;
}

int main(int argc, char **argv)
{
        int           threads = argc > 1 ? atoi(argv[1]) : 4;
        pthread_t     id[64];
        redisContext *c = must_connect(), *probe = must_connect();
        redisReply   *r;

        steps = argc > 2 ? atoi(argv[2]) : 100;
        drop_reply(redisCommand(c, "SET counter 0"));
        if (!warm(c, probe, "counter", 7, 5 * NS_PER_S))
                die("L1 never answered");
        for (int i = 0; i < threads; i++)
                pthread_create(&id[i], NULL, worker, NULL);
        for (int i = 0; i < threads; i++)
                pthread_join(id[i], NULL);
        r = redisCommand(c, "GET counter");
        printf("%d threads, %d steps each: %s\n", threads, steps, r->str);
        if (atol(r->str) != (long)threads * steps)
                die("steps were lost");
        freeReplyObject(r);
        redisFree(c);
        redisFree(probe);
        return 0;
}
