/* holders.c - a walk of /proc/PID/maps with buffers on the stack: this is somebody else's program, and opendir()
 * allocates. */
#include "holders.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* A line of maps: "address perms offset major:minor inode path". Fed one character at a time. */
struct holders_line {
        unsigned field; /* 0 address ... 3 device, 4 inode, 5 the rest */
        uint64_t major, minor, ino;
        bool     colon;
};

static uint64_t holders_hex(uint64_t so_far, char c)
{
        return so_far << 4 | (uint64_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* True at the end of a line that names the file. */
static bool holders_feed(struct holders_line *line, char c, dev_t dev, ino_t ino)
{
        if (c == '\n') {
                bool same = line->field >= 4 && line->ino == ino &&
                            makedev((unsigned)line->major, (unsigned)line->minor) == dev;

                *line = (struct holders_line){0};
                return same;
        }
        if (c == ' ')
                line->field += line->field < 5;
        else if (line->field == 3 && c == ':')
                line->colon = true;
        else if (line->field == 3 && line->colon)
                line->minor = holders_hex(line->minor, c);
        else if (line->field == 3)
                line->major = holders_hex(line->major, c);
        else if (line->field == 4)
                line->ino = line->ino * 10 + (uint64_t)(c - '0');
        return false;
}

static bool holders_process(const char *pid, dev_t dev, ino_t ino)
{
        char                path[288], text[4096];
        struct holders_line line = {0};
        bool                found = false;
        ssize_t             got;
        int                 fd;

        snprintf(path, sizeof path, "/proc/%s/maps", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return false;
        while (!found && (got = read(fd, text, sizeof text)) > 0) {
                for (ssize_t i = 0; i < got && !found; i++)
                        found = holders_feed(&line, text[i], dev, ino);
        }
        close(fd);
        return found;
}

bool holders_any(dev_t dev, ino_t ino)
{
        char    entries[4096];
        bool    found = false;
        ssize_t got;
        int     fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return false;
        while (!found && (got = syscall(SYS_getdents64, fd, entries, sizeof entries)) > 0) {
                for (ssize_t at = 0; at < got && !found;) {
                        const struct dirent64 *entry = (const void *)(entries + at);

                        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
                                found = holders_process(entry->d_name, dev, ino);
                        at += entry->d_reclen;
                }
        }
        close(fd);
        return found;
}
