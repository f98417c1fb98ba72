/* conform_removals.c - what is removed is gone, nothing else is, and no late value brings it back. */
#include "conform_run.h"

#include "../base/glob.h"

#include <stdio.h>

/* -------------------------------------------------------------------------------------------------- by key, all */

static void removals_key(struct conform_run *r)
{
        struct mt_bytes k = mt_bytes_of("k"), other = mt_bytes_of("other");

        MUST(conform_set(r, k, mt_bytes_of("v"), CONFORM_TTL, "set_with_ttl"));
        MUST(conform_set(r, other, mt_bytes_of("w"), CONFORM_TTL, "set_with_ttl"));
        MUST(conform_is(r, r->ops->cache.remove(r->self, k), MT_OK, "remove"));
        MUST(conform_lacks(r, k, "removed"));
        MUST(conform_is(r, r->ops->cache.remove(r->self, k), MT_OK, "remove of what is not there"));
        MUST(conform_holds(r, other, mt_bytes_of("w"), "another key, after a remove"));
        MUST(conform_set(r, k, mt_bytes_of("again"), CONFORM_TTL, "set_with_ttl after a remove"));
        MUST(conform_holds(r, k, mt_bytes_of("again"), "set after a remove"));
}

static void removals_flush(struct conform_run *r)
{
        char key[32];

        for (int i = 0; i < 100; i++) {
                snprintf(key, sizeof key, "k%d", i);
                MUST(conform_set(r, mt_bytes_of(key), mt_bytes_of("v"), CONFORM_TTL, "set_with_ttl"));
        }
        MUST(conform_is(r, r->ops->cache.flush(r->self), MT_OK, "flush"));
        for (int i = 0; i < 100; i++) {
                snprintf(key, sizeof key, "k%d", i);
                MUST(conform_lacks(r, mt_bytes_of(key), "flushed"));
        }
        MUST(conform_set(r, mt_bytes_of("k1"), mt_bytes_of("w"), CONFORM_TTL, "set_with_ttl after a flush"));
        MUST(conform_holds(r, mt_bytes_of("k1"), mt_bytes_of("w"), "set after a flush"));
}

/* ---------------------------------------------------------------------------------------------------- patterns */

/* Can it? Skips the check if not; the caller would flush. */
static bool removals_has_patterns(struct conform_run *r)
{
        if (r->ops->cache.remove_pattern != NULL &&
            r->ops->cache.remove_pattern(r->self, mt_bytes_of("nothing")) != MT_UNSUPPORTED)
                return true;
        return conform_skip(r, "no removal by pattern: the caller flushes");
}

/* As text: what is not printable as \xNN. */
static const char *removals_show(struct mt_bytes b, char to[80])
{
        size_t n = 0;

        for (size_t i = 0; i < b.len && n < 70; i++) {
                unsigned char c = (unsigned char)b.ptr[i];

                n += (size_t)snprintf(to + n, 80 - n, c < ' ' || c > '~' ? "\\x%02x" : "%c", c);
        }
        to[n] = '\0';
        return to;
}

/* All keys are there; remove by the pattern; those that match, and no others, are gone. */
static bool removals_match(struct conform_run *r, struct mt_bytes glob, const struct mt_bytes *key, size_t keys)
{
        struct conform_buffer b;
        char                  pattern[80], name[80];
        bool                  fine = true;

        for (size_t i = 0; fine && i < keys; i++)
                fine = conform_set(r, key[i], key[i], CONFORM_TTL, "set_with_ttl");
        if (!fine || !conform_is(r, r->ops->cache.remove_pattern(r->self, glob), MT_OK, "remove_pattern"))
                return false;
        conform_buffer_init(&b);
        for (size_t i = 0; fine && i < keys; i++) {
                enum mt_status status = r->ops->cache.get(r->self, key[i], &b.sink);
                enum mt_status wanted = glob_match(glob, key[i]) ? MT_MISS : MT_OK;

                if (status != wanted)
                        fine = conform_fail(r, "after '%s': '%s' is %s instead of %s", removals_show(glob, pattern),
                                            removals_show(key[i], name), conform_word(status), conform_word(wanted));
        }
        conform_buffer_fini(&b);
        return fine;
}

