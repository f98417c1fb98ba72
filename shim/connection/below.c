/* below.c - keys that are written, until their write is answered.
 * A key is noted behind a header, padded to eight bytes. In a mapping that doubles, like what is owed (owed.h); what
 * does not fit makes every key of the server a written one. */
#include "below.h"

#include "announce.h"
#include "connection.h"
#include "session.h"

#include "../../l1/base/fault.h"
#include "../../l1/base/glob.h"
#include "../../l1/base/log.h"
#include "../runtime/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <sys/mman.h>

enum {
        BELOW_BYTES_MIN = 4096,
        BELOW_BYTES_MAX = 4 << 20,
        BELOW_AT_ONCE = 32,    /* keys that the tiers are told of in one call */
        BELOW_PERMITS_MAX = 24 /* that one command deletes; more keys than that: the database's */
};

struct below_note {
        uint64_t row;     /* it is answered when so many rows are gone */
        uint64_t sent_ns; /* when its permit was deleted, or a moment before; 0: none was */
        uint32_t len;     /* of the key, which follows */
        uint32_t size;    /* of all of it */
};

void below_permit(struct mt_bytes key, char name[BELOW_PERMIT_NAME])
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a, 64 bits */

        for (size_t i = 0; i < key.len; i++)
                hash = (hash ^ (unsigned char)key.ptr[i]) * UINT64_C(0x100000001b3);
        if (key.ptr == NULL)
                snprintf(name, BELOW_PERMIT_NAME, "mtshim:permit:all");
        else
                snprintf(name, BELOW_PERMIT_NAME, "mtshim:permit:%u", (unsigned)((hash ^ hash >> 32) % BELOW_PERMITS));
}

/* The clock of the wall does not stop while the host sleeps, nor does the server's. */
uint64_t below_now_ns(void)
{
        return clock_read_ns(CLOCK_BOOTTIME) + CLOCK_SHIFT();
}

static bool below_ruled(struct mt_bytes key)
{
        const struct rule *rule = rules_match(&runtime.options.rules, key);

        return rule != NULL && (rule->flags & RULE_TIERS);
}

static bool below_server(struct connection *c)
{
        if (!c->endpoint.known)
                endpoint_of(c->hiredis, c->context, &c->endpoint);
        return c->endpoint.known;
}

static void below_name(const struct connection *c, struct mt_bytes key, struct tier_key *named)
{
        *named = (struct tier_key){mt_bytes_of(c->endpoint.id.address), c->database, key};
}

bool below_names(struct connection *c, struct mt_bytes key, struct tier_key *named)
{
        if (!below_ruled(key) || !below_server(c))
                return false;
        below_name(c, key, named);
        return true;
}

/* --------------------------------------------------------------------------------------------------------- notes */

static bool below_grow(struct below *b, uint32_t size)
{
        uint32_t capacity = b->capacity == 0 ? BELOW_BYTES_MIN : b->capacity;
        char    *bytes;

        while (capacity - b->tail < size)
                if ((capacity *= 2) > BELOW_BYTES_MAX)
                        return false;
        bytes = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (bytes == MAP_FAILED)
                return false;
        if (b->bytes != NULL) {
                memcpy(bytes, b->bytes, b->tail);
                munmap(b->bytes, b->capacity);
        }
        b->bytes = bytes;
        b->capacity = capacity;
        return true;
}

/* What is over makes room where it is most of all: where there is always something outstanding, the end of all notes
 * never comes. */
static void below_compact(struct below *b, uint32_t size)
{
        if (b->capacity - b->tail >= size || b->head <= b->tail / 2)
                return;
        memmove(b->bytes, b->bytes + b->head, b->tail - b->head);
        b->cursor -= b->head;
        b->tail -= b->head;
        b->head = 0;
}

