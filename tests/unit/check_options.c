/* check_options.c - the three layers, each kind of value good and bad, and the line that a bad one gets. Each test runs
 * in its own process; what was logged is read back from the file that MTSHIM_LOG names. */
#include "l1/base/clock.h"
#include "l1/base/log.h"
#include "l1/base/options.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct options options;
static char           directory[] = "/tmp/mtshim-options-XXXXXX";
static char           log_file[64], conf_file[64], lines[32768];

static void setup(void)
{
        ck_assert_ptr_nonnull(mkdtemp(directory));
        snprintf(log_file, sizeof log_file, "%s/log", directory);
        snprintf(conf_file, sizeof conf_file, "%s/conf", directory);
        clearenv();
        setenv("MTSHIM_LOG", log_file, 1);
}

static void teardown(void)
{
        unlink(log_file);
        unlink(conf_file);
        rmdir(directory);
}

static void write_conf(const char *text, size_t len)
{
        int fd = open(conf_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

        ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
        close(fd);
        setenv("MTSHIM_CONF", conf_file, 1);
}

/* Loads, and returns how many lines were said; they are in `lines` then, the pid taken away. */
static int load(void)
{
        char  line[2048];
        FILE *file;
        int   n = 0;

        unlink(log_file);
        lines[0] = '\0';
        errno = EDOM;
        options_load(&options);
        ck_assert_int_eq(errno, EDOM);
        file = fopen(log_file, "r");
        while (file && fgets(line, sizeof line, file)) {
                char *message = strstr(line, ": ");

                ck_assert_ptr_nonnull(message);
                strncat(lines, message + 2, sizeof lines - strlen(lines) - 1);
                n++;
        }
        if (file)
                fclose(file);
        return n;
}

static const char *in_force(enum option_id id)
{
        static char text[RULES_TEXT_MAX * 2];

        options_format(&options, id, text, sizeof text);
        return text;
}

START_TEST(defaults)
{
        ck_assert_int_eq(load(), 0);
        ck_assert(options.enable && options.negative);
        ck_assert(!options.show_stats && !options.abort_conf && !options.refused && !options.complained);
        ck_assert_str_eq(options.segment, "default");
        ck_assert_uint_eq(options.l1_size_bytes, 64 << 20);
        ck_assert_uint_eq(options.l1_max_item_bytes, 1 << 20);
        ck_assert_uint_eq(options.l1_ttl_ns, 300 * NS_PER_S);
        ck_assert_uint_eq(options.max_staleness_ns, NS_PER_S);
        ck_assert_uint_eq(options.invalidation, 0);
        ck_assert_uint_eq(options.rules.count, 0);
        ck_assert_str_eq(options.user, "");
        ck_assert_str_eq(options.password_file, "");
        ck_assert_uint_eq(options.log_level, LOG_WARN);
        for (int id = 0; id < OPTION_COUNT; id++)
                ck_assert_int_eq(options.origin[id], id == OPTION_log ? ORIGIN_ENVIRONMENT : ORIGIN_DEFAULT);
}
END_TEST

START_TEST(no_environment)
{
        environ = NULL;
        options_load(&options);
        ck_assert(options.enable && !options.complained);
}
END_TEST

START_TEST(environment_over_file_over_default)
{
        static const char conf[] = "# a comment\n\n  l1_size = 8M  \r\nL1-TTL=10s\nuser=alice\n"
                                   "rules = a*=bypass;b=ttl:5s\nlog_level = debug\nenable=0";

        write_conf(conf, sizeof conf - 1);
        setenv("MTSHIM_L1_TTL", "20s", 1);
        setenv("MTSHIM_MAX_STALENESS", "50ms", 1);
        setenv("MTSHIM_USER", "", 1); /* empty: as if it were not there */
        ck_assert_int_eq(load(), 0);
        ck_assert_uint_eq(options.l1_size_bytes, 8 << 20);
        ck_assert_uint_eq(options.l1_ttl_ns, 20 * NS_PER_S);
        ck_assert_uint_eq(options.max_staleness_ns, 50 * NS_PER_MS);
        ck_assert_str_eq(options.user, "alice");
        ck_assert_uint_eq(options.rules.count, 2);
        ck_assert_uint_eq(options.log_level, LOG_DEBUG);
        ck_assert(!options.enable);
        ck_assert_str_eq(options.conf, conf_file);
        ck_assert_int_eq(options.origin[OPTION_l1_size], ORIGIN_FILE);
        ck_assert_int_eq(options.origin[OPTION_l1_ttl], ORIGIN_ENVIRONMENT);
        ck_assert_int_eq(options.origin[OPTION_user], ORIGIN_FILE);
        ck_assert_int_eq(options.origin[OPTION_segment], ORIGIN_DEFAULT);
        ck_assert_int_eq(options.origin[OPTION_conf], ORIGIN_ENVIRONMENT);
        ck_assert_uint_eq(options.l1_max_item_bytes, 1 << 20); /* an eighth of 8M: just right */
}
END_TEST

START_TEST(bad_values)
{
        static const struct {
                const char *variable, *value, *line;
                int         id;
        } cases[] = {
                {"MTSHIM_ENABLE", "yes", "MTSHIM_ENABLE='yes' is not one of 0|1; '1' is used\n", OPTION_enable},
                {"MTSHIM_SEGMENT", "a/b", "MTSHIM_SEGMENT='a/b' is not 1..63 of A-Z a-z 0-9 . _ -; 'default' is used\n",
                 OPTION_segment},
                {"MTSHIM_L1_SIZE", "64Q", "MTSHIM_L1_SIZE='64Q' is not a size within 2M..1T; '64M' is used\n",
                 OPTION_l1_size},
                {"MTSHIM_L1_SIZE", "1M", "MTSHIM_L1_SIZE='1M' is not a size within 2M..1T; '64M' is used\n",
                 OPTION_l1_size},
                {"MTSHIM_L1_SIZE", "2T", "MTSHIM_L1_SIZE='2T' is not a size within 2M..1T; '64M' is used\n",
                 OPTION_l1_size},
                {"MTSHIM_L1_MAX_ITEM", "4G", "MTSHIM_L1_MAX_ITEM='4G' is not a size within 1..4194240K; '1M' is used\n",
                 OPTION_l1_max_item},
                {"MTSHIM_L1_TTL", "0", "MTSHIM_L1_TTL='0' is not a duration within 1s..365d; '5m' is used\n",
                 OPTION_l1_ttl},
                {"MTSHIM_TTL_SCALE", "0", "MTSHIM_TTL_SCALE='0' is not a number within 0.001..1000; '1' is used\n",
                 OPTION_ttl_scale},
                {"MTSHIM_TTL_SCALE", "half",
                 "MTSHIM_TTL_SCALE='half' is not a number within 0.001..1000; '1' is used\n", OPTION_ttl_scale},
                {"MTSHIM_TTL_JITTER", "1", "MTSHIM_TTL_JITTER='1' is not a number within 0..0.999999; '0' is used\n",
                 OPTION_ttl_jitter},
                {"MTSHIM_TTL_JITTER", "-0.1",
                 "MTSHIM_TTL_JITTER='-0.1' is not a number within 0..0.999999; '0' is used\n", OPTION_ttl_jitter},
                {"MTSHIM_MAX_STALENESS", "19ms",
                 "MTSHIM_MAX_STALENESS='19ms' is not a duration within 20ms..1h; '1s' is used\n", OPTION_max_staleness},
                {"MTSHIM_INVALIDATION", "streams",
                 "MTSHIM_INVALIDATION='streams' is not one of tracking|pubsub|stream|none; 'tracking' is used\n",
                 OPTION_invalidation},
                {"MTSHIM_INVALIDATION_FALLBACK", "stream",
                 "MTSHIM_INVALIDATION_FALLBACK='stream' is not one of bypass|pubsub|ttl; 'bypass' is used\n",
                 OPTION_invalidation_fallback},
                {"MTSHIM_AUDIT_MAXLEN", "0",
                 "MTSHIM_AUDIT_MAXLEN='0' is not a number within 1..1000000000; '100000' is used\n",
                 OPTION_audit_maxlen},
                {"MTSHIM_RULES", "a", "MTSHIM_RULES: 'a' is skipped: it is not of the form pattern=action\n",
                 OPTION_rules},
        };
        char before[OPTION_COUNT][64];

        ck_assert_int_eq(load(), 0);
        for (int id = 0; id < OPTION_COUNT; id++)
                options_format(&options, (enum option_id)id, before[id], sizeof before[id]);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                setenv(cases[i].variable, cases[i].value, 1);
                ck_assert_msg(load() == 1 && strcmp(lines, cases[i].line) == 0, "%s", lines);
                ck_assert(options.complained && !options.refused);
                ck_assert_str_eq(in_force((enum option_id)cases[i].id), before[cases[i].id]);
                unsetenv(cases[i].variable);
        }
}
END_TEST

