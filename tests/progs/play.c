/* play.c - a hiredis program that does what its script says; prints every reply, bare and shimmed alike.
 *
 *   play < SCRIPT
 *
 * A line is an operation and its words; '' is an empty word, \s a space, \0 a NUL, \xNN a byte, '#' starts a comment
 * line.
 *
 *   connect C [unix|timeout|fdof D]        C is any name; fdof: take over D's descriptor (redisFreeKeepFd,
 *                                          redisConnectFd)
 *   cmd C WORD...                          redisCommandArgv; fmt C TEXT...: the rest of the line as a format
 *   append C WORD... | appendraw C RESP    redisAppendCommandArgv, redisAppendFormattedCommand
 *   reply C | readerreply C | write C | read C
 *   hit C KEY | travels C KEY              GET, which must not, must reach the server (required only when shimmed)
 *   served C KEY                           the same as hit, at once: where nothing may be on its way to L1 that clears KEY
 *   warm C KEY                             GET until it does not
 *   await C KEY VALUE                      GET until it says VALUE, at most the bound (MT_BOUND_MS) and a little
 *   untilsaid C KEY FILE                   GET until there is anything in the file (when shimmed)
 *   unlike C VALUE WORD...                 a command whose reply must not be VALUE; the reply is not printed
 *   async WORD... [| WORD...]...           commands on an asynchronous context of their own
 *   tell FILE | told FILE                  make the file; wait until it is there: for plays that run side by side
 *   nopush C                               take off hiredis' callback for out-of-band messages, where it has one
 *   free C | reconnect C | timeout C MS | err C | seterr C N | nonblock C | block C | feed C BYTES | fn C own|default
 *   foreign WORD...                        by a plain socket (to MT_FOREIGN, if set): nobody here knows of it
 *   exists FILE                            wait until there is such a file
 *   run TEXT...                            the rest of the line, by a shell that is not shimmed; it must succeed
 *   advance SECONDS                        the clock of the shim (in its test flavour)
 *   sleep MS | repeat N ... end            repeat a block of lines */
// build: -ldl
#include "async.h"
#include "raw.h"

#include <ctype.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

enum { WORDS = 64, SLOTS = 8192 };

struct word {
        char  *p;
        size_t len;
};

struct slot {
        char                       name[16];
        redisContext              *c;
        redisReplyObjectFunctions *fn; /* hiredis' own, while ours are in place */
};

static struct slot   slots[64];
static redisContext *probe; /* asks for the server's own count of GETs */
static unsigned      line_number;

/* -------------------------------------------------------------------------------------------------- the script */

static size_t unescape(char *p)
{
        char *to = p, *start = p;

        if (strcmp(p, "''") == 0) {
                *p = '\0';
                return 0;
        }
        for (; *p != '\0'; p++) {
                if (*p != '\\') {
                        *to++ = *p;
                } else if (*++p == 's') {
                        *to++ = ' ';
                } else if (*p == '0') {
                        *to++ = '\0';
                } else if (*p == 'r') {
                        *to++ = '\r';
                } else if (*p == 'n') {
                        *to++ = '\n';
                } else if (*p == 'x') {
                        unsigned byte = 0;

                        sscanf(p + 1, "%2x", &byte);
                        *to++ = (char)byte;
                        p += 2;
                } else {
                        *to++ = *p;
                }
        }
        *to = '\0';
        return (size_t)(to - start);
}

static int split(char *line, struct word *w)
{
        int n = 0;

        for (char *p = strtok(line, " \n"); p != NULL && n < WORDS; p = strtok(NULL, " \n"), n++) {
                w[n].p = p;
                w[n].len = unescape(p);
        }
        return n;
}

static struct slot *slot_of(const char *name)
{
        struct slot *empty = NULL;

        for (size_t i = 0; i < NELEMENTS(slots); i++) {
                if (strcmp(slots[i].name, name) == 0)
                        return &slots[i];
                if (slots[i].name[0] == '\0' && empty == NULL)
                        empty = &slots[i];
        }
        if (empty == NULL)
                die("line %u: too many connections", line_number);
        snprintf(empty->name, sizeof(empty->name), "%s", name);
        return empty;
}

static redisContext *live(const char *name)
{
        struct slot *s = slot_of(name);

        if (s->c == NULL)
                die("line %u: %s is not connected", line_number, name);
        return s->c;
}

