/* process.c - slots of the process table, and whether a process lives.
 *
 * The life of a slot (incarnation only ever goes up; who makes it odd has the slot):
 *   free       even, pid 0
 *   taken      even, pid of the claimer      pid: compare-and-swap 0 -> claimer, or dead -> claimer
 *   claimed    odd, pid and start time       incarnation: compare-and-swap even -> odd
 *   dead       odd, but the process is gone  incarnation: compare-and-swap odd -> even by whoever wants the slot
 * A claimer that dies at any step leaves a pid that is gone, and the next one goes on from there. While a slot is even
 * its start time may still be that of an earlier holder, so then only a pid that does not exist at all counts as gone;
 * a pid that was reused at that very moment costs one slot until it ends.
 *
 * Alive means: /proc has the pid, with the same start time, and it is not a zombie. A leader thread that has ended by
 * pthread_exit() looks like a zombie while its other threads go on: the number of threads tells.
 *
 * exec() keeps pid and start time, so that what another thread owned at that moment seems to be owned by the living.
 * The new image frees it when it attaches: it begins its search where its pid hashes to, where the old image had begun
 * too, and gives up a slot that bears its own pid and start time and is no handle's of its own. An image without this
 * library pins what was held (a log segment at most, and a counter block a thread) until it exits. */
#include "process.h"

#include "../base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define PROCESS_LOOK_NS  (10 * NS_PER_MS)
#define PROCESS_RETRY_NS (10 * NS_PER_S) /* after the table was found full */

/* Fields 3, 20 and 22 of /proc/pid/stat; the name in field 2 may hold anything, parentheses too. */
static bool process_parse_stat(const char *text, char *state, unsigned long *threads, unsigned long long *start_time)
{
        const char *after = strrchr(text, ')');

        return after != NULL &&
               sscanf(after + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %lu %*d %llu",
                      state, threads, start_time) == 3;
}

/* Is it there and no zombie? Its start time then, 0 where /proc cannot be read: it is believed alive as long as
 * the kernel knows the pid. */
static bool process_look(pid_t pid, uint64_t *start_time)
{
        char               path[32], text[1024], state = 0;
        unsigned long      threads = 0;
        unsigned long long started = 0;
        ssize_t            got = -1;
        int                fd;

        *start_time = 0;
        if (pid <= 0)
                return false;
        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd >= 0) {
                got = read(fd, text, sizeof text - 1);
                close(fd);
        }
        if (got <= 0)
                return kill(pid, 0) == 0 || errno != ESRCH;
        text[got] = '\0';
        if (!process_parse_stat(text, &state, &threads, &started))
                return true;
        *start_time = started;
        return !(state == 'X' || state == 'x' || (state == 'Z' && threads <= 1));
}

static bool process_alive(pid_t pid, uint64_t start_time)
{
        uint64_t now_start;

        return process_look(pid, &now_start) && (now_start == start_time || now_start == 0 || start_time == 0);
}

/* --------------------------------------------------------------------------------------------------------- slots */

static uint64_t process_word(uint32_t slot, uint32_t incarnation)
{
        return (uint64_t)incarnation << 32 | (slot + 1);
}

/* The slot that an owner word names, if it still stands for the same incarnation. */
static struct process_shm *process_named(const struct l1 *l1, uint64_t owner)
{
        uint32_t            number = (uint32_t)owner;
        struct process_shm *slot;

        if (number == 0 || number > PROCESS_MAX)
                return NULL;
        slot = &l1->processes[number - 1];
        /* [P2] acquire: pairs with [P1], and with the release in process_bury() and process_free_slot(). */
        return mt_load_acquire(&slot->incarnation) == (uint32_t)(owner >> 32) ? slot : NULL;
}

/* Does a slot with our own pid and start time belong to a handle of this image? Else to the image before exec(). */
static bool process_is_ours(uint64_t word)
{
        for (const struct l1 *l1 = segment_handles(); l1 != NULL; l1 = l1->next) {
                if (mt_load_relaxed(&l1->self) == word)
                        return true;
        }
        return false;
}

