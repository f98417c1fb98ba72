/* check_watch.c - how often a listener comes back to a server that is not there, closes at once, or says nothing, in
 * time that the test moves; and the handshake and the proof of each source, answer by answer. */
#include "invalidation/watch.h"
#include "l1_fixture.h"

#include <poll.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct invalidation_config   config = {.mode = INVALIDATION_TRACKING, .bound_ns = NS_PER_S, .stream = "str"};
static struct invalidation_endpoint endpoint;
static struct watch                *watch; /* two listeners of two hosts */
static struct server_shm           *server;

static void setup(void)
{
        struct sockaddr_un *un = (struct sockaddr_un *)&endpoint.address;

        fixture_usual();
        un->sun_family = AF_UNIX;
        snprintf(un->sun_path, sizeof un->sun_path, "%s/sock", fixture.directory);
        endpoint.length = sizeof *un;
        config.channel = "chan";
        invalidation_setup(&config);
        watch = calloc(2, sizeof *watch);
}

static void teardown(void)
{
        free(watch);
        fixture_end();
}

static int listen_there(int backlog)
{
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

        ck_assert_int_eq(bind(fd, (struct sockaddr *)&endpoint.address, endpoint.length), 0);
        if (backlog > 0)
                ck_assert_int_eq(listen(fd, backlog), 0);
        return fd;
}

/* The place of the server whose socket is there now, or of one that is not. */
static void lead(struct watch *w, uint64_t source, uint64_t salt)
{
        struct sockaddr_un *un = (struct sockaddr_un *)&endpoint.address;
        struct l1_server_id id = {.family = AF_UNIX, .source = source};
        struct leader       leader;
        struct stat         st;

        if (stat(un->sun_path, &st) == 0) {
                id.id[0] = st.st_dev;
                id.id[1] = st.st_ino;
        }
        id.id[2] = 0;
        server = l1_server(fixture.l1, &id);
        ck_assert_ptr_nonnull(server);
        ck_assert(leader_take(&leader, fixture.l1, server, 1000, mt_load_relaxed(&server->leader)));
        watch_begin(w, &config, &leader, &endpoint, clock_precise_ns() + salt);
}

static uint64_t pauses[2][64];
static unsigned attempts;

/* Seconds of its life, as the listener's thread would turn it; a connection is treated by the server as told. */
static void live(struct watch *w, uint64_t *pause, int listening, bool closes, unsigned seconds)
{
        static char buffer[4096];
        uint64_t    end_ns = clock_precise_ns() + seconds * NS_PER_S;

        attempts = 0;
        while (clock_precise_ns() < end_ns) {
                uint64_t      now_ns = clock_precise_ns(), next_ns = UINT64_MAX, retry_ns = w->retry_ns;
                bool          was_away = w->state == WATCH_AWAY;
                struct pollfd fd;
                int           accepted;

                if (watch_turn(w, now_ns, &next_ns) != WATCH_GOES_ON)
                        break;
                if (was_away && now_ns >= retry_ns)
                        attempts++;
                accepted = listening >= 0 ? accept(listening, NULL, NULL) : -1;
                if (accepted >= 0 && closes)
                        close(accepted);
                fd = (struct pollfd){.fd = w->link.fd, .events = watch_events(w)};
                if (fd.fd >= 0 && poll(&fd, 1, 0) > 0 && fd.revents)
                        watch_ready(w, fd.revents, buffer, sizeof buffer);
                if (pause && w->state == WATCH_AWAY && attempts < 64)
                        pause[attempts] = w->retry_ns - w->since_ns;
                if (w->state == WATCH_AWAY && w->retry_ns > now_ns)
                        next_ns = w->retry_ns;
                now_ns = clock_precise_ns();
                if (next_ns > now_ns)
                        atomic_fetch_add(&clock_test_offset_ns, (int64_t)(next_ns - now_ns));
        }
}

