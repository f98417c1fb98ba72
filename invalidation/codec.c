/* codec.c - the push stream of a server, parsed as it arrives.
 *
 *   LINE  a line is being read: type, then text or a number       hold[] has its beginning if it came in pieces
 *   BODY  body_left bytes of a bulk string are still to come      hold[] has its beginning if it is kept
 *   END   the \r\n behind a body                                  body_left counts down from 2
 *
 * The server is not trusted: a line that does not end in \r\n, a number that is none, arrays nested deeper than
 * CODEC_DEPTH_MAX end the stream. Whatever is well-formed but means nothing to us is skipped: a client that is not the
 * tracker can PUBLISH to our channel, and only an array of strings, or nil, is what the server itself sends there. */
#include "codec.h"

#include "../l1/base/assert.h"

enum codec_state { CODEC_LINE, CODEC_BODY, CODEC_END };

enum codec_shape {
        CODEC_OTHER,
        CODEC_OPEN,      /* an array whose first element has not been seen */
        CODEC_MESSAGE,   /* "message", ... of some channel */
        CODEC_KEYS,      /* "message", our channel, ... */
        CODEC_SAID,      /* the same of CODEC_MESSAGES */
        CODEC_SUBSCRIBE, /* "subscribe", ... */
        CODEC_CONFIRMED, /* "subscribe", our channel, ... */
        CODEC_PONG_OPEN, /* "pong", ... */
        CODEC_PONG,      /* "pong", "" */
};

enum codec_type { CODEC_STRING, CODEC_TEXT, CODEC_FAULT, CODEC_NUMBER, CODEC_NIL };

struct codec_sink {
        event_f *handler;
        void    *arg;
};

void codec_init(struct codec *codec)
{
        codec_init_as(codec, CODEC_TRACKING, mt_bytes_of(CODEC_CHANNEL));
}

void codec_init_as(struct codec *codec, enum codec_dialect dialect, struct mt_bytes channel)
{
        codec->dialect = (uint8_t)dialect;
        codec->channel = channel;
        codec->through = false;
        codec->named = codec->told = false;
        codec->state = CODEC_LINE;
        codec->shape = CODEC_OTHER;
        codec->broken = false;
        codec->keep = false;
        codec->depth = 0;
        codec->length = 0;
        codec->body_left = 0;
        codec->held = 0;
}

static bool codec_emit(const struct codec_sink *sink, enum event_kind kind, struct mt_bytes bytes, int64_t integer)
{
        const struct event event = {.kind = kind, .bytes = bytes, .integer = integer};

        return sink->handler(sink->arg, &event);
}

/* An optional '-', then 1 to 18 digits: no such number overflows. */
static bool codec_number(const char *text, size_t len, int64_t *number)
{
        bool    negative = len > 0 && text[0] == '-';
        size_t  i = negative ? 1 : 0;
        int64_t n = 0;

        if (len <= i || len - i > 18)
                return false;
        for (; i < len; i++) {
                if (text[i] < '0' || text[i] > '9')
                        return false;
                n = n * 10 + (text[i] - '0');
        }
        *number = negative ? -n : n;
        return true;
}

/* -------------------------------------------------------------------------------------------- what values mean */

static bool codec_top_level(const struct codec_sink *sink, enum codec_type type, struct mt_bytes bytes, int64_t integer)
{
        switch (type) {
        case CODEC_STRING: return codec_emit(sink, EVENT_BULK, bytes, 0);
        case CODEC_NIL: return codec_emit(sink, EVENT_BULK, mt_bytes(NULL, 0), 0);
        case CODEC_FAULT: return codec_emit(sink, EVENT_ERROR, bytes, 0);
        case CODEC_NUMBER: return codec_emit(sink, EVENT_INTEGER, mt_bytes(NULL, 0), integer);
        case CODEC_TEXT:
                return codec_emit(sink, mt_bytes_equal(bytes, mt_bytes_of("PONG")) ? EVENT_PONG : EVENT_STATUS, bytes,
                                  0);
        }
        return false;
}

