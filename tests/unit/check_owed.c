/* check_owed.c - the queue of effects against a plain reference: order, growth, rows of every length, secrets that go.
 */
#include "shim/connection/owed.h"

#include <check.h>
#include <stdlib.h>

struct reference_row {
        enum command_class class;
        uint32_t argument, count;
        uint64_t first; /* hashes are first, first + 1, ... */
};

static void owed_put(struct owed_queue *q, const struct reference_row *row)
{
        uint32_t added = 0;

        ck_assert(owed_begin(q, row->class, row->argument));
        while (added < row->count && owed_add(q, row->first + added))
                added++;
        ck_assert_uint_eq(added, row->count);
}

static void owed_expect(struct owed_queue *q, const struct reference_row *row)
{
        struct owed_row got;
        uint32_t        same = 0; /* one assertion for all: libcheck writes a file at each */

        ck_assert(owed_take(q, &got));
        ck_assert_int_eq(got.class, row->class);
        ck_assert_uint_eq(got.argument, row->argument);
        ck_assert_uint_eq(got.count, row->count);
        while (same < row->count && got.hash[same] == row->first + same)
                same++;
        ck_assert_uint_eq(same, row->count);
}

START_TEST(rows_come_back_in_order)
{
        enum { ROWS = 4000 };
        static struct reference_row all[ROWS];
        struct owed_queue           q = {0};
        unsigned                    in = 0, out = 0;

        srandom((unsigned)_i + 1);
        while (out < ROWS) {
                if (in < ROWS && random() % 5 < 3) {
                        all[in] = (struct reference_row){
                                .class = (enum command_class)(random() % COMMAND_QUIT),
                                .argument = (uint32_t)random(),
                                .count = random() % 50 == 0 ? (uint32_t)(random() % 3000) : (uint32_t)(random() % 4),
                                .first = (uint64_t)random() << 20,
                        };
                        owed_put(&q, &all[in++]);
                } else if (out < in) {
                        owed_expect(&q, &all[out++]);
                }
        }
        ck_assert(owed_empty(&q));
        owed_drop_all(&q);
}
END_TEST

START_TEST(request_after_reply_never_grows)
{
        struct owed_queue    q = {0};
        struct reference_row row = {.class = COMMAND_WRITE, .count = 3, .first = 7};

        for (int i = 0; i < 100000; i++) {
                owed_put(&q, &row);
                owed_expect(&q, &row);
        }
        ck_assert_ptr_null(q.words);
}
END_TEST

START_TEST(the_last_row_can_be_taken_back)
{
        struct owed_queue    q = {0};
        struct reference_row a = {.class = COMMAND_WRITE, .count = 2, .first = 1},
                             b = {.class = COMMAND_SCRIPT, .count = 40, .first = 9};
        struct owed_row none;

        owed_put(&q, &a);
        owed_put(&q, &b);
        owed_drop_last(&q);
        owed_put(&q, &b);
        owed_expect(&q, &a);
        owed_expect(&q, &b);
        ck_assert(!owed_take(&q, &none));
        owed_drop_all(&q);
}
END_TEST

START_TEST(secrets_are_wiped)
{
        static const struct owed_secret nothing;
        struct owed_secret              s = {0};

        owed_secret_hold(&s, true, mt_bytes_of("alice"), mt_bytes_of("correct horse"));
        ck_assert(s.held && s.has_user && s.user_len == 5 && s.password_len == 13);
        owed_secret_wipe(&s);
        ck_assert_mem_eq(&s, &nothing, sizeof s);
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("owed");
        TCase   *cases = tcase_create("queue");
        SRunner *runner;
        int      failed;

        tcase_add_loop_test(cases, rows_come_back_in_order, 0, 20);
        tcase_add_test(cases, request_after_reply_never_grows);
        tcase_add_test(cases, the_last_row_can_be_taken_back);
        tcase_add_test(cases, secrets_are_wiped);
        suite_add_tcase(suite, cases);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
