/* proxy.c - the child: one loop over poll. Each direction of a connection is a flow: chunks, each with the time at
 * which it may leave, so that a delay and a trickle are the same thing, and order is kept. */
#include "proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAIRS = 1024, CHUNK = 16384, DRIBBLE = 8, HELD_MAX = 1 << 20 };
#define NS_PER_MS UINT64_C(1000000)
#define NEVER     UINT64_MAX

struct chunk {
        struct chunk *next;
        uint64_t      due_ns;
        uint32_t      length, sent;
        char          bytes[];
};

struct flow {
        int             from, to;
        struct chunk   *first, **last;
        uint64_t        due_ns; /* of the last chunk */
        size_t          held;
        enum proxy_kind kind; /* what befalls this flow now */
        bool            eof;  /* from has ended */
        bool            shut; /* to has been told */
};

enum { UP, DOWN }; /* to the server, to the client */

struct pair {
        bool        used;
        struct flow flow[2];
};

static struct pair        pairs[PAIRS];
static struct proxy_fault present;
static struct sockaddr_in server;

static uint64_t now_ns(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000 * NS_PER_MS + (uint64_t)t.tv_nsec;
}

/* ---------------------------------------------------------------------------------------------------------- flows */

static void flow_begin(struct flow *flow, int from, int to)
{
        *flow = (struct flow){.from = from, .to = to};
        flow->last = &flow->first;
}

static void flow_drop_first(struct flow *flow)
{
        struct chunk *chunk = flow->first;

        flow->first = chunk->next;
        if (flow->first == NULL)
                flow->last = &flow->first;
        flow->held -= chunk->length;
        free(chunk);
}

static void flow_add(struct flow *flow, const char *bytes, size_t length, uint64_t due_ns)
{
        struct chunk *chunk = malloc(sizeof *chunk + length);

        if (chunk == NULL)
                abort();
        *chunk = (struct chunk){.due_ns = due_ns > flow->due_ns ? due_ns : flow->due_ns, .length = (uint32_t)length};
        memcpy(chunk->bytes, bytes, length);
        *flow->last = chunk;
        flow->last = &chunk->next;
        flow->due_ns = chunk->due_ns;
        flow->held += length;
}

/* False: the connection is no more. */
static bool flow_read(struct flow *flow, uint64_t now)
{
        char     bytes[CHUNK];
        uint64_t ms = present.ms * NS_PER_MS, due = flow->due_ns > now ? flow->due_ns : now;
        ssize_t  n = recv(flow->from, bytes, flow->kind == PROXY_TRICKLE ? 64 * DRIBBLE : CHUNK, MSG_DONTWAIT);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR;
        if (n == 0)
                flow->eof = true;
        if (flow->kind == PROXY_TRICKLE) {
                for (ssize_t at = 0; at < n; at += DRIBBLE)
                        flow_add(flow, bytes + at, (size_t)(n - at < DRIBBLE ? n - at : DRIBBLE), due += ms);
        } else if (n > 0 && !flow->shut) {
                flow_add(flow, bytes, (size_t)n, flow->kind == PROXY_DELAY ? now + ms : now);
        }
        return true;
}

static bool flow_write(struct flow *flow, uint64_t now)
{
        while (flow->first != NULL && flow->first->due_ns <= now) {
                struct chunk *chunk = flow->first;
                ssize_t       n = flow->shut ? (ssize_t)(chunk->length - chunk->sent)
                                             : send(flow->to, chunk->bytes + chunk->sent, chunk->length - chunk->sent,
                                                    MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0)
                        return errno == EAGAIN || errno == EINTR;
                chunk->sent += (uint32_t)n;
                if (chunk->sent == chunk->length)
                        flow_drop_first(flow);
        }
        if (flow->eof && flow->first == NULL && !flow->shut) {
                flow->shut = true;
                shutdown(flow->to, SHUT_WR);
        }
        return true;
}

static bool flow_reads(const struct flow *flow)
{
        return flow->kind != PROXY_STALL && !flow->eof && flow->held < HELD_MAX;
}

