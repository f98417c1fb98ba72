/* oracle.h - what the checker's processes know of each other: which values were acknowledged, and when each of them was
 * ended by a write or a deletion that was acknowledged too. In a mapping that all share; whoever dies leaves out what
 * he was about to say, and then nothing is held against anybody. */
#ifndef TIERS_ORACLE_H
#define TIERS_ORACLE_H

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

enum { ORACLE_KEYS = 400, ORACLE_VALUES = 4096, ORACLE_WORKERS = 10 };
#define ORACLE_MOMENT_NS (UINT64_C(8) * 1000000)

struct oracle_value {
        _Atomic uint64_t ended_ns; /* 0: not */
        _Atomic uint32_t acknowledged;
        _Atomic uint32_t how; /* which command ended it */
};

struct oracle_key {
        _Atomic uint32_t    next; /* a value of its own for each SET */
        struct oracle_value value[ORACLE_VALUES];
};

struct oracle {
        uint64_t         began_ns;
        _Atomic uint32_t over;
        struct oracle_worker {
                _Atomic int32_t  pid;
                _Atomic uint32_t deletes; /* it is at it: a key that nobody else writes just now */
                _Atomic uint32_t key;     /* the last of these */
                _Atomic uint32_t held;    /* it is stopped, for long */
        } worker[ORACLE_WORKERS];
        _Atomic uint64_t  reads, nils, writes, deletes, failures, violations;
        struct oracle_key key[ORACLE_KEYS];
};

static inline uint64_t oracle_now_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/* The key whose moment it is: everybody is at it, for 8 ms, and then it is left alone but for reads until all others
 * have had theirs, since a permit must have stood before anything is put back. In the first half it is put back as
 * often as it is evicted, in the second everything is done to it. */
static inline uint32_t oracle_key_of(const struct oracle *oracle, uint64_t now_ns)
{
        return (uint32_t)((now_ns - oracle->began_ns) / ORACLE_MOMENT_NS % ORACLE_KEYS);
}

static inline int oracle_only_reads(const struct oracle *oracle, uint64_t now_ns)
{
        return (now_ns - oracle->began_ns) % ORACLE_MOMENT_NS < ORACLE_MOMENT_NS / 2;
}

#endif
