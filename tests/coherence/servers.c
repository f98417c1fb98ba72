/* servers.c - the life of a redis-server.
 *
 *   server_create() -> ENDED -> server_launch() -> RUNS -> server_end(), or it dies -> ENDED ...
 */
#include "servers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SERVER_START_MS = 20000, SERVER_END_MS = 10000, SERVER_SAY_MS = 10000, SERVER_LOOK_MS = 5, SERVER_WORDS = 96 };

struct server {
        pid_t              pid;
        int                port;
        char               folder[96], socket[108], log[108], address[64], bind[48];
        const char        *program;
        const char *const *option;
        void (*in_child)(void *arg);
        void *arg;
};

static uint64_t server_now_ms(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void server_pause(void)
{
        nanosleep(&(struct timespec){.tv_nsec = SERVER_LOOK_MS * 1000000L}, NULL);
}

__attribute__((noreturn)) static void server_cannot(const char *what, const char *whom)
{
        fprintf(stderr, "%s %s: %s\n", what, whom, strerror(errno));
        exit(1);
}

/* A port that nobody has now. Somebody may take it before the server does: then that does not start, and says so. */
static int server_free_port(void)
{
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t          len = sizeof in;
        int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || bind(fd, (void *)&in, sizeof in) != 0 || getsockname(fd, (void *)&in, &len) != 0)
                server_cannot("bind", "127.0.0.1:0");
        close(fd);
        return ntohs(in.sin_port);
}

struct server *server_create(const struct server_config *config)
{
        struct server *s = calloc(1, sizeof *s);

        if (s == NULL)
                server_cannot("calloc", config->name);
        s->program = config->program != NULL ? config->program : "redis-server";
        s->option = config->option;
        s->in_child = config->in_child;
        s->arg = config->arg;
        s->port = server_free_port();
        snprintf(s->bind, sizeof s->bind, "%s", config->bind != NULL ? config->bind : "127.0.0.1");
        snprintf(s->address, sizeof s->address, "%s:%d", s->bind, s->port);
        if (snprintf(s->folder, sizeof s->folder, "%s/%s", config->folder, config->name) >= (int)sizeof s->folder) {
                errno = ENAMETOOLONG;
                server_cannot("mkdir", config->folder);
        }
        snprintf(s->socket, sizeof s->socket, "%s/sock", s->folder);
        snprintf(s->log, sizeof s->log, "%s/log", s->folder);
        if (mkdir(s->folder, 0755) != 0 && errno != EEXIST)
                server_cannot("mkdir", s->folder);
        return s;
}

void server_destroy(struct server **server)
{
        if (*server == NULL)
                return;
        server_end(*server, SIGKILL);
        free(*server);
        *server = NULL;
}

/* ------------------------------------------------------------------------------------------------------ start */

static void server_exec(const struct server *s)
{
        const char *argv[SERVER_WORDS] = {s->program, "--dir",
                                          s->folder,  "--unixsocket",
                                          s->socket,  "--unixsocketperm",
                                          "777",      "--bind",
                                          s->bind,    "--save",
                                          "",         "--appendonly",
                                          "yes",      "--appendfsync",
                                          "no",       "--auto-aof-rewrite-min-size",
                                          "16mb",     "--enable-debug-command",
                                          "yes",      "--lua-time-limit",
                                          "20",       "--daemonize",
                                          "no",       "--port"};
        char        port[16];
        int         argc = 0, fd = open(s->log, O_WRONLY | O_CREAT | O_APPEND, 0644);

        while (argv[argc] != NULL)
                argc++;
        snprintf(port, sizeof port, "%d", s->port);
        argv[argc++] = port;
        for (const char *const *o = s->option; o != NULL && *o != NULL && argc < SERVER_WORDS - 1; o++)
                argv[argc++] = *o;
        if (fd >= 0) {
                dup2(fd, 1);
                dup2(fd, 2);
        }
        execvp(argv[0], (char **)(uintptr_t)argv);
        fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
}

