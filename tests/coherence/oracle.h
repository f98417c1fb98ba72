/* oracle.h - what was written, acknowledged and lost when: shared memory beside the segment, by which each read is
 * judged.
 *
 * A key has one writer at a time, and its writes have sequences 1, 2, 3 ...; a delete is a write too. The writer tells
 * before it sends and after it was answered. A write that got no answer is in doubt: it may be executed at any time
 * until its connection is known to be gone from the server (the fence, fence.c), and nobody writes that key before. So
 * the order of sequences is the order in which the server executes them, whoever dies when.
 *
 *   sent_ns                written before the command leaves
 *   acked_ns               written after its reply came: executed between the two
 *   closed_ns              the fence is passed: executed before this, or never
 *   refused                the server answered with an error: not executed
 *
 * What the server loses (FLUSHALL, a restart without data, SWAPDB, a failover) is a loss: between begin_ns and end_ns
 * all keys of some databases became absent, or went back to what they were at some moment of a time before. A write
 * that was acknowledged before a loss began is gone when it has ended; one that was sent after its end is not touched.
 *
 * A read is judged by the age of what it returned: the time from when something newer was known to all (its
 * acknowledgement, the end of a loss) to when the read began. All times: CLOCK_MONOTONIC, ns, taken outside the
 * interval that they bound, so that a process that stands still in between makes an age smaller, never larger. */
#ifndef MT_COHERENCE_ORACLE_H
#define MT_COHERENCE_ORACLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define ORACLE_MS UINT64_C(1000000)
#define ORACLE_S  UINT64_C(1000000000)

enum {
        ORACLE_KEYS = 160,
        ORACLE_RING = 2048, /* writes of a key that are remembered */
        ORACLE_WRITERS = 16,
        ORACLE_SEATS = 16,
        ORACLE_SEAT_THREADS = 8,
        ORACLE_LOSSES = 1024,
        ORACLE_FINDINGS = 512,
        ORACLE_ROWS = 64, /* kinds of injections */
        ORACLE_AGES = 10,
        ORACLE_VALUE_MAX = 192 * 1024,
        ORACLE_CROWD_KEYS = 4000,
};
#define ORACLE_CROWD "crowd" /* what keys are called that only fill L1, with a colon and a number */

enum entry_kind { ENTRY_VALUE, ENTRY_DELETE };

struct entry {
        _Atomic uint64_t seq; /* 0: being written */
        _Atomic uint64_t sent_ns, acked_ns, closed_ns;
        _Atomic uint32_t px_ms; /* 0: lives for ever */
        _Atomic uint8_t  kind, refused;
};

struct key {
        _Atomic uint64_t sent; /* newest sequence that was told */
        uint32_t         database, number, size;
        struct entry     ring[ORACLE_RING];
};

/* Who writes keys first .. first + count - 1. Outlives the process that has the seat. */
struct writer {
        uint32_t         first, count, nameless; /* 1: its connections may have lost their name */
        _Atomic uint64_t connection;   /* serial number of the one it writes by: its name at the server; 0: none */
        _Atomic uint64_t fence_wanted; /* that serial, until it is gone from the server: then 0, stored by the fence */
};

/* ------------------------------------------------------------------------------------------------------ losses */

enum loss_kind {
        LOSS_ABSENT, /* keys are no more */
        LOSS_BACK,   /* keys are what they were at one moment between from_ns and to_ns */
};

struct loss {
        _Atomic uint64_t begin_ns, end_ns; /* end 0: not over */
        uint64_t         from_ns, to_ns;
        uint32_t         kind;
        uint32_t         databases; /* bit n: database n */
};

/* ----------------------------------------------------------------------------------------------------- findings */

/* What a read can be. From STALE on: what must never be. */
#define ORACLE_VERDICTS(ROW)                                                                                           \
        ROW(GOOD, "good")                                                                                              \
        ROW(STALE, "stale: older than the bound")                                                                      \
        ROW(OWN, "not what this connection had written")                                                               \
        ROW(OUTLIVED, "served after its time to live")                                                                 \
        ROW(FUTURE, "never written so far")                                                                            \
        ROW(FOREIGN, "another key's")                                                                                  \
        ROW(TORN, "torn")                                                                                              \
        ROW(STRANGE, "a reply that no GET gets")

enum verdict {
#define ROW(name, says) VERDICT_##name,
        ORACLE_VERDICTS(ROW)
#undef ROW
                VERDICTS
};
extern const char *const oracle_verdict_says[VERDICTS];

/* One read that must not have been. */
struct finding {
        _Atomic uint32_t ready;
        enum verdict     verdict;
        uint32_t         key, seat, thread, bare;
        int32_t          pid;
        uint64_t         seq, newest_seq, own_seq; /* returned (0: nil), newest sent, newest of this connection */
        uint64_t         age_ns, begin_ns, end_ns;
        uint64_t         faults; /* bit n: injection n was there during the read, or less than the bound before */
        bool             nil;
        char             text[48]; /* what was read, its beginning */
};

/* ------------------------------------------------------------------------------------------------------ the rest */

enum seat_role {
        SEAT_EMPTY,
        SEAT_SHIMMED,
        SEAT_HAND,    /* shimmed, is never hurt, and does what it is told to */
        SEAT_CROWD,   /* shimmed, reads many keys that nobody else needs */
        SEAT_BARE,    /* not shimmed, reads alone */
        SEAT_FOREIGN, /* not shimmed, writes */
        SEAT_CLI,     /* by redis-cli */
};
enum { NO_WRITER = UINT32_MAX };

