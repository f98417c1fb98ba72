/* l1.c - L1 by its own interface (l1/l1.h), without hiredis and without the shim: what the cache alone costs, and
 * how the other sides' segment is filled with millions of keys in seconds instead of minutes.
 *
 * It attaches to the segment that MTSHIM_SEGMENT names, and to the first server in it, as a program that never
 * authenticated in database 0 does; where there is none, it names one. A put is a lease and a fill, as after a miss.
 * A set is what a foreign writer does to L1, an invalidation, and then the next reader's fill. Address: unused. Of
 * its own:
 *      unlink       take away the segment's file, of which this process has been the only user       0 */
#include "../common/peer.h"

#include "l1/base/options.h"
#include "l1/l1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIFE_NS (UINT64_C(3600) * NS_PER_S)

const char *const peer_can = "threads write memory";

static struct l1            *l1;
static struct server_shm    *l1_at;
static struct namespace_shm *l1_in;
static uint32_t              l1_incarnation, l1_number;

static struct server_shm *l1_first_server(void)
{
        const struct l1_server_id nobody = {.family = 1, .id = {1, 1, 1}, .address = "bench"};

        for (uint32_t i = 0; i < SERVER_MAX; i++)
                if (l1_server_at(l1, i) != NULL)
                        return l1_server_at(l1, i);
        return l1_server(l1, &nobody);
}

static void l1_start(void)
{
        static struct options options;
        struct l1_config      config;
        uint64_t              user[2];

        options_load(&options);
        config = (struct l1_config){.name = options.segment,
                                    .size_bytes = options.l1_size_bytes,
                                    .max_item_bytes = options.l1_max_item_bytes};
        l1 = l1_attach(&config);
        if (l1 == NULL)
                peer_fail("l1", "no segment");
        l1_at = l1_first_server();
        if (l1_at == NULL)
                peer_fail("l1", "no server");
        l1_number = l1_server_index(l1, l1_at);
        l1_incarnation = mt_load_relaxed(&l1_at->incarnation);
        l1_user_digest(l1, NULL, 0, user);
        l1_in = l1_namespace(l1, l1_at, 0, user);
        if (l1_in == NULL)
                peer_fail("l1", "no namespace");
}

void *peer_open(const char *address)
{
        (void)address;
        if (l1 == NULL)
                l1_start();
        return l1;
}

void peer_close(void *handle)
{
        (void)handle;
}

void peer_room(void *handle, size_t keys, size_t bytes)
{
        (void)handle, (void)keys, (void)bytes;
}

static inline struct l1_key l1_key_of(const char *key)
{
        struct mt_bytes bytes = mt_bytes(key, PEER_KEY);

        return (struct l1_key){.key = bytes, .hash = l1_hash(l1, l1_number, bytes)};
}

static void l1_put(const struct l1_key *key, const void *value, size_t bytes)
{
        uint64_t        now = clock_coarse_ns();
        struct l1_lease lease;

        if (l1_lease(l1, key, l1_namespace_id(l1_at, l1_incarnation, l1_in), now, &lease))
                l1_fill(l1, key, &lease, mt_bytes(value, bytes), now + LIFE_NS);
}

/* A key that is there already stays: it has the same value. */
void peer_put(void *handle, const char *key, const void *value, size_t bytes)
{
        struct l1_key k = l1_key_of(key);

        (void)handle;
        l1_put(&k, value, bytes);
}

void peer_flush(void *handle)
{
        (void)handle;
}

void peer_set(void *handle, const char *key, const void *value, size_t bytes)
{
        struct l1_key k = l1_key_of(key);

        (void)handle;
        l1_remove(l1, k.hash);
        l1_put(&k, value, bytes);
}

/* A miss is filled, as a program would: another process may be between its invalidation and its fill. */
void peer_get(void *handle, const char *key, size_t bytes)
{
        struct l1_key k = l1_key_of(key);
        struct l1_hit hit;
        char         *copy;

        (void)handle;
        if (!l1_find(l1, &k, l1_namespace_id(l1_at, l1_incarnation, l1_in), clock_coarse_ns(), &hit)) {
                copy = calloc(1, bytes + 1);
                l1_put(&k, copy, bytes);
        } else {
                copy = malloc(hit.len + 1);
                if (hit.len != bytes)
                        peer_fail(key, "not a value of that length");
                if (copy != NULL && !l1_copy(&hit, copy))
                        l1_put(&k, copy, bytes);
        }
        if (copy == NULL)
                peer_fail(key, "no memory");
        __asm__ volatile("" : : "r"(copy) : "memory"); /* somebody looks at it */
        free(copy);
}

struct peer_memory peer_memory(void *handle)
{
        struct l1_totals totals;

        (void)handle;
        l1_totals(l1, true, &totals);
        return (struct peer_memory){.bytes = (double)totals.bytes_taken, .items = (double)totals.items};
}

bool peer_more(void *handle, const char *line)
{
        (void)handle;
        if (strcmp(line, "unlink\n") != 0)
                return false;
        printf("%d\n", unlink(l1_path(l1)));
        return true;
}
