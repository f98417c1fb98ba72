/* check_memcached.c - the memcached tier, with real servers on unix sockets: everything a store must do, and what
 * happens when they are stopped, gone, back, emptied, or have something else under our names. */
#include "halt.h"
#include "store_fixture.h"

#include <fcntl.h>
#include <libmemcached/memcached.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

extern _Atomic int64_t memcached_test_wall_us;

#define B (&backend_memcached)
enum { SERVERS = 2 };

static pid_t server_pid[SERVERS];

static const char *server_path(unsigned i)
{
        static char path[SERVERS][96];

        snprintf(path[i], sizeof path[i], "%s/%u.sock", store_folder, i);
        return path[i];
}

static const char *both(void)
{
        static char list[256];

        snprintf(list, sizeof list, "%s,%s", server_path(0), server_path(1));
        return list;
}

static bool server_answers(unsigned i)
{
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        int                fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        char               c;
        bool               answers;

        strcpy(a.sun_path, server_path(i));
        answers = connect(fd, (struct sockaddr *)&a, sizeof a) == 0 && write(fd, "version\r\n", 9) == 9 &&
                  read(fd, &c, 1) == 1;
        close(fd);
        return answers;
}

static void server_start(unsigned i)
{
        uint64_t until = store_ms() + 10000;

        unlink(server_path(i));
        server_pid[i] = fork();
        if (server_pid[i] == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                execlp("memcached", "memcached", "-s", server_path(i), "-u", "root", "-m", "64", "-t", "2", NULL);
                _exit(127);
        }
        while (!server_answers(i)) {
                ck_assert_msg(store_ms() < until, "memcached does not start");
                usleep(2000);
        }
}

static void server_stop(unsigned i)
{
        if (server_pid[i] > 0)
                store_kill(server_pid[i]);
        server_pid[i] = 0;
}

static bool conform_stop(void *arg)
{
        (void)arg;
        server_stop(0);
        return true;
}

static bool conform_start(void *arg)
{
        (void)arg;
        server_start(0);
        return true;
}

static void setup(void)
{
        store_folder_make();
        for (unsigned i = 0; i < SERVERS; i++)
                server_start(i);
}

static void teardown(void)
{
        for (unsigned i = 0; i < SERVERS; i++)
                server_stop(i);
        store_folder_remove();
}

START_TEST(conforms)
{
        store_conform(B, server_path(0), "", conform_stop, conform_start);
}
END_TEST

START_TEST(conforms_on_two_servers)
{
        store_conform(B, both(), "", NULL, NULL);
}
END_TEST

/* Nothing answers, but somebody is there: errors, no misses, within the time; then as if nothing had been. */
START_TEST(stopped)
{
        void    *self = store_open_brief(B, server_path(0), "");
        uint64_t mark, start;

        ck_assert_int_eq(put(B, self, "k", "v"), MT_OK);
        ck_assert_int_eq(B->ops->mark(self, mt_bytes_of("k"), &mark), MT_OK);
        halt(server_pid[0]);
        for (int i = 0; i < 5; i++) {
                start = store_ms();
                ck_assert_int_eq(i == 0   ? look(B, self, "k")
                                 : i == 1 ? put(B, self, "k", "w")
                                 : i == 2 ? drop(B, self, "k")
                                 : i == 3 ? B->ops->cache.flush(self)
                                          : B->ops->set_marked(self, mt_bytes_of("k"), mt_bytes_of("x"), STORE_HOUR,
                                                               mark),
                                 MT_ERROR);
                ck_assert_uint_ge(store_ms() - start, STORE_BRIEF_MS / 2);
                ck_assert_uint_lt(store_ms() - start, STORE_BRIEF_MS + STORE_GRACE_MS);
        }
        ck_assert(!B->ops->cache.health_check(self));
        kill(server_pid[0], SIGCONT);
        ck_assert(B->ops->cache.health_check(self));
        ck_assert_int_eq(put(B, self, "k", "y"), MT_OK);
        ck_assert(has(B, self, "k", "y"));
        B->close(self);
}
END_TEST

