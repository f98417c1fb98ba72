/* check_backend_redis.c - Redis as a tier: what every store must do (conform.h), and what is this one's own: what it
 * says to the server, what it makes of an error, how it is configured. */
#include "halt.h"
#include "redis_fixture.h"

#include "l1/tier/conform.h"
#include "l1/tier/plugin.h"
#include "shim/redis/backend_redis.h"

#include <pthread.h>

enum { TIMEOUT_MS = 5000, TTL_MS = 60000 };

static char                     why[MT_BACKEND_WHY_MAX];
static struct mt_backend_config opening;
static void                    *self;
static const struct mt_l2_ops  *ops;

static void begin_with(const char *const *option)
{
        fixture_folder();
        fixture_start_redis(option);
        opening = (struct mt_backend_config){.address = mt_bytes_of(socket_path),
                                             .prefix = mt_bytes_of("t:"),
                                             .timeout_ms = TIMEOUT_MS};
        ops = backend_redis.ops;
}

static void setup_alone(void)
{
        begin_with(NULL);
}

static void setup(void)
{
        setup_alone();
        ck_assert_msg(backend_redis.open(&opening, &self, why) == MT_OK, "%s", why);
}

static void teardown(void)
{
        char line[64];

        if (self)
                backend_redis.close(self);
        if (redis_pid > 0)
                fixture_end(redis_pid);
        snprintf(line, sizeof line, "rm -rf %s", folder);
        ck_assert_int_eq(system(line), 0);
}

struct buffer {
        struct mt_sink sink;
        char           bytes[256];
        size_t         len;
};

static char *room(struct mt_sink *sink, size_t len)
{
        struct buffer *b = (struct buffer *)sink;

        ck_assert_uint_lt(len, sizeof b->bytes);
        b->len = len;
        b->bytes[len] = '\0';
        return b->bytes;
}

static struct buffer buffer = {.sink.room = room};

static struct mt_bytes text(const char *s)
{
        return mt_bytes_of(s);
}

static enum mt_status get(const char *key)
{
        return ops->cache.get(self, text(key), &buffer.sink);
}

static enum mt_status set(const char *key, const char *value)
{
        return ops->cache.set_with_ttl(self, text(key), text(value), TTL_MS);
}

/* The reply of one command, as an integer, or by the length of a string or an array. */
static long long ask(const char *format, ...)
{
        redisContext *c = fixture_connect();
        redisReply   *reply;
        va_list       ap;
        long long     n = -1000;

        va_start(ap, format);
        reply = redisvCommand(c, format, ap);
        va_end(ap);
        ck_assert_ptr_nonnull(reply);
        ck_assert_msg(reply->type != REDIS_REPLY_ERROR, "%s: %s", format, reply->str);
        if (reply->type == REDIS_REPLY_INTEGER)
                n = reply->integer;
        else if (reply->type == REDIS_REPLY_STRING)
                n = (long long)reply->len;
        else if (reply->type == REDIS_REPLY_ARRAY)
                n = (long long)reply->elements;
        freeReplyObject(reply);
        redisFree(c);
        return n;
}

/* How often the server has carried out a command. */
static long long calls(const char *command)
{
        redisContext *c = fixture_connect();
        redisReply   *reply = redisCommand(c, "INFO commandstats");
        char          name[64];
        const char   *found;
        long long     n = 0;

        ck_assert_ptr_nonnull(reply);
        snprintf(name, sizeof name, "cmdstat_%s:calls=", command);
        found = strstr(reply->str, name);
        if (found)
                n = atoll(found + strlen(name));
        freeReplyObject(reply);
        redisFree(c);
        return n;
}

/* ------------------------------------------------------------------------------------------------- the suite's */

static bool suite_failed;

static void report(void *arg, const char *check, enum conform_verdict verdict, const char *seen)
{
        static const char *const word[] = {"passed", "FAILED", "skipped"};

        (void)arg;
        printf("  %-16s %-8s %s\n", check, word[verdict], seen);
        fflush(stdout);
        suite_failed |= verdict == CONFORM_FAILED;
}

static bool stop(void *arg)
{
        (void)arg;
        fixture_end(redis_pid);
        return true;
}

static bool start(void *arg)
{
        (void)arg;
        fixture_start_redis(NULL);
        return true;
}

