/* process.c - doors of libc: what a process does to itself that we must know of before or after it happens.
 *   setuid and its kin    another user's segment must be let go of
 *   prctl                 a seccomp filter may forbid, and punish, what our thread does
 *   unshare, setns        the same address is another server there, and some need a process of one thread
 *   pthread_exit          from the main thread: the process ends when its other threads do, and ours are not among them
 * Raw system calls pass these doors by; the effective uid is compared again at each connect. */
#include "../runtime/runtime.h"

#include "../../invalidation/invalidation.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MT_EXPORT __attribute__((visibility("default")))

/* The next definition of a function of libc; looked up once each. */
#define PROCESS_NEXT(name)                                                                                             \
        ({                                                                                                             \
                static _Atomic(void *) process_cached;                                                                 \
                void                  *process_found = atomic_load(&process_cached);                                   \
                                                                                                                       \
                if (process_found == NULL) {                                                                           \
                        process_found = dlsym(RTLD_NEXT, #name);                                                       \
                        atomic_store(&process_cached, process_found);                                                  \
                }                                                                                                      \
                (__typeof__(&name))(uintptr_t)process_found;                                                           \
        })

static int process_uid_changed(int rc)
{
        if (rc == 0)
                runtime_check_uid();
        return rc;
}

MT_EXPORT int setuid(uid_t uid)
{
        return process_uid_changed(PROCESS_NEXT(setuid)(uid));
}

MT_EXPORT int seteuid(uid_t euid)
{
        return process_uid_changed(PROCESS_NEXT(seteuid)(euid));
}

MT_EXPORT int setreuid(uid_t ruid, uid_t euid)
{
        return process_uid_changed(PROCESS_NEXT(setreuid)(ruid, euid));
}

MT_EXPORT int setresuid(uid_t ruid, uid_t euid, uid_t suid)
{
        return process_uid_changed(PROCESS_NEXT(setresuid)(ruid, euid, suid));
}

/* An unprivileged sandbox begins with PR_SET_NO_NEW_PRIVS, libseccomp's with that too: the last moment at which our
 * thread can end unharmed. */
MT_EXPORT int prctl(int option, ...)
{
        unsigned long arg[4];
        va_list       ap;

        va_start(ap, option);
        for (int i = 0; i < 4; i++)
                arg[i] = va_arg(ap, unsigned long);
        va_end(ap);
        if (option == PR_SET_SECCOMP || (option == PR_SET_NO_NEW_PRIVS && arg[0] == 1))
                runtime_seal_off();
        return PROCESS_NEXT(prctl)(option, arg[0], arg[1], arg[2], arg[3]);
}

enum { PROCESS_NAMESPACES = CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS | 0x80 /* CLONE_NEWTIME */ };

MT_EXPORT int unshare(int flags)
{
        if (flags & PROCESS_NAMESPACES)
                runtime_seal_off();
        return PROCESS_NEXT(unshare)(flags);
}

MT_EXPORT int setns(int fd, int type)
{
        runtime_seal_off();
        return PROCESS_NEXT(setns)(fd, type);
}

MT_EXPORT void pthread_exit(void *value)
{
        if (syscall(SYS_gettid) == getpid()) {
                invalidation_stop(INVALIDATION_FOREVER, 0);
                tiers_stop(runtime.tiers, 0);
        }
        PROCESS_NEXT(pthread_exit)(value);
        abort(); /* it does not return */
}
