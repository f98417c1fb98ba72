/* check_touch.c - what a server with an LRU or LFU policy is told of reads here, and when nothing is said. With a real
 * redis-server; under LFU with lfu-log-factor 0 it counts each read as one, and OBJECT FREQ says how many. */
#include "redis_fixture.h"

#include "invalidation/touch.h"

#define FREQ_NEW 5 /* of a key that was just written */

/* In any database: each is a namespace of its own. */
static void put_in(uint32_t database, const char *key)
{
        static const uint64_t user[2];
        struct l1_key         k = {.key = mt_bytes_of(key)};
        struct namespace_shm *ns = l1_namespace(l1, server, database, user);
        struct l1_lease       lease;
        uint64_t              now_ns = clock_coarse_ns();

        k.hash = l1_hash(l1, l1_server_index(l1, server), k.key);
        ck_assert(l1_lease(l1, &k, mt_load_acquire(&ns->id), now_ns, &lease));
        ck_assert(l1_fill(l1, &k, &lease, mt_bytes_of("value"), now_ns + 3600 * NS_PER_S));
}

static void read_in(uint32_t database, const char *key, int times)
{
        static const uint64_t user[2];
        struct l1_key         k = {.key = mt_bytes_of(key)};
        struct namespace_shm *ns = l1_namespace(l1, server, database, user);
        struct l1_hit         hit;
        char                  value[16];

        k.hash = l1_hash(l1, l1_server_index(l1, server), k.key);
        while (times-- > 0)
                ck_assert(l1_find(l1, &k, mt_load_acquire(&ns->id), clock_coarse_ns(), &hit) && l1_copy(&hit, value));
}

static long long ask(uint32_t database, const char *format, const char *key)
{
        redisContext *c = fixture_connect();
        redisReply   *reply;
        long long     answer;

        freeReplyObject(redisCommand(c, "SELECT %d", (int)database));
        reply = redisCommand(c, format, key);
        ck_assert(reply && reply->type == REDIS_REPLY_INTEGER);
        answer = reply->integer;
        freeReplyObject(reply);
        redisFree(c);
        return answer;
}

static long long freq(uint32_t database, const char *key)
{
        return ask(database, "OBJECT FREQ %s", key) - FREQ_NEW;
}

/* A number behind a word of INFO's section; 0 when it is not there. */
static long info_number(const char *section, const char *word)
{
        redisContext *c = fixture_connect();
        redisReply   *reply = redisCommand(c, "INFO %s", section);
        const char   *at;
        long          number;

        ck_assert(reply && reply->type == REDIS_REPLY_STRING);
        at = strstr(reply->str, word);
        number = at ? atol(at + strlen(word)) : 0;
        freeReplyObject(reply);
        redisFree(c);
        return number;
}

static long touch_calls(void)
{
        return info_number("commandstats", "cmdstat_touch:calls=");
}

/* The listener's, the one that asks, and those beside. */
static long connections(void)
{
        return info_number("clients", "connected_clients:");
}

static void evicts(const char *policy)
{
        fixture_say("CONFIG SET maxmemory-policy %s maxmemory 100mb lfu-log-factor 0", policy);
}

/* So much time goes by, and the listener's thread sees it. */
static void later(uint64_t ns)
{
        atomic_fetch_add(&clock_test_offset_ns, (int64_t)ns);
        attend();
        invalidation_hurry(l1, server);
        UNTIL(fresh());
}

/* Rounds go by until so many keys have been told. */
static void told(uint64_t keys)
{
        for (int i = 0; counted(COUNTER_touches) < keys; i++) {
                ck_assert_msg(i < 200, "%d keys told, not %d", (int)counted(COUNTER_touches), (int)keys);
                if (i % 10 == 0)
                        later(NS_PER_S + NS_PER_S / 10);
                usleep(10000);
        }
        ck_assert_uint_eq(counted(COUNTER_touches), keys);
}

static void setup_lfu(void)
{
        fixture_setup();
        config.touch = true;
        invalidation_setup(&config);
        evicts("allkeys-lfu");
        UNTIL(fresh());
}

/* ------------------------------------------------------------------------------------------------ what is told */

