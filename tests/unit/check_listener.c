/* check_listener.c - the listener with a real redis-server: the lease opens, foreign writes arrive, the thread is a
 * good guest. */
#include "redis_fixture.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/signalfd.h>

/* ------------------------------------------------------------------------------------------------------ it works */

START_TEST(test_listener_lease_opens)
{
        ck_assert(!fresh());
        UNTIL(fresh());
        ck_assert(led_by_us());
        ck_assert_uint_eq(mt_load_relaxed(&server->epoch), 1);
        ck_assert_uint_eq(strlen(run_id()), 40);
        ck_assert_uint_eq(mt_load_relaxed(&server->bound_ms), 1000);
        ck_assert(!logged("mtshim"));
}
END_TEST

/* A compiler cache's process asks twice and is gone: no thread for it. */
START_TEST(test_listener_waits_for_a_long_life)
{
        uint64_t now_ns = clock_coarse_ns();

        for (int i = 0; i < 31; i++) /* within no time at all */
                invalidation_attend(l1, server, &endpoint, now_ns);
        ck_assert_int_eq(listener_thread(), 0);
        ck_assert(!led());
        invalidation_attend(l1, server, &endpoint, now_ns);
        UNTIL(listener_thread() != 0);
}
END_TEST

START_TEST(test_listener_foreign_writes)
{
        UNTIL(fresh());
        fill("a");
        fill("b");
        fill("c");
        fixture_say("SET a 1");
        ck_assert_uint_lt(UNTIL(!present("a")), FIXTURE_BOUND_NS);
        ck_assert(present("b"));
        fixture_say("DEL b"); /* of a key that is not there: not a write */
        fixture_say("MSET b 1 c 2");
        ck_assert_uint_lt(UNTIL(!present("b") && !present("c")), FIXTURE_BOUND_NS);
        ck_assert_uint_ge(mt_load_relaxed(&server->invalidations), 3);
        ck_assert_uint_ge(counted(COUNTER_invalidations), 3);
}
END_TEST

/* In whatever database: the announcement does not say. */
START_TEST(test_listener_other_database)
{
        redisContext *c = fixture_connect();

        UNTIL(fresh());
        fill("a");
        freeReplyObject(redisCommand(c, "SELECT 5"));
        freeReplyObject(redisCommand(c, "SET a 1"));
        redisFree(c);
        UNTIL(!present("a"));
}
END_TEST

START_TEST(test_listener_flush)
{
        static const char *const how[] = {"FLUSHALL", "FLUSHDB", "SWAPDB 0 1"};

        UNTIL(fresh());
        for (int i = 0; i < 2; i++) {
                fixture_say("SET x 1");
                fill("a");
                fixture_say(how[i]);
                ck_assert_uint_lt(UNTIL(!present("a")), FIXTURE_BOUND_NS);
        }
        ck_assert_uint_eq(mt_load_relaxed(&server->reconnects), 0);
}
END_TEST

/* What a client that is not the tracker says on our channel. */
START_TEST(test_listener_ignores_publish)
{
        UNTIL(fresh());
        fill("a");
        fixture_say("PUBLISH __redis__:invalidate a");
        fixture_say("SET b 1");
        uint64_t sent_ns = clock_precise_ns();

        UNTIL(mt_load_relaxed(&server->fresh_at_ns) > sent_ns);
        ck_assert(present("a"));
        ck_assert_uint_eq(mt_load_relaxed(&server->reconnects), 0);
        ck_assert_uint_eq(counted(COUNTER_error_listener), 0);
}
END_TEST

/* The promise itself: nothing that was acknowledged before fresh_at_ns is still in L1. */
START_TEST(test_listener_fresh_at_is_true)
{
        redisContext *c = fixture_connect();
        char          key[32];

        config.bound_ns = 20 * NS_PER_MS;
        invalidation_setup(&config);
        UNTIL(mt_load_relaxed(&server->fresh_at_ns) != 0);
        for (int i = 0; i < 400; i++) {
                snprintf(key, sizeof key, "key:%d", i % 7);
                fill(key);
                freeReplyObject(redisCommand(c, "SET %s %d", key, i));
                uint64_t acknowledged_ns = clock_precise_ns();

                if (i % 3 == 0)
                        invalidation_hurry(l1, server);
                while (mt_load_acquire(&server->fresh_at_ns) <= acknowledged_ns)
                        ck_assert_uint_lt(clock_precise_ns() - acknowledged_ns, FIXTURE_WAIT_MS * NS_PER_MS);
                ck_assert_msg(!present(key), "round %d: acknowledged before fresh_at, and still there", i);
        }
        redisFree(c);
}
END_TEST

