/* conform_crowds.c - many at once; and a store that is closed, stopped, and started again. */
#include "conform_run.h"

#include "../base/atomic.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

enum { CROWD_THREADS = 8, CROWD_SHARED = 4, CROWD_VALUE_MAX = 3000 };

/* ------------------------------------------------------------------------------- values that describe themselves */

/* Which key, which version, how long: so that a torn one, or another key's, is known by itself. */
struct crowd_head {
        uint32_t key, len;
        uint64_t version;
};

static struct mt_bytes crowd_value(char *to, uint32_t key, uint64_t version, size_t len)
{
        struct crowd_head head = {key, (uint32_t)len, version};

        memcpy(to, &head, sizeof head);
        conform_fill(to + sizeof head, len - sizeof head, version * 64 + key);
        return mt_bytes(to, len);
}

/* NULL, or what is wrong with it. */
static const char *crowd_torn(const struct conform_buffer *b, uint32_t key, uint64_t *version)
{
        struct crowd_head head;
        char              expected[CROWD_VALUE_MAX];

        if (b->calls == 0 || b->len < sizeof head || b->len > sizeof expected)
                return "a value of a length that was never set";
        memcpy(&head, b->ptr, sizeof head);
        if (head.key != key)
                return "another key's value";
        if (head.len != b->len)
                return "a torn value: another length than it says";
        if (conform_buffer_overrun(b))
                return "a value longer than its room";
        *version = head.version;
        crowd_value(expected, key, head.version, b->len);
        return memcmp(expected, b->ptr, b->len) == 0 ? NULL : "a torn value";
}

/* ------------------------------------------------------------------------------------------------ eight at once */

struct crowd {
        struct conform_run   *r;
        unsigned              rounds;
        _Atomic uint64_t      version; /* of whatever is written: never twice the same */
        _Atomic uint64_t      truth;   /* the row's version, in crowd_race() */
        _Atomic uint64_t      removed; /* the newest that a removal has ended for */
        _Atomic(const char *) fault;   /* the first that was seen; static */
        _Atomic uint32_t      fault_status;
        _Atomic uint64_t      hits, lost; /* own values found, and not */
        _Atomic uint32_t      begin;      /* 1: all are there */
        _Atomic uint32_t      stored;     /* threads of crowd_race() that have stored all that they will */
};
struct crowd_member {
        struct crowd *crowd;
        unsigned      number;
        uint64_t      random;
        pthread_t     thread;
};

static bool crowd_fault(struct crowd *c, const char *fault, enum mt_status status)
{
        const char *none = NULL;

        if (mt_cas_acq_rel(&c->fault, &none, fault))
                mt_store_release(&c->fault_status, (uint32_t)status);
        return false;
}

static uint64_t crowd_random(struct crowd_member *m, uint64_t below)
{
        m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (m->random >> 33) % below;
}

static void crowd_begin(struct crowd *c)
{
        while (mt_load_acquire(&c->begin) == 0)
                sched_yield();
}

static struct mt_bytes crowd_key(char to[32], const char *stem, unsigned number)
{
        return mt_bytes(to, (size_t)snprintf(to, 32, "%s%u", stem, number));
}

static bool crowd_look(struct crowd_member *m, struct mt_bytes key, uint32_t name, struct conform_buffer *b,
                       uint64_t *version, bool *found)
{
        struct crowd  *c = m->crowd;
        uint64_t       ttl_ms;
        enum mt_status status;
        const char    *torn;

        b->calls = 0;
        status = m->random & 1 << 20 ? c->r->ops->get_with_ttl(c->r->self, key, &b->sink, &ttl_ms)
                                     : c->r->ops->cache.get(c->r->self, key, &b->sink);
        *found = status == MT_OK;
        if (status == MT_MISS)
                return true;
        if (status != MT_OK)
                return crowd_fault(c, "get among eight threads", status);
        torn = crowd_torn(b, name, version);
        return torn == NULL || crowd_fault(c, torn, MT_OK);
}

static bool crowd_status(struct crowd *c, enum mt_status status, const char *what)
{
        return status == MT_OK || crowd_fault(c, what, status);
}

