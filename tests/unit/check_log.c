/* check_log.c - lines arrive whole, or not at all; and the program notices nothing: no signal, no wait, no descriptor,
 * no errno. Each test runs in its own process and gives descriptor 2 its own shape before log_setup(). */
#include "l1/base/clock.h"
#include "l1/base/handover.h"
#include "l1/base/log.h"
#include "l1/base/thread.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char received[8192];

/* What is in the pipe, socket or file now; descriptors that block are only read when they have something. */
static const char *drain(int fd)
{
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        size_t        n = 0;
        ssize_t       got = 0;

        while (n + 1 < sizeof received && poll(&ready, 1, 0) == 1 &&
               (got = read(fd, received + n, sizeof received - 1 - n)) > 0)
                n += (size_t)got;
        received[n] = '\0';
        return received;
}

static const char *expected(const char *message)
{
        static char line[2048];

        snprintf(line, sizeof line, "mtshim[%d]: %s\n", (int)getpid(), message);
        return line;
}

/* Descriptor 2 becomes the writing end; the reading end is returned. */
static int stderr_pipe(void)
{
        int ends[2];

        ck_assert_int_eq(pipe(ends), 0);
        ck_assert_int_eq(dup2(ends[1], 2), 2);
        close(ends[1]);
        log_setup();
        return ends[0];
}

START_TEST(one_line)
{
        int fd = stderr_pipe();

        errno = EDOM;
        log_line(LOG_WARN, "a %s of %d bytes", "value", 17);
        log_line(LOG_INFO, "not at this level");
        ck_assert_int_eq(errno, EDOM);
        ck_assert_str_eq(drain(fd), expected("a value of 17 bytes"));
        log_configure(LOG_ERROR, NULL);
        log_line(LOG_WARN, "not at this level");
        ck_assert_str_eq(drain(fd), "");
        log_configure(LOG_DEBUG, "stderr");
        log_line(LOG_DEBUG, "now");
        ck_assert_str_eq(drain(fd), expected("now"));
}
END_TEST

START_TEST(cut_and_flat)
{
        char text[3000];
        int  fd = stderr_pipe();

        log_line(LOG_WARN, "a\nb\033[31mc\td");
        ck_assert_str_eq(drain(fd), expected("a?b?[31mc?d"));
        memset(text, 'x', sizeof text - 1);
        text[sizeof text - 1] = '\0';
        log_line(LOG_WARN, "%s", text);
        drain(fd);
        ck_assert_uint_eq(strlen(received), 1024);
        ck_assert_int_eq(received[1023], '\n');
        ck_assert_int_eq(received[1022], 'x');
}
END_TEST

static volatile sig_atomic_t pipes;
static void                  on_sigpipe(int signal)
{
        pipes += signal == SIGPIPE;
}

static bool is_pending(int signal)
{
        sigset_t pending;

        sigpending(&pending);
        return sigismember(&pending, signal) == 1;
}

START_TEST(no_sigpipe)
{
        sigset_t set, mask;

        close(stderr_pipe());
        signal(SIGPIPE, on_sigpipe);
        errno = 0;
        log_line(LOG_WARN, "to nobody");
        ck_assert_int_eq(pipes, 0);
        ck_assert(!is_pending(SIGPIPE));
        ck_assert_int_eq(errno, 0);
        pthread_sigmask(SIG_BLOCK, NULL, &mask);
        ck_assert_int_eq(sigismember(&mask, SIGPIPE), 0);

        sigemptyset(&set);
        sigaddset(&set, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &set, NULL);
        log_line(LOG_WARN, "to nobody");
        ck_assert(!is_pending(SIGPIPE));
        raise(SIGPIPE); /* the program's own, and it stays the program's */
        log_line(LOG_WARN, "to nobody");
        ck_assert(is_pending(SIGPIPE));
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        ck_assert_int_eq(pipes, 1);
}
END_TEST

/* A descriptor that blocks, and is full: the test would hang here. */
START_TEST(full_pipe_does_not_block)
{
        char page[4096] = {0};
        int  fd = stderr_pipe();

        fcntl(2, F_SETFL, O_NONBLOCK);
        while (write(2, page, sizeof page) > 0)
                ;
        fcntl(2, F_SETFL, 0);
        log_line(LOG_WARN, "no room");
        ck_assert_int_eq(fcntl(2, F_GETFL) & O_NONBLOCK, 0);
        while (*drain(fd) != '\0' || poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) == 1)
                ck_assert_ptr_null(strstr(received, "no room"));
        log_line(LOG_WARN, "room again");
        ck_assert_str_eq(drain(fd), expected("room again"));
}
END_TEST

