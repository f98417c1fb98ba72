/* check_plugin.c - how a store is named, and what is refused before anything of it is called. The files of plugins are
 * tests/e2e/91-doctor-backend.sh's. */
#include "l1/tier/builtin.h"
#include "l1/tier/plugin.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------------------------------- names */

static struct spec spec;

static void parses(const char *text, const char *kind, const char *address, const char *options)
{
        const char *why = spec_parse(mt_bytes_of(text), &spec);
        char        all[512] = "";

        ck_assert_msg(why == NULL, "'%s': %s", text, why);
        for (size_t i = 0; i < spec.options; i++) {
                strcat(strcat(strcat(all, spec.option[i].name.ptr), "="), spec.option[i].value.ptr);
                strcat(all, " ");
                ck_assert_uint_eq(strlen(spec.option[i].value.ptr), spec.option[i].value.len);
        }
        ck_assert_str_eq(spec.kind.ptr, kind);
        ck_assert_str_eq(spec.address.ptr, address);
        ck_assert_uint_eq(strlen(address), spec.address.len);
        ck_assert_str_eq(all, options);
}

START_TEST(names)
{
        parses("process", "process", "", "");
        parses("process?size=1M", "process", "", "size=1M ");
        parses("lmdb:/var/cache/x?size=1G&sync=0", "lmdb", "/var/cache/x", "size=1G sync=0 ");
        parses("memcached:[::1]:11211", "memcached", "[::1]:11211", "");
        parses("a:b?x=", "a", "b", "x= ");
        parses("a:b?x=1=2?3", "a", "b", "x=1=2?3 ");
        parses("a:%2fb%3Fc%25?x=%26%3d%3B&y=%20", "a", "/b?c%", "x=&=; y=  ");
        parses("a:b?A-b.c_9=1", "a", "b", "A-b.c_9=1 ");
        parses("a:", "a", "", "");
}
END_TEST

START_TEST(bad_names)
{
        static const char *const bad[] = {
                "",     ":",     ":x",    "?x=1",  "a b:c",    "a:b?",        "a:b?x",     "a:b?=1",   "a:%",
                "a:%2", "a:%zz", "a:%2g", "a:%00", "a:b?x=%0", "a:b?x=1&x=2", "a:b?x y=1", "a:b?&x=1", "a/b:c",
        };
        char many[SPEC_OPTIONS_MAX * 8 + 32] = "a:b?", *at = many + strlen(many);

        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
                ck_assert_msg(spec_parse(mt_bytes_of(bad[i]), &spec) != NULL, "'%s' is taken", bad[i]);
        ck_assert_ptr_nonnull(spec_parse(mt_bytes(NULL, 0), &spec));
        for (int i = 0; i < SPEC_OPTIONS_MAX; i++)
                at += sprintf(at, "%sx%d=1", i > 0 ? "&" : "", i);
        ck_assert_ptr_null(spec_parse(mt_bytes_of(many), &spec));
        strcat(many, "&y=1");
        ck_assert_ptr_nonnull(spec_parse(mt_bytes_of(many), &spec));
}
END_TEST

/* Exactly as long as there is room for, and a byte more; the text ends where it ends, NUL or not. */
START_TEST(long_names)
{
        enum { ROOM = SPEC_BYTES_MAX - 2 - 1 }; /* "a" and its NUL, the address' NUL */
        static char text[SPEC_BYTES_MAX + 16];

        memset(text, 'x', sizeof text);
        memcpy(text, "a:", 2);
        ck_assert_ptr_null(spec_parse(mt_bytes(text, 2 + ROOM), &spec));
        ck_assert_uint_eq(spec.address.len, ROOM);
        ck_assert_ptr_nonnull(spec_parse(mt_bytes(text, 2 + ROOM + 1), &spec));
        ck_assert_ptr_null(spec_parse(mt_bytes("a:bc", 3), &spec));
        ck_assert_str_eq(spec.address.ptr, "b");
        ck_assert_ptr_nonnull(spec_parse(mt_bytes("a:%20", 4), &spec));
}
END_TEST

