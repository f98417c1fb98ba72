/* differential.c - random commands on one connection, every reply printed: the same seed must print the same bytes bare
 * and shimmed. What is random never depends on a reply.
 *
 *   differential SEED COUNT [FILE]     FILE gets two numbers: commands, and how many GETs were made by synchronous
 *                                      calls on an idle connection for a key already read so and not written since,
 *                                      in any database
 *
 * Replies that depend on the time of day are printed as their sign, those in hash table order are sorted. Commands are
 * drawn in phases, as programs behave: some of everything, mostly reads of a few keys, transactions, pipelines. */
#include "common.h"

enum { KEYS = 50, DATABASES = 3, WORDS = 12, OWED_MAX = 40 };

enum flag {
        NO_FLAG = 0,
        WRITES = 1,  /* its keys */
        SORTED = 2,  /* order of the reply is the server's whim */
        SIGN = 4,    /* integers are times: -2, -1 or positive */
        ALL = 8,     /* writes what it does not name: everything */
        SINGLE = 16, /* not in transactions: would change what follows beyond telling */
        OPAQUE = 32, /* for all that a client can tell, it writes anything */
};

struct string {
        const char *p;
        size_t      len;
};

/* Words of a row: k a key, v a value, n a small number, f a hash field, s a score, m a member, else the word itself. */
struct row {
        const char *words;
        unsigned    flags;
};

/* clang-format off */
static const struct row rows[] = {
        { "SET k v", WRITES },           { "SET k v EX 100000", WRITES },  { "SET k v NX", WRITES },
        { "SET k v XX GET", WRITES },    { "SET k v KEEPTTL", WRITES },    { "SETNX k v", WRITES },
        { "SETEX k 100000 v", WRITES },  { "PSETEX k 9000000 v", WRITES }, { "MSET k v k v", WRITES },
        { "MSETNX k v k v", WRITES },    { "GETSET k v", WRITES },         { "GETDEL k", WRITES },
        { "GETEX k", WRITES },           { "GETEX k PERSIST", WRITES },    { "GETEX k EX 90000", WRITES },
        { "APPEND k v", WRITES },        { "SETRANGE k n v", WRITES },     { "INCR k", WRITES },
        { "INCRBY k n", WRITES },        { "DECR k", WRITES },             { "INCRBYFLOAT k 1.5", WRITES },
        { "SETBIT k n 1", WRITES },      { "BITOP OR k k k", WRITES },     { "BITFIELD k INCRBY u8 0 n", WRITES },
        { "STRLEN k", NO_FLAG },         { "GETRANGE k 0 n", NO_FLAG },    { "GETBIT k n", NO_FLAG },
        { "BITCOUNT k", NO_FLAG },       { "MGET k k k", NO_FLAG },        { "SUBSTR k 0 n", NO_FLAG },
        { "DEL k", WRITES },             { "DEL k k k", WRITES },          { "UNLINK k k", WRITES },
        { "EXISTS k k", NO_FLAG },       { "TYPE k", NO_FLAG },            { "TOUCH k k", NO_FLAG },
        { "RENAME k k", WRITES },        { "RENAMENX k k", WRITES },       { "COPY k k REPLACE", WRITES },
        { "COPY k k", WRITES },          { "COPY k k DB n", WRITES },      { "MOVE k n", WRITES },
        { "EXPIRE k 100000", WRITES },   { "EXPIRE k -1", WRITES },        { "PEXPIRE k 90000000 NX", WRITES },
        { "EXPIREAT k 1", WRITES },      { "PERSIST k", WRITES },          { "TTL k", SIGN },
        { "PTTL k", SIGN },              { "EXPIRETIME k", SIGN },         { "OBJECT ENCODING k", NO_FLAG },
        { "HSET k f v", WRITES },        { "HSET k f v f v", WRITES },     { "HSETNX k f v", WRITES },
        { "HINCRBY k f n", WRITES },     { "HDEL k f f", WRITES },         { "HGET k f", NO_FLAG },
        { "HMGET k f f", NO_FLAG },      { "HGETALL k", SORTED },          { "HLEN k", NO_FLAG },
        { "HEXISTS k f", NO_FLAG },      { "HSTRLEN k f", NO_FLAG },       { "LPUSH k v", WRITES },
        { "RPUSH k v v", WRITES },       { "LPOP k", WRITES },             { "RPOP k n", WRITES },
        { "LLEN k", NO_FLAG },           { "LRANGE k 0 n", NO_FLAG },      { "LINDEX k n", NO_FLAG },
        { "LSET k n v", WRITES },        { "LTRIM k 0 n", WRITES },        { "RPOPLPUSH k k", WRITES },
        { "LMOVE k k LEFT RIGHT", WRITES }, { "LINSERT k BEFORE v v", WRITES }, { "LMPOP 2 k k LEFT", WRITES },
        { "SADD k m m", WRITES },        { "SREM k m", WRITES },           { "SMEMBERS k", SORTED },
        { "SCARD k", NO_FLAG },          { "SISMEMBER k m", NO_FLAG },     { "SMOVE k k m", WRITES },
        { "SUNION k k", SORTED },        { "SINTERSTORE k k k", WRITES },  { "SDIFF k k", SORTED },
        { "ZADD k s m", WRITES },        { "ZADD k GT CH s m s m", WRITES }, { "ZINCRBY k s m", WRITES },
        { "ZREM k m", WRITES },          { "ZSCORE k m", NO_FLAG },        { "ZRANGE k 0 -1 WITHSCORES", NO_FLAG },
        { "ZCARD k", NO_FLAG },          { "ZUNIONSTORE k 2 k k", WRITES }, { "ZPOPMIN k", WRITES },
        { "PFADD k m", WRITES },         { "PFCOUNT k", WRITES },          { "PFMERGE k k", WRITES },
        { "SORT k ALPHA", NO_FLAG },     { "SORT k ALPHA STORE k", WRITES }, { "PING", NO_FLAG },
        { "ECHO v", NO_FLAG },           { "DBSIZE", NO_FLAG },            { "KEYS k*", SORTED },
        { "GET", NO_FLAG },              { "GET k k", NO_FLAG },           { "SET k", NO_FLAG },
        { "INCR k v", NO_FLAG },                  { "HSET k f", NO_FLAG },
        { "LCS k k", NO_FLAG },          { "XADD k id f v", WRITES },      { "XLEN k", NO_FLAG },
        { "XTRIM k MAXLEN n", WRITES },  { "CLIENT GETNAME", NO_FLAG },    { "CLIENT SETNAME m", NO_FLAG },
};