static void below_note(struct below *b, const struct below_note *note, struct mt_bytes key)
{
        below_compact(b, note->size);
        if (key.len > BELOW_BYTES_MAX / 2 || (b->capacity - b->tail < note->size && !below_grow(b, note->size))) {
                b->lost = true;
                return;
        }
        memcpy(b->bytes + b->tail, note, sizeof *note);
        if (key.len > 0)
                memcpy(b->bytes + b->tail + sizeof *note, key.ptr, key.len);
        b->tail += note->size;
}

static const struct below_note *below_at(const struct below *b, uint32_t at)
{
        return (const struct below_note *)(const void *)(b->bytes + at);
}

static struct mt_bytes below_key_of(const struct below_note *note)
{
        return mt_bytes((const char *)(note + 1), note->len);
}

/* --------------------------------------------------------------------------------------------------------- removal */

/* Nobody knows in which database: a pattern that matches this key alone, in each. */
static void below_remove_everywhere(const struct connection *c, struct mt_bytes key)
{
        struct mt_bytes server = mt_bytes_of(c->endpoint.id.address), pattern;
        char            glob[1024];

        pattern = glob_literal(key, glob, sizeof glob);
        if (pattern.ptr == NULL)
                tiers_flush(runtime_tiers(), server, TIER_EVERY_DATABASE);
        else
                tiers_remove_pattern(runtime_tiers(), server, TIER_EVERY_DATABASE, pattern);
}

/* Notes [from, to). */
static void below_remove(struct connection *c, uint32_t from, uint32_t to)
{
        struct tier_key keys[BELOW_AT_ONCE];
        size_t          n = 0;

        if (from == to || !below_server(c) || fault(FAULT_below_after))
                return;
        runtime_l1_at_once(); /* where debts of removals are kept */
        fault_dawdle();
        while (from < to) {
                const struct below_note *note = below_at(&c->below, from);

                from += note->size;
                if (c->doubt & DOUBT_UNKNOWN) {
                        below_remove_everywhere(c, below_key_of(note));
                        continue;
                }
                below_name(c, below_key_of(note), &keys[n++]);
                if (n == BELOW_AT_ONCE || from >= to) {
                        tiers_remove(runtime_tiers(), keys, n);
                        n = 0;
                }
        }
        if (n > 0)
                tiers_remove(runtime_tiers(), keys, n);
}

/* The last moment in which whoever deleted the permit may let the program believe in what it did. A transaction that
 * the program keeps open for so long is its own affair: it is not made to fail by us. */
static void below_judge(struct connection *c, uint32_t from, uint32_t to, bool transaction)
{
        while (from < to) {
                const struct below_note *note = below_at(&c->below, from);

                from += note->size;
                if (note->sent_ns == 0 || below_now_ns() - note->sent_ns < BELOW_LATE_NS)
                        continue;
                log_once(LOG_WARN, "%s: a deletion took longer than %u s: a tier may have brought back what it deleted",
                         c->endpoint.id.address, (unsigned)(BELOW_LATE_NS / NS_PER_S));
                c->below.late |= !transaction && c->announces && !fault(FAULT_below_late);
        }
}

static void below_lost(struct connection *c)
{
        if (!c->below.lost)
                return;
        below_flush(c, true);
        c->below.lost = c->owed != 0 || c->below.multi_ns != 0;
}

static void below_shrink(struct below *b)
{
        if (b->head != b->tail)
                return;
        b->head = b->cursor = b->tail = 0;
        if (b->capacity > BELOW_BYTES_MIN) {
                munmap(b->bytes, b->capacity);
                b->bytes = NULL;
                b->capacity = 0;
        }
}

void below_answered(struct connection *c, bool ours, bool queued)
{
        struct below *b = &c->below;
        uint32_t      from = b->cursor;
        int           saved_errno = errno;

        b->answered++;
        if (MT_LIKELY(b->cursor == b->tail && !b->lost) || ours)
                return;
        while (b->cursor < b->tail && below_at(b, b->cursor)->row <= b->answered)
                b->cursor += below_at(b, b->cursor)->size;
        if (!queued) {
                below_remove(c, from, b->cursor);
                below_judge(c, from, b->cursor, c->doubt & DOUBT_MULTI); /* refused inside of one, perhaps */
                if (from == b->head)
                        b->head = b->cursor;
                below_shrink(b);
        }
        below_lost(c);
        errno = saved_errno;
}

