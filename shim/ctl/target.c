/* target.c - owns the forms of an address, and the look-up of names. */
#include "target.h"

#include "ctl.h"

#include <arpa/inet.h>
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <err.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

#define TARGET_AGAIN_NS (60 * NS_PER_S)
#define TARGET_RETRY_NS (5 * NS_PER_S)

/* ------------------------------------------------------------------------------------------------------ parsing */

static const char *target_port(const char *text, struct target *t)
{
        const char *error = NULL;

        if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text))
                return "the port is not a number";
        strtonum(text, 1, 65535, &error);
        if (error)
                return "the port is not in 1..65535";
        strlcpy(t->port, text, sizeof t->port);
        return NULL;
}

/* "host:port", "[v6]:port", "host", "v6" */
static const char *target_host(const char *text, struct target *t)
{
        bool            bracket = text[0] == '[';
        const char     *end = bracket ? strchr(text, ']') : strrchr(text, ':'), *rest;
        struct in6_addr v6;
        size_t          len;

        if (bracket && !end)
                return "a bracket is not closed";
        if (!bracket && (!end || inet_pton(AF_INET6, text, &v6) == 1))
                end = text + strlen(text);
        text += bracket;
        len = (size_t)(end - text);
        if (len == 0)
                return "it names no host";
        if (len >= sizeof t->host)
                return "the host's name is too long";
        memcpy(t->host, text, len);
        rest = end + bracket;
        strlcpy(t->port, "6379", sizeof t->port);
        if (rest[0] == '\0')
                return NULL;
        return rest[0] == ':' ? target_port(rest + 1, t) : "what follows the bracket is no port";
}

/* [user@]host[:port][/database]: values are kept for every database, so that part says nothing to a listener. */
static const char *target_url(const char *text, struct target *t)
{
        char        authority[TARGET_USER_MAX + TARGET_HOST_MAX];
        const char *at;
        char       *host = authority;

        if (strlcpy(authority, text, sizeof authority) >= sizeof authority)
                return "it is too long";
        authority[strcspn(authority, "/?#")] = '\0';
        at = strrchr(authority, '@');
        if (at) {
                authority[at - authority] = '\0';
                if (strchr(authority, ':'))
                        return "a password on the command line is seen by everybody: MTSHIM_PASSWORD_FILE takes it";
                if (strlcpy(t->user, authority, sizeof t->user) >= sizeof t->user)
                        return "the user's name is too long";
                host = authority + (at - authority) + 1;
        }
        return target_host(host, t);
}

static const char *target_path(const char *text, struct target *t)
{
        struct sockaddr_un *un = (struct sockaddr_un *)&t->endpoint[0].address.address;
        char                path[PATH_MAX], cwd[PATH_MAX];

        while (strncmp(text, "./", 2) == 0)
                text += 2;
        if (text[0] == '/')
                strlcpy(path, text, sizeof path);
        else if (text[0] == '\0' || !getcwd(cwd, sizeof cwd) ||
                 snprintf(path, sizeof path, "%s/%s", cwd, text) >= (int)sizeof path)
                return "it names no socket";
        if (strlcpy(un->sun_path, path, sizeof un->sun_path) >= sizeof un->sun_path)
                return "the path is too long for a socket";
        un->sun_family = AF_UNIX;
        t->endpoint[0].address.length = sizeof *un;
        t->endpoints = 1;
        t->path = true;
        return NULL;
}

const char *target_parse(const char *text, struct target *t)
{
        const char *scheme = strstr(text, "://");

        memset(t, 0, sizeof *t);
        t->text = text;
        if (strncmp(text, "redis://", 8) == 0)
                return target_url(text + 8, t);
        if (strncmp(text, "unix:", 5) == 0)
                return target_path(text + (strncmp(text, "unix://", 7) == 0 ? 7 : 5), t);
        if (scheme && scheme < text + strcspn(text, "/:"))
                return "no such scheme";
        if (scheme)
                return strncmp(text, "rediss:", 7) == 0 ? "an agent cannot speak TLS" : "no such scheme";
        return strchr(text, '/') ? target_path(text, t) : target_host(text, t);
}

/* ------------------------------------------------------------------------------------------------------ look-up */

static void target_add(struct target *t, const struct sockaddr *address, socklen_t len)
{
        struct endpoint e = {0};

        if (len > sizeof e.address.address)
                return;
        memcpy(&e.address.address, address, len);
        e.address.length = len;
        if (!endpoint_identify(&e))
                return;
        for (unsigned i = 0; i < t->endpoints; i++)
                if (t->endpoint[i].id.family == e.id.family &&
                    memcmp(t->endpoint[i].id.id, e.id.id, sizeof e.id.id) == 0)
                        return;
        if (t->endpoints < TARGET_ADDRESSES)
                t->endpoint[t->endpoints++] = e;
}

static bool target_is_numeric(const struct target *t)
{
        unsigned char any[sizeof(struct in6_addr)];

        return inet_pton(AF_INET, t->host, any) == 1 || inet_pton(AF_INET6, t->host, any) == 1;
}

void target_resolve(struct target *t, uint64_t now_ns)
{
        const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
        struct addrinfo      *found = NULL;
        int                   error;

        if (t->path) {
                endpoint_identify(&t->endpoint[0]);
                return;
        }
        if (now_ns < t->resolve_ns)
                return;
        error = getaddrinfo(t->host, t->port, &hints, &found);
        for (const struct addrinfo *a = found; error == 0 && a; a = a->ai_next)
                target_add(t, a->ai_addr, a->ai_addrlen);
        if (error == 0)
                freeaddrinfo(found);
        else if (!t->unresolved)
                warnx("%s: %s: asked again until it is known", ctl_printable(t->text), gai_strerror(error));
        t->unresolved = error != 0;
        t->resolve_ns = error != 0             ? now_ns + TARGET_RETRY_NS
                        : target_is_numeric(t) ? UINT64_MAX
                                               : now_ns + TARGET_AGAIN_NS;
}
