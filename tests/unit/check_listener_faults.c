/* check_listener_faults.c - what can go wrong between a listener and its server, and between leaders. In each case L1
 * is believed no longer than the bound, and again within the bound and a second after the fault is over. */
#include "halt.h"
#include "redis_fixture.h"

#include "invalidation/listener.h"

#include <pthread.h>

#define AGAIN_NS (FIXTURE_BOUND_NS + NS_PER_S)

/* Nothing of before is left, and what is filled now is invalidated again. */
static void check_serves(const char *old)
{
        ck_assert_msg(!old || !present(old), "%s was kept through a time when nobody listened", old);
        fill("new");
        fixture_say("SET new 1");
        UNTIL(!present("new"));
}

/* The lease runs out within the bound, counted from now. */
static void check_closes(void)
{
        ck_assert_uint_le(UNTIL(stale()), FIXTURE_BOUND_NS + 50 * NS_PER_MS);
}

/* ---------------------------------------------------------------------------------------------------- the server */

START_TEST(test_faults_client_kill)
{
        UNTIL(fresh());
        uint32_t incarnation = mt_load_relaxed(&server->incarnation);

        for (int i = 1; i <= 3; i++) {
                fill("a");
                uint64_t now_ns = clock_precise_ns();

                fixture_say("CLIENT KILL TYPE pubsub");
                UNTIL(mt_load_relaxed(&server->fresh_at_ns) > now_ns);
                check_serves("a");
                ck_assert_uint_eq(mt_load_relaxed(&server->reconnects), (uint64_t)i);
        }
        ck_assert_uint_eq(mt_load_relaxed(&server->incarnation),
                          incarnation); /* the same server: connections stay good */
        ck_assert(!logged("mtshim"));
}
END_TEST

/* A new socket is another server for L1; the old place is let go. */
START_TEST(test_faults_restart_unix)
{
        struct server_shm *old = server;

        UNTIL(fresh());
        fill("a");
        fixture_end(redis_pid);
        unlink(socket_path);
        mkdir(socket_path, 0700); /* takes the inode, where the file system would use it again */
        rename(socket_path, "/tmp/mtshim-listener-taken");
        check_closes();
        fixture_start_redis(NULL);
        rmdir("/tmp/mtshim-listener-taken");
        fixture_aim();
        ck_assert_ptr_ne(server, old);
        ck_assert_uint_le(UNTIL(fresh()), AGAIN_NS);
        check_serves("a");
        server = old;
        UNTIL(!led());
        ck_assert(stale());
}
END_TEST

/* The same address: whoever connects after the old one was seen to be gone is served, older connections are not. */
START_TEST(test_faults_restart_tcp)
{
        char     before[48];
        uint32_t incarnation;

        UNTIL(fresh());
        fill("a");
        strcpy(before, run_id());
        incarnation = mt_load_relaxed(&server->incarnation);
        fixture_end(redis_pid);
        UNTIL(mt_load_relaxed(&server->incarnation) != incarnation); /* before anybody can connect to the next one */
        incarnation = mt_load_relaxed(&server->incarnation);
        ck_assert_uint_ne(mt_load_relaxed(&server->incarnation_ns), 0);
        check_closes();
        fixture_start_redis(NULL);
        ck_assert_uint_le(UNTIL(fresh()), AGAIN_NS);
        check_serves("a");
        ck_assert_str_ne(run_id(), before);
        ck_assert_uint_eq(mt_load_relaxed(&server->incarnation), incarnation);
}
END_TEST

START_TEST(test_faults_server_stopped)
{
        UNTIL(fresh());
        fill("a");
        halt(redis_pid);
        check_closes();
        ck_assert(led_by_us());
        usleep(200000);
        kill(redis_pid, SIGCONT);
        ck_assert_uint_le(UNTIL(fresh()), AGAIN_NS);
        ck_assert_uint_eq(mt_load_relaxed(&server->reconnects), 0);
        ck_assert(present("a")); /* a delayed listener loses nothing */
        check_serves(NULL);
}
END_TEST

/* Longer than a PING may stay unanswered: the connection is given up, and the one that waits in the backlog is
 * answered. */
