/* agent.c - `mtshim agent`: a process whose only work is to lead, so that programs that live for a moment find L1 warm.
 * The main thread decides which servers are to be led, and says so; the listener's thread (invalidation/) does what it
 * does in any program.
 *
 *   a server     nobody leads              it is led from now on
 *                a program leads           listened to beside it, then led in its place; L1 stays warm
 *                another agent leads       left to it, taken over when it ends
 *                away, or refuses us       tried again, ever more rarely
 *                of the segment, and gone  left alone until a program uses it again */
#include "ctl.h"
#include "notify.h"
#include "target.h"

#include "../../invalidation/invalidation.h"
#include "../../l1/base/log.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { AGENT_TARGETS = 32 };

#define AGENT_PACE_MIN_NS  (5 * NS_PER_MS) /* from look to look, while something changes */
#define AGENT_PACE_MAX_NS  (200 * NS_PER_MS)
#define AGENT_PAUSE_MIN_NS (NS_PER_S / 2) /* from attempt to attempt, at a server that never answered */
#define AGENT_PAUSE_MAX_NS (8 * NS_PER_S)
#define AGENT_SILENT_NS    (2 * NS_PER_S) /* without a lease for so long: said */
#define AGENT_READY_NS     (2 * NS_PER_S) /* ready at the latest, whatever is not there yet */
#define AGENT_STOP_NS      (2 * NS_PER_S)

/* What is remembered of the server at a place of the segment's table. */
struct agent_server {
        struct l1_server_id id;
        bool                ours;      /* led, or listened to as an heir, at the last look */
        bool                was_fresh; /* since it is ours */
        uint64_t            stale_ns;  /* since when there is no lease */
        uint64_t            pause_ns, not_before_ns;
        uint64_t            left_used_ns; /* the server's used_ns when it was given up */
        const char         *said;
};

struct agent {
        struct options      options;
        struct target       target[AGENT_TARGETS];
        unsigned            targets;
        int                 ready_fd;   /* -1: none */
        int                 present_fd; /* of l1_agent_announce() */
        bool                ready, mute;
        struct l1          *l1;
        uint64_t            window_ns;
        unsigned            led, unsettled; /* servers, at this look */
        bool                moved;          /* something is not as it was at the last look */
        struct agent_server server[SERVER_MAX];
};

static struct agent agent = {.ready_fd = -1, .present_fd = -1};

/* ------------------------------------------------------------------------------------------------- one server */

static struct agent_server *agent_known(const struct server_shm *server, const struct endpoint *e)
{
        struct agent_server *s = &agent.server[l1_server_index(agent.l1, server)];

        if (s->id.family != e->id.family || memcmp(s->id.id, e->id.id, sizeof s->id.id) != 0) {
                memset(s, 0, sizeof *s);
                s->id = e->id;
        }
        return s;
}

/* Once for each change. */
static void agent_say(struct agent_server *s, const char *what, int pid)
{
        if (s->said == what)
                return;
        s->said = what;
        if (pid != 0)
                log_line(LOG_INFO, "%s: %s %d", ctl_printable(s->id.address), what, pid);
        else
                log_line(LOG_INFO, "%s: %s", ctl_printable(s->id.address), what);
}

static void agent_describe(struct agent_server *s, const struct server_shm *server, enum invalidation_standing standing,
                           bool fresh, uint64_t now_ns)
{
        if (standing == INVALIDATION_LEADS && fresh)
                agent_say(s, "led by this agent", 0);
        else if (standing == INVALIDATION_BY_AGENT)
                agent_say(s, "standing by, it is led by agent", (int)l1_owner_pid(agent.l1, server->leader));
        else if (!fresh && now_ns - s->stale_ns > AGENT_SILENT_NS)
                agent_say(s, "nothing is served from L1 at present", 0);
}

