/* driver.h - the run: its sides, its size, and what it is writing.
 *
 * A side is a way to have a value: a program with an address, bare or preloaded. Every side's worker lives as long
 * as the run; sides take turns in short batches, so that drift and disturbance of the machine meet all of them alike.
 * Everything runs on one core, the servers' (bench/run has bound itself to it), except for the rows that say
 * otherwise. */
#ifndef MT_BENCH_DRIVER_H
#define MT_BENCH_DRIVER_H

#include "worker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdnoreturn.h>

enum { SIDES_MAX = 24 };

struct side {
        char          name[32], label[64];
        char          store[32];        /* sides of one store see the same values; "own": each process has its own */
        char          environment[512]; /* NAME=VALUE words */
        char          command[1024];
        char          left_out[128]; /* why, when it is */
        bool          aux, wide;     /* for certain rows alone; given the keys of the uniform popularity too */
        bool          preloaded;
        bool          threads, write, memory; /* what its worker says that it can */
        struct worker worker;
};

/* How much is done: full, quick or smoke. */
struct scale {
        const char *name;
        size_t      zipf_keys, uniform_keys, draws; /* keys of the two popularities, and how many draws of each */
        size_t      rounds;                         /* batches of each cell */
        double      batch_ns;                       /* how long a batch is to take */
        size_t      each, each_rounds;              /* calls timed one by one, and how often */
        size_t      pairs, spawns, firsts;          /* of two sides; of /bin/true; of programs new to L1 */
        size_t      scaling_rounds;
        bool        callgrind;
};

struct bench {
        const struct scale *scale;
        const char         *folder; /* for sequences; on tmpfs where there is one */
        struct side         side[SIDES_MAX];
        size_t              sides;
};

/* NULL: no such side, or it is left out. */
struct side *bench_side(struct bench *b, const char *name);
/* Starts another process of that side. */
struct worker side_start(const struct side *s, int core);
bool          side_shared(const struct side *s);
bool          side_in_tables(const struct side *s);

/* The path of a sequence by its name. Valid until the eighth call after it. */
const char *bench_path(const struct bench *b, const char *name);

noreturn void driver_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
