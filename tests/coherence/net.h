/* net.h - a host and a server's host with a cable between them: two network namespaces and a veth pair. Nothing of the
 * machine's own network is touched, and all is gone when the processes are. */
#ifndef MT_COHERENCE_NET_H
#define MT_COHERENCE_NET_H

#include <stdbool.h>

#define NET_NEAR "10.213.0.1" /* of the calling process, and of what it starts from now on */
#define NET_FAR  "10.213.0.2" /* of what calls net_join_far() */

enum net_link {
        NET_UP,
        NET_SILENT, /* the far end is down: packets vanish, nobody is told */
        NET_DOWN,   /* the near end is: whoever connects is told that there is no way */
};

/* Move this process, which has one thread and no socket worth keeping, to a network namespace of its own, and lay the
 * cable. False: the machine does not permit it, *why says what; the process is where it was. Once per process. */
bool net_enter(const char **why);
/* In a child that will be the server: to the other end. The signature is that of server_config.in_child. */
void net_join_far(void *unused);
/* False: it could not be done. */
bool net_set(enum net_link state);

#endif
