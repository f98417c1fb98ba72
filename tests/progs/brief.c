/* brief.c - programs that live for a moment: connect, read five keys, end. And a loop that starts so many of them.
 *
 *   brief read                  read brief:0 to brief:4, each of which holds "value of brief:N"
 *   brief loop COUNT            so many processes of `brief read`, one after the other
 *   brief pairs COUNT LIBRARY   so many bare and so many with the library preloaded, in turn: what the median one takes
 *
 * Prints for each kind the wall time and the processor time of the median process. */
#include "common.h"

#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

extern char **environ;

enum { BRIEF_KEYS = 5, BRIEF_MAX = 20000 };

static int brief_read(void)
{
        redisContext *c = must_connect();
        char          key[32], expected[64];

        for (int i = 0; i < BRIEF_KEYS; i++) {
                redisReply *r;

                snprintf(key, sizeof key, "brief:%d", i);
                snprintf(expected, sizeof expected, "value of %s", key);
                r = redisCommand(c, "GET %s", key);
                if (r == NULL || r->type != REDIS_REPLY_STRING || strcmp(r->str, expected) != 0)
                        die("%s: %s", key, r == NULL ? c->errstr : r->str != NULL ? r->str : "not there");
                freeReplyObject(r);
        }
        redisFree(c);
        return 0;
}

/* -------------------------------------------------------------------------------------------------------- loops */

struct brief_costs {
        double wall_us[BRIEF_MAX], cpu_us[BRIEF_MAX];
        int    n;
};

static void brief_run(const char *self, char **environment, struct brief_costs *costs)
{
        char *const   argv[] = {(char *)self, "read", NULL};
        struct rusage usage;
        uint64_t      begin_ns = now_ns();
        pid_t         pid;
        int           status;

        if (posix_spawn(&pid, self, NULL, NULL, argv, environment) != 0 || wait4(pid, &status, 0, &usage) != pid ||
            status != 0)
                die("a process of `brief read` failed");
        if (costs->n >= BRIEF_MAX)
                return;
        costs->wall_us[costs->n] = (double)(now_ns() - begin_ns) / 1e3;
        costs->cpu_us[costs->n++] = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
                                    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static int brief_compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static void brief_print(const char *name, struct brief_costs *costs)
{
        qsort(costs->wall_us, (size_t)costs->n, sizeof costs->wall_us[0], brief_compare);
        qsort(costs->cpu_us, (size_t)costs->n, sizeof costs->cpu_us[0], brief_compare);
        printf("%s %d processes, median wall %.0f us, lowest tenth %.0f us, median processor %.0f us\n", name, costs->n,
               costs->wall_us[costs->n / 2], costs->wall_us[costs->n / 10], costs->cpu_us[costs->n / 2]);
}

/* The environment with the library in front; the pointers stay the caller's. */
static char **brief_preloaded(const char *library)
{
        static char *environment[1024], preload[4200];
        size_t       n = 0;

        snprintf(preload, sizeof preload, "LD_PRELOAD=%s", library);
        environment[n++] = preload;
        for (char **e = environ; *e != NULL && n < NELEMENTS(environment) - 1; e++)
                if (strncmp(*e, "LD_PRELOAD=", 11) != 0)
                        environment[n++] = *e;
        return environment;
}

static int brief_loop(const char *self, int count)
{
        static struct brief_costs costs;

        for (int i = 0; i < count; i++)
                brief_run(self, environ, &costs);
        brief_print("loop", &costs);
        return 0;
}

static int brief_pairs(const char *self, int count, const char *library)
{
        static struct brief_costs bare, with;
        char                    **preloaded = brief_preloaded(library);

        for (int i = 0; i < count; i++) { /* ab ba ab: a drift of the machine meets both alike */
                if (i % 2 == 0)
                        brief_run(self, environ, &bare);
                brief_run(self, preloaded, &with);
                if (i % 2 != 0)
                        brief_run(self, environ, &bare);
        }
        brief_print("bare", &bare);
        brief_print("with", &with);
        return 0;
}

int main(int argc, char **argv)
{
        if (argc == 2 && strcmp(argv[1], "read") == 0)
                return brief_read();
        if (argc == 3 && strcmp(argv[1], "loop") == 0)
                return brief_loop(argv[0], atoi(argv[2]));
        if (argc == 4 && strcmp(argv[1], "pairs") == 0)
                return brief_pairs(argv[0], atoi(argv[2]), argv[3]);
        die("usage: brief read | loop COUNT | pairs COUNT LIBRARY");
}
