/* flood.c - a foreign writer and what L1 makes of its writes: keys in one message, or at a steady rate.
 *
 *      flood SOCKET SET SPAN message KEYS           one MSET of so many keys, all different
 *      flood SOCKET SET SPAN stream RATE SECONDS    MSETs of 100 keys each, so many keys a second
 *
 * Keys are those that bench/peers make of a set's name, the first SPAN of it. L1 is the segment that MTSHIM_SEGMENT
 * names, with a leader in another process. Prints "name value" lines; times in ms. Exit status 1 when a key that was
 * written is still in L1, or a leader is missing. */
#include "../common/peer.h"

#include "l1/base/options.h"
#include "l1/l1.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FLOOD_WORDS = 100, FLOOD_TICK_US = 1000, FLOOD_AGES_MAX = 1 << 20 };
#define FLOOD_PATIENCE_NS (20 * NS_PER_S)
#define FLOOD_SCATTER     UINT64_C(1000003) /* a prime that no span here is a multiple of: keys come in no order */

static struct l1         *l1;
static struct server_shm *flood_server;
static redisContext      *flood_redis;
static const char        *flood_set;
static uint64_t           flood_span, flood_next;
static uint64_t           flood_age[FLOOD_AGES_MAX];
static size_t             flood_ages;

static noreturn void flood_fail(const char *what)
{
        fprintf(stderr, "flood: %s\n", what);
        exit(1);
}

static double flood_ms(uint64_t ns)
{
        return (double)ns / 1e6;
}

static void flood_open(const char *path)
{
        static struct options options;
        struct l1_config      config;
        struct l1_server_id   id = {.family = AF_UNIX};
        struct stat           st;

        options_load(&options);
        config = (struct l1_config){.name = options.segment};
        l1 = l1_open(&config, true);
        if (l1 == NULL || stat(path, &st) != 0)
                flood_fail("no segment, or no server");
        id.id[0] = st.st_dev;
        id.id[1] = st.st_ino;
        snprintf(id.address, sizeof id.address, "%s", path);
        flood_server = l1_server(l1, &id);
        flood_redis = redisConnectUnix(path);
        if (flood_server == NULL || mt_load_relaxed(&flood_server->leader) == 0 || !flood_redis || flood_redis->err)
                flood_fail("no leader, or no connection");
}

/* ------------------------------------------------------------------------------------------- what the leader does */

static pid_t flood_leader(void)
{
        return l1_owner_pid(l1, mt_load_acquire(&flood_server->leader));
}

/* Processor time of the listener's thread, in ns. */
static uint64_t flood_thread_ns(void)
{
        char     path[64];
        uint64_t ns = 0;
        FILE    *file;

        snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", (int)flood_leader(),
                 (int)mt_load_relaxed(&flood_server->leader_tid));
        file = fopen(path, "re");
        if (file == NULL || fscanf(file, "%" SCNu64, &ns) != 1)
                flood_fail("the listener's thread is gone");
        fclose(file);
        return ns;
}

/* What is the leader's own of its memory, in KiB. */
static long flood_leader_kib(void)
{
        char  path[64], line[128];
        long  kib = 0;
        FILE *file;

        snprintf(path, sizeof path, "/proc/%d/status", (int)flood_leader());
        file = fopen(path, "re");
        while (file != NULL && fgets(line, sizeof line, file) != NULL)
                sscanf(line, "RssAnon: %ld", &kib);
        if (file != NULL)
                fclose(file);
        return kib;
}

static uint64_t flood_applied(void)
{
        return mt_load_relaxed(&flood_server->invalidations);
}

static void flood_note_age(void)
{
        uint64_t fresh_at_ns = mt_load_acquire(&flood_server->fresh_at_ns), now_ns = clock_precise_ns();

        if (flood_ages < FLOOD_AGES_MAX)
                flood_age[flood_ages++] = now_ns > fresh_at_ns ? now_ns - fresh_at_ns : 0;
}

/* Until so many keys have been applied since the listener began. */
static void flood_await(uint64_t applied)
{
        const struct timespec moment = {.tv_nsec = 100000};
        uint64_t              begin_ns = clock_precise_ns();

        while (flood_applied() < applied) {
                if (clock_precise_ns() - begin_ns > FLOOD_PATIENCE_NS)
                        flood_fail("the listener does not keep up");
                flood_note_age();
                nanosleep(&moment, NULL);
        }
}

