/* doctor_program.c - owns the rows about a program that is not running: file, loader, libraries, calls. */
#include "calls.h"
#include "closure.h"
#include "doctor.h"
#include "proc.h"
#include "program.h"

#include "../../invalidation/invalidation.h"

#include <bsd/string.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void doctor_program_file(struct doctor *d, const char *name, char path[PATH_MAX])
{
        char script[PATH_MAX];

        doctor_row(d, DOCTOR_OK, "program", NULL, "%s", ctl_printable(name[0] == '/' ? name : path));
        strlcpy(script, path, sizeof script);
        if (program_follow(path) > 0)
                doctor_row(d, DOCTOR_OK, "script", NULL, "%s is run by %s", ctl_printable(script), ctl_printable(path));
}

static bool doctor_program_elf(struct doctor *d, enum elf_kind kind, const struct closure *c, const char *path)
{
        switch (kind) {
        case ELF_UNREADABLE:
                doctor_row(d, DOCTOR_FAIL, "file", "ask as a user who may read it", "%s: %s", ctl_printable(path),
                           strerror(errno));
                return false;
        case ELF_NOT:
                doctor_row(d, DOCTOR_FAIL, "file", "name the program that does the work",
                           "%s is neither ELF nor a script with #!", ctl_printable(path));
                return false;
        case ELF_FOREIGN:
                doctor_row(d, DOCTOR_FAIL, "file", "the loader ignores a library of another kind",
                           "%s is %s, " CTL_LIBRARY " is not", ctl_printable(path), elf_describe(&c->object[0].elf));
                return false;
        case ELF_NATIVE: break;
        }
        doctor_row(d, DOCTOR_OK, "file", NULL, "%s", elf_describe(&c->object[0].elf));
        return true;
}

/* Will the loader of this program put a library of ours in front? */
static bool doctor_program_loader(struct doctor *d, const struct closure *c)
{
        const struct elf_file *elf = &c->object[0].elf;
        const char            *loader = elf_interpreter(elf);
        unsigned               missing = 0;
        bool                   libc = false;

        if (elf_is_static(elf)) {
                doctor_row(d, DOCTOR_FAIL, "linking", "link it dynamically: without a loader there is no LD_PRELOAD",
                           "statically linked");
                return false;
        }
        for (size_t i = 1; i < c->count; i++) {
                libc |= strcmp(c->object[i].name, "libc.so.6") == 0;
                if (c->object[i].path)
                        continue;
                if (missing++ == 0)
                        doctor_row(d, DOCTOR_WARN, "linking", "set LD_LIBRARY_PATH as the program has it when it runs",
                                   "%s is not found", ctl_printable(c->object[i].name));
        }
        if (!libc) {
                doctor_row(d, DOCTOR_FAIL, "linking", CTL_LIBRARY " needs the GNU C library", "%s, without libc.so.6",
                           loader ? ctl_printable(loader) : "no loader named");
                return false;
        }
        doctor_row(d, DOCTOR_OK, "linking", NULL, "dynamic, %zu libraries%s", c->count - 1,
                   loader ? "" : " (a library itself)");
        return true;
}

static void doctor_program_privileges(struct doctor *d, const char *path)
{
        char why[128];

        if (program_privileged(path, false, why, sizeof why))
                doctor_row(d, DOCTOR_FAIL, "privileges", "run a copy of it without them",
                           "%s: the loader ignores LD_PRELOAD", why);
        else
                doctor_row(d, DOCTOR_OK, "privileges", NULL, "none: the loader honours LD_PRELOAD");
}

/* An object that carries hiredis inside itself; NULL when none. */
static const struct closure_object *doctor_program_copy(const struct closure *c)
{
        for (size_t i = 0; i < c->count; i++) {
                const struct closure_object *o = &c->object[i];

                if (o->path && !closure_is_hiredis(o->name) &&
                    (elf_defines(&o->elf, "redisReaderCreate") || elf_contains(&o->elf, call_fingerprint)))
                        return o;
        }
        return NULL;
}

