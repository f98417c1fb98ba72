/* doctor_host.c - owns the rows about this host: memory, the segment and what it has been through. */
#include "doctor.h"

#include "../../invalidation/invalidation.h"
#include "../../l1/tier/tier.h"
#include "../redis/backend_redis.h"

#include <errno.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define DOCTOR_SHM "/dev/shm"

/* Room for what L1 does not have yet; without the index there is no L1 at all. */
static void doctor_memory(struct doctor *d, uint64_t taken)
{
        uint64_t      size = d->options.l1_size_bytes, wanted = size > taken ? size - taken : 0, index = size / 8;
        struct statfs fs;

        if (statfs(DOCTOR_SHM, &fs) != 0) {
                doctor_row(d, DOCTOR_FAIL, "memory", "mount a tmpfs there: L1 lives in it", DOCTOR_SHM ": %s",
                           strerror(errno));
                return;
        }
        uint64_t room = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;

        if (fs.f_type != TMPFS_MAGIC)
                doctor_row(d, DOCTOR_WARN, "memory", "mount a tmpfs there: a disk is written to instead of memory",
                           DOCTOR_SHM " is no tmpfs");
        if (taken == 0 && room < index)
                doctor_row(d, DOCTOR_FAIL, "memory", "make " DOCTOR_SHM " larger, or MTSHIM_L1_SIZE smaller",
                           DOCTOR_SHM " has room for %s, not even the index of %s", ctl_size(room), ctl_size(size));
        else if (room < wanted)
                doctor_row(d, DOCTOR_WARN, "memory", "make " DOCTOR_SHM " larger, or MTSHIM_L1_SIZE smaller",
                           DOCTOR_SHM " has room for %s, L1 may want %s more and will end there", ctl_size(room),
                           ctl_size(wanted));
        else
                doctor_row(d, DOCTOR_OK, "memory", NULL, DOCTOR_SHM " has room for %s, L1 may want %s more",
                           ctl_size(room), ctl_size(wanted));
}

static void doctor_segment_file(struct doctor *d, struct l1 *l1, const struct l1_totals *totals)
{
        const char          *path = l1_path(l1);
        const struct passwd *user;
        struct stat          st;

        if (stat(path, &st) != 0) {
                doctor_row(d, DOCTOR_FAIL, "segment", "restart the programs that still map it", "%s: %s", path,
                           strerror(errno));
                return;
        }
        user = getpwuid(st.st_uid);
        doctor_row(d, DOCTOR_OK, "segment", NULL, "%s: version %u, owner %s, mode %04o", ctl_printable(path),
                   SEGMENT_ABI, user ? user->pw_name : "unknown", (unsigned)(st.st_mode & 07777));
        doctor_row(d, DOCTOR_OK, "size", NULL, "%s of %s taken, %llu items, %u processes",
                   ctl_size(totals->bytes_taken), ctl_size(totals->bytes_total), (unsigned long long)totals->items,
                   totals->processes);
        if (totals->bytes_total != d->options.l1_size_bytes)
                doctor_row(d, DOCTOR_WARN, "size", "the segment's creator decides: remove the file while nobody runs",
                           "MTSHIM_L1_SIZE is %s here", ctl_size(d->options.l1_size_bytes));
}

static void doctor_segment_state(struct doctor *d, struct l1 *l1, const struct l1_totals *totals)
{
        const char *unsound = l1_verify(l1);

        if (unsound)
                doctor_row(d, DOCTOR_FAIL, "structure",
                           "stop its users and remove the file; until then it costs misses only", "%s", unsound);
        else
                doctor_row(d, DOCTOR_OK, "structure", NULL, "sound");
        for (int i = 0; i < COUNTER_COUNT; i++)
                if (strcmp(l1_counter_rows[i].kind, "error") == 0 && totals->count[i] > 0)
                        doctor_row(d, DOCTOR_WARN, "errors", "since the segment was made; a line of the log told each",
                                   "%llu times: %s", (unsigned long long)totals->count[i], l1_counter_rows[i].help);
}

