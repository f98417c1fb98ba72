/* endpoint.h - which server a context talks to: numeric, so that a thread without a resolver can reach it too. */
#ifndef MT_ENDPOINT_H
#define MT_ENDPOINT_H

#include "../../invalidation/invalidation.h"

struct hiredis;

struct endpoint {
        bool                         known;
        struct l1_server_id          id;
        struct invalidation_endpoint address;
};

/* From the context's socket: peer's address and port, or the path that it was connected by, made absolute, and the
 * device and inode of that socket. endpoint->known is false when there is none that others could reach by name
 * (abstract or unnamed sockets, other families, not connected). TLS is the connection's matter. Keeps errno. */
void endpoint_of(const struct hiredis *h, const void *context, struct endpoint *endpoint);
/* The address is there (a path, or numbers): find out whose it is now. False, and not known: there is no such socket.
 * Keeps errno. */
bool endpoint_identify(struct endpoint *endpoint);
/* How to reach a server that the segment names. False: its socket is not there any more, or is another's. */
bool endpoint_of_server(const struct server_shm *server, struct endpoint *endpoint);

#endif
