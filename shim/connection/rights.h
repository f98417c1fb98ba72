/* rights.h - what the server's refusals, and changes of rights, say of the values that L1 keeps for its users.
 *
 * The server says nothing when rights change. So a command of ours that is answered NOPERM, NOAUTH or WRONGPASS counts
 * as news: what L1 holds for that user, in any database, is given up on the whole host before the program sees the
 * reply, and comes back only through GETs that the server answers him. Commands that change rights, where we see them,
 * give up what is held for everybody. Neither is asked of the hit path, nor of replies that are no errors. */
#ifndef MT_RIGHTS_H
#define MT_RIGHTS_H

#include "connection.h"

/* If this reply is a refusal, it ends what is held for the connection's own user. */
void rights_look(struct connection *c, const void *reply);
/* The same of an AUTH or HELLO, for the user whom it named; user.ptr NULL: we do not know him any more. */
void rights_look_named(struct connection *c, const void *reply, struct mt_bytes user);
/* The same of EXEC: each of its answers. */
void rights_look_inside(struct connection *c, const void *reply);
/* Somebody's rights may have changed. */
void rights_changed(struct connection *c);

#endif
