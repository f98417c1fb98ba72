/* backend_process.c - a store in the memory of one process: the example to start a plugin of your own from.
 *
 * It stands alone: where the headers are installed, with <mtshim/backend.h> for the include below,
 * `cc -shared -fPIC -o x.so backend_process.c` makes a plugin of it, and MTSHIM_TIERS=l3=plugin:/path/x.so loads it.
 *
 * Options: size=64M, what keys, values and their heads may take (K, M, G); what was used longest ago makes room.
 * Times: a value dies up to a millisecond early; it leaves when somebody asks for it, or when its room is needed.
 * Patterns are left to the caller, who flushes instead: better than to match them almost as Redis does.
 * One lock for everything, held while a value is copied. */
#include "backend.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <time.h>

#define PROCESS_SIZE    (UINT64_C(64) << 20)
#define PROCESS_BUCKETS 1024u /* at first; a power of two */
#define PROCESS_MARKS   1024u /* keys that share one lose a late value to each other's removals, no more */

struct entry {
        TAILQ_ENTRY(entry) age;
        struct entry *next; /* in its bucket */
        uint64_t      hash;
        uint64_t      deadline_ms;
        size_t        klen, vlen;
        char          bytes[]; /* key, value */
};
TAILQ_HEAD(entries, entry);

struct process {
        pthread_mutex_t lock; /* of all that follows */
        struct entries  age;  /* the one used last at the head */
        struct entry  **bucket;
        size_t          buckets, count;
        uint64_t        bytes, size;
        uint64_t        removed[PROCESS_MARKS]; /* how often a key of that mark was */
        uint64_t        flushed;                /* how often everything was */
};

/* --------------------------------------------------------------------------------------- times, hashes, lengths */

static uint64_t process_now_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t process_now_ms(void)
{
        return process_now_ns() / 1000000;
}

/* Now is rounded down: what comes of it is early, not late. */
static uint64_t process_deadline_ms(uint64_t ttl_ms)
{
        uint64_t now_ms = process_now_ms(), last_ms = MT_TTL_NONE - 1;

        if (ttl_ms == MT_TTL_NONE)
                return MT_TTL_NONE;
        return ttl_ms < last_ms - now_ms ? now_ms + ttl_ms : last_ms;
}

/* FNV-1a, of the first 64 KiB. Who chooses keys could aim at one bucket; a store that minds takes a keyed one. */
static uint64_t process_hash(struct mt_bytes key)
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < key.len && i < 65536; i++)
                hash = (hash ^ (unsigned char)key.ptr[i]) * UINT64_C(0x100000001b3);
        return hash ^ hash >> 32;
}

static uint64_t process_cost(size_t klen, size_t vlen)
{
        return sizeof(struct entry) + klen + vlen;
}

/* ------------------------------------------------------------------------------------- the table, under the lock */

static struct entry *process_find(const struct process *p, struct mt_bytes key, uint64_t hash)
{
        struct entry *e = p->bucket[hash % p->buckets];

        while (e != NULL && !(e->hash == hash && mt_bytes_equal(mt_bytes(e->bytes, e->klen), key)))
                e = e->next;
        return e;
}

static void process_drop(struct process *p, struct entry *e)
{
        struct entry **at = &p->bucket[e->hash % p->buckets];

        while (*at != e)
                at = &(*at)->next;
        *at = e->next;
        TAILQ_REMOVE(&p->age, e, age);
        p->count--;
        p->bytes -= process_cost(e->klen, e->vlen);
        free(e);
}

static void process_link(struct process *p, struct entry *e)
{
        struct entry **head = &p->bucket[e->hash % p->buckets];

        e->next = *head;
        *head = e;
}

/* Twice as many buckets. Without memory for them the chains are longer, that is all. */
static void process_grow(struct process *p)
{
        struct entry **bucket = calloc(2 * p->buckets, sizeof *bucket), *e;

        if (bucket == NULL)
                return;
        free(p->bucket);
        p->bucket = bucket;
        p->buckets *= 2;
        for (e = TAILQ_FIRST(&p->age); e != NULL; e = TAILQ_NEXT(e, age))
                process_link(p, e);
}

