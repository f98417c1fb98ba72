/* check_codec.c - the push stream's parser: what each message means, any split of it, a naive parser beside it that
 * wants all of the bytes at once, and bytes that are no RESP. */
#include "invalidation/codec.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define HEAD       "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"
#define LITERAL(s) (s), sizeof(s) - 1

/* Events as text, one a line, so that two runs compare with strcmp(). Long bytes count by length and sum. */
struct record {
        size_t   len;
        char     text[1 << 20];
        unsigned events, removes;
        unsigned stop_after; /* 0: never */
};

static bool record_event(void *arg, const struct event *event)
{
        static const char *const name[] = {"remove", "flush",   "subscribed", "pong", "status",
                                           "error",  "integer", "bulk",       "other"};
        struct record           *r = arg;
        unsigned                 sum = 0;

        for (size_t i = 0; i < event->bytes.len; i++)
                sum = sum * 31 + (unsigned char)event->bytes.ptr[i];
        r->len += (size_t)snprintf(r->text + r->len, sizeof r->text - r->len, "%s", name[event->kind]);
        if (event->bytes.ptr && event->bytes.len < 32)
                r->len += (size_t)snprintf(r->text + r->len, sizeof r->text - r->len, " \"%.*s\"",
                                           (int)event->bytes.len, event->bytes.ptr);
        else if (event->bytes.ptr)
                r->len +=
                        (size_t)snprintf(r->text + r->len, sizeof r->text - r->len, " %zu:%08x", event->bytes.len, sum);
        if (event->kind == EVENT_INTEGER)
                r->len +=
                        (size_t)snprintf(r->text + r->len, sizeof r->text - r->len, " %lld", (long long)event->integer);
        r->len += (size_t)snprintf(r->text + r->len, sizeof r->text - r->len, "\n");
        ck_assert_uint_lt(r->len, sizeof r->text);
        r->events++;
        r->removes += event->kind == EVENT_REMOVE;
        return r->stop_after == 0 || r->events < r->stop_after;
}

static struct record seen, wanted;
static struct codec  codec;

static void record_clear(struct record *r)
{
        r->len = r->events = r->removes = r->stop_after = 0;
        r->text[0] = '\0';
}

/* In pieces of at most this many bytes; 0: of random sizes. */
static bool feed(const char *bytes, size_t len, size_t piece)
{
        bool sound = true;

        record_clear(&seen);
        codec_init(&codec);
        for (size_t at = 0; at < len && sound;) {
                size_t n = piece ? piece : 1 + (size_t)rand() % 40;
                char  *exact; /* its own block, so that reading beyond it is seen by asan */

                if (n > len - at)
                        n = len - at;
                exact = malloc(n);
                memcpy(exact, bytes + at, n);
                sound = codec_feed(&codec, exact, n, record_event, &seen);
                free(exact);
                at += n;
        }
        return sound;
}

static void expect(const char *bytes, size_t len, const char *events)
{
        for (size_t piece = 1; piece < 8; piece++) {
                ck_assert_msg(feed(bytes, len, piece), "refused: %s", bytes);
                ck_assert_str_eq(seen.text, events);
        }
        ck_assert(feed(bytes, len, len));
        ck_assert_str_eq(seen.text, events);
}

START_TEST(test_codec_replies)
{
        expect(LITERAL("+OK\r\n"), "status \"OK\"\n");
        expect(LITERAL("+PONG\r\n"), "pong \"PONG\"\n");
        expect(LITERAL("-ERR x\r\n"), "error \"ERR x\"\n");
        expect(LITERAL(":-12\r\n"), "integer -12\n");
        expect(LITERAL("$0\r\n\r\n"), "bulk \"\"\n");
        expect(LITERAL("$-1\r\n*-1\r\n"), "bulk\nbulk\n");
        expect(LITERAL("*0\r\n"), "other\n");
        expect(LITERAL("*2\r\n$4\r\npong\r\n$0\r\n\r\n"), "pong\n");
        expect(LITERAL("*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n"), "subscribed\n");
}
END_TEST

