/* backend_shm.c - L1's shared memory as a store like any other: the processes of a user on one host share it.
 *
 * Address: the name of the segment, "tier" when empty; one of its own, beside L1's, since a removal by pattern makes a
 * fill of L1 in vain now and then. Options: size=64M and max_item=1M, which count for whoever creates it; directory,
 * where it lies (/dev/shm). It stays when its processes have ended, and goes when somebody removes the file. It is a
 * cache: what is not read may make room for something else at any time.
 *
 * Times: deadlines are counted in units of 33.5 ms (item.h), rounded down: a value dies up to 45 ms early, one for less
 * than that at once, one for more than four years after as many as are left of the segment's first 4.5.
 *
 * Every key stands in one namespace, as a letter, the prefix, and itself: 'd' with the value, 'm' with a mark, a number
 * that no other mark has. How a late set loses against a removal, in whichever process either is:
 *
 *   set_marked   PENDING at 'd' [S in lease.c, a full fence]; look at 'm': is it that number?; fill
 *   remove       clear 'm'; a full fence [S2]; clear 'd'
 *
 * Either the set sees 'm' cleared; or its PENDING stood before 'd' was cleared, which then took it, or the value that
 * had come of it. A removal by pattern, and a flush, walk over all of 'm' first and then over all of 'd' likewise. A
 * mark that was evicted, or is older than five minutes, is void: a value less, no lie. */
#include "builtin.h"

#include "../base/forklock.h"
#include "../base/units.h"
#include "../cache/item.h"
#include "../cache/lease.h"
#include "../cache/slot.h"
#include "../l1.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define SHM_TRIES   8u /* somebody else changed what was looked at */
#define SHM_MARK_NS (300 * NS_PER_S)
#define SHM_FAMILY  0u /* of no socket: it is nobody's server */

enum { SHM_NAME_MAX = 64 };

/* A segment that this process is attached to. Handles of L1 are never freed, and so neither are these: one for each
 * segment, whatever is opened and closed. */
struct shm_segment {
        struct shm_segment   *next;
        char                  name[SHM_NAME_MAX], directory[PATH_MAX];
        pid_t                 pid; /* attached, or adopted after a fork, by this process */
        struct l1            *l1;
        struct server_shm    *server;
        struct namespace_shm *ns;
        uint32_t              index, incarnation;
        struct forklock       writing; /* a lease and its fill: two threads would undo each other's for ever */
};

struct shm {
        struct shm_segment *segment;
        uint64_t            max_item_bytes;
        size_t              prefix_len;
        char                prefix[]; /* not NUL-terminated */
};

static struct forklock     shm_lock; /* the list */
static struct shm_segment *shm_segments;

/* ------------------------------------------------------------------------------------------------------ the keys */

struct shm_key {
        struct l1_key data, mark;
        char          bytes[2][ITEM_KEY_MAX];
};

static struct l1_key shm_key_as(const struct shm *s, char letter, struct mt_bytes key, char to[ITEM_KEY_MAX])
{
        struct mt_bytes whole = mt_bytes(to, 1 + s->prefix_len + key.len);

        to[0] = letter;
        memcpy(to + 1, s->prefix, s->prefix_len);
        if (key.len > 0)
                memcpy(to + 1 + s->prefix_len, key.ptr, key.len);
        return (struct l1_key){whole, l1_hash(s->segment->l1, s->segment->index, whole)};
}

/* False: longer than L1's keys may be. */
static bool shm_key_fits(const struct shm *s, struct mt_bytes key)
{
        return key.len <= ITEM_KEY_MAX - 1 - s->prefix_len;
}

static void shm_key_init(const struct shm *s, struct mt_bytes key, struct shm_key *out)
{
        out->data = shm_key_as(s, 'd', key, out->bytes[0]);
        out->mark = shm_key_as(s, 'm', key, out->bytes[1]);
}

/* 0: namespace ids have run out, or the segment is broken. */
static uint32_t shm_id(const struct shm *s)
{
        return l1_namespace_id(s->segment->server, s->segment->incarnation, s->segment->ns);
}

/* ------------------------------------------------------------------------------------------------- look, and keep */

