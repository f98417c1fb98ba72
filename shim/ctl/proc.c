/* proc.c - owns the formats of /proc. */
#include "proc.h"

#include <bsd/stdlib.h>
#include <dirent.h>
#include <elf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROC_DELETED " (deleted)"

const char *proc_base(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

char *proc_read(pid_t pid, const char *name, size_t *size)
{
        char    path[64], *data = NULL;
        size_t  used = 0, room = 0;
        ssize_t n;
        int     fd;

        snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return NULL;
        do {
                if (used + 1 >= room) {
                        room = room ? room * 2 : 4096;
                        data = realloc(data, room);
                        if (!data)
                                err(1, NULL);
                }
                n = read(fd, data + used, room - used - 1);
                used += n > 0 ? (size_t)n : 0;
        } while (n > 0 || (n < 0 && errno == EINTR));
        int error = errno;

        close(fd);
        if (n < 0) {
                free(data);
                errno = error;
                return NULL;
        }
        data[used] = '\0';
        if (size)
                *size = used;
        return data;
}

/* ------------------------------------------------------------------------------------------------------ maps */

static void proc_maps_add(struct proc_maps *m, char *line)
{
        struct proc_mapping o = {0};
        int                 at = 0;

        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %*s %n", &o.start, &o.end, &o.offset, &at) < 3 ||
            at == 0)
                return;
        char  *path = line + at;
        size_t len = strlen(path), tail = strlen(PROC_DELETED);

        if (len > tail && strcmp(path + len - tail, PROC_DELETED) == 0) {
                o.deleted = true;
                path[len - tail] = '\0';
        }
        if (m->count == m->room) {
                m->room = m->room ? m->room * 2 : 64;
                m->mapping = reallocarray(m->mapping, m->room, sizeof *m->mapping);
        }
        o.path = strdup(path);
        if (!m->mapping || !o.path)
                err(1, NULL);
        m->mapping[m->count++] = o;
}

bool proc_maps_read(struct proc_maps *m, pid_t pid)
{
        char *text = proc_read(pid, "maps", NULL), *rest = text, *line;

        memset(m, 0, sizeof *m);
        if (!text)
                return false;
        while ((line = strsep(&rest, "\n")))
                proc_maps_add(m, line);
        free(text);
        return true;
}

void proc_maps_free(struct proc_maps *m)
{
        for (size_t i = 0; i < m->count; i++)
                free(m->mapping[i].path);
        free(m->mapping);
        memset(m, 0, sizeof *m);
}

const struct proc_mapping *proc_maps_file(const struct proc_maps *m, const char *prefix)
{
        for (size_t i = 0; i < m->count; i++)
                if (strncmp(proc_base(m->mapping[i].path), prefix, strlen(prefix)) == 0)
                        return &m->mapping[i];
        return NULL;
}

const struct proc_mapping *proc_maps_at(const struct proc_maps *m, uint64_t address)
{
        for (size_t i = 0; i < m->count; i++)
                if (address >= m->mapping[i].start && address < m->mapping[i].end)
                        return &m->mapping[i];
        return NULL;
}

/* ------------------------------------------------------------------------------------------------ the rest */

bool proc_status(pid_t pid, const char *key, unsigned field, uint64_t *value)
{
        char  *text = proc_read(pid, "status", NULL), *rest = text, *line, *word;
        size_t len = strlen(key);
        bool   found = false;

        while (!found && (line = strsep(&rest, "\n"))) {
                if (strncmp(line, key, len) != 0 || line[len] != ':')
                        continue;
                line += len + 1;
                for (unsigned i = 0; !found && (word = strsep(&line, " \t"));) {
                        if (word[0] == '\0' || i++ != field)
                                continue;
                        *value = strtoull(word, NULL, 10);
                        found = true;
                }
        }
        free(text);
        return found;
}

char *proc_environ(pid_t pid, const char *variable)
{
        size_t size = 0, len = strlen(variable);
        char  *text = proc_read(pid, "environ", &size), *value = NULL;

        for (char *p = text; p && p < text + size && !value; p += strlen(p) + 1)
                if (strncmp(p, variable, len) == 0 && p[len] == '=')
                        value = strdup(p + len + 1);
        free(text);
        return value;
}

bool proc_secure(pid_t pid)
{
        Elf64_auxv_t entry;
        size_t       size = 0;
        char        *data = proc_read(pid, "auxv", &size);
        bool         secure = false;

        for (size_t at = 0; data && size - at >= sizeof entry; at += sizeof entry) {
                memcpy(&entry, data + at, sizeof entry);
                secure |= entry.a_type == AT_SECURE && entry.a_un.a_val != 0;
        }
        free(data);
        return secure;
}

pid_t proc_thread(pid_t pid, const char *name)
{
        char           path[64], file[300];
        struct dirent *entry;
        pid_t          found = 0;

        snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
        DIR *folder = opendir(path);

        while (folder && !found && (entry = readdir(folder))) {
                if (entry->d_name[0] == '.')
                        continue;
                snprintf(file, sizeof file, "task/%s/comm", entry->d_name);
                char *comm = proc_read(pid, file, NULL);

                if (comm) {
                        comm[strcspn(comm, "\n")] = '\0';
                        if (strcmp(comm, name) == 0)
                                found = (pid_t)strtonum(entry->d_name, 1, INT_MAX, NULL);
                }
                free(comm);
        }
        if (folder)
                closedir(folder);
        return found;
}

bool proc_same_namespace(pid_t pid, const char *kind)
{
        char    path[64], theirs[64], ours[64];
        ssize_t n, m;

        snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kind);
        n = readlink(path, theirs, sizeof theirs);
        snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
        m = readlink(path, ours, sizeof ours);
        return n <= 0 || m <= 0 || (n == m && memcmp(theirs, ours, (size_t)n) == 0);
}
