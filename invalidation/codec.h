/* codec.h - RESP2 as a listener receives it: bytes in, events out, in pieces of any size.
 * A message may hold 100,000 keys: each becomes an event as soon as it is whole, in a fixed buffer, without malloc.
 * Keys that L1 never keeps (longer than ITEM_KEY_MAX) are passed over. */
#ifndef MT_INVALIDATION_CODEC_H
#define MT_INVALIDATION_CODEC_H

#include "../l1/l1.h"
#include "event.h"

#define CODEC_CHANNEL "__redis__:invalidate"

enum { CODEC_DEPTH_MAX = 8, CODEC_LINE_MAX = 1024 };

struct codec {
        uint8_t  state;                 /* enum codec_state in codec.c */
        uint8_t  shape;                 /* enum codec_shape: what the outermost array has turned out to be */
        bool     broken;                /* malformed, or the handler said stop: nothing more is parsed */
        bool     keep;                  /* the body that is being read is wanted */
        uint32_t depth;                 /* arrays open around what is being read */
        uint32_t index;                 /* of the element that is being read in the outermost array */
        int64_t  length;                /* of the outermost array */
        int64_t  left[CODEC_DEPTH_MAX]; /* elements still to come, of each open array */
        uint64_t body_left;
        uint32_t held; /* bytes in hold[] */
        char     hold[ITEM_KEY_MAX];
};
_Static_assert(ITEM_KEY_MAX >= CODEC_LINE_MAX, "a line fits where a key does");

void codec_init(struct codec *codec);

/* False: malformed, or the handler said stop; the connection must end, and what it announced next is lost (flush). */
bool codec_feed(struct codec *codec, const char *data, size_t len, event_f *handler, void *arg);

#endif
