/* memcached.c - memcached as a tier, through libmemcached: shared by all hosts that name the same servers.
 *
 *   memcached:db1:11211,db2:11211?max_item=1M        memcached:/run/memcached.sock
 *   max_item   bytes of the largest item that the servers take (their -I; 1K to 1G); larger ones are not sent
 *
 * Keys go to servers by consistent hashing (ketama); a server that is down is never replaced by another, which would
 * give out later what was removed meanwhile: what it has is an error until it is back. Kept are keys of up to 2048
 * bytes. There is no removal by pattern: the caller flushes.
 *
 * What is in memcached, all of it with the head below, little-endian:
 *   g<hash of the prefix>              the generation of the prefix: a random number, on each server one; flush() draws
 *                                      new ones. Entries carry it; those of another one are not there. Is it evicted,
 *                                      the next one is random too, and what was before is gone.
 *   k<hash of the prefix>:<key>        an entry, or a placeholder without a value, if the key is printable and short;
 *   h<hash of the prefix>:<hash>       else, with the key in it, which is compared.
 *
 * Marks: an entry has a lineage, a random number that it keeps from write to write (gets, then cas) and that ends
 * when it is deleted, or its generation does. A mark is the lineage; where nothing is there, that of a placeholder,
 * which lives a minute. set_marked() goes through if the lineage is still there: cas fails when it was deleted after
 * the look.
 *
 * Times: entries have their end in them, in microseconds of the writer's wall clock: hosts' clocks must agree. Where
 * they do not, memcached's own expiry ends what lives up to 30 days at most a second late. A value may die a second
 * early.
 *
 * A call is at most three round trips, all of them within the timeout. A connection on which something went wrong is
 * thrown away with its handle, so that a server that is back is used at once. Names are resolved by the C library,
 * which may take its own time: addresses are better. */
#include "plugin_options.h"

#include "../../base/hash.h"

#include <endian.h>
#include <errno.h>
#include <libmemcached/memcached.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

enum {
        MC_KEY_MAX = 2048,
        MC_PLAIN_MAX = 200, /* bytes of a key that stands in memcached's, which has room for 250 */
        MC_NAME_MAX = 250,
        MC_SERVERS_MAX = 64,
        MC_IDLE_MAX = 64,                  /* handles that are kept */
        MC_TRIES = 256,                    /* of a cas against other writers of the same key, and within the timeout */
        MC_MARK_S = 60,                    /* a placeholder's life */
        MC_ITEM_EXTRA = 128,               /* what memcached adds to an item, at most */
        MC_DELTA_MAX_S = 60 * 60 * 24 * 30 /* beyond, memcached takes a number for a date */
};
#define MC_MAGIC UINT32_C(0x316d746d) /* "mtm1" */

enum mc_kind { MC_GENERATION = 1, MC_PLACEHOLDER, MC_VALUE };

struct mc_head {
        uint32_t magic, kind, key_bytes, spare;
        uint64_t generation, lineage;
        uint64_t over_us; /* UINT64_MAX: never */
};
_Static_assert(sizeof(struct mc_head) == 40, "hosts share it");

struct mc_name {
        size_t len;
        char   bytes[MC_NAME_MAX + 1];
};

struct mc {
        memcached_st   *master; /* never connected: handles are cloned from it */
        pthread_mutex_t lock;   /* of it and of idle */
        memcached_st   *idle[MC_IDLE_MAX];
        unsigned        idles, servers;
        struct mc_name  group[MC_SERVERS_MAX]; /* for each server a key that belongs to it */
        struct mc_name  generation;
        uint64_t        prefix_hash, max_item;
        uint32_t        timeout_ms;
};

/* One call: a handle, and until when. */
struct mc_call {
        struct mc    *mc;
        memcached_st *st;
        uint64_t      until_us;
        bool          broken; /* the handle is not used again */
};

/* ---------------------------------------------------------------------------------------------------------- time */

#ifdef MT_TEST_CLOCK
_Atomic int64_t memcached_test_wall_us;
#define MC_SHIFT() ((uint64_t)atomic_load_explicit(&memcached_test_wall_us, memory_order_relaxed))
#else
#define MC_SHIFT() UINT64_C(0)
#endif

