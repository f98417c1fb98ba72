/* doctor_process.c - owns the rows about a process that runs. That it is served cannot be seen in files: whether its
 * calls reach us is read from the words that the loader filled in, and that decides about RTLD_DEEPBIND too. */
#include "calls.h"
#include "closure.h"
#include "doctor.h"
#include "elf_file.h"
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DOCTOR_SEGMENT "mtshim."

struct doctor_look {
        struct doctor   *d;
        pid_t            pid;
        struct proc_maps maps;
        bool             preloaded; /* our library is mapped */
        bool             past_us;   /* somebody's calls go past it */
};

/* ------------------------------------------------------------------------------------------------- who it is */

static bool doctor_process_itself(struct doctor_look *look)
{
        char     link[64], exe[PATH_MAX];
        uint64_t uid = geteuid();
        ssize_t  n;

        snprintf(link, sizeof link, "/proc/%d/exe", (int)look->pid);
        if (kill(look->pid, 0) != 0 && errno == ESRCH) {
                doctor_row(look->d, DOCTOR_FAIL, "process", "give a pid of this pid namespace",
                           "there is no process %d", (int)look->pid);
                return false;
        }
        n = readlink(link, exe, sizeof exe - 1);
        if (n < 0 || !proc_maps_read(&look->maps, look->pid)) {
                doctor_row(look->d, DOCTOR_FAIL, "process", "ask as its user, or as root",
                           "cannot look into process %d: %s", (int)look->pid, strerror(errno));
                return false;
        }
        exe[n] = '\0';
        proc_status(look->pid, "Uid", 1, &uid);
        doctor_row(look->d, DOCTOR_OK, "process", NULL, "%d is %s, uid %llu", (int)look->pid, ctl_printable(exe),
                   (unsigned long long)uid);
        if (uid != geteuid())
                doctor_row(look->d, DOCTOR_OK, "user", NULL,
                           "its segment is that of uid %llu: `mtshim stat` shows it to that user",
                           (unsigned long long)uid);
        return true;
}

static void doctor_process_namespaces(struct doctor_look *look)
{
        static const char *const kinds[] = {"pid", "net", "time", "mnt"};
        bool                     same = true;

        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
                if (proc_same_namespace(look->pid, kinds[i]))
                        continue;
                same = false;
                doctor_row(look->d, DOCTOR_WARN, "namespace",
                           "ask inside its container: its segment is another than ours", "its %s namespace is not ours",
                           kinds[i]);
        }
        if (same)
                doctor_row(look->d, DOCTOR_OK, "namespace", NULL, "the same as ours: pid, net, time, mnt");
}

static void doctor_process_seccomp(struct doctor_look *look)
{
        uint64_t mode = 0;

        if (proc_status(look->pid, "Seccomp", 0, &mode) && mode != 0)
                doctor_row(look->d, DOCTOR_WARN, "seccomp",
                           "no L1 in it, unless the filter was there before it was started", "under a seccomp filter");
        else
                doctor_row(look->d, DOCTOR_OK, "seccomp", NULL, "none");
}

/* ---------------------------------------------------------------------------------- what is loaded into it */