START_TEST(it_is_a_store)
{
        const struct conform conform = {.backend = &backend_redis,
                                        .config = opening,
                                        .quick = true,
                                        .stop = stop,
                                        .start = start,
                                        .report = report};
        struct conform_count count = conform_run(&conform);

        ck_assert(!suite_failed);
        ck_assert_uint_ge(count.passed, 30);
        ck_assert_int_eq(ask("DBSIZE"), 0); /* what it stores it takes away, marks and all */
}
END_TEST

/* ---------------------------------------------------------------------------------------------- one round trip */

START_TEST(value_and_life_in_one_step)
{
        uint64_t ttl_ms = 0;

        ck_assert_int_eq(set("k", "value"), MT_OK);
        ck_assert_int_eq(ops->get_with_ttl(self, text("k"), &buffer.sink, &ttl_ms), MT_OK);
        ck_assert_str_eq(buffer.bytes, "value");
        ck_assert_uint_gt(ttl_ms, TTL_MS - TIMEOUT_MS);
        ck_assert_uint_lt(ttl_ms, TTL_MS);
        ck_assert_int_eq(calls("eval"), 1);
        ck_assert_int_eq(calls("pttl"), 1);
        ck_assert_int_eq(calls("get"), 1);
        ck_assert_int_eq(ask("PTTL t:k") > TTL_MS - TIMEOUT_MS, 1);
        fixture_say("PERSIST t:k");
        ck_assert_int_eq(ops->get_with_ttl(self, text("k"), &buffer.sink, &ttl_ms), MT_OK);
        ck_assert_uint_eq(ttl_ms, MT_TTL_NONE);
        fixture_say("DEL t:k");
        ck_assert_int_eq(ops->get_with_ttl(self, text("k"), &buffer.sink, &ttl_ms), MT_MISS);
}
END_TEST

/* A server that answers what it is told to, once, when it has been asked; and makes time pass before it does. */
static struct {
        int         fd;
        const char *answer;
        uint64_t    passes_ns;
} fake;

static void *answer_once(void *arg)
{
        int     fd = accept(fake.fd, NULL, NULL);
        char    request[4096];
        ssize_t n = read(fd, request, sizeof request);

        clock_test_offset_ns += (int64_t)fake.passes_ns;
        if (n > 0)
                n = write(fd, fake.answer, strlen(fake.answer));
        while (read(fd, request, sizeof request) > 0)
                ;
        close(fd);
        return n > 0 ? NULL : arg;
}

static enum mt_status get_with_ttl_of_fake(const char *answer, uint64_t passes_ns, uint64_t *ttl_ms)
{
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        void              *other = NULL, *failed;
        pthread_t          thread;
        enum mt_status     status;

        snprintf(un.sun_path, sizeof un.sun_path, "%s/fake", folder);
        unlink(un.sun_path);
        fake.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        fake.answer = answer;
        fake.passes_ns = passes_ns;
        ck_assert_int_eq(bind(fake.fd, (void *)&un, sizeof un), 0);
        ck_assert_int_eq(listen(fake.fd, 1), 0);
        ck_assert_int_eq(pthread_create(&thread, NULL, answer_once, &fake), 0);
        opening.address = text(un.sun_path);
        ck_assert_int_eq(backend_redis.open(&opening, &other, why), MT_OK);
        status = ops->get_with_ttl(other, text("k"), &buffer.sink, ttl_ms);
        backend_redis.close(other);
        pthread_join(thread, &failed);
        ck_assert_ptr_null(failed);
        close(fake.fd);
        return status;
}

#define ANSWER(pttl, get) "*2\r\n" pttl get

START_TEST(the_time_that_the_answer_took_is_over)
{
        uint64_t ttl_ms = 0;

        ck_assert_int_eq(get_with_ttl_of_fake(ANSWER(":60000\r\n", "$1\r\nv\r\n"), 10 * NS_PER_S, &ttl_ms), MT_OK);
        ck_assert_uint_lt(ttl_ms, 50000);
        ck_assert_uint_gt(ttl_ms, 50000 - TIMEOUT_MS);
        ck_assert_int_eq(get_with_ttl_of_fake(ANSWER(":9999\r\n", "$1\r\nv\r\n"), 10 * NS_PER_S, &ttl_ms), MT_MISS);
}
END_TEST