/* 200,000 keys in one transaction: one message after the other, and the lease holds. */
START_TEST(test_listener_many_keys)
{
        UNTIL(fresh());
        fill("k:150000");
        fixture_say("EVAL %s 0", "for i = 1, 200000 do redis.call('SET', 'k:' .. i, '1') end");
        UNTIL(!present("k:150000"));
        uint64_t now_ns = clock_precise_ns();

        UNTIL(mt_load_relaxed(&server->fresh_at_ns) > now_ns);
        ck_assert_uint_eq(mt_load_relaxed(&server->reconnects), 0);
        ck_assert_uint_ge(mt_load_relaxed(&server->invalidations), 200000);
}
END_TEST

/* Processor time of the listener's thread, in ns; 0 where the kernel does not tell. */
static uint64_t listener_thread_ns(void)
{
        char               path[64];
        unsigned long long ns = 0;
        FILE              *file;

        snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", listener_thread());
        file = fopen(path, "re");
        if (file != NULL && fscanf(file, "%llu", &ns) != 1)
                ns = 0;
        if (file != NULL)
                fclose(file);
        return ns;
}

/* 100,000 keys in one message, each of them in L1, or being filled: none is left, and no late fill is let in. */
START_TEST(test_listener_one_message)
{
        enum { KEYS = 100000, EACH = 500 };
        static struct l1_lease lease[KEYS / EACH];
        static const uint64_t  user[2];
        const struct l1_config large = {.name = "large",
                                        .size_bytes = 32 << 20,
                                        .max_item_bytes = 65536,
                                        .directory = folder};
        const char            *slower = getenv("CK_TIMEOUT_MULTIPLIER");
        struct namespace_shm  *ns;
        struct l1_key          key;
        char                   text[32];
        uint64_t               acknowledged_ns, thread_ns;
        unsigned               present_keys = 0;

        config.bound_ns = 15 * NS_PER_S; /* a busy machine may keep the server from answering for seconds */
        invalidation_setup(&config);
        l1_detach(l1);
        l1 = l1_attach(&large);
        ck_assert_ptr_nonnull(l1);
        fixture_aim();
        UNTIL(fresh());
        ns = l1_namespace(l1, server, 0, user);
        for (unsigned i = 0; i < KEYS; i++) {
                struct l1_lease leased;

                key.key = mt_bytes(text, (size_t)snprintf(text, sizeof text, "k:%u", i));
                key.hash = l1_hash(l1, l1_server_index(l1, server), key.key);
                if (!l1_lease(l1, &key, mt_load_acquire(&ns->id), clock_coarse_ns(), &leased))
                        continue;
                if (i % EACH == 0)
                        lease[i / EACH] = leased;
                else
                        l1_fill(l1, &key, &leased, mt_bytes_of("value"), clock_coarse_ns() + 600 * NS_PER_S);
        }
        for (unsigned i = 0; i < KEYS; i++) {
                snprintf(text, sizeof text, "k:%u", i);
                present_keys += present(text);
        }
        ck_assert_uint_gt(present_keys, KEYS - KEYS / EACH - KEYS / 100);
        thread_ns = listener_thread_ns();
        fixture_say("EVAL %s 0", "for i = 0, 99999 do redis.call('SET', 'k:' .. i, '1') end");
        acknowledged_ns = clock_precise_ns();
        while (mt_load_acquire(&server->fresh_at_ns) <= acknowledged_ns) {
                ck_assert_uint_lt(clock_precise_ns() - acknowledged_ns, 30 * NS_PER_S);
                attend();
                invalidation_hurry(l1, server);
                usleep(1000);
        }
        ck_assert_uint_eq(mt_load_relaxed(&server->reconnects), 0);
        thread_ns = listener_thread_ns() - thread_ns;
        for (unsigned i = 0; i < KEYS; i++) {
                snprintf(text, sizeof text, "k:%u", i);
                ck_assert_msg(!present(text), "%s is still there", text);
        }
        for (unsigned i = 0; i < KEYS; i += EACH) {
                key.key = mt_bytes(text, (size_t)snprintf(text, sizeof text, "k:%u", i));
                key.hash = l1_hash(l1, l1_server_index(l1, server), key.key);
                ck_assert(
                        !l1_fill(l1, &key, &lease[i / EACH], mt_bytes_of("late"), clock_coarse_ns() + 600 * NS_PER_S));
                ck_assert(!present(text));
        }
        ck_assert_uint_eq(mt_load_relaxed(&server->invalidations), KEYS);
        /* A fifth of a microsecond each is usual: fifty times that is a listener that does not keep up. */
        ck_assert_uint_lt(thread_ns, KEYS * 10000 * (slower ? strtoull(slower, NULL, 10) : 1));
}
END_TEST

