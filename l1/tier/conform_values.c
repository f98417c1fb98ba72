/* conform_values.c - what goes in comes out, byte for byte, or is refused as a whole. */
#include "conform_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define VALUES_MIB (UINT64_C(1) << 20)

static void values_open(struct conform_run *r)
{
        const char *name = r->ops->cache.name(r->self);

        MUST((name != NULL && name[0] != '\0') || conform_fail(r, "name() gives no name"));
        conform_note(r, "%.60s (flags %x, %s, %s)", name, r->conform->backend->flags,
                     r->ops->mark != NULL ? "marks" : "no marks",
                     r->conform->backend->streams != NULL ? "streams" : "no streams");
}

/* Somebody mistyped: he must be told what. */
static void values_bad_option(struct conform_run *r)
{
        static const char        wrong[] = "no-such-option";
        struct mt_backend_config config = r->conform->config;
        struct mt_option         option[64];
        char                     why[MT_BACKEND_WHY_MAX] = "";
        void                    *self = NULL;
        enum mt_status           status;

        MUST(config.options < sizeof option / sizeof option[0] || conform_skip(r, "too many options already"));
        if (config.options > 0)
                memcpy(option, config.option, config.options * sizeof option[0]);
        option[config.options++] = (struct mt_option){mt_bytes_of(wrong), mt_bytes_of("1")};
        config.option = option;
        config.prefix = mt_bytes_of(r->prefix);
        status = r->conform->backend->open(&config, &self, why);
        if (status == MT_OK)
                r->conform->backend->close(self);
        MUST(conform_is(r, status, MT_ERROR, "open with an option that no store has"));
        why[sizeof why - 1] = '\0';
        MUST(strstr(why, wrong) != NULL || conform_fail(r, "open does not name the bad option: '%.200s'", why));
}

static void values_health(struct conform_run *r)
{
        MUST(r->ops->cache.health_check(r->self) || conform_fail(r, "health_check() says no"));
}

static void values_miss(struct conform_run *r)
{
        MUST(conform_lacks(r, mt_bytes_of("nothing"), "a key that was never set"));
}

static void values_round_trip(struct conform_run *r)
{
        MUST(conform_set(r, mt_bytes_of("key"), mt_bytes_of("value"), CONFORM_TTL, "set_with_ttl"));
        MUST(conform_holds(r, mt_bytes_of("key"), mt_bytes_of("value"), "5 bytes"));
        MUST(conform_lacks(r, mt_bytes_of("ke"), "the head of a key"));
        MUST(conform_lacks(r, mt_bytes_of("key2"), "a longer key"));
        MUST(conform_lacks(r, mt_bytes_of("Key"), "the key in another case"));
}

static void values_empty_value(struct conform_run *r)
{
        MUST(conform_set(r, mt_bytes_of("k"), mt_bytes("", 0), CONFORM_TTL, "set_with_ttl of 0 bytes"));
        MUST(conform_holds(r, mt_bytes_of("k"), mt_bytes("", 0), "a value of 0 bytes"));
        MUST(conform_set(r, mt_bytes_of("k"), mt_bytes(NULL, 0), CONFORM_TTL, "set_with_ttl of 0 bytes at NULL"));
        MUST(conform_holds(r, mt_bytes_of("k"), mt_bytes("", 0), "a value of 0 bytes at NULL"));
}

/* Kept, and then found; or refused, and then not. *kept says which. */
static bool values_whole(struct conform_run *r, struct mt_bytes key, struct mt_bytes value, const char *what,
                         bool *kept)
{
        enum mt_status status = r->ops->cache.set_with_ttl(r->self, key, value, CONFORM_TTL);

        *kept = status == MT_OK;
        if (status == MT_OK)
                return conform_holds(r, key, value, what);
        if (status != MT_REFUSED)
                return conform_fail(r, "%s: %s, neither kept nor refused", what, conform_word(status));
        if (!conform_lacks(r, key, what))
                return false;
        return conform_is(r, r->ops->cache.remove(r->self, key), MT_OK, "remove of a key that is refused");
}

static void values_empty_key(struct conform_run *r)
{
        bool kept;

        MUST(values_whole(r, mt_bytes("", 0), mt_bytes_of("v"), "a key of 0 bytes", &kept));
        conform_note(r, kept ? "kept" : "refused");
}

