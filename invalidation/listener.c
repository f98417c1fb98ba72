/* listener.c - the thread: start, loop, end.
 * It never allocates with malloc, never writes through stdio, and calls nothing of the host's. Its memory is one
 * private mapping that is made at the first start and kept; its descriptors are in a table of its own. */
#include "listener.h"

#include "notice.h"
#include "places.h"
#include "tls.h"
#include "touch.h"
#include "watch.h"

#include "../l1/base/thread.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

enum listener_phase { LISTENER_IDLE, LISTENER_RUNNING };
enum { LISTENER_BUFFER = 64 * 1024, LISTENER_SUSPENDED_MS = 100, LISTENER_GIVEN_BACK_MS = 20 };
#define LISTENER_AGAIN_NS (60 * NS_PER_S)
#define LISTENER_TEND_NS  (NS_PER_S / 4)

struct listener_memory {
        struct watch  watch[PLACES_MAX]; /* [i] is of place i while taken[i] */
        bool          taken[PLACES_MAX];
        struct touch  touch[PLACES_MAX];
        struct pollfd poll[2 * PLACES_MAX + 1];
        unsigned polled[2 * PLACES_MAX + 1]; /* whose descriptor poll[n] is: a watch's, or PLACES_MAX + a touch's */
        char     buffer[LISTENER_BUFFER];
};

static struct listener_memory           *listener_memory;
static const struct invalidation_config *listener_config;
static struct l1                        *listener_l1; /* what it tends, and where a failing start is counted */
static _Atomic uint32_t                  listener_phase;
static _Atomic int32_t                   listener_tid;
static _Atomic bool                      listener_stopping, listener_never;
static _Atomic uint64_t                  listener_not_before_ns;

#ifdef MT_TEST_CLOCK
_Atomic int64_t listener_test_suspended_ns;
#define LISTENER_SUSPENDED() ((uint64_t)mt_load_relaxed(&listener_test_suspended_ns))
#else
#define LISTENER_SUSPENDED() UINT64_C(0)
#endif

/* ---------------------------------------------------------------------------------------------- servers of ours */

/* Places that have become LED since the last turn. */
static void listener_take_up(uint64_t now_ns)
{
        for (unsigned i = 0; i < PLACES_MAX; i++) {
                struct place *place = places_at(i);

                if (listener_memory->taken[i] || mt_load_acquire(&place->state) != PLACE_LED)
                        continue;
                listener_memory->taken[i] = true;
                watch_begin(&listener_memory->watch[i], listener_config, &place->leader, &place->endpoint, now_ns);
                touch_init(&listener_memory->touch[i], &listener_memory->watch[i]);
                if (!place->leader.heir)
                        mt_store_relaxed(&place->leader.server->leader_tid, mt_load_relaxed(&listener_tid));
        }
}

static void listener_drop(unsigned i, enum watch_end end, uint64_t now_ns)
{
        struct place *place = places_at(i);

        touch_finish(&listener_memory->touch[i]);
        watch_finish(&listener_memory->watch[i]);
        listener_memory->taken[i] = false;
        mt_store_relaxed(&place->out_until_ns, now_ns + listener_memory->watch[i].out_ns);
        mt_store_release(&place->state, end == WATCH_OUT ? PLACE_OUT : PLACE_FREE); /* [P3]: the rest is not ours now */
}

static void listener_drop_all(uint64_t now_ns)
{
        listener_take_up(now_ns);
        for (unsigned i = 0; i < PLACES_MAX; i++)
                if (listener_memory->taken[i])
                        listener_drop(i, WATCH_DONE, now_ns);
}

/* --------------------------------------------------------------------------------------------------- the loop */

/* CLOCK_BOOTTIME goes on while a suspended host's CLOCK_MONOTONIC stands still. The monotonic clock is read last, so
 * that being stopped between the two readings looks like too little, never like a suspension. */
static bool listener_was_suspended(uint64_t *ahead_ns)
{
        uint64_t boot_ns = clock_read_ns(CLOCK_BOOTTIME) + LISTENER_SUSPENDED();
        uint64_t now_ahead_ns = boot_ns - clock_read_ns(CLOCK_MONOTONIC);
        int64_t  jump_ns = (int64_t)(now_ahead_ns - *ahead_ns);
        bool     first = *ahead_ns == 0;

        if (first || jump_ns > 0)
                *ahead_ns = now_ahead_ns;
        return !first && jump_ns > (int64_t)(LISTENER_SUSPENDED_MS * NS_PER_MS);
}

