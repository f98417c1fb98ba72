/* tier_script.h - stores that do what a test tells them: in memory that is shared over a fork, and whole at every
 * instruction, whoever is killed: a key is one word. Keys end in a number below SCRIPT_KEYS, values are numbers.
 * Address N of the kind "script" is scripts[N]; "anywhere" is the same, read in the callers' threads. */
#ifndef MT_TESTS_TIER_SCRIPT_H
#define MT_TESTS_TIER_SCRIPT_H

#include "l1/base/atomic.h"
#include "l1/base/clock.h"
#include "l1/tier/set.h"

#include <check.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SCRIPTS = 4, SCRIPT_KEYS = 64 };
enum script_call {
        SCRIPT_GET,
        SCRIPT_GOT,
        SCRIPT_MARK,
        SCRIPT_SET,
        SCRIPT_REMOVE,
        SCRIPT_FLUSH,
        SCRIPT_OPEN,
        SCRIPT_CALLS
};

/* key: 63           32 31      30       0
 *      | version     | there | value    |     every removal is another version, and a mark is a version */
#define SCRIPT_THERE (UINT64_C(1) << 31)
struct script {
        _Atomic uint64_t key[SCRIPT_KEYS];
        _Atomic uint64_t ttl_ms[SCRIPT_KEYS];
        _Atomic uint32_t calls[SCRIPT_CALLS];
        _Atomic bool     fails[SCRIPT_CALLS];
        _Atomic bool     hangs[SCRIPT_CALLS]; /* each such call waits for the gate */
        sem_t            gate, inside;        /* inside: posted by each that waits */
        _Atomic uint32_t closed;
        _Atomic uint64_t stays_ns; /* each call takes so long, by the clock of the test */
        _Atomic uint32_t naps;     /* one call in so many takes script_nap */
};
static struct script        *scripts;
static const struct timespec script_nap = {.tv_nsec = 30000000};

