/* worker.c - a program that reads and writes keys by hiredis and judges what it reads. It includes nothing of mtshim:
 * preloaded it is a shimmed program, bare it is one that knows of no cache, and then what it reads proves the oracle.
 *
 *   worker DESCRIPTOR SEAT        the oracle's memory, and whose part in it this process takes
 *
 * It may be killed or stopped anywhere; whoever takes the seat next goes on where it was. */
#include "worker.h"

#include "sentinel.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BURST = 16, BURST_BARE = 4, TWINS = 4, TWIN_MS = 300, TWIN_REST_US = 100000, HAND_PATIENCE_MS = 20000 };

struct oracle       *oracle;
struct seat         *seat;
static uint32_t      seat_number;
static struct thread threads[ORACLE_SEAT_THREADS];

void worker_pause_us(unsigned us)
{
        nanosleep(&(struct timespec){us / 1000000, (long)(us % 1000000) * 1000}, NULL);
}

bool worker_stops(void)
{
        return atomic_load(&oracle->stop);
}

/* ------------------------------------------------------------------------------------------------- connections */

/* What the last connection of this writer has sent may still be on its way: wait until the server knows of it no more.
 * False: the run is over. */
bool worker_fence(struct writer *w)
{
        uint64_t serial = atomic_load(&w->connection);

        if (serial == 0)
                return true;
        atomic_store(&w->fence_wanted, serial);
        while (atomic_load(&w->fence_wanted) != 0) {
                if (worker_stops())
                        return false;
                worker_pause_us(500);
        }
        for (uint32_t i = 0; i < w->count; i++)
                oracle_closed(&oracle->key[w->first + i]);
        atomic_store(&w->connection, 0);
        return true;
}

uint64_t worker_name(struct writer *w)
{
        uint64_t serial = atomic_fetch_add(&oracle->serial, 1);

        if (w != NULL)
                atomic_store(&w->connection, serial);
        return serial;
}

void thread_drop(struct thread *t)
{
        if (t->c != NULL && oracle_below(&t->seed, 3) != 0) {
                redisFree(t->c);
                t->c = NULL;
        }
        t->up = false;
        memset(t->own, 0, sizeof t->own);
}

static bool thread_said_ok(redisReply *reply)
{
        bool ok = reply != NULL && reply->type == REDIS_REPLY_STATUS;

        if (reply != NULL)
                freeReplyObject(reply);
        return ok;
}

static redisContext *thread_dial(const char *address, struct timeval timeout)
{
        const char *colon = strrchr(address, ':');
        char        host[64];

        if (address[0] == '/' || colon == NULL || colon - address >= (long)sizeof host)
                return redisConnectUnixWithTimeout(address, timeout);
        memcpy(host, address, (size_t)(colon - address));
        host[colon - address] = '\0';
        return redisConnectWithTimeout(host, atoi(colon + 1), timeout);
}

