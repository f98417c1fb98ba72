/* glib.c - what a program does by itself: a GHashTable and a mutex, and the value copied out under it. Address:
 * unused. */
// pkg: glib-2.0
#include "../common/peer.h"

#include <glib.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

const char *const peer_can = "threads write memory";

static GHashTable *glib_table;
static GMutex      glib_mutex;

struct glib_value {
        size_t bytes;
        char   data[];
};

void *peer_open(const char *address)
{
        (void)address;
        if (glib_table == NULL)
                glib_table = g_hash_table_new_full(g_str_hash, g_str_equal, free, free);
        return glib_table;
}

/* The table is the process's, and goes with it. */
void peer_close(void *handle)
{
        (void)handle;
}

void peer_room(void *handle, size_t keys, size_t bytes)
{
        (void)handle, (void)keys, (void)bytes;
}

void peer_put(void *handle, const char *key, const void *value, size_t bytes)
{
        peer_set(handle, key, value, bytes);
}

void peer_flush(void *handle)
{
        (void)handle;
}

void peer_set(void *handle, const char *key, const void *value, size_t bytes)
{
        struct glib_value *v = malloc(sizeof *v + bytes);
        char              *k = strdup(key);

        (void)handle;
        if (v == NULL || k == NULL)
                peer_fail(key, "no memory");
        v->bytes = bytes;
        memcpy(v->data, value, bytes);
        g_mutex_lock(&glib_mutex);
        g_hash_table_replace(glib_table, k, v);
        g_mutex_unlock(&glib_mutex);
}

void peer_get(void *handle, const char *key, size_t bytes)
{
        char *copy = NULL;

        (void)handle;
        g_mutex_lock(&glib_mutex);
        {
                const struct glib_value *v = g_hash_table_lookup(glib_table, key);

                if (v != NULL && v->bytes == bytes && (copy = malloc(bytes + 1)) != NULL)
                        memcpy(copy, v->data, bytes);
        }
        g_mutex_unlock(&glib_mutex);
        if (copy == NULL)
                peer_fail(key, "not a value of that length");
        __asm__ volatile("" : : "r"(copy) : "memory"); /* somebody looks at it */
        free(copy);
}

struct peer_memory peer_memory(void *handle)
{
        struct mallinfo2 m = mallinfo2();

        (void)handle;
        return (struct peer_memory){.bytes = (double)(m.uordblks + m.hblkhd), .items = g_hash_table_size(glib_table)};
}

bool peer_more(void *handle, const char *line)
{
        (void)handle, (void)line;
        return false;
}