START_TEST(test_codec_keys)
{
        expect(LITERAL(HEAD "*2\r\n$1\r\na\r\n$3\r\nb\r\n\r\n"), "remove \"a\"\nremove \"b\r\n\"\n");
        expect(LITERAL(HEAD "*1\r\n$0\r\n\r\n"), "remove \"\"\n");
        expect(LITERAL(HEAD "$-1\r\n"), "flush\n");
        expect(LITERAL(HEAD "*-1\r\n"), "flush\n");
        expect(LITERAL(HEAD "*0\r\n+x\r\n"), "status \"x\"\n");
}
END_TEST

/* Only the server says an array of strings or nil; a client may PUBLISH a string. */
START_TEST(test_codec_ignores)
{
        expect(LITERAL(HEAD "$1\r\na\r\n"), "");
        expect(LITERAL(HEAD ":1\r\n"), "");
        expect(LITERAL(HEAD "*3\r\n:1\r\n*1\r\n$1\r\na\r\n$1\r\nb\r\n"), "remove \"b\"\n");
        expect(LITERAL(HEAD "*1\r\n+a\r\n"), "");
        expect(LITERAL("*3\r\n$7\r\nmessage\r\n$5\r\nother\r\n*1\r\n$1\r\na\r\n"), "other\n");
        expect(LITERAL("*3\r\n$7\r\nmessage\r\n$5\r\nother\r\n$-1\r\n"), "other\n");
        expect(LITERAL("*4\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n:1\r\n"), "other\n");
        expect(LITERAL("*3\r\n+message\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n"), "other\n");
        expect(LITERAL("*3\r\n*1\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n"), "other\n");
        expect(LITERAL("*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n"), "other\n");
        expect(LITERAL("*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n*1\r\n:1\r\n"), "other\n");
        expect(LITERAL("*2\r\n$4\r\npong\r\n$1\r\nx\r\n"), "other\n");
        expect(LITERAL("*2\r\n$4\r\npong\r\n*-1\r\n"), "other\n");
        expect(LITERAL("*1\r\n*1\r\n*1\r\n:1\r\n"), "other\n");
}
END_TEST

START_TEST(test_codec_malformed)
{
        static const char *const bad[] = {
                "x\r\n",
                "\r\n",
                "+OK\n",
                "$1\r\nab\r\n",
                "$1\r\na\rx",
                "$x\r\n",
                "$-2\r\n",
                "*-2\r\n",
                "$\r\n",
                ":\r\n",
                ":-\r\n",
                ":1x\r\n",
                "$+1\r\n",
                ":1234567890123456789\r\n",
                ">2\r\n",
                "_\r\n",
                "HTTP/1.0 400 Bad\r\n",
                "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
                "*3\r\n$7\r\nmessage\r\n?\n",
        };
        char endless[CODEC_LINE_MAX + 2];

        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
                for (size_t piece = 1; piece < 40; piece++)
                        ck_assert_msg(!feed(bad[i], strlen(bad[i]), piece), "accepted: %s", bad[i]);
                ck_assert(!codec_feed(&codec, LITERAL("+OK\r\n"), record_event, &seen)); /* for good */
        }
        memset(endless, 'x', sizeof endless);
        endless[0] = '+';
        ck_assert(!feed(endless, sizeof endless, 1));
        ck_assert(!feed(endless, sizeof endless, sizeof endless));
        /* Nested as deep as is allowed. */
        ck_assert(feed(LITERAL("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"), 3));
}
END_TEST

START_TEST(test_codec_stops)
{
        static const char two[] = HEAD "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n";

        record_clear(&seen);
        seen.stop_after = 2;
        codec_init(&codec);
        ck_assert(!codec_feed(&codec, two, sizeof two - 1, record_event, &seen));
        ck_assert_uint_eq(seen.removes, 2);
        ck_assert(!codec_feed(&codec, "$1\r\nd\r\n", 7, record_event, &seen));
        ck_assert_uint_eq(seen.removes, 2);
}
END_TEST

