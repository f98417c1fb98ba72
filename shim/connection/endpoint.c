/* endpoint.c - from a context's socket to the name under which other processes find the same server. */
#include "endpoint.h"

#include "../hiredis/next.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENDPOINT_CONN_UNIX = 1 }; /* hiredis' REDIS_CONN_UNIX, in both layouts */

/* The path that the program connected by, or, for a descriptor that it brought itself, the one the server bound. A
 * relative one of the program's is taken from the current directory, as connect() took it. */
static bool endpoint_unix_path(const struct hiredis *h, const void *context, struct sockaddr_un *un, socklen_t len)
{
        const char *given = NULL;
        char        path[sizeof un->sun_path + 1] = "";
        size_t bound = len > offsetof(struct sockaddr_un, sun_path) ? len - offsetof(struct sockaddr_un, sun_path) : 0;

        if (ABI_FIELD(const int, context, h->abi.connection_type) == ENDPOINT_CONN_UNIX)
                given = ABI_FIELD(const char *const, context, h->abi.unix_path);
        if (given == NULL) {
                memcpy(path, un->sun_path, bound);
                given = path;
        }
        if (given[0] != '/') {
                char   directory[sizeof un->sun_path];
                size_t used;

                if (given == path || given[0] == '\0' || getcwd(directory, sizeof directory) == NULL)
                        return false;
                used = strlen(directory);
                if (used + 1 + strlen(given) >= sizeof un->sun_path)
                        return false;
                memcpy(path, directory, used);
                path[used] = '/';
                strcpy(path + used + 1, given);
                given = path;
        }
        if (strlen(given) >= sizeof un->sun_path)
                return false;
        memset(un, 0, sizeof *un);
        un->sun_family = AF_UNIX;
        strcpy(un->sun_path, given);
        return true;
}

static bool endpoint_unix(struct endpoint *e)
{
        struct sockaddr_un *un = (struct sockaddr_un *)&e->address.address;
        struct stat         st;

        if (stat(un->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
                return false;
        e->address.length = sizeof *un;
        e->id.id[0] = st.st_dev;
        e->id.id[1] = st.st_ino;
        snprintf(e->id.address, sizeof e->id.address, "%s", un->sun_path);
        return true;
}

static bool endpoint_inet(struct endpoint *e)
{
        char     host[INET6_ADDRSTRLEN];
        unsigned port;

        if (e->address.address.ss_family == AF_INET) {
                const struct sockaddr_in *in = (const struct sockaddr_in *)&e->address.address;

                port = ntohs(in->sin_port);
                e->id.id[1] = in->sin_addr.s_addr;
                inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
                snprintf(e->id.address, sizeof e->id.address, "%s:%u", host, port);
        } else {
                const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&e->address.address;

                port = ntohs(in6->sin6_port);
                memcpy(&e->id.id[1], &in6->sin6_addr, sizeof in6->sin6_addr);
                inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
                snprintf(e->id.address, sizeof e->id.address, "[%s]:%u", host, port);
                port |= in6->sin6_scope_id << 16; /* fe80::1 on one link is not fe80::1 on another */
        }
        e->id.id[0] = port;
        return true;
}

bool endpoint_identify(struct endpoint *e)
{
        int saved_errno = errno;

        e->id.family = e->address.address.ss_family;
        if (e->id.family == AF_UNIX)
                e->known = endpoint_unix(e);
        else
                e->known = (e->id.family == AF_INET || e->id.family == AF_INET6) && endpoint_inet(e);
        errno = saved_errno;
        return e->known;
}

static void endpoint_fill_inet(struct endpoint *e, const uint64_t id[3])
{
        struct sockaddr_in *in = (struct sockaddr_in *)&e->address.address;

        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)id[0]);
        in->sin_addr.s_addr = (in_addr_t)id[1];
        e->address.length = sizeof *in;
}

static void endpoint_fill_inet6(struct endpoint *e, const uint64_t id[3])
{
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&e->address.address;

        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)id[0]);
        in6->sin6_scope_id = (uint32_t)(id[0] >> 16);
        memcpy(&in6->sin6_addr, &id[1], sizeof in6->sin6_addr);
        e->address.length = sizeof *in6;
}

bool endpoint_of_server(const struct server_shm *server, struct endpoint *e)
{
        struct sockaddr_un *un = (struct sockaddr_un *)&e->address.address;
        char                path[sizeof server->address];
        uint32_t            family;
        uint64_t            id[3];

        memset(e, 0, sizeof *e);
        mt_copy_from_shared(&family, &server->family, sizeof family);
        mt_copy_from_shared(id, server->id, sizeof id);
        mt_copy_from_shared(path, server->address, sizeof path);
        if (family == AF_UNIX) {
                if (path[0] != '/' || strnlen(path, sizeof path) >= sizeof un->sun_path)
                        return false;
                un->sun_family = AF_UNIX;
                strcpy(un->sun_path, path);
                e->address.length = sizeof *un;
        } else if (family == AF_INET) {
                endpoint_fill_inet(e, id);
        } else if (family == AF_INET6) {
                endpoint_fill_inet6(e, id);
        }
        return endpoint_identify(e) && memcmp(e->id.id, id, sizeof id) == 0;
}

void endpoint_of(const struct hiredis *h, const void *context, struct endpoint *e)
{
        int saved_errno = errno;
        int fd = ABI_CONTEXT(const int, &h->abi, context, FD);

        memset(e, 0, sizeof *e);
        e->address.length = sizeof e->address.address;
        if (getpeername(fd, (struct sockaddr *)&e->address.address, &e->address.length) == 0) {
                if (e->address.address.ss_family != AF_UNIX ||
                    endpoint_unix_path(h, context, (struct sockaddr_un *)&e->address.address, e->address.length))
                        endpoint_identify(e);
        }
        errno = saved_errno;
}