static inline void script_setup(void)
{
        scripts = mmap(NULL, SCRIPTS * sizeof *scripts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ck_assert_ptr_ne(scripts, MAP_FAILED);
        for (int i = 0; i < SCRIPTS; i++) {
                sem_init(&scripts[i].gate, 1, 0);
                sem_init(&scripts[i].inside, 1, 0);
        }
}

static inline unsigned script_key(struct mt_bytes key)
{
        size_t at = key.len;

        while (at > 0 && key.ptr[at - 1] >= '0' && key.ptr[at - 1] <= '9')
                at--;
        return (unsigned)strtoul(strndupa(key.ptr + at, key.len - at), NULL, 10) % SCRIPT_KEYS;
}

/* False: this call is to fail. */
static inline bool script_begin(struct script *s, enum script_call call)
{
        mt_fetch_add_relaxed(&s->calls[call], 1);
        if (mt_load_acquire(&s->hangs[call])) {
                sem_post(&s->inside);
                while (sem_wait(&s->gate) != 0)
                        ;
        }
        if (mt_load_relaxed(&s->naps) != 0 && mt_load_relaxed(&s->calls[call]) % mt_load_relaxed(&s->naps) == 0)
                nanosleep(&script_nap, NULL);
#ifdef MT_TEST_CLOCK
        mt_fetch_add_relaxed(&clock_test_offset_ns, (int64_t)mt_load_relaxed(&s->stays_ns));
#endif
        return !mt_load_acquire(&s->fails[call]);
}

static inline void script_forget(struct script *s, unsigned k)
{
        uint64_t word = mt_load_acquire(&s->key[k]);

        while (!mt_cas_acq_rel(&s->key[k], &word, ((word >> 32) + 1) << 32))
                ;
}

static const char *script_name(const void *self)
{
        (void)self;
        return "script";
}

static enum mt_status script_get(void *self, struct mt_bytes key, struct mt_sink *out, uint64_t *ttl_ms)
{
        struct script *s = self;
        unsigned       k = script_key(key);
        uint64_t       word;
        char           text[16], *room;
        int            len;

        if (!script_begin(s, SCRIPT_GET))
                return MT_ERROR;
        word = mt_load_acquire(&s->key[k]);
        if ((word & SCRIPT_THERE) == 0)
                return MT_MISS;
        script_begin(s, SCRIPT_GOT);
        *ttl_ms = mt_load_acquire(&s->ttl_ms[k]);
        len = snprintf(text, sizeof text, "%u", (unsigned)(word & (SCRIPT_THERE - 1)));
        room = out->room(out, (size_t)len);
        if (room == NULL)
                return MT_ERROR;
        memcpy(room, text, (size_t)len);
        return MT_OK;
}

static enum mt_status script_get_alone(void *self, struct mt_bytes key, struct mt_sink *out)
{
        uint64_t ttl_ms;

        return script_get(self, key, out, &ttl_ms);
}

static enum mt_status script_mark(void *self, struct mt_bytes key, uint64_t *mark)
{
        struct script *s = self;

        if (!script_begin(s, SCRIPT_MARK))
                return MT_ERROR;
        *mark = mt_load_acquire(&s->key[script_key(key)]) >> 32;
        return MT_OK;
}

static enum mt_status script_set_marked(void *self, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms,
                                        uint64_t mark)
{
        struct script *s = self;
        unsigned       k = script_key(key);
        uint64_t       number = strtoul(strndupa(value.ptr, value.len), NULL, 10), word;

        if (!script_begin(s, SCRIPT_SET))
                return MT_ERROR;
        mt_store_release(&s->ttl_ms[k], ttl_ms);
        word = mt_load_acquire(&s->key[k]);
        do {
                if (word >> 32 != mark)
                        return MT_STALE;
        } while (!mt_cas_acq_rel(&s->key[k], &word, mark << 32 | SCRIPT_THERE | number));
        return MT_OK;
}

static enum mt_status script_set(void *self, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms)
{
        return script_set_marked(self, key, value, ttl_ms,
                                 mt_load_acquire(&((struct script *)self)->key[script_key(key)]) >> 32);
}

static enum mt_status script_remove(void *self, struct mt_bytes key)
{
        if (!script_begin(self, SCRIPT_REMOVE))
                return MT_ERROR;
        script_forget(self, script_key(key));
        return MT_OK;
}

static enum mt_status script_flush(void *self)
{
        if (!script_begin(self, SCRIPT_FLUSH))
                return MT_ERROR;
        for (unsigned k = 0; k < SCRIPT_KEYS; k++)
                script_forget(self, k);
        return MT_OK;
}

static bool script_health(void *self)
{
        return !mt_load_acquire(&((struct script *)self)->fails[SCRIPT_GET]);
}

static enum mt_status script_open(const struct mt_backend_config *config, void **self, char *why)
{
        struct script *s = &scripts[strtoul(config->address.ptr, NULL, 10) % SCRIPTS];

        if (config->options > 0) {
                snprintf(why, MT_BACKEND_WHY_MAX, "%s='%s' is no option of a script", config->option[0].name.ptr,
                         config->option[0].value.ptr);
                return MT_ERROR;
        }
        if (!script_begin(s, SCRIPT_OPEN))
                return MT_ERROR;
        *self = s;
        return MT_OK;
}

static void script_close(void *self)
{
        mt_fetch_add_relaxed(&((struct script *)self)->closed, 1);
}

static const struct mt_l2_ops script_ops = {
        .cache = {.name = script_name,
                  .get = script_get_alone,
                  .set_with_ttl = script_set,
                  .remove = script_remove,
                  .flush = script_flush,
                  .health_check = script_health},
        .get_with_ttl = script_get,
        .mark = script_mark,
        .set_marked = script_set_marked,
};
static const struct mt_l2_ops script_ops_unmarked = {
        .cache = {.name = script_name,
                  .get = script_get_alone,
                  .set_with_ttl = script_set,
                  .remove = script_remove,
                  .flush = script_flush,
                  .health_check = script_health},
        .get_with_ttl = script_get,
};
#define SCRIPT_BACKEND(kind, flag, table)                                                                              \
        {                                                                                                              \
                .abi = MT_BACKEND_ABI, .size = sizeof(struct mt_backend), .name = kind, .flags = flag,                 \
                .open = script_open, .close = script_close, .ops = &table                                              \
        }
static const struct mt_backend script_backend = SCRIPT_BACKEND("script", 0, script_ops);
static const struct mt_backend script_anywhere = SCRIPT_BACKEND("anywhere", MT_BACKEND_READS_ANYWHERE, script_ops);
static const struct mt_backend script_unmarked = SCRIPT_BACKEND("unmarked", 0, script_ops_unmarked);
static const struct mt_backend *const script_backends[] = {&script_backend, &script_anywhere, &script_unmarked, NULL};

/* What script N has under key k: its value, -1 for nothing. */
static inline long script_has(unsigned n, unsigned k)
{
        uint64_t word = mt_load_acquire(&scripts[n].key[k]);

        return (word & SCRIPT_THERE) != 0 ? (long)(word & (SCRIPT_THERE - 1)) : -1;
}

static inline void script_put(unsigned n, unsigned k, unsigned value, uint64_t ttl_ms)
{
        uint64_t word = mt_load_acquire(&scripts[n].key[k]);

        mt_store_release(&scripts[n].ttl_ms[k], ttl_ms);
        mt_store_release(&scripts[n].key[k], (word >> 32) << 32 | SCRIPT_THERE | value);
}

/* ------------------------------------------------------------------------------------------- what tests ask the set */

struct script_sink {
        struct mt_sink sink;
        char           text[64];
        size_t         len;
};

static inline char *script_room(struct mt_sink *sink, size_t len)
{
        struct script_sink *s = (struct script_sink *)sink;

        s->len = len;
        return len < sizeof s->text ? s->text : NULL;
}

static inline struct tier_key script_tier_key(char to[16], unsigned k)
{
        return (struct tier_key){.server = mt_bytes_of("127.0.0.1:6379"),
                                 .key = mt_bytes(to, (size_t)snprintf(to, 16, "k%u", k))};
}

/* The value, -1: a miss, -2: nobody could be asked. */
static inline long script_ask(struct tiers *tiers, unsigned k, struct tier_found *found)
{
        struct script_sink sink = {.sink = {script_room}};
        struct tier_found  here;
        char               text[16];
        struct tier_key    key = script_tier_key(text, k);

        switch (tiers_get(tiers, &key, &sink.sink, found != NULL ? found : &here)) {
        case MT_OK: sink.text[sink.len] = '\0'; return atol(sink.text);
        case MT_MISS: return -1;
        default: return -2;
        }
}

static inline unsigned script_store(struct tiers *tiers, unsigned k, unsigned value, uint64_t ttl_ms)
{
        char              text[16], number[16];
        struct tier_key   key = script_tier_key(text, k);
        struct tier_marks marks;

        tiers_mark(tiers, &key, &marks);
        return tiers_set(tiers, &key, mt_bytes(number, (size_t)snprintf(number, sizeof number, "%u", value)), ttl_ms,
                         &marks);
}

static inline void script_delete(struct tiers *tiers, unsigned k)
{
        char            text[16];
        struct tier_key key = script_tier_key(text, k);

        tiers_remove(tiers, &key, 1);
}

#endif
