/* watch.c - the life of one led server: connect, listen, prove, reconnect.
 * Owns nothing shared: leader.c, fence.c and apply.c write to the segment. Everything read there may be zero at any
 * moment (l1_abandon); then leadership is seen to be lost, and the watch ends. */
#include "watch.h"

#include "address.h"
#include "fallback.h"
#include "notice.h"

#include "../l1/base/fault.h"
#include "../l1/base/thread.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define WATCH_PAUSE_MIN_NS (10 * NS_PER_MS)
#define WATCH_PAUSE_MAX_NS (250 * NS_PER_MS) /* a server that is back is heard again within the bound and a second */
#define WATCH_AWAY_MAX_NS  (60 * NS_PER_S)   /* then whoever asks next tries again; nobody, if nobody asks */
#define WATCH_BLIND_MAX_NS NS_PER_S          /* of a process that perhaps cannot get there at all */
#define WATCH_BLIND_OUT_NS (NS_PER_S / 2)
#define WATCH_OUT_NS       (60 * NS_PER_S)
#define WATCH_RETRY_NS     (60 * NS_PER_S) /* a cluster node, a server without tracking */
#define WATCH_HEIR_NS      (2 * NS_PER_MS) /* how often an heir looks whether the leader has proved enough */
enum { WATCH_STRANGE_MAX = 8, WATCH_READS = 16, WATCH_SILENCE = 4 };

static enum invalidation_mode watch_mode(const struct watch *watch)
{
        return invalidation_source_mode(watch->leader.source);
}

/* The bytes of a new connection. */
static void watch_begin_stream(struct watch *watch)
{
        static const enum codec_dialect dialects[] = {[INVALIDATION_TRACKING] = CODEC_TRACKING,
                                                      [INVALIDATION_PUBSUB] = CODEC_MESSAGES,
                                                      [INVALIDATION_STREAM] = CODEC_STREAM};
        enum invalidation_mode          mode = watch_mode(watch);

        codec_init_as(&watch->codec, dialects[mode],
                      mt_bytes_of(mode == INVALIDATION_PUBSUB ? watch->config->channel : CODEC_CHANNEL));
        watch->in_message = false;
        watch->waits_next = false;
        watch->entry = mt_bytes(NULL, 0);
}

void watch_begin(struct watch *watch, const struct invalidation_config *config, const struct leader *leader,
                 const struct invalidation_endpoint *endpoint, uint64_t now_ns)
{
        memset(watch, 0, sizeof *watch); /* too large for a compound literal on the thread's stack */
        watch->state = WATCH_AWAY;
        watch->away_ns = watch->retry_ns = watch->since_ns = now_ns;
        watch->config = config;
        watch->leader = *leader;
        watch->endpoint = *endpoint;
        watch->jitter = now_ns ^ leader->self ^ (uint64_t)leader->term << 32;
        link_init(&watch->link);
        watch_begin_stream(watch);
        origins_reset(&watch->origins, watch->jitter);
}

const char *watch_address(const struct watch *watch, char to[128])
{
        mt_copy_from_shared(to, watch->leader.server->address, sizeof watch->leader.server->address);
        to[sizeof watch->leader.server->address] = '\0';
        return to;
}

static void watch_say(const struct watch *watch, const char *what, const char *reason)
{
        char address[128];

        notice_say(LOG_WARN, "", watch_address(watch, address), what, reason);
}

/* Bound or a second, whichever is longer, WATCH_SILENCE times over: then a connection is taken for dead. */
static uint64_t watch_silence_ns(const struct watch *watch)
{
        uint64_t bound_ns = leader_bound_ms(watch->leader.server, watch->leader.own_bound_ms) * NS_PER_MS;

        return (bound_ns > NS_PER_S ? bound_ns : NS_PER_S) * WATCH_SILENCE;
}

static void watch_leave(struct watch *watch, uint64_t out_ns)
{
        watch->end = WATCH_OUT;
        watch->out_ns = out_ns;
}

static void watch_enter(struct watch *watch, enum watch_state state, uint64_t now_ns)
{
        watch->state = state;
        watch->since_ns = now_ns;
}

/* Half of the pause to all of it, at random (a step of splitmix64): the listeners of many hosts that have lost the same
 * server do not come back to it as one. */
