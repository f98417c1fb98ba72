/* check_server.c - what we say of Redis, asked of Redis: is every command in the table, does no write pass as a
 * read, are a write's keys the ones that the server would lock, do globs match what KEYS finds. */
#include "redis_fixture.h"

#include "l1/base/glob.h"
#include "shim/command/command.h"

#include <strings.h>

static redisContext  *connection;
static struct command command;

static void setup(void)
{
        fixture_folder();
        fixture_start_redis(NULL);
        connection = fixture_connect();
}

static void teardown(void)
{
        char line[64];

        redisFree(connection);
        fixture_end(redis_pid);
        snprintf(line, sizeof line, "rm -rf %s", folder);
        ck_assert_int_eq(system(line), 0);
}

/* ------------------------------------------------------------------------------------------------------- commands */

/* One entry of COMMAND's reply: name, arity, flags, first, last, step, acl categories, tips, key specs, sub-commands.
 */
struct entry {
        const char *name;
        long long   arity;
        bool        write, movable;
        redisReply *subs;
};

static bool has_flag(const redisReply *flags, const char *flag)
{
        for (size_t i = 0; i < flags->elements; i++)
                if (strcmp(flags->element[i]->str, flag) == 0)
                        return true;
        return false;
}

static struct entry entry_of(const redisReply *reply)
{
        ck_assert_uint_eq(reply->elements, 10);
        return (struct entry){
                .name = reply->element[0]->str,
                .arity = reply->element[1]->integer,
                .write = has_flag(reply->element[2], "write"),
                .movable = has_flag(reply->element[2], "movablekeys"),
                .subs = reply->element[9],
        };
}

static const struct command_row *row_of(const struct entry *entry)
{
        const char *bar = strchr(entry->name, '|');

        if (bar)
                return command_find(mt_bytes(entry->name, (size_t)(bar - entry->name)), mt_bytes_of(bar + 1));
        return command_find(mt_bytes_of(entry->name), mt_bytes("", 0));
}

static bool may_write(enum command_class class)
{
        return class == COMMAND_WRITE || class == COMMAND_SCRIPT || class == COMMAND_OPAQUE ||
               class == COMMAND_FLUSHDB || class == COMMAND_FLUSHALL || class == COMMAND_SWAPDB;
}

/* Every command and sub-command of the server; how many there were. */
static unsigned each_entry(void (*f)(const struct entry *))
{
        redisReply *all = redisCommand(connection, "COMMAND");
        unsigned    n = 0;

        ck_assert_ptr_nonnull(all);
        for (size_t i = 0; i < all->elements; i++, n++) {
                struct entry entry = entry_of(all->element[i]);

                f(&entry);
                for (size_t j = 0; j < entry.subs->elements; j++, n++) {
                        struct entry sub = entry_of(entry.subs->element[j]);

                        f(&sub);
                }
        }
        freeReplyObject(all);
        return n;
}

static void check_class(const struct entry *entry)
{
        const struct command_row *row = row_of(entry);

        ck_assert_msg(row && strcasecmp(row->name, entry->name) == 0, "%s is not in the table", entry->name);
        ck_assert_msg(!entry->write || may_write(row->class), "%s writes", entry->name);
        ck_assert_msg(row->class != COMMAND_UNKNOWN || entry->subs->elements > 0, "%s is unknown", entry->name);
        /* And the other way: what only reads is not cleared for, but for those that write under conditions. */
        if (row->class == COMMAND_WRITE)
                ck_assert_msg(entry->write || strcmp(row->name, "PFCOUNT") == 0, "%s does not write", entry->name);
}

