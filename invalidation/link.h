/* link.h - a non-blocking connection of the listener's thread: requests out, bytes in, no process-wide effects. In
 * clear text, or secured as its endpoint says (tls.h). */
#ifndef MT_INVALIDATION_LINK_H
#define MT_INVALIDATION_LINK_H

#include "invalidation.h"

enum { LINK_OUT_MAX = 8192, LINK_REASON_MAX = 200, LINK_RECORD_MAX = 16384 };

struct link {
        int                            fd; /* -1: closed */
        bool                           connecting;
        bool                           wants_write; /* TLS waits for room in the socket */
        bool                           ended;       /* the socket has ended, or failed, as far as TLS has seen */
        const struct invalidation_tls *tls;         /* NULL: clear text */
        void                          *ssl;         /* OpenSSL's half of it, from link_secure() on */
        char                           reason[LINK_REASON_MAX]; /* why TLS failed; "": it did not, the socket did */
        uint32_t                       out_begin, out_end;
        char out[LINK_OUT_MAX]; /* not yet taken by the kernel; wiped when it is: a password may be in it */
};

enum link_result { LINK_OK, LINK_AGAIN, LINK_FAILED };

void link_init(struct link *link);
/* LINK_AGAIN: on its way, link_finish() when the socket is writable. LINK_FAILED: errno says why, nothing is open. */
enum link_result link_open(struct link *link, const struct invalidation_endpoint *endpoint);
enum link_result link_finish(struct link *link);
/* After LINK_OK of the two above, and before anything is sent. LINK_AGAIN: the other side must answer first, call
 * again when the socket is ready for what link_wants_write() says, or to be read. LINK_FAILED: see reason; it is still
 * open. */
enum link_result link_secure(struct link *link);
void             link_close(struct link *link);

/* Append one command; false when there is no room (nothing of it was taken). */
bool link_command(struct link *link, const struct mt_bytes *word, unsigned words);
/* Send what is pending. LINK_AGAIN: some is left, call again when the socket is writable. */
enum link_result link_flush(struct link *link);
/* LINK_OK: *got bytes came (more than 0). LINK_FAILED: the end of the stream, or an error. room is at least
 * LINK_RECORD_MAX where TLS is used: then what is left to be read is in the socket, where poll() sees it. */
enum link_result link_read(struct link *link, char *to, size_t room, size_t *got);

static inline bool link_wants_write(const struct link *link)
{
        return link->connecting || link->wants_write || link->out_begin < link->out_end;
}
/* What to poll the socket for; 0: there is none. */
short link_events(const struct link *link);

#endif
