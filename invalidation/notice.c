/* notice.c - what has been said lately. No stdio here. */
#include "notice.h"

#include "../l1/base/clock.h"
#include "../l1/base/handover.h"

enum { NOTICE_BYTES = 400, NOTICE_REMEMBERED = 16 };
#define NOTICE_AGAIN_NS (3600 * NS_PER_S)

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
        char              text[NOTICE_BYTES];
        size_t            n = 0;

        for (unsigned i = 0; i < 4; i++)
                for (const char *c = piece[i]; c && *c != '\0' && n < NOTICE_BYTES - 1; c++)
                        text[n++] = *c;
        text[n] = '\0';
        if (!notice_said_before(text))
                handover_put(level, text);
}
