/* redis_fixture.h - a real redis-server in a folder of its own, a segment beside it, and a program's thread that
 * attends. The server dies with the test that started it. */
#ifndef MT_TESTS_REDIS_FIXTURE_H
#define MT_TESTS_REDIS_FIXTURE_H

#include "invalidation/invalidation.h"
#include "l1/base/log.h"

#include <check.h>
#include <hiredis/hiredis.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wunused-function" /* each test file uses some of these */

#define FIXTURE_BOUND_NS NS_PER_S
#define FIXTURE_WAIT_MS  5000u /* for what should take milliseconds, on a busy machine */

static char                         folder[] = "/tmp/mtshim-listener-XXXXXX";
static char                         socket_path[64], log_path[64];
static pid_t                        redis_pid;
static int                          redis_port; /* 0: the unix socket alone */
static struct l1                   *l1;
static struct server_shm           *server;
static struct invalidation_endpoint endpoint;
static struct invalidation_config   config;

/* ThreadSanitizer believes that descriptors are the process's; the listener's thread has a table of its own. */
#ifdef MT_TSAN
const char *__tsan_default_suppressions(void);
const char *__tsan_default_options(void);

__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void)
{
        return "race:^link_open$\nrace:^link_read$\nrace:^link_flush$\nrace:^link_close$\nrace:^link_finish$\n"
               "race:^thread_settle$\nrace:^thread_fill_standard$\nrace:^thread_take_wakeup$\n"
               "race:^thread_open_wakeup$\nrace:^secret_read_line$\n";
}

__attribute__((visibility("default"))) const char *__tsan_default_options(void)
{
        return "die_after_fork=0";
}
#endif

/* ----------------------------------------------------------------------------------------------------- the server */

static redisContext *fixture_try_connect(void)
{
        redisContext *c = redis_port ? redisConnect("127.0.0.1", redis_port) : redisConnectUnix(socket_path);

        if (c && c->err) {
                redisFree(c);
                c = NULL;
        }
        return c;
}

static redisContext *fixture_connect(void)
{
        redisContext *c = fixture_try_connect();

        ck_assert_ptr_nonnull(c);
        return c;
}

/* Options as redis-server takes them, "--name", "value", ..., NULL. */
static void fixture_start_redis(const char *const *option)
{
        const char *argv[64] = {"redis-server", "--save", "",          "--appendonly", "no",
                                "--dir",        folder,   "--logfile", "redis.log"};
        char        port[16];
        int         argc = 9;
        pid_t       parent = getpid();

        snprintf(port, sizeof port, "%d", redis_port);
        argv[argc++] = "--port";
        argv[argc++] = port;
        argv[argc++] = "--unixsocket";
        argv[argc++] = socket_path;
        while (option && *option)
                argv[argc++] = *option++;
        redis_pid = fork();
        if (redis_pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (getppid() == parent)
                        execvp(argv[0], (char **)(uintptr_t)argv);
                _exit(127);
        }
        for (int i = 0; i < 1000; i++) {
                redisContext *c = fixture_try_connect();

                if (c) {
                        redisFree(c);
                        return;
                }
                usleep(5000);
        }
        ck_abort_msg("redis-server does not start");
}

static void fixture_end(pid_t pid)
{
        kill(pid, SIGKILL);
        kill(pid, SIGCONT);
        waitpid(pid, NULL, 0);
}

/* One command, words separated by blanks; the reply is checked not to be an error, and dropped. */
static void fixture_say(const char *format, ...)
{
        redisContext *c = fixture_connect();
        redisReply   *reply;
        va_list       ap;

        va_start(ap, format);
        reply = redisvCommand(c, format, ap);
        va_end(ap);
        ck_assert_ptr_nonnull(reply);
        ck_assert_msg(reply->type != REDIS_REPLY_ERROR, "%s: %s", format, reply->str);
        freeReplyObject(reply);
        redisFree(c);
}

/* -------------------------------------------------------------------------------------------- our side of it */

static void fixture_aim(void)
{
        struct l1_server_id id = {.family = AF_UNIX};

        memset(&endpoint, 0, sizeof endpoint);
        if (redis_port) {
                struct sockaddr_in *in = (void *)&endpoint.address;

                in->sin_family = AF_INET;
                in->sin_port = htons((uint16_t)redis_port);
                in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
                endpoint.length = sizeof *in;
                id.family = AF_INET;
                id.id[0] = (uint64_t)redis_port;
                id.id[1] = in->sin_addr.s_addr;
                snprintf(id.address, sizeof id.address, "127.0.0.1:%d", redis_port);
        } else {
                struct sockaddr_un *un = (void *)&endpoint.address;
                struct stat         st;

                un->sun_family = AF_UNIX;
                strcpy(un->sun_path, socket_path);
                endpoint.length = sizeof *un;
                ck_assert_int_eq(stat(socket_path, &st), 0);
                id.id[0] = st.st_dev;
                id.id[1] = st.st_ino;
                snprintf(id.address, sizeof id.address, "%s", socket_path);
        }
        server = l1_server(l1, &id);
        ck_assert_ptr_nonnull(server);
}

static void fixture_folder(void)
{
        ck_assert_ptr_nonnull(mkdtemp(folder));
        snprintf(socket_path, sizeof socket_path, "%s/s", folder);
        snprintf(log_path, sizeof log_path, "%s/mtshim.log", folder);
        log_setup();
        log_configure(LOG_WARN, log_path);
}

