/* check_backend_shm.c - the moments of a removal and of a late set in shared memory, each stopped where the other comes
 * between, so that their order is what is tested and not a scheduler. */
#include "l1/l1.h"

/* What backend_shm.c calls, with something that happens behind it, once. */
static void (*behind_remove)(void), (*behind_pattern)(void), (*behind_lease)(void);

static void happens(void (**hook)(void))
{
        void (*f)(void) = *hook;

        *hook = NULL;
        if (f != NULL)
                f();
}

static unsigned hooked_remove(struct l1 *l1, uint64_t hash)
{
        unsigned cleared = l1_remove(l1, hash);

        happens(&behind_remove);
        return cleared;
}

static uint64_t hooked_pattern(struct l1 *l1, struct mt_bytes glob)
{
        uint64_t cleared = l1_remove_pattern(l1, glob);

        happens(&behind_pattern);
        return cleared;
}

static bool hooked_lease(struct l1 *l1, const struct l1_key *key, uint32_t id, uint64_t now_ns, struct l1_lease *lease)
{
        bool held = l1_lease(l1, key, id, now_ns, lease);

        happens(&behind_lease);
        return held;
}

#define l1_remove                            hooked_remove
#define l1_remove_pattern                    hooked_pattern
#define l1_lease(l1, key, id, now_ns, lease) hooked_lease(l1, key, id, now_ns, lease)
#define backend_shm                          backend_hooked
#include "l1/tier/backend_shm.c"
#undef l1_remove
#undef l1_remove_pattern
#undef l1_lease
#undef backend_shm

#include <check.h>
#include <dirent.h>
#include <unistd.h>

static char            directory[64];
static struct shm     *store;
static struct mt_bytes key = {"k", 1};
static uint64_t        mark;
static enum mt_status  late; /* what the set between them was told */

