/* hurts.c - the table of injections, and how each is done and undone. */
#include "chaos.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DATABASES_ALL = 1u << 0 | 1u << 2, FORKS = 4 };
#define STREAM "mtshim:invalidations"

/* ------------------------------------------------------------------------------------------------ the listener */

static bool kill_listener(struct chaos *c, struct hurt *h)
{
        h->next_ns = oracle_now_ns() + oracle_below(&h->seed, 30) * ORACLE_MS;
        return server_say(c->server, "CLIENT KILL TYPE pubsub");
}

/* Time and again: between two connections nobody listens, and it takes a write just then to prove it. */
static void kill_listener_again(struct chaos *c, struct hurt *h)
{
        if (oracle_now_ns() >= h->next_ns)
                kill_listener(c, h);
}

static void nothing_to_heal(struct chaos *c, struct hurt *h)
{
        (void)c;
        (void)h;
}

static bool kill_all(struct chaos *c, struct hurt *h)
{
        (void)h;
        return server_say(c->server, "CLIENT KILL TYPE normal") && server_say(c->server, "CLIENT KILL TYPE pubsub");
}

/* Messages that are longer than the server is willing to hold for a listener. */
static bool small_buffer(struct chaos *c, struct hurt *h)
{
        enum { KEYS = 3000 };
        static const char *argv[1 + 2 * KEYS] = {"MSET"};
        static char        name[KEYS][24];
        redisContext      *s = server_connect(c->server, 2000);
        redisReply        *reply = NULL;

        if (s == NULL || !server_say(c->server, "CONFIG SET client-output-buffer-limit %s", "pubsub 8192 4096 1"))
                return false;
        for (int i = 0; i < KEYS; i++) {
                snprintf(name[i], sizeof name[i], "flood:%u:%d", (unsigned)(h->seed % 7), i);
                argv[1 + 2 * i] = name[i];
                argv[2 + 2 * i] = "";
        }
        for (int i = 0; i < 5; i++) {
                reply = redisCommandArgv(s, 1 + 2 * KEYS, argv, NULL);
                if (reply != NULL)
                        freeReplyObject(reply);
                usleep(20000);
        }
        redisFree(s);
        return true;
}

static void usual_buffer(struct chaos *c, struct hurt *h)
{
        (void)h;
        server_say(c->server, "CONFIG SET client-output-buffer-limit %s", "pubsub 33554432 8388608 60");
}

/* A listener that comes back finds a gap. */
static bool trim_stream(struct chaos *c, struct hurt *h)
{
        bool killed = server_say(c->server, "CLIENT KILL TYPE normal");

        return h->seed % 2 ? server_say(c->server, "XTRIM %s MAXLEN 0", STREAM) && killed
                           : server_say(c->server, "DEL %s", STREAM) && killed;
}

/* ------------------------------------------------------------------------------------------------- processes */

static bool one_of(struct chaos *c, struct hurt *h, bool leader)
{
        h->seat = leader ? seats_of(c, gauge_leader(c->gauge)) : (unsigned)(h->seed % SEATS_USED);
        return h->seat != SEATS_USED && h->seat != SEAT_OF_HAND && c->chair[h->seat].pid > 0;
}

static bool stop_leader(struct chaos *c, struct hurt *h)
{
        if (!one_of(c, h, true))
                return false;
        seats_signal(c, h->seat, SIGSTOP);
        return true;
}

static bool kill_leader(struct chaos *c, struct hurt *h)
{
        if (!one_of(c, h, true))
                return false;
        seats_signal(c, h->seat, SIGKILL);
        return true;
}

static bool stop_worker(struct chaos *c, struct hurt *h)
{
        if (!one_of(c, h, false))
                return false;
        seats_signal(c, h->seat, SIGSTOP);
        return true;
}

static bool kill_worker(struct chaos *c, struct hurt *h)
{
        if (!one_of(c, h, false))
                return false;
        seats_signal(c, h->seat, SIGKILL);
        return true;
}

static void go_on(struct chaos *c, struct hurt *h)
{
        if (c->chair[h->seat].stopped)
                seats_signal(c, h->seat, SIGCONT);
}

