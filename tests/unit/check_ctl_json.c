/* check_ctl_json.c - what the writer writes, to the byte. */
#include "shim/ctl/json.c"

#include <check.h>
#include <stdlib.h>

static char  *written;
static size_t written_size;

static struct json start(void)
{
        struct json j;

        json_init(&j, open_memstream(&written, &written_size));
        ck_assert_ptr_nonnull(j.out);
        return j;
}

static void expect(struct json *j, const char *text)
{
        ck_assert(json_end(j));
        fclose(j->out);
        ck_assert_str_eq(written, text);
        free(written);
}

static void expect_string(const char *value, const char *text)
{
        struct json j = start();

        json_string(&j, NULL, value);
        expect(&j, text);
}

START_TEST(test_nesting)
{
        struct json j = start();

        json_object_begin(&j, NULL);
        json_number(&j, "one", 1);
        json_object_begin(&j, "empty");
        json_object_end(&j);
        json_array_begin(&j, "list");
        json_number(&j, NULL, UINT64_MAX);
        json_object_begin(&j, NULL);
        json_bool(&j, "yes", true);
        json_bool(&j, "no", false);
        json_object_end(&j);
        json_array_end(&j);
        json_array_begin(&j, "none");
        json_array_end(&j);
        json_object_end(&j);
        expect(&j, "{\n  \"one\": 1,\n  \"empty\": {},\n  \"list\": [\n    18446744073709551615,\n    {\n      "
                   "\"yes\": true,\n"
                   "      \"no\": false\n    }\n  ],\n  \"none\": []\n}\n");
}
END_TEST

START_TEST(test_escapes)
{
        expect_string("plain", "\"plain\"\n");
        expect_string("", "\"\"\n");
        expect_string("a\"b\\c", "\"a\\\"b\\\\c\"\n");
        expect_string("\n\t\x01\x1f\x7f", "\"\\u000a\\u0009\\u0001\\u001f\\u007f\"\n");
}
END_TEST

START_TEST(test_utf8)
{
        expect_string("h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\"h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"\n");
        expect_string("\xff", "\"\\ufffd\"\n");
        expect_string("\x80", "\"\\ufffd\"\n");
        expect_string("a\xc3", "\"a\\ufffd\"\n"); /* cut short by the end */
        expect_string("\xe2\x82", "\"\\ufffd\\ufffd\"\n");
        expect_string("\xc0\xaf", "\"\\ufffd\\ufffd\"\n"); /* overlong */
        expect_string("\xe0\x80\xaf", "\"\\ufffd\\ufffd\\ufffd\"\n");
        expect_string("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"\n");            /* a surrogate */
        expect_string("\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"\n"); /* past U+10FFFF */
}
END_TEST

START_TEST(test_full_disk)
{
        struct json j;

        json_init(&j, fopen("/dev/full", "w"));
        ck_assert_ptr_nonnull(j.out);
        json_string(&j, NULL, "x");
        ck_assert(!json_end(&j));
        fclose(j.out);
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("ctl_json");
        TCase   *tcase = tcase_create("json");
        SRunner *runner = srunner_create(suite);

        tcase_add_test(tcase, test_nesting);
        tcase_add_test(tcase, test_escapes);
        tcase_add_test(tcase, test_utf8);
        tcase_add_test(tcase, test_full_disk);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);

        srunner_free(runner);
        return failed != 0;
}
