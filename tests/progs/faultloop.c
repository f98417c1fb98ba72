/* faultloop.c - a program that reads on while something goes wrong. Each read of a key that stepper.c writes is judged:
 * nothing may be older than a write acknowledged more than the bound (MT_BOUND_MS) before the read began.
 *
 *   faultloop HISTORY FAULT             read, bring the fault about in this process, read on; L1 must serve again (when
 *                                       shimmed) within the bound and a second, unless the fault ends that for good
 *   faultloop HISTORY watch             read until stopped; the fault comes from outside
 *   faultloop HISTORY await SECONDS [PID]   wait until a reader (that one) is served by L1, the bound after now or
 *                                           later; what a lease of before the fault allows does not count
 *   faultloop HISTORY report | stop     how it went; stop all that use this history
 *
 * MT_AUTH: words that follow AUTH on each connection of the program. */
// build: -pthread
#include "history.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static redisContext   *c;
static struct history *h;
static struct judge    judge;
static const char     *history_path;

/* ----------------------------------------------------------------------------------------------------- reading */

static void log_in(void)
{
        if (getenv("MT_AUTH") != NULL && c->err == 0)
                drop_reply(redisCommand(c, "AUTH %s", getenv("MT_AUTH")));
}

/* What a program does when its connection has failed. */
static void mend(void)
{
        atomic_fetch_add(&h->errors, 1);
        if (redisReconnect(c) != REDIS_OK || SECURE(c)->err != 0)
                sleep_ms(5);
        log_in();
}

static void read_once(void)
{
        uint64_t    begun_ns = now_ns();
        redisReply *r = redisCommand(c, "GET %s", "fault:step");

        if (r == NULL)
                mend();
        else if (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_NIL)
                judge_read(&judge, h, begun_ns, bound_ns(), r->str != NULL ? strtoull(r->str, NULL, 10) : 0);
        else
                atomic_fetch_add(&h->errors, 1);
        drop_reply(r);
}

static void read_for(uint64_t ns)
{
        uint64_t until_ns = now_ns() + ns;

        do {
                for (int i = 0; i < 20; i++)
                        read_once();
                nanosleep(&(struct timespec){0, 100000}, NULL);
        } while (now_ns() < until_ns);
}

/* The server's count of GETs; -1 when it cannot be had now. */
static long long gets_now(void)
{
        redisReply *r = redisCommand(c, "INFO commandstats");
        long long   n = -1;
        const char *at;

        if (r == NULL) {
                mend();
        } else if (r->type == REDIS_REPLY_STRING) {
                at = strstr(r->str, "cmdstat_get:calls=");
                n = at != NULL ? atoll(at + strlen("cmdstat_get:calls=")) : 0;
        }
        drop_reply(r);
        return n;
}

/* Do most GETs of a key that nobody writes stay away from the server? */
static bool served(void)
{
        long long before = gets_now(), after;

        for (int i = 0; i < 40 && before >= 0; i++) {
                redisReply *r = redisCommand(c, "GET fault:quiet");

                if (r == NULL)
                        mend();
                drop_reply(r);
        }
        after = gets_now();
        if (before < 0 || after < before || after - before > 20 || c->err != 0)
                return false;
        atomic_store(&h->served_pid, (uint64_t)getpid());
        atomic_store(&h->served_ns, now_ns());
        return true;
}

/* Read until L1 serves; bare, for a moment. */
static bool read_until_served(uint64_t timeout_ns)
{
        uint64_t deadline_ns = now_ns() + timeout_ns;

        do {
                read_for(2 * NS_PER_MS);
                if (!shimmed() || served())
                        return true;
        } while (now_ns() < deadline_ns);
        return false;
}

/* ------------------------------------------------------------------------------------------- faults from within */

/* Every fault returns true when L1 is required to serve again. */
static bool fault_none(void)
{
        return true;
}

static bool fault_closefrom(void)
{
        closefrom(3);
        redisFree(c);
        c = must_connect();
        log_in();
        return true;
}

static bool fault_daemon(void)
{
        if (daemon(1, 1) != 0)
                die("daemon: %s", strerror(errno));
        return true;
}

