/* doubts.c - programs of unusual habits, each of which must see what it would see without the shim.
 *
 *   doubts coroutine     inside of one context's read(), another context is used: SELECT 1, and then GET
 *   doubts byhand        400,000 SETs whose replies are taken by redisReaderGetReply(): memory stays small
 *   doubts null          redisFree(NULL) after contexts were freed
 *   doubts vfork         a vfork child changes its uid and goes; the parent goes on being served (root)
 *   doubts userns        unshare(CLONE_NEWUSER) after the program was served: allowed or not, as without the shim
 *   doubts first         many threads make the first call at once */
// build: -pthread
#include "common.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static _Thread_local void (*in_read)(void); /* what a scheduler of coroutines would do instead of waiting */

ssize_t read(int fd, void *to, size_t n);
ssize_t recv(int fd, void *to, size_t n, int flags);

static void run_others(void)
{
        void (*other)(void) = in_read;

        in_read = NULL;
        if (other != NULL)
                other();
}

ssize_t read(int fd, void *to, size_t n)
{
        run_others();
        return syscall(SYS_read, fd, to, n);
}

ssize_t recv(int fd, void *to, size_t n, int flags)
{
        run_others();
        return syscall(SYS_recvfrom, fd, to, n, flags, NULL, NULL);
}

static redisContext *other;

static void say(redisContext *c, const char *command)
{
        redisReply *r = redisCommand(c, command);

        printf("%s: %d %s\n", command, r != NULL ? r->type : 0, r != NULL && r->str != NULL ? r->str : "");
        drop_reply(r);
}

static void select_one(void)
{
        say(other, "SELECT 1");
}

static void must_be_served(redisContext *c)
{
        redisContext *probe = must_connect();

        if (!warm(c, probe, "k", 1, 5 * NS_PER_S))
                die("not served");
        redisFree(probe);
}

static void coroutine(redisContext *c)
{
        redisContext *b = must_connect();

        say(c, "SET k zero");
        must_be_served(b);
        must_be_served(c);
        other = b;
        in_read = select_one;
        say(c, "GET absent"); /* its read() switches to b */
        say(b, "GET k");
        say(b, "SET k one");
        say(b, "GET k");
        say(c, "GET k");
        redisFree(b);
}

static void byhand(redisContext *c)
{
        struct rusage usage;

        for (int i = 0; i < 400000; i += 100) {
                void *reply;
                int   done = 0, taken = 0;

                for (int j = 0; j < 100; j++)
                        if (redisAppendCommand(c, "SET k%d v", i + j) != REDIS_OK)
                                die("append");
                while (done == 0)
                        if (redisBufferWrite(c, &done) != REDIS_OK)
                                die("write");
                while (taken < 100) {
                        if (redisBufferRead(c) != REDIS_OK)
                                die("read");
                        while (redisReaderGetReply(c->reader, &reply) == REDIS_OK && reply != NULL) {
                                freeReplyObject(reply);
                                taken++;
                        }
                }
        }
        getrusage(RUSAGE_SELF, &usage);
        if (usage.ru_maxrss > 12 * 1024)
                die("%ld KiB", usage.ru_maxrss);
        say(c, "GET k399999");
}

static void freed(redisContext *c)
{
        redisFree(must_connect());
        redisFree(NULL);
        say(c, "PING");
}

static void vfork_children(redisContext *c)
{
        say(c, "SET k v");
        must_be_served(c);
        for (int i = 0; i < 5; i++) {
                pid_t child = vfork();

                if (child == 0) {
                        if (setuid(65534) != 0)
                                _exit(2);
                        _exit(0);
                }
                if (child < 0 || waitpid(child, NULL, 0) != child)
                        die("vfork");
        }
        must_be_served(c);
}

static void userns(redisContext *c)
{
        say(c, "SET k v");
        must_be_served(c);
        printf("unshare %d\n", unshare(CLONE_NEWUSER));
        say(c, "GET k");
}

static void *connect_and_go(void *barrier)
{
        redisContext *c;

        pthread_barrier_wait(barrier);
        c = must_connect();
        drop_reply(redisCommand(c, "PING"));
        redisFree(c);
        return NULL;
}

static void first(void)
{
        enum { THREADS = 8 };
        pthread_barrier_t barrier;
        pthread_t         id[THREADS];

        pthread_barrier_init(&barrier, NULL, THREADS);
        for (int i = 0; i < THREADS; i++)
                if (pthread_create(&id[i], NULL, connect_and_go, &barrier) != 0)
                        die("pthread_create");
        for (int i = 0; i < THREADS; i++)
                pthread_join(id[i], NULL);
        puts("all came back");
}

int main(int argc, char **argv)
{
        static const struct {
                const char *name;
                void (*f)(redisContext *);
        } habits[] = {{"coroutine", coroutine},
                      {"byhand", byhand},
                      {"null", freed},
                      {"vfork", vfork_children},
                      {"userns", userns}};
        const char *habit = argc == 2 ? argv[1] : "";

        if (strcmp(habit, "first") == 0) {
                first();
                return 0;
        }
        for (size_t i = 0; i < NELEMENTS(habits); i++)
                if (strcmp(habit, habits[i].name) == 0) {
                        redisContext *c = must_connect();

                        drop_reply(redisCommand(c, "FLUSHALL"));
                        habits[i].f(c);
                        redisFree(c);
                        return 0;
                }
        die("doubts coroutine|byhand|null|vfork|userns|first");
}