static unsigned listener_crowd(void)
{
        unsigned crowd = 0;

        for (unsigned i = 0; i < PLACES_MAX; i++)
                crowd += listener_memory->taken[i];
        return crowd;
}

/* Everything that is due, for every server. Returns when to come back. */
static uint64_t listener_turn(uint64_t *ahead_ns)
{
        uint64_t now_ns = clock_precise_ns(), first_ns = UINT64_MAX;
        bool     suspended = listener_was_suspended(ahead_ns);
        unsigned crowd;

        listener_take_up(now_ns);
        crowd = listener_crowd();
        for (unsigned i = 0; i < PLACES_MAX; i++) {
                struct watch  *watch = &listener_memory->watch[i];
                enum watch_end end;
                uint64_t       next_ns = UINT64_MAX, touch_ns;

                if (!listener_memory->taken[i])
                        continue;
                if (suspended)
                        watch_suspended(watch, now_ns);
                end = watch_turn(watch, now_ns, &next_ns);
                if (end != WATCH_GOES_ON) {
                        listener_drop(i, end, now_ns);
                        continue;
                }
                touch_ns = touch_turn(&listener_memory->touch[i], crowd, now_ns);
                if (touch_ns < next_ns)
                        next_ns = touch_ns;
                if (next_ns < first_ns)
                        first_ns = next_ns;
        }
        return first_ns;
}

static void listener_poll(nfds_t *n, int fd, short events, unsigned whose)
{
        if (events == 0)
                return;
        listener_memory->polled[*n] = whose;
        listener_memory->poll[(*n)++] = (struct pollfd){.fd = fd, .events = events};
}

static void listener_ready(unsigned whose, short revents)
{
        struct listener_memory *m = listener_memory;

        if (whose < PLACES_MAX)
                watch_ready(&m->watch[whose], revents, m->buffer, sizeof m->buffer);
        else
                touch_ready(&m->touch[whose - PLACES_MAX], revents, m->buffer, sizeof m->buffer);
}

static void listener_wait(int wakeup, uint64_t until_ns, uint64_t *deaf_until_ns)
{
        struct listener_memory *m = listener_memory;
        uint64_t                now_ns = clock_precise_ns(), left_ns;
        struct timespec         timeout;
        nfds_t                  n = 0;

        /* After a signal of the program's was given back it is still pending: not looked at for a moment. */
        m->poll[n++] = (struct pollfd){.fd = now_ns < *deaf_until_ns ? -1 : wakeup, .events = POLLIN};
        for (unsigned i = 0; i < PLACES_MAX; i++) {
                if (!m->taken[i])
                        continue;
                listener_poll(&n, m->watch[i].link.fd, watch_events(&m->watch[i]), i);
                listener_poll(&n, m->touch[i].link.fd, touch_events(&m->touch[i]), PLACES_MAX + i);
        }
        left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
        if (left_ns > NS_PER_S)
                left_ns = NS_PER_S;
        if (m->poll[0].fd < 0 && left_ns > LISTENER_GIVEN_BACK_MS * NS_PER_MS)
                left_ns = LISTENER_GIVEN_BACK_MS * NS_PER_MS;
        timeout = (struct timespec){.tv_sec = (time_t)(left_ns / NS_PER_S), .tv_nsec = (long)(left_ns % NS_PER_S)};
        if (ppoll(m->poll, n, &timeout, NULL) <= 0)
                return;
        if (m->poll[0].revents != 0 && !thread_take_wakeup(wakeup))
                *deaf_until_ns = now_ns + LISTENER_GIVEN_BACK_MS * NS_PER_MS;
        for (nfds_t at = 1; at < n; at++)
                if (m->poll[at].revents != 0)
                        listener_ready(m->polled[at], m->poll[at].revents);
}

/* ------------------------------------------------------------------------------------------------ start and end */

static bool listener_must_end(void)
{
        return mt_load_acquire(&listener_stopping) || mt_load_acquire(&listener_never);
}

/* The last thing that the thread does. Under the lock, so that nobody hands it a server while it leaves. False:
 * somebody has. */
static bool listener_retire(void)
{
        bool ends;

        if (!places_enter())
                return false;
        ends = !places_led() || listener_must_end();
        if (ends) {
                listener_drop_all(clock_precise_ns());
                tls_thread_ends();
                mt_store_relaxed(&listener_stopping, false);
                mt_store_release(&listener_phase, LISTENER_IDLE);
        }
        places_leave();
        return ends;
}

