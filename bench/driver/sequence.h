/* sequence.h - files of keys, so that every side is asked for the same ones, and none pays for drawing them. */
#ifndef MT_BENCH_SEQUENCE_H
#define MT_BENCH_SEQUENCE_H

#include <stddef.h>

enum sequence_pattern {
        SEQUENCE_TURN,    /* 0, 1, 2 .. span-1, and again */
        SEQUENCE_UNIFORM, /* each as likely as another */
        SEQUENCE_ZIPF     /* the k-th most wanted in proportion to 1/k^0.99; which key that is, is scattered */
};

/* count records (struct peer_key) of keys that `load SET 0 span` stores. Ends the program when that fails. */
void sequence_write(const char *path, const char *set, enum sequence_pattern pattern, size_t span, size_t count);

#endif