static void doctor_segment_servers(struct doctor *d, struct l1 *l1)
{
        struct ctl_server s;
        unsigned          seen = 0;

        for (uint32_t i = 0; i < SERVER_MAX; i++) {
                if (!ctl_server_read(l1, i, &d->options, &s))
                        continue;
                seen++;
                bool idle = s.listener_pid == 0 && strcmp(s.state, "stale") == 0;

                if (strcmp(s.state, "fresh") == 0 || idle)
                        doctor_row(d, DOCTOR_OK, "lease", NULL, "%s: %s, %s", ctl_printable(s.address), s.state,
                                   idle ? "nobody listens (no program needs it now)" : "its listener is at work");
                else
                        doctor_row(d, DOCTOR_WARN, "lease", "its rows below may say why", "%s: %s",
                                   ctl_printable(s.address), s.state);
                doctor_server(d, s.address);
        }
        if (seen == 0)
                doctor_row(d, DOCTOR_OK, "servers", NULL, "none has been used yet; --server looks at one");
}

/* Every file of that name but the one that is in use. */
static unsigned doctor_segment_others(struct doctor *d, const char *in_use)
{
        glob_t   files;
        unsigned others = 0;

        for (size_t i = ctl_segment_files(&d->options, d->segment, &files); i-- > 0;) {
                if (in_use && strcmp(files.gl_pathv[i], in_use) == 0)
                        continue;
                others++;
                doctor_row(d, DOCTOR_WARN, "segment", "remove it if no container and no other version uses it",
                           in_use ? "also here: %s" : "not used from here: %s", ctl_printable(files.gl_pathv[i]));
        }
        globfree(&files);
        return others;
}

/* Each tier that MTSHIM_TIERS names: can it be loaded and opened here, and does its store answer? */
static void doctor_tiers(struct doctor *d)
{
        char            folder[PATH_MAX];
        struct tiers   *tiers;
        struct mt_bytes kind, address;

        if (d->options.tiers[0] == '\0')
                return;
        tiers_register(&backend_redis);
        invalidation_loaded(); /* a container's filter is not this program's doing */
        snprintf(folder, sizeof folder, "%s", d->library);
        if (folder[0] != '\0')
                *strrchr(folder, '/') = '\0';
        tiers = tiers_create(d->options.tiers, folder[0] != '\0' ? folder : NULL);
        for (unsigned level = TIER_FIRST; level <= TIER_LAST; level++) {
                if (!tiers_named(tiers, level, &kind, &address))
                        continue;
                if (tiers_health(tiers, level))
                        doctor_row(d, DOCTOR_OK, "tier", NULL, "L%u, %s:%s answers", level, kind.ptr,
                                   ctl_printable(address.ptr));
                else
                        doctor_row(d, DOCTOR_WARN, "tier", "GETs are answered without it", "L%u, %s:%s does not answer",
                                   level, kind.ptr, ctl_printable(address.ptr));
        }
        tiers_stop(tiers, NS_PER_S);
}

void doctor_host(struct doctor *d)
{
        struct l1_totals totals;

        doctor_preload(d, getenv("LD_PRELOAD"));
        doctor_tiers(d);
        struct l1 *l1 = ctl_open(&d->options, d->segment, false);

        if (!l1) {
                doctor_memory(d, 0);
                if (doctor_segment_others(d, NULL) == 0)
                        doctor_row(d, DOCTOR_OK, "segment", NULL, "%s: the first program makes it",
                                   ctl_no_segment(&d->options, d->segment));
                return;
        }
        l1_totals(l1, true, &totals);
        doctor_memory(d, totals.bytes_taken);
        doctor_segment_file(d, l1, &totals);
        doctor_segment_others(d, l1_path(l1));
        doctor_segment_state(d, l1, &totals);
        doctor_segment_servers(d, l1);
}
