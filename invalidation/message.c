/* message.c - "1" kind " " origin " " sequence "\n", then "<length>:<key>" for each key.
 *
 *   HEAD    the first line is being read                        hold[] has its beginning if it came in pieces
 *   LENGTH  a decimal number and ':'                            hold[] likewise; the message may end where one begins
 *   KEY     left bytes of a key are still to come               hold[] has its beginning if it came in pieces
 *   BAD     it is no message: whatever follows is passed over
 *
 * Anybody who may PUBLISH may send anything. */
#include "message.h"

enum { MESSAGE_HEX = 16 };
enum message_state { MESSAGE_HEAD, MESSAGE_LENGTH, MESSAGE_KEY, MESSAGE_BAD };

struct message_sink {
        event_f *handler;
        void    *arg;
};

void message_begin(struct message *message)
{
        message->state = MESSAGE_HEAD;
        message->unheard = false;
        message->keys = 0;
        message->held = 0;
        message->left = 0;
}

static bool message_emit(const struct message_sink *sink, enum event_kind kind, struct mt_bytes bytes, int64_t integer)
{
        const struct event event = {.kind = kind, .bytes = bytes, .integer = integer};

        return sink->handler(sink->arg, &event);
}

/* 1 to most digits, no sign, no leading zero but "0" itself. */
static bool message_number(struct mt_bytes text, size_t most, uint64_t *number)
{
        uint64_t n = 0;

        if (text.len == 0 || text.len > most || (text.len > 1 && text.ptr[0] == '0'))
                return false;
        for (size_t i = 0; i < text.len; i++) {
                if (text.ptr[i] < '0' || text.ptr[i] > '9')
                        return false;
                n = n * 10 + (uint64_t)(text.ptr[i] - '0');
        }
        *number = n;
        return true;
}

static bool message_origin_sound(struct mt_bytes origin)
{
        if (origin.len == 0 || origin.len > MESSAGE_ORIGIN_MAX)
                return false;
        for (size_t i = 0; i < origin.len; i++)
                if (origin.ptr[i] <= ' ' || origin.ptr[i] > '~')
                        return false;
        return true;
}

/* The first line, without its newline. */
static bool message_head(struct message *message, const struct message_sink *sink, struct mt_bytes line)
{
        const char     *space;
        struct mt_bytes origin, sequence;
        uint64_t        number;

        if (line.len < 4 || line.ptr[0] != '1' || !memchr("RUBP", line.ptr[1], 4) || line.ptr[2] != ' ')
                return false;
        line = mt_bytes(line.ptr + 3, line.len - 3);
        space = memchr(line.ptr, ' ', line.len);
        if (!space)
                return false;
        origin = mt_bytes(line.ptr, (size_t)(space - line.ptr));
        sequence = mt_bytes(space + 1, line.len - origin.len - 1);
        if (!message_origin_sound(origin) || !message_number(sequence, 18, &number) || number == 0)
                return false;
        message->unheard = !message_emit(sink, EVENT_ANNOUNCED, origin, (int64_t)number);
        return true;
}

/* A whole key; ptr NULL: it was too long. */
static void message_key(struct message *message, const struct message_sink *sink, struct mt_bytes key)
{
        message->keys++;
        message->held = 0;
        message->state = MESSAGE_LENGTH;
        if (message->unheard)
                return;
        if (message->kind == MESSAGE_PATTERN)
                message_emit(sink, key.ptr ? EVENT_PATTERN : EVENT_FLUSH, key, 0);
        else if (key.ptr)
                message_emit(sink, EVENT_REMOVE, key, 0);
}

/* Up to and with its last byte, at most so many bytes: true when it is whole, *line is it, without that byte. *at moves
 * behind what was taken. */
static bool message_line(struct message *message, const char **at, const char *end, char last, size_t most,
                         struct mt_bytes *line)
{
        const char *start = *at, *found = memchr(start, last, (size_t)(end - start));
        size_t      piece = (size_t)((found ? found : end) - start);

        if (piece > most - message->held) {
                message->state = MESSAGE_BAD;
                return false;
        }
        *at = start + piece + (found ? 1 : 0);
        if (found && message->held == 0) {
                *line = mt_bytes(start, piece);
                return true;
        }
        memcpy(message->hold + message->held, start, piece);
        message->held += (uint32_t)piece;
        *line = mt_bytes(message->hold, message->held);
        if (found)
                message->held = 0;
        return found != NULL;
}

