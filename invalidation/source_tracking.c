/* source_tracking.c - the server itself says which keys are written, to one connection for the whole host. */
#include "codec.h"
#include "message.h"
#include "source.h"

static bool tracking_first(struct link *link)
{
        const struct mt_bytes id[] = {mt_bytes_of("CLIENT"), mt_bytes_of("ID")};

        return link_command(link, id, 2);
}

static bool tracking_subscribe(struct source *source, struct link *link)
{
        const struct mt_bytes subscribe[] = {mt_bytes_of("SUBSCRIBE"), mt_bytes_of(CODEC_CHANNEL)};
        struct mt_bytes       tracking[] = {mt_bytes_of("CLIENT"),   mt_bytes_of("TRACKING"), mt_bytes_of("ON"),
                                            mt_bytes_of("REDIRECT"), mt_bytes_of(""),         mt_bytes_of("BCAST")};
        char                  digits[20];

        tracking[4] = mt_bytes(digits, message_write_number(digits, (uint64_t)source->client_id));
        return link_command(link, tracking, 6) && link_command(link, subscribe, 2);
}

static enum source_result tracking_reply(struct source *source, const struct event *event)
{
        if (source->answered++ > 0)
                return source_subscribed(source, event);
        if (event->kind == EVENT_ERROR)
                return source_judge(source, event->bytes);
        return event->kind == EVENT_STATUS ? SOURCE_WAIT : SOURCE_MEANINGLESS;
}

const struct source_ops source_tracking = {tracking_first, tracking_subscribe, tracking_reply, source_ping};
