/* announce.h - in pubsub and stream mode every write of the program is told to the others, behind the write, on the
 * connection that wrote, before the program sees the write's reply: whatever is acknowledged has been announced.
 *
 *   sent        WRITE: its keys are noted       inside MULTI they are gathered, and noted when EXEC is sent
 *   appended    what was noted is appended      PUBLISH or XADD: the next thing that the server executes for us
 *   answered    the write's reply is held back until the announcement's has come too, which the program never sees
 *
 * Replies are told apart by their order alone. Where that is not certain nothing is appended: the write counts as not
 * announced, and the next announcement of this server, whoever makes it, says that everything has changed. */
#ifndef MT_ANNOUNCE_H
#define MT_ANNOUNCE_H

#include "../command/command.h"
#include "../../invalidation/invalidation.h"

struct connection;

enum announce_form {
        ANNOUNCE_INLINE,
        ANNOUNCE_NEVER, /* nobody knows which reply is whose */
        ANNOUNCE_NONE,  /* tracking: nothing is announced, replies are told apart for the sake of one of ours */
};

/* Part of struct connection; all zero where nothing is announced. */
struct announce {
        uint8_t  form;      /* enum announce_form; ends with the connection */
        bool     pending;   /* what is noted goes out behind the command that is appended next */
        bool     gathering; /* MULTI was sent */
        bool     selecting; /* a SELECT is on its way, or in a transaction: the database may be any */
        bool     owes;      /* something was not announced, and there is no place in the segment to say so */
        bool     cleared;   /* the keys of the write that was answered last have been cleared in L1 */
        bool     queued;    /* the command that was sent last has a row of its own among what is owed */
        bool     late;      /* a reply was waited for in vain, and may still come */
        bool     ready;     /* what is held goes to the program next, whatever else has come */
        uint32_t unsure;    /* commands on their way that may be any, under another name */
        uint64_t sequence;
        struct announcement_origin origin;
        struct announcement        what;
        void                      *held; /* a reply that the program does not have yet */
};

/* Of a row of class COMMAND_ANNOUNCE: its argument. The sequence's low bits are above. */
enum {
        ANNOUNCE_ALL = 1u << 0,
        ANNOUNCE_AUDIT = 1u << 1,   /* not waited for where it is not ours to take */
        ANNOUNCE_DELIVER = 1u << 2, /* hiredis has a callback for it, which is none: it takes the reply itself */
        ANNOUNCE_OURS = 1u << 3,    /* no announcement: whatever we have asked on the program's connection */
        ANNOUNCE_FLAG_BITS = 4,
        ANNOUNCE_PERMIT = 1u << 4 /* with OURS, which has no sequence: below.h */
};

/* A command is about to be sent. */
void announce_note(struct connection *c, enum command_class class, const struct command *command);
/* It was appended; or it was not. async: by the asynchronous API. */
void announce_send(struct connection *c, bool async);
void announce_drop(struct connection *c);
/* The reply to an announcement. */
void announce_answered(struct connection *c, uint32_t argument, const void *reply);
/* A command that is in no table was answered. */
void announce_known(struct connection *c, bool refused);
/* MULTI was refused, and there is no transaction. */
void announce_not_gathering(struct connection *c);
/* A write may have taken place that is announced by nobody. */
void announce_owe(struct connection *c);
/* Replies cannot be told apart from here on. */
void announce_lose_order(struct connection *c);
/* The connection begins, anew perhaps; or ends. */
void announce_begin(struct connection *c);
void announce_end(struct connection *c);

#endif