static void setup(void)
{
        struct mt_option option[] = {{mt_bytes_of("size"), mt_bytes_of("16M")}, {mt_bytes_of("directory"), {0}}};
        struct mt_backend_config config = {.prefix = mt_bytes_of("p:"), .option = option, .options = 2};
        char                     why[MT_BACKEND_WHY_MAX] = "";
        void                    *self;

        snprintf(directory, sizeof directory, "/dev/shm/mtshim-backend.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(directory));
        option[1].value = mt_bytes_of(directory);
        ck_assert_msg(backend_hooked.open(&config, &self, why) == MT_OK, "%s", why);
        store = self;
}

static void teardown(void)
{
        char           path[512];
        struct dirent *entry;
        DIR           *folder = opendir(directory);

        backend_hooked.close(store);
        while (folder != NULL && (entry = readdir(folder)) != NULL) {
                snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
                unlink(path);
        }
        closedir(folder);
        rmdir(directory);
}

/* Where get puts what it finds; `between` happens when it asks for room. */
struct bed_sink {
        struct mt_sink sink;
        char           value[200000];
        size_t         len;
        void (*between)(void);
};
static char *bed_room(struct mt_sink *sink, size_t len)
{
        struct bed_sink *b = (struct bed_sink *)sink;

        b->len = len;
        happens(&b->between);
        return len <= sizeof b->value ? b->value : NULL;
}
static struct bed_sink got = {.sink.room = bed_room};

static enum mt_status get(void)
{
        return shm_get(store, key, &got.sink);
}

static bool finds(const char *value)
{
        return get() == MT_OK && mt_bytes_equal(mt_bytes(got.value, got.len), mt_bytes_of(value));
}

static void set_late(void)
{
        late = shm_set_marked(store, key, mt_bytes_of("late"), 60000, mark);
}

static void remove_it(void)
{
        ck_assert_int_eq(shm_remove(store, key), MT_OK);
}

static void begin(void)
{
        late = MT_UNSUPPORTED;
        ck_assert_int_eq(shm_set_with_ttl(store, key, mt_bytes_of("old"), 60000), MT_OK);
        ck_assert_int_eq(shm_mark(store, key, &mark), MT_OK);
}

/* ------------------------------------------------------------------------------------------------ one and the other */

START_TEST(a_late_set_between_the_halves_of_a_remove)
{
        begin();
        behind_remove = set_late;
        remove_it();
        ck_assert_int_eq(late, MT_STALE);
        ck_assert_int_eq(get(), MT_MISS);
}
END_TEST

START_TEST(a_late_set_between_the_halves_of_a_pattern)
{
        begin();
        behind_pattern = set_late;
        ck_assert_int_eq(shm_remove_pattern(store, mt_bytes_of("k*")), MT_OK);
        ck_assert_int_eq(late, MT_STALE);
        ck_assert_int_eq(get(), MT_MISS);

        begin();
        behind_pattern = set_late;
        ck_assert_int_eq(shm_flush(store), MT_OK);
        ck_assert_int_eq(late, MT_STALE);
        ck_assert_int_eq(get(), MT_MISS);
}
END_TEST

START_TEST(a_remove_behind_the_lease_of_a_late_set)
{
        begin();
        behind_lease = remove_it;
        set_late();
        ck_assert_int_eq(late, MT_STALE);
        ck_assert_int_eq(get(), MT_MISS);
}
END_TEST

/* Of another key: what was PENDING is lost, the mark is not. It is tried again. */
static void remove_others(void)
{
        ck_assert_int_eq(shm_remove_pattern(store, mt_bytes_of("nothing*")), MT_OK);
}

START_TEST(a_pattern_behind_the_lease_of_a_set)
{
        begin();
        behind_lease = remove_others;
        set_late();
        ck_assert_int_eq(late, MT_OK);
        ck_assert(finds("late"));
        behind_lease = remove_others;
        ck_assert_int_eq(shm_set_with_ttl(store, key, mt_bytes_of("new"), 60000), MT_OK);
        ck_assert(finds("new"));
        remove_it();
        behind_lease = remove_others; /* and of a mark */
        ck_assert_int_eq(shm_mark(store, key, &mark), MT_OK);
        set_late();
        ck_assert_int_eq(late, MT_OK);
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- values */

/* It goes, and so much comes that its place is used again. */
static void turn_over(void)
{
        static char     bytes[100000];
        char            name[32];
        struct mt_bytes other;

        memset(bytes, 'x', sizeof bytes);
        remove_it();
        for (int i = 0; i < 400; i++) {
                other = mt_bytes(name, (size_t)snprintf(name, sizeof name, "other%d", i));
                ck_assert_int_eq(shm_set_with_ttl(store, other, mt_bytes(bytes, sizeof bytes), 60000), MT_OK);
        }
}

START_TEST(a_value_whose_place_is_used_again_while_it_is_read)
{
        static char bytes[50000];

        memset(bytes, 'y', sizeof bytes);
        ck_assert_int_eq(shm_set_with_ttl(store, key, mt_bytes(bytes, sizeof bytes), 60000), MT_OK);
        got.between = turn_over;
        ck_assert_int_eq(get(), MT_MISS);
        ck_assert_uint_eq(got.len, sizeof bytes);
}
END_TEST

START_TEST(the_longest_key)
{
        static char bytes[ITEM_KEY_MAX];

        memset(bytes, 'k', sizeof bytes);
        key = mt_bytes(bytes, ITEM_KEY_MAX - 1 - 2); /* the letter, "p:" */
        begin();
        ck_assert(finds("old"));
        set_late();
        ck_assert_int_eq(late, MT_OK);
        remove_it();
        ck_assert_int_eq(get(), MT_MISS);
        key.len++;
        ck_assert_int_eq(shm_set_with_ttl(store, key, mt_bytes_of("v"), 60000), MT_REFUSED);
        ck_assert_int_eq(shm_mark(store, key, &mark), MT_OK);
        set_late();
        ck_assert_int_eq(late, MT_REFUSED);
        ck_assert_int_eq(shm_set_marked(store, key, mt_bytes_of("v"), 0, mark), MT_STALE);
        ck_assert_int_eq(get(), MT_MISS);
        remove_it();
}
END_TEST

/* Whoever comes now makes another one; this object knows that it is alone. */
START_TEST(a_segment_that_was_removed)
{
        ck_assert(shm_health_check(store));
        ck_assert_int_eq(unlink(l1_path(store->segment->l1)), 0);
        ck_assert(!shm_health_check(store));
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("backend_shm");
        TCase   *tcase = tcase_create("backend_shm");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, a_late_set_between_the_halves_of_a_remove);
        tcase_add_test(tcase, a_late_set_between_the_halves_of_a_pattern);
        tcase_add_test(tcase, a_remove_behind_the_lease_of_a_late_set);
        tcase_add_test(tcase, a_pattern_behind_the_lease_of_a_set);
        tcase_add_test(tcase, a_value_whose_place_is_used_again_while_it_is_read);
        tcase_add_test(tcase, the_longest_key);
        tcase_add_test(tcase, a_segment_that_was_removed);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
