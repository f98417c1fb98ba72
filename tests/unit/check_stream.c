/* check_stream.c - streams in Redis: what a reader gets, in which order, and that it misses nothing, whoever dies. */
#include "halt.h"
#include "redis_fixture.h"

#include "l1/base/atomic.h"
#include "shim/redis/backend_redis.h"
#include "shim/redis/stream_redis.h"

#include <pthread.h>

enum { TIMEOUT_MS = 2000, ENTRIES_MAX = 4096, ID_MAX = STORE_ID_MAX };

static const struct mt_stream_ops *ops = &redis_stream_ops;
static struct pool_config          wanted;
static void                       *self;
static char                        why[POOL_WHY_MAX];

static const char *const durable[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};

static void *open_store(void)
{
        void *store = redis_store_open(&wanted, mt_bytes_of("p:"), 0, why);

        ck_assert_msg(store != NULL, "%s", why);
        return store;
}

static void begin_with(const char *const *option)
{
        fixture_folder();
        fixture_start_redis(option);
        wanted = (struct pool_config){.timeout_ms = TIMEOUT_MS};
        ck_assert_ptr_null(redis_address_parse(socket_path, &wanted.address));
        self = open_store();
}

static void setup(void)
{
        begin_with(NULL);
}

static void setup_durable(void)
{
        begin_with(durable);
}

static void teardown(void)
{
        char line[64];

        redis_store_close(self);
        if (redis_pid > 0)
                fixture_end(redis_pid);
        snprintf(line, sizeof line, "rm -rf %s", folder);
        ck_assert_int_eq(system(line), 0);
}

/* ------------------------------------------------------------------------------------------------- what was seen */

struct seen {
        size_t   count, most; /* most: no more are wanted then; 0: no end */
        char     id[ENTRIES_MAX][ID_MAX];
        unsigned number[ENTRIES_MAX]; /* of the field "n" */
};
static struct seen seen;

static bool see(void *arg, struct mt_bytes id, const struct mt_field *field, size_t fields)
{
        struct seen *s = arg;

        ck_assert_uint_lt(s->count, ENTRIES_MAX);
        ck_assert_uint_lt(id.len, ID_MAX);
        memcpy(s->id[s->count], id.ptr, id.len);
        s->id[s->count][id.len] = '\0';
        ck_assert_uint_ge(fields, 1);
        ck_assert(mt_bytes_equal(field[0].name, mt_bytes_of("n")));
        s->number[s->count++] = (unsigned)atoi(field[0].value.ptr);
        return s->count != s->most;
}

static void forget(void)
{
        seen.count = seen.most = 0;
}

struct id_sink {
        struct mt_sink sink;
        char           id[ID_MAX];
};

static char *id_room(struct mt_sink *sink, size_t len)
{
        struct id_sink *s = (struct id_sink *)sink;

        ck_assert_uint_lt(len, sizeof s->id);
        s->id[len] = '\0';
        return s->id;
}

/* An entry n=number; its id is left in *id (may be NULL). */
static enum mt_status add_to(void *store, unsigned number, uint64_t maxlen, struct id_sink *id)
{
        char            text[16];
        struct mt_field field = {mt_bytes_of("n"), mt_bytes(text, (size_t)snprintf(text, sizeof text, "%u", number))};

        if (id)
                id->sink.room = id_room;
        return ops->stream_add(store, mt_bytes_of("s"), &field, 1, maxlen, id ? &id->sink : NULL);
}

static void add(unsigned from, unsigned to)
{
        for (; from <= to; from++)
                ck_assert_int_eq(add_to(self, from, 0, NULL), MT_OK);
}

static enum mt_status read_from(const char *id, size_t count, int64_t block_ms)
{
        return ops->stream_read(self, mt_bytes_of("s"), mt_bytes_of(id), count, block_ms, see, &seen);
}

static enum mt_status read_group_as(void *store, const char *who, size_t count, int64_t block_ms, uint64_t idle_ms)
{
        return ops->stream_read_group(store, mt_bytes_of("s"), mt_bytes_of("g"), mt_bytes_of(who), count, block_ms,
                                      idle_ms, see, &seen);
}

