/* log.c - where lines go, and the manners of a guest who has something to say.
 * Owns: the level, the path, and what descriptor 2 was when we were loaded. A line is made in one buffer on the stack
 * and leaves in one write, or not at all: never half, never later, never waiting for a reader. */
#include "log.h"

#include "atomic.h"
#include "clock.h"
#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_LINE_MAX = 1024, LOG_PATH_MAX = 256, LOG_PATH_EXPANDED_MAX = LOG_PATH_MAX * 6 };

static struct {
        bool   known;
        dev_t  dev, rdev;
        ino_t  ino;
        mode_t mode;
} log_stderr;

static _Atomic int log_level_now = LOG_WARN;
static char        log_path[LOG_PATH_MAX]; /* empty: descriptor 2 */

void log_setup(void)
{
        struct stat st;
        int         saved = errno;

        log_stderr.known = fstat(STDERR_FILENO, &st) == 0;
        if (log_stderr.known) {
                log_stderr.dev = st.st_dev;
                log_stderr.rdev = st.st_rdev;
                log_stderr.ino = st.st_ino;
                log_stderr.mode = st.st_mode;
        }
        errno = saved;
}

void log_configure(enum log_level level, const char *path)
{
        size_t len = path ? strlen(path) : 0;

        mt_store_relaxed(&log_level_now, (int)level);
        if (len == 0 || strcmp(path, "stderr") == 0) {
                log_path[0] = '\0';
                return;
        }
        if (len >= sizeof log_path) {
                log_path[0] = '\0';
                log_line(LOG_ERROR, "the log's path is longer than %zu bytes and was cut", sizeof log_path - 1);
                len = sizeof log_path - 1;
        }
        memcpy(log_path, path, len);
        log_path[len] = '\0';
}

/* Is descriptor 2, in the descriptor table of this thread, still what it was? */
static bool log_stderr_is_ours(void)
{
        struct stat st;

        return log_stderr.known && fstat(STDERR_FILENO, &st) == 0 && st.st_dev == log_stderr.dev &&
               st.st_ino == log_stderr.ino && st.st_rdev == log_stderr.rdev;
}

/* One write that does not wait: a pipe that poll() calls writable has room for PIPE_BUF bytes, more than a line. */
static void log_write_stderr(const char *line, size_t len)
{
        struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
        ssize_t       written;

        if (!log_stderr_is_ours() || poll(&ready, 1, 0) != 1 || !(ready.revents & (POLLOUT | POLLERR)))
                return;
        if (S_ISSOCK(log_stderr.mode))
                written = send(STDERR_FILENO, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        else
                written = write(STDERR_FILENO, line, len);
        (void)written; /* nobody is left to tell */
}

/* The path with each %p replaced by the pid; another % stays as it is. */
static void log_expand_path(char out[LOG_PATH_EXPANDED_MAX])
{
        size_t n = 0;

        for (const char *p = log_path; *p != '\0' && n + 12 < LOG_PATH_EXPANDED_MAX; p++) {
                if (p[0] == '%' && p[1] == 'p') {
                        n += (size_t)snprintf(out + n, 12, "%d", (int)getpid());
                        p++;
                } else {
                        out[n++] = *p;
                }
        }
        out[n] = '\0';
}

/* O_NONBLOCK: a FIFO that nobody reads, or that is full, must not cost the program's time. A file that does not take
 * the line (the uid has changed, the disk is full) leaves it to descriptor 2. */
static bool log_write_file(const char *line, size_t len)
{
        char    path[LOG_PATH_EXPANDED_MAX];
        ssize_t written;
        int     fd;

        log_expand_path(path);
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
        if (fd < 0)
                return false;
        written = write(fd, line, len);
        close(fd);
        return written == (ssize_t)len;
}

/* SIGPIPE is blocked in this thread for the write, and one that the write raised is taken before it is unblocked; one
 * that was pending before stays. SIGTTOU is blocked so that a terminal with tostop takes the line instead of stopping
 * the program. The calls made here are cancellation points: a thread that is being cancelled must not end inside. */
static void log_deliver(const char *line, size_t len)
{
        const struct timespec at_once = {0};
        sigset_t              quiet, pipe_only, pending, before;
        bool                  was_pending;
        int                   cancel_state;

        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
        sigemptyset(&pipe_only);
        sigaddset(&pipe_only, SIGPIPE);
        quiet = pipe_only;
        sigaddset(&quiet, SIGTTOU);
        sigpending(&pending);
        was_pending = sigismember(&pending, SIGPIPE) == 1;
        pthread_sigmask(SIG_BLOCK, &quiet, &before);

        if (log_path[0] == '\0' || !log_write_file(line, len))
                log_write_stderr(line, len);

        if (!was_pending)
                while (sigtimedwait(&pipe_only, NULL, &at_once) < 0 && errno == EINTR)
                        ;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_setcancelstate(cancel_state, NULL);
}

/* Values of options and addresses are quoted in lines: whatever they hold, a line stays one line, moves no cursor. */
static void log_flatten(char *text, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
                        text[i] = '?';
}

static MT_COLD MT_PRINTF(2, 0) void log_compose(enum log_level level, const char *format, va_list ap)
{
        char   line[LOG_LINE_MAX + 1];
        size_t prefix, len;
        int    n;

        prefix = (size_t)snprintf(line, LOG_LINE_MAX, "mtshim[%d]: ", (int)getpid());
        n = vsnprintf(line + prefix, LOG_LINE_MAX - prefix, format, ap);
        if (n < 0)
                return;
        len = (size_t)n < LOG_LINE_MAX - prefix ? prefix + (size_t)n : LOG_LINE_MAX - 1;
        if (handover_here()) {
                handover_put(level, line + prefix);
                return;
        }
        log_flatten(line, len);
        line[len++] = '\n';
        log_deliver(line, len);
}

void log_line(enum log_level level, const char *format, ...)
{
        int     saved = errno;
        va_list ap;

        if ((int)level > mt_load_relaxed(&log_level_now))
                return;
        va_start(ap, format);
        log_compose(level, format, ap);
        va_end(ap);
        errno = saved;
}

/* Whoever moves *last_ns speaks; a line that its level silences does not use up the window. */
void log_limited(_Atomic uint64_t *last_ns, uint64_t window_ns, enum log_level level, const char *format, ...)
{
        uint64_t last, now;
        int      saved = errno;
        va_list  ap;

        if ((int)level > mt_load_relaxed(&log_level_now))
                return;
        now = clock_coarse_ns() | 1; /* never 0, which means "not yet" */
        last = mt_load_relaxed(last_ns);
        if (last != 0 && (now <= last || now - last < window_ns))
                return;
        if (!mt_cas_acq_rel(last_ns, &last, now))
                return;
        va_start(ap, format);
        log_compose(level, format, ap);
        va_end(ap);
        errno = saved;
}