START_TEST(answers_that_are_no_value)
{
        static const struct {
                const char    *answer;
                enum mt_status status;
        } cases[] = {
                {ANSWER(":-2\r\n", "$-1\r\n"), MT_MISS},
                {ANSWER(":5000\r\n", "$-1\r\n"), MT_MISS},  /* its time ended between the two */
                {ANSWER(":0\r\n", "$1\r\nv\r\n"), MT_MISS}, /* less than a ms */
                {ANSWER(":-1\r\n", "$0\r\n\r\n"), MT_OK},   /* of nothing, for ever */
                {ANSWER(":5000\r\n", "*0\r\n"), MT_ERROR},
                {ANSWER("-ERR no\r\n", "$1\r\nv\r\n"), MT_ERROR},
                {ANSWER(":5000\r\n", "-WRONGTYPE no\r\n"), MT_ERROR},
                {"*-1\r\n", MT_ERROR},
                {"*1\r\n:1\r\n", MT_ERROR},
                {"-LOADING\r\n", MT_ERROR},
                {"-BUSY\r\n", MT_ERROR},
                {"-NOPERM\r\n", MT_ERROR},
                {"$-1\r\n", MT_ERROR},
                {"*2\r\n:5000\r\n$100\r\n", MT_ERROR}, /* the rest never comes */
                {"?\r\n", MT_ERROR},
        };
        uint64_t ttl_ms;

        opening.timeout_ms = 300; /* of what comes incomplete */
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                enum mt_status status = get_with_ttl_of_fake(cases[i].answer, 0, &ttl_ms);

                ck_assert_msg(status == cases[i].status, "%s: %d", cases[i].answer, (int)status);
        }
}
END_TEST

/* A byte now and then is no answer: the time is one for all of it. */
static void *trickle(void *arg)
{
        int  fd = accept(fake.fd, NULL, NULL);
        char byte = '$';

        while (write(fd, &byte, 1) == 1) {
                byte = '1';
                usleep(1000);
        }
        close(fd);
        return arg;
}

START_TEST(a_server_that_dribbles_is_not_waited_for)
{
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        void              *other = NULL;
        pthread_t          thread;
        uint64_t           began_ns;

        signal(SIGPIPE, SIG_IGN);
        snprintf(un.sun_path, sizeof un.sun_path, "%s/fake", folder);
        fake.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(bind(fake.fd, (void *)&un, sizeof un), 0);
        ck_assert_int_eq(listen(fake.fd, 1), 0);
        ck_assert_int_eq(pthread_create(&thread, NULL, trickle, NULL), 0);
        opening.address = text(un.sun_path);
        opening.timeout_ms = 500;
        ck_assert_int_eq(backend_redis.open(&opening, &other, why), MT_OK);
        began_ns = clock_read_ns(CLOCK_MONOTONIC);
        ck_assert_int_eq(ops->cache.get(other, text("k"), &buffer.sink), MT_ERROR);
        ck_assert_uint_ge(clock_read_ns(CLOCK_MONOTONIC) - began_ns, 500 * NS_PER_MS);
        ck_assert_uint_lt(clock_read_ns(CLOCK_MONOTONIC) - began_ns, TIMEOUT_MS * NS_PER_MS);
        ck_assert(logged("no answer within 500 ms"));
        backend_redis.close(other);
        pthread_join(thread, NULL);
        close(fake.fd);
}
END_TEST

static void *go_on(void *arg)
{
        usleep(100000);
        kill(redis_pid, SIGCONT);
        return arg;
}

/* What comes after its time is not taken for the answer to the next question. */
START_TEST(a_late_answer_is_nobodys)
{
        void     *other = NULL;
        pthread_t thread;

        opening.timeout_ms = 1000;
        ck_assert_int_eq(backend_redis.open(&opening, &other, why), MT_OK);
        ck_assert_int_eq(set("a", "of a"), MT_OK);
        ck_assert_int_eq(ops->cache.get(other, text("a"), &buffer.sink), MT_OK);
        halt(redis_pid);
        ck_assert_int_eq(ops->cache.get(other, text("a"), &buffer.sink), MT_ERROR);
        ck_assert_int_eq(pthread_create(&thread, NULL, go_on, NULL), 0);
        ck_assert_int_ne(ops->cache.get(other, text("b"), &buffer.sink), MT_OK);
        pthread_join(thread, NULL);
        backend_redis.close(other);
}
END_TEST

/* A connection on which nothing leaves any more, though the look at it has found it well: what was not sent is sent on
 * another. The server is held back, so that it cannot end the connection first, and be seen. */
