/* proxy.c - stands between programs and the server, and misbehaves when told to.
 *
 *   proxy LISTEN SERVER < COMMANDS      names as in MT_REDIS; LISTEN host:0 takes a free port. Prints LISTEN when it
 *                                       is ready.
 *
 *   stall all|listener|new | go | drop all|listener   listener: connections that have said TRACKING; new: those that
 *                                                     are made from now on. A stalled one stays open and silent in
 *                                                     both directions, as a network that swallows packets
 *
 * A GET of a key trap:WHAT:... is not passed on but answered as trap_replies[] says; so is whatever else came with it
 * when the key is ptrap:WHAT:... */
#include "raw.h"

#include <poll.h>
#include <signal.h>

enum { PAIRS = 256, CHUNK = 65536 };

struct pair {
        int  client, server; /* -1: not in use */
        bool listener, new;
};

static struct pair pairs[PAIRS];
static bool        stall_all, stall_listener, stall_new;
static const char *server;

static const struct trap {
        const char *name, *reply;
        bool        close;
} trap_replies[] = {
        {"close", "", true},
        {"half", "$100\r\nabc", true},
        {"halfline", "$10", true},
        {"cut", "$5\r\nvalue\r", true},
        {"garbage", "!!!garbage\r\n", false},
        {"stall", "", false},
        {"status", "+FINE\r\n", false},
        {"integer", ":42\r\n", false},
        {"array", "*2\r\n$1\r\na\r\n$1\r\nb\r\n", false},
        {"nilarray", "*-1\r\n", false},
        {"error", "-ERR as you like it\r\n", false},
        {"badlen", "$-7\r\n", false},
        {"nolen", "$x\r\n", false},
        {"hugelen", "$99999999999999999999\r\n", false},
        {"noend", "$5\r\nvalueXY", true},
        {"two", "+one\r\n+two\r\n", false},
        {"deep", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n+x\r\n", false},
};

static void drop(struct pair *p)
{
        close(p->client);
        close(p->server);
        p->client = p->server = -1;
        p->listener = false;
}

static bool pass(int fd, const char *p, size_t len)
{
        while (len > 0) {
                ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

                if (n <= 0)
                        return false;
                p += n;
                len -= (size_t)n;
        }
        return true;
}

/* What came before the trap goes its way, and its answer back, before the trap closes. */
static void spring(struct pair *p, const char *buf, const char *key, bool alone)
{
        const char   *what = strchr(key, ':') + 1, *command = key;
        struct pollfd fd = {.fd = p->server, .events = POLLIN};
        char          answer[CHUNK];
        ssize_t       n;

        while (command > buf && *command != '*')
                command--;
        if (!alone && command > buf && pass(p->server, buf, (size_t)(command - buf)) && poll(&fd, 1, 1000) == 1 &&
            (n = recv(p->server, answer, sizeof(answer), 0)) > 0)
                pass(p->client, answer, (size_t)n);
        for (size_t i = 0; i < NELEMENTS(trap_replies); i++) {
                const struct trap *t = &trap_replies[i];
                size_t             len = strlen(t->name);

                if (strncmp(what, t->name, len) != 0 || what[len] != ':')
                        continue;
                pass(p->client, t->reply, strlen(t->reply));
                if (t->close)
                        drop(p);
                return;
        }
        die("no trap: %s", what);
}

static void from_client(struct pair *p)
{
        char    buf[CHUNK + 1], *get, *key;
        ssize_t n = recv(p->client, buf, CHUNK, 0);

        if (n <= 0) {
                drop(p);
                return;
        }
        buf[n] = '\0';
        if (memmem(buf, (size_t)n, "TRACKING", 8) != NULL)
                p->listener = true;
        if ((key = memmem(buf, (size_t)n, "\r\nptrap:", 8)) != NULL) {
                spring(p, buf, key + 2, true);
                return;
        }
        get = memmem(buf, (size_t)n, "$3\r\nGET\r\n", 9);
        if (get != NULL && (key = memmem(get, (size_t)(buf + n - get), "\r\ntrap:", 7)) != NULL) {
                spring(p, buf, key + 2, false);
                return;
        }
        if (!pass(p->server, buf, (size_t)n))
                drop(p);
}

static void from_server(struct pair *p)
{
        char    buf[CHUNK];
        ssize_t n = recv(p->server, buf, sizeof(buf), 0);

        if (n <= 0 || !pass(p->client, buf, (size_t)n))
                drop(p);
}

static int listen_on(const char *name)
{
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t          length = sizeof(in);
        int                fd = socket(name[0] == '/' ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

        if (name[0] == '/') {
                snprintf(un.sun_path, sizeof(un.sun_path), "%s", name);
                unlink(name);
                rc = bind(fd, (struct sockaddr *)&un, sizeof(un));
        } else {
                in.sin_port = htons((uint16_t)atoi(strrchr(name, ':') + 1));
                rc = bind(fd, (struct sockaddr *)&in, sizeof(in));
        }
        if (rc != 0 || listen(fd, 128) != 0)
                die("%s: %s", name, strerror(errno));
        getsockname(fd, (struct sockaddr *)&in, &length);
        if (name[0] == '/')
                printf("%s\n", name);
        else
                printf("127.0.0.1:%d\n", ntohs(in.sin_port));
        fflush(stdout);
        return fd;
}

static void accept_pair(int fd)
{
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC), one = 1;

        for (int i = 0; i < PAIRS && client >= 0; i++) {
                if (pairs[i].client >= 0)
                        continue;
                setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
                pairs[i] = (struct pair){.client = client, .server = raw_socket(server), .new = stall_new};
                if (pairs[i].server < 0)
                        drop(&pairs[i]);
                return;
        }
        close(client);
}

static void obey(void)
{
        static char line[256];
        ssize_t     n = read(0, line, sizeof(line) - 1);

        if (n <= 0)
                exit(0);
        line[n] = '\0';
        for (char *word = strtok(line, "\n"); word != NULL; word = strtok(NULL, "\n")) {
                stall_all = strcmp(word, "stall all") == 0;
                stall_listener = strcmp(word, "stall listener") == 0;
                stall_new = strcmp(word, "stall new") == 0;
                if (strncmp(word, "drop", 4) != 0)
                        continue;
                for (int i = 0; i < PAIRS; i++) {
                        if (pairs[i].client >= 0 && (strstr(word, "all") != NULL || pairs[i].listener))
                                drop(&pairs[i]);
                }
        }
}

int main(int argc, char **argv)
{
        struct pollfd fds[2 + 2 * PAIRS];
        int           listener;

        if (argc < 3)
                die("proxy LISTEN SERVER");
        signal(SIGPIPE, SIG_IGN);
        server = argv[2];
        for (int i = 0; i < PAIRS; i++)
                pairs[i].client = pairs[i].server = -1;
        listener = listen_on(argv[1]);
        for (;;) {
                fds[0] = (struct pollfd){.fd = 0, .events = POLLIN};
                fds[1] = (struct pollfd){.fd = stall_all ? -1 : listener, .events = POLLIN};
                for (int i = 0; i < PAIRS; i++) {
                        bool quiet = stall_all || (stall_listener && pairs[i].listener) || (stall_new && pairs[i].new);

                        fds[2 + 2 * i] = (struct pollfd){.fd = quiet ? -1 : pairs[i].client, .events = POLLIN};
                        fds[3 + 2 * i] = (struct pollfd){.fd = quiet ? -1 : pairs[i].server, .events = POLLIN};
                }
                if (poll(fds, NELEMENTS(fds), -1) < 0)
                        continue;
                if (fds[0].revents != 0)
                        obey();
                if (fds[1].revents != 0)
                        accept_pair(listener);
                for (int i = 0; i < PAIRS; i++) {
                        if (fds[2 + 2 * i].revents != 0 && pairs[i].client == fds[2 + 2 * i].fd)
                                from_client(&pairs[i]);
                        if (fds[3 + 2 * i].revents != 0 && pairs[i].server == fds[3 + 2 * i].fd)
                                from_server(&pairs[i]);
                }
        }
}
