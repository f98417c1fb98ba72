/* touch.c - which keys are told when, and the little that is said on that connection.
 *
 * How much: 10,000 keys a second at most, 64 in a request, and the next request when the last is answered. The walk
 * takes a tenth of a millisecond at a time, twenty later the next: half a percent of a core. Where more was read than
 * can be told within ten seconds, the next round passes over what was read once since it was last told, or twice: that
 * is told when it has been read more often.
 *
 * What it is worth under LRU: an idle time of a second or two, as Redis counts in seconds, while a key is read here.
 * Under LFU: reads are counted as if Redis had served them, up to three a second and key; its counter grows with the
 * logarithm of reads and loses one a minute, so that at its defaults a key that is read 180 times a minute stays at
 * some 20, above the 5 of a new one; what is read more often than that cannot be told from it.
 *
 * Minimum rights: +info +touch, +select where other databases than 0 are in use, and the keys. */
#include "touch.h"

#include "address.h"
#include "info.h"
#include "message.h"
#include "notice.h"
#include "watch.h"

#include "../l1/base/thread.h"

#include <errno.h>
#include <poll.h>

enum touch_request { TOUCH_AUTH = 1, TOUCH_INFO = 2, TOUCH_SELECT = 4, TOUCH_NAMES = 8 }; /* in the order of answers */

enum { TOUCH_RATE = 10000 /* keys/s */, TOUCH_ROUND_MOST = 10 * TOUCH_RATE, TOUCH_BUCKETS = 64 };
#define TOUCH_ROUND_NS    NS_PER_S
#define TOUCH_SLICE_NS    (100 * NS_PER_US)
#define TOUCH_PAUSE_NS    (20 * NS_PER_MS)
#define TOUCH_POLICY_NS   (60 * NS_PER_S) /* so long is what the server said of its policy believed */
#define TOUCH_REFUSED_NS  (60 * NS_PER_S)
#define TOUCH_LOST_NS     (5 * NS_PER_S)
#define TOUCH_PATIENCE_NS (4 * NS_PER_S)
#define TOUCH_KEPT_NS     (10 * NS_PER_S) /* a connection on which there was nothing to say */

void touch_init(struct touch *touch, const struct watch *watch)
{
        touch->watch = watch;
        touch->state = TOUCH_RESTING;
        touch->least = 1;
        touch->next_ns = touch->since_ns = touch->informed_ns = 0;
        link_init(&touch->link);
}

void touch_finish(struct touch *touch)
{
        link_close(&touch->link);
}

/* ------------------------------------------------------------------------------------------------ begin and end */

static void touch_lose(struct touch *touch, uint64_t now_ns, uint64_t rest_ns)
{
        link_close(&touch->link);
        touch->state = TOUCH_RESTING;
        touch->next_ns = now_ns + rest_ns;
}

static void touch_begin_round(struct touch *touch, uint64_t now_ns)
{
        touch->state = TOUCH_WALKING;
        touch->walk = (struct l1_untold){.server_index = touch->watch->leader.index,
                                         .key_max = TOUCH_BYTES_MAX,
                                         .least = touch->least};
        touch->keys = touch->bytes = 0;
        touch->over = false;
        touch->round_ns = now_ns;
}

/* The least number of reads that leaves no more to tell in a round than there is time for. */
static uint32_t touch_least(const struct touch *touch)
{
        uint64_t names = 0;
        uint32_t least = MARK_MAX;

        for (uint32_t reads = MARK_MAX; reads > 0; reads--) {
                names += (uint64_t)touch->walk.found[reads] * (touch->by_use ? reads : 1);
                if (names > TOUCH_ROUND_MOST)
                        break;
                least = reads;
        }
        return least;
}

static void touch_end_round(struct touch *touch)
{
        touch->state = TOUCH_RESTING;
        touch->next_ns = touch->round_ns + TOUCH_ROUND_NS;
        touch->least = touch_least(touch);
        if (touch->round_ns > touch->since_ns + TOUCH_KEPT_NS)
                link_close(&touch->link);
}

/* ---------------------------------------------------------------------------------------------------- requests */

