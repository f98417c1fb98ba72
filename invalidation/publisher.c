/* publisher.c - RESP words around a message. The keys are written once, behind a room for the words, since those are
 * known only when the announcement is sent: its kind, its number, its length. */
#include "publisher.h"

#include "invalidation.h"
#include "message.h"

#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

enum {
        PUBLISHER_ROOM = 1024,            /* for the words; the longest have some 700 bytes */
        PUBLISHER_FIRST = 4096,           /* bytes of a buffer, to begin with */
        PUBLISHER_KEYS_MAX = 1024 * 1024, /* bytes of keys; more are announced as "all" */
        PUBLISHER_STREAM_MAXLEN = 100000, /* entries, about: a listener that was away for as many flushes */
        PUBLISHER_CLEARED = 1024,         /* a power of two */
};

static struct {
        bool            wanted, by_stream;
        struct mt_bytes channel, stream, audit_stream;
        uint64_t        audit_maxlen;
} publisher;
static _Atomic uint64_t publisher_base, publisher_origins, publisher_cleared[PUBLISHER_CLEARED];

static struct mt_bytes publisher_name(const char *name)
{
        return mt_bytes_of(name ? name : "");
}

void publisher_setup(const struct invalidation_config *config)
{
        bool falls = config->mode == INVALIDATION_TRACKING && config->fallback == INVALIDATION_FALL_PUBSUB;

        publisher.by_stream = config->mode == INVALIDATION_STREAM;
        publisher.wanted = publisher.by_stream || config->mode == INVALIDATION_PUBSUB || falls;
        publisher.channel = publisher_name(config->channel);
        publisher.stream = publisher_name(config->stream);
        publisher.audit_stream = publisher_name(config->audit_stream);
        publisher.audit_maxlen = config->audit_maxlen;
}

bool publisher_wanted(void)
{
        return publisher.wanted;
}

bool publisher_audits(void)
{
        return publisher.audit_stream.len > 0;
}

/* ------------------------------------------------------------------------------------------------------ the keys */

static bool announcement_grow(struct announcement *a, size_t more)
{
        size_t need = PUBLISHER_ROOM + a->used + more, capacity = a->capacity ? a->capacity : PUBLISHER_FIRST;
        char  *buffer;

        if (need <= a->capacity)
                return true;
        while (capacity < need)
                capacity *= 2;
        buffer = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (buffer == MAP_FAILED)
                return false;
        if (a->buffer) {
                memcpy(buffer + PUBLISHER_ROOM, a->buffer + PUBLISHER_ROOM, a->used);
                munmap(a->buffer, a->capacity);
        }
        a->buffer = buffer;
        a->capacity = (uint32_t)capacity;
        return true;
}

void announcement_key(struct announcement *a, struct mt_bytes key, bool removed)
{
        size_t most = key.len + MESSAGE_LENGTH_MAX;

        if (a->all)
                return;
        if (most > PUBLISHER_KEYS_MAX - a->used) {
                announcement_all(a);
        } else if (!announcement_grow(a, most)) {
                a->lost = true;
        } else {
                a->used += (uint32_t)message_write_key(a->buffer + PUBLISHER_ROOM + a->used, key);
                a->keys++;
                a->kept |= !removed;
        }
}

void announcement_all(struct announcement *a)
{
        a->all = true;
        a->used = a->keys = 0;
        if (announcement_grow(a, MESSAGE_LENGTH_MAX))
                a->used = (uint32_t)message_write_key(a->buffer + PUBLISHER_ROOM, mt_bytes_of("*"));
        else
                a->lost = true;
}

void announcement_pattern(struct announcement *a, struct mt_bytes glob)
{
        announcement_clear(a);
        if (glob.len > ITEM_KEY_MAX)
                announcement_all(a);
        else
                announcement_key(a, glob, true);
        a->glob = !a->all;
}

void announcement_clear(struct announcement *a)
{
        a->used = a->keys = 0;
        a->all = a->kept = a->glob = a->lost = false;
        if (a->capacity > PUBLISHER_FIRST)
                announcement_free(a);
}

void announcement_free(struct announcement *a)
{
        if (a->buffer)
                munmap(a->buffer, a->capacity);
        *a = (struct announcement){.buffer = NULL};
}

/* ----------------------------------------------------------------------------------------------------- the words */

struct publisher_words {
        char   text[PUBLISHER_ROOM];
        size_t len;
};

static void publisher_count(struct publisher_words *w, char type, uint64_t number)
{
        w->text[w->len++] = type;
        w->len += message_write_number(w->text + w->len, number);
        w->text[w->len++] = '\r';
        w->text[w->len++] = '\n';
}

static void publisher_word(struct publisher_words *w, struct mt_bytes word)
{
        publisher_count(w, '$', word.len);
        memcpy(w->text + w->len, word.ptr, word.len);
        w->len += word.len;
        w->text[w->len++] = '\r';
        w->text[w->len++] = '\n';
}

