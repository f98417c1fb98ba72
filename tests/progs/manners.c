/* manners.c - what a program can notice of itself: printed, and the same bare and shimmed.
 *   manners state     errno after each call, descriptors, signals, mask, umask, limits, before and while replies
 *                     come from L1
 *   manners stderr FILE    descriptor 2 is closed, and becomes a file of the program's own, while L1 is refused by
 *                          the server
 *   manners few       as many descriptors as a connection needs and not one more */
// build: -pthread
#include "common.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void print_descriptors(const char *when)
{
        DIR           *dir = opendir("/proc/self/fd");
        struct dirent *d;
        unsigned       sockets = 0, others = 0;

        while ((d = readdir(dir)) != NULL) {
                char    link[64], target[256];
                ssize_t n;

                if (d->d_name[0] == '.' || atoi(d->d_name) <= 2 || atoi(d->d_name) == dirfd(dir))
                        continue;
                snprintf(link, sizeof(link), "/proc/self/fd/%.16s", d->d_name);
                n = readlink(link, target, sizeof(target) - 1);
                target[n > 0 ? n : 0] = '\0';
                if (strncmp(target, "socket:", 7) == 0)
                        sockets++;
                else
                        others++;
        }
        closedir(dir);
        printf("%s: %u sockets, %u other descriptors\n", when, sockets, others);
}

static void print_signals(const char *when)
{
        sigset_t mask;
        unsigned handled = 0, blocked = 0, pending = 0;
        sigset_t waiting;
        mode_t   old = umask(0);

        umask(old);
        pthread_sigmask(SIG_SETMASK, NULL, &mask);
        sigpending(&waiting);
        for (int i = 1; i < NSIG; i++) {
                struct sigaction action;

                if (sigaction(i, NULL, &action) == 0)
                        handled += action.sa_handler != SIG_DFL || action.sa_flags != 0;
                blocked += sigismember(&mask, i) == 1;
                pending += sigismember(&waiting, i) == 1;
        }
        printf("%s: %u signals handled or ignored, %u blocked, %u pending, umask %03o\n", when, handled, blocked,
               pending, old);
}

static int state(void)
{
        redisContext *c, *probe;
        int           changed = 0;

        print_descriptors("at first");
        print_signals("at first");
        c = must_connect();
        probe = must_connect();
        drop_reply(redisCommand(c, "SET k value"));
        if (!warm(c, probe, "k", 1, 5 * NS_PER_S))
                die("L1 never answered");
        print_descriptors("later");
        print_signals("later");
        for (int i = 0; i < 200; i++) {
                redisReply *r;

                errno = 12345;
                r = redisCommand(c, i % 3 == 0 ? "GET absent" : "GET k");
                changed += errno != 12345;
                errno = 12345;
                freeReplyObject(r);
                changed += errno != 12345;
                errno = 12345;
                r = redisCommand(c, i % 10 == 0 ? "SET k value" : i % 10 == 1 ? "EVAL %s 0" : "STRLEN k", "return 1");
                changed += errno != 12345;
                freeReplyObject(r);
        }
        errno = 12345;
        redisFree(c);
        changed += errno != 12345;
        printf("errno changed %d times\n", changed);
        redisFree(probe);
        print_descriptors("in the end");
        return changed != 0;
}

static int own_stderr(const char *path)
{
        redisContext *c = must_connect();
        int           fd;

        close(2);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0666);
        if (fd != 2 || write(fd, "data\n", 5) != 5)
                return 1;
        for (int i = 0; i < 600; i++) {
                drop_reply(redisCommand(c, "GET k"));
                if (i % 2 == 0)
                        sleep_ms(1);
        }
        redisFree(c);
        printf("%ld bytes\n", (long)lseek(fd, 0, SEEK_END));
        return 0;
}

static int few(void)
{
        struct rlimit limit = {0, 0};
        redisContext *c = must_connect();
        uint64_t      until_ns = now_ns() + NS_PER_S / 2;

        limit.rlim_cur = limit.rlim_max = (rlim_t)c->fd + 1;
        setrlimit(RLIMIT_NOFILE, &limit);
        drop_reply(redisCommand(c, "SET k value"));
        while (now_ns() < until_ns) {
                redisReply *r = redisCommand(c, "GET k");

                if (r == NULL || r->str == NULL || strcmp(r->str, "value") != 0)
                        die("GET: %s", c->errstr);
                freeReplyObject(r);
        }
        printf("the next descriptor: %d\n", open("/dev/null", O_RDONLY));
        redisFree(c);
        return 0;
}

int main(int argc, char **argv)
{
        const char *what = argc > 1 ? argv[1] : "state";

        if (strcmp(what, "stderr") == 0)
                return own_stderr(argv[2]);
        return strcmp(what, "few") == 0 ? few() : state();
}
