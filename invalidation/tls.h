/* tls.h - a link that is secured: OpenSSL, opened where it is needed and not before.
 *
 * The library that is preloaded is not linked to it: where the program talks TLS it is in the process already, and a
 * program that does not pays nothing. What a guest has to mind:
 *   - OpenSSL allocates by the host's malloc, from the listener's thread, which does so for nothing else. Accepted
 *     here: the program itself uses OpenSSL, which is made for many threads, as is any allocator that it runs on.
 *   - When the process exits, OpenSSL's own handler frees what the thread may be using; when it forks, the thread may
 *     hold one of OpenSSL's locks. So the thread is inside OpenSSL only while it holds a gate, which both wait for, and
 *     which an exit closes. Nobody waits long there: what is done inside never blocks, but for reading the files.
 *   - Our connections share no object with the program's: not its SSL_CTX, whose callbacks are the program's code.
 *   - A socket is only ever touched by send() and recv() of ours (MSG_NOSIGNAL), not by OpenSSL's. */
#ifndef MT_INVALIDATION_TLS_H
#define MT_INVALIDATION_TLS_H

#include "link.h"

/* A program's thread, before the first link of this process is secured: opening a library runs its constructors and
 * takes the linker's lock, and neither is for a thread with a small stack that must not be waited for. True: it is
 * there. False: not (one line), or another thread is at it. errno kept. */
bool tls_load(void);
void tls_after_fork(void);

/* The listener's thread; see link.h for what they return. On failure link->reason says why, "" if the socket ended. */
bool             tls_open(struct link *link);
enum link_result tls_handshake(struct link *link);
enum link_result tls_read(struct link *link, char *to, size_t room, size_t *got);
enum link_result tls_write(struct link *link, const char *from, size_t len, size_t *sent);
void             tls_close(struct link *link);
/* The last of it in this thread. */
void tls_thread_ends(void);

#endif