START_TEST(what_was_not_sent_is_sent_again)
{
        struct redis_store *store = self;
        struct pool_loan    loan;
        pthread_t           thread;

        ck_assert_int_eq(set("a", "v"), MT_OK);
        ck_assert_int_eq(pool_lend(store->pool, &loan), MT_OK);
        ck_assert(!loan.fresh);
        halt(redis_pid);
        shutdown(loan.context->fd, SHUT_WR);
        pool_return(store->pool, &loan, true);
        ck_assert_int_eq(pthread_create(&thread, NULL, go_on, NULL), 0);
        ck_assert_int_eq(get("a"), MT_OK);
        pthread_join(thread, NULL);
}
END_TEST

/* ------------------------------------------------------------------------------------------- times that are odd */

START_TEST(longer_than_the_server_takes)
{
        static const uint64_t ttls[] = {UINT64_C(1) << 62, UINT64_C(1) << 63, UINT64_MAX - 1};
        uint64_t              ttl_ms = 0, mark;

        for (size_t i = 0; i < sizeof ttls / sizeof *ttls; i++) {
                ck_assert_int_eq(ops->cache.set_with_ttl(self, text("k"), text("v"), ttls[i]), MT_OK);
                ck_assert_int_eq(ops->get_with_ttl(self, text("k"), &buffer.sink, &ttl_ms), MT_OK);
                ck_assert_uint_gt(ttl_ms, UINT64_C(1) << 61);
                ck_assert_uint_lt(ttl_ms, UINT64_C(1) << 62);
        }
        ck_assert_int_eq(ops->mark(self, text("k"), &mark), MT_OK);
        ck_assert_int_eq(ops->set_marked(self, text("k"), text("v"), MT_TTL_NONE, mark), MT_OK);
        ck_assert_int_eq(ask("PTTL t:k"), -1);
        ck_assert_int_eq(ops->set_marked(self, text("k"), text("v"), UINT64_MAX - 1, mark), MT_OK);
        ck_assert_int_eq(ask("PTTL t:k") > 0, 1);
        ck_assert_int_eq(ops->set_marked(self, text("k"), text("v"), 0, mark), MT_OK);
        ck_assert_int_eq(ask("EXISTS t:k"), 0);
}
END_TEST

/* --------------------------------------------------------------------------------------- marks, and what voids them */

static enum mt_status set_marked(uint64_t mark)
{
        return ops->set_marked(self, text("k"), text("late"), TTL_MS, mark);
}

START_TEST(marks_end_with_what_anybody_removes)
{
        uint64_t mark, again;

        ck_assert_int_eq(ops->mark(self, text("k"), &mark), MT_OK);
        ck_assert_int_eq(ops->mark(self, text("k"), &again), MT_OK);
        ck_assert_uint_eq(mark, again); /* two readers hold the same */
        ck_assert_int_eq(set("k", "v"), MT_OK);
        ck_assert_int_eq(set_marked(mark), MT_OK);
        ck_assert_int_eq(ops->cache.remove(self, text("k")), MT_OK);
        ck_assert_int_eq(set_marked(mark), MT_STALE);
        ck_assert_int_eq(get("k"), MT_MISS);
        ck_assert_int_eq(ops->mark(self, text("k"), &again), MT_OK);
        ck_assert_uint_ne(mark, again);
        ck_assert_int_eq(set_marked(mark), MT_STALE);
        fixture_say("FLUSHALL"); /* somebody who knows nothing of marks */
        ck_assert_int_eq(set_marked(again), MT_STALE);
        ck_assert_int_eq(ops->mark(self, text("k"), &mark), MT_OK);
        ck_assert_int_eq(ops->cache.remove_pattern(self, text("nothing*")), MT_OK);
        ck_assert_int_eq(set_marked(mark), MT_STALE);
        ck_assert_int_eq(get("k"), MT_MISS);
}
END_TEST

