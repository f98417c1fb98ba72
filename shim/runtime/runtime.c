/* runtime.c - the life of the process-wide object.
 *   NEW -> READY     runtime_ready(), at the first call of a program that uses hiredis
 *   NEW -> OFF       MTSHIM_ENABLE=0, refused options
 *   any -> OFF       runtime_seal_off(); OFF is for good
 * The segment comes later still, with the first GET or write: a program that only connects maps nothing. */
#include "runtime.h"

#include "ends.h"

#include "../../invalidation/invalidation.h"
#include "../../l1/base/forklock.h"
#include "../../l1/base/handover.h"
#include "../../l1/base/hash.h"
#include "../../l1/base/log.h"
#include "../redis/backend_redis.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

enum runtime_state { RUNTIME_NEW, RUNTIME_READY, RUNTIME_OFF };

/* A segment let go of keeps its addresses (as zero pages): a program that changes its uid all the time would run out of
 * them. */
enum { RUNTIME_USERS_MAX = 64 };

struct runtime runtime;

static _Atomic int          runtime_state;
static struct forklock      runtime_lock; /* setup, attach, change of user */
static _Atomic(struct l1 *) runtime_segment;
static _Atomic uint64_t     runtime_retry_ns; /* no attempt to attach before this */
static uid_t                runtime_uid;
static unsigned             runtime_users;     /* how often the effective uid changed */
static pid_t                runtime_pid;       /* a vfork child runs in our memory and is not us */
static _Atomic uint64_t     runtime_waited_ns; /* for Redis, until there was a segment */
static _Atomic uint64_t     runtime_attached_at_ns;

/* What attaching costs a process: opening, mapping, first touches, a slot of its own. */
#define RUNTIME_ATTACH_COST_NS (200 * NS_PER_US)

#define RUNTIME_SEAL_WAIT_NS (200 * NS_PER_MS)

/* A page that the kernel gives back as zeros in every child: raw fork and clone skip atfork handlers, this they cannot.
 */
