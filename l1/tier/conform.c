/* conform.c - one check after the other, each with an object of its own and nothing in the store. */
#include "conform_run.h"

#include "../base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CONFORM_GUARD = 16, CONFORM_TIMEOUT_MS = 1000 };
#define CONFORM_POISON 0xa5

/* ----------------------------------------------------------------------------------------------- the verdict */

static void conform_say(struct conform_run *r, enum conform_verdict verdict, const char *format, va_list args)
{
        r->verdict = verdict;
        vsnprintf(r->seen, sizeof r->seen, format, args);
}

bool conform_fail(struct conform_run *r, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        conform_say(r, CONFORM_FAILED, format, args);
        va_end(args);
        return false;
}

bool conform_skip(struct conform_run *r, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        conform_say(r, CONFORM_SKIPPED, format, args);
        va_end(args);
        return false;
}

void conform_note(struct conform_run *r, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        conform_say(r, CONFORM_PASSED, format, args);
        va_end(args);
}

const char *conform_word(enum mt_status status)
{
        static const char *const word[] = {"MT_OK", "MT_MISS", "MT_REFUSED", "MT_STALE", "MT_UNSUPPORTED", "MT_ERROR"};

        return (unsigned)status < sizeof word / sizeof word[0] ? word[status] : "no status at all";
}

bool conform_is(struct conform_run *r, enum mt_status got, enum mt_status wanted, const char *what)
{
        return got == wanted || conform_fail(r, "%s: %s instead of %s", what, conform_word(got), conform_word(wanted));
}

/* ----------------------------------------------------------------------------------------- where a value goes */

static char *conform_room(struct mt_sink *sink, size_t len)
{
        struct conform_buffer *b = (struct conform_buffer *)sink;

        b->calls++;
        if (b->denies)
                return NULL;
        if (len + CONFORM_GUARD > b->room) {
                free(b->ptr);
                b->room = len + CONFORM_GUARD;
                b->ptr = malloc(b->room);
        }
        if (b->ptr == NULL) {
                b->room = 0;
                return NULL;
        }
        b->len = len;
        memset(b->ptr, CONFORM_POISON, len + CONFORM_GUARD);
        return b->ptr;
}

void conform_buffer_init(struct conform_buffer *b)
{
        *b = (struct conform_buffer){.sink.room = conform_room};
}

void conform_buffer_fini(struct conform_buffer *b)
{
        free(b->ptr);
        *b = (struct conform_buffer){0};
}

bool conform_buffer_overrun(const struct conform_buffer *b)
{
        for (size_t i = 0; b->ptr != NULL && i < CONFORM_GUARD; i++)
                if ((unsigned char)b->ptr[b->len + i] != CONFORM_POISON)
                        return true;
        return false;
}

/* -------------------------------------------------------------------------------------------- what must be so */

static enum mt_status conform_get(struct conform_run *r, bool with_ttl, struct mt_bytes key, struct conform_buffer *b)
{
        uint64_t       ttl_ms = 0;
        enum mt_status status;

        b->calls = 0;
        b->len = 0;
        status = with_ttl ? r->ops->get_with_ttl(r->self, key, &b->sink, &ttl_ms)
                          : r->ops->cache.get(r->self, key, &b->sink);
        if (status == MT_OK && with_ttl && ttl_ms == 0)
                conform_fail(r, "get_with_ttl: MT_OK with 0 ms to live");
        return status;
}

static bool conform_holds_by(struct conform_run *r, bool with_ttl, struct mt_bytes key, struct mt_bytes value,
                             const char *what, struct conform_buffer *b)
{
        const char    *call = with_ttl ? "get_with_ttl" : "get";
        enum mt_status status = conform_get(r, with_ttl, key, b);

        if (r->verdict == CONFORM_FAILED)
                return false;
        if (status != MT_OK)
                return conform_fail(r, "%s: %s says %s of a key that was set", what, call, conform_word(status));
        if (b->calls == 0)
                return conform_fail(r, "%s: %s asks for no room (for %zu bytes)", what, call, value.len);
        if (conform_buffer_overrun(b))
                return conform_fail(r, "%s: %s writes beyond the %zu bytes that it asked for", what, call, b->len);
        if (b->len != value.len)
                return conform_fail(r, "%s: %s gives %zu bytes of %zu", what, call, b->len, value.len);
        if (!mt_bytes_equal(mt_bytes(b->ptr, b->len), value))
                return conform_fail(r, "%s: %s gives other bytes than were set (%zu of them)", what, call, value.len);
        return true;
}

bool conform_holds(struct conform_run *r, struct mt_bytes key, struct mt_bytes value, const char *what)
{
        struct conform_buffer b;
        bool                  holds;

        conform_buffer_init(&b);
        holds = conform_holds_by(r, false, key, value, what, &b) && conform_holds_by(r, true, key, value, what, &b);
        conform_buffer_fini(&b);
        return holds;
}

bool conform_lacks(struct conform_run *r, struct mt_bytes key, const char *what)
{
        struct conform_buffer b;
        enum mt_status        plain, timed;

        conform_buffer_init(&b);
        plain = conform_get(r, false, key, &b);
        timed = conform_get(r, true, key, &b);
        conform_buffer_fini(&b);
        if (plain != MT_MISS)
                return conform_fail(r, "%s: get says %s instead of MT_MISS", what, conform_word(plain));
        if (timed != MT_MISS)
                return conform_fail(r, "%s: get_with_ttl says %s instead of MT_MISS", what, conform_word(timed));
        return true;
}