START_TEST(a_refused_value_leaves_nothing_but_the_mark)
{
        static char large[70000];
        uint64_t    mark;

        backend_redis.close(self);
        opening.option = &(struct mt_option){text("max_item"), text("64K")};
        opening.options = 1;
        ck_assert_msg(backend_redis.open(&opening, &self, why) == MT_OK, "%s", why);
        ck_assert_int_eq(set("k", "old"), MT_OK);
        ck_assert_int_eq(ops->mark(self, text("k"), &mark), MT_OK);
        ck_assert_int_eq(ops->cache.set_with_ttl(self, text("k"), mt_bytes(large, sizeof large), TTL_MS), MT_REFUSED);
        ck_assert_int_eq(get("k"), MT_MISS);
        ck_assert_int_eq(set_marked(mark), MT_OK);
        ck_assert_int_eq(ops->set_marked(self, text("k"), mt_bytes(large, sizeof large), TTL_MS, mark), MT_REFUSED);
        ck_assert_int_eq(get("k"), MT_MISS);
        ck_assert_int_eq(ops->set_marked(self, text("k"), mt_bytes(large, sizeof large), TTL_MS, mark + 1), MT_STALE);
}
END_TEST

/* A server that is full still removes, and says so of what it does not take. */
START_TEST(a_full_server_still_removes)
{
        uint64_t mark, ttl_ms;

        ck_assert_int_eq(set("k", "v"), MT_OK);
        ck_assert_int_eq(ops->mark(self, text("k"), &mark), MT_OK);
        fixture_say("CONFIG SET maxmemory 1");
        ck_assert_int_eq(set("other", "v"), MT_ERROR);
        ck_assert(logged("it says OOM"));
        ck_assert_int_eq(set_marked(mark), MT_ERROR);
        ck_assert_int_eq(get("k"), MT_OK);
        ck_assert_int_eq(ops->get_with_ttl(self, text("k"), &buffer.sink, &ttl_ms), MT_OK);
        ck_assert_int_eq(ops->cache.remove(self, text("k")), MT_OK);
        ck_assert_int_eq(get("k"), MT_MISS);
        ck_assert_int_eq(ops->cache.flush(self), MT_OK);
        fixture_say("CONFIG SET maxmemory 0");
        ck_assert_int_eq(set_marked(mark), MT_STALE);
}
END_TEST

/* ---------------------------------------------------------------------------------------------- patterns, flushes */

START_TEST(the_prefix_stands_for_itself)
{
        static const char *const prefixes[] = {"[ab]*?:", "a\\*", "\\", "^[a", "]-["};
        char                     key[64];

        for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
                void *other;

                opening.prefix = text(prefixes[i]);
                ck_assert_int_eq(backend_redis.open(&opening, &other, why), MT_OK);
                fixture_say("MSET a:x 1 ab:x 1 bcd:x 1 a*x 1 axx 1 x 1 ^ax 1");
                ck_assert_int_eq(ops->cache.set_with_ttl(other, text("x"), text("v"), TTL_MS), MT_OK);
                snprintf(key, sizeof key, "%sx", prefixes[i]);
                ck_assert_int_eq(ask("EXISTS %s", key), 1);
                ck_assert_int_eq(ops->cache.remove_pattern(other, text("[w-y]")), MT_OK);
                ck_assert_int_eq(ask("EXISTS %s", key), 0);
                ck_assert_int_eq(ask("EXISTS a:x ab:x bcd:x axx x ^ax"), 6);
                ck_assert_int_eq(ops->cache.set_with_ttl(other, text("x"), text("v"), TTL_MS), MT_OK);
                ck_assert_int_eq(ops->cache.flush(other), MT_OK);
                ck_assert_int_eq(ask("EXISTS %s", key), 0);
                ck_assert_int_eq(ask("EXISTS a:x ab:x bcd:x axx x ^ax"), 6);
                backend_redis.close(other);
                fixture_say("FLUSHALL");
        }
}
END_TEST

START_TEST(ten_thousand_keys_go_step_by_step)
{
        fixture_say("EVAL %s 0",
                    "for i=1,10000 do redis.call('SET','t:'..i,i) redis.call('SET','u:'..i,i) end return 1");
        ck_assert_int_eq(ops->cache.remove_pattern(self, text("*7")), MT_OK);
        ck_assert_int_eq(ask("DBSIZE"), 19000);
        ck_assert_int_eq(ops->cache.flush(self), MT_OK);
        ck_assert_int_eq(ask("DBSIZE"), 10000);
        ck_assert_int_ge(calls("scan"), 20); /* none of them had the server for long */
        ck_assert_int_eq(calls("keys"), 0);
        ck_assert_int_le(calls("unlink"), calls("scan") + 4);
}
END_TEST