struct doctor_calls {
        char     answered[128], followed[256];
        unsigned answered_count, followed_count, other_count;
};

static bool doctor_program_call(void *arg, const char *name, bool defined)
{
        struct doctor_calls *calls = arg;
        enum call_kind       kind = call_kind(name);
        char                *list = kind == CALL_ANSWERED ? calls->answered : calls->followed;
        size_t               size = kind == CALL_ANSWERED ? sizeof calls->answered : sizeof calls->followed;

        if (defined || (kind == CALL_OTHER && strncmp(name, "redis", 5) != 0))
                return true;
        calls->answered_count += kind == CALL_ANSWERED;
        calls->followed_count += kind == CALL_FOLLOWED;
        calls->other_count += kind == CALL_OTHER;
        if (kind == CALL_OTHER)
                return true;
        if (list[0])
                strlcat(list, " ", size);
        strlcat(list, name, size);
        return true;
}

static void doctor_program_calls(struct doctor *d, const struct closure *c)
{
        unsigned users = 0;

        for (size_t i = 0; i < c->count; i++) {
                const struct closure_object *o = &c->object[i];
                struct doctor_calls          calls = {0};

                if (!o->path || closure_is_hiredis(o->name))
                        continue;
                elf_each_symbol(&o->elf, doctor_program_call, &calls);
                if (calls.answered_count + calls.followed_count == 0)
                        continue;
                users++;
                if (calls.answered_count > 0)
                        doctor_row(d, DOCTOR_OK, "calls", NULL, "%s: %s%s%s", ctl_printable(proc_base(o->name)),
                                   calls.answered, calls.followed[0] ? "; followed: " : "", calls.followed);
                else
                        doctor_row(d, DOCTOR_WARN, "calls",
                                   "GETs of pipelines and asynchronous contexts are forwarded, not answered",
                                   "%s: only %s", ctl_printable(proc_base(o->name)), calls.followed);
        }
        if (users == 0)
                doctor_row(d, DOCTOR_FAIL, "calls", "nothing here asks Redis through it",
                           "none of hiredis' commands is imported");
}

/* Where connections are secured by hiredis_ssl: can a listener do the same? A program's own SSL object does not show
 * whom it believes. */
static void doctor_program_tls(struct doctor *d, const struct closure *c)
{
        const struct options *o = &d->options;
        bool                  told = o->tls_ca_file[0] || o->tls_ca_dir[0] || o->tls_server_name[0];

        for (size_t i = 0; i < c->count; i++) {
                const struct closure_object *object = &c->object[i];
                bool context = object->path && elf_imports(&object->elf, "redisInitiateSSLWithContext");
                bool own = object->path && elf_imports(&object->elf, "redisInitiateSSL");

                if ((context || own) && o->tls == INVALIDATION_TLS_OFF)
                        doctor_row(d, DOCTOR_WARN, "tls", "unset it",
                                   "MTSHIM_TLS=off: what is reached through TLS is forwarded");
                else if (own && !told)
                        doctor_row(d, DOCTOR_WARN, "tls", "say it by MTSHIM_TLS_CA_FILE, _CA_DIR or _SERVER_NAME",
                                   "%s: redisInitiateSSL, whom it believes is not seen",
                                   ctl_printable(proc_base(object->name)));
                else if (context || own)
                        doctor_row(d, DOCTOR_OK, "tls", NULL, "%s: the listener talks TLS as it does",
                                   ctl_printable(proc_base(object->name)));
        }
}

static void doctor_program_library(struct doctor *d, const struct closure_object *library)
{
        const char *soname = elf_dynamic_string(&library->elf, DT_SONAME, 0);
        const char *abi = call_abi(soname ? soname : library->name);

        if (abi)
                doctor_row(d, DOCTOR_OK, "hiredis", NULL, "%s, ABI %s", ctl_printable(library->path), abi);
        else
                doctor_row(d, DOCTOR_FAIL, "hiredis",
                           "hiredis 0.13, 0.14 or 1.x is needed: others are only passed through",
                           "%s is of an unknown version", ctl_printable(library->path));
}

