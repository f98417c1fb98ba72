/* cli.c - a writer that is redis-cli: one process that is given lines and prints replies. When it fails it may have
 * connected again by itself, without a name, and sent its line once more: the fence ends what has no name too. */
#include "worker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CLI_PATIENCE_MS = 1000, CLI_LINE = 8192 };

struct cli {
        pid_t  pid;
        int    to, from;
        char   line[256];
        size_t held; /* bytes of the line that have come */
};

static void cli_end(struct cli *cli)
{
        if (cli->pid <= 0)
                return;
        close(cli->to);
        close(cli->from);
        kill(cli->pid, SIGKILL);
        while (waitpid(cli->pid, NULL, 0) == cli->pid) /* SIGCHLD is ignored: returns when it has ended */
                ;
        *cli = (struct cli){0};
}

static void cli_exec(const struct thread *t, const char *socket, int in, int out)
{
        char database[16];

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        snprintf(database, sizeof database, "%u", t->note->database);
        dup2(in, 0);
        dup2(out, 1);
        dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2); /* it tells when the server is away */
        execlp("redis-cli", "redis-cli", "-s", socket, "-n", database, (char *)NULL);
        _exit(127);
}

static bool cli_start(struct cli *cli, const struct thread *t, const char *socket)
{
        int in[2], out[2];

        if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
                return false;
        cli->pid = fork();
        if (cli->pid == 0)
                cli_exec(t, socket, in[0], out[1]);
        close(in[0]);
        close(out[1]);
        cli->to = in[1];
        cli->from = out[0];
        cli->held = 0;
        return cli->pid > 0;
}

/* One line, or false when none came in time. Longer than there is room for: its beginning. */
static bool cli_reply(struct cli *cli, char *line, size_t size)
{
        uint64_t until_ns = oracle_now_ns() + CLI_PATIENCE_MS * ORACLE_MS, now_ns;
        char    *end;
        ssize_t  got;

        while ((end = memchr(cli->line, '\n', cli->held)) == NULL) {
                struct pollfd p = {.fd = cli->from, .events = POLLIN};

                now_ns = oracle_now_ns();
                if (now_ns >= until_ns || cli->held == sizeof cli->line ||
                    poll(&p, 1, (int)((until_ns - now_ns) / ORACLE_MS) + 1) <= 0)
                        return false;
                got = read(cli->from, cli->line + cli->held, sizeof cli->line - cli->held);
                if (got <= 0)
                        return false;
                cli->held += (size_t)got;
        }
        *end = '\0';
        snprintf(line, size, "%.*s", (int)size - 1, cli->line);
        cli->held -= (size_t)(end + 1 - cli->line);
        memmove(cli->line, end + 1, cli->held);
        return true;
}

static bool cli_say(struct cli *cli, const char *text, const char *wanted)
{
        char line[64];

        if (write(cli->to, text, strlen(text)) != (ssize_t)strlen(text) || !cli_reply(cli, line, sizeof line))
                return false;
        return wanted == NULL ? line[0] == '0' || line[0] == '1' : strcmp(line, wanted) == 0;
}

static bool cli_connect(struct cli *cli, struct thread *t, const char *socket)
{
        char     text[64];
        uint64_t serial;

        cli_end(cli);
        if (!worker_fence(t->writer))
                return false;
        serial = worker_name(t->writer);
        snprintf(text, sizeof text, "CLIENT SETNAME coh-%llu\n", (unsigned long long)serial);
        if (cli_start(cli, t, socket) && cli_say(cli, text, "OK")) {
                atomic_fetch_add(&t->note->connects, 1);
                return true;
        }
        worker_pause_us(5000);
        return false;
}

/* Whatever is not the expected answer is none: then it is in doubt. */
static bool cli_write(struct cli *cli, struct thread *t, uint32_t number)
{
        struct key *key = &oracle->key[number];
        char        name[24], line[CLI_LINE];
        bool        deletes = oracle_below(&t->seed, 6) == 0, acked;
        uint32_t    px_ms = 0;
        size_t      len = oracle_value(key, oracle_next(key), t->text);
        uint64_t    seq;

        if (!deletes && !oracle->no_px && oracle_below(&t->seed, 3) == 0)
                px_ms = 20 + (uint32_t)oracle_below(&t->seed, 1500);
        oracle_key_name(key, name);
        if (deletes)
                snprintf(line, sizeof line, "DEL %s\n", name);
        else if (px_ms != 0)
                snprintf(line, sizeof line, "SET %s \"%.*s\" PX %u\n", name, (int)len, t->text, px_ms);
        else
                snprintf(line, sizeof line, "SET %s \"%.*s\"\n", name, (int)len, t->text);
        seq = oracle_send(key, deletes ? ENTRY_DELETE : ENTRY_VALUE, px_ms);
        acked = cli_say(cli, line, deletes ? NULL : "OK");
        if (acked)
                oracle_acked(key, seq);
        atomic_fetch_add(acked ? &t->note->writes : &t->note->lost, 1);
        return acked;
}

/* Its address is the server's own socket. */
void cli_life(struct thread *t)
{
        struct cli cli = {0};
        bool       up = false;

        while (!worker_stops()) {
                uint32_t number;

                if (!up && !(up = cli_connect(&cli, t, seat->address)))
                        continue;
                number = write_pick(t);
                if (number != NO_WRITER)
                        up = cli_write(&cli, t, number);
                worker_pause_us(1000 + (unsigned)oracle_below(&t->seed, 3000));
        }
        cli_end(&cli);
}