/* When something may leave. */
static uint64_t flow_due_ns(const struct flow *flow)
{
        return flow->kind == PROXY_STALL || flow->first == NULL ? NEVER : flow->first->due_ns;
}

/* ---------------------------------------------------------------------------------------------------------- pairs */

static void pair_close(struct pair *pair, bool reset)
{
        const struct linger at_once = {.l_onoff = 1};

        for (int way = UP; way <= DOWN; way++) {
                struct flow *flow = &pair->flow[way];

                while (flow->first != NULL)
                        flow_drop_first(flow);
                if (reset)
                        setsockopt(flow->from, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
                close(flow->from);
        }
        pair->used = false;
}

/* By lot: this connection is concerned by the present fault, or is not. */
static void pair_suffer(struct pair *pair)
{
        bool chosen = (uint32_t)rand() % 100 < present.share;

        if (chosen && present.kind == PROXY_CUT) {
                pair_close(pair, true);
                return;
        }
        for (int way = UP; way <= DOWN; way++) {
                struct flow *flow = &pair->flow[way];
                bool         hit = chosen && (present.ways & (way == UP ? PROXY_TO_SERVER : PROXY_TO_CLIENT)) != 0;

                flow->kind = hit ? present.kind : PROXY_NONE;
                if (hit && present.kind == PROXY_HALF_CLOSE && !flow->shut) {
                        flow->shut = true;
                        shutdown(flow->to, SHUT_WR);
                }
                if (flow->kind == PROXY_DELAY || flow->kind == PROXY_TRICKLE || flow->kind == PROXY_STALL)
                        continue;
                for (struct chunk *chunk = flow->first; chunk != NULL; chunk = chunk->next)
                        chunk->due_ns = 0; /* the fault is over: what it held back leaves */
                flow->due_ns = 0;
        }
}

static void pair_accept(int listener)
{
        int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC), one = 1;
        int up = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), i = 0;

        while (i < PAIRS && pairs[i].used)
                i++;
        if (client < 0 || i == PAIRS || connect(up, (struct sockaddr *)&server, sizeof server) != 0) {
                close(client);
                close(up);
                return;
        }
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(up, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        pairs[i].used = true;
        flow_begin(&pairs[i].flow[UP], client, up);
        flow_begin(&pairs[i].flow[DOWN], up, client);
        if (present.kind != PROXY_CUT && present.kind != PROXY_HALF_CLOSE) /* those happen once */
                pair_suffer(&pairs[i]);
}

/* ------------------------------------------------------------------------------------------------------- the loop */

static void obey(int control)
{
        ssize_t n = recv(control, &present, sizeof present, 0);

        if (n != (ssize_t)sizeof present)
                _exit(0); /* whoever started us has ended */
        for (int i = 0; i < PAIRS; i++)
                if (pairs[i].used)
                        pair_suffer(&pairs[i]);
}

/* One poll entry for each end; its events say what the two flows that meet there want. */
static nfds_t fill_poll(struct pollfd *fds, uint64_t now, uint64_t *due)
{
        nfds_t n = 0;

        for (int i = 0; i < PAIRS; i++) {
                if (!pairs[i].used)
                        continue;
                for (int way = UP; way <= DOWN; way++) {
                        const struct flow *in = &pairs[i].flow[way], *out = &pairs[i].flow[1 - way];
                        uint64_t           leaves = flow_due_ns(out);
                        int                events = (flow_reads(in) ? POLLIN : 0) | (leaves <= now ? POLLOUT : 0);

                        if (leaves > now && leaves < *due)
                                *due = leaves;
                        fds[n++] = (struct pollfd){.fd = events != 0 ? in->from : -1, .events = (short)events};
                }
        }
        return n;
}

