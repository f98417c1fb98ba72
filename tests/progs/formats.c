/* formats.c - GET in every shape that hiredis' API and format language know, and values of every kind. Each call is
 * made three times, so that the first may come from the server and the last from L1: they must be the same to the byte.
 * The replies' strings are taken over and freed by the program, which hiredis allows. For valgrind and asan. */
#include "common.h"

enum { TURNS = 3 };

static redisContext *c;
static unsigned      made, different;

static void *vcommand(redisContext *context, const char *format, ...)
{
        va_list ap;
        void   *r;

        va_start(ap, format);
        r = redisvCommand(context, format, ap);
        va_end(ap);
        return r;
}

/* What a reply looks like, as text; takes its string over, and frees both. */
static char *consume(redisReply *r)
{
        char  *text = NULL, *str = NULL;
        size_t size = 0;
        FILE  *out = open_memstream(&text, &size);

        print_reply(out, r);
        if (c->err != 0)
                fprintf(out, " err=%d %s", c->err, c->errstr);
        fclose(out);
        if (r != NULL) {
                if (r->str != NULL) {
                        str = r->str;
                        r->str = NULL;
                        str[r->len] = 'x'; /* ours now, its terminator included */
                }
                freeReplyObject(r);
        }
        free(str);
        return text;
}

static void report(const char *title, char *text[TURNS])
{
        printf("%-28s %s\n", title, text[0]);
        for (int i = 0; i < TURNS; i++) {
                if (strcmp(text[0], text[i]) != 0) {
                        printf("  turn %d: %s\n", i, text[i]);
                        different++;
                }
        }
        for (int i = 0; i < TURNS; i++)
                free(text[i]);
}

#define TRY(title, call)                                                                                               \
        do {                                                                                                           \
                char *text_[TURNS];                                                                                    \
                for (int i_ = 0; i_ < TURNS; i_++, made++)                                                             \
                        text_[i_] = consume(call);                                                                     \
                report(title, text_);                                                                                  \
        } while (0)
#define FORMAT(...) TRY(#__VA_ARGS__, redisCommand(c, __VA_ARGS__))

static void set(const char *key, size_t klen, const char *value, size_t vlen)
{
        redisReply *r = redisCommand(c, "SET %b %b", key, klen, value, vlen);

        if (r == NULL || r->type != REDIS_REPLY_STATUS)
                die("SET: %s", r != NULL ? r->str : c->errstr);
        freeReplyObject(r);
}

static void shapes(void)
{
        const char *key = "key", *get = "GET";

        set("key", 3, "value of key", 12);
        set("", 0, "value of the empty key", 22);
        set("pre:key:7", 9, "joined", 6);
        set("-7", 2, "number", 6);
        set("\"key\"", 5, "quoted", 6);
        set("100%", 4, "percent", 7);
        set("a\tb", 3, "tab", 3);
        set("k\0y", 3, "n\0l", 3);

        FORMAT("GET %s", key);
        FORMAT("get %s", key);
        FORMAT("GeT %s", key);
        FORMAT(" GET %s", key);
        FORMAT("   get    %s   ", key);
        FORMAT("GET %b", key, (size_t)3);
        FORMAT("GET %b", "k\0y", (size_t)3);
        FORMAT("GET %b", "key and more", (size_t)3);
        FORMAT("%s %s", get, key);
        FORMAT("%s %b", "gEt", key, (size_t)3);
        FORMAT("%b %b", get, (size_t)3, key, (size_t)3);
        FORMAT("%s%s %s", "G", "ET", key);
        FORMAT("G%sT %s", "E", key);
        FORMAT("GET key");
        FORMAT("GET pre:key:7");
        FORMAT("GET pre:%s:7", key);
        FORMAT("GET pre:%s:%d", key, 7);
        FORMAT("GET %s:%s:%i", "pre", key, 7);
        FORMAT("GET %s%b:%u", "pre:", key, (size_t)3, 7u);
        FORMAT("GET pre:%b:%ld", key, (size_t)3, 7L);
        FORMAT("GET pre:key:%lld", 7LL);
        FORMAT("GET pre:key:%hhd", 7);
        FORMAT("GET pre:key:%hd", 7);
        FORMAT("GET pre:key:%lx", 7L);
        FORMAT("GET pre:key:%01d", 7);
        FORMAT("GET pre:key:%.1d", 7);
        FORMAT("GET %d", -7);
        FORMAT("GET %+d", -7);
        FORMAT("GET %.0f", -7.0);
        FORMAT("GET 100%%");
        FORMAT("GET %d%%", 100);
        FORMAT("GET \"%s\"", key);
        FORMAT("GET a\t%s", "b");
        FORMAT("GET %s", "a\tb");
        FORMAT("GET %s", "");
        FORMAT("GET %b", "", (size_t)0);
        FORMAT("GET %s%s", "", key);
        FORMAT("GET %s %s", key, key);
        FORMAT("GET");
        FORMAT("GET ");
        FORMAT("GET\t%s", key);
        FORMAT("GETT %s", key);
        FORMAT("GET %s", "absent");
        FORMAT("STRLEN %s", key);
        FORMAT("MGET %s %s", key, "absent");
        TRY("redisvCommand GET %s", vcommand(c, "GET %s", key));
        TRY("redisvCommand get  %b ", vcommand(c, "get  %b ", "k\0y", (size_t)3));
        TRY("redisvCommand pre:%s:%d", vcommand(c, "GET pre:%s:%d", key, 7));
}

