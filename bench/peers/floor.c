/* floor.c - the least that a GET can cost which gives the program a redisReply: hash the key, go to the one place
 * that the hash names, and copy the value into two blocks of malloc, which are freed.
 *
 * It keeps no keys, compares nothing, and what two keys hash to is the same place: it is no cache, it is a measure.
 * The places lie in shared memory, as L1 does, so that pages are of the same size. Address: unused. Of its own:
 *      copies FROM N    two memcpys of a value, from one buffer to another and on, N times    nanoseconds, all
 * together */
#include "../common/clock.h"
#include "../common/peer.h"

#include "l1/base/hash.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { REPLY = 48, LINE = 64 }; /* bytes of a redisReply in hiredis 0.14; of a cache line */

const char *const peer_can = "threads";

/* Places of one length of values: a power of two of them. */
struct floor {
        char  *place;
        size_t bytes, count, stride;
};
static struct floor floor_of[16];

static struct floor *floor_for(size_t bytes)
{
        struct floor *f = floor_of;

        while (f->bytes != bytes && f->bytes != 0)
                if (++f == floor_of + sizeof floor_of / sizeof *floor_of)
                        peer_fail("floor", "too many lengths of values");
        return f;
}

static inline char *floor_place(const struct floor *f, const char *key)
{
        return f->place + (mt_hash(key, PEER_KEY, (struct hash_key){{1, 2}}) & (f->count - 1)) * f->stride;
}

void *peer_open(const char *address)
{
        (void)address;
        return floor_of;
}

void peer_close(void *handle)
{
        (void)handle;
}

void peer_room(void *handle, size_t keys, size_t bytes)
{
        struct floor *f = floor_for(bytes);

        (void)handle;
        if (f->count >= keys)
                return;
        if (f->place != NULL)
                munmap(f->place, f->count * f->stride);
        f->bytes = bytes;
        f->stride = (bytes + LINE - 1) & ~(size_t)(LINE - 1);
        for (f->count = 1; f->count < keys;)
                f->count *= 2;
        f->place = mmap(NULL, f->count * f->stride, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE,
                        -1, 0);
        if (f->place == MAP_FAILED)
                peer_fail("floor", "no memory");
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
        (void)handle;
        memcpy(floor_place(floor_for(bytes), key), value, bytes);
}

void peer_get(void *handle, const char *key, size_t bytes)
{
        const char *value = floor_place(floor_for(bytes), key);
        char       *reply = malloc(REPLY), *copy = malloc(bytes + 1);

        (void)handle;
        if (reply == NULL || copy == NULL)
                peer_fail(key, "no memory");
        memcpy(copy, value, bytes);
        copy[bytes] = '\0';
        __asm__ volatile("" : : "r"(copy), "r"(reply) : "memory"); /* somebody looks at them */
        free(copy);
        free(reply);
}

struct peer_memory peer_memory(void *handle)
{
        (void)handle;
        return (struct peer_memory){0};
}

static void floor_copies(size_t bytes, size_t n)
{
        char    *from = malloc(bytes), *over = malloc(bytes), *to = malloc(bytes);
        uint64_t start;

        if (from == NULL || over == NULL || to == NULL)
                peer_fail("copies", "no memory");
        memset(from, 'v', bytes);
        memset(over, 0, bytes);
        memset(to, 0, bytes);
        start = clock_ns();
        for (size_t i = 0; i < n; i++) {
                memcpy(over, from, bytes);
                __asm__ volatile("" : : "r"(over) : "memory");
                memcpy(to, over, bytes);
                __asm__ volatile("" : : "r"(to) : "memory");
        }
        printf("%llu\n", (unsigned long long)(clock_ns() - start));
        free(from);
        free(over);
        free(to);
}

bool peer_more(void *handle, const char *line)
{
        size_t from = 0, n = 0;

        (void)handle;
        if (sequence.count == 0 || sscanf(line, "copies %zu %zu", &from, &n) != 2)
                return false;
        floor_copies(sequence.bytes, n);
        return true;
}
