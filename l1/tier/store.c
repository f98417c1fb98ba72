/* store.c - the life of a backend's object, and what is carried to its thread.
 *
 *   NULL  -> begun     store_life()          at the first call
 *   begun -> open      store_begin()         in the thread: found, loaded, opened
 *   open  -> closed    store_end()           in the thread, when no reader is inside
 * Where a backend's reads may run anywhere they do, once it is open: reader and closer each store a word and look at
 * the other's, sequentially consistent, so that one of them sees the other. */
#include "store.h"

#include "../base/clock.h"
#include "../base/log.h"
#include "worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define STORE_CLOSE_TRIES   1000
#define STORE_CLOSE_NS      1000000
#define STORE_EXIT_NS       (100 * NS_PER_MS)
#define STORE_FORK_NS       (50 * NS_PER_MS)
#define STORE_AWAIT_STEP_NS 200000

struct store_life {
        struct store_life       *next;   /* in store_lives, for ever */
        _Atomic(pthread_t)       holder; /* over a fork, the thread that forks; 0: nobody */
        struct worker            worker;
        struct store            *store;
        const struct mt_backend *backend;
        void                    *self;
        _Atomic bool             open;
        _Atomic uint32_t         readers; /* in the program's threads */
        _Atomic bool             left;    /* the thread ends with readers inside */
};

static const struct store_answer store_absent = {.status = MT_ERROR, .failed = true};

/* --------------------------------------------------------------------------------------------------------- the life */

/* What our threads have begun is waited for, for a moment, before the process ends, since the libraries that they use
 * are taken apart then; and before it forks, since a lock of such a library would be held in the child for ever. Who
 * hangs is left alone: it is the program that must not. */
static _Atomic(struct store_life *) store_lives;

static void store_await(bool (*ready)(struct worker *), void (*then)(struct store_life *), uint64_t wait_ns)
{
        const struct timespec moment = {.tv_nsec = STORE_AWAIT_STEP_NS};
        uint64_t              until_ns = clock_read_ns(CLOCK_MONOTONIC) + wait_ns;
        bool                  is;

        for (struct store_life *life = mt_load_acquire(&store_lives); life != NULL; life = life->next) {
                while (!(is = ready(&life->worker)) && clock_read_ns(CLOCK_MONOTONIC) < until_ns)
                        nanosleep(&moment, NULL);
                if (is && then != NULL)
                        then(life);
        }
}

static void store_at_exit(void)
{
        store_await(worker_idle, NULL, STORE_EXIT_NS);
}

static void store_hold(struct store_life *life)
{
        atomic_store(&life->holder, pthread_self()); /* the same in the child */
}

static void store_before_fork(void)
{
        int saved = errno;

        store_await(worker_hold, store_hold, STORE_FORK_NS);
        errno = saved;
}

/* In both. Another thread may be at a fork of its own. */
static void store_behind_fork(void)
{
        for (struct store_life *life = mt_load_acquire(&store_lives); life != NULL; life = life->next) {
                if (atomic_load(&life->holder) != pthread_self())
                        continue;
                atomic_store(&life->holder, 0);
                worker_let_go(&life->worker);
        }
}

/* In the thread, behind open(): handlers that a library registered there (OpenSSL) run after this one. A child has the
 * list of its parent, and its handlers; without memory for them the end is as it was. */
static void store_mind_ends(struct store_life *life)
{
        static atomic_flag forks;
        struct store_life *first = mt_load_acquire(&store_lives), *other = first;

        while (other != NULL && other != life)
                other = other->next;
        if (other == NULL) {
                life->next = first;
                while (!mt_cas_acq_rel(&store_lives, &life->next, life))
                        ;
        }
        (void)atexit(store_at_exit);
        if (!atomic_flag_test_and_set(&forks))
                (void)pthread_atfork(store_before_fork, store_behind_fork, store_behind_fork);
}