static void fixture_attach(void)
{
        struct l1_config l1_config = {.name = "t", .size_bytes = 4 << 20, .max_item_bytes = 65536, .directory = folder};

        l1 = l1_attach(&l1_config);
        ck_assert_ptr_nonnull(l1);
        config = (struct invalidation_config){.mode = INVALIDATION_TRACKING, .bound_ns = FIXTURE_BOUND_NS};
        invalidation_loaded();
        invalidation_setup(&config);
        fixture_aim();
}

static void fixture_setup(void)
{
        fixture_folder();
        fixture_start_redis(NULL);
        fixture_attach();
}

static void fixture_teardown(void)
{
        char command[64];

        invalidation_stop(INVALIDATION_FOREVER, NS_PER_S);
        l1_detach(l1);
        if (redis_pid > 0)
                fixture_end(redis_pid);
        snprintf(command, sizeof command, "rm -rf %s", folder);
        ck_assert_int_eq(system(command), 0);
}

static void attend(void)
{
        invalidation_attend(l1, server, &endpoint, clock_coarse_ns());
}

static bool fresh(void)
{
        return invalidation_fresh(server, invalidation_window_ns(config.bound_ns), clock_coarse_ns());
}

static bool stale(void)
{
        return !fresh();
}

/* A program that goes on asking until the condition holds; how long that took, in ns. */
#define UNTIL(condition)                                                                                               \
        ({                                                                                                             \
                uint64_t until_begin = clock_read_ns(CLOCK_MONOTONIC);                                                 \
                while (!(condition)) {                                                                                 \
                        ck_assert_msg(clock_read_ns(CLOCK_MONOTONIC) - until_begin < FIXTURE_WAIT_MS * NS_PER_MS,      \
                                      "waited in vain: " #condition);                                                  \
                        attend();                                                                                      \
                        usleep(500);                                                                                   \
                }                                                                                                      \
                clock_read_ns(CLOCK_MONOTONIC) - until_begin;                                                          \
        })

/* As a hit does it: fresh_at, then the namespace's id, then the slots. */
static bool present(const char *key)
{
        static const uint64_t user[2];
        struct l1_key         k = {.key = mt_bytes_of(key)};
        struct namespace_shm *ns = l1_namespace(l1, server, 0, user);
        struct l1_hit         hit;
        char                  value[256];

        ck_assert_ptr_nonnull(ns);
        k.hash = l1_hash(l1, l1_server_index(l1, server), k.key);
        return l1_find(l1, &k, mt_load_acquire(&ns->id), clock_coarse_ns(), &hit) && hit.len < sizeof value &&
               l1_copy(&hit, value);
}

static void fill(const char *key)
{
        static const uint64_t user[2];
        struct l1_key         k = {.key = mt_bytes_of(key)};
        struct namespace_shm *ns = l1_namespace(l1, server, 0, user);
        struct l1_lease       lease;
        uint64_t              now_ns = clock_coarse_ns();

        ck_assert_ptr_nonnull(ns);
        k.hash = l1_hash(l1, l1_server_index(l1, server), k.key);
        ck_assert(l1_lease(l1, &k, mt_load_acquire(&ns->id), now_ns, &lease));
        ck_assert(l1_fill(l1, &k, &lease, mt_bytes_of("value"), now_ns + 600 * NS_PER_S));
        ck_assert(present(key));
}

/* ------------------------------------------------------------------------------------------ what can be seen of it */

/* Memcheck runs one thread at a time, with descriptors and signals of its own in each. */
static bool under_valgrind(void)
{
        const char *preload = getenv("LD_PRELOAD");

        return preload && strstr(preload, "vgpreload");
}

/* The listener's thread of this process: its id, or 0. */
static int listener_thread(void)
{
        DIR           *dir = opendir("/proc/self/task");
        struct dirent *entry;
        int            found = 0;

        while ((entry = readdir(dir)) != NULL) {
                char  path[300], name[32] = "";
                FILE *f;

                snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
                f = fopen(path, "r");
                if (!f)
                        continue;
                if (fgets(name, sizeof name, f) && strcmp(name, "mtshim\n") == 0)
                        found = atoi(entry->d_name);
                fclose(f);
        }
        closedir(dir);
        return found;
}

static bool led_by_us(void)
{
        return mt_load_relaxed(&server->leader) == l1_self(l1);
}

static bool led(void)
{
        return mt_load_relaxed(&server->leader) != 0;
}

/* Has a line with this in it been written to MTSHIM_LOG? */
static bool logged(const char *text)
{
        static char all[65536];
        int         fd = open(log_path, O_RDONLY | O_CLOEXEC);
        ssize_t     n = fd < 0 ? 0 : read(fd, all, sizeof all - 1);

        if (fd >= 0)
                close(fd);
        all[n > 0 ? n : 0] = '\0';
        return strstr(all, text) != NULL;
}

/* The listener may be writing it. */
static const char *run_id(void)
{
        static char copy[sizeof server->run_id];

        mt_copy_from_shared(copy, server->run_id, sizeof copy);
        return copy;
}

static uint64_t counted(enum l1_counter counter)
{
        struct l1_totals totals;

        l1_totals(l1, false, &totals);
        return totals.count[counter];
}

#endif