/* A key that all write. */
static bool crowd_shared(struct crowd_member *m, struct conform_buffer *b)
{
        const struct mt_l2_ops *ops = m->crowd->r->ops;
        void                   *self = m->crowd->r->self;
        uint32_t                name = (uint32_t)crowd_random(m, CROWD_SHARED);
        char                    text[32], bytes[CROWD_VALUE_MAX];
        struct mt_bytes         key = crowd_key(text, "shared", name), value;
        uint64_t                version, mark;
        enum mt_status          status;
        bool                    found;

        value = crowd_value(bytes, name, mt_fetch_add_relaxed(&m->crowd->version, 1),
                            sizeof(struct crowd_head) + crowd_random(m, CROWD_VALUE_MAX - sizeof(struct crowd_head)));
        switch (crowd_random(m, 10)) {
        case 0: return crowd_status(m->crowd, ops->cache.remove(self, key), "remove among eight threads");
        case 1:
        case 2:
        case 3:
                return crowd_status(m->crowd, ops->cache.set_with_ttl(self, key, value, CONFORM_TTL),
                                    "set_with_ttl among eight threads");
        case 4:
                if (ops->mark == NULL || ops->mark(self, key, &mark) == MT_UNSUPPORTED)
                        return true;
                status = ops->set_marked(self, key, value, CONFORM_TTL, mark);
                return status == MT_STALE || crowd_status(m->crowd, status, "set_marked among eight threads");
        default: return crowd_look(m, key, name, b, &version, &found);
        }
}

/* A key that this thread alone writes: it finds what it wrote last, or nothing; after a remove, nothing. */
static bool crowd_own(struct crowd_member *m, struct conform_buffer *b)
{
        struct crowd   *c = m->crowd;
        char            text[32], bytes[CROWD_VALUE_MAX];
        uint32_t        name = 100 + m->number;
        struct mt_bytes key = crowd_key(text, "own", name);
        uint64_t        version = mt_fetch_add_relaxed(&c->version, 1), seen;
        struct mt_bytes value = crowd_value(bytes, name, version, sizeof(struct crowd_head) + version % 500);
        bool            found;

        if (!crowd_status(c, c->r->ops->cache.set_with_ttl(c->r->self, key, value, CONFORM_TTL), "set_with_ttl") ||
            !crowd_look(m, key, name, b, &seen, &found))
                return false;
        if (found && seen != version)
                return crowd_fault(c, "a value older than what the same thread had set", MT_OK);
        mt_fetch_add_relaxed(found ? &c->hits : &c->lost, 1);
        if (!crowd_status(c, c->r->ops->cache.remove(c->r->self, key), "remove among eight threads") ||
            !crowd_look(m, key, name, b, &seen, &found))
                return false;
        return !found || crowd_fault(c, "a value that the same thread had removed", MT_OK);
}

static void *crowd_mixed(void *arg)
{
        struct crowd_member  *m = arg;
        struct conform_buffer b;

        conform_buffer_init(&b);
        crowd_begin(m->crowd);
        for (unsigned i = 0; i < m->crowd->rounds && mt_load_relaxed(&m->crowd->fault) == NULL; i++)
                if (i % 8 == 0 ? !crowd_own(m, &b) : !crowd_shared(m, &b))
                        break;
        conform_buffer_fini(&b);
        return NULL;
}

/* One key stands for a row of a database. Half of the threads change the row and remove the key; the others mark, read
 * the row, and store what they read, late. Whatever is found is at least as new as the row was at the last removal that
 * had ended before. */
static bool crowd_newer(struct crowd_member *m, struct mt_bytes key, struct conform_buffer *b)
{
        struct crowd *c = m->crowd;
        uint64_t      least = mt_load_acquire(&c->removed), seen;
        bool          found;

        if (!crowd_look(m, key, 7, b, &seen, &found))
                return false;
        return !found || seen >= least ||
               crowd_fault(c, "a value from before its key was removed, by a late set", MT_OK);
}

static bool crowd_change(struct crowd_member *m, struct mt_bytes key, struct conform_buffer *b)
{
        struct crowd *c = m->crowd;
        uint64_t      version = mt_fetch_add_acq_rel(&c->truth, 1) + 1, removed;

        if (!crowd_newer(m, key, b) ||
            !crowd_status(c, c->r->ops->cache.remove(c->r->self, key), "remove among eight threads"))
                return false;
        removed = mt_load_relaxed(&c->removed);
        while (removed < version && !mt_cas_acq_rel(&c->removed, &removed, version))
                ;
        return crowd_newer(m, key, b);
}

