/* sentinel.h - a Redis Sentinel that watches a master and its replica, in a hurry: it finds a master down within 300
 * ms, and names another within a second or so. It dies with the process that started it. One thread at a time. */
#ifndef MT_COHERENCE_SENTINEL_H
#define MT_COHERENCE_SENTINEL_H

#include <stdbool.h>
#include <sys/types.h>

#define SENTINEL_NAME "coherence" /* of what it watches: SENTINEL get-master-addr-by-name coherence */

struct sentinel {
        pid_t pid;
        int   port;
        char  address[32]; /* "127.0.0.1:port" */
        char  folder[96];
};

/* folder: exists, for its configuration and log. master_port: on 127.0.0.1; it runs, and its replica too. Returns when
 * the sentinel knows both: false, and a line on stderr, if it does not within 20 s. */
bool sentinel_start(struct sentinel *sentinel, const char *folder, int master_port);
void sentinel_stop(struct sentinel *sentinel);
/* The port of the master by its word; 0: it does not say. */
int sentinel_master_port(const struct sentinel *sentinel);
/* As it does when an operator asks: SENTINEL FAILOVER. */
bool sentinel_failover(const struct sentinel *sentinel);

#endif
