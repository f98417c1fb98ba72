/* coherence.c - tries to prove promise 2 wrong: programs write and read while everything that can break is broken.
 *
 *   coherence [--seconds S] [--seed N] [--bound-ms MS] [--mode tracking|pubsub|stream] [--build DIR]
 *             [--link unix|tcp|proxy|net|sentinel] [--library FILE] [--only NAME,NAME...] [--until-found]
 *             [--list] [--verbose]
 *
 * Without --link each round has another way to the server, but for the sentinel, whose rounds are asked for. Without
 * --bound-ms the time is shared by three rounds, at bounds of 1 s, 250 ms and 50 ms. --until-found: a round ends when
 * a read was wrong. Ends with "N passed, N failed"; one line for each read that must not have been. What a seed decides
 * is what is done when, and who is meant; what the scheduler makes of it is its own affair. */
#include "chaos.h"

#include "net.h"

#include "l1/base/clock.h"

#include <err.h>
#include <getopt.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHAOS_FIRST_SERVED_MS = 10000 };

static const char *const mode_names[] = {"tracking", "pubsub", "stream", NULL};
static const char *const link_names[] = {"unix", "tcp", "proxy", "net", "sentinel", "any", NULL};

/* -------------------------------------------------------------------------------------------------------- rounds */

static void chaos_remove_segment(const struct chaos *c)
{
        char   pattern[96];
        glob_t files;

        snprintf(pattern, sizeof pattern, "/dev/shm/mtshim.*.%s.*", c->segment);
        if (glob(pattern, 0, NULL, &files) == 0) {
                for (size_t i = 0; i < files.gl_pathc; i++)
                        unlink(files.gl_pathv[i]);
                globfree(&files);
        }
}

static void chaos_begin(struct chaos *c, unsigned bound_ms)
{
        oracle_clear(c->oracle);
        c->oracle->seed = oracle_seed(c->seed, c->number);
        c->oracle->bound_ns = bound_ms * ORACLE_MS;
        c->features = c->mode == MODE_TRACKING ? HAS_TRACKING | HAS_FOREIGN : c->mode == MODE_STREAM ? HAS_STREAM : 0;
        c->oracle->no_px = (c->seed + c->number) % 3 == 0;
        c->odd_ends = c->kills = c->stops = 0;
        c->begun_ns = oracle_now_ns();
        snprintf(c->segment, sizeof c->segment, "chaos-%d-%u", (int)getpid(), c->number);
        links_begin(c);
        printf("\nround %u: bound %u ms, %s, %s, seed %llu\n", c->number, bound_ms, mode_names[c->mode],
               link_names[c->link], (unsigned long long)c->seed);
        seats_lay(c);
        c->plan = plan_create(c);
        c->gauge = gauge_start(c);
        c->fencer = fencer_start(c);
        seats_fill(c);
}

static bool chaos_is_served(struct chaos *c)
{
        uint64_t until_ns = oracle_now_ns() + CHAOS_FIRST_SERVED_MS * ORACLE_MS, took_ns;
        bool     served = false;

        gauge_mark(c->gauge);
        while (!(served = gauge_serves(c->gauge, &took_ns)) && oracle_now_ns() < until_ns + gauge_delay_ns(c->gauge))
                chaos_wait(c, 1);
        chaos_expect(c, served, "L1 serves", "after %.2f s", (double)(oracle_now_ns() - c->begun_ns) / 1e9);
        return served;
}

static void chaos_end(struct chaos *c)
{
        bool well = seats_clear(c);

        fencer_stop(&c->fencer);
        report_round(c, well);
        gauge_stop(&c->gauge);
        plan_destroy(&c->plan);
        links_end(c);
        chaos_remove_segment(c);
        fflush(stdout);
}

/* A run of three rounds has three of the four, if it may have a cable. */
static enum chaos_link chaos_choose_link(const struct chaos *c)
{
        static const enum chaos_link links[] = {LINK_UNIX, LINK_PROXY, LINK_TCP, LINK_NET};

        return c->wanted != LINK_ANY ? c->wanted : links[(c->seed + c->number) % (c->has_net ? 4 : 3)];
}

static void chaos_round(struct chaos *c, unsigned bound_ms, uint64_t seconds)
{
        uint64_t until_ns = oracle_now_ns() + seconds * ORACLE_S;

        c->number++;
        c->link = chaos_choose_link(c);
        chaos_begin(c, bound_ms);
        if (chaos_is_served(c)) {
                do
                        plan_cycle(c);
                while (oracle_now_ns() < until_ns && !(c->until_found && atomic_load(&c->oracle->findings) != 0));
        }
        chaos_end(c);
}

