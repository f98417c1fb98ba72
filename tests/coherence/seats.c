/* seats.c - worker processes. A seat outlives the process in it: who is killed is followed by another that goes on with
 * the same keys. */
#include "chaos.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEATS_END_MS = 15000 };

extern char **environ;

/* ------------------------------------------------------------------------------------------------- who sits where */

/* A row: seat, its role (where writers must announce what they write, FOREIGN is SHIMMED), and threads: the database of
 * each, and how many keys it writes, 0: reads alone. Writers of database 0 come first. */
static const struct layout {
        unsigned seat, role;
        struct {
                unsigned used, database, keys;
        } thread[ORACLE_SEAT_THREADS];
} layout[] = {
        {0, SEAT_SHIMMED, {{1, 0, 12}, {1, 0, 12}, {1, 0, 0}, {1, 2, 0}}},
        {1, SEAT_SHIMMED, {{1, 0, 12}, {1, 2, 12}, {1, 0, 0}}},
        {2, SEAT_SHIMMED, {{1, 0, 0}, {1, 0, 0}, {1, 0, 0}}},
        {3, SEAT_SHIMMED, {{1, 0, 0}, {1, 2, 0}}},
        {4, SEAT_FOREIGN, {{1, 0, 16}, {1, 0, 16}, {1, 2, 12}}},
        {5, SEAT_CLI, {{1, 0, 8}}},
        {SEAT_OF_HAND, SEAT_HAND, {{1, 0, 0}}},
        {SEAT_OF_CROWD, SEAT_CROWD, {{1, 0, 0}}},
        {8, SEAT_BARE, {{1, 0, 0}, {1, 2, 0}}},
};
enum { LAYOUT = sizeof layout / sizeof layout[0] };

static uint32_t seats_size(uint32_t key, bool short_lines)
{
        if (key % 24 == 23 && !short_lines)
                return 60000;
        return key % 8 == 7 ? 3000 : 20 + key * 37 % 300;
}

static uint32_t seats_give_keys(struct chaos *c, uint32_t writer, uint32_t count, uint32_t database, bool cli)
{
        struct oracle *o = c->oracle;

        o->writer[writer] = (struct writer){.first = o->keys, .count = count, .nameless = cli};
        for (uint32_t i = 0; i < count; i++, o->keys++) {
                o->key[o->keys].database = database;
                o->key[o->keys].number = database == 0 ? o->keys : o->keys - o->database_0_keys;
                o->key[o->keys].size = seats_size(o->keys, cli);
        }
        return writer;
}

static unsigned seats_role(const struct chaos *c, const struct layout *l)
{
        /* redis-cli asks no sentinel, and the hand would wait for a master that is none any more. */
        if (c->link == LINK_SENTINEL && (l->role == SEAT_CLI || l->role == SEAT_HAND))
                return SEAT_EMPTY;
        if (l->role < SEAT_FOREIGN || (c->features & HAS_FOREIGN))
                return l->role;
        return l->role == SEAT_FOREIGN ? SEAT_SHIMMED : SEAT_EMPTY;
}

static void seats_lay_database(struct chaos *c, uint32_t database, uint32_t *writer)
{
        for (unsigned at = 0; at < LAYOUT; at++) {
                const struct layout *l = &layout[at];
                struct seat         *seat = &c->oracle->seat[l->seat];

                seat->role = seats_role(c, l);
                if (seat->role < SEAT_BARE || c->link == LINK_SENTINEL)
                        links_address(c, seat->address, sizeof seat->address);
                else
                        snprintf(seat->address, sizeof seat->address, "%s", server_socket(c->server));
                for (unsigned i = 0; i < ORACLE_SEAT_THREADS && l->thread[i].used && seat->role != SEAT_EMPTY; i++) {
                        seat->threads = i + 1;
                        seat->thread[i].database = l->thread[i].database;
                        if (l->thread[i].keys == 0)
                                seat->thread[i].writer = NO_WRITER;
                        else if (l->thread[i].database == database)
                                seat->thread[i].writer = seats_give_keys(c, (*writer)++, l->thread[i].keys, database,
                                                                         seat->role == SEAT_CLI);
                }
        }
}

void seats_lay(struct chaos *c)
{
        uint32_t writer = 0;

        seats_lay_database(c, 0, &writer);
        c->oracle->database_0_keys = c->oracle->keys;
        seats_lay_database(c, 2, &writer);
}

/* ----------------------------------------------------------------------------------------------------- come and go */

