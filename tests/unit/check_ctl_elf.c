/* check_ctl_elf.c - reading of ELF files and of what a program brings with it, against what the loader itself did to
 * this very process; and files that are cut short or full of noise, which must cost answers and nothing else. */
#include "shim/ctl/closure.c"
#include "shim/ctl/elf_file.c"

#include <check.h>
#include <link.h>
#include <time.h>

#define LIBHIREDIS "libhiredis.so.0.14"

static char folder[] = "/tmp/mtshim-check-XXXXXX";

/* Through the link: memcheck shows the program there, and itself to whoever opens it. */
static char self[PATH_MAX];

static void setup(void)
{
        ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
        ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void)
{
        char command[64];

        snprintf(command, sizeof command, "rm -rf %s", folder);
        ck_assert_int_eq(system(command), 0);
}

/* A file in the folder with these bytes. */
static const char *put(const char *name, const void *bytes, size_t size)
{
        static char path[128];

        snprintf(path, sizeof path, "%s/%s", folder, name);
        FILE *f = fopen(path, "w");

        ck_assert_ptr_nonnull(f);
        ck_assert_uint_eq(fwrite(bytes, 1, size, f), size);
        fclose(f);
        return path;
}

/* ------------------------------------------------------------------------------------------------------- reading */

static int compare_with_loader(struct dl_phdr_info *info, size_t size, void *arg)
{
        const struct closure *c = arg;
        struct stat           st;

        (void)size;
        /* Not in the file: the vdso, memcheck's own. */
        if (strstr(info->dlpi_name, "/valgrind/") || info->dlpi_name[0] != '/' || stat(info->dlpi_name, &st) != 0)
                return 0;
        for (size_t i = 1; i < c->count; i++)
                if (c->object[i].dev == st.st_dev && c->object[i].ino == st.st_ino)
                        return 0;
        ck_abort_msg("%s was loaded and not found", info->dlpi_name);
        return 0;
}

START_TEST(test_closure_is_the_loaders)
{
        struct closure c;
        size_t         found = 0;

        ck_assert_int_eq(closure_build(&c, self), ELF_NATIVE);
        dl_iterate_phdr(compare_with_loader, &c);
        for (size_t i = 0; i < c.count; i++)
                found += c.object[i].path != NULL;
        ck_assert_uint_eq(found, c.count);
        ck_assert_ptr_nonnull(closure_hiredis(&c));
        ck_assert_str_eq(closure_hiredis(&c)->name, LIBHIREDIS);
        closure_destroy(&c);
}
END_TEST

START_TEST(test_symbols)
{
        struct closure c;

        ck_assert_int_eq(closure_build(&c, self), ELF_NATIVE);
        const struct elf_file *me = &c.object[0].elf, *hiredis = &closure_hiredis(&c)->elf;

        ck_assert(elf_imports(me, "dl_iterate_phdr"));
        ck_assert(!elf_defines(me, "dl_iterate_phdr"));
        ck_assert(!elf_imports(me, "redisCommand"));
        ck_assert(elf_defines(hiredis, "redisCommand"));
        ck_assert(!elf_imports(hiredis, "redisCommand"));
        ck_assert(elf_imports(hiredis, "getaddrinfo"));
        ck_assert_str_eq(elf_dynamic_string(hiredis, DT_SONAME, 0), LIBHIREDIS);
        ck_assert_ptr_null(elf_dynamic_string(hiredis, DT_SONAME, 1));
        ck_assert_ptr_null(elf_interpreter(hiredis));
        ck_assert_ptr_nonnull(elf_interpreter(me));
        ck_assert(!elf_is_static(me));
        ck_assert(elf_contains(hiredis, "Server closed the connection"));
        ck_assert(!elf_contains(hiredis, "this is written in no library"));
        closure_destroy(&c);
}
END_TEST

struct slot_seen {
        uint64_t base, value;
        unsigned count;
};

static void see_slot(void *arg, const char *name, uint64_t vaddr)
{
        struct slot_seen *seen = arg;

        if (strcmp(name, "dl_iterate_phdr") != 0)
                return;
        memcpy(&seen->value, (const void *)(uintptr_t)(seen->base + vaddr), sizeof seen->value);
        seen->count++;
}

