/* demo.c - a plain hiredis program for make demo: reads, writes, and notes the time. It includes nothing of ours.
 *
 *      demo fill SOCKET KEYS             SET keys 0..KEYS-1, but for every twentieth
 *      demo read SOCKET KEYS N           N GETs of keys at random, the same ones each time:
 *                                        mean, p50, p99 in nanoseconds, and a checksum of all replies
 *      demo set SOCKET KEY COUNT         SET KEY 1..COUNT, a while apart: "value time" as each is acknowledged
 *      demo watch SOCKET KEY COUNT       GET KEY without rest until it is COUNT: "value time" as each is first seen
 * Times are CLOCK_MONOTONIC nanoseconds. */
#include <hiredis/hiredis.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t demo_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static redisReply *demo_must(redisContext *c, redisReply *reply)
{
        if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
                fprintf(stderr, "demo: %s\n", reply == NULL ? c->errstr : reply->str);
                exit(1);
        }
        return reply;
}

static void demo_fill(redisContext *c, unsigned keys)
{
        for (unsigned i = 0; i < keys; i++)
                if (i % 20 != 0)
                        freeReplyObject(demo_must(c, redisCommand(c, "SET demo:%u %u:%090u", i, i, i * 7919u)));
}

static int demo_by_value(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

/* FNV-1a over kind, length and bytes. */
static uint64_t demo_sum(uint64_t sum, const redisReply *reply)
{
        sum = (sum ^ (uint64_t)reply->type) * UINT64_C(0x100000001b3);
        sum = (sum ^ (uint64_t)reply->len) * UINT64_C(0x100000001b3);
        for (size_t i = 0; i < (size_t)reply->len; i++)
                sum = (sum ^ (unsigned char)reply->str[i]) * UINT64_C(0x100000001b3);
        return sum;
}

static void demo_read(redisContext *c, unsigned keys, unsigned n)
{
        uint64_t *took = calloc(n, sizeof *took), sum = UINT64_C(0xcbf29ce484222325), all = 0, random = 42;

        if (took == NULL)
                exit(1);
        for (unsigned i = 0; i < n; i++) {
                redisReply *reply;
                uint64_t    start;

                random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                start = demo_ns();
                reply = demo_must(c, redisCommand(c, "GET demo:%u", (unsigned)(random >> 33) % keys));
                took[i] = demo_ns() - start;
                all += took[i];
                sum = demo_sum(sum, reply);
                freeReplyObject(reply);
        }
        qsort(took, n, sizeof *took, demo_by_value);
        printf("%.0f %llu %llu %016llx\n", (double)all / n, (unsigned long long)took[n / 2],
               (unsigned long long)took[n - 1 - n / 100], (unsigned long long)sum);
        free(took);
}

static void demo_set(redisContext *c, const char *key, unsigned count)
{
        struct timespec pause = {.tv_nsec = 50000000};

        for (unsigned i = 1; i <= count; i++) {
                nanosleep(&pause, NULL);
                freeReplyObject(demo_must(c, redisCommand(c, "SET %s %u", key, i)));
                printf("%u %llu\n", i, (unsigned long long)demo_ns());
                fflush(stdout);
        }
}

static void demo_watch(redisContext *c, const char *key, unsigned count)
{
        for (unsigned seen = 0, now = 0; seen < count;) {
                redisReply *reply = demo_must(c, redisCommand(c, "GET %s", key));

                now = reply->str == NULL ? 0 : (unsigned)strtoul(reply->str, NULL, 10);
                freeReplyObject(reply);
                if (now > seen) {
                        printf("%u %llu\n", now, (unsigned long long)demo_ns());
                        fflush(stdout);
                        seen = now;
                }
        }
}

int main(int argc, char **argv)
{
        const char   *what = argc >= 4 ? argv[1] : "";
        unsigned      last = argc >= 4 ? (unsigned)strtoul(argv[argc - 1], NULL, 10) : 0;
        redisContext *c = argc >= 4 ? redisConnectUnix(argv[2]) : NULL;

        if (c == NULL || c->err != 0 || last == 0) {
                fprintf(stderr, "demo: %s\n", c == NULL ? "usage: demo fill|read|set|watch SOCKET ..." : c->errstr);
                return 2;
        }
        if (strcmp(what, "fill") == 0)
                demo_fill(c, last);
        else if (strcmp(what, "read") == 0 && argc == 5)
                demo_read(c, (unsigned)strtoul(argv[3], NULL, 10), last);
        else if (strcmp(what, "set") == 0 && argc == 5)
                demo_set(c, argv[3], last);
        else if (strcmp(what, "watch") == 0 && argc == 5)
                demo_watch(c, argv[3], last);
        else
                return 2;
        redisFree(c);
        return 0;
}