static void say(const char *what, redisContext *c, redisReply *r)
{
        printf("%u %s ", line_number, what);
        print_reply(stdout, r);
        if (c->err != 0)
                printf(" err=%d %s", c->err, c->errstr);
        putchar('\n');
        drop_reply(r);
}

static void argv_of(const struct word *w, int n, const char **argv, size_t *len)
{
        for (int i = 0; i < n; i++) {
                argv[i] = w[i].p;
                len[i] = w[i].len;
        }
}

/* ------------------------------------------------------------------------------------------------- operations */

static void *upper_string(const redisReadTask *task, char *str, size_t len)
{
        char *own = malloc(len + 1);
        void *r;

        for (size_t i = 0; i < len; i++)
                own[i] = (char)toupper((unsigned char)str[i]);
        own[len] = '\0';
        r = slot_of("fn")->fn->createString(task, own, len);
        free(own);
        return r;
}

static void op_fn(struct word *w, int n)
{
        static redisReplyObjectFunctions own;
        redisContext                    *c = live(w[1].p);
        struct slot                     *keep = slot_of("fn");

        if (n > 2 && strcmp(w[2].p, "own") == 0) {
                keep->fn = c->reader->fn;
                own = *c->reader->fn;
                own.createString = upper_string;
                c->reader->fn = &own;
        } else {
                c->reader->fn = keep->fn;
        }
}

static void op_connect(struct word *w, int n)
{
        struct slot   *s = slot_of(w[1].p);
        struct timeval second = {1, 0};
        const char    *how = n > 2 ? w[2].p : "";
        char           host[64];
        int            port = server_port(host);

        if (strcmp(how, "timeout") == 0) {
                s->c = port != 0 ? redisConnectWithTimeout(host, port, second)
                                 : redisConnectUnixWithTimeout(server_name(), second);
        } else if (strcmp(how, "fdof") == 0) {
                struct slot *from = slot_of(w[3].p);

                s->c = redisConnectFd(redisFreeKeepFd(from->c));
                from->c = NULL;
        } else {
                s->c = try_connect();
        }
        if (s->c == NULL || s->c->err != 0)
                printf("%u connect err=%d %s\n", line_number, s->c != NULL ? s->c->err : -1,
                       s->c != NULL ? s->c->errstr : "");
}

static void op_free(struct word *w, int n)
{
        struct slot *s = slot_of(w[1].p);

        (void)n;
        redisFree(s->c);
        s->c = NULL;
}

static void op_cmd(struct word *w, int n)
{
        const char *argv[WORDS];
        size_t      len[WORDS];

        argv_of(w + 2, n - 2, argv, len);
        say("cmd", live(w[1].p), redisCommandArgv(live(w[1].p), n - 2, argv, len));
}

static void op_append(struct word *w, int n)
{
        const char *argv[WORDS];
        size_t      len[WORDS];

        argv_of(w + 2, n - 2, argv, len);
        if (redisAppendCommandArgv(live(w[1].p), n - 2, argv, len) != REDIS_OK)
                printf("%u append refused\n", line_number);
}

static void op_appendraw(struct word *w, int n)
{
        (void)n;
        if (redisAppendFormattedCommand(live(w[1].p), w[2].p, w[2].len) != REDIS_OK)
                printf("%u append refused\n", line_number);
}

static void op_reply(struct word *w, int n)
{
        redisContext *c = live(w[1].p);
        void         *r = NULL;
        int           rc = redisGetReply(c, &r);

        (void)n;
        printf("rc=%d ", rc);
        say("reply", c, r);
}

static void op_readerreply(struct word *w, int n)
{
        redisContext *c = live(w[1].p);
        void         *r = NULL;
        int           rc = redisGetReplyFromReader(c, &r);

        (void)n;
        printf("rc=%d ", rc);
        say("readerreply", c, r);
}

static void op_write(struct word *w, int n)
{
        int done = 0, rc = REDIS_OK;

        (void)n;
        while (!done && rc == REDIS_OK)
                rc = redisBufferWrite(live(w[1].p), &done);
        printf("%u write rc=%d\n", line_number, rc);
}

static void op_read(struct word *w, int n)
{
        (void)n;
        printf("%u read rc=%d\n", line_number, redisBufferRead(live(w[1].p)));
}