/* Said before the log is where it should be: on descriptor 2, with what it quotes kept to one line. */
START_TEST(bad_log_level)
{
        char said[256] = {0};
        int  ends[2];

        ck_assert_int_eq(pipe(ends), 0);
        dup2(ends[1], 2);
        log_setup();
        setenv("MTSHIM_LOG_LEVEL", "loud\n", 1);
        ck_assert_int_eq(load(), 0);
        ck_assert_int_gt(read(ends[0], said, sizeof said - 1), 0);
        ck_assert_ptr_nonnull(
                strstr(said, ": MTSHIM_LOG_LEVEL='loud?' is not one of error|warn|info|debug; 'warn' is used\n"));
        ck_assert_uint_eq(options.log_level, LOG_WARN);
}
END_TEST

/* The layer below holds, and the line says where the bad value stands. */
START_TEST(bad_values_in_the_file)
{
        static const char conf[] = "l1_ttl=10s\nl1_size=1\nnonsense\nverify_server=1\nconf=/x\n=1\nabort = 1\n";
        char              expected[1024];

        write_conf(conf, sizeof conf - 1);
        setenv("MTSHIM_L1_TTL", "x", 1);
        ck_assert_int_eq(load(), 7);
        snprintf(expected, sizeof expected,
                 "MTSHIM_L1_SIZE='1' (%1$s, line 2) is not a size within 2M..1T; '64M' is used\n"
                 "nonsense (%1$s, line 3) is no option, ignored\n"
                 "verify_server (%1$s, line 4) is not in this version, ignored\n"
                 "conf (%1$s, line 5) is no option, ignored\n"
                 " (%1$s, line 6) is no option, ignored\n"
                 "abort (%1$s, line 7) is no option, ignored\n"
                 "MTSHIM_L1_TTL='x' is not a duration within 1s..365d; '10s' is used\n",
                 conf_file);
        ck_assert_str_eq(lines, expected);
        ck_assert_int_eq(options.origin[OPTION_l1_ttl], ORIGIN_FILE);
}
END_TEST