void below_executed(struct connection *c, bool another)
{
        struct below *b = &c->below;
        int           saved_errno = errno;

        below_remove(c, b->head, b->cursor);
        below_judge(c, b->head, b->cursor, true);
        b->head = b->cursor;
        if (!another)
                b->multi_ns = 0;
        below_shrink(b);
        below_lost(c);
        errno = saved_errno;
}

void below_doubted(struct connection *c)
{
        int saved_errno = errno;

        below_remove(c, c->below.head, c->below.tail);
        below_lost(c);
        errno = saved_errno;
}

void below_never(struct connection *c)
{
        struct below *b = &c->below;
        uint32_t      at = b->cursor;
        int           saved_errno = errno;

        while (at < b->tail && below_at(b, at)->row < b->answered + c->owed)
                at += below_at(b, at)->size;
        below_remove(c, at, b->tail);
        b->tail = at;
        below_shrink(b);
        below_lost(c);
        errno = saved_errno;
}

void below_ended(struct connection *c)
{
        struct below *b = &c->below;

        below_doubted(c);
        b->answered += c->owed;
        b->head = b->cursor = b->tail;
        b->multi_ns = 0;
        b->open = false;
        below_shrink(b);
}

void below_begin(struct connection *c)
{
        if (c->below.bytes != NULL)
                munmap(c->below.bytes, c->below.capacity);
        c->below = (struct below){0};
}

void below_flush(struct connection *c, bool whole_server)
{
        int saved_errno = errno;

        if (below_server(c)) {
                bool any = whole_server || c->doubt & DOUBT_UNKNOWN;

                runtime_l1_at_once();
                tiers_flush(runtime_tiers(), mt_bytes_of(c->endpoint.id.address),
                            any ? TIER_EVERY_DATABASE : c->database);
        }
        errno = saved_errno;
}

/* ------------------------------------------------------------------------------------------------------ when sent */

static bool below_is_one_of(const struct command *command, const char *const *verbs, size_t count)
{
        for (size_t i = 0; i < count; i++)
                if (strcmp(command->row->name, verbs[i]) == 0)
                        return true;
        return false;
}
#define BELOW_IS_ONE_OF(command, verbs) below_is_one_of(command, verbs, sizeof(verbs) / sizeof *(verbs))

/* Commands that leave a key behind in any case, or nothing changed: a value that is put back (SET NX, the key WATCHed)
 * cannot pass them unseen, and they do not delete. */
static bool below_leaves_key(const struct command *command)
{
        static const char *const verbs[] = {"SET", "SETEX", "PSETEX", "SETNX", "GETSET", "MSET", "MSETNX"};

        return BELOW_IS_ONE_OF(command, verbs);
}

/* Commands that wait for as long as the program likes. What they take is a list, a sorted set or a stream: no tier has
 * a value of its key since it was made, and who makes it for them deletes a permit himself. */
static bool below_waits(const struct command *command)
{
        static const char *const verbs[] = {"BLPOP",  "BRPOP",    "BRPOPLPUSH", "BLMOVE",    "BLMPOP",
                                            "BZMPOP", "BZPOPMAX", "BZPOPMIN",   "XREADGROUP"};

        return BELOW_IS_ONE_OF(command, verbs);
}

static bool below_word_is(struct mt_bytes word, const char *upper)
{
        return word.len == strlen(upper) && strncasecmp(word.ptr, upper, word.len) == 0;
}

static bool below_is_soon(struct mt_bytes digits, uint64_t unit_ms)
{
        uint64_t n = 0;

        for (size_t i = 0; i < digits.len && n < BELOW_SETTLE_MS; i++) {
                if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
                        return true; /* the server refuses it */
                n = n * 10 + (uint64_t)(digits.ptr[i] - '0');
        }
        return n * unit_ms < BELOW_SETTLE_MS;
}