static void removals_pattern(struct conform_run *r)
{
        static const struct mt_bytes key[] = {
                {"user:1", 6},   {"user:2", 6}, {"user:10", 7}, {"User:1", 6},  {"hello", 5},    {"hallo", 5},
                {"hbllo", 5},    {"hllo", 4},   {"a*b", 3},     {"aXb", 3},     {"a?b", 3},      {"a[b", 3},
                {"a\\b", 4 - 1}, {"a]b", 3},    {"a\0b", 3},    {"a\0b\0c", 5}, {"\xff\xfe", 2}, {"line\nend", 8},
                {" ", 1},        {"a b", 3},    {"-", 1},       {"^", 1},
        };
        static const char *const glob[] = {
                "user:*", "user:?",       "user:[0-9]", "h[ae]llo",  "h[^e]llo", "h[a-b]llo", "h?llo", "h*llo", "a\\*b",
                "a\\?b",  "a\\[b",        "a\\\\b",     "a[*]b",     "a[\\]]b",  "*o",        "*e*l*", "a??",   "?",
                "*:*",    "[^a-z]*",      "nothing*",   "hello",     "a*b*c",    "a b",       "[-]",   "[\\^]", "*\n*",
                "[z-a]*", "\\u\\s\\er:1", "user:1*",    "a[^\\\\]b", "[",        "",          "*",
        };
        static const char zero[] = "a?b?c", nul[] = "a\0*";

        MUST(removals_has_patterns(r));
        for (size_t i = 0; i < sizeof glob / sizeof glob[0]; i++)
                MUST(removals_match(r, mt_bytes_of(glob[i]), key, sizeof key / sizeof key[0]));
        MUST(removals_match(r, mt_bytes(zero, sizeof zero - 1), key, sizeof key / sizeof key[0]));
        MUST(removals_match(r, mt_bytes(nul, sizeof nul - 1), key, sizeof key / sizeof key[0]));
}

static struct mt_bytes removals_word(struct conform_run *r, char *to, size_t least, size_t most, const char *alphabet)
{
        size_t n = least + conform_random(r, most - least + 1), letters = strlen(alphabet);

        for (size_t i = 0; i < n; i++)
                to[i] = alphabet[conform_random(r, letters)];
        return mt_bytes(to, n);
}

static void removals_pattern_random(struct conform_run *r)
{
        enum { KEYS = 24, ROUNDS = 60 };
        char            text[KEYS][8], glob[12];
        struct mt_bytes key[KEYS];

        MUST(removals_has_patterns(r));
        for (int round = 0; round < ROUNDS; round++) {
                for (int i = 0; i < KEYS; i++)
                        key[i] = removals_word(r, text[i], 1, sizeof text[i], i % 2 ? "ab" : "abc-\\]*?");
                MUST(removals_match(r, removals_word(r, glob, 1, sizeof glob, "ab*?[]^-\\c"), key, KEYS));
        }
        conform_note(r, "%d patterns over %d keys each", ROUNDS, KEYS);
}

/* ---------------------------------------------------------------------------------------------------- prefixes */

/* `self` holds what the other object must not reach: then all that the other can do is done to it. */
static bool removals_apart(struct conform_run *r, void *other, const char *what)
{
        const struct mt_cache_ops *ops = &r->ops->cache;
        struct mt_bytes            k = mt_bytes_of("k"), ours = mt_bytes_of("ours"), theirs = mt_bytes_of("theirs");
        void                      *self = r->self;
        bool                       fine;

        if (!conform_set(r, k, ours, CONFORM_TTL, "set_with_ttl"))
                return false;
        r->self = other;
        fine = conform_lacks(r, k, what) && conform_set(r, k, theirs, CONFORM_TTL, "set_with_ttl") &&
               conform_holds(r, k, theirs, what);
        r->self = self;
        fine = fine && conform_holds(r, k, ours, what) && conform_is(r, ops->remove(other, k), MT_OK, "remove") &&
               conform_holds(r, k, ours, what);
        r->self = other;
        fine = fine && conform_set(r, k, theirs, CONFORM_TTL, "set_with_ttl");
        if (fine && ops->remove_pattern != NULL && ops->remove_pattern(other, mt_bytes_of("[k]")) == MT_OK)
                fine = conform_lacks(r, k, what) && conform_set(r, k, theirs, CONFORM_TTL, "set_with_ttl");
        r->self = self;
        fine = fine && conform_holds(r, k, ours, what);
        if (fine && ops->remove_pattern != NULL)
                ops->remove_pattern(other, mt_bytes_of("*"));
        fine = fine && conform_holds(r, k, ours, what);
        r->self = other;
        fine = fine && conform_set(r, k, theirs, CONFORM_TTL, "set_with_ttl") &&
               conform_is(r, ops->flush(other), MT_OK, "flush") && conform_lacks(r, k, what);
        r->self = self;
        return fine && conform_holds(r, k, ours, what);
}

