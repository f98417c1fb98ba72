/* codec.h - RESP2 as a listener receives it: bytes in, events out, in pieces of any size.
 * A message may hold 100,000 keys: each becomes an event as soon as it is whole, in a fixed buffer, without malloc.
 * Keys that L1 never keeps (longer than ITEM_KEY_MAX) are passed over. */
#ifndef MT_INVALIDATION_CODEC_H
#define MT_INVALIDATION_CODEC_H

#include "../l1/l1.h"
#include "event.h"

#define CODEC_CHANNEL "__redis__:invalidate"
#define CODEC_FIELD   "m" /* of a stream's entry: the message */

enum { CODEC_DEPTH_MAX = 8, CODEC_LINE_MAX = 1024 };

/* What is said on such a connection. */
enum codec_dialect {
        CODEC_TRACKING, /* CODEC_CHANNEL: arrays of keys */
        CODEC_MESSAGES, /* a channel of the user's: messages, in pieces */
        CODEC_STREAM,   /* replies of XREAD and XINFO: entries, and in them messages */
};

struct codec {
        uint8_t         state;                 /* enum codec_state in codec.c */
        uint8_t         shape;                 /* enum codec_shape: what the outermost array has turned out to be */
        bool            broken;                /* malformed, or the handler said stop: nothing more is parsed */
        bool            keep;                  /* the body that is being read is wanted */
        bool            through;               /* it is handed on in pieces, as it comes */
        uint8_t         dialect;               /* enum codec_dialect */
        bool            named, told;           /* of an entry: a field that is a message follows; there was one */
        uint32_t        depth;                 /* arrays open around what is being read */
        int64_t         length;                /* of the outermost array */
        int64_t         left[CODEC_DEPTH_MAX]; /* elements still to come, of each open array */
        uint32_t        at[CODEC_DEPTH_MAX];   /* index of the element that is being read in it */
        struct mt_bytes channel;
        uint64_t        body_left;
        uint32_t        held; /* bytes in hold[] */
        char            hold[ITEM_KEY_MAX];
};
_Static_assert(ITEM_KEY_MAX >= CODEC_LINE_MAX, "a line fits where a key does");

void codec_init(struct codec *codec); /* CODEC_TRACKING */
/* channel is the caller's, and outlives the codec; that of CODEC_MESSAGES. */
void codec_init_as(struct codec *codec, enum codec_dialect dialect, struct mt_bytes channel);

/* False: malformed, or the handler said stop; the connection must end, and what it announced next is lost (flush). */
bool codec_feed(struct codec *codec, const char *data, size_t len, event_f *handler, void *arg);

#endif