static void vectors(void)
{
        const char  *plain[] = {"GET", "key"}, *lower[] = {"get", "key"}, *nul[] = {"GET", "k\0y"};
        const char  *empty[] = {"GET", ""}, *three[] = {"GET", "key", "key"}, *cut[] = {"GETX", "keyed"};
        const size_t len[] = {3, 3, 3}, zero[] = {3, 0};

        TRY("argv", redisCommandArgv(c, 2, plain, NULL));
        TRY("argv, lengths", redisCommandArgv(c, 2, plain, len));
        TRY("argv, lower case", redisCommandArgv(c, 2, lower, NULL));
        TRY("argv, NUL", redisCommandArgv(c, 2, nul, len));
        TRY("argv, NUL without lengths", redisCommandArgv(c, 2, nul, NULL));
        TRY("argv, empty", redisCommandArgv(c, 2, empty, NULL));
        TRY("argv, empty by length", redisCommandArgv(c, 2, plain, zero));
        TRY("argv, cut by lengths", redisCommandArgv(c, 2, cut, len));
        TRY("argv, three words", redisCommandArgv(c, 3, three, NULL));
        TRY("argv, one word", redisCommandArgv(c, 1, plain, NULL));
}

static void sizes(void)
{
        static const size_t size[] = {0, 1, 7, 8, 100, 1023, 4096, 65536, 1000000, 1 << 20, (1 << 20) + 1, 3 << 20};
        static const size_t klen[] = {1, 255, 1022, 1023, 1024, 16384, 16385, 100000};
        char               *value = malloc(3 << 20), key[40], title[40];

        for (size_t i = 0; i < 3 << 20; i++)
                value[i] = (char)(i * 2654435761u >> 13);
        for (size_t i = 0; i < NELEMENTS(size); i++) {
                snprintf(key, sizeof(key), "size:%zu", size[i]);
                set(key, strlen(key), value, size[i]);
                TRY(key, redisCommand(c, "GET %s", key));
        }
        for (size_t i = 0; i < NELEMENTS(klen); i++) {
                snprintf(title, sizeof(title), "key of %zu bytes", klen[i]);
                set(value, klen[i], title, strlen(title));
                TRY(title, redisCommand(c, "GET %b", value, klen[i]));
        }
        free(value);
}

/* Formats that hiredis refuses put an error on the context: each has one of its own. */
static void refused(void)
{
        static const char *const bad[] = {"GET %z", "GET %", "GET %lls", "GET %k%s", "GET %*d"};
        redisContext            *keep = c;

        for (size_t i = 0; i < NELEMENTS(bad); i++) {
                char *text[TURNS];

                c = must_connect();
                for (int turn = 0; turn < TURNS; turn++)
                        text[turn] = consume(redisCommand(c, bad[i], "key"));
                printf("%s\n", bad[i]);
                report("  refused", text);
                redisFree(c);
        }
        c = keep;
}

static void kinds(void)
{
        drop_reply(redisCommand(c, "RPUSH list 1 2"));
        FORMAT("GET list");
        drop_reply(redisCommand(c, "SET number 12"));
        FORMAT("GET number");
        FORMAT("NOSUCH command");
}

int main(void)
{
        redisContext *probe = must_connect();
        long long     before, after;

        c = must_connect();
        drop_reply(redisCommand(c, "FLUSHALL"));
        set("warm", 4, "warm", 4);
        if (!warm(c, probe, "warm", 4, 20 * NS_PER_S))
                die("L1 never answered");
        before = server_gets(probe);
        shapes();
        vectors();
        sizes();
        after = server_gets(probe);
        if (shimmed() && after - before > (long long)made * 3 / 5)
                die("%lld GETs of %u calls travelled: L1 hardly took part", after - before, made);
        refused();
        kinds();
        redisFree(c);
        redisFree(probe);
        if (different != 0)
                die("%u answers are not what they were before", different);
        return 0;
}