/* The longest key that is kept, one more byte, and far more than the buffer; then the stream goes on as before. */
START_TEST(test_codec_long_keys)
{
        static const size_t length[] = {ITEM_KEY_MAX - 1, ITEM_KEY_MAX, ITEM_KEY_MAX + 1, 300000};
        static char         bytes[400000];

        for (size_t i = 0; i < sizeof length / sizeof length[0]; i++) {
                size_t n = (size_t)sprintf(bytes, HEAD "*2\r\n$%zu\r\n", length[i]);

                memset(bytes + n, 'k', length[i]);
                n += length[i];
                n += (size_t)sprintf(bytes + n, "\r\n$1\r\nz\r\n+OK\r\n");
                for (size_t piece = 1; piece < n * 8; piece = piece * 7 + 1) {
                        ck_assert(feed(bytes, n, piece));
                        ck_assert_uint_eq(seen.removes, length[i] <= ITEM_KEY_MAX ? 2 : 1);
                        ck_assert_ptr_nonnull(strstr(seen.text, "remove \"z\""));
                        ck_assert_ptr_nonnull(strstr(seen.text, "status \"OK\""));
                }
        }
        /* A reply that is longer than the buffer is cut, not refused. */
        size_t n = (size_t)sprintf(bytes, "$%d\r\n", ITEM_KEY_MAX * 3);

        memset(bytes + n, 'r', ITEM_KEY_MAX * 3);
        n += ITEM_KEY_MAX * 3;
        n += (size_t)sprintf(bytes + n, "\r\n:5\r\n");
        ck_assert(feed(bytes, n, 4096));
        ck_assert_uint_eq(seen.events, 2);
        ck_assert(feed(bytes, n, n));
        ck_assert_uint_eq(seen.events, 2);
}
END_TEST

START_TEST(test_codec_hundred_thousand_keys)
{
        enum { KEYS = 100000 };
        static char bytes[KEYS * 24];
        size_t      n = (size_t)sprintf(bytes, HEAD "*%d\r\n", KEYS);

        for (int i = 0; i < KEYS; i++)
                n += (size_t)sprintf(bytes + n, "$11\r\nkey:%07d\r\n", i);
        codec_init(&codec);
        record_clear(&seen);
        for (size_t at = 0; at < n; at += 65536) {
                seen.len = 0; /* counting is enough */
                ck_assert(codec_feed(&codec, bytes + at, n - at < 65536 ? n - at : 65536, record_event, &seen));
        }
        ck_assert_uint_eq(seen.removes, KEYS);
        ck_assert_uint_eq(codec.depth, 0);
}
END_TEST

/* ------------------------------------------------------------------------------------------- beside a naive parser */

struct naive {
        const char *at, *end;
        bool        bad, more; /* malformed; or the bytes end in the middle */
        bool        huge;      /* an array that cannot end here, and was not looked into */
};

struct value {
        char            type; /* '+', '-', ':', '$', '*', or '0' for nil */
        struct mt_bytes bytes;
        int64_t         number;
        struct value   *element;
};

static struct value naive_value(struct naive *n, unsigned depth);

static struct mt_bytes naive_line(struct naive *n)
{
        const char     *newline = memchr(n->at, '\n', (size_t)(n->end - n->at));
        struct mt_bytes line = {0};

        if (!newline) {
                n->more = true;
                return line;
        }
        line = mt_bytes(n->at, (size_t)(newline - n->at));
        n->at = newline + 1;
        if (line.len < 2 || line.len >= CODEC_LINE_MAX || line.ptr[line.len - 1] != '\r')
                n->bad = true;
        else
                line.len--;
        return line;
}