/* A request that was given up reaches the server later, after a remove: it must not bring anything back. */
START_TEST(late_write)
{
        void    *late = store_open_brief(B, server_path(0), ""), *self = store_open_brief(B, server_path(0), "");
        uint64_t mark;

        ck_assert_int_eq(B->ops->mark(late, mt_bytes_of("k"), &mark), MT_OK);
        ck_assert_int_eq(drop(B, self, "k"), MT_OK);
        ck_assert_int_eq(put(B, self, "k", "newer"), MT_OK);
        ck_assert_int_eq(B->ops->set_marked(late, mt_bytes_of("k"), mt_bytes_of("old"), STORE_HOUR, mark), MT_STALE);
        ck_assert(has(B, self, "k", "newer"));
        ck_assert_int_eq(B->ops->mark(late, mt_bytes_of("k"), &mark), MT_OK);
        halt(server_pid[0]);
        ck_assert_int_eq(B->ops->set_marked(late, mt_bytes_of("k"), mt_bytes_of("old"), STORE_HOUR, mark), MT_ERROR);
        kill(server_pid[0], SIGCONT);
        ck_assert_int_eq(drop(B, self, "k"), MT_OK);
        for (int i = 0; i < 50; i++)
                ck_assert_int_eq(look(B, self, "k"), MT_MISS);
        B->close(late);
        B->close(self);
}
END_TEST

START_TEST(nobody_there)
{
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t          len = sizeof a;
        int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, and never listening */
        char               address[32];
        uint64_t           start;
        void              *self;

        ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
        snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(a.sin_port));
        self = store_open_brief(B, address, "");
        start = store_ms();
        for (int i = 0; i < 20; i++)
                ck_assert_int_eq(look(B, self, "k"), MT_ERROR);
        ck_assert_int_eq(drop(B, self, "k"), MT_ERROR);
        ck_assert(!B->ops->cache.health_check(self));
        ck_assert_uint_lt(store_ms() - start, STORE_BRIEF_MS); /* refused at once, each time */
        B->close(self);
        close(fd);
}
END_TEST

/* Keys are on both; what one of them has is an error while it is down, never somebody else's; a flush needs both. */
START_TEST(one_of_two_down)
{
        enum { KEYS = 100 };
        void    *self = store_must_open(B, both(), "");
        char     key[16];
        unsigned there = 0, errors = 0;

        for (int i = 0; i < KEYS; i++) {
                snprintf(key, sizeof key, "k%d", i);
                ck_assert_int_eq(put(B, self, key, key), MT_OK);
        }
        server_stop(1);
        for (int i = 0; i < KEYS; i++) {
                enum mt_status status;

                snprintf(key, sizeof key, "k%d", i);
                status = look(B, self, key);
                ck_assert_int_ne(status, MT_MISS);
                there += status == MT_OK, errors += status == MT_ERROR;
        }
        ck_assert_uint_ge(there, KEYS / 5);
        ck_assert_uint_ge(errors, KEYS / 5);
        ck_assert(!B->ops->cache.health_check(self));
        ck_assert_int_eq(B->ops->cache.flush(self), MT_ERROR);
        server_start(1);
        ck_assert(B->ops->cache.health_check(self));
        ck_assert_int_eq(put(B, self, "again", "v"), MT_OK);
        ck_assert_int_eq(B->ops->cache.flush(self), MT_OK);
        for (int i = 0; i < KEYS; i++) {
                snprintf(key, sizeof key, "k%d", i);
                ck_assert_int_eq(look(B, self, key), MT_MISS);
        }
        B->close(self);
}
END_TEST

/* ------------------------------------------------------------------------------------- behind the tier's back */

/* "k%3Ax" as it is. */
static void raw_decode(const char *from, char *to, size_t room)
{
        unsigned c;

        for (size_t n = 0; *from != '\0' && n + 1 < room; to[++n] = '\0') {
                to[n] = *from++;
                if (to[n] == '%' && sscanf(from, "%2x", &c) == 1)
                        to[n] = (char)c, from += 2;
        }
}

/* All keys of a server, by memcached's own crawler; it may be busy. */
static unsigned raw_dump(char key[][256], unsigned most)
{
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        int                fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        unsigned           n = 0;
        char               line[1024], *end;
        FILE              *f;

        strcpy(a.sun_path, server_path(0));
        ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
        ck_assert_int_gt(write(fd, "lru_crawler metadump all\r\n", 26), 0);
        f = fdopen(fd, "r");
        while (fgets(line, sizeof line, f) != NULL && strncmp(line, "END", 3) != 0)
                if (strncmp(line, "key=", 4) == 0 && n < most) {
                        end = strchr(line, ' ');
                        *end = '\0';
                        raw_decode(line + 4, key[n++], 256);
                }
        fclose(f);
        return n;
}