static bool store_begin(void *arg)
{
        struct store_life         *life = arg;
        const struct tier_setting *s = life->store->setting;
        char                       why[MT_BACKEND_WHY_MAX] = "";

        life->backend = plugin_find(&s->spec, life->store->places, why);
        if (life->backend == NULL || life->backend->open(&s->config, &life->self, why) != MT_OK) {
                why[sizeof why - 1] = '\0';
                log_line(LOG_WARN, "MTSHIM_TIERS: l%u=%s:%s is not used: %s", s->level, s->spec.kind.ptr,
                         s->spec.address.ptr, why);
                return false;
        }
        store_mind_ends(life);
        atomic_store(&life->open, true);
        return true;
}

/* A reader that was cancelled, or jumped out of a signal's handler, is inside for ever: then nothing is closed. */
static void store_end(void *arg)
{
        struct store_life    *life = arg;
        const struct timespec moment = {.tv_nsec = STORE_CLOSE_NS};

        atomic_store(&life->open, false);
        for (int i = 0; i < STORE_CLOSE_TRIES && atomic_load(&life->readers) != 0; i++)
                nanosleep(&moment, NULL);
        if (atomic_load(&life->readers) == 0)
                life->backend->close(life->self);
        else
                atomic_store(&life->left, true);
}

static const struct worker_life store_ends = {store_begin, store_end};

static void store_life_init(struct store_life *life, struct store *store)
{
        life->store = store;
        life->self = NULL;
        atomic_store(&life->open, false);
        atomic_store(&life->readers, 0);
        atomic_store(&life->left, false);
        worker_init(&life->worker, &store_ends, life);
}

static struct store_life *store_life(struct store *store)
{
        struct store_life *life = mt_load_acquire(&store->life); /* pairs with the release below */
        void              *memory;

        if (MT_LIKELY(life != NULL) || mt_load_acquire(&store->never))
                return life;
        forklock_acquire(&store->lock);
        life = mt_load_acquire(&store->life);
        if (life == NULL && !mt_load_acquire(&store->never)) {
                memory = mmap(NULL, sizeof *life, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (memory != MAP_FAILED) {
                        life = memory;
                        store_life_init(life, store);
                        mt_store_release(&store->life, life);
                }
        }
        forklock_release(&store->lock);
        return life;
}

void store_init(struct store *store, const struct tier_setting *setting, const struct plugin_places *places,
                store_report_f *report, void *arg)
{
        store->setting = setting;
        store->places = places;
        store->report = report;
        store->arg = arg;
}

/* What is said for ever is said to the child too. The object is the parent's: it is forgotten, not closed. */
void store_after_fork(struct store *store)
{
        struct store_life *life = mt_load_acquire(&store->life);

        if (life != NULL)
                store_life_init(life, store);
}

/* A life that is let go of is left where it is: callers may be inside, and its thread is. */
void store_stop(struct store *store, bool pause)
{
        struct store_life *life;

        if (!pause)
                mt_store_release(&store->never, true);
        forklock_acquire(&store->lock);
        life = pause ? atomic_exchange(&store->life, NULL) : mt_load_acquire(&store->life);
        forklock_release(&store->lock);
        if (life != NULL)
                worker_stop(&life->worker);
}

bool store_stopped(const struct store *store)
{
        const struct store_life *life = mt_load_acquire(&store->life);

        return life == NULL || worker_gone(&life->worker);
}

/* ------------------------------------------------------------------------------------------ to the thread, and back */

static struct store_life *store_of(const struct worker_job *job)
{
        return job->arg;
}

static struct worker_job *store_job(struct store *store, void (*run)(struct worker_job *, bool), size_t bytes)
{
        struct store_life *life = store_life(store);
        struct worker_job *job = life != NULL ? worker_job(&life->worker, bytes) : NULL;

        if (job != NULL) {
                job->run = run;
                job->arg = life;
        }
        return job;
}

static void store_bring(struct worker_job *job, struct mt_bytes bytes)
{
        if (bytes.len > 0)
                memcpy(job->in.bytes + job->in.used, bytes.ptr, bytes.len);
        job->in.used += bytes.len;
}

static struct mt_bytes store_brought(const struct worker_job *job, size_t from, size_t len)
{
        return mt_bytes(job->in.bytes + from, len);
}

/* WORKER_DONE: the job is the caller's still. */
static enum worker_result store_call(struct worker_job *job, uint64_t deadline_ns, struct store_answer *answer)
{
        struct worker     *worker = &store_of(job)->worker; /* the job may be gone after the call */
        enum worker_result result = worker_call(worker, job, deadline_ns);