/* 10 ms, twice that, and so on to 250 ms, of each half to all of it; no two listeners alike. */
START_TEST(refused)
{
        unsigned alike = 0, n[2];
        int      fd = listen_there(0);

        for (int i = 0; i < 2; i++) {
                lead(&watch[i], 0, (uint64_t)i * 77);
                watch[i].listened = true;
                live(&watch[i], pauses[i], -1, false, 10);
                n[i] = attempts;
                ck_assert_uint_ge(n[i], 40); /* a server that is back is found within a quarter of a second */
                ck_assert_uint_le(n[i], 90);
                watch_finish(&watch[i]);
        }
        for (unsigned k = 2; k < 40; k++) {
                uint64_t full = k >= 7 ? 250 : UINT64_C(10) << (k - 2);

                for (int i = 0; i < 2; i++) {
                        ck_assert_uint_le(pauses[i][k], (full > 250 ? 250 : full) * NS_PER_MS);
                        ck_assert_uint_ge(pauses[i][k], (full > 250 ? 250 : full) * NS_PER_MS / 2);
                }
                alike += pauses[0][k] == pauses[1][k];
        }
        ck_assert_uint_eq(alike, 0);
        close(fd);
}
END_TEST

START_TEST(closes_at_once)
{
        int fd = listen_there(5);

        lead(watch, 0, 0);
        watch->listened = true;
        live(watch, NULL, fd, true, 10);
        ck_assert_uint_ge(attempts, 20);
        ck_assert_uint_le(attempts, 90);
        watch_finish(watch);
        close(fd);
}
END_TEST

START_TEST(says_nothing)
{
        int fd = listen_there(5);

        lead(watch, 0, 0);
        watch->listened = true;
        live(watch, NULL, fd, false, 10);
        ck_assert_uint_ge(attempts, 2);
        ck_assert_uint_le(attempts, 4);
        watch_finish(watch);
        close(fd);
}
END_TEST

/* ------------------------------------------------------------------------------------------------- the sources */

static struct source          source;
static struct source_position position;
static struct link            out;

static struct mt_bytes sent(void)
{
        struct mt_bytes bytes = mt_bytes(out.out + out.out_begin, out.out_end - out.out_begin);

        out.out_begin = out.out_end = 0;
        return bytes;
}

static bool sends(const char *text)
{
        struct mt_bytes bytes = sent();
        static char     wanted[512];
        size_t          n = 0;

        for (const char *p = text; *p; p++)
                n += (size_t)snprintf(wanted + n, sizeof wanted - n, "%s", *p == '|' ? "\r\n" : (char[]){*p, '\0'});
        return bytes.len == n && memcmp(bytes.ptr, wanted, n) == 0;
}

static struct event said(enum event_kind kind, const char *text, int64_t integer)
{
        return (struct event){.kind = kind, .bytes = text ? mt_bytes_of(text) : mt_bytes(NULL, 0), .integer = integer};
}

static enum source_result answered(enum event_kind kind, const char *text, int64_t integer)
{
        struct event event = said(kind, text, integer);

        return source_reply(&source, &event);
}

static enum source_proof heard(enum event_kind kind, const char *text, int64_t integer)
{
        struct event event = said(kind, text, integer);

        return source_stream_heard(&source, &event);
}

static void begin(enum invalidation_mode mode)
{
        link_init(&out);
        ck_assert(source_begin(&source, mode, &config, &position, &out, NULL));
}

START_TEST(channel)
{
        begin(INVALIDATION_PUBSUB);
        ck_assert(sends("*2|$4|INFO|$6|server|"));
        ck_assert_int_eq(answered(EVENT_BULK, "run_id:abc\r\n", 0), SOURCE_IDENTIFIED);
        ck_assert(source_subscribe(&source, &out));
        ck_assert(sends("*2|$9|SUBSCRIBE|$4|chan|"));
        ck_assert_int_eq(answered(EVENT_SUBSCRIBED, NULL, 0), SOURCE_CONFIRMED);
        ck_assert(source.ops->pulse(&source, &out, 0));
        ck_assert(sends("*1|$4|PING|"));
        begin(INVALIDATION_PUBSUB);
        answered(EVENT_ERROR, "NOPERM this user has no permissions", 0);
        ck_assert(source_subscribe(&source, &out));
        ck_assert_int_eq(answered(EVENT_ERROR, "NOPERM this user has no permissions", 0), SOURCE_FORBIDDEN);
        ck_assert_int_eq(answered(EVENT_ERROR, "NOAUTH Authentication required.", 0), SOURCE_REFUSED);
        ck_assert_int_eq(answered(EVENT_ERROR, "ERR unknown command", 0), SOURCE_IMPOSSIBLE);
        ck_assert_int_eq(answered(EVENT_ERROR, "LOADING", 0), SOURCE_LATER);
}
END_TEST

