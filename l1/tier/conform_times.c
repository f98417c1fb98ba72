/* conform_times.c - values die when they should: at most a second early, never late, and what remains is told. */
#include "conform_run.h"

#include "../base/clock.h"

#include <stdio.h>

#define TIMES_DAY   UINT64_C(86400000)
#define TIMES_YEAR  (UINT64_C(36525) * TIMES_DAY / 100)
#define TIMES_EARLY UINT64_C(1000) /* ms that a store may round away */
#define TIMES_TICK  UINT64_C(20)   /* ms that a store's coarse clock may lag when it says what remains */

/* The remaining time of a key that is there. */
static bool times_left(struct conform_run *r, struct mt_bytes key, uint64_t *left_ms, const char *what)
{
        struct conform_buffer b;
        enum mt_status        status;

        conform_buffer_init(&b);
        status = r->ops->get_with_ttl(r->self, key, &b.sink, left_ms);
        conform_buffer_fini(&b);
        return conform_is(r, status, MT_OK, what);
}

/* Of a key that was set for ttl_ms between the two times, now: not more than is left, not a second less. On a host that
 * is slow enough it may be over. */
static bool times_left_of(struct conform_run *r, struct mt_bytes key, uint64_t ttl_ms, uint64_t before, uint64_t after)
{
        struct conform_buffer b;
        uint64_t              left = 0, asked = conform_now_ms(), answered;
        enum mt_status        status;
        char                  what[64];

        snprintf(what, sizeof what, "set for %llu ms", (unsigned long long)ttl_ms);
        conform_buffer_init(&b);
        status = r->ops->get_with_ttl(r->self, key, &b.sink, &left);
        conform_buffer_fini(&b);
        answered = conform_now_ms();
        if (status == MT_MISS && answered - before + TIMES_EARLY >= ttl_ms)
                return true;
        if (!conform_is(r, status, MT_OK, what))
                return false;
        if (left > ttl_ms || left > ttl_ms - (asked - after) + TIMES_TICK)
                return conform_fail(r, "%s: %llu ms remain after %llu", what, (unsigned long long)left,
                                    (unsigned long long)(asked - after));
        if (left + TIMES_EARLY + (answered - before) < ttl_ms)
                return conform_fail(r, "%s: only %llu ms remain after %llu", what, (unsigned long long)left,
                                    (unsigned long long)(answered - before));
        return true;
}

static void times_precision(struct conform_run *r)
{
        /* 30 days is where memcached begins to read dates, 2^31 ms and 2^32 ms are where words of 32 bits end. */
        static const uint64_t ttls[] = {1500,           2000,       9999,           61001,
                                        3600000,        TIMES_DAY,  2147483648,     30 * TIMES_DAY,
                                        31 * TIMES_DAY, 4294967297, 300 * TIMES_DAY};

        for (size_t i = 0; i < sizeof ttls / sizeof ttls[0]; i++) {
                uint64_t before = conform_now_ms();

                MUST(conform_set(r, mt_bytes_of("k"), mt_bytes_of("v"), ttls[i], "set_with_ttl"));
                MUST(times_left_of(r, mt_bytes_of("k"), ttls[i], before, conform_now_ms()));
        }
}

static void times_default(struct conform_run *r)
{
        uint64_t before = conform_now_ms();

        MUST(r->ops->cache.set != NULL || conform_skip(r, "set() is left to the caller"));
        MUST(conform_is(r, r->ops->cache.set(r->self, mt_bytes_of("k"), mt_bytes_of("v")), MT_OK, "set"));
        MUST(conform_holds(r, mt_bytes_of("k"), mt_bytes_of("v"), "set without a time"));
        MUST(times_left_of(r, mt_bytes_of("k"), MT_TTL_DEFAULT, before, conform_now_ms()));
}

static void times_zero(struct conform_run *r)
{
        MUST(conform_set(r, mt_bytes_of("new"), mt_bytes_of("v"), 0, "set_with_ttl for 0 ms"));
        MUST(conform_lacks(r, mt_bytes_of("new"), "set for 0 ms"));
        MUST(conform_set(r, mt_bytes_of("k"), mt_bytes_of("v"), CONFORM_TTL, "set_with_ttl"));
        MUST(conform_set(r, mt_bytes_of("k"), mt_bytes_of("w"), 0, "set_with_ttl for 0 ms"));
        MUST(conform_lacks(r, mt_bytes_of("k"), "set for 0 ms over a value"));
}

static void times_tiny(struct conform_run *r)
{
        uint64_t now;

        MUST(conform_set(r, mt_bytes_of("k"), mt_bytes_of("v"), 1, "set_with_ttl for 1 ms"));
        now = conform_now_ms();
        conform_wait_until_ms(now + 2); /* now was rounded down */
        MUST(conform_lacks(r, mt_bytes_of("k"), "2 ms after a set for 1 ms"));
}