static int take_base(struct dl_phdr_info *info, size_t size, void *arg)
{
        (void)size;
        ((struct slot_seen *)arg)->base = info->dlpi_addr; /* the first one is the program */
        return 1;
}

/* The word for an imported function holds its address once it was called. */
START_TEST(test_slots)
{
        struct slot_seen seen = {0};
        struct elf_file  elf;

        dl_iterate_phdr(take_base, &seen);
        ck_assert_int_eq(elf_open(&elf, self), ELF_NATIVE);
        elf_each_slot(&elf, see_slot, &seen);
        ck_assert_uint_ge(seen.count, 1);
        ck_assert_uint_eq(seen.value, (uint64_t)(uintptr_t)dl_iterate_phdr);
        elf_close(&elf);
}
END_TEST

START_TEST(test_kinds)
{
        Elf32_Ehdr      small = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB}, .e_machine = EM_386};
        Elf64_Ehdr      other = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB}, .e_machine = EM_S390};
        struct elf_file elf;

        ck_assert_int_eq(elf_open(&elf, "/nonexistent"), ELF_UNREADABLE);
        ck_assert_int_eq(errno, ENOENT);
        ck_assert_int_eq(elf_open(&elf, "/tmp"), ELF_UNREADABLE);
        ck_assert_int_eq(elf_open(&elf, put("empty", "", 0)), ELF_NOT);
        ck_assert_int_eq(elf_open(&elf, put("script", "#!/bin/sh\n", 10)), ELF_NOT);
        ck_assert_int_eq(elf_open(&elf, put("small", &small, sizeof small)), ELF_FOREIGN);
        ck_assert_str_eq(elf_describe(&elf), "32-bit x86");
        elf_close(&elf);
        ck_assert_int_eq(elf_open(&elf, put("other", &other, sizeof other)), ELF_FOREIGN);
        ck_assert_str_eq(elf_describe(&elf), "64-bit machine 22");
        elf_close(&elf);
}
END_TEST

/* --------------------------------------------------------------------------------------------------- bad files */

static bool ignore_symbol(void *arg, const char *name, bool defined)
{
        *(size_t *)arg += strlen(name) + defined;
        return true;
}

static void ignore_slot(void *arg, const char *name, uint64_t vaddr)
{
        *(size_t *)arg += strlen(name) + (size_t)(vaddr & 1);
}

/* Ask everything. */
static void ask(const char *path)
{
        struct closure c;
        size_t         sum = 0;

        if (closure_build(&c, path) == ELF_NATIVE) {
                elf_each_symbol(&c.object[0].elf, ignore_symbol, &sum);
                elf_each_slot(&c.object[0].elf, ignore_slot, &sum);
                elf_interpreter(&c.object[0].elf);
                elf_is_static(&c.object[0].elf);
        }
        closure_destroy(&c);
}

static size_t read_hiredis(unsigned char *bytes, size_t size)
{
        struct closure c;

        ck_assert_int_eq(closure_build(&c, self), ELF_NATIVE);
        FILE  *f = fopen(closure_hiredis(&c)->path, "r");
        size_t n = fread(bytes, 1, size, f);

        fclose(f);
        closure_destroy(&c);
        return n;
}

START_TEST(test_cut_short)
{
        static unsigned char bytes[1 << 20];
        size_t               size = read_hiredis(bytes, sizeof bytes);

        for (size_t n = 0; n < 4096; n += 61)
                ask(put("cut", bytes, n));
        for (size_t n = 4096; n < size; n += 1021)
                ask(put("cut", bytes, n));
}
END_TEST

START_TEST(test_noise)
{
        static unsigned char bytes[1 << 20], noisy[1 << 20];
        size_t               size = read_hiredis(bytes, sizeof bytes);
        uint64_t             seed = (uint64_t)time(NULL), dynamic = 0;
        struct elf_file      elf;

        printf("seed %llu\n", (unsigned long long)seed);
        srand48((long)seed);
        if (elf_open(&elf, put("whole", bytes, size)) == ELF_NATIVE)
                dynamic = elf.dynamic;
        elf_close(&elf);
        for (unsigned round = 0; round < 1500; round++) {
                memcpy(noisy, bytes, size);
                for (unsigned i = 0; i < 1 + round % 8; i++) {
                        size_t where = (size_t)(round % 2 ? lrand48() % 1024 : (long)dynamic + lrand48() % 512);

                        noisy[where] = (unsigned char)(round % 3 ? lrand48() : 0xff);
                }
                ask(put("noise", noisy, size));
        }
}
END_TEST