static enum mt_status read_group(const char *who, size_t count, uint64_t idle_ms)
{
        return read_group_as(self, who, count, 0, idle_ms);
}

static void ack_all(void *store)
{
        struct mt_bytes id[ENTRIES_MAX];

        for (size_t i = 0; i < seen.count; i++)
                id[i] = mt_bytes_of(seen.id[i]);
        ck_assert_int_eq(ops->stream_ack(store, mt_bytes_of("s"), mt_bytes_of("g"), id, seen.count), MT_OK);
}

/* What was seen is from..to, in this order, and nothing else. */
static void saw(unsigned from, unsigned to)
{
        size_t n = from <= to ? to - from + 1 : from - to + 1;

        ck_assert_uint_eq(seen.count, n);
        for (size_t i = 0; i < n; i++)
                ck_assert_uint_eq(seen.number[i], from <= to ? from + i : from - i);
        forget();
}

static long long ask(const char *format, ...)
{
        redisContext *c = fixture_connect();
        redisReply   *reply;
        va_list       ap;
        long long     n;

        va_start(ap, format);
        reply = redisvCommand(c, format, ap);
        va_end(ap);
        ck_assert_ptr_nonnull(reply);
        ck_assert_msg(reply->type != REDIS_REPLY_ERROR, "%s: %s", format, reply->str);
        n = reply->type == REDIS_REPLY_INTEGER ? reply->integer : (long long)reply->elements;
        freeReplyObject(reply);
        redisFree(c);
        return n;
}

/* The number that the group's summary says wait to be acknowledged. */
static long long pending(void)
{
        redisContext *c = fixture_connect();
        redisReply   *reply = redisCommand(c, "XPENDING p:s g");
        long long     n;

        ck_assert_ptr_nonnull(reply);
        ck_assert_int_eq(reply->type, REDIS_REPLY_ARRAY);
        n = reply->element[0]->integer;
        freeReplyObject(reply);
        redisFree(c);
        return n;
}

static long long info(const char *section, const char *name)
{
        redisContext *c = fixture_try_connect();
        redisReply   *reply = c ? redisCommand(c, "INFO %s", section) : NULL;
        const char   *found = reply && reply->str ? strstr(reply->str, name) : NULL;
        long long     n = found ? atoll(found + strlen(name)) : -1;

        if (reply)
                freeReplyObject(reply);
        if (c)
                redisFree(c);
        return n;
}

/* The BLOCK of the newest command that had these words first and last; 0: it had none; -1: there was no such command.
 * Its log of slow commands knows all that did not wait. */
static long long block_of(const char *verb, const char *last)
{
        redisContext *c = fixture_connect();
        redisReply   *log = redisCommand(c, "SLOWLOG GET 100");
        long long     ms = -1;

        ck_assert_ptr_nonnull(log);
        for (size_t i = 0; i < log->elements && ms < 0; i++) {
                const redisReply *word = log->element[i]->element[3];

                if (strcmp(word->element[0]->str, verb) != 0 ||
                    strcmp(word->element[word->elements - 1]->str, last) != 0)
                        continue;
                ms = 0;
                for (size_t j = 0; j + 1 < word->elements; j++)
                        if (strcmp(word->element[j]->str, "BLOCK") == 0)
                                ms = atoll(word->element[j + 1]->str);
        }
        freeReplyObject(log);
        redisFree(c);
        return ms;
}

static void until_blocked(long long readers)
{
        for (int i = 0; info("clients", "blocked_clients:") != readers; i++) {
                ck_assert_int_lt(i, 20000);
                usleep(500);
        }
}

/* ------------------------------------------------------------------------------------------------ add and latest */

START_TEST(about_so_many_are_kept)
{
        struct id_sink first, last;
        long long      kept;

        ck_assert_int_eq(add_to(self, 0, 100, &first), MT_OK);
        for (unsigned i = 1; i < 1000; i++)
                ck_assert_int_eq(add_to(self, i, 100, &last), MT_OK);
        kept = ask("XLEN p:s");
        ck_assert_int_ge(kept, 100);
        ck_assert_int_lt(kept, 300);
        ck_assert_int_eq(ops->stream_read_latest(self, mt_bytes_of("s"), 1, see, &seen), MT_OK);
        ck_assert_str_eq(seen.id[0], last.id);
        ck_assert_str_ne(first.id, last.id);
        ck_assert_uint_eq(seen.number[0], 999);
        for (unsigned i = 0; i < 10; i++)
                ck_assert_int_eq(add_to(self, i, 0, NULL), MT_OK);
        ck_assert_int_eq(ask("XLEN p:s"), kept + 10); /* 0: no end */
}
END_TEST

