/* leader.c - the leadership word and what goes with it. Owns, in struct server_shm: leader, leader_until_ns,
 * leader_term, bound_ms, flags, retry_ns, costly_until_ns, run_id, incarnation (with l1/, which recycles places).
 *
 * Every word here may be changed by any process at any time, and all of them may turn to zero (l1_abandon): nothing is
 * concluded from one load but what the comment there says. */
#include "leader.h"

#include "../l1/base/assert.h"

enum {
        LEADER_PERIOD_MAX_MS = 1000,
        LEADER_LAPSE_MIN_MS = 250, /* less, and a busy machine alone takes leadership away; each change costs a flush */
        LEADER_LAPSE_MAX_MS = 3000,
        LEADER_KEYS_PER_HIT = 10,
        LEADER_KEYS_MIN = 1000, /* a minute with fewer keys costs nothing worth mentioning */
};
#define LEADER_BOUND_SAY_NS (10 * NS_PER_S)
#define LEADER_MINUTE_NS    (60 * NS_PER_S)
#define LEADER_COSTLY_NS    (600 * NS_PER_S)

/* A thread and a connection cost 0.2 to 0.45 ms; a compiler cache's process lives 3 ms and asks twice. One that has
 * lived thirty times as long, or asked L1 in vain as often as a small job would, is going to stay. */
#define LEADER_AGE_NS (100 * NS_PER_MS)
enum { LEADER_CALLS = 32 };

static _Atomic uint64_t leader_born_ns;
static _Atomic uint32_t leader_calls;
static _Atomic uint64_t leader_look_ns; /* when /proc may be read again */

/* -------------------------------------------------------------------------------------------------- arithmetic */

static uint64_t leader_clamp_ms(uint64_t ms, uint64_t least, uint64_t most)
{
        return ms < least ? least : ms > most ? most : ms;
}

uint32_t leader_bound_ms(const struct server_shm *server, uint32_t own_bound_ms)
{
        uint32_t said = mt_load_relaxed(&server->bound_ms);

        return said != 0 && said < own_bound_ms ? said : own_bound_ms;
}

uint64_t leader_period_ns(uint32_t bound_ms)
{
        uint64_t quarter_ns = bound_ms * NS_PER_MS / 4;

        return quarter_ns < NS_PER_MS                          ? NS_PER_MS
               : quarter_ns > LEADER_PERIOD_MAX_MS * NS_PER_MS ? LEADER_PERIOD_MAX_MS * NS_PER_MS
                                                               : quarter_ns;
}

uint64_t leader_lapse_ns(uint32_t bound_ms)
{
        return leader_clamp_ms(UINT64_C(3) * bound_ms / 4, LEADER_LAPSE_MIN_MS, LEADER_LAPSE_MAX_MS) * NS_PER_MS;
}

/* Spread by a multiplicative hash of the time in nanoseconds: the hosts of a fleet close in the same minute, and must
 * not all be told of writes again in the same one. */
uint64_t leader_costly_ns(uint64_t now_ns)
{
        return LEADER_COSTLY_NS + now_ns * UINT64_C(0x9e3779b97f4a7c15) / (UINT64_MAX / LEADER_COSTLY_NS + 1);
}

/* -------------------------------------------------------------------------------------------------- candidates */

bool leader_long_lived(uint64_t now_ns)
{
        uint64_t born_ns = mt_load_relaxed(&leader_born_ns);
        uint32_t calls = mt_load_relaxed(&leader_calls);

        if (calls >= LEADER_CALLS)
                return true;
        if (born_ns == 0)
                mt_store_relaxed(&leader_born_ns, now_ns);
        else if (now_ns > born_ns && now_ns - born_ns >= LEADER_AGE_NS)
                calls = LEADER_CALLS - 1;
        mt_store_relaxed(&leader_calls, calls + 1); /* threads that count at once lose a call: no matter */
        return calls + 1 >= LEADER_CALLS;
}