static enum codec_shape codec_first(const struct codec *codec, struct mt_bytes word)
{
        if (codec->length == 3 && mt_bytes_equal(word, mt_bytes_of("message")))
                return CODEC_MESSAGE;
        if (codec->length == 3 && mt_bytes_equal(word, mt_bytes_of("subscribe")))
                return CODEC_SUBSCRIBE;
        if (codec->length == 2 && mt_bytes_equal(word, mt_bytes_of("pong")))
                return CODEC_PONG_OPEN;
        return CODEC_OTHER;
}

static enum codec_shape codec_second(const struct codec *codec, struct mt_bytes word)
{
        bool ours = mt_bytes_equal(word, codec->channel);

        if (codec->shape == CODEC_MESSAGE && ours)
                return codec->dialect == CODEC_MESSAGES ? CODEC_SAID : CODEC_KEYS;
        if (codec->shape == CODEC_SUBSCRIBE && ours)
                return CODEC_CONFIRMED;
        if (codec->shape == CODEC_PONG_OPEN && word.len == 0)
                return CODEC_PONG;
        return CODEC_OTHER;
}

/* The same in a stream's replies: [[stream, [[id, [field, value, ...]], ...]]] of XREAD, [name, value, ...] of XINFO. A
 * message is told by its pieces, before it comes here. */
static bool codec_stream_element(struct codec *codec, const struct codec_sink *sink, enum codec_type type,
                                 struct mt_bytes bytes, int64_t integer)
{
        bool word = type == CODEC_STRING && bytes.ptr;

        if (codec->depth == 1)
                return codec_emit(sink, EVENT_WORD, word ? bytes : mt_bytes(NULL, 0), integer);
        if (codec->depth == 4 && codec->at[3] == 0)
                return codec_emit(sink, word ? EVENT_ENTRY : EVENT_MALFORMED, bytes, 0);
        if (codec->depth == 5 && codec->at[4] % 2 == 0)
                codec->named = word && mt_bytes_equal(bytes, mt_bytes_of(CODEC_FIELD));
        return true;
}

/* A value inside the outermost array. A string that was not kept has ptr NULL: it is none of the words that we know. */
static bool codec_element(struct codec *codec, const struct codec_sink *sink, enum codec_type type,
                          struct mt_bytes bytes, int64_t integer)
{
        bool word = type == CODEC_STRING && bytes.ptr;

        if (codec->dialect == CODEC_STREAM)
                return codec_stream_element(codec, sink, type, bytes, integer);
        if (codec->depth == 2 && codec->at[0] == 2 && codec->shape == CODEC_KEYS)
                return !word || codec_emit(sink, EVENT_REMOVE, bytes, 0);
        if (codec->depth > 1)
                return true;
        if (codec->at[0] == 0)
                codec->shape = (uint8_t)(word ? codec_first(codec, bytes) : CODEC_OTHER);
        else if (codec->at[0] == 1)
                codec->shape = (uint8_t)(word ? codec_second(codec, bytes) : CODEC_OTHER);
        else if (codec->shape == CODEC_KEYS && type == CODEC_NIL)
                return codec_emit(sink, EVENT_FLUSH, mt_bytes(NULL, 0), 0);
        else if (codec->shape == CODEC_SAID && type != CODEC_STRING)
                return codec_emit(sink, EVENT_MALFORMED, mt_bytes(NULL, 0), 0);
        else if (codec->shape == CODEC_CONFIRMED && type != CODEC_NUMBER)
                codec->shape = CODEC_OTHER;
        return true;
}

/* The outermost array is whole. */
static bool codec_close(const struct codec *codec, const struct codec_sink *sink)
{
        if (codec->dialect == CODEC_STREAM)
                return codec_emit(sink, EVENT_ARRAY, mt_bytes(NULL, 0), codec->length);
        switch ((enum codec_shape)codec->shape) {
        case CODEC_KEYS:
        case CODEC_SAID:
        case CODEC_MESSAGE: return true; /* said while it came in */
        case CODEC_CONFIRMED: return codec_emit(sink, EVENT_SUBSCRIBED, mt_bytes(NULL, 0), 0);
        case CODEC_PONG: return codec_emit(sink, EVENT_PONG, mt_bytes(NULL, 0), 0);
        case CODEC_OPEN:
        case CODEC_SUBSCRIBE:
        case CODEC_PONG_OPEN:
        case CODEC_OTHER: break;
        }
        return codec_emit(sink, EVENT_OTHER, mt_bytes(NULL, 0), 0);
}