static void removals_prefix(struct conform_run *r)
{
        static const char *const prefix[] = {"b:", "*:", "?:", "[a]:", "[^b]:", "\\a:"};
        char                     text[CONFORM_PREFIX_MAX], what[64];

        for (size_t i = 0; i < sizeof prefix / sizeof prefix[0]; i++) {
                void *other;
                bool  apart;

                other = conform_open(r, conform_prefix(r, prefix[i], text));
                MUST(other != NULL);
                snprintf(what, sizeof what, "two prefixes, 'a:' and '%s'", prefix[i]);
                apart = removals_apart(r, other, what);
                r->ops->cache.flush(other);
                conform_close(r, &other);
                MUST(apart);
        }
}

/* ------------------------------------------------------------------------------------------------------- marks */

static bool removals_has_marks(struct conform_run *r)
{
        uint64_t mark;

        if (r->ops->mark != NULL && r->ops->mark(r->self, mt_bytes_of("k"), &mark) != MT_UNSUPPORTED)
                return true;
        return conform_skip(r, "no marks: preloaded programs do not write to it");
}

static bool removals_mark(struct conform_run *r, uint64_t *mark)
{
        return conform_is(r, r->ops->mark(r->self, mt_bytes_of("k"), mark), MT_OK, "mark");
}

/* The mark is void: nothing is stored, and what is there stays. value NULL: nothing is. */
static bool removals_void(struct conform_run *r, uint64_t mark, const char *value, const char *what)
{
        struct mt_bytes k = mt_bytes_of("k"), late = mt_bytes_of("late");

        if (!conform_is(r, r->ops->set_marked(r->self, k, late, CONFORM_TTL, mark), MT_STALE, what))
                return false;
        return value == NULL ? conform_lacks(r, k, what) : conform_holds(r, k, mt_bytes_of(value), what);
}

static bool removals_good(struct conform_run *r, uint64_t mark, const char *what)
{
        struct mt_bytes k = mt_bytes_of("k"), v = mt_bytes_of("marked");

        return conform_is(r, r->ops->set_marked(r->self, k, v, CONFORM_TTL, mark), MT_OK, what) &&
               conform_holds(r, k, v, what);
}

static void removals_marks_kept(struct conform_run *r)
{
        struct mt_bytes k = mt_bytes_of("k"), v = mt_bytes_of("v");
        uint64_t        mark;

        MUST(removals_has_marks(r));
        MUST(removals_mark(r, &mark));
        MUST(removals_good(r, mark, "set_marked of a new key"));
        MUST(removals_mark(r, &mark));
        MUST(removals_good(r, mark, "set_marked over a value"));
        MUST(removals_mark(r, &mark));
        MUST(conform_set(r, k, v, CONFORM_TTL, "set_with_ttl"));
        MUST(removals_good(r, mark, "set_marked after a set that is not marked"));
        MUST(conform_is(r, r->ops->cache.remove(r->self, k), MT_OK, "remove"));
        MUST(removals_mark(r, &mark));
        MUST(removals_good(r, mark, "set_marked with a mark that was taken after the remove"));
        MUST(conform_is(r, r->ops->set_marked(r->self, k, v, 0, mark), MT_OK, "set_marked for 0 ms"));
        MUST(conform_lacks(r, k, "set_marked for 0 ms"));
}

