/* target.h - the servers that `mtshim agent` is given: from a word of the command line to numeric addresses. */
#ifndef MT_CTL_TARGET_H
#define MT_CTL_TARGET_H

#include "../connection/endpoint.h"

enum { TARGET_ADDRESSES = 8, TARGET_HOST_MAX = 256, TARGET_USER_MAX = 256 };

struct target {
        const char     *text; /* as given */
        bool            path; /* a unix socket */
        char            host[TARGET_HOST_MAX], port[6], user[TARGET_USER_MAX];
        struct endpoint endpoint[TARGET_ADDRESSES]; /* ->known: their identity too */
        unsigned        endpoints;
        uint64_t        resolve_ns; /* when the name is to be looked up again; UINT64_MAX: never */
        bool            unresolved; /* said so */
};

/* "/path", "host:port", "[v6]:port", "host", "unix:/path", "redis://[user@]host[:port]". NULL, or why it is none of
 * these. The text must outlive the target. */
const char *target_parse(const char *text, struct target *target);
/* Bring its addresses up to date: a name is looked up once a minute (that may take seconds) and keeps the addresses
 * that it had; a socket's path is looked at each time. A line says that a name leads nowhere, once. */
void target_resolve(struct target *target, uint64_t now_ns);

#endif