START_TEST(full_socket_does_not_block)
{
        int  ends[2];
        char page[4096] = {0};

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        dup2(ends[1], 2);
        close(ends[1]);
        log_setup();
        log_line(LOG_WARN, "by socket");
        ck_assert_str_eq(drain(ends[0]), expected("by socket"));
        while (send(2, page, sizeof page, MSG_DONTWAIT) > 0)
                ;
        log_line(LOG_WARN, "no room");
        close(ends[0]);
        signal(SIGPIPE, on_sigpipe);
        log_line(LOG_WARN, "to nobody");
        ck_assert_int_eq(pipes, 0);
}
END_TEST

/* After daemon(), or when the program put its own socket there, descriptor 2 is no place for lines. */
START_TEST(replaced_descriptor)
{
        int fd = stderr_pipe(), kept = dup(2), other[2];

        ck_assert_int_eq(pipe(other), 0);
        dup2(other[1], 2);
        log_line(LOG_WARN, "not for you");
        ck_assert_str_eq(drain(other[0]), "");
        ck_assert_str_eq(drain(fd), "");
        close(2);
        log_line(LOG_WARN, "to nobody");
        dup2(kept, 2);
        log_line(LOG_WARN, "back");
        ck_assert_str_eq(drain(fd), expected("back"));
}
END_TEST

START_TEST(closed_at_load)
{
        int ends[2];

        close(2);
        log_setup();
        ck_assert_int_eq(pipe(ends), 0);
        dup2(ends[1], 2);
        log_line(LOG_WARN, "not for you");
        ck_assert_str_eq(drain(ends[0]), "");
}
END_TEST

START_TEST(into_a_file)
{
        char        directory[] = "/tmp/mtshim-log-XXXXXX", path[64], opened[96];
        int         fd, before, quiet = stderr_pipe();
        struct stat st;

        ck_assert_ptr_nonnull(mkdtemp(directory));
        snprintf(path, sizeof path, "%s/%%p.log", directory);
        snprintf(opened, sizeof opened, "%s/%d.log", directory, (int)getpid());
        log_configure(LOG_WARN, path);
        before = dup(0);
        close(before);
        log_line(LOG_WARN, "one");
        log_line(LOG_WARN, "two");
        ck_assert_int_eq(dup(0), before); /* nothing stayed open */
        close(before);
        ck_assert_int_eq(stat(opened, &st), 0);
        ck_assert_int_eq(st.st_mode & 0777, 0600);
        fd = open(opened, O_RDONLY);
        drain(fd);
        ck_assert_ptr_eq(strstr(received, expected("one")), received);
        ck_assert_ptr_nonnull(strstr(received, expected("two")));
        ck_assert_str_eq(drain(quiet), "");
        close(fd);
        unlink(opened);
        rmdir(directory);
        log_line(LOG_WARN, "homeless"); /* the directory is gone: better there than nowhere */
        ck_assert_str_eq(drain(quiet), expected("homeless"));
}
END_TEST

START_TEST(limited)
{
        _Atomic uint64_t last = 0;
        int              fd = stderr_pipe();

        for (int i = 0; i < 3; i++)
                log_once(LOG_WARN, "once");
        ck_assert_str_eq(drain(fd), expected("once"));
        log_limited(&last, NS_PER_S, LOG_DEBUG, "silent"); /* and does not count */
        log_limited(&last, NS_PER_S, LOG_WARN, "first");
        log_limited(&last, NS_PER_S, LOG_WARN, "dropped");
        ck_assert_str_eq(drain(fd), expected("first"));
        clock_test_offset_ns += 2 * (int64_t)NS_PER_S;
        log_limited(&last, NS_PER_S, LOG_WARN, "second");
        ck_assert_str_eq(drain(fd), expected("second"));
}
END_TEST

static void *speak(void *last)
{
        for (int i = 0; i < 100; i++)
                log_limited(last, UINT64_MAX, LOG_WARN, "one of many");
        return NULL;
}

