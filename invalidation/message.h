/* message.h - what programs tell each other in pubsub and stream mode: which keys have been written. To and from bytes.
 * MESSAGES.md has the format for those who speak it in other languages. A message comes in pieces of any size, and its
 * keys are handed on as soon as they are whole; it is written into room of the caller's. */
#ifndef MT_INVALIDATION_MESSAGE_H
#define MT_INVALIDATION_MESSAGE_H

#include "../l1/l1.h"
#include "event.h"

enum {
        MESSAGE_ORIGIN_MAX = 64,
        MESSAGE_HEAD_MAX = 96,   /* the first line, its newline included, whoever wrote it */
        MESSAGE_LENGTH_MAX = 16, /* "<length>:" */
};

/* The second byte of a message. */
enum message_kind { MESSAGE_REMOVE = 'R', MESSAGE_UPDATE = 'U', MESSAGE_BULK = 'B', MESSAGE_PATTERN = 'P' };

/* ------------------------------------------------------------------------------------------------------ reading */

struct message {
        uint8_t  state; /* enum message_state in message.c */
        char     kind;
        bool     unheard;  /* the handler wants nothing more of this message: it is only checked */
        bool     too_long; /* the key that is being read: not kept */
        uint32_t keys;
        uint64_t left; /* bytes of the key that are still to come */
        uint32_t held;
        char     hold[ITEM_KEY_MAX]; /* the beginning of a line, or of a key, that came in pieces */
};

void message_begin(struct message *message);
/* ANNOUNCED, then a REMOVE or PATTERN for each key; a key too long to be kept is passed over, a pattern too long to be
 * matched is a FLUSH. Whether the message is sound is known at its end only: what was heard before then clears too
 * much, perhaps. The handler's false, at ANNOUNCED, means that no more of it is wanted. */
void message_feed(struct message *message, const char *data, size_t len, event_f *handler, void *arg);
/* After the last byte. False: malformed, or of a version that this one cannot read. */
bool message_end(const struct message *message);

/* Origins of ours: 16 hexadecimal digits, and where there is a household (publisher.h) a dot and 16 more. False: it is
 * somebody else's. */
bool message_read_origin(struct mt_bytes text, uint64_t *origin, uint64_t *household);

/* ------------------------------------------------------------------------------------------------------ writing */

/* Both return the bytes written; there is room for as many as the enum says, and for the key. household: 0 for none. */
size_t message_write_head(char *to, enum message_kind kind, uint64_t origin, uint64_t household, uint64_t sequence);
size_t message_write_key(char *to, struct mt_bytes key);
size_t message_write_number(char *to, uint64_t number); /* decimal; 20 bytes at most */

#endif
