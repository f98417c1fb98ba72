/* event.h - what a listener hears, whatever the wire it came over. */
#ifndef MT_INVALIDATION_EVENT_H
#define MT_INVALIDATION_EVENT_H

#include "../l1/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

enum event_kind {
        EVENT_REMOVE,     /* bytes is a key whose entries are no longer true */
        EVENT_FLUSH,      /* no entry of this server is */
        EVENT_SUBSCRIBED, /* from here on every write is announced */
        EVENT_PONG,       /* what was announced before this has been heard */
        EVENT_STATUS,     /* a reply: "+bytes" */
        EVENT_ERROR,      /* a reply: "-bytes" */
        EVENT_INTEGER,    /* a reply: ":integer" */
        EVENT_BULK,       /* a reply: bytes, its ptr NULL when nil; perhaps cut short */
        EVENT_OTHER,      /* a reply of another shape */
        /* Of messages (message.h), in pubsub and stream mode. */
        EVENT_PIECE,     /* some bytes of one; integer: how many are still to come */
        EVENT_ENTRY,     /* what follows is of the stream's entry with this id */
        EVENT_ANNOUNCED, /* its head: bytes is the origin, integer the sequence */
        EVENT_PATTERN,   /* keys that match the glob are no longer true */
        EVENT_MALFORMED, /* something came where a message should be, and is none */
        /* Of a stream's replies. */
        EVENT_WORD,  /* in an array: bytes, or if ptr is NULL a number, or something that nobody asks for */
        EVENT_ARRAY, /* an array has ended that had `integer` elements */
};

struct event {
        enum event_kind kind;
        struct mt_bytes bytes; /* the parser's: gone when the handler returns */
        int64_t         integer;
};

/* False: the connection is of no further use, stop parsing. */
typedef bool event_f(void *arg, const struct event *event);

#endif
