/* thread.c - the rules of a guest's thread.
 * Facts that the order of steps stands on: all signals are blocked before the thread exists, so that no handler of the
 * program ever runs in it (pthread_sigmask() leaves out the two signals by which libc itself makes setuid() reach all
 * threads); the descriptor table is left before any descriptor is opened; POSIX locks belong to the old table, so
 * closing what was copied releases none. */
#include "thread.h"

#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

enum { THREAD_STACK = 128 * 1024, THREAD_FILTERS_UNKNOWN = -1 };

static int thread_mode_at_load;    /* of PR_GET_SECCOMP */
static int thread_filters_at_load; /* Seccomp_filters of /proc/thread-self/status */

/* ------------------------------------------------------------------------------------------------ before the start */

/* How many filters this thread runs under; kernels before 5.9 do not tell. */
static int thread_count_filters(void)
{
        static const char name[] = "\nSeccomp_filters:";
        char              text[4096], *at;
        size_t            n = 0;
        ssize_t           got;
        int               fd = open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return THREAD_FILTERS_UNKNOWN;
        while (n < sizeof text - 1 && (got = read(fd, text + n, sizeof text - 1 - n)) > 0)
                n += (size_t)got;
        close(fd);
        text[n] = '\0';
        at = strstr(text, name);
        return at ? atoi(at + sizeof name - 1) : THREAD_FILTERS_UNKNOWN;
}

/* By syscall(): prctl() is interposed by this very library. */
static int thread_seccomp_mode(void)
{
        long mode = syscall(SYS_prctl, PR_GET_SECCOMP, 0, 0, 0, 0);

        return mode < 0 ? 0 : (int)mode; /* EINVAL: a kernel without seccomp */
}

void thread_loaded(void)
{
        int saved = errno;

        thread_mode_at_load = thread_seccomp_mode();
        thread_filters_at_load = thread_mode_at_load != 0 ? thread_count_filters() : 0;
        errno = saved;
}

bool thread_permitted(void)
{
        int mode = thread_seccomp_mode();

        if (mode == 0)
                return true;
        /* A container runs everything under a filter: one that was there before us is not the program's doing. */
        return mode == thread_mode_at_load && thread_filters_at_load != THREAD_FILTERS_UNKNOWN &&
               thread_count_filters() == thread_filters_at_load;
}

static bool thread_create(void *(*body)(void *), void *arg, size_t stack_size)
{
        pthread_attr_t attr;
        pthread_t      thread;
        bool           created;

        if (pthread_attr_init(&attr) != 0)
                return false;
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        created = (stack_size == 0 || pthread_attr_setstacksize(&attr, stack_size) == 0) &&
                  pthread_create(&thread, &attr, body, arg) == 0;
        pthread_attr_destroy(&attr);
        return created;
}

static int thread_add_locals(struct dl_phdr_info *object, size_t size, void *sum)
{
        (void)size;
        for (unsigned i = 0; i < object->dlpi_phnum; i++)
                if (object->dlpi_phdr[i].p_type == PT_TLS)
                        *(size_t *)sum += object->dlpi_phdr[i].p_memsz + object->dlpi_phdr[i].p_align;
        return 0;
}

bool thread_start(void *(*body)(void *), void *arg)
{
        int      saved = errno;
        long     least = sysconf(_SC_THREAD_STACK_MIN);
        size_t   stack_size = THREAD_STACK + (least > 0 ? (size_t)least : 0);
        sigset_t all, before;
        bool     started;

        /* The program's thread-local variables are carved from the same stack. */
        dl_iterate_phdr(thread_add_locals, &stack_size);
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        started = thread_create(body, arg, stack_size) || thread_create(body, arg, 0);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        errno = saved;
        return started;
}

/* ------------------------------------------------------------------------------------------------ from inside */

struct thread_dirent {
        uint64_t       ino;
        int64_t        off;
        unsigned short reclen;
        unsigned char  type;
        char           name[];
};

/* Close what one read of the directory names, but not the directory's own descriptor; true if that was anything. */
static bool thread_close_listed(int directory, bool *failed)
{
        _Alignas(8) char buffer[4096];
        long             n = syscall(SYS_getdents64, directory, buffer, sizeof buffer);
        bool             any = false;

        if (n < 0)
                *failed = true;
        for (long at = 0; at < n;) {
                const struct thread_dirent *entry = (const void *)(buffer + at);
                int                         fd = entry->name[0] == '.' ? directory : atoi(entry->name);

                if (fd != directory) {
                        close(fd);
                        any = true;
                }
                at += entry->reclen;
        }
        return any;
}

/* Kernels before 5.9, and filters that do not know close_range(). What /proc/thread-self shows is this thread's own
 * table; /proc/self would show, and make us close, the numbers of the program's. */
static bool thread_leave_table_slowly(void)
{
        bool failed = false;
        int  directory;

        if (syscall(SYS_unshare, CLONE_FILES) != 0) /* unshare() is interposed by this very library */
                return false;
        close(0); /* the program may have used up its limit: these make room for the directory */
        close(1);
        directory = open("/proc/thread-self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory < 0)
                return false;
        while (thread_close_listed(directory, &failed) && !failed)
                lseek(directory, 0, SEEK_SET);
        close(directory);
        return !failed;
}

static bool thread_leave_table(void)
{
        return syscall(SYS_close_range, 0U, ~0U, CLOSE_RANGE_UNSHARE) == 0 || thread_leave_table_slowly();
}

/* No socket of ours ever gets the number of a standard stream: whatever somebody writes to those goes nowhere. */
static bool thread_fill_standard(void)
{
        for (int wanted = 0; wanted < 3; wanted++) {
                int fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);

                if (fd < 0)
                        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); /* a changed root may have no /dev */
                if (fd != wanted)
                        return false;
        }
        return true;
}

bool thread_settle(void)
{
        int before;

        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
        pthread_setname_np(pthread_self(), "mtshim");
        handover_begin();
        return thread_leave_table() && thread_fill_standard();
}

int thread_open_wakeup(void)
{
        sigset_t wakeup;

        sigemptyset(&wakeup);
        sigaddset(&wakeup, SIGURG);
        return signalfd(-1, &wakeup, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* A signalfd also takes what was sent to the process as a whole, if no other thread wants it: where the program has
 * blocked SIGURG everywhere, to fetch it by a signalfd of its own, it must get it still. */
bool thread_take_wakeup(int fd)
{
        struct signalfd_siginfo taken;
        bool                    ours = true;

        while (read(fd, &taken, sizeof taken) == (ssize_t)sizeof taken) {
                siginfo_t info = {.si_signo = SIGURG, .si_errno = taken.ssi_errno, .si_code = taken.ssi_code};

                if (taken.ssi_code == SI_TKILL)
                        continue;
                info.si_pid = (pid_t)taken.ssi_pid;
                info.si_uid = taken.ssi_uid;
                info.si_value.sival_ptr = (void *)(uintptr_t)taken.ssi_ptr;
                /* The kernel lets a thread forge only what it sends to its own number; it goes to the whole process. */
                syscall(SYS_rt_sigqueueinfo, gettid(), SIGURG, &info);
                ours = false;
                break;
        }
        return ours;
}

void thread_wake(int pid, int tid)
{
        int saved = errno;

        if (pid > 0 && tid > 0)
                syscall(SYS_tgkill, pid, tid, SIGURG);
        errno = saved;
}

bool thread_gone(int pid, int tid)
{
        return syscall(SYS_tgkill, pid, tid, 0) != 0 && errno == ESRCH;
}