static int64_t naive_number(struct naive *n, struct mt_bytes text)
{
        char copy[32] = "", *end;

        if (text.len == 0 || text.len > 19 || (text.ptr[0] != '-' && text.len > 18) ||
            strspn(text.ptr, "-0123456789") < text.len || memchr(text.ptr + 1, '-', text.len - 1) ||
            (text.len == 1 && text.ptr[0] == '-')) {
                n->bad = true;
                return 0;
        }
        memcpy(copy, text.ptr, text.len);
        return strtoll(copy, &end, 10);
}

static struct value naive_value(struct naive *n, unsigned depth)
{
        struct value    v = {.type = '0'};
        struct mt_bytes line = naive_line(n), text;

        if (n->bad || n->more)
                return v;
        text = mt_bytes(line.ptr + 1, line.len - 1);
        v.bytes = text;
        v.type = line.ptr[0];
        if (v.type == '+' || v.type == '-')
                return v;
        if (!strchr(":$*", v.type)) {
                n->bad = true;
                return v;
        }
        v.number = naive_number(n, text);
        if (n->bad || v.type == ':')
                return v;
        if (v.number < 0) {
                n->bad = v.number != -1;
                v.type = '0';
                return v;
        }
        if (v.type == '$') {
                if (n->end - n->at < v.number + 2) {
                        n->more = true;
                        n->bad = n->end - n->at == v.number + 1 && n->end[-1] != '\r'; /* one byte early */
                        return v;
                }
                v.bytes = mt_bytes(n->at, (size_t)v.number);
                n->at += v.number + 2;
                n->bad = n->at[-2] != '\r' || n->at[-1] != '\n';
                return v;
        }
        if (depth == CODEC_DEPTH_MAX) {
                n->bad = true;
                return v;
        }
        if (v.number > n->end - n->at) {
                n->more = n->huge = true;
                return v;
        }
        v.element = calloc((size_t)v.number + 1, sizeof v);
        for (int64_t i = 0; i < v.number && !n->bad && !n->more; i++)
                v.element[i] = naive_value(n, depth + 1);
        return v;
}

static bool naive_is(const struct value *v, const char *text)
{
        return v->type == '$' && mt_bytes_equal(v->bytes, mt_bytes_of(text));
}

static void naive_say(enum event_kind kind, struct mt_bytes bytes, int64_t integer)
{
        const struct event event = {.kind = kind, .bytes = bytes, .integer = integer};

        record_event(&wanted, &event);
}

static void naive_mean(const struct value *v)
{
        const struct value *e = v->element;
        struct mt_bytes     none = {0};

        if (v->type == '+')
                naive_say(mt_bytes_equal(v->bytes, mt_bytes_of("PONG")) ? EVENT_PONG : EVENT_STATUS, v->bytes, 0);
        else if (v->type == '-')
                naive_say(EVENT_ERROR, v->bytes, 0);
        else if (v->type == ':')
                naive_say(EVENT_INTEGER, none, v->number);
        else if (v->type != '*')
                naive_say(EVENT_BULK, v->type == '0' ? none : v->bytes, 0);
        else if (v->number == 2 && naive_is(e, "pong") && naive_is(e + 1, ""))
                naive_say(EVENT_PONG, none, 0);
        else if (v->number == 3 && naive_is(e, "subscribe") && naive_is(e + 1, CODEC_CHANNEL) && e[2].type == ':')
                naive_say(EVENT_SUBSCRIBED, none, 0);
        else if (v->number != 3 || !naive_is(e, "message") || !naive_is(e + 1, CODEC_CHANNEL))
                naive_say(EVENT_OTHER, none, 0);
        else if (e[2].type == '0')
                naive_say(EVENT_FLUSH, none, 0);
        else if (e[2].type == '*')
                for (int64_t i = 0; i < e[2].number; i++)
                        if (e[2].element[i].type == '$')
                                naive_say(EVENT_REMOVE, e[2].element[i].bytes, 0);
}

