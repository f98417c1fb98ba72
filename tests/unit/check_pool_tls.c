/* check_pool_tls.c - connections of our own through TLS, and by a hiredis that this program is not linked to: it is
 * found in the folder that LD_LIBRARY_PATH names, 1.2 of `make deps-matrix`. Whose a certificate is, is checked here
 * and not by hiredis. Without such a hiredis there is nothing to look at, and one line says so. */
#include "halt.h"
#include "l1/base/log.h"
#include "shim/redis/backend_redis.h"

#include <arpa/inet.h>
#include <check.h>
#include <glob.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIMEOUT_MS = 5000 };

static char               folder[] = "/tmp/mtshim-pool-tls-XXXXXX";
static char               certificate[64], key[64], other[64];
static pid_t              redis_pid;
static int                port;
static struct pool_config wanted;
static char               why[POOL_WHY_MAX];

static void make_certificates(void)
{
        char command[512];

        snprintf(certificate, sizeof certificate, "%s/cert", folder);
        snprintf(key, sizeof key, "%s/key", folder);
        snprintf(other, sizeof other, "%s/other", folder);
        for (int i = 0; i < 2; i++) {
                snprintf(command, sizeof command,
                         "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=redis.test "
                         "-addext subjectAltName=DNS:redis.test,IP:127.0.0.1 -keyout %s -out %s 2>%s/openssl.log",
                         key, i == 0 ? other : certificate, folder);
                ck_assert_int_eq(system(command), 0);
        }
}

static struct sockaddr_in loopback(int number)
{
        return (struct sockaddr_in){.sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)number),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int free_port(void)
{
        struct sockaddr_in in = loopback(0);
        socklen_t          length = sizeof in;
        int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &length), 0);
        close(fd);
        return ntohs(in.sin_port);
}

static void start_redis(const char *clients)
{
        struct sockaddr_in in;
        char               number[16];
        pid_t              parent = getpid();

        port = free_port();
        in = loopback(port);
        snprintf(number, sizeof number, "%d", port);
        redis_pid = fork();
        if (redis_pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (getppid() == parent)
                        execlp("redis-server", "redis-server", "--save", "", "--dir", folder, "--logfile", "redis.log",
                               "--port", "0", "--tls-port", number, "--tls-cert-file", certificate, "--tls-key-file",
                               key, "--tls-ca-cert-file", certificate, "--tls-auth-clients", clients, (char *)NULL);
                _exit(127);
        }
        for (int i = 0; i < 1000; i++) {
                int  fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                bool there = connect(fd, (struct sockaddr *)&in, sizeof in) == 0;

                close(fd);
                if (there)
                        return;
                usleep(5000);
        }
        ck_abort_msg("redis-server does not start");
}

static void setup(void)
{
        ck_assert_ptr_nonnull(mkdtemp(folder));
        log_configure(LOG_ERROR, NULL);
        make_certificates();
        start_redis("no");
        wanted = (struct pool_config){.timeout_ms = TIMEOUT_MS, .tls.ca_file = certificate};
        wanted.address = (struct redis_address){.secured = true, .host = "127.0.0.1", .port = (uint16_t)port};
}

static void end_redis(void)
{
        kill(redis_pid, SIGKILL);
        kill(redis_pid, SIGCONT);
        waitpid(redis_pid, NULL, 0);
}

static void teardown(void)
{
        char line[64];

        end_redis();
        snprintf(line, sizeof line, "rm -rf %s", folder);
        ck_assert_int_eq(system(line), 0);
}

/* Does it answer? What it said instead is left in why. */
static bool well(void)
{
        struct redis_store *store = redis_store_open(&wanted, mt_bytes_of("p:"), 0, why);
        bool                good;

        ck_assert_msg(store != NULL, "%s", why);
        good = redis_l2_ops.cache.health_check(store);
        pool_why(store->pool, why);
        redis_store_close(store);
        return good;
}

START_TEST(a_hiredis_is_found_and_used)
{
        static const char   value[] = "through TLS";
        struct redis_store *store = redis_store_open(&wanted, mt_bytes_of("p:"), 0, why);
        uint64_t            mark;

        ck_assert_msg(store != NULL, "%s", why);
        ck_assert_int_eq(pool_hiredis(store->pool)->abi.letter, 'B');
        ck_assert_msg(redis_l2_ops.cache.set_with_ttl(store, mt_bytes_of("k"), mt_bytes_of(value), 60000) == MT_OK,
                      "%s", (pool_why(store->pool, why), why));
        ck_assert_int_eq(redis_l2_ops.mark(store, mt_bytes_of("k"), &mark), MT_OK);
        ck_assert_int_eq(redis_l2_ops.set_marked(store, mt_bytes_of("k"), mt_bytes_of(value), 60000, mark), MT_OK);
        ck_assert_int_eq(redis_l2_ops.cache.flush(store), MT_OK);
        ck_assert_int_eq(redis_l2_ops.set_marked(store, mt_bytes_of("k"), mt_bytes_of(value), 60000, mark), MT_STALE);
        redis_store_close(store);
}
END_TEST

