/* check_command.c - words, classes and keys. What a format means is not written down here a second time: hiredis itself
 * formats, and the words must be the same. */
#include "shim/command/command.h"

#include <check.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static struct command command;

/* ----------------------------------------------------------------------------------------------------------- table */

static void split(const char *name, struct mt_bytes *verb, struct mt_bytes *sub)
{
        const char *bar = strchr(name, '|');

        *verb = bar ? mt_bytes(name, (size_t)(bar - name)) : mt_bytes_of(name);
        *sub = bar ? mt_bytes_of(bar + 1) : mt_bytes("", 0);
}

START_TEST(table_is_in_order)
{
        for (unsigned i = 1; i < command_row_count; i++) {
                struct mt_bytes before, verb, sub;
                int             order;

                split(command_rows[i - 1].name, &before, &sub);
                split(command_rows[i].name, &verb, &sub);
                order = memcmp(before.ptr, verb.ptr, before.len < verb.len ? before.len : verb.len);
                if (order == 0 && before.len != verb.len)
                        order = before.len < verb.len ? -1 : 1;
                ck_assert_msg(order < 0 || (order == 0 && sub.len > 0 &&
                                            strcmp(command_rows[i - 1].name, command_rows[i].name) < 0),
                              "%s before %s", command_rows[i - 1].name, command_rows[i].name);
        }
}
END_TEST

/* Upper, lower and mixed case; and a copy with nothing behind it, so that asan and valgrind see whoever reads on. */
START_TEST(every_row_is_found)
{
        for (unsigned i = 0; i < command_row_count * 3; i++) {
                const struct command_row *row = &command_rows[i / 3];
                struct mt_bytes           verb, sub;
                char                      name[64], *alone;

                snprintf(name, sizeof name, "%s", row->name);
                for (char *p = name; *p != '\0'; p++)
                        if (*p >= 'A' && *p <= 'Z' && (i % 3 == 1 || (i % 3 == 2 && rand() % 2)))
                                *p = (char)(*p + 32);
                split(name, &verb, &sub);
                ck_assert_ptr_eq(command_find(verb, sub), row);
                alone = malloc(verb.len);
                memcpy(alone, verb.ptr, verb.len);
                ck_assert_ptr_eq(command_find(mt_bytes(alone, verb.len), sub), row);
                free(alone);
        }
}
END_TEST

START_TEST(what_is_no_row)
{
        static const struct mt_bytes none[] = {
                {"", 0},
                {"GE", 2},
                {"GETT", 4},
                {"GET\0", 4},
                {"\0GET", 4},
                {"GET ", 4},
                {"G\0T", 3},
                {"CLIENT|ID", 9},
                {"CLIENT|", 7},
                {"ZUNIONSTORES", 12},
                {"ZUNIONST", 8},
                {"\xc7"
                 "ET",
                 3},
                {"[ET", 3},
                {"GEORADIUS_", 10},
                {"FUNCTION\0", 9},
                {"@@@", 3},
                {"ZZZ", 3},
                {"A", 1},
                {"JSON.SET", 8},
                {"RESTORE_ASKING", 14},
                {"GE4", 3},
                {"gEt\x01", 4},
                {"\xe7"
                 "et",
                 3},
                {"BITFIELD_RO\0", 12},
        };

        for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
                ck_assert_msg(command_find(none[i], mt_bytes("", 0)) == NULL, "%zu %s", i, none[i].ptr);
        ck_assert_str_eq(command_find(mt_bytes_of("client"), mt_bytes_of("nonesuch"))->name, "CLIENT");
        ck_assert_str_eq(command_find(mt_bytes_of("client"), mt_bytes("REPLY\0", 6))->name, "CLIENT");
        ck_assert_str_eq(command_find(mt_bytes_of("client"), mt_bytes_of("repl"))->name, "CLIENT");
        ck_assert_str_eq(command_find(mt_bytes_of("get"), mt_bytes_of("key"))->name, "GET");
}
END_TEST

/* A command from words separated by single spaces, "" for an empty one. */
static void parse(const char *text)
{
        static char        copy[4096];
        static const char *argv[256];
        int                argc = 0;

        snprintf(copy, sizeof copy, "%s", text);
        for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
                argv[argc++] = strcmp(word, "\"\"") == 0 ? "" : word;
        ck_assert_int_eq(command_from_argv(&command, argc, argv, NULL), COMMAND_OK);
}

