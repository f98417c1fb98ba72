/* source_tracking.c - the handshake of the listener, one reply at a time.
 * Minimum rights: +client|tracking +client|id +subscribe +ping &__redis__:invalidate. INFO is asked for and may be
 * refused. */
#include "source_tracking.h"

#include "codec.h"
#include "info.h"

enum source_answer { SOURCE_ANSWER_ID, SOURCE_ANSWER_INFO }; /* of GREETED */

bool source_begin(struct source *source, struct link *link, const struct credentials *credentials)
{
        const struct mt_bytes id[] = {mt_bytes_of("CLIENT"), mt_bytes_of("ID")};
        const struct mt_bytes info[] = {mt_bytes_of("INFO"), mt_bytes_of("server")};

        *source = (struct source){.state = SOURCE_GREETED, .authenticating = credentials != NULL};
        if (credentials && !credentials_send(credentials, link))
                return false;
        return link_command(link, id, 2) && link_command(link, info, 2);
}

bool source_subscribe(struct source *source, struct link *link)
{
        const struct mt_bytes subscribe[] = {mt_bytes_of("SUBSCRIBE"), mt_bytes_of(CODEC_CHANNEL)};
        struct mt_bytes       tracking[] = {mt_bytes_of("CLIENT"),   mt_bytes_of("TRACKING"), mt_bytes_of("ON"),
                                            mt_bytes_of("REDIRECT"), mt_bytes_of(""),         mt_bytes_of("BCAST")};
        char                  digits[20];
        size_t                at = sizeof digits;
        int64_t               id = source->client_id;

        do
                digits[--at] = (char)('0' + id % 10);
        while ((id /= 10) > 0);
        tracking[4] = mt_bytes(digits + at, sizeof digits - at);
        source->state = SOURCE_ASKED;
        source->answered = 0;
        return link_command(link, tracking, 6) && link_command(link, subscribe, 2);
}

/* -------------------------------------------------------------------------------------------------- refusals */

static bool source_starts_with(struct mt_bytes text, const char *prefix)
{
        size_t len = strlen(prefix);

        return text.len >= len && memcmp(text.ptr, prefix, len) == 0;
}

static bool source_has_code(struct mt_bytes error, const char *code)
{
        size_t len = strlen(code);

        return source_starts_with(error, code) && (error.len == len || error.ptr[len] == ' ');
}

static void source_quote(struct source *source, struct mt_bytes error)
{
        size_t len = error.len < SOURCE_REASON_MAX ? error.len : SOURCE_REASON_MAX;

        for (size_t i = 0; i < len; i++)
                source->reason[i] = error.ptr[i] >= ' ' && error.ptr[i] <= '~' ? error.ptr[i] : '?';
        source->reason[len] = '\0';
}

enum source_result source_judge(struct source *source, struct mt_bytes error)
{
        static const char *const passing[] = {"LOADING",  "BUSY",        "MASTERDOWN", "MISCONF",
                                              "TRYAGAIN", "CLUSTERDOWN", "OOM"};

        source_quote(source, error);
        for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++)
                if (source_has_code(error, passing[i]))
                        return SOURCE_LATER;
        if (source_starts_with(error, "ERR max number of clients"))
                return SOURCE_LATER;
        return source_has_code(error, "ERR") ? SOURCE_IMPOSSIBLE : SOURCE_REFUSED;
}

/* An error about AUTH may quote its arguments (where the command was renamed), so no more of it than its first word is
 * repeated. */
static enum source_result source_reply_auth(struct source *source, const struct event *event)
{
        const char     *space;
        struct mt_bytes code = event->bytes;

        source->authenticating = false;
        if (event->kind == EVENT_STATUS)
                return SOURCE_WAIT;
        if (event->kind != EVENT_ERROR)
                return SOURCE_MEANINGLESS;
        space = memchr(code.ptr, ' ', code.len);
        if (space)
                code.len = (size_t)(space - code.ptr);
        if (source_starts_with(event->bytes, "ERR max number of clients"))
                return SOURCE_LATER;
        if (source_has_code(code, "ERR")) /* it wants no password, perhaps: what comes next will tell */
                return SOURCE_WAIT;
        return source_judge(source, code);
}

/* --------------------------------------------------------------------------------------------------- replies */

static void source_learn(struct source *source, struct mt_bytes info)
{
        struct mt_bytes run_id = info_field(info, "run_id:");

        if (run_id.len == 0 || run_id.len > SOURCE_RUN_ID_MAX)
                return;
        memcpy(source->run_id, run_id.ptr, run_id.len);
        source->run_id[run_id.len] = '\0';
        source->informed = true;
        source->cluster = mt_bytes_equal(info_field(info, "redis_mode:"), mt_bytes_of("cluster"));
}

static enum source_result source_reply_greeting(struct source *source, const struct event *event)
{
        switch ((enum source_answer)source->answered++) {
        case SOURCE_ANSWER_ID:
                if (event->kind == EVENT_ERROR)
                        return source_judge(source, event->bytes);
                source->client_id = event->integer;
                return event->kind == EVENT_INTEGER && event->integer > 0 ? SOURCE_WAIT : SOURCE_MEANINGLESS;
        case SOURCE_ANSWER_INFO:
                if (event->kind == EVENT_BULK && event->bytes.ptr)
                        source_learn(source, event->bytes);
                else if (event->kind != EVENT_ERROR)
                        return SOURCE_MEANINGLESS;
                source->state = SOURCE_KNOWN;
                return SOURCE_IDENTIFIED;
        }
        return SOURCE_MEANINGLESS;
}

enum source_result source_reply(struct source *source, const struct event *event)
{
        if (source->authenticating)
                return source_reply_auth(source, event);
        if (source->state == SOURCE_GREETED)
                return source_reply_greeting(source, event);
        if (source->state != SOURCE_ASKED)
                return SOURCE_MEANINGLESS;
        if (event->kind == EVENT_ERROR)
                return source_judge(source, event->bytes);
        if (source->answered++ == 0) /* of CLIENT TRACKING */
                return event->kind == EVENT_STATUS ? SOURCE_WAIT : SOURCE_MEANINGLESS;
        if (event->kind != EVENT_SUBSCRIBED)
                return SOURCE_MEANINGLESS;
        source->state = SOURCE_LISTENING;
        return SOURCE_CONFIRMED;
}