/* With a bound of an hour PINGs are a second apart; whoever has run a script need not wait for the next. */
START_TEST(test_listener_hurries)
{
        config.bound_ns = 3600 * NS_PER_S;
        invalidation_setup(&config);
        UNTIL(mt_load_relaxed(&server->fresh_at_ns) != 0);
        for (int i = 0; i < 5; i++) {
                uint64_t now_ns = clock_precise_ns();

                invalidation_hurry(l1, server);
                while (mt_load_acquire(&server->fresh_at_ns) <= now_ns)
                        ck_assert_uint_lt(clock_precise_ns() - now_ns, 400 * NS_PER_MS);
        }
}
END_TEST

/* Another process attaches that wants to know sooner: the leader need not sleep out its second. */
START_TEST(test_listener_smaller_bound)
{
        unsigned moves = 0;
        int      status;
        pid_t    pid;

        config.bound_ns = 3600 * NS_PER_S;
        invalidation_setup(&config);
        UNTIL(mt_load_relaxed(&server->fresh_at_ns) != 0);
        pid = fork();
        if (pid == 0) {
                l1_after_fork(l1);
                invalidation_after_fork();
                config.bound_ns = 40 * NS_PER_MS;
                invalidation_setup(&config);
                UNTIL(fresh());
                uint64_t last_ns = mt_load_relaxed(&server->fresh_at_ns), begin_ns = clock_precise_ns();

                while (clock_precise_ns() - begin_ns < 400 * NS_PER_MS) {
                        attend();
                        usleep(500);
                        moves += mt_load_relaxed(&server->fresh_at_ns) != last_ns;
                        last_ns = mt_load_relaxed(&server->fresh_at_ns);
                }
                _exit(moves >= 10 ? 0 : 1); /* 40 of 10 ms each, on an idle machine */
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
        ck_assert(led_by_us());
}
END_TEST

/* ------------------------------------------------------------------------------------------------ a good guest */

static int count_descriptors(const char *path)
{
        DIR *dir = opendir(path);
        int  n = 0;

        while (readdir(dir))
                n++;
        closedir(dir);
        return n;
}

START_TEST(test_listener_descriptors)
{
        char path[64], target[64] = "";
        int  before = count_descriptors("/proc/self/fd"), ends[2], tid;
        char byte;

        if (under_valgrind())
                return;
        ck_assert_int_eq(pipe(ends), 0);
        UNTIL(fresh());
        tid = listener_thread();
        ck_assert_int_eq(count_descriptors("/proc/self/fd"), before + 2);
        snprintf(path, sizeof path, "/proc/self/task/%d/fd", tid);
        ck_assert_int_eq(count_descriptors(path), 2 + 5); /* . .. three of nothing, the wake-up, the socket */
        for (int fd = 0; fd < 3; fd++) {
                snprintf(path, sizeof path, "/proc/self/task/%d/fd/%d", tid, fd);
                ck_assert_int_gt((int)readlink(path, target, sizeof target - 1), 0);
                ck_assert_str_eq(target, "/dev/null");
        }
        /* A program that closes everything it does not know. */
        syscall(SYS_close_range, 3, ~0U, 0);
        ck_assert_int_eq(pipe(ends), 0);
        close(ends[1]);
        ck_assert_int_eq(read(ends[0], &byte, 1), 0); /* nobody else holds the writing end */
        fill("a");
        fixture_say("SET a 1");
        UNTIL(!present("a"));
        ck_assert_uint_eq(mt_load_relaxed(&server->reconnects), 0);
}
END_TEST

START_TEST(test_listener_errno)
{
        for (int i = 0; i < 200; i++) {
                errno = 4711;
                attend();
                ck_assert_int_eq(errno, 4711);
                invalidation_hurry(l1, server);
                ck_assert_int_eq(errno, 4711);
                invalidation_credentials(server, &endpoint, mt_bytes(NULL, 0), mt_bytes_of("x"));
                ck_assert_int_eq(errno, 4711);
                usleep(1000);
        }
        errno = 4711;
        invalidation_stop(INVALIDATION_PAUSE, NS_PER_S);
        ck_assert_int_eq(errno, 4711);
}
END_TEST

static uint64_t status_word(int tid, const char *name)
{
        char     path[64], line[256];
        uint64_t word = 0;
        FILE    *f;

        snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
        f = fopen(path, "r");
        while (f && fgets(line, sizeof line, f))
                if (strncmp(line, name, strlen(name)) == 0)
                        word = strtoull(line + strlen(name) + 1, NULL, 16);
        if (f)
                fclose(f);
        return word;
}

/* All but the two that libc needs for itself; and the program's mask is what it was. */
START_TEST(test_listener_signals)
{
        uint64_t mask = status_word(getpid(), "SigBlk"), blocked;

        if (under_valgrind())
                return;
        UNTIL(fresh());
        ck_assert_uint_eq(status_word(getpid(), "SigBlk"), mask);
        blocked = status_word(listener_thread(), "SigBlk");
        for (int signal = 1; signal <= 64; signal++)
                if (signal != SIGKILL && signal != SIGSTOP && signal != 32 && signal != 33)
                        ck_assert_msg(blocked >> (signal - 1) & 1, "signal %d is not blocked", signal);
}
END_TEST

/* A program that blocks SIGURG in every thread to read it from a signalfd gets it, though ours waits for one too. */
START_TEST(test_listener_steals_no_signal)
{
        struct signalfd_siginfo got;
        sigset_t                urgent;
        int                     fd;

        sigemptyset(&urgent);
        sigaddset(&urgent, SIGURG);
        ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &urgent, NULL), 0);
        fd = signalfd(-1, &urgent, SFD_CLOEXEC);
        UNTIL(fresh());
        for (int i = 0; i < 20; i++) {
                uint64_t now_ns = clock_precise_ns();

                ck_assert_int_eq(kill(getpid(), SIGURG), 0);
                invalidation_hurry(l1, server);
                usleep(1000);
                ck_assert_int_eq(read(fd, &got, sizeof got), (int)sizeof got);
                ck_assert_uint_eq(got.ssi_signo, SIGURG);
                ck_assert_uint_eq(got.ssi_pid, (unsigned)getpid());
                UNTIL(mt_load_relaxed(&server->fresh_at_ns) > now_ns);
        }
        close(fd);
}
END_TEST