START_TEST(classes)
{
        static const struct {
                const char *text;
                enum command_class class;
        } cases[] = {
                {"GET k", COMMAND_GET},
                {"get k", COMMAND_GET},
                {"GET", COMMAND_READ},
                {"GET a b", COMMAND_READ},
                {"SET k v", COMMAND_WRITE},
                {"NONESUCH k", COMMAND_UNKNOWN},
                {"EVAL s 0", COMMAND_SCRIPT},
                {"evalsha s 0", COMMAND_SCRIPT},
                {"FCALL f 0", COMMAND_SCRIPT},
                {"EVAL_RO s 0", COMMAND_READ},
                {"FCALL_RO s 0", COMMAND_READ},
                {"DEBUG SLEEP 0", COMMAND_OPAQUE},
                {"SELECT 1", COMMAND_SELECT},
                {"AUTH p", COMMAND_AUTH},
                {"HELLO 3", COMMAND_HELLO},
                {"RESET", COMMAND_RESET},
                {"MULTI", COMMAND_MULTI},
                {"EXEC", COMMAND_EXEC},
                {"DISCARD", COMMAND_DISCARD},
                {"WATCH k", COMMAND_WATCH},
                {"UNWATCH", COMMAND_UNWATCH},
                {"SUBSCRIBE c", COMMAND_SUBSCRIBE},
                {"PUNSUBSCRIBE", COMMAND_SUBSCRIBE},
                {"SSUBSCRIBE c", COMMAND_SUBSCRIBE},
                {"MONITOR", COMMAND_MONITOR},
                {"PSYNC ? -1", COMMAND_MONITOR},
                {"REPLCONF a b", COMMAND_MONITOR},
                {"CLIENT REPLY OFF", COMMAND_CLIENT_REPLY},
                {"client tracking on", COMMAND_CLIENT_TRACKING},
                {"CLIENT CACHING YES", COMMAND_CLIENT_TRACKING},
                {"CLIENT NO-TOUCH ON", COMMAND_CLIENT_NO_TOUCH},
                {"CLIENT NO-EVICT ON", COMMAND_CLIENT_NO_TOUCH},
                {"CLIENT ID", COMMAND_READ},
                {"CLIENT FUTURE", COMMAND_UNKNOWN},
                {"CLIENT", COMMAND_UNKNOWN},
                {"FLUSHDB", COMMAND_FLUSHDB},
                {"FLUSHALL ASYNC", COMMAND_FLUSHALL},
                {"SWAPDB 0 1", COMMAND_SWAPDB},
                {"QUIT", COMMAND_QUIT},
                {"FUNCTION RESTORE x", COMMAND_OPAQUE},
                {"FUNCTION LIST", COMMAND_READ},
                {"MODULE LOAD x", COMMAND_OPAQUE},
                {"REPLICAOF NO ONE", COMMAND_OPAQUE},
                {"CONFIG SET a b", COMMAND_RIGHTS},
                {"CONFIG GET a", COMMAND_READ},
                {"acl setuser alice", COMMAND_RIGHTS},
                {"ACL DELUSER alice", COMMAND_RIGHTS},
                {"ACL LOAD", COMMAND_RIGHTS},
                {"ACL LIST", COMMAND_READ},
                {"PFCOUNT k", COMMAND_WRITE},
                {"TOUCH k", COMMAND_READ},
                {"OBJECT ENCODING k", COMMAND_READ},
                {"XGROUP CREATE k g $", COMMAND_WRITE},
                {"XGROUP HELP", COMMAND_READ},
                {"GETEX k", COMMAND_WRITE},
                {"HEXPIRE k 1 FIELDS 1 f", COMMAND_WRITE},
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                parse(cases[i].text);
                ck_assert_msg(command.class == cases[i].class, "%s: %d", cases[i].text, (int)command.class);
        }
}
END_TEST

/* ------------------------------------------------------------------------------------------------------------ keys */

static char keys[4096];

static void collect(void *arg, struct mt_bytes key)
{
        size_t n = strlen(keys);

        ck_assert_ptr_eq(arg, &command);
        snprintf(keys + n, sizeof keys - n, "%s%.*s", n ? " " : "", (int)key.len, key.ptr);
}

static bool keys_of_command(void)
{
        keys[0] = '\0';
        return command_each_key(&command, collect, &command);
}

