/* link.h - a non-blocking connection of the listener's thread: requests out, bytes in, no process-wide effects. */
#ifndef MT_INVALIDATION_LINK_H
#define MT_INVALIDATION_LINK_H

#include "invalidation.h"

enum { LINK_OUT_MAX = 8192 };

struct link {
        int      fd; /* -1: closed */
        bool     connecting;
        uint32_t out_begin, out_end;
        char     out[LINK_OUT_MAX]; /* not yet taken by the kernel; wiped when it is: a password may be in it */
};

enum link_result { LINK_OK, LINK_AGAIN, LINK_FAILED };

void link_init(struct link *link);
/* LINK_AGAIN: on its way, link_finish() when the socket is writable. LINK_FAILED: errno says why, nothing is open. */
enum link_result link_open(struct link *link, const struct invalidation_endpoint *endpoint);
enum link_result link_finish(struct link *link);
void             link_close(struct link *link);

/* Append one command; false when there is no room (nothing of it was taken). */
bool link_command(struct link *link, const struct mt_bytes *word, unsigned words);
/* Send what is pending. LINK_AGAIN: some is left, call again when the socket is writable. */
enum link_result link_flush(struct link *link);
/* LINK_OK: *got bytes came (more than 0). LINK_FAILED: the end of the stream, or an error. */
enum link_result link_read(struct link *link, char *to, size_t room, size_t *got);

/* What to poll the socket for; 0: there is none. */
short link_events(const struct link *link);

#endif