START_TEST(test_faults_server_stopped_for_long)
{
        UNTIL(fresh());
        fill("a");
        halt(redis_pid);
        UNTIL(stale());
        atomic_fetch_add(&clock_test_offset_ns, 5 * (int64_t)NS_PER_S);
        usleep(300000);
        kill(redis_pid, SIGCONT);
        ck_assert_uint_le(UNTIL(fresh()), AGAIN_NS);
        ck_assert_uint_ge(mt_load_relaxed(&server->reconnects), 1);
        check_serves("a");
}
END_TEST

/* -BUSY is an answer, but no PONG. */
START_TEST(test_faults_server_busy)
{
        redisContext *c = fixture_connect();

        UNTIL(fresh());
        fixture_say("CONFIG SET busy-reply-threshold 10");
        ck_assert_int_eq(redisAppendCommand(c, "EVAL %s 0", "while true do end"), REDIS_OK);
        for (int done = 0; !done;)
                redisBufferWrite(c, &done);
        check_closes();
        ck_assert_uint_eq(mt_load_relaxed(&server->reconnects), 0);
        fixture_say("SCRIPT KILL");
        ck_assert_uint_le(UNTIL(fresh()), AGAIN_NS);
        ck_assert_uint_eq(mt_load_relaxed(&server->reconnects), 0);
        redisFree(c);
}
END_TEST

/* The host was suspended: CLOCK_MONOTONIC stood still, others wrote meanwhile, and what was announced may be lost. */
START_TEST(test_faults_suspended)
{
        UNTIL(fresh());
        fill("a");
        uint64_t now_ns = clock_precise_ns();

        mt_store_relaxed(&listener_test_suspended_ns, (int64_t)(50 * NS_PER_MS)); /* not worth a flush */
        UNTIL(mt_load_relaxed(&server->fresh_at_ns) > now_ns);
        ck_assert(present("a"));
        mt_store_relaxed(&listener_test_suspended_ns, (int64_t)(3600 * NS_PER_S));
        invalidation_hurry(l1, server);
        UNTIL(!present("a"));
        now_ns = clock_precise_ns();
        UNTIL(mt_load_relaxed(&server->fresh_at_ns) > now_ns);
        ck_assert_uint_eq(mt_load_relaxed(&server->reconnects), 1);
        check_serves("a");
}
END_TEST

