/* ryw.c - a program reads its own writes, whatever road they took. For each road a key is written with a new value in
 * each step, after L1 was given the old one, and then read: by the connection that wrote, and by another of this
 * process.
 *
 *   ryw [ROAD...]        all of them when none is named
 *
 * MT_TOLD=pubsub|stream: by the time that the program knows of a write, others have been told of it (when shimmed).
 * MT_STEPS: so many steps on each road, at most. */
#include "async.h"

enum { STEPS = 300 };

static redisContext      *c, *d, *probe;
static redisAsyncContext *async;

static redisReply *must(void *reply)
{
        redisReply *r = reply;

        if (r == NULL || r->type == REDIS_REPLY_ERROR)
                die("%s", r != NULL ? r->str : c->errstr);
        return r;
}

static void get_replies(int n)
{
        while (n-- > 0) {
                void *r = NULL;

                if (redisGetReply(c, &r) != REDIS_OK)
                        die("redisGetReply: %s", c->errstr);
                freeReplyObject(must(r));
        }
}

/* -------------------------------------------------------------------------------------- what others are told */

static const char   *told_by;
static redisContext *ear;
static char          ear_last[64] = "0-0";

static bool names_k(const redisReply *message)
{
        return message->type == REDIS_REPLY_STRING && (memmem(message->str, message->len, "1:k", 3) != NULL ||
                                                       memmem(message->str, message->len, "1:*", 3) != NULL);
}

/* Everything that was published up to now: then comes the PONG. */
static bool told_on_channel(void)
{
        bool found = false, pong = false;

        redisAppendCommand(ear, "PING");
        while (!pong) {
                void       *any = NULL;
                redisReply *r;

                if (redisGetReply(ear, &any) != REDIS_OK)
                        die("the ear: %s", ear->errstr);
                r = must(any);
                if (r->type != REDIS_REPLY_ARRAY)
                        die("the ear hears no array");
                pong = strcmp(r->element[0]->str, "pong") == 0;
                found |= !pong && r->elements == 3 && names_k(r->element[2]);
                freeReplyObject(r);
        }
        return found;
}

/* What the last entry says. A flush takes the stream with it, and ids begin where they may have been before. */
static bool told_last(void)
{
        redisReply *r = must(redisCommand(ear, "XREVRANGE mtshim:invalidations + - COUNT 1"));
        bool        found = r->elements == 1 && names_k(r->element[0]->element[1]->element[1]);

        if (found)
                snprintf(ear_last, sizeof(ear_last), "%s", r->element[0]->element[0]->str);
        freeReplyObject(r);
        return found;
}

static bool told_in_stream(void)
{
        redisReply *r = must(redisCommand(ear, "XREAD COUNT 10000 STREAMS mtshim:invalidations %s", ear_last));
        bool        found = false;

        for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i < r->element[0]->element[1]->elements; i++) {
                const redisReply *entry = r->element[0]->element[1]->element[i];

                snprintf(ear_last, sizeof(ear_last), "%s", entry->element[0]->str);
                found |= names_k(entry->element[1]->element[1]);
        }
        freeReplyObject(r);
        return found;
}

static bool sweeps(const char *road)
{
        return strncmp(road, "flush", 5) == 0 || strcmp(road, "swapdb") == 0;
}

static void told(const char *road)
{
        if (ear == NULL)
                return;
        if (!(strcmp(told_by, "stream") == 0 ? (sweeps(road) ? told_last() : told_in_stream()) : told_on_channel()))
                die("%s: the program knows of the write and others have not been told", road);
}

static void ear_open(void)
{
        told_by = getenv("MT_TOLD");
        if (told_by == NULL || !shimmed())
                return;
        ear = must_connect();
        if (strcmp(told_by, "pubsub") == 0)
                freeReplyObject(must(redisCommand(ear, "SUBSCRIBE mtshim:invalidate")));
}

/* ------------------------------------------------------------------------------------------------------- roads */

static void by_command(const char *v)
{
        freeReplyObject(must(redisCommand(c, "SET k %s", v)));
}

