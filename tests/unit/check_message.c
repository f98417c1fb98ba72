/* check_message.c - announcements: what each means, in any pieces; what is none; who has sent which; what the publisher
 * writes is what the listener reads, through RESP and the codec, from a channel and from a stream. */
#include "invalidation/codec.h"
#include "invalidation/invalidation.h"
#include "invalidation/message.h"
#include "invalidation/origins.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------------------------ what is heard */

static char   heard[1 << 16];
static size_t heard_len;
static bool   deaf; /* nothing more of a message is wanted than its head */

static bool hear(void *arg, const struct event *event)
{
        static const char *const names[] = {
                [EVENT_REMOVE] = "remove",   [EVENT_FLUSH] = "flush",         [EVENT_ANNOUNCED] = "announced",
                [EVENT_PATTERN] = "pattern", [EVENT_MALFORMED] = "malformed", [EVENT_ENTRY] = "entry",
                [EVENT_ARRAY] = "array",     [EVENT_WORD] = "word",           [EVENT_SUBSCRIBED] = "listens",
                [EVENT_OTHER] = "other"};

        (void)arg;
        ck_assert(event->kind < sizeof names / sizeof *names && names[event->kind]);
        heard_len += (size_t)snprintf(heard + heard_len, sizeof heard - heard_len, "%s", names[event->kind]);
        if (event->bytes.ptr)
                heard_len += (size_t)snprintf(heard + heard_len, sizeof heard - heard_len, " %.*s",
                                              event->bytes.len < 64 ? (int)event->bytes.len : 64, event->bytes.ptr);
        if (event->integer != 0)
                heard_len += (size_t)snprintf(heard + heard_len, sizeof heard - heard_len, " %lld",
                                              (long long)event->integer);
        heard_len += (size_t)snprintf(heard + heard_len, sizeof heard - heard_len, "\n");
        return !deaf;
}

static bool read_message(const char *bytes, size_t len, size_t piece)
{
        static struct message message;

        heard_len = 0;
        heard[0] = '\0';
        message_begin(&message);
        for (size_t at = 0; at < len; at += piece) {
                size_t n = len - at < piece ? len - at : piece;
                char  *exact = malloc(n); /* to be caught reading beyond it */

                memcpy(exact, bytes + at, n);
                message_feed(&message, exact, n, hear, NULL);
                free(exact);
        }
        return message_end(&message);
}

#define LITERAL(s) (s), sizeof(s) - 1

START_TEST(meanings)
{
        static const struct {
                const char *bytes;
                size_t      len;
                const char *heard;
        } cases[] = {
                {LITERAL("1R sh.1 1\n3:foo"), "announced sh.1 1\nremove foo\n"},
                {LITERAL("1U web7.12 3\n8:user:100"), "announced web7.12 3\nremove user:100\n"},
                {LITERAL("1B a 999999999999999999\n1:a0:10:0123456789"),
                 "announced a 999999999999999999\nremove a\nremove \nremove 0123456789\n"},
                {LITERAL("1P ~ 7\n1:*"), "announced ~ 7\npattern *\n"},
                {LITERAL("1R x 1\n3:a:b"), "announced x 1\nremove a:b\n"},
                {LITERAL("1R x 1\n3:\n1:"), "announced x 1\nremove \n1:\n"},
        };

        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
                for (size_t piece = 1; piece <= cases[i].len; piece++) {
                        ck_assert_msg(read_message(cases[i].bytes, cases[i].len, piece), "%s", cases[i].bytes);
                        ck_assert_str_eq(heard, cases[i].heard);
                }
}
END_TEST