START_TEST(test_faults_cluster)
{
        UNTIL(mt_load_relaxed(&server->flags) == SERVER_CLUSTER);
        UNTIL(!led() && listener_thread() == 0);
        for (int i = 0; i < 100; i++) {
                attend();
                usleep(1000);
        }
        ck_assert(stale());
        ck_assert(!led());
        ck_assert_int_eq(listener_thread(), 0);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------- refusals */

/* A user program goes on asking: one line has said why it gets nothing, and the server is left in peace. */
static void check_stays_out(const char *line, uint32_t flags)
{
        UNTIL(logged(line));
        UNTIL(listener_thread() == 0);
        uint32_t term = mt_load_relaxed(&server->leader_term);

        for (int i = 0; i < 100; i++) {
                attend();
                usleep(1000);
        }
        ck_assert(stale());
        ck_assert(!led());
        ck_assert_uint_eq(mt_load_relaxed(&server->leader_term), term);
        ck_assert_uint_eq(mt_load_relaxed(&server->flags), flags);
        ck_assert_uint_eq(counted(COUNTER_error_listener), strstr(line, "PASSWORD_FILE") ? 0 : 1);
}

static void check_tries_again(void)
{
        atomic_fetch_add(&clock_test_offset_ns, 61 * (int64_t)NS_PER_S);
        ck_assert_uint_le(UNTIL(fresh()), AGAIN_NS);
        ck_assert_uint_eq(mt_load_relaxed(&server->flags), 0);
        check_serves(NULL);
}

START_TEST(test_faults_no_rights)
{
        fixture_say("ACL SETUSER default resetchannels -@all +get +set +ping +client|id +acl");
        check_stays_out("NOPERM", 0);
        fixture_say("ACL SETUSER default allchannels +@all");
        check_tries_again();
}
END_TEST

START_TEST(test_faults_no_channel)
{
        fixture_say("ACL SETUSER default resetchannels");
        check_stays_out("NOPERM", 0);
}
END_TEST

/* Taken away while it listens. */
START_TEST(test_faults_rights_lost)
{
        UNTIL(fresh());
        fixture_say("ACL SETUSER default -ping");
        UNTIL(!led());
        check_closes();
        check_stays_out("NOPERM", 0);
}
END_TEST

/* The least that a listener needs. INFO is not among it: then nobody knows whether the server is still the same. */
START_TEST(test_faults_minimum_rights)
{
        fixture_say("ACL SETUSER listener on >secret resetchannels &__redis__:invalidate -@all +client|tracking "
                    "+client|id +subscribe +ping");
        invalidation_credentials(server, &endpoint, mt_bytes_of("listener"), mt_bytes_of("secret"));
        UNTIL(fresh());
        check_serves(NULL);
        ck_assert_str_eq(run_id(), "");
        fill("a");
        uint32_t incarnation = mt_load_relaxed(&server->incarnation);
        uint64_t now_ns = clock_precise_ns();

        fixture_say("CLIENT KILL TYPE pubsub");
        UNTIL(mt_load_relaxed(&server->fresh_at_ns) > now_ns);
        check_serves("a");
        /* The inode of a socket is proof enough. */
        ck_assert_uint_eq(mt_load_relaxed(&server->incarnation), incarnation + (redis_port ? 1 : 0));
}
END_TEST

START_TEST(test_faults_renamed)
{
        check_stays_out("unknown command", SERVER_NO_TRACKING);
        ck_assert_uint_gt(mt_load_relaxed(&server->retry_ns), clock_precise_ns() + 50 * NS_PER_S);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------- credentials */

static void put_password(const char *line)
{
        static char path[80];
        FILE       *f;

        snprintf(path, sizeof path, "%s/password", folder);
        f = fopen(path, "w");
        fputs(line, f);
        fclose(f);
        config.password_file = path;
        invalidation_setup(&config);
}

START_TEST(test_faults_password_missing)
{
        check_stays_out("NOAUTH", 0);
        /* The program sends one, and the server accepts it: no reason to wait any longer. */
        invalidation_credentials(server, &endpoint, mt_bytes(NULL, 0), mt_bytes_of("secret"));
        ck_assert_uint_le(UNTIL(fresh()), NS_PER_S);
}
END_TEST

START_TEST(test_faults_password_wrong)
{
        invalidation_credentials(server, &endpoint, mt_bytes_of("default"), mt_bytes_of("guess"));
        check_stays_out("WRONGPASS", 0);
        ck_assert(!logged("guess"));
        invalidation_credentials(server, &endpoint, mt_bytes_of("default"), mt_bytes_of("guess")); /* nothing new */
        check_stays_out("WRONGPASS", 0);
        invalidation_credentials(server, &endpoint, mt_bytes_of("default"), mt_bytes_of("secret"));
        ck_assert_uint_le(UNTIL(fresh()), NS_PER_S);
}
END_TEST

START_TEST(test_faults_password_file)
{
        invalidation_credentials(server, &endpoint, mt_bytes_of("default"), mt_bytes_of("guess")); /* comes second */
        put_password("secret\nnot this\n");
        UNTIL(fresh());
}
END_TEST

START_TEST(test_faults_password_file_unreadable)
{
        put_password("secret\n");
        unlink(config.password_file);
        check_stays_out("MTSHIM_PASSWORD_FILE", 0);
}
END_TEST

START_TEST(test_faults_user_and_file)
{
        redisContext *c = fixture_connect();

        freeReplyObject(redisCommand(c, "AUTH secret"));
        freeReplyObject(redisCommand(c, "ACL SETUSER %s on >%b allcommands allchannels allkeys", "someone", "a b\r c",
                                     (size_t)6));
        redisFree(c);
        config.user = "someone";
        put_password("a b\r c\n");
        UNTIL(fresh());
}
END_TEST

/* A server that wants none gets one: it is not needed, and that is no reason to stay away. */
START_TEST(test_faults_password_needless)
{
        invalidation_credentials(server, &endpoint, mt_bytes(NULL, 0), mt_bytes_of("secret"));
        UNTIL(fresh());
}
END_TEST

/* Where AUTH is renamed the server's answer quotes the password. */
START_TEST(test_faults_password_never_told)
{
        invalidation_credentials(server, &endpoint, mt_bytes_of("default"), mt_bytes_of("secret"));
        check_stays_out("NOAUTH", 0);
        ck_assert(!logged("secret"));
}
END_TEST

/* ---------------------------------------------------------------------------------------------------- leaders */

/* The place in the segment has been given to another server, and a program still keeps the pointer: what one server's
 * PONGs prove must not be said of the other. */
START_TEST(test_faults_place_of_another)
{
        server->id[_i]++; /* port, address */
        for (int i = 0; i < 200; i++) {
                attend();
                usleep(500);
        }
        ck_assert(!led());
        ck_assert_int_eq(listener_thread(), 0);
        server->id[_i]--;
        UNTIL(fresh());
}
END_TEST

/* Another process that leads, and goes on attending. */
static pid_t start_leader(void)
{
        int   ready[2];
        char  byte;
        pid_t pid;

        ck_assert_int_eq(pipe(ready), 0);
        pid = fork();
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                l1_after_fork(l1);
                invalidation_after_fork();
                UNTIL(fresh() && led_by_us());
                if (write(ready[1], "y", 1) != 1)
                        _exit(1);
                for (;;) {
                        attend();
                        usleep(1000);
                }
        }
        ck_assert_int_eq(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        close(ready[1]);
        ck_assert(led() && !led_by_us());
        return pid;
}

START_TEST(test_faults_one_leader)
{
        pid_t    pid = start_leader();
        uint32_t term = mt_load_relaxed(&server->leader_term);

        for (int i = 0; i < 500; i++) {
                attend();
                usleep(1000);
        }
        ck_assert(fresh());
        ck_assert(!led_by_us());
        ck_assert_int_eq(listener_thread(), 0);
        ck_assert_uint_eq(mt_load_relaxed(&server->leader_term), term);
        fixture_end(pid);
}
END_TEST

START_TEST(test_faults_leader_killed)
{
        pid_t pid = start_leader();

        fill("a");
        fixture_end(pid);
        ck_assert_uint_le(UNTIL(led_by_us()), FIXTURE_BOUND_NS);
        uint64_t now_ns = clock_precise_ns();

        ck_assert_uint_le(UNTIL(mt_load_relaxed(&server->fresh_at_ns) > now_ns), NS_PER_S);
        check_serves("a");
}
END_TEST

/* It steps down when it wakes up, and what its stream still holds does no harm. */
START_TEST(test_faults_leader_stopped)
{
        pid_t    pid = start_leader();
        uint32_t epoch;

        fill("a");
        kill(pid, SIGSTOP);
        ck_assert_uint_le(UNTIL(led_by_us()), FIXTURE_BOUND_NS);
        uint64_t now_ns = clock_precise_ns();

        ck_assert_uint_le(UNTIL(mt_load_relaxed(&server->fresh_at_ns) > now_ns), NS_PER_S);
        check_serves("a");
        fill("b");
        epoch = mt_load_relaxed(&server->epoch);
        kill(pid, SIGCONT);
        for (int i = 0; i < 300; i++) {
                attend();
                usleep(1000);
        }
        ck_assert(led_by_us());
        ck_assert(present("b"));
        ck_assert_uint_eq(mt_load_relaxed(&server->epoch), epoch);
        fixture_end(pid);
}
END_TEST

/* A tidy end hands over at once, without waiting for any time to pass. */
START_TEST(test_faults_leader_leaves)
{
        int   go[2];
        char  byte;
        pid_t pid;

        ck_assert_int_eq(pipe(go), 0);
        pid = fork();
        if (pid == 0) {
                l1_after_fork(l1);
                invalidation_after_fork();
                UNTIL(fresh() && led_by_us());
                if (write(go[1], "y", 1) == 1)
                        usleep(300000);
                invalidation_stop(INVALIDATION_FOREVER, 0);
                _exit(0);
        }
        ck_assert_int_eq(read(go[0], &byte, 1), 1);
        for (int i = 0; i < 40; i++)
                attend(); /* long-lived by now */
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
        ck_assert_uint_le(UNTIL(led_by_us()), 200 * NS_PER_MS);
        UNTIL(fresh());
}
END_TEST

/* One that cannot get there, its root being another, does not keep away those who can. */
START_TEST(test_faults_leader_blind)
{
        pid_t pid = fork();

        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                l1_after_fork(l1);
                invalidation_after_fork();
                strcpy(((struct sockaddr_un *)&endpoint.address)->sun_path, "/nonexistent/socket");
                for (;;) {
                        attend();
                        usleep(500);
                }
        }
        while (!led())
                usleep(500);
        ck_assert_uint_le(UNTIL(fresh() && led_by_us()), 3 * NS_PER_S);
        check_serves(NULL);
        fixture_end(pid);
}
END_TEST

/* The uid has changed: the segment is let go, and becomes zeros under the listener's eyes. */
START_TEST(test_faults_abandoned)
{
        UNTIL(fresh());
        l1_abandon(l1);
        for (int i = 0; i < 2000 && listener_thread() != 0; i++)
                usleep(1000);
        ck_assert_int_eq(listener_thread(), 0);
}
END_TEST

/* More keys are written than are ever asked for. */
START_TEST(test_faults_costly)
{
        UNTIL(fresh());
        fixture_say("EVAL %s 0", "for i = 1, 2000 do redis.call('SET', 'k:' .. i, '1') end");
        UNTIL(mt_load_relaxed(&server->invalidations) >= 2000);
        atomic_fetch_add(&clock_test_offset_ns, 61 * (int64_t)NS_PER_S);
        UNTIL(!led());
        UNTIL(logged("ten to twenty minutes"));
        check_closes();
        ck_assert_uint_eq(mt_load_relaxed(&server->flags), SERVER_COSTLY);
        for (int i = 0; i < 50; i++)
                attend();
        ck_assert(!led());
        UNTIL(listener_thread() == 0); /* and if nobody asks again, nobody listens again */
        atomic_fetch_add(&clock_test_offset_ns, 1201 * (int64_t)NS_PER_S);
        UNTIL(fresh());
        ck_assert_uint_eq(mt_load_relaxed(&server->flags), 0);
}
END_TEST

/* ---------------------------------------------------------------------------------------------- a hostile server */

static _Atomic unsigned accepted;
static int              listening;
static const char      *garbage;

/* Answers whatever comes with the same bytes, and closes. */
static void *serve_garbage(void *unused)
{
        for (;;) {
                char buffer[4096];
                int  fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);

                if (fd < 0)
                        return unused;
                atomic_fetch_add(&accepted, 1);
                if (recv(fd, buffer, sizeof buffer, 0) > 0)
                        send(fd, garbage, strlen(garbage), MSG_NOSIGNAL);
                close(fd);
        }
}

