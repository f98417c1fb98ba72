/* address.c - owns the forms of an address. */
#include "address.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

/* Decimal digits and nothing else, at most max. */
static bool where_number(const char *text, uint32_t max, uint32_t *number)
{
        uint64_t n = 0;

        if (text[0] == '\0')
                return false;
        for (; *text != '\0'; text++) {
                if (*text < '0' || *text > '9')
                        return false;
                n = n * 10 + (uint64_t)(*text - '0');
                if (n > max)
                        return false;
        }
        *number = (uint32_t)n;
        return true;
}

/* "host:port", "[v6]:port", "host", "v6" */
static const char *where_host(const char *text, struct redis_address *a)
{
        bool            bracket = text[0] == '[';
        const char     *end = bracket ? strchr(text, ']') : strrchr(text, ':'), *rest;
        struct in6_addr v6;
        uint32_t        port;
        size_t          len;

        if (bracket && end == NULL)
                return "a bracket is not closed";
        if (!bracket && (end == NULL || inet_pton(AF_INET6, text, &v6) == 1))
                end = text + strlen(text);
        text += bracket;
        len = (size_t)(end - text);
        if (len == 0)
                return "it names no host";
        if (len >= sizeof a->host)
                return "the host's name is too long";
        memcpy(a->host, text, len);
        a->host[len] = '\0';
        a->port = REDIS_ADDRESS_PORT;
        rest = end + bracket;
        if (rest[0] == '\0')
                return NULL;
        if (rest[0] != ':')
                return "what follows the bracket is no port";
        if (!where_number(rest + 1, UINT16_MAX, &port) || port == 0)
                return "the port is not a number in 1..65535";
        a->port = (uint16_t)port;
        return NULL;
}

/* [user@]host[:port][/database] */
static const char *where_url(const char *text, struct redis_address *a)
{
        char   authority[REDIS_ADDRESS_USER_MAX + REDIS_ADDRESS_HOST_MAX];
        size_t len = strcspn(text, "/?#");
        char  *at, *host = authority;

        if (len >= sizeof authority)
                return "it is too long";
        memcpy(authority, text, len);
        authority[len] = '\0';
        if (text[len] == '/' && text[len + 1] != '\0') {
                if (!where_number(text + len + 1, INT32_MAX, &a->database))
                        return "the database is not a number";
                a->database_named = true;
        } else if (text[len] != '\0' && text[len] != '/') {
                return "there is more behind the host than a database";
        }
        at = strrchr(authority, '@');
        if (at != NULL) {
                *at = '\0';
                if (strchr(authority, ':') != NULL)
                        return "a password in an address is seen by everybody: it goes into a file";
                if (strlen(authority) >= sizeof a->user)
                        return "the user's name is too long";
                strcpy(a->user, authority);
                host = at + 1;
        }
        return where_host(host, a);
}

static const char *where_path(const char *text, struct redis_address *a)
{
        if (text[0] == '\0')
                return "it names no socket";
        if (strlen(text) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
                return "the path is too long for a socket";
        strcpy(a->host, text);
        a->path = true;
        return NULL;
}

const char *redis_address_parse(const char *text, struct redis_address *a)
{
        memset(a, 0, sizeof *a);
        if (strncmp(text, "redis://", 8) == 0)
                return where_url(text + 8, a);
        if (strncmp(text, "rediss://", 9) == 0) {
                a->secured = true;
                return where_url(text + 9, a);
        }
        if (strncmp(text, "//", 2) == 0)
                return where_url(text + 2, a);
        if (strncmp(text, "unix:", 5) == 0)
                return where_path(text + (strncmp(text, "unix://", 7) == 0 ? 7 : 5), a);
        if (strstr(text, "://") != NULL)
                return "no such scheme";
        return strchr(text, '/') != NULL ? where_path(text, a) : where_host(text, a);
}