START_TEST(the_latest_come_newest_first)
{
        ck_assert_int_eq(ops->stream_read_latest(self, mt_bytes_of("s"), 3, see, &seen), MT_MISS);
        add(1, 5);
        ck_assert_int_eq(ops->stream_read_latest(self, mt_bytes_of("s"), 3, see, &seen), MT_OK);
        saw(5, 3);
        ck_assert_int_eq(ops->stream_read_latest(self, mt_bytes_of("s"), 100, see, &seen), MT_OK);
        saw(5, 1);
        ck_assert_int_eq(ops->stream_read_latest(self, mt_bytes_of("s"), 0, see, &seen), MT_MISS);
        seen.most = 2;
        ck_assert_int_eq(ops->stream_read_latest(self, mt_bytes_of("s"), 5, see, &seen), MT_OK);
        saw(5, 4);
}
END_TEST

enum { WIDE = 100 };
static char wide_name[WIDE][8], wide_value[WIDE][300];

static bool see_wide(void *arg, struct mt_bytes id, const struct mt_field *field, size_t fields)
{
        const struct mt_field *sent = arg;

        ck_assert_uint_gt(id.len, 2);
        ck_assert_uint_eq(fields, WIDE);
        for (size_t i = 0; i < WIDE; i++) {
                ck_assert(mt_bytes_equal(field[i].name, sent[i].name));
                ck_assert(mt_bytes_equal(field[i].value, sent[i].value));
        }
        return true;
}

START_TEST(fields_of_any_bytes)
{
        struct mt_field field[WIDE];

        for (size_t i = 0; i < WIDE; i++) {
                for (size_t j = 0; j < sizeof wide_value[i]; j++)
                        wide_value[i][j] = (char)(i + j);
                snprintf(wide_name[i], sizeof wide_name[i], "%zu", i);
                field[i] = (struct mt_field){mt_bytes(wide_name[i], i % 8), mt_bytes(wide_value[i], i * 3)};
        }
        ck_assert_int_eq(ops->stream_add(self, mt_bytes_of("s"), field, WIDE, 0, NULL), MT_OK);
        ck_assert_int_eq(ops->stream_read_latest(self, mt_bytes_of("s"), 1, see_wide, field), MT_OK);
        ck_assert_int_eq(ops->stream_read(self, mt_bytes_of("s"), mt_bytes_of("0"), 1, 0, see_wide, field), MT_OK);
        ck_assert_int_eq(ops->stream_add(self, mt_bytes_of("s"), field, 0, 0, NULL), MT_ERROR); /* Redis has none */
}
END_TEST

/* ------------------------------------------------------------------------------------------------------------ read */

START_TEST(what_came_after_an_id)
{
        char id[ID_MAX];

        ck_assert_int_eq(read_from("0", 10, 0), MT_MISS);
        add(1, 5);
        ck_assert_int_eq(read_from("0", 3, 0), MT_OK);
        strcpy(id, seen.id[2]);
        saw(1, 3);
        ck_assert_int_eq(read_from(id, 10, 0), MT_OK);
        strcpy(id, seen.id[1]);
        saw(4, 5);
        ck_assert_int_eq(read_from(id, 10, 0), MT_MISS);
        ck_assert_int_eq(read_from("$", 10, 0), MT_MISS);
        ck_assert_int_eq(read_from("0", 0, 0), MT_MISS);
        seen.most = 2;
        ck_assert_int_eq(read_from("0", 5, 0), MT_OK);
        saw(1, 2);
        ck_assert_int_eq(read_from("no id", 5, -1), MT_ERROR); /* at once: another attempt would not be better */
}
END_TEST

