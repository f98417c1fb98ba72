/* strategy.h - how long values live: lives that have names, and what scale, spread and cap make of a life. Pure and
 * thread-safe. Lives are in whatever unit the caller counts in, where the name does not say one. */
#ifndef MT_BASE_STRATEGY_H
#define MT_BASE_STRATEGY_H

#include "bytes.h"

enum mt_strategy {
        MT_STRATEGY_DEFAULT,  /* 5 min */
        MT_STRATEGY_REALTIME, /* 10 s */
        MT_STRATEGY_SHORT,    /* 5 min */
        MT_STRATEGY_MEDIUM,   /* 1 h */
        MT_STRATEGY_LONG,     /* 3 h */
        MT_STRATEGY_CUSTOM,   /* what the caller says; it has no name to be found by */
        MT_STRATEGY_COUNT
};

/* Scale and jitter are decimals in millionths, as units_parse_decimal() reads them. */
#define STRATEGY_ONE UINT64_C(1000000)

/* The strategy of this name ("realtime"), -1 when none has it; and back. */
int         strategy_find(struct mt_bytes name);
const char *strategy_name(enum mt_strategy strategy);
/* Its life; of custom 0. */
uint64_t strategy_life_ms(enum mt_strategy strategy);

/* life x scale; no more than UINT64_MAX. */
uint64_t strategy_scaled(uint64_t life, uint64_t scale);
/* Spread down: between life x (1 - jitter) and life, as random says; all 64 bits of it count. jitter < STRATEGY_ONE. */
uint64_t strategy_spread(uint64_t life, uint64_t jitter, uint64_t random);

/* A nearer tier's part of a life of which so much remains: scaled, but never longer than what remains nor than longest,
 * then spread. remains UINT64_MAX: for ever. */
uint64_t strategy_share(uint64_t remains, uint64_t longest, uint64_t scale, uint64_t jitter, uint64_t random);

/* A strategy's life in a tier: scaled, then cut to cap_ms (0: no cap), then spread. custom_ms: the life of
 * MT_STRATEGY_CUSTOM. 0: no life at all, so that nothing is to be kept; a life that there was does not become 0 by
 * rounding. */
uint64_t strategy_ttl_ms(enum mt_strategy strategy, uint64_t custom_ms, uint64_t scale, uint64_t cap_ms,
                         uint64_t jitter, uint64_t random);

#endif
