/* check_backend.c - the suite that stores must pass: ours do, and whatever is broken on purpose is found, by the checks
 * that are there for it and by no others. */
#include "l1/tier/builtin.h"
#include "l1/tier/conform.h"

#include <check.h>
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ----------------------------------------------------------------------------------------------------- the bed */

static char bed_directory[64];

static void bed_setup(void)
{
        snprintf(bed_directory, sizeof bed_directory, "/dev/shm/mtshim-backend.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(bed_directory));
}

static void bed_teardown(void)
{
        char           path[512];
        struct dirent *entry;
        DIR           *directory = opendir(bed_directory);

        while (directory != NULL && (entry = readdir(directory)) != NULL) {
                snprintf(path, sizeof path, "%s/%s", bed_directory, entry->d_name);
                unlink(path);
        }
        closedir(directory);
        rmdir(bed_directory);
}

/* How stores are opened here; shm in a segment by the name of what is tried. */
static const struct mt_backend_config *bed_config(const struct mt_backend *backend, const char *name)
{
        static struct mt_option         option[2];
        static struct mt_backend_config config;

        option[0] = (struct mt_option){mt_bytes_of("size"), mt_bytes_of("8M")};
        option[1] = (struct mt_option){mt_bytes_of("directory"), mt_bytes_of(bed_directory)};
        config = (struct mt_backend_config){
                .address = mt_bytes_of(name),
                .option = option,
                .options = backend == &backend_shm ? 2 : 1,
                .timeout_ms = 100,
        };
        return &config;
}

/* ------------------------------------------------------------------------------------------- the broken stores */

/* What is wrapped: a store whose functions a fault replaces, one or a few of them. Its objects are the real ones. */
static const struct mt_backend        *real;
static struct mt_l2_ops                ops;    /* with the fault */
static struct mt_backend               broken; /* likewise */
static const struct mt_backend_config *opened;
static _Atomic bool                    down;

#define REAL              (real->ops->cache)
#define UNLESS_DOWN(call) (down ? MT_ERROR : (call))

/* A server that can be stopped, over one that cannot. */
static enum mt_status down_get(void *s, struct mt_bytes k, struct mt_sink *out)
{
        return UNLESS_DOWN(REAL.get(s, k, out));
}
static enum mt_status down_get_with_ttl(void *s, struct mt_bytes k, struct mt_sink *out, uint64_t *ttl_ms)
{
        return UNLESS_DOWN(real->ops->get_with_ttl(s, k, out, ttl_ms));
}
static enum mt_status down_set_with_ttl(void *s, struct mt_bytes k, struct mt_bytes v, uint64_t ttl_ms)
{
        return UNLESS_DOWN(REAL.set_with_ttl(s, k, v, ttl_ms));
}
static enum mt_status down_set(void *s, struct mt_bytes k, struct mt_bytes v)
{
        return UNLESS_DOWN(REAL.set_with_ttl(s, k, v, MT_TTL_DEFAULT));
}
static enum mt_status down_remove(void *s, struct mt_bytes k)
{
        return UNLESS_DOWN(REAL.remove(s, k));
}
static enum mt_status down_remove_pattern(void *s, struct mt_bytes glob)
{
        return UNLESS_DOWN(REAL.remove_pattern != NULL ? REAL.remove_pattern(s, glob) : MT_UNSUPPORTED);
}
static enum mt_status down_flush(void *s)
{
        return UNLESS_DOWN(REAL.flush(s));
}
static bool down_health_check(void *s)
{
        return !down && REAL.health_check(s);
}
static enum mt_status down_mark(void *s, struct mt_bytes k, uint64_t *mark)
{
        return UNLESS_DOWN(real->ops->mark(s, k, mark));
}
static enum mt_status down_set_marked(void *s, struct mt_bytes k, struct mt_bytes v, uint64_t ttl_ms, uint64_t mark)
{
        return UNLESS_DOWN(real->ops->set_marked(s, k, v, ttl_ms, mark));
}

/* --- times */
static enum mt_status late_set_with_ttl(void *s, struct mt_bytes k, struct mt_bytes v, uint64_t ttl_ms)
{
        return down_set_with_ttl(s, k, v, ttl_ms != 0 && ttl_ms < MT_TTL_NONE / 2 ? ttl_ms + 300 : ttl_ms);
}
static enum mt_status late_get_with_ttl(void *s, struct mt_bytes k, struct mt_sink *out, uint64_t *ttl_ms)
{
        enum mt_status status = down_get_with_ttl(s, k, out, ttl_ms);

        if (status == MT_OK && *ttl_ms < MT_TTL_NONE / 2)
                *ttl_ms = *ttl_ms > 300 ? *ttl_ms - 300 : 1;
        return status;
}
static enum mt_status early_set_with_ttl(void *s, struct mt_bytes k, struct mt_bytes v, uint64_t ttl_ms)
{
        return down_set_with_ttl(s, k, v, ttl_ms > 1200 && ttl_ms < MT_TTL_NONE / 2 ? ttl_ms - 1100 : ttl_ms);
}
static enum mt_status more_get_with_ttl(void *s, struct mt_bytes k, struct mt_sink *out, uint64_t *ttl_ms)
{
        enum mt_status status = down_get_with_ttl(s, k, out, ttl_ms);

        if (status == MT_OK && *ttl_ms < 100000)
                *ttl_ms = (*ttl_ms / 1000 + 1) * 1000; /* rounded up */
        return status;
}
static enum mt_status words_set_with_ttl(void *s, struct mt_bytes k, struct mt_bytes v, uint64_t ttl_ms)
{
        return down_set_with_ttl(s, k, v, ttl_ms == MT_TTL_NONE ? ttl_ms : ttl_ms & UINT32_MAX);
}
static enum mt_status forever_set_with_ttl(void *s, struct mt_bytes k, struct mt_bytes v, uint64_t ttl_ms)
{
        return down_set_with_ttl(s, k, v, ttl_ms == 0 ? MT_TTL_NONE : ttl_ms);
}
static enum mt_status short_set(void *s, struct mt_bytes k, struct mt_bytes v)
{
        return down_set_with_ttl(s, k, v, 30000);
}

/* --- values */
struct cut_sink {
        struct mt_sink  sink;
        struct mt_sink *out;
        size_t          most;
        size_t          len;
        char           *spare;
};
static char *cut_room(struct mt_sink *sink, size_t len)
{
        struct cut_sink *c = (struct cut_sink *)sink;

        c->len = len;
        free(c->spare);
        c->spare = malloc(len + 1);
        return c->spare;
}
/* By way of a buffer of our own, so that what is handed on may be something else. */
static enum mt_status cut_get(void *s, struct mt_bytes k, struct mt_sink *out, size_t least, size_t most,
                              enum mt_status no_room)
{
        struct cut_sink c = {.sink.room = cut_room, .out = out};
        enum mt_status  status = down_get(s, k, &c.sink);
        char           *to;

        if (status == MT_OK && c.len < least)
                status = MT_MISS;
        if (status == MT_OK) {
                size_t len = c.len < most ? c.len : most;

                to = out->room(out, len);
                if (to != NULL)
                        memcpy(to, c.spare, len);
                else
                        status = no_room;
        }
        free(c.spare);
        return status;
}
static enum mt_status truncated_get(void *s, struct mt_bytes k, struct mt_sink *out)
{
        return cut_get(s, k, out, 0, 65536, MT_ERROR);
}
static enum mt_status no_empty_get(void *s, struct mt_bytes k, struct mt_sink *out)
{
        return cut_get(s, k, out, 1, SIZE_MAX, MT_ERROR);
}
static enum mt_status no_room_get(void *s, struct mt_bytes k, struct mt_sink *out)
{
        return cut_get(s, k, out, 0, SIZE_MAX, MT_MISS);
}
static char *no_ask_room(struct mt_sink *sink, size_t len)
{
        struct cut_sink *c = (struct cut_sink *)sink;
        static char      nothing[1];

        return len == 0 ? nothing : c->out->room(c->out, len);
}
static enum mt_status no_ask_get(void *s, struct mt_bytes k, struct mt_sink *out)
{
        struct cut_sink c = {.sink.room = no_ask_room, .out = out};

        return down_get(s, k, &c.sink);
}
static char *beyond_room(struct mt_sink *sink, size_t len)
{
        struct cut_sink *c = (struct cut_sink *)sink;
        char            *to = c->out->room(c->out, len);

        if (to != NULL && len == 5)
                to[len] = '\0'; /* as one does with texts */
        return to;
}
static enum mt_status beyond_get(void *s, struct mt_bytes k, struct mt_sink *out)
{
        struct cut_sink c = {.sink.room = beyond_room, .out = out};

        return down_get(s, k, &c.sink);
}
static enum mt_status keeps_set_with_ttl(void *s, struct mt_bytes k, struct mt_bytes v, uint64_t ttl_ms)
{
        return v.len > 2 << 20 ? MT_REFUSED : down_set_with_ttl(s, k, v, ttl_ms);
}
static enum mt_status error_set_with_ttl(void *s, struct mt_bytes k, struct mt_bytes v, uint64_t ttl_ms)
{
        return v.len > 1 << 20 ? MT_ERROR : down_set_with_ttl(s, k, v, ttl_ms);
}

/* A shorter value over a longer one leaves the tail of that. */
static enum mt_status tail_set_with_ttl(void *s, struct mt_bytes k, struct mt_bytes v, uint64_t ttl_ms)
{
        struct cut_sink c = {.sink.room = cut_room};
        enum mt_status  status = down_get(s, k, &c.sink);

        if (status == MT_OK && v.len == 64 && c.len > v.len) {
                memcpy(c.spare, v.ptr, v.len);
                status = down_set_with_ttl(s, k, mt_bytes(c.spare, c.len), ttl_ms);
        } else {
                status = down_set_with_ttl(s, k, v, ttl_ms);
        }
        free(c.spare);
        return status;
}

/* --- keys */
static struct mt_bytes text_key(struct mt_bytes k)
{
        return mt_bytes(k.ptr, k.len > 0 ? strnlen(k.ptr, k.len) : 0);
}
static struct mt_bytes short_key(struct mt_bytes k)
{
        return mt_bytes(k.ptr, k.len < 250 ? k.len : 250);
}
static struct mt_bytes lower_key(struct mt_bytes k)
{
        static _Thread_local char lower[1 << 20];

        for (size_t i = 0; i < k.len && i < sizeof lower; i++)
                lower[i] = (char)(k.ptr[i] >= 'A' && k.ptr[i] <= 'Z' ? k.ptr[i] + 32 : k.ptr[i]);
        return mt_bytes(lower, k.len);
}
static struct mt_bytes (*other_key)(struct mt_bytes k);
static enum mt_status key_get(void *s, struct mt_bytes k, struct mt_sink *out)
{
        return down_get(s, other_key(k), out);
}
static enum mt_status key_get_with_ttl(void *s, struct mt_bytes k, struct mt_sink *out, uint64_t *ttl_ms)
{
        return down_get_with_ttl(s, other_key(k), out, ttl_ms);
}
static enum mt_status key_set_with_ttl(void *s, struct mt_bytes k, struct mt_bytes v, uint64_t ttl_ms)
{
        return down_set_with_ttl(s, other_key(k), v, ttl_ms);
}
static enum mt_status key_remove(void *s, struct mt_bytes k)
{
        return down_remove(s, other_key(k));
}

static void keys_are(struct mt_bytes (*other)(struct mt_bytes k))
{
        other_key = other;
        ops.cache.get = key_get;
        ops.get_with_ttl = key_get_with_ttl;
        ops.cache.set_with_ttl = key_set_with_ttl;
        ops.cache.remove = key_remove;
}

static enum mt_status nameless_set_with_ttl(void *s, struct mt_bytes k, struct mt_bytes v, uint64_t ttl_ms)
{
        return k.len == 0 ? MT_ERROR : down_set_with_ttl(s, k, v, ttl_ms);
}
static enum mt_status error_get(void *s, struct mt_bytes k, struct mt_sink *out)
{
        enum mt_status status = down_get(s, k, out);

        return status == MT_MISS && mt_bytes_equal(k, mt_bytes_of("nothing")) ? MT_ERROR : status;
}

/* --- removals */
static enum mt_status strict_remove(void *s, struct mt_bytes k)
{
        struct cut_sink c = {.sink.room = cut_room};
        enum mt_status  there = down_get(s, k, &c.sink);

        free(c.spare);
        return there == MT_MISS ? MT_MISS : down_remove(s, k);
}
static enum mt_status lazy_remove(void *s, struct mt_bytes k)
{
        return down_set_with_ttl(s, k, mt_bytes("", 0), 3600000);
}
static enum mt_status half_flush(void *s)
{
        (void)s;
        return down ? MT_ERROR : MT_OK;
}
static enum mt_status no_class_remove_pattern(void *s, struct mt_bytes glob)
{
        return memchr(glob.ptr, '[', glob.len) != NULL ? MT_OK : down_remove_pattern(s, glob);
}
static enum mt_status all_remove_pattern(void *s, struct mt_bytes glob)
{
        (void)glob;
        return down_flush(s);
}

/* --- prefixes */
static enum mt_status no_prefix_open(const struct mt_backend_config *config, void **s, char *why)
{
        struct mt_backend_config other = *config;

        other.prefix = mt_bytes("", 0);
        return real->open(&other, s, why);
}
static enum mt_status bare_flush(void *s)
{
        void                    *bare;
        char                     why[MT_BACKEND_WHY_MAX];
        struct mt_backend_config config = *opened;
        enum mt_status           status = down_flush(s);

        if (status != MT_OK || real->open(&config, &bare, why) != MT_OK)
                return MT_ERROR;
        status = REAL.flush(bare);
        real->close(bare);
        return status;
}

/* --- options */
static enum mt_status any_option_open(const struct mt_backend_config *config, void **s, char *why)
{
        struct mt_backend_config other = *config;

        other.options = opened->options;
        return real->open(&other, s, why);
}
static enum mt_status unnamed_option_open(const struct mt_backend_config *config, void **s, char *why)
{
        enum mt_status status = real->open(config, s, why);

        snprintf(why, MT_BACKEND_WHY_MAX, "bad option");
        return status;
}

/* --- down */
static enum mt_status miss_get(void *s, struct mt_bytes k, struct mt_sink *out)
{
        return down ? MT_MISS : down_get(s, k, out);
}
static enum mt_status hides_remove(void *s, struct mt_bytes k)
{
        return down ? MT_OK : down_remove(s, k);
}
static bool always_health_check(void *s)
{
        (void)s;
        return true;
}
static bool ill_health_check(void *s)
{
        static bool stopped; /* so that nobody waits for it after that */

        stopped |= down;
        return stopped && down_health_check(s);
}
static enum mt_status slow_get(void *s, struct mt_bytes k, struct mt_sink *out)
{
        if (down)
                usleep(2300000);
        return down_get(s, k, out);
}
static enum mt_status down_open(const struct mt_backend_config *config, void **s, char *why)
{
        if (down)
                snprintf(why, MT_BACKEND_WHY_MAX, "connection refused");
        return down ? MT_ERROR : real->open(config, s, why);
}

/* --- marks: a count of removals, and what is left out of it, or done in the wrong order */
static pthread_mutex_t  marks_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint64_t marks_voids = 1000;
static void *_Atomic    marks_self; /* who gave out the last */
static bool             marks_skip_flush, marks_skip_pattern, marks_sets_count, marks_apart;

static enum mt_status counted(enum mt_status status, bool counts)
{
        marks_voids += counts && status == MT_OK;
        pthread_mutex_unlock(&marks_lock);
        return status;
}
static enum mt_status marks_remove(void *s, struct mt_bytes k)
{
        pthread_mutex_lock(&marks_lock);
        return counted(down_remove(s, k), true);
}
static enum mt_status marks_remove_of_own(void *s, struct mt_bytes k)
{
        pthread_mutex_lock(&marks_lock);
        return counted(down_remove(s, k), s == marks_self);
}
static enum mt_status marks_remove_pattern(void *s, struct mt_bytes glob)
{
        pthread_mutex_lock(&marks_lock);
        return counted(down_remove_pattern(s, glob), !marks_skip_pattern);
}
static enum mt_status marks_flush(void *s)
{
        pthread_mutex_lock(&marks_lock);
        return counted(down_flush(s), !marks_skip_flush);
}
static enum mt_status marks_set_with_ttl(void *s, struct mt_bytes k, struct mt_bytes v, uint64_t ttl_ms)
{
        pthread_mutex_lock(&marks_lock);
        return counted(down_set_with_ttl(s, k, v, ttl_ms), ttl_ms == 0 || marks_sets_count);
}
static enum mt_status marks_mark(void *s, struct mt_bytes k, uint64_t *mark)
{
        (void)k;
        marks_self = s;
        *mark = marks_voids;
        return UNLESS_DOWN(MT_OK);
}
static enum mt_status marks_set_marked(void *s, struct mt_bytes k, struct mt_bytes v, uint64_t ttl_ms, uint64_t mark)
{
        enum mt_status status = MT_STALE;

        pthread_mutex_lock(&marks_lock);
        if (mark == marks_voids && marks_apart) {
                pthread_mutex_unlock(&marks_lock);
                sched_yield();
                return down_set_with_ttl(s, k, v, ttl_ms);
        }
        if (mark == marks_voids)
                status = down_set_with_ttl(s, k, v, ttl_ms);
        return counted(status, false);
}
static void marks_counted(void)
{
        ops.cache.remove = marks_remove;
        ops.cache.remove_pattern = marks_remove_pattern;
        ops.cache.flush = marks_flush;
        ops.cache.set_with_ttl = marks_set_with_ttl;
        ops.mark = marks_mark;
        ops.set_marked = marks_set_marked;
}
static enum mt_status ignored_set_marked(void *s, struct mt_bytes k, struct mt_bytes v, uint64_t ttl_ms, uint64_t mark)
{
        (void)mark;
        return down_set_with_ttl(s, k, v, ttl_ms);
}
static enum mt_status removing_set_marked(void *s, struct mt_bytes k, struct mt_bytes v, uint64_t ttl_ms, uint64_t mark)
{
        enum mt_status status = down_set_marked(s, k, v, ttl_ms, mark);

        if (status == MT_STALE)
                REAL.remove(s, k);
        return status;
}
static enum mt_status forgetful_open(const struct mt_backend_config *config, void **s, char *why)
{
        marks_voids -= 2; /* as many as there were since the mark */
        return real->open(config, s, why);
}

/* --- many at once: a value in two halves, each of which is whole */
static struct mt_bytes half_key(struct mt_bytes k, char to[64])
{
        memcpy(to, k.ptr, k.len);
        to[k.len] = '2';
        return mt_bytes(to, k.len + 1);
}
static enum mt_status half_set_with_ttl(void *s, struct mt_bytes k, struct mt_bytes v, uint64_t ttl_ms)
{
        char           to[64];
        enum mt_status status;

        if (v.len < 32 || k.len > 60 || strncmp(k.ptr, "shared", 6) != 0)
                return down_set_with_ttl(s, k, v, ttl_ms);
        status = down_set_with_ttl(s, half_key(k, to), mt_bytes(v.ptr + 16, v.len - 16), ttl_ms);
        sched_yield();
        return status == MT_OK ? down_set_with_ttl(s, k, v, ttl_ms) : status;
}
static enum mt_status half_get(void *s, struct mt_bytes k, struct mt_sink *out)
{
        struct cut_sink head = {.sink.room = cut_room}, tail = {.sink.room = cut_room};
        char            to[64], *at;
        enum mt_status  status = k.len > 60 ? MT_ERROR : down_get(s, k, &head.sink);

        if (k.len > 60 || strncmp(k.ptr, "shared", 6) != 0) {
                free(head.spare);
                return down_get(s, k, out);
        }
        if (status == MT_OK && down_get(s, half_key(k, to), &tail.sink) == MT_OK && tail.len + 16 <= head.len)
                memcpy(head.spare + 16, tail.spare, tail.len);
        if (status == MT_OK && (at = out->room(out, head.len)) != NULL)
                memcpy(at, head.spare, head.len);
        free(head.spare);
        free(tail.spare);
        return status;
}

/* --------------------------------------------------------------------------------------------------- the table */

/* What is broken, of which store, which checks must find it (in the order of the suite), and how it is broken. */
#define FAULTS(X)                                                                                                      \
        X(none, process, "", (void)0)                                                                                  \
        X(none_shm, shm, "", (void)0)                                                                                  \
        X(counted_marks, process, "", marks_counted())                                                                 \
        X(counted_marks_shm, shm, "", marks_counted())                                                                 \
        X(late, process, "ttl-precision ttl-1ms ttl-100-years ttl-none ttl-end restart",                               \
          ops.cache.set_with_ttl = late_set_with_ttl)                                                                  \
        X(late_in_secret, process, "ttl-1ms ttl-end", ops.cache.set_with_ttl = late_set_with_ttl,                      \
          ops.get_with_ttl = late_get_with_ttl)                                                                        \
        X(early, process, "ttl-precision ttl-none ttl-end", ops.cache.set_with_ttl = early_set_with_ttl)               \
        X(rounded_up, process, "ttl-precision ttl-none ttl-end", ops.get_with_ttl = more_get_with_ttl)                 \
        X(times_of_32_bits, process, "ttl-precision ttl-100-years", ops.cache.set_with_ttl = words_set_with_ttl)       \
        X(zero_is_for_ever, process, "ttl-0 marks-void", ops.cache.set_with_ttl = forever_set_with_ttl)                \
        X(default_of_30_s, process, "ttl-default", ops.cache.set = short_set)                                          \
        X(truncated, process, "large-values", ops.cache.get = truncated_get)                                           \
        X(empty_is_a_miss, process, "empty-value overwrite", ops.cache.get = no_empty_get)                             \
        X(no_room_is_a_miss, process, "sink", ops.cache.get = no_room_get)                                             \
        X(no_room_asked, process, "empty-value overwrite", ops.cache.get = no_ask_get)                                 \
        X(writes_beyond, process, "round-trip binary overwrite sink remove marks-void", ops.cache.get = beyond_get)    \
        X(refused_stays, process, "large-values refused", ops.cache.set_with_ttl = keeps_set_with_ttl)                 \
        X(too_large_is_an_error, process, "large-values refused", ops.cache.set_with_ttl = error_set_with_ttl)         \
        X(tail_stays, process, "overwrite", ops.cache.set_with_ttl = tail_set_with_ttl)                                \
        X(keys_are_texts, process, "binary", keys_are(text_key))                                                       \
        X(keys_are_cut, process, "long-keys", keys_are(short_key))                                                     \
        X(keys_without_case, process, "round-trip", keys_are(lower_key))                                               \
        X(no_empty_key, process, "empty-key", ops.cache.set_with_ttl = nameless_set_with_ttl)                          \
        X(miss_is_an_error, process, "miss", ops.cache.get = error_get)                                                \
        X(absent_is_no_success, process, "remove marks-void marks-apart threads marks-threads reopen restart",         \
          ops.cache.remove = strict_remove)                                                                            \
        X(removed_is_empty, process, "binary remove marks-void threads marks-threads restart",                         \
          ops.cache.remove = lazy_remove)                                                                              \
        X(flush_does_nothing, process, "flush prefix marks-void", ops.cache.flush = half_flush)                        \
        X(no_classes, shm, "pattern pattern-random prefix marks-pattern",                                              \
          ops.cache.remove_pattern = no_class_remove_pattern)                                                          \
        X(pattern_removes_all, shm, "pattern pattern-random", ops.cache.remove_pattern = all_remove_pattern)           \
        X(no_prefix, shm, "prefix", broken.open = no_prefix_open)                                                      \
        X(flush_knows_no_prefix, shm, "prefix", ops.cache.flush = bare_flush)                                          \
        X(any_option, process, "bad-option", broken.open = any_option_open)                                            \
        X(unnamed_option, process, "bad-option", broken.open = unnamed_option_open)                                    \
        X(error_is_a_miss, process, "restart", ops.cache.get = miss_get)                                               \
        X(removed_while_down, process, "restart", ops.cache.remove = hides_remove)                                     \
        X(always_healthy, process, "restart", ops.cache.health_check = always_health_check)                            \
        X(ill, process, "health", ops.cache.health_check = ill_health_check)                                           \
        X(too_slow, process, "restart", ops.cache.get = slow_get)                                                      \
        X(not_opened_while_down, process, "restart", broken.open = down_open)                                          \
        X(mark_is_ignored, process, "marks-void marks-threads reopen restart", ops.set_marked = ignored_set_marked)    \
        X(void_mark_removes, process, "marks-void", ops.set_marked = removing_set_marked)                              \
        X(flush_leaves_marks, process, "marks-void", marks_counted(), marks_skip_flush = true)                         \
        X(pattern_leaves_marks, shm, "marks-pattern", marks_counted(), marks_skip_pattern = true)                      \
        X(marks_of_one_object, shm, "two-objects", marks_counted(), ops.cache.remove = marks_remove_of_own)            \
        X(set_ends_marks, process, "marks-kept", marks_counted(), marks_sets_count = true)                             \
        X(mark_and_set_apart, process, "marks-threads", marks_counted(), marks_apart = true)                           \
        X(marks_come_again, process, "reopen restart", marks_counted(), broken.open = forgetful_open)                  \
        X(torn, process, "threads", ops.cache.get = half_get, ops.cache.set_with_ttl = half_set_with_ttl)

#define X(name, store, expected, ...)                                                                                  \
        static void fault_##name(void)                                                                                 \
        {                                                                                                              \
                __VA_ARGS__;                                                                                           \
        }
FAULTS(X)
#undef X

static const struct fault {
        const char              *name, *expected;
        const struct mt_backend *real;
        void (*plant)(void);
} faults[] = {
#define X(name, store, expected, ...) {#name, expected, &backend_##store, fault_##name},
        FAULTS(X)
#undef X
};
enum { FAULTS_COUNT = sizeof faults / sizeof faults[0] };

static bool fault_stop(void *arg)
{
        (void)arg;
        down = true;
        return true;
}

static bool fault_start(void *arg)
{
        (void)arg;
        down = false;
        return true;
}

/* "name name", what failed; then the whole report. */
struct outcome {
        char failed[512], report[8192];
};

static void outcome_report(void *arg, const char *check, enum conform_verdict verdict, const char *seen)
{
        static const char *const word[] = {"ok", "FAIL", "skip"};
        struct outcome          *o = arg;
        size_t                   n = strlen(o->report), f = strlen(o->failed);

        snprintf(o->report + n, sizeof o->report - n, "  %-4s %s: %s\n", word[verdict], check, seen);
        if (verdict == CONFORM_FAILED)
                snprintf(o->failed + f, sizeof o->failed - f, "%s%s", f > 0 ? " " : "", check);
}

static void fault_prepare(const struct fault *fault)
{
        real = fault->real;
        opened = bed_config(real, fault->name);
        ops = (struct mt_l2_ops){
                .cache = {REAL.name, down_get, down_set_with_ttl, down_set, down_remove, down_remove_pattern,
                          down_flush, down_health_check},
                .get_with_ttl = down_get_with_ttl,
                .mark = down_mark,
                .set_marked = down_set_marked,
        };
        broken = *real;
        broken.ops = &ops;
        fault->plant();
}

static void fault_run(const struct fault *fault, struct outcome *o)
{
        fault_prepare(fault);
        conform_run(&(struct conform){.backend = &broken,
                                      .config = *opened,
                                      .quick = true,
                                      .without = strstr(fault->expected, "ttl") != NULL || fault->expected[0] == '\0'
                                                         ? NULL
                                                         : "ttl-end",
                                      .stop = fault_stop,
                                      .start = fault_start,
                                      .report = outcome_report,
                                      .arg = o});
}

struct child {
        pid_t pid;
        int   end; /* of a pipe, from which the outcome comes */
};

static struct child fault_start_run(const struct fault *fault)
{
        static struct outcome outcome;
        struct child          child;
        int                   ends[2];

        ck_assert_int_eq(pipe(ends), 0);
        child = (struct child){fork(), ends[0]};
        ck_assert_int_ge(child.pid, 0);
        if (child.pid == 0) {
                fault_run(fault, &outcome);
                _exit(write(ends[1], &outcome, sizeof outcome) != sizeof outcome);
        }
        close(ends[1]);
        return child;
}

/* False: it did not come to its end, or not well. */
static bool fault_outcome(const struct child *child, struct outcome *outcome)
{
        size_t  n = 0;
        ssize_t got;
        int     status;

        memset(outcome, 0, sizeof *outcome);
        while ((got = read(child->end, (char *)outcome + n, sizeof *outcome - n)) > 0)
                n += (size_t)got;
        close(child->end);
        ck_assert_int_eq(waitpid(child->pid, &status, 0), child->pid);
        return n == sizeof *outcome && status == 0;
}

/* Each in a process of its own, so that none finds what another has left; a few at a time. Those that no time is broken
 * in do without the one check that waits. */
START_TEST(each_fault_is_found)
{
        enum { AT_ONCE = 4 };
        static struct outcome outcome;
        struct child          child[FAULTS_COUNT];
        int                   wrong = 0;

        for (int i = 0; i < FAULTS_COUNT + AT_ONCE; i++) {
                if (i < FAULTS_COUNT)
                        child[i] = fault_start_run(&faults[i]);
                if (i < AT_ONCE)
                        continue;
                if (fault_outcome(&child[i - AT_ONCE], &outcome) &&
                    strcmp(outcome.failed, faults[i - AT_ONCE].expected) == 0)
                        continue;
                wrong++;
                fprintf(stderr, "%s: '%s' failed instead of '%s':\n%s", faults[i - AT_ONCE].name, outcome.failed,
                        faults[i - AT_ONCE].expected, outcome.report);
        }
        ck_assert_int_eq(wrong, 0);
}
END_TEST

/* What --quick leaves out; and neither store takes what is larger than itself. */
static enum mt_status huge_set_with_ttl(void *s, struct mt_bytes k, struct mt_bytes v, uint64_t ttl_ms)
{
        return k.len > 1 << 20 ? down_set_with_ttl(s, mt_bytes(k.ptr, 1 << 20), v, ttl_ms)
                               : down_set_with_ttl(s, k, v, ttl_ms);
}
static void huge_is_cut(void)
{
        ops.cache.set_with_ttl = huge_set_with_ttl;
}

START_TEST(what_is_too_large_is_refused)
{
        static const struct {
                const char  *check;
                struct fault fault;
        } huge[] = {
                {"huge-key", {"huge", "", &backend_process, fault_none}},
                {"huge-key", {"huge_shm", "", &backend_shm, fault_none}},
                {"huge-key", {"huge_cut", "huge-key", &backend_process, huge_is_cut}},
                {"refused", {"bounded", "", &backend_process, fault_none}},
                {"refused", {"bounded_shm", "", &backend_shm, fault_none}},
        };

        for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++) {
                struct outcome o = {0};

                fault_prepare(&huge[i].fault);
                conform_run(&(struct conform){.backend = &broken,
                                              .config = *opened,
                                              .only = huge[i].check,
                                              .report = outcome_report,
                                              .arg = &o});
                ck_assert_msg(strcmp(o.failed, huge[i].fault.expected) == 0, "%s: %s", huge[i].fault.name, o.report);
                ck_assert_msg(strstr(o.report, "skip") == NULL, "%s: %s", huge[i].fault.name, o.report);
        }
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("backend");
        TCase   *tcase = tcase_create("conformance");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_set_timeout(tcase, 170);
        tcase_add_unchecked_fixture(tcase, bed_setup, bed_teardown);
        tcase_add_test(tcase, each_fault_is_found);
        tcase_add_test(tcase, what_is_too_large_is_refused);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