/* The quick look at what only reads never says so of a command that does more, with whatever words behind its verb. */
START_TEST(what_reads)
{
        unsigned quick = 0;

        for (unsigned i = 0; i < command_row_count; i++) {
                const char    *name = command_rows[i].name, *bar = strchr(name, '|');
                int            len = (int)(bar ? bar - name : (long)strlen(name));
                char           format[128];
                struct command parsed;
                const char    *argv[] = {name, bar ? bar + 1 : "a", "b"};
                size_t         argvlen[] = {(size_t)len, strlen(argv[1]), 1};

                snprintf(format, sizeof format, "  %.*s %s b", len, name, argv[1]);
                ck_assert_int_eq(command_from_argv(&parsed, 3, argv, argvlen), COMMAND_OK);
                ck_assert(command_reads_format(format) == command_reads_argv(3, argv, argvlen));
                if (!command_reads_format(format))
                        continue;
                ck_assert_msg(parsed.class == COMMAND_READ, "%s", name);
                quick++;
        }
        ck_assert_uint_gt(quick, 100);
        ck_assert(command_reads_format("strlen %s"));
        ck_assert(command_reads_format("HGET"));
        ck_assert(!command_reads_format("%s x"));
        ck_assert(!command_reads_format("STRLE%s x"));
        ck_assert(!command_reads_format(""));
        ck_assert(!command_reads_format("  "));
        ck_assert(!command_reads_format("GET x"));
        ck_assert(!command_reads_format("STRLENX y"));
        ck_assert(!command_reads_argv(0, NULL, NULL));
        ck_assert(!command_reads_argv(1, (const char *[]){"STRLEN"}, (size_t[]){5}));
        ck_assert(!command_reads_argv(1, (const char *[]){"STRLEN"}, (size_t[]){7}));
        ck_assert(command_reads_argv(1, (const char *[]){"STRLEN"}, NULL));
}
END_TEST

START_TEST(named_keys)
{
        static const struct {
                const char *text, *keys; /* NULL: cannot be told */
        } cases[] = {
                {"GET a", ""},
                {"HELLO 3", ""},
                {"NONESUCH a", ""},
                {"SET a v", "a"},
                {"SET", NULL},
                {"DEL a b c", "a b c"},
                {"MSET a 1 b 2", "a b"},
                {"MSETNX a 1 b 2 c 3", "a b c"},
                {"MSETEX 2 a 1 b 2 EX 10", "a b"},
                {"MSETEX 3 a 1 b 2", NULL},
                {"RENAME a b", "a b"},
                {"COPY a b DB 3", "a b"},
                {"MOVE a 1", "a"},
                {"BITOP AND d a b", "d a b"},
                {"BLPOP a b 0", "a b"},
                {"BLPOP a", NULL},
                {"LMOVE a b LEFT LEFT", "a b"},
                {"LMPOP 2 a b LEFT", "a b"},
                {"BLMPOP 0 2 a b LEFT", "a b"},
                {"ZMPOP 1 a MIN", "a"},
                {"BZMPOP 0 1 a MIN", "a"},
                {"ZUNIONSTORE d 2 a b WEIGHTS 1 2", "d a b"},
                {"ZINTERSTORE d 1 a", "d a"},
                {"ZDIFFSTORE d 3 a b c", "d a b c"},
                {"ZDIFFSTORE d 4 a b c", NULL},
                {"EVAL script 2 a b x y", "a b"},
                {"EVAL script 0 x", ""},
                {"EVAL script 1", NULL},
                {"EVAL script -1 a", NULL},
                {"EVAL script 01 a", NULL},
                {"EVAL script 99999999999 a", NULL},
                {"EVAL script 2147483647 a", NULL},
                {"EVAL script", NULL},
                {"FCALL f 1 a x", "a"},
                {"EVAL_RO script 1 a", ""},
                {"SORT a", "a"},
                {"SORT a BY w_* LIMIT 0 1 GET # STORE d", "a d"},
                {"SORT a store d1 STORE d2", "a d1 d2"},
                {"SORT a STORE", "a"},
                {"GEORADIUS a 1 2 3 km STORE d", "a d"},
                {"GEORADIUSBYMEMBER a m 3 km STOREDIST d", "a d"},
                {"GEOSEARCHSTORE d a FROMMEMBER m", "d a"},
                {"XREADGROUP GROUP g c COUNT 1 BLOCK 0 NOACK STREAMS a b > >", "a b"},
                {"XREADGROUP GROUP streams streams STREAMS a >", "a"},
                {"xreadgroup group g c streams a b >", NULL},
                {"XREADGROUP GROUP g c FUTURE STREAMS a >", NULL},
                {"XREADGROUP GROUP g", NULL},
                {"XREADGROUP GROUP g c STREAMS", NULL},
                {"XGROUP CREATE a g $ MKSTREAM", "a"},
                {"XGROUP DESTROY a g", "a"},
                {"XAUTOCLAIM a g c 0 0", "a"},
                {"MIGRATE h 1 a 0 10 COPY", "a"},
                {"MIGRATE h 1 \"\" 0 10 AUTH p KEYS a b", "a b"},
                {"MIGRATE h 1 \"\" 0 10", NULL},
                {"MIGRATE h 1 \"\" 0", NULL},
                {"RESTORE a 0 x", "a"},
                {"RESTORE-ASKING a 0 x", "a"},
                {"FLUSHALL", ""},
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                bool told;

                parse(cases[i].text);
                told = keys_of_command();
                ck_assert_msg(told == (cases[i].keys != NULL), "%s: %d", cases[i].text, told);
                if (told)
                        ck_assert_msg(strcmp(keys, cases[i].keys) == 0, "%s: '%s'", cases[i].text, keys);
        }
}
END_TEST