static void by_argv(const char *v)
{
        const char *argv[] = {"set", "k", v};

        freeReplyObject(must(redisCommandArgv(c, 3, argv, NULL)));
}

static void *vcommand(const char *format, ...)
{
        va_list ap;
        void   *r;

        va_start(ap, format);
        r = redisvCommand(c, format, ap);
        va_end(ap);
        return r;
}

static void by_vcommand(const char *v)
{
        freeReplyObject(must(vcommand("GETSET %b %s", "k", (size_t)1, v)));
}

static void by_append(const char *v)
{
        redisAppendCommand(c, "SET k %s", "never seen");
        redisAppendCommand(c, "GET other");
        redisAppendCommand(c, "SET k %s", v);
        get_replies(3);
}

static void by_append_argv(const char *v)
{
        const char *argv[] = {"MSET", "other", "1", "k", v};

        redisAppendCommandArgv(c, 5, argv, NULL);
        get_replies(1);
}

static void by_formatted(const char *v)
{
        char *cmd;
        int   len = redisFormatCommand(&cmd, "SET k %s", v);

        redisAppendFormattedCommand(c, cmd, (size_t)len);
        redisFreeCommand(cmd);
        get_replies(1);
}

/* The write leaves and its reply comes with the program's own calls; redisGetReply only hands it over. */
static void by_buffers(const char *v)
{
        int   done = 0;
        void *r = NULL;

        redisAppendCommand(c, "SET k %s", v);
        while (!done) {
                if (redisBufferWrite(c, &done) != REDIS_OK)
                        die("redisBufferWrite: %s", c->errstr);
        }
        while (r == NULL) {
                if (redisBufferRead(c) != REDIS_OK || redisGetReplyFromReader(c, &r) != REDIS_OK)
                        die("redisBufferRead: %s", c->errstr);
        }
        freeReplyObject(must(r));
}

/* redisCommand with a write pending returns the write's reply. */
static void by_shifted(const char *v)
{
        redisAppendCommand(c, "SET k %s", v);
        freeReplyObject(must(redisCommand(c, "GET other")));
        get_replies(1);
}

static void by_multi(const char *v)
{
        freeReplyObject(must(redisCommand(c, "MULTI")));
        freeReplyObject(must(redisCommand(c, "SET k %s", v)));
        freeReplyObject(must(redisCommand(c, "EXEC")));
}

static void by_multi_pipelined(const char *v)
{
        redisAppendCommand(c, "MULTI");
        redisAppendCommand(c, "DEL k");
        redisAppendCommand(c, "APPEND k %s", v);
        redisAppendCommand(c, "EXEC");
        get_replies(4);
}

static void by_eval(const char *v)
{
        freeReplyObject(must(redisCommand(c, "EVAL %s 1 k %s", "return redis.call('set', KEYS[1], ARGV[1])", v)));
}

/* The key is not among the script's keys. */
static void by_eval_unnamed(const char *v)
{
        freeReplyObject(must(redisCommand(c, "EVAL %s 0 %s", "return redis.call('set', 'k', ARGV[1])", v)));
}

static void by_fcall_unnamed(const char *v)
{
        freeReplyObject(must(redisCommand(c, "FCALL mtset 0 %s", v)));
}

static void by_rename(const char *v)
{
        freeReplyObject(must(redisCommand(c, "SET other %s", v)));
        freeReplyObject(must(redisCommand(c, "RENAME other k")));
}

static void by_copy(const char *v)
{
        freeReplyObject(must(redisCommand(c, "SET other %s", v)));
        freeReplyObject(must(redisCommand(c, "COPY other k REPLACE")));
}

static void by_copy_database(const char *v)
{
        freeReplyObject(must(redisCommand(c, "SELECT 1")));
        freeReplyObject(must(redisCommand(c, "SET k %s", v)));
        freeReplyObject(must(redisCommand(c, "COPY k k DB 0 REPLACE")));
        freeReplyObject(must(redisCommand(c, "SELECT 0")));
}

