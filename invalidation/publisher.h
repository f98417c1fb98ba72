/* publisher.h - what a program that has written says to those who keep what it wrote: the words of one announcement, to
 * be sent behind the write on the connection that wrote. Knows of no connection. Included by the façade.
 *
 *   empty -> holding   announcement_key(), announcement_all(), while the write is looked at
 *   holding -> holding announcement_command(): the same once more for the audit stream
 *   holding -> empty   announcement_clear()
 *
 * An announcement belongs to one thread at a time. Its memory is a mapping of its own, made when it is first needed. */
#ifndef MT_INVALIDATION_PUBLISHER_H
#define MT_INVALIDATION_PUBLISHER_H

#include "../l1/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct invalidation_config;

struct announcement {
        char    *buffer;   /* room for the words before the keys, then the keys as a message has them */
        uint32_t capacity; /* of buffer, bytes */
        uint32_t used;     /* by keys, bytes */
        uint32_t keys;
        bool     all;  /* every key of the server: they cannot be told, or are too many */
        bool     kept; /* one of the keys was written, not removed */
        bool     glob; /* what stands there is no key but a pattern, the only one */
        bool     lost; /* no memory: it cannot be sent */
};

/* Once per process, by invalidation_setup(). */
void publisher_setup(const struct invalidation_config *config);
void publisher_after_fork(void);
/* Do writes of this process have to be announced? */
bool publisher_wanted(void);
/* Is each announcement kept in an audit stream too? */
bool publisher_audits(void);

static inline bool announcement_empty(const struct announcement *a)
{
        return a->keys == 0 && !a->all && !a->lost;
}

void announcement_key(struct announcement *a, struct mt_bytes key, bool removed);
void announcement_all(struct announcement *a);
/* Instead of keys. One that is too long to be matched counts as all. */
void announcement_pattern(struct announcement *a, struct mt_bytes glob);
void announcement_clear(struct announcement *a);
void announcement_free(struct announcement *a); /* its memory too */

enum announcement_form {
        ANNOUNCEMENT_HERE,      /* the connection is in database 0, or it does not matter */
        ANNOUNCEMENT_ELSEWHERE, /* it is in another one, or nobody knows: a stream is a key of database 0 */
};
/* Who says it. household: whoever has the same one keeps the same tiers below Redis, and looks after them at each write
 * by itself (shim/connection/below.h); 0: nobody does. */
struct announcement_origin {
        uint64_t number, household;
};
/* The command that says it: RESP, valid until the next call for this announcement. audit: for the
 * audit stream. ptr NULL: it is lost. */
struct mt_bytes announcement_command(struct announcement *a, enum announcement_form form, bool audit,
                                     const struct announcement_origin *from, uint64_t sequence);

/* An origin that nobody else has: one for each connection, since messages are in order on a connection alone. Never 0.
 */
uint64_t publisher_origin(void);

/* The keys of this message of ours were cleared in L1 after they had been written: the listener of this very process
 * need not do it again, and so does not clear what was read since. Any thread. */
void publisher_note_cleared(uint64_t origin, uint64_t sequence);
/* By the listener. False says nothing: the last few hundred are remembered. */
bool publisher_has_cleared(struct mt_bytes origin, uint64_t sequence);

#endif
