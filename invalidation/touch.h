/* touch.h - a server is told which of its keys L1 served: one that evicts what was not read for long (LRU), or seldom
 * (LFU), would take them for cold.
 *
 * Once a second at most is a round, in which the keys that were read since they were last told (l1_next_untold()) are
 * named in TOUCH. On a connection beside the listener's, since that one may carry nothing else: one request at a time,
 * and only while there is something to tell.
 *
 *   RESTING    -> WALKING     a second is over; no connection is needed to find nothing
 *   WALKING    -> RESTING     the walk is over
 *              -> CONNECTING  a batch of keys is found, and there is no connection
 *              -> ASKING      the same, and for a minute nobody has asked what the server evicts
 *              -> TELLING     the same, and it wants to know
 *   CONNECTING -> SECURING    connected, to a server that is reached through TLS
 *              -> ASKING      connected: [AUTH], INFO memory
 *   SECURING   -> ASKING      the server is whom it should be
 *   ASKING     -> TELLING     its policy is an LRU or LFU one, and it has a limit; else
 *              -> RESTING     for a minute
 *   TELLING    -> WALKING     each key of the batch has been named
 *   any        -> RESTING     refused, cut off, silent, or no longer listened to
 *
 * A key whose TOUCH comes to nothing waits for its next read. Only the listener's thread comes here. */
#ifndef MT_INVALIDATION_TOUCH_H
#define MT_INVALIDATION_TOUCH_H

#include "codec.h"
#include "link.h"

enum { TOUCH_KEYS_MAX = 64, TOUCH_BYTES_MAX = 6144 }; /* of a batch; longer keys are left out */

enum touch_state { TOUCH_RESTING, TOUCH_WALKING, TOUCH_CONNECTING, TOUCH_SECURING, TOUCH_ASKING, TOUCH_TELLING };

struct touch_key {
        uint32_t database, begin, len;
        uint8_t  reads, left; /* left: how often it is still to be named */
};

struct watch;
struct touch {
        const struct watch *watch;
        enum touch_state    state;
        bool                by_use;      /* an LFU policy: each read counts, up to MARK_MAX a round */
        bool                over;        /* the walk is */
        uint32_t            asked;       /* enum touch_request in touch.c: what has not been answered */
        uint32_t            database;    /* that the connection is in */
        uint32_t            named;       /* keys in the request that is on its way */
        uint32_t            least;       /* reads that a key has to have, in the next round */
        uint64_t            next_ns;     /* RESTING, WALKING: not before; 0: not listened to so far */
        uint64_t            round_ns;    /* when the round began */
        uint64_t            since_ns;    /* when something was last asked for */
        uint64_t            informed_ns; /* when the server last said what it evicts */
        uint64_t            rest_ns;     /* if the connection ends now, how long the server is left alone */
        struct l1_untold    walk;
        uint32_t            keys, bytes; /* of the batch */
        struct touch_key    key[TOUCH_KEYS_MAX];
        char                text[TOUCH_BYTES_MAX];
        struct link         link;
        struct codec        codec;
};

/* Large: what is not set here costs no memory until it is needed. */
void touch_init(struct touch *touch, const struct watch *watch);
/* Do what is due; when to come back at the latest, UINT64_MAX: for nothing. crowd: of how many servers this thread does
 * so. */
uint64_t touch_turn(struct touch *touch, unsigned crowd, uint64_t now_ns);
/* What to poll its socket for; 0: it has none. */
short touch_events(const struct touch *touch);
/* The socket is ready; buffer is scratch room of the caller's. */
void touch_ready(struct touch *touch, short revents, char *buffer, size_t size);
void touch_finish(struct touch *touch);

#endif