/* What remains of the item that a hit has found, by the precise clock; 0: nothing. Not to be believed before l1_copy()
 * has said that it still is that item. */
static uint64_t shm_left_ms(const struct l1 *l1, const struct l1_hit *hit)
{
        struct item item;
        uint64_t    end_ns, now_ns = clock_precise_ns();

        if (!item_read(l1, slot_offset(l1, hit->word), &item))
                return 0;
        if (item.deadline == UINT32_MAX)
                return MT_TTL_NONE;
        end_ns = l1->created_ns + ((uint64_t)item.deadline << ITEM_DEADLINE_SHIFT);
        return end_ns > now_ns ? (end_ns - now_ns) / NS_PER_MS : 0;
}

static enum mt_status shm_get_with_ttl(void *self, struct mt_bytes key, struct mt_sink *out, uint64_t *ttl_ms)
{
        const struct shm *s = self;
        struct l1        *l1 = s->segment->l1;
        char              bytes[ITEM_KEY_MAX], *to;
        uint32_t          id = shm_id(s);
        struct l1_key     wanted;
        struct l1_hit     hit;

        if (id == 0)
                return MT_ERROR;
        if (!shm_key_fits(s, key))
                return MT_MISS;
        wanted = shm_key_as(s, 'd', key, bytes);
        for (unsigned try = 0; try < SHM_TRIES; try++) {
                if (!l1_find(l1, &wanted, id, clock_coarse_ns(), &hit))
                        return MT_MISS;
                *ttl_ms = shm_left_ms(l1, &hit);
                if (*ttl_ms == 0)
                        return MT_MISS;
                to = out->room(out, hit.len);
                if (to == NULL)
                        return MT_ERROR;
                if (l1_copy(&hit, to))
                        return MT_OK;
        }
        return MT_MISS; /* it is being replaced faster than it can be copied */
}

static enum mt_status shm_get(void *self, struct mt_bytes key, struct mt_sink *out)
{
        uint64_t ttl_ms;

        return shm_get_with_ttl(self, key, out, &ttl_ms);
}

/* The number that stands at 'm'; false: none, and *mark is as it was. */
static bool shm_mark_find(const struct shm *s, uint32_t id, const struct l1_key *key, uint64_t *mark)
{
        struct l1_hit hit;
        uint64_t      number;

        if (!l1_find(s->segment->l1, key, id, clock_coarse_ns(), &hit) || hit.len != sizeof number ||
            !l1_copy(&hit, &number))
                return false;
        *mark = number;
        return true;
}

/* In L1's clock; UINT64_MAX: never. What is beyond L1's count is cut to the last that is not "never". */
static uint64_t shm_deadline_ns(const struct l1 *l1, uint64_t ttl_ms)
{
        uint64_t now_ns = clock_coarse_ns(); /* not later than now */
        uint64_t last_ns = l1->created_ns + ((uint64_t)(UINT32_MAX - 1) << ITEM_DEADLINE_SHIFT);

        if (ttl_ms == MT_TTL_NONE)
                return UINT64_MAX;
        return ttl_ms < (last_ns - now_ns) / NS_PER_MS ? now_ns + ttl_ms * NS_PER_MS : last_ns;
}

/* Is there no time left, as L1 counts it? */
static bool shm_is_over(const struct l1 *l1, uint64_t deadline_ns)
{
        return deadline_ns <= l1->created_ns ||
               (deadline_ns - l1->created_ns) >> ITEM_DEADLINE_SHIFT <= segment_deadline_now(l1, clock_coarse_ns());
}

/* One attempt, in place of whatever stands there. MT_REFUSED: it did not come to stand, and nothing of ours does. */
static enum mt_status shm_put_once(const struct shm *s, uint32_t id, const struct shm_key *key, struct mt_bytes value,
                                   uint64_t deadline_ns, const uint64_t *mark)
{
        struct l1      *l1 = s->segment->l1;
        struct l1_lease lease;
        uint64_t        found;

        l1_remove(l1, key->data.hash);
        if (!l1_lease(l1, &key->data, id, clock_coarse_ns(), &lease))
                return MT_REFUSED;
        /* Behind the full fence of l1_lease(): pairs with [S2]. */
        if (mark != NULL && (!shm_mark_find(s, id, &key->mark, &found) || found != *mark)) {
                l1_release(l1, &lease);
                return MT_STALE;
        }
        return l1_fill(l1, &key->data, &lease, value, deadline_ns) ? MT_OK : MT_REFUSED;
}

