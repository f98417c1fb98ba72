/* peer.h - one side of the comparison: a store of which GETs are asked, behind the same few functions.
 *
 * bench/peers/NAME.c implements them, bench/common/worker.c asks for them. What is timed is peer_get() or peer_set():
 * all that a program does to have the value and to give back what it had to take for it. A handle is one thread's. */
#ifndef MT_BENCH_PEER_H
#define MT_BENCH_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdnoreturn.h>
#include <string.h>

enum { PEER_KEY = 24 };

/* A record of a sequence file (bench/common/keyseq.c): the key, then NULs. */
struct peer_key {
        char text[32];
};

/* The i-th key of a set: its name, a colon, and the number with zeros before it. */
static inline void peer_key(struct peer_key *key, const char *set, unsigned long i)
{
        size_t name = strnlen(set, 9);

        memset(key, 0, sizeof *key);
        memset(key->text, '0', PEER_KEY);
        memcpy(key->text, set, name);
        key->text[name] = ':';
        for (char *digit = key->text + PEER_KEY; i != 0 && --digit > key->text + name; i /= 10)
                *digit = (char)('0' + i % 10);
}

/* What the worker has in hand: the sequence of keys, and how long each value is. */
struct peer_sequence {
        const struct peer_key *key;
        size_t                 count, bytes;
};
extern struct peer_sequence sequence;

extern const char *const peer_can; /* words: threads (a handle a thread), write (peer_set), memory */

void *peer_open(const char *address);
void  peer_close(void *handle);
/* So many keys with values of that length are about to be put. */
void peer_room(void *handle, size_t keys, size_t bytes);
/* Put may be batched until peer_flush(); set is done when it returns, as a program's write is. */
void peer_put(void *handle, const char *key, const void *value, size_t bytes);
void peer_flush(void *handle);
void peer_set(void *handle, const char *key, const void *value, size_t bytes);
/* Have the value in memory of our own, then give that back. Ends the program when there is none of that length. */
void peer_get(void *handle, const char *key, size_t bytes);

struct peer_memory {
        double bytes, items; /* all that the store takes, and how many items it says it has (0: it does not say) */
};
struct peer_memory peer_memory(void *handle);

/* Commands that only this side has: prints the answer's line, or returns false when it does not know the command. */
bool peer_more(void *handle, const char *line);

noreturn void peer_fail(const char *what, const char *why);

#endif