START_TEST(a_limit_is_kept)
{
        uint64_t began_ns = clock_read_ns(CLOCK_MONOTONIC), took_ns;

        ck_assert_int_eq(read_from("$", 10, 150), MT_MISS);
        took_ns = clock_read_ns(CLOCK_MONOTONIC) - began_ns;
        ck_assert_uint_ge(took_ns, 150 * NS_PER_MS);
        ck_assert_uint_lt(took_ns, 5 * NS_PER_S);
}
END_TEST

struct waiter {
        pthread_t      thread;
        const char    *id;
        int64_t        block_ms;
        enum mt_status status;
        uint64_t       ended_ns;
};

static void *wait_for_entries(void *arg)
{
        struct waiter *w = arg;

        w->status = read_from(w->id, 10, w->block_ms);
        w->ended_ns = clock_read_ns(CLOCK_MONOTONIC);
        return NULL;
}

static void begin_waiting(struct waiter *w, const char *id, int64_t block_ms)
{
        *w = (struct waiter){.id = id, .block_ms = block_ms};
        ck_assert_int_eq(pthread_create(&w->thread, NULL, wait_for_entries, w), 0);
        until_blocked(1);
}

START_TEST(a_reader_wakes_when_something_comes)
{
        static const char *const from[] = {"$", "0"};
        static const int64_t     limits[] = {-1, 60000, INT64_MAX};

        for (int f = 0; f < 2; f++)
                for (int l = 0; l < 3; l++) {
                        struct waiter w;

                        fixture_say("DEL p:s");
                        begin_waiting(&w, from[f], limits[l]);
                        add(7, 7);
                        pthread_join(w.thread, NULL);
                        ck_assert_int_eq(w.status, MT_OK);
                        saw(7, 7);
                }
}
END_TEST

/* Asked again every two seconds: what came between two questions is there at the next. */
START_TEST(a_reader_waits_longer_than_a_slice)
{
        struct waiter w;
        uint64_t      began_ns = clock_read_ns(CLOCK_MONOTONIC);
        long long     asked;

        begin_waiting(&w, "$", -1);
        asked = info("commandstats", "cmdstat_xread:calls=");
        for (int i = 0; info("commandstats", "cmdstat_xread:calls=") < asked + 1; i++) {
                ck_assert_int_lt(i, 2000);
                usleep(5000);
        }
        ck_assert_uint_lt(clock_read_ns(CLOCK_MONOTONIC) - began_ns, 10 * NS_PER_S);
        add(1, 1);
        pthread_join(w.thread, NULL);
        ck_assert_int_eq(w.status, MT_OK);
        saw(1, 1);
}
END_TEST

/* ---------------------------------------------------------------------------------------- a server that goes away */

START_TEST(no_server_is_an_error_and_no_miss)
{
        uint64_t began_ns;

        fixture_end(redis_pid);
        redis_pid = 0;
        ck_assert_int_eq(read_from("0", 10, 0), MT_ERROR);
        ck_assert_int_eq(read_group("a", 10, 1), MT_ERROR);
        ck_assert_int_eq(add_to(self, 1, 0, NULL), MT_ERROR);
        ck_assert_int_eq(ops->stream_read_latest(self, mt_bytes_of("s"), 1, see, &seen), MT_ERROR);
        began_ns = clock_read_ns(CLOCK_MONOTONIC);
        ck_assert_int_eq(read_from("$", 10, 100), MT_ERROR);
        ck_assert_int_eq(read_from("0", 10, 100), MT_ERROR);
        ck_assert_int_eq(read_group_as(self, "a", 10, 100, 0), MT_ERROR);
        ck_assert_uint_ge(clock_read_ns(CLOCK_MONOTONIC) - began_ns, 300 * NS_PER_MS);
}
END_TEST

START_TEST(a_server_that_went_silent_is_noticed)
{
        struct waiter w;

        redis_store_close(self);
        wanted.timeout_ms = 100;
        self = open_store();
        begin_waiting(&w, "0", 300);
        halt(redis_pid);
        pthread_join(w.thread, NULL);
        kill(redis_pid, SIGCONT);
        ck_assert_int_eq(w.status, MT_ERROR);
        ck_assert(logged("no answer within"));
}
END_TEST

