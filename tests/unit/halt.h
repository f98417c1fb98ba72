/* halt.h - a child stopped, and seen to be: kill() returns while its threads on other processors still answer. */
#ifndef MT_TESTS_HALT_H
#define MT_TESTS_HALT_H

#include <check.h>
#include <signal.h>
#include <sys/wait.h>

static inline void halt(pid_t child)
{
        siginfo_t info;

        ck_assert_int_eq(kill(child, SIGSTOP), 0);
        ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WSTOPPED), 0);
        ck_assert_int_eq(info.si_code, CLD_STOPPED);
}

#endif
