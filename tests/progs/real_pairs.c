/* real_pairs.c - is one command slower than another? Runs both in turn, in pairs whose order alternates (ab ba ab ...),
 * so that a drift of the machine meets both alike, and judges the ratio b/a of each pair by its median.
 *
 *      real_pairs LIMIT MIN MAX SECONDS COMMAND_A COMMAND_B
 *
 * A pair gives two ratios: of the wall time, and of the processor time (user + system, children included), which a busy
 * machine disturbs less. What is known of a median is its 99% confidence interval by order statistics, which assume
 * nothing of the noise but that pairs are independent. After MIN pairs it stops as soon as both intervals lie on one
 * side of LIMIT each, or after MAX pairs, or SECONDS.
 *
 * Status 1: certainly slower, an interval lies above LIMIT. 0: it is not, or the noise hides it; what was measured is
 * printed either way. 2: a command failed. */
// build: -lm
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAIRS_MAX = 400 };

struct cost {
        double wall_s, cpu_s;
};

struct ratios {
        const char *name;
        double      ratio[PAIRS_MAX];
        double      median, low, high; /* of the first n, sorted */
};

static double seconds(struct timeval t)
{
        return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static struct cost run(const char *command)
{
        struct timespec begin, end;
        struct rusage   usage;
        int             status = 0;

        clock_gettime(CLOCK_MONOTONIC, &begin);
        pid_t pid = fork();
        if (pid == 0) {
                execl("/bin/sh", "sh", "-c", command, (char *)NULL);
                _exit(127);
        }
        if (pid < 0 || wait4(pid, &status, 0, &usage) != pid || status != 0) {
                fprintf(stderr, "real_pairs: failed (%d): %s\n", status, command);
                exit(2);
        }
        clock_gettime(CLOCK_MONOTONIC, &end);
        return (struct cost){
                .wall_s = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9,
                .cpu_s = seconds(usage.ru_utime) + seconds(usage.ru_stime),
        };
}

static int ascending(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

/* The order statistics around the median: each end is missed with a probability of 0.5% (normal approximation of the
 * binomial, exact enough from 9 pairs on). */
static void settle(struct ratios *r, int n)
{
        double sorted[PAIRS_MAX];

        memcpy(sorted, r->ratio, (size_t)n * sizeof *sorted);
        qsort(sorted, (size_t)n, sizeof *sorted, ascending);
        int reach = (int)ceil(2.576 * sqrt((double)n) / 2);
        int low = (n - 1) / 2 - reach, high = n / 2 + reach;

        r->median = (sorted[n / 2] + sorted[(n - 1) / 2]) / 2;
        r->low = low < 0 ? 0 : sorted[low];
        r->high = high >= n ? INFINITY : sorted[high];
}

static bool decided(const struct ratios *r, double limit)
{
        return r->high <= limit || r->low > limit;
}

static bool say(const struct ratios *r, int n, double limit)
{
        bool above = r->low > limit;

        printf("%-9s x%.4f [%.4f, %.4f] of %d pairs: %s x%.2f\n", r->name, r->median, r->low, r->high, n,
               above                ? "certainly above"
               : r->high <= limit   ? "certainly within"
               : r->median <= limit ? "probably within"
                                    : "perhaps above",
               limit);
        return above;
}

int main(int argc, char **argv)
{
        static struct ratios wall = {.name = "wall"}, cpu = {.name = "processor"};
        int                  n = 0;

        if (argc != 7) {
                fprintf(stderr, "usage: real_pairs LIMIT MIN MAX SECONDS COMMAND_A COMMAND_B\n");
                return 2;
        }
        double limit = atof(argv[1]);
        int    least = atoi(argv[2]), most = atoi(argv[3]);
        time_t until = time(NULL) + atoi(argv[4]);
        if (least < 9 || most < least || most > PAIRS_MAX) {
                fprintf(stderr, "real_pairs: 9 <= MIN <= MAX <= %d\n", PAIRS_MAX);
                return 2;
        }
        run(argv[5]); /* both once before it counts */
        run(argv[6]);
        do {
                bool        a_first = n % 2 == 0;
                struct cost first = run(argv[a_first ? 5 : 6]), second = run(argv[a_first ? 6 : 5]);
                struct cost a = a_first ? first : second, b = a_first ? second : first;

                wall.ratio[n] = b.wall_s / a.wall_s;
                cpu.ratio[n] = b.cpu_s / a.cpu_s;
                n++;
                settle(&wall, n);
                settle(&cpu, n);
        } while (n < least || (n < most && time(NULL) < until && !(decided(&wall, limit) && decided(&cpu, limit))));

        bool wall_above = say(&wall, n, limit), cpu_above = say(&cpu, n, limit);

        return wall_above || cpu_above;
}