START_TEST(one_that_will_not_have_us_is_not_waited_for)
{
        struct waiter w;
        redisContext *c = fixture_connect();
        redisReply   *reply;

        begin_waiting(&w, "0", -1);
        reply = redisCommand(c, "CONFIG SET requirepass right");
        freeReplyObject(reply);
        reply = redisCommand(c, "CLIENT KILL TYPE normal SKIPME yes");
        freeReplyObject(reply);
        redisFree(c);
        pthread_join(w.thread, NULL);
        ck_assert_int_eq(w.status, MT_ERROR);
        ck_assert(logged("NOAUTH"));
}
END_TEST

static void until_loaded(void)
{
        for (int i = 0; info("persistence", "loading:") != 0; i++) {
                ck_assert_int_lt(i, 20000);
                usleep(500);
        }
}

/* "$" was resolved when the reader began: what comes before it is back is behind that. The server is up, and has a new
 * entry, before it can be reached by the name that the reader knows. */
START_TEST(what_came_before_it_was_back_is_not_missed)
{
        static const char *const ids[] = {"$", "0"};
        char                     known[sizeof socket_path];

        strcpy(known, socket_path);
        for (int i = 0; i < 2; i++) {
                struct waiter w;

                fixture_say("DEL p:s");
                if (i == 0)
                        fixture_say("XADD p:s * n 6");
                begin_waiting(&w, ids[i], -1);
                fixture_end(redis_pid);
                ck_assert_int_eq(unlink(known), 0);
                snprintf(socket_path, sizeof socket_path, "%s/hidden", folder);
                fixture_start_redis(durable);
                until_loaded();
                fixture_say("XADD p:s * n 7");
                ck_assert_int_eq(rename(socket_path, known), 0);
                strcpy(socket_path, known);
                pthread_join(w.thread, NULL);
                ck_assert_int_eq(w.status, MT_OK);
                saw(7, 7);
        }
}
END_TEST

/* A writer adds numbers, each until it is acknowledged; one may be there twice then, by another id (a writer cannot
 * tell whether it was added). Readers go on by what they were handed. */
enum { WRITTEN = 600, RESTARTS = 3, AHEAD = 20 };

static _Atomic unsigned written, kills;

/* How many are written before that kill. */
static unsigned before_kill(unsigned kill)
{
        return kill * WRITTEN / (RESTARTS + 1);
}

static void *write_on(void *arg)
{
        void *store = open_store();

        for (unsigned i = 1; i <= WRITTEN; i++) {
                while (mt_load_acquire(&kills) < RESTARTS && i > before_kill(mt_load_acquire(&kills) + 1) + AHEAD)
                        usleep(500); /* not to be done before the server dies */
                while (add_to(store, i, 0, NULL) != MT_OK)
                        usleep(2000);
                mt_store_release(&written, i);
        }
        redis_store_close(store);
        return arg;
}

/* Every number, none before one that is smaller than the last, ids strictly upwards. */
static void check_sequence(void)
{
        unsigned last = 0;

        for (size_t i = 0; i < seen.count; i++) {
                ck_assert_msg(seen.number[i] == last || seen.number[i] == last + 1, "%u after %u", seen.number[i],
                              last);
                if (seen.number[i] == last) /* added twice, read once each */
                        ck_assert_str_ne(seen.id[i], seen.id[i - 1]);
                last = seen.number[i];
        }
        ck_assert_uint_eq(last, WRITTEN);
        ck_assert_int_eq(ask("XLEN p:s"), (long long)seen.count);
}

static void *read_on(void *arg)
{
        char id[ID_MAX] = "0";

        while (seen.count == 0 || seen.number[seen.count - 1] != WRITTEN) {
                if (read_from(id, 7, -1) != MT_OK)
                        return "a read failed";
                strcpy(id, seen.id[seen.count - 1]);
        }
        (void)arg;
        return NULL;
}

/* As read_on(), in a group: what was read is acknowledged, however often that takes. */
static void *read_group_on(void *arg)
{
        size_t acked = 0;

        while (seen.count == 0 || seen.number[seen.count - 1] != WRITTEN) {
                if (read_group_as(self, "a", 7, -1, 1000) != MT_OK)
                        return "a read failed";
                for (; acked < seen.count; acked++) {
                        struct mt_bytes id = mt_bytes_of(seen.id[acked]);

                        while (ops->stream_ack(self, mt_bytes_of("s"), mt_bytes_of("g"), &id, 1) != MT_OK)
                                usleep(2000);
                }
        }
        (void)arg;
        return NULL;
}