static void times_century(struct conform_run *r)
{
        uint64_t left;

        MUST(conform_set(r, mt_bytes_of("k"), mt_bytes_of("v"), 100 * TIMES_YEAR, "set_with_ttl for 100 years"));
        MUST(conform_holds(r, mt_bytes_of("k"), mt_bytes_of("v"), "set for 100 years"));
        MUST(times_left(r, mt_bytes_of("k"), &left, "set for 100 years"));
        MUST(left <= 100 * TIMES_YEAR || conform_fail(r, "100 years: %llu ms remain", (unsigned long long)left));
        MUST(left >= TIMES_YEAR || conform_fail(r, "100 years: only %llu ms remain", (unsigned long long)left));
        MUST(conform_set(r, mt_bytes_of("k"), mt_bytes_of("w"), MT_TTL_NONE - 1, "set_with_ttl for 2^64 - 2 ms"));
        MUST(conform_holds(r, mt_bytes_of("k"), mt_bytes_of("w"), "set for 2^64 - 2 ms"));
        if (left < 100 * TIMES_YEAR - TIMES_DAY)
                conform_note(r, "cut to %llu days", (unsigned long long)(left / TIMES_DAY));
}

static void times_none(struct conform_run *r)
{
        uint64_t left, before;

        MUST(conform_set(r, mt_bytes_of("k"), mt_bytes_of("v"), MT_TTL_NONE, "set_with_ttl without end"));
        MUST(conform_holds(r, mt_bytes_of("k"), mt_bytes_of("v"), "set without end"));
        MUST(times_left(r, mt_bytes_of("k"), &left, "set without end"));
        MUST(left == MT_TTL_NONE || conform_fail(r, "without end: %llu ms remain", (unsigned long long)left));
        before = conform_now_ms();
        MUST(conform_set(r, mt_bytes_of("k"), mt_bytes_of("w"), 10000, "set_with_ttl over one without end"));
        MUST(times_left_of(r, mt_bytes_of("k"), 10000, before, conform_now_ms()));
        MUST(conform_set(r, mt_bytes_of("k"), mt_bytes_of("v"), MT_TTL_NONE, "set_with_ttl without end"));
        MUST(times_left(r, mt_bytes_of("k"), &left, "an end taken away"));
        MUST(left == MT_TTL_NONE || conform_fail(r, "an end taken away: %llu ms", (unsigned long long)left));
}

/* One wait for all that time has to pass for. Short dies at 1.2 s and may die from 0.2 s on, long from 19 s on. */
static void times_end(struct conform_run *r)
{
        enum { SHORT_MS = 1200, LONG_MS = 20000 };
        struct mt_bytes v = mt_bytes_of("v"), brief = mt_bytes_of("short"), longer = mt_bytes_of("long");
        struct mt_bytes shortened = mt_bytes_of("shortened"), lengthened = mt_bytes_of("lengthened");
        uint64_t        before = conform_now_ms(), after;

        MUST(conform_set(r, shortened, v, CONFORM_TTL, "set_with_ttl"));
        MUST(conform_set(r, lengthened, v, SHORT_MS, "set_with_ttl"));
        MUST(conform_set(r, lengthened, v, LONG_MS, "set_with_ttl"));
        MUST(conform_set(r, longer, v, LONG_MS, "set_with_ttl"));
        MUST(conform_set(r, shortened, v, SHORT_MS, "set_with_ttl"));
        MUST(conform_set(r, brief, v, SHORT_MS, "set_with_ttl"));
        after = conform_now_ms();
        MUST(times_left_of(r, brief, SHORT_MS, before, after));
        conform_wait_until_ms(after + 1 + SHORT_MS); /* after was rounded down */
        MUST(conform_lacks(r, brief, "1.2 s after a set for 1.2 s"));
        MUST(conform_lacks(r, shortened, "1.2 s after a set for 1.2 s over one for an hour"));
        MUST(conform_now_ms() < before + LONG_MS / 2 || conform_skip(r, "this host is too slow"));
        MUST(times_left_of(r, longer, LONG_MS, before, after));
        MUST(conform_holds(r, lengthened, v, "1.2 s after a set for 20 s over one for 1.2 s"));
}

const struct conform_check conform_times[] = {
        {"ttl-precision", times_precision},
        {"ttl-default", times_default},
        {"ttl-0", times_zero},
        {"ttl-1ms", times_tiny},
        {"ttl-100-years", times_century},
        {"ttl-none", times_none},
        {"ttl-end", times_end},
        {0},
};
