/* stampede.c - many threads of many processes ask for one key at the same time, while the server stands still.
 *
 *   stampede PROCESSES THREADS KEY FATE SERVER_PID [PAUSE_MS]
 *
 * One asks first, in a process of its own; then all others; then the first meets its fate (none, kill, stop), and,
 * after the pause, the server goes on. Prints how many were answered, with what, and how many GETs the server has
 * executed. Whether the first waits for its answer is seen by its process being asleep, so nothing here is left to a
 * moment. */
// build: -pthread
#include "common.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { PROCESSES_MAX = 64, PATIENCE_S = 30 };

static struct {
        _Atomic int      ready, entered, values, nils, errors;
        _Atomic uint64_t longest_ns;
} * all;

static const char *key;
static int         gate[2], first_gate[2] = {-1, -1}; /* who reads from it goes on when its other end is closed */

static void await(const char *what, bool (*f)(int), int arg)
{
        uint64_t deadline_ns = now_ns() + PATIENCE_S * NS_PER_S;

        while (!f(arg)) {
                if (now_ns() > deadline_ns)
                        die("%s: not within %d s (%d ready, %d entered, %d values, %d nils)", what, PATIENCE_S,
                            all->ready, all->entered, all->values, all->nils);
                sleep_ms(1);
        }
}

static bool are_ready(int n)
{
        return all->ready >= n;
}

static bool have_entered(int n)
{
        return all->entered >= n;
}

static bool are_answered(int n)
{
        return all->values + all->nils + all->errors >= n;
}

static char state_of(int pid)
{
        char  path[64], line[512], *at;
        FILE *file;

        snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        if ((file = fopen(path, "re")) == NULL || fgets(line, sizeof(line), file) == NULL)
                die("%s: %s", path, strerror(errno));
        fclose(file);
        at = strrchr(line, ')');
        return at != NULL ? at[2] : '?';
}

static bool is_stopped(int pid)
{
        return state_of(pid) == 'T';
}

static bool is_asleep(int pid)
{
        return state_of(pid) == 'S';
}

static void *ask(void *arg)
{
        redisContext *c = must_connect();
        redisReply   *r;
        uint64_t      began_ns, took_ns, longest_ns;
        char          byte;

        (void)arg;
        drop_reply(redisCommand(c, "PING"));
        all->ready++;
        if (read(gate[0], &byte, 1) != 0)
                die("gate");
        began_ns = now_ns();
        all->entered++;
        r = redisCommand(c, "GET %s", key);
        took_ns = now_ns() - began_ns;
        longest_ns = all->longest_ns;
        while (took_ns > longest_ns && !atomic_compare_exchange_weak(&all->longest_ns, &longest_ns, took_ns))
                ;
        if (r != NULL && r->type == REDIS_REPLY_STRING && strncmp(r->str, "value", 5) == 0)
                all->values++;
        else if (r != NULL && r->type == REDIS_REPLY_NIL)
                all->nils++;
        else
                all->errors++;
        drop_reply(r);
        redisFree(c);
        return NULL;
}

/* A process whose L1 answers; then so many threads, each with a connection. */
static pid_t process(int threads)
{
        pid_t         pid = fork();
        redisContext *c, *probe;
        pthread_t     id[1024];

        if (pid != 0)
                return pid;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(gate[1]);
        close(first_gate[1]);
        c = must_connect();
        probe = must_connect();
        if (!warm(c, probe, "warm", 4, 10 * NS_PER_S))
                die("L1 never answered");
        for (int i = 1; i < threads; i++) {
                if (pthread_create(&id[i], NULL, ask, NULL) != 0)
                        die("thread");
        }
        ask(NULL);
        for (int i = 1; i < threads; i++)
                pthread_join(id[i], NULL);
        _exit(0);
}

static void open_gate(void)
{
        if (pipe2(gate, O_CLOEXEC) != 0)
                die("pipe");
}

int main(int argc, char **argv)
{
        int           processes = argc >= 6 ? atoi(argv[1]) : 0, threads = argc >= 6 ? atoi(argv[2]) : 0, n = 0;
        pid_t         first, server, pid[PROCESSES_MAX];
        redisContext *probe;
        long long     before;
        unsigned      pause_ms = argc > 6 ? (unsigned)atoi(argv[6]) : 0;
        bool          answers;

        if (processes < 1 || processes > PROCESSES_MAX || threads < 1 || threads > 1024)
                die("usage: stampede PROCESSES THREADS KEY none|kill|stop SERVER_PID [PAUSE_MS]");
        key = argv[3];
        server = atoi(argv[5]);
        answers = strcmp(argv[4], "none") == 0;
        all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        open_gate();
        first = process(1);
        await("the first", are_ready, ++n);
        memcpy(first_gate, gate, sizeof(gate));
        open_gate();
        for (int i = 0; i < processes; i++) {
                pid[i] = process(threads);
                await("a process", are_ready, n += threads);
        }
        probe = must_connect();
        before = server_gets(probe);

        kill(server, SIGSTOP);
        await("the server stops", is_stopped, server);
        close(first_gate[1]);
        await("the first asks", have_entered, 1);
        await("the first waits", is_asleep, first);
        close(gate[1]);
        await("all ask", have_entered, n);
        if (!answers)
                kill(first, strcmp(argv[4], "kill") == 0 ? SIGKILL : SIGSTOP);
        sleep_ms(pause_ms);
        kill(server, SIGCONT);
        await("all are answered", are_answered, answers ? n : n - 1);

        printf("%d values, %d nils, %d errors, %lld GETs\n", all->values, all->nils, all->errors,
               server_gets(probe) - before);
        fprintf(stderr, "longest %llu ms\n", (unsigned long long)(all->longest_ns / NS_PER_MS));
        kill(first, SIGKILL);
        waitpid(first, NULL, 0);
        for (int i = 0; i < processes; i++)
                waitpid(pid[i], NULL, 0);
        redisFree(probe);
        return 0;
}