static void serve_pair(struct pair *pair, const struct pollfd *fds, uint64_t now)
{
        bool sound = true;

        for (int way = UP; way <= DOWN && sound; way++) {
                struct flow *flow = &pair->flow[way];

                if ((fds[way].revents & (POLLIN | POLLHUP | POLLERR)) && flow_reads(flow))
                        sound = flow_read(flow, now);
                if (sound && flow->kind != PROXY_STALL)
                        sound = flow_write(flow, now);
        }
        if (!sound)
                pair_close(pair, true);
        else if (pair->flow[UP].eof && pair->flow[DOWN].eof && pair->flow[UP].shut && pair->flow[DOWN].shut)
                pair_close(pair, false);
}

static void proxy_main(int listener, int control)
{
        static struct pollfd fds[2 + 2 * PAIRS];

        for (;;) {
                uint64_t        now = now_ns(), due = now + 1000 * NS_PER_MS;
                struct timespec wait;
                nfds_t          n, at = 2;

                fds[0] = (struct pollfd){.fd = control, .events = POLLIN};
                fds[1] = (struct pollfd){.fd = listener, .events = POLLIN};
                n = 2 + fill_poll(fds + 2, now, &due);
                wait = (struct timespec){.tv_sec = (time_t)((due - now) / (1000 * NS_PER_MS)),
                                         .tv_nsec = (long)((due - now) % (1000 * NS_PER_MS))};
                if (ppoll(fds, n, &wait, NULL) < 0)
                        continue;
                now = now_ns();
                for (int i = 0; i < PAIRS && at < n; i++) {
                        if (!pairs[i].used)
                                continue;
                        serve_pair(&pairs[i], fds + at, now);
                        at += 2;
                }
                if (fds[0].revents != 0)
                        obey(control);
                if (fds[1].revents != 0)
                        pair_accept(listener);
        }
}

/* -------------------------------------------------------------------------------------------------- whoever starts */

static int address_of(const char *text, struct sockaddr_in *address)
{
        char        host[INET_ADDRSTRLEN];
        const char *colon = strrchr(text, ':');

        *address = (struct sockaddr_in){.sin_family = AF_INET};
        if (colon == NULL || (size_t)(colon - text) >= sizeof host)
                return errno = EINVAL, -1;
        memcpy(host, text, (size_t)(colon - text));
        host[colon - text] = '\0';
        address->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
        if (inet_pton(AF_INET, host, &address->sin_addr) != 1)
                return errno = EINVAL, -1;
        return 0;
}

static int listen_on(uint16_t *port)
{
        struct sockaddr_in in = {.sin_family = AF_INET,
                                 .sin_port = htons(*port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t          length = sizeof in;
        int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

        if (fd < 0)
                return -1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(fd, (struct sockaddr *)&in, sizeof in) != 0 || listen(fd, 512) != 0 ||
            getsockname(fd, (struct sockaddr *)&in, &length) != 0) {
                close(fd);
                return -1;
        }
        *port = ntohs(in.sin_port);
        return fd;
}

int proxy_start(struct proxy *proxy, uint16_t listen_port, const char *target)
{
        int   listener, ends[2];
        pid_t parent = getpid();

        *proxy = (struct proxy){.port = listen_port, .control = -1};
        if (address_of(target, &server) != 0 || (listener = listen_on(&proxy->port)) < 0)
                return -1;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0 || (proxy->pid = fork()) < 0) {
                close(listener);
                return -1;
        }
        if (proxy->pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (getppid() != parent)
                        _exit(1);
                close(ends[0]);
                proxy_main(listener, ends[1]);
        }
        close(listener);
        close(ends[1]);
        proxy->control = ends[0];
        snprintf(proxy->address, sizeof proxy->address, "127.0.0.1:%u", proxy->port);
        return 0;
}

void proxy_fault(struct proxy *proxy, const struct proxy_fault *fault)
{
        send(proxy->control, fault, sizeof *fault, MSG_NOSIGNAL);
}

void proxy_stop(struct proxy *proxy)
{
        if (proxy->pid <= 0)
                return;
        close(proxy->control); /* it sees the end and leaves */
        kill(proxy->pid, SIGKILL);
        while (waitpid(proxy->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        proxy->pid = 0;
}
