/* raw.h - Redis by bare sockets: a client that no shim sees, as one on another host would be. */
#ifndef TESTS_RAW_H
#define TESTS_RAW_H

#include "common.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

struct raw {
        int    fd;
        size_t len, pos;
        char   buf[16384];
};

static UNUSED int raw_socket(const char *name)
{
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        struct sockaddr_in in = {.sin_family = AF_INET};
        struct sockaddr   *address = (struct sockaddr *)&un;
        socklen_t          length = sizeof(un);
        char               host[64];
        const char        *colon = strrchr(name, ':');
        int                fd, one = 1;

        snprintf(un.sun_path, sizeof(un.sun_path), "%s", name);
        if (name[0] != '/' && colon != NULL) {
                snprintf(host, sizeof(host), "%.*s", (int)(colon - name), name);
                inet_pton(AF_INET, host, &in.sin_addr);
                in.sin_port = htons((uint16_t)atoi(colon + 1));
                address = (struct sockaddr *)&in;
                length = sizeof(in);
        }
        if ((fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
                return -1;
        if (connect(fd, address, length) != 0) {
                close(fd);
                return -1;
        }
        if (address->sa_family == AF_INET)
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        return fd;
}

static UNUSED bool raw_open(struct raw *r, const char *name)
{
        r->len = r->pos = 0;
        r->fd = raw_socket(name);
        return r->fd >= 0;
}

static UNUSED void raw_close(struct raw *r)
{
        if (r->fd >= 0)
                close(r->fd);
        r->fd = -1;
}

static UNUSED bool raw_send(struct raw *r, const char *p, size_t len)
{
        while (len > 0) {
                ssize_t n = send(r->fd, p, len, MSG_NOSIGNAL);

                if (n <= 0)
                        return false;
                p += n;
                len -= (size_t)n;
        }
        return true;
}

static UNUSED bool raw_command(struct raw *r, int argc, const char **argv, const size_t *argvlen)
{
        char head[64];
        int  n = snprintf(head, sizeof(head), "*%d\r\n", argc);

        if (!raw_send(r, head, (size_t)n))
                return false;
        for (int i = 0; i < argc; i++) {
                size_t len = argvlen != NULL ? argvlen[i] : strlen(argv[i]);

                n = snprintf(head, sizeof(head), "$%zu\r\n", len);
                if (!raw_send(r, head, (size_t)n) || !raw_send(r, argv[i], len) || !raw_send(r, "\r\n", 2))
                        return false;
        }
        return true;
}

static UNUSED int raw_byte(struct raw *r)
{
        if (r->pos == r->len) {
                ssize_t n = recv(r->fd, r->buf, sizeof(r->buf), 0);

                if (n <= 0)
                        return -1;
                r->pos = 0;
                r->len = (size_t)n;
        }
        return (unsigned char)r->buf[r->pos++];
}

/* One line without its CRLF; what does not fit is dropped. */
static UNUSED bool raw_line(struct raw *r, char *line, size_t size)
{
        size_t n = 0;
        int    ch;

        while ((ch = raw_byte(r)) >= 0 && ch != '\n') {
                if (ch != '\r' && n + 1 < size)
                        line[n++] = (char)ch;
        }
        line[n] = '\0';
        return ch >= 0;
}

/* One whole reply; its first line, or the bytes of a bulk, are left in text (cut). False: the connection is gone. */
static UNUSED bool raw_reply(struct raw *r, char *text, size_t size)
{
        char line[256];

        if (!raw_line(r, line, sizeof(line)))
                return false;
        snprintf(text, size, "%.*s", (int)size - 1, line);
        if (line[0] == '$' && line[1] != '-') {
                long len = atol(line + 1);

                for (long i = 0; i < len + 2; i++) {
                        int ch = raw_byte(r);

                        if (ch < 0)
                                return false;
                        if (i < len && (size_t)i + 1 < size) {
                                text[i] = (char)ch;
                                text[i + 1] = '\0';
                        }
                }
                if (len == 0 && size > 0)
                        text[0] = '\0';
        } else if (line[0] == '*') {
                for (long i = 0, n = atol(line + 1); i < n; i++) {
                        char element[8];

                        if (!raw_reply(r, element, sizeof(element)))
                                return false;
                }
        }
        return true;
}
#endif