static void everybody(struct chaos *c, int signal)
{
        for (unsigned i = 0; i < SEATS_USED; i++) {
                if (i != SEAT_OF_HAND)
                        seats_signal(c, i, signal);
        }
}

static bool stop_everybody(struct chaos *c, struct hurt *h)
{
        (void)h;
        everybody(c, SIGSTOP);
        return true;
}

static void all_go_on(struct chaos *c, struct hurt *h)
{
        (void)h;
        everybody(c, SIGCONT);
}

static bool kill_everybody(struct chaos *c, struct hurt *h)
{
        (void)h;
        everybody(c, SIGKILL);
        return true;
}

static bool fork_all(struct chaos *c, struct hurt *h)
{
        (void)h;
        for (unsigned i = 0; i < SEATS_USED; i++) {
                if (c->oracle->seat[i].role == SEAT_SHIMMED)
                        atomic_store(&c->oracle->seat[i].fork_wanted, FORKS);
        }
        return true;
}

static void fork_more(struct chaos *c, struct hurt *h)
{
        fork_all(c, h);
}

/* ------------------------------------------------------------------------------------------------- the server */

static bool stop_server(struct chaos *c, struct hurt *h)
{
        (void)h;
        server_signal(c->server, SIGSTOP);
        return true;
}

static void continue_server(struct chaos *c, struct hurt *h)
{
        (void)h;
        server_signal(c->server, SIGCONT);
}

static bool kill_server(struct chaos *c, struct hurt *h)
{
        (void)h;
        server_end(c->server, SIGKILL);
        return true;
}

static bool end_server(struct chaos *c, struct hurt *h)
{
        (void)h;
        server_end(c->server, SIGTERM);
        return true;
}

static void must_start(struct chaos *c, enum server_data data)
{
        if (!server_start(c->server, data))
                exit(1);
}

static void start_server(struct chaos *c, struct hurt *h)
{
        (void)h;
        must_start(c, SERVER_DATA_KEPT);
}

static bool lose_server(struct chaos *c, struct hurt *h)
{
        h->loss = oracle_loss_begin(c->oracle, DATABASES_ALL);
        server_end(c->server, SIGKILL);
        return true;
}

static void start_empty_server(struct chaos *c, struct hurt *h)
{
        must_start(c, SERVER_DATA_LOST);
        oracle_loss_end(h->loss);
}

/* A command whose answer comes when the injection is over. */
static bool say_and_go(struct chaos *c, struct hurt *h, const char *word, const char *second, const char *third)
{
        int done = 0;

        h->c = server_connect(c->server, 0);
        if (h->c == NULL || redisAppendCommand(h->c, "%s %s %s", word, second, third) != REDIS_OK)
                return false;
        while (!done && redisBufferWrite(h->c, &done) == REDIS_OK)
                ;
        return done != 0;
}

static void await_answer(struct hurt *h)
{
        redisReply *reply = NULL;

        if (h->c != NULL && redisGetReply(h->c, (void **)&reply) == REDIS_OK)
                freeReplyObject(reply);
        if (h->c != NULL)
                redisFree(h->c);
        h->c = NULL;
}

static bool sleep_server(struct chaos *c, struct hurt *h)
{
        char seconds[16];

        snprintf(seconds, sizeof seconds, "%u.%03u", h->ms / 1000, h->ms % 1000);
        return say_and_go(c, h, "DEBUG", "SLEEP", seconds);
}

static void server_awakes(struct chaos *c, struct hurt *h)
{
        (void)c;
        await_answer(h);
}

static bool busy_script(struct chaos *c, struct hurt *h)
{
        return say_and_go(c, h, "EVAL", "while true do end", "0");
}

/* Until it is old enough to be killed, the server does not even say so. */
static void kill_script(struct chaos *c, struct hurt *h)
{
        while (!server_say(c->server, "SCRIPT KILL"))
                usleep(2000);
        await_answer(h);
}

static bool pause_clients(struct chaos *c, struct hurt *h)
{
        return server_say(c->server, "CLIENT PAUSE %u %s", h->ms, h->seed % 2 ? "ALL" : "WRITE");
}

static void clients_go_on(struct chaos *c, struct hurt *h)
{
        (void)h;
        while (!server_answers(c->server))
                ;
}

