/* invalidation.c - the door of this room: what programs' threads call. The slow path only; the hit reads
 * invalidation_fresh() in the header. Owns: the configuration, and the decision to become a candidate. */
#include "invalidation.h"

#include "address.h"
#include "credentials.h"
#include "fallback.h"
#include "leader.h"
#include "listener.h"
#include "places.h"
#include "tls.h"
#include "tls_names.h"

#include "../l1/base/handover.h"
#include "../l1/base/thread.h"

#include <errno.h>
#include <unistd.h>

static struct invalidation_config invalidation_config = {.mode = INVALIDATION_NONE};
static uint32_t                   invalidation_bound_ms;
static uint64_t                   invalidation_channel_source, invalidation_stream_source;

void invalidation_loaded(void)
{
        thread_loaded();
}

/* The mode in the low bits, the name in the rest: who listens to one channel has not heard what was said on another. */
enum { INVALIDATION_MODES = 8 };

static uint64_t invalidation_source_of(enum invalidation_mode mode, const char *name)
{
        uint64_t hash = name ? mt_hash(name, strlen(name), (struct hash_key){{(uint64_t)mode, 1}}) : 0;

        return (hash & ~(uint64_t)(INVALIDATION_MODES - 1)) | (uint64_t)mode;
}

enum invalidation_mode invalidation_source_mode(uint64_t source)
{
        switch (source % INVALIDATION_MODES) {
        case INVALIDATION_PUBSUB: return INVALIDATION_PUBSUB;
        case INVALIDATION_STREAM: return INVALIDATION_STREAM;
        default: return INVALIDATION_TRACKING;
        }
}

static bool invalidation_falls(uint32_t family, const uint64_t id[3], enum invalidation_fallback how)
{
        return invalidation_config.mode == INVALIDATION_TRACKING && invalidation_config.fallback == how &&
               fallback_noted(family, id);
}

/* Whose values live by their time alone share a place with whoever tracks: a lease is then believed too, and what was
 * filled without one ends when somebody begins to listen. */
uint64_t invalidation_source(const struct l1_server_id *id)
{
        if (invalidation_config.mode == INVALIDATION_PUBSUB ||
            invalidation_falls(id->family, id->id, INVALIDATION_FALL_PUBSUB))
                return invalidation_channel_source;
        return invalidation_config.mode == INVALIDATION_STREAM ? invalidation_stream_source : 0;
}

bool invalidation_trusts_ttl(const struct l1_server_id *id)
{
        return invalidation_config.mode == INVALIDATION_NONE ||
               invalidation_falls(id->family, id->id, INVALIDATION_FALL_TTL);
}

void invalidation_setup(const struct invalidation_config *config)
{
        uint64_t bound_ms = config->bound_ns / NS_PER_MS;

        invalidation_config = *config;
        invalidation_channel_source = invalidation_source_of(INVALIDATION_PUBSUB, config->channel);
        invalidation_stream_source = invalidation_source_of(INVALIDATION_STREAM, config->stream);
        publisher_setup(config);
        invalidation_bound_ms = bound_ms == 0 ? 1 : bound_ms > UINT32_MAX / 4 ? UINT32_MAX / 4 : (uint32_t)bound_ms;
}

void invalidation_after_fork(void)
{
        places_after_fork();
        listener_after_fork();
        leader_forget_life();
        tls_after_fork();
        publisher_after_fork();
}

uint64_t invalidation_window_ns(uint64_t bound_ns)
{
        uint64_t tick_ns = clock_tick_ns();

        return bound_ns > tick_ns ? bound_ns - tick_ns + NS_PER_S : 0;
}

const struct invalidation_tls *invalidation_tls_intern(const struct invalidation_tls *wanted)
{
        struct invalidation_tls settled;
        const struct tls_names *kept;
        int                     saved = errno;

        if (!tls_names_settle(&invalidation_config, wanted, &settled)) {
                if (invalidation_config.tls_use != INVALIDATION_TLS_OFF)
                        log_once(LOG_WARN, "how the program verifies its TLS server cannot be seen: not served from L1 "
                                           "unless MTSHIM_TLS_CA_FILE, _CA_DIR or _SERVER_NAME says whom to believe");
                return NULL;
        }
        kept = tls_names_keep(&settled);
        if (kept == NULL)
                log_once(LOG_WARN, "no room for another way to secure connections: those are not served from L1");
        errno = saved;
        return kept != NULL ? &kept->names : NULL;
}