/* What stands under the key goes in any case, also if its successor is not taken. */
static enum mt_status process_put(struct process *p, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms)
{
        uint64_t      hash = process_hash(key), cost = process_cost(key.len, value.len);
        struct entry *old = process_find(p, key, hash), *e;

        if (old != NULL)
                process_drop(p, old);
        if (cost > p->size)
                return MT_REFUSED;
        while (p->bytes + cost > p->size)
                process_drop(p, TAILQ_LAST(&p->age, entries));
        e = malloc(cost);
        if (e == NULL)
                return MT_REFUSED;
        e->hash = hash;
        e->deadline_ms = process_deadline_ms(ttl_ms);
        e->klen = key.len;
        e->vlen = value.len;
        if (key.len > 0)
                memcpy(e->bytes, key.ptr, key.len);
        if (value.len > 0)
                memcpy(e->bytes + key.len, value.ptr, value.len);
        process_link(p, e);
        TAILQ_INSERT_HEAD(&p->age, e, age);
        p->bytes += cost;
        if (++p->count > p->buckets)
                process_grow(p);
        return MT_OK;
}

/* What a mark of the key is now. The sum never comes to a value that it had: both parts only grow. */
static uint64_t process_mark_now(const struct process *p, struct mt_bytes key)
{
        return p->removed[process_hash(key) % PROCESS_MARKS] + p->flushed;
}

static void process_take_out(struct process *p, struct mt_bytes key)
{
        uint64_t      hash = process_hash(key);
        struct entry *e = process_find(p, key, hash);

        p->removed[hash % PROCESS_MARKS]++;
        if (e != NULL)
                process_drop(p, e);
}

/* ---------------------------------------------------------------------------------------------------- the calls */

static const char *process_name(const void *self)
{
        (void)self;
        return "process";
}

/* The sink gives room while the lock is held: it is the caller's to allocate, not to come back here. */
static enum mt_status process_get_with_ttl(void *self, struct mt_bytes key, struct mt_sink *out, uint64_t *ttl_ms)
{
        struct process *p = self;
        struct entry   *e;
        enum mt_status  status = MT_MISS;
        uint64_t        now_ms = process_now_ms();
        char           *to;

        pthread_mutex_lock(&p->lock);
        e = process_find(p, key, process_hash(key));
        if (e != NULL && e->deadline_ms <= now_ms) {
                process_drop(p, e);
        } else if (e != NULL) {
                TAILQ_REMOVE(&p->age, e, age);
                TAILQ_INSERT_HEAD(&p->age, e, age);
                *ttl_ms = e->deadline_ms == MT_TTL_NONE ? MT_TTL_NONE : e->deadline_ms - now_ms;
                to = out->room(out, e->vlen);
                status = to != NULL ? MT_OK : MT_ERROR;
                if (to != NULL)
                        memcpy(to, e->bytes + e->klen, e->vlen);
        }
        pthread_mutex_unlock(&p->lock);
        return status;
}

static enum mt_status process_get(void *self, struct mt_bytes key, struct mt_sink *out)
{
        uint64_t ttl_ms;

        return process_get_with_ttl(self, key, out, &ttl_ms);
}

static enum mt_status process_remove(void *self, struct mt_bytes key)
{
        struct process *p = self;

        pthread_mutex_lock(&p->lock);
        process_take_out(p, key);
        pthread_mutex_unlock(&p->lock);
        return MT_OK;
}

static enum mt_status process_set_with_ttl(void *self, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms)
{
        struct process *p = self;
        enum mt_status  status;

        if (ttl_ms == 0)
                return process_remove(self, key);
        pthread_mutex_lock(&p->lock);
        status = process_put(p, key, value, ttl_ms);
        pthread_mutex_unlock(&p->lock);
        return status;
}

static enum mt_status process_flush(void *self)
{
        struct process *p = self;
        struct entry   *e;

        pthread_mutex_lock(&p->lock);
        p->flushed++;
        while ((e = TAILQ_FIRST(&p->age)) != NULL)
                process_drop(p, e);
        pthread_mutex_unlock(&p->lock);
        return MT_OK;
}

