/* check_glob.c - the matcher against one that simply tries everything, and the cases that KEYS is known for. */
#include "l1/base/glob.h"

#include <check.h>
#include <stdlib.h>

static bool match(const char *pattern, const char *string)
{
        return glob_match(mt_bytes_of(pattern), mt_bytes_of(string));
}

/* The meaning, written down without any thought of cost: a star is nothing, or one byte and itself again. Classes are
 * read as the server reads them, one byte of pattern after the other. */
static const char *reference_class(const char *p, char c, bool *matches)
{
        bool negated = *p == '^', found = false;

        p += negated;
        for (; *p != '\0' && *p != ']'; p++) {
                if (*p == '\\' && p[1] != '\0') {
                        found |= *++p == c;
                } else if (p[1] == '-' && p[2] != '\0') {
                        found |= (p[0] <= c && c <= p[2]) || (p[2] <= c && c <= p[0]);
                        p += 2;
                } else {
                        found |= *p == c;
                }
        }
        *matches = found != negated;
        return *p == ']' ? p + 1 : p;
}

static bool reference(const char *p, const char *s)
{
        bool matches = true;

        if (*p == '\0')
                return *s == '\0';
        if (*p == '*')
                return reference(p + 1, s) || (*s != '\0' && reference(p, s + 1));
        if (*s == '\0')
                return false;
        if (*p == '[')
                return p = reference_class(p + 1, *s, &matches), matches && reference(p, s + 1);
        if (*p == '?')
                return reference(p + 1, s + 1);
        if (*p == '\\' && p[1] != '\0')
                p++;
        return *p == *s && reference(p + 1, s + 1);
}

START_TEST(known_cases)
{
        static const struct {
                const char *pattern, *string;
                bool        matches;
        } cases[] = {
                {"", "", true},
                {"", "a", false},
                {"a", "", false},
                {"*", "", true},
                {"**", "", true},
                {"*", "anything", true},
                {"?", "", false},
                {"?", "a", true},
                {"h?llo", "hello", true},
                {"h*llo", "hllo", true},
                {"h*llo", "heeello", true},
                {"h*llo", "helo", false},
                {"h[ae]llo", "hallo", true},
                {"h[ae]llo", "hillo", false},
                {"h[^e]llo", "hallo", true},
                {"h[^e]llo", "hello", false},
                {"h[a-b]llo", "hbllo", true},
                {"h[b-a]llo", "hallo", true},
                {"h[a-b]llo", "hcllo", false},
                {"a\\*", "a*", true},
                {"a\\*", "ab", false},
                {"a\\", "a\\", true},
                {"[a\\]b]", "]", true},
                {"[]", "]", false},
                {"[^]", "x", true},
                {"[abc", "b", true},
                {"[", "[", false},
                {"[a-]x", "x", true},
                {"a**", "a", true},
                {"*a*b*c*", "xxaxxbxxcxx", true},
                {"*a*b*c*", "xxaxxcxxbxx", false},
                {"A", "a", false},
                {"*.txt", ".txt", true},
                {"*ab", "aab", true},
                {"*aab", "aaaab", true},
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
                ck_assert_msg(match(cases[i].pattern, cases[i].string) == cases[i].matches, "'%s' '%s'",
                              cases[i].pattern, cases[i].string);
}
END_TEST

START_TEST(bytes_are_bytes)
{
        ck_assert(glob_match(mt_bytes("a*\0b", 4), mt_bytes("a\0x\0b", 5)));
        ck_assert(glob_match(mt_bytes("[\0-\1]", 5), mt_bytes("\1", 1)));
        ck_assert(!glob_match(mt_bytes("a\0", 2), mt_bytes("a", 1)));
        ck_assert(glob_match(mt_bytes("?", 1), mt_bytes("\xff", 1)));
        ck_assert(glob_match(mt_bytes("*", 1), mt_bytes(NULL, 0)));
        ck_assert(glob_match(mt_bytes(NULL, 0), mt_bytes(NULL, 0)));
}
END_TEST

static void random_text(char *out, size_t max, const char *alphabet, size_t letters)
{
        size_t n = (size_t)rand() % max;

        for (size_t i = 0; i < n; i++)
                out[i] = alphabet[(size_t)rand() % letters];
        out[n] = '\0';
}

START_TEST(agrees_with_the_reference)
{
        char pattern[12], string[12];

        srand(1);
        for (int i = 0; i < 500000; i++) {
                random_text(pattern, sizeof pattern, "ab*?[]^-\\c", 10);
                random_text(string, sizeof string, "abc-\\]", i % 2 ? 2 : 6);
                ck_assert_msg(match(pattern, string) == reference(pattern, string), "'%s' '%s'", pattern, string);
        }
}
END_TEST

/* Each star tries every place once: 1,000 x 100,000 steps would be felt, an exponential never ends. */
START_TEST(many_stars_cost_little)
{
        static char pattern[2001], string[100001];

        for (size_t i = 0; i < 2000; i += 2)
                memcpy(pattern + i, "a*", 2);
        pattern[1999] = 'b';
        memset(string, 'a', sizeof string - 1);
        ck_assert(!match(pattern, string));
}
END_TEST

START_TEST(literal_prefix)
{
        ck_assert_uint_eq(glob_literal_prefix(mt_bytes_of("session:*")), 8);
        ck_assert_uint_eq(glob_literal_prefix(mt_bytes_of("abc")), 3);
        ck_assert_uint_eq(glob_literal_prefix(mt_bytes_of("a\\*")), 1);
        ck_assert_uint_eq(glob_literal_prefix(mt_bytes_of("[a]")), 0);
        ck_assert_uint_eq(glob_literal_prefix(mt_bytes_of("x?")), 1);
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("glob");
        TCase   *tcase = tcase_create("glob");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_set_timeout(tcase, 170);
        tcase_add_test(tcase, known_cases);
        tcase_add_test(tcase, bytes_are_bytes);
        tcase_add_test(tcase, agrees_with_the_reference);
        tcase_add_test(tcase, many_stars_cost_little);
        tcase_add_test(tcase, literal_prefix);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