/* ------------------------------------------------------------------------------------------------- search paths */

static void build(const char *command)
{
        char line[1024];

        snprintf(line, sizeof line, "cd %s && %s", folder, command);
        ck_assert_msg(system(line) == 0, "%s", line);
}

static const char *found(const char *program, const char *name)
{
        static char    path[PATH_MAX];
        struct closure c;
        char           file[128];

        snprintf(file, sizeof file, "%s/%s", folder, program);
        ck_assert_int_eq(closure_build(&c, file), ELF_NATIVE);
        path[0] = '\0';
        for (size_t i = 0; i < c.count; i++)
                if (strcmp(c.object[i].name, name) == 0)
                        strlcpy(path, c.object[i].path ? c.object[i].path : "nowhere", sizeof path);
        closure_destroy(&c);
        return strncmp(path, folder, strlen(folder)) == 0 ? path + strlen(folder) : path;
}

START_TEST(test_search_paths)
{
        if (system("cc --version >/dev/null 2>&1") != 0)
                return;
        build("mkdir a b c && echo 'int f(void){return 0;}' >f.c && echo 'int f(void);int g(void){return f();}' >g.c "
              "&& "
              "echo 'int g(void);int main(void){return g();}' >m.c");
        build("for d in a b; do cc -shared -fPIC -Wl,-soname,libf.so -o $d/libf.so f.c; done");
        build("cc -shared -fPIC -Wl,-soname,libg.so -o c/libg.so g.c -La -lf");
        build("cc -o runpath m.c -Lc -lg -Wl,--enable-new-dtags,-rpath,'$ORIGIN/c' -Wl,--allow-shlib-undefined");
        build("cc -o rpath m.c -Lc -lg -Wl,--disable-new-dtags,-rpath,'${ORIGIN}/c:$ORIGIN/b' "
              "-Wl,--allow-shlib-undefined");
        /* RUNPATH counts for the program's own libraries alone, RPATH for those of its libraries too. */
        ck_assert_str_eq(found("runpath", "libg.so"), "/c/libg.so");
        ck_assert_str_eq(found("runpath", "libf.so"), "nowhere");
        ck_assert_str_eq(found("rpath", "libf.so"), "/b/libf.so");
        char list[128];

        snprintf(list, sizeof list, "/nonexistent;%s/a", folder);
        setenv("LD_LIBRARY_PATH", list, 1);
        ck_assert_str_eq(found("runpath", "libf.so"), "/a/libf.so");
        ck_assert_str_eq(found("rpath", "libf.so"), "/b/libf.so");
        unsetenv("LD_LIBRARY_PATH");
        /* A file that is no library of this machine is passed over. */
        build("echo noise >b/libf.so && mkdir d && mv a/libf.so d && ln -s c b2 && "
              "cc -o over m.c -Lc -lg -Wl,--disable-new-dtags,-rpath,'$ORIGIN/c:$ORIGIN/b:$ORIGIN/d' "
              "-Wl,--allow-shlib-undefined");
        ck_assert_str_eq(found("over", "libf.so"), "/d/libf.so");
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("ctl_elf");
        TCase   *tcase = tcase_create("elf");
        SRunner *runner = srunner_create(suite);

        tcase_add_unchecked_fixture(tcase, setup, teardown);
        tcase_set_timeout(tcase, 60);
        tcase_add_test(tcase, test_closure_is_the_loaders);
        tcase_add_test(tcase, test_symbols);
        tcase_add_test(tcase, test_slots);
        tcase_add_test(tcase, test_kinds);
        tcase_add_test(tcase, test_cut_short);
        tcase_add_test(tcase, test_noise);
        tcase_add_test(tcase, test_search_paths);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);

        srunner_free(runner);
        return failed != 0;
}