static unsigned next_key;

static void count_key(void *arg, struct mt_bytes key)
{
        char expected[16];

        (void)arg;
        snprintf(expected, sizeof expected, "key%u", next_key++);
        ck_assert(mt_bytes_equal(key, mt_bytes_of(expected)));
}

/* Beyond the tokens that a command has room for, from either source, and in a time that does not square. */
START_TEST(many_keys)
{
        enum { PAIRS = 50000 };
        const char    **argv = malloc((2 * PAIRS + 1) * sizeof *argv);
        char           *words = malloc(PAIRS * 16), *resp = malloc(PAIRS * 64), *p = resp;
        struct mt_bytes word;
        size_t          used;

        argv[0] = "MSET";
        p += sprintf(p, "*%d\r\n$4\r\nMSET\r\n", 2 * PAIRS + 1);
        for (int i = 0; i < PAIRS; i++) {
                sprintf(words + i * 16, "key%d", i);
                argv[2 * i + 1] = words + i * 16;
                argv[2 * i + 2] = "v";
                p += sprintf(p, "$%zu\r\n%s\r\n$1\r\nv\r\n", strlen(words + i * 16), words + i * 16);
        }
        for (int source = 0; source < 2; source++) {
                if (source == 0)
                        ck_assert_int_eq(command_from_argv(&command, 2 * PAIRS + 1, argv, NULL), COMMAND_OK);
                else
                        ck_assert_int_eq(command_from_resp(&command, mt_bytes(resp, (size_t)(p - resp)), &used),
                                         COMMAND_OK);
                ck_assert_int_eq(command.class, COMMAND_WRITE);
                ck_assert_uint_eq(command.argc, 2 * PAIRS + 1);
                ck_assert_uint_eq(command.ntoken, COMMAND_TOKENS_MAX);
                next_key = 0;
                ck_assert(command_each_key(&command, count_key, NULL));
                ck_assert_uint_eq(next_key, PAIRS);
                for (uint32_t i = 29; i < 37; i += 2) {
                        char expected[16];

                        snprintf(expected, sizeof expected, "key%u", i / 2);
                        word = command_word(&command, i);
                        ck_assert(mt_bytes_equal(word, mt_bytes_of(expected)));
                }
        }
        ck_assert_uint_eq(used, (size_t)(p - resp));
        free(argv);
        free(words);
        free(resp);
}
END_TEST

