/* gauge.c - looks into the segment once a millisecond, as a reader would: is the lease current, do hits go on? And it
 * measures what this machine kept waiting meanwhile, so that a busy machine is not taken for a lazy cache:
 *
 *   the time that the listener's thread and the server stood in the run queue, by /proc/PID/schedstat;
 *   how late a witness, a thread on each processor that does nothing but sleep for a millisecond, wakes up.
 *
 * All these are sums that only grow. What a PONG proves is half a bound old at most, where nobody waits; so a lease
 * that is not current is excused if they grew by the other half, less what the coarse clock lags, in the last bound and
 * a half. */
#include "chaos.h"

#include "invalidation/invalidation.h"
#include "l1/base/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GAUGE_WITNESSES = 8, GAUGE_RING = 8192, GAUGE_SHARE_MS = 20, GAUGE_HITS = 20 };
#define GAUGE_TICK_NS NS_PER_MS
#define GAUGE_LATE_NS (2 * NS_PER_MS) /* less is every timer's */

/* How long one thread has stood in the run queue. */
struct queue {
        pid_t    pid, tid;
        int      fd;
        uint64_t last_ns;
        bool     known;
};

struct witness {
        struct gauge    *gauge;
        pthread_t        thread;
        int              cpu;
        _Atomic uint64_t late_ns;
};

struct gauge {
        struct chaos  *chaos;
        pthread_t      thread;
        struct witness witness[GAUGE_WITNESSES];
        unsigned       witnesses;
        _Atomic bool   stop, calm;

        /* Of the thread alone. */
        struct l1   *l1;
        struct queue leader, server;
        uint64_t     queued_ns;        /* of both, ever */
        uint64_t     busy[GAUGE_RING]; /* the sum of everything, at each tick */
        uint64_t     tick, share_tick;
        uint64_t     share_hits, share_gets;
        bool         share_spoilt;

        /* For others. */
        _Atomic uint64_t delay_ns, marked_delay_ns, marked_pressure_ns;
        _Atomic uint64_t hits, marked_hits, marked_ns, closed_ns; /* closed: when the lease was last not current */
        _Atomic bool     open;                                    /* it is current now */
        _Atomic uint64_t samples, current, lapsed, excused, calm_hits, calm_gets;
        _Atomic int32_t  leader_pid;
};

