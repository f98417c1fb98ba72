/* stepper.c - a writer whom no shim sees: SET fault:step N, N = 1, 2, ..., and the time of each acknowledgement into
 * the history. Goes on through everything that befalls the server; ends when the history says so or its parent is gone.
 *
 *   stepper HISTORY [MICROSECONDS]    between writes; MT_WRITER names its way to the server when it is another than
 *                                     MT_REDIS; MT_WRITER_AUTH a password */
#include "history.h"
#include "raw.h"

#include <signal.h>
#include <sys/prctl.h>

static bool open_way(struct raw *raw, const char *name)
{
        const char *auth[] = {"AUTH", getenv("MT_WRITER_AUTH")};
        const char *quiet[] = {"SET", "fault:quiet", "quiet"};
        char        text[64];

        if (!raw_open(raw, name))
                return false;
        if (auth[1] != NULL && (!raw_command(raw, 2, auth, NULL) || !raw_reply(raw, text, sizeof(text))))
                return false;
        return raw_command(raw, 3, quiet, NULL) && raw_reply(raw, text, sizeof(text)) && text[0] == '+';
}

int main(int argc, char **argv)
{
        struct history *h = history_map(argv[1]);
        struct timespec pause = {0, (argc > 2 ? atol(argv[2]) : 1000) * 1000};
        const char     *name = getenv("MT_WRITER") != NULL ? getenv("MT_WRITER") : server_name();
        struct raw      raw = {.fd = -1};

        signal(SIGPIPE, SIG_IGN);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        atomic_store(&h->next, 1);
        while (!atomic_load(&h->stop)) {
                uint64_t    seq = atomic_load(&h->next);
                char        value[32], text[64];
                const char *set[] = {"SET", "fault:step", value};

                if (raw.fd < 0 && !open_way(&raw, name)) {
                        raw_close(&raw);
                        sleep_ms(5);
                        continue;
                }
                if (seq + 1 >= HISTORY_MAX)
                        die("the history is full");
                snprintf(value, sizeof(value), "%llu", (unsigned long long)seq);
                atomic_store(&h->next, seq + 1);
                if (!raw_command(&raw, 3, set, NULL) || !raw_reply(&raw, text, sizeof(text))) {
                        raw_close(&raw);
                        continue;
                }
                if (strcmp(text, "+OK") == 0)
                        atomic_store(&h->acked_ns[seq], now_ns());
                else
                        sleep_ms(5);
                nanosleep(&pause, NULL);
        }
        return 0;
}