static void naive_free(struct value *v)
{
        for (int64_t i = 0; v->element && i < v->number; i++)
                naive_free(&v->element[i]);
        free(v->element);
}

/* 1: all of it is well-formed (perhaps with an end that is still to come). 0: it is not. -1: who knows. */
static int naive_parse(const char *bytes, size_t len)
{
        struct naive n = {.at = bytes, .end = bytes + len};

        record_clear(&wanted);
        while (n.at < n.end && !n.bad && !n.more) {
                struct value v = naive_value(&n, 0);

                if (!n.bad && !n.more)
                        naive_mean(&v);
                naive_free(&v);
        }
        return n.huge ? -1 : !n.bad;
}

static size_t random_value(char *to, unsigned depth)
{
        static const char *const word[] = {"message", "subscribe", "pong", CODEC_CHANNEL, "", "k", "a\r\nb", "$1\r\n"};
        int                      n = rand() % 4;
        size_t                   len;

        switch (rand() % (depth < 4 ? 10 : 5)) {
        case 0: return (size_t)sprintf(to, "+%s\r\n", rand() % 2 ? "PONG" : "OK");
        case 1: return (size_t)sprintf(to, "-ERR x\r\n");
        case 2: return (size_t)sprintf(to, ":%d\r\n", rand() - RAND_MAX / 2);
        case 3: return (size_t)sprintf(to, rand() % 2 ? "$-1\r\n" : "*-1\r\n");
        case 4:
        case 5: len = (size_t)rand() % 8; return (size_t)sprintf(to, "$%zu\r\n%s\r\n", strlen(word[len]), word[len]);
        case 6:
                len = (size_t)sprintf(to, "*3\r\n$9\r\nsubscribe\r\n$20\r\n%s\r\n", CODEC_CHANNEL);
                return len + random_value(to + len, depth + 1);
        case 7:
        case 8: len = (size_t)sprintf(to, HEAD); return len + random_value(to + len, depth + 1);
        default: len = (size_t)sprintf(to, "*%d\r\n", n);
        }
        while (n-- > 0)
                len += random_value(to + len, depth + 1);
        return len;
}

/* A loop value is the seed, so that a failure names what to run again. */
START_TEST(test_codec_against_naive)
{
        static char bytes[1 << 16];

        srand((unsigned)_i + 1);
        for (int round = 0; round < 2000; round++) {
                size_t len = 0;
                int    sound;

                while (len < 400)
                        len += random_value(bytes + len, 0);
                if (round % 2) /* damaged */
                        bytes[(size_t)rand() % len] = "\r\n$*+-:0123456789ax"[rand() % 19];
                len -= (size_t)rand() % 20;
                sound = naive_parse(bytes, len);
                for (size_t piece = 0; piece < 3; piece++) {
                        bool got = feed(bytes, len, piece);

                        ck_assert_msg(!got || sound != 0 || round % 2, "accepted what is malformed: %.*s", (int)len,
                                      bytes);
                        ck_assert_msg(got || sound != 1, "refused what is sound: %.*s", (int)len, bytes);
                        /* Of a message that is broken or still coming in, keys are said early. */
                        ck_assert_msg(strncmp(seen.text, wanted.text, wanted.len) == 0, "%.*s\n%s\nbut\n%s", (int)len,
                                      bytes, wanted.text, seen.text);
                }
        }
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("codec");
        TCase   *tc = tcase_create("codec");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_set_timeout(tc, 60);
        tcase_add_test(tc, test_codec_replies);
        tcase_add_test(tc, test_codec_keys);
        tcase_add_test(tc, test_codec_ignores);
        tcase_add_test(tc, test_codec_malformed);
        tcase_add_test(tc, test_codec_stops);
        tcase_add_test(tc, test_codec_long_keys);
        tcase_add_test(tc, test_codec_hundred_thousand_keys);
        tcase_add_loop_test(tc, test_codec_against_naive, 0, 8);
        suite_add_tcase(suite, tc);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? 0 : 1;
}
