/* audience.c - many who are told: COUNT bare connections in one process that reads and drops what comes, so that the
 * server's part can be measured with hardly a listener's.
 *
 *   audience COUNT all                CLIENT TRACKING BCAST, as this project's listener asks for it
 *   audience COUNT prefix PREFIX      the same, for keys that start so
 *   audience COUNT prefixes PREFIX    the same, each for a prefix of its own that starts so
 *   audience COUNT channel CHANNEL    subscribers
 *
 * Says "ready" on standard output; ends when it is killed. MT_REDIS names the server. */
#include "tracker.h"

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <signal.h>

enum { AUDIENCE_MAX = 4096, EVENTS = 256 };

static char buffer[1 << 20];

static int join(int i, const char *what, const char *name)
{
        static struct raw raw;
        char              own[128];

        if (!raw_open(&raw, server_name()))
                die("cannot connect to %s: %s", server_name(), strerror(errno));
        snprintf(own, sizeof(own), "%s%d:", name, i);
        if (strcmp(what, "channel") == 0)
                tracker_subscribe(&raw, name);
        else
                tracker_begin(&raw, strcmp(what, "all") == 0 ? NULL : strcmp(what, "prefix") == 0 ? name : own);
        return raw.fd;
}

int main(int argc, char **argv)
{
        struct epoll_event events[EVENTS];
        int                count = argc > 2 ? atoi(argv[1]) : 0, epoll = epoll_create1(EPOLL_CLOEXEC);

        if (count < 0 || count > AUDIENCE_MAX || epoll < 0)
                die("audience COUNT all|prefix|prefixes|channel [NAME]");
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int i = 0; i < count; i++) {
                struct epoll_event event = {.events = EPOLLIN};

                event.data.fd = join(i, argv[2], argc > 3 ? argv[3] : "");
                if (epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event) != 0)
                        die("epoll: %s", strerror(errno));
        }
        puts("ready");
        fflush(stdout);
        for (;;) {
                int n = epoll_wait(epoll, events, EVENTS, -1);

                for (int i = 0; i < n; i++)
                        if (recv(events[i].data.fd, buffer, sizeof(buffer), MSG_DONTWAIT) == 0)
                                die("the server closed a connection");
        }
}