static bool doctor_same_file(const struct doctor_look *look, const char *path, const char *ours)
{
        char        there[PATH_MAX + 32];
        struct stat a, b;

        snprintf(there, sizeof there, "/proc/%d/root%s", (int)look->pid, path);
        return stat(there, &a) == 0 && stat(ours, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static void doctor_process_absent(struct doctor_look *look, const char *ld_preload)
{
        if (proc_secure(look->pid))
                doctor_row(look->d, DOCTOR_FAIL, "library", "start it without privileges of its own",
                           "not loaded: it was started set-uid, set-gid or with capabilities");
        else if (ld_preload && strstr(ld_preload, CTL_LIBRARY))
                doctor_row(look->d, DOCTOR_FAIL, "library",
                           "`mtshim doctor PROGRAM` may say why: static, of another machine",
                           "not loaded, although LD_PRELOAD=%s", ctl_printable(ld_preload));
        else
                doctor_row(look->d, DOCTOR_FAIL, "library", "start it with `mtshim run -- program`",
                           "not loaded, and not in its LD_PRELOAD");
}

static void doctor_process_library(struct doctor_look *look)
{
        const struct proc_mapping *m = proc_maps_file(&look->maps, CTL_LIBRARY);
        char                      *ld_preload = proc_environ(look->pid, "LD_PRELOAD");

        look->preloaded = m != NULL;
        doctor_preload(look->d, ld_preload);
        if (!m)
                doctor_process_absent(look, ld_preload);
        else if (m->deleted)
                doctor_row(look->d, DOCTOR_WARN, "library", "restart it to get the new one", "%s was replaced since",
                           ctl_printable(m->path));
        else if (look->d->library[0] && !doctor_same_file(look, m->path, look->d->library))
                doctor_row(look->d, DOCTOR_WARN, "library", "two versions share no segment if their ABI differs",
                           "%s: not the one of this command", ctl_printable(m->path));
        else
                doctor_row(look->d, DOCTOR_OK, "library", NULL, "%s", ctl_printable(m->path));
        free(ld_preload);
}

static void doctor_process_options(struct doctor_look *look)
{
        char variable[OPTION_VARIABLE_MAX];
        bool off = false;

        for (int id = 0; id < OPTION_COUNT; id++) {
                options_variable((enum option_id)id, variable);
                char *value = proc_environ(look->pid, variable);

                if (value && value[0])
                        doctor_row(look->d, DOCTOR_OK, "option", NULL, "%s=%s", variable, ctl_printable(value));
                off |= id == OPTION_enable && value && strcmp(value, "0") == 0;
                free(value);
        }
        if (off)
                doctor_row(look->d, DOCTOR_FAIL, "enable", "start it without that",
                           "MTSHIM_ENABLE=0: everything is passed through");
}

static bool doctor_process_hiredis(struct doctor_look *look)
{
        const char *first = NULL;

        for (size_t i = 0; i < look->maps.count; i++) {
                const char *path = look->maps.mapping[i].path;

                if (!closure_is_hiredis(path) || (first && strcmp(first, path) == 0))
                        continue;
                if (first) {
                        doctor_row(look->d, DOCTOR_WARN, "hiredis", "only the first one found is served",
                                   "a second one is loaded: %s", ctl_printable(path));
                        return true;
                }
                first = path;
                const char *abi = call_abi(path);

                doctor_row(look->d, abi ? DOCTOR_OK : DOCTOR_FAIL, "hiredis",
                           abi ? NULL : "0.13, 0.14 or 1.x is needed", "%s, %s%s", ctl_printable(path),
                           abi ? "ABI " : "of an unknown version", abi ? abi : "");
        }
        if (!first)
                doctor_row(look->d, DOCTOR_WARN, "hiredis",
                           "ask again once it has spoken to Redis; a static copy cannot be served",
                           "no libhiredis is loaded: not yet, or it is linked in");
        return first != NULL;
}

/* ---------------------------------------------------------------------------------------- whom its calls reach */

/* The words of one object that hold addresses of hiredis' functions, sorted by whom they point to. */
struct doctor_words {
        struct doctor_look        *look;
        const struct proc_mapping *object;
        uint64_t                   base;
        int                        mem;
        unsigned                   ours, open, unread;
        const char                *past_name;  /* a function whose word holds hiredis' own address */
        const char                *other_path; /* somebody else's library that holds such a word's target */
};

static void doctor_word(void *arg, const char *name, uint64_t vaddr)
{
        struct doctor_words       *w = arg;
        const struct proc_mapping *target;
        uint64_t                   address;

        if (call_kind(name) == CALL_OTHER)
                return;
        if (pread(w->mem, &address, sizeof address, (off_t)(w->base + vaddr)) != (ssize_t)sizeof address) {
                w->unread++;
                return;
        }
        target = proc_maps_at(&w->look->maps, address);
        if (!target || strcmp(target->path, w->object->path) == 0) {
                w->open++; /* still points into its own table: bound at its first call */
        } else if (strncmp(proc_base(target->path), CTL_LIBRARY, strlen(CTL_LIBRARY)) == 0) {
                w->ours++;
        } else if (closure_is_hiredis(target->path)) {
                w->past_name = name;
        } else {
                w->other_path = target->path;
        }
}

static void doctor_words_row(struct doctor_look *look, const struct doctor_words *w)
{
        const char *object = ctl_printable(proc_base(w->object->path));

        if (w->past_name) {
                look->past_us = true;
                doctor_row(look->d, DOCTOR_FAIL, "calls",
                           "opened with RTLD_DEEPBIND (or bound before us): such a module runs unharmed and unserved",
                           "%s: %s goes straight to hiredis", object, w->past_name);
        } else if (w->other_path) {
                doctor_row(look->d, DOCTOR_WARN, "calls", "preload " CTL_LIBRARY " before it",
                           "%s: some go to %s first", object, ctl_printable(w->other_path));
        } else if (w->ours > 0) {
                doctor_row(look->d, DOCTOR_OK, "calls", NULL, "%s: %u of hiredis' functions reach " CTL_LIBRARY, object,
                           w->ours);
        } else if (w->open > 0) {
                doctor_row(look->d, DOCTOR_OK, "calls", NULL, "%s: none has been called yet", object);
        } else if (w->unread > 0) {
                doctor_row(look->d, DOCTOR_WARN, "calls", "ask as root", "%s: its memory cannot be read", object);
        }
}

/* One object, by its first mapping. The file is taken as the process sees it, since it may live in another tree. */
static void doctor_process_object(struct doctor_look *look, const struct proc_mapping *m, int mem)
{
        struct doctor_words w = {.look = look, .object = m, .mem = mem};
        struct elf_file     elf;
        char                path[PATH_MAX + 32];

        snprintf(path, sizeof path, "/proc/%d/root%s", (int)look->pid, m->path);
        if (elf_open(&elf, path) == ELF_NATIVE) {
                w.base = m->start - (elf.first_vaddr & ~(uint64_t)(SEGMENT_PAGE - 1));
                elf_each_slot(&elf, doctor_word, &w);
                doctor_words_row(look, &w);
        }
        elf_close(&elf);
}

static void doctor_process_calls(struct doctor_look *look)
{
        char path[64];

        snprintf(path, sizeof path, "/proc/%d/mem", (int)look->pid);
        int mem = open(path, O_RDONLY | O_CLOEXEC);

        for (size_t i = 0; i < look->maps.count; i++) {
                const struct proc_mapping *m = &look->maps.mapping[i];

                if (m->path[0] == '/' && m->offset == 0 && !m->deleted && !closure_is_hiredis(m->path) &&
                    strncmp(m->path, "/dev/", 5) != 0 &&
                    strncmp(proc_base(m->path), CTL_LIBRARY, strlen(CTL_LIBRARY)) != 0)
                        doctor_process_object(look, m, mem);
        }
        if (mem >= 0)
                close(mem);
}

/* ----------------------------------------------------------------------------------------------- is it served */

static void doctor_process_segment(struct doctor_look *look, bool hiredis)
{
        const struct proc_mapping *m = proc_maps_file(&look->maps, DOCTOR_SEGMENT);
        pid_t                      listener = proc_thread(look->pid, "mtshim");
        uint64_t                   sealed = 0;

        if (m && m->deleted)
                doctor_row(look->d, DOCTOR_WARN, "segment", "restart it: it shares its cache with nobody who comes now",
                           "%s was removed since", ctl_printable(m->path));
        else if (m)
                doctor_row(look->d, DOCTOR_OK, "segment", NULL, "attached to %s", ctl_printable(m->path));
        else if (look->past_us)
                doctor_row(look->d, DOCTOR_WARN, "segment", "see the row about its calls", "not attached");
        else if (hiredis && proc_status(look->pid, "NoNewPrivs", 0, &sealed) && sealed)
                doctor_row(look->d, DOCTOR_WARN, "segment", "who asks for that after the start is given no L1 any more",
                           "not attached: not served up to now, and it has set no-new-privileges");
        else if (hiredis)
                doctor_row(look->d, DOCTOR_WARN, "segment",
                           "if it has sent GETs: they go past us (RTLD_DEEPBIND, a static copy), or its log says why",
                           "not attached: not served up to now");
        if (listener)
                doctor_row(look->d, DOCTOR_OK, "listener", NULL, "this process listens for the host (thread %d)",
                           (int)listener);
        else if (m)
                doctor_row(look->d, DOCTOR_OK, "listener", NULL,
                           "none in this process; `mtshim stat` names who listens");
}

static void doctor_process_deepbind(struct doctor_look *look)
{
        bool certain;

        for (size_t i = 0; i < look->maps.count; i++) {
                const char *what = call_deepbind(look->maps.mapping[i].path, &certain);

                if (!what)
                        continue;
                if (!look->past_us)
                        doctor_row(look->d, certain ? DOCTOR_FAIL : DOCTOR_WARN, "deepbind",
                                   "modules that bring hiredis will run unharmed and unserved", "%s", what);
                return;
        }
}

void doctor_process(struct doctor *d, pid_t pid)
{
        struct doctor_look look = {.d = d, .pid = pid};

        if (doctor_process_itself(&look)) {
                doctor_process_namespaces(&look);
                doctor_process_seccomp(&look);
                doctor_process_library(&look);
                doctor_process_options(&look);
                bool hiredis = doctor_process_hiredis(&look);

                if (look.preloaded) {
                        doctor_process_calls(&look);
                        doctor_process_deepbind(&look);
                        doctor_process_segment(&look, hiredis);
                }
        }
        proc_maps_free(&look.maps);
}