static bool crowd_store(struct crowd_member *m, struct mt_bytes key)
{
        struct crowd  *c = m->crowd;
        char           bytes[CROWD_VALUE_MAX];
        uint64_t       mark, version;
        enum mt_status status = c->r->ops->mark(c->r->self, key, &mark);

        if (!crowd_status(c, status, "mark among eight threads"))
                return false;
        version = mt_load_acquire(&c->truth);
        if (crowd_random(m, 2) == 0) /* a fast store would be through before another thread has begun */
                sched_yield();
        status = c->r->ops->set_marked(c->r->self, key, crowd_value(bytes, 7, version, 64 + version % 64), CONFORM_TTL,
                                       mark);
        if (status == MT_OK)
                mt_fetch_add_relaxed(&c->hits, 1);
        else
                mt_fetch_add_relaxed(&c->lost, 1);
        return status == MT_STALE || crowd_status(c, status, "set_marked among eight threads");
}

/* Who changes goes on until all have stored: on few processors the one kind would be through before the other began. */
static void *crowd_race(void *arg)
{
        struct crowd_member  *m = arg;
        struct crowd         *c = m->crowd;
        bool                  changes = m->number % 2, fine = true;
        struct conform_buffer b;
        struct mt_bytes       key = mt_bytes_of("row");

        conform_buffer_init(&b);
        crowd_begin(c);
        for (unsigned i = 0; fine && mt_load_relaxed(&c->fault) == NULL; i++) {
                if (changes ? mt_load_relaxed(&c->stored) == CROWD_THREADS / 2 : i == c->rounds)
                        break;
                if (changes && crowd_random(m, 8) != 0)
                        sched_yield(); /* so that some late values are not too late */
                else
                        fine = changes ? crowd_change(m, key, &b) : crowd_store(m, key);
        }
        if (!changes)
                mt_fetch_add_relaxed(&c->stored, 1);
        conform_buffer_fini(&b);
        return NULL;
}

static void crowd_run(struct conform_run *r, void *(*body)(void *), const char *good, const char *bad)
{
        struct crowd        c = {.r = r, .rounds = r->conform->quick ? 1000 : 3000, .version = 1};
        struct crowd_member member[CROWD_THREADS];
        unsigned            started = 0;
        const char         *fault;

        for (; started < CROWD_THREADS; started++) {
                member[started] = (struct crowd_member){.crowd = &c, .number = started, .random = started + 1};
                if (pthread_create(&member[started].thread, NULL, body, &member[started]) != 0)
                        break;
        }
        mt_store_release(&c.begin, 1u);
        for (unsigned i = 0; i < started; i++)
                pthread_join(member[i].thread, NULL);
        MUST(started == CROWD_THREADS || conform_skip(r, "no more than %u threads to be had", started));
        fault = mt_load_acquire(&c.fault);
        MUST(fault == NULL || conform_fail(r, "%s (%s)", fault, conform_word((enum mt_status)c.fault_status)));
        conform_note(r, "%llu %s, %llu %s", (unsigned long long)c.hits, good, (unsigned long long)c.lost, bad);
}

static void crowds_threads(struct conform_run *r)
{
        crowd_run(r, crowd_mixed, "own values found", "not");
}

static void crowds_marks(struct conform_run *r)
{
        uint64_t mark;

        MUST((r->ops->mark != NULL && r->ops->mark(r->self, mt_bytes_of("row"), &mark) != MT_UNSUPPORTED) ||
             conform_skip(r, "no marks"));
        crowd_run(r, crowd_race, "late values stored", "refused");
}

/* ------------------------------------------------------------------------------------------- closed and opened */

/* A mark of `k` that was void when the store went away must not be good when it is back; what was removed stays so. */
struct crowd_before {
        uint64_t mark;
        bool     marked;
};

static bool crowd_before(struct conform_run *r, struct crowd_before *before)
{
        struct mt_bytes k = mt_bytes_of("k"), gone = mt_bytes_of("gone");

        before->marked = r->ops->mark != NULL && r->ops->mark(r->self, k, &before->mark) == MT_OK;
        return conform_set(r, gone, mt_bytes_of("gone"), CONFORM_TTL, "set_with_ttl") &&
               conform_is(r, r->ops->cache.remove(r->self, gone), MT_OK, "remove") &&
               conform_is(r, r->ops->cache.remove(r->self, k), MT_OK, "remove") &&
               conform_set(r, mt_bytes_of("stays"), mt_bytes_of("a value"), CONFORM_TTL, "set_with_ttl");
}

