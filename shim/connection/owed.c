/* owed.c - the queue of effects. Rows are taken in the order in which they were begun; a queue that has run empty
 * starts again at its beginning, so that request after reply never grows it. */
#include "owed.h"

#include "../../l1/base/assert.h"

#include <sys/mman.h>

/* header: class 63..56, count 55..32, argument 31..0 */
#define OWED_COUNT_MAX ((UINT32_C(1) << 24) - 1)

static uint64_t *owed_words(struct owed_queue *q)
{
        return q->words != NULL ? q->words : q->place;
}

static uint32_t owed_capacity(const struct owed_queue *q)
{
        return q->words != NULL ? q->capacity : OWED_INLINE;
}

/* Room for one more word: move to the front what is left, or into a mapping twice as large. */
static bool owed_grow(struct owed_queue *q)
{
        uint64_t *from = owed_words(q), *to = from;
        uint32_t  held = q->tail - q->head, capacity = owed_capacity(q);

        if (q->head < capacity / 2) {
                capacity = q->words != NULL ? capacity * 2 : 512;
                if (capacity > OWED_WORDS_MAX)
                        return false;
                to = mmap(NULL, capacity * sizeof *to, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (to == MAP_FAILED)
                        return false;
        }
        memmove(to, from + q->head, held * sizeof *to);
        if (to != from) {
                if (q->words != NULL)
                        munmap(q->words, q->capacity * sizeof *q->words);
                q->words = to;
                q->capacity = capacity;
        }
        q->head = 0;
        q->tail = held;
        return true;
}

static bool owed_push(struct owed_queue *q, uint64_t word)
{
        if (q->tail == owed_capacity(q) && !owed_grow(q))
                return false;
        owed_words(q)[q->tail++] = word;
        return true;
}

bool owed_begin(struct owed_queue *q, enum command_class class, uint32_t argument)
{
        if (owed_empty(q))
                q->head = q->tail = 0;
        q->last = q->tail - q->head;
        return owed_push(q, (uint64_t) class << 56 | argument);
}

bool owed_add(struct owed_queue *q, uint64_t hash)
{
        uint64_t *header = owed_words(q) + q->head + q->last;

        if ((*header >> 32 & OWED_COUNT_MAX) < OWED_COUNT_MAX && owed_push(q, hash)) {
                header = owed_words(q) + q->head + q->last; /* the push may have moved the queue */
                *header += UINT64_C(1) << 32;
                return true;
        }
        q->tail = q->head + q->last;
        return false;
}

void owed_drop_last(struct owed_queue *q)
{
        q->tail = q->head + q->last;
}

static inline void owed_read(const uint64_t *header, struct owed_row *row)
{
        row->class = (enum command_class)(*header >> 56);
        row->count = (uint32_t)(*header >> 32) & OWED_COUNT_MAX;
        row->argument = (uint32_t)*header;
        row->hash = header + 1;
}

bool owed_front(struct owed_queue *q, struct owed_row *row)
{
        if (owed_empty(q))
                return false;
        owed_read(owed_words(q) + q->head, row);
        return true;
}

bool owed_last(struct owed_queue *q, struct owed_row *row)
{
        if (owed_empty(q))
                return false;
        owed_read(owed_words(q) + q->head + q->last, row);
        return true;
}

bool owed_take(struct owed_queue *q, struct owed_row *row)
{
        const uint64_t *header = owed_words(q) + q->head;

        if (owed_empty(q))
                return false;
        owed_read(header, row);
        q->head += 1 + row->count;
        MT_ASSERT(q->head <= q->tail);
        return true;
}

void owed_drop_all(struct owed_queue *q)
{
        if (q->words != NULL)
                munmap(q->words, q->capacity * sizeof *q->words);
        q->words = NULL;
        q->capacity = q->head = q->tail = q->last = 0;
}

void owed_secret_hold(struct owed_secret *s, bool has_user, struct mt_bytes user, struct mt_bytes password)
{
        MT_ASSERT(user.len < OWED_SECRET_MAX && password.len < OWED_SECRET_MAX);
        s->held = true;
        s->has_user = has_user;
        s->user_len = (uint16_t)user.len;
        s->password_len = (uint16_t)password.len;
        memcpy(s->user, user.ptr, user.len);
        mt_copy_secret(s->password, password.ptr, password.len);
}

void owed_secret_wipe(struct owed_secret *s)
{
        explicit_bzero(s, sizeof *s);
}