/* Make an odd slot of the dead even. */
static bool process_bury(struct process_shm *slot, uint32_t number, pid_t me, uint64_t my_start)
{
        uint32_t incarnation = mt_load_acquire(&slot->incarnation);
        pid_t    pid = mt_load_relaxed(&slot->pid);
        uint64_t start_time = mt_load_relaxed(&slot->start_time);

        if (incarnation % 2 == 0)
                return true;
        if (pid == me && start_time == my_start) {
                if (process_is_ours(process_word(number, incarnation)))
                        return false;
        } else if (process_alive(pid, start_time)) {
                return false;
        }
        /* Release, for [P2]: our look at the dead comes before their words stop to name them. */
        return mt_cas_acq_rel(&slot->incarnation, &incarnation, incarnation + 1);
}

/* From free or dead to claimed by this process: the owner word, 0 when it is not to be had. */
static uint64_t process_claim_slot(struct process_shm *slot, uint32_t number, pid_t me, uint64_t my_start,
                                   enum process_role role)
{
        int32_t  holder = mt_load_relaxed(&slot->pid);
        uint32_t incarnation;
        uint64_t unused;

        if (holder != 0 && !process_bury(slot, number, me, my_start))
                return 0;
        incarnation = mt_load_acquire(&slot->incarnation);
        if (incarnation % 2 != 0 || (holder != 0 && holder != me && process_look(holder, &unused)))
                return 0;
        if (!mt_cas_acq_rel(&slot->pid, &holder, me))
                return 0;
        mt_store_relaxed(&slot->start_time, my_start);
        mt_store_relaxed(&slot->attached_ns, clock_coarse_ns());
        mt_store_relaxed(&slot->role, role);
        /* [P1] release: whoever reads the odd incarnation ([P2] in process_named()) reads this pid, start time and
         * role. */
        if (!mt_cas_acq_rel(&slot->incarnation, &incarnation, incarnation + 1))
                return 0;
        return process_word(number, incarnation + 1);
}

static void process_free_slot(struct l1 *l1, uint64_t word)
{
        struct process_shm *slot = process_named(l1, word);
        uint32_t            incarnation = (uint32_t)(word >> 32);

        if (slot == NULL || !mt_cas_acq_rel(&slot->incarnation, &incarnation, incarnation + 1))
                return;
        mt_store_release(&slot->pid, 0);
}

/* One thread of this process claims at a time: process_is_ours() must not meet a slot that is about to be ours.
 * Whoever comes second goes without, this once. Nobody waits, so a fork in the middle holds nothing up: see
 * process_after_fork(). */
static _Atomic bool process_claiming;

void process_after_fork(struct l1 *l1)
{
        mt_store_relaxed(&process_claiming, false);
        mt_store_relaxed(&l1->self_retry_ns, 0);
        mt_store_release(&l1->self, 0);
}

static uint64_t process_claim_any(struct l1 *l1)
{
        pid_t    me = getpid();
        uint32_t first = (uint32_t)me % PROCESS_MAX;
        uint64_t my_start, word = 0;

        process_look(me, &my_start);
        for (uint32_t i = 0; i < PROCESS_MAX && word == 0; i++) {
                uint32_t number = (first + i) % PROCESS_MAX;

                word = process_claim_slot(&l1->processes[number], number, me, my_start, l1->role);
        }
        return word;
}

static MT_COLD uint64_t process_claim(struct l1 *l1)
{
        uint64_t now_ns = clock_coarse_ns(), word;

        if (now_ns < mt_load_relaxed(&l1->self_retry_ns) || atomic_exchange(&process_claiming, true))
                return 0;
        word = mt_load_acquire(&l1->self);
        if (word == 0) {
                word = process_claim_any(l1);
                mt_store_release(&l1->self, word);
        }
        mt_store_release(&process_claiming, false);
        if (word == 0) {
                mt_store_relaxed(&l1->self_retry_ns, now_ns + PROCESS_RETRY_NS);
                log_once(LOG_WARN, "%s: more than %d processes attached: this one reads from it and adds nothing",
                         l1->path, PROCESS_MAX);
        }
        return word;
}