/* Who is the master, by the word of the sentinel at this address, and by its own. NULL: nobody, at present. */
static redisContext *thread_dial_master(const char *sentinel, struct timeval timeout)
{
        redisContext *s = thread_dial(sentinel, timeout), *master = NULL;
        redisReply   *reply = NULL, *role = NULL;

        if (s != NULL && s->err == 0 && redisSetTimeout(s, timeout) == REDIS_OK)
                reply = redisCommand(s, "SENTINEL get-master-addr-by-name %s", SENTINEL_NAME);
        if (reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
                master = redisConnectWithTimeout(reply->element[0]->str, atoi(reply->element[1]->str), timeout);
        if (master != NULL && master->err == 0 && redisSetTimeout(master, timeout) == REDIS_OK)
                role = redisCommand(master, "ROLE");
        if (master != NULL && (role == NULL || role->type != REDIS_REPLY_ARRAY || role->elements == 0 ||
                               strcmp(role->element[0]->str, "master") != 0)) {
                redisFree(master);
                master = NULL;
        }
        if (role != NULL)
                freeReplyObject(role);
        if (reply != NULL)
                freeReplyObject(reply);
        if (s != NULL)
                redisFree(s);
        return master;
}

static void thread_dial_again(struct thread *t, struct timeval timeout)
{
        const char *sentinel = strncmp(seat->address, "sentinel:", 9) == 0 ? seat->address + 9 : NULL;

        if (t->c != NULL && sentinel == NULL) {
                redisReconnect(t->c);
                return;
        }
        if (t->c != NULL)
                redisFree(t->c);
        t->c = sentinel != NULL ? thread_dial_master(sentinel, timeout) : thread_dial(seat->address, timeout);
}

/* Some are patient, some give up while the server only sleeps. */
static struct timeval thread_patience(struct thread *t)
{
        static const long ms[] = {120, 400, 1500};
        long              mine = seat->role == SEAT_HAND ? HAND_PATIENCE_MS : ms[oracle_below(&t->seed, 3)];

        return (struct timeval){mine / 1000, mine % 1000 * 1000};
}

static bool thread_connect(struct thread *t)
{
        struct timeval timeout = thread_patience(t);
        uint64_t       serial;

        if (t->writer != NULL && !worker_fence(t->writer))
                return false;
        thread_dial_again(t, timeout);
        serial = worker_name(t->writer);
        if (t->c != NULL && t->c->err == 0 && redisSetTimeout(t->c, timeout) == REDIS_OK &&
            thread_said_ok(redisCommand(t->c, "CLIENT SETNAME coh-%llu", (unsigned long long)serial)) &&
            (t->note->database == 0 || thread_said_ok(redisCommand(t->c, "SELECT %u", t->note->database)))) {
                t->up = true;
                atomic_fetch_add(&t->note->connects, 1);
                return true;
        }
        thread_drop(t);
        worker_pause_us(2000 + (unsigned)oracle_below(&t->seed, 3000));
        return false;
}

/* --------------------------------------------------------------------------------------------------------- reads */

static bool passing(const redisReply *reply)
{
        static const char *const passing[] = {"LOADING", "BUSY", "MASTERDOWN", "ERR max number of clients"};

        for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
                if (strncmp(reply->str, passing[i], strlen(passing[i])) == 0)
                        return true;
        }
        return false;
}

static void thread_judge(struct thread *t, struct oracle_read *read, const redisReply *reply)
{
        uint64_t     faults = atomic_load(&oracle->faults) | t->faults_before;
        enum verdict verdict = VERDICT_STRANGE;

        if (reply->type == REDIS_REPLY_ERROR && passing(reply)) {
                atomic_fetch_add(&t->note->errors, 1);
                return;
        }
        if (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_ERROR) {
                read->text = reply->str;
                read->len = reply->len;
        }
        if (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_NIL)
                verdict = oracle_judge(oracle, read);
        oracle_note(oracle, seat_number, t->index, t->bare, read, verdict, faults);
        if (read->seq != 0) {
                if (read->seq < t->seen[read->key])
                        atomic_fetch_add(&t->note->step_backs, 1);
                t->seen[read->key] = read->seq;
        }
}

static redisReply *thread_ask(struct thread *t, const char *name)
{
        const char *argv[] = {"get", name};
        size_t      argvlen[] = {3, strlen(name)};
        redisReply *reply = NULL;

        switch (oracle_below(&t->seed, 16)) {
        case 0: return redisCommandArgv(t->c, 2, argv, argvlen);
        case 1: return redisCommand(t->c, "GET %b", name, argvlen[1]);
        case 2: /* forwarded */
                redisAppendCommand(t->c, "GET %s", name);
                redisGetReply(t->c, (void **)&reply);
                return reply;
        default: return redisCommand(t->c, "GET %s", name);
        }
}

