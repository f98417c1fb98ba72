/* bench.c - a plain hiredis program that does one thing over and over and says how long it took.
 *
 *      bench UNIX-PATH|HOST:PORT
 *
 * Reads a command a line on standard input, answers each with one line of numbers on standard output:
 *      load SET FIRST N        SET N keys of that set, pipelined             0
 *      get SET FIRST SPAN N    GET key FIRST + i mod SPAN, N times           nanoseconds, all together
 *      each SET FIRST SPAN N   the same, each call timed by itself           p50 and p99 in nanoseconds
 *      hget N | strlen N       HGET, STRLEN of one key                       nanoseconds
 *      threads T N             T threads, a connection each, N GETs each     nanoseconds from first start to last end
 * A wrong reply ends it with status 1. Bare or preloaded, it is the same file. */
// build: -pthread
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

enum { KEY_LEN = 24, VALUE_LEN = 100, SPAN_MAX = 4096, THREADS_MAX = 64 };

static const char *bench_address;
static char        bench_keys[SPAN_MAX][KEY_LEN + 1];

static void bench_fail(const char *what, const redisContext *c)
{
        fprintf(stderr, "bench: %s: %s\n", what,
                c == NULL     ? "no context"
                : c->err != 0 ? c->errstr
                              : "unexpected reply");
        exit(1);
}

static redisContext *bench_connect(void)
{
        char          host[128];
        const char   *colon = strrchr(bench_address, ':');
        redisContext *c;

        if (bench_address[0] == '/' || colon == NULL) {
                c = redisConnectUnix(bench_address);
        } else {
                snprintf(host, sizeof host, "%.*s", (int)(colon - bench_address), bench_address);
                c = redisConnect(host, atoi(colon + 1));
        }
        if (c == NULL || c->err != 0)
                bench_fail(bench_address, c);
        return c;
}

static uint64_t bench_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Ticks of the cheapest steady counter, and how many of them are a nanosecond. */
static uint64_t bench_ticks(void)
{
#if defined(__x86_64__)
        unsigned aux;

        return __rdtscp(&aux);
#elif defined(__aarch64__)
        uint64_t ticks;

        __asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(ticks));
        return ticks;
#else
        return bench_ns();
#endif
}

static double bench_ticks_per_ns(void)
{
        uint64_t ns = bench_ns(), ticks = bench_ticks(), later;

        do
                later = bench_ns();
        while (later - ns < 20000000);
        return (double)(bench_ticks() - ticks) / (double)(later - ns);
}

static void bench_key(char key[KEY_LEN + 1], const char *set, unsigned long i)
{
        snprintf(key, KEY_LEN + 1, "%.9s:%0*lu", set, (int)(KEY_LEN - 1 - strnlen(set, 9)), i);
}

static void bench_span(const char *set, unsigned long first, unsigned long span)
{
        for (unsigned long i = 0; i < span && i < SPAN_MAX; i++)
                bench_key(bench_keys[i], set, first + i);
}

static inline void bench_get(redisContext *c, const char *key)
{
        redisReply *reply = redisCommand(c, "GET %s", key);

        if (reply == NULL || reply->type != REDIS_REPLY_STRING || reply->len != VALUE_LEN)
                bench_fail(key, c);
        freeReplyObject(reply);
}

static void bench_load(redisContext *c, const char *set, unsigned long first, unsigned long n)
{
        char        key[KEY_LEN + 1], value[VALUE_LEN];
        redisReply *reply;

        memset(value, 'v', sizeof value);
        for (unsigned long i = 0, answered = 0; answered < n; answered++) {
                for (; i < n && i < answered + 512; i++) {
                        bench_key(key, set, first + i);
                        redisAppendCommand(c, "SET %s %b", key, value, sizeof value);
                }
                if (redisGetReply(c, (void **)&reply) != REDIS_OK || reply->type != REDIS_REPLY_STATUS)
                        bench_fail("load", c);
                freeReplyObject(reply);
        }
}

static uint64_t bench_gets(redisContext *c, unsigned long span, unsigned long n)
{
        uint64_t start = bench_ns();

        for (unsigned long i = 0, k = 0; i < n; i++, k = k + 1 == span ? 0 : k + 1)
                bench_get(c, bench_keys[k]);
        return bench_ns() - start;
}