static void removals_marks_void(struct conform_run *r)
{
        struct mt_bytes k = mt_bytes_of("k");
        uint64_t        mark, second;

        MUST(removals_has_marks(r));
        MUST(removals_mark(r, &mark));
        MUST(conform_is(r, r->ops->cache.remove(r->self, k), MT_OK, "remove of what is not there"));
        MUST(removals_void(r, mark, NULL, "set_marked after a remove of what was not there"));
        MUST(conform_set(r, k, mt_bytes_of("v"), CONFORM_TTL, "set_with_ttl"));
        MUST(removals_mark(r, &mark));
        MUST(removals_mark(r, &second));
        MUST(conform_is(r, r->ops->cache.remove(r->self, k), MT_OK, "remove"));
        MUST(removals_void(r, mark, NULL, "set_marked after a remove"));
        MUST(conform_set(r, k, mt_bytes_of("newer"), CONFORM_TTL, "set_with_ttl"));
        MUST(removals_void(r, mark, "newer", "set_marked after a remove and a set"));
        MUST(removals_void(r, second, "newer", "set_marked with another mark from before the remove"));
        MUST(removals_mark(r, &mark));
        MUST(conform_set(r, k, mt_bytes_of("v"), 0, "set_with_ttl for 0 ms"));
        MUST(removals_void(r, mark, NULL, "set_marked after a set for 0 ms"));
        MUST(removals_mark(r, &mark));
        MUST(conform_is(r, r->ops->cache.flush(r->self), MT_OK, "flush"));
        MUST(removals_void(r, mark, NULL, "set_marked after a flush"));
}

static void removals_marks_pattern(struct conform_run *r)
{
        uint64_t mark;

        MUST(removals_has_marks(r) && removals_has_patterns(r));
        MUST(removals_mark(r, &mark));
        MUST(conform_is(r, r->ops->cache.remove_pattern(r->self, mt_bytes_of("[j-l]")), MT_OK, "remove_pattern"));
        MUST(removals_void(r, mark, NULL, "set_marked after a remove_pattern that matches what was not there"));
        MUST(conform_set(r, mt_bytes_of("k"), mt_bytes_of("v"), CONFORM_TTL, "set_with_ttl"));
        MUST(removals_mark(r, &mark));
        MUST(conform_is(r, r->ops->cache.remove_pattern(r->self, mt_bytes_of("k*")), MT_OK, "remove_pattern"));
        MUST(removals_void(r, mark, NULL, "set_marked after a remove_pattern"));
}

/* No fault, but good to know: a store whose marks all end together takes few late values while others are removed. */
static void removals_marks_apart(struct conform_run *r)
{
        enum { MARKS = 32 };
        uint64_t mark[MARKS];
        char     key[MARKS][16];
        unsigned good = 0;

        MUST(removals_has_marks(r));
        for (int i = 0; i < MARKS; i++) {
                snprintf(key[i], sizeof key[i], "key%d", i);
                MUST(conform_is(r, r->ops->mark(r->self, mt_bytes_of(key[i]), &mark[i]), MT_OK, "mark"));
        }
        MUST(conform_is(r, r->ops->cache.remove(r->self, mt_bytes_of("another")), MT_OK, "remove"));
        for (int i = 0; i < MARKS; i++) {
                enum mt_status status =
                        r->ops->set_marked(r->self, mt_bytes_of(key[i]), mt_bytes_of("v"), CONFORM_TTL, mark[i]);

                MUST(status == MT_OK || conform_is(r, status, MT_STALE, "set_marked after a remove of another key"));
                good += status == MT_OK;
        }
        conform_note(r, "%u of %d marks outlive the removal of another key", good, MARKS);
}

const struct conform_check conform_removals[] = {
        {"remove", removals_key},
        {"flush", removals_flush},
        {"pattern", removals_pattern},
        {"pattern-random", removals_pattern_random},
        {"prefix", removals_prefix},
        {"marks-kept", removals_marks_kept},
        {"marks-void", removals_marks_void},
        {"marks-pattern", removals_marks_pattern},
        {"marks-apart", removals_marks_apart},
        {0},
};
