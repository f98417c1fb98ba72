/* parent.c - makes processes, stops them for longer than a lap of the log, continues them, kills them. */
#include "torture.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PARENT_TICK_US     4000u
#define PARENT_STOP_MAX_NS (400 * NS_PER_MS) /* then it goes on, laps or not */
#define PARENT_LAPS        6u

struct chair {
        pid_t    pid;
        bool     stopped;
        uint64_t stopped_ns, reclaims, laps_wanted;
};

struct parent {
        struct l1    *l1;
        struct round  round;
        unsigned      processes, stopped;
        uint64_t     *seed;
        struct hurts *hurts;
        struct chair  chair[SEATS];
};

uint64_t parent_reclaims(const struct l1 *l1, uint64_t *logsegs)
{
        struct l1_totals totals;

        l1_totals(l1, false, &totals);
        *logsegs = totals.logsegs;
        return totals.count[COUNTER_reclaims];
}

/* ----------------------------------------------------------------------------------------------------- what becomes */

static void spawn(struct parent *p, unsigned i)
{
        uint64_t seed = draw(p->seed);

        fflush(NULL);
        mt_store_release(&world->seat[i].place, ANYWHERE);
        p->chair[i] = (struct chair){.pid = fork()};
        if (p->chair[i].pid < 0)
                abort(); /* what is done to the chair would be done to every process there is */
        if (p->chair[i].pid == 0)
                worker_life(seed % 2 != 0 ? p->l1 : NULL, p->round, &world->seat[i], seed);
}

static void note_stop(struct parent *p, unsigned i)
{
        struct chair *chair = &p->chair[i];
        uint64_t      logsegs;

        chair->stopped = true;
        chair->stopped_ns = clock_precise_ns();
        chair->reclaims = parent_reclaims(p->l1, &logsegs);
        chair->laps_wanted = 1 + below(p->seed, PARENT_LAPS);
        p->stopped++;
        p->hurts->stops[mt_load_acquire(&world->seat[i].place) % PLACES]++;
}

static void note_end(struct parent *p, pid_t pid, int status)
{
        bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;

        p->hurts->kills += killed;
        if (!killed && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
                p->hurts->odd_ends++;
                fprintf(stderr, "process %d ended with status %x\n", (int)pid, (unsigned)status);
        }
}

/* Our own, and the children of those that died before they could wait for them. */
static void reap(struct parent *p)
{
        int   status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
                unsigned i = 0;

                while (i < p->processes && p->chair[i].pid != pid)
                        i++;
                if (WIFSTOPPED(status)) {
                        if (i < p->processes)
                                note_stop(p, i);
                        continue;
                }
                note_end(p, pid, status);
                if (i == p->processes)
                        continue;
                p->stopped -= p->chair[i].stopped;
                p->chair[i] = (struct chair){0};
        }
}

/* ------------------------------------------------------------------------------------------------- what is done */

/* It has slept for as many laps as it should, or for long enough. */
static void visit_stopped(struct parent *p, struct chair *chair)
{
        uint64_t logsegs, now = parent_reclaims(p->l1, &logsegs), laps = (now - chair->reclaims) / logsegs;

        if (laps < chair->laps_wanted && clock_precise_ns() - chair->stopped_ns < PARENT_STOP_MAX_NS)
                return;
        p->hurts->long_stops += laps > 0;
        if (laps > p->hurts->most_laps)
                p->hurts->most_laps = laps;
        chair->stopped = false;
        p->stopped--;
        kill(chair->pid, below(p->seed, 5) == 0 ? SIGKILL : SIGCONT);
}

static void visit(struct parent *p, struct chair *chair)
{
        if (chair->pid == 0)
                return;
        if (chair->stopped)
                visit_stopped(p, chair);
        else if (below(p->seed, 12) == 0 && p->stopped < p->processes / 2)
                kill(chair->pid, SIGSTOP);
        else if (below(p->seed, 6) == 0)
                kill(chair->pid, SIGKILL);
}

static void end_all(struct parent *p)
{
        int   status;
        pid_t pid;

        for (unsigned i = 0; i < p->processes; i++) {
                if (p->chair[i].pid != 0)
                        kill(p->chair[i].pid, SIGKILL);
        }
        while ((pid = waitpid(-1, &status, 0)) > 0)
                note_end(p, pid, status);
}

void parent_round(struct l1 *l1, struct round round, unsigned processes, uint64_t *seed, uint64_t end_ns,
                  struct hurts *hurts)
{
        struct parent p = {.l1 = l1, .round = round, .processes = processes, .seed = seed, .hurts = hurts};

        while (clock_precise_ns() < end_ns) {
                for (unsigned i = 0; i < processes; i++) {
                        if (p.chair[i].pid == 0)
                                spawn(&p, i);
                }
                usleep((useconds_t)(200 + below(seed, PARENT_TICK_US)));
                reap(&p);
                visit(&p, &p.chair[below(seed, processes)]);
                for (unsigned i = 0; i < processes; i++) {
                        if (p.chair[i].stopped)
                                visit_stopped(&p, &p.chair[i]);
                }
        }
        end_all(&p);
}

/* ---------------------------------------------------------------------------------------------------------- threads */

static void *thread_main(void *arg)
{
        worker_work(arg, UINT64_MAX);
        return NULL;
}

void parent_round_of_threads(struct l1 *l1, struct round round, unsigned threads, uint64_t *seed, uint64_t end_ns)
{
        static struct worker *workers;
        pthread_t             thread[SEATS];

        if (workers == NULL)
                workers = calloc(SEATS, sizeof *workers);
        if (workers == NULL)
                abort();
        mt_store_release(&world->stop, false);
        for (unsigned i = 0; i < threads; i++) {
                workers[i].calm = true;
                if (!worker_begin(&workers[i], l1, round, &world->seat[i], draw(seed)) ||
                    pthread_create(&thread[i], NULL, thread_main, &workers[i]) != 0)
                        abort();
        }
        while (clock_precise_ns() < end_ns)
                usleep(10000);
        mt_store_release(&world->stop, true);
        for (unsigned i = 0; i < threads; i++)
                pthread_join(thread[i], NULL);
        mt_store_release(&world->stop, false);
}