/* Rare ones, drawn once in a while. */
static const struct row rare[] = {
        { "FLUSHDB", WRITES | ALL | SINGLE },
        { "FLUSHALL", WRITES | ALL | SINGLE },
        { "SWAPDB 0 1", WRITES | ALL | SINGLE },
        { "SELECT n", SINGLE },
        { "SELECT 0", SINGLE },
        { "SELECT 77", SINGLE },
        { "EVAL setkey 1 k v", WRITES | OPAQUE },
        { "EVAL unnamed 0 k v", WRITES | OPAQUE },
        { "EVAL getkey 1 k", WRITES | OPAQUE },
        { "EVAL_RO getkey 1 k", NO_FLAG },
        { "NOSUCH k", ALL | OPAQUE },
        { "UNWATCH", SINGLE },
        { "EXEC", SINGLE },
        { "DISCARD", SINGLE },
        { "RESET", SINGLE },
};
/* clang-format on */

static const struct {
        const char *name, *script;
} scripts[] = {
        {"setkey", "return redis.call('set', KEYS[1], ARGV[1])"},
        {"unnamed", "return redis.call('set', ARGV[1], ARGV[2])"},
        {"getkey", "return redis.call('type', KEYS[1])"},
};

static redisContext *c, *probe;
static struct string keys[KEYS];
static bool          known[KEYS][DATABASES]; /* read, and not written since */
static unsigned      owed;                   /* replies of the pipeline not yet taken */
static unsigned      owed_flags[OWED_MAX];   /* a ring: what they are */
static unsigned      owed_head;
static uint64_t      state;
static unsigned long done, repeated, streams;
static int           database;
static bool          queueing, watching;

