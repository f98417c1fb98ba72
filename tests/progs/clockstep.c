// build: -shared -ldl
/* clockstep.c - preloaded: the real-time clock of one process, or of many, steps when a test says so; the machine's
 * does not, and CLOCK_MONOTONIC is left alone. MT_CLOCKSTEP names a file whose first eight bytes are the nanoseconds to
 * add; whoever writes there steps the clocks of all that have it mapped. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS INT64_C(1000000000)

static const volatile int64_t *step_ns;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void clockstep_begin(void)
{
        const char *path = getenv("MT_CLOCKSTEP");
        int         fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void       *word = fd >= 0 ? mmap(NULL, sizeof *step_ns, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

        *(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
        if (word != MAP_FAILED)
                step_ns = word;
        if (fd >= 0)
                close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
        int64_t ns;

        if (real_clock_gettime == NULL) /* a constructor that comes before ours */
                clockstep_begin();
        if (real_clock_gettime(clock, t) != 0)
                return -1;
        if (step_ns == NULL || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE && clock != CLOCK_TAI))
                return 0;
        ns = t->tv_sec * NS + t->tv_nsec + *step_ns;
        *t = (struct timespec){.tv_sec = ns / NS, .tv_nsec = ns % NS};
        return 0;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
        struct timespec t;

        (void)zone;
        if (clock_gettime(CLOCK_REALTIME, &t) != 0)
                return -1;
        *tv = (struct timeval){.tv_sec = t.tv_sec, .tv_usec = t.tv_nsec / 1000};
        return 0;
}

time_t time(time_t *to)
{
        struct timespec t = {0};

        clock_gettime(CLOCK_REALTIME, &t);
        if (to != NULL)
                *to = t.tv_sec;
        return t.tv_sec;
}