/* It is asked for, and not where we look. */
static bool doctor_program_missing(struct doctor *d, const struct closure *c)
{
        for (size_t i = 1; i < c->count; i++) {
                if (c->object[i].path || !closure_is_hiredis(c->object[i].name))
                        continue;
                doctor_row(d, DOCTOR_WARN, "hiredis", "set LD_LIBRARY_PATH as the program has it when it runs",
                           "%s is asked for and not found", ctl_printable(c->object[i].name));
                return true;
        }
        return false;
}

static void doctor_program_hiredis(struct doctor *d, const struct closure *c)
{
        const struct closure_object *library = closure_hiredis(c), *copy = doctor_program_copy(c);
        bool                         modules = elf_imports(&c->object[0].elf, "dlopen");

        for (size_t i = 1; i < c->count && !modules; i++)
                modules = c->object[i].path && strcmp(c->object[i].name, "libc.so.6") != 0 &&
                          strncmp(c->object[i].name, "ld-linux", 8) != 0 && elf_imports(&c->object[i].elf, "dlopen");
        if (copy)
                doctor_row(d, DOCTOR_FAIL, "copy",
                           "link it to libhiredis.so: calls inside one file cannot be interposed",
                           "a copy of hiredis is linked into %s", ctl_printable(copy->path));
        if (library)
                doctor_program_library(d, library);
        if (library && !copy) {
                doctor_program_calls(d, c);
                doctor_program_tls(d, c);
        }
        if (modules)
                doctor_row(d, library ? DOCTOR_OK : DOCTOR_WARN, "modules",
                           library ? NULL : "start it and ask `mtshim doctor PID`, or name the module here",
                           "it can open modules later (dlopen): whether they bring hiredis is not seen from here");
        else if (!library && !copy && !doctor_program_missing(d, c))
                doctor_row(d, DOCTOR_FAIL, "hiredis", "nothing to do here", "it uses no hiredis and opens no modules");
}

static void doctor_program_deepbind(struct doctor *d, const struct closure *c)
{
        bool certain;

        for (size_t i = 0; i < c->count; i++) {
                const char *what = call_deepbind(c->object[i].name, &certain);

                if (!what)
                        continue;
                doctor_row(d, certain ? DOCTOR_FAIL : DOCTOR_WARN, "deepbind",
                           "such modules reach their own hiredis past any preload: they run unharmed and unserved",
                           "%s", what);
                return;
        }
        doctor_row(d, DOCTOR_OK, "deepbind", NULL,
                   "not one of the hosts known to use RTLD_DEEPBIND (flags are not seen in a file)");
}

void doctor_program(struct doctor *d, const char *name)
{
        struct closure c;
        char           path[PATH_MAX];
        int            error = program_find(name, path);

        /* A library is judged like a program: it need not be executable. */
        if (error == EACCES && strchr(name, '/'))
                error = 0;
        if (error) {
                doctor_row(d, DOCTOR_FAIL, "program", "give its path", "%s: %s", ctl_printable(name), strerror(error));
                return;
        }
        doctor_program_file(d, name, path);
        enum elf_kind kind = closure_build(&c, path);

        if (doctor_program_elf(d, kind, &c, path)) {
                doctor_program_privileges(d, path);
                if (doctor_program_loader(d, &c)) {
                        doctor_program_hiredis(d, &c);
                        doctor_program_deepbind(d, &c);
                } else if (doctor_program_copy(&c)) {
                        doctor_row(d, DOCTOR_FAIL, "copy", "link it to libhiredis.so",
                                   "a copy of hiredis is linked into it");
                }
                doctor_preload(d, getenv("LD_PRELOAD"));
        }
        closure_destroy(&c);
}