START_TEST(test_listener_stop)
{
        UNTIL(fresh());
        ck_assert(invalidation_stop(INVALIDATION_PAUSE, NS_PER_S));
        ck_assert_int_eq(listener_thread(), 0);
        ck_assert(!led());
        UNTIL(fresh() && led_by_us());
        ck_assert(invalidation_stop(INVALIDATION_FOREVER, NS_PER_S));
        ck_assert_int_eq(listener_thread(), 0);
        ck_assert(!led());
        for (int i = 0; i < 50; i++)
                attend();
        ck_assert(!led());
        ck_assert_int_eq(listener_thread(), 0);
}
END_TEST

/* As a destructor does it. */
START_TEST(test_listener_stop_without_waiting)
{
        UNTIL(fresh());
        invalidation_stop(INVALIDATION_FOREVER, 0);
        ck_assert(!led());
        UNTIL(listener_thread() == 0);
        ck_assert(!led());
        ck_assert(invalidation_stop(INVALIDATION_FOREVER, 0));
}
END_TEST

START_TEST(test_listener_fork)
{
        int   status;
        pid_t pid;

        UNTIL(fresh());
        pid = fork();
        if (pid == 0) {
                l1_after_fork(l1);
                invalidation_after_fork();
                ck_assert(fresh()); /* the parent's listener works for both */
                ck_assert(!led_by_us());
                for (int i = 0; i < 50; i++)
                        attend();
                ck_assert_int_eq(listener_thread(), 0);
                invalidation_stop(INVALIDATION_FOREVER, NS_PER_S);
                ck_assert(led()); /* the parent's word is not ours to give up */
                _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
        ck_assert(led_by_us());
}
END_TEST

/* The parent of a daemon ends without a word; the child goes on with what it knew. */
START_TEST(test_listener_fork_parent_dies)
{
        int   ready[2];
        char  byte = 'n';
        pid_t pid;

        ck_assert_int_eq(pipe(ready), 0);
        pid = fork();
        if (pid == 0) {
                l1_after_fork(l1);
                invalidation_after_fork();
                UNTIL(fresh());
                if (fork() == 0) {
                        l1_after_fork(l1);
                        invalidation_after_fork();
                        UNTIL(getppid() == 1 || led_by_us());
                        UNTIL(led_by_us());
                        UNTIL(fresh());
                        _exit(write(ready[1], "y", 1) != 1);
                }
                _exit(0);
        }
        waitpid(pid, NULL, 0);
        close(ready[1]);
        ck_assert_int_eq(read(ready[0], &byte, 1), 1);
        ck_assert_int_eq(byte, 'y');
}
END_TEST

/* The program's thread-local variables are carved from the stack of every thread: a small one has no room for these. */
static _Thread_local char much[1 << 20];

START_TEST(test_listener_much_thread_local)
{
        much[0] = 1;
        UNTIL(fresh());
        ck_assert_int_eq(much[0], 1);
}
END_TEST

/* Everything is allowed but, if they are not negative, these two calls: they fail as in older kernels, or older
 * containers. */
static void confine(long refused, long refused_too)
{
        struct sock_filter allow[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)refused, 2, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)refused_too, 1, 0),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        };
        struct sock_fprog program = {.len = sizeof allow / sizeof allow[0], .filter = allow};

        ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void check_never_starts(void)
{
        uint32_t term = mt_load_relaxed(&server->leader_term);

        for (int i = 0; i < 100; i++) {
                attend();
                usleep(500);
        }
        ck_assert_int_eq(listener_thread(), 0);
        ck_assert(!led());
        ck_assert_uint_eq(mt_load_relaxed(&server->leader_term), term);
}