static enum mt_status shm_remove(void *self, struct mt_bytes key)
{
        const struct shm *s = self;
        struct shm_key    k;

        if (shm_id(s) == 0)
                return MT_ERROR;
        if (!shm_key_fits(s, key))
                return MT_OK;
        shm_key_init(s, key, &k);
        l1_remove(s->segment->l1, k.mark.hash);
        mt_fence_full(); /* [S2] */
        l1_remove(s->segment->l1, k.data.hash);
        return MT_OK;
}

static enum mt_status shm_put(struct shm *s, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms,
                              const uint64_t *mark)
{
        struct l1     *l1 = s->segment->l1;
        uint32_t       id = shm_id(s);
        uint64_t       deadline_ns = shm_deadline_ns(l1, ttl_ms), found;
        enum mt_status status = MT_REFUSED;
        struct shm_key k;

        if (id == 0)
                return MT_ERROR;
        if (!shm_key_fits(s, key))
                return MT_REFUSED;
        shm_key_init(s, key, &k);
        /* Void already: then nothing of what stands there is touched. */
        if (mark != NULL && (!shm_mark_find(s, id, &k.mark, &found) || found != *mark))
                return MT_STALE;
        if (value.len > s->max_item_bytes) {
                l1_remove(l1, k.data.hash);
                return MT_REFUSED;
        }
        /* Between lease and fill somebody removed this key, or all that is PENDING: again. */
        forklock_acquire(&s->segment->writing);
        for (unsigned try = 0; status == MT_REFUSED && try < SHM_TRIES; try++) {
                status = shm_put_once(s, id, &k, value, deadline_ns, mark);
                if (status == MT_REFUSED && shm_is_over(l1, deadline_ns))
                        status = MT_OK;
        }
        forklock_release(&s->segment->writing);
        return status;
}

static enum mt_status shm_set_with_ttl(void *self, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms)
{
        return ttl_ms == 0 ? shm_remove(self, key) : shm_put(self, key, value, ttl_ms, NULL);
}

/* The number that stands at 'm', or that now does; false: it could not be put down. */
static bool shm_mark_put(const struct shm *s, uint32_t id, const struct l1_key *at, uint64_t *mark)
{
        struct l1      *l1 = s->segment->l1;
        uint64_t        now_ns = clock_coarse_ns(), number = *mark;
        struct l1_lease lease;

        return shm_mark_find(s, id, at, mark) ||
               (l1_lease(l1, at, id, now_ns, &lease) &&
                l1_fill(l1, at, &lease, mt_bytes(&number, sizeof number), now_ns + SHM_MARK_NS));
}

/* A mark that could not be put down is good for nothing from the start: as if the key had been removed since. */
static enum mt_status shm_mark(void *self, struct mt_bytes key, uint64_t *mark)
{
        const struct shm *s = self;
        uint32_t          id = shm_id(s);
        char              bytes[ITEM_KEY_MAX];
        struct l1_key     at;
        uint64_t          number;

        if (id == 0 || !lease_token(s->segment->l1, &number))
                return MT_ERROR;
        *mark = number;
        if (!shm_key_fits(s, key))
                return MT_OK;
        at = shm_key_as(s, 'm', key, bytes);
        if (shm_mark_find(s, id, &at, mark))
                return MT_OK;
        forklock_acquire(&s->segment->writing);
        for (unsigned try = 0; try < SHM_TRIES && !shm_mark_put(s, id, &at, mark); try++)
                ;
        forklock_release(&s->segment->writing);
        return MT_OK;
}