uint64_t process_self(struct l1 *l1)
{
        uint64_t word = mt_load_acquire(&l1->self);

        if (MT_LIKELY(word != 0))
                return word;
        return l1->writable && !mt_load_relaxed(&l1->closed) ? process_claim(l1) : 0;
}

bool process_is_self(const struct l1 *l1)
{
        pid_t pid = l1_owner_pid(l1, mt_load_relaxed(&l1->self));

        return pid == 0 || pid == getpid();
}

void process_release(struct l1 *l1)
{
        uint64_t word = atomic_exchange(&l1->self, 0);

        if (word != 0)
                process_free_slot(l1, word);
}

/* --------------------------------------------------------------------------------------------------- owner words */

bool process_look_due(struct l1 *l1, uint64_t now_ns)
{
        uint64_t last_ns = mt_load_relaxed(&l1->look_ns);

        return now_ns - last_ns >= PROCESS_LOOK_NS && mt_cas_acq_rel(&l1->look_ns, &last_ns, now_ns);
}

bool process_own(struct l1 *l1, _Atomic uint64_t *owner, uint64_t self, bool look)
{
        uint64_t held = mt_load_relaxed(owner);

        /* Not from ourselves either: another thread has it, or this one for a reclaim; and where somebody wrote into
         * the process table even we may look dead. */
        if (held == self || (held != 0 && (!look || !l1_owner_dead(l1, held))))
                return false;
        /* [O1] acquire: pairs with the release in logseg_end(), namespace_leave() and counters_give_back_block(); we
         * see all that the last owner wrote. A dead one released nothing, but its death has been seen, in /proc or by
         * an incarnation that moved after another's look there ([P2]), and the kernel shows that after its last store:
         * so a slot that it had published is not overlooked, and what it left is whole at every instruction, see
         * struct logseg_shm. */
        return mt_cas_acq_rel(owner, &held, self);
}

uint64_t l1_self(struct l1 *l1)
{
        return process_self(l1);
}

bool l1_owner_dead(const struct l1 *l1, uint64_t owner)
{
        struct process_shm *slot = process_named(l1, owner);
        pid_t               pid;
        uint64_t            start_time;

        if (slot == NULL)
                return true;
        pid = mt_load_relaxed(&slot->pid);
        start_time = mt_load_relaxed(&slot->start_time);
        /* Acquire: a pid of the next holder, who took it (release) after it saw the incarnation move, is seen with
         * that: then these two are not the owner's. */
        mt_fence_acquire();
        if (mt_load_relaxed(&slot->incarnation) != (uint32_t)(owner >> 32))
                return true;
        return !process_alive(pid, start_time);
}

pid_t l1_owner_pid(const struct l1 *l1, uint64_t owner)
{
        struct process_shm *slot = process_named(l1, owner);

        return slot != NULL ? mt_load_relaxed(&slot->pid) : 0;
}

/* The role is that of whoever has the slot: looked at before the incarnation is looked at again, as above. */
bool l1_owner_agent(const struct l1 *l1, uint64_t owner)
{
        struct process_shm *slot = process_named(l1, owner);
        uint32_t            role;

        if (slot == NULL)
                return false;
        role = mt_load_relaxed(&slot->role);
        mt_fence_acquire();
        return role == PROCESS_AGENT && mt_load_relaxed(&slot->incarnation) == (uint32_t)(owner >> 32);
}

uint32_t process_count(const struct l1 *l1)
{
        uint32_t count = 0;

        for (uint32_t i = 0; i < PROCESS_MAX; i++) {
                uint32_t incarnation = mt_load_acquire(&l1->processes[i].incarnation);

                count += incarnation % 2 != 0 && !l1_owner_dead(l1, process_word(i, incarnation));
        }
        return count;
}