        *answer = (struct store_answer){.status = MT_ERROR, .late = result == WORKER_LATE, .failed = true};
        if (result == WORKER_DONE) {
                answer->status = job->status;
                answer->failed = job->status == MT_ERROR;
        } else if (result == WORKER_NONE) {
                worker_release(worker, job);
        }
        return result;
}

static struct store_answer store_call_simply(struct worker_job *job, uint64_t deadline_ns)
{
        struct store_answer answer;

        if (job == NULL)
                return store_absent;
        if (store_call(job, deadline_ns, &answer) == WORKER_DONE)
                worker_release(&store_of(job)->worker, job);
        return answer;
}

/* -------------------------------------------------------------------------------------------------------------- get */

struct store_sink {
        struct mt_sink     sink;
        struct mt_sink    *to; /* the caller's, or */
        struct worker_job *job;
        bool               full;
};

static char *store_room_of_job(struct mt_sink *sink, size_t len)
{
        struct store_sink *s = (struct store_sink *)sink;

        s->full = !worker_room(&s->job->out, len > 0 ? len : 1);
        s->job->out.used = len;
        return s->full ? NULL : s->job->out.bytes;
}

static char *store_room_of_caller(struct mt_sink *sink, size_t len)
{
        struct store_sink *s = (struct store_sink *)sink;
        char              *room = s->to->room(s->to, len);

        s->full = room == NULL;
        return room;
}

static void store_run_get(struct worker_job *job, bool stopped)
{
        struct store_life *life = store_of(job);
        struct store_sink  out = {.sink = {store_room_of_job}, .job = job};

        job->status = stopped ? MT_ERROR
                              : life->backend->ops->get_with_ttl(life->self, store_brought(job, 0, job->in.used),
                                                                 &out.sink, &job->number[0]);
}

/* True: the backend was read here. */
static bool store_get_here(struct store *store, struct mt_bytes key, struct mt_sink *out, uint64_t *ttl_ms,
                           struct store_answer *answer)
{
        struct store_life *life = mt_load_acquire(&store->life);
        struct store_sink  sink = {.sink = {store_room_of_caller}, .to = out};
        bool               open;

        /* Pairs with the store in store_begin(): who sees it open sees the backend. */
        if (life == NULL || !atomic_load(&life->open) || (life->backend->flags & MT_BACKEND_READS_ANYWHERE) == 0)
                return false;
        atomic_fetch_add(&life->readers, 1);
        open = atomic_load(&life->open);
        if (open) {
                answer->status = life->backend->ops->get_with_ttl(life->self, key, &sink.sink, ttl_ms);
                answer->late = false;
                answer->failed = answer->status == MT_ERROR && !sink.full;
                /* The thread does not wait for us any more: with its descriptors go the locks that keep what we read
                 * from being overwritten. */
                if (MT_UNLIKELY(atomic_load(&life->left)))
                        *answer = store_absent;
        }
        atomic_fetch_sub(&life->readers, 1);
        return open;
}

struct store_answer store_get(struct store *store, struct mt_bytes key, struct mt_sink *out, uint64_t *ttl_ms,
                              uint64_t deadline_ns)
{
        struct store_answer answer;
        struct worker_job  *job;
        char               *room;

        if (store_get_here(store, key, out, ttl_ms, &answer))
                return answer;
        job = store_job(store, store_run_get, key.len);
        if (job == NULL)
                return store_absent;
        store_bring(job, key);
        if (store_call(job, deadline_ns, &answer) != WORKER_DONE)
                return answer;
        if (answer.status == MT_OK) {
                room = out->room(out, job->out.used);
                if (room == NULL)
                        answer.status = MT_ERROR;
                else if (job->out.used > 0)
                        memcpy(room, job->out.bytes, job->out.used);
                *ttl_ms = job->number[0];
        }
        worker_release(&store_of(job)->worker, job);
        return answer;
}

/* --------------------------------------------------------------------------------------------------- mark, set, ask */

static void store_run_mark(struct worker_job *job, bool stopped)
{
        struct store_life *life = store_of(job);

        if (stopped)
                job->status = MT_ERROR;
        else if (life->backend->ops->mark == NULL)
                job->status = MT_UNSUPPORTED;
        else
                job->status =
                        life->backend->ops->mark(life->self, store_brought(job, 0, job->in.used), &job->number[0]);
}

bool store_marks_not(const struct store *store)
{
        const struct store_life *life = mt_load_acquire(&store->life);

        return life != NULL && atomic_load(&life->open) && life->backend->ops->mark == NULL;
}

struct store_answer store_mark(struct store *store, struct mt_bytes key, uint64_t *mark, uint64_t deadline_ns)
{
        struct store_answer answer;
        struct worker_job  *job = store_job(store, store_run_mark, key.len);

