/* real_http.c - a browser of several tabs: asks one page again and again over connections that it keeps, while commands
 * change what the server may answer.
 *
 *      real_http PORT PATH HEADER CONNECTIONS BOUND_MS [EXPECT COMMAND]...
 *
 * For each pair: COMMAND runs (sh) and has ended, so that what it wrote is acknowledged; then the connections ask in
 * turn, a request every half millisecond, for BOUND_MS and half a second more. An answer is the status and the first
 * line of the page. A request begun later than BOUND_MS after the acknowledgement must be given an answer that begins
 * with EXPECT. Before that the old one may be seen too.
 *
 * Standard output: for each pair and connection the last answer, the same however fast the machine is. Standard error:
 * "requests N" and for each pair how long the old answer was still seen. Status 1 when an answer came too late. */
#include "common.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { CONNECTIONS_MAX = 16, ANSWER_MAX = 128, RESPONSE_MAX = 65536 };

struct tab {
        int  fd;
        char answer[ANSWER_MAX]; /* the last one */
};

static void tab_open(struct tab *tab, int port)
{
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        struct timeval     patience = {.tv_sec = 10};
        int                one = 1;

        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        tab->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (tab->fd < 0 || connect(tab->fd, (struct sockaddr *)&address, sizeof address) != 0)
                die("connect to port %d: %s", port, strerror(errno));
        setsockopt(tab->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(tab->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

/* Read one whole response: its head, then as many bytes as Content-Length says. */
static void tab_read(const struct tab *tab, char response[RESPONSE_MAX], const char **body)
{
        size_t have = 0, want = SIZE_MAX;

        *body = NULL;
        while (have < want) {
                ssize_t n = recv(tab->fd, response + have, RESPONSE_MAX - 1 - have, 0);
                if (n <= 0)
                        die("the server %s in mid-response", n == 0 ? "hung up" : strerror(errno));
                have += (size_t)n;
                response[have] = '\0';

                char *end = *body == NULL ? strstr(response, "\r\n\r\n") : NULL;
                if (end != NULL) {
                        const char *length = strcasestr(response, "\r\nContent-Length:");
                        if (length == NULL || length > end)
                                die("a response without Content-Length");
                        *body = end + 4;
                        want = (size_t)(end + 4 - response) + (size_t)atoll(length + strlen("\r\nContent-Length:"));
                        if (want >= RESPONSE_MAX)
                                die("a response of %zu bytes", want);
                }
        }
}

static unsigned long requests;

static void tab_ask(struct tab *tab, const char *request)
{
        static char response[RESPONSE_MAX];
        const char *body, *status;
        size_t      len = strlen(request);

        requests++;
        if (send(tab->fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
                die("send: %s", strerror(errno));
        tab_read(tab, response, &body);
        if ((status = strchr(response, ' ')) == NULL)
                die("not HTTP: %.40s", response);
        snprintf(tab->answer, sizeof tab->answer, "%.3s %.*s", status + 1, (int)strcspn(body, "\r\n"), body);
}

/* Run the command, then ask until the bound is well over. Returns how many answers came too late. */
static int phase(struct tab *tab, int tabs, const char *request, const char *expect, const char *command,
                 uint64_t bound_ns)
{
        uint64_t old_ns = 0, since_ns = 0;
        int      late = 0;

        if (system(command) != 0)
                die("failed: %s", command);
        for (uint64_t acknowledged_ns = now_ns(); since_ns < bound_ns + NS_PER_S / 2; usleep(500)) {
                for (int i = 0; i < tabs; i++) {
                        since_ns = now_ns() - acknowledged_ns;
                        tab_ask(&tab[i], request);
                        if (strncmp(tab[i].answer, expect, strlen(expect)) == 0)
                                continue;
                        old_ns = since_ns;
                        if (old_ns > bound_ns && late++ < 5)
                                fprintf(stderr, "connection %d: \"%s\" %.1f ms after: %s\n", i, tab[i].answer,
                                        (double)old_ns / 1e6, command);
                }
        }
        fprintf(stderr, "old %.1f ms after: %s\n", (double)old_ns / 1e6, command);
        return late;
}

int main(int argc, char **argv)
{
        static struct tab tab[CONNECTIONS_MAX];
        char              request[4096];
        int               late = 0;

        if (argc < 8 || argc % 2 != 0)
                die("usage: real_http PORT PATH HEADER CONNECTIONS BOUND_MS [EXPECT COMMAND]...");
        int      port = atoi(argv[1]), tabs = atoi(argv[4]);
        uint64_t bound_ns = (uint64_t)atoi(argv[5]) * NS_PER_MS;
        if (tabs < 1 || tabs > CONNECTIONS_MAX)
                die("1 to %d connections", CONNECTIONS_MAX);
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost:%d\r\n%s\r\n\r\n", argv[2], port,
                 argv[3]);

        for (int i = 0; i < tabs; i++)
                tab_open(&tab[i], port);
        for (char **pair = argv + 6; *pair != NULL; pair += 2) {
                late += phase(tab, tabs, request, pair[0], pair[1], bound_ns);
                for (int i = 0; i < tabs; i++)
                        printf("%td connection %d: %s\n", (pair - argv - 6) / 2, i, tab[i].answer);
        }
        fprintf(stderr, "requests %lu\n", requests);
        return late != 0;
}