static pid_t raw_fork(void)
{
        return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

/* The process that led dies by SIGKILL; its child goes on with the connection that it inherited. */
static bool orphan(pid_t maker, pid_t child)
{
        if (child == 0) {
                while (getppid() == maker)
                        sleep_ms(1);
                return true;
        }
        read_for(50 * NS_PER_MS);
        kill(maker, SIGKILL);
        return false;
}

static bool fault_fork(void)
{
        pid_t maker = getpid();

        return orphan(maker, fork());
}

static bool fault_raw_fork(void)
{
        pid_t maker = getpid();

        return orphan(maker, raw_fork());
}

/* Both go on; the child with a connection of its own. */
static bool both(pid_t child)
{
        int status = 0;

        if (child < 0)
                die("fork: %s", strerror(errno));
        if (child == 0) {
                c = must_connect();
                judge = (struct judge){0};
                read_for(bound_ns());
                _exit(read_until_served(NS_PER_S) ? 0 : 1);
        }
        while (waitpid(child, &status, WNOHANG) == 0)
                read_for(5 * NS_PER_MS);
        if (status != 0)
                die("the child: %s %d", WIFSIGNALED(status) ? "signal" : "status",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        return true;
}

static bool fault_fork_both(void)
{
        return both(fork());
}

static bool fault_raw_fork_both(void)
{
        return both(raw_fork());
}

static bool fault_spawn(void)
{
        for (int i = 0; i < 10; i++) {
                if (system("exit 3") != 3 << 8)
                        die("system()");
                read_for(NS_PER_MS);
        }
        return true;
}

static bool fault_exec(void)
{
        char *argv[] = {(char *)(uintptr_t) "faultloop", (char *)(uintptr_t)history_path, (char *)(uintptr_t) "none",
                        NULL};

        execv("/proc/self/exe", argv);
        die("execv: %s", strerror(errno));
}

/* Another program in the same process, without the shim: the pid and its start time stay. */
static bool fault_exec_away(void)
{
        read_for(500 * NS_PER_MS);
        unsetenv("LD_PRELOAD");
        execlp("sleep", "sleep", "5", (char *)NULL);
        die("exec: %s", strerror(errno));
}

/* All signals are blocked and read from a descriptor: none but the program's own may come. */
static bool fault_signalfd(void)
{
        struct signalfd_siginfo info;
        sigset_t                all;
        int                     fd;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, NULL);
        fd = signalfd(-1, &all, SFD_NONBLOCK | SFD_CLOEXEC);
        for (int i = 0; i < 50; i++) {
                drop_reply(redisCommand(c, "EVAL %s 0", "return redis.call('set', 'fault:other', 1)"));
                read_for(NS_PER_MS);
                kill(getpid(), SIGUSR1);
                while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
                        if (info.ssi_signo != SIGUSR1)
                                die("signal %u from %u arrived", info.ssi_signo, info.ssi_pid);
                        info.ssi_signo = 0;
                }
        }
        close(fd);
        return true;
}

static void *worker(void *arg)
{
        (void)arg;
        read_for(200 * NS_PER_MS);
        printf("the last thread is done, %llu late\n", (unsigned long long)atomic_load(&h->late));
        return NULL;
}

static bool fault_pthread_exit(void)
{
        pthread_t id;

        pthread_create(&id, NULL, worker, NULL);
        pthread_detach(id);
        pthread_exit(NULL);
}

/* A sandbox that refuses, or punishes, new threads and new sockets. */
static bool seccomp(uint32_t action, const char *way)
{
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 3, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone3, 2, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 1, 0),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                BPF_STMT(BPF_RET | BPF_K, action),
        };
        struct sock_fprog program = {.len = NELEMENTS(filter), .filter = filter};
        long              rc;

        if (strcmp(way, "prctl") == 0) {
                prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                rc = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
        } else { /* past every door of libc */
                syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                             strcmp(way, "tsync") == 0 ? SECCOMP_FILTER_FLAG_TSYNC : 0, &program);
        }
        if (rc != 0)
                die("seccomp: %s", strerror(errno));
        read_for(bound_ns());
        drop_reply(redisCommand(c, "CLIENT KILL TYPE pubsub")); /* whoever listens has to connect again */
        read_for(2 * bound_ns());
        if (c->err != 0)
                die("the connection failed: %s", c->errstr);
        return false;
}

#define SECCOMP(name, action, way)                                                                                     \
        static bool name(void)                                                                                         \
        {                                                                                                              \
                return seccomp(action, way);                                                                           \
        }
SECCOMP(fault_seccomp, SECCOMP_RET_ERRNO | EPERM, "prctl")
SECCOMP(fault_seccomp_kill, SECCOMP_RET_KILL_PROCESS, "prctl")
SECCOMP(fault_seccomp_raw, SECCOMP_RET_ERRNO | EPERM, "raw")
SECCOMP(fault_seccomp_raw_kill, SECCOMP_RET_KILL_PROCESS, "raw")
SECCOMP(fault_seccomp_tsync, SECCOMP_RET_ERRNO | EPERM, "tsync")
SECCOMP(fault_seccomp_tsync_kill, SECCOMP_RET_KILL_PROCESS, "tsync")

/* A strict sandbox: what hiredis and this loop need, and death for the rest. */
static bool fault_seccomp_strict(void)
{
        static const int allowed[] = {
                __NR_read,  __NR_write,         __NR_sendto,          __NR_recvfrom,
                __NR_ppoll, __NR_clock_gettime, __NR_clock_nanosleep, __NR_nanosleep,
                __NR_mmap,  __NR_munmap,        __NR_mremap,          __NR_brk,
                __NR_futex, __NR_newfstatat,    __NR_fstat,           __NR_close,
                __NR_exit,  __NR_exit_group,    __NR_rt_sigreturn,
#ifdef __NR_poll
                __NR_poll,
#endif
        };
        struct sock_filter filter[2 * NELEMENTS(allowed) + 2], *at = filter;
        struct sock_fprog  program = {.filter = filter};

        *at++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
        for (size_t i = 0; i < NELEMENTS(allowed); i++) {
                *at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed[i], 0, 1);
                *at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        }
        *at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
        program.len = (unsigned short)(at - filter);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
                die("seccomp: %s", strerror(errno));
        for (int i = 0; i < 20; i++) {
                drop_reply(redisCommand(c, "EVAL %s 0", "return redis.call('set', 'fault:other', 1)"));
                read_for(NS_PER_MS);
        }
        drop_reply(redisCommand(c, "CLIENT KILL TYPE pubsub"));
        read_for(2 * bound_ns());
        return false;
}