static enum mt_status shm_set_marked(void *self, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms,
                                     uint64_t mark)
{
        struct shm_key k;
        uint64_t       found;
        struct shm    *s = self;

        if (ttl_ms != 0)
                return shm_put(s, key, value, ttl_ms, &mark);
        if (!shm_key_fits(s, key))
                return MT_STALE;
        shm_key_init(s, key, &k);
        return shm_mark_find(s, shm_id(s), &k.mark, &found) && found == mark ? shm_remove(self, key) : MT_STALE;
}

/* ------------------------------------------------------------------------------------------------------ patterns */

/* A letter, the prefix so that it stands for itself, the glob. */
static size_t shm_pattern(const struct shm *s, struct mt_bytes glob, char *to)
{
        size_t n = 1;

        for (size_t i = 0; i < s->prefix_len; i++) {
                to[n++] = '\\';
                to[n++] = s->prefix[i];
        }
        if (glob.len > 0)
                memcpy(to + n, glob.ptr, glob.len);
        return n + glob.len;
}

static enum mt_status shm_remove_pattern(void *self, struct mt_bytes glob)
{
        const struct shm *s = self;
        char             *pattern = malloc(1 + 2 * s->prefix_len + glob.len);
        size_t            len;

        if (pattern == NULL || shm_id(s) == 0) {
                free(pattern);
                return MT_ERROR;
        }
        len = shm_pattern(s, glob, pattern);
        pattern[0] = 'm';
        l1_remove_pattern(s->segment->l1, mt_bytes(pattern, len));
        mt_fence_full(); /* [S2] */
        pattern[0] = 'd';
        l1_remove_pattern(s->segment->l1, mt_bytes(pattern, len));
        free(pattern);
        return MT_OK;
}

static enum mt_status shm_flush(void *self)
{
        return shm_remove_pattern(self, mt_bytes_of("*"));
}

static const char *shm_name(const void *self)
{
        (void)self;
        return "shm";
}

/* Whoever comes now makes another one where the file was removed. */
static bool shm_health_check(void *self)
{
        const struct shm *s = self;

        return shm_id(s) != 0 && l1_at_path(s->segment->l1);
}

/* ------------------------------------------------------------------------------------------------- open and close */

struct shm_options {
        struct l1_config config;
        char             name[SHM_NAME_MAX], directory[PATH_MAX];
};

static bool shm_take_text(struct mt_bytes value, char *to, size_t room)
{
        if (value.len == 0 || value.len >= room)
                return false;
        memcpy(to, value.ptr, value.len);
        to[value.len] = '\0';
        return true;
}

/* NULL, or what is wrong with it. */
static const char *shm_take_option(struct shm_options *o, const struct mt_option *option)
{
        if (mt_bytes_equal(option->name, mt_bytes_of("size")))
                return units_parse_size(option->value, &o->config.size_bytes) ? NULL : "not a size such as 64M";
        if (mt_bytes_equal(option->name, mt_bytes_of("max_item")))
                return units_parse_size(option->value, &o->config.max_item_bytes) ? NULL : "not a size such as 1M";
        if (mt_bytes_equal(option->name, mt_bytes_of("directory"))) {
                o->config.directory = o->directory;
                return shm_take_text(option->value, o->directory, sizeof o->directory) ? NULL : "not a folder";
        }
        return "no such option";
}

static bool shm_configure(struct shm_options *o, const struct mt_backend_config *config, char *why)
{
        struct mt_bytes name = config->address.len > 0 ? config->address : mt_bytes_of("tier");
        const char     *fault;

        *o = (struct shm_options){.config = {.size_bytes = UINT64_C(64) << 20, .max_item_bytes = UINT64_C(1) << 20}};
        o->config.name = o->name;
        if (!shm_take_text(name, o->name, sizeof o->name) || strchr(o->name, '/') != NULL) {
                snprintf(why, MT_BACKEND_WHY_MAX, "shm:%.*s: not the name of a segment",
                         (int)(name.len < 80 ? name.len : 80), name.ptr);
                return false;
        }
        for (size_t i = 0; i < config->options; i++) {
                const struct mt_option *option = &config->option[i];

                fault = shm_take_option(o, option);
                if (fault == NULL)
                        continue;
                snprintf(why, MT_BACKEND_WHY_MAX, "%.*s=%.*s: %s", (int)(option->name.len < 80 ? option->name.len : 80),
                         option->name.ptr, (int)(option->value.len < 80 ? option->value.len : 80), option->value.ptr,
                         fault);
                return false;
        }
        if (config->prefix.len < ITEM_KEY_MAX / 2)
                return true;
        snprintf(why, MT_BACKEND_WHY_MAX, "prefix: longer than %u bytes", ITEM_KEY_MAX / 2);
        return false;
}

