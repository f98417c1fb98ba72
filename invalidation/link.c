/* link.c - the socket of one server. Only the listener's thread comes here, and its descriptors are its own. */
#include "link.h"

#include "tls.h"

#include "../l1/base/assert.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

void link_init(struct link *link)
{
        link->fd = -1;
        link->connecting = link->wants_write = link->ended = false;
        link->tls = NULL;
        link->ssl = NULL;
        link->reason[0] = '\0';
        link->out_begin = link->out_end = 0;
}

/* PINGs are small and wait for each other: no delay before they leave. When packets are lost, linear retransmission
 * notices the end of an outage in a fifth of a second instead of after ever longer pauses. Both are wishes: errors do
 * not matter. */
static void link_tune(int fd, int family)
{
        int on = 1;

        if (family != AF_INET && family != AF_INET6)
                return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, &on, sizeof on);
}

enum link_result link_open(struct link *link, const struct invalidation_endpoint *endpoint)
{
        int family = endpoint->address.ss_family, error;

        MT_ASSERT(link->fd < 0);
        link_init(link);
        link->tls = endpoint->tls;
        link->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (link->fd < 0)
                return LINK_FAILED;
        link_tune(link->fd, family);
        if (connect(link->fd, (const struct sockaddr *)&endpoint->address, endpoint->length) == 0)
                return LINK_OK;
        error = errno;
        if (error == EINPROGRESS || error == EINTR) { /* an interrupted connect goes on in the background */
                link->connecting = true;
                return LINK_AGAIN;
        }
        link_close(link);
        errno = error; /* EAGAIN too: the backlog of a unix socket is full, and nothing is on its way */
        return LINK_FAILED;
}

enum link_result link_finish(struct link *link)
{
        int       error = 0;
        socklen_t len = sizeof error;

        if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
                error = errno;
        if (error != 0) {
                link_close(link);
                errno = error;
                return LINK_FAILED;
        }
        link->connecting = false;
        return LINK_OK;
}

enum link_result link_secure(struct link *link)
{
        if (link->tls == NULL)
                return LINK_OK;
        if (link->ssl == NULL && !tls_open(link))
                return LINK_FAILED;
        return tls_handshake(link);
}

void link_close(struct link *link)
{
        if (link->ssl != NULL)
                tls_close(link);
        if (link->fd >= 0)
                close(link->fd);
        explicit_bzero(link->out + link->out_begin, link->out_end - link->out_begin);
        link_init(link);
}

short link_events(const struct link *link)
{
        if (link->fd < 0)
                return 0;
        if (link->connecting)
                return POLLOUT;
        return (short)(POLLIN | (link_wants_write(link) ? POLLOUT : 0));
}

/* "*3\r\n" or "$12\r\n" */
static size_t link_header(char to[24], char type, size_t number)
{
        char   digits[20];
        size_t n = 0, len = 0;

        do
                digits[n++] = (char)('0' + number % 10);
        while ((number /= 10) > 0);
        to[len++] = type;
        while (n > 0)
                to[len++] = digits[--n];
        to[len++] = '\r';
        to[len++] = '\n';
        return len;
}

static bool link_append(struct link *link, uint32_t *end, const char *bytes, size_t len)
{
        if (len > LINK_OUT_MAX - *end)
                return false;
        mt_copy_secret(link->out + *end, bytes, len);
        *end += (uint32_t)len;
        return true;
}

bool link_command(struct link *link, const struct mt_bytes *word, unsigned words)
{
        char     header[24];
        uint32_t end = link->out_end;
        bool     room = link_append(link, &end, header, link_header(header, '*', words));

        for (unsigned i = 0; room && i < words; i++)
                room = link_append(link, &end, header, link_header(header, '$', word[i].len)) &&
                       link_append(link, &end, word[i].ptr, word[i].len) && link_append(link, &end, "\r\n", 2);
        if (room)
                link->out_end = end;
        else
                explicit_bzero(link->out + link->out_end, LINK_OUT_MAX - link->out_end);
        return room;
}

static enum link_result link_send(struct link *link, const char *from, size_t len, size_t *sent)
{
        ssize_t n;

        if (link->ssl != NULL)
                return tls_write(link, from, len, sent);
        do
                n = send(link->fd, from, len, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == EAGAIN || errno == EWOULDBLOCK ? LINK_AGAIN : LINK_FAILED;
        *sent = (size_t)n;
        return LINK_OK;
}

enum link_result link_flush(struct link *link)
{
        while (link->out_begin < link->out_end) {
                size_t           sent = 0;
                enum link_result result =
                        link_send(link, link->out + link->out_begin, link->out_end - link->out_begin, &sent);

                if (result != LINK_OK)
                        return result;
                explicit_bzero(link->out + link->out_begin, sent);
                link->out_begin += (uint32_t)sent;
        }
        link->out_begin = link->out_end = 0;
        return LINK_OK;
}

enum link_result link_read(struct link *link, char *to, size_t room, size_t *got)
{
        ssize_t n;

        if (link->ssl != NULL)
                return tls_read(link, to, room, got);
        do
                n = recv(link->fd, to, room, 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == EAGAIN || errno == EWOULDBLOCK ? LINK_AGAIN : LINK_FAILED;
        *got = (size_t)n;
        return n > 0 ? LINK_OK : LINK_FAILED;
}
