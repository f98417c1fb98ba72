/* check_segment.c - making, finding and refusing a segment; every kind of bad file; no room; letting go. */
#include "l1_fixture.h"

#include "l1/segment/huge.h"

#include "l1/segment/holders.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define MIB   (UINT64_C(1) << 20)
#define KEY   mt_bytes_of("k")
#define VALUE mt_bytes_of("value")

static char line[4096]; /* what was said on descriptor 2 */

static void hear(int *saved)
{
        int fd = memfd_create("heard", 0);

        *saved = dup(2);
        dup2(fd, 2);
        close(fd);
        log_setup();
}

static unsigned lines_heard(int saved)
{
        unsigned lines = 0;
        ssize_t  got;

        lseek(2, 0, SEEK_SET);
        got = read(2, line, sizeof line - 1);
        line[got < 0 ? 0 : got] = '\0';
        dup2(saved, 2);
        close(saved);
        log_setup();
        for (const char *p = line; *p != '\0'; p++)
                lines += *p == '\n';
        return lines;
}

/* Attach, count the lines: all that is allowed when something is wrong is one. */
static struct l1 *attach_saying(unsigned lines, const char *part)
{
        struct l1 *l1;
        int        saved;
        unsigned   heard;

        hear(&saved);
        l1 = l1_attach(&fixture.config);
        heard = lines_heard(saved);
        ck_assert_msg(heard == lines, "%u lines instead of %u: %s", heard, lines, line);
        ck_assert_msg(part == NULL || strstr(line, part) != NULL, "'%s' is not in: %s", part, line);
        return l1;
}

static void prepare(void)
{
        fixture_prepare(4 * MIB, 100000);
}

static const char *find_segment(void)
{
        static char    path[512];
        DIR           *directory = opendir(fixture.directory);
        struct dirent *entry;

        path[0] = '\0';
        while ((entry = readdir(directory)) != NULL) {
                if (strncmp(entry->d_name, "mtshim.", 7) == 0)
                        snprintf(path, sizeof path, "%s/%s", fixture.directory, entry->d_name);
        }
        closedir(directory);
        return path[0] != '\0' ? path : NULL;
}

/* Make one and let it go: its path, for tests that spoil it. */
static const char *make_one(void)
{
        pid_t pid = fork();
        int   status;

        if (pid == 0)
                _exit(l1_attach(&fixture.config) == NULL);
        ck_assert(waitpid(pid, &status, 0) == pid && status == 0);
        return find_segment();
}

