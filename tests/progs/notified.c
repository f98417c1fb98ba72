/* notified.c - a service manager's end of sd_notify(3): binds a datagram socket and prints each line that comes, until
 * it has printed one that begins with the text.
 *
 *   notified PATH TEXT       PATH: of the socket; '@name' is an abstract one */
#include "common.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv)
{
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        int                fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        char               text[512];
        bool               last = false;

        if (argc != 3 || strlen(argv[1]) >= sizeof un.sun_path)
                die("usage: notified PATH TEXT");
        memcpy(un.sun_path, argv[1], strlen(argv[1]));
        if (un.sun_path[0] == '@')
                un.sun_path[0] = '\0';
        if (bind(fd, (struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(argv[1]))) !=
            0)
                die("%s: %s", argv[1], strerror(errno));
        while (!last) {
                ssize_t n = recv(fd, text, sizeof text - 1, 0);

                if (n < 0)
                        die("recv: %s", strerror(errno));
                text[n] = '\0';
                for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
                        puts(line);
                        last |= strncmp(line, argv[2], strlen(argv[2])) == 0;
                }
                fflush(stdout);
        }
        return 0;
}
