/* store_fixture.h - a tier's store in a folder of its own, and short words for what is done with it. */
#ifndef MT_TESTS_STORE_FIXTURE_H
#define MT_TESTS_STORE_FIXTURE_H

#include "l1/base/clock.h"
#include "l1/tier/conform.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wunused-function" /* each test file uses some of these */

/* A timeout that is waited for; and by how much a busy machine may exceed it. */
enum { STORE_BRIEF_MS = 400, STORE_GRACE_MS = 2000, STORE_VALUE_MAX = 4 << 20 };
#define STORE_HOUR UINT64_C(3600000)

extern const struct mt_backend backend_lmdb, backend_memcached;

static uint32_t store_timeout_ms = 4000; /* of what is opened: on a busy machine one waits long for a lock */
static char     store_folder[64];
static char     store_value[STORE_VALUE_MAX];
static size_t   store_value_len;

static char *store_room_of(struct mt_sink *sink, size_t len)
{
        (void)sink;
        store_value_len = len;
        return len <= sizeof store_value ? store_value : NULL;
}
static struct mt_sink store_sink = {store_room_of};

static void store_folder_make(void)
{
        const char *base = getenv("TMPDIR");

        snprintf(store_folder, sizeof store_folder, "%.40s/mtshim-st-XXXXXX", base != NULL ? base : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(store_folder));
}

static void store_folder_remove(void)
{
        char command[128];

        snprintf(command, sizeof command, "rm -rf '%s'", store_folder);
        ck_assert_int_eq(system(command), 0);
}

/* "size=64M&sync=0": cut up in place. */
static void store_options(char *text, struct mt_option *option, size_t *n)
{
        for (char *one = strtok(text, "&"); one != NULL; one = strtok(NULL, "&")) {
                char *is = strchr(one, '=');

                *is = '\0';
                option[(*n)++] = (struct mt_option){mt_bytes_of(one), mt_bytes_of(is + 1)};
        }
}

static enum mt_status store_try_open(const struct mt_backend *b, const char *address, const char *options, void **self,
                                     char *why)
{
        char                     text[256];
        struct mt_option         option[8];
        struct mt_backend_config c = {.address = mt_bytes_of(address),
                                      .prefix = mt_bytes_of("host:6379/0/"),
                                      .option = option,
                                      .timeout_ms = store_timeout_ms};

        snprintf(text, sizeof text, "%s", options);
        store_options(text, option, &c.options);
        why[0] = '\0';
        return b->open(&c, self, why);
}

static void *store_must_open(const struct mt_backend *b, const char *address, const char *options)
{
        char  why[MT_BACKEND_WHY_MAX];
        void *self = NULL;

        ck_assert_msg(store_try_open(b, address, options, &self, why) == MT_OK, "%s", why);
        return self;
}

static void *store_open_brief(const struct mt_backend *b, const char *address, const char *options)
{
        uint32_t usual = store_timeout_ms;
        void    *self;

        store_timeout_ms = STORE_BRIEF_MS;
        self = store_must_open(b, address, options);
        store_timeout_ms = usual;
        return self;
}

static enum mt_status put(const struct mt_backend *b, void *self, const char *key, const char *value)
{
        return b->ops->cache.set_with_ttl(self, mt_bytes_of(key), mt_bytes_of(value), STORE_HOUR);
}

static enum mt_status look(const struct mt_backend *b, void *self, const char *key)
{
        uint64_t ttl_ms;

        return b->ops->get_with_ttl(self, mt_bytes_of(key), &store_sink, &ttl_ms);
}

static bool has(const struct mt_backend *b, void *self, const char *key, const char *value)
{
        return look(b, self, key) == MT_OK &&
               mt_bytes_equal(mt_bytes(store_value, store_value_len), mt_bytes_of(value));
}

static enum mt_status drop(const struct mt_backend *b, void *self, const char *key)
{
        return b->ops->cache.remove(self, mt_bytes_of(key));
}

static uint64_t store_ms(void)
{
        return clock_read_ns(CLOCK_MONOTONIC) / NS_PER_MS;
}

/* A child that runs f and ends well. It dies with its parent. */
static pid_t store_child(void (*f)(void))
{
        pid_t pid = fork();

        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                f();
                _exit(0);
        }
        return pid;
}

static int store_status(pid_t pid)
{
        int status;

        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        return status;
}

static void store_kill(pid_t pid)
{
        kill(pid, SIGKILL);
        store_status(pid);
}

static unsigned store_failed;

static void store_report(void *arg, const char *check, enum conform_verdict verdict, const char *seen)
{
        (void)arg;
        store_failed += verdict == CONFORM_FAILED;
        printf("%-16s %s%s\n", check,
               verdict == CONFORM_FAILED    ? "FAILED "
               : verdict == CONFORM_SKIPPED ? "skipped "
                                            : "",
               seen);
        fflush(stdout);
}

static void store_conform(const struct mt_backend *b, const char *address, const char *options, bool (*stop)(void *),
                          bool (*start)(void *))
{
        char                 text[256];
        struct mt_option     option[8];
        struct conform       c = {.backend = b,
                                  .config = {.address = mt_bytes_of(address), .option = option},
                                  .quick = true,
                                  .stop = stop,
                                  .start = start,
                                  .report = store_report};
        struct conform_count count;

        snprintf(text, sizeof text, "%s", options);
        store_options(text, option, &c.config.options);
        c.config.timeout_ms = store_timeout_ms;
        count = conform_run(&c);
        ck_assert_uint_eq(count.failed, 0);
        ck_assert_uint_ge(count.passed, 20);
}

#endif