/* What XINFO STREAM says. added < 0: a server before 7, that does not say. */
static void info(const char *last, int64_t added, const char *first, const char *deleted, bool live_now)
{
        const struct event events[] = {said(EVENT_WORD, "length", 0),
                                       said(EVENT_WORD, NULL, 3),
                                       said(EVENT_WORD, "last-generated-id", 0),
                                       said(EVENT_WORD, last, 0),
                                       said(EVENT_WORD, "max-deleted-entry-id", 0),
                                       said(EVENT_WORD, deleted, 0),
                                       said(EVENT_WORD, "entries-added", 0),
                                       said(EVENT_WORD, NULL, added),
                                       said(EVENT_WORD, "recorded-first-entry-id", 0),
                                       said(EVENT_WORD, first, 0)};

        for (size_t i = 0; i < (added < 0 ? 4 : sizeof events / sizeof *events); i++) {
                if (live_now)
                        ck_assert_int_eq(source_stream_heard(&source, &events[i]), SOURCE_MORE);
                else
                        ck_assert_int_eq(source_reply(&source, &events[i]), SOURCE_WAIT);
        }
}

static enum source_result resume(const char *last, int64_t added, const char *first, const char *deleted, bool found)
{
        begin(INVALIDATION_STREAM);
        ck_assert_int_eq(answered(EVENT_BULK, "run_id:abc\r\n", 0), SOURCE_IDENTIFIED);
        ck_assert(source_subscribe(&source, &out));
        info(last, added, first, deleted, false);
        ck_assert_int_eq(answered(EVENT_ARRAY, NULL, 20), SOURCE_WAIT);
        if (found) /* the entry */
                ck_assert_int_eq(answered(EVENT_WORD, NULL, 0), SOURCE_WAIT);
        return answered(EVENT_ARRAY, NULL, found);
}

START_TEST(stream_resumes)
{
        static const struct {
                const char        *last;
                int64_t            added;
                const char        *first, *deleted;
                bool               found;
                enum source_result result;
        } cases[] = {
                {"5-1", 10, "1-0", "0-0", true, SOURCE_RESUMED},    /* nothing has happened */
                {"9-0", 14, "1-0", "0-0", true, SOURCE_RESUMED},    /* more has come, and all of it is there */
                {"9-0", 14, "5-1", "4-0", true, SOURCE_RESUMED},    /* what was trimmed or deleted had been read */
                {"5-1", 10, "0-0", "0-0", false, SOURCE_RESUMED},   /* all is trimmed, and all had been read */
                {"9-0", 14, "8-0", "0-0", false, SOURCE_CONFIRMED}, /* ours is trimmed, and more perhaps */
                {"9-0", 14, "6-0", "0-0", true, SOURCE_CONFIRMED},
                {"9-0", 14, "1-0", "6-0", true, SOURCE_CONFIRMED}, /* one behind ours was deleted */
                {"9-0", 9, "1-0", "0-0", true, SOURCE_CONFIRMED},  /* fewer than there were */
                {"5-0", 10, "1-0", "0-0", true, SOURCE_CONFIRMED}, /* it ends before ours */
                {"9-0", -1, "", "", true, SOURCE_RESUMED},         /* a server before 7 */
                {"9-0", -1, "", "", false, SOURCE_CONFIRMED},
                {"5-1", -1, "", "", false, SOURCE_CONFIRMED},
        };

        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                strcpy(position.id, "5-1");
                position.added = cases[i].added < 0 ? -1 : 10;
                ck_assert_msg(resume(cases[i].last, cases[i].added, cases[i].first, cases[i].deleted, cases[i].found) ==
                                      cases[i].result,
                              "case %zu", i);
                ck_assert_str_eq(position.id, cases[i].result == SOURCE_RESUMED ? "5-1" : cases[i].last);
        }
        position.id[0] = '\0'; /* the first connection: from here on */
        ck_assert_int_eq(resume("9-0", 14, "1-0", "0-0", false), SOURCE_CONFIRMED);
        ck_assert_str_eq(position.id, "9-0");
        ck_assert_int_eq(position.added, 14);
        position.id[0] = '\0';
        begin(INVALIDATION_STREAM);
        answered(EVENT_BULK, "run_id:abc\r\n", 0);
        source_subscribe(&source, &out);
        ck_assert_int_eq(answered(EVENT_ERROR, "ERR no such key", 0), SOURCE_WAIT);
        ck_assert_int_eq(answered(EVENT_ARRAY, NULL, 0), SOURCE_CONFIRMED);
        ck_assert_str_eq(position.id, "0-0");
        ck_assert_int_eq(position.added, 0);
}
END_TEST