        if (job == NULL)
                return store_absent;
        store_bring(job, key);
        if (store_call(job, deadline_ns, &answer) == WORKER_DONE) {
                *mark = job->number[0];
                worker_release(&store_of(job)->worker, job);
        }
        return answer;
}

uint64_t store_remains(uint64_t ttl_ms, uint64_t read_ns)
{
        uint64_t gone_ms = (clock_precise_ns() - read_ns + NS_PER_MS - 1) / NS_PER_MS;

        if (ttl_ms == MT_TTL_NONE)
                return ttl_ms;
        return ttl_ms > gone_ms ? ttl_ms - gone_ms : 0;
}

/* number: length of the key, ttl, mark; of a promotion, when the ttl was read. thing[0]: where it is counted. */
static void store_run_set(struct worker_job *job, bool stopped)
{
        struct store_life *life = store_of(job);
        size_t             key_len = (size_t)job->number[0];
        struct tier_shm   *counted = job->thing[0];
        uint64_t           ttl_ms = counted != NULL ? store_remains(job->number[1], job->number[3]) : job->number[1];

        if (stopped)
                job->status = MT_ERROR;
        else if (counted != NULL && ttl_ms == 0) /* it waited for so long */
                return;
        else if (life->backend->ops->set_marked == NULL)
                job->status = MT_UNSUPPORTED;
        else
                job->status = life->backend->ops->set_marked(life->self, store_brought(job, 0, key_len),
                                                             store_brought(job, key_len, job->in.used - key_len),
                                                             ttl_ms, job->number[2]);
        if (counted == NULL || stopped)
                return;
        life->store->report(life->store->arg, job->status != MT_ERROR);
        if (job->status == MT_OK)
                mt_fetch_add_relaxed(&counted->promotions, 1);
}

static struct worker_job *store_job_set(struct store *store, struct mt_bytes key, struct mt_bytes value,
                                        uint64_t ttl_ms, uint64_t mark, struct tier_shm *counted)
{
        struct worker_job *job = store_job(store, store_run_set, key.len + value.len);

        if (job == NULL)
                return NULL;
        store_bring(job, key);
        store_bring(job, value);
        job->number[0] = key.len;
        job->number[1] = ttl_ms;
        job->number[2] = mark;
        job->thing[0] = counted;
        return job;
}

struct store_answer store_set(struct store *store, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms,
                              uint64_t mark, uint64_t deadline_ns)
{
        return store_call_simply(store_job_set(store, key, value, ttl_ms, mark, NULL), deadline_ns);
}

void store_promote(struct store *store, struct tier_shm *shm, struct mt_bytes key, struct mt_bytes value,
                   uint64_t ttl_ms, uint64_t read_ns, uint64_t mark)
{
        struct worker_job *job = store_job_set(store, key, value, ttl_ms, mark, shm);

        if (job == NULL)
                return;
        job->number[3] = read_ns;
        if (!worker_post(&store_of(job)->worker, job))
                worker_release(&store_of(job)->worker, job);
}

static void store_run_health(struct worker_job *job, bool stopped)
{
        struct store_life *life = store_of(job);

        job->status = !stopped && life->backend->ops->cache.health_check(life->self) ? MT_OK : MT_ERROR;
}

struct store_answer store_health(struct store *store, uint64_t deadline_ns)
{
        return store_call_simply(store_job(store, store_run_health, 0), deadline_ns);
}

/* -------------------------------------------------------------------------------------------------- removals, debts */

static enum mt_status store_do_keys(struct store_life *life, const struct worker_job *job)
{
        enum mt_status all = MT_OK;
        uint32_t       len;

