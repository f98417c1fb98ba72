/* sentinel.c - its configuration, its life, and what it is asked. */
#include "sentinel.h"

#include <hiredis/hiredis.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SENTINEL_START_MS = 20000, SENTINEL_LOOK_MS = 20 };

static redisReply *sentinel_ask(const struct sentinel *s, const char *command)
{
        struct timeval timeout = {1, 0};
        redisContext  *c = redisConnectWithTimeout("127.0.0.1", s->port, timeout);
        redisReply    *reply = NULL;

        if (c != NULL && c->err == 0 && redisSetTimeout(c, timeout) == REDIS_OK)
                reply = redisCommand(c, command);
        if (c != NULL)
                redisFree(c);
        return reply;
}

static bool sentinel_agrees(const struct sentinel *s, const char *command)
{
        redisReply *reply = sentinel_ask(s, command);
        bool        ok = reply != NULL && reply->type != REDIS_REPLY_ERROR;

        if (reply != NULL)
                freeReplyObject(reply);
        return ok;
}

/* Does it know of a replica that could be promoted? */
static bool sentinel_has_replica(const struct sentinel *s)
{
        redisReply *reply = sentinel_ask(s, "SENTINEL CKQUORUM " SENTINEL_NAME);
        redisReply *replicas = sentinel_ask(s, "SENTINEL REPLICAS " SENTINEL_NAME);
        bool        has = reply != NULL && reply->type == REDIS_REPLY_STATUS && replicas != NULL &&
                   replicas->type == REDIS_REPLY_ARRAY && replicas->elements == 1;

        for (size_t i = 0; has && i + 1 < replicas->element[0]->elements; i += 2) {
                if (strcmp(replicas->element[0]->element[i]->str, "master-link-status") == 0)
                        has = strcmp(replicas->element[0]->element[i + 1]->str, "ok") == 0;
        }
        if (reply != NULL)
                freeReplyObject(reply);
        if (replicas != NULL)
                freeReplyObject(replicas);
        return has;
}

int sentinel_master_port(const struct sentinel *s)
{
        redisReply *reply = sentinel_ask(s, "SENTINEL GET-MASTER-ADDR-BY-NAME " SENTINEL_NAME);
        int         port = 0;

        if (reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
                port = atoi(reply->element[1]->str);
        if (reply != NULL)
                freeReplyObject(reply);
        return port;
}

bool sentinel_failover(const struct sentinel *s)
{
        return sentinel_has_replica(s) && sentinel_agrees(s, "SENTINEL FAILOVER " SENTINEL_NAME);
}

/* ------------------------------------------------------------------------------------------------------ its life */

static int sentinel_free_port(void)
{
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t          len = sizeof in;
        int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;

        if (fd >= 0 && bind(fd, (void *)&in, sizeof in) == 0 && getsockname(fd, (void *)&in, &len) == 0)
                port = ntohs(in.sin_port);
        if (fd >= 0)
                close(fd);
        return port;
}

/* It keeps its state in its configuration file, so it wants one that it may write. */
static bool sentinel_configure(const struct sentinel *s, const char *path, int master_port)
{
        FILE *file = fopen(path, "we");

        if (file == NULL)
                return false;
        fprintf(file,
                "port %d\nbind 127.0.0.1\ndir %s\nlogfile %s/sentinel.log\n"
                "sentinel monitor " SENTINEL_NAME " 127.0.0.1 %d 1\n"
                "sentinel down-after-milliseconds " SENTINEL_NAME " 300\n"
                "sentinel failover-timeout " SENTINEL_NAME " 2000\n",
                s->port, s->folder, s->folder, master_port);
        return fclose(file) == 0;
}

static void sentinel_exec(const char *path)
{
        int null = open("/dev/null", O_RDWR);

        dup2(null, 1);
        dup2(null, 2);
        execlp("redis-server", "redis-server", path, "--sentinel", NULL);
        _exit(127);
}

bool sentinel_start(struct sentinel *s, const char *folder, int master_port)
{
        const struct timespec moment = {.tv_nsec = SENTINEL_LOOK_MS * 1000000L};
        pid_t                 parent = getpid();
        char                  path[128];
        bool                  hurried = false;

        *s = (struct sentinel){.port = sentinel_free_port()};
        snprintf(s->folder, sizeof s->folder, "%s", folder);
        snprintf(s->address, sizeof s->address, "127.0.0.1:%d", s->port);
        snprintf(path, sizeof path, "%s/sentinel.conf", folder);
        if (!sentinel_configure(s, path, master_port) || (s->pid = fork()) < 0) {
                fprintf(stderr, "%s: %s\n", path, strerror(errno));
                return false;
        }
        if (s->pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (getppid() != parent)
                        _exit(127);
                sentinel_exec(path);
        }
        for (int ms = 0; ms < SENTINEL_START_MS; ms += SENTINEL_LOOK_MS) {
                if (!hurried)
                        hurried =
                                sentinel_agrees(s, "SENTINEL DEBUG INFO-PERIOD 100 PUBLISH-PERIOD 100 PING-PERIOD 100 "
                                                   "ASK-PERIOD 100 SLAVE-RECONF-TIMEOUT 500 ELECTION-TIMEOUT 500");
                else if (sentinel_has_replica(s))
                        return true;
                nanosleep(&moment, NULL);
        }
        fprintf(stderr, "the sentinel does not know the replica: see %s/sentinel.log\n", folder);
        return false;
}

void sentinel_stop(struct sentinel *s)
{
        if (s->pid <= 0)
                return;
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
        s->pid = 0;
}
