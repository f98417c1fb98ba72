/* api_compute.c - get_or_compute by many: of all threads of all processes one computes.
 *
 *   api_compute SERVER KEY PROCESSES THREADS WAIT-MS COMPUTE-MS [kill|stop|none]
 *
 * kill, stop: what becomes of the process that computes first, in the middle of it; stopped, it goes on when all others
 * are done. none: there is no such value, compute says. Prints how many computations began, how many callers have the
 * value of the last one, and how many waited for longer than twice the limit, the computation and a second; where there
 * is none, for half of the limit. */
#include <mtshim.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct shared {
        _Atomic int began, right, wrong, missed, late, ready, first;
        _Atomic int go;
} * shared;
static struct mtshim *m;
static const char    *key;
static unsigned       wait_ms, compute_ms;
static bool           none;

static void pause_ms(long ms)
{
        nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static double now_s(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Its value says which computation it was. */
static enum mtshim_status compute(void *arg, struct mtshim_bytes k, struct mtshim_value *value)
{
        int number = atomic_fetch_add(&shared->began, 1) + 1, nobody = 0;

        (void)arg;
        (void)k;
        atomic_compare_exchange_strong(&shared->first, &nobody, (int)getpid());
        pause_ms(compute_ms);
        if (none)
                return MTSHIM_MISS;
        value->data = malloc(16);
        value->len = (size_t)snprintf(value->data, 16, "%d", number);
        return MTSHIM_OK;
}

static void *ask(void *arg)
{
        struct mtshim_value value;
        enum mtshim_status  status;
        double              began, limit = none ? wait_ms / 2000.0 : (2 * wait_ms + compute_ms) / 1000.0 + 1;

        atomic_fetch_add(&shared->ready, 1);
        while (!atomic_load(&shared->go))
                pause_ms(1);
        began = now_s();
        status = mtshim_get_or_compute(m, mtshim_text(key), 60000, wait_ms, compute, NULL, &value);
        if (now_s() - began > limit)
                atomic_fetch_add(&shared->late, 1);
        if (status == MTSHIM_OK)
                atomic_fetch_add(atoi(value.data) == atomic_load(&shared->began) ? &shared->right : &shared->wrong, 1);
        else if (status == MTSHIM_MISS)
                atomic_fetch_add(&shared->missed, 1);
        else
                fprintf(stderr, "api_compute: %s\n", mtshim_error());
        mtshim_free(value.data);
        return arg;
}

static void process(const char *server, int threads)
{
        struct mtshim_config config = mtshim_defaults(server);
        pthread_t            thread[256];

        if (mtshim_open(&config, &m) != MTSHIM_OK) {
                fprintf(stderr, "api_compute: %s\n", mtshim_error());
                exit(1);
        }
        for (int i = 0; i < threads; i++)
                pthread_create(&thread[i], NULL, ask, NULL);
        for (int i = 0; i < threads; i++)
                pthread_join(thread[i], NULL);
        mtshim_close(&m);
        exit(0);
}

int main(int argc, char **argv)
{
        int         processes = atoi(argv[3]), threads = atoi(argv[4]), left = processes;
        const char *fate = argc > 7 ? argv[7] : "";
        pid_t       first = 0;

        key = argv[2];
        wait_ms = (unsigned)atoi(argv[5]);
        compute_ms = (unsigned)atoi(argv[6]);
        none = strcmp(fate, "none") == 0;
        shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        for (int i = 0; i < processes; i++)
                if (fork() == 0)
                        process(argv[1], threads);
        while (atomic_load(&shared->ready) < processes * threads)
                pause_ms(1);
        atomic_store(&shared->go, 1);
        if (fate[0] == 'k' || fate[0] == 's') {
                while ((first = atomic_load(&shared->first)) == 0)
                        pause_ms(1);
                kill(first, fate[0] == 'k' ? SIGKILL : SIGSTOP);
        }
        while (left > 1 || (left == 1 && fate[0] != 's'))
                left -= wait(NULL) > 0;
        printf("computed %d, right %d, older %d, none %d, late %d\n", shared->began, shared->right, shared->wrong,
               shared->missed, shared->late);
        if (fate[0] == 's') {
                kill(first, SIGCONT);
                wait(NULL);
        }
        return 0;
}
