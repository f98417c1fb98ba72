/* l1_fixture.h - a segment of its own for each test of l1/, in a directory that goes away with it. */
#ifndef MT_TESTS_L1_FIXTURE_H
#define MT_TESTS_L1_FIXTURE_H

#include "l1/cache/index.h"
#include "l1/cache/item.h"
#include "l1/base/log.h"
#include "l1/l1.h"
#include "l1/segment/segment.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
        char                  directory[64];
        struct l1_config      config;
        struct l1            *l1;
        struct server_shm    *server;
        struct namespace_shm *ns;
        uint32_t              incarnation;
};

static struct fixture fixture;

static inline void fixture_name_server(struct l1_server_id *id, unsigned number)
{
        *id = (struct l1_server_id){.family = 1, .id = {42, number, 0}};
        snprintf(id->address, sizeof id->address, "/run/test-%u.sock", number);
}

static inline void fixture_attach(void)
{
        struct l1_server_id id;
        uint64_t            user[2];

        fixture.l1 = l1_attach(&fixture.config);
        ck_assert_ptr_nonnull(fixture.l1);
        fixture_name_server(&id, 0);
        fixture.server = l1_server(fixture.l1, &id);
        ck_assert_ptr_nonnull(fixture.server);
        fixture.incarnation = mt_load_relaxed(&fixture.server->incarnation);
        l1_user_digest(fixture.l1, NULL, 0, user);
        fixture.ns = l1_namespace(fixture.l1, fixture.server, 0, user);
        ck_assert_ptr_nonnull(fixture.ns);
}

/* A directory alone, nothing in it. */
static inline void fixture_prepare(uint64_t size_bytes, uint64_t max_item_bytes)
{
        snprintf(fixture.directory, sizeof fixture.directory, "/dev/shm/mtshim-unit.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(fixture.directory));
        fixture.config = (struct l1_config){
                .name = "unit",
                .size_bytes = size_bytes,
                .max_item_bytes = max_item_bytes,
                .directory = fixture.directory,
        };
}

static inline void fixture_setup(uint64_t size_bytes, uint64_t max_item_bytes)
{
        fixture_prepare(size_bytes, max_item_bytes);
        fixture_attach();
}

static inline void fixture_remove(void)
{
        DIR           *directory = opendir(fixture.directory);
        struct dirent *entry;
        char           path[512];

        if (directory == NULL)
                return;
        while ((entry = readdir(directory)) != NULL) {
                snprintf(path, sizeof path, "%s/%s", fixture.directory, entry->d_name);
                unlink(path);
        }
        closedir(directory);
        umount2(fixture.directory, MNT_DETACH); /* where a test has mounted something there */
        rmdir(fixture.directory);
}

/* Usual: 8 MiB, so that it fills in no time. */
static inline void fixture_usual(void)
{
        fixture_setup(UINT64_C(8) << 20, 100000);
}

static inline void fixture_end(void)
{
        if (fixture.l1 != NULL) {
                const char *fault = l1_verify(fixture.l1);

                ck_assert_msg(fault == NULL, "%s", fault);
                l1_detach(fixture.l1);
        }
        fixture.l1 = NULL;
        fixture_remove();
}

static inline struct l1_key fixture_key(struct mt_bytes key)
{
        return (struct l1_key){key, l1_hash(fixture.l1, l1_server_index(fixture.l1, fixture.server), key)};
}

static inline uint32_t fixture_id(void)
{
        return l1_namespace_id(fixture.server, fixture.incarnation, fixture.ns);
}

static inline bool fixture_lease(const struct l1_key *key, struct l1_lease *lease)
{
        return l1_lease(fixture.l1, key, fixture_id(), clock_coarse_ns(), lease);
}

static inline bool fixture_put_until(struct mt_bytes key, struct mt_bytes value, uint64_t deadline_ns)
{
        struct l1_key   wanted = fixture_key(key);
        struct l1_lease lease;

        return fixture_lease(&wanted, &lease) && l1_fill(fixture.l1, &wanted, &lease, value, deadline_ns);
}

static inline bool fixture_put(struct mt_bytes key, struct mt_bytes value)
{
        return fixture_put_until(key, value, clock_coarse_ns() + 300 * NS_PER_S);
}

/* The value's length, -1 for a miss, -2 for nil. */
static inline long fixture_get(struct mt_bytes key, void *to, size_t room)
{
        struct l1_key wanted = fixture_key(key);
        struct l1_hit hit;

        if (!l1_find(fixture.l1, &wanted, fixture_id(), clock_coarse_ns(), &hit) &&
            (hit.word == 0 ||
             l1_look_at_end(fixture.l1, &wanted, fixture_id(), clock_coarse_ns(), &hit) == L1_END_OVER))
                return -1;
        ck_assert_uint_le(hit.len, room);
        if (!l1_copy(&hit, to))
                return -1;
        return hit.nil ? -2 : (long)hit.len;
}

static inline bool fixture_has(struct mt_bytes key, struct mt_bytes value)
{
        static char got[8 << 20];
        long        len = fixture_get(key, got, sizeof got);

        return len >= 0 && mt_bytes_equal(mt_bytes(got, (size_t)len), value);
}

static inline uint64_t fixture_count(enum l1_counter counter)
{
        struct l1_totals totals;

        l1_totals(fixture.l1, false, &totals);
        return totals.count[counter];
}

/* Number n as a key, in a buffer of the caller's. */
static inline struct mt_bytes fixture_number(char to[32], const char *stem, unsigned n)
{
        return mt_bytes(to, (size_t)snprintf(to, 32, "%s:%u", stem, n));
}

/* Run in a child; it must end well, or by the signal that is expected. */
static inline void fixture_child(void (*body)(void), int signal)
{
        pid_t pid = fork();
        int   status;

        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                l1_after_fork(fixture.l1);
                body();
                _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status), signal);
}

static inline int fixture_run(Suite *suite)
{
        SRunner *runner = srunner_create(suite);
        int      failed;

        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