/* False: the connection is of no use any more. */
static bool touch_ask(struct touch *touch, uint32_t request, const struct mt_bytes *word, unsigned words)
{
        touch->asked |= request;
        return link_command(&touch->link, word, words);
}

static bool touch_flush(struct touch *touch)
{
        touch->since_ns = clock_precise_ns();
        return link_flush(&touch->link) != LINK_FAILED;
}

static bool touch_ask_policy(struct touch *touch)
{
        const struct mt_bytes info[] = {mt_bytes_of("INFO"), mt_bytes_of("memory")};

        touch->state = TOUCH_ASKING;
        return touch_ask(touch, TOUCH_INFO, info, 2);
}

static bool touch_select(struct touch *touch, uint32_t database)
{
        char            digits[20];
        struct mt_bytes select[] = {mt_bytes_of("SELECT"), mt_bytes(digits, message_write_number(digits, database))};

        touch->database = database;
        return touch_ask(touch, TOUCH_SELECT, select, 2);
}

/* All keys of one database that are still to be named, each once. True, and nothing named: there are none. */
static bool touch_name(struct touch *touch)
{
        struct mt_bytes word[1 + TOUCH_KEYS_MAX] = {mt_bytes_of("TOUCH")};
        uint32_t        first = 0, words = 1;

        while (first < touch->keys && touch->key[first].left == 0)
                first++;
        touch->named = 0;
        if (first == touch->keys)
                return true;
        if (touch->key[first].database != touch->database && !touch_select(touch, touch->key[first].database))
                return false;
        for (uint32_t i = first; i < touch->keys; i++) {
                struct touch_key *key = &touch->key[i];

                if (key->left == 0 || key->database != touch->database)
                        continue;
                word[words++] = mt_bytes(touch->text + key->begin, key->len);
                key->left--;
        }
        touch->named = words - 1;
        return touch_ask(touch, TOUCH_NAMES, word, words);
}

/* What is not named yet; when all is, on with the walk, as late as the rate asks for. */
static bool touch_tell(struct touch *touch)
{
        if (!touch_name(touch))
                return false;
        if (touch->named > 0)
                return touch_flush(touch);
        touch->keys = touch->bytes = 0;
        touch->state = TOUCH_WALKING;
        if (touch->over)
                touch_end_round(touch);
        return true;
}

static bool touch_tell_batch(struct touch *touch)
{
        bool     by_use = touch->by_use;
        uint64_t names = 0;

        for (uint32_t i = 0; i < touch->keys; i++) {
                touch->key[i].left = by_use ? touch->key[i].reads : 1;
                names += touch->key[i].left;
        }
        touch->state = TOUCH_TELLING;
        touch->next_ns = clock_precise_ns() + names * (NS_PER_S / TOUCH_RATE);
        return touch_tell(touch);
}

/* --------------------------------------------------------------------------------------------------- connecting */

static bool touch_greet(struct touch *touch)
{
        struct credentials      credentials;
        enum credentials_result found = credentials_find(touch->watch->config, &touch->watch->endpoint, &credentials);
        bool                    fits = found != CREDENTIALS_UNREADABLE;

        codec_init(&touch->codec);
        touch->asked = touch->database = 0;
        if (found == CREDENTIALS_FOUND) {
                touch->asked = TOUCH_AUTH;
                fits = credentials_send(&credentials, &touch->link);
        }
        explicit_bzero(&credentials, sizeof credentials);
        return fits && touch_ask_policy(touch) && touch_flush(touch);
}

/* The listener's own care (watch_connect()): no socket under a filter of the program's, and none to another server than
 * the one that is led. */
static bool touch_may_connect(const struct touch *touch)
{
        return thread_permitted() && address_look(&touch->watch->endpoint, touch->watch->leader.id) == 0;
}

/* What is wrong with it the listener has said, whose connection is secured in the same way. */
static bool touch_secure(struct touch *touch)
{
        touch->state = TOUCH_SECURING;
        switch (link_secure(&touch->link)) {
        case LINK_OK: return touch_greet(touch);
        case LINK_AGAIN: return true;
        case LINK_FAILED: break;
        }
        return false;
}

