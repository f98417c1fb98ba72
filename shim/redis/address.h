/* address.h - the ways to write down where a Redis is. */
#ifndef MT_REDIS_ADDRESS_H
#define MT_REDIS_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

enum { REDIS_ADDRESS_HOST_MAX = 256, REDIS_ADDRESS_USER_MAX = 256, REDIS_ADDRESS_PORT = 6379 };

struct redis_address {
        bool     path;                         /* host is the path of a unix socket, as given */
        bool     secured;                      /* rediss://: through TLS, the certificate made out to host */
        char     host[REDIS_ADDRESS_HOST_MAX]; /* a name, or numbers without brackets */
        uint16_t port;
        char     user[REDIS_ADDRESS_USER_MAX]; /* empty: none is named */
        uint32_t database;
        bool     database_named;
};

/* "/path", "host:port", "[v6]:port", "host", "v6", "unix:/path", "redis://[user@]host[:port][/database]",
 * "rediss://..." (TLS), "//..." as redis://. NULL, or one sentence that says why it is none of these. Pure; keeps
 * nothing of the text. */
const char *redis_address_parse(const char *text, struct redis_address *address);

#endif