START_TEST(none)
{
        static const struct {
                const char *bytes;
                size_t      len;
        } cases[] = {
                {LITERAL("")},
                {LITERAL("1")},
                {LITERAL("1R")},
                {LITERAL("1R x 1")},
                {LITERAL("1R x 1\n")},
                {LITERAL("1R x 1\n3")},
                {LITERAL("1R x 1\n3:")},
                {LITERAL("1R x 1\n3:fo")},
                {LITERAL("1R x 1\n3:foo\n")},
                {LITERAL("1R x 1\n3:foo1:a")}, /* one key, and there are two */
                {LITERAL("1U x 1\n3:foo1:a")},
                {LITERAL("1P x 1\n1:*1:*")},
                {LITERAL("2R x 1\n3:foo")}, /* a version that is not known yet */
                {LITERAL("1X x 1\n3:foo")},
                {LITERAL("1r x 1\n3:foo")},
                {LITERAL("1R  1\n3:foo")},
                {LITERAL("1R x\n3:foo")},
                {LITERAL("1R x 0\n3:foo")},
                {LITERAL("1R x 01\n3:foo")},
                {LITERAL("1R x -1\n3:foo")},
                {LITERAL("1R x 1 \n3:foo")},
                {LITERAL("1R x 1000000000000000000\n3:foo")},
                {LITERAL("1R x\x7f 1\n3:foo")},
                {LITERAL("1R \xc3\xa9 1\n3:foo")},
                {LITERAL("1R x 1\r\n3:foo")},
                {LITERAL("1R x 1\n03:foo")},
                {LITERAL("1R x 1\n+3:foo")},
                {LITERAL("1R x 1\n 3:foo")},
                {LITERAL("1R x 1\n1000000000:foo")},
                {LITERAL("1B x 1\n99999999999999999999999999:foo")},
                {LITERAL("1R 12345678901234567890123456789012345678901234567890123456789012345 1\n3:foo")},
                {LITERAL("{\"remove\":\"foo\"}")},
        };

        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
                for (size_t piece = 1; piece <= cases[i].len + 1; piece++)
                        ck_assert_msg(!read_message(cases[i].bytes, cases[i].len, piece), "%s", cases[i].bytes);
}
END_TEST

/* A key that L1 never keeps is passed over; a pattern that cannot be matched may mean anything. */
START_TEST(long_keys)
{
        size_t len = ITEM_KEY_MAX + 1;
        char  *text = malloc(len + 64);
        int    head;

        head = sprintf(text, "1B x 1\n%u:", ITEM_KEY_MAX);
        memset(text + head, 'k', ITEM_KEY_MAX);
        ck_assert(read_message(text, (size_t)head + ITEM_KEY_MAX, 1000));
        ck_assert_ptr_nonnull(strstr(heard, "remove kkkk"));
        head = sprintf(text, "1B x 1\n%zu:", len);
        memset(text + head, 'k', len);
        memcpy(text + (size_t)head + len, "1:a", 3);
        for (size_t piece = 1; piece < 3 * len; piece = piece * 5 + 1) {
                ck_assert(read_message(text, (size_t)head + len + 3, piece));
                ck_assert_str_eq(heard, "announced x 1\nremove a\n");
        }
        text[1] = 'P';
        ck_assert(read_message(text, (size_t)head + len, 777));
        ck_assert_str_eq(heard, "announced x 1\nflush\n");
        free(text);
}
END_TEST

/* One that is known already is read no further than its head, but it is still looked at. */
START_TEST(unheard)
{
        deaf = true;
        ck_assert(read_message(LITERAL("1B x 1\n1:a1:b"), 100));
        ck_assert_str_eq(heard, "announced x 1\n");
        ck_assert(!read_message(LITERAL("1B x 1\n1:a1:"), 100));
        deaf = false;
}
END_TEST

/* ---------------------------------------------------------------------------------------------------- origins */

