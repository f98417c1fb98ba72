/* notify.c - one datagram to the socket that NOTIFY_SOCKET names: a path, or '@' and an abstract name. */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

bool notify_manager(const char *state)
{
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        const char        *path = getenv("NOTIFY_SOCKET");
        size_t             len = path ? strlen(path) : 0;
        ssize_t            sent;
        int                fd, error;

        if (len == 0)
                return true;
        if ((path[0] != '/' && path[0] != '@') || len >= sizeof un.sun_path) {
                errno = EINVAL;
                return false;
        }
        memcpy(un.sun_path, path, len);
        if (path[0] == '@')
                un.sun_path[0] = '\0';
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return false;
        sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&un,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
        error = errno;
        close(fd);
        errno = error;
        return sent == (ssize_t)strlen(state);
}