static void op_travels(struct word *w, int n)
{
        redisContext *c = live(w[1].p);
        long long     before = server_gets(probe), after;
        redisReply   *r = redisCommand(c, "GET %b", w[2].p, w[2].len);

        (void)n;
        after = server_gets(probe);
        if (shimmed() && before == after)
                die("line %u: GET %s was not answered by the server", line_number, w[2].p);
        say("get", c, r);
}

static void op_served(struct word *w, int n)
{
        redisContext *c = live(w[1].p);
        long long     before = server_gets(probe);
        redisReply   *r = redisCommand(c, "GET %b", w[2].p, w[2].len);

        (void)n;
        if (shimmed() && before != server_gets(probe))
                die("line %u: GET %s was answered by the server", line_number, w[2].p);
        say("get", c, r);
}

/* The server may announce a write of a moment ago only now, which costs a miss: a few of them are no failure. */
static void op_hit(struct word *w, int n)
{
        redisContext *c = live(w[1].p);
        redisReply   *r = NULL;
        long long     before, after;
        int           tries = 0;

        (void)n;
        do {
                drop_reply(r);
                before = server_gets(probe);
                r = redisCommand(c, "GET %b", w[2].p, w[2].len);
                after = server_gets(probe);
        } while (shimmed() && before != after && c->err == 0 && ++tries < 5);
        if (shimmed() && before != after)
                die("line %u: GET %s was answered by the server", line_number, w[2].p);
        say("get", c, r);
}

static void op_warm(struct word *w, int n)
{
        (void)n;
        if (!warm(live(w[1].p), probe, w[2].p, w[2].len, 5 * NS_PER_S))
                die("line %u: L1 never answered GET %s (%s)", line_number, w[2].p, live(w[1].p)->errstr);
}

static void op_await(struct word *w, int n)
{
        const char *bound = getenv("MT_BOUND_MS");
        uint64_t    deadline_ns = now_ns() + (bound != NULL ? strtoull(bound, NULL, 10) : 1000) * NS_PER_MS;
        bool        in_time, equal;

        (void)n;
        do {
                redisReply *r;

                in_time = now_ns() <= deadline_ns;
                r = redisCommand(live(w[1].p), "GET %b", w[2].p, w[2].len);
                equal = r != NULL && (r->str != NULL ? r->len == w[3].len && memcmp(r->str, w[3].p, r->len) == 0
                                                     : strcmp(w[3].p, "(nil)") == 0);
                drop_reply(r);
        } while (!equal && in_time);
        if (!equal)
                die("line %u: GET %s does not say %s within the bound", line_number, w[2].p, w[3].p);
}

static void op_untilsaid(struct word *w, int n)
{
        uint64_t    deadline_ns = now_ns() + 10 * NS_PER_S;
        struct stat file;

        (void)n;
        while (shimmed() && (stat(w[3].p, &file) != 0 || file.st_size == 0)) {
                drop_reply(redisCommand(live(w[1].p), "GET %b", w[2].p, w[2].len));
                sleep_ms(2);
                if (now_ns() > deadline_ns)
                        die("line %u: nothing in %s", line_number, w[3].p);
        }
}

static void op_unlike(struct word *w, int n)
{
        const char *argv[WORDS];
        size_t      len[WORDS];
        redisReply *r;

        argv_of(w + 3, n - 3, argv, len);
        r = redisCommandArgv(live(w[1].p), n - 3, argv, len);
        if (r != NULL && r->str != NULL && strcmp(r->str, w[2].p) == 0)
                die("line %u: the answer is %s", line_number, r->str);
        drop_reply(r);
}

static bool async_done;

static void on_async(redisAsyncContext *ac, void *reply, void *last)
{
        printf("%u async ", line_number);
        print_reply(stdout, reply);
        printf("%s%s\n", ac->err != 0 ? " " : "", ac->errstr);
        async_done = last != NULL;
}

static void op_async(struct word *w, int n)
{
        redisAsyncContext *ac = async_connect();
        const char        *argv[WORDS];
        size_t             len[WORDS];

        async_done = false;
        argv_of(w, n, argv, len);
        for (int from = 1, to = 1; to <= n; to++) {
                if (to < n && strcmp(argv[to], "|") != 0)
                        continue;
                if (redisAsyncCommandArgv(ac, on_async, to < n ? NULL : ac, to - from, argv + from, len + from) !=
                    REDIS_OK)
                        die("line %u: redisAsyncCommandArgv", line_number);
                from = to + 1;
        }
        async_until(ac, &async_done);
        redisAsyncFree(ac);
}

