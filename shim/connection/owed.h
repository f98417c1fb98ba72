/* owed.h - effects of commands whose replies are outstanding, in order.
 * A row: one header word (class, count of hashes, argument), then the hashes of the keys that it writes: keys
 * themselves are not kept, L1 clears by hash. Private memory: a few rows in place, more in a mapping of its own that
 * doubles. */
#ifndef MT_OWED_H
#define MT_OWED_H

#include "../command/command.h"
#include "../../l1/base/bytes.h"

#include <stdint.h>

enum {
        OWED_INLINE = 24,
        OWED_WORDS_MAX = 1 << 17, /* 1 MiB: a program may take replies by a way that we do not see */
};

struct owed_queue {
        uint64_t *words;      /* NULL: the ones in place */
        uint32_t  head, tail; /* in words; rows are [head, tail) */
        uint32_t  last;       /* the row that is being written, from head */
        uint32_t  capacity;   /* of words */
        uint64_t  place[OWED_INLINE];
};

struct owed_row {
        enum command_class class;
        uint32_t        argument; /* SELECT: database + 1, 0 if it is no number */
        uint32_t        count;    /* of hashes */
        const uint64_t *hash;     /* in the queue; valid until the next push */
};

/* Begin a row, add hashes to it. False: no memory; the queue is then as before owed_begin(). */
bool owed_begin(struct owed_queue *q, enum command_class class, uint32_t argument);
bool owed_add(struct owed_queue *q, uint64_t hash);
/* Take back the row that was begun last, hashes and all. */
void owed_drop_last(struct owed_queue *q);
/* Take the first row. False: empty. */
bool owed_take(struct owed_queue *q, struct owed_row *row);
/* Look at the first row, or the last that was begun, and leave it there. False: empty. */
bool owed_front(struct owed_queue *q, struct owed_row *row);
bool owed_last(struct owed_queue *q, struct owed_row *row);
void owed_drop_all(struct owed_queue *q); /* gives a large mapping back */

static inline bool owed_empty(const struct owed_queue *q)
{
        return q->head == q->tail;
}

/* User and password of an AUTH or HELLO that was sent: one at a time, wiped when taken or replaced. */
enum { OWED_SECRET_MAX = 256 };
struct owed_secret {
        bool     held, has_user;
        uint16_t user_len, password_len;
        char     user[OWED_SECRET_MAX], password[OWED_SECRET_MAX];
};

void owed_secret_hold(struct owed_secret *s, bool has_user, struct mt_bytes user, struct mt_bytes password);
void owed_secret_wipe(struct owed_secret *s);

#endif
