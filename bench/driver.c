/* driver.c - lets bench programs, bare and preloaded, run in turns, and prints what they took.
 *
 *      driver BENCH UNIX-PATH HOST:PORT LIBRARY EMPTY-LIBRARY
 *
 * Standard output: a row a figure, fields parted by tabs: name, value, unit, target, how it was measured.
 * Everything runs on one core, the server's (the caller has bound itself and the server to it), except for
 * the rows that say otherwise. Comparisons are pairs of short batches of which one goes first in turn; a pair gives one
 * ratio, and the median of the ratios is the figure: drift and disturbance of the machine meet both sides alike.
 * The workers live as long as the driver: one line asks for a batch, one line answers (bench.c). */
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HOT_KEYS = 16, HOT_BATCH = 20000, HOT_BATCHES = 200, PAIRS = 400, PAIR_BATCH = 100, SPAWNS = 1500 };

struct worker {
        pid_t pid;
        FILE *to, *from;
};

static const char   *driver_bench;
static redisContext *driver_server; /* never preloaded: asks the server what reached it */

static void driver_fail(const char *what)
{
        fprintf(stderr, "driver: %s: %s\n", what, strerror(errno));
        exit(1);
}

static void driver_row(const char *name, double value, const char *unit, const char *target, const char *how)
{
        printf("%s\t%.4f\t%s\t%s\t%s\n", name, value, unit, target, how);
        fflush(stdout);
}

/* ------------------------------------------------------------------------------------------------------ workers */

static void driver_bind(int core)
{
        cpu_set_t set;

        CPU_ZERO(&set);
        CPU_SET((size_t)core, &set);
        if (sched_setaffinity(0, sizeof set, &set) != 0)
                driver_fail("sched_setaffinity");
}

/* preload NULL: bare; core -1: where the driver is. */
static struct worker worker_start(const char *address, const char *preload, int core)
{
        struct worker w;
        int           in[2], out[2];

        if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
                driver_fail("pipe2");
        w.pid = fork();
        if (w.pid < 0)
                driver_fail("fork");
        if (w.pid == 0) {
                dup2(in[0], STDIN_FILENO);
                dup2(out[1], STDOUT_FILENO);
                if (core >= 0)
                        driver_bind(core);
                if (preload != NULL)
                        setenv("LD_PRELOAD", preload, 1);
                execl(driver_bench, "bench", address, (char *)NULL);
                _exit(127);
        }
        close(in[0]);
        close(out[1]);
        w.to = fdopen(in[1], "w");
        w.from = fdopen(out[0], "r");
        return w;
}

static void worker_tell(struct worker *w, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        vfprintf(w->to, format, ap);
        va_end(ap);
        fputc('\n', w->to);
        fflush(w->to);
}

/* The first number of the answer; a second one goes to *more. */
static double worker_hear(struct worker *w, double *more)
{
        char   line[128];
        double first, second = 0;

        if (fgets(line, sizeof line, w->from) == NULL || sscanf(line, "%lf %lf", &first, &second) < 1) {
                fprintf(stderr, "driver: a worker has ended\n");
                exit(1);
        }
        if (more != NULL)
                *more = second;
        return first;
}

static void worker_end(struct worker *w)
{
        fclose(w->to);
        fclose(w->from);
        waitpid(w->pid, NULL, 0);
}

/* ------------------------------------------------------------------------------------------------------ figures */

static int by_value(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return x < y ? -1 : x > y;
}

