/* surprise.c - stops, deaths and forks at places that chance alone would hardly find.
 *
 * A page that may not be touched is put where the middle of a copy will fall, in the process's own buffer, or anywhere
 * in its own mapping of the segment. Whoever touches it stops right there, at that access, and goes on when the parent
 * says so; or dies. */
#include "torture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SURPRISE_DEATHS    6u /* one of so many stops is a death */
#define SURPRISE_FILLS     400u
#define SURPRISE_CHILD_OPS 2000u

/* Whose trap it is: each thread has its own, and those in the segment belong to processes of one thread. */
static _Thread_local struct worker *surprised;

bool surprise_is(struct worker *w, enum surprise which)
{
        if (MT_LIKELY(w->surprise != which))
                return false;
        w->surprise = SURPRISE_NONE;
        return true;
}

void surprise_pause(struct worker *w, enum place place)
{
        mt_store_release(&w->seat->place, place);
        if (!w->calm && below(&w->seed, SURPRISE_DEATHS) == 0)
                kill(getpid(), SIGKILL);
        raise(SIGSTOP);
        mt_store_release(&w->seat->place, ANYWHERE);
        /* The slot is looked at again after this: what has been applied until now counts too. */
        w->applied = mt_load_acquire(&w->book->applied[w->s][w->key]);
}

/* ------------------------------------------------------------------------------------------------------------ traps */

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
        struct worker *w = surprised;
        char          *at = info->si_addr;

        (void)context;
        if (w == NULL || w->trap == NULL || at < w->trap || at >= w->trap + TORTURE_PAGE) {
                signal(signal_number, SIG_DFL); /* not ours: it comes again, and is the end */
                return;
        }
        surprise_pause(w, w->trap_place != ANYWHERE ? w->trap_place : w->filling ? IN_FILL : IN_GET);
        surprise_clear(w);
}

void surprise_setup(void)
{
        struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

        if (sigaction(SIGSEGV, &action, NULL) != 0)
                abort();
}

void surprise_clear(struct worker *w)
{
        if (w->trap != NULL)
                mprotect(w->trap, TORTURE_PAGE, PROT_READ | PROT_WRITE);
        w->trap = NULL;
        w->trap_place = ANYWHERE;
}

void surprise_trap(struct worker *w, char *page, enum place place)
{
        surprise_clear(w);
        surprised = w;
        w->trap_place = place;
        w->trap = page;
        if (mprotect(page, TORTURE_PAGE, PROT_NONE) != 0)
                surprise_clear(w);
}

char *surprise_middle(char *room, uint64_t n, char **page)
{
        uint64_t half = n / 2;

        *page = room + (half + TORTURE_PAGE - 1) / TORTURE_PAGE * TORTURE_PAGE;
        return *page - half;
}

/* A page of this process's mappings of the file, each as likely as another; NULL when there is none. */
static char *mapped_page(struct worker *w)
{
        FILE         *maps = fopen("/proc/self/maps", "re");
        char          line[1024], *page = NULL;
        unsigned long from, to, pages = 0;

        if (maps == NULL)
                return NULL;
        while (fgets(line, sizeof line, maps) != NULL) {
                if (strstr(line, l1_path(w->l1)) == NULL || sscanf(line, "%lx-%lx", &from, &to) != 2)
                        continue;
                pages += (to - from) / TORTURE_PAGE;
                if (below(&w->seed, pages) < (to - from) / TORTURE_PAGE)
                        page = (char *)(from + below(&w->seed, (to - from) / TORTURE_PAGE) * TORTURE_PAGE);
        }
        fclose(maps);
        return page;
}

void surprise_trap_segment(struct worker *w, const char *near)
{
        char *page = (char *)((uintptr_t)near & ~(uintptr_t)(TORTURE_PAGE - 1));

        if (page == NULL || below(&w->seed, 2) == 0)
                page = mapped_page(w);
        if (!w->alone || page == NULL)
                return;
        surprise_trap(w, page, ANYWHERE);
        if (below(&w->seed, 4) != 0)
                w->fills_only = SURPRISE_FILLS;
}

/* ------------------------------------------------------------------------------------------------------------ forks */

/* The child has what its parent held at that moment, and nothing of its parent's is its own. */
static _Noreturn void child(struct worker *w, pid_t parent, const struct l1_key *wanted, struct l1_lease *lease,
                            _Atomic uint32_t *filled)
{
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(0);
        surprise_clear(w);
        w->calm = true;
        w->surprise = SURPRISE_NONE;
        w->seed = w->seed << 1 | 1;
        l1_after_fork(w->l1);
        mt_store_release(filled, worker_fill(w, wanted, lease));
        worker_work(w, below(&w->seed, SURPRISE_CHILD_OPS));
        l1_detach(w->l1);
        _exit(0);
}

void surprise_fork(struct worker *w, const struct l1_key *wanted, struct l1_lease *lease)
{
        /* Of this fork alone: a second thread of the process may fork at the same time. */
        _Atomic uint32_t *child_filled =
                mmap(NULL, sizeof *child_filled, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        pid_t parent = getpid(), pid;
        bool  filled;

        if (child_filled == MAP_FAILED)
                abort();
        pid = fork();
        if (pid == 0)
                child(w, parent, wanted, lease, child_filled);
        if (pid < 0)
                abort();
        count(w, FORKS);
        filled = worker_fill(w, wanted, lease);
        worker_work(w, below(&w->seed, SURPRISE_CHILD_OPS));
        if (waitpid(pid, NULL, 0) == pid && filled && mt_load_acquire(child_filled) != 0)
                count(w, TWICE);
        munmap((void *)child_filled, sizeof *child_filled);
}