static bool process_health_check(void *self)
{
        (void)self;
        return true; /* there is nothing that could be down */
}

static enum mt_status process_mark(void *self, struct mt_bytes key, uint64_t *mark)
{
        struct process *p = self;

        pthread_mutex_lock(&p->lock);
        *mark = process_mark_now(p, key);
        pthread_mutex_unlock(&p->lock);
        return MT_OK;
}

/* The look at the mark and the store are one step: no removal comes between them. */
static enum mt_status process_set_marked(void *self, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms,
                                         uint64_t mark)
{
        struct process *p = self;
        enum mt_status  status = MT_STALE;

        pthread_mutex_lock(&p->lock);
        if (process_mark_now(p, key) == mark) {
                status = MT_OK;
                if (ttl_ms == 0)
                        process_take_out(p, key);
                else
                        status = process_put(p, key, value, ttl_ms);
        }
        pthread_mutex_unlock(&p->lock);
        return status;
}

/* ---------------------------------------------------------------------------------------------- open and close */

/* "64M", "4096": a number, then nothing or K, M, G. */
static bool process_parse_size(struct mt_bytes text, uint64_t *bytes)
{
        static const char units[] = "KMG";
        uint64_t          n = 0;
        size_t            i = 0;

        for (; i < text.len && i < 9 && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++)
                n = n * 10 + (uint64_t)(text.ptr[i] - '0');
        for (unsigned unit = 0; i > 0 && i + 1 == text.len && units[unit] != '\0'; unit++) {
                if (text.ptr[i] == units[unit]) {
                        *bytes = n << 10 * (unit + 1);
                        return n > 0;
                }
        }
        *bytes = n;
        return n > 0 && i == text.len;
}

static bool process_configure(struct process *p, const struct mt_backend_config *config, char *why)
{
        p->size = PROCESS_SIZE;
        for (size_t i = 0; i < config->options; i++) {
                const struct mt_option *o = &config->option[i];
                bool                    known = mt_bytes_equal(o->name, mt_bytes_of("size"));

                if (known && process_parse_size(o->value, &p->size))
                        continue;
                snprintf(why, MT_BACKEND_WHY_MAX, "%.*s=%.*s: %s", (int)(o->name.len < 80 ? o->name.len : 80),
                         o->name.ptr, (int)(o->value.len < 80 ? o->value.len : 80), o->value.ptr,
                         known ? "not a size such as 64M" : "no such option");
                return false;
        }
        return true;
}

static enum mt_status process_open(const struct mt_backend_config *config, void **self, char *why)
{
        struct process *p = calloc(1, sizeof *p);

        *self = NULL;
        if (p == NULL || (p->bucket = calloc(PROCESS_BUCKETS, sizeof *p->bucket)) == NULL) {
                snprintf(why, MT_BACKEND_WHY_MAX, "no memory");
                free(p);
                return MT_ERROR;
        }
        if (!process_configure(p, config, why)) {
                free(p->bucket);
                free(p);
                return MT_ERROR;
        }
        pthread_mutex_init(&p->lock, NULL);
        TAILQ_INIT(&p->age);
        p->buckets = PROCESS_BUCKETS;
        /* Marks of an earlier object are void: it was not removed from once a nanosecond. */
        p->flushed = process_now_ns();
        *self = p;
        return MT_OK;
}

static void process_close(void *self)
{
        struct process *p = self;

        process_flush(p);
        pthread_mutex_destroy(&p->lock);
        free(p->bucket);
        free(p);
}

static const struct mt_l2_ops process_ops = {
        .cache =
                {
                        .name = process_name,
                        .get = process_get,
                        .set_with_ttl = process_set_with_ttl,
                        .remove = process_remove,
                        .flush = process_flush,
                        .health_check = process_health_check,
                },
        .get_with_ttl = process_get_with_ttl,
        .mark = process_mark,
        .set_marked = process_set_marked,
};

/* The one symbol. */
__attribute__((visibility("default"))) const struct mt_backend mtshim_backend = {
        .abi = MT_BACKEND_ABI,
        .size = sizeof(struct mt_backend),
        .name = "process",
        .open = process_open,
        .close = process_close,
        .ops = &process_ops,
};
