/* host.c - one host of the many: a plain hiredis program. Preloaded, in a segment of its own, it leads there, and its
 * listener is the one that a real host would have.
 *
 *   host             asks as often as it takes to become a candidate, says "asked", and lives on without asking;
 *                    ends at SIGTERM
 *
 * SIGUSR1 moves the shim's clock (in its test flavour) on by a little more than the minute after which a leader reckons
 * up what L1 costs. */
// build: -ldl
#include "../../tests/progs/common.h"

#include <dlfcn.h>
#include <signal.h>

enum { ASKS = 64, PAUSE_MS = 5, ADVANCE_S = 61 };

static void advance(void)
{
        void (*move)(int64_t ns);

        *(void **)&move = dlsym(RTLD_DEFAULT, "mtshim_test_clock_advance_ns");
        if (move == NULL)
                die("this is no shim whose clock can be moved");
        move(ADVANCE_S * (int64_t)NS_PER_S);
}

int main(void)
{
        sigset_t      told;
        redisContext *c;
        int           signal_number = 0;

        sigemptyset(&told);
        sigaddset(&told, SIGUSR1);
        sigaddset(&told, SIGTERM);
        sigprocmask(SIG_BLOCK, &told, NULL);
        c = must_connect();
        for (int i = 0; i < ASKS; i++) {
                drop_reply(redisCommand(c, "GET hosts:host"));
                sleep_ms(PAUSE_MS);
        }
        puts("asked");
        fflush(stdout);
        while (sigwait(&told, &signal_number) == 0 && signal_number == SIGUSR1)
                advance();
        redisFree(c);
        return 0;
}