START_TEST(origins)
{
        static struct origins o;
        char                  name[32];

        origins_reset(&o, 42);
        ck_assert(origins_follow(&o, mt_bytes_of("a"), 5)); /* met for the first time */
        ck_assert(origins_follow(&o, mt_bytes_of("a"), 6));
        ck_assert(origins_follow(&o, mt_bytes_of("b"), 1));
        ck_assert(!origins_follow(&o, mt_bytes_of("a"), 8));
        ck_assert(origins_follow(&o, mt_bytes_of("a"), 9));
        ck_assert(origins_follow(&o, mt_bytes_of("a"), 9)); /* read twice */
        ck_assert(origins_follow(&o, mt_bytes_of("a"), 1)); /* begins anew */
        ck_assert(!origins_follow(&o, mt_bytes_of("b"), 3));
        for (int i = 0; i < 10000; i++) { /* more than there is room for: forgotten, not mistaken */
                snprintf(name, sizeof name, "origin-%d", i);
                ck_assert(origins_follow(&o, mt_bytes_of(name), 1));
                ck_assert(origins_follow(&o, mt_bytes_of(name), 2));
        }
}
END_TEST

/* -------------------------------------------------------------------------------------------------- there and back */

static const struct invalidation_config settings = {.mode = INVALIDATION_PUBSUB,
                                                    .bound_ns = NS_PER_S,
                                                    .channel = "chan",
                                                    .stream = "str",
                                                    .audit_stream = "aud",
                                                    .audit_maxlen = 7};

static void publish(enum invalidation_mode mode)
{
        struct invalidation_config config = settings;

        config.mode = mode;
        invalidation_setup(&config);
}

static void says(struct announcement *a, enum announcement_form form, bool audit, const char *wanted)
{
        const struct announcement_origin from = {.number = 0xabc};
        struct mt_bytes                  command = announcement_command(a, form, audit, &from, 12);

        ck_assert_ptr_nonnull(command.ptr);
        ck_assert_msg(command.len == strlen(wanted) && memcmp(command.ptr, wanted, command.len) == 0, "%.*s",
                      (int)command.len, command.ptr);
}

START_TEST(words)
{
        struct announcement a = {.buffer = NULL};

        publish(INVALIDATION_PUBSUB);
        ck_assert(publisher_wanted() && publisher_audits() && announcement_empty(&a));
        announcement_key(&a, mt_bytes_of("foo"), false);
        says(&a, ANNOUNCEMENT_ELSEWHERE, false,
             "*3\r\n$7\r\nPUBLISH\r\n$4\r\nchan\r\n$28\r\n1U 0000000000000abc 12\n3:foo\r\n");
        says(&a, ANNOUNCEMENT_HERE, true,
             "*8\r\n$4\r\nXADD\r\n$3\r\naud\r\n$6\r\nMAXLEN\r\n$1\r\n~\r\n$1\r\n7\r\n$1\r\n*\r\n$1\r\nm\r\n"
             "$28\r\n1U 0000000000000abc 12\n3:foo\r\n");
        publish(INVALIDATION_STREAM);
        announcement_clear(&a);
        ck_assert(announcement_empty(&a));
        announcement_key(&a, mt_bytes_of("foo"), true);
        says(&a, ANNOUNCEMENT_HERE, false,
             "*8\r\n$4\r\nXADD\r\n$3\r\nstr\r\n$6\r\nMAXLEN\r\n$1\r\n~\r\n$6\r\n100000\r\n$1\r\n*\r\n$1\r\nm\r\n"
             "$28\r\n1R 0000000000000abc 12\n3:foo\r\n");
        announcement_key(&a, mt_bytes_of("\x01\n"), true);
        says(&a, ANNOUNCEMENT_ELSEWHERE, false,
             "*6\r\n$4\r\nEVAL\r\n$95\r\nredis.call('SELECT','0') return redis.call('XADD',KEYS[1],'MAXLEN','~',"
             "ARGV[1],'*','m',ARGV[2])\r\n$1\r\n1\r\n$3\r\nstr\r\n$6\r\n100000\r\n"
             "$32\r\n1B 0000000000000abc 12\n3:foo2:\x01\n\r\n");
        announcement_free(&a);
}
END_TEST