static int flood_by_value(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

static void flood_print_ages(void)
{
        qsort(flood_age, flood_ages, sizeof *flood_age, flood_by_value);
        printf("age_p99_ms %.1f\nage_max_ms %.1f\n", flood_ms(flood_age[flood_ages * 99 / 100]),
               flood_ms(flood_age[flood_ages - 1]));
}

/* ------------------------------------------------------------------------------------------------------- writing */

static void flood_key(struct peer_key *key, uint64_t n)
{
        peer_key(key, flood_set, n * FLOOD_SCATTER % flood_span);
}

/* MSET of the next keys, each with a short value. */
static void flood_append(size_t keys)
{
        static const char     **word;
        static size_t          *len;
        static struct peer_key *key;
        static size_t           room;

        if (room < keys) {
                room = keys;
                word = realloc(word, (1 + 2 * keys) * sizeof *word);
                len = realloc(len, (1 + 2 * keys) * sizeof *len);
                key = realloc(key, keys * sizeof *key);
                if (word == NULL || len == NULL || key == NULL)
                        flood_fail("no memory");
        }
        word[0] = "MSET", len[0] = 4;
        for (size_t i = 0; i < keys; i++) {
                flood_key(&key[i], flood_next++);
                word[1 + 2 * i] = key[i].text, len[1 + 2 * i] = PEER_KEY;
                word[2 + 2 * i] = "w", len[2 + 2 * i] = 1;
        }
        if (redisAppendCommandArgv(flood_redis, (int)(1 + 2 * keys), word, len) != REDIS_OK)
                flood_fail("cannot write");
}

static void flood_reply(void)
{
        redisReply *reply;

        if (redisGetReply(flood_redis, (void **)&reply) != REDIS_OK || reply->type != REDIS_REPLY_STATUS)
                flood_fail("MSET was refused");
        freeReplyObject(reply);
}

/* How many of the first n keys are in L1, as a program that never authenticated finds them in database 0. */
static size_t flood_present(size_t n)
{
        uint32_t index = l1_server_index(l1, flood_server);
        uint64_t user[2];
        size_t   present = 0;

        l1_user_digest(l1, NULL, 0, user);
        struct namespace_shm *ns = l1_namespace(l1, flood_server, 0, user);

        for (size_t i = 0; i < n; i++) {
                struct peer_key text;
                struct l1_key   key;
                struct l1_hit   hit;

                flood_key(&text, i);
                key.key = mt_bytes(text.text, PEER_KEY);
                key.hash = l1_hash(l1, index, key.key);
                present += l1_find(l1, &key, mt_load_acquire(&ns->id), clock_coarse_ns(), &hit);
        }
        return present;
}

static void flood_message(size_t keys)
{
        size_t   before = flood_present(keys);
        uint64_t applied = flood_applied(), thread_ns = flood_thread_ns(), sent_ns, replied_ns;
        long     kib = flood_leader_kib();

        flood_append(keys);
        sent_ns = clock_precise_ns();
        flood_reply();
        replied_ns = clock_precise_ns();
        flood_await(applied + keys);
        printf("server_ms %.1f\napplied_ms %.1f\n", flood_ms(replied_ns - sent_ns),
               flood_ms(clock_precise_ns() - replied_ns));
        printf("ns_per_key %.0f\n", (double)(flood_thread_ns() - thread_ns) / (double)keys);
        printf("kib_more %ld\npresent_before %zu\n", flood_leader_kib() - kib, before);
        flood_print_ages();
        printf("present_after %zu\n", flood_present(keys));
        if (flood_present(keys) != 0)
                flood_fail("keys that were written are still in L1");
}

/* A tick a millisecond, on a timetable: who is late catches up. */
static void flood_stream(uint64_t rate, uint64_t seconds)
{
        uint64_t ticks = seconds * 1000000 / FLOOD_TICK_US, sent = 0;
        uint64_t applied = flood_applied(), thread_ns = flood_thread_ns(), begin_ns = clock_precise_ns(), took_ns;
        long     kib = flood_leader_kib();

        for (uint64_t tick = 1; tick <= ticks; tick++) {
                uint64_t        due_ns = begin_ns + tick * FLOOD_TICK_US * NS_PER_US;
                uint64_t        want = rate * tick * FLOOD_TICK_US / 1000000;
                struct timespec at = {(time_t)(due_ns / NS_PER_S), (long)(due_ns % NS_PER_S)};
                unsigned        replies = 0;

                for (; sent + FLOOD_WORDS <= want; sent += FLOOD_WORDS, replies++)
                        flood_append(FLOOD_WORDS);
                while (replies-- > 0)
                        flood_reply();
                flood_note_age();
                clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        }
        took_ns = clock_precise_ns() - begin_ns;
        flood_await(applied + sent);
        printf("keys_per_s %.0f\nseconds %.1f\n", (double)sent * 1e9 / (double)took_ns, (double)took_ns / 1e9);
        printf("behind_ms %.1f\n", flood_ms(clock_precise_ns() - begin_ns - took_ns));
        thread_ns = flood_thread_ns() - thread_ns;
        printf("ns_per_key %.0f\nthread_percent %.1f\n", (double)thread_ns / (double)sent,
               100.0 * (double)thread_ns / (double)took_ns);
        printf("kib_more %ld\n", flood_leader_kib() - kib);
        flood_print_ages();
}

int main(int argc, char **argv)
{
        uint64_t a = argc >= 6 ? strtoull(argv[5], NULL, 10) : 0, b = argc == 7 ? strtoull(argv[6], NULL, 10) : 0;

        if (argc < 6 || a == 0) {
                fprintf(stderr, "usage: flood SOCKET SET SPAN message KEYS | stream RATE SECONDS\n");
                return 2;
        }
        flood_set = argv[2];
        flood_span = strtoull(argv[3], NULL, 10);
        flood_open(argv[1]);
        if (strcmp(argv[4], "message") == 0 && a <= flood_span)
                flood_message(a);
        else if (strcmp(argv[4], "stream") == 0 && b != 0)
                flood_stream(a, b);
        else
                flood_fail("what is that");
        redisFree(flood_redis);
        return 0;
}
