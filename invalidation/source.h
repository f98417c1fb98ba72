/* source.h - how a connection becomes one that hears of every write, and what proves that it has.
 *
 *   GREETED     -> KNOWN       [AUTH], what the mode asks first, and INFO server are answered
 *   KNOWN       -> ASKED       source_subscribe()
 *   ASKED       -> LISTENING   the server has confirmed it
 *
 *   mode        asked first   to listen                              heard                        proof
 *   tracking    CLIENT ID     CLIENT TRACKING ON REDIRECT own BCAST, arrays of keys               PING, PONG
 *                             SUBSCRIBE (a subscriber may not
 *                             say CLIENT)
 *   pubsub      -             SUBSCRIBE channel                      messages (message.h)         PING, PONG
 *   stream      -             XINFO STREAM, XRANGE last last         entries that are messages    XREAD and XINFO
 *                                                                                                STREAM, answered
 *
 * Between the confirmations of tracking's last step writes are announced to nobody: only from LISTENING on may entries
 * be kept. */
#ifndef MT_INVALIDATION_SOURCE_H
#define MT_INVALIDATION_SOURCE_H

#include "credentials.h"
#include "event.h"
#include "link.h"

enum { SOURCE_RUN_ID_MAX = 47, SOURCE_REASON_MAX = 120, SOURCE_ID_MAX = 47 };
enum { SOURCE_STREAM_COUNT = 1000 }; /* entries in one answer, at most */

enum source_state { SOURCE_GREETED, SOURCE_KNOWN, SOURCE_ASKED, SOURCE_LISTENING };

enum source_result {
        SOURCE_WAIT,        /* nothing to do yet */
        SOURCE_IDENTIFIED,  /* run_id and mode are known: settle who this server is, then source_subscribe() */
        SOURCE_CONFIRMED,   /* every write from here on is announced */
        SOURCE_RESUMED,     /* the same, and none since the last connection has been missed */
        SOURCE_LATER,       /* not now (loading, busy, too many clients): connect again soon */
        SOURCE_REFUSED,     /* not us (password): others of this host may be let in */
        SOURCE_FORBIDDEN,   /* the same, for lack of a right */
        SOURCE_IMPOSSIBLE,  /* nobody: the server cannot */
        SOURCE_MEANINGLESS, /* not an answer to what we asked: this is no Redis, or the stream is out of step */
};

/* A place in a stream: the id of the last entry that was applied, or after which it began. */
struct source_position {
        char    id[SOURCE_ID_MAX + 1]; /* "" = none */
        int64_t added;                 /* entries-added as of then; -1: the server does not say */
};

struct source {
        const struct source_ops          *ops;
        const struct invalidation_config *config;
        enum source_state                 state;
        uint8_t                           answered; /* of the requests that are on their way, in order */
        bool                              authenticating;
        bool                              informed; /* INFO was answered */
        bool                              cluster;
        int64_t                           client_id;
        char                              run_id[SOURCE_RUN_ID_MAX + 1];
        char reason[SOURCE_REASON_MAX + 1]; /* the server's words, made printable; never those about AUTH */
        /* Of a stream. */
        struct source_position *position; /* the watch's: it outlasts connections */
        enum source_expected { SOURCE_NOTHING, SOURCE_ENTRIES, SOURCE_ALL_ENTRIES, SOURCE_INFO } expected;
        bool rebuffed; /* one of the two was answered by an error */
        enum source_wanted { SOURCE_NONE, SOURCE_LAST, SOURCE_FIRST, SOURCE_ADDED, SOURCE_DELETED } wanted;
        char    last[SOURCE_ID_MAX + 1], first[SOURCE_ID_MAX + 1], deleted[SOURCE_ID_MAX + 1];
        int64_t added;
};

/* One row for each mode. */
struct source_ops {
        bool (*first)(struct link *link); /* before INFO; NULL: nothing is asked */
        bool (*subscribe)(struct source *source, struct link *link);
        enum source_result (*reply)(struct source *source, const struct event *event); /* while ASKED */
        /* The request whose answer proves what has been heard. wait_ms > 0: one that proves nothing, and is answered
         * when there is something to say, or after so long. */
        bool (*pulse)(struct source *source, struct link *link, uint32_t wait_ms);
};
extern const struct source_ops source_tracking, source_channel, source_stream;

/* Queue the first requests. credentials NULL: none. position: of a stream; the rest may leave it alone. False: they do
 * not fit. */
bool source_begin(struct source *source, enum invalidation_mode mode, const struct invalidation_config *config,
                  struct source_position *position, struct link *link, const struct credentials *credentials);
bool source_subscribe(struct source *source, struct link *link);
/* A reply, or the confirmation, came in before LISTENING. */
enum source_result source_reply(struct source *source, const struct event *event);
/* What a refusal of the kind "-CODE text" means. */
enum source_result source_judge(struct source *source, struct mt_bytes error);

/* The entry with this id has been applied. */
void source_passed(struct source_position *position, struct mt_bytes id);

/* What an answer to a stream's pulse means, while LISTENING. */
enum source_proof {
        SOURCE_MORE,     /* there is more of it to come */
        SOURCE_WAITED,   /* that to the one that waits */
        SOURCE_PROVED,   /* everything that was in the stream when it was sent has been heard */
        SOURCE_UNPROVED, /* entries have come meanwhile, or the server is busy: ask again */
        SOURCE_GAP,      /* this is not the stream that we have read: entries may be missing; the position is its end */
        SOURCE_NO_PROOF, /* not an answer to it */
};
enum source_proof source_stream_heard(struct source *source, const struct event *event);

/* For the rows. */
bool               source_ping(struct source *source, struct link *link, uint32_t wait_ms);
enum source_result source_subscribed(struct source *source, const struct event *event);
bool               source_starts_with(struct mt_bytes text, const char *prefix);

#endif
