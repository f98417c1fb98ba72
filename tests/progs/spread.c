/* spread.c - many keys, written by one program and read by others: what was cleared by nobody stays old for all to see.
 *
 *   spread write COUNT      write keys spread:0 to COUNT-1, some thousand a second in a random order, until ended
 *   spread read COUNT       read them all, a few hundred rounds a second, until ended
 *   spread dump COUNT       read each once and print it
 *
 * A key whose clearing was missed is not mended by the next write of another one: once the writer is stopped and the
 * bound is over, a dump must be the same with the shim and without. */
#include "common.h"

#include <signal.h>
#include <sys/prctl.h>

static void spread_write(redisContext *c, unsigned count)
{
        uint64_t state = (uint64_t)getpid() * UINT64_C(0x9e3779b97f4a7c15) | 1;

        for (unsigned long n = 1;; n++) {
                redisReply *r;

                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                r = redisCommand(c, "SET spread:%u %lu", (unsigned)(state >> 32) % count, n);
                if (r == NULL)
                        die("SET: %s", c->errstr);
                freeReplyObject(r);
                nanosleep(&(struct timespec){0, 100000}, NULL);
        }
}

static void spread_read(redisContext *c, unsigned count, bool print)
{
        for (unsigned i = 0; i < count; i++) {
                redisReply *r = redisCommand(c, "GET spread:%u", i);

                if (r == NULL)
                        die("GET: %s", c->errstr);
                if (print)
                        printf("%u %s\n", i, r->str != NULL ? r->str : "-");
                freeReplyObject(r);
        }
}

int main(int argc, char **argv)
{
        unsigned      count = argc == 3 ? (unsigned)atoi(argv[2]) : 0;
        redisContext *c;

        if (count == 0)
                die("usage: spread write|read|dump COUNT");
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        c = must_connect();
        if (strcmp(argv[1], "write") == 0)
                spread_write(c, count);
        while (strcmp(argv[1], "read") == 0) {
                spread_read(c, count, false);
                sleep_ms(2);
        }
        spread_read(c, count, true);
        redisFree(c);
        return 0;
}
