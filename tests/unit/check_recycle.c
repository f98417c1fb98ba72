/* check_recycle.c - blocks of replies that are kept: only what the allocator itself says fits, never more than a few.
 */
#include "shim/hiredis/recycle.h"
#include "shim/hiredis/reply.h"

#include <check.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true /* their malloc is not glibc's: nothing may be kept */
#else
#define SANITIZED false
#endif

static const struct abi layout_a = {
        .letter = 'A', .reply_size = 48, .reply_integer = 8, .reply_len = 16, .reply_str = 24};
static const struct abi layout_b = {
        .letter = 'B', .reply_size = 64, .reply_integer = 8, .reply_len = 24, .reply_str = 32};
static const struct abi *const layouts[] = {&layout_a, &layout_b};

static unsigned                        passed_on;
static _Thread_local const struct abi *layout; /* of the reply that is being freed */

/* What the real freeReplyObject() does with a nil or a string. */
static void real_free(void *reply)
{
        passed_on++;
        if (abi_reply_type(reply) == ABI_REPLY_STRING)
                free(ABI_FIELD(char *, reply, layout->reply_str));
        free(reply);
}

static void end_reply(const struct abi *abi, void *reply)
{
        layout = abi;
        if (recycle_wants(&recycle, abi))
                recycle_give(&recycle, reply, real_free);
        else
                real_free(reply);
}

static void *make(const struct abi *abi, size_t len)
{
        bool  clear = true;
        char *str;
        void *reply = reply_value(abi, false, len, &str);

        ck_assert_ptr_nonnull(reply);
        ck_assert_ptr_eq(abi_reply_str(abi, reply), str);
        ck_assert_uint_eq(abi_reply_len(abi, reply), len);
        ck_assert_int_eq(str[len], 0);
        ck_assert_uint_ge(malloc_usable_size(str), len + 1);
        ck_assert_uint_ge(malloc_usable_size(reply), abi->reply_size);
        for (size_t i = 4; i < abi->reply_size; i++)
                if (i < abi->reply_len || i >= abi->reply_str + sizeof(char *))
                        clear &= ((char *)reply)[i] == 0;
        ck_assert(clear);
        memset(str, 'x', len + 1); /* all of it is ours */
        return reply;
}

static unsigned kept_now(void)
{
        unsigned kept = 0;

        for (unsigned i = 0; i < RECYCLE_SLOTS; i++)
                kept += recycle.slot[i].reply != NULL;
        return kept;
}

/* The first in a thread tells whether anything is kept here. */
static bool begin(const struct abi *abi)
{
        end_reply(abi, make(abi, 40));
        ck_assert_int_eq(recycle.abi == abi, !SANITIZED);
        passed_on = 0;
        return !SANITIZED;
}

START_TEST(comes_back)
{
        const struct abi *abi = layouts[_i];

        if (!begin(abi))
                return;
        for (size_t len = 0; len < RECYCLE_ROOM_MAX + 200; len++) {
                void *first = make(abi, len);
                char *str = ABI_FIELD(char *, first, abi->reply_str);
                bool  kept;

                memset(first, 0xff, abi->reply_size); /* the program wrote all over it */
                ABI_FIELD(int, first, 0) = ABI_REPLY_STRING;
                ABI_FIELD(char *, first, abi->reply_str) = str;
                passed_on = 0;
                end_reply(abi, first);
                kept = passed_on == 0;
                if (len >= RECYCLE_ROOM_MIN && len < RECYCLE_ROOM_MAX - 16) /* memcheck says less of smaller ones */
                        ck_assert(kept);
                if (len >= RECYCLE_ROOM_MAX)
                        ck_assert(!kept);
                void *second = make(abi, len);

                if (kept) {
                        ck_assert_ptr_eq(second, first);
                        ck_assert_ptr_eq(abi_reply_str(abi, second), str);
                }
                passed_on = 0;
                end_reply(abi, second);
                ck_assert_uint_le(kept_now(), RECYCLE_SLOTS);
        }
}
END_TEST

/* A str that is another one by now, or the same in another size: only what it really holds counts. */
START_TEST(changed_str)
{
        const struct abi *abi = layouts[_i];

        if (!begin(abi))
                return;
        for (size_t len = 1; len < 900; len += 7) {
                for (size_t other = 0; other < 900; other += 13) {
                        void *reply = make(abi, len), *next;
                        char *str = ABI_FIELD(char *, reply, abi->reply_str);

                        str = other == 0 ? (free(str), NULL) : realloc(str, other); /* shrinks in place, or moves */
                        ck_assert(str != NULL || other == 0);
                        ABI_FIELD(char *, reply, abi->reply_str) = str;
                        end_reply(abi, reply);
                        next = make(abi, len);
                        end_reply(abi, next);
                        next = make(abi, other);
                        end_reply(abi, next);
                        ck_assert_uint_le(kept_now(), RECYCLE_SLOTS);
                }
        }
}
END_TEST

static void *own_malloc(size_t n)
{
        return malloc(n);
}
static void own_free(void *p)
{
        free(p);
}