/* Of one of these: is the key gone by itself, before whoever wrote it must have had the answer? Of a time that only the
 * server can tell it may be. */
static bool below_ends_soon(const struct command *command)
{
        static const struct {
                const char *word;
                uint64_t    unit_ms; /* of the number that follows; 0: it may be any time */
        } words[] = {{"EX", 1000}, {"PX", 1}, {"EXAT", 0}, {"PXAT", 0}, {"KEEPTTL", 0}};
        const char *name = command->row->name;

        if (strcmp(name, "SETEX") == 0 || strcmp(name, "PSETEX") == 0)
                return command->argc < 4 || below_is_soon(command_word(command, 2), name[0] == 'S' ? 1000 : 1);
        for (uint32_t i = 3; strcmp(name, "SET") == 0 && i < command->argc; i++)
                for (unsigned k = 0; k < sizeof words / sizeof *words; k++)
                        if (below_word_is(command_word(command, i), words[k].word) &&
                            (words[k].unit_ms == 0 || i + 1 == command->argc ||
                             below_is_soon(command_word(command, i + 1), words[k].unit_ms)))
                                return true;
        return false;
}

/* Can a command of ours go before this one, and its reply be told from the program's? */
static bool below_orderly(const struct connection *c)
{
        const struct abi *abi = &c->hiredis->abi;
        const void       *reader = ABI_CONTEXT(const void *const, abi, c->context, READER);

        return !c->below.behind && (c->doubt & (DOUBT_UNKNOWN | DOUBT_STREAM)) == 0 &&
               (!c->announces || c->announce.form != ANNOUNCE_NEVER) &&
               ABI_FIELD(const void *const, reader, abi->fn) == abi->default_fn &&
               (!c->below.async || c->hiredis->redisAsyncFormattedCommand != NULL);
}

struct below_permits {
        unsigned count;
        uint32_t used;
        char     resp[64 + BELOW_PERMITS_MAX * (BELOW_PERMIT_NAME + 16)];
};

static void below_word(struct below_permits *p, const char *word)
{
        p->used +=
                (uint32_t)snprintf(p->resp + p->used, sizeof p->resp - p->used, "$%zu\r\n%s\r\n", strlen(word), word);
}

static void below_add_permit(struct below_permits *p, struct mt_bytes key)
{
        char name[BELOW_PERMIT_NAME];

        if (p->count++ >= BELOW_PERMITS_MAX)
                return;
        below_permit(key, name);
        below_word(p, name);
}

/* DEL of the permits in front of the program's command. False: it cannot be sent. */
static bool below_send(struct connection *c, struct below_permits *p)
{
        const struct hiredis *h = c->hiredis;
        char                  head[64];
        int                   len, rc;

        if (!c->announces) { /* from here on replies are told apart by their order */
                c->announces = true;
                c->announce.form = ANNOUNCE_NONE;
        }
        len = snprintf(head, sizeof head, "*%u\r\n$3\r\nDEL\r\n", p->count + 1);
        memcpy(p->resp + 64 - len, head, (size_t)len);
        if (!session_announcing(c, ANNOUNCE_OURS | ANNOUNCE_PERMIT | (c->below.async ? ANNOUNCE_DELIVER : 0)))
                return false;
        connection_enter_hiredis(c);
        if (c->below.async)
                rc = h->redisAsyncFormattedCommand(c->context, NULL, NULL, p->resp + 64 - len,
                                                   p->used - 64 + (size_t)len);
        else
                rc = h->redisAppendFormattedCommand(c->context, p->resp + 64 - len, p->used - 64 + (size_t)len);
        connection_leave_hiredis(c);
        if (rc != REDIS_OK)
                session_unsent(c);
        return rc == REDIS_OK;
}

struct below_keys {
        struct below_permits *permits;
        bool                  any;
};

static void below_look_permit(void *arg, struct mt_bytes key)
{
        struct below_keys *keys = arg;

        if (!below_ruled(key))
                return;
        keys->any = true;
        below_add_permit(keys->permits, key);
}