START_TEST(made_whole)
{
        struct stat st;
        char        stem[160];

        fixture_attach();
        snprintf(stem, sizeof stem, "%s/mtshim.%u.unit.%u.", fixture.directory, (unsigned)geteuid(), SEGMENT_ABI);
        ck_assert_int_eq(strncmp(l1_path(fixture.l1), stem, strlen(stem)), 0);
        ck_assert_uint_eq(strlen(l1_path(fixture.l1)), strlen(stem) + 16);
        ck_assert_int_eq(stat(l1_path(fixture.l1), &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
        ck_assert_uint_eq((uint64_t)st.st_size, 4 * MIB);
        /* The log has no memory yet, nor have the counters but for a page or two. */
        ck_assert_uint_lt((uint64_t)st.st_blocks * 512, MIB);
        /* Nothing but it in the directory, and no descriptor of it in this process. */
        ck_assert_int_eq(rename(l1_path(fixture.l1), l1_path(fixture.l1)), 0);
        for (int fd = 3; fd < 64; fd++) {
                struct stat open_st;
                ck_assert(fstat(fd, &open_st) != 0 || open_st.st_ino != st.st_ino || open_st.st_dev != st.st_dev);
        }
}
END_TEST

START_TEST(shared)
{
        struct l1_key key;
        struct l1_hit hit;

        fixture_attach();
        ck_assert(fixture_put(KEY, VALUE));
        key = fixture_key(KEY);
        struct l1 *other = attach_saying(0, NULL);
        ck_assert_ptr_nonnull(other);
        ck_assert_uint_eq(l1_hash(other, l1_server_index(fixture.l1, fixture.server), KEY), key.hash);
        ck_assert(l1_find(other, &key, fixture_id(), clock_coarse_ns(), &hit));
        l1_detach(other);
        /* Another size or name: the size is its creator's, the name is another segment. */
        fixture.config.size_bytes *= 4;
        other = attach_saying(0, NULL);
        ck_assert_uint_eq(other->geometry.l1_size, 4 * MIB);
        fixture.config.name = "other";
        other = attach_saying(0, NULL);
        ck_assert(!l1_find(other, &key, fixture_id(), clock_coarse_ns(), &hit));
        ck_assert_uint_eq(other->geometry.l1_size, 16 * MIB);
}
END_TEST

/* Many at once: one segment, and everybody is in it. */
START_TEST(race)
{
        enum { RACERS = 24 };
        int      go[2], ino[2], seen = 0;
        uint64_t first = 0, one;

        ck_assert(pipe(go) == 0 && pipe(ino) == 0);
        for (int i = 0; i < RACERS; i++) {
                if (fork() == 0) {
                        char c;
                        close(go[1]);
                        (void)!read(go[0], &c, 1);
                        struct l1 *l1 = l1_attach(&fixture.config);
                        one = l1 != NULL ? l1->file_ino : 0;
                        (void)!write(ino[1], &one, sizeof one);
                        _exit(0);
                }
        }
        close(go[1]);
        close(ino[1]);
        while (read(ino[0], &one, sizeof one) == (ssize_t)sizeof one) {
                first = seen++ == 0 ? one : first;
                ck_assert_uint_ne(one, 0);
                ck_assert_uint_eq(one, first);
        }
        ck_assert_int_eq(seen, RACERS);
        while (wait(NULL) > 0)
                ;
}
END_TEST

/* ------------------------------------------------------------------------------------------------------- bad files */

static void spoil_truncate(const char *path)
{
        ck_assert_int_eq(truncate(path, 100), 0);
}

static void spoil_shorten(const char *path)
{
        ck_assert_int_eq(truncate(path, (off_t)(2 * MIB)), 0);
}

static void spoil_empty(const char *path)
{
        ck_assert_int_eq(truncate(path, 0), 0);
}

static void spoil_noise(const char *path)
{
        int  fd = open(path, O_WRONLY), random = open("/dev/urandom", O_RDONLY);
        char noise[4096];

        for (int i = 0; i < 100; i++) {
                (void)!read(random, noise, sizeof noise);
                (void)!write(fd, noise, sizeof noise);
        }
        close(fd);
        close(random);
}

static void spoil_header(const char *path, size_t at, uint64_t v, size_t bytes)
{
        int fd = open(path, O_WRONLY);

        ck_assert_int_eq(pwrite(fd, &v, bytes, (off_t)at), (ssize_t)bytes);
        close(fd);
}

static void spoil_abi(const char *path)
{
        spoil_header(path, offsetof(struct segment_shm, abi), SEGMENT_ABI + 1, 4);
}

static void spoil_fingerprint(const char *path)
{
        spoil_header(path, offsetof(struct segment_shm, fingerprint), 12345, 8);
}

static void spoil_size(const char *path)
{
        spoil_header(path, offsetof(struct segment_shm, l1_size), 8 * MIB, 8);
}

static void spoil_logseg(const char *path)
{
        spoil_header(path, offsetof(struct segment_shm, logseg_size), 0, 8);
}

static void spoil_mode(const char *path)
{
        ck_assert_int_eq(chmod(path, 0640), 0);
}

static void spoil_holes(const char *path)
{
        int fd = open(path, O_WRONLY);

        ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 65536), 0);
        close(fd);
}

static const struct {
        const char *says;
        void (*spoil)(const char *path);
} spoils[] = {
        {"truncated", spoil_truncate},    {"size is not what", spoil_shorten},   {"truncated", spoil_empty},
        {"not a segment", spoil_noise},   {"another version", spoil_abi},        {"another version", spoil_fingerprint},
        {"size is not what", spoil_size}, {"sizes make no sense", spoil_logseg}, {"others may use it", spoil_mode},
        {"no memory", spoil_holes},
};

/* Nobody uses it: one line, and a new one stands in its place. */
START_TEST(bad_unused)
{
        const char *path = make_one();
        struct l1  *l1;

        spoils[_i].spoil(path);
        l1 = attach_saying(1, spoils[_i].says);
        ck_assert_ptr_nonnull(l1);
        ck_assert_ptr_nonnull(strstr(line, "made anew"));
        ck_assert_ptr_null(l1_verify(l1));
        ck_assert_ptr_nonnull(attach_saying(0, NULL));
}
END_TEST

/* A process has it mapped: one line, no L1, and the file stays. */
START_TEST(bad_in_use)
{
        const char *path = make_one();
        struct stat before, after;
        int         ready[2];
        pid_t       pid;
        char        c;

        ck_assert(stat(path, &before) == 0 && pipe(ready) == 0);
        ck_assert(!holders_any(before.st_dev, before.st_ino));
        pid = fork();
        if (pid == 0) {
                int fd = open(path, O_RDONLY);
                (void)!mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
                (void)!write(ready[1], "r", 1);
                pause();
        }
        ck_assert_int_eq(read(ready[0], &c, 1), 1);
        ck_assert(holders_any(before.st_dev, before.st_ino));
        spoil_abi(path);
        ck_assert_ptr_null(attach_saying(1, "in use"));
        ck_assert(stat(path, &after) == 0 && after.st_ino == before.st_ino);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        ck_assert_ptr_nonnull(attach_saying(1, "made anew"));
}
END_TEST

