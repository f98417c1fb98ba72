/* miss.c - what MTSHIM_STAMPEDE costs a miss that nobody else has: the same program twice, with and without, in turns.
 *
 *      miss pairs LIBRARY N            two workers preloaded, off and coalesce, each N times 100 misses in turns:
 *                                      prints their medians and that of the difference, in nanoseconds, and, where
 *                                      others use the machine, the difference of the quickest tenths
 *      miss worker FROM N              asks for N keys, from number FROM on; says how long it took
 *      miss hits KEY N                 asks for one key N times
 *      miss load N                     puts N keys there
 * MT_REDIS is the server's socket. Each key is read once, so every GET is a look-up, PTTL and GET, and a fill. */
// build: -lhiredis
#include "../common/clock.h"

#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH = 100, PAIRS_MAX = 2000, PIPELINED = 500 };

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        vfprintf(stderr, format, ap);
        va_end(ap);
        fputc('\n', stderr);
        exit(1);
}

static redisContext *connected(void)
{
        const char   *path = getenv("MT_REDIS");
        redisContext *c = path != NULL ? redisConnectUnix(path) : NULL;

        if (c == NULL || c->err != 0)
                fail("miss: no server at MT_REDIS");
        return c;
}

static void expect(redisContext *c, redisReply *reply, int type)
{
        if (reply == NULL || reply->type != type)
                fail("miss: %s", reply != NULL && reply->str != NULL ? reply->str : c->errstr);
        freeReplyObject(reply);
}

static void load(unsigned n)
{
        redisContext *c = connected();
        char          value[101];

        memset(value, 'v', 100);
        value[100] = '\0';
        for (unsigned i = 0; i < n; i++) {
                redisAppendCommand(c, "SET miss:%019u %s", i, value);
                if (i % PIPELINED != PIPELINED - 1 && i + 1 < n)
                        continue;
                for (unsigned owed = i % PIPELINED + 1; owed > 0; owed--) {
                        redisReply *reply = NULL;

                        redisGetReply(c, (void **)&reply);
                        expect(c, reply, REDIS_REPLY_STATUS);
                }
        }
        redisFree(c);
}

/* The next key each time, or the same again and again. */
static double ask(redisContext *c, unsigned from, unsigned n, bool next)
{
        uint64_t began = clock_ns();
        char     key[32];

        snprintf(key, sizeof key, "miss:%019u", from);
        for (unsigned i = 0; i < n; i++) {
                if (next)
                        snprintf(key, sizeof key, "miss:%019u", from + i);
                expect(c, redisCommand(c, "GET %s", key), REDIS_REPLY_STRING);
        }
        return (double)(clock_ns() - began);
}

/* Lines "FROM N" in, nanoseconds out. */
static void work(int argc, char **argv)
{
        redisContext *c = connected();
        unsigned      from, n;
        char          line[64];

        if (argc == 4) {
                printf("%.0f\n", ask(c, (unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]), argv[1][0] == 'w'));
        } else {
                while (fgets(line, sizeof line, stdin) != NULL && sscanf(line, "%u %u", &from, &n) == 2) {
                        printf("%.0f\n", ask(c, from, n, true));
                        fflush(stdout);
                }
        }
        redisFree(c);
}

struct worker {
        FILE *to, *from;
        pid_t pid;
};

static struct worker start(const char *self, const char *library, const char *mode)
{
        struct worker w;
        int           to[2], from[2];

        if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0 || (w.pid = fork()) < 0)
                fail("miss: no worker");
        if (w.pid == 0) {
                dup2(to[0], 0);
                dup2(from[1], 1);
                setenv("LD_PRELOAD", library, 1);
                setenv("MTSHIM_STAMPEDE", mode, 1);
                execl(self, self, "worker", (char *)NULL);
                _exit(127);
        }
        close(to[0]);
        close(from[1]);
        w.to = fdopen(to[1], "w");
        w.from = fdopen(from[0], "r");
        return w;
}

static double tell(struct worker *w, unsigned from)
{
        char line[64];

        fprintf(w->to, "%u %d\n", from, BATCH);
        fflush(w->to);
        if (fgets(line, sizeof line, w->from) == NULL)
                fail("miss: a worker is gone");
        return strtod(line, NULL) / BATCH;
}

static int compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static double quantile(double *of, unsigned n, unsigned percent)
{
        qsort(of, n, sizeof *of, compare);
        return of[n * percent / 100];
}

static void pairs(const char *self, const char *library, unsigned n)
{
        static double off[PAIRS_MAX], coalesce[PAIRS_MAX], more[PAIRS_MAX];
        struct worker w[2] = {start(self, library, "off"), start(self, library, "coalesce")};
        unsigned      from = 0;

        if (n == 0 || n > PAIRS_MAX)
                fail("miss: 1 to %d pairs", PAIRS_MAX);
        load((n + 3) * 2 * BATCH);
        for (unsigned i = 0; i < 3; i++) { /* attach, learn the round trip */
                tell(&w[0], from);
                tell(&w[1], from + BATCH);
                from += 2 * BATCH;
        }
        for (unsigned i = 0; i < n; i++) {
                double took[2];

                for (unsigned turn = 0; turn < 2; turn++, from += BATCH)
                        took[(i + turn) % 2] = tell(&w[(i + turn) % 2], from);
                off[i] = took[0];
                coalesce[i] = took[1];
                more[i] = took[1] - took[0];
        }
        printf("a miss: %.0f ns, with coalesce %.0f ns; ", quantile(off, n, 50), quantile(coalesce, n, 50));
        printf("the median difference of %u pairs of %d: %.0f ns; ", n, BATCH, quantile(more, n, 50));
        printf("of the quickest tenths: %.0f ns\n", quantile(coalesce, n, 10) - quantile(off, n, 10));
        for (unsigned i = 0; i < 2; i++) {
                fclose(w[i].to);
                waitpid(w[i].pid, NULL, 0);
        }
}

int main(int argc, char **argv)
{
        if (argc == 4 && strcmp(argv[1], "pairs") == 0)
                pairs(argv[0], argv[2], (unsigned)atoi(argv[3]));
        else if (argc >= 2 && (strcmp(argv[1], "worker") == 0 || (argc == 4 && strcmp(argv[1], "hits") == 0)))
                work(argc, argv);
        else if (argc == 3 && strcmp(argv[1], "load") == 0)
                load((unsigned)atoi(argv[2]));
        else
                fail("usage: miss pairs LIBRARY N | worker FROM N | hits KEY N | load N");
        return 0;
}