/* One value is complete: so may be the arrays around it. */
static bool codec_step_out(struct codec *codec, const struct codec_sink *sink)
{
        while (codec->depth > 0) {
                uint32_t *at = &codec->at[codec->depth - 1];

                *at += *at < UINT32_MAX;
                if (--codec->left[codec->depth - 1] > 0)
                        return true;
                if (codec->depth == 4 && codec->dialect == CODEC_STREAM && !codec->told &&
                    !codec_emit(sink, EVENT_MALFORMED, mt_bytes(NULL, 0), 0))
                        return false;
                if (--codec->depth == 0)
                        return codec_close(codec, sink);
        }
        return true;
}

static bool codec_value(struct codec *codec, const struct codec_sink *sink, enum codec_type type, struct mt_bytes bytes,
                        int64_t integer)
{
        if (codec->depth == 0)
                return codec_top_level(sink, type, bytes, integer);
        return codec_element(codec, sink, type, bytes, integer) && codec_step_out(codec, sink);
}

/* ---------------------------------------------------------------------------------------------- lines and bodies */

static bool codec_array(struct codec *codec, const struct codec_sink *sink, int64_t length)
{
        if (length < 0)
                return codec_value(codec, sink, CODEC_NIL, mt_bytes(NULL, 0), 0);
        if (codec->depth == CODEC_DEPTH_MAX)
                return false;
        if (codec->depth == 0) {
                codec->shape = length > 0 ? CODEC_OPEN : CODEC_OTHER;
                codec->length = length;
        } else if (codec->dialect == CODEC_STREAM) {
                if (codec->depth == 1 && !codec_emit(sink, EVENT_WORD, mt_bytes(NULL, 0), 0))
                        return false;
                if (codec->depth == 3)
                        codec->told = codec->named = false;
        } else if (codec->depth == 1 && codec->at[0] < 2) {
                codec->shape = CODEC_OTHER; /* where a word was expected */
        } else if (codec->depth == 1 && codec->shape == CODEC_SAID) {
                if (!codec_emit(sink, EVENT_MALFORMED, mt_bytes(NULL, 0), 0))
                        return false;
        } else if (codec->depth == 1 && codec->shape == CODEC_CONFIRMED) {
                codec->shape = CODEC_OTHER;
        }
        if (length == 0)
                return codec->depth > 0 ? codec_step_out(codec, sink) : codec_close(codec, sink);
        codec->at[codec->depth] = 0;
        codec->left[codec->depth++] = length;
        return true;
}

/* Which strings anybody will look at: replies, the first two words of an array, and keys. */
static bool codec_wanted(const struct codec *codec, uint64_t length)
{
        if (codec->depth == 0)
                return true; /* perhaps cut short */
        if (length > sizeof codec->hold)
                return false;
        if (codec->dialect == CODEC_STREAM)
                return codec->depth == 1 || (codec->depth == 4 && codec->at[3] == 0) ||
                       (codec->depth == 5 && codec->at[4] % 2 == 0);
        if (codec->depth == 1)
                return codec->at[0] < 2;
        return codec->depth == 2 && codec->shape == CODEC_KEYS;
}

/* Is the string that follows a message, whatever its length? */
static bool codec_passes_through(const struct codec *codec)
{
        if (codec->dialect == CODEC_STREAM)
                return codec->depth == 5 && codec->at[4] % 2 == 1 && codec->named;
        return codec->depth == 1 && codec->at[0] == 2 && codec->shape == CODEC_SAID;
}

static bool codec_bulk(struct codec *codec, const struct codec_sink *sink, int64_t length)
{
        if (length < 0)
                return codec_value(codec, sink, CODEC_NIL, mt_bytes(NULL, 0), 0);
        codec->through = codec->dialect != CODEC_TRACKING && codec_passes_through(codec);
        codec->told |= codec->through;
        codec->keep = !codec->through && codec_wanted(codec, (uint64_t)length);
        codec->body_left = (uint64_t)length;
        codec->state = CODEC_BODY;
        return true;
}

