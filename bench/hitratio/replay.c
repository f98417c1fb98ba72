/* replay.c - find and copy; on a miss lease and fill; on a write remove. */
#include "replay.h"

#include "l1/l1.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#ifndef MT_TEST_CLOCK
#error "times to live pass by moving the clock: build with MT_TEST_CLOCK"
#endif

#define REPLAY_NO_TTL_NS (UINT64_C(100) * 24 * 3600 * NS_PER_S)

struct player {
        const struct load    *load;
        const struct fit     *fit;
        struct l1            *l1;
        struct server_shm    *server;
        struct namespace_shm *ns;
        uint32_t              incarnation;
        uint64_t              start_ns, now_ns;
        char                 *value, *copy; /* as long as the longest */
        struct replay         replay;
};

/* ------------------------------------------------------------------------------------------------------ the segment */

/* What is there while a replay runs, for whoever stops us in the middle of it. */
static char        place[256];
static const char *place_segment;

static void place_remove(void)
{
        if (place_segment != NULL)
                unlink(place_segment);
        rmdir(place);
        place_segment = NULL;
}

static void place_stopped(int number)
{
        place_remove();
        _exit(128 + number);
}

static bool place_has_room(const char *in, uint64_t bytes)
{
        struct statvfs fs;

        return statvfs(in, &fs) == 0 && fs.f_bavail * fs.f_frsize > bytes + bytes / 8;
}

/* In memory, where as much is to be had; else among the temporary files, which is slower and comes to the same. */
static void place_make(uint64_t bytes)
{
        const char *in = place_has_room("/dev/shm", bytes) ? "/dev/shm" : g_get_tmp_dir();

        if (!place_has_room(in, bytes))
                g_error("neither /dev/shm nor %s has room for %lu bytes", in, (unsigned long)bytes);
        snprintf(place, sizeof place, "%s/mtshim-hitratio.XXXXXX", in);
        if (mkdtemp(place) == NULL)
                g_error("cannot make %s", place);
        signal(SIGINT, place_stopped);
        signal(SIGTERM, place_stopped);
}

static void player_attach(struct player *p)
{
        struct l1_config config = {
                .name = "hitratio",
                .size_bytes = p->fit->l1_size,
                .max_item_bytes = p->fit->max_item_bytes,
                .directory = place,
        };
        struct l1_server_id id = {.family = 1, .id = {42, 1, 0}, .address = "/run/hitratio.sock"};
        uint64_t            user[2];

        p->l1 = l1_attach(&config);
        p->server = p->l1 != NULL ? l1_server(p->l1, &id) : NULL;
        if (p->server == NULL)
                g_error("no segment of %lu bytes in %s", (unsigned long)p->fit->l1_size, place);
        place_segment = l1_path(p->l1);
        p->incarnation = mt_load_relaxed(&p->server->incarnation);
        l1_user_digest(p->l1, NULL, 0, user);
        p->ns = l1_namespace(p->l1, p->server, 0, user);
        if (p->ns == NULL)
                g_error("no namespace");
}

static void player_detach(struct player *p)
{
        struct l1_totals totals;
        const char      *fault = l1_verify(p->l1);

        if (fault != NULL)
                g_error("the segment is not sound: %s", fault);
        l1_totals(p->l1, false, &totals);
        if (totals.count[COUNTER_error_memory] != 0)
                g_error("there was not enough memory in %s", place);
        place_remove();
        l1_abandon(p->l1);
}

/* -------------------------------------------------------------------------------------------------------- a request */

/* The clock stands at the request's time. */
static void player_clock(struct player *p, uint64_t time_ms)
{
        p->now_ns = p->start_ns + time_ms * NS_PER_MS;
        clock_test_offset_ns = 0;
        clock_test_offset_ns = (int64_t)(p->now_ns - clock_coarse_ns());
}

static bool player_read(struct player *p, const struct l1_key *key, uint32_t id, uint32_t object)
{
        struct l1_hit hit;

        if (!l1_find(p->l1, key, id, p->now_ns, &hit) || !l1_copy(&hit, p->copy))
                return false;
        if (hit.len != p->fit->value_len[object] ||
            (hit.len >= sizeof object && memcmp(p->copy, &object, sizeof object)))
                g_error("object %u was answered with the value of another", object);
        return true;
}

static bool player_fill(struct player *p, const struct l1_key *key, uint32_t id, uint32_t object)
{
        uint64_t        ttl_ms = p->load->trace->object[object].ttl_ms;
        uint64_t        deadline_ns = p->now_ns + (ttl_ms == 0 ? REPLAY_NO_TTL_NS : ttl_ms * NS_PER_MS);
        struct l1_lease lease;

        memcpy(p->value, &object, sizeof object);
        return l1_lease(p->l1, key, id, p->now_ns, &lease) &&
               l1_fill(p->l1, key, &lease, mt_bytes(p->value, p->fit->value_len[object]), deadline_ns);
}

static void player_request(struct player *p, const struct trace_request *request)
{
        const struct trace_object *object = &p->load->trace->object[request->object];
        struct mt_bytes            bytes = mt_bytes(object->key, object->klen);
        struct l1_key              key = {bytes, l1_hash(p->l1, l1_server_index(p->l1, p->server), bytes)};
        uint32_t                   id = l1_namespace_id(p->server, p->incarnation, p->ns);
        bool                       hit;

        player_clock(p, request->time_ms);
        if (request->set) {
                l1_remove(p->l1, key.hash);
                return;
        }
        hit = player_read(p, &key, id, request->object);
        p->replay.ratio.gets++;
        p->replay.ratio.hits += hit;
        p->replay.ratio.get_bytes += object->size_bytes;
        p->replay.ratio.hit_bytes += hit ? object->size_bytes : 0;
        if (!hit && !player_fill(p, &key, id, request->object))
                p->replay.refused++;
}

static size_t player_longest(const struct fit *fit, uint32_t objects)
{
        size_t longest = sizeof(uint32_t);

        for (uint32_t i = 0; i < objects; i++)
                longest = MAX(longest, fit->value_len[i]);
        return longest;
}

struct replay replay_run(const struct load *load, const struct fit *fit)
{
        size_t        longest = player_longest(fit, load->trace->objects);
        struct player p = {.load = load, .fit = fit, .value = g_malloc0(longest), .copy = g_malloc0(longest)};

        place_make(fit->l1_size);
        player_attach(&p);
        p.start_ns = clock_coarse_ns();
        for (uint32_t i = 0; i < load->trace->requests; i++)
                player_request(&p, &load->trace->request[i]);
        player_detach(&p);
        g_free(p.value);
        g_free(p.copy);
        return p.replay;
}