static double median(double *values, size_t n)
{
        qsort(values, n, sizeof *values, by_value);
        return n % 2 != 0 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Calls of a command that the server has executed since it started. */
static unsigned long driver_calls(const char *command)
{
        redisReply   *reply = redisCommand(driver_server, "INFO commandstats");
        char          field[64];
        const char   *at;
        unsigned long calls;

        if (reply == NULL || reply->type != REDIS_REPLY_STRING)
                driver_fail("INFO commandstats");
        snprintf(field, sizeof field, "cmdstat_%s:calls=", command);
        at = strstr(reply->str, field);
        calls = at == NULL ? 0 : strtoul(at + strlen(field), NULL, 10);
        freeReplyObject(reply);
        return calls;
}

/* Until the hot keys no longer travel: the first reads start a listener, whose first word opens the cache. */
static void driver_warm(struct worker *w)
{
        struct timespec pause = {.tv_nsec = 5000000};

        for (int quiet = 0, tries = 0; quiet < 3; tries++) {
                unsigned long before = driver_calls("get");

                if (tries == 500) {
                        fprintf(stderr, "driver: after %d reads of a hot key each still goes to the server\n",
                                tries * 200);
                        exit(1);
                }

                worker_tell(w, "get hot 0 %d 200", HOT_KEYS);
                worker_hear(w, NULL);
                quiet = driver_calls("get") == before ? quiet + 1 : 0;
                nanosleep(&pause, NULL);
        }
}

static void driver_hot(struct worker *w, const char *who, int batch, const char *target_mean, const char *target_p99)
{
        double        mean[HOT_BATCHES], p50, p99;
        char          name[64];
        unsigned long before = driver_calls("get"), gets = 0;

        for (int i = 0; i < HOT_BATCHES; i++, gets += (unsigned long)batch) {
                worker_tell(w, "get hot 0 %d %d", HOT_KEYS, batch);
                mean[i] = worker_hear(w, NULL) / batch;
        }
        worker_tell(w, "each hot 0 %d %d", HOT_KEYS, batch * 5);
        p50 = worker_hear(w, &p99);
        gets += (unsigned long)batch * 5;
        snprintf(name, sizeof name, "%s mean", who);
        driver_row(name, median(mean, HOT_BATCHES), "ns", target_mean, "median of 200 batches' means");
        snprintf(name, sizeof name, "%s p50", who);
        driver_row(name, p50, "ns", "", "calls timed one by one, timer's own cost taken off");
        snprintf(name, sizeof name, "%s p99", who);
        driver_row(name, p99, "ns", target_p99, "calls timed one by one, timer's own cost taken off");
        snprintf(name, sizeof name, "%s that reached the server", who);
        driver_row(name, 100.0 * (double)(driver_calls("get") - before) / (double)gets, "%", "", "INFO commandstats");
}

/* One pair of batches of the same command. */
static void driver_pairs(const char *name, struct worker *bare, struct worker *shimmed, const char *command,
                         const char *target)
{
        struct worker *side[2] = {bare, shimmed};
        double         took[2], ratio[PAIRS];

        for (int i = 0; i < PAIRS; i++) {
                for (int turn = 0; turn < 2; turn++) {
                        int which = (i + turn) % 2;

                        worker_tell(side[which], "%s %d", command, PAIR_BATCH);
                        took[which] = worker_hear(side[which], NULL);
                }
                ratio[i] = took[1] / took[0];
        }
        driver_row(name, median(ratio, PAIRS), "x", target, "median of 400 pairs of 100 calls");
}

/* Every key is read once: on the shimmed side a look-up, GET and PTTL, and a fill. */
static void driver_misses(const char *name, struct worker *bare, struct worker *shimmed, const char *set,
                          const char *target)
{
        struct worker *side[2] = {bare, shimmed};
        double         took[2], ratio[PAIRS];
        unsigned long  key = 0, before = driver_calls("pttl");
        char           how[96];

        for (int i = 0; i < PAIRS; i++) {
                for (int turn = 0; turn < 2; turn++, key += PAIR_BATCH) {
                        int which = (i + turn) % 2;

                        worker_tell(side[which], "get %s %lu %d %d", set, key, PAIR_BATCH, PAIR_BATCH);
                        took[which] = worker_hear(side[which], NULL);
                }
                ratio[i] = took[1] / took[0];
        }
        snprintf(how, sizeof how, "median of 400 pairs of 100 new keys, %.1f%% of them filled",
                 100.0 * (double)(driver_calls("pttl") - before) / (PAIRS * PAIR_BATCH));
        driver_row(name, median(ratio, PAIRS), "x", target, how);
}

/* Two processes on two cores against each alone. */
static void driver_two_processes(const char *address, const char *library)
{
        struct worker w[2] = {worker_start(address, library, 0), worker_start(address, library, 1)};
        double        gain[25];

        driver_warm(&w[0]);
        driver_warm(&w[1]);
        for (int i = 0; i < 25; i++) {
                double alone[2], both[2];

                for (int k = 0; k < 2; k++) {
                        worker_tell(&w[k], "get hot 0 %d %d", HOT_KEYS, HOT_BATCH * 10);
                        alone[k] = worker_hear(&w[k], NULL);
                }
                for (int k = 0; k < 2; k++)
                        worker_tell(&w[k], "get hot 0 %d %d", HOT_KEYS, HOT_BATCH * 10);
                for (int k = 0; k < 2; k++)
                        both[k] = worker_hear(&w[k], NULL);
                gain[i] = alone[0] / both[0] + alone[1] / both[1];
        }
        driver_row("hits of 2 processes on 2 cores against 1", median(gain, 25), "x", ">= 1.9", "median of 25 rounds");
        worker_end(&w[0]);
        worker_end(&w[1]);
}

/* ------------------------------------------------------------------------------------- what a preload alone costs */

static double spawn_us(const char *preload)
{
        char            entry[4200];
        char           *argv[] = {(char *)"true", NULL}, *envp[] = {entry, NULL};
        struct timespec start, end;
        pid_t           pid;
        int             status;

        snprintf(entry, sizeof entry, "LD_PRELOAD=%s", preload);
        clock_gettime(CLOCK_MONOTONIC, &start);
        if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp) != 0 || waitpid(pid, &status, 0) != pid ||
            status != 0)
                driver_fail("/bin/true");
        clock_gettime(CLOCK_MONOTONIC, &end);
        return (double)(end.tv_sec - start.tv_sec) * 1e6 + (double)(end.tv_nsec - start.tv_nsec) / 1e3;
}