static void op_tell(struct word *w, int n)
{
        FILE *file = fopen(w[1].p, "w");

        (void)n;
        if (file == NULL)
                die("line %u: %s", line_number, w[1].p);
        fclose(file);
}

static void op_told(struct word *w, int n)
{
        uint64_t deadline_ns = now_ns() + 10 * NS_PER_S;

        (void)n;
        while (access(w[1].p, F_OK) != 0) {
                sleep_ms(1);
                if (now_ns() > deadline_ns)
                        die("line %u: nobody tells %s", line_number, w[1].p);
        }
}

static void op_reconnect(struct word *w, int n)
{
        int rc = redisReconnect(live(w[1].p));

        (void)n;
        printf("%u reconnect rc=%d err=%d\n", line_number, rc, live(w[1].p)->err);
}

static void op_timeout(struct word *w, int n)
{
        long           ms = n > 2 ? atol(w[2].p) : 100;
        struct timeval tv = {ms / 1000, (ms % 1000) * 1000};

        redisSetTimeout(live(w[1].p), tv);
}

static void op_err(struct word *w, int n)
{
        redisContext *c = live(w[1].p);

        (void)n;
        printf("%u err=%d %s\n", line_number, c->err, c->err != 0 ? c->errstr : "");
}

static void op_seterr(struct word *w, int n)
{
        redisContext *c = live(w[1].p);

        c->err = n > 2 ? atoi(w[2].p) : 0;
        snprintf(c->errstr, sizeof(c->errstr), "%s", c->err != 0 ? "set by the program" : "");
}