void thread_read(struct thread *t, uint32_t key)
{
        struct oracle_read read = {.key = key, .own_seq = t->own[key]};
        char               name[24];
        redisReply        *reply;

        oracle_key_name(&oracle->key[key], name);
        read.bound_ns = t->bare ? 0 : oracle->bound_ns;
        t->faults_before = atomic_load(&oracle->faults);
        read.begin_ns = oracle_now_ns();
        reply = thread_ask(t, name);
        read.end_ns = oracle_now_ns();
        if (reply == NULL) {
                atomic_fetch_add(&t->note->lost, 1);
                thread_drop(t);
                return;
        }
        atomic_fetch_add(&t->note->own_reads, read.own_seq != 0);
        thread_judge(t, &read, reply);
        freeReplyObject(reply);
}

/* Of the thread's database, all alike; of a third of the reads, what is in front. */
static uint32_t thread_pick_any(struct thread *t)
{
        uint32_t first = t->note->database == 0 ? 0 : oracle->database_0_keys;
        uint32_t count = t->note->database == 0 ? oracle->database_0_keys : oracle->keys - oracle->database_0_keys;
        uint32_t a = (uint32_t)oracle_below(&t->seed, count), b = (uint32_t)oracle_below(&t->seed, count);

        return first + (oracle_below(&t->seed, 3) != 0 || a < b ? a : b);
}

static uint32_t thread_pick(struct thread *t)
{
        uint32_t key;

        do
                key = thread_pick_any(t);
        while (oracle_is_of_twins(key));
        return key;
}

/* -------------------------------------------------------------------------------------------------------- twins */

/* Children of one fork read the same key again and again: whatever they draw alike for what they miss, they draw for
 * that key. Their parent writes it twice or more in a row, so that a write comes in between while the reply of one is
 * on its way and another misses; and then not for a while, so that what is kept wrongly then is seen to be old. */
__attribute__((noreturn)) static void twin_life(struct thread *t, uint32_t key, int ready, uint64_t life_ns)
{
        uint64_t until_ns;

        alarm(10);
        t->c = NULL; /* the parent's */
        t->up = false;
        t->writer = NULL;
        memset(t->own, 0, sizeof t->own);
        memset(t->seen, 0, ORACLE_KEYS * sizeof *t->seen);
        while (!t->up && !worker_stops())
                thread_connect(t);
        until_ns = oracle_now_ns() + life_ns;
        if (write(ready, "", 1) != 1)
                _exit(1);
        while (oracle_now_ns() < until_ns && t->up && !worker_stops()) {
                for (int i = 0; i < BURST && t->up; i++)
                        thread_read(t, key);
                worker_pause_us((unsigned)oracle_below(&t->seed, 100));
        }
        _exit(0);
}

static void twins_write(struct thread *t, uint32_t key, uint64_t life_ns)
{
        uint64_t until_ns = oracle_now_ns() + life_ns;
        unsigned rest_us = (unsigned)(oracle->bound_ns / 1000 < TWIN_REST_US ? oracle->bound_ns / 1000 : TWIN_REST_US);

        while (oracle_now_ns() < until_ns && !worker_stops()) {
                for (unsigned times = 2 + (unsigned)oracle_below(&t->seed, 2); times > 0 && t->up; times--)
                        write_key(t, key);
                worker_pause_us(rest_us * 5 / 4);
        }
}

static void thread_fork(struct thread *t)
{
        const uint64_t life_ns = TWIN_MS * ORACLE_MS;
        uint32_t       key = t->writer != NULL ? t->writer->first : 0;
        int            ready[2], children = 0;
        char           byte;

        while (t->writer != NULL && !oracle_is_of_twins(key))
                key++;
        if (t->writer == NULL || pipe2(ready, O_CLOEXEC) != 0)
                return;
        for (pid_t pid; children < TWINS && (pid = fork()) >= 0; children++) {
                if (pid == 0)
                        twin_life(t, key, ready[1], life_ns);
                atomic_fetch_add(&seat->forks, 1);
        }
        close(ready[1]);
        while (children > 0 && read(ready[0], &byte, 1) == 1)
                children--;
        close(ready[0]);
        if (children == 0)
                twins_write(t, key, life_ns);
}