static void driver_preload(const char *library, const char *empty)
{
        const char *which[2] = {empty, library};
        double      took[2], more[SPAWNS];

        for (int i = 0; i < SPAWNS; i++) {
                for (int turn = 0; turn < 2; turn++)
                        took[(i + turn) % 2] = spawn_us(which[(i + turn) % 2]);
                more[i] = took[1] - took[0];
        }
        driver_row("preloading /bin/true, above an empty library", median(more, SPAWNS), "us", "<= 50",
                   "median difference of 1500 pairs, start to end");
}

int main(int argc, char **argv)
{
        struct worker bare, shimmed, bare_tcp, shimmed_tcp;
        const char   *unix_path, *tcp, *library;

        if (argc < 6) {
                fprintf(stderr, "usage: driver BENCH UNIX-PATH HOST:PORT LIBRARY EMPTY-LIBRARY\n");
                return 2;
        }
        driver_bench = argv[1], unix_path = argv[2], tcp = argv[3], library = argv[4];
        signal(SIGPIPE, SIG_IGN);
        driver_server = redisConnectUnix(unix_path);
        if (driver_server == NULL || driver_server->err != 0)
                driver_fail(unix_path);
        bare = worker_start(unix_path, NULL, -1);
        worker_tell(&bare, "load hot 0 %d\nload miss 0 %d\nload missTCP 0 %d", HOT_KEYS, PAIRS * 2 * PAIR_BATCH,
                    PAIRS * 2 * PAIR_BATCH);
        for (int i = 0; i < 3; i++)
                worker_hear(&bare, NULL);
        shimmed = worker_start(unix_path, library, -1);
        driver_warm(&shimmed);

        driver_hot(&shimmed, "hot hit", HOT_BATCH, "<= 60", "<= 80");
        driver_hot(&bare, "bare GET, unix socket", HOT_BATCH / 200, "", "");
        driver_pairs("forwarded HGET against bare", &bare, &shimmed, "hget", "<= 1.01");
        driver_pairs("forwarded STRLEN against bare", &bare, &shimmed, "strlen", "<= 1.01");
        driver_misses("miss against bare GET, unix socket", &bare, &shimmed, "miss", "<= 1.04");
        bare_tcp = worker_start(tcp, NULL, -1);
        shimmed_tcp = worker_start(tcp, library, -1);
        driver_warm(&shimmed_tcp);
        driver_misses("miss against bare GET, TCP", &bare_tcp, &shimmed_tcp, "missTCP", "<= 1.06");
        worker_end(&bare_tcp);
        worker_end(&shimmed_tcp);
        worker_end(&bare);
        worker_end(&shimmed);
        driver_preload(library, argv[5]);
        if (sysconf(_SC_NPROCESSORS_ONLN) >= 2)
                driver_two_processes(unix_path, library);
        redisFree(driver_server);
        return 0;
}
