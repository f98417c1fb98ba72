/* source_stream.c - programs append to a stream which keys they have written; a listener goes on where it was.
 *
 * Why an XREAD with an XINFO behind it proves it: they were sent at a time T and executed later, and whatever was
 * acknowledged before T had been appended by then. If the stream's last entry is the one that was read last, and as
 * many were ever added as have been counted, all of them have been read.
 *
 * Whether entries were missed while there was no connection is asked of XINFO STREAM and XRANGE. None were if the entry
 * that was applied last is still there (a stream is trimmed from its beginning), and it is the same stream: no fewer
 * entries have ever been added, none behind ours was deleted. Servers before 7 do not say the latter; what they have
 * is the entry. */
#include "message.h"
#include "source.h"

#include <stdlib.h>

enum { STREAM_ANSWER_INFO, STREAM_ANSWER_RANGE };
#define STREAM_BEGINNING "0-0"
#define STREAM_UNKNOWN   INT64_C(-1)
#define STREAM_ABSENT    "ERR no such key"

/* What it said of itself the last time. */
static void stream_forget(struct source *source)
{
        source->wanted = SOURCE_NONE;
        source->added = STREAM_UNKNOWN;
        source->last[0] = source->first[0] = source->deleted[0] = '\0';
}

static void stream_begin_at_end(struct source *source)
{
        strcpy(source->position->id, source->last[0] != '\0' ? source->last : STREAM_BEGINNING);
        source->position->added = source->added;
}

static bool stream_info(const struct source *source, struct link *link)
{
        const struct mt_bytes info[] = {mt_bytes_of("XINFO"), mt_bytes_of("STREAM"),
                                        mt_bytes_of(source->config->stream)};

        return link_command(link, info, 3);
}

static bool stream_subscribe(struct source *source, struct link *link)
{
        const struct mt_bytes name = mt_bytes_of(source->config->stream);
        const char           *last = source->position->id[0] != '\0' ? source->position->id : STREAM_BEGINNING;
        const struct mt_bytes range[] = {mt_bytes_of("XRANGE"), name,
                                         mt_bytes_of(last),     mt_bytes_of(last),
                                         mt_bytes_of("COUNT"),  mt_bytes_of("1")};

        stream_forget(source);
        return stream_info(source, link) && link_command(link, range, 6);
}

/* ------------------------------------------------------------------------------------------------- XINFO STREAM */

static enum source_wanted stream_name(struct mt_bytes word)
{
        static const struct {
                const char        *name;
                enum source_wanted wanted;
        } names[] = {{"last-generated-id", SOURCE_LAST},
                     {"recorded-first-entry-id", SOURCE_FIRST},
                     {"entries-added", SOURCE_ADDED},
                     {"max-deleted-entry-id", SOURCE_DELETED}};

        for (size_t i = 0; word.ptr && i < sizeof names / sizeof *names; i++)
                if (mt_bytes_equal(word, mt_bytes_of(names[i].name)))
                        return names[i].wanted;
        return SOURCE_NONE;
}

static void stream_keep(char to[SOURCE_ID_MAX + 1], struct mt_bytes id)
{
        if (!id.ptr || id.len > SOURCE_ID_MAX)
                return;
        memcpy(to, id.ptr, id.len);
        to[id.len] = '\0';
}

/* Name and value take turns; a name that is none of ours has a value that is none either. */
static void stream_learn(struct source *source, const struct event *event)
{
        switch (source->wanted) {
        case SOURCE_NONE: source->wanted = stream_name(event->bytes); return;
        case SOURCE_LAST: stream_keep(source->last, event->bytes); break;
        case SOURCE_FIRST: stream_keep(source->first, event->bytes); break;
        case SOURCE_DELETED: stream_keep(source->deleted, event->bytes); break;
        case SOURCE_ADDED: source->added = event->bytes.ptr ? STREAM_UNKNOWN : event->integer; break;
        }
        source->wanted = SOURCE_NONE;
}

/* ----------------------------------------------------------------------------------------------------- the gap */

struct stream_id {
        uint64_t ms, sequence;
};

/* "1526919030474-55"; what is none counts as the beginning. */
static struct stream_id stream_id(const char *text)
{
        struct stream_id id = {0, 0};
        char            *end;

        id.ms = strtoull(text, &end, 10);
        if (*end == '-')
                id.sequence = strtoull(end + 1, NULL, 10);
        return id;
}

static bool stream_after(const char *a, const char *b)
{
        struct stream_id left = stream_id(a), right = stream_id(b);

        return left.ms > right.ms || (left.ms == right.ms && left.sequence > right.sequence);
}

/* found: XRANGE has the entry that was applied last. */
static bool stream_unbroken(const struct source *source, bool found)
{
        const struct source_position *position = source->position;

        if (position->id[0] == '\0')
                return false;
        if (position->added != STREAM_UNKNOWN && source->added < position->added)
                return false; /* another stream of that name, or what was restored of it */
        if (stream_after(position->id, source->last))
                return false;
        if (!found) /* nothing has been added since: then nothing was missed, whatever was trimmed */
                return source->added != STREAM_UNKNOWN && source->added == position->added &&
                       !stream_after(source->last, position->id);
        return !stream_after(source->first, position->id) && !stream_after(source->deleted, position->id);
}

