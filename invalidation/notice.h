/* notice.h - what the listener's thread has to say. Its descriptor 2 is not the program's, so a line waits until one of
 * the program's own threads comes by and prints it. */
#ifndef MT_INVALIDATION_NOTICE_H
#define MT_INVALIDATION_NOTICE_H

#include "../l1/base/log.h"

#include <stdbool.h>

/* The listener's thread: the pieces make one line (NULL: none). The same line is said once an hour; with no room it is
 * lost. */
void notice_say(enum log_level level, const char *before, const char *address, const char *after, const char *reason);
bool notice_waiting(void);
/* Programs' threads. errno kept. */
void notice_print(void);
void notice_after_fork(void);

#endif