START_TEST(a_server_without_unlink)
{
        static const char *const old[] = {"--rename-command", "UNLINK", "", NULL};

        begin_with(old);
        ck_assert_int_eq(backend_redis.open(&opening, &self, why), MT_OK);
        ck_assert_int_eq(set("a", "v"), MT_OK);
        ck_assert_int_eq(set("b", "v"), MT_OK);
        ck_assert_int_eq(set("c", "v"), MT_OK);
        ck_assert_int_eq(ops->cache.remove(self, text("a")), MT_OK);
        ck_assert_int_eq(get("a"), MT_MISS);
        ck_assert_int_eq(ops->cache.set_with_ttl(self, text("b"), text("v"), 0), MT_OK);
        ck_assert_int_eq(get("b"), MT_MISS);
        ck_assert_int_eq(ops->cache.flush(self), MT_OK);
        ck_assert_int_eq(get("c"), MT_MISS);
}
END_TEST

/* -------------------------------------------------------------------------------------------- no error is a miss */

START_TEST(errors_of_the_server)
{
        uint64_t mark, ttl_ms;

        fixture_say("LPUSH t:list 1");
        ck_assert_int_eq(get("list"), MT_ERROR);
        ck_assert_int_eq(ops->get_with_ttl(self, text("list"), &buffer.sink, &ttl_ms), MT_ERROR);
        fixture_say("ACL SETUSER default resetkeys ~u:*");
        ck_assert_int_eq(get("k"), MT_ERROR);
        ck_assert_int_eq(ops->get_with_ttl(self, text("k"), &buffer.sink, &ttl_ms), MT_ERROR);
        ck_assert_int_eq(set("k", "v"), MT_ERROR);
        ck_assert_int_eq(ops->cache.remove(self, text("k")), MT_ERROR);
        ck_assert_int_eq(ops->mark(self, text("k"), &mark), MT_ERROR);
        ck_assert_int_eq(set_marked(1), MT_ERROR);
        ck_assert_int_eq(ops->cache.flush(self), MT_ERROR);
        ck_assert(ops->cache.health_check(self));
        fixture_say("ACL SETUSER default -ping");
        ck_assert(!ops->cache.health_check(self));
        fixture_say("CONFIG SET requirepass right");
}
END_TEST

/* It is asked while a script runs for too long, and says -BUSY to everything. */
START_TEST(a_busy_server_is_not_well)
{
        redisContext *c = fixture_connect();
        int           done = 0;

        ck_assert_int_eq(get("k"), MT_MISS);
        fixture_say("CONFIG SET busy-reply-threshold 1");
        ck_assert_int_eq(redisAppendCommand(c, "EVAL %s 0", "while true do end"), REDIS_OK);
        while (!done)
                ck_assert_int_eq(redisBufferWrite(c, &done), REDIS_OK);
        while (ops->cache.health_check(self)) /* until it has begun */
                ;
        ck_assert(logged("it says BUSY"));
        ck_assert_int_eq(get("k"), MT_ERROR);
        ck_assert_int_eq(ops->cache.remove(self, text("k")), MT_ERROR);
        fixture_say("SCRIPT KILL");
        while (!ops->cache.health_check(self))
                ;
        ck_assert_int_eq(get("k"), MT_MISS);
        redisFree(c);
}
END_TEST

/* ------------------------------------------------------------------------------------------------- how it is named */

START_TEST(options)
{
        static const struct {
                const char *name, *value, *why;
        } bad[] = {
                {"db", "x", "db=x is not the number of a database"},
                {"db", "", "db= is not the number of a database"},
                {"db", "-1", "db=-1 is not the number of a database"},
                {"user", "", "user= is not a name of 1 to 255 bytes"},
                {"password_file", "", "password_file= is not the path of a file"},
                {"tls", "2", "tls=2 is not 0 or 1"},
                {"max_item", "0", "max_item=0 is not a size of at most 512M"},
                {"max_item", "513M", "max_item=513M is not a size of at most 512M"},
                {"maxitem", "1", "redis has no option maxitem"},
        };
        struct mt_option option[2];

        opening.option = option;
        opening.options = 1;
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                option[0] = (struct mt_option){text(bad[i].name), text(bad[i].value)};
                ck_assert_int_eq(backend_redis.open(&opening, &self, why), MT_ERROR);
                ck_assert_str_eq(why, bad[i].why);
        }
        option[0] = option[1] = (struct mt_option){text("db"), text("1")};
        opening.options = 2;
        ck_assert_int_eq(backend_redis.open(&opening, &self, why), MT_ERROR);
        ck_assert_str_eq(why, "db is given twice");
        opening.options = 0;
        opening.address = text("h:x");
        ck_assert_int_eq(backend_redis.open(&opening, &self, why), MT_ERROR);
        ck_assert_str_eq(why, "address h:x: the port is not a number in 1..65535");
        ck_assert_ptr_null(self);
}
END_TEST