static void seats_shim(const struct chaos *c)
{
        static const char *const modes[] = {"tracking", "pubsub", "stream"};
        char                     text[160];

        links_preload(c, LINK_PROGRAMS, c->library);
        setenv("MTSHIM_SEGMENT", c->segment, 1);
        setenv("MTSHIM_L1_SIZE", "4M", 1);
        setenv("MTSHIM_INVALIDATION", modes[c->mode], 1);
        setenv("MTSHIM_LOG_LEVEL", "info", 1);
        snprintf(text, sizeof text, "%ums", (unsigned)(c->oracle->bound_ns / ORACLE_MS));
        setenv("MTSHIM_MAX_STALENESS", text, 1);
        snprintf(text, sizeof text, "%s/shim.%%p", c->folder);
        setenv("MTSHIM_LOG", text, 1);
}

static void seats_exec(const struct chaos *c, unsigned seat, pid_t parent)
{
        static const char *const stampede[] = {"off", "coalesce", "lease"};
        char                     path[4096], fd[16], number[16];

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(127);
        for (char **e = environ; *e != NULL;) {
                char name[64];

                snprintf(name, sizeof name, "%.*s", (int)strcspn(*e, "="), *e);
                if (strncmp(name, "MTSHIM_", 7) != 0 && strcmp(name, "LD_PRELOAD") != 0)
                        e++;
                else if (unsetenv(name) != 0)
                        _exit(127);
        }
        if (c->oracle->seat[seat].role < SEAT_BARE) {
                seats_shim(c);
                setenv("MTSHIM_STAMPEDE", stampede[seat % 3], 1);
                setenv("MTSHIM_STAMPEDE_WAIT", "20ms", 1);
        }
        snprintf(path, sizeof path, "%s/coherence/worker", c->build);
        snprintf(fd, sizeof fd, "%d", c->oracle_fd);
        snprintf(number, sizeof number, "%u", seat);
        execl(path, "worker", fd, number, (char *)NULL);
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        _exit(127);
}

void seats_fill(struct chaos *c)
{
        pid_t parent = getpid();

        for (unsigned i = 0; i < SEATS_USED; i++) {
                struct chair *chair = &c->chair[i];

                if (chair->pid != 0 || c->oracle->seat[i].role == SEAT_EMPTY)
                        continue;
                fflush(NULL);
                *chair = (struct chair){.pid = fork()};
                if (chair->pid < 0) {
                        perror("fork"); /* what is done to the chair would be done to every process there is */
                        exit(1);
                }
                if (chair->pid == 0)
                        seats_exec(c, i, parent);
        }
}

void seats_reap(struct chaos *c)
{
        for (unsigned i = 0; i < SEATS_USED; i++) {
                struct chair *chair = &c->chair[i];
                int           status;

                if (chair->pid == 0 || waitpid(chair->pid, &status, WNOHANG) != chair->pid)
                        continue;
                if (!chair->ended && !(WIFEXITED(status) && WEXITSTATUS(status) == 0 && c->oracle->stop)) {
                        c->odd_ends++;
                        printf("ENDED: the process at seat %u, pid %d, %s %d, at %.3f s\n", i, (int)chair->pid,
                               WIFSIGNALED(status) ? "by signal" : "with status",
                               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                               (double)(oracle_now_ns() - c->begun_ns) / 1e9);
                }
                *chair = (struct chair){0};
        }
}

void seats_signal(struct chaos *c, unsigned seat, int signal)
{
        struct chair *chair = &c->chair[seat];

        if (chair->pid <= 0)
                return;
        if (signal == SIGKILL) {
                chair->ended = true;
                c->kills++;
        } else if (signal == SIGSTOP) {
                c->stops++;
        }
        chair->stopped = signal == SIGSTOP;
        kill(chair->pid, signal);
}

unsigned seats_of(const struct chaos *c, pid_t pid)
{
        for (unsigned i = 0; i < SEATS_USED; i++) {
                if (pid > 0 && c->chair[i].pid == pid)
                        return i;
        }
        return SEATS_USED;
}

static bool seats_empty(struct chaos *c)
{
        seats_reap(c);
        for (unsigned i = 0; i < SEATS_USED; i++) {
                if (c->chair[i].pid != 0)
                        return false;
        }
        return true;
}

bool seats_clear(struct chaos *c)
{
        uint64_t until_ns = oracle_now_ns() + SEATS_END_MS * ORACLE_MS;
        bool     all = false;

        atomic_store(&c->oracle->stop, true);
        while (!(all = seats_empty(c)) && oracle_now_ns() < until_ns)
                usleep(2000);
        for (unsigned i = 0; i < SEATS_USED; i++) {
                if (c->chair[i].pid != 0)
                        printf("HANGS: the process at seat %u, pid %d\n", i, (int)c->chair[i].pid);
                seats_signal(c, i, SIGKILL);
        }
        while (!seats_empty(c))
                usleep(2000);
        return all;
}
