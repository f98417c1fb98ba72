/* forklock.c - where the lock finds this process's pid. */
#include "forklock.h"

volatile int32_t *forklock_pid;