static bool runtime_watch_forks(void)
{
        uint64_t *page = mmap(NULL, SEGMENT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (page == MAP_FAILED)
                return false;
        if (madvise(page, SEGMENT_PAGE, MADV_WIPEONFORK) != 0) {
                munmap(page, SEGMENT_PAGE);
                log_line(LOG_WARN, "this kernel has no MADV_WIPEONFORK (Linux 4.14): nothing is cached");
                return false;
        }
        *page = 1;
        runtime.alive = page;
        forklock_pid = (volatile int32_t *)(page + 1);
        return true;
}

static const char *runtime_set(const char *text)
{
        return text[0] != '\0' ? text : NULL;
}

static void runtime_configure_invalidation(void)
{
        const struct options            *o = &runtime.options;
        const struct invalidation_config config = {
                .mode = (enum invalidation_mode)o->invalidation,
                .fallback = (enum invalidation_fallback)o->invalidation_fallback,
                .bound_ns = o->max_staleness_ns,
                .touch = o->touch,
                .user = runtime_set(o->user),
                .password_file = runtime_set(o->password_file),
                .tls_use = (enum invalidation_tls_use)o->tls,
                .tls_verify = (enum invalidation_tls_verify)o->tls_verify,
                .tls = {.ca_file = runtime_set(o->tls_ca_file),
                        .ca_dir = runtime_set(o->tls_ca_dir),
                        .cert_file = runtime_set(o->tls_cert_file),
                        .key_file = runtime_set(o->tls_key_file),
                        .server_name = runtime_set(o->tls_server_name)},
                .channel = o->channel,
                .stream = o->stream,
                .audit_stream = runtime_set(o->audit_stream),
                .audit_maxlen = o->audit_maxlen,
                .tiers = runtime_tiers,
                .household = runtime_household,
        };

        invalidation_setup(&config);
        mt_store_relaxed(&runtime.window_ns, invalidation_window_ns(o->max_staleness_ns));
        mt_store_relaxed(&runtime.trust_ttl,
                         config.mode == INVALIDATION_NONE || config.fallback == INVALIDATION_FALL_TTL);
}

static bool runtime_rules_tiers(void)
{
        const struct rules *rules = &runtime.options.rules;

        for (unsigned i = 0; i < rules->count; i++)
                if (rules->rule[i].flags & RULE_TIERS)
                        return true;
        return false;
}

static uint64_t runtime_hash_tiers(void)
{
        const struct hash_key plain = {{1, 2}}; /* runtime_household() adds a secret */
        const struct rules   *rules = &runtime.options.rules;
        uint64_t              hash = mt_hash(runtime.options.tiers, strlen(runtime.options.tiers), plain);

        for (unsigned i = 0; i < rules->count; i++) {
                const struct rule *rule = &rules->rule[i];
                uint64_t           pattern = mt_hash(rules->text + rule->at, rule->len, plain);

                hash = mt_hash(&(uint64_t[]){hash, pattern, rule->flags & RULE_TIERS}, 3 * sizeof hash, plain);
        }
        return hash;
}

uint64_t runtime_household(const struct l1 *l1, uint32_t server_index)
{
        struct mt_bytes what = mt_bytes((const char *)&runtime.tiers_hash, sizeof runtime.tiers_hash);
        uint64_t        hash;

        if (!runtime.below)
                return 0;
        hash = l1_hash(l1, server_index, what);
        /* Others are told of it: what it is made with stays a secret. */
        return hash_fold(hash ^ UINT64_C(0x9e3779b97f4a7c15), hash ^ UINT64_C(0xd6e8feb86659fd93));
}

static int runtime_setup(void)
{
        tiers_register(&backend_redis);
        options_load(&runtime.options);
        if (!runtime.options.enable || runtime.options.refused || !runtime_watch_forks())
                return RUNTIME_OFF;
        runtime_uid = geteuid();
        runtime_pid = getpid();
        runtime_configure_invalidation();
        runtime.tiers = tiers_create(runtime.options.tiers, NULL);
        if (runtime.options.abort_conf && tiers_left_out() > 0) {
                log_line(LOG_ERROR, "MTSHIM_ABORT_CONF=1 and a part of MTSHIM_TIERS is bad: nothing is cached");
                return RUNTIME_OFF;
        }
        runtime.tiers_hash = runtime_hash_tiers();
        runtime.below = runtime.tiers != NULL && runtime_rules_tiers();
        return RUNTIME_READY;
}

bool runtime_ready(void)
{
        int state = mt_load_acquire(&runtime_state); /* pairs with the release below: READY shows all of runtime */
        int saved_errno = errno;

        if (MT_LIKELY(state != RUNTIME_NEW))
                return state == RUNTIME_READY;
        forklock_acquire(&runtime_lock); /* taken over from a parent: setting up once more from the start mends all */
        state = mt_load_relaxed(&runtime_state);
        if (state == RUNTIME_NEW) {
                state = runtime_setup();
                mt_store_release(&runtime_state, state);
        }
        forklock_release(&runtime_lock);
        errno = saved_errno;
        return state == RUNTIME_READY;
}

struct l1 *runtime_l1_now(void)
{
        return mt_load_acquire(&runtime_segment); /* pairs with the release in runtime_attach() */
}

static struct l1_config runtime_segment_config(void)
{
        return (struct l1_config){
                .name = runtime.options.segment,
                .size_bytes = runtime.options.l1_size_bytes,
                .max_item_bytes = runtime.options.l1_max_item_bytes,
                .again = mt_load_relaxed(&runtime_retry_ns) != 0,
        };
}

enum runtime_haste {
        RUNTIME_STEPWISE, /* a new segment is made in steps, one for each attempt */
        RUNTIME_THERE,    /* none is made */
        RUNTIME_AT_ONCE,  /* as long as it takes */
};

static void runtime_attach(enum runtime_haste haste)
{
        bool             later = false;
        struct l1_config config = runtime_segment_config();
        struct l1       *l1;

        /* Tiers have to know at once what they owe each other. */
        config.later = haste == RUNTIME_AT_ONCE || runtime.below ? NULL : &later;
        config.there = haste == RUNTIME_THERE;
        config.again |= config.there;
        l1 = l1_attach(&config);
        if (l1 != NULL) {
                ends_setup(l1);
                /* Here, under the lock, and nowhere else: who asks tiers while another thread lets go of the segment
                 * would bring it back. Before a sandbox it is kept: debts can be left. */
                tiers_attach(runtime.tiers, l1);
        }
        if (l1 == NULL && !later && !config.there)
                mt_store_relaxed(&runtime_retry_ns, clock_coarse_ns() + NS_PER_S);
        mt_store_relaxed(&runtime_attached_at_ns, l1 != NULL ? clock_precise_ns() : 0);
        mt_store_release(&runtime_segment, l1);
}

struct l1 *runtime_l1(void)
{
        struct l1 *l1 = runtime_l1_now();
        int        saved_errno = errno;
        bool       taken_over;

        if (l1 != NULL || (mt_load_relaxed(&runtime_waited_ns) < RUNTIME_ATTACH_COST_NS && !runtime.below) ||
            !runtime_ready() || clock_coarse_ns() < mt_load_relaxed(&runtime_retry_ns))
                return l1;
        if (forklock_try(&runtime_lock, &taken_over)) { /* nobody waits for another's attempt: this GET travels bare */
                if (runtime_l1_now() == NULL)
                        runtime_attach(RUNTIME_STEPWISE);
                forklock_release(&runtime_lock);
        }
        errno = saved_errno;
        return runtime_l1_now();
}

/* Another's attempt is waited for: what is to be told is told once. */
static struct l1 *runtime_l1_waiting(enum runtime_haste haste)
{
        int saved_errno = errno;

        if (runtime_l1_now() == NULL && runtime_ready()) {
                forklock_acquire(&runtime_lock);
                if (runtime_l1_now() == NULL)
                        runtime_attach(haste);
                forklock_release(&runtime_lock);
        }
        errno = saved_errno;
        return runtime_l1_now();
}

struct l1 *runtime_l1_there(void)
{
        return runtime_l1_waiting(RUNTIME_THERE);
}

struct l1 *runtime_l1_at_once(void)
{
        if (runtime_l1_now() == NULL && clock_coarse_ns() < mt_load_relaxed(&runtime_retry_ns))
                return NULL;
        return runtime_l1_waiting(RUNTIME_AT_ONCE);
}

struct tiers *runtime_tiers(void)
{
        return runtime.tiers;
}

static MT_COLD void runtime_look_for_agent(void)
{
        const struct l1_config config = runtime_segment_config();

        if (l1_agent_present(&config))
                mt_fetch_add_relaxed(&runtime_waited_ns, RUNTIME_ATTACH_COST_NS);
}

void runtime_meet_agent(void)
{
        static _Atomic bool looked;

        if (runtime_l1_now() == NULL && !mt_load_relaxed(&looked) && runtime_ready() && !atomic_exchange(&looked, true))
                runtime_look_for_agent();
}

void runtime_want_l1(void)
{
        if (mt_load_relaxed(&runtime_waited_ns) < RUNTIME_ATTACH_COST_NS)
                mt_fetch_add_relaxed(&runtime_waited_ns, RUNTIME_ATTACH_COST_NS);
}

bool runtime_is_new(void)
{
        return mt_load_acquire(&runtime_state) == RUNTIME_NEW;
}

uint64_t runtime_attached_ns(void)
{
        return mt_load_relaxed(&runtime_attached_at_ns);
}

uint64_t runtime_waits(void)
{
        return MT_LIKELY(runtime_l1_now() != NULL) ? 0 : clock_precise_ns();
}

void runtime_waited(uint64_t began_ns)
{
        if (MT_UNLIKELY(began_ns != 0))
                mt_fetch_add_relaxed(&runtime_waited_ns, clock_precise_ns() - began_ns);
}

/* One thread does it, however many find out at once. */
void runtime_after_fork(void)
{
        int        saved_errno = errno;
        struct l1 *l1;

        forklock_acquire(&runtime_lock);
        if (runtime_forked()) {
                l1 = runtime_l1_now();
                runtime_pid = getpid();
                if (l1 != NULL)
                        l1_after_fork(l1);
                if (mt_load_acquire(&runtime_state) == RUNTIME_READY)
                        tiers_attach(runtime.tiers, l1); /* the parent may have been about to attach */
                handover_after_fork();
                invalidation_after_fork();
                tiers_after_fork(runtime.tiers);
                if (runtime.on_fork != NULL)
                        runtime.on_fork();
                *(volatile uint64_t *)(uintptr_t)runtime.alive = 1;
        }
        forklock_release(&runtime_lock);
        errno = saved_errno;
}

/* A child of vfork() shares our memory and our page of forks: what it does to itself is not done to us. */
static bool runtime_is_us(void)
{
        return runtime_forked() || getpid() == runtime_pid;
}

void runtime_check_uid(void)
{
        int        saved_errno = errno;
        struct l1 *old;

        if (mt_load_acquire(&runtime_state) != RUNTIME_READY || geteuid() == runtime_uid || !runtime_is_us())
                return;
        if (runtime_forked())
                runtime_after_fork();
        forklock_acquire(&runtime_lock);
        old = atomic_exchange(&runtime_segment, NULL);
        runtime_uid = geteuid();
        mt_store_relaxed(&runtime_retry_ns, 0);
        if (++runtime_users == RUNTIME_USERS_MAX) {
                log_line(LOG_WARN, "the effective uid has changed %d times: nothing is cached any more",
                         RUNTIME_USERS_MAX);
                mt_store_release(&runtime_state, RUNTIME_OFF);
        }
        tiers_attach(runtime.tiers, NULL);
        tiers_pause(runtime.tiers); /* opened by somebody else */
        if (old != NULL) {
                invalidation_stop(INVALIDATION_PAUSE, 0);
                l1_abandon(old);
        }
        forklock_release(&runtime_lock);
        errno = saved_errno;
}

void runtime_seal_off(void)
{
        int saved_errno = errno;

        if (mt_load_acquire(&runtime_state) == RUNTIME_READY && !runtime_is_us())
                return;
        if (runtime_forked())
                runtime_after_fork();
        if (mt_load_acquire(&runtime_state) == RUNTIME_READY) {
                mt_store_release(&runtime_state, RUNTIME_OFF);
                mt_store_relaxed(&runtime.window_ns,
                                 0); /* closes connections that are bound already, with no call of theirs */
                mt_store_relaxed(&runtime.trust_ttl, false);
                mt_store_relaxed(&runtime_retry_ns, UINT64_MAX);
                atomic_store(&runtime_segment, NULL);
                invalidation_stop(INVALIDATION_FOREVER, RUNTIME_SEAL_WAIT_NS);
                tiers_stop(runtime.tiers, RUNTIME_SEAL_WAIT_NS);
                log_line(LOG_INFO, "the program enters a sandbox or other namespaces: nothing is cached from here on");
        } else {
                mt_store_release(&runtime_state, RUNTIME_OFF);
        }
        errno = saved_errno;
}

static void runtime_show_stats(const struct l1 *l1)
{
        uint64_t n[COUNTER_COUNT];

        l1_own_counts(l1, n);
        log_line(LOG_ERROR,
                 "hits %llu (negative %llu), misses %llu, fills %llu (refused %llu), keys cleared %llu, commands "
                 "forwarded %llu",
                 (unsigned long long)n[COUNTER_hits], (unsigned long long)n[COUNTER_negative_hits],
                 (unsigned long long)n[COUNTER_misses], (unsigned long long)n[COUNTER_fills],
                 (unsigned long long)n[COUNTER_fills_refused], (unsigned long long)n[COUNTER_removes],
                 (unsigned long long)n[COUNTER_forwarded]);
}

void runtime_exit(void)
{
        struct l1 *l1 = runtime_l1_now();

        if (mt_load_acquire(&runtime_state) != RUNTIME_READY || runtime_forked())
                return; /* an unnoticed child has nothing of its own to give back */
        invalidation_stop(INVALIDATION_FOREVER, 0);
        if (l1 == NULL)
                return;
        if (runtime.options.show_stats)
                runtime_show_stats(l1);
        l1_detach(l1);
}
