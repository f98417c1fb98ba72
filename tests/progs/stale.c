/* stale.c - a value past its end: one thread asks the server, which takes its time, and meanwhile another reads.
 *
 *   stale AGE     the value is read AGE seconds after it was put in. Prints what the other thread read while the first
 *                 was waiting (and "late" if it waited too), what the first read, and what comes after */
// build: -pthread -ldl
#include "raw.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>

enum { PAUSE_MS = 1000, LATE_MS = 500 };

static redisContext *first, *other, *probe;
static _Atomic int   asks;

static void print_get(const char *who, redisContext *c)
{
        uint64_t    began_ns = now_ns();
        redisReply *r = redisCommand(c, "GET k");

        printf("%s: %s%s\n", who, r != NULL && r->str != NULL ? r->str : "nothing",
               now_ns() - began_ns > LATE_MS * NS_PER_MS ? ", late" : "");
        drop_reply(r);
}

static void *ask(void *arg)
{
        (void)arg;
        atomic_store(&asks, 1);
        drop_reply(redisCommand(first, "GET k"));
        return NULL;
}

static void advance(double seconds)
{
        void (*f)(int64_t ns);

        *(void **)&f = dlsym(RTLD_DEFAULT, "mtshim_test_clock_advance_ns");
        if (f == NULL)
                die("this is not the test flavour");
        f((int64_t)(seconds * 1e9));
}

/* Nobody here knows of it: nothing is cleared. */
static void foreign_set(void)
{
        const char *argv[] = {"SET", "k", "new"};
        struct raw  raw;
        char        text[32];

        if (!raw_open(&raw, server_name()) || !raw_command(&raw, 3, argv, NULL) ||
            !raw_reply(&raw, text, sizeof(text)) || text[0] != '+')
                die("SET");
        raw_close(&raw);
}

int main(int argc, char **argv)
{
        pthread_t thread;
        char      pause[32];

        if (argc != 2)
                die("usage: stale AGE");
        first = must_connect();
        other = must_connect();
        probe = must_connect();
        drop_reply(redisCommand(probe, "SET k old"));
        if (!warm(other, probe, "k", 1, 5 * NS_PER_S) || !warm(first, probe, "k", 1, 5 * NS_PER_S))
                die("L1 does not answer");
        advance(atof(argv[1]));
        drop_reply(redisCommand(first, "PING")); /* both have heard from the server lately, whatever the clock says */
        drop_reply(redisCommand(other, "PING"));
        snprintf(pause, sizeof(pause), "CLIENT PAUSE %d", PAUSE_MS);
        foreign_set();
        drop_reply(redisCommand(probe, pause));
        pthread_create(&thread, NULL, ask, NULL);
        while (atomic_load(&asks) == 0)
                ;
        sleep_ms(100); /* it is waiting by now, or soon: if not yet, the other is the one who asks, and is late */
        print_get("meanwhile", other);
        pthread_join(thread, NULL);
        print_get("after", other);
        return 0;
}