static void invalidation_wake(const struct l1 *l1, const struct server_shm *server)
{
        uint64_t word = mt_load_acquire(&server->leader);

        if (word != 0)
                thread_wake(l1_owner_pid(l1, word), mt_load_relaxed(&server->leader_tid));
}

/* Under the lock of places.h. A place that is LED is in the thread's hands: it will see by itself that leadership was
 * lost. */
static struct place *invalidation_place(const struct server_shm *server, const struct invalidation_endpoint *endpoint,
                                        uint64_t now_ns)
{
        struct place *place = places_of(server);

        if (!place)
                return places_free();
        if (mt_load_acquire(&place->state) == PLACE_LED ||
            (now_ns < mt_load_relaxed(&place->out_until_ns) && place->endpoint.tls == endpoint->tls))
                return NULL; /* refused: but in another way to secure it, it may go */
        return place;
}

/* The caller may have kept the pointer while the place was given to another server. */
static bool invalidation_leads_to(const struct invalidation_endpoint *endpoint, struct leader *leader)
{
        bool known = leader->source == 0 || leader->source == invalidation_channel_source ||
                     leader->source == invalidation_stream_source;

        if (known && address_is(endpoint, leader->family, leader->id))
                return true;
        leader_give_up(leader);
        return false;
}

/* Nobody leads, as far as can be seen: try to. Or, as an heir, listen beside whoever does. */
static MT_COLD void invalidation_recruit(struct l1 *l1, struct server_shm *server,
                                         const struct invalidation_endpoint *endpoint, uint64_t now_ns, uint64_t word,
                                         bool heir)
{
        struct place *place;
        struct leader leader;

        if ((endpoint->tls != NULL && !tls_load()) || !places_enter())
                return;
        place = invalidation_place(server, endpoint, now_ns);
        if (place && listener_allowed() &&
            (heir ? leader_stand(&leader, l1, server, invalidation_bound_ms)
                  : leader_take(&leader, l1, server, invalidation_bound_ms, word)) &&
            invalidation_leads_to(endpoint, &leader)) {
                mt_store_relaxed(&place->state, PLACE_FREE);
                place->server = server;
                place->leader = leader;
                place->endpoint = *endpoint;
                mt_store_release(&place->state, PLACE_LED); /* pairs with the acquire in listener_take_up() */
                if (!listener_run(&invalidation_config, l1)) {
                        mt_store_relaxed(&place->state, PLACE_FREE);
                        leader_give_up(&leader);
                }
        }
        places_leave();
}

/* Somebody of this host has asked already, and nobody may be a tracker of this server. */
static MT_COLD void invalidation_fall(const struct server_shm *server)
{
        uint32_t family;
        uint64_t id[3];

        if (invalidation_config.mode != INVALIDATION_TRACKING || invalidation_config.fallback == INVALIDATION_BYPASS ||
            mt_load_relaxed(&server->source) != 0)
                return;
        mt_copy_from_shared(&family, &server->family, sizeof family);
        mt_copy_from_shared(id, server->id, sizeof id);
        fallback_note(family, id);
}

void invalidation_attend(struct l1 *l1, struct server_shm *server, const struct invalidation_endpoint *endpoint,
                         uint64_t now_ns)
{
        uint64_t word;
        int      saved = errno;

        if (invalidation_config.mode == INVALIDATION_NONE)
                return;
        if (MT_UNLIKELY(mt_load_relaxed(&server->flags) & SERVER_NO_TRACKING))
                invalidation_fall(server);
        if (MT_UNLIKELY(handover_waiting()))
                handover_print();
        if (MT_UNLIKELY(leader_lower_bound(server, invalidation_bound_ms)))
                invalidation_wake(l1, server);
        if (leader_long_lived(now_ns) && MT_UNLIKELY(leader_vacant(l1, server, now_ns, &word)))
                invalidation_recruit(l1, server, endpoint, now_ns, word, false);
        errno = saved;
}

/* ----------------------------------------------------------------------------------------------------- for agents */

