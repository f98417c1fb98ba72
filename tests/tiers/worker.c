/* worker.c - a plain hiredis program that writes, deletes and reads keys of the tiers, and holds every read against the
 * oracle: a value that was ended, acknowledged, before the read began must not be seen again.
 * usage: worker SOCKET ORACLE-FILE SEED NUMBER */
#include "oracle.h"

#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

/* How long a value may be kept in L1 by the rule of the checker's keys, and by how much its clock may lag. */
#define WORKER_L1_NS   (UINT64_C(30) * 1000000)
#define WORKER_TURN_NS (ORACLE_KEYS * ORACLE_MOMENT_NS)
/* So many turns without transactions, of which each keeps a whole database from being put back. */
enum { WORKER_PEACE = 5 };

static struct oracle *oracle;
static redisContext  *context;
static const char    *socket_path;
static uint64_t       seed;

static uint32_t draw(uint32_t n)
{
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        return (uint32_t)(seed >> 16) % n;
}

static redisContext *server(void)
{
        struct timeval wait = {2, 0};

        while (context == NULL || context->err != 0) {
                if (context != NULL)
                        redisFree(context);
                context = redisConnectUnixWithTimeout(socket_path, wait);
                if (context != NULL && context->err == 0)
                        redisSetTimeout(context, wait);
                else
                        usleep(20000);
        }
        return context;
}

/* What is ended by a write that begins now, if it is acknowledged. */
struct ended {
        uint32_t count, value[ORACLE_VALUES];
};

static void look(uint32_t key, struct ended *ended)
{
        struct oracle_key *k = &oracle->key[key];
        uint32_t           next = atomic_load(&k->next);

        ended->count = 0;
        for (uint32_t i = 0; i < next && i < ORACLE_VALUES; i++)
                if (atomic_load(&k->value[i].acknowledged) && atomic_load(&k->value[i].ended_ns) == 0)
                        ended->value[ended->count++] = i;
}

static void end(uint32_t key, const struct ended *ended, uint32_t how)
{
        uint64_t now_ns = oracle_now_ns();

        for (uint32_t i = 0; i < ended->count; i++) {
                uint64_t none = 0;

                if (atomic_compare_exchange_strong(&oracle->key[key].value[ended->value[i]].ended_ns, &none, now_ns))
                        atomic_store(&oracle->key[key].value[ended->value[i]].how, how);
        }
}

static bool answered(redisReply *reply, int type)
{
        bool good = reply != NULL &&
                    (reply->type == type || (type == REDIS_REPLY_STRING && reply->type == REDIS_REPLY_NIL));

        atomic_fetch_add(&oracle->failures, !good);
        if (reply != NULL)
                freeReplyObject(reply);
        return good;
}

static bool piped(redisContext *c, const char *format, uint32_t key, int type)
{
        redisReply *before = NULL, *reply = NULL, *after = NULL;
        bool        good;

        redisAppendCommand(c, "STRLEN doc:%u", key);
        redisAppendCommand(c, format, key);
        redisAppendCommand(c, "STRLEN doc:%u", key);
        if (redisGetReply(c, (void **)&before) != REDIS_OK || redisGetReply(c, (void **)&reply) != REDIS_OK ||
            redisGetReply(c, (void **)&after) != REDIS_OK)
                type = -1;
        good = answered(reply, type);
        if (before != NULL)
                freeReplyObject(before);
        if (after != NULL)
                freeReplyObject(after);
        return good;
}

static bool transaction(redisContext *c, uint32_t key)
{
        redisReply *reply;
        bool        good;

        freeReplyObject(redisCommand(c, "MULTI"));
        freeReplyObject(redisCommand(c, "DEL doc:%u", key));
        reply = redisCommand(c, "EXEC");
        good = reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 1;
        if (reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements != 1) {
                printf("VIOLATION: a transaction of one command has %zu answers\n", reply->elements);
                fflush(stdout);
                atomic_fetch_add(&oracle->violations, 1);
        }
        return answered(reply, REDIS_REPLY_ARRAY) && good;
}

static void delete (uint32_t key, uint64_t now_ns)
{
        bool          transactions = (now_ns - oracle->began_ns) / WORKER_TURN_NS % WORKER_PEACE == WORKER_PEACE - 1;
        redisContext *c = server();
        uint32_t      how = draw(transactions ? 6 : 5);
        struct ended  ended;
        bool          good;

        look(key, &ended);
        switch (how) {
        case 0: good = answered(redisCommand(c, "UNLINK doc:%u", key), REDIS_REPLY_INTEGER); break;
        case 1: good = answered(redisCommand(c, "GETDEL doc:%u", key), REDIS_REPLY_STRING); break;
        case 2: good = piped(c, "DEL doc:%u", key, REDIS_REPLY_INTEGER); break;
        case 3:
                good = answered(redisCommand(c, "EVAL %s 1 doc:%u", "return redis.call('DEL',KEYS[1])", key),
                                REDIS_REPLY_INTEGER);
                break;
        case 4: good = answered(redisCommand(c, "DEL doc:%u none:%u", key, key), REDIS_REPLY_INTEGER); break;
        default: good = transaction(c, key);
        }
        if (!good)
                return;
        end(key, &ended, how);
        atomic_fetch_add(&oracle->deletes, 1);
}

