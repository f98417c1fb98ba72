/* notice.h - what the listener's thread has to say, not again and again. */
#ifndef MT_INVALIDATION_NOTICE_H
#define MT_INVALIDATION_NOTICE_H

#include "../l1/base/log.h"

/* The listener's thread: the pieces make one line (NULL: none), handed over to the program's (l1/base/handover.h). The
 * same line is said once an hour. */
void notice_say(enum log_level level, const char *before, const char *address, const char *after, const char *reason);

#endif
