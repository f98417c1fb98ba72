/* session.h - what a command and its reply mean for a connection and for L1. The only place that knows. */
#ifndef MT_SESSION_H
#define MT_SESSION_H

#include "connection.h"

#include "../command/command.h"

/* A command is about to be sent (parse says how well it was understood). Its effect is queued until its reply comes;
 * the session is doubted from now on where replies will not be one to one. */
void session_sent(struct connection *c, enum command_parse parse, const struct command *command);
/* The last one queued will not be sent after all (hiredis could not append it). */
void session_unsent(struct connection *c);
/* A reply has arrived, and the program has not seen it yet: the effect of the command that it answers takes place. */
void session_replied(struct connection *c, const void *reply);
/* The same where writes are announced. */
void session_replied_announced(struct connection *c, const void *reply);
/* No reply will come for anything outstanding (the connection broke, or is freed): each may have been executed. */
void session_failed(struct connection *c);
/* The time to wait for a reply ran out: what is outstanding may be answered still, and stays queued. Nobody knows what
 * the session is by then. */
void session_late(struct connection *c);
/* The same of a command of ours: its reply, if it comes, is not for the program. Called before what follows it on the
 * connection is queued. */
void session_late_own(struct connection *c);
/* The replies of what is outstanding will not be seen by us, though they come. */
void session_forget(struct connection *c);
/* An announcement is about to be sent; argument as in announce.h. False: there is no room to remember it. */
bool session_announcing(struct connection *c, uint32_t argument);
/* Is the next reply one to an announcement? */
bool session_announced_next(struct connection *c, uint32_t *argument);
/* Clear the keys of all that is outstanding, and leave it queued: for replies that the program may see before we do. */
void session_clear_outstanding(struct connection *c);
/* Forget what the program's session was: database 0, nobody authenticated. */
void session_reset(struct connection *c);

#endif
