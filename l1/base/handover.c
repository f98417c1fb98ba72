/* handover.c - a ring: writers take turns by a lock, readers by a word, and whoever finds another at it leaves it to
 * him. */
#include "handover.h"

#include "forklock.h"

#include <errno.h>
#include <stdio.h>

enum { HANDOVER_LINES = 16, HANDOVER_BYTES = 512 };

static struct {
        enum log_level level;
        char           text[HANDOVER_BYTES];
} handover_line[HANDOVER_LINES];
_Atomic uint32_t        handover_written, handover_read;
static _Atomic uint32_t handover_reading; /* a thread is printing */
static struct forklock  handover_lock;    /* writing */

static _Thread_local bool handover_ours __attribute__((tls_model("initial-exec")));

void handover_begin(void)
{
        handover_ours = true;
}

bool handover_here(void)
{
        return handover_ours;
}

void handover_put(enum log_level level, const char *text)
{
        int      saved = errno;
        uint32_t written;

        forklock_acquire(&handover_lock);
        written = mt_load_relaxed(&handover_written);
        if (written - mt_load_acquire(&handover_read) < HANDOVER_LINES) { /* [N1] pairs with [N2]: it has been read */
                handover_line[written % HANDOVER_LINES].level = level;
                snprintf(handover_line[written % HANDOVER_LINES].text, HANDOVER_BYTES, "%s", text);
                mt_store_release(&handover_written, written + 1); /* [N3] pairs with [N4]: the line is whole */
        }
        forklock_release(&handover_lock);
        errno = saved;
}

void handover_print(void)
{
        int      saved = errno;
        uint32_t free = 0, at;

        if (handover_ours || !mt_cas_acq_rel(&handover_reading, &free, 1))
                return;
        for (at = mt_load_relaxed(&handover_read); at != mt_load_acquire(&handover_written); at++) { /* [N4] */
                log_line(handover_line[at % HANDOVER_LINES].level, "%s", handover_line[at % HANDOVER_LINES].text);
                mt_store_release(&handover_read, at + 1); /* [N2] */
        }
        mt_store_release(&handover_reading, 0);
        errno = saved;
}

/* What the parent's threads had to say, the parent says. */
void handover_after_fork(void)
{
        mt_store_relaxed(&handover_read, mt_load_relaxed(&handover_written));
        mt_store_relaxed(&handover_reading, 0);
}