/* Many find it bad at once: none unlinks what another has made anew. Who looks for holders looks into every process of
 * the host; the others wait for 20 ms and go without, to try again later. */
START_TEST(bad_race)
{
        enum { RACERS = 12, RACER_TRIES = 500 };
        const char *path = make_one();
        int         ino[2], seen = 0;
        uint64_t    one, first = 0;

        spoil_abi(path);
        ck_assert_int_eq(pipe(ino), 0);
        for (int i = 0; i < RACERS; i++) {
                if (fork() == 0) {
                        struct l1 *l1 = NULL;

                        for (int try = 0; try < RACER_TRIES && l1 == NULL; try++)
                                l1 = l1_attach(&fixture.config);
                        one = l1 != NULL ? l1->file_ino : 0;
                        (void)!write(ino[1], &one, sizeof one);
                        _exit(0);
                }
        }
        close(ino[1]);
        while (read(ino[0], &one, sizeof one) == (ssize_t)sizeof one) {
                first = seen++ == 0 ? one : first;
                ck_assert_uint_ne(one, 0);
                ck_assert_uint_eq(one, first);
        }
        ck_assert_int_eq(seen, RACERS);
        while (wait(NULL) > 0)
                ;
}
END_TEST

START_TEST(foreign_owner)
{
        const char *path = make_one();

        if (geteuid() != 0 || chown(path, 65534, 65534) != 0) {
                printf("foreign_owner: skipped, needs root\n");
                return;
        }
        ck_assert_ptr_null(attach_saying(1, "belongs to somebody else"));
        ck_assert_int_eq(access(path, F_OK), 0);
        /* And seen from the other side: root's segment, under the name that the other would use. */
        ck_assert(chown(path, 0, 0) == 0 && chmod(fixture.directory, 0777) == 0);
        if (fork() == 0) {
                char theirs[600];
                ck_assert(setuid(65534) == 0);
                struct l1 *l1 = l1_attach(&fixture.config);
                snprintf(theirs, sizeof theirs, "%s", l1 != NULL ? l1_path(l1) : "");
                _exit(l1 == NULL || strcmp(theirs, path) == 0);
        }
        int status;
        wait(&status);
        ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(odd_files)
{
        const char *path = make_one();
        char        target[600];

        snprintf(target, sizeof target, "%s/real", fixture.directory);
        ck_assert_int_eq(rename(path, target), 0);
        ck_assert_int_eq(symlink(target, path), 0);
        ck_assert_ptr_null(attach_saying(1, "symbolic link"));
        ck_assert(unlink(path) == 0 && mkfifo(path, 0600) == 0);
        ck_assert_ptr_null(attach_saying(1, "not a regular file"));
        ck_assert(unlink(path) == 0 && mkdir(path, 0700) == 0);
        ck_assert_ptr_null(attach_saying(1, "without L1"));
        ck_assert_int_eq(rmdir(path), 0);
        /* A second name for it, and the name of a link that leads nowhere: nothing is made behind it. */
        ck_assert_int_eq(link(target, path), 0);
        ck_assert_ptr_null(attach_saying(1, "another name"));
        ck_assert_int_eq(access(path, F_OK), 0);
        ck_assert(unlink(path) == 0 && unlink(target) == 0 && symlink(target, path) == 0);
        ck_assert_ptr_null(attach_saying(1, "symbolic link"));
        ck_assert_int_ne(access(target, F_OK), 0);
        ck_assert(unlink(path) == 0 && mknod(path, S_IFSOCK | 0600, 0) == 0);
        ck_assert_ptr_null(attach_saying(1, "without L1"));
        ck_assert_int_eq(unlink(path), 0);
}
END_TEST

/* What another uid plants under the name that root's segment would have: never opened for use, never removed. */
START_TEST(planted_for_root)
{
        static const mode_t kinds[] = {S_IFREG, S_IFIFO, S_IFSOCK};
        const char         *path = make_one();
        char                copy[600];
        struct stat         st;

        if (geteuid() != 0) {
                printf("planted_for_root: skipped, needs root\n");
                return;
        }
        snprintf(copy, sizeof copy, "%s/copy", fixture.directory);
        ck_assert_int_eq(rename(path, copy), 0); /* sound in every way but whose it is, and in every mode */
        for (mode_t mode = 0600; mode != 0; mode = mode == 0600 ? 0666 : 0) {
                ck_assert(chmod(copy, mode) == 0 && chown(copy, 65534, 0) == 0 && rename(copy, path) == 0);
                ck_assert_ptr_null(attach_saying(1, "belongs to somebody else"));
                ck_assert(stat(path, &st) == 0 && st.st_uid == 65534 && rename(path, copy) == 0);
        }
        ck_assert(symlink(copy, path) == 0 && lchown(path, 65534, 65534) == 0);
        ck_assert_ptr_null(attach_saying(1, "symbolic link"));
        ck_assert_int_eq(unlink(path), 0);
        for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
                ck_assert(mknod(path, kinds[i] | 0600, 0) == 0 && chown(path, 65534, 65534) == 0);
                ck_assert_ptr_null(attach_saying(1, "without L1"));
                ck_assert(lstat(path, &st) == 0 && (st.st_mode & S_IFMT) == kinds[i] && unlink(path) == 0);
        }
        ck_assert(mkdir(path, 0700) == 0 && chown(path, 65534, 65534) == 0);
        ck_assert_ptr_null(attach_saying(1, "without L1"));
        ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

/* Only what is there, and good: nothing is made, mended or removed, and nobody is told. */
START_TEST(only_what_is_there)
{
        char path[600];

        fixture.config.there = fixture.config.again = true;
        ck_assert_ptr_null(attach_saying(0, NULL));
        ck_assert_ptr_null(find_segment());
        fixture.config.there = false;
        snprintf(path, sizeof path, "%s", make_one());
        fixture.config.there = true;
        ck_assert_ptr_nonnull(attach_saying(0, NULL));
        spoil_truncate(path);
        ck_assert_ptr_null(attach_saying(0, NULL));
        ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(odd_configs)
{
        struct l1_config usual = fixture.config;
        char             name[600];

        fixture.config.name = "a/b";
        ck_assert_ptr_null(attach_saying(1, "slash"));
        fixture.config.name = "";
        ck_assert_ptr_null(attach_saying(1, "empty"));
        memset(name, 'n', sizeof name);
        name[sizeof name - 1] = '\0';
        fixture.config.name = name;
        ck_assert_ptr_null(attach_saying(1, "too long"));
        fixture.config = usual;
        fixture.config.directory = "/proc";
        ck_assert_ptr_null(attach_saying(1, "cannot create"));
        fixture.config.directory = "/nonexistent";
        ck_assert_ptr_null(attach_saying(1, "cannot create"));
        fixture.config = usual;
        /* A program's umask is not the file's mode. */
        umask(0777);
        ck_assert_ptr_nonnull(attach_saying(0, NULL));
        umask(022);
        ck_assert_ptr_nonnull(attach_saying(0, NULL));
}
END_TEST

/* --------------------------------------------------------------------------------------------------------- in steps */

#define STEP_MOST (64 * MIB) /* more than any machine populates in the time that one step is given */

static bool later;

/* One attempt that does not take long. */
static struct l1 *attach_a_step(void)
{
        later = false;
        fixture.config.later = &later;
        return attach_saying(0, NULL);
}

static uint64_t memory_of(const char *path)
{
        struct stat st;

        ck_assert_int_eq(stat(path, &st), 0);
        return (uint64_t)st.st_blocks * 512;
}

/* No page of the index is without memory. */
static void assert_index_whole(const struct l1 *l1)
{
        int fd = open(l1_path(l1), O_RDONLY);

        ck_assert_int_ge(lseek(fd, (off_t)l1->geometry.index_at, SEEK_HOLE), (off_t)l1->geometry.log_at);
        close(fd);
}

/* The index of 2 GiB is 170 MiB: no attempt to attach takes it at once, each takes a part, and nobody uses it before.
 */
START_TEST(index_in_steps)
{
        uint64_t   before, now = 0;
        unsigned   steps = 0;
        struct l1 *l1;

        fixture.config.size_bytes = 2048 * MIB;
        while ((l1 = attach_a_step()) == NULL) {
                ck_assert(later);
                before = now;
                now = memory_of(find_segment());
                ck_assert_uint_gt(now, before);
                ck_assert_uint_lt(now, before + STEP_MOST);
                if (steps++ < 2)
                        ck_assert_ptr_null(l1_open(&fixture.config, true));
        }
        ck_assert(!later);
        ck_assert_uint_ge(steps, 2);
        assert_index_whole(l1);
        l1_detach(l1);
        fixture_attach();
        ck_assert(fixture_put(KEY, VALUE));
        ck_assert(fixture_has(KEY, VALUE));
}
END_TEST

/* Attach as other programs do, all at the same time: nobody says a word, and all are in the same one. */
static void step_on(void)
{
        while (attach_a_step() == NULL)
                ck_assert(later);
}

/* Those that began it die or stop in the middle, and a signal meets them there: whoever comes goes on. */
START_TEST(index_by_many)
{
        enum { MANY = 6 };
        pid_t    pid[MANY];
        uint64_t moment;
        int      status;

        fixture.config.size_bytes = 1024 * MIB;
        for (int i = 0; i < MANY; i++) {
                if ((pid[i] = fork()) == 0) {
                        step_on();
                        _exit(0);
                }
        }
        for (int i = 0; i < MANY; i++) {
                moment = clock_precise_ns() + 2 * NS_PER_MS;
                while (clock_precise_ns() < moment)
                        sched_yield();
                kill(pid[i], i < MANY / 2 ? SIGKILL : SIGSTOP);
        }
        step_on();
        fixture.config.later = NULL;
        fixture_attach();
        assert_index_whole(fixture.l1);
        ck_assert(fixture_put(KEY, VALUE));
        for (int i = 0; i < MANY; i++)
                kill(pid[i], SIGCONT);
        for (int i = 0; i < MANY; i++) {
                ck_assert_int_eq(waitpid(pid[i], &status, 0), pid[i]);
                ck_assert(status == 0 || (i < MANY / 2 && WIFSIGNALED(status)));
        }
        ck_assert(fixture_has(KEY, VALUE));
        assert_index_whole(fixture.l1);
}
END_TEST

/* Whoever may wait finishes what another began. */
START_TEST(index_finished_at_once)
{
        fixture.config.size_bytes = 1024 * MIB;
        ck_assert_ptr_null(attach_a_step());
        fixture.config.later = NULL;
        fixture_attach();
        assert_index_whole(fixture.l1);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------- no room */

/* A file system of this size over the fixture's directory, seen by this process alone. */
static bool small_disk(unsigned kib)
{
        char options[64];

        snprintf(options, sizeof options, "size=%uk,mode=0777", kib);
        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("tmpfs", fixture.directory, "tmpfs", 0, options) != 0) {
                printf("small_disk: skipped, needs root\n");
                return false;
        }
        return true;
}

START_TEST(no_room_at_all)
{
        if (small_disk(200))
                ck_assert_ptr_null(attach_saying(1, "No space left"));
}
END_TEST

/* Others take the memory while the index is being taken: one line, no SIGBUS, and what was taken is given back. */
START_TEST(no_room_for_the_next_step)
{
        char filler[128];
        int  fd;

        if (!small_disk(256 << 10))
                return;
        fixture.config.size_bytes = 2048 * MIB;
        ck_assert_ptr_null(attach_a_step());
        ck_assert(later);
        snprintf(filler, sizeof filler, "%s/filler", fixture.directory);
        fd = open(filler, O_RDWR | O_CREAT, 0600);
        for (uint64_t at = 0, piece = 256 * MIB; piece >= SEGMENT_PAGE; piece /= 2)
                while (fallocate(fd, 0, (off_t)at, (off_t)piece) == 0)
                        at += piece;
        close(fd);
        later = false;
        ck_assert_ptr_null(attach_saying(1, "No space left"));
        ck_assert(!later);
        ck_assert_ptr_null(find_segment());
        ck_assert_int_eq(unlink(filler), 0);
        fixture.config.size_bytes = 64 * MIB;
        step_on();
}
END_TEST

/* No room for all of it from the start: not one page is taken for it. */
START_TEST(no_room_for_the_index)
{
        if (!small_disk(64 << 10))
                return;
        fixture.config.size_bytes = 8192 * MIB;
        later = false;
        fixture.config.later = &later;
        ck_assert_ptr_null(attach_saying(1, "No space left"));
        ck_assert(!later);
        ck_assert_ptr_null(find_segment());
}
END_TEST

/* The log ends where memory ends, at once or later; what has memory is used again, nothing is a SIGBUS. */
START_TEST(room_runs_out)
{
        static char value[4000];
        char        number[32];
        unsigned    hits = 0, kib = (unsigned)_i;

        if (!small_disk(kib))
                return;
        fixture.config.size_bytes = 64 * MIB;
        fixture.config.max_item_bytes = MIB;
        fixture.l1 = NULL;
        fixture_attach();
        for (unsigned i = 0; i < 8000; i++)
                fixture_put(fixture_number(number, "k", i), mt_bytes(value, sizeof value));
        ck_assert_uint_ge(fixture_count(COUNTER_error_memory), 1);
        if (kib < 8192) {
                ck_assert_uint_eq(fixture_count(COUNTER_fills), 0);
                ck_assert_uint_eq(fixture_count(COUNTER_fills_skipped), 8000);
        } else {
                ck_assert_uint_eq(fixture_count(COUNTER_fills), 8000);
                ck_assert_uint_gt(fixture_count(COUNTER_reclaims), 3);
                for (unsigned i = 7900; i < 8000; i++)
                        hits += fixture_has(fixture_number(number, "k", i), mt_bytes(value, sizeof value));
                ck_assert_uint_eq(hits, 100);
        }
        ck_assert_ptr_null(l1_verify(fixture.l1));
        /* The log leaves some to others. */
        struct stat st;
        ck_assert_int_eq(stat(l1_path(fixture.l1), &st), 0);
        ck_assert(kib < 8192 || (uint64_t)st.st_blocks / 2 <= kib - kib / 8 + 256);
}
END_TEST

/* No memory is left, and words are forged that speak of memory where there is none: a miss, no SIGBUS. */
START_TEST(no_memory_behind)
{
        static char value[90000];
        char        path[128], number[32];
        int         fd;

        if (!small_disk(6144))
                return;
        fixture.config.size_bytes = 8 * MIB;
        fixture.config.max_item_bytes = 100000;
        fixture_attach();
        ck_assert(fixture_put(mt_bytes_of("k"), mt_bytes_of("v")));
        snprintf(path, sizeof path, "%s/filler", fixture.directory);
        ck_assert_int_ge(fd = open(path, O_RDWR | O_CREAT, 0600), 0);
        while (write(fd, value, sizeof value) > 0)
                ;
        close(fd);

        struct l1         *l1 = fixture.l1;
        struct l1_key      key = fixture_key(mt_bytes_of("absent"));
        struct index_place place = index_place(l1, key.hash);
        struct l1_hit      hit;
        const uint32_t     size = (uint32_t)l1->geometry.logseg_size;

        mt_store_relaxed(index_slot(&place, 0), slot_live(l1, place.tag, 0, l1->log_bytes - SEGMENT_PAGE));
        ck_assert(!l1_find(l1, &key, fixture_id(), clock_coarse_ns(), &hit));
        mt_store_relaxed(index_slot(&place, 0), 0);
        mt_store_relaxed(&l1->header->counters_high, COUNTERS_MAX);
        ck_assert_uint_eq(fixture_count(COUNTER_fills), 1);
        for (uint32_t i = 1; i < l1->geometry.logseg_count; i++) {
                mt_store_relaxed(&l1->logsegs[i].ready, size);
                mt_store_relaxed(&l1->logsegs[i].head, SEGMENT_PAGE);
        }
        ck_assert_ptr_nonnull(l1_verify(l1));
        for (unsigned i = 0; i < 200; i++)
                fixture_put(fixture_number(number, "k", i), mt_bytes(value, sizeof value));
        fixture.l1 = NULL; /* not sound any more */
}
END_TEST

/* The name is gone: it goes on with what it has mapped, and takes memory all the same. */
START_TEST(name_gone)
{
        static char value[40000];
        char        number[32];

        fixture_attach();
        ck_assert_int_eq(unlink(l1_path(fixture.l1)), 0);
        for (unsigned i = 0; i < 200; i++)
                ck_assert(fixture_put(fixture_number(number, "k", i), mt_bytes(value, sizeof value)));
        ck_assert(fixture_has(fixture_number(number, "k", 199), mt_bytes(value, sizeof value)));
}
END_TEST

/* ------------------------------------------------------------------------------------------------------- letting go */

static _Atomic bool stop_reading;

static void *read_on(void *arg)
{
        unsigned *hits = arg;
        char      got[8];

        while (!mt_load_relaxed(&stop_reading)) {
                *hits += fixture_get(mt_bytes_of("k:1"), got, sizeof got) == 5 && memcmp(got, "value", 5) == 0;
                fixture_put(mt_bytes_of("k:2"), VALUE);
                l1_remove(fixture.l1, fixture_key(mt_bytes_of("k:2")).hash);
        }
        return NULL;
}

/* Threads in the middle of everything, and the memory under them becomes zeros: no fault, no hit, nothing put in. */
START_TEST(abandon)
{
        pthread_t thread[3];
        unsigned  hits[3] = {0};
        char      got[8];

        fixture_attach();
        ck_assert(fixture_put(mt_bytes_of("k:1"), VALUE));
        for (int i = 0; i < 3; i++)
                pthread_create(&thread[i], NULL, read_on, &hits[i]);
        for (uint64_t end_ns = clock_precise_ns() + 50 * NS_PER_MS; clock_precise_ns() < end_ns;)
                sched_yield();
        l1_abandon(fixture.l1);
        for (uint64_t end_ns = clock_precise_ns() + 20 * NS_PER_MS; clock_precise_ns() < end_ns;)
                sched_yield();
        mt_store_relaxed(&stop_reading, true);
        for (int i = 0; i < 3; i++)
                pthread_join(thread[i], NULL);
        ck_assert_uint_gt(hits[0] + hits[1] + hits[2], 0);
        ck_assert_int_eq(fixture_get(mt_bytes_of("k:1"), got, sizeof got), -1);
        ck_assert(!fixture_put(KEY, VALUE));
        ck_assert_uint_eq(l1_self(fixture.l1), 0);
        ck_assert_ptr_null(l1_server_at(fixture.l1, 0));
        l1_flush_all(fixture.l1);
        l1_count(fixture.l1, COUNTER_hits, 1);
        struct l1_totals totals;
        l1_totals(fixture.l1, true, &totals);
        ck_assert_uint_eq(totals.items, 0);
        /* What others see is whole, and this process is in it no more. */
        struct l1 *other = l1_open(&fixture.config, false);
        ck_assert_ptr_nonnull(other);
        ck_assert_ptr_null(l1_verify(other));
        l1_totals(other, true, &totals);
        ck_assert_uint_eq(totals.processes, 0);
        fixture.l1 = NULL;
}
END_TEST

START_TEST(detach)
{
        struct l1_totals totals;
        char             got[8];

        fixture_attach();
        ck_assert(fixture_put(KEY, VALUE));
        l1_totals(fixture.l1, true, &totals);
        ck_assert_uint_eq(totals.processes, 1);
        uint64_t self = l1_self(fixture.l1);
        ck_assert(!l1_owner_dead(fixture.l1, self));
        ck_assert_int_eq(l1_owner_pid(fixture.l1, self), getpid());
        l1_detach(fixture.l1);
        l1_detach(fixture.l1);
        ck_assert(l1_owner_dead(fixture.l1, self));
        l1_totals(fixture.l1, true, &totals);
        ck_assert_uint_eq(totals.processes, 0);
        /* A late thread still reads, and puts nothing in. */
        ck_assert_int_eq(fixture_get(KEY, got, sizeof got), 5);
        ck_assert(!fixture_put(mt_bytes_of("late"), VALUE));
        l1_count(fixture.l1, COUNTER_hits, 1);
        l1_after_fork(fixture.l1);
        ck_assert_uint_eq(l1_self(fixture.l1), 0);
}
END_TEST

START_TEST(opened_for_looking)
{
        struct l1_key key;
        struct l1_hit hit;
        char          got[8];

        ck_assert_ptr_null(l1_open(&fixture.config, false));
        ck_assert_ptr_null(l1_open(&fixture.config, true));
        fixture_attach();
        ck_assert(fixture_put(KEY, VALUE));
        key = fixture_key(KEY);
        struct l1 *reader = l1_open(&fixture.config, false);
        ck_assert_ptr_nonnull(reader);
        ck_assert(l1_find(reader, &key, fixture_id(), clock_coarse_ns(), &hit));
        ck_assert(l1_copy(&hit, got));
        l1_count(reader, COUNTER_hits, 1);
        ck_assert_uint_eq(l1_self(reader), 0);
        ck_assert_uint_eq(l1_remove(reader, key.hash), 0);
        ck_assert_ptr_null(l1_verify(reader));
        l1_flush_all(reader);
        l1_detach(reader);
        ck_assert(fixture_has(KEY, VALUE));
        struct l1 *writer = l1_open(&fixture.config, true);
        l1_flush_all(writer);
        ck_assert(!fixture_has(KEY, VALUE));
}
END_TEST

/* ------------------------------------------------------------------------------------------------------ huge pages */

/* Bytes of the mapping at this address that are mapped by huge pages. */
static uint64_t mapped_huge(const void *base)
{
        FILE              *smaps = fopen("/proc/self/smaps", "re");
        char               text[512];
        unsigned long long from, kib, huge = 0;
        bool               ours = false;

        ck_assert_ptr_nonnull(smaps);
        while (fgets(text, sizeof text, smaps) != NULL) {
                if (sscanf(text, "%llx-", &from) == 1 && strchr(text, '-') != NULL &&
                    strchr(text, '-') < strchr(text, ' '))
                        ours = from == (uintptr_t)base;
                else if (ours && sscanf(text, "ShmemPmdMapped: %llu", &kib) == 1)
                        huge = kib * 1024;
        }
        fclose(smaps);
        return huge;
}

/* Where the kernel can: everything but the tables and what is left over at the end; and nothing has changed by it. */
START_TEST(huge_pages)
{
        char     number[32], value[1000];
        uint64_t now_ns = clock_coarse_ns(), next_ns;
        unsigned n, kept = 0, before = 0;

        fixture.config.size_bytes = HUGE_L1_LEAST;
        fixture_attach();
        ck_assert_uint_eq((uintptr_t)fixture.l1->base % HUGE_SIZE, 0);
        ck_assert_uint_gt(l1_huge_pages(fixture.l1, now_ns), now_ns); /* not at once */
        ck_assert_uint_eq(mapped_huge(fixture.l1->base), 0);
        memset(value, 'v', sizeof value);
        for (n = 0; fixture_count(COUNTER_reclaims) == 0; n++)
                ck_assert(fixture_put(fixture_number(number, "k", n), mt_bytes(value, sizeof value)));
        for (unsigned i = 0; i < n; i++)
                before += fixture_has(fixture_number(number, "k", i), mt_bytes(value, sizeof value));
        now_ns = fixture.l1->huge_next_ns;
        do {
                next_ns = l1_huge_pages(fixture.l1, now_ns);
                ck_assert_uint_gt(next_ns, now_ns);
                now_ns = next_ns;
        } while (fixture.l1->huge_at != 0); /* a lap is done, or there is no such thing here */
        for (unsigned i = 0; i < n; i++)
                kept += fixture_has(fixture_number(number, "k", i), mt_bytes(value, sizeof value));
        ck_assert_uint_eq(kept, before);
        if (mt_load_relaxed(&fixture.l1->header->magic) == SEGMENT_MAGIC && fixture.l1->huge_next_ns != UINT64_MAX)
                ck_assert_uint_ge(mapped_huge(fixture.l1->base), HUGE_L1_LEAST / 4 * 3);
}
END_TEST

/* --------------------------------------------------------------------------------------------------------- geometry */

/* The offset has the bits it needs and the generation the rest: 2^46 bytes are filled at the least before that comes
 * round for one log segment (slot.h). */
static void check_slot_bits(const struct segment_geometry *g)
{
        uint64_t last = (g->log_bytes - 1) / ITEM_ALIGN, lap_bytes = (g->logseg_count / 16 + 1) * g->logseg_size;

        ck_assert_uint_eq(last >> g->offset_bits, 0);
        ck_assert_uint_ne(last >> (g->offset_bits - 1), 0);
        ck_assert_uint_le(g->offset_bits, SLOT_OFFSET_BITS_MAX);
        ck_assert_uint_ge(lap_bytes << (SLOT_PLACE_BITS - g->offset_bits), UINT64_C(1) << 46);
}

START_TEST(geometry)
{
        struct segment_geometry g;
        uint64_t                seed = 1, size, logseg;

        for (int i = 0; i < 100000; i++) {
                seed = seed * UINT64_C(6364136223846793005) + 1;
                geometry_choose(seed >> (20 + i % 40), &size, &logseg);
                ck_assert(geometry_compute(size, logseg, &g));
                ck_assert_uint_eq(g.l1_size, size);
                ck_assert_uint_le(g.log_at + g.log_bytes, size);
                ck_assert_uint_ge(g.logseg_count, 16);
                ck_assert_uint_le(g.logsegs_at + g.logseg_count * sizeof(struct logseg_shm), g.index_at);
                ck_assert_uint_le(g.index_at + g.bucket_count * sizeof(struct bucket_shm), g.log_at);
                ck_assert_uint_eq((g.servers_at | g.counters_at | g.logsegs_at | g.index_at | g.log_at) % SEGMENT_PAGE,
                                  0);
                ck_assert_uint_gt(g.log_bytes, (size - g.index_at) / 2);
                check_slot_bits(&g);
                /* Noise never passes for more than it can hold. */
                if (geometry_compute(seed, seed << (i % 64), &g))
                        ck_assert_uint_le(g.log_at + g.log_bytes, seed);
        }
        geometry_choose(64 * MIB, &size, &logseg);
        ck_assert_uint_eq(logseg, 256 << 10);
        ck_assert(geometry_compute(size, logseg, &g));
        ck_assert_uint_eq(g.offset_bits, 23);
        geometry_choose(1, &size, &logseg);
        ck_assert_uint_eq(logseg, GEOMETRY_LOGSEG_MIN);
        ck_assert(geometry_compute(size, logseg, &g));
        ck_assert_uint_eq(g.offset_bits, SLOT_OFFSET_BITS_MIN);
        geometry_choose(UINT64_MAX, &size, &logseg);
        ck_assert_uint_eq(logseg, GEOMETRY_LOGSEG_MAX);
        ck_assert(geometry_compute(size, logseg, &g));
        ck_assert_uint_eq(g.offset_bits, SLOT_OFFSET_BITS_MAX);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("segment");
        TCase *all = tcase_create("files");

        tcase_add_checked_fixture(all, prepare, fixture_end);
        tcase_set_timeout(all, 60);
        tcase_add_test(all, made_whole);
        tcase_add_test(all, shared);
        tcase_add_test(all, race);
        tcase_add_loop_test(all, bad_unused, 0, (int)(sizeof spoils / sizeof spoils[0]));
        tcase_add_test(all, bad_in_use);
        tcase_add_test(all, bad_race);
        tcase_add_test(all, foreign_owner);
        tcase_add_test(all, odd_files);
        tcase_add_test(all, planted_for_root);
        tcase_add_test(all, only_what_is_there);
        tcase_add_test(all, odd_configs);
        tcase_add_test(all, index_in_steps);
        tcase_add_test(all, index_by_many);
        tcase_add_test(all, index_finished_at_once);
        tcase_add_test(all, no_room_at_all);
        tcase_add_test(all, no_room_for_the_next_step);
        tcase_add_test(all, no_room_for_the_index);
        tcase_add_loop_test(all, room_runs_out, 5900, 5901);
        tcase_add_loop_test(all, room_runs_out, 16384, 16385);
        tcase_add_test(all, no_memory_behind);
        tcase_add_test(all, name_gone);
        tcase_add_test(all, abandon);
        tcase_add_test(all, detach);
        tcase_add_test(all, opened_for_looking);
        tcase_add_test(all, huge_pages);
        tcase_add_test(all, geometry);
        suite_add_tcase(suite, all);
        return fixture_run(suite);
}
