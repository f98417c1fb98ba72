/* memcached.c - libmemcached, binary protocol, on a unix socket. Address: the socket's path. */
// pkg: libmemcached
#include "../common/peer.h"

#include <libmemcached/memcached.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const peer_can = "threads write memory";

struct memcached {
        memcached_st *sync, *batch; /* batch: stores that nobody answers, gathered in libmemcached's buffer */
        char          last[PEER_KEY + 1];
};

static memcached_st *memcached_start(const char *address, bool batched)
{
        memcached_st *m = memcached_create(NULL);

        if (m == NULL)
                peer_fail("memcached", "no memory");
        memcached_behavior_set(m, MEMCACHED_BEHAVIOR_BINARY_PROTOCOL, 1);
        if (batched) {
                memcached_behavior_set(m, MEMCACHED_BEHAVIOR_NOREPLY, 1);
                memcached_behavior_set(m, MEMCACHED_BEHAVIOR_BUFFER_REQUESTS, 1);
        }
        if (memcached_server_add_unix_socket(m, address) != MEMCACHED_SUCCESS)
                peer_fail(address, memcached_last_error_message(m));
        return m;
}

void *peer_open(const char *address)
{
        struct memcached *m = calloc(1, sizeof *m);

        if (m == NULL)
                peer_fail("memcached", "no memory");
        m->sync = memcached_start(address, false);
        m->batch = memcached_start(address, true);
        return m;
}

void peer_close(void *handle)
{
        struct memcached *m = handle;

        memcached_free(m->sync);
        memcached_free(m->batch);
        free(m);
}

static void memcached_store(memcached_st *m, const char *key, const void *value, size_t bytes)
{
        memcached_return_t rc = memcached_set(m, key, PEER_KEY, value, bytes, 0, 0);

        if (rc != MEMCACHED_SUCCESS && rc != MEMCACHED_BUFFERED)
                peer_fail(key, memcached_strerror(m, rc));
}

void peer_room(void *handle, size_t keys, size_t bytes)
{
        (void)handle, (void)keys, (void)bytes;
}

void peer_put(void *handle, const char *key, const void *value, size_t bytes)
{
        struct memcached *m = handle;

        memcpy(m->last, key, PEER_KEY);
        memcached_store(m->batch, key, value, bytes);
}

static char *memcached_have(memcached_st *m, const char *key, size_t *len)
{
        memcached_return_t rc;
        uint32_t           flags;
        char              *value = memcached_get(m, key, PEER_KEY, len, &flags, &rc);

        if (value == NULL)
                peer_fail(key, memcached_strerror(m, rc));
        return value;
}

/* Until the server has executed what nobody waits for: it answers in order, on the same connection. */
void peer_flush(void *handle)
{
        struct memcached *m = handle;

        if (m->last[0] != '\0') {
                size_t len = 0;

                memcached_flush_buffers(m->batch);
                free(memcached_have(m->batch, m->last, &len));
        }
}

void peer_set(void *handle, const char *key, const void *value, size_t bytes)
{
        memcached_store(((struct memcached *)handle)->sync, key, value, bytes);
}

void peer_get(void *handle, const char *key, size_t bytes)
{
        size_t len = 0;
        char  *value = memcached_have(((struct memcached *)handle)->sync, key, &len);

        if (len != bytes)
                peer_fail(key, "not a value of that length");
        free(value);
}

/* "bytes" is what items take with their headers; the hash table comes on top. */
static memcached_return_t memcached_counted(const memcached_instance_st *server, const char *key, size_t key_len,
                                            const char *value, size_t value_len, void *context)
{
        struct peer_memory *memory = context;

        (void)server, (void)value_len;
        if ((key_len == 5 && memcmp(key, "bytes", 5) == 0) || (key_len == 10 && memcmp(key, "hash_bytes", 10) == 0))
                memory->bytes += strtod(value, NULL);
        if (key_len == 10 && memcmp(key, "curr_items", 10) == 0)
                memory->items = strtod(value, NULL);
        return MEMCACHED_SUCCESS;
}

struct peer_memory peer_memory(void *handle)
{
        struct peer_memory memory = {0};

        if (memcached_stat_execute(((struct memcached *)handle)->sync, NULL, memcached_counted, &memory) !=
            MEMCACHED_SUCCESS)
                peer_fail("stats", "no answer");
        return memory;
}

bool peer_more(void *handle, const char *line)
{
        (void)handle, (void)line;
        return false;
}
