/* net.c - by ip(8): links are made and changed a few times a minute, and its words can be tried by hand. */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define NET_LINK "mtveth"

static int net_far = -1; /* the namespace at the other end */

/* Runs ip with these words, in the namespace given (-1: this one). What it says is dropped. */
static bool net_ip(int namespace, const char *words)
{
        char  copy[256], *argv[24] = {"ip"}, *rest = copy;
        int   argc = 1, status, null;
        pid_t pid = fork();

        if (pid == 0) {
                snprintf(copy, sizeof copy, "%s", words);
                while (argc < 23 && (argv[argc] = strsep(&rest, " ")) != NULL)
                        argc++;
                null = open("/dev/null", O_RDWR);
                dup2(null, 1);
                dup2(null, 2);
                if (namespace >= 0 && setns(namespace, CLONE_NEWNET) != 0)
                        _exit(1);
                execvp(argv[0], argv);
                _exit(127);
        }
        return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* A process that stands in a new namespace until it is killed, and that namespace. */
static int net_new(pid_t *holder)
{
        char path[64], byte;
        int  ready[2], fd = -1;

        if (pipe2(ready, O_CLOEXEC) != 0)
                return -1;
        *holder = fork();
        if (*holder == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (unshare(CLONE_NEWNET) != 0 || write(ready[1], "", 1) != 1)
                        _exit(1);
                for (;;)
                        pause();
        }
        close(ready[1]);
        if (*holder > 0 && read(ready[0], &byte, 1) == 1) {
                snprintf(path, sizeof path, "/proc/%d/ns/net", *holder);
                fd = open(path, O_RDONLY | O_CLOEXEC);
        }
        close(ready[0]);
        return fd;
}

static bool net_lay(pid_t holder)
{
        char add[128];

        snprintf(add, sizeof add, "link add " NET_LINK " type veth peer name " NET_LINK " netns %d", holder);
        return net_ip(-1, "link set lo up") && net_ip(net_far, "link set lo up") && net_ip(-1, add) &&
               net_ip(-1, "addr add " NET_NEAR "/30 dev " NET_LINK) &&
               net_ip(net_far, "addr add " NET_FAR "/30 dev " NET_LINK) && net_set(NET_UP);
}

bool net_enter(const char **why)
{
        int   home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        pid_t holder = 0;
        bool  laid = false;

        *why = "no network namespace may be made here";
        if (home >= 0 && unshare(CLONE_NEWNET) == 0) {
                net_far = net_new(&holder);
                laid = net_far >= 0 && net_lay(holder);
                *why = "ip cannot lay a veth pair here";
                if (!laid && setns(home, CLONE_NEWNET) != 0)
                        *why = "no way back to the first network namespace";
        }
        if (holder > 0) {
                kill(holder, SIGKILL);
                waitpid(holder, NULL, 0);
        }
        if (home >= 0)
                close(home);
        return laid;
}

void net_join_far(void *unused)
{
        (void)unused;
        if (setns(net_far, CLONE_NEWNET) != 0) {
                fprintf(stderr, "setns: %s\n", strerror(errno));
                _exit(127);
        }
}

bool net_set(enum net_link state)
{
        return net_ip(net_far, state == NET_SILENT ? "link set " NET_LINK " down" : "link set " NET_LINK " up") &&
               net_ip(-1, state == NET_DOWN ? "link set " NET_LINK " down" : "link set " NET_LINK " up");
}