static void restart_under(void *(*reader)(void *))
{
        pthread_t writing, reading;
        void     *complaint;

        ck_assert_int_eq(pthread_create(&reading, NULL, reader, NULL), 0);
        ck_assert_int_eq(pthread_create(&writing, NULL, write_on, NULL), 0);
        for (unsigned i = 1; i <= RESTARTS; i++) {
                while (mt_load_acquire(&written) < before_kill(i))
                        usleep(200);
                fixture_end(redis_pid);
                mt_store_release(&kills, i);
                fixture_start_redis(durable);
        }
        pthread_join(writing, NULL);
        pthread_join(reading, &complaint);
        ck_assert_msg(complaint == NULL, "%s", (const char *)complaint);
        until_loaded();
        check_sequence();
}

START_TEST(restarts_under_a_reader)
{
        restart_under(read_on);
}
END_TEST

START_TEST(restarts_under_a_group)
{
        ck_assert_int_eq(ops->stream_create_group(self, mt_bytes_of("s"), mt_bytes_of("g"), mt_bytes_of("0")), MT_OK);
        restart_under(read_group_on);
        ck_assert_int_eq(pending(), 0);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------- groups */

static void create_group(void)
{
        ck_assert_int_eq(ops->stream_create_group(self, mt_bytes_of("s"), mt_bytes_of("g"), mt_bytes_of("0")), MT_OK);
}

START_TEST(a_group_is_made_once)
{
        ck_assert_int_eq(read_group_as(self, "a", 1, -1, 0), MT_ERROR); /* no such group: at once */
        create_group();
        ck_assert_int_eq(ask("EXISTS p:s"), 1);
        add(1, 2);
        ck_assert_int_eq(read_group("a", 2, 0), MT_OK);
        create_group(); /* changes nothing */
        ck_assert_int_eq(pending(), 2);
        fixture_say("SET p:s x");
        ck_assert_int_eq(ops->stream_create_group(self, mt_bytes_of("s"), mt_bytes_of("g"), mt_bytes_of("0")),
                         MT_ERROR);
}
END_TEST

START_TEST(each_entry_goes_to_one_of_them)
{
        create_group();
        add(1, 6);
        ck_assert_int_eq(read_group("a", 2, 0), MT_OK);
        ack_all(self);
        saw(1, 2);
        ck_assert_int_eq(read_group("b", 2, 0), MT_OK);
        ack_all(self);
        saw(3, 4);
        ck_assert_int_eq(read_group("a", 100, 0), MT_OK);
        ack_all(self);
        saw(5, 6);
        ck_assert_int_eq(read_group("b", 100, 0), MT_MISS);
        ck_assert_int_eq(pending(), 0);
}
END_TEST

START_TEST(what_was_not_acknowledged_comes_first)
{
        create_group();
        add(1, 6);
        ck_assert_int_eq(read_group("a", 3, 0), MT_OK);
        saw(1, 3);
        ck_assert_int_eq(read_group("a", 2, 0), MT_OK);
        saw(1, 2);
        ck_assert_int_eq(read_group("a", 4, 0), MT_OK);
        saw(1, 4); /* three of its own, and a new one */
        seen.most = 2;
        ck_assert_int_eq(read_group("a", 100, 0), MT_OK);
        saw(1, 2);
        ck_assert_int_eq(pending(), 4); /* what nobody wanted to see was not taken */
        ck_assert_int_eq(read_group("a", 100, 0), MT_OK);
        saw(1, 6);
        fixture_say("CONFIG SET slowlog-log-slower-than 0");
        ck_assert_int_eq(read_group_as(self, "a", 100, 600000, 0), MT_OK);
        ck_assert_int_eq(block_of("XREADGROUP", ">"), 0); /* it has something, and does not wait for more */
        ack_all(self);
        saw(1, 6);
        ck_assert_int_eq(read_group("a", 100, 0), MT_MISS);
        ck_assert_int_eq(ops->stream_ack(self, mt_bytes_of("s"), mt_bytes_of("g"), NULL, 0), MT_OK);
}
END_TEST

/* Deleted while they waited: acknowledged, shown to nobody, and in nobody's way. */
START_TEST(what_is_gone_is_acknowledged)
{
        create_group();
        add(1, 6);
        ck_assert_int_eq(read_group("a", 5, 0), MT_OK);
        fixture_say("XDEL p:s %s %s %s", seen.id[0], seen.id[1], seen.id[3]);
        forget();
        ck_assert_int_eq(read_group("a", 2, 0), MT_OK);
        ck_assert_uint_eq(seen.count, 2);
        ck_assert_uint_eq(seen.number[0], 3);
        ck_assert_uint_eq(seen.number[1], 5);
        ck_assert_int_eq(pending(), 2);
        forget();
        fixture_say("XTRIM p:s MAXLEN 0");
        ck_assert_int_eq(read_group("a", 2, 0), MT_MISS);
        ck_assert_int_eq(pending(), 0);
}
END_TEST

/* A consumer of another process, killed with entries that it was given. */
static void consumer_dies(const char *who, size_t count)
{
        int   told[2];
        char  byte;
        pid_t child;

        ck_assert_int_eq(pipe(told), 0);
        child = fork();
        if (child == 0) {
                byte = read_group_as(open_store(), who, count, 0, 0) == MT_OK ? 'y' : 'n';
                if (write(told[1], &byte, 1) != 1)
                        _exit(1);
                pause();
        }
        ck_assert_int_eq(read(told[0], &byte, 1), 1);
        ck_assert_int_eq(byte, 'y');
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        close(told[0]);
        close(told[1]);
}

/* Let the server believe that they have been idle for so long: they need not be, then. */
static void make_idle(const char *who, unsigned ms)
{
        redisContext *c = fixture_connect();
        redisReply   *list = redisCommand(c, "XPENDING p:s g - + 1000 %s", who);

        ck_assert_ptr_nonnull(list);
        for (size_t i = 0; i < list->elements; i++)
                fixture_say("XCLAIM p:s g %s 0 %s IDLE %u JUSTID", who, list->element[i]->element[0]->str, ms);
        freeReplyObject(list);
        redisFree(c);
}

static void claim_of_the_dead(void)
{
        create_group();
        add(1, 6);
        consumer_dies("dead", 4);
        ck_assert_int_eq(read_group("a", 1, 0), MT_OK); /* nothing is claimed */
        ack_all(self);
        saw(5, 5);
        ck_assert_int_eq(read_group("a", 1, 3600000), MT_OK); /* not idle for so long */
        ack_all(self);
        saw(6, 6);
        ck_assert_int_eq(read_group("a", 1, 3600000), MT_MISS);
        make_idle("dead", 7200000);
        fixture_say("XDEL p:s %s", "0-1"); /* nothing */
        ck_assert_int_eq(read_group("a", 2, 3600000), MT_OK);
        ack_all(self);
        saw(1, 2);
        add(7, 7);
        ck_assert_int_eq(read_group("b", 10, 3600000), MT_OK); /* another takes the rest, and then what is new */
        ack_all(self);
        ck_assert_uint_eq(seen.count, 3);
        ck_assert_uint_eq(seen.number[0], 3);
        ck_assert_uint_eq(seen.number[2], 7);
        forget();
        ck_assert_int_eq(pending(), 0);
}

START_TEST(the_dead_leave_their_entries)
{
        claim_of_the_dead();
}
END_TEST

static void setup_old(void)
{
        static const char *const old[] = {"--rename-command", "XAUTOCLAIM", "", NULL};

        begin_with(old);
}

START_TEST(the_dead_leave_their_entries_on_old_servers)
{
        claim_of_the_dead();
}
END_TEST

/* A reader that waits finds what is left idle meanwhile, though nothing new comes. */
START_TEST(a_waiting_consumer_claims)
{
        create_group();
        add(1, 2);
        consumer_dies("dead", 2);
        ck_assert_int_eq(read_group_as(self, "a", 10, -1, 150), MT_OK);
        saw(1, 2);
}
END_TEST

/* More wait at the head, not idle, than one look goes through: the next one goes on behind it. */
static void look_behind_the_head(void)
{
        enum { HEAD = 300 };
        unsigned looks = 0;

        create_group();
        add(1, HEAD + 1);
        ck_assert_int_eq(read_group("alive", HEAD, 0), MT_OK);
        forget();
        ck_assert_int_eq(read_group("dead", 1, 0), MT_OK);
        forget();
        make_idle("dead", 7200000);
        while (seen.count == 0) {
                enum mt_status status = read_group("a", 2, 3600000);

                ck_assert(status == MT_OK || status == MT_MISS);
                ck_assert_uint_le(++looks, HEAD);
        }
        ck_assert_uint_gt(looks, 1);
        saw(HEAD + 1, HEAD + 1);
}

START_TEST(a_look_goes_on_where_the_last_one_ended)
{
        look_behind_the_head();
}
END_TEST

START_TEST(a_look_goes_on_on_old_servers)
{
        look_behind_the_head();
}
END_TEST

/* Claimed, but deleted before: a look finds no fields, and clears up. */
static void claim_what_is_gone(void)
{
        create_group();
        add(1, 3);
        ck_assert_int_eq(read_group("dead", 3, 0), MT_OK);
        fixture_say("XDEL p:s %s %s", seen.id[0], seen.id[2]);
        forget();
        make_idle("dead", 7200000);
        ck_assert_int_eq(read_group("a", 10, 3600000), MT_OK);
        ack_all(self);
        saw(2, 2);
        ck_assert_int_eq(read_group("a", 10, 3600000), MT_MISS);
        ck_assert_int_eq(ask("XPENDING p:s g - + 10 a"), 0);
}

START_TEST(what_the_dead_leave_may_be_gone)
{
        claim_what_is_gone();
}
END_TEST

START_TEST(what_the_dead_leave_may_be_gone_on_old_servers)
{
        claim_what_is_gone();
}
END_TEST

/* The tables of a store opened as a tier are these. */
START_TEST(a_tier_has_them)
{
        ck_assert_ptr_eq(backend_redis.streams, &redis_stream_ops);
}
END_TEST

static void add_case(Suite *s, const char *name, void (*set_up)(void), const TTest *const *test)
{
        TCase *t = tcase_create(name);

        tcase_set_timeout(t, 60);
        tcase_add_checked_fixture(t, set_up, teardown);
        while (*test)
                tcase_add_test(t, *test++);
        suite_add_tcase(s, t);
}

int main(void)
{
        const TTest *const usual[] = {about_so_many_are_kept,
                                      the_latest_come_newest_first,
                                      fields_of_any_bytes,
                                      what_came_after_an_id,
                                      a_limit_is_kept,
                                      a_reader_wakes_when_something_comes,
                                      a_reader_waits_longer_than_a_slice,
                                      no_server_is_an_error_and_no_miss,
                                      a_server_that_went_silent_is_noticed,
                                      one_that_will_not_have_us_is_not_waited_for,
                                      a_group_is_made_once,
                                      each_entry_goes_to_one_of_them,
                                      what_was_not_acknowledged_comes_first,
                                      what_is_gone_is_acknowledged,
                                      the_dead_leave_their_entries,
                                      a_waiting_consumer_claims,
                                      a_look_goes_on_where_the_last_one_ended,
                                      what_the_dead_leave_may_be_gone,
                                      a_tier_has_them,
                                      NULL};
        const TTest *const kept[] = {what_came_before_it_was_back_is_not_missed, restarts_under_a_reader,
                                     restarts_under_a_group, NULL};
        const TTest *const old[] = {the_dead_leave_their_entries_on_old_servers, a_look_goes_on_on_old_servers,
                                    what_the_dead_leave_may_be_gone_on_old_servers, NULL};
        Suite             *s = suite_create("stream");
        SRunner           *runner;
        int                failed;

        add_case(s, "usual", setup, usual);
        add_case(s, "kept", setup_durable, kept);
        add_case(s, "old", setup_old, old);
        runner = srunner_create(s);
        srunner_run_all(runner, CK_ENV);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