/* The number of keys stands among the tokens and the keys do not, and the other way round for STREAMS and STORE. */
START_TEST(keys_beyond_the_tokens)
{
        char   resp[4096], *p = resp;
        size_t used;

        p += sprintf(p, "*43\r\n$4\r\nEVAL\r\n$1\r\ns\r\n$2\r\n40\r\n");
        for (int i = 0; i < 40; i++)
                p += sprintf(p, "$%d\r\nkey%d\r\n", i < 10 ? 4 : 5, i);
        ck_assert_int_eq(command_from_resp(&command, mt_bytes(resp, (size_t)(p - resp)), &used), COMMAND_OK);
        next_key = 0;
        ck_assert(command_each_key(&command, count_key, NULL));
        ck_assert_uint_eq(next_key, 40);

        p = resp + sprintf(resp, "*44\r\n$4\r\nSORT\r\n$4\r\nkey0\r\n");
        for (int i = 0; i < 40; i++)
                p += sprintf(p, "$3\r\nGET\r\n");
        p += sprintf(p, "$5\r\nSTORE\r\n$4\r\nkey1\r\n");
        ck_assert_int_eq(command_from_resp(&command, mt_bytes(resp, (size_t)(p - resp)), &used), COMMAND_OK);
        next_key = 0;
        ck_assert(command_each_key(&command, count_key, NULL));
        ck_assert_uint_eq(next_key, 2);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------ argv, RESP */

START_TEST(from_argv)
{
        const char     *words[] = {"SET", "a\0b", NULL};
        size_t          lens[] = {3, 3, 0};
        struct mt_bytes key;

        ck_assert_int_eq(command_from_argv(&command, 3, words, lens), COMMAND_OK); /* hiredis sends an empty word */
        ck_assert_int_eq(command.class, COMMAND_WRITE);
        ck_assert(mt_bytes_equal(command_word(&command, 1), mt_bytes("a\0b", 3)));
        ck_assert_uint_eq(command_word(&command, 2).len, 0);
        ck_assert_int_eq(command_from_argv(&command, 3, words, NULL), COMMAND_MALFORMED);
        ck_assert_int_eq(command_from_argv(&command, 0, words, lens), COMMAND_MALFORMED);
        ck_assert_int_eq(command_from_argv(&command, -1, words, lens), COMMAND_MALFORMED);
        ck_assert_int_eq(command_from_argv(&command, 1, NULL, NULL), COMMAND_MALFORMED);

        ck_assert(!command_get_argv(2, words, lens, &key));
        words[0] = "gEt";
        ck_assert(command_get_argv(2, words, lens, &key));
        ck_assert(mt_bytes_equal(key, mt_bytes("a\0b", 3)));
        ck_assert(command_get_argv(2, words, NULL, &key));
        ck_assert(mt_bytes_equal(key, mt_bytes("a", 1)));
        ck_assert(!command_get_argv(3, words, lens, &key));
        ck_assert(!command_get_argv(1, words, lens, &key));
        ck_assert(!command_get_argv(0, NULL, NULL, &key));
        words[0] = "GETS";
        ck_assert(!command_get_argv(2, words, NULL, &key));
        ck_assert(command_get_argv(2, words, lens, &key)); /* three of its letters */
        words[0] = "GE";
        ck_assert(!command_get_argv(2, words, NULL, &key));
}
END_TEST

START_TEST(from_resp)
{
        static const char        two[] = "*2\r\n$3\r\nGET\r\n$3\r\na\0b\r\n*1\r\n$4\r\nPING\r\n";
        static const char *const bad[] = {
                "",
                "*",
                "*1",
                "*1\r",
                "*1\r\n",
                "*0\r\n",
                "*-1\r\n",
                "*01\r\n$4\r\nPING\r\n",
                "*1\n$4\r\nPING\r\n",
                "PING\r\n",
                "*1\r\n$4\r\nPIN\r\n",
                "*1\r\n$4\r\nPINGS\r\n",
                "*1\r\n$4\r\nPING\r",
                "*1\r\n$4\r\nPING",
                "*1\r\n$-1\r\n",
                "*1\r\n$04\r\nPING\r\n",
                "*1\r\n+PING\r\n",
                "*2\r\n$4\r\nPING\r\n",
                "*1\r\n$ 4\r\nPING\r\n",
                "*1\r\n$99999999999999999999\r\nPING\r\n",
                "*2147483648\r\n$4\r\nPING\r\n",
                "*1\r\n$4294967295\r\nPING\r\n",
                "*1\r\n$\r\n\r\n",
                "*1\r\n$4\rxPING\r\n",
                "$4\r\nPING\r\n",
                "*1 \r\n$4\r\nPING\r\n",
        };
        struct mt_bytes rest = mt_bytes(two, sizeof two - 1);
        size_t          used = 0;

        ck_assert_int_eq(command_from_resp(&command, rest, &used), COMMAND_OK);
        ck_assert_int_eq(command.class, COMMAND_GET);
        ck_assert(mt_bytes_equal(command_word(&command, 1), mt_bytes("a\0b", 3)));
        ck_assert_uint_eq(used, 22);
        ck_assert_int_eq(command_from_resp(&command, mt_bytes(two + used, sizeof two - 1 - used), &used), COMMAND_OK);
        ck_assert_int_eq(command.class, COMMAND_READ);
        ck_assert_uint_eq(used, 14);
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
                ck_assert_msg(command_from_resp(&command, mt_bytes_of(bad[i]), &used) == COMMAND_MALFORMED, "%s",
                              bad[i]);
        for (size_t n = 0; n < 22; n++) { /* none of its beginnings, each alone in its own block */
                char *part = malloc(n);

                memcpy(part, two, n);
                ck_assert_int_eq(command_from_resp(&command, mt_bytes(part, n), &used), COMMAND_MALFORMED);
                free(part);
        }
}
END_TEST

/* --------------------------------------------------------------------------------------------------------- formats */

/* Words separated by '|', "" when it is not OK. */
static const char *words_of(enum command_parse parsed)
{
        static char text[4096];
        size_t      n = 0;

        text[0] = '\0';
        for (uint32_t i = 0; parsed == COMMAND_OK && i < command.argc; i++) {
                struct mt_bytes word = command_word(&command, i);

                n += (size_t)sprintf(text + n, "%s%.*s", i ? "|" : "", (int)word.len, word.ptr);
        }
        return text;
}

static enum command_parse from_format(const char *format, ...)
{
        enum command_parse parsed;
        va_list            ap;

        va_start(ap, format);
        parsed = command_from_format(&command, format, ap);
        va_end(ap);
        return parsed;
}

static bool get_format(struct mt_bytes *key, const char *format, ...)
{
        static char scratch[COMMAND_SCRATCH];
        bool        is_get;
        va_list     ap;

        va_start(ap, format);
        is_get = command_get_format(format, ap, key, scratch);
        va_end(ap);
        return is_get;
}

START_TEST(formats_seen_in_programs)
{
        struct mt_bytes key;
        char            large[2000];

        ck_assert_str_eq(words_of(from_format("SET %s %s", "k", "v w")), "SET|k|v w");
        ck_assert_str_eq(words_of(from_format("  SET  k:%d:%s  %b ", 7, "x", "v", (size_t)1)), "SET|k:7:x|v");
        ck_assert_str_eq(words_of(from_format("%s %s", "GET", "k")), "GET|k");
        ck_assert_int_eq(command.class, COMMAND_GET);
        ck_assert_str_eq(words_of(from_format("SET k %s", "")), "SET|k|");
        ck_assert_str_eq(words_of(from_format("SET k \"a b\"\t100%%")), "SET|k|\"a|b\"\t100%");
        ck_assert_int_eq(from_format(""), COMMAND_MALFORMED);
        ck_assert_int_eq(from_format("   "), COMMAND_MALFORMED);
        ck_assert_int_eq(from_format("SET k %q"), COMMAND_MALFORMED);
        ck_assert_int_eq(from_format("SET k %f", 1.5), COMMAND_FORMAT);
        ck_assert_int_eq(from_format("SET k %5"), COMMAND_MALFORMED);
        ck_assert_int_eq(from_format("SET k %500d", 1), COMMAND_FORMAT);
        ck_assert_int_eq(from_format("SET k %.500d", 1), COMMAND_FORMAT);

        memset(large, 'x', sizeof large - 1);
        large[sizeof large - 1] = '\0';
        ck_assert_int_eq(from_format("SET k %s", large), COMMAND_OK); /* one piece is never copied */
        ck_assert_ptr_eq(command_word(&command, 2).ptr, large);
        ck_assert_int_eq(from_format("SET k:%s v", large), COMMAND_FORMAT);
        ck_assert(!get_format(&key, "GET k:%s", large));
        ck_assert_int_eq(from_format(
                                 "DEL 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 "
                                 "31"),
                         COMMAND_OK);
        ck_assert_int_eq(from_format(
                                 "DEL 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 "
                                 "31 32"),
                         COMMAND_FORMAT);
}
END_TEST

START_TEST(the_quick_look)
{
        struct mt_bytes key;

        ck_assert(get_format(&key, "GET %s", "k") && mt_bytes_equal(key, mt_bytes_of("k")));
        ck_assert(get_format(&key, "get  %s ", "k") && mt_bytes_equal(key, mt_bytes_of("k")));
        ck_assert(get_format(&key, " gEt %b", "a\0b", (size_t)3) && mt_bytes_equal(key, mt_bytes("a\0b", 3)));
        ck_assert(get_format(&key, "GET user:%s", "k") && mt_bytes_equal(key, mt_bytes_of("user:k")));
        ck_assert(get_format(&key, "GET %s:%d", "k", -7) && mt_bytes_equal(key, mt_bytes_of("k:-7")));
        ck_assert(get_format(&key, "GET %lld", INT64_MIN) && mt_bytes_equal(key, mt_bytes_of("-9223372036854775808")));
        ck_assert(get_format(&key, "GET %lu%%", UINT64_MAX) &&
                  mt_bytes_equal(key, mt_bytes_of("18446744073709551615%")));
        ck_assert(get_format(&key, "GET %03x", 10) && mt_bytes_equal(key, mt_bytes_of("00a")));
        ck_assert(get_format(&key, "GET literal") && mt_bytes_equal(key, mt_bytes_of("literal")));
        ck_assert(get_format(&key, "GET %s", "") && key.len == 0);
        ck_assert(get_format(&key, "GET %%") && mt_bytes_equal(key, mt_bytes_of("%")));
        ck_assert(!get_format(&key, "GET"));
        ck_assert(!get_format(&key, "GET "));
        ck_assert(!get_format(&key, ""));
        ck_assert(!get_format(&key, "GET %s %s", "a", "b"));
        ck_assert(!get_format(&key, "GET a b"));
        ck_assert(!get_format(&key, "GETS %s", "a"));
        ck_assert(!get_format(&key, "GET%s", "a"));
        ck_assert(!get_format(&key, "GET\t%s", "a"));
        ck_assert(!get_format(&key, "GET %f", 1.0));
        ck_assert(!get_format(&key, "GET %q"));
        ck_assert(!get_format(&key, "SET %s", "a"));
}
END_TEST

/* Random formats. Every argument is one word wide where this runs (LP64, integers and pointers in the same registers
 * and slots), so that a list of long serves any format without floats. */
enum { SLOTS = 24 };
struct random_format {
        char     text[512];
        long     slot[SLOTS];
        unsigned slots;
};

static const char *const strings[] = {
        "", "k", "a b", "user:1000", "%s", "caf\xc3\xa9", "a rather long value of many words"};
static const char bytes[] = "a\0b c\r\n*1\r\n$";

static const char *pick(const char *const *from, size_t n)
{
        return from[(size_t)rand() % n];
}

static void add_integer(struct random_format *f)
{
        static const char *const lengths[] = {"", "", "hh", "h", "l", "ll"};
        static const char *const conversions[] = {"d", "i", "o", "u", "x", "X"};
        static const char *const flags[] = {"", "", "", "0", "-", "+", "#", " ", "+0", "-#"};
        static const char *const widths[] = {"",   "",  "",   "1",   "5",    "12",   "123",
                                             ".0", ".", ".3", "8.4", "2.12", "1.100"};
        static const long values[] = {0, 1, -1, 42, 255, 256, -32769, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};

        sprintf(f->text + strlen(f->text), "%%%s%s%s%s", pick(flags, 10), pick(widths, 13), pick(lengths, 6),
                pick(conversions, 6));
        f->slot[f->slots++] = values[rand() % 11];
}

static void add_piece(struct random_format *f)
{
        static const char *const literals[] = {"k", "user:", "\t", "\"", "'", "\n", "%%", "s", "\xff", "long literal"};
        static const char *const bad[] = {"%q",  "%c",  "%p",  "%lf",   "%hs",   "%*d",
                                          "%zu", "%jd", "%Lf", "%llld", "%hhhd", "%n"};
        char                    *end = f->text + strlen(f->text);

        switch (rand() % 40) {
        case 0: strcpy(end, pick(bad, 12)); break;
        case 1:
                strcpy(end, "%++++++++++++d"); /* 14 letters */
                f->slot[f->slots++] = 5;
                break;
        case 2 ... 11:
                strcpy(end, "%s");
                f->slot[f->slots++] = (long)pick(strings, 7);
                break;
        case 12 ... 17:
                strcpy(end, "%b");
                f->slot[f->slots++] = (long)bytes;
                f->slot[f->slots++] = rand() % (long)sizeof bytes;
                break;
        case 18 ... 25: add_integer(f); break;
        case 26 ... 32: strcpy(end, rand() % 4 ? " " : "   "); break;
        default: strcpy(end, pick(literals, 10));
        }
}

static void make_format(struct random_format *f)
{
        static const char *const starts[] = {"GET ", "get  ", " GeT ", "GET", "SET ", "", "GET k", "DEL "};
        int                      pieces = rand() % 8;

        memset(f, 0, sizeof *f);
        strcpy(f->text, pick(starts, 8));
        while (pieces-- > 0)
                add_piece(f);
        if (rand() % 16 == 0)
                strcat(f->text, "%");
}

/* The same list for all three: theirs, ours, the quick look. */
struct answers {
        char              *theirs;
        int                len;
        enum command_parse parsed;
        bool               is_get;
        struct mt_bytes    key;
        char               scratch[COMMAND_SCRATCH];
};

static void ask(struct answers *a, const char *format, ...)
{
        va_list ap, copy;

        va_start(ap, format);
        va_copy(copy, ap);
        a->len = redisvFormatCommand(&a->theirs, format, copy);
        va_end(copy);
        a->is_get = command_get_format(format, ap, &a->key, a->scratch);
        a->parsed = command_from_format(&command, format, ap);
        va_end(ap);
}

static void ask_all(struct answers *a, const struct random_format *f)
{
        const long *s = f->slot;

        ask(a, f->text, s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11], s[12], s[13], s[14],
            s[15], s[16], s[17], s[18], s[19], s[20], s[21], s[22], s[23]);
}