/* ---------------------------------------------------------------------------------------------------- its data */

/* By the shimmed process that obeys; it has as long as it needs. */
static bool hand_does(struct chaos *c, const char *command)
{
        struct oracle *o = c->oracle;

        snprintf(o->hand_command, sizeof o->hand_command, "%s", command);
        atomic_store(&o->hand, HAND_WANTED);
        while (atomic_load(&o->hand) == HAND_WANTED)
                chaos_wait(c, 1);
        return atomic_exchange(&o->hand, HAND_IDLE) == HAND_DONE;
}

/* Again and again until it is known to have been done: once too often is no harm. */
static bool flush(struct chaos *c, struct hurt *h, const char *verb, uint32_t databases)
{
        const char *how = h->seed % 2 ? "SYNC" : "ASYNC";
        bool        by_hand = h->seed / 2 % 2 || !(c->features & HAS_FOREIGN);
        char        command[32];

        snprintf(command, sizeof command, "%s %s", verb, how);
        h->loss = oracle_loss_begin(c->oracle, databases);
        while (!(by_hand ? hand_does(c, command) : server_say(c->server, "%s %s", verb, how)))
                chaos_wait(c, 1);
        oracle_loss_end(h->loss);
        return true;
}

static bool flush_all(struct chaos *c, struct hurt *h)
{
        return flush(c, h, "FLUSHALL", DATABASES_ALL);
}

static bool flush_database(struct chaos *c, struct hurt *h)
{
        return flush(c, h, "FLUSHDB", 1u << 0);
}

static bool empty_database(struct chaos *c, unsigned database)
{
        redisContext *s = server_connect(c->server, 5000);
        redisReply   *reply = s != NULL ? redisCommand(s, "SELECT %u", database) : NULL;
        bool          done;

        if (reply != NULL)
                freeReplyObject(reply);
        reply = reply != NULL ? redisCommand(s, "FLUSHDB") : NULL;
        done = reply != NULL && reply->type == REDIS_REPLY_STATUS;
        if (reply != NULL)
                freeReplyObject(reply);
        if (s != NULL)
                redisFree(s);
        return done;
}

static void must_swap(struct chaos *c)
{
        if (hand_does(c, "SWAPDB 0 1"))
                return;
        printf("the hand was not answered: nobody knows what the databases are\n");
        exit(1);
}

/* Database 1 is emptied first: so the keys are gone at first, and what is exchanged back is what they were. Nobody else
 * loses data in between. */
static bool swap(struct chaos *c, struct hurt *h)
{
        if (!empty_database(c, 1))
                return false;
        h->loss = oracle_loss_begin(c->oracle, 1u << 0);
        must_swap(c);
        oracle_loss_end(h->loss);
        return true;
}

static void swap_back(struct chaos *c, struct hurt *h)
{
        struct loss *back = oracle_loss_begin_back(c->oracle, 1u << 0, h->loss->begin_ns, h->loss->end_ns);

        must_swap(c);
        oracle_loss_end(back);
}

/* --------------------------------------------------------------------------------------------------- the segment */

/* More values than it has room for are read. */
static bool crowd_in(struct chaos *c, struct hurt *h)
{
        (void)h;
        if (!server_say(c->server, "DEBUG POPULATE %u " ORACLE_CROWD " 4000", ORACLE_CROWD_KEYS))
                return false;
        atomic_store(&c->oracle->crowded, true);
        return true;
}

static void crowd_out(struct chaos *c, struct hurt *h)
{
        (void)h;
        atomic_store(&c->oracle->crowded, false);
}

/* ----------------------------------------------------------------------------------------------------- the table */