static void chaos_run(struct chaos *c)
{
        static const unsigned bounds_ms[] = {1000, 250, 50};

        if (c->bound_ms != 0) {
                chaos_round(c, c->bound_ms, c->seconds);
                return;
        }
        for (unsigned i = 0; i < 3; i++)
                chaos_round(c, bounds_ms[i], (c->seconds + 2) / 3);
}

/* ------------------------------------------------------------------------------------------------------- options */

static const char *chaos_path(const char *path)
{
        const char *whole = realpath(path, NULL);

        if (whole == NULL)
                err(2, "%s", path);
        return whole;
}

static unsigned chaos_named(const char *option, const char *name, const char *const *names)
{
        for (unsigned i = 0; names[i] != NULL; i++) {
                if (strcmp(name, names[i]) == 0)
                        return i;
        }
        fprintf(stderr, "--%s '%s': none of", option, name);
        for (unsigned i = 0; names[i] != NULL; i++)
                fprintf(stderr, " %s", names[i]);
        fprintf(stderr, "\n");
        exit(2);
}

static uint64_t chaos_number(const char *option, const char *text)
{
        char              *end;
        unsigned long long n = strtoull(text, &end, 10);

        if (*text == '\0' || *end != '\0' || n == 0)
                errx(2, "--%s '%s': a number, 1 or more", option, text);
        return n;
}

static void chaos_options(struct chaos *c, int argc, char **argv)
{
        static const struct option options[] = {
                {"seconds", required_argument, NULL, 's'},  {"seed", required_argument, NULL, 'r'},
                {"bound-ms", required_argument, NULL, 'b'}, {"mode", required_argument, NULL, 'm'},
                {"build", required_argument, NULL, 'B'},    {"library", required_argument, NULL, 'l'},
                {"only", required_argument, NULL, 'o'},     {"list", no_argument, NULL, 'L'},
                {"verbose", no_argument, NULL, 'v'},        {"link", required_argument, NULL, 'k'},
                {"until-found", no_argument, NULL, 'u'},    {0},
        };
        const char *build = "build", *library = NULL;
        char        beside[4096 + 16];
        int         o;

        while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
                switch (o) {
                case 's': c->seconds = chaos_number("seconds", optarg); break;
                case 'r': c->seed = chaos_number("seed", optarg); break;
                case 'b': c->bound_ms = (unsigned)chaos_number("bound-ms", optarg); break;
                case 'm': c->mode = (enum chaos_mode)chaos_named("mode", optarg, mode_names); break;
                case 'k': c->wanted = (enum chaos_link)chaos_named("link", optarg, link_names); break;
                case 'B': build = optarg; break;
                case 'l': library = optarg; break;
                case 'o': c->only = optarg; break;
                case 'u': c->until_found = true; break;
                case 'v': c->verbose = true; break;
                case 'L': plan_list(); exit(0);
                default: errx(2, "see the head of tests/coherence/coherence.c");
                }
        }
        c->build = chaos_path(build);
        snprintf(beside, sizeof beside, "%s/libmtshim.so", c->build);
        c->library = chaos_path(library != NULL ? library : beside);
}

/* Where a cable may be laid, all of the run is in network namespaces of its own. */
static void chaos_seek_net(struct chaos *c)
{
        const char *why;

        if (c->wanted != LINK_ANY && c->wanted != LINK_NET)
                return;
        c->has_net = net_enter(&why);
        if (c->has_net)
                return;
        printf("no round with a link that is dropped: %s\n", why);
        if (c->wanted == LINK_NET)
                exit(77);
}

int main(int argc, char **argv)
{
        static struct chaos c = {.seconds = 60, .seed = 1, .wanted = LINK_ANY};
        const char         *tmp = getenv("TMPDIR");
        char                command[96];

        setvbuf(stdout, NULL, _IOLBF, 0);
        signal(SIGPIPE, SIG_IGN);
        chaos_options(&c, argc, argv);
        snprintf(c.folder, sizeof c.folder, "%s/mtshim-chaos.XXXXXX", tmp != NULL && strlen(tmp) < 32 ? tmp : "/tmp");
        if (mkdtemp(c.folder) == NULL)
                err(1, "%s", c.folder);
        chaos_seek_net(&c);
        c.oracle = oracle_create(&c.oracle_fd);
        chaos_run(&c);
        snprintf(command, sizeof command, "rm -rf '%s'", c.folder);
        if (c.failed != 0)
                printf("\nlogs are in %s\n", c.folder);
        else if (system(command) != 0)
                warnx("%s is left", c.folder);
        printf("\n%u passed, %u failed\n", c.passed, c.failed);
        return c.failed != 0;
}
