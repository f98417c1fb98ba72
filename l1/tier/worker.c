/* worker.c - two lists, two futexes.
 * The lock is held for the moves between lists alone. A job's bytes come from mmap(): the program's allocator is left
 * alone, and what a job has grown to is kept for the next one, up to WORKER_KEPT. */
#include "worker.h"

#include "../base/assert.h"
#include "../base/clock.h"
#include "../base/log.h"
#include "../base/thread.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum worker_phase { WORKER_IDLE, WORKER_RUNNING, WORKER_ENDED };
enum worker_job_state { JOB_FREE, JOB_HELD, JOB_OUT, JOB_DONE, JOB_LEFT };

#define WORKER_PAGE 4096u
#define WORKER_KEPT (UINT64_C(64) << 10)

/* ---------------------------------------------------------------------------------------------------------- futexes */

static void worker_futex_wait(_Atomic uint32_t *word, uint32_t while_is, const struct timespec *deadline)
{
        syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, while_is, deadline, NULL, FUTEX_BITSET_MATCH_ANY);
}

static void worker_futex_wake(_Atomic uint32_t *word)
{
        syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* ------------------------------------------------------------------------------------------------------------- jobs */

void worker_init(struct worker *worker, const struct worker_life *life, void *arg)
{
        worker->life = life;
        worker->arg = arg;
        mt_store_relaxed(&worker->lock.pid, 0);
        mt_store_relaxed(&worker->phase, WORKER_IDLE);
        mt_store_relaxed(&worker->asked, 0);
        mt_store_relaxed(&worker->tid, 0);
        worker->busy = false;
        worker->first = worker->free = NULL;
        worker->last = &worker->first;
        for (int i = WORKER_JOBS; i-- > 0;) {
                struct worker_job *job = &worker->job[i];

                /* [W2] A thread of the parent may have been about to move this one's memory, or to give it back: it
                 * leaks. */
                if (mt_load_acquire(&job->state) != JOB_FREE)
                        job->in = job->out = (struct worker_area){.bytes = NULL};
                mt_store_relaxed(&job->state, JOB_FREE);
                job->next = worker->free;
                worker->free = job;
        }
}

bool worker_room(struct worker_area *area, size_t bytes)
{
        size_t room = (bytes + WORKER_PAGE - 1) & ~(size_t)(WORKER_PAGE - 1);
        void  *memory;

        if (bytes <= area->room)
                return true;
        if (room < bytes)
                return false;
        if (area->room == 0)
                memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        else
                memory = mremap(area->bytes, area->room, room, MREMAP_MAYMOVE);
        if (memory == MAP_FAILED)
                return false;
        area->bytes = memory;
        area->room = room;
        return true;
}

static void worker_trim(struct worker_area *area)
{
        if (area->room > WORKER_KEPT) {
                munmap(area->bytes, area->room);
                *area = (struct worker_area){.bytes = NULL};
        }
        area->used = 0;
}

struct worker_job *worker_job(struct worker *worker, size_t bytes)
{
        struct worker_job *job;

        forklock_acquire(&worker->lock);
        job = worker->free;
        if (job != NULL)
                worker->free = job->next;
        forklock_release(&worker->lock);
        if (job == NULL)
                return NULL;
        mt_store_relaxed(&job->state, JOB_HELD); /* [W2]: before a system call moves anything */
        job->in.used = job->out.used = 0;
        if (worker_room(&job->in, bytes))
                return job;
        worker_release(worker, job);
        return NULL;
}

void worker_release(struct worker *worker, struct worker_job *job)
{
        worker_trim(&job->in);
        worker_trim(&job->out);
        mt_store_release(&job->state, JOB_FREE); /* [W2]: FREE says that what the areas are, they are */
        forklock_acquire(&worker->lock);
        job->next = worker->free;
        worker->free = job;
        forklock_release(&worker->lock);
}

/* ------------------------------------------------------------------------------------------------------- the thread */

/* Who is no longer waited for has nobody to tell. */
static void worker_finish(struct worker *worker, struct worker_job *job, bool stopped)
{
        uint32_t out = JOB_OUT;

        job->run(job, stopped);
        /* [W1] release: the caller sees what run() wrote; pairs with the acquire in worker_call(). */
        if (mt_cas_acq_rel(&job->state, &out, JOB_DONE))
                worker_futex_wake(&job->state);
        else
                worker_release(worker, job);
}

static struct worker_job *worker_take(struct worker *worker)
{
        struct worker_job *job;

        forklock_acquire(&worker->lock);
        job = worker->first;
        worker->busy = job != NULL;
        if (job != NULL) {
                worker->first = job->next;
                if (worker->first == NULL)
                        worker->last = &worker->first;
        }
        forklock_release(&worker->lock);
        return job;
}

/* True: there is nothing left to do, and nobody can hand over anything any more. */
static bool worker_retire(struct worker *worker)
{
        bool empty;

        forklock_acquire(&worker->lock);
        empty = worker->first == NULL;
        if (empty)
                mt_store_release(&worker->phase, WORKER_ENDED);
        forklock_release(&worker->lock);
        return empty;
}

static void worker_loop(struct worker *worker, bool good)
{
        for (;;) {
                uint32_t           wanted = mt_load_acquire(&worker->wanted); /* before the looks: none is missed */
                struct worker_job *job = worker_take(worker);

                if (job != NULL)
                        worker_finish(worker, job, !good || mt_load_acquire(&worker->asked) != 0);
                else if (mt_load_acquire(&worker->asked) != 0 && worker_retire(worker))
                        return;
                else
                        worker_futex_wait(&worker->wanted, wanted, NULL);
        }
}

static void *worker_main(void *arg)
{
        struct worker *worker = arg;
        bool           good;

        mt_store_relaxed(&worker->tid, (int32_t)gettid());
        good = thread_settle() && mt_load_acquire(&worker->asked) == 0 && worker->life->begin(worker->arg);
        worker_loop(worker, good);
        if (good)
                worker->life->end(worker->arg);
        return NULL;
}

/* Under the lock. */
static bool worker_start(struct worker *worker)
{
        if (mt_load_acquire(&worker->phase) == WORKER_RUNNING)
                return mt_load_acquire(&worker->asked) == 0;
        if (mt_load_acquire(&worker->phase) == WORKER_ENDED || mt_load_acquire(&worker->asked) != 0 ||
            !thread_permitted())
                return false;
        mt_store_release(&worker->phase, WORKER_RUNNING);
        worker->busy = true;
        if (thread_start(worker_main, worker))
                return true;
        worker->busy = false;
        mt_store_release(&worker->phase, WORKER_IDLE);
        log_once(LOG_WARN, "a thread for a further tier cannot be started: it is not used");
        return false;
}

static bool worker_hand_over(struct worker *worker, struct worker_job *job, uint32_t state)
{
        bool started;

        job->next = NULL;
        forklock_acquire(&worker->lock);
        started = worker_start(worker);
        if (started) {
                mt_store_relaxed(&job->state, state);
                *worker->last = job;
                worker->last = &job->next;
        }
        forklock_release(&worker->lock);
        if (!started)
                return false;
        mt_fetch_add_acq_rel(&worker->wanted, 1);
        worker_futex_wake(&worker->wanted);
        return true;
}

bool worker_post(struct worker *worker, struct worker_job *job)
{
        return worker_hand_over(worker, job, JOB_LEFT);
}

enum worker_result worker_call(struct worker *worker, struct worker_job *job, uint64_t deadline_ns)
{
        const struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / NS_PER_S),
                                          .tv_nsec = (long)(deadline_ns % NS_PER_S)};
        uint32_t              out = JOB_OUT;

        if (!worker_hand_over(worker, job, JOB_OUT))
                return WORKER_NONE;
        while (mt_load_acquire(&job->state) == JOB_OUT && clock_read_ns(CLOCK_MONOTONIC) < deadline_ns)
                worker_futex_wait(&job->state, JOB_OUT, &deadline);
        /* [W1]: it fails if the job is done after all. */
        return mt_cas_acq_rel(&job->state, &out, JOB_LEFT) ? WORKER_LATE : WORKER_DONE;
}

