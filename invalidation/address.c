/* address.c - pure, but for the one look at a path. */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/stat.h>

static const struct sockaddr_un *address_un(const struct invalidation_endpoint *e)
{
        return (const void *)&e->address;
}

static const struct sockaddr_in *address_in(const struct invalidation_endpoint *e)
{
        return (const void *)&e->address;
}

static const struct sockaddr_in6 *address_in6(const struct invalidation_endpoint *e)
{
        return (const void *)&e->address;
}

bool address_equal(const struct invalidation_endpoint *a, const struct invalidation_endpoint *b)
{
        if (a->address.ss_family != b->address.ss_family)
                return false;
        switch (a->address.ss_family) {
        case AF_UNIX:
                if (address_un(a)->sun_path[0] == '\0') /* abstract: every byte counts */
                        return a->length == b->length && memcmp(&a->address, &b->address, a->length) == 0;
                return strncmp(address_un(a)->sun_path, address_un(b)->sun_path, sizeof address_un(a)->sun_path) == 0;
        case AF_INET:
                return address_in(a)->sin_port == address_in(b)->sin_port &&
                       address_in(a)->sin_addr.s_addr == address_in(b)->sin_addr.s_addr;
        case AF_INET6:
                return address_in6(a)->sin6_port == address_in6(b)->sin6_port &&
                       address_in6(a)->sin6_scope_id == address_in6(b)->sin6_scope_id &&
                       memcmp(&address_in6(a)->sin6_addr, &address_in6(b)->sin6_addr, sizeof(struct in6_addr)) == 0;
        default: return false;
        }
}

/* The upper half of id[0] is the link's number where the address means something on one link only. */
bool address_is(const struct invalidation_endpoint *endpoint, uint32_t family, const uint64_t id[3])
{
        if (endpoint->address.ss_family != family)
                return false;
        switch (family) {
        case AF_UNIX: return true;
        case AF_INET:
                return (uint16_t)id[0] == ntohs(address_in(endpoint)->sin_port) &&
                       id[1] == address_in(endpoint)->sin_addr.s_addr;
        case AF_INET6:
                return (uint16_t)id[0] == ntohs(address_in6(endpoint)->sin6_port) &&
                       memcmp(&id[1], &address_in6(endpoint)->sin6_addr, sizeof(struct in6_addr)) == 0;
        default: return false;
        }
}

int address_look(const struct invalidation_endpoint *endpoint, const uint64_t id[3])
{
        const struct sockaddr_un *un = address_un(endpoint);
        struct stat               st;

        if (un->sun_family != AF_UNIX || endpoint->length <= offsetof(struct sockaddr_un, sun_path) ||
            un->sun_path[0] == '\0')
                return 0;
        if (stat(un->sun_path, &st) != 0)
                return errno;
        return st.st_dev == id[0] && st.st_ino == id[1] ? 0 : ESTALE;
}