START_TEST(limited_among_threads)
{
        _Atomic uint64_t last = 0;
        pthread_t        threads[8];
        int              fd = stderr_pipe();

        for (int i = 0; i < 8; i++)
                pthread_create(&threads[i], NULL, speak, &last);
        for (int i = 0; i < 8; i++)
                pthread_join(threads[i], NULL);
        ck_assert_str_eq(drain(fd), expected("one of many"));
}
END_TEST

static void *speak_while_cancelled(void *arg)
{
        int state;

        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
        pthread_cancel(pthread_self());
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
        log_line(LOG_WARN, "last words"); /* its poll and write must not be where the thread ends */
        *(bool *)arg = true;
        pthread_testcancel();
        return NULL;
}

START_TEST(no_cancellation_point)
{
        pthread_t thread;
        bool      came_back = false;
        int       fd = stderr_pipe();

        pthread_create(&thread, NULL, speak_while_cancelled, &came_back);
        pthread_join(thread, NULL);
        ck_assert(came_back);
        ck_assert_str_eq(drain(fd), expected("last words"));
}
END_TEST

static sem_t inside_said, inside_go;

/* A thread as those of ours are: descriptor 2 is not the program's there. */
static void *speak_inside(void *settled)
{
        *(bool *)settled = thread_settle();
        log_line(LOG_INFO, "not at this level");
        errno = EDOM;
        log_line(LOG_WARN, "from %s", "inside");
        log_line(LOG_ERROR, "and\nagain");
        handover_print(); /* not where it would only be handed over once more */
        if (errno != EDOM)
                log_line(LOG_ERROR, "errno");
        sem_post(&inside_said);
        sem_wait(&inside_go);
        for (int i = 0; i < 100; i++)
                log_line(LOG_WARN, "one of many");
        sem_post(&inside_said);
        return NULL;
}

START_TEST(a_thread_of_ours_hands_its_lines_over)
{
        char wanted[4096];
        bool settled = false;
        int  fd = stderr_pipe(), lines = 0;

        ck_assert(!handover_waiting());
        sem_init(&inside_said, 0, 0);
        sem_init(&inside_go, 0, 0);
        ck_assert(thread_start(speak_inside, &settled));
        sem_wait(&inside_said);
        ck_assert(settled);
        ck_assert_str_eq(drain(fd), "");
        ck_assert(handover_waiting());
        errno = ERANGE;
        handover_print();
        ck_assert_int_eq(errno, ERANGE);
        ck_assert(!handover_waiting());
        snprintf(wanted, sizeof wanted, "%s", expected("from inside"));
        snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted), "%s", expected("and?again"));
        ck_assert_str_eq(drain(fd), wanted);
        sem_post(&inside_go);
        sem_wait(&inside_said);
        handover_print(); /* the ring is full of the first of them; none is torn, and none wanted anybody's time */
        drain(fd);
        for (const char *at = received; (at = strstr(at, expected("one of many"))) != NULL; at++)
                lines++;
        ck_assert_uint_eq(strlen(received), (size_t)lines * strlen(expected("one of many")));
        ck_assert_int_ge(lines, 1);
        ck_assert_int_lt(lines, 100);
        handover_print();
        ck_assert_str_eq(drain(fd), "");
}
END_TEST

START_TEST(a_child_does_not_say_what_its_parent_has_to)
{
        int fd = stderr_pipe();

        handover_put(LOG_WARN, "the parent's");
        handover_after_fork();
        ck_assert(!handover_waiting());
        handover_print();
        ck_assert_str_eq(drain(fd), "");
        handover_put(LOG_WARN, "its own");
        handover_print();
        ck_assert_str_eq(drain(fd), expected("its own"));
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("log");
        TCase   *tcase = tcase_create("log");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_add_test(tcase, one_line);
        tcase_add_test(tcase, cut_and_flat);
        tcase_add_test(tcase, no_sigpipe);
        tcase_add_test(tcase, full_pipe_does_not_block);
        tcase_add_test(tcase, full_socket_does_not_block);
        tcase_add_test(tcase, replaced_descriptor);
        tcase_add_test(tcase, closed_at_load);
        tcase_add_test(tcase, into_a_file);
        tcase_add_test(tcase, limited);
        tcase_add_test(tcase, limited_among_threads);
        tcase_add_test(tcase, no_cancellation_point);
        tcase_add_test(tcase, a_thread_of_ours_hands_its_lines_over);
        tcase_add_test(tcase, a_child_does_not_say_what_its_parent_has_to);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
