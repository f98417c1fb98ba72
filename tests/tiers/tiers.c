/* tiers.c - is what a program deleted ever brought back by a tier? Workers (worker.c), preloaded, write, delete and
 * read the same keys, with a disk tier that gives back into Redis whatever may be; somebody without mtshim takes keys
 * out of Redis behind their backs, as eviction does; meanwhile workers are killed and stopped, and Redis is. Every read
 * is held against what was acknowledged.
 * usage: tiers --build BUILD [--library FILE] [--seconds N] [--seed N] [--until-found]
 * Needs the flavour whose clock tests can move: permits have to stand for a second there. Ends with "N passed, N
 * failed". */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
        const char *build, *library;
        unsigned    seconds, seed;
        bool        until_found;
} options = {.build = "build", .seconds = 15, .seed = 1};

static char           folder[] = "/dev/shm/mtshim-tiers.XXXXXX", path[256], segment[64];
static struct oracle *oracle;
static pid_t          server_pid, worker_pid[ORACLE_WORKERS];
static pid_t          parent;
static uint64_t       seed;
static unsigned       kills, restarts, worker_count;

static uint32_t draw(uint32_t n)
{
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        return (uint32_t)(seed >> 16) % n;
}

static void die(const char *what)
{
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
        exit(2);
}

/* Valid until the next call but one. */
static const char *in_folder(const char *name)
{
        static char text[2][256];
        static int  turn;

        turn = !turn;
        snprintf(text[turn], sizeof text[turn], "%s/%s", folder, name);
        return text[turn];
}

static pid_t start(const char *const argv[])
{
        pid_t pid = fork();

        if (pid < 0)
                die("fork");
        if (pid == 0) {
                execvp(argv[0], (char *const *)(uintptr_t)argv);
                _exit(127);
        }
        return pid;
}

static void start_server(void)
{
        const char *const argv[] = {"redis-server", "--port", "0",         "--unixsocket",         path, "--save", "",
                                    "--dir",        folder,   "--logfile", in_folder("redis.log"), NULL};

        server_pid = start(argv);
}

static void start_worker(unsigned i)
{
        char              number[16], which[16], library[320];
        const char *const argv[] = {in_folder("worker"), path, in_folder("oracle"), number, which, NULL};
        pid_t             pid;

        snprintf(number, sizeof number, "%u", options.seed * 1000 + ++worker_count);
        snprintf(which, sizeof which, "%u", i);
        snprintf(library, sizeof library, "%s", options.library);
        pid = fork();
        if (pid < 0)
                die("fork");
        if (pid == 0) {
                setenv("LD_PRELOAD", library, 1);
                execv(argv[0], (char *const *)(uintptr_t)argv);
                _exit(127);
        }
        worker_pid[i] = pid;
        atomic_store(&oracle->worker[i].pid, pid);
}

