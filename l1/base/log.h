/* log.h - one line when something is wrong, silence while all is well.
 * Never stdout. Descriptor 2 is used only while it is still the file that it was at load and takes the write without
 * blocking; SIGPIPE from it never reaches the program; errno is kept. MTSHIM_LOG=FILE appends to FILE instead (%p is
 * the pid); it is opened and closed around each line, so that the program sees no descriptor. A line of a thread of
 * ours waits for one of the program's (handover.h). Thread-safe; allocates nothing; lines are cut at 1 KiB. */
#ifndef MT_BASE_LOG_H
#define MT_BASE_LOG_H

#include "assert.h"

#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Remember what descriptor 2 is now. Called once, when the library is loaded or the command starts. */
void log_setup(void);
/* path NULL or "stderr": descriptor 2. The string is copied (cut at 255 bytes: said in a line). */
void log_configure(enum log_level level, const char *path);

/* "mtshim[pid]: message\n" */
void log_line(enum log_level level, const char *format, ...) MT_PRINTF(2, 3);
/* At most one line per window for each *last (a static of the caller, initially 0); the rest are dropped. */
void log_limited(_Atomic uint64_t *last_ns, uint64_t window_ns, enum log_level level, const char *format, ...)
        MT_PRINTF(4, 5);
/* At most once in the life of the process. */
#define log_once(level, ...)                                                                                           \
        do {                                                                                                           \
                static _Atomic uint64_t log_once_last;                                                                 \
                log_limited(&log_once_last, UINT64_MAX, (level), __VA_ARGS__);                                         \
        } while (0)

#endif