/* clang-format off */
#define SERVER  TAKES_SERVER
#define WORKERS TAKES_WORKERS
#define DATA    (TAKES_SERVER | TAKES_DATA)
#define BY_HAND (TAKES_SERVER | TAKES_DATA | TAKES_LINK) /* the hand must be answered */
#define MEMORY  (TAKES_SERVER | TAKES_MEMORY)
#define LINK    TAKES_LINK
#define CLOCK   TAKES_CLOCK
#define TIME    (TAKES_CLOCK | TAKES_SERVER)
#define ALL     TAKES_ALL
#define ONE     HAS_ONE_SERVER
#define TRACK   HAS_TRACKING
#define TWO     HAS_SENTINEL
const struct injection injections[] = {
        /* name           weight  takes    needs   ms: min, max  apply, heal, again */
        {"kill-listener",     8, SERVER,  0,              0,  400, kill_listener, nothing_to_heal, kill_listener_again},
        {"kill-all",          4, SERVER,  0,              0,    0, kill_all, NULL, NULL},
        {"small-buffer",      4, SERVER,  TRACK,        100,  300, small_buffer, usual_buffer, NULL},
        {"trim-stream",       4, SERVER,  HAS_STREAM,     0,    0, trim_stream, NULL, NULL},
        {"stop-leader",      10, WORKERS, 0,             20, 1500, stop_leader, go_on, NULL},
        {"kill-leader",       8, WORKERS, 0,              0,    0, kill_leader, NULL, NULL},
        {"stop-worker",       6, WORKERS, 0,             20,  800, stop_worker, go_on, NULL},
        {"kill-worker",       6, WORKERS, 0,              0,    0, kill_worker, NULL, NULL},
        {"stop-everybody",    3, WORKERS, 0,             20,  800, stop_everybody, all_go_on, NULL},
        {"kill-everybody",    3, WORKERS, 0,              0,    0, kill_everybody, NULL, NULL},
        {"fork",              6, 0,       0,            200, 1200, fork_all, nothing_to_heal, fork_more},
        {"stop-server",       6, SERVER,  ONE,           20,  800, stop_server, continue_server, NULL},
        {"kill-server",       4, SERVER,  ONE,            0,  300, kill_server, start_server, NULL},
        {"end-server",        3, SERVER,  ONE,            0,  300, end_server, start_server, NULL},
        {"lose-server",       4, DATA,    ONE,            0,  300, lose_server, start_empty_server, NULL},
        {"debug-sleep",       4, SERVER,  ONE,           20,  800, sleep_server, server_awakes, NULL},
        {"busy-script",       4, SERVER,  ONE,           40,  800, busy_script, kill_script, NULL},
        {"client-pause",      4, SERVER,  ONE,           20,  800, pause_clients, clients_go_on, NULL},
        {"flushall",          5, BY_HAND, ONE,            0,    0, flush_all, NULL, NULL},
        {"flushdb",           4, BY_HAND, ONE,            0,    0, flush_database, NULL, NULL},
        {"swapdb",            5, BY_HAND, ONE,           20,  500, swap, swap_back, NULL},
        {"crowd",             5, MEMORY,  ONE,          200,  800, crowd_in, crowd_out, NULL},
        {"delay",             8, LINK,    HAS_PROXY,    100, 2500, proxy_delays, proxy_is_good, NULL},
        {"trickle",           6, LINK,    HAS_PROXY,    100, 1500, proxy_trickles, proxy_is_good, NULL},
        {"stall",             6, LINK,    HAS_PROXY,     20, 1500, proxy_stalls, proxy_is_good, NULL},
        {"cut",               6, LINK,    HAS_PROXY,      0,    0, proxy_cuts, NULL, NULL},
        {"half-close",        6, LINK,    HAS_PROXY,      0,  500, proxy_half_closes, proxy_is_good, NULL},
        {"net-silent",       14, LINK,    HAS_NET,       20,  900, net_is_silent, net_is_up, NULL},
        {"net-down",         14, LINK,    HAS_NET,       20,  900, net_is_down, net_is_up, NULL},
        {"clock-programs",    4, CLOCK,   0,             20, 1000, step_programs, clocks_are_right, NULL},
        {"clock-server",      4, TIME,    HAS_CLOCKS,    20, 1000, step_server, clocks_are_right, NULL},
        {"failover-death",   20, ALL,     TWO,            0,  500, failover_by_death, old_master_returns, NULL},
        {"failover-stop",    10, ALL,     TWO,            0,  100, failover_by_stop, old_master_wakes, NULL},
        {"failover-order",   10, ALL,     TWO,            0,    0, failover_by_order, NULL, NULL},
};
/* clang-format on */
const unsigned injection_count = sizeof injections / sizeof injections[0];