static enum invalidation_standing invalidation_of_others(const struct l1 *l1, const struct server_shm *server,
                                                         uint64_t now_ns, uint64_t *word)
{
        if (leader_vacant(l1, server, now_ns, word))
                return INVALIDATION_VACANT;
        if (*word == 0)
                return INVALIDATION_FORBIDDEN;
        return l1_owner_agent(l1, *word) ? INVALIDATION_BY_AGENT : INVALIDATION_BY_PROGRAM;
}

enum invalidation_standing invalidation_standing(const struct l1 *l1, const struct server_shm *server, uint64_t now_ns)
{
        enum invalidation_standing standing;
        const struct place        *place;
        uint64_t                   word;

        if (!places_enter())
                return INVALIDATION_BUSY;
        place = places_of(server);
        if (place && mt_load_acquire(&place->state) == PLACE_LED)
                standing =
                        mt_load_acquire(&server->leader) == place->leader.self ? INVALIDATION_LEADS : INVALIDATION_HEIR;
        else if (place && now_ns < mt_load_relaxed(&place->out_until_ns))
                standing = INVALIDATION_OUT;
        else
                standing = invalidation_of_others(l1, server, now_ns, &word);
        places_leave();
        return standing;
}

void invalidation_lead(struct l1 *l1, struct server_shm *server, const struct invalidation_endpoint *endpoint,
                       uint64_t now_ns)
{
        enum invalidation_standing standing;
        uint64_t                   word;

        if (invalidation_config.mode != INVALIDATION_TRACKING)
                return;
        standing = invalidation_of_others(l1, server, now_ns, &word);
        if (standing == INVALIDATION_VACANT || standing == INVALIDATION_BY_PROGRAM)
                invalidation_recruit(l1, server, endpoint, now_ns, word, standing == INVALIDATION_BY_PROGRAM);
}

void invalidation_say(void)
{
        if (handover_waiting())
                handover_print();
}

void invalidation_hurry(struct l1 *l1, struct server_shm *server)
{
        int saved = errno;

        if (invalidation_config.mode != INVALIDATION_NONE && mt_exchange_acq_rel(&server->ping_wanted, 1) == 0)
                invalidation_wake(l1, server);
        errno = saved;
}

void invalidation_credentials(struct server_shm *server, const struct invalidation_endpoint *endpoint,
                              struct mt_bytes user, struct mt_bytes password)
{
        struct place *place;
        int           saved = errno;

        if (invalidation_config.mode == INVALIDATION_NONE)
                return;
        /* Others than those that the server has refused: no reason to stay away any longer. */
        if (credentials_keep(endpoint, user, password) && places_enter()) {
                place = server != NULL ? places_of(server) : NULL;
                if (place && mt_load_acquire(&place->state) == PLACE_OUT)
                        mt_store_relaxed(&place->state, PLACE_FREE);
                places_leave();
        }
        errno = saved;
}

/* ------------------------------------------------------------------------------------------------------ the end */

static void invalidation_moment(void)
{
        const struct timespec moment = {.tv_nsec = 50000};

        nanosleep(&moment, NULL);
}

/* Leadership goes now, whenever the thread gets to run; what it still does until then is harmless. The lock shuts out a
 * candidate that is on its way in; it is waited for, but not for ever: a destructor must end. */
static void invalidation_resign(uint64_t until_ns)
{
        bool locked;

        while (!(locked = places_enter()) && clock_precise_ns() < until_ns)
                invalidation_moment();
        if (!locked)
                return;
        for (unsigned i = 0; i < PLACES_MAX; i++) {
                struct place *place = places_at(i);

                if (mt_load_acquire(&place->state) == PLACE_LED)
                        leader_resign(place->leader.server, place->leader.self);
        }
        places_leave();
}

bool invalidation_stop(enum invalidation_stop how, uint64_t wait_ns)
{
        uint64_t begin_ns = clock_precise_ns();
        int      saved = errno;
        bool     ended;

        listener_stop(how);
        invalidation_resign(begin_ns + (wait_ns > NS_PER_MS ? wait_ns : NS_PER_MS));
        listener_stop(how); /* a candidate that was on its way in may have started it meanwhile */
        if (handover_waiting())
                handover_print();
        while (!(ended = listener_ended()) && clock_precise_ns() - begin_ns < wait_ns)
                invalidation_moment();
        errno = saved;
        return ended;
}
