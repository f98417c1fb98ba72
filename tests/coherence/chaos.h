/* chaos.h - what the pieces of the checker's parent share.
 *
 *   coherence.c  options, rounds, what must hold       seats.c    worker processes: who sits where, who has died
 *   inject.c     the plan: what is hurt when           hurts.c    the table of injections
 *   links.c      what stands between programs and server
 *   gauge.c      lease, hits and this machine's haste  fence.c    makes sure that a writer's old connection is gone
 *   report.c     what is printed */
#ifndef MT_COHERENCE_CHAOS_H
#define MT_COHERENCE_CHAOS_H

#include "oracle.h"
#include "servers.h"

enum chaos_link {
        LINK_UNIX,     /* programs reach the server by its socket */
        LINK_TCP,      /* by a loopback port */
        LINK_PROXY,    /* by a proxy */
        LINK_NET,      /* in another network namespace */
        LINK_SENTINEL, /* they ask a sentinel which of two servers it is */
        LINK_ANY,
};

enum chaos_mode { MODE_TRACKING, MODE_PUBSUB, MODE_STREAM };

/* What may be had in a round; a row of the table names what it needs. */
enum chaos_feature {
        HAS_TRACKING = 1u << 0,
        HAS_FOREIGN = 1u << 1, /* somebody without the shim writes: not where writers must announce what they do */
        HAS_PROXY = 1u << 2,
        HAS_NET = 1u << 3,
        HAS_SENTINEL = 1u << 4,
        HAS_ONE_SERVER = 1u << 5, /* nobody takes its place when it is away */
        HAS_CLOCKS = 1u << 6,     /* no key has a time to live: the server's clock may step */
        HAS_STREAM = 1u << 7,
};

struct chair {
        pid_t pid;
        bool  stopped; /* by us: not to be hurt again until it goes on */
        bool  ended;   /* by us: not to be wondered at */
};

struct chaos {
        /* Of the run. */
        uint64_t        seed, seconds;
        unsigned        bound_ms; /* 0: the three of them, one after the other */
        enum chaos_mode mode;
        enum chaos_link wanted;               /* LINK_ANY: one after the other, but for LINK_SENTINEL */
        bool            has_net, until_found; /* end with the first cycle in which a read was wrong */
        bool            verbose;
        const char     *build, *library, *only; /* only: names of injections, or NULL */
        char            folder[64];
        unsigned        passed, failed;

        /* Of a round. */
        unsigned        number;
        enum chaos_link link;
        uint32_t        features; /* enum chaos_feature */
        uint64_t        begun_ns;
        char            segment[48], address[108];
        int             oracle_fd;
        struct oracle  *oracle;
        struct server  *server;
        struct links   *links;
        struct gauge   *gauge;
        struct fencer  *fencer;
        struct plan    *plan;
        struct chair    chair[ORACLE_SEATS];
        unsigned        odd_ends, kills, stops;
};

/* ------------------------------------------------------------------------------------------------------- seats.c */

enum { SEAT_OF_HAND = 6, SEAT_OF_CROWD = 7, SEATS_USED = 9 };

/* Who sits where, who writes what. Starts nobody. */
void seats_lay(struct chaos *c);
/* Start whoever is not there. */
void seats_fill(struct chaos *c);
/* Notice who has ended. */
void seats_reap(struct chaos *c);
/* SIGKILL, SIGSTOP, SIGCONT. */
void seats_signal(struct chaos *c, unsigned seat, int signal);
/* The seat of this process; SEATS_USED: none of ours. */
unsigned seats_of(const struct chaos *c, pid_t pid);
/* Everybody goes; true when all went by themselves within 15 s. */
bool seats_clear(struct chaos *c);

/* ------------------------------------------------------------------------------------------------------- links.c */

enum link_side { LINK_PROGRAMS, LINK_SERVERS, LINK_SIDES };

/* The server(s) of a round and the way there: fills in server, address and features. */
void links_begin(struct chaos *c);
void links_end(struct chaos *c);
/* What a worker is told to connect to. */
void links_address(const struct chaos *c, char *to, size_t size);
/* In a child that will be a program of that side: its real-time clock steps when links.c says so. more: what else is
 * preloaded, or "". */
void links_preload(const struct chaos *c, enum link_side side, const char *more);

/* ------------------------------------------------------------------------------------------------------- fence.c */

struct fencer *fencer_start(struct chaos *c);
void           fencer_stop(struct fencer **fencer);

/* ------------------------------------------------------------------------------------------------------- gauge.c */

/* What is measured while nothing is hurt. A lease that lapsed while the machine kept the listener, the server or the
 * gauge itself waiting for a processor is not judged: it says nothing about the cache. */
struct calm {
        uint64_t samples, current, lapsed, excused; /* of the lease, one each millisecond; excused: lapsed, but ... */
        uint64_t hits, gets; /* of shimmed programs, in fiftieths of a second without an excuse */
};