/* From the moment that the program has allocators of its own nothing is kept, and nothing kept is handed out. */
START_TEST(other_allocators)
{
        struct abi_allocators own = {.malloc_fn = malloc, .free_fn = free};
        struct abi            abi = layout_b;
        void                 *a, *b;

        abi.allocators = &own;
        if (!begin(&abi))
                return;
        a = make(&abi, 100);
        end_reply(&abi, a);
        ck_assert_uint_eq(passed_on, 0);
        own = (struct abi_allocators){.malloc_fn = own_malloc, .free_fn = own_free};
        b = make(&abi, 100);
        ck_assert_uint_eq(kept_now(), 1); /* of begin() */
        end_reply(&abi, b);
        ck_assert_uint_eq(passed_on, 1);
        own = (struct abi_allocators){.malloc_fn = malloc, .free_fn = own_free};
        end_reply(&abi, make(&abi, 100));
        ck_assert_uint_eq(passed_on, 2);
}
END_TEST

START_TEST(nils_and_others)
{
        const struct abi *abi = layouts[_i];
        void             *nil, *again;
        char             *str;

        if (!begin(abi))
                return;
        nil = reply_value(abi, true, 0, &str);
        end_reply(abi, nil);
        ck_assert_uint_eq(passed_on, 0);
        again = reply_value(abi, true, 0, &str);
        ck_assert_ptr_eq(again, nil);
        ck_assert_int_eq(abi_reply_type(again), ABI_REPLY_NIL);
        ck_assert_ptr_null(abi_reply_str(abi, again));
        ABI_FIELD(int, again, 0) = ABI_REPLY_INTEGER;
        end_reply(abi, again);
        ck_assert_uint_eq(passed_on, 1);
        /* A nil with a str: the struct alone is kept, and what the program does with the rest is its own. */
        nil = make(abi, 5);
        str = ABI_FIELD(char *, nil, abi->reply_str);
        ABI_FIELD(int, nil, 0) = ABI_REPLY_NIL;
        end_reply(abi, nil);
        free(str);
        again = reply_value(abi, true, 0, &str);
        ck_assert_ptr_eq(again, nil);
        ck_assert_ptr_null(abi_reply_str(abi, again));
        end_reply(abi, again);
}
END_TEST

/* Many at once, of all sizes, in any order: a few are kept, none twice. */
START_TEST(many_at_once)
{
        enum { MANY = 64 };
        const struct abi *abi = layouts[_i];

        if (!begin(abi))
                return;
        for (unsigned round = 0; round < 300; round++) {
                bool   whole = true;
                void  *reply[MANY];
                size_t len[MANY];

                for (unsigned i = 0; i < MANY; i++) {
                        len[i] = (size_t)random() % 300;
                        reply[i] = make(abi, len[i]);
                        memset(ABI_FIELD(char *, reply[i], abi->reply_str), (int)i, len[i]);
                }
                for (unsigned i = 0; i < MANY; i++) {
                        const char *str = abi_reply_str(abi, reply[i]);

                        for (size_t n = 0; n < len[i]; n++)
                                whole &= str[n] == (char)i;
                        end_reply(abi, reply[i]);
                        ck_assert_uint_le(kept_now(), RECYCLE_SLOTS);
                }
                ck_assert(whole);
        }
        ck_assert_uint_gt(kept_now(), 0);
}
END_TEST

/* Sizes that nobody asks for again make room for those that somebody does. */
START_TEST(makes_room)
{
        const struct abi *abi = layouts[_i];
        void             *reply;

        if (!begin(abi))
                return;
        for (unsigned i = 0; i < RECYCLE_SLOTS + 4; i++) {
                reply = malloc(abi->reply_size);
                ck_assert_ptr_nonnull(reply);
                memset(reply, 0, abi->reply_size);
                ABI_FIELD(int, reply, 0) = ABI_REPLY_STRING;
                ABI_FIELD(char *, reply, abi->reply_str) = malloc(40 + 16 * i);
                end_reply(abi, reply);
        }
        ck_assert_uint_eq(kept_now(), RECYCLE_SLOTS);
        end_reply(abi, make(abi, 2000)); /* not kept yet */
        reply = make(abi, 2000);
        passed_on = 0;
        end_reply(abi, reply);
        ck_assert_uint_eq(passed_on, 0);
}
END_TEST

static void *one_thread(void *arg)
{
        const struct abi *abi = arg;
        void             *reply;

        for (size_t len = 0; len < 200; len += 20)
                end_reply(abi, make(abi, len));
        reply = make(abi, 77);
        ck_assert(SANITIZED || kept_now() > 0);
        return reply;
}

/* A thread's blocks end with it (memcheck and asan look), its replies are anybody's. */
START_TEST(threads)
{
        const struct abi *abi = layouts[_i];
        pthread_t         thread;
        void             *reply;

        begin(abi);
        for (int i = 0; i < 20; i++) {
                ck_assert_int_eq(pthread_create(&thread, NULL, one_thread, (void *)(uintptr_t)abi), 0);
                ck_assert_int_eq(pthread_join(thread, &reply), 0);
                if (SANITIZED)
                        reply_destroy(abi, reply);
                else
                        end_reply(abi, reply);
        }
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("recycle");
        TCase   *tcase = tcase_create("recycle");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_set_timeout(tcase, 60);
        tcase_add_loop_test(tcase, comes_back, 0, 2);
        tcase_add_loop_test(tcase, changed_str, 0, 2);
        tcase_add_test(tcase, other_allocators);
        tcase_add_loop_test(tcase, nils_and_others, 0, 2);
        tcase_add_loop_test(tcase, many_at_once, 0, 2);
        tcase_add_loop_test(tcase, makes_room, 0, 2);
        tcase_add_loop_test(tcase, threads, 0, 2);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