static enum source_result stream_settle(struct source *source, bool found)
{
        bool unbroken = stream_unbroken(source, found);

        if (!unbroken)
                stream_begin_at_end(source);
        return unbroken ? SOURCE_RESUMED : SOURCE_CONFIRMED;
}

static enum source_result stream_reply(struct source *source, const struct event *event)
{
        bool absent = event->kind == EVENT_ERROR && source_starts_with(event->bytes, STREAM_ABSENT);

        if (event->kind == EVENT_ERROR && !absent)
                return source_judge(source, event->bytes);
        if (event->kind == EVENT_WORD) {
                if (source->answered == STREAM_ANSWER_INFO)
                        stream_learn(source, event);
                return SOURCE_WAIT;
        }
        if (event->kind != EVENT_ARRAY && !absent)
                return SOURCE_MEANINGLESS;
        if (source->answered++ == STREAM_ANSWER_INFO) {
                if (absent)
                        source->added = 0;
                return SOURCE_WAIT;
        }
        return stream_settle(source, event->integer > 0);
}

/* ---------------------------------------------------------------------------------------------------- the proof */

static bool stream_read(const struct source *source, struct link *link, uint32_t wait_ms)
{
        char            wait[20], count[20];
        struct mt_bytes words[8] = {mt_bytes_of("XREAD"), mt_bytes_of("COUNT")};
        unsigned        n = 2;

        words[n++] = mt_bytes(count, message_write_number(count, SOURCE_STREAM_COUNT));
        if (wait_ms > 0) {
                words[n++] = mt_bytes_of("BLOCK");
                words[n++] = mt_bytes(wait, message_write_number(wait, wait_ms));
        }
        words[n++] = mt_bytes_of("STREAMS");
        words[n++] = mt_bytes_of(source->config->stream);
        words[n++] = mt_bytes_of(source->position->id);
        return link_command(link, words, n);
}

static bool stream_pulse(struct source *source, struct link *link, uint32_t wait_ms)
{
        source->expected = wait_ms > 0 ? SOURCE_ENTRIES : SOURCE_ALL_ENTRIES;
        source->rebuffed = false;
        return stream_read(source, link, wait_ms) && (wait_ms > 0 || stream_info(source, link));
}

/* Both were executed one right after the other, mostly: then what the stream says of itself is what we have read. One
 * that was deleted, flushed or swapped away, and begun again, says something else: its new entries may have ids below
 * the one that we ask from, and would never be seen. (Not if it had come as far again, to the entry and the
 * millisecond.) */
static enum source_proof stream_compare(struct source *source)
{
        const struct source_position *position = source->position;
        bool                          counted = position->added != STREAM_UNKNOWN && source->added != STREAM_UNKNOWN;
        bool                          beyond = stream_after(source->last, position->id),
             here = !beyond && !stream_after(position->id, source->last);

        if (here && (!counted || source->added == position->added))
                return SOURCE_PROVED;
        if (beyond && (!counted || source->added > position->added))
                return SOURCE_UNPROVED;
        stream_begin_at_end(source);
        return SOURCE_GAP;
}

static enum source_proof stream_heard_info(struct source *source, const struct event *event, bool absent)
{
        if (event->kind == EVENT_WORD) {
                stream_learn(source, event);
                return SOURCE_MORE;
        }
        source->expected = SOURCE_NOTHING;
        if (absent)
                source->added = 0;
        else if (event->kind == EVENT_ERROR)
                source->rebuffed = true;
        else if (event->kind != EVENT_ARRAY)
                return SOURCE_NO_PROOF;
        return source->rebuffed ? SOURCE_UNPROVED : stream_compare(source);
}

enum source_proof source_stream_heard(struct source *source, const struct event *event)
{
        bool absent = event->kind == EVENT_ERROR && source_starts_with(event->bytes, STREAM_ABSENT);
        bool nothing = event->kind == EVENT_BULK && !event->bytes.ptr;

        switch (source->expected) {
        case SOURCE_INFO: return stream_heard_info(source, event, absent);
        case SOURCE_NOTHING: return SOURCE_NO_PROOF;
        case SOURCE_ENTRIES:
        case SOURCE_ALL_ENTRIES: break;
        }
        if (event->kind == EVENT_WORD)
                return SOURCE_MORE;
        if (event->kind != EVENT_ARRAY && event->kind != EVENT_ERROR && !nothing)
                return SOURCE_NO_PROOF;
        source->rebuffed = event->kind == EVENT_ERROR;
        if (source->expected == SOURCE_ENTRIES) {
                source->expected = SOURCE_NOTHING;
                return source->rebuffed ? SOURCE_UNPROVED : SOURCE_WAITED;
        }
        source->expected = SOURCE_INFO;
        stream_forget(source);
        return SOURCE_MORE;
}

const struct source_ops source_stream = {NULL, stream_subscribe, stream_reply, stream_pulse};

/* ------------------------------------------------------------------------------------------------- the position */

void source_passed(struct source_position *position, struct mt_bytes id)
{
        stream_keep(position->id, id);
        if (position->added != STREAM_UNKNOWN)
                position->added++;
}