static void server_lose_data(const struct server *s)
{
        char        command[160];
        const char *what = "appendonlydir dump.rdb";

        snprintf(command, sizeof command, "cd '%s' && rm -rf %s", s->folder, what);
        if (system(command) != 0)
                server_cannot("rm", s->folder);
}

void server_launch(struct server *s, enum server_data data)
{
        pid_t parent = getpid();

        if (data == SERVER_DATA_LOST)
                server_lose_data(s);
        fflush(NULL);
        s->pid = fork();
        if (s->pid < 0)
                server_cannot("fork", s->program);
        if (s->pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (getppid() != parent)
                        _exit(127);
                if (s->in_child != NULL)
                        s->in_child(s->arg);
                server_exec(s);
        }
}

bool server_answers(const struct server *s)
{
        redisContext *c = server_connect(s, 100);
        redisReply   *reply;
        bool          answers = false;

        if (c == NULL)
                return false;
        reply = redisCommand(c, "PING");
        if (reply != NULL) {
                answers = reply->type == REDIS_REPLY_STATUS;
                freeReplyObject(reply);
        }
        redisFree(c);
        return answers;
}

/* Has it ended by itself? */
static bool server_gone(struct server *s)
{
        if (s->pid == 0 || waitpid(s->pid, NULL, WNOHANG) == s->pid)
                s->pid = 0;
        return s->pid == 0;
}

bool server_start(struct server *s, enum server_data data)
{
        uint64_t deadline_ms = server_now_ms() + SERVER_START_MS;

        server_launch(s, data);
        while (!server_answers(s)) {
                if (server_gone(s) || server_now_ms() > deadline_ms) {
                        fprintf(stderr, "%s: %s: see %s\n", s->program, s->pid ? "does not answer" : "has ended",
                                s->log);
                        return false;
                }
                server_pause();
        }
        return true;
}

/* -------------------------------------------------------------------------------------------------------- end */

void server_signal(const struct server *s, int signal)
{
        if (s->pid > 0)
                kill(s->pid, signal);
}

void server_end(struct server *s, int signal)
{
        uint64_t deadline_ms = server_now_ms() + SERVER_END_MS;

        if (s->pid == 0)
                return;
        server_signal(s, signal);
        if (signal != SIGKILL) {
                server_signal(s, SIGCONT);
                while (!server_gone(s) && server_now_ms() < deadline_ms)
                        server_pause();
        }
        if (s->pid != 0) {
                server_signal(s, SIGKILL);
                waitpid(s->pid, NULL, 0);
                s->pid = 0;
        }
}

/* ---------------------------------------------------------------------------------------------------- its doors */

pid_t server_pid(const struct server *s)
{
        return s->pid;
}

const char *server_socket(const struct server *s)
{
        return s->socket;
}

int server_port(const struct server *s)
{
        return s->port;
}

const char *server_address(const struct server *s)
{
        return s->address;
}

const char *server_folder(const struct server *s)
{
        return s->folder;
}

redisContext *server_connect(const struct server *s, unsigned timeout_ms)
{
        struct timeval timeout = {timeout_ms / 1000, (suseconds_t)(timeout_ms % 1000) * 1000};
        redisContext  *c =
                timeout_ms != 0 ? redisConnectUnixWithTimeout(s->socket, timeout) : redisConnectUnix(s->socket);

        if (c != NULL && (c->err != 0 || (timeout_ms != 0 && redisSetTimeout(c, timeout) != REDIS_OK))) {
                redisFree(c);
                c = NULL;
        }
        return c;
}

bool server_say(const struct server *s, const char *format, ...)
{
        redisContext *c = server_connect(s, SERVER_SAY_MS);
        redisReply   *reply;
        va_list       ap;
        bool          good;

        if (c == NULL)
                return false;
        va_start(ap, format);
        reply = redisvCommand(c, format, ap);
        va_end(ap);
        good = reply != NULL && reply->type != REDIS_REPLY_ERROR;
        if (reply != NULL)
                freeReplyObject(reply);
        redisFree(c);
        return good;
}