START_TEST(unknown_names)
{
        setenv("MTSHIM_STAMPEDE", "lease", 1);
        ck_assert_int_eq(load(), 1);
        ck_assert_str_eq(lines, "MTSHIM_STAMPEDE is not in this version, ignored\n");
        unsetenv("MTSHIM_STAMPEDE");
        setenv("MTSHIM_MAX_STALENES", "1s", 1);
        ck_assert_int_eq(load(), 1);
        ck_assert_str_eq(lines, "MTSHIM_MAX_STALENES is no option, ignored\n");
        unsetenv("MTSHIM_MAX_STALENES");
        setenv("MTSHIM_l1_ttl", "1s", 1); /* getenv() would not find it */
        ck_assert_int_eq(load(), 1);
        ck_assert_uint_eq(options.l1_ttl_ns, 300 * NS_PER_S);
        unsetenv("MTSHIM_l1_ttl");
        setenv("XMTSHIM_A", "1", 1);
        setenv("MTSHIMA", "1", 1);
        ck_assert_int_eq(load(), 0);
}
END_TEST

START_TEST(abort_conf)
{
        setenv("MTSHIM_ABORT_CONF", "1", 1);
        ck_assert_int_eq(load(), 0);
        ck_assert(!options.refused);
        setenv("MTSHIM_L1_TTL", "x", 1);
        ck_assert_int_eq(load(), 2);
        ck_assert_ptr_nonnull(strstr(lines, "nothing is cached"));
        ck_assert(options.refused);
}
END_TEST

START_TEST(files_that_are_none)
{
        static char large[70 * 1024];

        setenv("MTSHIM_CONF", "/nonexistent/conf", 1);
        ck_assert_int_eq(load(), 1);
        ck_assert_str_eq(lines, "MTSHIM_CONF='/nonexistent/conf' cannot be opened, ignored\n");
        setenv("MTSHIM_CONF", "/", 1);
        ck_assert_int_eq(load(), 1);
        ck_assert_str_eq(lines, "MTSHIM_CONF='/' is not a regular file, ignored\n");
        ck_assert_int_eq(mkfifo(conf_file, 0600), 0);
        setenv("MTSHIM_CONF", conf_file, 1);
        ck_assert_int_eq(load(), 1); /* and does not wait for a writer */
        unlink(conf_file);
        memset(large, '\n', sizeof large);
        memcpy(large, "enable=0", 8);
        write_conf(large, sizeof large);
        ck_assert_int_eq(load(), 1);
        ck_assert(options.enable);
        write_conf(large, 64 * 1024);
        ck_assert_int_eq(load(), 0);
        ck_assert(!options.enable);
        write_conf("user=a\0b\n", 9);
        ck_assert_int_eq(load(), 1);
        ck_assert_str_eq(options.user, "");
        write_conf("", 0);
        ck_assert_int_eq(load(), 0);
}
END_TEST