static enum source_proof proof(const char *last, int64_t added)
{
        strcpy(position.id, "5-1");
        position.added = added < 0 ? -1 : 10;
        sent();
        ck_assert(source.ops->pulse(&source, &out, 0));
        ck_assert(sends("*6|$5|XREAD|$5|COUNT|$4|1000|$7|STREAMS|$3|str|$3|5-1|*3|$5|XINFO|$6|STREAM|$3|str|"));
        ck_assert_int_eq(heard(EVENT_BULK, NULL, 0), SOURCE_MORE);
        info(last, added, "1-0", "0-0", true);
        return heard(EVENT_ARRAY, NULL, 20);
}

START_TEST(stream_proves)
{
        position.id[0] = '\0';
        resume("5-1", 10, "1-0", "0-0", false);
        ck_assert_int_eq(proof("5-1", 10), SOURCE_PROVED);
        ck_assert_int_eq(proof("6-0", 11), SOURCE_UNPROVED); /* one has come in between */
        ck_assert_int_eq(proof("5-0", 12), SOURCE_GAP);      /* begun anew, and ids are lower */
        ck_assert_str_eq(position.id, "5-0");
        ck_assert_int_eq(position.added, 12);
        ck_assert_int_eq(proof("5-1", 9), SOURCE_GAP);
        ck_assert_int_eq(proof("5-1", 11), SOURCE_GAP); /* one that was never seen */
        ck_assert_int_eq(proof("6-0", 10), SOURCE_GAP);
        ck_assert_int_eq(proof("5-1", -1), SOURCE_PROVED);
        ck_assert_int_eq(proof("6-1", -1), SOURCE_UNPROVED);
        ck_assert_int_eq(proof("4-1", -1), SOURCE_GAP);
        strcpy(position.id, "5-1"); /* a read that waits proves nothing */
        sent();
        ck_assert(source.ops->pulse(&source, &out, 250));
        ck_assert(sends("*8|$5|XREAD|$5|COUNT|$4|1000|$5|BLOCK|$3|250|$7|STREAMS|$3|str|$3|5-1|"));
        ck_assert_int_eq(heard(EVENT_ARRAY, NULL, 1), SOURCE_WAITED);
        ck_assert_int_eq(heard(EVENT_ARRAY, NULL, 1), SOURCE_NO_PROOF); /* nobody has asked */
        ck_assert(source.ops->pulse(&source, &out, 0));                 /* a busy server says so twice */
        ck_assert_int_eq(heard(EVENT_ERROR, "BUSY", 0), SOURCE_MORE);
        ck_assert_int_eq(heard(EVENT_ERROR, "BUSY", 0), SOURCE_UNPROVED);
        ck_assert(source.rebuffed);
        position.added = 10; /* the stream is gone */
        ck_assert(source.ops->pulse(&source, &out, 0));
        ck_assert_int_eq(heard(EVENT_BULK, NULL, 0), SOURCE_MORE);
        ck_assert_int_eq(heard(EVENT_ERROR, "ERR no such key", 0), SOURCE_GAP);
        ck_assert_str_eq(position.id, "0-0");
        ck_assert_int_eq(position.added, 0);
        source_passed(&position, mt_bytes_of("7-7"));
        ck_assert_str_eq(position.id, "7-7");
        ck_assert_int_eq(position.added, 1);
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("watch");
        TCase   *tests = tcase_create("watch"), *sources = tcase_create("sources");
        SRunner *runner;
        int      failed;

        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, refused);
        tcase_add_test(tests, closes_at_once);
        tcase_add_test(tests, says_nothing);
        config.channel = "chan";
        tcase_add_test(sources, channel);
        tcase_add_test(sources, stream_resumes);
        tcase_add_test(sources, stream_proves);
        suite_add_tcase(suite, tests);
        suite_add_tcase(suite, sources);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
