/* source_channel.c - programs say on a channel which keys they have written.
 *
 * Why PONG proves it: a write is acknowledged to its program when the PUBLISH behind it has been answered, so executed
 * by then; PUBLISH puts the message into this connection's output when it is executed, and PING its PONG, so whoever
 * was executed first is heard first. */
#include "source.h"

static bool channel_subscribe(struct source *source, struct link *link)
{
        const struct mt_bytes subscribe[] = {mt_bytes_of("SUBSCRIBE"), mt_bytes_of(source->config->channel)};

        return link_command(link, subscribe, 2);
}

const struct source_ops source_channel = {NULL, channel_subscribe, source_subscribed, source_ping};
