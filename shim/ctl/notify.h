/* notify.h - tell a service manager how we are: the protocol of sd_notify(3), of which a datagram is all. */
#ifndef MT_CTL_NOTIFY_H
#define MT_CTL_NOTIFY_H

#include <stdbool.h>

/* "READY=1\nSTATUS=...", "STOPPING=1". Nothing happens where NOTIFY_SOCKET is not set; never waits. False: it was set,
 * and could not be told (errno). */
bool notify_manager(const char *state);

#endif