        for (size_t at = 0; at < job->in.used; at += sizeof len + len) {
                enum mt_status status;

                memcpy(&len, job->in.bytes + at, sizeof len);
                status = life->backend->ops->cache.remove(life->self, store_brought(job, at + sizeof len, len));
                if (status == MT_ERROR || status == MT_UNSUPPORTED)
                        all = MT_ERROR;
        }
        return all;
}

static enum mt_status store_do_removal(struct store_life *life, const struct worker_job *job)
{
        const struct mt_cache_ops *ops = &life->backend->ops->cache;
        enum mt_status             status = MT_UNSUPPORTED;

        switch ((enum store_removal)job->number[0]) {
        case STORE_KEYS: return store_do_keys(life, job);
        case STORE_PATTERN:
                if (ops->remove_pattern != NULL)
                        status = ops->remove_pattern(life->self, store_brought(job, sizeof(uint32_t),
                                                                               job->in.used - sizeof(uint32_t)));
                return status == MT_UNSUPPORTED ? ops->flush(life->self) : status;
        case STORE_ALL: return ops->flush(life->self);
        }
        return MT_ERROR;
}

/* number: what, place, word. thing[0]: the segment's part. MT_REFUSED: the store does not keep such a key. */
static void store_run_removal(struct worker_job *job, bool stopped)
{
        struct tier_shm *shm = job->thing[0];

        job->status = stopped ? MT_ERROR : store_do_removal(store_of(job), job);
        if (job->status != MT_OK && job->status != MT_MISS && job->status != MT_REFUSED)
                job->status = MT_ERROR;
        if (shm == NULL)
                return;
        if (job->status == MT_ERROR)
                debt_lost(shm, (int)job->number[1], job->number[2]);
        else
                debt_done(shm, (int)job->number[1], job->number[2]);
}

struct worker_job *store_removal(struct store *store, enum store_removal what, size_t bytes)
{
        struct worker_job *job = store_job(store, store_run_removal, bytes);

        if (job != NULL)
                job->number[0] = what;
        return job;
}

void store_remove_key(struct worker_job *job, struct mt_bytes key)
{
        uint32_t len = (uint32_t)key.len;

        store_bring(job, mt_bytes(&len, sizeof len));
        store_bring(job, key);
}

struct store_answer store_remove(struct worker_job *job, const struct store_debt *debt, uint64_t deadline_ns)
{
        struct store_answer answer = store_absent;
        enum worker_result  result = WORKER_NONE;

        if (job != NULL) {
                job->thing[0] = debt->shm;
                job->number[1] = (uint64_t)(int64_t)debt->place;
                job->number[2] = debt->word;
                result = store_call(job, deadline_ns, &answer);
                if (result == WORKER_DONE)
                        worker_release(&store_of(job)->worker, job);
        }
        if (debt->shm != NULL && result == WORKER_NONE)
                debt_lost(debt->shm, debt->place, debt->word);
        else if (debt->shm != NULL && result == WORKER_LATE && debt->place == DEBT_NOWHERE)
                debt_add(debt->shm);
        return answer;
}

static void store_run_flush(struct worker_job *job, bool stopped)
{
        struct store_life      *life = store_of(job);
        const struct debt_flush flush = {job->number[0], job->number[1]};

        job->status = stopped ? MT_ERROR : life->backend->ops->cache.flush(life->self);
        debt_flush_end(job->thing[0], clock_coarse_ns(), &flush, job->status == MT_OK);
        if (!stopped)
                life->store->report(life->store->arg, job->status == MT_OK);
}

void store_pay(struct store *store, struct tier_shm *shm, const struct debt_flush *flush)
{
        struct worker_job *job = store_job(store, store_run_flush, 0);

        if (job == NULL)
                return;
        job->thing[0] = shm;
        job->number[0] = flush->paid;
        job->number[1] = flush->debt;
        if (!worker_post(&store_of(job)->worker, job))
                worker_release(&store_of(job)->worker, job);
}