static void message_read_head(struct message *message, const struct message_sink *sink, const char **at,
                              const char *end)
{
        struct mt_bytes line;

        if (!message_line(message, at, end, '\n', MESSAGE_HEAD_MAX - 1, &line))
                return;
        message->kind = line.len > 1 ? line.ptr[1] : '\0';
        message->state = message_head(message, sink, line) ? MESSAGE_LENGTH : MESSAGE_BAD;
}

static void message_read_length(struct message *message, const struct message_sink *sink, const char **at,
                                const char *end)
{
        struct mt_bytes line;

        if (!message_line(message, at, end, ':', MESSAGE_LENGTH_MAX - 1, &line))
                return;
        if (!message_number(line, 9, &message->left) || (message->kind != MESSAGE_BULK && message->keys > 0)) {
                message->state = MESSAGE_BAD;
                return;
        }
        message->state = MESSAGE_KEY;
        message->too_long = message->left > sizeof message->hold;
        if (message->left == 0)
                message_key(message, sink, mt_bytes("", 0));
}

static void message_read_key(struct message *message, const struct message_sink *sink, const char **at, const char *end)
{
        size_t      here = (size_t)(end - *at), piece = here < message->left ? here : (size_t)message->left;
        const char *piece_at = *at;
        bool        whole = message->held == 0 && piece == message->left;

        *at += piece;
        message->left -= piece;
        if (message->too_long) {
                if (message->left == 0)
                        message_key(message, sink, mt_bytes(NULL, 0));
                return;
        }
        if (whole) { /* the usual case: nothing needs to be copied */
                message_key(message, sink, mt_bytes(piece_at, piece));
                return;
        }
        memcpy(message->hold + message->held, piece_at, piece);
        message->held += (uint32_t)piece;
        if (message->left == 0)
                message_key(message, sink, mt_bytes(message->hold, message->held));
}

void message_feed(struct message *message, const char *data, size_t len, event_f *handler, void *arg)
{
        const struct message_sink sink = {.handler = handler, .arg = arg};
        const char               *at = data, *end = data + len;

        while (at < end)
                switch ((enum message_state)message->state) {
                case MESSAGE_HEAD: message_read_head(message, &sink, &at, end); break;
                case MESSAGE_LENGTH: message_read_length(message, &sink, &at, end); break;
                case MESSAGE_KEY: message_read_key(message, &sink, &at, end); break;
                case MESSAGE_BAD: return;
                }
}

bool message_end(const struct message *message)
{
        return message->state == MESSAGE_LENGTH && message->held == 0 && message->keys > 0;
}

static bool message_read_hex(const char *text, uint64_t *number)
{
        *number = 0;
        for (size_t i = 0; i < MESSAGE_HEX; i++) {
                char c = text[i];

                if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
                        return false;
                *number = *number << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        return true;
}

bool message_read_origin(struct mt_bytes text, uint64_t *origin, uint64_t *household)
{
        *household = 0;
        if (text.len == MESSAGE_HEX)
                return message_read_hex(text.ptr, origin);
        return text.len == 2 * MESSAGE_HEX + 1 && text.ptr[MESSAGE_HEX] == '.' && message_read_hex(text.ptr, origin) &&
               message_read_hex(text.ptr + MESSAGE_HEX + 1, household);
}

/* ------------------------------------------------------------------------------------------------------ writing */

size_t message_write_number(char *to, uint64_t number)
{
        char   digits[20];
        size_t at = sizeof digits, len;

        do
                digits[--at] = (char)('0' + number % 10);
        while ((number /= 10) > 0);
        len = sizeof digits - at;
        memcpy(to, digits + at, len);
        return len;
}

static size_t message_write_hex(char *to, uint64_t number)
{
        static const char hex[] = "0123456789abcdef";

        for (size_t i = 0; i < MESSAGE_HEX; i++)
                to[i] = hex[number >> (60 - 4 * i) & 15];
        return MESSAGE_HEX;
}

size_t message_write_head(char *to, enum message_kind kind, uint64_t origin, uint64_t household, uint64_t sequence)
{
        size_t n = 0;

        to[n++] = '1';
        to[n++] = (char)kind;
        to[n++] = ' ';
        n += message_write_hex(to + n, origin);
        if (household != 0) {
                to[n++] = '.';
                n += message_write_hex(to + n, household);
        }
        to[n++] = ' ';
        n += message_write_number(to + n, sequence);
        to[n++] = '\n';
        return n;
}

size_t message_write_key(char *to, struct mt_bytes key)
{
        size_t n = message_write_number(to, key.len);

        to[n++] = ':';
        if (key.len > 0)
                memcpy(to + n, key.ptr, key.len);
        return n + key.len;
}