START_TEST(another_database_as_somebody)
{
        struct mt_option option[3] = {{text("db"), text("2")}, {text("user"), text("ann")}};
        char             path[64];
        FILE            *f;

        fixture_say("ACL SETUSER ann on >secret ~t:* +@all -@dangerous");
        snprintf(path, sizeof path, "%s/password", folder);
        f = fopen(path, "w");
        fputs("secret\n", f);
        fclose(f);
        option[2] = (struct mt_option){text("password_file"), text(path)};
        opening.option = option;
        opening.options = 3;
        ck_assert_msg(backend_redis.open(&opening, &self, why) == MT_OK, "%s", why);
        ck_assert_int_eq(set("k", "v"), MT_OK);
        ck_assert_int_eq(ask("EXISTS t:k"), 0);
        ck_assert_int_eq(get("k"), MT_OK);
        ck_assert_int_eq(ops->cache.flush(self), MT_OK);
        ck_assert_int_eq(get("k"), MT_MISS);
}
END_TEST

/* As MTSHIM_TIERS and doctor --backend find it: from the room above by its name, before any file is looked for. */
START_TEST(it_is_found_by_its_name)
{
        static struct spec         spec;
        const struct plugin_places nowhere = {.folder = "/nowhere"};

        ck_assert_ptr_null(spec_parse(mt_bytes_of("redis:127.0.0.1:1?db=1"), &spec));
        ck_assert_ptr_null(plugin_find(&spec, &nowhere, why));
        tiers_register(&backend_redis);
        tiers_register(&backend_redis);
        ck_assert_ptr_eq(plugin_find(&spec, &nowhere, why), &backend_redis);
        opening = spec_config(&spec, mt_bytes_of("p:"), TIMEOUT_MS);
        ck_assert_msg(backend_redis.open(&opening, &self, why) == MT_OK, "%s", why);
        ck_assert_int_eq(get("k"), MT_ERROR); /* nobody listens there: that is found out here, and no miss */
        ck_assert(!ops->cache.health_check(self));
        ck_assert(plugin_check(&backend_redis, why));
}
END_TEST

int main(void)
{
        Suite   *s = suite_create("backend_redis");
        TCase   *t = tcase_create("suite");
        SRunner *runner;
        int      failed;

        tcase_set_timeout(t, 100);
        tcase_add_checked_fixture(t, setup_alone, teardown);
        tcase_add_test(t, it_is_a_store);
        suite_add_tcase(s, t);
        t = tcase_create("opened");
        tcase_set_timeout(t, 30);
        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_test(t, value_and_life_in_one_step);
        tcase_add_test(t, the_time_that_the_answer_took_is_over);
        tcase_add_test(t, answers_that_are_no_value);
        tcase_add_test(t, a_server_that_dribbles_is_not_waited_for);
        tcase_add_test(t, a_late_answer_is_nobodys);
        tcase_add_test(t, what_was_not_sent_is_sent_again);
        tcase_add_test(t, longer_than_the_server_takes);
        tcase_add_test(t, marks_end_with_what_anybody_removes);
        tcase_add_test(t, a_refused_value_leaves_nothing_but_the_mark);
        tcase_add_test(t, a_full_server_still_removes);
        tcase_add_test(t, the_prefix_stands_for_itself);
        tcase_add_test(t, ten_thousand_keys_go_step_by_step);
        tcase_add_test(t, errors_of_the_server);
        tcase_add_test(t, a_busy_server_is_not_well);
        suite_add_tcase(s, t);
        t = tcase_create("closed");
        tcase_set_timeout(t, 30);
        tcase_add_checked_fixture(t, setup_alone, teardown);
        tcase_add_test(t, options);
        tcase_add_test(t, it_is_found_by_its_name);
        tcase_add_test(t, another_database_as_somebody);
        suite_add_tcase(s, t);
        t = tcase_create("old");
        tcase_set_timeout(t, 30);
        tcase_add_checked_fixture(t, NULL, teardown);
        tcase_add_test(t, a_server_without_unlink);
        suite_add_tcase(s, t);
        runner = srunner_create(s);
        srunner_run_all(runner, CK_ENV);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
