/* through.h - the tiers below Redis in an unmodified program: a GET that Redis answers with nil is looked up there, and
 * what is found goes back into Redis now and then; what a SET has written is stored there. Of keys whose rule says
 * `tiers`. What all other writes mean for the tiers is connection/below.h's. */
#ifndef MT_THROUGH_H
#define MT_THROUGH_H

#include "request.h"

/* Is this GET, which is about to be passed on, one whose nil would be looked up? */
bool through_concerns(struct connection *c, struct mt_bytes key);
/* It was answered with nil, which is taken: the same, or what a tier has; NULL: the connection broke meanwhile, as the
 * program's own GET would have. */
void *through_nil(struct connection *c, struct mt_bytes key, void *nil);

/* A SET that waits for its answer. Its words must stay as they are from begin to end, and it always comes to an end. */
struct through {
        bool              on;   /* it is one, of a key of the tiers */
        bool              asks; /* what remains of the key's life only the server knows */
        struct tier_key   key;
        struct mt_bytes   value;
        uint64_t          ttl_ms;
        struct tier_marks marks;
};
/* Before it is noticed (session_sent()) and sent. */
void through_begin(struct through *t, struct connection *c, const struct command *command);
/* It has been answered; reply NULL: it has not. */
void through_end(struct through *t, struct connection *c, const void *reply);

#endif