static uint64_t watch_jittered_ns(struct watch *watch)
{
        uint64_t mix = watch->jitter += UINT64_C(0x9e3779b97f4a7c15);

        mix = (mix ^ mix >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        mix = (mix ^ mix >> 27) * UINT64_C(0x94d049bb133111eb);
        mix ^= mix >> 31;
        return watch->pause_ns - (watch->pause_ns > 1 ? mix % (watch->pause_ns / 2 + 1) : 0);
}

/* The first attempt follows at once: where it is refused the server itself is gone, and that is worth knowing early. */
static void watch_lose(struct watch *watch, uint64_t now_ns)
{
        link_close(&watch->link);
        watch_begin_stream(watch);
        fence_reset(&watch->fence);
        if (watch->state == WATCH_LISTENING || watch->away_ns == 0)
                watch->away_ns = now_ns;
        watch->retry_ns = now_ns + watch_jittered_ns(watch);
        watch->pause_ns = watch->pause_ns == 0 ? WATCH_PAUSE_MIN_NS : watch->pause_ns * 2;
        if (watch->pause_ns > WATCH_PAUSE_MAX_NS)
                watch->pause_ns = WATCH_PAUSE_MAX_NS;
        watch_enter(watch, WATCH_AWAY, now_ns);
}

/* ---------------------------------------------------------------------------------------------------- connecting */

/* Once is nothing: a server that is being restarted does so. Tried again for as long as anybody asks, but not without a
 * word. */
static void watch_unanswered(struct watch *watch)
{
        if ((watch->state == WATCH_GREETING || watch->state == WATCH_SECURING) &&
            watch->unanswered < WATCH_STRANGE_MAX && ++watch->unanswered == WATCH_STRANGE_MAX)
                watch_say(watch, ": ends the listener's connections unanswered, nothing is served from L1 so far",
                          NULL);
}

/* The other side is not whom it should be, or does not want us, or a file is missing. */
static void watch_insecure(struct watch *watch)
{
        l1_count(watch->leader.l1, COUNTER_error_listener, 1);
        watch_say(watch, ": TLS fails, not listening, nothing is served from L1: ", watch->link.reason);
        watch_leave(watch, WATCH_OUT_NS);
}

/* The connection is over. With TLS 1.3 a server refuses a client, or wants a certificate of it, when that believes to
 * be connected already. */
static void watch_ended(struct watch *watch, uint64_t now_ns)
{
        if (watch->link.reason[0] != '\0' && watch->state != WATCH_LISTENING) {
                watch_insecure(watch);
                return;
        }
        watch_unanswered(watch);
        watch_lose(watch, now_ns);
}

static void watch_greet(struct watch *watch, uint64_t now_ns)
{
        struct credentials      credentials;
        enum credentials_result found = credentials_find(watch->config, &watch->endpoint, &credentials);
        bool                    fits;

        watch_enter(watch, WATCH_GREETING, now_ns);
        if (found == CREDENTIALS_UNREADABLE) {
                watch_say(watch, ": MTSHIM_PASSWORD_FILE cannot be read: not listening, nothing is served from L1",
                          NULL);
                watch_leave(watch, WATCH_OUT_NS);
                return;
        }
        fits = source_begin(&watch->source, watch_mode(watch), watch->config, &watch->position, &watch->link,
                            found == CREDENTIALS_FOUND ? &credentials : NULL);
        explicit_bzero(&credentials, sizeof credentials);
        if (!fits)
                watch_lose(watch, now_ns);
        else if (link_flush(&watch->link) == LINK_FAILED)
                watch_ended(watch, now_ns);
}

static void watch_not_there(struct watch *watch, int error, uint64_t now_ns)
{
        watch->error = error;
        if (error == ECONNREFUSED || error == ENOENT)
                leader_server_gone(&watch->leader);
        watch_lose(watch, now_ns);
}

/* Nothing is sent, no password above all, before it is known who will read it. */
static void watch_secure(struct watch *watch, uint64_t now_ns)
{
        switch (link_secure(&watch->link)) {
        case LINK_OK: watch_greet(watch, now_ns); break;
        case LINK_AGAIN:
                if (watch->state != WATCH_SECURING)
                        watch_enter(watch, WATCH_SECURING, now_ns);
                break;
        case LINK_FAILED: watch_ended(watch, now_ns); break;
        }
}

/* The path may have been given to another server between the look and the connection: look again. */
static void watch_connected(struct watch *watch, uint64_t now_ns)
{
        int error;

        /* A filter for all threads at once (TSYNC) may have come by a system call that no door sees, and a new socket
         * may be what it punishes with the death of the process. */
        if (!thread_permitted()) {
                watch_leave(watch, WATCH_OUT_NS);
                return;
        }
        error = address_look(&watch->endpoint, watch->leader.id);
        if (error == 0)
                watch_secure(watch, now_ns);
        else
                watch_not_there(watch, error, now_ns); /* whoever is there is seen at the next attempt */
}

static void watch_connect(struct watch *watch, uint64_t now_ns)
{
        int error;

        /* A filter for all threads at once (TSYNC) may have come by a system call that no door sees, and a new socket
         * may be what it punishes with the death of the process. */
        if (!thread_permitted()) {
                watch_leave(watch, WATCH_OUT_NS);
                return;
        }
        error = address_look(&watch->endpoint, watch->leader.id);
        if (error ==
            ESTALE) { /* programs that connect there get another place in the segment, and that another watch */
                watch_leave(watch, WATCH_OUT_NS);
                return;
        }
        if (error != 0) {
                watch_not_there(watch, error, now_ns);
                return;
        }
        switch (link_open(&watch->link, &watch->endpoint)) {
        case LINK_OK: watch_connected(watch, now_ns); break;
        case LINK_AGAIN: watch_enter(watch, WATCH_CONNECTING, now_ns); break;
        case LINK_FAILED: watch_not_there(watch, errno, now_ns); break;
        }
}

/* -------------------------------------------------------------------------------------------------------- events */

static bool watch_holds(const void *watch)
{
        return leader_holds(&((const struct watch *)watch)->leader);
}

static void watch_identify(struct watch *watch)
{
        /* A unix socket that is still the same inode has the same server behind it, even if it does not say so. */
        if ((watch->source.informed || watch->leader.family != AF_UNIX) &&
            leader_identify(&watch->leader, watch->source.run_id) && watch->state != WATCH_LISTENING)
                watch->position.id[0] = '\0'; /* another server's stream */
}

/* A cluster node is left alone and asked again a minute later, rather than kept connected: its mode changes only by a
 * restart, and an idle connection to each node of a cluster would be all cost. */
static bool watch_identified(struct watch *watch, uint64_t now_ns)
{
        const struct source *source = &watch->source;

        if (source->cluster) {
                leader_forbid(&watch->leader, SERVER_CLUSTER, now_ns + WATCH_RETRY_NS);
                watch->end = WATCH_DONE;
                return false;
        }
        watch_identify(watch);
        if (source_subscribe(&watch->source, &watch->link) && link_flush(&watch->link) != LINK_FAILED)
                return true;
        watch_unanswered(watch);
        return false;
}

static void watch_listens(struct watch *watch, uint64_t now_ns)
{
        watch->listened = true;
        watch->away_ns = 0;
        watch->error = 0;
        watch->unanswered = 0;
        fence_reset(&watch->fence);
        watch_enter(watch, WATCH_LISTENING, now_ns);
}

/* ------------------------------------------------------------------------------------------------------ the heir */

/* An heir listens beside the leader and applies what it hears: clearing once more is harmless. It takes the leader's
 * place when nothing can have been missed between the two, and then every entry stays:
 *
 *   S    the server executes the heir's SUBSCRIBE: every write after S is announced to the heir
 *   C    the heir reads the confirmation (confirmed_ns), so C is after S
 *   F    fresh_at_ns, proved by the leader: all that was executed before F has been applied, or flushed
 *
 * F >= C, seen with acquire, says that what was executed before S is applied; the heir has heard of all that came after
 * S, and will say by its own PONGs, which come behind it, when that is applied. So each write is applied before
 * fresh_at_ns passes it, whoever of the two moves that: each states only what is true, and it never goes back. A fill
 * whose GET was executed before a write had its PENDING in place before, and whoever applies that write takes it away.
 * A connection that the heir loses begins anew, with another C. A leader that is stopped proves nothing beyond C, or
 * did before: then the same holds. When it is dead or its time is over, the heir takes over as anybody may, and what
 * was filled while perhaps nobody listened is flushed; so it is when the two do not name the same server. The leader
 * whose place was taken finds that it does not hold any more, and steps down; until then it clears what the heir
 * clears too. */

static void watch_hears_too(struct watch *watch, uint64_t now_ns)
{
        struct server_shm *server = watch->leader.server;
        uint64_t           word = mt_load_acquire(&server->leader);

        watch->confirmed_ns = now_ns;
        watch_listens(watch, now_ns);
        mt_exchange_acq_rel(&server->ping_wanted, 1); /* the leader is to prove that time, and soon */
        thread_wake(l1_owner_pid(watch->leader.l1, word), mt_load_relaxed(&server->leader_tid));
}

/* Do the leader and the heir listen to the same server? */
static bool watch_agrees(const struct watch *watch)
{
        char known[sizeof watch->leader.server->run_id];

        mt_copy_from_shared(known, watch->leader.server->run_id, sizeof known);
        known[sizeof known - 1] = '\0';
        if (watch->source.informed)
                return strcmp(known, watch->source.run_id) == 0;
        return watch->leader.family == AF_UNIX && known[0] == '\0';
}

/* The time of C at which all before it is known to be applied; one of the future was not written by a listener. */
static bool watch_proved(const struct watch *watch, uint64_t now_ns)
{
        uint64_t fresh_at_ns = mt_load_acquire(&watch->leader.server->fresh_at_ns); /* [F2] in fence.c */

        return watch->state == WATCH_LISTENING && fresh_at_ns >= watch->confirmed_ns && fresh_at_ns < now_ns + NS_PER_S;
}

/* False: there is nothing to wait for. */
static bool watch_inherit(struct watch *watch, uint64_t now_ns)
{
        struct leader *leader = &watch->leader;
        bool           proved = watch_proved(watch, now_ns), whole = proved && watch_agrees(watch), vacant;
        uint64_t       word;

        vacant = leader_vacant(leader->l1, leader->server, clock_coarse_ns(), &word);
        if (!leader_same_place(leader) || (!vacant && (word == 0 || l1_owner_agent(leader->l1, word))))
                return false; /* an agent leads by now, or nobody may */
        if (watch->state != WATCH_LISTENING || (!vacant && !proved))
                return !vacant;
        if (!leader_inherit(leader, word))
                return leader->heir;
        mt_store_relaxed(&leader->server->leader_tid, (int32_t)gettid());
        if (!whole) {
                watch_identify(watch);
                leader_clear_flags(leader, SERVER_CLUSTER | SERVER_NO_TRACKING | SERVER_COSTLY);
                apply_flush(leader);
        }
        fence_want(&watch->fence, now_ns);
        return true;
}

/* From here on every write is announced, so from here on entries may be kept: those filled while nobody listened
 * carry ids that end now. The ids move before the first PING leaves, and so before fresh_at_ns can. */
static bool watch_confirmed(struct watch *watch, bool resumed, uint64_t now_ns)
{
        if (!resumed)
                origins_reset(&watch->origins, watch->jitter);
        if (watch->leader.heir) {
                watch_hears_too(watch, now_ns);
                return true;
        }
        if (!leader_holds(&watch->leader))
                return false;
        leader_clear_flags(&watch->leader, SERVER_CLUSTER | SERVER_NO_TRACKING | SERVER_COSTLY);
        if (!resumed && !fault(FAULT_early_epoch) && !(fault(FAULT_no_epoch) && watch->listened))
                apply_flush(&watch->leader);
        if (!resumed && watch_mode(watch) != INVALIDATION_TRACKING)
                apply_below_all(watch->config, &watch->leader);
        if (watch->listened)
                mt_fetch_add_relaxed(&watch->leader.server->reconnects, 1);
        watch_listens(watch, now_ns);
        return true;
}

/* A server that has no tracking, or gives us no right to it: what then is the user's to say. A missing password
 * is not such a case: the program may be about to send it. */
static void watch_refused(struct watch *watch, enum source_result result)
{
        static const char *const what[] = {[INVALIDATION_BYPASS] = " refuses the listener, nothing is served from L1: ",
                                           [INVALIDATION_FALL_PUBSUB] =
                                                   " refuses tracking, writes are learnt from the channel alone: ",
                                           [INVALIDATION_FALL_TTL] =
                                                   " refuses tracking, values live by their time alone: "};
        enum invalidation_fallback how = INVALIDATION_BYPASS;

        if (watch_mode(watch) == INVALIDATION_TRACKING && result != SOURCE_REFUSED)
                how = watch->config->fallback;
        if (how != INVALIDATION_BYPASS)
                fallback_note(watch->leader.family, watch->leader.id);
        watch_say(watch, watch->leader.heir ? " refuses the agent's listener: " : what[how], watch->source.reason);
}

/* The end of this connection, or of more, and why. Always false: the parser stops. */
static bool watch_judged(struct watch *watch, enum source_result result, uint64_t now_ns)
{
        watch->stopped = true;
        if (result == SOURCE_LATER)
                return false;
        l1_count(watch->leader.l1, COUNTER_error_listener, 1);
        if (result == SOURCE_MEANINGLESS) {
                if (++watch->strange < WATCH_STRANGE_MAX)
                        return false;
                watch_say(watch, ": what answers there is no Redis, nothing is served from L1", NULL);
        } else {
                if (result == SOURCE_IMPOSSIBLE)
                        leader_forbid(&watch->leader, SERVER_NO_TRACKING, now_ns + WATCH_RETRY_NS);
                watch_refused(watch, result);
        }
        watch_leave(watch, WATCH_OUT_NS);
        return false;
}

static bool watch_pong(struct watch *watch, uint64_t now_ns)
{
        uint64_t proved_ns;

        if (!fence_pong(&watch->fence, &proved_ns))
                return watch_judged(watch, SOURCE_MEANINGLESS, now_ns);
        if (fault(FAULT_fresh_at_arrival))
                proved_ns = now_ns;
        if (proved_ns != 0) {
                fence_advance(watch->leader.server, proved_ns, watch_holds, watch);
                watch->pause_ns = 0;
                watch->strange = 0;
        }
        return true;
}

/* Something that should have said which keys were written, and does not: all may have been. */
static void watch_doubt(const struct watch *watch, enum l1_counter why)
{
        l1_count(watch->leader.l1, why, 1);
        apply_flush(&watch->leader);
        apply_below_all(watch->config, &watch->leader);
}

/* The entry that was being heard has been applied. */
static void watch_entry_done(struct watch *watch)
{
        if (watch->entry.ptr)
                source_passed(&watch->position, watch->entry);
        watch->entry = mt_bytes(NULL, 0);
}

/* An answer of a stream. */
static bool watch_stream_heard(struct watch *watch, const struct event *event, uint64_t now_ns)
{
        enum source_proof proof;
        uint64_t          proved_ns;

        if (event->kind != EVENT_WORD)
                watch_entry_done(watch);
        if (event->kind == EVENT_ERROR) {
                enum source_result result = source_judge(&watch->source, event->bytes);

                if (result != SOURCE_LATER && result != SOURCE_IMPOSSIBLE)
                        return watch_judged(watch, result, now_ns);
        }
        proof = source_stream_heard(&watch->source, event);
        if (proof == SOURCE_MORE)
                return true;
        if (proof == SOURCE_NO_PROOF)
                return watch_judged(watch, SOURCE_MEANINGLESS, now_ns);
        watch->waits_next = proof == SOURCE_PROVED;
        proved_ns = fence_answered(&watch->fence, watch->source.rebuffed);
        if (proof == SOURCE_GAP)
                watch_doubt(watch, COUNTER_message_gaps);
        if (proof == SOURCE_PROVED) {
                fence_advance(watch->leader.server, proved_ns, watch_holds, watch);
                watch->pause_ns = 0;
                watch->strange = 0;
        } else if (!watch->source.rebuffed) {
                fence_want(&watch->fence, now_ns); /* at once */
        }
        return true;
}

static bool watch_heard(struct watch *watch, const struct event *event, uint64_t now_ns)
{
        enum source_result result;

        if (watch_mode(watch) == INVALIDATION_STREAM)
                return watch_stream_heard(watch, event, now_ns);
        if (event->kind == EVENT_PONG)
                return watch_pong(watch, now_ns);
        if (event->kind != EVENT_ERROR)
                return true; /* a message of another shape */
        result = source_judge(&watch->source, event->bytes);
        if (result == SOURCE_LATER && fence_refused(&watch->fence))
                return true;
        return watch_judged(watch, result, now_ns);
}

static bool watch_replied(struct watch *watch, const struct event *event, uint64_t now_ns)
{
        enum source_result result = source_reply(&watch->source, event);

        if (fault(FAULT_early_epoch) && watch->source.state == SOURCE_ASKED && result == SOURCE_WAIT)
                apply_flush(&watch->leader);
        if (result == SOURCE_WAIT)
                return true;
        if (result == SOURCE_IDENTIFIED)
                return watch_identified(watch, now_ns) || watch_judged(watch, SOURCE_LATER, now_ns);
        if (result == SOURCE_CONFIRMED || result == SOURCE_RESUMED)
                return watch_confirmed(watch, result == SOURCE_RESUMED, now_ns) ||
                       watch_judged(watch, SOURCE_LATER, now_ns);
        return watch_judged(watch, result, now_ns);
}

/* ------------------------------------------------------------------------------------------------------ messages */

static bool watch_own_household(const struct watch *watch, struct mt_bytes origin)
{
        uint64_t number, household;

        return watch->config->household != NULL && message_read_origin(origin, &number, &household) && household != 0 &&
               household == watch->config->household(watch->leader.l1, watch->leader.index);
}

/* The head of a message: the rest of one that is known already is not wanted. */
static bool watch_announced(struct watch *watch, struct mt_bytes origin, uint64_t sequence)
{
        watch->own_household = watch_own_household(watch, origin);
        l1_count(watch->leader.l1, COUNTER_messages, 1);
        if (!origins_follow(&watch->origins, origin, sequence))
                watch_doubt(watch, COUNTER_message_gaps);
        if (!publisher_has_cleared(origin, sequence))
                return true;
        l1_count(watch->leader.l1, COUNTER_messages_own, 1);
        return false;
}

/* A key that one of our own household has written, and removes from the tiers itself before it believes in its write
 * (shim/connection/below.h). What is there was stored since, perhaps by that very write. Why nothing that is older can
 * be: a value is stored under a mark that was taken before its SET was sent, and the removal makes it void. */
static bool watch_below_knows(const struct watch *watch, const struct event *event)
{
        return watch->own_household && event->kind == EVENT_REMOVE;
}

static bool watch_told(void *arg, const struct event *event)
{
        struct watch *watch = arg;

        if (event->kind != EVENT_ANNOUNCED && !watch_below_knows(watch, event))
                apply_below(watch->config, &watch->leader, event);
        switch (event->kind) {
        case EVENT_ANNOUNCED: return watch_announced(watch, event->bytes, (uint64_t)event->integer);
        case EVENT_REMOVE: apply_remove(&watch->apply, &watch->leader, event->bytes); break;
        case EVENT_PATTERN: apply_pattern(&watch->apply, &watch->leader, event->bytes); break;
        default: apply_flush(&watch->leader); break;
        }
        return true;
}

/* The entry is behind us only when all of it has been applied: after a connection that broke within it, it is read
 * again. */
static void watch_piece(struct watch *watch, struct mt_bytes bytes, bool last)
{
        if (!watch->in_message)
                message_begin(&watch->message);
        watch->in_message = !last;
        message_feed(&watch->message, bytes.ptr, bytes.len, watch_told, watch);
        if (last && !message_end(&watch->message)) {
                watch_doubt(watch, COUNTER_error_message);
                watch_say(watch,
                          ": an announcement cannot be read, everything is forgotten: MESSAGES.md has the format",
                          NULL);
        }
}

/* The one before has been applied, with all that was in it. */
static void watch_entry(struct watch *watch, struct mt_bytes id)
{
        watch_entry_done(watch);
        if (id.len > SOURCE_ID_MAX)
                return;
        memcpy(watch->entry_id, id.ptr, id.len);
        watch->entry = mt_bytes(watch->entry_id, id.len);
}

static bool watch_event(void *arg, const struct event *event)
{
        struct watch *watch = arg;

        if (event->kind == EVENT_REMOVE) {
                apply_remove(&watch->apply, &watch->leader, event->bytes);
                return true;
        }
        /* A PONG, or what else proves something, proves that what was announced before it is applied. */
        apply_waiting(&watch->apply, &watch->leader);
        switch (event->kind) {
        case EVENT_FLUSH: apply_flush(&watch->leader); return true;
        case EVENT_PIECE: watch_piece(watch, event->bytes, event->integer == 0); return true;
        case EVENT_ENTRY: watch_entry(watch, event->bytes); return true;
        case EVENT_MALFORMED: watch_doubt(watch, COUNTER_error_message); return true;
        default: break;
        }
        if (watch->state == WATCH_LISTENING)
                return watch_heard(watch, event, clock_precise_ns());
        return watch_replied(watch, event, clock_precise_ns());
}

/* ------------------------------------------------------------------------------------------------- the socket */

short watch_events(const struct watch *watch)
{
        return link_events(&watch->link);
}

/* A flood of announcements must not keep other servers waiting: so many reads, then it is their turn. */
static void watch_read(struct watch *watch, char *buffer, size_t size)
{
        enum link_result result = LINK_OK;
        bool             ended = false;
        size_t           got;

        for (unsigned reads = 0; reads < WATCH_READS && result == LINK_OK; reads++) {
                result = link_read(&watch->link, buffer, size, &got);
                if (result == LINK_FAILED)
                        ended = true;
                else if (result == LINK_OK && !codec_feed(&watch->codec, buffer, got, watch_event, watch)) {
                        result = LINK_FAILED;
                        if (!watch->stopped)
                                watch_judged(watch, SOURCE_MEANINGLESS, clock_precise_ns());
                        watch->stopped = false;
                }
        }
        apply_settle(&watch->apply, &watch->leader);
        if (result != LINK_FAILED || watch->end != WATCH_GOES_ON)
                return;
        if (ended)
                watch_ended(watch, clock_precise_ns());
        else
                watch_lose(watch, clock_precise_ns());
}

void watch_ready(struct watch *watch, short revents, char *buffer, size_t size)
{
        if (watch->link.fd < 0)
                return;
        if (watch->state == WATCH_CONNECTING) {
                if (link_finish(&watch->link) == LINK_OK)
                        watch_connected(watch, clock_precise_ns());
                else
                        watch_not_there(watch, errno, clock_precise_ns());
                return;
        }
        if (watch->state == WATCH_SECURING) {
                watch_secure(watch, clock_precise_ns());
                return;
        }
        if ((revents & POLLOUT) && link_flush(&watch->link) == LINK_FAILED) {
                watch_ended(watch, clock_precise_ns());
                return;
        }
        if (revents & (POLLIN | POLLHUP | POLLERR))
                watch_read(watch, buffer, size);
}

/* --------------------------------------------------------------------------------------------------- the turn */

/* The server sees that a wait is over when it looks at its clients, ten times a second: worth while only where the
 * lease outlives that as well. Elsewhere the stream is asked as often as a PING is sent. */
#define WATCH_WAIT_NS      (150 * NS_PER_MS)
#define WATCH_READ_PACE_NS (2 * NS_PER_MS) /* where there is always something to read: so much is read at once */

static uint32_t watch_wait_ms(const struct watch *watch, uint64_t period_ns)
{
        return watch->waits_next && period_ns >= WATCH_WAIT_NS ? (uint32_t)(period_ns / NS_PER_MS) : 0;
}

/* A read that waits takes the place of the pause between two that prove. */
static uint64_t watch_due_ns(const struct watch *watch, uint64_t period_ns)
{
        return fence_due_ns(&watch->fence, watch_wait_ms(watch, period_ns) > 0 ? WATCH_READ_PACE_NS : period_ns);
}

/* The time is taken before the PING is handed over: it will prove that all acknowledged before then is applied. */
static void watch_ping(struct watch *watch, uint64_t period_ns)
{
        uint64_t before_ns = clock_precise_ns();

        if (watch->source.ops->pulse(&watch->source, &watch->link, watch_wait_ms(watch, period_ns))) {
                fence_sent(&watch->fence, before_ns);
                if (link_flush(&watch->link) != LINK_FAILED)
                        return;
        }
        watch_lose(watch, before_ns);
}

static uint64_t watch_turn_listening(struct watch *watch, uint64_t now_ns)
{
        struct server_shm *server = watch->leader.server;
        uint64_t           period_ns = leader_period_ns(leader_bound_ms(server, watch->leader.own_bound_ms)), due_ns;

        if (!watch->leader.heir && mt_load_relaxed(&server->ping_wanted) != 0 &&
            mt_exchange_acq_rel(&server->ping_wanted, 0) != 0)
                fence_want(&watch->fence, now_ns);
        if (watch->fence.sent_ns != 0 && now_ns > watch->fence.sent_ns + watch_silence_ns(watch)) {
                watch_lose(watch, now_ns);
                return watch->retry_ns;
        }
        due_ns = watch_due_ns(watch, period_ns);
        if (due_ns <= now_ns) {
                watch_ping(watch, period_ns);
                due_ns = watch->state == WATCH_LISTENING ? UINT64_MAX : watch->retry_ns;
        }
        return due_ns != UINT64_MAX ? due_ns : watch->fence.sent_ns + watch_silence_ns(watch);
}

/* A process that has changed its root, or has no right to the path, must not keep away those who could listen. */
static bool watch_blind(const struct watch *watch)
{
        switch (watch->error) {
        case ENOENT:
        case ENOTDIR:
        case EACCES:
        case EPERM:
        case ELOOP: return true;
        default: return !watch->listened;
        }
}

static uint64_t watch_turn_away(struct watch *watch, uint64_t now_ns)
{
        if (now_ns - watch->away_ns > WATCH_AWAY_MAX_NS)
                watch->end = WATCH_DONE;
        else if (now_ns - watch->away_ns > WATCH_BLIND_MAX_NS && watch_blind(watch))
                watch_leave(watch, WATCH_BLIND_OUT_NS);
        else if (now_ns >= watch->retry_ns)
                watch_connect(watch, now_ns);
        return watch->state == WATCH_AWAY ? watch->retry_ns : watch->since_ns + watch_silence_ns(watch);
}

static uint64_t watch_turn_state(struct watch *watch, uint64_t now_ns)
{
        switch (watch->state) {
        case WATCH_LISTENING: return watch_turn_listening(watch, now_ns);
        case WATCH_AWAY: return watch_turn_away(watch, now_ns);
        case WATCH_CONNECTING: /* a lost packet is sent again sooner by a new attempt than by this one */
                if (now_ns > watch->since_ns + NS_PER_S)
                        watch_lose(watch, now_ns);
                return watch->state == WATCH_AWAY ? watch->retry_ns : watch->since_ns + NS_PER_S;
        case WATCH_SECURING:
        case WATCH_GREETING: break;
        }
        if (now_ns > watch->since_ns + watch_silence_ns(watch)) {
                if (watch->state == WATCH_SECURING)
                        watch_say(watch, ": does not answer a TLS handshake, nothing is served from L1 so far", NULL);
                watch_lose(watch, now_ns);
        }
        return watch->state == WATCH_AWAY ? watch->retry_ns : watch->since_ns + watch_silence_ns(watch);
}

enum watch_end watch_turn(struct watch *watch, uint64_t now_ns, uint64_t *next_ns)
{
        uint64_t renew_ns;

        if (watch->end != WATCH_GOES_ON)
                return watch->end;
        if (watch->leader.heir ? !watch_inherit(watch, now_ns) : !leader_holds(&watch->leader))
                return WATCH_DONE;
        leader_renew(&watch->leader, now_ns);
        if (!watch->leader.heir && leader_too_costly(&watch->leader, now_ns)) {
                watch_say(watch, ": more keys are written there than are served from L1: off for ten to twenty minutes",
                          NULL);
                leader_forbid(&watch->leader, SERVER_COSTLY, now_ns + leader_costly_ns(now_ns));
                return WATCH_DONE;
        }
        *next_ns = watch_turn_state(watch, now_ns);
        renew_ns = now_ns + leader_lapse_ns(leader_bound_ms(watch->leader.server, watch->leader.own_bound_ms)) / 3;
        if (*next_ns > renew_ns)
                *next_ns = renew_ns;
        if (watch->leader.heir && *next_ns > now_ns + WATCH_HEIR_NS)
                *next_ns = now_ns + WATCH_HEIR_NS;
        return watch->end;
}

void watch_suspended(struct watch *watch, uint64_t now_ns)
{
        if (leader_holds(&watch->leader))
                apply_flush(&watch->leader);
        if (watch->state != WATCH_AWAY)
                watch_lose(watch, now_ns);
}

void watch_finish(struct watch *watch)
{
        link_close(&watch->link);
        leader_give_up(&watch->leader);
}