static bool crowd_after(struct conform_run *r, const struct crowd_before *before, const char *what)
{
        struct mt_bytes       k = mt_bytes_of("k"), stays = mt_bytes_of("stays");
        struct conform_buffer b;
        enum mt_status        status;
        uint64_t              left = 0;

        conform_buffer_init(&b);
        status = r->ops->get_with_ttl(r->self, stays, &b.sink, &left);
        conform_buffer_fini(&b);
        if (status == MT_OK && (left > CONFORM_TTL || !conform_holds(r, stays, mt_bytes_of("a value"), what)))
                return conform_fail(r, "%s: another value, or %llu ms to live", what, (unsigned long long)left);
        if (status != MT_OK && !conform_is(r, status, MT_MISS, what))
                return false;
        if (!conform_lacks(r, mt_bytes_of("gone"), "what was removed before"))
                return false;
        if (before->marked &&
            !conform_is(r, r->ops->set_marked(r->self, k, mt_bytes_of("late"), CONFORM_TTL, before->mark), MT_STALE,
                        "set_marked with a mark that was void before"))
                return false;
        if (!conform_lacks(r, k, what) || !conform_set(r, k, mt_bytes_of("v"), CONFORM_TTL, what) ||
            !conform_holds(r, k, mt_bytes_of("v"), what))
                return false;
        conform_note(r, status == MT_OK ? "what was there is there" : "what was there is gone");
        return true;
}

static bool crowd_reopen(struct conform_run *r)
{
        conform_close(r, &r->self);
        r->self = conform_open(r, mt_bytes_of(r->prefix));
        return r->self != NULL;
}

static void crowds_reopen(struct conform_run *r)
{
        struct crowd_before before;

        /* Marks of an object that is as new as the next one will be: those are the likeliest to come again. */
        MUST(crowd_reopen(r) && crowd_before(r, &before) && crowd_reopen(r));
        MUST(crowd_after(r, &before, "closed and opened again"));
}

/* Two objects of one configuration, as two processes have them. */
static void crowds_shared(struct conform_run *r)
{
        struct mt_bytes       k = mt_bytes_of("k"), v = mt_bytes_of("v");
        void                 *first = r->self, *second;
        struct conform_buffer b;
        enum mt_status        status;
        uint64_t              mark = 0;
        bool                  marked, fine;

        MUST(conform_set(r, k, v, CONFORM_TTL, "set_with_ttl"));
        second = conform_open(r, mt_bytes_of(r->prefix));
        MUST(second != NULL);
        conform_buffer_init(&b);
        status = r->ops->cache.get(second, k, &b.sink);
        conform_buffer_fini(&b);
        if (status == MT_MISS) {
                conform_close(r, &second);
                MUST(conform_skip(r, "each object is a store of its own"));
        }
        r->self = second;
        fine = conform_holds(r, k, v, "set through another object");
        r->self = first;
        marked = fine && r->ops->mark != NULL && r->ops->mark(first, k, &mark) == MT_OK;
        fine = fine && conform_is(r, r->ops->cache.remove(second, k), MT_OK, "remove through another object") &&
               conform_lacks(r, k, "removed through another object") &&
               (!marked || conform_is(r, r->ops->set_marked(first, k, v, CONFORM_TTL, mark), MT_STALE,
                                      "set_marked after a remove through another object"));
        marked = fine && r->ops->mark != NULL && r->ops->mark(first, k, &mark) == MT_OK;
        fine = fine && conform_is(r, r->ops->cache.flush(second), MT_OK, "flush through another object") &&
               (!marked || conform_is(r, r->ops->set_marked(first, k, v, CONFORM_TTL, mark), MT_STALE,
                                      "set_marked after a flush through another object"));
        conform_close(r, &second);
        MUST(fine);
}

/* ----------------------------------------------------------------------------------------- stopped and started */

enum { CROWD_START_MS = 10000, CROWD_SLACK_MS = 2000 }; /* what a busy host may add to a time limit */