START_TEST(test_touch_each_read_under_lfu)
{
        fixture_say("MSET a 1 b 1 c 1 d 1");
        UNTIL(mt_load_relaxed(&server->invalidations) == 4);
        put_in(0, "a");
        put_in(0, "b");
        put_in(0, "c");
        put_in(0, "d");
        read_in(0, "a", 1);
        read_in(0, "b", 2);
        read_in(0, "c", 50);
        told(1 + 2 + MARK_MAX);
        ck_assert_int_eq(freq(0, "a"), 1);
        ck_assert_int_eq(freq(0, "b"), 2);
        ck_assert_int_eq(freq(0, "c"), MARK_MAX);
        ck_assert_int_eq(freq(0, "d"), 0);
        /* It is not told again, but read again it is. */
        later(3 * NS_PER_S);
        read_in(0, "a", 1);
        told(1 + 2 + MARK_MAX + 1);
        ck_assert_int_eq(freq(0, "a"), 2);
        ck_assert_int_eq(freq(0, "c"), MARK_MAX);
        ck_assert(!logged("mtshim"));
}
END_TEST

START_TEST(test_touch_once_under_lru)
{
        evicts("volatile-lru");
        fixture_say("SET a 1");
        UNTIL(mt_load_relaxed(&server->invalidations) == 1);
        put_in(0, "a");
        read_in(0, "a", 50);
        told(1);
        later(2 * NS_PER_S);
        ck_assert_int_eq(touch_calls(), 1);
        ck_assert_uint_eq(counted(COUNTER_touches), 1);
        /* A TOUCH is announced to nobody: the item is still there. */
        ck_assert(present("a"));
        ck_assert_uint_eq(mt_load_relaxed(&server->invalidations), 1);
}
END_TEST

START_TEST(test_touch_in_each_database)
{
        static const uint32_t database[] = {0, 5, 15};
        redisContext         *c = fixture_connect();

        for (int i = 0; i < 3; i++) {
                freeReplyObject(redisCommand(c, "SELECT %d", (int)database[i]));
                freeReplyObject(redisCommand(c, "MSET a 1 b 1"));
        }
        redisFree(c);
        UNTIL(mt_load_relaxed(&server->invalidations) >= 6);
        for (int i = 0; i < 3; i++)
                put_in(database[i], "a");
        put_in(5, "b");
        read_in(5, "a", 2);
        read_in(5, "b", 3);
        read_in(15, "a", 1);
        told(6);
        ck_assert_int_eq(freq(5, "a"), 2);
        ck_assert_int_eq(freq(5, "b"), 3);
        ck_assert_int_eq(freq(15, "a"), 1);
        ck_assert_int_eq(freq(0, "a"), 0);
        ck_assert_int_eq(freq(0, "b"), 0);
        read_in(0, "a", 3); /* back in the first */
        later(3 * NS_PER_S);
        told(9);
        ck_assert_int_eq(freq(0, "a"), 3);
        ck_assert_int_eq(freq(5, "a"), 2);
}
END_TEST

/* More than a batch holds, in number and in bytes: all of them, and no faster than it may be. */
START_TEST(test_touch_many)
{
        static char key[TOUCH_BYTES_MAX + 2];
        enum { MANY = 3000, LONG = 20 };
        uint64_t begin_ns, before, most;

        for (int i = 0; i < MANY; i++) {
                snprintf(key, sizeof key, "key:%d", i);
                put_in(0, key);
                read_in(0, key, 1);
        }
        memset(key, 'k', sizeof key - 1);
        for (int i = 0; i < LONG; i++) {
                key[TOUCH_BYTES_MAX - i] = '\0';
                put_in(0, key);
                read_in(0, key, 1);
        }
        later(NS_PER_S);
        UNTIL(counted(COUNTER_touches) > 0);
        begin_ns = clock_read_ns(CLOCK_MONOTONIC);
        before = counted(COUNTER_touches);
        UNTIL(counted(COUNTER_touches) == MANY + LONG);
        most = (clock_read_ns(CLOCK_MONOTONIC) - begin_ns) / (NS_PER_S / 10000) + 2 * TOUCH_KEYS_MAX;
        ck_assert_uint_le(counted(COUNTER_touches) - before, most);
        ck_assert_int_ge(touch_calls(), MANY / TOUCH_KEYS_MAX);
        /* What no batch has room for is left out, and is in nobody's way. */
        memset(key, 'k', sizeof key - 1);
        put_in(0, key);
        read_in(0, key, 1);
        put_in(0, "z");
        read_in(0, "z", 1);
        later(3 * NS_PER_S);
        told(MANY + LONG + 1);
}
END_TEST