static void values_binary(struct conform_run *r)
{
        static const struct mt_option pair[] = {
                {{"a\0b", 3}, {"\0", 1}},          {{"a\0c", 3}, {"a\0b\0c", 5}},  {{"a", 1}, {"\r\n", 2}},
                {{"\0", 1}, {"\xff\xfe", 2}},      {{"\0\0", 2}, {"%s%n", 4}},     {{"\xff", 1}, {" ", 1}},
                {{"with blank", 10}, {"$3\r", 3}}, {{"line\r\n", 6}, {"\n", 1}},   {{"*", 1}, {"star", 4}},
                {{"\\", 1}, {"escape", 6}},        {{"\xc3\xa4", 2}, {"\x80", 1}}, {{"%00", 3}, {"percent", 7}},
        };
        enum { PAIRS = sizeof pair / sizeof pair[0] };
        static char all[256];

        for (size_t i = 0; i < PAIRS; i++)
                MUST(conform_set(r, pair[i].name, pair[i].value, CONFORM_TTL, "a key of any bytes"));
        for (size_t i = 0; i < PAIRS; i++)
                MUST(conform_holds(r, pair[i].name, pair[i].value, "keys and values of any bytes"));
        for (size_t i = 0; i < sizeof all; i++)
                all[i] = (char)i;
        MUST(conform_set(r, mt_bytes_of("all"), mt_bytes(all, sizeof all), CONFORM_TTL, "a value of all bytes"));
        MUST(conform_holds(r, mt_bytes_of("all"), mt_bytes(all, sizeof all), "a value of all bytes"));
        MUST(conform_is(r, r->ops->cache.remove(r->self, pair[0].name), MT_OK, "remove"));
        MUST(conform_lacks(r, pair[0].name, "a key with a NUL that was removed"));
        MUST(conform_holds(r, pair[1].name, pair[1].value, "its neighbour, which differs behind the NUL"));
}

/* Two that differ in their last byte alone are two. */
static bool values_long_key(struct conform_run *r, char *key, size_t len, bool *kept)
{
        char what[64];

        snprintf(what, sizeof what, "a key of %zu bytes", len);
        key[len - 1] = 'x';
        if (!values_whole(r, mt_bytes(key, len), mt_bytes_of("x"), what, kept))
                return false;
        key[len - 1] = 'y';
        if (!conform_lacks(r, mt_bytes(key, len), "a long key, the last byte of which is another"))
                return false;
        if (!values_whole(r, mt_bytes(key, len), mt_bytes_of("the other"), what, kept))
                return false;
        key[len - 1] = 'x';
        return !*kept || conform_holds(r, mt_bytes(key, len), mt_bytes_of("x"), what);
}

static void values_long_keys(struct conform_run *r)
{
        static const size_t lens[] = {1,   64,  200,  250,  251,  255,   256,   400,   511,
                                      512, 513, 1023, 1024, 4096, 16384, 65535, 65536, 1 << 20};
        size_t              longest = 0;
        char               *key = malloc(1 << 20);
        bool                fine = key != NULL, kept = false;

        if (fine)
                memset(key, 'k', 1 << 20);
        for (size_t i = 0; fine && i < sizeof lens / sizeof lens[0]; i++) {
                fine = values_long_key(r, key, lens[i], &kept);
                if (kept)
                        longest = lens[i];
        }
        free(key);
        MUST(fine);
        MUST(longest >= 64 || conform_fail(r, "no key of 64 bytes is kept"));
        conform_note(r, "kept up to %zu bytes%s", longest, longest == 1 << 20 ? "" : ", refused beyond");
}

/* Pages that were never written are one page of zeros: it takes room only where somebody copies it. */
static void values_huge_key(struct conform_run *r)
{
        const size_t len = 512 * VALUES_MIB;
        char        *key;
        bool         kept, whole;

        MUST(!r->conform->quick || conform_skip(r, "--quick: a key of 512 MB"));
        key = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        MUST(key != MAP_FAILED || conform_skip(r, "no address space for 512 MB"));
        whole = values_whole(r, mt_bytes(key, len), mt_bytes_of("v"), "a key of 512 MB", &kept);
        if (whole && kept)
                whole = conform_is(r, r->ops->cache.remove(r->self, mt_bytes(key, len)), MT_OK, "remove");
        munmap(key, len);
        MUST(whole);
        conform_note(r, kept ? "kept" : "refused");
}