START_TEST(options_are_taken)
{
        struct mt_backend_config config;
        struct mt_bytes          value;

        parses("a:b?x=1&y=2&z=3", "a", "b", "x=1 y=2 z=3 ");
        ck_assert(!spec_take(&spec, "w", &value));
        ck_assert(spec_take(&spec, "y", &value) && mt_bytes_equal(value, mt_bytes_of("2")));
        ck_assert(!spec_take(&spec, "y", &value));
        config = spec_config(&spec, mt_bytes_of("p:"), 250);
        ck_assert_uint_eq(config.options, 2);
        ck_assert_str_eq(config.option[1].name.ptr, "z");
        ck_assert_str_eq(config.address.ptr, "b");
        ck_assert_uint_eq(config.timeout_ms, 250);

        parses("plugin:/x.so?address=there&k=v", "plugin", "/x.so", "address=there k=v ");
        config = spec_config(&spec, mt_bytes_of("p:"), 250);
        ck_assert_str_eq(config.address.ptr, "there");
        ck_assert_uint_eq(config.options, 1);
        parses("plugin:/x.so", "plugin", "/x.so", "");
        ck_assert_uint_eq(spec_config(&spec, mt_bytes_of("p:"), 250).address.len, 0);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------- tables */

static struct mt_backend    table;
static struct mt_l2_ops     ops;
static struct mt_stream_ops streams;
static char                 why[MT_BACKEND_WHY_MAX];

static void table_setup(void)
{
        table = backend_process;
        ops = *backend_process.ops;
        table.ops = &ops;
        why[0] = '\0';
}

static void refused(const char *reason)
{
        ck_assert(!plugin_check(&table, why));
        ck_assert_msg(strstr(why, reason) != NULL, "'%s' does not say '%s'", why, reason);
        table_setup();
}

START_TEST(tables)
{
        table_setup();
        ck_assert(plugin_check(&table, why));
        ck_assert(plugin_check(&backend_shm, why));
        table.size += 64; /* a later one, with more behind */
        ck_assert(plugin_check(&table, why));

        table.abi = MT_BACKEND_ABI + 1;
        table.ops = NULL; /* not looked at */
        refused("built for backend ABI 2, this is 1");
        table.size = sizeof table - 1;
        refused("ABI 1 has");
#define WITHOUT(field, reason) (field = NULL, refused(reason))
        WITHOUT(table.name, "no name");
        WITHOUT(table.open, "no open");
        WITHOUT(table.close, "no close");
        WITHOUT(table.ops, "no ops");
        WITHOUT(ops.cache.name, "no name");
        WITHOUT(ops.cache.get, "no get");
        WITHOUT(ops.cache.set_with_ttl, "no set_with_ttl");
        WITHOUT(ops.cache.remove, "no remove");
        WITHOUT(ops.cache.flush, "no flush");
        WITHOUT(ops.cache.health_check, "no health_check");
        WITHOUT(ops.get_with_ttl, "no get_with_ttl");
        WITHOUT(ops.mark, "no mark");
        WITHOUT(ops.set_marked, "no set_marked");
#undef WITHOUT
        ops.mark = NULL;
        ops.set_marked = NULL;
        ops.cache.remove_pattern = NULL;
        ops.cache.set = NULL;
        ck_assert(plugin_check(&table, why));
        table.streams = &streams;
        refused("no stream_add");
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- files */

static const struct mt_backend *find(const char *text, const char *folder, const struct mt_backend *const *built_in)
{
        const struct mt_backend *found;

        ck_assert_ptr_null(spec_parse(mt_bytes_of(text), &spec));
        why[0] = '\0';
        errno = EXDEV;
        found = plugin_find(&spec, &(struct plugin_places){folder, built_in}, why);
        ck_assert_int_eq(errno, EXDEV);
        return found;
}

static void not_found(const char *text, const char *folder, const char *reason)
{
        ck_assert_ptr_null(find(text, folder, backends_built_in));
        ck_assert_msg(strstr(why, reason) != NULL, "'%s' does not say '%s'", why, reason);
}

START_TEST(files)
{
        ck_assert_ptr_eq(find("process", NULL, backends_built_in), &backend_process);
        ck_assert_ptr_eq(find("shm:x", NULL, backends_built_in), &backend_shm);
        not_found("plugin:/nosuch/x.so", NULL, "/nosuch/x.so: cannot open");
        not_found("plugin:x.so", NULL, "plugin:x.so: not an absolute path");
        not_found("plugin:", NULL, "not an absolute path");
        not_found("plugin:/dev/null", NULL, "/dev/null: file too short");
        not_found("nosuch:x", "/nosuch", "/nosuch/libmtshim-nosuch.so: cannot open");
        not_found("nosuch:x", NULL, "unit/libmtshim-nosuch.so: cannot open"); /* where this program lies */
        ck_assert_ptr_null(find("process", "/nosuch", NULL));
        ck_assert_ptr_nonnull(strstr(why, "/nosuch/libmtshim-process.so"));
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("plugin");
        TCase   *tcase = tcase_create("plugin");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_add_test(tcase, names);
        tcase_add_test(tcase, bad_names);
        tcase_add_test(tcase, long_names);
        tcase_add_test(tcase, options_are_taken);
        tcase_add_test(tcase, tables);
        tcase_add_test(tcase, files);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