/* ------------------------------------------------------------------------------------------ when nothing is said */

static void check_says_nothing(void)
{
        fixture_say("SET a 1");
        UNTIL(mt_load_relaxed(&server->invalidations) == 1);
        put_in(0, "a");
        for (int i = 0; i < 3; i++) {
                read_in(0, "a", 1);
                later(2 * NS_PER_S);
                usleep(20000);
        }
        ck_assert_uint_eq(counted(COUNTER_touches), 0);
        ck_assert_int_eq(touch_calls(), 0);
        UNTIL(connections() == 2); /* one that was closed is counted until the server has seen it */
        ck_assert(!logged("mtshim"));
}

START_TEST(test_touch_not_wanted)
{
        static const char *const policy[] = {"noeviction", "allkeys-random", "volatile-ttl"};

        evicts(policy[_i]);
        check_says_nothing();
        /* The policy is another: that is learnt within a minute. */
        evicts("allkeys-lru");
        read_in(0, "a", 1);
        later(61 * NS_PER_S);
        told(1);
        evicts(policy[_i]);
        read_in(0, "a", 1);
        later(61 * NS_PER_S);
        read_in(0, "a", 1);
        UNTIL(connections() == 2);
        ck_assert_uint_eq(counted(COUNTER_touches), 1);
}
END_TEST

START_TEST(test_touch_no_limit)
{
        fixture_say("CONFIG SET maxmemory 0");
        check_says_nothing();
}
END_TEST

START_TEST(test_touch_switched_off)
{
        config.touch = false;
        invalidation_setup(&config);
        check_says_nothing();
}
END_TEST

START_TEST(test_touch_refused)
{
        static const char *const how[] = {"ACL SETUSER default -touch", "ACL SETUSER default -touch -select"};

        fixture_say(how[_i]);
        fixture_say("SET a 1");
        UNTIL(mt_load_relaxed(&server->invalidations) == 1);
        put_in((uint32_t)_i, "a");
        read_in((uint32_t)_i, "a", 1);
        later(2 * NS_PER_S);
        UNTIL(logged("refuses TOUCH"));
        UNTIL(connections() == 2);
        later(10 * NS_PER_S);
        read_in((uint32_t)_i, "a", 1);
        later(2 * NS_PER_S);
        usleep(50000);
        ck_assert_int_eq(info_number("commandstats", _i == 0 ? "cmdstat_touch:calls=0,usec=0,usec_per_call=0.00,"
                                                               "rejected_calls="
                                                             : "cmdstat_select:calls=0,usec=0,usec_per_call=0.00,"
                                                               "rejected_calls="),
                         1);
        ck_assert(fresh());
        /* A minute later it is tried again. */
        fixture_say("ACL SETUSER default +@all");
        later(61 * NS_PER_S);
        read_in((uint32_t)_i, "a", 1);
        told(2); /* what was read meanwhile too */
}
END_TEST

START_TEST(test_touch_policy_not_told)
{
        log_configure(LOG_INFO, log_path);
        fixture_say("ACL SETUSER default -info");
        fixture_say("SET a 1");
        UNTIL(mt_load_relaxed(&server->invalidations) == 1);
        put_in(0, "a");
        read_in(0, "a", 1);
        later(2 * NS_PER_S);
        UNTIL(logged("does not say what it evicts"));
        ck_assert_uint_eq(counted(COUNTER_touches), 0);
        ck_assert(fresh());
}
END_TEST

/* ----------------------------------------------------------------------------------------------- the connection */

START_TEST(test_touch_connection_closed_when_idle)
{
        put_in(0, "a");
        later(5 * NS_PER_S);
        ck_assert_int_eq(connections(), 2); /* nothing to tell: none was opened */
        read_in(0, "a", 1);
        told(1);
        ck_assert_int_eq(connections(), 3);
        later(15 * NS_PER_S);
        UNTIL(connections() == 2);
        read_in(0, "a", 1);
        told(2);
}
END_TEST

