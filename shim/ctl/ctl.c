/* ctl.c - owns what several sub-commands need: options, the segment, the library's place, text for people. */
#include "ctl.h"

#include "../../invalidation/invalidation.h"
#include "../../l1/base/log.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#define LIBBSD_OPENBSD_VIS /* the header wants to be told which strnvis(); none is used here */
#include <bsd/vis.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CTL_TEXTS = 4, CTL_TEXT_MAX = 4 * PATH_MAX + 1 };

void ctl_options(struct options *options)
{
        log_setup();
        options_load(options);
        if (options->complained && strcmp(options->log, "stderr") != 0)
                warnx("an option is bad: the log, %s, says which", ctl_printable(options->log));
}

size_t ctl_segment_files(const struct options *options, const char *name, glob_t *files)
{
        char pattern[256];

        snprintf(pattern, sizeof pattern, "/dev/shm/mtshim.%u.%.63s.*", (unsigned)geteuid(),
                 name ? name : options->segment);
        return glob(pattern, 0, NULL, files) == 0 ? files->gl_pathc : 0;
}

/* The line of l1_open() is wanted only when there is something that it refuses. */
struct l1 *ctl_open(const struct options *options, const char *name, bool writable)
{
        struct l1_config config = {
                .name = name ? name : options->segment,
                .size_bytes = options->l1_size_bytes,
                .max_item_bytes = options->l1_max_item_bytes,
        };
        glob_t files;

        log_configure(ctl_segment_files(options, name, &files) > 0 ? LOG_WARN : LOG_ERROR, NULL);
        struct l1 *l1 = l1_open(&config, writable);

        log_configure((enum log_level)options->log_level, options->log);
        globfree(&files);
        return l1;
}

const char *ctl_no_segment(const struct options *options, const char *name)
{
        static char text[128];

        snprintf(text, sizeof text, "no segment '%.63s' of uid %u here", name ? name : options->segment,
                 (unsigned)geteuid());
        return text;
}

static bool ctl_library_in(const char *folder, char path[PATH_MAX])
{
        char candidate[PATH_MAX];

        return snprintf(candidate, sizeof candidate, "%s/" CTL_LIBRARY, folder) < (int)sizeof candidate &&
               realpath(candidate, path) && access(path, R_OK) == 0;
}

bool ctl_library(char path[PATH_MAX])
{
        char    self[PATH_MAX], beside[PATH_MAX + 32];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

        if (n > 0) {
                self[n] = '\0';
                *strrchr(self, '/') = '\0';
                if (ctl_library_in(self, path))
                        return true;
                snprintf(beside, sizeof beside, "%s/../lib/mtshim", self);
                if (ctl_library_in(beside, path))
                        return true;
        }
        return ctl_library_in(MTSHIM_LIBDIR, path);
}

/* --------------------------------------------------------------------------------------------------- servers */

static const char *ctl_server_state(const struct server_shm *server, uint64_t now_ns, uint64_t lease_ms_left)
{
        uint32_t flags = mt_load_relaxed(&server->flags);

        if (flags & SERVER_CLUSTER)
                return "cluster";
        if ((flags & SERVER_COSTLY) && now_ns < mt_load_relaxed(&server->costly_until_ns))
                return "costly";
        if (flags & SERVER_NO_TRACKING)
                return "no-tracking";
        return lease_ms_left > 0 ? "fresh" : "stale";
}

/* fresh_at in the future was not written by a listener: no lease. */
static uint64_t ctl_lease_ms_left(const struct server_shm *server, uint64_t now_ns, uint64_t bound_ms)
{
        uint64_t fresh_at_ns = mt_load_acquire(&server->fresh_at_ns); /* pairs with the listener's release in fence.c */
        uint64_t bound_ns = bound_ms * NS_PER_MS;

        if (fresh_at_ns == 0 || fresh_at_ns > now_ns || now_ns - fresh_at_ns >= bound_ns)
                return 0;
        return (bound_ns - (now_ns - fresh_at_ns)) / NS_PER_MS;
}

static const char *ctl_learns_by(const struct server_shm *server)
{
        switch (invalidation_source_mode(mt_load_relaxed(&server->source))) {
        case INVALIDATION_PUBSUB: return "pubsub";
        case INVALIDATION_STREAM: return "stream";
        case INVALIDATION_TRACKING:
        case INVALIDATION_NONE: break;
        }
        return "tracking";
}

bool ctl_server_read(struct l1 *l1, uint32_t index, const struct options *options, struct ctl_server *out)
{
        const struct server_shm *server = l1_server_at(l1, index);

        if (!server)
                return false;
        uint64_t now_ns = clock_precise_ns();
        uint64_t leader = mt_load_relaxed(&server->leader);
        bool     led = leader != 0 && now_ns < mt_load_relaxed(&server->leader_until_ns) && !l1_owner_dead(l1, leader);

        memset(out, 0, sizeof *out);
        mt_copy_from_shared(out->address, server->address, sizeof out->address);
        out->address[sizeof out->address - 1] = '\0';
        out->learns_by = ctl_learns_by(server);
        out->listener_pid = led ? (uint64_t)l1_owner_pid(l1, leader) : 0;
        out->listener = !led ? "none" : l1_owner_agent(l1, leader) ? "agent" : "program";
        out->bound_ms = mt_load_relaxed(&server->bound_ms);
        if (out->bound_ms == 0)
                out->bound_ms = options->max_staleness_ns / NS_PER_MS;
        out->lease_ms_left = ctl_lease_ms_left(server, now_ns, out->bound_ms);
        out->state = ctl_server_state(server, now_ns, out->lease_ms_left);
        out->epoch = mt_load_relaxed(&server->epoch);
        out->incarnation = mt_load_relaxed(&server->incarnation);
        out->term = mt_load_relaxed(&server->leader_term);
        out->invalidations = mt_load_relaxed(&server->invalidations);
        out->reconnects = mt_load_relaxed(&server->reconnects);
        out->flushes = mt_load_relaxed(&server->flushes);
        return true;
}

/* ------------------------------------------------------------------------------------------ text for people */

static char *ctl_text(void)
{
        static char     text[CTL_TEXTS][CTL_TEXT_MAX];
        static unsigned turn;

        return text[turn++ % CTL_TEXTS];
}

const char *ctl_printable(const char *text)
{
        char  *out = ctl_text();
        size_t len = strlen(text), most = (CTL_TEXT_MAX - 1) / 4; /* four characters for the worst of bytes */

        strvisx(out, text, len < most ? len : most, VIS_CSTYLE | VIS_OCTAL | VIS_TAB | VIS_NL);
        return out;
}

const char *ctl_size(uint64_t bytes)
{
        char *out = ctl_text();

        if (bytes > INT64_MAX ||
            humanize_number(out, 8, (int64_t)bytes, "B", HN_AUTOSCALE, HN_DECIMAL | HN_IEC_PREFIXES) < 0)
                snprintf(out, CTL_TEXT_MAX, "%llu B", (unsigned long long)bytes);
        return out;
}