bool conform_set(struct conform_run *r, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms, const char *what)
{
        return conform_is(r, r->ops->cache.set_with_ttl(r->self, key, value, ttl_ms), MT_OK, what);
}

/* ------------------------------------------------------------------------------------------------ small things */

uint64_t conform_random(struct conform_run *r, uint64_t below)
{
        /* splitmix64: any start is a good one. */
        uint64_t z = r->random += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return (z ^ z >> 31) % below;
}

uint64_t conform_now_ms(void)
{
        return clock_read_ns(CLOCK_MONOTONIC) / NS_PER_MS;
}

void conform_wait_until_ms(uint64_t ms)
{
        struct timespec until = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * NS_PER_MS)};

        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
                ;
}

void conform_fill(char *to, size_t len, uint64_t seed)
{
        uint64_t word = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

        for (size_t i = 0; i < len; i++) {
                word = word * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                to[i] = (char)(word >> 56);
        }
}

struct mt_bytes conform_prefix(const struct conform_run *r, const char *text, char to[CONFORM_PREFIX_MAX])
{
        size_t len = strlen(text);

        memcpy(to, r->base.ptr, r->base.len);
        memcpy(to + r->base.len, text, len + 1);
        return mt_bytes(to, r->base.len + len);
}

void *conform_open(struct conform_run *r, struct mt_bytes prefix)
{
        struct mt_backend_config config = r->conform->config;
        char                     why[MT_BACKEND_WHY_MAX] = "";
        void                    *self = NULL;
        enum mt_status           status;

        config.prefix = prefix;
        status = r->conform->backend->open(&config, &self, why);
        if (status == MT_OK && self != NULL)
                return self;
        conform_fail(r, "open: %s: %.200s", conform_word(status), status == MT_OK ? "no object" : why);
        return NULL;
}

void conform_close(struct conform_run *r, void **self)
{
        r->conform->backend->close(*self);
        *self = NULL;
}

/* ----------------------------------------------------------------------------------------------------- the run */

/* False: it could not even be opened and emptied; then nothing else is worth a look. */
static bool conform_run_one(struct conform_run *r, const struct conform_check *check, struct conform_count *count)
{
        bool ready = false;

        r->verdict = CONFORM_PASSED;
        snprintf(r->seen, sizeof r->seen, "as it should be");
        r->random = 1;
        r->self = conform_open(r, conform_prefix(r, "a:", r->prefix));
        if (r->self != NULL) {
                ready = conform_is(r, r->ops->cache.flush(r->self), MT_OK, "flush of what is there from before");
                if (ready)
                        check->run(r);
                if (r->self != NULL) {
                        r->ops->cache.flush(r->self);
                        conform_close(r, &r->self);
                }
        }
        count->passed += r->verdict == CONFORM_PASSED;
        count->failed += r->verdict == CONFORM_FAILED;
        count->skipped += r->verdict == CONFORM_SKIPPED;
        r->conform->report(r->conform->arg, check->name, r->verdict, r->seen);
        return ready;
}

static bool conform_is_asked_for(const struct conform *conform, const char *name)
{
        return (conform->only == NULL || strcmp(conform->only, name) == 0) &&
               (conform->without == NULL || strcmp(conform->without, name) != 0);
}

struct conform_count conform_run(const struct conform *conform)
{
        const struct conform_check *const tables[] = {conform_values, conform_times, conform_removals, conform_crowds};
        struct conform_count              count = {0};
        struct conform_run                r = {.conform = conform, .ops = conform->backend->ops};
        char                              base[CONFORM_PREFIX_MAX / 2];
        int                               len;

        len = snprintf(base, sizeof base, "%.*smtshim-conform-%ld:", (int)conform->config.prefix.len,
                       conform->config.prefix.len > 0 ? conform->config.prefix.ptr : "", (long)getpid());
        r.base = mt_bytes(base, len < (int)sizeof base ? (size_t)len : sizeof base - 1);
        for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
                for (const struct conform_check *check = tables[i]; check->name != NULL; check++)
                        if (conform_is_asked_for(conform, check->name) && !conform_run_one(&r, check, &count))
                                return count;
        }
        return count;
}

bool conform_run_spec(struct mt_bytes text, const struct plugin_places *places, bool quick, conform_report_f *report,
                      void *arg, struct conform_count *count, char why[MT_BACKEND_WHY_MAX])
{
        struct conform conform = {.quick = quick, .report = report, .arg = arg};
        struct spec    spec;
        const char    *fault = spec_parse(text, &spec);

        if (fault != NULL) {
                snprintf(why, MT_BACKEND_WHY_MAX, "%s", fault);
                return false;
        }
        conform.backend = plugin_find(&spec, places, why);
        if (conform.backend == NULL)
                return false;
        conform.config = spec_config(&spec, mt_bytes("", 0), CONFORM_TIMEOUT_MS);
        *count = conform_run(&conform);
        return true;
}