void leader_forget_life(void)
{
        mt_store_relaxed(&leader_born_ns, 0);
        mt_store_relaxed(&leader_calls, 0);
        mt_store_relaxed(&leader_look_ns, 0);
}

bool leader_lower_bound(struct server_shm *server, uint32_t bound_ms)
{
        uint32_t said = mt_load_relaxed(&server->bound_ms);

        while (said == 0 || said > bound_ms)
                if (mt_cas_acq_rel(&server->bound_ms, &said, bound_ms))
                        return true;
        return false;
}

/* The leader is late, but its time is not over: see whether it is dead, so that nobody needs to wait for the rest.
 * Reads /proc, so sparingly: each process once in an eighth of the time that leadership lasts. */
static bool leader_seen_dead(const struct l1 *l1, uint64_t word, uint64_t lapse_ns, uint64_t now_ns)
{
        uint64_t look_ns = mt_load_relaxed(&leader_look_ns);

        if (now_ns < look_ns && look_ns - now_ns <= lapse_ns)
                return false;
        if (!mt_cas_acq_rel(&leader_look_ns, &look_ns, now_ns + lapse_ns / 8))
                return false; /* another thread is looking */
        return l1_owner_dead(l1, word);
}

static bool leader_forbidden(const struct server_shm *server, uint64_t now_ns)
{
        uint32_t flags = mt_load_acquire(&server->flags);

        if ((flags & (SERVER_NO_TRACKING | SERVER_CLUSTER)) && now_ns < mt_load_relaxed(&server->retry_ns))
                return true;
        return (flags & SERVER_COSTLY) && now_ns < mt_load_relaxed(&server->costly_until_ns);
}

bool leader_vacant(const struct l1 *l1, const struct server_shm *server, uint64_t now_ns, uint64_t *word)
{
        uint64_t until_ns = mt_load_relaxed(&server->leader_until_ns);
        uint64_t lapse_ns, left_ns;

        *word = mt_load_acquire(&server->leader);
        if (MT_LIKELY(*word != 0 && until_ns > now_ns)) {
                lapse_ns = leader_lapse_ns(leader_bound_ms(server, UINT32_MAX));
                left_ns = until_ns - now_ns;
                /* More than any leader grants itself was not written by one. */
                if (MT_LIKELY(left_ns <= LEADER_LAPSE_MAX_MS * NS_PER_MS + NS_PER_S) &&
                    (left_ns > lapse_ns / 2 || !leader_seen_dead(l1, *word, lapse_ns, now_ns)))
                        return false;
        }
        return !leader_forbidden(server, now_ns);
}

/* Time only moves forward: a store that comes late, from a process that was stopped, must not shorten another's. One
 * far in the future was not written by a leader. */
static void leader_extend(struct server_shm *server, uint64_t until_ns)
{
        uint64_t was_ns = mt_load_relaxed(&server->leader_until_ns);

        while (was_ns < until_ns || was_ns - until_ns > LEADER_LAPSE_MAX_MS * NS_PER_MS)
                if (mt_cas_acq_rel(&server->leader_until_ns, &was_ns, until_ns))
                        return;
}

static void leader_begin_minute(struct leader *leader, uint64_t now_ns)
{
        struct l1_totals totals;

        l1_totals(leader->l1, false, &totals);
        leader->minute_ns = now_ns;
        leader->minute_keys = leader->keys;
        leader->minute_hits = totals.count[COUNTER_hits];
}

static bool leader_prepare(struct leader *leader, struct l1 *l1, struct server_shm *server, uint32_t own_bound_ms)
{
        *leader = (struct leader){.l1 = l1, .server = server, .self = l1_self(l1), .own_bound_ms = own_bound_ms};
        leader->index = l1_server_index(l1, server);
        leader->incarnation = mt_load_acquire(&server->incarnation);
        return leader->self != 0;
}

