/* set_cost.c - how long a SET takes in this program: bare, or with whatever is preloaded.
 *
 *   set_cost [BATCHES [SETS]]     prints the nanoseconds of a SET in each batch, smallest first, on one line */
#include "common.h"

static int smaller(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
        int           batches = argc > 1 ? atoi(argv[1]) : 9, sets = argc > 2 ? atoi(argv[2]) : 2000;
        uint64_t      ns[100];
        redisContext *c = must_connect();

        if (batches < 1 || batches > 100)
                die("1 to 100 batches");
        for (int batch = -1; batch < batches; batch++) { /* the first is not counted: L1 is attached meanwhile */
                uint64_t begun_ns = now_ns();

                for (int i = 0; i < sets; i++) {
                        redisReply *r = redisCommand(c, "SET %s %s", "cost", "a value of some thirty-odd bytes");

                        if (r == NULL || r->type != REDIS_REPLY_STATUS)
                                die("SET: %s", r != NULL ? r->str : c->errstr);
                        freeReplyObject(r);
                }
                if (batch >= 0)
                        ns[batch] = (now_ns() - begun_ns) / (uint64_t)sets;
        }
        qsort(ns, (size_t)batches, sizeof(*ns), smaller);
        for (int batch = 0; batch < batches; batch++)
                printf("%llu%c", (unsigned long long)ns[batch], batch + 1 < batches ? ' ' : '\n');
        redisFree(c);
        return 0;
}