static void write_value(uint32_t key)
{
        uint32_t            value = atomic_fetch_add(&oracle->key[key].next, 1);
        redisContext       *c = server();
        static struct ended ended;
        uint32_t            how = draw(4);
        char                text[64];
        bool                good;

        if (value >= ORACLE_VALUES)
                return;
        snprintf(text, sizeof text, "%u.%u", key, value);
        look(key, &ended);
        switch (how) {
        case 0: good = answered(redisCommand(c, "SET doc:%u %s EX 600", key, text), REDIS_REPLY_STATUS); break;
        case 1: good = answered(redisCommand(c, "SETEX doc:%u 600 %s", key, text), REDIS_REPLY_STATUS); break;
        case 2: good = answered(redisCommand(c, "SET doc:%u %s KEEPTTL", key, text), REDIS_REPLY_STATUS); break;
        default: good = answered(redisCommand(c, "SET doc:%u %s", key, text), REDIS_REPLY_STATUS);
        }
        if (!good)
                return;
        atomic_store(&oracle->key[key].value[value].acknowledged, 1);
        end(key, &ended, 10 + how);
        atomic_fetch_add(&oracle->writes, 1);
}

static void judge(uint32_t key, const char *text, uint64_t began_ns)
{
        unsigned of = ORACLE_KEYS, value = ORACLE_VALUES;
        uint64_t ended_ns;

        if (sscanf(text, "%u.%u", &of, &value) != 2 || of != key || value >= ORACLE_VALUES) {
                printf("VIOLATION: key %u has what nobody wrote: %s\n", key, text);
                atomic_fetch_add(&oracle->violations, 1);
                return;
        }
        ended_ns = atomic_load(&oracle->key[key].value[value].ended_ns);
        if (ended_ns == 0) /* who reads it knows that it was written, acknowledged or not */
                atomic_store(&oracle->key[key].value[value].acknowledged, 1);
        if (ended_ns == 0 || ended_ns + WORKER_L1_NS > began_ns)
                return;
        printf("VIOLATION: key %u, value %u is back, %" PRIu64 " ms after its end (%u) was acknowledged, at %" PRIu64
               "\n",
               key, value, (began_ns - ended_ns) / 1000000, atomic_load(&oracle->key[key].value[value].how),
               (began_ns - oracle->began_ns) / 1000000);
        fflush(stdout);
        atomic_fetch_add(&oracle->violations, 1);
}

static void read_value(uint32_t key)
{
        redisContext *c = server();
        uint64_t      began_ns = oracle_now_ns();
        redisReply   *reply = redisCommand(c, "GET doc:%u", key);

        if (reply == NULL || (reply->type != REDIS_REPLY_NIL && reply->type != REDIS_REPLY_STRING)) {
                answered(reply, -1);
                return;
        }
        atomic_fetch_add(&oracle->reads, 1);
        if (reply->type == REDIS_REPLY_NIL)
                atomic_fetch_add(&oracle->nils, 1);
        else
                judge(key, reply->str, began_ns);
        freeReplyObject(reply);
}

int main(int argc, char **argv)
{
        struct oracle_worker *me;
        int                   fd;

        if (argc != 5 || (fd = open(argv[2], O_RDWR)) < 0)
                return 2;
        oracle = mmap(NULL, sizeof *oracle, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (oracle == MAP_FAILED)
                return 2;
        socket_path = argv[1];
        seed = strtoull(argv[3], NULL, 10) * UINT64_C(0x9e3779b97f4a7c15) | 1;
        me = &oracle->worker[atoi(argv[4]) % ORACLE_WORKERS];
        atomic_store(&me->deletes, 0);
        while (!atomic_load(&oracle->over)) {
                uint64_t now_ns = oracle_now_ns();
                uint32_t key = oracle_key_of(oracle, now_ns), lot = draw(oracle_only_reads(oracle, now_ns) ? 80 : 100);

                if (lot == 0 && draw(12) == 0) {
                        atomic_store(&me->key, draw(ORACLE_KEYS));
                        atomic_store(&me->deletes, 1);
                        delete (atomic_load(&me->key), now_ns);
                        atomic_store(&me->deletes, 0);
                } else if (lot < 10) {
                        read_value(draw(ORACLE_KEYS));
                } else if (lot < 20) {
                        read_value(atomic_load(&oracle->worker[draw(ORACLE_WORKERS)].key));
                } else if (lot < 80) {
                        read_value(key);
                } else if (lot < 88) {
                        delete (key, now_ns);
                } else {
                        write_value(key);
                }
                usleep(50);
        }
        redisFree(server());
        return 0;
}
