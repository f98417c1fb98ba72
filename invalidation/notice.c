/* notice.c - a ring with one writer, the listener's thread, and one reader at a time. No stdio on the writer's side. */
#include "notice.h"

#include "../l1/base/atomic.h"
#include "../l1/base/clock.h"

#include <errno.h>

enum { NOTICE_LINES = 8, NOTICE_BYTES = 400, NOTICE_REMEMBERED = 16 };
#define NOTICE_AGAIN_NS (3600 * NS_PER_S)

static struct {
        enum log_level level;
        char           text[NOTICE_BYTES];
} notice_line[NOTICE_LINES];
static _Atomic uint32_t notice_written, notice_read; /* lines ever */
static _Atomic uint32_t notice_reading;              /* a thread is printing */

/* The writer's. */
static struct {
        uint64_t hash, said_ns;
} notice_said[NOTICE_REMEMBERED];
static unsigned notice_said_next;

static bool notice_said_before(const char *text)
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325), now_ns = clock_coarse_ns();
        unsigned i;

        for (; *text != '\0'; text++)
                hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
        for (i = 0; i < NOTICE_REMEMBERED; i++)
                if (notice_said[i].hash == hash && now_ns - notice_said[i].said_ns < NOTICE_AGAIN_NS)
                        return true;
        i = notice_said_next++ % NOTICE_REMEMBERED;
        notice_said[i].hash = hash;
        notice_said[i].said_ns = now_ns;
        return false;
}

void notice_say(enum log_level level, const char *before, const char *address, const char *after, const char *reason)
{
        const char *const piece[] = {before, address, after, reason};
        uint32_t          written = mt_load_relaxed(&notice_written);
        char             *text = notice_line[written % NOTICE_LINES].text;
        size_t            n = 0;

        if (written - mt_load_acquire(&notice_read) >=
            NOTICE_LINES) /* [N1] pairs with [N2]: the reader is done with it */
                return;
        for (unsigned i = 0; i < 4; i++)
                for (const char *c = piece[i]; c && *c != '\0' && n < NOTICE_BYTES - 1; c++)
                        text[n++] = *c;
        text[n] = '\0';
        if (notice_said_before(text))
                return;
        notice_line[written % NOTICE_LINES].level = level;
        mt_store_release(&notice_written, written + 1); /* [N3] pairs with [N4]: the line is whole */
}

bool notice_waiting(void)
{
        return mt_load_relaxed(&notice_written) != mt_load_relaxed(&notice_read);
}

void notice_print(void)
{
        int      saved = errno;
        uint32_t busy = 0, at;

        if (!mt_cas_acq_rel(&notice_reading, &busy, 1))
                return;
        for (at = mt_load_relaxed(&notice_read); at != mt_load_acquire(&notice_written); at++) { /* [N4] */
                log_line(notice_line[at % NOTICE_LINES].level, "%s", notice_line[at % NOTICE_LINES].text);
                mt_store_release(&notice_read, at + 1); /* [N2] */
        }
        mt_store_release(&notice_reading, 0);
        errno = saved;
}

/* What the parent's thread had to say, the parent says. */
void notice_after_fork(void)
{
        mt_store_relaxed(&notice_read, mt_load_relaxed(&notice_written));
        mt_store_relaxed(&notice_reading, 0);
}