static void values_large(struct conform_run *r)
{
        static const size_t lens[] = {4095, 4096, 16383, 65536, 262144, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20};
        size_t              longest = 0;
        char               *value = malloc(3 << 20);
        bool                fine = value != NULL, kept = false;
        char                what[64];

        for (size_t i = 0; fine && i < sizeof lens / sizeof lens[0]; i++) {
                conform_fill(value, lens[i], i);
                snprintf(what, sizeof what, "a value of %zu bytes", lens[i]);
                fine = values_whole(r, mt_bytes_of("large"), mt_bytes(value, lens[i]), what, &kept);
                if (kept)
                        longest = lens[i];
        }
        free(value);
        MUST(fine);
        MUST(longest >= 65536 || conform_fail(r, "no value of 64 KiB is kept"));
        conform_note(r, "kept up to %zu bytes%s", longest, longest == 3 << 20 ? "" : ", refused beyond");
}

static void values_overwrite(struct conform_run *r)
{
        static const size_t lens[] = {100, 5, 0, 1000, 1, 20000, 3, 3, 65536, 64, 0, 7};
        static char         value[65536];
        char                what[64];

        for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
                conform_fill(value, lens[i], i);
                snprintf(what, sizeof what, "%zu bytes over %zu", lens[i], i > 0 ? lens[i - 1] : 0);
                MUST(conform_set(r, mt_bytes_of("k"), mt_bytes(value, lens[i]), CONFORM_TTL, what));
                MUST(conform_holds(r, mt_bytes_of("k"), mt_bytes(value, lens[i]), what));
        }
}

/* What was there before must not outlive a value that was not taken in its place. */
static void values_refused(struct conform_run *r)
{
        size_t         most = (r->conform->quick ? 4 : 64) * VALUES_MIB, len = VALUES_MIB;
        char          *value = calloc(1, most);
        enum mt_status status = MT_OK;
        bool           fine = value != NULL;

        for (; fine && status == MT_OK && len <= most; len *= 2) {
                fine = conform_set(r, mt_bytes_of("k"), mt_bytes_of("old"), CONFORM_TTL, "set_with_ttl");
                if (fine)
                        status = r->ops->cache.set_with_ttl(r->self, mt_bytes_of("k"), mt_bytes(value, len),
                                                            CONFORM_TTL);
        }
        free(value);
        MUST(fine);
        MUST(status != MT_OK || conform_skip(r, "nothing was refused up to %zu bytes", most));
        MUST(conform_is(r, status, MT_REFUSED, "a value that is too large"));
        MUST(conform_lacks(r, mt_bytes_of("k"), "a key whose new value was refused"));
        conform_note(r, "%zu bytes are refused, and nothing is left", len / 2);
}

/* The caller has no room: that is his error, no miss, and changes nothing. */
static void values_sink(struct conform_run *r)
{
        struct conform_buffer b;
        enum mt_status        plain, timed;
        uint64_t              ttl_ms;
        unsigned              calls;

        MUST(conform_set(r, mt_bytes_of("k"), mt_bytes_of("value"), CONFORM_TTL, "set_with_ttl"));
        conform_buffer_init(&b);
        b.denies = true;
        plain = r->ops->cache.get(r->self, mt_bytes_of("k"), &b.sink);
        timed = r->ops->get_with_ttl(r->self, mt_bytes_of("k"), &b.sink, &ttl_ms);
        calls = b.calls;
        conform_buffer_fini(&b);
        MUST(conform_is(r, plain, MT_ERROR, "get into a sink without room"));
        MUST(conform_is(r, timed, MT_ERROR, "get_with_ttl into a sink without room"));
        MUST(calls >= 2 || conform_fail(r, "the sink was not asked"));
        MUST(conform_holds(r, mt_bytes_of("k"), mt_bytes_of("value"), "after that"));
}

const struct conform_check conform_values[] = {
        {"open", values_open},
        {"bad-option", values_bad_option},
        {"health", values_health},
        {"miss", values_miss},
        {"round-trip", values_round_trip},
        {"empty-value", values_empty_value},
        {"empty-key", values_empty_key},
        {"binary", values_binary},
        {"long-keys", values_long_keys},
        {"huge-key", values_huge_key},
        {"large-values", values_large},
        {"overwrite", values_overwrite},
        {"refused", values_refused},
        {"sink", values_sink},
        {0},
};