/* True: the permits are on their way, since sent_ns at the earliest. */
static MT_COLD bool below_delete_permits(struct connection *c, const struct command *command, uint64_t *sent_ns)
{
        struct below_permits permits = {.used = 64};
        struct below_keys    keys = {.permits = &permits};
        bool                 all = command->class == COMMAND_MULTI;

        if (!all) {
                command_each_key(command, below_look_permit, &keys);
                if (!keys.any)
                        return false;
        }
        if (!below_orderly(c) || fault(FAULT_below_permit)) {
                if (!all)
                        log_once(LOG_WARN,
                                 "%s: deletions on a connection whose replies cannot be told apart: tiers may bring "
                                 "back what they delete",
                                 c->endpoint.known ? c->endpoint.id.address : "a server");
                return false;
        }
        if (all || permits.count > BELOW_PERMITS_MAX) {
                permits.used = 64;
                permits.count = 0;
                below_add_permit(&permits, mt_bytes(NULL, 0));
        }
        *sent_ns = below_now_ns();
        return below_send(c, &permits);
}

struct below_noting {
        struct connection *connection;
        struct below_note  note;
};

static void below_note_key(void *arg, struct mt_bytes key)
{
        struct below_noting *noting = arg;

        if (!below_ruled(key))
                return;
        noting->note.len = (uint32_t)key.len;
        noting->note.size = (uint32_t)((sizeof noting->note + key.len + 7) & ~(size_t)7);
        below_note(&noting->connection->below, &noting->note, key);
}

static void below_sent_write(struct connection *c, const struct command *command)
{
        struct below_noting noting = {.connection = c};
        uint64_t            sent_ns = 0;

        if (c->below.open)
                noting.note.sent_ns = c->below.multi_ns;
        else if (!below_leaves_key(command))
                below_delete_permits(c, command, below_waits(command) ? &sent_ns : &noting.note.sent_ns);
        else if (below_ends_soon(command)) /* but no error for a SET, however late: README */
                below_delete_permits(c, command, &sent_ns);
        if (c->below.through)
                return;
        noting.note.row = c->below.answered + c->owed + 1;
        if (!command_each_key(command, below_note_key, &noting) && command->class == COMMAND_WRITE)
                return; /* the server refuses it: the words are no command */
}

void below_sent(struct connection *c, const struct command *command)
{
        int saved_errno = errno;

        if (c->owed == 0 && !(c->doubt & DOUBT_MULTI)) {
                c->below.multi_ns = 0;
                c->below.open = false;
        }
        switch (command->class) {
        case COMMAND_WRITE:
        case COMMAND_SCRIPT: below_sent_write(c, command); break;
        case COMMAND_MULTI:
                if (!c->below.open && !below_delete_permits(c, command, &c->below.multi_ns))
                        c->below.multi_ns = below_now_ns();
                c->below.open = true;
                break;
        case COMMAND_EXEC:
        case COMMAND_DISCARD: c->below.open &= command->argc != 1; break; /* with a word too many it is none */
        case COMMAND_FLUSHDB:
        case COMMAND_FLUSHALL:
        case COMMAND_SWAPDB: below_flush(c, command->class != COMMAND_FLUSHDB); break;
        default: break;
        }
        errno = saved_errno;
}

/* --------------------------------------------------------------------------------------------------------- refusals */

void below_permitted(struct connection *c, const void *reply)
{
        const struct abi *abi = &c->hiredis->abi;

        /* Whatever else is refused, for lack of a master or of a disk, is refused to the deletion too. */
        if (abi_reply_type(reply) != ABI_REPLY_ERROR || abi_reply_len(abi, reply) < 6 ||
            memcmp(abi_reply_str(abi, reply), "NOPERM", 6) != 0)
                return;
        log_once(LOG_WARN, "%s: permits cannot be deleted, tiers may bring back what this user deletes: %.*s",
                 c->endpoint.id.address, abi_reply_len(abi, reply) < 100 ? (int)abi_reply_len(abi, reply) : 100,
                 abi_reply_str(abi, reply));
}