/* The program has confined itself: a thread of ours would be the one to break its rules. */
START_TEST(test_listener_seccomp)
{
        confine(-1, -1);
        check_never_starts();
        ck_assert(logged("seccomp"));
}
END_TEST

/* A container had confined it before we came; what the program adds to that is its own. */
START_TEST(test_listener_seccomp_from_before)
{
        confine(-1, -1);
        invalidation_loaded();
        if (_i == 1) {
                confine(-1, -1);
                check_never_starts();
        } else {
                UNTIL(fresh());
        }
}
END_TEST

/* A descriptor table of its own, the slow way. */
START_TEST(test_listener_no_close_range)
{
        char path[64], byte;
        int  ends[2];

        if (under_valgrind())
                return;
        ck_assert_int_eq(pipe(ends), 0);
        ck_assert_int_eq(dup2(ends[1], 700), 700);
        confine(SYS_close_range, -1);
        invalidation_loaded();
        UNTIL(fresh());
        snprintf(path, sizeof path, "/proc/self/task/%d/fd", listener_thread());
        ck_assert_int_eq(count_descriptors(path), 2 + 5);
        close(ends[1]);
        close(700);
        ck_assert_int_eq(read(ends[0], &byte, 1), 0);
}
END_TEST

/* No table of its own at all: no thread, a line, and it is not tried again. */
START_TEST(test_listener_no_table)
{
        confine(SYS_close_range, SYS_unshare);
        invalidation_loaded();
        UNTIL(logged("descriptors"));
        UNTIL(listener_thread() == 0);
        check_never_starts();
        ck_assert_uint_eq(counted(COUNTER_error_thread), 1);
}
END_TEST

/* One thread for all servers that the process leads. */
START_TEST(test_listener_two_servers)
{
        struct invalidation_endpoint first_endpoint = endpoint;
        struct server_shm           *first = server;
        pid_t                        first_pid = redis_pid;
        char                         first_path[sizeof socket_path];

        UNTIL(fresh());
        strcpy(first_path, socket_path);
        snprintf(socket_path, sizeof socket_path, "%s/second", folder);
        fixture_start_redis(NULL);
        fixture_aim();
        ck_assert_ptr_ne(server, first);
        int thread = listener_thread();

        UNTIL(fresh() && led_by_us());
        ck_assert_int_eq(listener_thread(), thread);
        fill("a");
        fixture_say("SET a 1");
        UNTIL(!present("a"));
        /* The end of one is nothing to the other. */
        fill("b");
        kill(first_pid, SIGKILL);
        waitpid(first_pid, NULL, 0);
        uint64_t now_ns = clock_precise_ns();

        UNTIL(mt_load_relaxed(&server->fresh_at_ns) > now_ns);
        ck_assert(present("b"));
        server = first;
        endpoint = first_endpoint;
        UNTIL(stale());
}
END_TEST

