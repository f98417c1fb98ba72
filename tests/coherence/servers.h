/* servers.h - redis-servers that are started, stopped, killed and started again, with their data or without.
 *
 * A server has a folder of its own below the one given, with its log, its unix socket and its append-only file, and a
 * free loopback port. The file is written before a reply leaves and never synced: what was acknowledged outlives the
 * process, not the machine. It stays at its socket and port when it is started again. Servers die with the process that
 * started them. One thread at a time. */
#ifndef MT_COHERENCE_SERVERS_H
#define MT_COHERENCE_SERVERS_H

#include <hiredis/hiredis.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum server_data {
        SERVER_DATA_KEPT, /* it finds what it had */
        SERVER_DATA_LOST, /* its file is removed first */
};

struct server_config {
        const char        *folder;   /* exists; sockets have short paths: not more than 80 bytes */
        const char        *name;     /* of the folder inside, the socket and the log */
        const char        *program;  /* NULL: redis-server */
        const char        *bind;     /* NULL: 127.0.0.1 */
        const char *const *option;   /* "--name", "value", ..., NULL; or NULL. Come after ours */
        void (*in_child)(void *arg); /* before the program is executed (a network namespace, say), or NULL */
        void *arg;
};

struct server;

/* Starts nothing. Strings are copied, the option array and its strings stay the caller's. Ends the program with a line
 * if there is no room. */
struct server *server_create(const struct server_config *config);
/* Ends it if it runs, SIGKILL. Its folder stays the caller's to remove. */
void server_destroy(struct server **server);

/* Start, and return when it answers PING (not -LOADING): false, and a line on stderr, if it does not within 20 s. */
bool server_start(struct server *server, enum server_data data);
/* The same, without waiting for an answer. */
void server_launch(struct server *server, enum server_data data);
/* Does it answer PING now? Waits for it 100 ms at most. */
bool server_answers(const struct server *server);
/* End it and wait for its end. SIGTERM: it goes in peace (10 s, then SIGKILL); a stopped one is continued. */
void server_end(struct server *server, int signal);
/* SIGSTOP, SIGCONT. */
void server_signal(const struct server *server, int signal);

pid_t       server_pid(const struct server *server); /* 0: it does not run */
const char *server_socket(const struct server *server);
int         server_port(const struct server *server);
const char *server_address(const struct server *server); /* "127.0.0.1:port" */
const char *server_folder(const struct server *server);
/* By its unix socket, with a timeout for connecting and for each reply; 0: none. NULL: it cannot be reached. */
redisContext *server_connect(const struct server *server, unsigned timeout_ms);
/* One command on a connection of its own, 10 s at most; the reply is dropped. False: none came, or an error. */
__attribute__((format(printf, 2, 3))) bool server_say(const struct server *server, const char *format, ...);

#endif
