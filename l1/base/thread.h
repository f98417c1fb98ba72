/* thread.h - one thread of ours in somebody else's program, and what it may not disturb there. */
#ifndef MT_BASE_THREAD_H
#define MT_BASE_THREAD_H

#include <stdbool.h>

/* When the library is loaded: remember whether the process is confined already. One system call where it is not. */
void thread_loaded(void);
/* False: the program has confined itself since (seccomp), and a thread of ours would be the one to break its rules. */
bool thread_permitted(void);
/* body(arg): detached, all signals blocked, on a small stack. errno kept. */
bool thread_start(void *(*body)(void *), void *arg);

/* From inside: a name, no cancellation, and a descriptor table of its own with nothing of the program's in it: the
 * program's closefrom() does not close our sockets, our writes never reach a reused descriptor, and a pipe of the
 * program's is not held open. What it logs is handed over (handover.h). False: refused by the system; the thread must
 * end. */
bool thread_settle(void);
/* A descriptor that becomes readable when thread_wake() is called; -1 on failure. */
int thread_open_wakeup(void);
/* Take what made it readable. False: that was a signal of the program's, and was given back: look again later. */
bool thread_take_wakeup(int fd);

/* Wake a listener, perhaps in another process. A wrong target is harmless: the default action of SIGURG is to be
 * ignored. */
void thread_wake(int pid, int tid);
bool thread_gone(int pid, int tid);

#endif