/* A whole line, without its \r\n. */
static bool codec_line(struct codec *codec, const struct codec_sink *sink, const char *line, size_t len)
{
        struct mt_bytes text;
        int64_t         number = 0;

        if (len == 0)
                return false;
        text = mt_bytes(line + 1, len - 1);
        switch (line[0]) {
        case '+': return codec_value(codec, sink, CODEC_TEXT, text, 0);
        case '-': return codec_value(codec, sink, CODEC_FAULT, text, 0);
        case ':':
                return codec_number(text.ptr, text.len, &number) &&
                       codec_value(codec, sink, CODEC_NUMBER, mt_bytes(NULL, 0), number);
        case '$': return codec_number(text.ptr, text.len, &number) && number >= -1 && codec_bulk(codec, sink, number);
        case '*': return codec_number(text.ptr, text.len, &number) && number >= -1 && codec_array(codec, sink, number);
        default: return false;
        }
}

static bool codec_read_line(struct codec *codec, const struct codec_sink *sink, const char **at, const char *end)
{
        const char *start = *at, *line = start;
        const char *newline = memchr(start, '\n', (size_t)(end - start));
        size_t      piece = (size_t)((newline ? newline + 1 : end) - start);
        size_t      len = piece;

        *at = start + piece;
        if (codec->held > 0 || !newline) {
                if (piece > CODEC_LINE_MAX - codec->held)
                        return false;
                memcpy(codec->hold + codec->held, start, piece);
                codec->held += (uint32_t)piece;
                if (!newline)
                        return true;
                line = codec->hold;
                len = codec->held;
        }
        codec->held = 0;
        return len >= 2 && len <= CODEC_LINE_MAX && line[len - 2] == '\r' && codec_line(codec, sink, line, len - 2);
}

/* The usual case: the whole body and its \r\n are here, and nothing needs to be copied. */
static bool codec_read_whole_body(struct codec *codec, const struct codec_sink *sink, const char **at)
{
        const char *body = *at;
        size_t      len = (size_t)codec->body_left;

        *at += len + 2;
        codec->state = CODEC_LINE;
        if (body[len] != '\r' || body[len + 1] != '\n')
                return false;
        return codec_value(codec, sink, CODEC_STRING, codec->keep ? mt_bytes(body, len) : mt_bytes(NULL, len), 0);
}

static bool codec_read_body(struct codec *codec, const struct codec_sink *sink, const char **at, const char *end)
{
        size_t here = (size_t)(end - *at), piece, room;

        if (codec->held == 0 && codec->body_left <= sizeof codec->hold && here >= codec->body_left + 2 &&
            !codec->through)
                return codec_read_whole_body(codec, sink, at);
        piece = here < codec->body_left ? here : (size_t)codec->body_left;
        room = sizeof codec->hold - codec->held;
        if (codec->keep) {
                size_t kept = piece < room ? piece : room;

                memcpy(codec->hold + codec->held, *at, kept);
                codec->held += (uint32_t)kept;
        }
        *at += piece;
        codec->body_left -= piece;
        if (codec->through && !codec_emit(sink, EVENT_PIECE, mt_bytes(*at - piece, piece), (int64_t)codec->body_left))
                return false;
        if (codec->body_left == 0) {
                codec->state = CODEC_END;
                codec->body_left = 2;
        }
        return true;
}

static bool codec_read_end(struct codec *codec, const struct codec_sink *sink, const char **at)
{
        struct mt_bytes body = mt_bytes(codec->keep ? codec->hold : NULL, codec->held);

        if (*(*at)++ != (codec->body_left == 2 ? '\r' : '\n'))
                return false;
        if (--codec->body_left > 0)
                return true;
        codec->state = CODEC_LINE;
        codec->held = 0;
        return codec_value(codec, sink, CODEC_STRING, body, 0);
}

bool codec_feed(struct codec *codec, const char *data, size_t len, event_f *handler, void *arg)
{
        const struct codec_sink sink = {.handler = handler, .arg = arg};
        const char             *at = data, *end = data + len;

        while (at < end && !codec->broken) {
                bool sound = false;

                switch ((enum codec_state)codec->state) {
                case CODEC_LINE: sound = codec_read_line(codec, &sink, &at, end); break;
                case CODEC_BODY: sound = codec_read_body(codec, &sink, &at, end); break;
                case CODEC_END: sound = codec_read_end(codec, &sink, &at); break;
                }
                codec->broken = !sound;
        }
        return !codec->broken;
}
