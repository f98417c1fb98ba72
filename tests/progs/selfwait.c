/* selfwait.c - a signal handler asks for the very key that the interrupted thread waits for.
 *
 *   selfwait KEY SERVER_PID      prints what both were answered, and fails when it takes longer than five seconds
 *
 * The server stands still until the handler's GET is on its way, or for a second. Nobody should do this with hiredis
 * and its malloc; but whoever is interrupted here is in read(), and so would be a fibre that yields there. */
#include "common.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static redisContext *other;
static const char   *key;
static char          found[64];

static void ask(redisContext *c, char answer[64])
{
        redisReply *r = redisCommand(c, "GET %s", key);

        snprintf(answer, 64, "%s", r == NULL ? "NULL" : r->str != NULL ? r->str : "nil");
        drop_reply(r);
}

static void on_alarm(int number)
{
        (void)number;
        ask(other, found);
}

int main(int argc, char **argv)
{
        struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
        redisContext    *c = must_connect();
        char             answer[64];
        uint64_t         began_ns;
        pid_t            server, helper;

        if (argc != 3)
                die("usage: selfwait KEY SERVER_PID");
        key = argv[1];
        server = atoi(argv[2]);
        other = must_connect();
        if (!warm(c, other, "warm", 4, 10 * NS_PER_S))
                die("L1 never answered");
        drop_reply(redisCommand(other, "GET warm"));
        sigaction(SIGALRM, &action, NULL);
        kill(server, SIGSTOP);
        helper = fork();
        if (helper == 0) {
                sleep_ms(200);
                kill(getppid(), SIGALRM);
                sleep_ms(200);
                kill(server, SIGCONT);
                _exit(0);
        }
        began_ns = now_ns();
        ask(c, answer);
        waitpid(helper, NULL, 0);
        printf("%s %s\n", answer, found);
        if (now_ns() - began_ns > 5 * NS_PER_S)
                die("it took %llu ms", (unsigned long long)((now_ns() - began_ns) / NS_PER_MS));
        redisFree(c);
        redisFree(other);
        return 0;
}