/* ---------------------------------------------------------------------------------------------------------- life */

/* A connection that only hits has not noticed that it is dead: one that answers now will do what it is told. */
static void hand_obey(struct thread *t)
{
        bool done;

        if (atomic_load(&oracle->hand) != HAND_WANTED)
                return;
        if (!thread_said_ok(redisCommand(t->c, "PING"))) {
                thread_drop(t);
                return;
        }
        done = thread_said_ok(redisCommand(t->c, oracle->hand_command));
        atomic_store(&oracle->hand, done ? HAND_DONE : HAND_FAILED);
        if (t->c->err != 0)
                thread_drop(t);
}

/* Values that fill L1; nobody judges them. */
static void crowd_turn(struct thread *t)
{
        for (unsigned i = 0; i < BURST && atomic_load(&oracle->crowded) && t->up; i++) {
                redisReply *reply = redisCommand(t->c, "GET " ORACLE_CROWD ":%u",
                                                 (unsigned)oracle_below(&t->seed, ORACLE_CROWD_KEYS));

                if (reply != NULL)
                        freeReplyObject(reply);
                else
                        thread_drop(t);
        }
        worker_pause_us(500);
}

static bool thread_shall_fork(void)
{
        uint32_t wanted = atomic_load(&seat->fork_wanted);

        return wanted != 0 && atomic_compare_exchange_strong(&seat->fork_wanted, &wanted, wanted - 1);
}

static void thread_turn(struct thread *t)
{
        unsigned burst = t->bare ? BURST_BARE : BURST;

        if (seat->role == SEAT_CROWD) {
                crowd_turn(t);
                return;
        }
        if (t->writer != NULL)
                write_turn(t);
        for (unsigned i = 0; i < burst && t->up; i++)
                thread_read(t, thread_pick(t));
        if (t->index == 0 && seat->role == SEAT_HAND && t->up)
                hand_obey(t);
        if (t->index == 0 && t->up && thread_shall_fork())
                thread_fork(t);
        worker_pause_us(200 + (unsigned)oracle_below(&t->seed, 1200));
}

static void *thread_main(void *arg)
{
        struct thread *t = arg;

        if (seat->role == SEAT_CLI) {
                cli_life(t);
                return NULL;
        }
        while (!worker_stops()) {
                if (t->up || thread_connect(t))
                        thread_turn(t);
        }
        if (t->c != NULL)
                redisFree(t->c);
        return NULL;
}

static void thread_sit(uint32_t i)
{
        struct thread *t = &threads[i];

        *t = (struct thread){.index = i, .note = &seat->thread[i], .bare = seat->role >= SEAT_BARE};
        t->seed = oracle_seed(oracle->seed, atomic_fetch_add(&oracle->serial, 1));
        if (t->note->writer != NO_WRITER)
                t->writer = &oracle->writer[t->note->writer];
        t->text = malloc(ORACLE_VALUE_MAX);
        t->seen = calloc(ORACLE_KEYS, sizeof *t->seen);
        if (t->text == NULL || t->seen == NULL)
                exit(1);
}

int main(int argc, char **argv)
{
        pthread_t id[ORACLE_SEAT_THREADS];

        if (argc != 3) {
                fprintf(stderr, "usage: worker DESCRIPTOR SEAT\n");
                return 2;
        }
        oracle = oracle_map(atoi(argv[1]));
        seat_number = (uint32_t)atoi(argv[2]);
        seat = &oracle->seat[seat_number];
        signal(SIGPIPE, SIG_IGN);
        signal(SIGCHLD, SIG_IGN);
        for (uint32_t i = 0; i < seat->threads; i++)
                thread_sit(i);
        for (uint32_t i = 1; i < seat->threads; i++) {
                if (pthread_create(&id[i], NULL, thread_main, &threads[i]) != 0)
                        return 1;
        }
        thread_main(&threads[0]);
        for (uint32_t i = 1; i < seat->threads; i++)
                pthread_join(id[i], NULL);
        return 0;
}
