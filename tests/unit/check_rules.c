/* check_rules.c - MTSHIM_RULES: what is taken, what is skipped and told, which rule a key gets. */
#include "l1/base/clock.h"
#include "l1/base/rules.h"
#include "l1/base/units.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct rules rules;
static unsigned     complaints;
static char         last_rule[256], last_why[256];

static void complain(void *arg, struct mt_bytes rule, const char *why)
{
        ck_assert_ptr_eq(arg, &rules);
        complaints++;
        snprintf(last_rule, sizeof last_rule, "%.*s", (int)rule.len, rule.ptr);
        snprintf(last_why, sizeof last_why, "%s", why);
}

static void parse(const char *text)
{
        complaints = 0;
        rules_parse(&rules, mt_bytes_of(text), complain, &rules);
}

/* -1: no rule. */
static int place(const char *key)
{
        const struct rule *rule = rules_match(&rules, mt_bytes_of(key));

        return rule ? (int)(rule - rules.rule) : -1;
}

START_TEST(no_rules)
{
        const char *texts[] = {"*", "", " * ", ";", " ; ;"};

        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
                parse(texts[i]);
                ck_assert_uint_eq(rules.count, 0);
                ck_assert_uint_eq(complaints, 0);
                ck_assert_int_eq(place("x"), -1);
        }
}
END_TEST

START_TEST(first_match_wins)
{
        parse("session:*=ttl:10s; secret:*=bypass;exact=ttl:1500ms;*:[0-9]?=bypass;sess*=bypass;*=ttl:1h");
        ck_assert_uint_eq(complaints, 0);
        ck_assert_uint_eq(rules.count, 6);
        ck_assert_int_eq(place("session:1"), 0);
        ck_assert_int_eq(place("session:"), 0);
        ck_assert_int_eq(place("session"), 4);
        ck_assert_int_eq(place("secret:x"), 1);
        ck_assert_int_eq(place("exact"), 2);
        ck_assert_int_eq(place("exactly"), 5);
        ck_assert_int_eq(place("a:12"), 3);
        ck_assert_int_eq(place("a:1"), 5);
        ck_assert_int_eq(place(""), 5);
        ck_assert_uint_eq(rules.rule[0].flags, RULE_TTL);
        ck_assert_uint_eq(rules.rule[0].ttl_ns, 10 * NS_PER_S);
        ck_assert_uint_eq(rules.rule[2].ttl_ns, 1500 * NS_PER_MS);
        ck_assert_uint_eq(rules.rule[1].flags, RULE_BYPASS);
        ck_assert_int_eq(rules_match(&rules, mt_bytes(NULL, 0)) - rules.rule, 5);
}
END_TEST

START_TEST(bad_rules_are_skipped)
{
        static const char action[] = "its action is none of bypass, ttl:DURATION, strategy:NAME, tiers";
        static const char strategy[] = "its strategy is none of default, realtime, short, medium, long";
        static const char twice[] = "it says the same thing twice";
        static const struct {
                const char *text, *rule, *why;
        } cases[] = {
                {"a=bypass;b;c=bypass", "b", "it is not of the form pattern=action"},
                {"a=bypass;=bypass;c=bypass", "=bypass", "its pattern is empty"},
                {"a=bypass;b=cache;c=bypass", "b=cache", action},
                {"a=bypass;b=ttl:;c=bypass", "b=ttl:", action},
                {"a=bypass;b=ttl:0;c=bypass", "b=ttl:0", "its ttl is not a duration of 1ms..365d"},
                {"a=bypass;b=ttl:3y;c=bypass", "b=ttl:3y", "its ttl is not a duration of 1ms..365d"},
                {"a=bypass;b=strategy:;c=bypass", "b=strategy:", action},
                {"a=bypass;b=strategy:custom;c=bypass", "b=strategy:custom", strategy},
                {"a=bypass;b=strategy:shor;c=bypass", "b=strategy:shor", strategy},
                {"a=bypass;b=tiers:1;c=bypass", "b=tiers:1", action},
                {"a=bypass;b=tiers,;c=bypass", "b=tiers,", action},
                {"a=bypass;b=,tiers;c=bypass", "b=,tiers", action},
                {"a=bypass;b=;c=bypass", "b=", action},
                {"a=bypass;b=ttl:1s,strategy:long;c=bypass", "b=ttl:1s,strategy:long", twice},
                {"a=bypass;b=tiers,ttl:1s, tiers;c=bypass", "b=tiers,ttl:1s, tiers", twice},
                {"a=bypass;b=ttl:1s,bypass;c=bypass", "b=ttl:1s,bypass", "bypass stands alone"},
                {"a=bypass;b=bypass,tiers;c=bypass", "b=bypass,tiers", "bypass stands alone"},
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                parse(cases[i].text);
                ck_assert_uint_eq(complaints, 1);
                ck_assert_str_eq(last_rule, cases[i].rule);
                ck_assert_str_eq(last_why, cases[i].why);
                ck_assert_uint_eq(rules.count, 2);
                ck_assert_int_eq(place("a"), 0);
                ck_assert_int_eq(place("c"), 1);
                ck_assert_int_eq(place("b"), -1);
        }
}
END_TEST

