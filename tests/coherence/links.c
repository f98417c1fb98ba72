/* links.c - what stands between programs and their server in a round: nothing, a proxy, a cable between two hosts, a
 * sentinel with a second server. And the real-time clocks of both sides. What befalls them: rows of hurts.c. */
#include "chaos.h"

#include "net.h"
#include "proxy.h"
#include "sentinel.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LINKS_PATIENCE_MS = 20000, LINKS_SETTLE_MS = 2000, LINKS_CLIENTS_MS = 2500 };

struct links {
        struct proxy    proxy;
        struct sentinel sentinel;
        struct server  *replica;                /* LINK_SENTINEL: the one that is not chaos->server */
        char            clock[LINK_SIDES][128]; /* files that clockstep maps */
        int64_t        *step_ns[LINK_SIDES];
        char            clockstep[4096];
};

__attribute__((noreturn)) static void links_cannot(const char *what)
{
        printf("%s\n", what);
        exit(1);
}

/* ------------------------------------------------------------------------------------------------ begin and end */

static void links_clock(struct chaos *c, enum link_side side)
{
        struct links *l = c->links;
        int           fd;

        snprintf(l->clock[side], sizeof l->clock[side], "%s/clock.%u", c->folder, side);
        fd = open(l->clock[side], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0 || ftruncate(fd, sizeof(int64_t)) != 0)
                links_cannot("no file for a clock");
        l->step_ns[side] = mmap(NULL, sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (l->step_ns[side] == MAP_FAILED)
                links_cannot("no memory for a clock");
        close(fd);
}

void links_preload(const struct chaos *c, enum link_side side, const char *more)
{
        char preload[8300];

        snprintf(preload, sizeof preload, "%s%s%s", more, *more != '\0' ? ":" : "", c->links->clockstep);
        setenv("LD_PRELOAD", preload, 1);
        setenv("MT_CLOCKSTEP", c->links->clock[side], 1);
}

static void links_server_child(void *arg)
{
        const struct chaos *c = arg;

        links_preload(c, LINK_SERVERS, "");
        if (c->link == LINK_NET)
                net_join_far(NULL);
}

static struct server *links_server(struct chaos *c, const char *suffix)
{
        static const char *const option[] = {"--protected-mode", "no", "--repl-diskless-sync-delay", "0", NULL};
        char                     name[24];
        struct server_config     config = {
                    .folder = c->folder, .name = name, .in_child = links_server_child, .arg = c, .option = option};

        snprintf(name, sizeof name, "%u%s", c->number, suffix);
        if (c->link == LINK_NET)
                config.bind = NET_FAR;
        return server_create(&config);
}

static void links_start(struct server *server)
{
        if (!server_start(server, SERVER_DATA_LOST))
                exit(1);
}

/* The link of this replica to its master is up. */
static bool links_follows(const struct server *replica)
{
        redisContext *s = server_connect(replica, 1000);
        redisReply   *reply = s != NULL ? redisCommand(s, "INFO replication") : NULL;
        bool follows = reply != NULL && reply->type == REDIS_REPLY_STRING && strstr(reply->str, "role:slave") != NULL &&
                       strstr(reply->str, "master_link_status:up") != NULL;

        if (reply != NULL)
                freeReplyObject(reply);
        if (s != NULL)
                redisFree(s);
        return follows;
}

static void links_follow(struct chaos *c)
{
        uint64_t until_ns = oracle_now_ns() + LINKS_PATIENCE_MS * ORACLE_MS;

        while (!links_follows(c->links->replica)) {
                if (oracle_now_ns() > until_ns)
                        links_cannot("the replica does not follow its master");
                usleep(5000);
        }
}

static void links_begin_sentinel(struct chaos *c)
{
        struct links *l = c->links;

        l->replica = links_server(c, "r");
        links_start(l->replica);
        if (!server_say(l->replica, "REPLICAOF 127.0.0.1 %d", server_port(c->server)))
                links_cannot("REPLICAOF failed");
        links_follow(c);
        if (!sentinel_start(&l->sentinel, c->folder, server_port(c->server)))
                exit(1);
}

void links_begin(struct chaos *c)
{
        struct links *l = calloc(1, sizeof *l);

        if (l == NULL)
                abort();
        c->links = l;
        snprintf(l->clockstep, sizeof l->clockstep, "%s/progs/clockstep", c->build);
        links_clock(c, LINK_PROGRAMS);
        links_clock(c, LINK_SERVERS);
        c->server = links_server(c, "");
        links_start(c->server);
        snprintf(c->address, sizeof c->address, "%s",
                 c->link == LINK_UNIX ? server_socket(c->server) : server_address(c->server));
        if (c->link == LINK_PROXY) {
                if (proxy_start(&l->proxy, 0, c->address) != 0)
                        links_cannot("the proxy does not start");
                snprintf(c->address, sizeof c->address, "%s", l->proxy.address);
                c->features |= HAS_PROXY;
        } else if (c->link == LINK_NET) {
                c->features |= HAS_NET;
        } else if (c->link == LINK_SENTINEL) {
                links_begin_sentinel(c);
                c->features |= HAS_SENTINEL;
        }
        if (c->link != LINK_SENTINEL)
                c->features |= HAS_ONE_SERVER;
        c->features |= c->oracle->no_px ? HAS_CLOCKS : 0;
}

void links_address(const struct chaos *c, char *to, size_t size)
{
        if (c->link == LINK_SENTINEL)
                snprintf(to, size, "sentinel:%s", c->links->sentinel.address);
        else
                snprintf(to, size, "%s", c->address);
}

void links_end(struct chaos *c)
{
        struct links *l = c->links;

        sentinel_stop(&l->sentinel);
        proxy_stop(&l->proxy);
        server_destroy(&l->replica);
        server_destroy(&c->server);
        for (unsigned side = 0; side < LINK_SIDES; side++)
                munmap(l->step_ns[side], sizeof(int64_t));
        free(l);
        c->links = NULL;
}

/* --------------------------------------------------------------------------------------------------- the proxy */

/* favoured: the way that is meant in most cases. In most cases only some connections are. */
static void links_proxy(struct chaos *c, struct hurt *h, enum proxy_kind kind, uint32_t favoured, uint32_t ms)
{
        static const uint32_t shares[] = {100, 50, 50, 50};
        const uint32_t        ways[] = {favoured, favoured, favoured, PROXY_BOTH, PROXY_BOTH - favoured};
        struct proxy_fault    fault = {.kind = kind, .ms = ms};

        fault.ways = ways[oracle_below(&h->seed, 5)];
        fault.share = shares[oracle_below(&h->seed, 4)];
        proxy_fault(&c->links->proxy, &fault);
        if (c->verbose)
                printf("         %u%% of the connections, ways %u, %u ms\n", fault.share, fault.ways, fault.ms);
}

/* Up to two and a half bounds, longer than a lease lasts; it is there for some time when the first bytes arrive. */
bool proxy_delays(struct chaos *c, struct hurt *h)
{
        uint32_t bound_ms = (uint32_t)(c->oracle->bound_ns / ORACLE_MS);
        uint32_t ms = 1 + bound_ms * (1 + (uint32_t)oracle_below(&h->seed, 10)) / 4;

        h->until_ns += 2 * ms * ORACLE_MS;
        links_proxy(c, h, PROXY_DELAY, PROXY_TO_CLIENT, ms);
        return true;
}

bool proxy_trickles(struct chaos *c, struct hurt *h)
{
        links_proxy(c, h, PROXY_TRICKLE, PROXY_TO_SERVER, 3 + (uint32_t)oracle_below(&h->seed, 6));
        return true;
}

bool proxy_stalls(struct chaos *c, struct hurt *h)
{
        links_proxy(c, h, PROXY_STALL, PROXY_TO_CLIENT, 0);
        return true;
}

bool proxy_cuts(struct chaos *c, struct hurt *h)
{
        links_proxy(c, h, PROXY_CUT, PROXY_TO_CLIENT, 0);
        return true;
}

bool proxy_half_closes(struct chaos *c, struct hurt *h)
{
        links_proxy(c, h, PROXY_HALF_CLOSE, PROXY_TO_CLIENT, 0);
        return true;
}

void proxy_is_good(struct chaos *c, struct hurt *h)
{
        (void)h;
        proxy_fault(&c->links->proxy, &(struct proxy_fault){.kind = PROXY_NONE});
}

/* --------------------------------------------------------------------------------------------------- the cable */

bool net_is_silent(struct chaos *c, struct hurt *h)
{
        (void)c;
        (void)h;
        return net_set(NET_SILENT);
}

bool net_is_down(struct chaos *c, struct hurt *h)
{
        (void)c;
        (void)h;
        return net_set(NET_DOWN);
}

void net_is_up(struct chaos *c, struct hurt *h)
{
        (void)c;
        (void)h;
        if (!net_set(NET_UP))
                links_cannot("the link does not come up again");
}

/* ------------------------------------------------------------------------------------------------------- clocks */

/* By a second up to years, forward or back. */
static bool links_step(struct chaos *c, struct hurt *h, enum link_side side)
{
        static const int64_t seconds[] = {1, 60, 3600, 86400, 400 * 86400};
        int64_t              by = seconds[oracle_below(&h->seed, 5)] * (oracle_below(&h->seed, 2) ? 1 : -1);

        __atomic_store_n(c->links->step_ns[side], by * (int64_t)ORACLE_S, __ATOMIC_RELAXED);
        return true;
}

bool step_programs(struct chaos *c, struct hurt *h)
{
        return links_step(c, h, LINK_PROGRAMS);
}

bool step_server(struct chaos *c, struct hurt *h)
{
        return links_step(c, h, LINK_SERVERS);
}

void clocks_are_right(struct chaos *c, struct hurt *h)
{
        (void)h;
        for (unsigned side = 0; side < LINK_SIDES; side++)
                __atomic_store_n(c->links->step_ns[side], 0, __ATOMIC_RELAXED);
}

/* ----------------------------------------------------------------------------------------------------- failovers */

/* The replica has what the master had at some moment after *since_ns. */
static bool links_in_step(struct chaos *c, uint64_t *since_ns)
{
        redisContext *s = server_connect(c->server, 3000);
        redisReply   *set, *wait = NULL;
        bool          has;

        *since_ns = oracle_now_ns();
        set = s != NULL ? redisCommand(s, "SET beside:mark %llu", (unsigned long long)*since_ns) : NULL;
        if (set != NULL) {
                freeReplyObject(set);
                wait = redisCommand(s, "WAIT 1 2000");
        }
        has = wait != NULL && wait->type == REDIS_REPLY_INTEGER && wait->integer >= 1;
        if (wait != NULL)
                freeReplyObject(wait);
        if (s != NULL)
                redisFree(s);
        return has;
}

static bool links_settled(const struct key *key)
{
        const struct entry *e = &key->ring[atomic_load(&key->sent) % ORACLE_RING];

        return atomic_load(&key->sent) == 0 || atomic_load(&e->acked_ns) != 0 || atomic_load(&e->closed_ns) != 0 ||
               atomic_load(&e->refused) != 0;
}

/* Nobody begins a write, and what was begun has an outcome, or is in doubt for good. */
static void links_hold_writers(struct chaos *c)
{
        uint64_t until_ns = oracle_now_ns() + LINKS_SETTLE_MS * ORACLE_MS;
        bool     settled = false;

        atomic_store(&c->oracle->calm, CALM_NO_WRITES);
        chaos_wait(c, 50);
        while (!settled && oracle_now_ns() < until_ns) {
                settled = true;
                for (uint32_t i = 0; i < c->oracle->keys; i++)
                        settled = settled && links_settled(&c->oracle->key[i]);
                chaos_wait(c, 1);
        }
}

static void links_release_writers(struct chaos *c)
{
        atomic_store(&c->oracle->calm, CALM_NOT);
}

/* Wait until the sentinel names the replica; then it is the server, and the server the replica. */
static void links_promoted(struct chaos *c)
{
        struct links  *l = c->links;
        struct server *old = c->server;
        uint64_t       until_ns = oracle_now_ns() + LINKS_PATIENCE_MS * ORACLE_MS;

        while (sentinel_master_port(&l->sentinel) != server_port(l->replica)) {
                if (oracle_now_ns() > until_ns)
                        links_cannot("the sentinel does not name the replica");
                chaos_wait(c, 5);
        }
        c->server = l->replica;
        l->replica = old;
        snprintf(c->address, sizeof c->address, "%s", server_address(c->server));
}

/* The master is killed, and the replica lacks what was acknowledged last: it was stopped, and cut off. */
bool failover_by_death(struct chaos *c, struct hurt *h)
{
        struct links *l = c->links;
        uint64_t      from_ns, to_ns;

        if (!links_in_step(c, &from_ns))
                return false;
        server_signal(l->replica, SIGSTOP);
        server_say(c->server, "CLIENT KILL TYPE replica");
        to_ns = oracle_now_ns();
        chaos_wait(c, 20 + (unsigned)oracle_below(&h->seed, 200)); /* what is written now will be lost */
        links_hold_writers(c);
        server_end(c->server, SIGKILL);
        chaos_wait(c, 20);
        h->loss = oracle_loss_begin_back(c->oracle, 1u << 0 | 1u << 2, from_ns, to_ns);
        server_signal(l->replica, SIGCONT);
        links_promoted(c);
        oracle_loss_end(h->loss);
        links_release_writers(c);
        return true;
}

/* With the data that it had, or with none; it does not matter, and all that it says must be the new master's. */
void old_master_returns(struct chaos *c, struct hurt *h)
{
        struct links *l = c->links;

        if (!server_start(l->replica, oracle_below(&h->seed, 2) ? SERVER_DATA_KEPT : SERVER_DATA_LOST) ||
            !server_say(l->replica, "REPLICAOF 127.0.0.1 %d", server_port(c->server)))
                exit(1);
        links_follow(c);
}

/* The master stands still, is replaced, and wakes up: for a moment it takes itself for the master. Until then every
 * program has given it up, so that what it says in that moment is said to nobody. */
bool failover_by_stop(struct chaos *c, struct hurt *h)
{
        uint64_t since_ns;
        bool     in_step;

        (void)h;
        links_hold_writers(c);
        in_step = links_in_step(c, &since_ns);
        if (in_step) {
                server_signal(c->server, SIGSTOP);
                links_promoted(c);
        }
        links_release_writers(c);
        return in_step;
}

void old_master_wakes(struct chaos *c, struct hurt *h)
{
        (void)h;
        chaos_wait(c, (unsigned)(c->oracle->bound_ns / ORACLE_MS) + LINKS_CLIENTS_MS);
        server_signal(c->links->replica, SIGCONT);
        links_follow(c);
}

/* Nothing is broken: somebody asked for it. */
bool failover_by_order(struct chaos *c, struct hurt *h)
{
        uint64_t since_ns;
        bool     done;

        (void)h;
        links_hold_writers(c);
        done = links_in_step(c, &since_ns) && sentinel_failover(&c->links->sentinel);
        if (done) {
                links_promoted(c);
                links_follow(c);
        }
        links_release_writers(c);
        return done;
}