struct seat_thread {
        /* Set by the parent, before a process sits down. */
        uint32_t database, writer; /* NO_WRITER: reads alone */
        /* Counted by the thread. */
        _Alignas(64) _Atomic uint64_t reads, nils, writes, refused, lost, errors, connects, step_backs, own_reads;
        _Atomic uint64_t ages[ORACLE_AGES];
        _Atomic uint64_t verdicts[VERDICTS];
        _Atomic uint64_t worst_ns;
};

struct seat {
        uint32_t           role, threads;
        char               address[108]; /* what its connections connect to: a path, or host:port */
        _Atomic uint32_t   fork_wanted;  /* so many times */
        _Atomic uint64_t   forks;
        struct seat_thread thread[ORACLE_SEAT_THREADS];
};

/* What the hand shall send, and what became of it. */
enum hand_state { HAND_IDLE, HAND_WANTED, HAND_DONE, HAND_FAILED };

enum oracle_calm {
        CALM_NOT,
        CALM_FEW_WRITES,
        CALM_NO_WRITES,
};

struct oracle {
        uint64_t         seed, bound_ns;
        uint32_t         keys, database_0_keys; /* [0, those) are in database 0, the rest in database 2 */
        uint32_t         no_px;                 /* 1: no key gets a time to live (the server's clock is moved) */
        _Atomic uint64_t serial;                /* of connections: the next one's */
        _Atomic bool     stop;
        _Atomic uint32_t calm;                      /* enum oracle_calm */
        _Atomic bool     crowded;                   /* the crowd reads */
        _Atomic uint64_t faults;                    /* bit n: injection n is there, or was less than the bound ago */
        _Atomic uint64_t worst_ns[ORACLE_ROWS + 1]; /* oldest value seen while it was; the last: while none was */
        _Atomic uint32_t hand;
        char             hand_command[64];
        _Atomic uint32_t losses;
        struct loss      loss[ORACLE_LOSSES];
        _Atomic uint32_t findings; /* may exceed what there is room for */
        struct finding   finding[ORACLE_FINDINGS];
        struct seat      seat[ORACLE_SEATS];
        struct writer    writer[ORACLE_WRITERS];
        struct key       key[ORACLE_KEYS];
};

static inline uint64_t oracle_now_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * ORACLE_S + (uint64_t)ts.tv_nsec;
}

static inline uint64_t oracle_draw(uint64_t *seed)
{
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        return *seed;
}

static inline uint64_t oracle_below(uint64_t *seed, uint64_t n)
{
        return ((oracle_draw(seed) >> 32) * n) >> 32;
}

/* A seed of its own for each that has a number. */
uint64_t oracle_seed(uint64_t seed, uint64_t number);

/* Shared with processes that are executed: *fd stays open in them. Ends the program with a line if there is no memory.
 */
struct oracle *oracle_create(int *fd);
/* By the number of the descriptor; closes it. */
struct oracle *oracle_map(int fd);
/* Nothing was ever written. */
void oracle_clear(struct oracle *o);

/* ------------------------------------------------------------------------------------------------------- values */

/* Read by the children of one fork alone, and by its writer: what one of them misses, nobody else has brought in before
 * the other asks. */
static inline bool oracle_is_of_twins(uint32_t key)
{
        return key % 12 == 4;
}

/* Name of the key; text of the value that sequence has, of the key's size or so. Returns its length. */
void   oracle_key_name(const struct key *key, char name[24]);
size_t oracle_value(const struct key *key, uint64_t seq, char *text);

/* ------------------------------------------------------------------------------------------------ what is written */

/* About to be sent, by the writer alone: its sequence. */
uint64_t oracle_send(struct key *key, enum entry_kind kind, uint32_t px_ms);
/* What the text must know before it is told. */
uint64_t oracle_next(const struct key *key);
void     oracle_acked(struct key *key, uint64_t seq);
void     oracle_refused(struct key *key, uint64_t seq);
/* All that was sent so far and is in doubt was executed before now, or never will be. */
void oracle_closed(struct key *key);

/* What the server loses, by the parent alone, one after the other. */
struct loss *oracle_loss_begin(struct oracle *o, uint32_t databases);
struct loss *oracle_loss_begin_back(struct oracle *o, uint32_t databases, uint64_t from_ns, uint64_t to_ns);
void         oracle_loss_end(struct loss *loss);

/* ------------------------------------------------------------------------------------------------------- the judge */

struct oracle_read {
        uint32_t    key;
        uint64_t    begin_ns, end_ns, bound_ns;
        uint64_t    own_seq; /* acknowledged to this very connection; 0: none */
        const char *text;    /* NULL: nil */
        size_t      len;
        uint64_t    seq;    /* out: what was read; 0: nil */
        uint64_t    age_ns; /* out: 0: nothing newer was known */
};

/* May this read be? Pure: looks, changes nothing but what is out. */
enum verdict oracle_judge(const struct oracle *o, struct oracle_read *read);
/* Count it, and write down what must not be. bare: 1: judged as one that Redis itself answered. */
void oracle_note(struct oracle *o, uint32_t seat, uint32_t thread, bool bare, const struct oracle_read *read,
                 enum verdict verdict, uint64_t faults);

extern const uint64_t oracle_age_ns[ORACLE_AGES]; /* upper ends; the first is 0, the last has none */

#endif