static bool leader_win(struct leader *leader, uint64_t word)
{
        struct server_shm *server = leader->server;
        uint64_t           precise_ns = clock_precise_ns();

        /* The time first, so that the new word is never seen with the old time. If the exchange fails another process
         * has won, and has asked for as much. */
        leader_extend(server, precise_ns + leader_lapse_ns(leader_bound_ms(server, leader->own_bound_ms)));
        if (!mt_cas_acq_rel(&server->leader, &word, leader->self))
                return false;
        leader->term = mt_fetch_add_acq_rel(&server->leader_term, 1) + 1;
        leader->bound_said_ns = precise_ns;
        mt_store_relaxed(&server->used_ns, precise_ns);
        leader_begin_minute(leader, precise_ns);
        return true;
}

bool leader_take(struct leader *leader, struct l1 *l1, struct server_shm *server, uint32_t own_bound_ms, uint64_t word)
{
        if (!leader_prepare(leader, l1, server, own_bound_ms) || !leader_win(leader, word))
                return false;
        /* The incarnation was loaded before the state, and that before the identity: if the place is being given to
         * another server, either the state says so, or the identity is the other's already, or leader_holds() is false
         * from here on. */
        if (mt_load_acquire(&server->state) != SERVER_READY) {
                leader_give_up(leader);
                return false;
        }
        mt_copy_from_shared(&leader->family, &server->family, sizeof leader->family);
        mt_copy_from_shared(leader->id, server->id, sizeof leader->id);
        leader->source = mt_load_relaxed(&server->source);
        return true;
}

bool leader_same_place(const struct leader *leader)
{
        return mt_load_acquire(&leader->server->state) == SERVER_READY &&
               mt_load_acquire(&leader->server->incarnation) == leader->incarnation;
}

bool leader_stand(struct leader *leader, struct l1 *l1, struct server_shm *server, uint32_t own_bound_ms)
{
        if (!leader_prepare(leader, l1, server, own_bound_ms))
                return false;
        leader->heir = true;
        mt_copy_from_shared(&leader->family, &server->family, sizeof leader->family);
        mt_copy_from_shared(leader->id, server->id, sizeof leader->id);
        leader->source = mt_load_relaxed(&server->source);
        mt_fence_acquire(); /* the incarnation is looked at before and after the identity */
        return leader_same_place(leader);
}

/* Looked at after the word is ours too: an incarnation that moved in between, to that of another server behind the
 * address, or of another in this place, is not the heir's. */
bool leader_inherit(struct leader *leader, uint64_t word)
{
        if (!leader_same_place(leader) || !leader_win(leader, word))
                return false;
        leader->heir = false;
        if (leader_same_place(leader))
                return true;
        leader_resign(leader->server, leader->self);
        return false;
}

/* -------------------------------------------------------------------------------------------------- the leader */

/* The term tells our leadership from a later one of the same process. */
bool leader_holds(const struct leader *leader)
{
        return mt_load_acquire(&leader->server->leader) == leader->self &&
               mt_load_acquire(&leader->server->leader_term) == leader->term &&
               mt_load_acquire(&leader->server->incarnation) == leader->incarnation;
}

void leader_renew(struct leader *leader, uint64_t now_ns)
{
        struct server_shm *server = leader->server;

        if (!leader_holds(leader))
                return;
        /* Every ten seconds the smallest bound is forgotten; who needs it says so again when it finds no lease. */
        if (now_ns - leader->bound_said_ns >= LEADER_BOUND_SAY_NS) {
                leader->bound_said_ns = now_ns;
                mt_store_relaxed(&server->bound_ms, leader->own_bound_ms);
        }
        leader_extend(server, now_ns + leader_lapse_ns(leader_bound_ms(server, leader->own_bound_ms)));
        mt_store_relaxed(&server->used_ns, now_ns);
}

/* What is left of the lease goes too: it would hold, but whoever hits has no reason to look for a new leader, and until
 * it is over nobody would hear of writes. */
