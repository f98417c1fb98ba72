/* recover.c - after the deaths of a round: nothing is stuck and nothing is lost.
 *
 * A fresh process puts in several times what the log holds, some of it read and so worth keeping. Something must go in
 * at once, whoever died holding what; and every log segment must come round: be reclaimed, or be free, with no owner
 * left. One process that stands still may keep what it owns, and no more. */
#include "torture.h"

#include "l1/segment/segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECOVER_LAPS     16u
#define RECOVER_STUCK_NS (2 * NS_PER_S)
#define RECOVER_LOGSEGS  4096u
#define RECOVER_STOP_OPS 60000u

struct refill {
        struct worker worker;
        uint64_t      next, bytes;
        uint32_t      generation[RECOVER_LOGSEGS]; /* when we began */
};

/* ------------------------------------------------------------------------------------------------------------- one */

/* A key that nobody had before, perhaps read a few times. Bytes that went in. */
static uint64_t put(struct refill *r, uint64_t len)
{
        struct worker  *w = &r->worker;
        char            text[64];
        struct mt_bytes bytes =
                mt_bytes(text, (size_t)snprintf(text, sizeof text, "fresh:%016llx:%llx",
                                                (unsigned long long)draw(&w->seed), (unsigned long long)r->next++));
        struct l1_key   key = {bytes, l1_hash(w->l1, l1_server_index(w->l1, w->server[0]), bytes)};
        uint32_t        id = l1_namespace_id(w->server[0], w->incarnation[0], w->ns[0][0]);
        struct l1_lease lease;
        struct l1_hit   hit;

        if (!l1_lease(w->l1, &key, id, clock_coarse_ns(), &lease) ||
            !l1_fill(w->l1, &key, &lease, mt_bytes(w->value, len), clock_precise_ns() + 60 * NS_PER_S))
                return 0;
        for (uint64_t reads = below(&w->seed, 4); reads > 0; reads--) {
                if (l1_find(w->l1, &key, id, clock_coarse_ns(), &hit))
                        l1_copy(&hit, w->copy);
        }
        return len + bytes.len;
}

static uint64_t some_length(struct refill *r)
{
        uint64_t most = geometries[r->worker.round.geometry].max_item_bytes;

        return below(&r->worker.seed, 64) == 0 ? below(&r->worker.seed, most / 2) : below(&r->worker.seed, 4000);
}

/* ------------------------------------------------------------------------------------------------------------- all */

/* Open ones that nobody owns, or the dead, wait for writers: as many as the header can list. */
static uint32_t lost(const struct refill *r)
{
        const struct l1 *l1 = r->worker.l1;
        uint32_t         listed = sizeof l1->header->open / sizeof(uint32_t), open = 0, n = 0;

        for (uint32_t i = 0; i < l1->geometry.logseg_count; i++) {
                const struct logseg_shm *shm = &l1->logsegs[i];
                uint32_t                 state = mt_load_acquire(&shm->state);
                uint64_t                 owner = mt_load_acquire(&shm->owner);
                bool                     owned = owner != 0 && (state != LOGSEG_OPEN || !l1_owner_dead(l1, owner));
                bool                     moved = mt_load_acquire(&shm->generation) != r->generation[i];

                open += !owned && !moved && state == LOGSEG_OPEN;
                /* One that stood open, listed and not wanted, or free, for emergencies, may have been sealed in the
                 * meantime; its turn comes after that. */
                bool young = mt_load_acquire(&l1->header->seal_next) - mt_load_acquire(&shm->sealed_seq) <
                             RECOVER_LAPS / 2 * l1->geometry.logseg_count;

                n += owned ||
                     (!moved && state != LOGSEG_FREE && state != LOGSEG_OPEN && !(state == LOGSEG_SEALED && young));
        }
        return n + (open > listed ? open - listed : 0);
}

static void refill(struct refill *r, struct recovery *found)
{
        const struct l1 *l1 = r->worker.l1;
        uint64_t         begun_ns = clock_precise_ns(), step = l1->geometry.log_bytes / 2, next = 0;
        struct l1_totals totals;

        found->first_fill_ns = UINT64_MAX;
        found->logsegs = l1->geometry.logseg_count;
        found->bytes_log = l1->geometry.log_bytes;
        for (uint32_t i = 0; i < l1->geometry.logseg_count; i++)
                r->generation[i] = mt_load_acquire(&l1->logsegs[i].generation);
        do {
                uint64_t went_in = put(r, some_length(r));

                if (went_in != 0 && found->first_fill_ns == UINT64_MAX)
                        found->first_fill_ns = clock_precise_ns() - begun_ns;
                if (went_in == 0 && found->first_fill_ns == UINT64_MAX &&
                    clock_precise_ns() - begun_ns > RECOVER_STUCK_NS)
                        break;
                r->bytes += went_in;
                if (r->bytes >= next) {
                        found->lost = lost(r);
                        next += step;
                }
        } while (r->bytes < step || (found->lost > 0 && r->bytes < RECOVER_LAPS * l1->geometry.log_bytes));
        l1_totals(l1, false, &totals);
        found->bytes_used = totals.bytes_used;
}

static bool recover_here(struct l1 *l1, struct round round, uint64_t seed, struct recovery *found)
{
        struct refill *r = calloc(1, sizeof *r);
        bool           begun = r != NULL && l1->geometry.logseg_count <= RECOVER_LOGSEGS &&
                     worker_begin(&r->worker, l1, round, &world->seat[0], seed);

        if (begun)
                refill(r, found);
        free(r);
        return begun;
}

bool recover_run(struct l1 *l1, struct round round, bool in_place, uint64_t seed, struct recovery *found)
{
        static struct recovery *shared;
        struct l1_config        config = torture_config(round.geometry);
        int                     status;
        pid_t                   pid;

        if (in_place)
                return recover_here(l1, round, seed, found);
        if (shared == NULL)
                shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
                abort();
        *shared = (struct recovery){0};
        fflush(NULL);
        pid = fork();
        if (pid == 0) {
                struct l1 *fresh = l1_attach(&config);
                bool       good = fresh != NULL && recover_here(fresh, round, seed, shared);

                if (good)
                        l1_detach(fresh);
                _exit(good ? 0 : 1);
        }
        if (pid < 0)
                abort();
        waitpid(pid, &status, 0);
        *found = *shared;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---------------------------------------------------------------------------------------------------- one stopped */

pid_t recover_leave_stopped(struct l1 *l1, struct round round, uint64_t seed, bool in_append)
{
        static struct worker w;
        int                  status;
        pid_t                pid;

        fflush(NULL);
        pid = fork();
        if (pid == 0) {
                l1_after_fork(l1);
                if (!worker_begin(&w, l1, round, &world->seat[0], seed))
                        _exit(0);
                w.calm = w.alone = true;
                w.until_surprise = UINT64_MAX;
                if (in_append)
                        w.surprise = STOP_IN_APPEND;
                else
                        surprise_trap(&w, l1->log + below(&w.seed, l1->log_bytes / TORTURE_PAGE) * TORTURE_PAGE,
                                      ANYWHERE);
                w.fills_only = RECOVER_STOP_OPS;
                worker_work(&w, RECOVER_STOP_OPS);
                _exit(0);
        }
        if (pid < 0)
                abort();
        waitpid(pid, &status, WUNTRACED);
        return WIFSTOPPED(status) ? pid : 0;
}