static int bench_by_value(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

/* Each call by itself; what reading the counter costs, its median, is taken off each. */
static void bench_each(redisContext *c, unsigned long span, unsigned long n)
{
        double    per_ns = bench_ticks_per_ns();
        uint64_t *took = malloc(n * sizeof *took);
        uint64_t  own;

        if (took == NULL || n == 0)
                bench_fail("no room", c);
        for (unsigned long i = 0; i < n; i++) {
                uint64_t start = bench_ticks();

                took[i] = bench_ticks() - start;
        }
        qsort(took, n, sizeof *took, bench_by_value);
        own = took[n / 2];
        for (unsigned long i = 0, k = 0; i < n; i++, k = k + 1 == span ? 0 : k + 1) {
                uint64_t start = bench_ticks();

                bench_get(c, bench_keys[k]);
                took[i] = bench_ticks() - start;
        }
        qsort(took, n, sizeof *took, bench_by_value);
        for (int p = 50; p <= 99; p += 49) {
                uint64_t ticks = took[n * (unsigned)p / 100];

                printf("%.1f%c", ticks > own ? (double)(ticks - own) / per_ns : 0.0, p == 99 ? '\n' : ' ');
        }
        free(took);
}

static uint64_t bench_forward(redisContext *c, const char *format, int type, unsigned long n)
{
        uint64_t start = bench_ns();

        for (unsigned long i = 0; i < n; i++) {
                redisReply *reply = redisCommand(c, format, bench_keys[0]);

                if (reply == NULL || reply->type != type)
                        bench_fail(format, c);
                freeReplyObject(reply);
        }
        return bench_ns() - start;
}

static void *bench_thread(void *arg)
{
        redisContext *c = bench_connect();

        bench_gets(c, 1, *(unsigned long *)arg);
        redisFree(c);
        return NULL;
}

static uint64_t bench_threads(unsigned threads, unsigned long n)
{
        pthread_t thread[THREADS_MAX];
        uint64_t  start = bench_ns();

        for (unsigned i = 0; i < threads; i++)
                if (pthread_create(&thread[i], NULL, bench_thread, &n) != 0)
                        bench_fail("thread", NULL);
        for (unsigned i = 0; i < threads; i++)
                pthread_join(thread[i], NULL);
        return bench_ns() - start;
}

static bool bench_do(redisContext *c, const char *line)
{
        char          what[16] = "", set[16] = "hot";
        unsigned long a = 0, b = 0, n = 0;

        if (sscanf(line, "load %15s %lu %lu", set, &a, &n) == 3) {
                bench_load(c, set, a, n);
                puts("0");
        } else if (sscanf(line, "%15s %15s %lu %lu %lu", what, set, &a, &b, &n) == 5 && b >= 1 && b <= SPAN_MAX) {
                bench_span(set, a, b);
                if (strcmp(what, "get") == 0)
                        printf("%llu\n", (unsigned long long)bench_gets(c, b, n));
                else if (strcmp(what, "each") == 0)
                        bench_each(c, b, n);
                else
                        return false;
        } else if (sscanf(line, "hget %lu", &n) == 1) {
                bench_span("hash", 0, 1);
                printf("%llu\n", (unsigned long long)bench_forward(c, "HGET %s field", REDIS_REPLY_NIL, n));
        } else if (sscanf(line, "strlen %lu", &n) == 1) {
                bench_span("hot", 0, 1);
                printf("%llu\n", (unsigned long long)bench_forward(c, "STRLEN %s", REDIS_REPLY_INTEGER, n));
        } else if (sscanf(line, "threads %lu %lu", &a, &n) == 2 && a >= 1 && a <= THREADS_MAX) {
                bench_span("hot", 0, 1);
                printf("%llu\n", (unsigned long long)bench_threads((unsigned)a, n));
        } else {
                return false;
        }
        fflush(stdout);
        return true;
}

int main(int argc, char **argv)
{
        redisContext *c;
        char          line[256];

        if (argc != 2) {
                fprintf(stderr, "usage: bench UNIX-PATH|HOST:PORT < COMMANDS\n");
                return 2;
        }
        bench_address = argv[1];
        c = bench_connect();
        while (fgets(line, sizeof line, stdin) != NULL) {
                if (!bench_do(c, line)) {
                        fprintf(stderr, "bench: what is %s", line);
                        return 2;
                }
        }
        redisFree(c);
        return 0;
}