START_TEST(test_touch_connection_lost)
{
        uint64_t reconnects;

        put_in(0, "a");
        read_in(0, "a", 1);
        told(1);
        reconnects = mt_load_relaxed(&server->reconnects);
        fixture_say("CLIENT KILL TYPE normal SKIPME yes");
        for (int i = 0; counted(COUNTER_touches) < 2; i++) {
                ck_assert_int_lt(i, 100);
                later(2 * NS_PER_S);
                read_in(0, "a", 1);
                usleep(20000);
        }
        ck_assert_uint_eq(mt_load_relaxed(&server->reconnects), reconnects); /* the listener's is another */
        ck_assert(!logged("mtshim"));
}
END_TEST

/* The server answers nobody for a while: nothing is promised then, and afterwards all is well. */
START_TEST(test_touch_server_busy)
{
        put_in(0, "a");
        read_in(0, "a", 1);
        told(1);
        fixture_say("CONFIG SET busy-reply-threshold 50");
        redisContext *c = fixture_connect();

        redisAppendCommand(c, "EVAL %s 0", "while true do end");
        int done = 0;

        while (!done)
                ck_assert_int_eq(redisBufferWrite(c, &done), REDIS_OK);
        usleep(200000);
        read_in(0, "a", 1);
        atomic_fetch_add(&clock_test_offset_ns, (int64_t)(2 * NS_PER_S));
        usleep(100000);
        redisContext *killer = fixture_connect();

        freeReplyObject(redisCommand(killer, "SCRIPT KILL"));
        redisFree(killer);
        redisFree(c);
        UNTIL(fresh());
        for (int i = 0; counted(COUNTER_touches) < 2; i++) {
                ck_assert_int_lt(i, 100);
                read_in(0, "a", 1);
                later(3 * NS_PER_S);
                usleep(20000);
        }
        ck_assert(!logged("mtshim"));
}
END_TEST

START_TEST(test_touch_authenticates)
{
        fixture_say("ACL SETUSER other on >secret ~* &* +@all");
        invalidation_credentials(server, &endpoint, mt_bytes_of("other"), mt_bytes_of("secret"));
        fixture_say("ACL SETUSER default -touch");
        put_in(0, "a");
        read_in(0, "a", 1);
        told(1);
        ck_assert(!logged("mtshim"));
}
END_TEST

/* In a thread of ours, with descriptors of its own: none that the program could see. */
START_TEST(test_touch_leaves_no_trace)
{
        int before = dup(0), after;

        put_in(0, "a");
        read_in(0, "a", 1);
        told(1);
        ck_assert_int_eq(connections(), 3);
        after = dup(0);
        ck_assert_int_eq(after, before + 1);
        ck_assert(invalidation_stop(INVALIDATION_PAUSE, NS_PER_S));
        UNTIL(connections() == 1);
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("touch");
        TCase   *tc = tcase_create("touch");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_set_timeout(tc, 60);
        tcase_add_checked_fixture(tc, setup_lfu, fixture_teardown);
        tcase_add_test(tc, test_touch_each_read_under_lfu);
        tcase_add_test(tc, test_touch_once_under_lru);
        tcase_add_test(tc, test_touch_in_each_database);
        tcase_add_test(tc, test_touch_many);
        tcase_add_loop_test(tc, test_touch_not_wanted, 0, 3);
        tcase_add_test(tc, test_touch_no_limit);
        tcase_add_test(tc, test_touch_switched_off);
        tcase_add_loop_test(tc, test_touch_refused, 0, 2);
        tcase_add_test(tc, test_touch_policy_not_told);
        tcase_add_test(tc, test_touch_connection_closed_when_idle);
        tcase_add_test(tc, test_touch_connection_lost);
        tcase_add_test(tc, test_touch_server_busy);
        tcase_add_test(tc, test_touch_authenticates);
        tcase_add_test(tc, test_touch_leaves_no_trace);
        suite_add_tcase(suite, tc);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? 0 : 1;
}
