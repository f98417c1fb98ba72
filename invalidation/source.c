/* source.c - the handshake of the listener, one reply at a time: what all modes share.
 * Minimum rights: +ping, and of tracking +client|tracking +client|id +subscribe &__redis__:invalidate, of pubsub
 * +subscribe and the channel, of stream +xinfo|stream +xrange +xread and the key. INFO is asked for and may be
 * refused. */
#include "source.h"

#include "info.h"

enum source_answer { SOURCE_ANSWER_ID, SOURCE_ANSWER_INFO }; /* of GREETED */

static const struct source_ops *source_ops_of(enum invalidation_mode mode)
{
        switch (mode) {
        case INVALIDATION_PUBSUB: return &source_channel;
        case INVALIDATION_STREAM: return &source_stream;
        case INVALIDATION_TRACKING:
        case INVALIDATION_NONE: break;
        }
        return &source_tracking;
}

bool source_begin(struct source *source, enum invalidation_mode mode, const struct invalidation_config *config,
                  struct source_position *position, struct link *link, const struct credentials *credentials)
{
        const struct mt_bytes info[] = {mt_bytes_of("INFO"), mt_bytes_of("server")};

        *source = (struct source){.ops = source_ops_of(mode),
                                  .config = config,
                                  .state = SOURCE_GREETED,
                                  .authenticating = credentials != NULL,
                                  .position = position};
        if (credentials && !credentials_send(credentials, link))
                return false;
        if (!source->ops->first)
                source->answered = SOURCE_ANSWER_INFO;
        else if (!source->ops->first(link))
                return false;
        return link_command(link, info, 2);
}

bool source_subscribe(struct source *source, struct link *link)
{
        source->state = SOURCE_ASKED;
        source->answered = 0;
        return source->ops->subscribe(source, link);
}

bool source_ping(struct source *source, struct link *link, uint32_t wait_ms)
{
        const struct mt_bytes ping[] = {mt_bytes_of("PING")};

        (void)source, (void)wait_ms;
        return link_command(link, ping, 1);
}

enum source_result source_subscribed(struct source *source, const struct event *event)
{
        if (event->kind == EVENT_ERROR)
                return source_judge(source, event->bytes);
        return event->kind == EVENT_SUBSCRIBED ? SOURCE_CONFIRMED : SOURCE_MEANINGLESS;
}

/* -------------------------------------------------------------------------------------------------- refusals */

bool source_starts_with(struct mt_bytes text, const char *prefix)
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
                                              "TRYAGAIN", "CLUSTERDOWN", "OOM",        "UNBLOCKED"};

        source_quote(source, error);
        for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++)
                if (source_has_code(error, passing[i]))
                        return SOURCE_LATER;
        if (source_starts_with(error, "ERR max number of clients"))
                return SOURCE_LATER;
        if (source_has_code(error, "NOPERM"))
                return SOURCE_FORBIDDEN;
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
        enum source_result result;

        if (source->authenticating)
                return source_reply_auth(source, event);
        if (source->state == SOURCE_GREETED)
                return source_reply_greeting(source, event);
        if (source->state != SOURCE_ASKED)
                return SOURCE_MEANINGLESS;
        result = source->ops->reply(source, event);
        if (result == SOURCE_CONFIRMED || result == SOURCE_RESUMED)
                source->state = SOURCE_LISTENING;
        return result;
}
