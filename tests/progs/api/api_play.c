/* api_play.c - a program of the C interface that does what its script says, and prints how each call went.
 *
 *   api_play SERVER [USER PASSWORD-FILE] < SCRIPT      MT_CA: whom to believe, where SERVER is rediss://
 *
 *   get K | into K ROOM | getttl K LOW HIGH     the value; its time to live must lie between (ms; -1: none)
 *   set K V | setttl K V MS | strategy K V NAME [MS]
 *   remove K | bulk K... | pattern GLOB          how many there were
 *   update K V MS | invalidate K | invalidatepattern GLOB
 *   hit K | travels K                            a get that must not, must reach the server
 *   warm K                                       get until it does not
 *   await K V | gone K                           get until it says V, until there is none
 *   health | stats NAME LEAST | tiers | sleep MS | fork LINE...    the rest of the line in a child
 *   configure NAME VALUE                         must come first
 *   say WORD
 * '' is the empty word, \0 a NUL, \s a space. */
#include <mtshim.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORDS_MAX = 4096, TRIES = 400 };

static struct mtshim *m;
static const char    *server, *user, *password_file;

static const char *name_of(enum mtshim_status status)
{
        static const char *const names[] = {"OK",     "MISS",        "REFUSED", "TOO_LARGE",
                                            "UNTOLD", "UNSUPPORTED", "INVALID", "ERROR"};

        return names[status];
}

static void failed(const char *what, const char *word)
{
        fflush(stdout);
        fprintf(stderr, "api_play: %s %s: %s\n", what, word, mtshim_error());
        exit(1);
}

static void say(enum mtshim_status status)
{
        printf("%s%s%s\n", name_of(status), status > MTSHIM_MISS ? " " : "",
               status > MTSHIM_MISS ? mtshim_error() : "");
}

static void say_value(enum mtshim_status status, const char *data, size_t len)
{
        if (status != MTSHIM_OK) {
                say(status);
                return;
        }
        printf("OK '");
        for (size_t i = 0; i < len; i++)
                data[i] == '\0' ? fputs("\\0", stdout) : putchar(data[i]);
        printf("'\n");
}

static struct mtshim_bytes word_of(char *text)
{
        char *to = text;

        if (strcmp(text, "''") == 0)
                return mtshim_view("", 0);
        for (char *from = text; *from != '\0'; from++) {
                if (from[0] == '\\' && (from[1] == '0' || from[1] == 's'))
                        *to++ = *++from == '0' ? '\0' : ' ';
                else
                        *to++ = *from;
        }
        return mtshim_view(text, (size_t)(to - text));
}

static uint64_t hits(void)
{
        struct mtshim_counts stats = {0};

        mtshim_stats(m, &stats, sizeof stats);
        return stats.hits;
}

static void open_once(void)
{
        struct mtshim_config config = mtshim_defaults(server);

        if (m != NULL)
                return;
        config.user = user;
        config.password_file = password_file;
        config.tls_ca_file = getenv("MT_CA");
        if (mtshim_open(&config, &m) != MTSHIM_OK)
                failed("open", server);
}