START_TEST(test_faults_garbage)
{
        static const char *const kinds[] = {
                "", /* nothing at all */
                ":1\r\n$9999999999\r\n",
                ":1\r\n$11\r\nrun_id:aaaa\r\n",
                "HTTP/1.1 400 Bad Request\r\n\r\n",
                ":-1\r\n",
                "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n?\r\n",
                "*2147483647\r\n*2147483647\r\n*2147483647\r\n*9\r\n*9\r\n*9\r\n*9\r\n*9\r\n*9\r\n",
        };
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        pthread_t          thread;

        garbage = kinds[_i];
        strcpy(address.sun_path, socket_path);
        listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(bind(listening, (struct sockaddr *)&address, sizeof address), 0);
        ck_assert_int_eq(listen(listening, 10), 0);
        ck_assert_int_eq(pthread_create(&thread, NULL, serve_garbage, NULL), 0);
        fixture_attach();
        if (_i < 3) {
                UNTIL(logged("unanswered"));
                ck_assert(stale());
                invalidation_stop(INVALIDATION_FOREVER, NS_PER_S);
                shutdown(listening, SHUT_RDWR);
                ck_assert_int_eq(pthread_join(thread, NULL), 0);
                return;
        }
        UNTIL(logged("no Redis"));
        unsigned seen = atomic_load(&accepted);

        for (int i = 0; i < 100; i++) {
                attend();
                usleep(1000);
        }
        ck_assert_uint_eq(atomic_load(&accepted), seen);
        ck_assert(stale());
        ck_assert(!led());
        ck_assert_uint_ge(counted(COUNTER_error_listener), 1);
        shutdown(listening, SHUT_RDWR);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

/* --------------------------------------------------------------------------------------------------------- suite */

static void setup_tcp(void)
{
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t          len = sizeof in;
        int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
        redis_port = ntohs(in.sin_port);
        close(fd);
        fixture_setup();
}

static void setup_with(const char *const *option)
{
        fixture_folder();
        fixture_start_redis(option);
        fixture_attach();
}

static void setup_cluster(void)
{
        setup_with((const char *const[]){"--cluster-enabled", "yes", NULL});
}

static void setup_renamed(void)
{
        setup_with((const char *const[]){"--rename-command", "CLIENT", "", NULL});
}

static void setup_password(void)
{
        setup_with((const char *const[]){"--requirepass", "secret", NULL});
}

static void setup_auth_renamed(void)
{
        setup_with((const char *const[]){"--requirepass", "secret", "--rename-command", "AUTH", "", NULL});
}

static TCase *group(Suite *suite, const char *name, SFun setup)
{
        TCase *tc = tcase_create(name);

        tcase_set_timeout(tc, 60);
        tcase_add_checked_fixture(tc, setup, fixture_teardown);
        suite_add_tcase(suite, tc);
        return tc;
}

int main(void)
{
        Suite   *suite = suite_create("listener_faults");
        SRunner *runner = srunner_create(suite);
        TCase   *tc = group(suite, "unix", fixture_setup);
        int      failed;

        tcase_add_test(tc, test_faults_client_kill);
        tcase_add_test(tc, test_faults_restart_unix);
        tcase_add_test(tc, test_faults_server_stopped);
        tcase_add_test(tc, test_faults_server_stopped_for_long);
        tcase_add_test(tc, test_faults_server_busy);
        tcase_add_test(tc, test_faults_suspended);
        tcase_add_test(tc, test_faults_no_rights);
        tcase_add_test(tc, test_faults_no_channel);
        tcase_add_test(tc, test_faults_rights_lost);
        tcase_add_test(tc, test_faults_minimum_rights);
        tcase_add_test(tc, test_faults_password_needless);
        tcase_add_test(tc, test_faults_one_leader);
        tcase_add_test(tc, test_faults_leader_killed);
        tcase_add_test(tc, test_faults_leader_stopped);
        tcase_add_test(tc, test_faults_leader_leaves);
        tcase_add_test(tc, test_faults_leader_blind);
        tcase_add_test(tc, test_faults_abandoned);
        tcase_add_test(tc, test_faults_costly);
        tc = group(suite, "tcp", setup_tcp);
        tcase_add_test(tc, test_faults_client_kill);
        tcase_add_test(tc, test_faults_restart_tcp);
        tcase_add_loop_test(tc, test_faults_place_of_another, 0, 2);
        tcase_add_test(tc, test_faults_server_stopped);
        tcase_add_test(tc, test_faults_minimum_rights);
        tc = group(suite, "cluster", setup_cluster);
        tcase_add_test(tc, test_faults_cluster);
        tc = group(suite, "renamed", setup_renamed);
        tcase_add_test(tc, test_faults_renamed);
        tc = group(suite, "password", setup_password);
        tcase_add_test(tc, test_faults_password_missing);
        tcase_add_test(tc, test_faults_password_wrong);
        tcase_add_test(tc, test_faults_password_file);
        tcase_add_test(tc, test_faults_password_file_unreadable);
        tcase_add_test(tc, test_faults_user_and_file);
        tc = group(suite, "auth renamed", setup_auth_renamed);
        tcase_add_test(tc, test_faults_password_never_told);
        tc = group(suite, "hostile", fixture_folder);
        tcase_add_loop_test(tc, test_faults_garbage, 0, 7);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? 0 : 1;
}
