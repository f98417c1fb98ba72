/* worker.h - a program at work that obeys a line with a line (bench/common/worker.c says which lines). */
#ifndef MT_BENCH_WORKER_H
#define MT_BENCH_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

enum { WORKER_NUMBERS = 32 };

struct worker {
        pid_t       pid; /* 0: not started */
        FILE       *to, *from;
        const char *name;
};

/* environment: NAME=VALUE words parted by blanks, or empty; core -1: where the driver is, -2: every core. */
enum { CORE_OURS = -1, CORE_ANY = -2 };
struct worker worker_start(const char *name, const char *environment, const char *command, int core);
void          worker_tell(struct worker *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* How many numbers the answer has. Ends the driver when the worker has ended. */
size_t worker_hear(struct worker *w, double number[WORKER_NUMBERS]);
/* The answer's line, without its end. */
void worker_hear_line(struct worker *w, char *line, size_t size);
/* Tell, and hear the first number. */
double worker_ask(struct worker *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void   worker_end(struct worker *w);

/* The core that everything shares, and how many there are. */
int worker_cores(void);

#endif