enum { NOBODY = 65534 };

static bool fault_setuid(void)
{
        if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
                die("setuid: %s", strerror(errno));
        return true;
}

/* To another user and back, as daemons do around an open(). */
static bool fault_seteuid(void)
{
        for (int i = 0; i < 3; i++) {
                if (seteuid(NOBODY) != 0)
                        die("seteuid: %s", strerror(errno));
                read_for(20 * NS_PER_MS);
                if (seteuid(0) != 0)
                        die("seteuid: %s", strerror(errno));
                read_for(20 * NS_PER_MS);
        }
        return true;
}

static const struct {
        const char *name;
        bool (*bring_about)(void);
} faults[] = {
        {"none", fault_none},
        {"closefrom", fault_closefrom},
        {"daemon", fault_daemon},
        {"fork", fault_fork},
        {"fork-both", fault_fork_both},
        {"raw-fork", fault_raw_fork},
        {"raw-fork-both", fault_raw_fork_both},
        {"spawn", fault_spawn},
        {"exec", fault_exec},
        {"exec-away", fault_exec_away},
        {"signalfd", fault_signalfd},
        {"pthread_exit", fault_pthread_exit},
        {"seccomp", fault_seccomp},
        {"seccomp-kill", fault_seccomp_kill},
        {"seccomp-raw", fault_seccomp_raw},
        {"seccomp-raw-kill", fault_seccomp_raw_kill},
        {"seccomp-tsync", fault_seccomp_tsync},
        {"seccomp-tsync-kill", fault_seccomp_tsync_kill},
        {"seccomp-strict", fault_seccomp_strict},
        {"setuid", fault_setuid},
        {"seteuid", fault_seteuid},
};

static int bring_about(const char *name)
{
        for (size_t i = 0; i < NELEMENTS(faults); i++) {
                if (strcmp(name, faults[i].name) != 0)
                        continue;
                if (!read_until_served(5 * NS_PER_S))
                        die("%s: L1 never served", name);
                read_for(50 * NS_PER_MS);
                if (faults[i].bring_about()) {
                        read_for(bound_ns()); /* until no lease of before the fault is left */
                        if (!read_until_served(NS_PER_S))
                                die("%s: L1 does not serve again", name);
                }
                read_for(bound_ns());
                printf("%s: goes on, %llu late\n", name, (unsigned long long)atomic_load(&h->late));
                redisFree(c);
                return atomic_load(&h->late) != 0;
        }
        die("no fault %s", name);
}

/* -------------------------------------------------------------------------------------------- faults from outside */

static int watch(void)
{
        while (!atomic_load(&h->stop)) {
                read_for(5 * NS_PER_MS);
                if (c->err == 0)
                        (void)served();
        }
        redisFree(c);
        return 0;
}

static int await_served(double seconds, uint64_t pid)
{
        uint64_t begun_ns = now_ns(), deadline_ns = begun_ns + (uint64_t)(seconds * 1e9);

        do {
                if (atomic_load(&h->served_ns) > begun_ns + bound_ns() &&
                    (pid == 0 || atomic_load(&h->served_pid) == pid))
                        return 0;
                sleep_ms(2);
        } while (now_ns() < deadline_ns);
        return 1;
}

static int report(void)
{
        printf("%llu reads, %llu late, %llu errors, oldest %llu ms\n", (unsigned long long)atomic_load(&h->reads),
               (unsigned long long)atomic_load(&h->late), (unsigned long long)atomic_load(&h->errors),
               (unsigned long long)(atomic_load(&h->worst_ns) / NS_PER_MS));
        return atomic_load(&h->late) != 0 || atomic_load(&h->reads) == 0;
}

int main(int argc, char **argv)
{
        const char *what = argc > 2 ? argv[2] : "report";

        history_path = argc > 1 ? argv[1] : "history";
        h = history_map(history_path);
        setvbuf(stdout, NULL, _IOLBF, 0);
        if (strcmp(what, "report") == 0)
                return report();
        if (strcmp(what, "await") == 0)
                return await_served(argc > 3 ? atof(argv[3]) : 1, argc > 4 ? strtoull(argv[4], NULL, 10) : 0);
        if (strcmp(what, "stop") == 0) {
                atomic_store(&h->stop, 1);
                return 0;
        }
        alarm(50);
        signal(SIGPIPE, SIG_IGN);
        c = must_connect();
        log_in();
        return strcmp(what, "watch") == 0 ? watch() : bring_about(what);
}