static void by_move(const char *v)
{
        freeReplyObject(must(redisCommand(c, "DEL k")));
        freeReplyObject(must(redisCommand(c, "SELECT 1")));
        freeReplyObject(must(redisCommand(c, "SET k %s", v)));
        freeReplyObject(must(redisCommand(c, "MOVE k 0")));
        freeReplyObject(must(redisCommand(c, "SELECT 0")));
}

static void by_swapdb(const char *v)
{
        freeReplyObject(must(redisCommand(c, "SELECT 1")));
        freeReplyObject(must(redisCommand(c, "SET k %s", v)));
        freeReplyObject(must(redisCommand(c, "SELECT 0")));
        freeReplyObject(must(redisCommand(c, "SWAPDB 0 1")));
}

static void by_flushdb(const char *v)
{
        (void)v;
        freeReplyObject(must(redisCommand(c, "FLUSHDB")));
}

static void by_flushall(const char *v)
{
        (void)v;
        freeReplyObject(must(redisCommand(c, "FLUSHALL ASYNC")));
}

static void by_del(const char *v)
{
        (void)v;
        freeReplyObject(must(redisCommand(c, "UNLINK other k")));
}

/* Pops from k while it waits for other. */
static void by_blocking(const char *v)
{
        (void)v;
        freeReplyObject(must(redisCommand(c, "DEL k")));
        freeReplyObject(must(redisCommand(c, "RPUSH k x")));
        freeReplyObject(must(redisCommand(c, "BLPOP other k 5")));
}

/* Several commands in one piece, a transaction among them. */
static void by_raw_many(const char *v)
{
        char text[256];
        int  len = snprintf(text, sizeof(text),
                            "*3\r\n$3\r\nSET\r\n$5\r\nother\r\n$1\r\n1\r\n*1\r\n$5\r\nMULTI\r\n"
                             "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%zu\r\n%s\r\n*1\r\n$4\r\nEXEC\r\n",
                            strlen(v), v);

        redisAppendFormattedCommand(c, text, (size_t)len);
        get_replies(4);
}

/* ------------------------------------------------------------------------------------------------ asynchronous */

static bool answered;

static void async_until_answered(void)
{
        async_until(async, &answered);
}

/* What a read says in the very callback that learns of the write. */
static void on_set(redisAsyncContext *context, void *reply, void *value)
{
        redisReply *r;

        (void)context;
        must(reply);
        told("in a callback");
        r = must(redisCommand(d, "GET k"));
        if (r->str == NULL || strcmp(r->str, value) != 0)
                die("in the callback of SET %s a GET says %s", (char *)value, r->str != NULL ? r->str : "nil");
        freeReplyObject(r);
        answered = true;
}

static void by_async(const char *v)
{
        answered = false;
        redisAsyncCommand(async, on_set, (void *)(uintptr_t)v, "SET k %s", v);
        async_until_answered();
}

static void by_async_argv(const char *v)
{
        const char *argv[] = {"SET", "k", v};

        answered = false;
        redisAsyncCommand(async, NULL, NULL, "SET k %s", "never seen");
        redisAsyncCommandArgv(async, on_set, (void *)(uintptr_t)v, 3, argv, NULL);
        async_until_answered();
}

static void by_async_formatted(const char *v)
{
        char *cmd;
        int   len = redisFormatCommand(&cmd, "SET k %s", v);

        answered = false;
        redisAsyncFormattedCommand(async, on_set, (void *)(uintptr_t)v, cmd, (size_t)len);
        redisFreeCommand(cmd);
        async_until_answered();
}

static void by_async_multi(const char *v)
{
        answered = false;
        redisAsyncCommand(async, NULL, NULL, "MULTI");
        redisAsyncCommand(async, NULL, NULL, "SET k %s", v);
        redisAsyncCommand(async, on_set, (void *)(uintptr_t)v, "EXEC");
        async_until_answered();
}

/* ------------------------------------------------------------------------------------------------------- steps */