START_TEST(long_values)
{
        static char value[PATH_MAX + 1];

        memset(value, 'x', 255);
        setenv("MTSHIM_USER", value, 1);
        ck_assert_int_eq(load(), 0);
        ck_assert_str_eq(options.user, value);
        value[255] = 'x';
        setenv("MTSHIM_USER", value, 1);
        ck_assert_int_eq(load(), 1);
        ck_assert_str_eq(options.user, "");
        unsetenv("MTSHIM_USER");
        memset(value, 'x', PATH_MAX);
        setenv("MTSHIM_PASSWORD_FILE", value, 1);
        ck_assert_int_eq(load(), 1);
        value[64] = '\0';
        setenv("MTSHIM_SEGMENT", value, 1);
        unsetenv("MTSHIM_PASSWORD_FILE");
        ck_assert_int_eq(load(), 1);
        value[63] = '\0';
        setenv("MTSHIM_SEGMENT", value, 1);
        ck_assert_int_eq(load(), 0);
        ck_assert_str_eq(options.segment, value);
}
END_TEST

START_TEST(max_item_leaves_room)
{
        setenv("MTSHIM_L1_SIZE", "4M", 1);
        ck_assert_int_eq(load(), 0); /* the default shrinks in silence */
        ck_assert_uint_eq(options.l1_max_item_bytes, 512 << 10);
        setenv("MTSHIM_L1_MAX_ITEM", "3M", 1);
        ck_assert_int_eq(load(), 1);
        ck_assert_str_eq(lines, "MTSHIM_L1_MAX_ITEM='3M' is more than an eighth of MTSHIM_L1_SIZE; '512K' is used\n");
        ck_assert_uint_eq(options.l1_max_item_bytes, 512 << 10);
}
END_TEST

/* What is printed is what would have to be written. */
START_TEST(written_and_read_back)
{
        struct options first;
        char           variable[OPTION_VARIABLE_MAX];

        setenv("MTSHIM_L1_SIZE", "1025M", 1);
        setenv("MTSHIM_L1_TTL", "90s", 1);
        setenv("MTSHIM_INVALIDATION", "none", 1);
        setenv("MTSHIM_RULES", "a*=ttl:1500ms;b\\;c=bypass", 1);
        setenv("MTSHIM_NEGATIVE", "0", 1);
        setenv("MTSHIM_PASSWORD_FILE", "/etc/secret", 1);
        ck_assert_int_eq(load(), 0);
        ck_assert_uint_eq(options.invalidation, 3);
        ck_assert(!options.negative);
        first = options;
        for (int id = 0; id < OPTION_COUNT; id++) {
                options_variable((enum option_id)id, variable);
                setenv(variable, in_force((enum option_id)id), 1);
        }
        unsetenv("MTSHIM_CONF");
        ck_assert_int_eq(load(), 0);
        memcpy(options.origin, first.origin, sizeof first.origin);
        ck_assert_mem_eq(&options, &first, sizeof first);
}
END_TEST

START_TEST(names)
{
        char variable[OPTION_VARIABLE_MAX];

        ck_assert_int_eq(options_find(mt_bytes_of("l1_size")), OPTION_l1_size);
        ck_assert_int_eq(options_find(mt_bytes_of("L1-Size")), OPTION_l1_size);
        ck_assert_int_eq(options_find(mt_bytes_of("MTSHIM_L1_SIZE")), OPTION_l1_size);
        ck_assert_int_eq(options_find(mt_bytes_of("l1_siz")), -1);
        ck_assert_int_eq(options_find(mt_bytes_of("l1_sizes")), -1);
        ck_assert_int_eq(options_find(mt_bytes_of("")), -1);
        ck_assert_int_eq(options_find(mt_bytes_of("MTSHIM_")), -1);
        for (int id = 0; id < OPTION_COUNT; id++) {
                options_variable((enum option_id)id, variable);
                ck_assert_int_eq(options_find(mt_bytes_of(variable)), id);
                ck_assert_uint_lt(strlen(option_rows[id].sentence), 80);
        }
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("options");
        TCase   *tcase = tcase_create("options");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, defaults);
        tcase_add_test(tcase, no_environment);
        tcase_add_test(tcase, environment_over_file_over_default);
        tcase_add_test(tcase, bad_values);
        tcase_add_test(tcase, bad_log_level);
        tcase_add_test(tcase, bad_values_in_the_file);
        tcase_add_test(tcase, unknown_names);
        tcase_add_test(tcase, abort_conf);
        tcase_add_test(tcase, files_that_are_none);
        tcase_add_test(tcase, long_values);
        tcase_add_test(tcase, max_item_leaves_room);
        tcase_add_test(tcase, written_and_read_back);
        tcase_add_test(tcase, names);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
