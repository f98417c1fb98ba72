/* tracker.h - a bare client that asks to be told of writes in the words of this project's listener, and may name one
 * prefix, which the listener does not. */
#ifndef MT_BENCH_TRACKER_H
#define MT_BENCH_TRACKER_H

#include "../../tests/progs/raw.h"

static inline void tracker_ask(struct raw *raw, int argc, const char **argv, char *reply, size_t size)
{
        if (!raw_command(raw, argc, argv, NULL) || !raw_reply(raw, reply, size) || reply[0] == '-')
                die("%s %s: %s", argv[0], argv[1], reply);
}

static inline void tracker_subscribe(struct raw *raw, const char *channel)
{
        char reply[128] = "no answer";

        tracker_ask(raw, 2, (const char *[]){"SUBSCRIBE", channel}, reply, sizeof(reply));
}

/* prefix NULL: all keys. */
static inline void tracker_begin(struct raw *raw, const char *prefix)
{
        char        reply[128] = "no answer", id[128];
        const char *tracking[] = {"CLIENT", "TRACKING", "ON", "REDIRECT", id, "BCAST", "PREFIX", prefix};

        tracker_ask(raw, 2, (const char *[]){"CLIENT", "ID"}, reply, sizeof(reply));
        snprintf(id, sizeof(id), "%s", reply + 1);
        tracker_ask(raw, prefix != NULL ? 8 : 6, tracking, reply, sizeof(reply));
        tracker_subscribe(raw, "__redis__:invalidate");
}

#endif