static void prepare(void)
{
        char tiers[400], worker[320];
        int  fd;

        if (mkdtemp(folder) == NULL)
                die(folder);
        snprintf(path, sizeof path, "%s/redis.sock", folder);
        snprintf(segment, sizeof segment, "tiers-%d", (int)getpid());
        snprintf(worker, sizeof worker, "%s/tiers/worker", options.build);
        if (symlink(realpath(worker, NULL), in_folder("worker")) != 0 || mkdir(in_folder("disk"), 0700) != 0)
                die(worker);
        fd = open(in_folder("oracle"), O_RDWR | O_CREAT | O_EXCL, 0600);
        if (fd < 0 || ftruncate(fd, sizeof *oracle) != 0)
                die("oracle");
        oracle = mmap(NULL, sizeof *oracle, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        if (oracle == MAP_FAILED)
                die("oracle");
        snprintf(tiers, sizeof tiers, "l3=lmdb:%s/disk?sync=0&promote=1", folder);
        setenv("MTSHIM_TIERS", tiers, 1);
        setenv("MTSHIM_RULES", "doc:*=ttl:1ms,tiers", 1);
        setenv("MTSHIM_SEGMENT", segment, 1);
        setenv("MT_DAWDLE_US", "5000", 1);
        setenv("MT_DAWDLE_MS", "1500", 1);
        setenv("MTSHIM_LOG", in_folder("log"), 1);
}

static void end_process(pid_t pid)
{
        if (pid <= 0)
                return;
        kill(pid, SIGCONT);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

/* ------------------------------------------------------------------------------------------------- what goes wrong
 * Each in a process of its own. Killing and starting is the parent's, whose children they are: a pid that is stopped by
 * another is at worst a zombie's. */

static void hurt_pause(uint64_t us)
{
        usleep((useconds_t)us);
}

/* Stops come by the dozen, so that the moment of a key goes by. */
static void hurt_briefly(void)
{
        unsigned i = draw(ORACLE_WORKERS);
        pid_t    pid = atomic_load(&oracle->worker[i].pid);

        if (atomic_load(&oracle->worker[i].held) != 0)
                return;
        kill(pid, SIGSTOP);
        hurt_pause(1000 + draw(6000));
        if (atomic_load(&oracle->worker[i].held) == 0)
                kill(pid, SIGCONT);
        hurt_pause(draw(2000));
}

/* One that is just deleting, for longer than a deletion may take. */
static void hurt_deleter(void)
{
        unsigned i = draw(ORACLE_WORKERS);
        pid_t    pid = atomic_load(&oracle->worker[i].pid);
        uint64_t until_ns = oracle_now_ns() + 300000000;

        while (atomic_load(&oracle->worker[i].deletes) == 0)
                if (oracle_now_ns() > until_ns)
                        return;
        for (unsigned spin = draw(30000); spin > 0; spin--)
                atomic_thread_fence(memory_order_seq_cst);
        atomic_store(&oracle->worker[i].held, 1);
        kill(pid, SIGSTOP);
        hurt_pause(1500000 + draw(300000));
        kill(pid, SIGCONT);
        atomic_store(&oracle->worker[i].held, 0);
}

/* Redis loses keys: the one that is being put back, and not the one that has been and must not have been. */
static void evict(void)
{
        static redisContext *context;
        redisContext       **c = &context;
        redisReply          *reply;
        uint32_t             key = draw(ORACLE_KEYS);

        hurt_pause(200);

        if (*c == NULL || (*c)->err != 0) {
                if (*c != NULL)
                        redisFree(*c);
                *c = redisConnectUnix(path);
                return;
        }
        if (oracle_only_reads(oracle, oracle_now_ns()))
                key = oracle_key_of(oracle, oracle_now_ns());
        else if (draw(8) != 0)
                return;
        reply = redisCommand(*c, "DEL doc:%u", key);
        if (reply != NULL)
                freeReplyObject(reply);
}

enum { HURT_PROCESSES = 5 };
static pid_t hurt_pid[HURT_PROCESSES];

static void start_hurting(void)
{
        static void (*const what[HURT_PROCESSES])(void) = {evict, evict, hurt_briefly, hurt_briefly, hurt_deleter};

        for (unsigned i = 0; i < HURT_PROCESSES; i++) {
                hurt_pid[i] = fork();
                if (hurt_pid[i] < 0)
                        die("fork");
                seed += i * UINT64_C(0x9e3779b97f4a7c16);
                while (hurt_pid[i] == 0)
                        what[i]();
        }
}

static void kill_and_restart(uint64_t now_ns)
{
        static uint64_t kill_ns, restart_ns;
        unsigned        i = draw(ORACLE_WORKERS);

        if (now_ns > kill_ns) {
                kill_ns = now_ns + (1000 + draw(1500)) * UINT64_C(1000000);
                end_process(worker_pid[i]);
                start_worker(i);
                kills++;
        }
        if (restart_ns == 0)
                restart_ns = now_ns + UINT64_C(7000000000);
        if (now_ns > restart_ns) {
                restart_ns = now_ns + (5000 + draw(5000)) * UINT64_C(1000000);
                end_process(server_pid);
                start_server();
                restarts++;
        }
}

static uint64_t counted(const char *name)
{
        char     command[400], text[16384];
        FILE    *f;
        size_t   n;
        uint64_t value = 0;
        char    *at;

        snprintf(command, sizeof command, "%s/mtshim stat -j", options.build);
        f = popen(command, "r");
        if (f == NULL)
                return 0;
        n = fread(text, 1, sizeof text - 1, f);
        text[n] = '\0';
        pclose(f);
        at = strstr(text, name);
        if (at != NULL && (at = strchr(at, ':')) != NULL)
                value = strtoull(at + 1, NULL, 10);
        return value;
}

static void clean(void)
{
        char command[400];

        if (getpid() != parent)
                return;
        for (unsigned i = 0; i < HURT_PROCESSES; i++)
                end_process(hurt_pid[i]);
        for (unsigned i = 0; i < ORACLE_WORKERS; i++)
                end_process(worker_pid[i]);
        end_process(server_pid);
        snprintf(command, sizeof command, "rm -rf %s /dev/shm/mtshim.*.%s.*", folder, segment);
        if (system(command) != 0)
                fprintf(stderr, "%s is left behind\n", folder);
}

static void run(void)
{
        uint64_t end_ns, now_ns;

        oracle->began_ns = oracle_now_ns();
        start_hurting();
        end_ns = oracle->began_ns + options.seconds * UINT64_C(1000000000);
        while ((now_ns = oracle_now_ns()) < end_ns && !(options.until_found && atomic_load(&oracle->violations) != 0)) {
                kill_and_restart(now_ns);
                usleep(10000);
        }
        atomic_store(&oracle->over, 1);
}

static unsigned check(const char *what, bool holds)
{
        printf("%s  %s\n", holds ? "ok  " : "FAIL", what);
        return !holds;
}

static void read_options(int argc, char **argv)
{
        static const struct option known[] = {{"build", 1, NULL, 'b'},       {"library", 1, NULL, 'l'},
                                              {"seconds", 1, NULL, 's'},     {"seed", 1, NULL, 'r'},
                                              {"until-found", 0, NULL, 'u'}, {0}};
        static char                library[320];
        int                        o;

        while ((o = getopt_long(argc, argv, "", known, NULL)) != -1)
                switch (o) {
                case 'b': options.build = optarg; break;
                case 'l': options.library = optarg; break;
                case 's': options.seconds = (unsigned)atoi(optarg); break;
                case 'r': options.seed = (unsigned)atoi(optarg); break;
                case 'u': options.until_found = true; break;
                default: exit(2);
                }
        if (options.library == NULL) {
                snprintf(library, sizeof library, "%s/testclock/libmtshim.so", options.build);
                options.library = library;
        }
        options.library = realpath(options.library, NULL);
        if (options.library == NULL)
                die("libmtshim.so");
        seed = options.seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

int main(int argc, char **argv)
{
        unsigned failed = 0;
        uint64_t back;

        signal(SIGPIPE, SIG_IGN);
        parent = getpid();
        read_options(argc, argv);
        prepare();
        atexit(clean);
        start_server();
        for (unsigned i = 0; i < ORACLE_WORKERS; i++)
                start_worker(i);
        run();
        back = counted("\"put_back\"");
        printf("seed %u: %" PRIu64 " reads, %" PRIu64 " of them nil, %" PRIu64 " writes, %" PRIu64
               " deletions acknowledged, %" PRIu64 " put back, %" PRIu64
               " commands failed; %u workers killed, %u restarts\n",
               options.seed, atomic_load(&oracle->reads), atomic_load(&oracle->nils), atomic_load(&oracle->writes),
               atomic_load(&oracle->deletes), back, atomic_load(&oracle->failures), kills, restarts);
        failed += check("nothing that was ended comes back", atomic_load(&oracle->violations) == 0);
        if (!options.until_found)
                failed +=
                        check("values were put back, and keys deleted", back > 0 && atomic_load(&oracle->deletes) > 0);
        printf("%u passed, %u failed\n", (options.until_found ? 1 : 2) - failed, failed);
        return failed != 0;
}
