/* real_pairs.c - is one command slower than another? Runs both in turn, in pairs whose order alternates (ab ba ab ...),
 * so that a drift of the machine meets both alike, and judges the ratio b/a of each pair by its median.
 *
 *      real_pairs LIMIT MIN MAX COMMAND_A COMMAND_B
 *
 * A pair is the wall time and, apart from it, the processor time (user + system, children included) of each command.
 * After MIN pairs it stops as soon as both medians are known to lie on one side of LIMIT: their 99% confidence interval,
 * by order statistics, which assume nothing of the noise but that pairs are independent. After MAX pairs what is still
 * open is judged by the median itself. Status 0: neither is above LIMIT; 1: one is; 2: a command failed.
 *
 * It owns no state but the two arrays; it calls no hiredis. */
// build: -lm
#include <math.h>
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
        int low = n / 2 - reach, high = (n - 1) / 2 + reach;

        r->median = (sorted[n / 2] + sorted[(n - 1) / 2]) / 2;
        r->low = low < 0 ? 0 : sorted[low];
        r->high = high >= n ? INFINITY : sorted[high];
}

int main(int argc, char **argv)
{
        static struct ratios wall = {.name = "wall"}, cpu = {.name = "processor"};
        int                  n = 0, over = 0;

        if (argc != 6) {
                fprintf(stderr, "usage: real_pairs LIMIT MIN MAX COMMAND_A COMMAND_B\n");
                return 2;
        }
        double limit = atof(argv[1]);
        int    least = atoi(argv[2]), most = atoi(argv[3]);
        if (least < 9 || most < least || most > PAIRS_MAX) {
                fprintf(stderr, "real_pairs: 9 <= MIN <= MAX <= %d\n", PAIRS_MAX);
                return 2;
        }
        run(argv[4]); /* both once before it counts */
        run(argv[5]);
        for (;;) {
                struct cost a, b;
                if (n % 2 == 0) {
                        a = run(argv[4]);
                        b = run(argv[5]);
                } else {
                        b = run(argv[5]);
                        a = run(argv[4]);
                }
                wall.ratio[n] = b.wall_s / a.wall_s;
                cpu.ratio[n] = b.cpu_s / a.cpu_s;
                if (++n < least)
                        continue;
                settle(&wall, n);
                settle(&cpu, n);
                if (n >= most || ((wall.high <= limit || wall.low > limit) && (cpu.high <= limit || cpu.low > limit)))
                        break;
        }
        const struct ratios *both[] = {&wall, &cpu};
        for (int i = 0; i < 2; i++) {
                const struct ratios *r = both[i];
                const char          *how = r->high <= limit || r->low > limit ? "certain" : "by the median";
                printf("%-9s x%.4f  [%.4f, %.4f]  %d pairs, limit x%.2f: %s (%s)\n", r->name, r->median, r->low,
                       r->high, n, limit, r->median <= limit ? "within" : "above", how);
                over |= r->median > limit;
        }
        return over;
}