static bool touch_connect(struct touch *touch)
{
        touch->rest_ns = TOUCH_LOST_NS;
        if (!touch_may_connect(touch))
                return false;
        touch->since_ns = clock_precise_ns();
        touch->state = TOUCH_CONNECTING;
        switch (link_open(&touch->link, &touch->watch->endpoint)) {
        case LINK_OK: return touch_may_connect(touch) && touch_secure(touch);
        case LINK_AGAIN: return true;
        case LINK_FAILED: break;
        }
        return false;
}

/* ------------------------------------------------------------------------------------------------------- answers */

/* Always false. Not now (loading, busy) is no refusal. */
static bool touch_refused(struct touch *touch, enum log_level level, const char *what, struct mt_bytes error)
{
        struct source judged;
        char          address[128];

        if (source_judge(&judged, error) == SOURCE_LATER)
                return false;
        touch->rest_ns = TOUCH_REFUSED_NS;
        notice_say(level, "", watch_address(touch->watch, address), what, judged.reason);
        return false;
}

/* Its words are not repeated, and the listener has been refused too. */
static bool touch_authenticated(struct touch *touch, const struct event *event)
{
        if (event->kind == EVENT_STATUS)
                return true;
        touch->rest_ns = TOUCH_REFUSED_NS;
        return event->kind == EVENT_ERROR && event->bytes.len >= 4 && memcmp(event->bytes.ptr, "ERR ", 4) == 0;
}

static bool touch_ends_with(struct mt_bytes text, const char *end)
{
        size_t len = strlen(end);

        return text.len >= len && memcmp(text.ptr + text.len - len, end, len) == 0;
}

/* True when it evicts by what was read last, or most. */
static bool touch_learn(struct touch *touch, struct mt_bytes info)
{
        struct mt_bytes policy = info_field(info, "maxmemory_policy:"), limit = info_field(info, "maxmemory:");

        touch->by_use = touch_ends_with(policy, "-lfu");
        return (touch->by_use || touch_ends_with(policy, "-lru")) && !mt_bytes_equal(limit, mt_bytes_of("0"));
}

static bool touch_informed(struct touch *touch, const struct event *event)
{
        if (event->kind == EVENT_ERROR)
                return touch_refused(touch, LOG_INFO,
                                     ": does not say what it evicts, and is not told what L1 serves: ", event->bytes);
        if (event->kind != EVENT_BULK || !event->bytes.ptr)
                return false;
        touch->rest_ns = TOUCH_POLICY_NS;
        if (!touch_learn(touch, event->bytes))
                return false;
        touch->rest_ns = TOUCH_LOST_NS;
        touch->informed_ns = clock_precise_ns();
        return touch_tell_batch(touch);
}

static bool touch_answered(struct touch *touch, enum touch_request request, const struct event *event)
{
        static const char what[] = ": refuses TOUCH, so that it may evict what L1 serves: ";

        if (event->kind == EVENT_ERROR)
                return touch_refused(touch, LOG_WARN, what, event->bytes);
        if (event->kind != (request == TOUCH_SELECT ? EVENT_STATUS : EVENT_INTEGER))
                return false;
        if (request == TOUCH_SELECT)
                return true;
        l1_count(touch->watch->leader.l1, COUNTER_touches, touch->named);
        return touch_tell(touch);
}

/* False ends the connection, for as long as rest_ns says. */
static bool touch_event(void *arg, const struct event *event)
{
        struct touch *touch = arg;
        uint32_t      request = touch->asked & -touch->asked;

        touch->asked &= ~request;
        switch (request) {
        case TOUCH_AUTH: return touch_authenticated(touch, event);
        case TOUCH_INFO: return touch_informed(touch, event);
        case TOUCH_SELECT:
        case TOUCH_NAMES: return touch_answered(touch, (enum touch_request)request, event);
        default: return false; /* nothing was asked */
        }
}

/* --------------------------------------------------------------------------------------------------- the socket */

short touch_events(const struct touch *touch)
{
        return link_events(&touch->link);
}

static bool touch_read(struct touch *touch, char *buffer, size_t size)
{
        size_t got;

        switch (link_read(&touch->link, buffer, size, &got)) {
        case LINK_OK: return codec_feed(&touch->codec, buffer, got, touch_event, touch);
        case LINK_AGAIN: return true;
        case LINK_FAILED: break;
        }
        return false;
}

