/* fuzz_codec.c - a hostile server's stream. The first byte says how it is cut into pieces; whole and cut must mean the
 * same, and nothing may be read or kept beyond its end. */
#include "invalidation/codec.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heard {
        uint64_t sum, events;
};

static bool hear(void *arg, const struct event *event)
{
        struct heard *heard = arg;
        uint64_t      sum = (uint64_t)event->kind * 1000003 + (uint64_t)event->integer + event->bytes.len;

        if (event->bytes.len > ITEM_KEY_MAX && event->kind == EVENT_REMOVE)
                abort();
        for (size_t i = 0; event->bytes.ptr && i < event->bytes.len && i < ITEM_KEY_MAX; i++)
                sum = sum * 31 + (unsigned char)event->bytes.ptr[i];
        heard->sum = heard->sum * 1000003 + sum;
        heard->events++;
        return true;
}

static bool feed(const uint8_t *data, size_t size, size_t piece, struct heard *heard)
{
        static struct codec codec;
        bool                sound = true;

        codec_init(&codec);
        for (size_t at = 0; at < size && sound; at += piece) {
                size_t n = size - at < piece ? size - at : piece;
                char  *exact = malloc(n);

                memcpy(exact, data + at, n);
                sound = codec_feed(&codec, exact, n, hear, heard);
                free(exact);
        }
        return sound;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct heard whole = {0}, cut = {0};

        if (size < 2)
                return 0;
        if (feed(data + 1, size - 1, size, &whole) != feed(data + 1, size - 1, 1 + data[0] % 67u, &cut))
                abort();
        if (whole.sum != cut.sum || whole.events != cut.events)
                abort();
        return 0;
}