START_TEST(every_command_has_its_class)
{
        ck_assert_uint_gt(each_entry(check_class), 350);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------------ keys */

enum { WORDS_MAX = 24 };

static char ours[4096], theirs[4096];

static void list(void *out, struct mt_bytes key)
{
        size_t n = strlen(out);

        snprintf((char *)out + n, sizeof ours - n, "%.*s ", (int)key.len, key.ptr);
}

/* COMMAND GETKEYS and command_each_key() on the same words: the same keys in the same order, or more of them. */
static void compare_keys(int argc, const char **argv, bool more)
{
        const char *ask[WORDS_MAX + 2] = {"COMMAND", "GETKEYS"};
        redisReply *reply;

        memcpy(ask + 2, argv, (size_t)argc * sizeof *argv);
        reply = redisCommandArgv(connection, argc + 2, ask, NULL);
        ck_assert_ptr_nonnull(reply);
        ck_assert_msg(reply->type == REDIS_REPLY_ARRAY, "%s %s: %s", argv[0], argv[1], reply->str);
        ours[0] = theirs[0] = '\0';
        for (size_t i = 0; i < reply->elements; i++)
                list(theirs, mt_bytes(reply->element[i]->str, reply->element[i]->len));

        ck_assert_int_eq(command_from_argv(&command, argc, argv, NULL), COMMAND_OK);
        ck_assert_msg(command_each_key(&command, list, ours), "%s", argv[0]);
        for (size_t i = 0; more && i < reply->elements; i++)
                ck_assert_msg(strstr(ours, reply->element[i]->str) != NULL, "%s: %s, not %s", argv[0], ours, theirs);
        if (!more)
                ck_assert_msg(strcmp(ours, theirs) == 0, "%s: %s, not %s", argv[0], ours, theirs);
        freeReplyObject(reply);
}

static int split(char *text, const char **argv)
{
        char *save;
        int   argc = 0;

        for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
                ck_assert_int_lt(argc, WORDS_MAX);
                argv[argc++] = strcmp(word, "''") == 0 ? "" : word;
        }
        return argc;
}

/* Commands whose keys are found by reading their words. '+': we name more than the server does. */
static const char *const examples[] = {
        "EVAL script 2 k1 k2 a",
        "EVAL script 1 k1",
        "EVALSHA sha 2 k1 k2 a",
        "FCALL f 3 k1 k2 k3 a b",
        "ZUNIONSTORE d 2 k1 k2 WEIGHTS 1 2 AGGREGATE MAX",
        "ZINTERSTORE d 1 k1",
        "ZDIFFSTORE d 2 k1 k2",
        "LMPOP 2 k1 k2 LEFT COUNT 3",
        "BLMPOP 0 2 k1 k2 LEFT",
        "ZMPOP 1 k1 MIN",
        "BZMPOP 0 2 k1 k2 MAX",
        "XREADGROUP GROUP g c STREAMS k1 0",
        "XREADGROUP GROUP g c COUNT 5 BLOCK 10 NOACK STREAMS k1 k2 k3 > > >",
        "XREADGROUP GROUP streams count streams k1 >",
        "SORT k1",
        "SORT k1 BY w_* LIMIT 0 5 GET # DESC ALPHA STORE d",
        "+SORT k1 GET STORE STORE d",
        "+SORT k1 STORE d1 STORE d2",
        "GEORADIUS k1 1 2 3 km",
        "GEORADIUS k1 1 2 3 km STORE d",
        "GEORADIUS k1 1 2 3 km WITHDIST STOREDIST d",
        "GEORADIUSBYMEMBER k1 m 3 km",
        "GEORADIUSBYMEMBER k1 m 3 km store d",
        "+GEORADIUSBYMEMBER k1 m 3 km STORE d1 STOREDIST d2",
        "MIGRATE h 1 k1 0 10",
        "MIGRATE h 1 k1 0 10 COPY REPLACE",
        "MIGRATE h 1 '' 0 10 KEYS k1 k2 k3",
        "MIGRATE h 1 '' 0 10 COPY AUTH2 u p KEYS k1",
        "+MIGRATE h 1 '' 0 10 AUTH keys KEYS k1",
};
enum { EXAMPLES = sizeof examples / sizeof examples[0] };

START_TEST(keys_found_by_reading)
{
        for (size_t i = 0; i < EXAMPLES; i++) {
                const char *argv[WORDS_MAX];
                char        text[256];
                bool        more = examples[i][0] == '+';

                snprintf(text, sizeof text, "%s", examples[i] + more);
                compare_keys(split(text, argv), argv, more);
        }
}
END_TEST