/* Under the lock: whoever was about to start a thread has, and the phase says so; whoever comes later does not. */
void worker_stop(struct worker *worker)
{
        forklock_acquire(&worker->lock);
        mt_store_release(&worker->asked, 1);
        forklock_release(&worker->lock);
        mt_fetch_add_acq_rel(&worker->wanted, 1);
        worker_futex_wake(&worker->wanted);
}

bool worker_hold(struct worker *worker)
{
        bool taken_over;

        if (!forklock_try(&worker->lock, &taken_over)) /* a handler of a signal, perhaps, in the middle of its holder */
                return false;
        if (worker->first == NULL && !worker->busy)
                return true;
        forklock_release(&worker->lock);
        return false;
}

void worker_let_go(struct worker *worker)
{
        forklock_release(&worker->lock);
}

bool worker_idle(struct worker *worker)
{
        bool idle = worker_hold(worker);

        if (idle)
                worker_let_go(worker);
        return idle;
}

bool worker_gone(const struct worker *worker)
{
        int32_t tid = mt_load_relaxed(&worker->tid);

        switch (mt_load_acquire(&worker->phase)) {
        case WORKER_IDLE: return true;
        case WORKER_ENDED: return tid == 0 || thread_gone(getpid(), tid);
        default: return false;
        }
}