/* Ours, written as hiredis would. */
static size_t render(char *out)
{
        size_t n = (size_t)sprintf(out, "*%u\r\n", command.argc);

        for (uint32_t i = 0; i < command.argc; i++) {
                struct mt_bytes word = command_word(&command, i);

                n += (size_t)sprintf(out + n, "$%zu\r\n", word.len);
                memcpy(out + n, word.ptr, word.len);
                n += word.len;
                memcpy(out + n, "\r\n", 2);
                n += 2;
        }
        return n;
}

static void check_quick_look(const struct answers *a, const char *text)
{
        bool general = a->parsed == COMMAND_OK && command.argc == 2 && command.token[0].len == 3 &&
                       strncasecmp(command.token[0].ptr, "GET", 3) == 0;
        bool literal_verb = strncasecmp(text + strspn(text, " "), "GET ", 4) == 0;

        if (a->is_get)
                ck_assert_msg(general && mt_bytes_equal(a->key, command.token[1]), "%s", text);
        else
                ck_assert_msg(!general || !literal_verb, "%s", text);
}

START_TEST(as_hiredis_formats)
{
        static char          ours[8192];
        struct random_format f;
        struct answers       a;
        unsigned             followed = 0, gets = 0;
        enum { CASES = 220000 };

        srand(1);
        for (int i = 0; i < CASES; i++) {
                make_format(&f);
                a.theirs = NULL;
                ask_all(&a, &f);
                check_quick_look(&a, f.text);
                if (a.parsed == COMMAND_OK) {
                        size_t n = render(ours), used;
                        enum command_class class = command.class;

                        ck_assert_msg(a.len == (int)n && memcmp(a.theirs, ours, n) == 0, "%s: %.*s", f.text, (int)n,
                                      ours);
                        ck_assert_int_eq(command_from_resp(&command, mt_bytes(a.theirs, n), &used), COMMAND_OK);
                        ck_assert_uint_eq(used, n);
                        ck_assert_int_eq(command.class, class);
                        ck_assert(render(ours + 4096) == n && memcmp(ours, ours + 4096, n) == 0);
                        followed++;
                        gets += a.is_get;
                } else if (a.parsed == COMMAND_MALFORMED) {
                        ck_assert_msg(a.len < 0 || strcmp(a.theirs, "*0\r\n") == 0, "%s: %d", f.text, a.len);
                }
                redisFreeCommand(a.theirs);
        }
        ck_assert_uint_gt(followed, CASES * 7 / 10);
        ck_assert_uint_gt(gets, CASES / 10);
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("command");
        TCase   *tcase = tcase_create("command");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_set_timeout(tcase, 170);
        tcase_add_test(tcase, table_is_in_order);
        tcase_add_test(tcase, every_row_is_found);
        tcase_add_test(tcase, what_is_no_row);
        tcase_add_test(tcase, classes);
        tcase_add_test(tcase, what_reads);
        tcase_add_test(tcase, named_keys);
        tcase_add_test(tcase, many_keys);
        tcase_add_test(tcase, keys_beyond_the_tokens);
        tcase_add_test(tcase, from_argv);
        tcase_add_test(tcase, from_resp);
        tcase_add_test(tcase, formats_seen_in_programs);
        tcase_add_test(tcase, the_quick_look);
        tcase_add_test(tcase, as_hiredis_formats);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
