/* conform_run.h - private to the suite: the object that is looked at, and the words in which checks are written.
 * A check is a function that returns at the first thing that is not as it should be; MUST() is how it does so. */
#ifndef MT_TIER_CONFORM_RUN_H
#define MT_TIER_CONFORM_RUN_H

#include "../base/assert.h"
#include "conform.h"

enum { CONFORM_SEEN_MAX = 320, CONFORM_PREFIX_MAX = 512 };

struct conform_run {
        const struct conform   *conform;
        const struct mt_l2_ops *ops;
        void                   *self;                       /* open, and empty when a check begins */
        struct mt_bytes         base;                       /* before every prefix of this run */
        char                    prefix[CONFORM_PREFIX_MAX]; /* of self */
        uint64_t                random;                     /* always the same sequence: a failure comes again */
        enum conform_verdict    verdict;
        char                    seen[CONFORM_SEEN_MAX];
};

struct conform_check {
        const char *name;
        void (*run)(struct conform_run *r);
};
/* What is in which file, each ended by a row without a name. */
extern const struct conform_check conform_values[], conform_times[], conform_removals[], conform_crowds[];

#define MUST(condition)                                                                                                \
        do {                                                                                                           \
                if (!(condition))                                                                                      \
                        return;                                                                                        \
        } while (0)

/* The verdict so far; all return false, so that MUST(conform_fail(...)) ends the check. */
bool conform_fail(struct conform_run *r, const char *format, ...) MT_PRINTF(2, 3);
bool conform_skip(struct conform_run *r, const char *format, ...) MT_PRINTF(2, 3);
/* What is worth knowing though nothing is wrong. */
void conform_note(struct conform_run *r, const char *format, ...) MT_PRINTF(2, 3);

const char *conform_word(enum mt_status status);
/* Is it the status that is wanted? Fails the check if not. */
bool conform_is(struct conform_run *r, enum mt_status got, enum mt_status wanted, const char *what);

/* Where a value goes, looked at: guarded, and full of something else before. */
struct conform_buffer {
        struct mt_sink sink; /* first */
        char          *ptr;
        size_t         len, room;
        unsigned       calls;
        bool           denies; /* room() gives none */
};
void conform_buffer_init(struct conform_buffer *b);
void conform_buffer_fini(struct conform_buffer *b);
/* Was something written beyond the room that was given? */
bool conform_buffer_overrun(const struct conform_buffer *b);

/* get() and get_with_ttl() must both give this value / both must miss. `what` names the situation. */
bool conform_holds(struct conform_run *r, struct mt_bytes key, struct mt_bytes value, const char *what);
bool conform_lacks(struct conform_run *r, struct mt_bytes key, const char *what);
/* set_with_ttl() must be MT_OK. CONFORM_TTL: long enough for a whole run. */
bool conform_set(struct conform_run *r, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms, const char *what);
#define CONFORM_TTL UINT64_C(3600000)

/* Another object of the same store. NULL (the check has failed): it cannot be opened. */
void *conform_open(struct conform_run *r, struct mt_bytes prefix);
void  conform_close(struct conform_run *r, void **self);
/* base + text, in a buffer of the caller's. */
struct mt_bytes conform_prefix(const struct conform_run *r, const char *text, char to[CONFORM_PREFIX_MAX]);

uint64_t conform_random(struct conform_run *r, uint64_t below);
uint64_t conform_now_ms(void);
void     conform_wait_until_ms(uint64_t ms);
/* Any bytes, NUL among them, different for each seed and at each place. */
void conform_fill(char *to, size_t len, uint64_t seed);

#endif
