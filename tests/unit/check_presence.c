/* check_presence.c - whether an agent is there: said by a lock that ends with it, on a file that may be left behind. */
#include "l1/l1.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char             folder[] = "/tmp/mtshim-presence-XXXXXX";
static struct l1_config config = {.name = "presence", .directory = folder};

static void setup(void)
{
        strcpy(folder + strlen(folder) - 6, "XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void)
{
        char command[64];

        snprintf(command, sizeof command, "rm -rf %s", folder);
        ck_assert_int_eq(system(command), 0);
}

static bool present(void)
{
        bool is;

        errno = 77;
        is = l1_agent_present(&config);
        ck_assert_int_eq(errno, 77);
        return is;
}

static void file(char path[128])
{
        snprintf(path, 128, "%s/mtshim.%u.presence-agent", folder, (unsigned)geteuid());
}

START_TEST(test_presence_said)
{
        int         first = -1, second = -1;
        char        path[128];
        struct stat st;

        file(path);
        ck_assert(!present());
        ck_assert(l1_agent_announce(&config, &first));
        ck_assert(present());
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0600);
        ck_assert(l1_agent_announce(&config, &second));
        l1_agent_withdraw(&config, &first);
        ck_assert_int_eq(first, -1);
        ck_assert(present()); /* the second is there still */
        l1_agent_withdraw(&config, &second);
        ck_assert(!present());
        ck_assert_int_ne(stat(path, &st), 0); /* the last one takes the file away */
        l1_agent_withdraw(&config, &second);
}
END_TEST

START_TEST(test_presence_removed)
{
        int  held = -1;
        char path[128];

        file(path);
        ck_assert(l1_agent_announce(&config, &held));
        ck_assert_int_eq(unlink(path), 0);
        ck_assert(!present());
        ck_assert(l1_agent_announce(&config, &held));
        ck_assert(present());
        l1_agent_withdraw(&config, &held);
        ck_assert(!present());
}
END_TEST

START_TEST(test_presence_killed)
{
        int   ready[2], held = -1;
        char  said = 'n';
        pid_t pid;

        ck_assert_int_eq(pipe(ready), 0);
        pid = fork();
        if (pid == 0) {
                said = l1_agent_announce(&config, &held) ? 'y' : 'n';
                if (write(ready[1], &said, 1) == 1)
                        pause();
                _exit(0);
        }
        ck_assert_int_eq(read(ready[0], &said, 1), 1);
        ck_assert_int_eq(said, 'y');
        ck_assert(present());
        ck_assert_int_eq(kill(pid, SIGKILL), 0);
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
        ck_assert(!present()); /* the file is there, the lock is not */
}
END_TEST

/* In the way: a directory, a link, a FIFO, a name that is too long. */
START_TEST(test_presence_hindered)
{
        static char      name[600];
        struct l1_config longer = {.name = name, .directory = folder};
        int              held = -1;
        char             path[128];

        file(path);
        ck_assert_int_eq(symlink("/dev/null", path), 0);
        ck_assert(!present());
        ck_assert(!l1_agent_announce(&config, &held));
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(mkfifo(path, 0600), 0);
        ck_assert(!present()); /* and does not wait for a writer */
        memset(name, 'x', sizeof name - 1);
        ck_assert(!l1_agent_present(&longer));
        ck_assert(!l1_agent_announce(&longer, &held));
}
END_TEST

/* The role stands in the process's slot, and ends with it. */
START_TEST(test_presence_role)
{
        struct l1_config agent = {.name = "role",
                                  .size_bytes = 4 << 20,
                                  .max_item_bytes = 65536,
                                  .directory = folder,
                                  .agent = true},
                         program = agent;
        struct l1 *led, *l1;
        uint64_t   word;
        char       path[600];

        program.agent = false;
        led = l1_attach(&agent);
        l1 = l1_attach(&program);
        ck_assert_ptr_nonnull(led);
        ck_assert_ptr_nonnull(l1);
        word = l1_self(led);
        ck_assert(l1_owner_agent(l1, word));
        ck_assert(!l1_owner_agent(l1, l1_self(l1)));
        ck_assert(!l1_owner_agent(l1, 0));
        ck_assert(!l1_owner_agent(l1, word + (UINT64_C(2) << 32)));
        l1_detach(led);
        ck_assert(!l1_owner_agent(l1, word)); /* given back */
        ck_assert(l1_at_path(l1));
        snprintf(path, sizeof path, "%s", l1_path(l1));
        ck_assert_int_eq(unlink(path), 0);
        ck_assert(!l1_at_path(l1));
        ck_assert_ptr_nonnull(l1_attach(&program)); /* another under the same name */
        ck_assert(!l1_at_path(l1));
        l1_detach(l1);
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("presence");
        TCase   *tcase = tcase_create("presence");
        SRunner *runner;
        int      failed;

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_presence_said);
        tcase_add_test(tcase, test_presence_removed);
        tcase_add_test(tcase, test_presence_killed);
        tcase_add_test(tcase, test_presence_hindered);
        tcase_add_test(tcase, test_presence_role);
        suite_add_tcase(suite, tcase);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