static void listener_loop(int wakeup)
{
        uint64_t ahead_ns = 0, deaf_until_ns = 0;

        while (!listener_must_end()) {
                uint64_t next_ns = listener_turn(&ahead_ns), huge_ns;

                l1_tend(listener_l1, clock_coarse_ns(), LISTENER_TEND_NS);
                if (next_ns == UINT64_MAX)
                        return; /* nothing is led */
                huge_ns = l1_huge_pages(listener_l1, clock_coarse_ns());
                if (huge_ns < next_ns)
                        next_ns = huge_ns;
                listener_wait(wakeup, next_ns, &deaf_until_ns);
        }
}

static void *listener_main(void *unused)
{
        const struct timespec moment = {.tv_nsec = 100000};
        int                   wakeup = -1;

        mt_store_relaxed(&listener_tid, (int32_t)gettid());
        if (thread_settle())
                wakeup = thread_open_wakeup();
        if (wakeup < 0) {
                l1_count(listener_l1, COUNTER_error_thread, 1);
                notice_say(LOG_WARN, "the listener's thread got no descriptors of its own, nothing is served from L1",
                           NULL, NULL, NULL);
                mt_store_release(&listener_never, true);
        }
        for (;;) {
                listener_loop(wakeup);
                if (listener_must_end())
                        listener_drop_all(clock_precise_ns());
                if (listener_retire())
                        return unused;
                nanosleep(&moment, NULL); /* a program's thread holds the lock, perhaps to hand over a server */
        }
}

bool listener_allowed(void)
{
        if (listener_must_end() || clock_coarse_ns() < mt_load_relaxed(&listener_not_before_ns))
                return false;
        if (mt_load_acquire(&listener_phase) == LISTENER_RUNNING || thread_permitted())
                return true;
        mt_store_release(&listener_never, true);
        log_once(LOG_WARN, "the program runs under seccomp: no listener is started, nothing is served from L1");
        return false;
}

/* Not for a child of fork, which has no such thread, nor for a core file: passwords pass through it. */
static bool listener_map(void)
{
        void *memory;

        if (listener_memory)
                return true;
        memory = mmap(NULL, sizeof *listener_memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
                return false;
        madvise(memory, sizeof *listener_memory, MADV_DONTDUMP);
        listener_memory = memory;
        return true;
}

bool listener_run(const struct invalidation_config *config, struct l1 *l1)
{
        if (mt_load_acquire(&listener_phase) == LISTENER_RUNNING) {
                thread_wake(getpid(), mt_load_relaxed(&listener_tid));
                return true;
        }
        listener_config = config;
        listener_l1 = l1;
        if (listener_map()) {
                mt_store_relaxed(&listener_tid, 0);
                mt_store_release(&listener_phase, LISTENER_RUNNING);
                if (thread_start(listener_main, NULL))
                        return true;
                mt_store_release(&listener_phase, LISTENER_IDLE);
        }
        mt_store_relaxed(&listener_not_before_ns, clock_coarse_ns() + LISTENER_AGAIN_NS);
        l1_count(l1, COUNTER_error_thread, 1);
        log_once(LOG_WARN, "the listener's thread cannot be started: nothing is served from L1");
        return false;
}

void listener_stop(enum invalidation_stop how)
{
        if (how == INVALIDATION_FOREVER)
                mt_store_release(&listener_never, true);
        if (mt_load_acquire(&listener_phase) == LISTENER_IDLE)
                return;
        mt_store_release(&listener_stopping, true);
        thread_wake(getpid(), mt_load_relaxed(&listener_tid));
}

bool listener_ended(void)
{
        int32_t tid = mt_load_relaxed(&listener_tid);

        return mt_load_acquire(&listener_phase) == LISTENER_IDLE && (tid == 0 || thread_gone(getpid(), tid));
}

/* What was said for ever is said to the child too: seccomp and no_new_privs are inherited. */
void listener_after_fork(void)
{
        mt_store_relaxed(&listener_phase, LISTENER_IDLE);
        mt_store_relaxed(&listener_tid, 0);
        mt_store_relaxed(&listener_stopping, false);
        mt_store_relaxed(&listener_not_before_ns, 0);
        if (listener_memory)
                explicit_bzero(listener_memory->taken, sizeof listener_memory->taken);
}
