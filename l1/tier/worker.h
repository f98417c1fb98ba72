/* worker.h - a thread of ours that does one job after the other, and callers that wait for a job no longer than they
 * like.
 *
 * A job belongs to its caller until it is handed over, to the thread then, and to the caller again when it is done in
 * time; one that was given up is freed by the thread. What it needs is copied into its own memory: the thread touches
 * nothing of the caller's.
 *   FREE -> HELD           worker_job()
 *   HELD -> OUT            worker_call(), worker_post()
 *   OUT  -> DONE           the thread, in time: the caller's again
 *   OUT  -> LEFT -> FREE   the caller's time is over, or worker_post(): the thread frees it
 *   HELD, DONE -> FREE     worker_release()
 * Thread-safe. A worker is never freed: a late thread may still be in a function here. */
#ifndef MT_TIER_WORKER_H
#define MT_TIER_WORKER_H

#include "../base/forklock.h"
#include "backend.h"

/* So many callers at once; one more is told that the store failed. */
enum { WORKER_JOBS = 128 };

struct worker_area {
        char  *bytes;
        size_t used, room;
};

struct worker_job {
        /* In the thread. stopped: it is to end, and does nothing any more but what must not be forgotten. */
        void (*run)(struct worker_job *job, bool stopped);
        void              *arg;
        enum mt_status     status;
        uint64_t           number[4]; /* whatever run() wants to know, or has to say */
        void              *thing[2];
        struct worker_area in, out; /* copies of the caller's; what run() has found */
        _Atomic uint32_t   state;   /* also the futex that the caller waits on */
        struct worker_job *next;
};

/* What is done at both ends of the thread's life, in it. begin false: there is nothing to work with, for good; jobs
 * are run as if stopped. */
struct worker_life {
        bool (*begin)(void *arg);
        void (*end)(void *arg);
};

struct worker {
        const struct worker_life *life;
        void                     *arg;
        struct forklock           lock;   /* the lists, and starting */
        _Atomic uint32_t          wanted; /* futex of the thread: moves with each job, and when it is to stop */
        _Atomic uint32_t          phase;
        _Atomic uint32_t          asked; /* to stop */
        bool                      busy;  /* the thread is at something; under the lock */
        _Atomic int32_t           tid;
        struct worker_job        *first, **last, *free;
        struct worker_job         job[WORKER_JOBS];
};

/* Memory of zeros, or one whose jobs are gone with the thread of a parent. */
void worker_init(struct worker *worker, const struct worker_life *life, void *arg);

/* A job with room for so many bytes to bring; NULL: no memory, or all are with a thread that is slow. */
struct worker_job *worker_job(struct worker *worker, size_t bytes);
/* More room; what is there is kept, but not where it was. */
bool worker_room(struct worker_area *area, size_t bytes);
void worker_release(struct worker *worker, struct worker_job *job);

/* Start the thread if it is not there, hand the job over. False: there is no thread, and may be none; the job is the
 * caller's still. */
bool worker_post(struct worker *worker, struct worker_job *job);
enum worker_result { WORKER_DONE, WORKER_LATE, WORKER_NONE };
/* The same, and wait until deadline_ns (CLOCK_MONOTONIC, not the clock of tests). LATE: the job is the thread's. */
enum worker_result worker_call(struct worker *worker, struct worker_job *job, uint64_t deadline_ns);

/* The thread ends when it is through with what it does now; none is started until worker_init(). */
void worker_stop(struct worker *worker);
bool worker_gone(const struct worker *worker);
/* Nothing is handed over or being done at this moment: the thread waits, if there is one. */
bool worker_idle(struct worker *worker);
/* The same, and the thread takes nothing up until the release: around a fork, also in the child. */
bool worker_hold(struct worker *worker);
void worker_let_go(struct worker *worker);

#endif