static const struct road {
        const char *name;
        void (*write)(const char *value);
        bool absent; /* the key is gone afterwards */
        bool alone;  /* only the connection that wrote is promised to see it at once */
        int  steps;
} roads[] = {
        {"command", by_command, false, false, STEPS},
        {"argv", by_argv, false, false, STEPS},
        {"vcommand", by_vcommand, false, false, STEPS},
        {"append", by_append, false, false, STEPS},
        {"append-argv", by_append_argv, false, false, STEPS},
        {"formatted", by_formatted, false, false, STEPS},
        {"buffers", by_buffers, false, false, STEPS},
        {"shifted", by_shifted, false, false, STEPS},
        {"multi", by_multi, false, false, STEPS},
        {"multi-pipelined", by_multi_pipelined, false, false, STEPS},
        {"eval", by_eval, false, false, STEPS},
        {"eval-unnamed", by_eval_unnamed, false, true, 2000},
        {"fcall-unnamed", by_fcall_unnamed, false, true, STEPS},
        {"rename", by_rename, false, false, STEPS},
        {"copy", by_copy, false, false, STEPS},
        {"copy-database", by_copy_database, false, false, STEPS},
        {"move", by_move, false, false, STEPS},
        {"swapdb", by_swapdb, false, false, 50},
        {"flushdb", by_flushdb, true, false, 50},
        {"flushall", by_flushall, true, false, 50},
        {"del", by_del, true, false, STEPS},
        {"blocking", by_blocking, true, false, STEPS},
        {"raw-many", by_raw_many, false, false, STEPS},
        {"async", by_async, false, false, STEPS},
        {"async-argv", by_async_argv, false, false, STEPS},
        {"async-formatted", by_async_formatted, false, false, STEPS},
        {"async-multi", by_async_multi, false, false, STEPS},
};

static void expect(const struct road *road, redisContext *reader, const char *who, const char *value)
{
        redisReply *r = must(redisCommand(reader, "GET %s", "k"));
        const char *got = r->str != NULL ? r->str : "nil";

        if (strcmp(got, road->absent ? "nil" : value) != 0)
                die("%s: %s reads %s after %s was written", road->name, who, got, value);
        freeReplyObject(r);
}

/* Gives L1 the old value. */
static void prime(void)
{
        for (int i = 0; i < 4; i++)
                freeReplyObject(must(redisCommand(i % 2 == 0 ? c : d, "GET k")));
}

static void travel(const struct road *road)
{
        long long   before = server_gets(probe), gets = 0;
        char        value[2][32];
        const char *most = getenv("MT_STEPS");
        int         steps = most != NULL && atoi(most) < road->steps ? atoi(most) : road->steps;

        if (!warm(c, probe, "k", 1, 5 * NS_PER_S))
                die("%s: L1 never answered", road->name);
        for (int step = 0; step < steps; step++) {
                char *v = value[step % 2];

                snprintf(v, sizeof(value[0]), "%s-%d", road->name, step);
                if (road->absent)
                        freeReplyObject(must(redisCommand(d, "SET k %s", v)));
                prime();
                road->write(v);
                if (strncmp(road->name, "async", 5) != 0)
                        told(road->name);
                expect(road, c, "the writer", v);
                expect(road, c, "the writer", v);
                if (!road->alone)
                        expect(road, d, "another connection", v);
                gets += 6;
        }
        before = server_gets(probe) - before;
        if (shimmed() && before >= gets)
                die("%s: %lld GETs travelled of %lld: L1 took no part", road->name, before, gets);
        printf("%s: %d\n", road->name, steps);
}

int main(int argc, char **argv)
{
        static const char function[] = "#!lua name=mt\nredis.register_function('mtset',"
                                       " function(keys, args) return redis.call('set', 'k', args[1]) end)";

        alarm(55);
        c = must_connect();
        d = must_connect();
        probe = must_connect();
        async = async_connect();
        ear_open();
        freeReplyObject(must(redisCommand(c, "FUNCTION LOAD REPLACE %s", function)));
        for (size_t i = 0; i < NELEMENTS(roads); i++) {
                bool named = argc < 2;

                for (int k = 1; k < argc; k++)
                        named |= strcmp(argv[k], roads[i].name) == 0;
                if (named)
                        travel(&roads[i]);
        }
        redisAsyncFree(async);
        redisFree(c);
        redisFree(d);
        redisFree(probe);
        if (ear != NULL)
                redisFree(ear);
        return 0;
}