static void agent_lost(struct agent_server *s, const struct server_shm *server, uint64_t now_ns)
{
        s->left_used_ns = mt_load_relaxed(&server->used_ns);
        if (s->was_fresh)
                s->pause_ns = 0;
        else
                s->pause_ns = s->pause_ns == 0                       ? AGENT_PAUSE_MIN_NS
                              : 2 * s->pause_ns > AGENT_PAUSE_MAX_NS ? AGENT_PAUSE_MAX_NS
                                                                     : 2 * s->pause_ns;
        s->not_before_ns = now_ns + s->pause_ns;
        s->was_fresh = false;
}

/* given: the command line names it; else the segment's table does, and one that nobody uses any more is left alone.
 * True: it is as well as it can be. */
static bool agent_tend(struct server_shm *server, const struct endpoint *e, bool given)
{
        struct agent_server       *s = agent_known(server, e);
        uint64_t                   now_ns = clock_coarse_ns();
        enum invalidation_standing standing = invalidation_standing(agent.l1, server, now_ns);
        bool                       fresh = invalidation_fresh(server, agent.window_ns, now_ns);
        bool                       ours = standing == INVALIDATION_LEADS || standing == INVALIDATION_HEIR;

        if (fresh || s->stale_ns == 0)
                s->stale_ns = now_ns;
        if (s->ours && !ours)
                agent_lost(s, server, now_ns);
        agent.moved |= s->ours != ours;
        s->ours = ours;
        if (standing == INVALIDATION_LEADS) {
                s->was_fresh |= fresh;
                agent.led++;
        }
        agent_describe(s, server, standing, fresh, now_ns);
        if ((standing == INVALIDATION_VACANT || standing == INVALIDATION_BY_PROGRAM) && now_ns >= s->not_before_ns &&
            (given || mt_load_relaxed(&server->used_ns) > s->left_used_ns))
                invalidation_lead(agent.l1, server, &e->address, now_ns);
        return (standing == INVALIDATION_LEADS && fresh) || standing == INVALIDATION_BY_AGENT;
}

/* ------------------------------------------------------------------------------------------------- all servers */

/* A server that is reached through TLS: as the options say, and for a rediss:// URL its name is looked for in the
 * certificate. False: it cannot be told whom to believe, and a line has said so. */
static bool agent_secure(struct endpoint *e, const struct target *t, bool secured)
{
        const struct invalidation_tls named = {.server_name = t ? t->host : NULL, .check_name = true};

        if (secured || agent.options.tls == INVALIDATION_TLS_ON)
                e->address.tls = invalidation_tls_intern(t && t->secured ? &named : NULL);
        return e->address.tls != NULL || !(secured || agent.options.tls == INVALIDATION_TLS_ON);
}

/* A name with several addresses is well when one of them is: the others may be of a family that the server does not
 * speak. */
static void agent_tend_target(struct target *t)
{
        bool well = false;

        target_resolve(t, clock_coarse_ns());
        for (unsigned i = 0; i < t->endpoints; i++) {
                struct server_shm *server = t->endpoint[i].known ? l1_server(agent.l1, &t->endpoint[i].id) : NULL;

                if (server && agent_secure(&t->endpoint[i], t, t->secured))
                        well |= agent_tend(server, &t->endpoint[i], true);
        }
        agent.unsettled += !well;
}

static void agent_tend_segment(void)
{
        struct endpoint e;

        for (uint32_t i = 0; i < SERVER_MAX; i++) {
                struct server_shm *server = l1_server_at(agent.l1, i);

                /* Announcements are heard by the programs that make them: an agent leads by tracking. */
                if (server && mt_load_relaxed(&server->source) == 0 && endpoint_of_server(server, &e) &&
                    agent_secure(&e, NULL, (mt_load_relaxed(&server->flags) & SERVER_SECURED) != 0))
                        agent.unsettled += !agent_tend(server, &e, false);
        }
}

static void agent_look(void)
{
        agent.led = agent.unsettled = 0;
        agent.moved = false;
        for (unsigned i = 0; i < agent.targets; i++)
                agent_tend_target(&agent.target[i]);
        if (agent.targets == 0)
                agent_tend_segment();
        invalidation_say();
}

/* ------------------------------------------------------------------------------------------------- the process */

static struct l1_config agent_segment(void)
{
        return (struct l1_config){
                .name = agent.options.segment,
                .size_bytes = agent.options.l1_size_bytes,
                .max_item_bytes = agent.options.l1_max_item_bytes,
                .agent = true,
        };
}