/* setuid() reaches every thread by a signal that libc keeps to itself: one that blocked it would hang the program. */
START_TEST(test_listener_setuid)
{
        if (geteuid() != 0 || under_valgrind())
                return;
        UNTIL(fresh());
        ck_assert_int_eq(setresuid(65534, 65534, 0), 0);
        ck_assert_uint_eq(status_word(listener_thread(), "Uid:") & 0xffff, 0x5534); /* 65534 read as hexadecimal */
        ck_assert_int_eq(setresuid(0, 0, 0), 0);
        uint64_t now_ns = clock_precise_ns();

        UNTIL(mt_load_relaxed(&server->fresh_at_ns) > now_ns);
}
END_TEST

/* A program whose main thread ends before the others still ends, if the listener was told. */
START_TEST(test_listener_main_thread_exits)
{
#ifndef MT_TSAN /* the sanitizer has a thread of its own, which stays */
        int   status;
        pid_t pid = fork();

        if (pid == 0) {
                l1_after_fork(l1);
                invalidation_after_fork();
                UNTIL(fresh());
                invalidation_stop(INVALIDATION_FOREVER, 0);
                pthread_exit(NULL);
        }
        for (int i = 0; i < 5000 && waitpid(pid, &status, WNOHANG) == 0; i++)
                usleep(1000);
        ck_assert_int_eq(kill(pid, 0), -1);
        ck_assert(WIFEXITED(status));
#endif
}
END_TEST

static void *attend_for_a_while(void *unused)
{
        for (int i = 0; i < 3000; i++) {
                attend();
                if (i % 50 == 0)
                        invalidation_hurry(l1, server);
                if (i % 70 == 0)
                        invalidation_credentials(server, &endpoint, mt_bytes_of("default"),
                                                 mt_bytes_of(i % 140 ? "a" : "b"));
        }
        return unused;
}

START_TEST(test_listener_many_threads)
{
        pthread_t thread[8];

        for (int i = 0; i < 8; i++)
                ck_assert_int_eq(pthread_create(&thread[i], NULL, attend_for_a_while, NULL), 0);
        for (int i = 0; i < 20; i++) {
                invalidation_stop(INVALIDATION_PAUSE, (uint64_t)i % 3 * NS_PER_MS);
                usleep(2000);
        }
        for (int i = 0; i < 8; i++)
                ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
        UNTIL(fresh());
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("listener");
        TCase   *tc = tcase_create("listener");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_set_timeout(tc, 60);
        tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
        tcase_add_test(tc, test_listener_lease_opens);
        tcase_add_test(tc, test_listener_waits_for_a_long_life);
        tcase_add_test(tc, test_listener_foreign_writes);
        tcase_add_test(tc, test_listener_other_database);
        tcase_add_test(tc, test_listener_flush);
        tcase_add_test(tc, test_listener_ignores_publish);
        tcase_add_test(tc, test_listener_fresh_at_is_true);
        tcase_add_test(tc, test_listener_many_keys);
        tcase_add_test(tc, test_listener_one_message);
        tcase_add_test(tc, test_listener_hurries);
        tcase_add_test(tc, test_listener_smaller_bound);
        tcase_add_test(tc, test_listener_descriptors);
        tcase_add_test(tc, test_listener_errno);
        tcase_add_test(tc, test_listener_signals);
        tcase_add_test(tc, test_listener_steals_no_signal);
        tcase_add_test(tc, test_listener_stop);
        tcase_add_test(tc, test_listener_stop_without_waiting);
        tcase_add_test(tc, test_listener_fork);
        tcase_add_test(tc, test_listener_fork_parent_dies);
        tcase_add_test(tc, test_listener_much_thread_local);
        tcase_add_test(tc, test_listener_seccomp);
        tcase_add_loop_test(tc, test_listener_seccomp_from_before, 0, 2);
        tcase_add_test(tc, test_listener_no_close_range);
        tcase_add_test(tc, test_listener_no_table);
        tcase_add_test(tc, test_listener_many_threads);
        tcase_add_test(tc, test_listener_two_servers);
        tcase_add_test(tc, test_listener_setuid);
        tcase_add_test(tc, test_listener_main_thread_exits);
        suite_add_tcase(suite, tc);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? 0 : 1;
}