START_TEST(households)
{
        const struct announcement_origin from = {.number = 0xabc, .household = UINT64_C(0xfedcba9876543210)};
        static const char *const         others[] = {"",
                                                     "0000000000000ab",
                                                     "0000000000000abC",
                                                     "0000000000000abc.",
                                                     "0000000000000abc.fedcba987654321",
                                                     "0000000000000abc-fedcba9876543210",
                                                     "0000000000000abc.fedcba987654321g",
                                                     "g000000000000abc.fedcba9876543210",
                                                     "0000000000000abc.fedcba9876543210 "};
        const char                      *wanted =
                "*3\r\n$7\r\nPUBLISH\r\n$4\r\nchan\r\n$45\r\n1U 0000000000000abc.fedcba9876543210 12\n3:foo\r\n";
        struct announcement a = {.buffer = NULL};
        struct mt_bytes     command;
        uint64_t            origin, household;

        publish(INVALIDATION_PUBSUB);
        announcement_key(&a, mt_bytes_of("foo"), false);
        command = announcement_command(&a, ANNOUNCEMENT_HERE, false, &from, 12);
        ck_assert_msg(mt_bytes_equal(command, mt_bytes_of(wanted)), "%.*s", (int)command.len, command.ptr);
        announcement_free(&a);
        ck_assert(message_read_origin(mt_bytes_of("0000000000000abc.fedcba9876543210"), &origin, &household));
        ck_assert(origin == from.number && household == from.household);
        ck_assert(message_read_origin(mt_bytes_of("0000000000000abc"), &origin, &household));
        ck_assert(origin == from.number && household == 0);
        for (size_t i = 0; i < sizeof others / sizeof *others; i++)
                ck_assert_msg(!message_read_origin(mt_bytes_of(others[i]), &origin, &household), "%s", others[i]);
        publisher_note_cleared(from.number, 7); /* who has cleared is known by the number, in whatever household */
        ck_assert(publisher_has_cleared(mt_bytes_of("0000000000000abc.fedcba9876543210"), 7));
}
END_TEST

/* Too many keys to name are all of them. */
START_TEST(too_many)
{
        struct announcement a = {.buffer = NULL};
        char                key[1000];

        publish(INVALIDATION_PUBSUB);
        memset(key, 'k', sizeof key);
        for (int i = 0; i < 1000; i++)
                announcement_key(&a, mt_bytes(key, sizeof key), false);
        ck_assert(!a.all && a.keys == 1000);
        for (int i = 0; i < 100; i++)
                announcement_key(&a, mt_bytes(key, sizeof key), false);
        ck_assert(a.all);
        says(&a, ANNOUNCEMENT_HERE, false,
             "*3\r\n$7\r\nPUBLISH\r\n$4\r\nchan\r\n$26\r\n1P 0000000000000abc 12\n1:*\r\n");
        announcement_clear(&a);
        ck_assert(a.buffer == NULL); /* a large one is given back */
}
END_TEST

/* By the last few hundred; another origin, another number, or a name that is no origin of ours is not known. */
START_TEST(cleared)
{
        uint64_t origin = publisher_origin();
        char     name[17];

        ck_assert(origin != 0 && publisher_origin() != origin);
        snprintf(name, sizeof name, "%016llx", (unsigned long long)origin);
        ck_assert(!publisher_has_cleared(mt_bytes_of(name), 1));
        publisher_note_cleared(origin, 1);
        ck_assert(publisher_has_cleared(mt_bytes_of(name), 1));
        ck_assert(!publisher_has_cleared(mt_bytes_of(name), 2));
        ck_assert(!publisher_has_cleared(mt_bytes_of("0000000000000000"), 1));
        ck_assert(!publisher_has_cleared(mt_bytes_of("sh.1"), 1));
}
END_TEST

/* --------------------------------------------------------------------------------------------------- the codec */

static struct message message;
static bool           broken;

