/* check_oracle.c - the checker's judge: histories whose truth is known, and reads of each verdict. Times are small
 * numbers of milliseconds; the bound is 100 of them. */
#include "tests/coherence/oracle.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { KEY = 3, OTHER = 4, BOUND_MS = 100 };

static struct oracle *o;
static struct key    *key;
static char           text[512];

static void setup(void)
{
        o = mmap(NULL, sizeof *o, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ck_assert_ptr_ne(o, MAP_FAILED);
        key = &o->key[KEY];
        key->number = KEY;
        key->size = 40;
        o->key[OTHER].number = OTHER;
        o->key[OTHER].size = 40;
}

static void teardown(void)
{
        munmap(o, sizeof *o);
}

/* The next sequence, sent and acknowledged then; acked 0: in doubt. */
static struct entry *write_at(uint64_t sent_ms, uint64_t acked_ms, enum entry_kind kind, uint32_t px_ms)
{
        uint64_t      seq = oracle_send(key, kind, px_ms);
        struct entry *e = &key->ring[seq % ORACLE_RING];

        e->sent_ns = sent_ms * ORACLE_MS;
        e->acked_ns = acked_ms * ORACLE_MS;
        return e;
}

static struct loss *loss_at(enum loss_kind kind, uint64_t begin_ms, uint64_t end_ms, uint64_t from_ms, uint64_t to_ms)
{
        struct loss *loss = kind == LOSS_ABSENT ? oracle_loss_begin(o, 1)
                                                : oracle_loss_begin_back(o, 1, from_ms * ORACLE_MS, to_ms * ORACLE_MS);

        loss->begin_ns = begin_ms * ORACLE_MS;
        loss->end_ns = end_ms * ORACLE_MS;
        return loss;
}

static struct oracle_read read_of(uint64_t begin_ms)
{
        return (struct oracle_read){.key = KEY,
                                    .begin_ns = begin_ms * ORACLE_MS,
                                    .end_ns = (begin_ms + 1) * ORACLE_MS,
                                    .bound_ns = BOUND_MS * ORACLE_MS};
}

static enum verdict judge_seq(uint64_t seq, uint64_t begin_ms, uint64_t own_seq, uint64_t *age_ms)
{
        struct oracle_read read = read_of(begin_ms);
        enum verdict       verdict;

        read.text = text;
        read.len = oracle_value(key, seq, text);
        read.own_seq = own_seq;
        verdict = oracle_judge(o, &read);
        ck_assert_uint_eq(read.seq, seq);
        *age_ms = read.age_ns / ORACLE_MS;
        return verdict;
}

static void expect_seq(uint64_t seq, uint64_t begin_ms, enum verdict verdict, uint64_t age_ms)
{
        uint64_t age;

        ck_assert_int_eq(judge_seq(seq, begin_ms, 0, &age), verdict);
        ck_assert_uint_eq(age, age_ms);
}

static void expect_nil(uint64_t begin_ms, enum verdict verdict, uint64_t age_ms)
{
        struct oracle_read read = read_of(begin_ms);

        ck_assert_int_eq(oracle_judge(o, &read), verdict);
        ck_assert_uint_eq(read.age_ns / ORACLE_MS, age_ms);
}

/* -------------------------------------------------------------------------------------------------------- tests */

START_TEST(age_is_from_the_acknowledgement_of_what_is_newer)
{
        write_at(10, 11, ENTRY_VALUE, 0);
        expect_seq(1, 500, VERDICT_GOOD, 0);
        write_at(600, 0, ENTRY_VALUE, 0); /* nobody knows */
        expect_seq(1, 900, VERDICT_GOOD, 0);
        write_at(1000, 1010, ENTRY_VALUE, 0);
        expect_seq(1, 1005, VERDICT_GOOD, 0);
        expect_seq(1, 1010 + BOUND_MS, VERDICT_GOOD, BOUND_MS);
        expect_seq(1, 1011 + BOUND_MS, VERDICT_STALE, BOUND_MS + 1);
        expect_seq(2, 1011 + BOUND_MS, VERDICT_STALE, BOUND_MS + 1);
        expect_seq(3, 5000, VERDICT_GOOD, 0);
}
END_TEST

START_TEST(nil_is_a_value)
{
        expect_nil(5, VERDICT_GOOD, 0); /* never written */
        write_at(10, 20, ENTRY_VALUE, 0);
        expect_nil(20 + BOUND_MS, VERDICT_GOOD, BOUND_MS);
        expect_nil(21 + BOUND_MS, VERDICT_STALE, BOUND_MS + 1);
        write_at(500, 0, ENTRY_DELETE, 0)->refused = 1;
        expect_nil(600, VERDICT_STALE, 580);
        write_at(700, 0, ENTRY_DELETE, 0); /* perhaps */
        expect_nil(900, VERDICT_GOOD, 0);
        expect_seq(1, 900, VERDICT_GOOD, 0);
        write_at(1000, 1001, ENTRY_VALUE, 0);
        expect_nil(1002 + BOUND_MS, VERDICT_STALE, BOUND_MS + 1);
}
END_TEST

START_TEST(times_to_live)
{
        write_at(100, 120, ENTRY_VALUE, 50);
        expect_nil(125, VERDICT_GOOD, 5);         /* too early, but within the bound of the time before the write */
        expect_nil(300, VERDICT_GOOD, 0);         /* it has expired */
        expect_seq(1, 174, VERDICT_GOOD, 0);      /* a few ms of the server's own clock */
        expect_seq(1, 180, VERDICT_OUTLIVED, 10); /* acknowledged at 120, and 50 */
        write_at(400, 401, ENTRY_VALUE, 100000);  /* this has not */
        expect_nil(402 + BOUND_MS, VERDICT_STALE, BOUND_MS + 1);
}
END_TEST

START_TEST(own_writes)
{
        uint64_t           age;
        struct oracle_read nil = read_of(45);

        write_at(10, 11, ENTRY_VALUE, 0);
        write_at(20, 21, ENTRY_VALUE, 0);
        write_at(30, 31, ENTRY_VALUE, 0);
        ck_assert_int_eq(judge_seq(2, 40, 2, &age), VERDICT_GOOD);
        ck_assert_int_eq(judge_seq(1, 40, 2, &age), VERDICT_OWN);
        ck_assert_int_eq(judge_seq(3, 40, 2, &age), VERDICT_GOOD);
        nil.own_seq = 2;
        ck_assert_int_eq(oracle_judge(o, &nil), VERDICT_OWN);
        loss_at(LOSS_ABSENT, 42, 43, 0, 0);
        ck_assert_int_eq(oracle_judge(o, &nil), VERDICT_GOOD);
}
END_TEST

START_TEST(what_was_never_written)
{
        write_at(10, 11, ENTRY_VALUE, 0);
        write_at(20, 21, ENTRY_DELETE, 0);
        write_at(30, 0, ENTRY_VALUE, 0)->refused = 1;
        expect_seq(4, 40, VERDICT_FUTURE, 0);
        expect_seq(2, 40, VERDICT_FUTURE, 0);
        expect_seq(3, 40, VERDICT_FUTURE, 0);
        expect_seq(0, 40, VERDICT_FUTURE, 0);
}
END_TEST

START_TEST(another_keys_and_torn)
{
        struct oracle_read read = read_of(40);

        write_at(10, 11, ENTRY_VALUE, 0);
        read.text = text;
        read.len = oracle_value(&o->key[OTHER], 1, text);
        ck_assert_int_eq(oracle_judge(o, &read), VERDICT_FOREIGN);
        read.len = oracle_value(key, 1, text);
        ck_assert_int_eq(oracle_judge(o, &read), VERDICT_GOOD);
        read.len--;
        ck_assert_int_eq(oracle_judge(o, &read), VERDICT_TORN);
        read.len++;
        for (size_t i = 0; i < read.len; i++) {
                text[i] ^= 1;
                ck_assert_int_ne(oracle_judge(o, &read), VERDICT_GOOD);
                text[i] ^= 1;
        }
        read.len = 0;
        ck_assert_int_eq(oracle_judge(o, &read), VERDICT_TORN);
}
END_TEST

START_TEST(losses)
{
        struct loss *loss;

        write_at(10, 11, ENTRY_VALUE, 0);
        loss = loss_at(LOSS_ABSENT, 50, 0, 0, 0);
        expect_seq(1, 1000, VERDICT_GOOD, 0); /* it is not over */
        expect_nil(1000, VERDICT_GOOD, 0);
        loss->end_ns = 60 * ORACLE_MS;
        expect_seq(1, 60 + BOUND_MS, VERDICT_GOOD, BOUND_MS);
        expect_seq(1, 61 + BOUND_MS, VERDICT_STALE, BOUND_MS + 1);
        expect_nil(1000, VERDICT_GOOD, 0);
        write_at(55, 70, ENTRY_VALUE, 0); /* before it or after it */
        expect_seq(2, 1000, VERDICT_GOOD, 0);
        expect_nil(1000, VERDICT_GOOD, 0);
        write_at(80, 90, ENTRY_VALUE, 0); /* after it */
        expect_nil(91 + BOUND_MS, VERDICT_STALE, BOUND_MS + 1);
        loss_at(LOSS_ABSENT, 100, 110, 0, 0)->databases = 1 << 2; /* another database's */
        expect_seq(3, 1000, VERDICT_GOOD, 0);
}
END_TEST

START_TEST(in_doubt_until_the_fence)
{
        write_at(10, 0, ENTRY_VALUE, 0);
        loss_at(LOSS_ABSENT, 50, 60, 0, 0);
        expect_seq(1, 1000, VERDICT_GOOD, 0); /* it may have been executed since */
        key->ring[1].closed_ns = 40 * ORACLE_MS;
        expect_seq(1, 1000, VERDICT_STALE, 940);
        key->ring[1].closed_ns = 70 * ORACLE_MS;
        expect_seq(1, 1000, VERDICT_GOOD, 0);
}
END_TEST

START_TEST(closing_leaves_what_has_an_outcome)
{
        write_at(10, 0, ENTRY_VALUE, 0);
        write_at(20, 21, ENTRY_VALUE, 0);
        write_at(30, 0, ENTRY_VALUE, 0)->refused = 1;
        write_at(40, 0, ENTRY_VALUE, 0);
        oracle_closed(key);
        ck_assert_uint_eq(key->ring[1].closed_ns, 0);
        ck_assert_uint_eq(key->ring[2].closed_ns, 0);
        ck_assert_uint_eq(key->ring[3].closed_ns, 0);
        ck_assert_uint_ne(key->ring[4].closed_ns, 0);
}
END_TEST

/* Exchanged away and back, twice: 2 reigned when it went, 3 was written in between, and is lost. */
START_TEST(what_comes_back)
{
        write_at(10, 11, ENTRY_VALUE, 0);
        write_at(20, 21, ENTRY_VALUE, 0);
        loss_at(LOSS_ABSENT, 100, 110, 0, 0);
        write_at(120, 130, ENTRY_VALUE, 0);
        expect_seq(2, 400, VERDICT_STALE, 290);
        loss_at(LOSS_BACK, 500, 510, 100, 110);
        expect_seq(2, 1000, VERDICT_GOOD, 0);
        expect_seq(1, 1000, VERDICT_STALE, 979);
        expect_seq(3, 1000, VERDICT_STALE, 490);
        loss_at(LOSS_ABSENT, 1100, 1110, 0, 0);
        expect_seq(2, 1111 + BOUND_MS, VERDICT_STALE, BOUND_MS + 1);
        loss_at(LOSS_BACK, 1500, 1510, 1100, 1110);
        expect_seq(2, 2000, VERDICT_GOOD, 0);
        write_at(2100, 2110, ENTRY_VALUE, 0);
        expect_seq(2, 2111 + BOUND_MS, VERDICT_STALE, BOUND_MS + 1);
}
END_TEST

START_TEST(what_has_left_the_ring_is_old)
{
        for (unsigned i = 0; i < ORACLE_RING + 100; i++)
                write_at(10 + i, 11 + i, ENTRY_VALUE, 0);
        expect_seq(5, 5000, VERDICT_STALE, 5000 - (11 + 101));
        expect_seq(ORACLE_RING + 100, 5000, VERDICT_GOOD, 0);
        expect_nil(5000, VERDICT_STALE, 5000 - (11 + 101));
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("oracle");
        TCase   *cases = tcase_create("judge");
        SRunner *runner;
        int      failed;

        tcase_add_checked_fixture(cases, setup, teardown);
        tcase_add_test(cases, age_is_from_the_acknowledgement_of_what_is_newer);
        tcase_add_test(cases, nil_is_a_value);
        tcase_add_test(cases, times_to_live);
        tcase_add_test(cases, own_writes);
        tcase_add_test(cases, what_was_never_written);
        tcase_add_test(cases, another_keys_and_torn);
        tcase_add_test(cases, losses);
        tcase_add_test(cases, in_doubt_until_the_fence);
        tcase_add_test(cases, closing_leaves_what_has_an_outcome);
        tcase_add_test(cases, what_comes_back);
        tcase_add_test(cases, what_has_left_the_ring_is_old);
        suite_add_tcase(suite, cases);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