START_TEST(actions_in_a_list)
{
        static const struct {
                const char *key;
                uint32_t    flags;
                uint64_t    life_ns;
        } cases[] = {
                {"f:1", RULE_TTL | RULE_TIERS, 10 * NS_PER_S},
                {"g,h", RULE_TTL | RULE_TIERS, 1500 * NS_PER_MS},
                {"i", RULE_TIERS, 7 * NS_PER_S},
                {"j", RULE_TTL, 300 * NS_PER_S},
                {"k", RULE_TTL, 3600 * NS_PER_S},
                {"l", RULE_TTL, 3 * 3600 * NS_PER_S},
                {"m", RULE_TTL, 300 * NS_PER_S},
        };

        parse("f:*=strategy:realtime,tiers;g,h= tiers , ttl:1500ms ;i=tiers;j=strategy:short;k=strategy:medium;"
              "l=strategy:long;m=strategy:default");
        ck_assert_uint_eq(complaints, 0);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                const struct rule *rule = rules_match(&rules, mt_bytes_of(cases[i].key));

                ck_assert_ptr_nonnull(rule);
                ck_assert_uint_eq(rule->flags, cases[i].flags);
                ck_assert_uint_eq(rule_life_ns(rule, 7 * NS_PER_S), cases[i].life_ns);
        }
        ck_assert_uint_eq(rule_life_ns(NULL, 7), 7);
}
END_TEST

START_TEST(semicolons_and_equals_in_patterns)
{
        parse("a\\;b=bypass;c=d=bypass;e\\");
        ck_assert_uint_eq(rules.count, 2);
        ck_assert_uint_eq(complaints, 1);
        ck_assert_int_eq(place("a;b"), 0);
        ck_assert_int_eq(place("a\\;b"), -1);
        ck_assert_int_eq(place("c=d"), 1);
}
END_TEST

START_TEST(storage_is_bounded)
{
        static char text[70 * 16], large[2 * RULES_TEXT_MAX];

        for (int i = 0; i < 70; i++)
                sprintf(text + strlen(text), "k%d=bypass;", i);
        parse(text);
        ck_assert_uint_eq(rules.count, RULES_MAX);
        ck_assert_uint_eq(complaints, 6);
        ck_assert_int_eq(place("k63"), 63);
        ck_assert_int_eq(place("k64"), -1);

        memset(large, 'x', RULES_TEXT_MAX);
        strcpy(large + RULES_TEXT_MAX, "=bypass;y=bypass");
        parse(large);
        ck_assert_uint_eq(rules.count, 1);
        ck_assert_uint_eq(complaints, 1);
        ck_assert_str_eq(last_rule, "y=bypass");
        parse(large + 1);
        ck_assert_uint_eq(rules.count, 2);
        ck_assert_int_eq(place("y"), 1);
}
END_TEST

/* What is written parses back to what it was, and a copy stands on its own. */
START_TEST(written_and_read_back)
{
        const char  *text = "session:*=ttl:10s;a\\;b=bypass;f=strategy:realtime,tiers;g=ttl:1s,tiers;"
                            "h=tiers;i=strategy:long;*=ttl:1500ms";
        char         out[256];
        struct rules copy;

        parse(text);
        ck_assert_int_eq(rules_format(&rules, out, sizeof out), (int)strlen(text));
        ck_assert_str_eq(out, text);
        ck_assert_int_eq(rules_format(&rules, out, 9), (int)strlen(text));
        ck_assert_str_eq(out, "session:");
        copy = rules;
        memset(&rules, 0xff, sizeof rules);
        ck_assert_ptr_eq(rules_match(&copy, mt_bytes_of("session:1")), &copy.rule[0]);
}
END_TEST