static bool has_example(const char *name)
{
        size_t n = strlen(name);

        for (size_t i = 0; i < EXAMPLES; i++)
                if (strncasecmp(examples[i], name, n) == 0 && examples[i][n] == ' ')
                        return true;
        return false;
}

static unsigned compared;

/* The fewest words that the command takes, and some more where it takes more. */
static void check_keys(const struct entry *entry)
{
        const struct command_row *row = row_of(entry);
        const char               *argv[WORDS_MAX];
        char                      name[64], words[WORDS_MAX][8], *bar;
        int                       least = (int)(entry->arity < 0 ? -entry->arity : entry->arity);

        if (row->class != COMMAND_WRITE && row->class != COMMAND_SCRIPT)
                return;
        compared++;
        if (entry->movable) {
                ck_assert_msg(has_example(entry->name), "%s has no example", entry->name);
                return;
        }
        snprintf(name, sizeof name, "%s", entry->name);
        argv[0] = name;
        for (int i = 1; i < WORDS_MAX; i++) {
                snprintf(words[i], sizeof words[i], "w%d", i);
                argv[i] = words[i];
        }
        bar = strchr(name, '|');
        if (bar) {
                *bar = '\0';
                argv[1] = bar + 1;
        }
        /* "PFMERGE destination" alone is a command, but one whose keys the server itself cannot tell. */
        if (strcasecmp(name, "PFMERGE") == 0)
                least++;
        for (int argc = least; argc <= (entry->arity < 0 ? least + 4 : least); argc += 2)
                compare_keys(argc, argv, false);
}

START_TEST(keys_of_every_write)
{
        each_entry(check_keys);
        ck_assert_uint_gt(compared, 100);
}
END_TEST

/* ----------------------------------------------------------------------------------------------------------- globs */

static void random_text(char *out, size_t max, const char *letters, size_t n)
{
        size_t len = 1 + (size_t)rand() % max;

        for (size_t i = 0; i < len; i++)
                out[i] = letters[(size_t)rand() % n];
        out[len] = '\0';
}

/* Of the keys there are, KEYS finds exactly those that match. (Not the empty key: see glob.h.) */
START_TEST(globs)
{
        enum { KEYS = 200, PATTERNS = 1500 };
        static char key[KEYS][8];
        char        pattern[12];
        unsigned    found = 0;

        srand(1);
        for (int i = 0; i < KEYS; i++) {
                random_text(key[i], 6, "aabc-^]\\\xe9\x01", 10);
                freeReplyObject(redisCommand(connection, "SET %s v", key[i]));
        }
        for (int i = 0; i < PATTERNS; i++) {
                redisReply *reply;

                random_text(pattern, 8, "aabc**?[]^-\\\xe9\x01", 14);
                reply = redisCommand(connection, "KEYS %s", pattern);
                ck_assert_ptr_nonnull(reply);
                for (size_t j = 0; j < reply->elements; j++)
                        ck_assert_msg(glob_match(mt_bytes_of(pattern), mt_bytes_of(reply->element[j]->str)), "%s %s",
                                      pattern, reply->element[j]->str);
                for (int j = 0; j < KEYS; j++) {
                        bool listed = false;

                        for (size_t k = 0; k < reply->elements && !listed; k++)
                                listed = strcmp(reply->element[k]->str, key[j]) == 0;
                        ck_assert_msg(listed == glob_match(mt_bytes_of(pattern), mt_bytes_of(key[j])), "%s %s", pattern,
                                      key[j]);
                }
                found += (unsigned)reply->elements;
                freeReplyObject(reply);
        }
        ck_assert_uint_gt(found, PATTERNS);
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("server");
        TCase   *tcase = tcase_create("server");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_set_timeout(tcase, 170);
        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, every_command_has_its_class);
        tcase_add_test(tcase, keys_found_by_reading);
        tcase_add_test(tcase, keys_of_every_write);
        tcase_add_test(tcase, globs);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