struct gauge *gauge_start(struct chaos *c);
void          gauge_stop(struct gauge **gauge);
/* From now on: does L1 serve? */
void gauge_mark(struct gauge *gauge);
/* Does it now, and did it since the mark? *took_ns: how long after the mark it did not for the last time. (A lease of
 * before lasts for up to the bound: only after that is it known.) */
bool gauge_serves(const struct gauge *gauge, uint64_t *took_ns);
/* How long processors were kept from those who needed them, since the mark: from the listener, the server and
 * witnesses, or from anybody, which takes in whoever should have taken the lead. */
uint64_t    gauge_delay_ns(const struct gauge *gauge);
void        gauge_calm(struct gauge *gauge, bool calm);
struct calm gauge_calm_so_far(const struct gauge *gauge);
/* What the segment says of the server: a line on stdout. */
void gauge_print(struct gauge *gauge);
/* Of the server's listener; 0: nobody leads. */
pid_t gauge_leader(const struct gauge *gauge);

/* ------------------------------------------------------------------------------------------------------ inject.c */

/* What an injection takes for itself while it lasts: two that take the same are not there at once. */
enum hurt_takes {
        TAKES_SERVER = 1u << 0,  /* the server must do as it is told, or cannot */
        TAKES_DATA = 1u << 1,    /* what it holds */
        TAKES_WORKERS = 1u << 2, /* processes are stopped or killed */
        TAKES_LINK = 1u << 3,
        TAKES_MEMORY = 1u << 4,
        TAKES_CLOCK = 1u << 5,
        TAKES_ALL = ~0u,
};

/* One that is there. */
struct hurt {
        const struct injection *row;
        uint64_t                from_ns, until_ns;
        uint64_t                seed; /* drawn before: whom, which way */
        uint32_t                ms;   /* how long it is meant to be */
        /* The row's own. */
        uint64_t      next_ns;
        unsigned      seat;
        redisContext *c;
        struct loss  *loss;
};

struct injection {
        const char *name;
        unsigned    weight;
        uint32_t    takes, needs; /* enum hurt_takes; enum chaos_feature */
        unsigned    min_ms, max_ms;
        /* False: it could not be done now, and there is nothing to heal. */
        bool (*apply)(struct chaos *c, struct hurt *h);
        /* NULL: it is over when it is done. */
        void (*heal)(struct chaos *c, struct hurt *h);
        /* Called about every millisecond while it is there, or NULL. */
        void (*again)(struct chaos *c, struct hurt *h);
};

/* links.c: what befalls the way to the server. */
bool proxy_delays(struct chaos *c, struct hurt *h);
bool proxy_trickles(struct chaos *c, struct hurt *h);
bool proxy_stalls(struct chaos *c, struct hurt *h);
bool proxy_cuts(struct chaos *c, struct hurt *h);
bool proxy_half_closes(struct chaos *c, struct hurt *h);
void proxy_is_good(struct chaos *c, struct hurt *h);
bool net_is_silent(struct chaos *c, struct hurt *h);
bool net_is_down(struct chaos *c, struct hurt *h);
void net_is_up(struct chaos *c, struct hurt *h);
bool step_programs(struct chaos *c, struct hurt *h);
bool step_server(struct chaos *c, struct hurt *h);
void clocks_are_right(struct chaos *c, struct hurt *h);
bool failover_by_death(struct chaos *c, struct hurt *h);
void old_master_returns(struct chaos *c, struct hurt *h);
bool failover_by_stop(struct chaos *c, struct hurt *h);
void old_master_wakes(struct chaos *c, struct hurt *h);
bool failover_by_order(struct chaos *c, struct hurt *h);

/* hurts.c: the table, at most ORACLE_ROWS rows. */
extern const struct injection injections[];
extern const unsigned         injection_count;

/* How long it took until L1 served again, for each row. */
struct recovery {
        unsigned times;
        uint64_t worst_ns;
        unsigned late; /* times that it took longer than the bound and a second */
};

struct plan *plan_create(struct chaos *c);
void         plan_destroy(struct plan **plan);
/* Some injections, until all are healed and L1 serves again, then calm. */
void                   plan_cycle(struct chaos *c);
const struct recovery *plan_recovery(const struct plan *plan);
/* What there was, newest last: lines of text on stdout, those since from_ns. */
void plan_print(const struct chaos *c, uint64_t from_ns, uint64_t to_ns);
void plan_list(void);

/* Everything that must be looked after while time passes: who has died, what has come. */
void chaos_wait(struct chaos *c, unsigned ms);

/* ------------------------------------------------------------------------------------------------------ report.c */

void chaos_expect(struct chaos *c, bool good, const char *what, const char *format, ...)
        __attribute__((format(printf, 4, 5)));
/* Everything about the round that has ended. */
void report_round(struct chaos *c, bool ended_well);

#endif