static bool touch_go_on(struct touch *touch, short revents, char *buffer, size_t size)
{
        switch (touch->state) {
        case TOUCH_CONNECTING:
                return link_finish(&touch->link) == LINK_OK && touch_may_connect(touch) && touch_secure(touch);
        case TOUCH_SECURING: return touch_secure(touch);
        case TOUCH_RESTING:
        case TOUCH_WALKING:
        case TOUCH_ASKING:
        case TOUCH_TELLING: break;
        }
        if ((revents & POLLOUT) && link_flush(&touch->link) == LINK_FAILED)
                return false;
        return (revents & (POLLIN | POLLHUP | POLLERR)) == 0 || touch_read(touch, buffer, size);
}

void touch_ready(struct touch *touch, short revents, char *buffer, size_t size)
{
        if (touch->link.fd >= 0 && !touch_go_on(touch, revents, buffer, size))
                touch_lose(touch, clock_precise_ns(), touch->rest_ns);
}

/* ------------------------------------------------------------------------------------------------------ the walk */

/* Gather a batch, until it is full, the walk over, or the time for now. False: that was the time. */
static bool touch_gather(struct touch *touch, uint64_t until_ns)
{
        while (touch->keys < TOUCH_KEYS_MAX) {
                struct touch_key    *key = &touch->key[touch->keys];
                struct l1_untold_key found;

                switch (l1_next_untold(touch->watch->leader.l1, &touch->walk, TOUCH_BUCKETS, touch->text + touch->bytes,
                                       TOUCH_BYTES_MAX - touch->bytes, &found)) {
                case L1_UNTOLD_KEY:
                        *key = (struct touch_key){found.database, touch->bytes, found.len, (uint8_t)found.reads, 0};
                        touch->bytes += found.len;
                        touch->keys++;
                        break;
                case L1_UNTOLD_FULL: return true;
                case L1_UNTOLD_END: touch->over = true; return true;
                case L1_UNTOLD_MORE: break;
                }
                if (clock_precise_ns() >= until_ns)
                        return false;
        }
        return true;
}

/* False: the connection is of no use. */
static bool touch_walk(struct touch *touch, unsigned crowd, uint64_t now_ns)
{
        if (!touch_gather(touch, now_ns + TOUCH_SLICE_NS)) {
                touch->next_ns = now_ns + crowd * TOUCH_PAUSE_NS;
                return true;
        }
        if (touch->keys == 0) {
                touch_end_round(touch);
                return true;
        }
        if (touch->link.fd < 0)
                return touch_connect(touch);
        if (now_ns - touch->informed_ns >= TOUCH_POLICY_NS)
                return touch_ask_policy(touch) && touch_flush(touch);
        return touch_tell_batch(touch);
}

/* Nobody is told of what was read while nobody listened: L1 served nothing then. */
static bool touch_wanted(struct touch *touch, uint64_t now_ns)
{
        const struct watch *watch = touch->watch;

        if (!watch->config->touch || watch->state != WATCH_LISTENING || watch->leader.heir) {
                touch_lose(touch, 0, 0);
                return false;
        }
        if (touch->next_ns == 0)
                touch->next_ns = now_ns + TOUCH_ROUND_NS;
        return true;
}

uint64_t touch_turn(struct touch *touch, unsigned crowd, uint64_t now_ns)
{
        if (!touch_wanted(touch, now_ns))
                return UINT64_MAX;
        if (touch->state == TOUCH_RESTING && touch->next_ns <= now_ns)
                touch_begin_round(touch, now_ns);
        if (touch->state == TOUCH_WALKING && touch->next_ns <= now_ns && !touch_walk(touch, crowd, now_ns))
                touch_lose(touch, now_ns, touch->rest_ns);
        if (touch->state == TOUCH_RESTING || touch->state == TOUCH_WALKING)
                return touch->next_ns;
        if (now_ns <= touch->since_ns + TOUCH_PATIENCE_NS)
                return touch->since_ns + TOUCH_PATIENCE_NS;
        touch_lose(touch, now_ns, TOUCH_LOST_NS);
        return touch->next_ns;
}