/* Those of one kind, of which there is one at least. */
static unsigned raw_keys(char kind, char key[][256], unsigned most)
{
        uint64_t until = store_ms() + 10000;
        unsigned found = 0;

        while (found == 0) {
                unsigned n = raw_dump(key, most);

                ck_assert_msg(store_ms() < until, "no key of kind %c is shown", kind);
                for (unsigned i = 0; i < n; i++)
                        if (key[i][0] == kind)
                                memmove(key[found++], key[i], sizeof key[i]);
        }
        return found;
}

static memcached_st *raw_client(void)
{
        memcached_st *st = memcached_create(NULL);

        memcached_server_add_unix_socket(st, server_path(0));
        return st;
}

static void raw_delete(char kind)
{
        static char   key[64][256];
        unsigned      n = raw_keys(kind, key, 64);
        memcached_st *st = raw_client();

        for (unsigned i = 0; i < n; i++)
                ck_assert_int_eq(memcached_delete(st, key[i], strlen(key[i]), 0), MEMCACHED_SUCCESS);
        memcached_free(st);
}

/* Evicted: what was before must not be there again with the next one. */
START_TEST(generation_evicted)
{
        void    *self = store_must_open(B, server_path(0), "");
        uint64_t mark;

        ck_assert_int_eq(put(B, self, "k", "v"), MT_OK);
        ck_assert_int_eq(B->ops->mark(self, mt_bytes_of("k"), &mark), MT_OK);
        raw_delete('g');
        ck_assert_int_eq(look(B, self, "k"), MT_MISS);
        ck_assert_int_eq(B->ops->set_marked(self, mt_bytes_of("k"), mt_bytes_of("w"), STORE_HOUR, mark), MT_STALE);
        ck_assert_int_eq(put(B, self, "k", "w"), MT_OK);
        ck_assert(has(B, self, "k", "w"));
        B->close(self);
}
END_TEST

/* Somebody else's value, or half of ours, under our name. */
START_TEST(foreign_items)
{
        static const char *const junk[] = {"", "x", "mtm1", "mtm1xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"};
        void                    *self = store_must_open(B, server_path(0), "");
        memcached_st            *st = raw_client();
        static char              key[64][256];
        unsigned                 n;

        for (size_t j = 0; j < sizeof junk / sizeof junk[0]; j++) {
                ck_assert_int_eq(put(B, self, "k", "v"), MT_OK);
                n = raw_keys('k', key, 64);
                for (unsigned i = 0; i < n; i++)
                        ck_assert_int_eq(memcached_set(st, key[i], strlen(key[i]), junk[j], strlen(junk[j]), 0, 0),
                                         MEMCACHED_SUCCESS);
                ck_assert_int_eq(look(B, self, "k"), MT_MISS);
                ck_assert_int_eq(put(B, self, "k", "w"), MT_OK);
                ck_assert(has(B, self, "k", "w"));
        }
        memcached_free(st);
        B->close(self);
}
END_TEST

/* A key that is too long for memcached is a hash there: what has the same one is another key. */
START_TEST(hashes_that_meet)
{
        static char        long_key[1001], key[64][256];
        void              *self = store_must_open(B, server_path(0), "");
        memcached_st      *st = raw_client();
        memcached_return_t rc;
        uint32_t           flags;
        size_t             len;
        char              *item;

        memset(long_key, 'k', sizeof long_key - 1);
        ck_assert_int_eq(put(B, self, long_key, "v"), MT_OK);
        ck_assert(has(B, self, long_key, "v"));
        ck_assert_uint_eq(raw_keys('h', key, 64), 1);
        item = memcached_get(st, key[0], strlen(key[0]), &len, &flags, &rc);
        ck_assert(item != NULL && len > 1000);
        item[len - 500]++; /* in its key */
        ck_assert_int_eq(memcached_set(st, key[0], strlen(key[0]), item, len, 0, 0), MEMCACHED_SUCCESS);
        ck_assert_int_eq(look(B, self, long_key), MT_MISS);
        ck_assert_int_eq(put(B, self, long_key, "w"), MT_OK);
        ck_assert(has(B, self, long_key, "w"));
        free(item);
        memcached_free(st);
        B->close(self);
}
END_TEST

