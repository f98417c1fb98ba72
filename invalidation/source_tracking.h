/* source_tracking.h - how a connection becomes the server-assisted tracker of a whole host.
 *
 *   GREETED     -> KNOWN       [AUTH], CLIENT ID and INFO server are answered
 *   KNOWN       -> ASKED       source_subscribe(): CLIENT TRACKING ON REDIRECT <own id> BCAST, then SUBSCRIBE; not the
 *                              other way round, since a subscriber may not say CLIENT
 *   ASKED       -> LISTENING   the server has confirmed the subscription
 *
 * Between the two confirmations of the last step writes are announced to nobody: only from LISTENING on may entries be
 * kept. */
#ifndef MT_INVALIDATION_SOURCE_TRACKING_H
#define MT_INVALIDATION_SOURCE_TRACKING_H

#include "credentials.h"
#include "event.h"
#include "link.h"

enum { SOURCE_RUN_ID_MAX = 47, SOURCE_REASON_MAX = 120 };

enum source_state { SOURCE_GREETED, SOURCE_KNOWN, SOURCE_ASKED, SOURCE_LISTENING };

enum source_result {
        SOURCE_WAIT,        /* nothing to do yet */
        SOURCE_IDENTIFIED,  /* run_id and mode are known: settle who this server is, then source_subscribe() */
        SOURCE_CONFIRMED,   /* every write from here on is announced */
        SOURCE_LATER,       /* not now (loading, busy, too many clients): connect again soon */
        SOURCE_REFUSED,     /* not us (password, rights): others of this host may be let in */
        SOURCE_IMPOSSIBLE,  /* nobody: the server has no tracking */
        SOURCE_MEANINGLESS, /* not an answer to what we asked: this is no Redis, or the stream is out of step */
};

struct source {
        enum source_state state;
        uint8_t           answered; /* of the requests that are on their way, in order */
        bool              authenticating;
        bool              informed; /* INFO was answered */
        bool              cluster;
        int64_t           client_id;
        char              run_id[SOURCE_RUN_ID_MAX + 1];
        char reason[SOURCE_REASON_MAX + 1]; /* the server's words, made printable; never those about AUTH */
};

/* Queue the first requests. credentials NULL: none. False: they do not fit. */
bool source_begin(struct source *source, struct link *link, const struct credentials *credentials);
bool source_subscribe(struct source *source, struct link *link);
/* A reply, or the confirmation, came in before LISTENING. */
enum source_result source_reply(struct source *source, const struct event *event);
/* What a refusal of the kind "-CODE text" means. */
enum source_result source_judge(struct source *source, struct mt_bytes error);

#endif