static bool pass(void *arg, const struct event *event)
{
        static bool inside;

        if (event->kind != EVENT_PIECE)
                return hear(arg, event);
        if (!inside)
                message_begin(&message);
        inside = event->integer != 0;
        message_feed(&message, event->bytes.ptr, event->bytes.len, hear, arg);
        broken |= !inside && !message_end(&message);
        return true;
}

static bool through(enum codec_dialect dialect, const char *bytes, size_t len, size_t piece)
{
        static struct codec codec;
        bool                sound = true;

        heard_len = 0;
        heard[0] = '\0';
        broken = false;
        codec_init_as(&codec, dialect, mt_bytes_of("chan"));
        for (size_t at = 0; at < len && sound; at += piece)
                sound = codec_feed(&codec, bytes + at, len - at < piece ? len - at : piece, pass, NULL);
        return sound;
}

#define SAID "*3\r\n$7\r\nmessage\r\n$4\r\nchan\r\n"

START_TEST(from_a_channel)
{
        static const char text[] = "*3\r\n$9\r\nsubscribe\r\n$4\r\nchan\r\n:1\r\n" SAID "$12\r\n1B x 1\n1:a0:\r\n"
                                   "*3\r\n$7\r\nmessage\r\n$5\r\nother\r\n$10\r\n1R x 2\n1:a\r\n" SAID
                                   "$10\r\n1R x 2\n1:b\r\n" SAID "*1\r\n$10\r\n1R x 3\n1:c\r\n" SAID "$-1\r\n";
        static const char *const wanted =
                "listens\nannounced x 1\nremove a\nremove \nother\nannounced x 2\nremove b\nmalformed\n"
                "malformed\n";

        for (size_t piece = 1; piece < sizeof text; piece++) {
                ck_assert(through(CODEC_MESSAGES, LITERAL(text), piece));
                ck_assert_str_eq(heard, wanted);
                ck_assert(!broken);
        }
        ck_assert(through(CODEC_MESSAGES, LITERAL(SAID "$0\r\n\r\n"), 100));
        ck_assert(broken);
}
END_TEST

START_TEST(from_a_stream)
{
        static const char        text[] = "*1\r\n*2\r\n$3\r\nstr\r\n*3\r\n"
                                          "*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nm\r\n$10\r\n1R x 1\n1:a\r\n"
                                          "*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nn\r\n$10\r\n1R x 2\n1:b\r\n"
                                          "*2\r\n$3\r\n2-0\r\n*4\r\n$1\r\nn\r\n$1\r\nm\r\n"
                                          "$1\r\nm\r\n$10\r\n1R x 3\n1:c\r\n"
                                          "*4\r\n$6\r\nlength\r\n:3\r\n$11\r\nfirst-entry\r\n*2\r\n$3\r\n1-0\r\n*0\r\n";
        static const char *const wanted = "word\nentry 1-0\nannounced x 1\nremove a\nentry 1-1\nmalformed\nentry 2-0\n"
                                          "announced x 3\nremove c\narray 1\nword length\nword 3\nword first-entry\n"
                                          "word\n"
                                          "array 4\n";

        for (size_t piece = 1; piece < sizeof text; piece++) {
                ck_assert(through(CODEC_STREAM, LITERAL(text), piece));
                ck_assert_str_eq(heard, wanted);
                ck_assert(!broken);
        }
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("message");
        TCase   *tests = tcase_create("message");
        SRunner *runner;
        int      failed;

        tcase_add_test(tests, meanings);
        tcase_add_test(tests, none);
        tcase_add_test(tests, long_keys);
        tcase_add_test(tests, unheard);
        tcase_add_test(tests, origins);
        tcase_add_test(tests, words);
        tcase_add_test(tests, households);
        tcase_add_test(tests, too_many);
        tcase_add_test(tests, cleared);
        tcase_add_test(tests, from_a_channel);
        tcase_add_test(tests, from_a_stream);
        suite_add_tcase(suite, tests);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