/* Nothing that is parsed may be read beyond its end, whatever it holds (under valgrind and asan). */
START_TEST(noise)
{
        srand(1);
        for (int i = 0; i < 50000; i++) {
                size_t n = (size_t)rand() % 40;
                char  *text = malloc(n + 1);

                for (size_t j = 0; j < n; j++)
                        text[j] = "ab*?[]\\=;: t\tbypassttl:1s,strategy:longtiers"[rand() % 44];
                rules_parse(&rules, mt_bytes(text, n), complain, &rules);
                rules_match(&rules, mt_bytes(text, n));
                free(text);
        }
}
END_TEST

START_TEST(units)
{
        static const struct {
                const char *text;
                uint64_t    value;
                bool        size, time;
        } cases[] = {
                {"64M", 64 << 20, true, false},
                {"64m", 64 << 20, true, false},
                {"64m", 3840 * NS_PER_S, false, true},
                {"300s", 300 * NS_PER_S, false, true},
                {"5", 5, true, false},
                {"5", 5 * NS_PER_S, false, true},
                {"20ms", 20 * NS_PER_MS, false, true},
                {"010K", 10240, true, false},
                {"1d", 86400 * NS_PER_S, false, true},
                {"0", 0, true, true},
                {"2h", 7200 * NS_PER_S, false, true},
        };
        const char *bad[] = {"",
                             " ",
                             "M",
                             "s",
                             "-1",
                             "+1",
                             "0x10",
                             "1.5s",
                             "64MB",
                             "64 M",
                             "5 ",
                             "5 s",
                             "16E",
                             "1x",
                             "99999999999999999999",
                             "9223372036854775807h",
                             "1ss"};
        uint64_t    value;
        char        text[UNITS_TEXT_MAX];

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                if (cases[i].size)
                        ck_assert(units_parse_size(mt_bytes_of(cases[i].text), &value) && value == cases[i].value);
                if (cases[i].time)
                        ck_assert(units_parse_duration(mt_bytes_of(cases[i].text), &value) && value == cases[i].value);
        }
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
                ck_assert_msg(!units_parse_size(mt_bytes_of(bad[i]), &value), "'%s'", bad[i]);
                ck_assert_msg(!units_parse_duration(mt_bytes_of(bad[i]), &value), "'%s'", bad[i]);
        }
        units_format_size(64 << 20, text);
        ck_assert_str_eq(text, "64M");
        units_format_size(1025, text);
        ck_assert_str_eq(text, "1025");
        units_format_duration(300 * NS_PER_S, text);
        ck_assert_str_eq(text, "5m");
        units_format_duration(1500 * NS_PER_MS, text);
        ck_assert_str_eq(text, "1500ms");
        units_format_duration(0, text);
        ck_assert_str_eq(text, "0");
}
END_TEST

START_TEST(decimals)
{
        static const struct {
                const char *text;
                uint64_t    millionths;
                const char *back;
        } cases[] = {
                {"0", 0, "0"},
                {"1", 1000000, "1"},
                {"1.0", 1000000, "1"},
                {"0.5", 500000, "0.5"},
                {"0.25", 250000, "0.25"},
                {"0.000001", 1, "0.000001"},
                {"12.345678", 12345678, "12.345678"},
                {"100", 100000000, "100"},
                {"9223372036854.775807", INT64_MAX, "9223372036854.775807"},
        };
        const char *bad[] = {"",
                             ".",
                             ".5",
                             "1.",
                             "-1",
                             "+1",
                             "1e3",
                             "1,5",
                             "1.5 ",
                             " 1",
                             "0x1",
                             "nan",
                             "1.2.3",
                             "0.1234567",
                             "1.-5",
                             "9223372036854.775808",
                             "99999999999999999999"};
        uint64_t    value;
        char        text[UNITS_TEXT_MAX];

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                ck_assert(units_parse_decimal(mt_bytes_of(cases[i].text), &value));
                ck_assert_uint_eq(value, cases[i].millionths);
                units_format_decimal(value, text);
                ck_assert_str_eq(text, cases[i].back);
        }
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
                ck_assert_msg(!units_parse_decimal(mt_bytes_of(bad[i]), &value), "'%s'", bad[i]);
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("rules");
        TCase   *tcase = tcase_create("rules");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_set_timeout(tcase, 60);
        tcase_add_test(tcase, no_rules);
        tcase_add_test(tcase, first_match_wins);
        tcase_add_test(tcase, bad_rules_are_skipped);
        tcase_add_test(tcase, actions_in_a_list);
        tcase_add_test(tcase, semicolons_and_equals_in_patterns);
        tcase_add_test(tcase, storage_is_bounded);
        tcase_add_test(tcase, written_and_read_back);
        tcase_add_test(tcase, noise);
        tcase_add_test(tcase, units);
        tcase_add_test(tcase, decimals);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