static void gauge_sleep(uint64_t ns)
{
        nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

/* ---------------------------------------------------------------------------------------------------- the machine */

static void *witness_main(void *arg)
{
        struct witness *w = arg;
        cpu_set_t       one;

        CPU_ZERO(&one);
        CPU_SET((size_t)w->cpu, &one);
        pthread_setaffinity_np(pthread_self(), sizeof one, &one);
        while (!mt_load_acquire(&w->gauge->stop)) {
                uint64_t begun_ns = oracle_now_ns(), took_ns;

                gauge_sleep(GAUGE_TICK_NS);
                took_ns = oracle_now_ns() - begun_ns;
                if (took_ns > GAUGE_TICK_NS + GAUGE_LATE_NS)
                        mt_store_relaxed(&w->late_ns, mt_load_relaxed(&w->late_ns) + took_ns - GAUGE_TICK_NS);
        }
        return NULL;
}

static uint64_t gauge_latest_witness(const struct gauge *g)
{
        uint64_t most_ns = 0;

        for (unsigned i = 0; i < g->witnesses; i++) {
                uint64_t late_ns = mt_load_relaxed(&g->witness[i].late_ns);

                most_ns = late_ns > most_ns ? late_ns : most_ns;
        }
        return most_ns;
}

static bool queue_read(const struct queue *q, uint64_t *ns)
{
        char               text[96];
        ssize_t            n = q->fd >= 0 ? pread(q->fd, text, sizeof text - 1, 0) : -1;
        unsigned long long ran, waited;

        if (n <= 0)
                return false;
        text[n] = '\0';
        if (sscanf(text, "%llu %llu", &ran, &waited) != 2)
                return false;
        *ns = waited;
        return true;
}

/* How much longer it has waited since the last look; tid 0: the process's main thread. */
static uint64_t queue_look(struct queue *q, pid_t pid, pid_t tid)
{
        char     path[64];
        uint64_t ns, grown_ns;

        if (pid != q->pid || tid != q->tid) {
                if (q->pid != 0 && q->fd >= 0)
                        close(q->fd);
                *q = (struct queue){.pid = pid, .tid = tid, .fd = -1};
                snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", (int)pid, (int)(tid ? tid : pid));
                if (pid > 0)
                        q->fd = open(path, O_RDONLY | O_CLOEXEC);
        }
        if (!queue_read(q, &ns))
                return 0;
        grown_ns = q->known && ns > q->last_ns ? ns - q->last_ns : 0;
        q->known = true;
        q->last_ns = ns;
        return grown_ns;
}

/* ---------------------------------------------------------------------------------------------------- the segment */

static bool gauge_is_server(const struct gauge *g, const struct server_shm *s)
{
        const struct chaos *c = g->chaos;
        struct stat         st;
        char                address[sizeof s->address];

        mt_copy_from_shared(address, s->address, sizeof address);
        address[sizeof address - 1] = '\0';
        if (s->family != AF_UNIX)
                return strcmp(address, c->address) == 0;
        return stat(c->address, &st) == 0 && s->id[0] == st.st_dev && s->id[1] == st.st_ino;
}

/* NULL: nobody has been there. */
static const struct server_shm *gauge_server(struct gauge *g)
{
        struct l1_config config = {.name = g->chaos->segment, .size_bytes = 4 << 20, .max_item_bytes = 1 << 20};

        if (g->l1 == NULL)
                g->l1 = l1_open(&config, false);
        for (uint32_t i = 0; g->l1 != NULL && i < SERVER_MAX; i++) {
                const struct server_shm *s = l1_server_at(g->l1, i);

                if (s != NULL && gauge_is_server(g, s))
                        return s;
        }
        return NULL;
}

/* GETs of shimmed programs, and how many of them were hits. */
static uint64_t gauge_gets(const struct gauge *g, uint64_t *hits)
{
        struct l1_totals totals;
        uint64_t         gets;

        *hits = 0;
        if (g->l1 == NULL)
                return 0;
        l1_totals(g->l1, false, &totals);
        *hits = totals.count[COUNTER_hits];
        gets = *hits + totals.count[COUNTER_misses];
        for (int i = 0; i < COUNTER_COUNT; i++) {
                if (strcmp(l1_counter_rows[i].kind, "bypass") == 0)
                        gets += totals.count[i];
        }
        return gets;
}

/* ------------------------------------------------------------------------------------------------------ each tick */

static void gauge_look_at_machine(struct gauge *g, const struct server_shm *server)
{
        uint64_t leader = server != NULL ? mt_load_acquire(&server->leader) : 0;
        pid_t    pid = leader != 0 ? l1_owner_pid(g->l1, leader) : 0;

        mt_store_relaxed(&g->leader_pid, (int32_t)pid);
        g->queued_ns += queue_look(&g->leader, pid, pid != 0 ? mt_load_relaxed(&server->leader_tid) : 0);
        g->queued_ns += queue_look(&g->server, server_pid(g->chaos->server), 0);
        mt_store_relaxed(&g->delay_ns, g->queued_ns + gauge_latest_witness(g));
        g->busy[g->tick % GAUGE_RING] = mt_load_relaxed(&g->delay_ns);
}

static bool gauge_excused(const struct gauge *g)
{
        uint64_t bound_ns = g->chaos->oracle->bound_ns, back = bound_ns * 3 / 2 / GAUGE_TICK_NS,
                 slack_ns = bound_ns / 2;

        slack_ns -= slack_ns > clock_tick_ns() ? clock_tick_ns() : 0;
        if (back > GAUGE_RING - 1)
                back = GAUGE_RING - 1;
        if (back > g->tick)
                back = g->tick;
        return g->busy[g->tick % GAUGE_RING] - g->busy[(g->tick - back) % GAUGE_RING] >= slack_ns;
}

static void gauge_share(struct gauge *g, bool calm, bool spoilt, uint64_t hits, uint64_t gets)
{
        g->share_spoilt = g->share_spoilt || spoilt || !calm;
        if (++g->share_tick < GAUGE_SHARE_MS)
                return;
        if (!g->share_spoilt) {
                mt_store_relaxed(&g->calm_hits, mt_load_relaxed(&g->calm_hits) + hits - g->share_hits);
                mt_store_relaxed(&g->calm_gets, mt_load_relaxed(&g->calm_gets) + gets - g->share_gets);
        }
        g->share_tick = 0;
        g->share_spoilt = false;
        g->share_hits = hits;
        g->share_gets = gets;
}

static void gauge_add(_Atomic uint64_t *to)
{
        mt_store_relaxed(to, mt_load_relaxed(to) + 1);
}

static void gauge_look(struct gauge *g)
{
        const struct server_shm *server = gauge_server(g);
        uint64_t hits, gets = gauge_gets(g, &hits), window_ns = invalidation_window_ns(g->chaos->oracle->bound_ns);
        bool     fresh = server != NULL && invalidation_fresh(server, window_ns, clock_coarse_ns());
        bool     calm = mt_load_acquire(&g->calm), excused;

        gauge_look_at_machine(g, server);
        excused = gauge_excused(g);
        mt_store_relaxed(&g->hits, hits);
        if (!fresh)
                mt_store_relaxed(&g->closed_ns, oracle_now_ns());
        mt_store_release(&g->open, fresh);
        if (calm) {
                gauge_add(&g->samples);
                gauge_add(fresh ? &g->current : excused ? &g->excused : &g->lapsed);
        }
        gauge_share(g, calm, excused && !fresh, hits, gets);
        g->tick++;
}

static void *gauge_main(void *arg)
{
        struct gauge *g = arg;

        while (!mt_load_acquire(&g->stop)) {
                gauge_look(g);
                gauge_sleep(GAUGE_TICK_NS);
        }
        return NULL;
}

/* ------------------------------------------------------------------------------------------------------- the doors */

struct gauge *gauge_start(struct chaos *c)
{
        struct gauge *g = calloc(1, sizeof *g);
        cpu_set_t     ours;

        if (g == NULL)
                abort();
        g->chaos = c;
        g->leader.fd = g->server.fd = -1;
        sched_getaffinity(0, sizeof ours, &ours);
        for (int cpu = 0; cpu < CPU_SETSIZE && g->witnesses < GAUGE_WITNESSES; cpu++) {
                struct witness *w = &g->witness[g->witnesses];

                if (!CPU_ISSET((size_t)cpu, &ours))
                        continue;
                w->gauge = g;
                w->cpu = cpu;
                if (pthread_create(&w->thread, NULL, witness_main, w) != 0)
                        abort();
                g->witnesses++;
        }
        if (pthread_create(&g->thread, NULL, gauge_main, g) != 0)
                abort();
        return g;
}

void gauge_stop(struct gauge **gauge)
{
        struct gauge *g = *gauge;

        mt_store_release(&g->stop, true);
        for (unsigned i = 0; i < g->witnesses; i++)
                pthread_join(g->witness[i].thread, NULL);
        pthread_join(g->thread, NULL);
        queue_look(&g->leader, 0, 0);
        queue_look(&g->server, 0, 0);
        free(g);
        *gauge = NULL;
}

/* For how long, since the machine started, somebody who could run did not: the kernel's own account, of every process.
 * 0 where it keeps none. */
static uint64_t gauge_pressure_ns(void)
{
        FILE              *f = fopen("/proc/pressure/cpu", "re");
        unsigned long long us = 0;

        if (f == NULL)
                return 0;
        if (fscanf(f, "some avg10=%*f avg60=%*f avg300=%*f total=%llu", &us) != 1)
                us = 0;
        fclose(f);
        return us * NS_PER_US;
}

void gauge_mark(struct gauge *g)
{
        mt_store_relaxed(&g->marked_pressure_ns, gauge_pressure_ns());
        mt_store_relaxed(&g->marked_hits, mt_load_relaxed(&g->hits));
        mt_store_relaxed(&g->marked_delay_ns, mt_load_relaxed(&g->delay_ns));
        mt_store_relaxed(&g->marked_ns, oracle_now_ns());
}

bool gauge_serves(const struct gauge *g, uint64_t *took_ns)
{
        uint64_t closed_ns = mt_load_relaxed(&g->closed_ns), marked_ns = mt_load_relaxed(&g->marked_ns);

        *took_ns = closed_ns > marked_ns ? closed_ns - marked_ns : 0;
        return mt_load_acquire(&g->open) && mt_load_relaxed(&g->hits) >= mt_load_relaxed(&g->marked_hits) + GAUGE_HITS;
}

uint64_t gauge_delay_ns(const struct gauge *g)
{
        uint64_t queued_ns = mt_load_relaxed(&g->delay_ns) - mt_load_relaxed(&g->marked_delay_ns);
        uint64_t pressure_ns = gauge_pressure_ns() - mt_load_relaxed(&g->marked_pressure_ns);

        return queued_ns > pressure_ns ? queued_ns : pressure_ns;
}

void gauge_calm(struct gauge *g, bool calm)
{
        mt_store_release(&g->calm, calm);
}

struct calm gauge_calm_so_far(const struct gauge *g)
{
        return (struct calm){
                .samples = mt_load_relaxed(&g->samples),
                .current = mt_load_relaxed(&g->current),
                .lapsed = mt_load_relaxed(&g->lapsed),
                .excused = mt_load_relaxed(&g->excused),
                .hits = mt_load_relaxed(&g->calm_hits),
                .gets = mt_load_relaxed(&g->calm_gets),
        };
}

void gauge_print(struct gauge *g)
{
        const struct server_shm *s = gauge_server(g);
        uint64_t                 now_ns = clock_precise_ns();

        if (s == NULL) {
                printf("  the segment knows no such server\n");
                return;
        }
        printf("  leader %d thread %d term %u, until %+.0f ms; lease of %.0f ms ago; epoch %u, incarnation %u, flags "
               "%x, "
               "reconnects %llu, bound %u ms\n",
               (int)mt_load_relaxed(&g->leader_pid), mt_load_relaxed(&s->leader_tid), mt_load_relaxed(&s->leader_term),
               ((double)mt_load_relaxed(&s->leader_until_ns) - (double)now_ns) / 1e6,
               ((double)now_ns - (double)mt_load_relaxed(&s->fresh_at_ns)) / 1e6, mt_load_relaxed(&s->epoch),
               mt_load_relaxed(&s->incarnation), mt_load_relaxed(&s->flags),
               (unsigned long long)mt_load_relaxed(&s->reconnects), mt_load_relaxed(&s->bound_ms));
}

pid_t gauge_leader(const struct gauge *g)
{
        return mt_load_relaxed(&g->leader_pid);
}