void leader_resign(struct server_shm *server, uint64_t self)
{
        uint64_t fresh_at_ns = mt_load_relaxed(&server->fresh_at_ns);

        if (self == 0 || mt_load_acquire(&server->leader) != self)
                return;
        /* [F3] the one before the other: who finds that it is 0 finds what it was. A leader that has reached nobody has
         * nothing to add. */
        if (fresh_at_ns != 0)
                mt_store_relaxed(&server->fresh_was_ns, fresh_at_ns);
        mt_store_release(&server->fresh_at_ns, 0);
        mt_cas_acq_rel(&server->leader, &self, 0);
}

void leader_give_up(struct leader *leader)
{
        if (leader_holds(leader))
                leader_resign(leader->server, leader->self);
}

void leader_forbid(struct leader *leader, enum server_flag flag, uint64_t until_ns)
{
        if (!leader_holds(leader))
                return;
        /* The time before the flag: [L1] pairs with the acquire in leader_forbidden(). */
        mt_store_relaxed(flag == SERVER_COSTLY ? &leader->server->costly_until_ns : &leader->server->retry_ns,
                         until_ns);
        atomic_fetch_or_explicit(&leader->server->flags, flag, memory_order_acq_rel);
}

void leader_clear_flags(struct leader *leader, uint32_t flags)
{
        if (leader_holds(leader) && (mt_load_relaxed(&leader->server->flags) & flags))
                atomic_fetch_and_explicit(&leader->server->flags, ~flags, memory_order_acq_rel);
}

/* Stored before anything of the new server is: fresh_at_ns is moved later, with release, by the same thread, so that
 * whoever believes it sees the new incarnation too. */
static void leader_next_incarnation(struct leader *leader)
{
        /* The time of now, not of the turn: a connection counts as newer than this if it began after, and none that
         * began while the old server was still there may. */
        mt_store_relaxed(&leader->server->incarnation_ns, clock_precise_ns());
        leader->incarnation = mt_fetch_add_acq_rel(&leader->server->incarnation, 1) + 1;
}

static void leader_set_run_id(struct leader *leader, const char *run_id)
{
        char text[sizeof leader->server->run_id] = "";

        memcpy(text, run_id, strnlen(run_id, sizeof text - 1));
        mt_copy_to_shared(leader->server->run_id, text, sizeof text);
}

bool leader_identify(struct leader *leader, const char *run_id)
{
        char known[sizeof leader->server->run_id];
        bool moved;

        if (!leader_holds(leader))
                return false;
        mt_copy_from_shared(known, leader->server->run_id, sizeof known);
        known[sizeof known - 1] = '\0';
        if (run_id[0] != '\0' && strcmp(known, run_id) == 0)
                return false;
        /* A server that does not say who it is may be another one, unless nobody ever listened to it before. */
        moved = run_id[0] != '\0' ? known[0] != '\0' : mt_load_relaxed(&leader->server->epoch) != 0;
        /* The incarnation before the name: dying in between makes the next leader move it once more. */
        if (moved)
                leader_next_incarnation(leader);
        leader_set_run_id(leader, run_id);
        return moved;
}

void leader_server_gone(struct leader *leader)
{
        if (!leader_holds(leader) || mt_load_relaxed((const _Atomic char *)&leader->server->run_id[0]) == '\0')
                return;
        leader_next_incarnation(leader);
        leader_set_run_id(leader, "");
}

/* Hits are those of the whole host: an L1 that serves other servers well is not closed lightly. */
bool leader_too_costly(struct leader *leader, uint64_t now_ns)
{
        struct leader before = *leader;
        uint64_t      keys, hits;

        if (now_ns - leader->minute_ns < LEADER_MINUTE_NS)
                return false;
        leader_begin_minute(leader, now_ns);
        keys = leader->minute_keys - before.minute_keys;
        hits = leader->minute_hits - before.minute_hits;
        return keys >= LEADER_KEYS_MIN && keys / LEADER_KEYS_PER_HIT > hits;
}