static void pause_ms(long ms)
{
        nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* Does a get go the way it must? value NULL: any. */
static void must(const char *how, struct mtshim_bytes key, const struct mtshim_bytes *value)
{
        bool want_hit = strcmp(how, "hit") == 0 || strcmp(how, "warm") == 0, none = strcmp(how, "gone") == 0;

        for (int tries = 0;; tries++) {
                struct mtshim_value got;
                uint64_t            before = hits();
                enum mtshim_status  status = mtshim_get(m, key, &got);
                bool                hit = hits() > before;
                bool                good = none            ? status == MTSHIM_MISS
                                           : value != NULL ? status == MTSHIM_OK && got.len == value->len &&
                                                      memcmp(got.data, value->data, got.len) == 0
                                                           : status <= MTSHIM_MISS && hit == want_hit;

                mtshim_free(got.data);
                if (good)
                        return;
                if (tries == TRIES || strcmp(how, "hit") == 0 || strcmp(how, "travels") == 0)
                        failed(how, key.data);
                pause_ms(5);
        }
}

static void show_tiers(void)
{
        struct mtshim_tier tier[16];
        size_t             rows = 16;

        if (mtshim_tier_stats(m, tier, sizeof *tier, &rows) != MTSHIM_OK)
                failed("tiers", "");
        for (size_t i = 0; i < rows; i++)
                printf("%u %s %s, hits %s\n", tier[i].level, tier[i].name, tier[i].down ? "down" : "up",
                       tier[i].hits != 0 ? "some" : "none");
}

static void show_stats(const char *name, unsigned long long least)
{
        struct mtshim_counts s;

        if (mtshim_stats(m, &s, sizeof s) != MTSHIM_OK)
                failed("stats", name);
        const struct {
                const char *name;
                uint64_t    value;
        } row[] = {{"hits", s.hits},         {"negative_hits", s.negative_hits}, {"misses", s.misses},
                   {"messages", s.messages}, {"announcements", s.announcements}, {"invalidations", s.invalidations},
                   {"computed", s.computed}, {"connections", s.connections},     {"items", s.items}};

        for (size_t i = 0; i < sizeof row / sizeof *row; i++)
                if (strcmp(row[i].name, name) == 0 && row[i].value >= least)
                        return;
        failed("stats: too few", name);
}

static enum mtshim_strategy strategy_of(const char *name)
{
        static const char *const names[] = {"realtime", "short", "medium", "long", "default", "custom"};
        unsigned                 i = 0;

        while (i < 5 && strcmp(names[i], name) != 0)
                i++;
        return (enum mtshim_strategy)i;
}

static void run(int words, char **word);

static void run_forked(int words, char **word)
{
        int   status;
        pid_t pid;

        fflush(stdout);
        pid = fork();
        if (pid == 0) {
                run(words, word);
                fflush(stdout);
                mtshim_close(&m);
                _exit(0); /* exit() would set back the script, which both read */
        }
        waitpid(pid, &status, 0);
        if (status != 0)
                failed("fork", word[0]);
}

static void run_many(const char *op, int words, char **word)
{
        struct mtshim_bytes key[WORDS_MAX];
        size_t              removed;
        enum mtshim_status  status;

        for (int i = 0; i < words; i++)
                key[i] = word_of(word[i]);
        status = op[0] == 'b' ? mtshim_remove_bulk(m, key, (size_t)words, &removed)
                              : mtshim_remove_pattern(m, key[0], &removed);
        printf("%zu ", removed);
        say(status);
}

static void run_get(const char *op, struct mtshim_bytes key, char **word)
{
        struct mtshim_value value = {NULL, 0};
        char                room[64];
        size_t              len;
        uint64_t            ttl_ms;
        enum mtshim_status  status;

        if (op[0] == 'i') {
                status = mtshim_get_into(m, key, room, (size_t)atoi(word[2]), &len);
                say_value(status, room, len);
                if (status == MTSHIM_TOO_LARGE)
                        printf("needs %zu\n", len);
                return;
        }
        status = op[3] == 't' ? mtshim_get_with_ttl(m, key, &value, &ttl_ms) : mtshim_get(m, key, &value);
        say_value(status, value.data, value.len);
        if (status == MTSHIM_OK && op[3] == 't' &&
            (ttl_ms < strtoull(word[2], NULL, 10) || ttl_ms > (uint64_t)strtoll(word[3], NULL, 10)))
                printf("its time to live is %llu\n", (unsigned long long)ttl_ms);
        mtshim_free(value.data);
}

static void run(int words, char **word)
{
        const char         *op = word[0];
        struct mtshim_bytes a = words > 1 ? word_of(word[1]) : mtshim_view(NULL, 0);
        struct mtshim_bytes b = words > 2 ? word_of(word[2]) : mtshim_view(NULL, 0);

        if (strcmp(op, "configure") == 0) {
                say(mtshim_configure(word[1], word[2]));
                return;
        }
        if (strcmp(op, "say") == 0) {
                puts(word[1]);
                return;
        }
        open_once();
        if (strcmp(op, "get") == 0 || strcmp(op, "into") == 0 || strcmp(op, "getttl") == 0)
                run_get(op, a, word);
        else if (strcmp(op, "set") == 0)
                say(mtshim_set(m, a, b));
        else if (strcmp(op, "setttl") == 0)
                say(mtshim_set_with_ttl(m, a, b, strtoull(word[3], NULL, 10)));
        else if (strcmp(op, "strategy") == 0)
                say(mtshim_set_with_strategy(m, a, b, strategy_of(word[3]),
                                             words > 4 ? strtoull(word[4], NULL, 10) : 0));
        else if (strcmp(op, "remove") == 0)
                say(mtshim_remove(m, a));
        else if (strcmp(op, "bulk") == 0 || strcmp(op, "pattern") == 0)
                run_many(op, words - 1, word + 1);
        else if (strcmp(op, "update") == 0)
                say(mtshim_update_and_broadcast(m, a, b, strtoull(word[3], NULL, 10)));
        else if (strcmp(op, "invalidate") == 0)
                say(mtshim_invalidate(m, a));
        else if (strcmp(op, "invalidatepattern") == 0)
                say(mtshim_invalidate_pattern(m, a));
        else if (strcmp(op, "hit") == 0 || strcmp(op, "travels") == 0 || strcmp(op, "warm") == 0 ||
                 strcmp(op, "gone") == 0)
                must(op, a, NULL);
        else if (strcmp(op, "await") == 0)
                must(op, a, &b);
        else if (strcmp(op, "health") == 0)
                say(mtshim_health(m));
        else if (strcmp(op, "stats") == 0)
                show_stats(word[1], strtoull(word[2], NULL, 10));
        else if (strcmp(op, "tiers") == 0)
                show_tiers();
        else if (strcmp(op, "sleep") == 0)
                pause_ms(atol(word[1]));
        else if (strcmp(op, "fork") == 0)
                run_forked(words - 1, word + 1);
        else
                failed("no such operation:", op);
}

int main(int argc, char **argv)
{
        static char line[1 << 16], *word[WORDS_MAX];

        if (argc < 2)
                return 2;
        server = argv[1];
        user = argc > 2 ? argv[2] : NULL;
        password_file = argc > 3 ? argv[3] : NULL;
        setvbuf(stdout, NULL, _IOLBF, 0);
        while (fgets(line, sizeof line, stdin) != NULL) {
                char *state;
                int   words = 0;

                for (char *at = strtok_r(line, " \n", &state); at != NULL && words < WORDS_MAX;
                     at = strtok_r(NULL, " \n", &state))
                        word[words++] = at;
                if (words > 0 && word[0][0] != '#')
                        run(words, word);
        }
        mtshim_close(&m);
        return 0;
}