static bool agent_attach(void)
{
        const struct l1_config config = agent_segment();
        const struct options  *o = &agent.options;
        uint64_t               kept_ns = o->stale_while_revalidate_ns;

        if (kept_ns < o->stale_if_error_ns)
                kept_ns = o->stale_if_error_ns;
        agent.l1 = l1_attach(&config);
        memset(agent.server, 0, sizeof agent.server);
        if (agent.l1 != NULL) /* it reads nothing, but it makes room */
                l1_set_ends(agent.l1, 0, kept_ns);
        return agent.l1 != NULL;
}

/* Programs that come from now on make another: that is the one to lead in. */
static bool agent_follow(void)
{
        log_line(LOG_WARN, "%s was removed: starting anew", l1_path(agent.l1));
        if (!invalidation_stop(INVALIDATION_PAUSE, AGENT_STOP_NS)) {
                log_line(LOG_ERROR, "the listener does not end");
                return false;
        }
        l1_detach(agent.l1);
        return agent_attach();
}

static void agent_be_ready(void)
{
        char state[64];

        agent.ready = true;
        snprintf(state, sizeof state, "READY=1\nSTATUS=leads %u servers", agent.led);
        if (!notify_manager(state))
                warn("NOTIFY_SOCKET");
        if (agent.ready_fd < 0)
                return;
        if (write(agent.ready_fd, "ready\n", 6) != 6)
                warn("--ready-fd %d", agent.ready_fd);
        close(agent.ready_fd);
        agent.ready_fd = -1;
}

/* False: asked to end. */
static bool agent_wait(const sigset_t *ends, uint64_t ns)
{
        const struct timespec timeout = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

        return sigtimedwait(ends, NULL, &timeout) < 0;
}

/* Said from the beginning: a program that attaches too early finds no lease, and asks Redis as ever. */
static void agent_announce(const struct l1_config *config)
{
        if (l1_agent_announce(config, &agent.present_fd) || agent.mute)
                return;
        agent.mute = true;
        warn("%s: programs that live for a moment will not find this agent", config->name);
}

static int agent_run(const sigset_t *ends)
{
        const struct l1_config config = agent_segment();
        uint64_t               begin_ns = clock_precise_ns(), pace_ns = AGENT_PACE_MIN_NS;

        do {
                if (!l1_at_path(agent.l1) && !agent_follow())
                        return CTL_FAILED;
                agent_announce(&config);
                agent_look();
                if (!agent.ready && (agent.unsettled == 0 || clock_precise_ns() - begin_ns > AGENT_READY_NS))
                        agent_be_ready();
                pace_ns = agent.moved ? AGENT_PACE_MIN_NS : 2 * pace_ns;
                if (pace_ns > AGENT_PACE_MAX_NS)
                        pace_ns = AGENT_PACE_MAX_NS;
        } while (agent_wait(ends, pace_ns));
        notify_manager("STOPPING=1");
        l1_agent_withdraw(&config, &agent.present_fd);
        invalidation_stop(INVALIDATION_FOREVER, AGENT_STOP_NS);
        invalidation_say();
        l1_detach(agent.l1);
        return CTL_OK;
}

static const char *agent_set(const char *text)
{
        return text[0] != '\0' ? text : NULL;
}

static void agent_configure(void)
{
        const struct options            *o = &agent.options;
        const struct invalidation_config config = {
                .mode = (enum invalidation_mode)o->invalidation,
                .bound_ns = o->max_staleness_ns,
                .touch = o->touch,
                .user = agent_set(o->user),
                .password_file = agent_set(o->password_file),
                .tls_use = (enum invalidation_tls_use)o->tls,
                .tls_verify = (enum invalidation_tls_verify)o->tls_verify,
                .tls = {.ca_file = agent_set(o->tls_ca_file),
                        .ca_dir = agent_set(o->tls_ca_dir),
                        .cert_file = agent_set(o->tls_cert_file),
                        .key_file = agent_set(o->tls_key_file),
                        .server_name = agent_set(o->tls_server_name)},
        };

        if (o->origin[OPTION_log_level] == ORIGIN_DEFAULT)
                log_configure(LOG_INFO, o->log);
        invalidation_loaded();
        invalidation_setup(&config);
        agent.window_ns = invalidation_window_ns(o->max_staleness_ns);
}

