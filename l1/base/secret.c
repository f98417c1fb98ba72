/* secret.c - the descriptor is closed, and nothing of the file stays in memory, on every way out but the good one. */
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool secret_read_line(const char *path, char *to, size_t room, size_t *len)
{
        struct stat st;
        ssize_t     got;
        size_t      n = 0;
        const char *newline;
        int         fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* not to wait for a FIFO's writer */

        if (fd < 0)
                return false;
        if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
                close(fd);
                return false;
        }
        while (n < room && ((got = read(fd, to + n, room - n)) > 0 || (got < 0 && errno == EINTR)))
                n += got > 0 ? (size_t)got : 0;
        close(fd);
        newline = memchr(to, '\n', n);
        *len = newline ? (size_t)(newline - to) : n;
        if (newline || n < room)
                return true;
        explicit_bzero(to, n);
        return false;
}