/* More than one record of TLS, both ways. */
START_TEST(large_values)
{
        enum { LEN = 3 << 20 };
        struct redis_store *store = redis_store_open(&wanted, mt_bytes_of("p:"), 0, why);
        char               *value = malloc(LEN);
        struct pool_loan    loan;

        ck_assert_ptr_nonnull(value);
        for (size_t i = 0; i < LEN; i++)
                value[i] = (char)(i * 7 >> 3);
        ck_assert_int_eq(redis_l2_ops.cache.set_with_ttl(store, mt_bytes_of("k"), mt_bytes(value, LEN), 60000), MT_OK);
        for (int turn = 0; turn < 2; turn++) {
                const struct mt_bytes word[] = {mt_bytes_of("GET"), mt_bytes_of("p:k")};
                struct exchange       x;

                ck_assert_int_eq(exchange(&x, store->pool, TIMEOUT_MS, &EXCHANGE_COMMAND(word), 1), MT_OK);
                ck_assert(mt_bytes_equal(exchange_bytes(&x, x.reply[0]), mt_bytes(value, LEN)));
                exchange_end(&x);
        }
        ck_assert_int_eq(pool_lend(store->pool, &loan), MT_OK);
        ck_assert(!loan.fresh); /* tickets that the server sent behind the handshake have not been taken for its end */
        pool_return(store->pool, &loan, true);
        free(value);
        redis_store_close(store);
}
END_TEST

START_TEST(whose_it_is)
{
        ck_assert(well());
        wanted.tls.server_name = "redis.test";
        ck_assert(well());
        wanted.tls.server_name = "other.test"; /* a good certificate, and another's */
        ck_assert(!well());
        ck_assert_msg(strstr(why, "certificate verify failed") != NULL, "%s", why);
        wanted.tls.server_name = "127.0.0.2";
        ck_assert(!well());
        wanted.tls.unverified = true;
        ck_assert(well());
        wanted.tls = (struct pool_tls){.ca_file = other}; /* nobody that is believed has signed it */
        ck_assert(!well());
        ck_assert_msg(strstr(why, "certificate verify failed") != NULL, "%s", why);
        wanted.tls = (struct pool_tls){0}; /* the system's store does not know it */
        ck_assert(!well());
}
END_TEST

START_TEST(what_is_shown_to_it)
{
        end_redis();
        start_redis("yes");
        wanted.address.port = (uint16_t)port;
        ck_assert(!well());
        wanted.tls.cert_file = certificate;
        wanted.tls.key_file = key;
        ck_assert_msg(well(), "%s", why);
}
END_TEST

START_TEST(files_that_are_none)
{
        static const struct {
                struct pool_tls tls;
                const char     *why;
        } bad[] = {
                {{.ca_file = "/nowhere/ca"}, "TLS: no certificates can be read from /nowhere/ca"},
                {{.cert_file = "/nowhere/cert"}, "TLS: no certificate can be read from /nowhere/cert"},
                {{.key_file = "/nowhere/key"}, "TLS: no key of that certificate can be read from /nowhere/key"},
        };

        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                wanted.tls = bad[i].tls;
                ck_assert_ptr_null(pool_create(&wanted, why));
                ck_assert_str_eq(why, bad[i].why);
        }
}
END_TEST

START_TEST(a_handshake_has_an_end)
{
        wanted.timeout_ms = 200;
        halt(redis_pid); /* the kernel accepts for it, and nobody answers */
        ck_assert(!well());
        kill(redis_pid, SIGCONT);
        wanted.timeout_ms = TIMEOUT_MS;
        ck_assert(well());
}
END_TEST

/* Is a hiredis with TLS to be found by this program? Its folder must be known to the loader before it begins. */
static void look_for_hiredis(char **argv)
{
        const char *matrix = getenv("MATRIX");
        char        pattern[4096];
        glob_t      found;

        if (getenv("CHECK_POOL_TLS") != NULL)
                return;
        setenv("CHECK_POOL_TLS", "none", 1);
        snprintf(pattern, sizeof pattern, "%s/usr/lib/*-linux-gnu*", matrix ? matrix : "build/matrix");
        if (glob(pattern, 0, NULL, &found) != 0)
                return;
        setenv("CHECK_POOL_TLS", "there", 1);
        setenv("LD_LIBRARY_PATH", found.gl_pathv[0], 1);
        execv("/proc/self/exe", argv);
        perror("execv");
        exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
        Suite   *s = suite_create("pool_tls");
        TCase   *t = tcase_create("tls");
        SRunner *runner;
        int      failed;

        (void)argc;
        look_for_hiredis(argv);
        if (strcmp(getenv("CHECK_POOL_TLS"), "none") == 0 &&
            (next_any() == NULL || next_sibling(next_any(), "_ssl") == NULL)) {
                puts("no hiredis with TLS: `make deps-matrix` brings one");
                return EXIT_SUCCESS;
        }
        tcase_set_timeout(t, 30);
        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_test(t, a_hiredis_is_found_and_used);
        tcase_add_test(t, large_values);
        tcase_add_test(t, whose_it_is);
        tcase_add_test(t, what_is_shown_to_it);
        tcase_add_test(t, files_that_are_none);
        tcase_add_test(t, a_handshake_has_an_end);
        suite_add_tcase(s, t);
        runner = srunner_create(s);
        srunner_run_all(runner, CK_ENV);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