static uint32_t draw(uint32_t below)
{
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return (uint32_t)((state >> 20) % below);
}

/* ---------------------------------------------------------------------------------------------------- commands */

static void make_keys(void)
{
        static char long_key[300];
        char        name[16];

        memset(long_key, 'L', sizeof(long_key));
        for (int i = 0; i < KEYS; i++) {
                snprintf(name, sizeof(name), "k:%d", i);
                keys[i] = (struct string){strdup(name), strlen(name)};
        }
        for (int i = KEYS - 5; i < KEYS; i++)
                free((char *)(uintptr_t)keys[i].p);
        keys[KEYS - 1] = (struct string){"", 0};
        keys[KEYS - 2] = (struct string){"k\0with NUL", 10};
        keys[KEYS - 3] = (struct string){"k with spaces", 13};
        keys[KEYS - 4] = (struct string){long_key, sizeof(long_key)};
        keys[KEYS - 5] = (struct string){"k\r\n%s", 5};
}

static struct string value(void)
{
        static char big[2][6000];
        static int  turn;
        char       *p = big[turn ^= 1];
        size_t      len;

        switch (draw(8)) {
        case 0: return (struct string){"", 0};
        case 1: return (struct string){"n\0l", 3};
        case 2: return (struct string){"12", 2};
        case 3:
                len = draw(sizeof(big[0]));
                memset(p, 'a' + (int)draw(26), len);
                return (struct string){p, len};
        default: len = (size_t)snprintf(p, 64, "value-%u", draw(1000000)); return (struct string){p, len};
        }
}

static struct string number(uint32_t below)
{
        static char text[8][16];
        static int  turn;
        char       *p = text[turn = (turn + 1) % 8];

        return (struct string){p, (size_t)snprintf(p, sizeof(text[0]), "%u", draw(below))};
}

/* Most commands meet keys of their own type: strings 0-24 and 45-49, hashes 25-29, lists 30-34, sets 35-39, sorted
 * 40-44. */
static int key_for(const char *verb)
{
        static const char *const sets[] = {"SADD", "SREM", "SMEM", "SCAR", "SISM", "SMOV", "SUNI", "SINT", "SDIF"};
        int                      first = -1;

        if (draw(100) < 10)
                return (int)draw(KEYS);
        for (size_t i = 0; i < NELEMENTS(sets); i++)
                first = strncmp(verb, sets[i], 4) == 0 ? 35 : first;
        if (verb[0] == 'H')
                first = 25;
        else if ((verb[0] == 'L' && verb[1] != 'C') || (verb[0] == 'R' && verb[1] == 'P'))
                first = 30;
        else if (verb[0] == 'Z')
                first = 40;
        if (first >= 0)
                return first + (int)draw(5);
        return draw(6) != 0 ? (int)draw(25) : KEYS - 1 - (int)draw(5);
}

static struct string word(const char *verb, const char *w, int *key)
{
        static const char *const members[] = {"m1", "m2", "m3", "m4", "m5", "m6"};
        static char              id[32];

        *key = -1;
        if (strcmp(w, "k") == 0) {
                *key = key_for(verb);
                return keys[*key];
        }
        if (strcmp(w, "v") == 0)
                return value();
        if (strcmp(w, "n") == 0)
                return number(3);
        if (strcmp(w, "s") == 0)
                return number(100);
        if (strcmp(w, "f") == 0 || strcmp(w, "m") == 0)
                w = members[draw(NELEMENTS(members))];
        if (strcmp(w, "id") == 0) {
                snprintf(id, sizeof(id), "%lu-1", ++streams);
                w = id;
        }
        for (size_t i = 0; i < NELEMENTS(scripts); i++) {
                if (strcmp(w, scripts[i].name) == 0)
                        w = scripts[i].script;
        }
        return (struct string){w, strlen(w)};
}

