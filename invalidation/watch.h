/* watch.h - one server that this process leads, as the listener's thread sees it.
 *
 *   AWAY       -> CONNECTING  the pause is over; the address is still the server's
 *   CONNECTING -> SECURING    connected, to a server that is reached through TLS
 *              -> GREETING    connected: requests of source.c
 *   SECURING   -> GREETING    the server is whom it should be
 *   GREETING   -> LISTENING   the subscription is confirmed; all namespaces have got new ids, unless a stream goes on
 *                             where it was; the first PING, or XREAD, goes out
 *   any        -> AWAY        the connection ended, fell silent or spoke nonsense, or the host was suspended
 *
 * Leadership lasts through all of these; watch_turn() says when it is over. An heir (leader.h) goes the same way
 * without it, and comes to it in watch.c, watch_inherit(). */
#ifndef MT_INVALIDATION_WATCH_H
#define MT_INVALIDATION_WATCH_H

#include "apply.h"
#include "codec.h"
#include "credentials.h"
#include "fence.h"
#include "leader.h"
#include "link.h"
#include "message.h"
#include "origins.h"
#include "source.h"

enum watch_state { WATCH_AWAY, WATCH_CONNECTING, WATCH_SECURING, WATCH_GREETING, WATCH_LISTENING };

enum watch_end {
        WATCH_GOES_ON,
        WATCH_DONE, /* leadership is over; this process may be a candidate again at once */
        WATCH_OUT,  /* the same, and this process stays out for out_ns */
};

struct watch {
        enum watch_state state;
        enum watch_end   end; /* decided while events were handled */
        uint64_t         out_ns;
        int              error;              /* errno of the last attempt to connect that failed */
        bool             listened;           /* this watch has been LISTENING before */
        bool             stopped;            /* the parser was told to stop, for a reason that is known */
        uint8_t          strange;            /* connections in a row that made no sense and never got to listen */
        uint8_t          unanswered;         /* connections in a row that the server ended before they got to listen */
        uint64_t         since_ns;           /* when the present state began */
        uint64_t         away_ns;            /* since when there is no connection */
        uint64_t         retry_ns, pause_ns; /* AWAY: until when, and how long */
        uint64_t         confirmed_ns;       /* an heir's: when it was told that it is subscribed */
        const struct invalidation_config *config;
        struct leader                     leader;
        struct invalidation_endpoint      endpoint;
        struct source                     source;
        struct fence                      fence;
        struct apply                      apply;
        struct link                       link;
        struct codec                      codec;
        uint64_t                          jitter; /* state of the random pauses */
        /* Of pubsub and stream. */
        struct source_position position;
        struct mt_bytes        entry; /* id of the entry that is being heard, in entry_id */
        char                   entry_id[SOURCE_ID_MAX + 1];
        bool                   waits_next; /* what is asked next may wait */
        bool                   in_message;
        bool                   own_household; /* it is of one of ours (publisher.h) */
        struct message         message;
        struct origins         origins;
};

void watch_begin(struct watch *watch, const struct invalidation_config *config, const struct leader *leader,
                 const struct invalidation_endpoint *endpoint, uint64_t now_ns);
/* Do what is due; *next_ns is when to come back at the latest. Not WATCH_GOES_ON: watch_finish() it. */
enum watch_end watch_turn(struct watch *watch, uint64_t now_ns, uint64_t *next_ns);
/* The server's, as the segment has it, for a line. */
const char *watch_address(const struct watch *watch, char to[128]);
/* What to poll its socket for; 0: it has none. */
short watch_events(const struct watch *watch);
/* The socket is ready. buffer is scratch room of the caller's, for all watches. */
void watch_ready(struct watch *watch, short revents, char *buffer, size_t size);
/* The clock stood still while the host was suspended: what was true then may have been changed by anybody. */
void watch_suspended(struct watch *watch, uint64_t now_ns);
/* Close, and give up leadership if it is still ours. */
void watch_finish(struct watch *watch);

#endif