/* The server takes less than it was said to: what was there must not outlive what it did not take. */
START_TEST(too_large_for_the_server)
{
        static char value[2 << 20];
        void       *self = store_must_open(B, server_path(0), "max_item=8M");
        uint64_t    mark;

        ck_assert_int_eq(put(B, self, "k", "old"), MT_OK);
        ck_assert_int_eq(B->ops->cache.set_with_ttl(self, mt_bytes_of("k"), mt_bytes(value, sizeof value), STORE_HOUR),
                         MT_REFUSED);
        ck_assert_int_eq(look(B, self, "k"), MT_MISS);
        ck_assert_int_eq(put(B, self, "k", "old"), MT_OK);
        ck_assert_int_eq(B->ops->mark(self, mt_bytes_of("k"), &mark), MT_OK);
        ck_assert_int_eq(B->ops->set_marked(self, mt_bytes_of("k"), mt_bytes(value, sizeof value), STORE_HOUR, mark),
                         MT_REFUSED);
        ck_assert_int_eq(look(B, self, "k"), MT_MISS);
        B->close(self);
}
END_TEST

/* The end that an entry has in it counts, to the millisecond, though memcached has it still. */
START_TEST(ends)
{
        static const uint64_t ttls[] = {1500, 2500, STORE_HOUR, UINT64_C(40) * 24 * STORE_HOUR,
                                        UINT64_C(36525) * 24 * STORE_HOUR};
        void                 *self = store_must_open(B, server_path(0), "");

        for (size_t i = 0; i < sizeof ttls / sizeof ttls[0]; i++) {
                uint64_t ttl_ms;

                ck_assert_int_eq(B->ops->cache.set_with_ttl(self, mt_bytes_of("k"), mt_bytes_of("v"), ttls[i]), MT_OK);
                memcached_test_wall_us = (int64_t)(ttls[i] - 500) * 1000;
                ck_assert_int_eq(B->ops->get_with_ttl(self, mt_bytes_of("k"), &store_sink, &ttl_ms), MT_OK);
                ck_assert_uint_le(ttl_ms, 500);
                memcached_test_wall_us = (int64_t)ttls[i] * 1000;
                ck_assert_int_eq(look(B, self, "k"), MT_MISS);
                memcached_test_wall_us = 0;
        }
        B->close(self);
}
END_TEST

START_TEST(refusals)
{
        static const struct {
                const char *address, *options, *word;
        } rows[] = {
                {"", "", "no address"},
                {"a,,b", "", "no address"},
                {"a:0", "", "a:0"},
                {"a:65536", "", "a:65536"},
                {"a:x", "", "port"},
                {"[::1]:x", "", "port"},
                {"a", "max_item=1", "max_item=1"},
                {"a", "max_item=x", "max_item=x"},
                {"a", "nothing=1", "nothing"},
                {"127.0.0.1:1,127.0.0.1:1", "", "twice"},
        };

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                char  why[MT_BACKEND_WHY_MAX];
                void *self;

                ck_assert_int_eq(store_try_open(B, rows[i].address, rows[i].options, &self, why), MT_ERROR);
                ck_assert_msg(strstr(why, rows[i].word) != NULL, "'%s': %s", rows[i].address, why);
        }
        B->close(store_must_open(B, "[::1]:11211,db,127.0.0.1", "max_item=8M"));
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("memcached");
        TCase   *tests = tcase_create("memcached");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_set_timeout(tests, 60);
        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, conforms);
        tcase_add_test(tests, conforms_on_two_servers);
        tcase_add_test(tests, stopped);
        tcase_add_test(tests, late_write);
        tcase_add_test(tests, nobody_there);
        tcase_add_test(tests, one_of_two_down);
        tcase_add_test(tests, generation_evicted);
        tcase_add_test(tests, foreign_items);
        tcase_add_test(tests, too_large_for_the_server);
        tcase_add_test(tests, hashes_that_meet);
        tcase_add_test(tests, ends);
        tcase_add_test(tests, refusals);
        suite_add_tcase(suite, tests);
        srunner_run_all(runner, CK_ENV);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