static void op_nonblock(struct word *w, int n)
{
        redisContext *c = live(w[1].p);
        bool          block = strcmp(w[0].p, "block") == 0;
        int           flags = fcntl(c->fd, F_GETFL);

        (void)n;
        fcntl(c->fd, F_SETFL, block ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
        c->flags = block ? c->flags | REDIS_BLOCK : c->flags & ~REDIS_BLOCK;
}

static void op_feed(struct word *w, int n)
{
        (void)n;
        redisReaderFeed(live(w[1].p)->reader, w[2].p, w[2].len);
}

static void op_foreign(struct word *w, int n)
{
        struct raw  raw;
        const char *argv[WORDS];
        size_t      len[WORDS];
        char        text[256];
        const char *name = getenv("MT_FOREIGN") != NULL ? getenv("MT_FOREIGN") : server_name();

        argv_of(w + 1, n - 1, argv, len);
        if (!raw_open(&raw, name) || !raw_command(&raw, n - 1, argv, len) || !raw_reply(&raw, text, sizeof(text)))
                die("line %u: the server is not there", line_number);
        if (text[0] == '-')
                die("line %u: %s", line_number, text);
        raw_close(&raw);
}

static void play_run(const char *command)
{
        unsetenv("LD_PRELOAD"); /* ours is loaded; the shell's programs need none */
        fflush(stdout);
        if (system(command) != 0)
                die("line %u: failed: %s", line_number, command);
}

static void op_advance(struct word *w, int n)
{
        void (*advance)(int64_t ns);

        (void)n;
        *(void **)&advance = dlsym(RTLD_DEFAULT, "mtshim_test_clock_advance_ns");
        if (advance != NULL)
                advance((int64_t)(atof(w[1].p) * 1e9));
        else if (shimmed())
                die("line %u: this is not the test flavour", line_number);
}

static void op_nopush(struct word *w, int n)
{
        void *(*set)(redisContext * c, void *f);

        (void)n;
        *(void **)&set = dlsym(RTLD_DEFAULT, "redisSetPushCallback");
        if (set != NULL)
                set(live(w[1].p), NULL);
}

static void op_exists(struct word *w, int n)
{
        uint64_t deadline_ns = now_ns() + 20 * NS_PER_S;

        (void)n;
        fflush(stdout); /* whoever makes it may want to see how far we are */
        while (access(w[1].p, F_OK) != 0) {
                if (now_ns() > deadline_ns)
                        die("line %u: no %s", line_number, w[1].p);
                sleep_ms(2);
        }
}

static void op_sleep(struct word *w, int n)
{
        (void)n;
        sleep_ms((unsigned)atoi(w[1].p));
}

static const struct {
        const char *name;
        void (*f)(struct word *w, int n);
        int words;
} ops[] = {
        {"connect", op_connect, 2},
        {"free", op_free, 2},
        {"cmd", op_cmd, 3},
        {"append", op_append, 3},
        {"appendraw", op_appendraw, 3},
        {"reply", op_reply, 2},
        {"readerreply", op_readerreply, 2},
        {"write", op_write, 2},
        {"read", op_read, 2},
        {"hit", op_hit, 3},
        {"travels", op_travels, 3},
        {"served", op_served, 3},
        {"warm", op_warm, 3},
        {"await", op_await, 4},
        {"untilsaid", op_untilsaid, 4},
        {"unlike", op_unlike, 4},
        {"async", op_async, 2},
        {"tell", op_tell, 2},
        {"told", op_told, 2},
        {"reconnect", op_reconnect, 2},
        {"timeout", op_timeout, 3},
        {"err", op_err, 2},
        {"seterr", op_seterr, 3},
        {"nonblock", op_nonblock, 2},
        {"block", op_nonblock, 2},
        {"feed", op_feed, 3},
        {"fn", op_fn, 3},
        {"nopush", op_nopush, 2},
        {"foreign", op_foreign, 2},
        {"advance", op_advance, 2},
        {"sleep", op_sleep, 2},
        {"exists", op_exists, 2},
};

static void play(char *line)
{
        struct word w[WORDS];
        int         n;

        if (strncmp(line, "fmt ", 4) == 0) { /* fmt C TEXT: the text is the format, untouched */
                char         *text = strchr(line + 4, ' ');
                redisContext *c;

                line[strcspn(line, "\n")] = '\0';
                *text++ = '\0';
                c = live(line + 4);
                say("fmt", c, redisCommand(c, text));
                return;
        }
        if (strncmp(line, "run ", 4) == 0) {
                play_run(line + 4);
                return;
        }
        if ((n = split(line, w)) == 0)
                return;
        for (size_t i = 0; i < NELEMENTS(ops); i++) {
                if (strcmp(ops[i].name, w[0].p) != 0)
                        continue;
                if (n < ops[i].words)
                        die("line %u: %s wants %d words", line_number, w[0].p, ops[i].words);
                ops[i].f(w, n);
                return;
        }
        die("line %u: no operation %s", line_number, w[0].p);
}

/* Lines from *i up to a matching "end" (or the last), times over. */
static void play_block(char **lines, unsigned count, unsigned *i, long times)
{
        unsigned start = *i, end = start;

        for (long turn = 0; turn < times; turn++) {
                for (*i = start; *i < count && strncmp(lines[*i], "end", 3) != 0; (*i)++) {
                        char *copy;

                        line_number = *i + 1;
                        if (strncmp(lines[*i], "repeat ", 7) == 0) {
                                long inner = atol(lines[*i] + 7);

                                (*i)++;
                                play_block(lines, count, i, inner);
                                continue;
                        }
                        copy = strdup(lines[*i]);
                        play(copy);
                        free(copy);
                }
                end = *i;
        }
        *i = end;
}

int main(void)
{
        static char *lines[SLOTS];
        unsigned     count = 0, i = 0;
        char        *line = NULL;
        size_t       size = 0;

        alarm(50);
        signal(SIGPIPE, SIG_IGN);
        while (count < SLOTS && getline(&line, &size, stdin) >= 0)
                lines[count++] = strdup(line[strspn(line, " \t")] == '#' ? "" : line + strspn(line, " \t"));
        free(line);
        probe = must_connect();
        if (getenv("MT_PROBE_AUTH") != NULL)
                drop_reply(redisCommand(probe, getenv("MT_PROBE_AUTH")));
        play_block(lines, count, &i, 1);
        for (size_t k = 0; k < NELEMENTS(slots); k++) {
                if (slots[k].c != NULL)
                        redisFree(slots[k].c);
        }
        redisFree(probe);
        while (count > 0)
                free(lines[--count]);
        return 0;
}