/* What ends it is waited for; a reader of our lines who has gone does not. */
static int agent_start(void)
{
        sigset_t ends;

        sigemptyset(&ends);
        sigaddset(&ends, SIGTERM);
        sigaddset(&ends, SIGINT);
        sigaddset(&ends, SIGHUP);
        sigprocmask(SIG_BLOCK, &ends, NULL);
        signal(SIGPIPE, SIG_IGN);
        agent_configure();
        return agent_attach() ? agent_run(&ends) : CTL_FAILED;
}

/* --------------------------------------------------------------------------------------------- the command line */

/* One user speaks for this host to all servers: the one of the URLs stands in for MTSHIM_USER. */
static bool agent_add_target(const char *text)
{
        struct target *t = &agent.target[agent.targets];
        const char    *why = agent.targets < AGENT_TARGETS ? target_parse(text, t) : "one server too many";

        if (!why && t->user[0] != '\0') {
                if (agent.options.origin[OPTION_user] != ORIGIN_DEFAULT && strcmp(agent.options.user, t->user) != 0)
                        why = "another user than MTSHIM_USER, or than another --server: each needs an agent of its own";
                else if (strlcpy(agent.options.user, t->user, sizeof agent.options.user) >= sizeof agent.options.user)
                        why = "the user's name is too long";
                agent.options.origin[OPTION_user] = ORIGIN_ENVIRONMENT;
        }
        if (why)
                warnx("--server %s: %s", ctl_printable(text), why);
        else
                agent.targets++;
        return !why;
}

static bool agent_set_ready_fd(const char *text)
{
        const char *error = NULL;

        agent.ready_fd = (int)strtonum(text, 0, INT_MAX, &error);
        if (error)
                warnx("--ready-fd %s: it is %s", ctl_printable(text), error);
        else if (fcntl(agent.ready_fd, F_SETFD, FD_CLOEXEC) != 0)
                warn("--ready-fd %s", ctl_printable(text));
        else
                return true;
        return false;
}

/* False, and a line: nothing could be led. */
static bool agent_may(void)
{
        const struct options *o = &agent.options;

        if (!o->enable)
                warnx("MTSHIM_ENABLE=0: programs cache nothing, there is nothing to lead");
        else if (o->refused)
                warnx("MTSHIM_ABORT_CONF=1 and a bad option: nothing is cached, there is nothing to lead");
        else if (o->invalidation == INVALIDATION_NONE)
                warnx("MTSHIM_INVALIDATION=none: values live by their time alone, there is nothing to lead");
        else
                return true;
        return false;
}

int agent_command(int argc, char **argv)
{
        static const struct option long_options[] = {
                {"server", required_argument, NULL, 'S'},
                {"segment", required_argument, NULL, 's'},
                {"ready-fd", required_argument, NULL, 'r'},
                {"help", no_argument, NULL, 'h'},
                {0},
        };
        bool good = true;
        int  c;

        ctl_options(&agent.options);
        while ((c = getopt_long(argc, argv, "s:h", long_options, NULL)) != -1) {
                switch (c) {
                case 'S': good &= agent_add_target(optarg); break;
                case 's':
                        if (strlcpy(agent.options.segment, optarg, sizeof agent.options.segment) >=
                            sizeof agent.options.segment) {
                                warnx("--segment %s: too long", ctl_printable(optarg));
                                good = false;
                        }
                        break;
                case 'r': good &= agent_set_ready_fd(optarg); break;
                case 'h': return ctl_help(argv[0]);
                default: return ctl_usage(argv[0]);
                }
        }
        if (optind < argc) {
                warnx("%s: not an option", ctl_printable(argv[optind]));
                good = false;
        }
        if (!good)
                return ctl_usage(argv[0]);
        return agent_may() ? agent_start() : CTL_FAILED;
}