static uint64_t mc_clock_us(clockid_t id)
{
        struct timespec ts;

        clock_gettime(id, &ts);
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t mc_wall_us(void)
{
        return mc_clock_us(CLOCK_REALTIME) + MC_SHIFT();
}

static uint64_t mc_over(uint64_t ttl_ms)
{
        uint64_t us, over;

        if (ttl_ms == MT_TTL_NONE)
                return UINT64_MAX;
        if (__builtin_mul_overflow(ttl_ms, UINT64_C(1000), &us) || __builtin_add_overflow(mc_wall_us(), us, &over))
                return UINT64_MAX - 1;
        return over < UINT64_MAX ? over : UINT64_MAX - 1;
}

static uint64_t mc_left_ms(uint64_t over_us)
{
        uint64_t now = mc_wall_us();

        if (over_us == UINT64_MAX)
                return MT_TTL_NONE;
        return over_us > now ? (over_us - now) / 1000 : 0;
}

/* Seconds, rounded up, since memcached counts the one that has begun; a date, in 31 bits, if it is long; else never. */
static time_t mc_expiry(uint64_t ttl_ms)
{
        uint64_t s = ttl_ms / 1000 + (ttl_ms % 1000 != 0);

        if (ttl_ms == MT_TTL_NONE)
                return 0;
        if (s > MC_DELTA_MAX_S)
                s = s < INT32_MAX ? s + (uint64_t)time(NULL) : INT32_MAX;
        return s < INT32_MAX ? (time_t)s : 0;
}

static bool mc_random(uint64_t *number)
{
        return getrandom(number, sizeof *number, 0) == sizeof *number;
}

/* ------------------------------------------------------------------------------------------------------- handles */

static bool mc_call_begin(struct mc *m, struct mc_call *c)
{
        *c = (struct mc_call){.mc = m, .until_us = mc_clock_us(CLOCK_MONOTONIC) + (uint64_t)m->timeout_ms * 1000};
        pthread_mutex_lock(&m->lock);
        c->st = m->idles > 0 ? m->idle[--m->idles] : memcached_clone(NULL, m->master);
        pthread_mutex_unlock(&m->lock);
        return c->st != NULL;
}

static void mc_call_end(struct mc_call *c)
{
        struct mc *m = c->mc;

        pthread_mutex_lock(&m->lock);
        if (!c->broken && m->idles < MC_IDLE_MAX) {
                m->idle[m->idles++] = c->st;
                c->st = NULL;
        }
        pthread_mutex_unlock(&m->lock);
        if (c->st != NULL)
                memcached_free(c->st);
}

/* Before each round trip: what is left of the time. False: none. */
static bool mc_call_goes_on(struct mc_call *c)
{
        uint64_t now = mc_clock_us(CLOCK_MONOTONIC), left = c->until_us > now ? (c->until_us - now) / 1000 : 0;

        if (left == 0 || c->broken)
                return false;
        memcached_behavior_set(c->st, MEMCACHED_BEHAVIOR_POLL_TIMEOUT, left);
        memcached_behavior_set(c->st, MEMCACHED_BEHAVIOR_CONNECT_TIMEOUT, left);
        return true;
}

/* What a server can answer while all is well. Anything else ends the handle. */
static memcached_return_t mc_answer(struct mc_call *c, memcached_return_t rc)
{
        switch (rc) {
        case MEMCACHED_SUCCESS:
        case MEMCACHED_STORED:
        case MEMCACHED_DELETED: return MEMCACHED_SUCCESS;
        case MEMCACHED_NOTSTORED:
        case MEMCACHED_DATA_EXISTS:
        case MEMCACHED_NOTFOUND: return rc;
        case MEMCACHED_E2BIG:
        case MEMCACHED_SERVER_MEMORY_ALLOCATION_FAILURE: c->broken = true; return MEMCACHED_E2BIG;
        default: c->broken = true; return MEMCACHED_FAILURE;
        }
}

/* --------------------------------------------------------------------------------------------------------- names */

static const struct hash_key mc_hash_key[2] = {{{UINT64_C(0x6d656d6361636865), UINT64_C(0x6400000000000001)}},
                                               {{UINT64_C(0x6d656d6361636865), UINT64_C(0x6400000000000002)}}};

static bool mc_plain(struct mt_bytes key)
{
        for (size_t i = 0; i < key.len; i++)
                if (key.ptr[i] <= ' ' || key.ptr[i] > '~')
                        return false;
        return key.len <= MC_PLAIN_MAX;
}

static void mc_name_print(struct mc_name *n, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void mc_name_print(struct mc_name *n, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        n->len = (size_t)vsnprintf(n->bytes, sizeof n->bytes, format, args);
        va_end(args);
}

/* True: the name has the whole key. */
static bool mc_name(const struct mc *m, struct mt_bytes key, struct mc_name *n)
{
        bool plain = mc_plain(key);

        if (plain)
                mc_name_print(n, "k%016llx:%.*s", (unsigned long long)m->prefix_hash, (int)key.len,
                              key.len > 0 ? key.ptr : "");
        else
                mc_name_print(n, "h%016llx:%016llx%016llx", (unsigned long long)m->prefix_hash,
                              (unsigned long long)mt_hash(key.ptr, key.len, mc_hash_key[0]),
                              (unsigned long long)mt_hash(key.ptr, key.len, mc_hash_key[1]));
        return plain;
}

/* ------------------------------------------------------------------------------------------------------- looking */

/* What is under a key, and the generation of the prefix on the server that has the key. */
struct mc_look {
        memcached_result_st item;
        uint64_t            generation, cas;
        bool                occupied; /* something is there, whatever it is: cas says which */
        bool                there;    /* a value or a placeholder, of that key and that generation */
        struct mc_head      head;
        struct mt_bytes     value;
};

static bool mc_head(struct mt_bytes item, struct mc_head *h)
{
        if (item.len < sizeof *h)
                return false;
        memcpy(h, item.ptr, sizeof *h);
        h->magic = le32toh(h->magic);
        h->kind = le32toh(h->kind);
        h->key_bytes = le32toh(h->key_bytes);
        h->generation = le64toh(h->generation);
        h->lineage = le64toh(h->lineage);
        h->over_us = le64toh(h->over_us);
        return h->magic == MC_MAGIC && h->key_bytes <= item.len - sizeof *h;
}

static struct mc_head mc_head_of(enum mc_kind kind, uint64_t generation, uint64_t lineage, uint64_t over_us,
                                 size_t key_bytes)
{
        return (struct mc_head){.magic = htole32(MC_MAGIC),
                                .kind = htole32(kind),
                                .key_bytes = htole32((uint32_t)key_bytes),
                                .generation = htole64(generation),
                                .lineage = htole64(lineage),
                                .over_us = htole64(over_us)};
}

/* A new generation on one server, unless there is one. */
static bool mc_generation_add(struct mc_call *c, const struct mc_name *group)
{
        struct mc_head     h;
        uint64_t           number;
        memcached_return_t rc;

        if (!mc_random(&number) || !mc_call_goes_on(c))
                return false;
        h = mc_head_of(MC_GENERATION, number, 0, UINT64_MAX, 0);
        rc = mc_answer(c, memcached_add_by_key(c->st, group->bytes, group->len, c->mc->generation.bytes,
                                               c->mc->generation.len, (const char *)&h, sizeof h, 0, 0));
        return rc == MEMCACHED_SUCCESS || rc == MEMCACHED_NOTSTORED || rc == MEMCACHED_DATA_EXISTS;
}

static void mc_look_take(struct mc_look *l, memcached_result_st *result, const struct mc_name *name, bool *generation)
{
        struct mt_bytes item = mt_bytes(memcached_result_value(result), memcached_result_length(result));
        struct mt_bytes key = mt_bytes(memcached_result_key_value(result), memcached_result_key_length(result));
        struct mc_head  h;

        if (mt_bytes_equal(key, mt_bytes(name->bytes, name->len))) {
                l->occupied = true;
                l->cas = memcached_result_cas(result);
        } else if (mc_head(item, &h) && h.kind == MC_GENERATION) {
                *generation = true;
                l->generation = h.generation;
        }
}

/* Both with one request to one server. The generation is asked for last: where it comes, an entry that did not come is
 * not there. It does not come: it is not there either, or something broke, which libmemcached tells from one another
 * only sometimes; to add one tells. */
static bool mc_look_once(struct mc_call *c, const struct mc_name *name, struct mc_look *l, bool *generation)
{
        const char *const   keys[2] = {name->bytes, c->mc->generation.bytes};
        const size_t        lens[2] = {name->len, c->mc->generation.len};
        memcached_result_st other;
        memcached_return_t  rc;

        *generation = l->occupied = false;
        if (!mc_call_goes_on(c))
                return false;
        rc = memcached_mget_by_key(c->st, name->bytes, name->len, keys, lens, 2);
        if (rc != MEMCACHED_SUCCESS) {
                c->broken = true;
                return false;
        }
        memcached_result_create(c->st, &other);
        for (;;) {
                memcached_result_st *into = l->occupied ? &other : &l->item;

                if (memcached_fetch_result(c->st, into, &rc) == NULL || rc != MEMCACHED_SUCCESS)
                        break;
                mc_look_take(l, into, name, generation);
        }
        memcached_result_free(&other);
        if (rc != MEMCACHED_END && rc != MEMCACHED_NOTFOUND)
                c->broken = true;
        return !c->broken;
}

/* Fini in any case. */
static bool mc_look(struct mc_call *c, struct mt_bytes key, struct mc_name *name, struct mc_look *l)
{
        bool plain = mc_name(c->mc, key, name), generation = false;

        memset(l, 0, sizeof *l);
        memcached_result_create(c->st, &l->item);
        for (unsigned tries = 0; !generation; tries++) {
                if (tries == 3 || (tries > 0 && !mc_generation_add(c, name)) || !mc_look_once(c, name, l, &generation))
                        return false;
        }
        if (l->occupied &&
            mc_head(mt_bytes(memcached_result_value(&l->item), memcached_result_length(&l->item)), &l->head)) {
                const char *rest = memcached_result_value(&l->item) + sizeof l->head;
                size_t      len = memcached_result_length(&l->item) - sizeof l->head;

                l->there = l->head.generation == l->generation && l->head.kind != MC_GENERATION &&
                           (plain ? l->head.key_bytes == 0 : mt_bytes_equal(mt_bytes(rest, l->head.key_bytes), key));
                l->value = mt_bytes(rest + l->head.key_bytes, len - l->head.key_bytes);
        }
        return true;
}

static void mc_look_fini(struct mc_look *l)
{
        memcached_result_free(&l->item);
}

static enum mt_status mc_get_with_ttl(void *self, struct mt_bytes key, struct mt_sink *out, uint64_t *ttl_ms)
{
        struct mc     *m = self;
        struct mc_call c;
        struct mc_look l;
        struct mc_name name;
        enum mt_status status = MT_ERROR;

        if (key.len > MC_KEY_MAX)
                return MT_MISS;
        if (!mc_call_begin(m, &c))
                return MT_ERROR;
        if (mc_look(&c, key, &name, &l)) {
                *ttl_ms = mc_left_ms(l.head.over_us);
                status = l.there && l.head.kind == MC_VALUE && *ttl_ms > 0 ? MT_OK : MT_MISS;
        }
        if (status == MT_OK) {
                char *to = out->room(out, l.value.len);

                if (to == NULL)
                        status = MT_ERROR;
                else if (l.value.len > 0)
                        memcpy(to, l.value.ptr, l.value.len);
        }
        mc_look_fini(&l);
        mc_call_end(&c);
        return status;
}

static enum mt_status mc_get(void *self, struct mt_bytes key, struct mt_sink *out)
{
        uint64_t ttl_ms;

        return mc_get_with_ttl(self, key, out, &ttl_ms);
}

/* ------------------------------------------------------------------------------------------------------- writing */

/* What is to be there: a value for so long, or a placeholder. */
struct mc_wish {
        enum mc_kind    kind;
        struct mt_bytes key, value;
        uint64_t        over_us;
        time_t          expiry;
};

/* In place of what was looked at, or where nothing was. MEMCACHED_DATA_EXISTS: it has changed meanwhile. */
static memcached_return_t mc_put(struct mc_call *c, const struct mc_name *name, const struct mc_look *l,
                                 const struct mc_wish *w, uint64_t lineage)
{
        size_t             key_bytes = name->bytes[0] == 'k' ? 0 : w->key.len;
        struct mc_head     h = mc_head_of(w->kind, l->generation, lineage, w->over_us, key_bytes);
        size_t             len = sizeof h + key_bytes + w->value.len;
        char              *item = mc_call_goes_on(c) ? malloc(len) : NULL;
        memcached_return_t rc;

        if (item == NULL)
                return MEMCACHED_FAILURE;
        memcpy(item, &h, sizeof h);
        if (key_bytes > 0)
                memcpy(item + sizeof h, w->key.ptr, key_bytes);
        if (w->value.len > 0)
                memcpy(item + sizeof h + key_bytes, w->value.ptr, w->value.len);
        rc = l->occupied ? memcached_cas_by_key(c->st, name->bytes, name->len, name->bytes, name->len, item, len,
                                                w->expiry, 0, l->cas)
                         : memcached_add_by_key(c->st, name->bytes, name->len, name->bytes, name->len, item, len,
                                                w->expiry, 0);
        free(item);
        rc = mc_answer(c, rc);
        return rc == MEMCACHED_NOTSTORED || rc == MEMCACHED_NOTFOUND ? MEMCACHED_DATA_EXISTS : rc;
}

static enum mt_status mc_delete(struct mc_call *c, const struct mc_name *name)
{
        memcached_return_t rc = MEMCACHED_FAILURE;

        if (mc_call_goes_on(c))
                rc = mc_answer(c, memcached_delete_by_key(c->st, name->bytes, name->len, name->bytes, name->len, 0));
        return rc == MEMCACHED_SUCCESS || rc == MEMCACHED_NOTFOUND ? MT_OK : MT_ERROR;
}

static enum mt_status mc_remove(void *self, struct mt_bytes key)
{
        struct mc_call c;
        struct mc_name name;
        enum mt_status status;

        if (key.len > MC_KEY_MAX)
                return MT_OK;
        if (!mc_call_begin(self, &c))
                return MT_ERROR;
        mc_name(self, key, &name);
        status = mc_delete(&c, &name);
        mc_call_end(&c);
        return status;
}

/* One look, and one write if it is as it should be. *again: others were quicker. */
static enum mt_status mc_write_once(struct mc_call *c, const struct mc_wish *w, const uint64_t *mark, uint64_t *lineage,
                                    bool *again)
{
        struct mc_look     l;
        struct mc_name     name;
        memcached_return_t rc = MEMCACHED_FAILURE;
        enum mt_status     status = MT_ERROR;

        *again = false;
        if (!mc_look(c, w->key, &name, &l))
                goto end;
        *lineage = l.head.lineage;
        if (mark != NULL && (!l.there || l.head.lineage != *mark)) {
                status = MT_STALE;
                goto end;
        }
        if (l.there && w->kind == MC_PLACEHOLDER) {
                status = MT_OK; /* it has a lineage */
                goto end;
        }
        if (l.there || mc_random(lineage))
                rc = mc_put(c, &name, &l, w, *lineage);
        *again = rc == MEMCACHED_DATA_EXISTS;
        if (rc == MEMCACHED_SUCCESS)
                status = MT_OK;
        else if (rc == MEMCACHED_E2BIG)
                status = MT_REFUSED;
end:
        mc_look_fini(&l);
        return status;
}

static enum mt_status mc_write(struct mc *m, const struct mc_wish *w, const uint64_t *mark, uint64_t *lineage)
{
        struct mc_call c;
        enum mt_status status = MT_ERROR;
        bool           again = true;

        if (!mc_call_begin(m, &c))
                return MT_ERROR;
        for (unsigned tries = 0; again && tries < MC_TRIES; tries++)
                status = mc_write_once(&c, w, mark, lineage, &again);
        mc_call_end(&c);
        return status;
}

/* What is not kept is removed. */
static enum mt_status mc_store(struct mc *m, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms,
                               const uint64_t *mark)
{
        bool           fits = sizeof(struct mc_head) + key.len + value.len + MC_ITEM_EXTRA <= m->max_item;
        struct mc_wish wish = {
                .kind = MC_VALUE, .key = key, .value = value, .over_us = mc_over(ttl_ms), .expiry = mc_expiry(ttl_ms)};
        enum mt_status status = MT_REFUSED;
        uint64_t       lineage;

        if (key.len > MC_KEY_MAX)
                return MT_REFUSED;
        if (mark != NULL && (!fits || ttl_ms == 0)) { /* is it good? */
                wish.kind = MC_PLACEHOLDER;
                status = mc_write(m, &wish, mark, &lineage);
                if (status != MT_OK)
                        return status;
                status = MT_REFUSED;
        } else if (fits && ttl_ms > 0) {
                status = mc_write(m, &wish, mark, &lineage);
        }
        if (status != MT_REFUSED)
                return status;
        status = mc_remove(m, key);
        return status != MT_OK || (fits && ttl_ms == 0) ? status : MT_REFUSED;
}

static enum mt_status mc_set_with_ttl(void *self, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms)
{
        return mc_store(self, key, value, ttl_ms, NULL);
}

static enum mt_status mc_set_marked(void *self, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms,
                                    uint64_t mark)
{
        return mc_store(self, key, value, ttl_ms, &mark);
}

static enum mt_status mc_mark(void *self, struct mt_bytes key, uint64_t *mark)
{
        struct mc_wish wish = {.kind = MC_PLACEHOLDER, .key = key, .over_us = 0, .expiry = MC_MARK_S};

        if (key.len > MC_KEY_MAX) {
                *mark = 0;
                return MT_OK;
        }
        return mc_write(self, &wish, NULL, mark);
}

/* A new generation on every server. One that is down is an error: it may come back with what it had. */
static enum mt_status mc_flush(void *self)
{
        struct mc     *m = self;
        struct mc_call c;
        enum mt_status status = MT_OK;

        if (!mc_call_begin(m, &c))
                return MT_ERROR;
        for (unsigned i = 0; status == MT_OK && i < m->servers; i++) {
                uint64_t       number;
                struct mc_head h;

                if (!mc_random(&number) || !mc_call_goes_on(&c))
                        status = MT_ERROR;
                h = mc_head_of(MC_GENERATION, number, 0, UINT64_MAX, 0);
                if (status == MT_OK &&
                    mc_answer(&c, memcached_set_by_key(c.st, m->group[i].bytes, m->group[i].len, m->generation.bytes,
                                                       m->generation.len, (const char *)&h, sizeof h, 0, 0)) !=
                            MEMCACHED_SUCCESS)
                        status = MT_ERROR;
        }
        mc_call_end(&c);
        return status;
}

/* Every server answers. */
static bool mc_health_check(void *self)
{
        struct mc     *m = self;
        struct mc_call c;
        bool           fine = true;

        if (!mc_call_begin(m, &c))
                return false;
        for (unsigned i = 0; fine && i < m->servers; i++)
                fine = mc_generation_add(&c, &m->group[i]);
        mc_call_end(&c);
        return fine;
}

static const char *mc_name_of(const void *self)
{
        (void)self;
        return "memcached";
}

/* ------------------------------------------------------------------------------------------------------- opening */

/* "host", "host:port", "[v6]:port", "/path". */
static bool mc_server(struct mc *m, struct mt_bytes text, char *why)
{
        char               host[256], *colon, *end;
        long               port = MEMCACHED_DEFAULT_PORT;
        memcached_return_t rc;
        int                shown = (int)(text.len < 80 ? text.len : 80);

        if (text.len == 0 || text.len >= sizeof host || memchr(text.ptr, '\0', text.len) != NULL)
                return plugin_refuse(why, "'%.*s' is no address of a server", shown, text.ptr);
        memcpy(host, text.ptr, text.len);
        host[text.len] = '\0';
        colon = strrchr(host, ':');
        if (host[0] != '/' && colon != NULL && (host[0] != '[' || colon[-1] == ']')) {
                port = strtol(colon + 1, &end, 10);
                if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || port < 1 || port > 65535)
                        return plugin_refuse(why, "'%.*s': the port is not a number from 1 to 65535", shown, text.ptr);
                *colon = '\0';
        }
        end = host + strlen(host);
        if (host[0] == '[' && end[-1] == ']') {
                end[-1] = '\0';
                memmove(host, host + 1, strlen(host));
        }
        if (m->servers == MC_SERVERS_MAX)
                return plugin_refuse(why, "more than %d servers", MC_SERVERS_MAX);
        rc = host[0] == '/' ? memcached_server_add_unix_socket(m->master, host)
                            : memcached_server_add(m->master, host, (in_port_t)port);
        m->servers++;
        return rc == MEMCACHED_SUCCESS ||
               plugin_refuse(why, "'%.*s': %s", shown, text.ptr, memcached_strerror(m->master, rc));
}

static bool mc_servers(struct mc *m, struct mt_bytes list, char *why)
{
        for (;;) {
                const char *comma = list.len > 0 ? memchr(list.ptr, ',', list.len) : NULL;
                size_t      len = comma != NULL ? (size_t)(comma - list.ptr) : list.len;

                if (!mc_server(m, mt_bytes(list.ptr, len), why))
                        return false;
                if (comma == NULL)
                        return true;
                list = mt_bytes(comma + 1, list.len - len - 1);
        }
}

/* For each server a key that goes there: what is on every server is reached by them. */
static bool mc_groups(struct mc *m, char *why)
{
        unsigned       found = 0;
        struct mc_name name;

        for (unsigned i = 0; found < m->servers && i < 100000; i++) {
                uint32_t server;

                mc_name_print(&name, "%u", i);
                server = memcached_generate_hash(m->master, name.bytes, name.len);
                if (server < m->servers && m->group[server].len == 0) {
                        m->group[server] = name;
                        found++;
                }
        }
        return found == m->servers || plugin_refuse(why, "a server is named twice");
}

static bool mc_behave(struct mc *m)
{
        const struct {
                memcached_behavior_t name;
                uint64_t             value;
        } rows[] = {
                {MEMCACHED_BEHAVIOR_DISTRIBUTION, MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA},
                {MEMCACHED_BEHAVIOR_SUPPORT_CAS, 1},
                {MEMCACHED_BEHAVIOR_NO_BLOCK, 1},
                {MEMCACHED_BEHAVIOR_TCP_NODELAY, 1},
                {MEMCACHED_BEHAVIOR_REMOVE_FAILED_SERVERS, 0},
                {MEMCACHED_BEHAVIOR_SND_TIMEOUT, (uint64_t)m->timeout_ms * 1000},
                {MEMCACHED_BEHAVIOR_RCV_TIMEOUT, (uint64_t)m->timeout_ms * 1000},
        };

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
                if (memcached_behavior_set(m->master, rows[i].name, rows[i].value) != MEMCACHED_SUCCESS)
                        return false;
        return true;
}

static void mc_close(void *self)
{
        struct mc *m = self;

        while (m->idles > 0)
                memcached_free(m->idle[--m->idles]);
        if (m->master != NULL)
                memcached_free(m->master);
        pthread_mutex_destroy(&m->lock);
        free(m);
}

static enum mt_status mc_open(const struct mt_backend_config *config, void **self, char *why)
{
        static const struct plugin_option settings[] = {
                {"max_item", PLUGIN_SIZE, 1024, UINT64_C(1) << 30, offsetof(struct mc, max_item)},
                {0},
        };
        struct mc *m = calloc(1, sizeof *m);

        if (m == NULL || (m->master = memcached_create(NULL)) == NULL) {
                free(m);
                plugin_refuse(why, "no memory");
                return MT_ERROR;
        }
        pthread_mutex_init(&m->lock, NULL);
        m->timeout_ms = config->timeout_ms;
        m->max_item = UINT64_C(1) << 20;
        m->prefix_hash = mt_hash(config->prefix.ptr, config->prefix.len, mc_hash_key[0]);
        mc_name_print(&m->generation, "g%016llx%016llx", (unsigned long long)m->prefix_hash,
                      (unsigned long long)mt_hash(config->prefix.ptr, config->prefix.len, mc_hash_key[1]));
        if (!plugin_options_take(config, settings, m, why) || !mc_servers(m, config->address, why) ||
            (!mc_behave(m) && !plugin_refuse(why, "libmemcached refuses its options")) || !mc_groups(m, why)) {
                mc_close(m);
                return MT_ERROR;
        }
        *self = m;
        return MT_OK;
}

static const struct mt_l2_ops mc_ops = {
        .cache = {.name = mc_name_of,
                  .get = mc_get,
                  .set_with_ttl = mc_set_with_ttl,
                  .remove = mc_remove,
                  .flush = mc_flush,
                  .health_check = mc_health_check},
        .get_with_ttl = mc_get_with_ttl,
        .mark = mc_mark,
        .set_marked = mc_set_marked,
};

extern const struct mt_backend                                 mtshim_backend;
__attribute__((visibility("default"))) const struct mt_backend mtshim_backend = {
        .abi = MT_BACKEND_ABI,
        .size = sizeof(struct mt_backend),
        .name = "memcached",
        .flags = MT_BACKEND_SHARED,
        .open = mc_open,
        .close = mc_close,
        .ops = &mc_ops,
};