static bool crowd_is_error(struct conform_run *r, enum mt_status status, const char *what, uint64_t began_ms)
{
        uint64_t took_ms = conform_now_ms() - began_ms;

        if (!conform_is(r, status, MT_ERROR, what))
                return false;
        return took_ms <= r->conform->config.timeout_ms + CROWD_SLACK_MS ||
               conform_fail(r, "%s: took %llu ms, timeout_ms is %u", what, (unsigned long long)took_ms,
                            r->conform->config.timeout_ms);
}

/* Each call tells that it failed, and in time. */
static bool crowd_is_down(struct conform_run *r)
{
        struct mt_bytes         k = mt_bytes_of("stays"), v = mt_bytes_of("v");
        const struct mt_l2_ops *ops = r->ops;
        void                   *self = r->self;
        struct conform_buffer   b;
        uint64_t                ttl_ms, mark, t = conform_now_ms();
        bool                    fine;

        if (ops->cache.health_check(self))
                return conform_fail(r, "health_check() says yes while the store is down");
        conform_buffer_init(&b);
        fine = conform_now_ms() - t <= r->conform->config.timeout_ms + CROWD_SLACK_MS ||
               conform_fail(r, "health_check() took too long");
#define DOWN(call, what) (t = conform_now_ms(), crowd_is_error(r, (call), what " while the store is down", t))
        fine = fine && DOWN(ops->cache.get(self, k, &b.sink), "get") &&
               DOWN(ops->get_with_ttl(self, k, &b.sink, &ttl_ms), "get_with_ttl") &&
               DOWN(ops->cache.set_with_ttl(self, k, v, CONFORM_TTL), "set_with_ttl") &&
               DOWN(ops->cache.remove(self, k), "remove") && DOWN(ops->cache.flush(self), "flush");
        if (fine && ops->cache.remove_pattern != NULL) {
                t = conform_now_ms();
                enum mt_status status = ops->cache.remove_pattern(self, mt_bytes_of("*"));

                fine = status == MT_UNSUPPORTED ||
                       crowd_is_error(r, status, "remove_pattern while the store is down", t);
        }
        if (fine && ops->mark != NULL) {
                t = conform_now_ms();
                enum mt_status status = ops->mark(self, k, &mark);

                fine = status == MT_UNSUPPORTED || crowd_is_error(r, status, "mark while the store is down", t);
        }
#undef DOWN
        conform_buffer_fini(&b);
        return fine;
}

static bool crowd_comes_back(struct conform_run *r)
{
        uint64_t until = conform_now_ms() + CROWD_START_MS;

        while (!r->ops->cache.health_check(r->self)) {
                if (conform_now_ms() > until)
                        return conform_fail(r, "health_check() says no, 10 s after the store was started again");
                conform_wait_until_ms(conform_now_ms() + 20);
        }
        return true;
}

static void crowds_restart(struct conform_run *r)
{
        const struct conform *c = r->conform;
        struct crowd_before   before;
        void                 *self = r->self, *late = NULL;
        bool                  fine;

        MUST((c->stop != NULL && c->start != NULL) || conform_skip(r, "nobody here can stop and start the store"));
        MUST(crowd_before(r, &before));
        MUST(c->stop(c->arg) || conform_fail(r, "the store could not be stopped"));
        fine = crowd_is_down(r) && (late = conform_open(r, mt_bytes_of(r->prefix))) != NULL;
        MUST(c->start(c->arg) || conform_fail(r, "the store could not be started again"));
        fine = fine && crowd_comes_back(r) && crowd_after(r, &before, "stopped and started again");
        if (late != NULL) {
                r->self = late;
                fine = fine && crowd_comes_back(r) &&
                       conform_set(r, mt_bytes_of("k"), mt_bytes_of("w"), CONFORM_TTL, "opened while it was down") &&
                       conform_holds(r, mt_bytes_of("k"), mt_bytes_of("w"), "opened while it was down");
                conform_close(r, &late);
                r->self = self;
        }
        MUST(fine);
}

const struct conform_check conform_crowds[] = {
        {"threads", crowds_threads},    {"marks-threads", crowds_marks}, {"reopen", crowds_reopen},
        {"two-objects", crowds_shared}, {"restart", crowds_restart},     {0},
};
