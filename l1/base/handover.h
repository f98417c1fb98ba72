/* handover.h - lines that our own threads have to say. Descriptor 2 of such a thread is not the program's (thread.h),
 * so a line waits until one of the program's threads comes by and prints it. */
#ifndef MT_BASE_HANDOVER_H
#define MT_BASE_HANDOVER_H

#include "atomic.h"
#include "log.h"

#include <stdbool.h>

/* Whatever this thread logs from now on is handed over (log.c asks handover_here()). */
void handover_begin(void);
bool handover_here(void);
/* Cut at 511 bytes; with no room it is lost. Any thread; errno kept. */
void handover_put(enum log_level level, const char *text);

extern _Atomic uint32_t handover_written, handover_read; /* lines ever */
static inline bool      handover_waiting(void)
{
        return mt_load_relaxed(&handover_written) != mt_load_relaxed(&handover_read);
}
/* Programs' threads; in one of ours it does nothing. errno kept. */
void handover_print(void);
void handover_after_fork(void);

#endif