struct command {
        char        text[80]; /* its row, cut into words */
        int         argc;
        const char *argv[WORDS];
        size_t      len[WORDS];
        unsigned    flags;
        int         get; /* the key's number if it is a plain GET, else -1 */
};

static void forget(int key)
{
        for (int i = 0; i < KEYS; i++) {
                if (key < 0 || key == i)
                        memset(known[i], 0, sizeof(known[i]));
        }
}

static void make(struct command *cmd, const struct row *row)
{
        char *save = NULL;

        *cmd = (struct command){.flags = row->flags, .get = -1};
        snprintf(cmd->text, sizeof(cmd->text), "%s", row->words);
        for (char *w = strtok_r(cmd->text, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
                int           key;
                struct string s = word(row->words, w, &key);

                cmd->argv[cmd->argc] = s.p;
                cmd->len[cmd->argc++] = s.len;
                if (key >= 0 && (row->flags & WRITES) != 0)
                        forget(key);
        }
        if ((row->flags & ALL) != 0)
                forget(-1);
}

static void make_get(struct command *cmd, int key)
{
        static const char *const verbs[] = {"GET", "get", "GeT"};

        *cmd = (struct command){.argc = 2, .get = key};
        cmd->argv[0] = verbs[draw(NELEMENTS(verbs))];
        cmd->len[0] = 3;
        cmd->argv[1] = keys[key].p;
        cmd->len[1] = keys[key].len;
}

/* ----------------------------------------------------------------------------------------------------- replies */

static int by_text(const void *a, const void *b)
{
        const redisReply *x = *(redisReply *const *)a, *y = *(redisReply *const *)b;
        size_t            n = x->len < y->len ? x->len : y->len;
        int               d = x->str != NULL && y->str != NULL ? memcmp(x->str, y->str, n) : 0;

        return d != 0 ? d : (x->len > y->len) - (x->len < y->len);
}

static void show(redisReply *r, unsigned flags)
{
        if (r != NULL && (flags & SIGN) != 0 && r->type == REDIS_REPLY_INTEGER && r->integer > 0)
                r->integer = 1;
        if (r != NULL && (flags & SORTED) != 0 && r->type == REDIS_REPLY_ARRAY)
                qsort(r->element, r->elements, sizeof(r->element[0]), by_text);
        printf("%lu ", done);
        print_reply(stdout, r);
        if (c->err != 0)
                printf(" err=%d %s", c->err, c->errstr);
        putchar('\n');
        drop_reply(r);
}

static void take(unsigned n)
{
        for (; n > 0 && owed > 0; n--, owed--) {
                void *r = NULL;

                if (redisGetReply(c, &r) != REDIS_OK)
                        die("redisGetReply: %s", c->errstr);
                show(r, owed_flags[owed_head]);
                owed_head = (owed_head + 1) % OWED_MAX;
        }
}

/* ---------------------------------------------------------------------------------------------------- the calls */

static bool plain(struct command *cmd, bool literal)
{
        for (int i = 0; i < cmd->argc; i++) {
                if (memchr(cmd->argv[i], '\0', cmd->len[i]) != NULL || strlen(cmd->argv[i]) != cmd->len[i])
                        return false;
                if (literal && (cmd->len[i] == 0 || strpbrk(cmd->argv[i], " %") != NULL))
                        return false;
        }
        return true;
}

#define W(i) cmd->argv[i]
#define B(i) cmd->argv[i], cmd->len[i]

static void *vcommand(const char *format, ...)
{
        va_list ap;
        void   *r;

        va_start(ap, format);
        r = redisvCommand(c, format, ap);
        va_end(ap);
        return r;
}

static void *by_strings(struct command *cmd)
{
        switch (cmd->argc) {
        case 1: return redisCommand(c, "%s", W(0));
        case 2: return redisCommand(c, "%s  %s ", W(0), W(1));
        case 3: return vcommand(" %s %s %s", W(0), W(1), W(2));
        case 4: return redisCommand(c, "%s %s %s %s", W(0), W(1), W(2), W(3));
        case 5: return redisCommand(c, "%s %s %s %s %s", W(0), W(1), W(2), W(3), W(4));
        default: return redisCommandArgv(c, cmd->argc, cmd->argv, NULL);
        }
}

static void *by_binaries(struct command *cmd)
{
        switch (cmd->argc) {
        case 1: return redisCommand(c, "%b", B(0));
        case 2: return vcommand("%b %b", B(0), B(1));
        case 3: return redisCommand(c, "%b %b %b", B(0), B(1), B(2));
        case 4: return redisCommand(c, "%b %b %b %b", B(0), B(1), B(2), B(3));
        case 5: return redisCommand(c, "%b %b %b %b %b", B(0), B(1), B(2), B(3), B(4));
        default: return redisCommandArgv(c, cmd->argc, cmd->argv, cmd->len);
        }
}

static void *by_literal(struct command *cmd)
{
        char   text[16384];
        size_t n = 0;

        for (int i = 0; i < cmd->argc; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i > 0 ? " " : "", cmd->argv[i]);
        return redisCommand(c, text);
}

/* A GET of an ordinary key has shapes of its own. */
static void *by_get(struct command *cmd)
{
        switch (draw(6)) {
        case 0: return redisCommand(c, "GET %s", W(1));
        case 1: return redisCommand(c, "get  %b", B(1));
        case 2: return redisCommand(c, "GET k:%d", cmd->get);
        case 3: return redisCommand(c, "  GET k:%s ", W(1) + 2);
        case 4: return vcommand("GET %s", W(1));
        default: return redisCommand(c, "GET %s%s", "k:", W(1) + 2);
        }
}

static void synchronous(struct command *cmd)
{
        unsigned    flags = cmd->flags;
        redisReply *r;

        if (cmd->get >= 0 && cmd->get < KEYS - 5 && draw(2) == 0)
                r = by_get(cmd);
        else if (draw(3) == 0)
                r = redisCommandArgv(c, cmd->argc, cmd->argv, cmd->len);
        else if (plain(cmd, true) && draw(2) == 0)
                r = by_literal(cmd);
        else if (plain(cmd, false) && draw(2) == 0)
                r = by_strings(cmd);
        else
                r = by_binaries(cmd);
        if (owed > 0) { /* then it is the oldest of the pipeline that came, and ours is owed */
                flags = owed_flags[owed_head];
                owed_head = (owed_head + 1) % OWED_MAX;
                owed_flags[(owed_head + owed - 1) % OWED_MAX] = cmd->flags;
        } else if (cmd->get >= 0 && !queueing && !watching && r != NULL &&
                   (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_NIL)) {
                repeated += known[cmd->get][database];
                known[cmd->get][database] = true;
        }
        show(r, flags);
}

static void pipelined(struct command *cmd)
{
        char     *formatted;
        long long len;
        int       rc;

        switch (draw(3)) {
        case 0: rc = redisAppendCommandArgv(c, cmd->argc, cmd->argv, cmd->len); break;
        case 1:
                if (cmd->argc == 2) {
                        rc = redisAppendCommand(c, "%b %b", B(0), B(1));
                        break;
                }
                /* fallthrough */
        default:
                len = redisFormatCommandArgv(&formatted, cmd->argc, cmd->argv, cmd->len);
                rc = redisAppendFormattedCommand(c, formatted, (size_t)len);
                redisFreeCommand(formatted);
        }
        if (rc != REDIS_OK)
                die("append: %s", c->errstr);
        owed_flags[(owed_head + owed) % OWED_MAX] = cmd->flags;
        owed++;
}

/* ------------------------------------------------------------------------------------------------------ phases */

static void any(struct command *cmd, bool transaction)
{
        for (;;) {
                const struct row *row = &rows[draw(NELEMENTS(rows))];

                if (draw(5) == 0) {
                        make_get(cmd, key_for("GET"));
                        return;
                }
                if (!transaction || (row->flags & SINGLE) == 0) {
                        make(cmd, row);
                        return;
                }
        }
}

static void run_row(const char *words)
{
        const struct row row = {words, NO_FLAG};
        struct command   cmd;

        make(&cmd, &row);
        synchronous(&cmd);
        done++;
}

static void mixed(void)
{
        struct command cmd;

        for (uint32_t n = 5 + draw(15); n > 0; n--, done++) {
                any(&cmd, false);
                synchronous(&cmd);
        }
}

/* Mostly GETs of a few keys, and a command now and then. */
static void reads(void)
{
        struct command cmd;
        int            few[8];

        for (size_t i = 0; i < NELEMENTS(few); i++)
                few[i] = key_for("GET");
        for (uint32_t n = 40 + draw(160); n > 0; n--, done++) {
                if (draw(40) == 0)
                        any(&cmd, false);
                else
                        make_get(&cmd, few[draw(NELEMENTS(few))]);
                synchronous(&cmd);
        }
}

static void transaction(void)
{
        struct command cmd;

        watching = draw(2) == 0;
        if (watching)
                run_row("WATCH k");
        for (uint32_t n = draw(3); n > 0; n--, done++) {
                make_get(&cmd, key_for("GET"));
                synchronous(&cmd);
        }
        run_row("MULTI");
        queueing = true;
        for (uint32_t n = draw(8); n > 0; n--, done++) {
                any(&cmd, true);
                /* Inside EXEC's reply nothing is sorted or signed. */
                while ((cmd.flags & (SORTED | SIGN)) != 0)
                        any(&cmd, true);
                synchronous(&cmd);
        }
        run_row(draw(5) == 0 ? "DISCARD" : "EXEC");
        queueing = watching = false;
}

/* Appends and takes in any order; sometimes a synchronous call in between, which gets the oldest reply. */
static void pipeline(void)
{
        struct command cmd;

        for (uint32_t n = 5 + draw(30); n > 0; n--, done++) {
                any(&cmd, false);
                if (owed + 2 < OWED_MAX && draw(8) != 0)
                        pipelined(&cmd);
                else
                        synchronous(&cmd);
                if (draw(4) == 0)
                        take(draw(6));
        }
        take(owed);
}

static void seldom(void)
{
        const struct row *row = &rare[draw(NELEMENTS(rare))];
        struct command    cmd;

        if (draw(8) == 0) {
                if (draw(2) == 0) {
                        redisFree(c);
                        c = must_connect();
                } else if (redisReconnect(c) != REDIS_OK) {
                        die("redisReconnect: %s", c->errstr);
                }
                database = 0;
                return;
        }
        make(&cmd, row);
        synchronous(&cmd);
        done++;
        if ((cmd.flags & OPAQUE) !=
            0) /* whoever serves GETs has to find out first what it wrote; nothing is printed meanwhile */
                (void)warm(c, probe, "settle", 6, NS_PER_S / 5);
        if (strncmp(row->words, "SELECT ", 7) == 0 && atoi(cmd.argv[1]) < DATABASES)
                database = atoi(cmd.argv[1]);
        else if (strcmp(row->words, "RESET") == 0)
                database = 0;
}

int main(int argc, char **argv)
{
        unsigned long seed = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
        unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;

        probe = must_connect();
        state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
        make_keys();
        c = must_connect();
        if (!warm(c, probe, "k:0", 3, 5 * NS_PER_S))
                die("L1 never answered");
        while (done < count) {
                uint32_t phase = draw(100);

                if (phase < 12)
                        reads();
                else if (phase < 62)
                        mixed();
                else if (phase < 80)
                        pipeline();
                else if (phase < 95)
                        transaction();
                else
                        seldom();
        }
        if (argc > 3) {
                FILE *out = fopen(argv[3], "w");

                fprintf(out, "%lu %lu\n", done, repeated);
                fclose(out);
        }
        for (int i = 0; i < KEYS - 5; i++)
                free((char *)(uintptr_t)keys[i].p);
        redisFree(probe);
        redisFree(c);
        return 0;
}
