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
};

struct event {
        enum event_kind kind;
        struct mt_bytes bytes; /* the parser's: gone when the handler returns */
        int64_t         integer;
};

/* False: the connection is of no further use, stop parsing. */
typedef bool event_f(void *arg, const struct event *event);

#endif
