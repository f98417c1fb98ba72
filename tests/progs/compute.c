/* compute.c - a key that takes time to compute expires under load. Counts how many compute it.
 *
 *   compute PROCESSES THREADS ROUNDS COMPUTE_MS [FATE]
 *
 * Each thread reads; who finds nothing computes, and sets. A round is over when all have read what was computed. FATE
 * die: who computes first in a round ends its process instead. Prints how many computations there were in each
 * round. */
// build: -pthread
#include "common.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { ROUNDS_MAX = 100, PROCESSES_MAX = 64, LIFE_MS = 150, PATIENCE_S = 30 };

static struct {
        _Atomic int round; /* 0: not begun; -1: over */
        _Atomic int ready, seen, alive;
        _Atomic int computed[ROUNDS_MAX + 1];
        _Atomic int again_ms; /* longest second look of one who computes */
} * all;

static unsigned compute_ms;
static int      run; /* so that nothing of an earlier run is taken for this one's */
static bool     dies;

/* What was found, -1: nothing. */
static int get(redisContext *c)
{
        redisReply *r = redisCommand(c, "GET computed:%d", run);
        int         value = -1;

        if (r == NULL || (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_NIL))
                die("GET: %s", r != NULL && r->str != NULL ? r->str : c->errstr);
        if (r->type == REDIS_REPLY_STRING)
                value = atoi(r->str);
        freeReplyObject(r);
        return value;
}

static void set(redisContext *c, int value, int life_ms)
{
        redisReply *r = redisCommand(c, "SET computed:%d %d PX %d", run, value, life_ms);

        if (r == NULL || r->type != REDIS_REPLY_STATUS)
                die("SET");
        freeReplyObject(r);
}

/* Not set yet: who computes is told so at once, as often as it asks. */
static void look_again(redisContext *c)
{
        uint64_t began_ns = now_ns();
        int      took_ms;

        get(c);
        took_ms = (int)((now_ns() - began_ns) / NS_PER_MS);
        if (took_ms > all->again_ms)
                all->again_ms = took_ms;
}

static void play(redisContext *c, int round, int threads)
{
        for (;;) {
                int found = get(c);

                if (found == 2 * round + 1)
                        break;
                if (found < 0) {
                        if (all->computed[round]++ == 0 && dies) {
                                all->alive -= threads;
                                kill(getpid(), SIGKILL);
                        }
                        look_again(c);
                        sleep_ms(compute_ms);
                        set(c, 2 * round + 1, 60000);
                } else {
                        sleep_ms(1);
                }
        }
        all->seen++;
}

static void *reader(void *arg)
{
        redisContext *c = must_connect();
        int           round = 0, now;

        drop_reply(redisCommand(c, "PING"));
        all->ready++;
        while ((now = all->round) >= 0) {
                if (now != round)
                        play(c, round = now, *(const int *)arg);
                else
                        sleep_ms(1);
        }
        redisFree(c);
        return NULL;
}

static pid_t process(int threads)
{
        pid_t         pid = fork();
        redisContext *c, *probe;
        pthread_t     id[256];

        if (pid != 0)
                return pid;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        c = must_connect();
        probe = must_connect();
        if (!warm(c, probe, "warm", 4, 10 * NS_PER_S))
                die("L1 never answered");
        for (int i = 0; i < threads; i++) {
                if (pthread_create(&id[i], NULL, reader, &threads) != 0)
                        die("thread");
        }
        for (int i = 0; i < threads; i++)
                pthread_join(id[i], NULL);
        _exit(0);
}

static void await(const char *what, const _Atomic int *have, const _Atomic int *wanted)
{
        uint64_t deadline_ns = now_ns() + PATIENCE_S * NS_PER_S;

        while (*have < *wanted) {
                if (now_ns() > deadline_ns)
                        die("%s: %d of %d within %d s", what, *have, *wanted, PATIENCE_S);
                sleep_ms(1);
        }
}

int main(int argc, char **argv)
{
        int           processes = argc > 4 ? atoi(argv[1]) : 0, threads = argc > 4 ? atoi(argv[2]) : 0;
        int           rounds = argc > 4 ? atoi(argv[3]) : 0, sum = 0;
        redisContext *c;
        pid_t         pid[PROCESSES_MAX];

        if (processes < 1 || processes > PROCESSES_MAX || threads < 1 || threads > 256 || rounds < 1 ||
            rounds > ROUNDS_MAX)
                die("usage: compute PROCESSES THREADS ROUNDS COMPUTE_MS [die]");
        compute_ms = (unsigned)atoi(argv[4]);
        dies = argc > 5;
        run = getpid();
        all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        for (int i = 0; i < processes; i++) {
                pid[i] = process(threads);
                all->alive += threads;
                await("ready", &all->ready, &all->alive);
        }
        c = must_connect();
        for (int round = 1; round <= rounds; round++) {
                set(c, 2 * round, LIFE_MS);
                all->seen = 0;
                all->round = round;
                await("seen", &all->seen, &all->alive);
                printf("%d ", all->computed[round]);
                sum += all->computed[round];
        }
        all->round = -1;
        printf("= %d\n", sum);
        fprintf(stderr, "a second look took %d ms at most\n", all->again_ms);
        for (int i = 0; i < processes; i++)
                waitpid(pid[i], NULL, 0);
        redisFree(c);
        return 0;
}