static void publisher_line(struct publisher_words *w, unsigned count, const char *const *words)
{
        publisher_count(w, '*', count);
        for (; *words; words++)
                publisher_word(w, mt_bytes_of(*words));
}

static void publisher_publish(struct publisher_words *w)
{
        publisher_line(w, 3, (const char *const[]){"PUBLISH", NULL});
        publisher_word(w, publisher.channel);
}

static void publisher_number(struct publisher_words *w, uint64_t number)
{
        char text[20];

        publisher_word(w, mt_bytes(text, message_write_number(text, number)));
}

/* A script may change its database without changing the connection's. */
static void publisher_append(struct publisher_words *w, struct mt_bytes stream, uint64_t maxlen,
                             enum announcement_form form)
{
        static const char elsewhere[] = "redis.call('SELECT','0') "
                                        "return redis.call('XADD',KEYS[1],'MAXLEN','~',ARGV[1],'*','m',ARGV[2])";

        if (form == ANNOUNCEMENT_ELSEWHERE) {
                publisher_line(w, 6, (const char *const[]){"EVAL", elsewhere, "1", NULL});
                publisher_word(w, stream);
                publisher_number(w, maxlen);
        } else {
                publisher_line(w, 8, (const char *const[]){"XADD", NULL});
                publisher_word(w, stream);
                publisher_word(w, mt_bytes_of("MAXLEN"));
                publisher_word(w, mt_bytes_of("~"));
                publisher_number(w, maxlen);
                publisher_word(w, mt_bytes_of("*"));
                publisher_word(w, mt_bytes_of("m"));
        }
}

static enum message_kind announcement_kind(const struct announcement *a)
{
        if (a->all || a->glob)
                return MESSAGE_PATTERN;
        if (a->keys > 1)
                return MESSAGE_BULK;
        return a->kept ? MESSAGE_UPDATE : MESSAGE_REMOVE;
}

struct mt_bytes announcement_command(struct announcement *a, enum announcement_form form, bool audit,
                                     const struct announcement_origin *from, uint64_t sequence)
{
        struct publisher_words w = {.len = 0};
        char                   head[MESSAGE_HEAD_MAX];
        size_t head_len = message_write_head(head, announcement_kind(a), from->number, from->household, sequence);
        char  *end, *begin;

        if (a->lost || !announcement_grow(a, 2))
                return mt_bytes(NULL, 0);
        if (audit)
                publisher_append(&w, publisher.audit_stream, publisher.audit_maxlen, form);
        else if (publisher.by_stream)
                publisher_append(&w, publisher.stream, PUBLISHER_STREAM_MAXLEN, form);
        else
                publisher_publish(&w);
        publisher_count(&w, '$', head_len + a->used);
        memcpy(w.text + w.len, head, head_len);
        w.len += head_len;
        begin = a->buffer + PUBLISHER_ROOM - w.len;
        memcpy(begin, w.text, w.len);
        end = a->buffer + PUBLISHER_ROOM + a->used;
        memcpy(end, "\r\n", 2);
        return mt_bytes(begin, w.len + a->used + 2);
}

/* ------------------------------------------------------------------------------------------------------- origins */

/* A child's are others than its parent's: it draws a new base. */
void publisher_after_fork(void)
{
        mt_store_relaxed(&publisher_base, 0);
}

uint64_t publisher_origin(void)
{
        uint64_t base = mt_load_relaxed(&publisher_base), drawn = 0, origin;

        if (base == 0) {
                if (getrandom(&drawn, sizeof drawn, GRND_NONBLOCK) != sizeof drawn || drawn == 0)
                        drawn = hash_fold(clock_read_ns(CLOCK_REALTIME), (uint64_t)getpid() | UINT64_C(1) << 63) | 1;
                if (mt_cas_acq_rel(&publisher_base, &base, drawn))
                        base = drawn;
        }
        origin = base + mt_fetch_add_relaxed(&publisher_origins, 1) * UINT64_C(0x9e3779b97f4a7c15);
        return origin != 0 ? origin : 1;
}

/* One word stands for origin and sequence; that two share one is as likely as guessing a 64-bit number. */
static uint64_t publisher_mark(uint64_t origin, uint64_t sequence)
{
        return hash_fold(origin ^ UINT64_C(0xd6e8feb86659fd93), sequence * UINT64_C(0x9e3779b97f4a7c15) | 1);
}

void publisher_note_cleared(uint64_t origin, uint64_t sequence)
{
        uint64_t mark = publisher_mark(origin, sequence);

        /* [W1] release: pairs with [W2]; whoever finds the mark comes after the clearing. */
        mt_store_release(&publisher_cleared[mark % PUBLISHER_CLEARED], mark);
}

bool publisher_has_cleared(struct mt_bytes origin, uint64_t sequence)
{
        uint64_t number, household, mark;

        if (!message_read_origin(origin, &number, &household))
                return false;
        mark = publisher_mark(number, sequence);
        return mt_load_acquire(&publisher_cleared[mark % PUBLISHER_CLEARED]) == mark; /* [W2] */
}
