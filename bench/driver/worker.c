/* worker.c - starts a program between two pipes, on the core that it is to have. */
#include "worker.h"

#include "driver.h"

#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS_MAX = 32, LINE_MAX_LEN = 512 };

int worker_cores(void)
{
        return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

static void worker_bind(int core)
{
        cpu_set_t set;

        CPU_ZERO(&set);
        for (int i = 0; i < worker_cores(); i++)
                if (core == CORE_ANY || i == core)
                        CPU_SET((size_t)i, &set);
        if (sched_setaffinity(0, sizeof set, &set) != 0)
                driver_fail("cannot bind to core %d", core);
}

/* Cuts the words of a line, in place. */
static void worker_words(char *line, char *word[WORDS_MAX])
{
        char  *rest = NULL;
        size_t n = 0;

        for (char *at = strtok_r(line, " ", &rest); at != NULL && n + 1 < WORDS_MAX; at = strtok_r(NULL, " ", &rest))
                word[n++] = at;
        word[n] = NULL;
}

static void worker_become(const char *environment, const char *command)
{
        char *text = strdup(environment), *line = strdup(command), *word[WORDS_MAX];

        if (text == NULL || line == NULL)
                _exit(127);
        worker_words(text, word);
        for (char **w = word; *w != NULL; w++)
                putenv(*w);
        worker_words(line, word);
        if (word[0] != NULL)
                execvp(word[0], word);
        _exit(127);
}

struct worker worker_start(const char *name, const char *environment, const char *command, int core)
{
        struct worker w = {.name = name};
        int           in[2], out[2];

        if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
                driver_fail("no pipe for %s", name);
        w.pid = fork();
        if (w.pid < 0)
                driver_fail("cannot start %s", name);
        if (w.pid == 0) {
                dup2(in[0], STDIN_FILENO);
                dup2(out[1], STDOUT_FILENO);
                if (core != CORE_OURS)
                        worker_bind(core);
                worker_become(environment, command);
        }
        close(in[0]);
        close(out[1]);
        w.to = fdopen(in[1], "w");
        w.from = fdopen(out[0], "r");
        return w;
}

static void worker_send(struct worker *w, const char *format, va_list ap)
{
        vfprintf(w->to, format, ap);
        fputc('\n', w->to);
        fflush(w->to);
}

void worker_tell(struct worker *w, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        worker_send(w, format, ap);
        va_end(ap);
}

void worker_hear_line(struct worker *w, char *line, size_t size)
{
        if (fgets(line, (int)size, w->from) == NULL)
                driver_fail("%s has ended", w->name);
        line[strcspn(line, "\n")] = '\0';
}

size_t worker_hear(struct worker *w, double number[WORKER_NUMBERS])
{
        char   line[LINE_MAX_LEN], *at = line, *end;
        size_t n = 0;

        worker_hear_line(w, line, sizeof line);
        for (; n < WORKER_NUMBERS; n++, at = end) {
                number[n] = strtod(at, &end);
                if (end == at)
                        break;
        }
        if (n == 0)
                driver_fail("%s said: %s", w->name, line);
        return n;
}

double worker_ask(struct worker *w, const char *format, ...)
{
        double  number[WORKER_NUMBERS];
        va_list ap;

        va_start(ap, format);
        worker_send(w, format, ap);
        va_end(ap);
        worker_hear(w, number);
        return number[0];
}

void worker_end(struct worker *w)
{
        if (w->pid == 0)
                return;
        fclose(w->to);
        fclose(w->from);
        waitpid(w->pid, NULL, 0);
        w->pid = 0;
}
