/* fuzz_message.c - announcements from anybody, through the codec: from a channel, or in the entries of a stream. The
 * first byte says which, and how they are cut; whole and cut must mean the same, and nothing is read beyond its end. */
#include "invalidation/codec.h"
#include "invalidation/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heard {
        uint64_t       sum, events;
        bool           inside;
        struct message message;
};

static bool hear(void *arg, const struct event *event)
{
        struct heard *heard = arg;
        uint64_t      sum = (uint64_t)event->kind * 1000003 + (uint64_t)event->integer + event->bytes.len;

        if (event->bytes.len > ITEM_KEY_MAX && (event->kind == EVENT_REMOVE || event->kind == EVENT_PATTERN))
                abort();
        if (event->kind == EVENT_ANNOUNCED && (event->bytes.len > MESSAGE_ORIGIN_MAX || event->integer <= 0))
                abort();
        for (size_t i = 0; event->bytes.ptr && i < event->bytes.len && i < ITEM_KEY_MAX; i++)
                sum = sum * 31 + (unsigned char)event->bytes.ptr[i];
        heard->sum = heard->sum * 1000003 + sum;
        heard->events++;
        return event->kind != EVENT_ANNOUNCED || event->integer % 5 != 0;
}

static bool pass(void *arg, const struct event *event)
{
        struct heard *heard = arg;

        if (event->kind != EVENT_PIECE)
                return hear(arg, event);
        if (!heard->inside)
                message_begin(&heard->message);
        heard->inside = event->integer != 0;
        message_feed(&heard->message, event->bytes.ptr, event->bytes.len, hear, heard);
        if (!heard->inside)
                heard->sum = heard->sum * 2 + message_end(&heard->message);
        return true;
}

static bool feed(enum codec_dialect dialect, const uint8_t *data, size_t size, size_t piece, struct heard *heard)
{
        static struct codec codec;
        bool                sound = true;

        heard->sum = heard->events = 0;
        heard->inside = false;
        codec_init_as(&codec, dialect, mt_bytes_of("c"));
        for (size_t at = 0; at < size && sound; at += piece) {
                size_t n = size - at < piece ? size - at : piece;
                char  *exact = malloc(n);

                memcpy(exact, data + at, n);
                sound = codec_feed(&codec, exact, n, pass, heard);
                free(exact);
        }
        return sound;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct heard whole, cut;
        enum codec_dialect  dialect;

        if (size < 2)
                return 0;
        dialect = data[0] & 1 ? CODEC_STREAM : CODEC_MESSAGES;
        if (feed(dialect, data + 1, size - 1, size, &whole) !=
            feed(dialect, data + 1, size - 1, 1 + data[0] / 2 % 67u, &cut))
                abort();
        if (whole.sum != cut.sum || whole.events != cut.events)
                abort();
        return 0;
}