/* Its place in the segment: one server, one namespace, the same for all who open it. */
static bool shm_claim(struct shm_segment *g)
{
        static const struct l1_server_id id = {.family = SHM_FAMILY, .id = {1, 0, 0}, .address = "backend_shm"};
        uint64_t                         user[2];

        g->server = l1_server(g->l1, &id);
        if (g->server == NULL)
                return false;
        g->index = l1_server_index(g->l1, g->server);
        g->incarnation = mt_load_relaxed(&g->server->incarnation);
        l1_user_digest(g->l1, NULL, 0, user);
        g->ns = l1_namespace(g->l1, g->server, 0, user);
        return g->ns != NULL;
}

static bool shm_is(const struct shm_segment *g, const struct shm_options *o)
{
        return strcmp(g->name, o->name) == 0 && strcmp(g->directory, o->directory) == 0 && l1_at_path(g->l1);
}

/* Under the lock. NULL: none; a line of the log has said why. */
static struct shm_segment *shm_attach(struct shm_options *o)
{
        struct shm_segment *g = shm_segments;

        while (g != NULL && !shm_is(g, o))
                g = g->next;
        if (g == NULL) {
                g = calloc(1, sizeof *g);
                if (g == NULL || (g->l1 = l1_attach(&o->config)) == NULL || !shm_claim(g)) {
                        free(g);
                        return NULL;
                }
                memcpy(g->name, o->name, sizeof g->name);
                memcpy(g->directory, o->directory, sizeof g->directory);
                g->pid = forklock_self();
                g->next = shm_segments;
                shm_segments = g;
        }
        if (g->pid != forklock_self()) {
                l1_after_fork(g->l1);
                g->pid = forklock_self();
        }
        return g;
}

static enum mt_status shm_begin(const struct mt_backend_config *config, void **self, char *why)
{
        struct shm_options *o = malloc(sizeof *o);
        struct shm         *s = calloc(1, sizeof *s + config->prefix.len);

        *self = NULL;
        if (o == NULL || s == NULL) {
                snprintf(why, MT_BACKEND_WHY_MAX, "no memory");
        } else if (shm_configure(o, config, why)) {
                forklock_acquire(&shm_lock);
                s->segment = shm_attach(o);
                forklock_release(&shm_lock);
                if (s->segment == NULL)
                        snprintf(why, MT_BACKEND_WHY_MAX, "shm:%s: the segment cannot be made or used", o->name);
                s->max_item_bytes = o->config.max_item_bytes;
                s->prefix_len = config->prefix.len;
                if (config->prefix.len > 0)
                        memcpy(s->prefix, config->prefix.ptr, config->prefix.len);
        }
        free(o);
        if (s == NULL || s->segment == NULL) {
                free(s);
                return MT_ERROR;
        }
        *self = s;
        return MT_OK;
}

static void shm_end(void *self)
{
        free(self);
}

static const struct mt_l2_ops shm_ops = {
        .cache =
                {
                        .name = shm_name,
                        .get = shm_get,
                        .set_with_ttl = shm_set_with_ttl,
                        .remove = shm_remove,
                        .remove_pattern = shm_remove_pattern,
                        .flush = shm_flush,
                        .health_check = shm_health_check,
                },
        .get_with_ttl = shm_get_with_ttl,
        .mark = shm_mark,
        .set_marked = shm_set_marked,
};

const struct mt_backend backend_shm = {
        .abi = MT_BACKEND_ABI,
        .size = sizeof(struct mt_backend),
        .name = "shm",
        .flags = MT_BACKEND_READS_ANYWHERE,
        .open = shm_begin,
        .close = shm_end,
        .ops = &shm_ops,
};
