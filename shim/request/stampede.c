/* stampede.c - who waits for whom. The waiting itself, and how a waiter takes another's place, is l1/cache/wait.c.
 *
 * Nobody waits longer than the limit, all in all, from its first look on: MTSHIM_STAMPEDE_WAIT, else four median round
 * trips of the server. Half of it is for the first who asks, or computes: if it has died, or is stopped, there is as
 * much time left for the one who takes its place then, and so one more GET travels instead of all. When all of it is
 * over they travel too, and have what they would have had at first. */
#include "stampede.h"

#include "../../l1/base/log.h"

enum {
        STAMPEDE_TRIPS = 4, /* limit, where the option sets none */
        STAMPEDE_TURNS = 8, /* looks of one GET, each a call inside the last: what ends those that need no time */
        STAMPEDE_STEP = 16, /* the estimate moves by a sixteenth */
        STAMPEDE_HELD = 16, /* keys that one thread is known to compute at a time */
};
#define STAMPEDE_TRIPS_MAX_NS NS_PER_S /* whatever the segment says of round trips */

_Thread_local unsigned stampede_inside __attribute__((tls_model("initial-exec")));

/* What this thread has had a nil for, by the words that say so in L1, and how long others wait for that; the oldest is
 * forgotten. Words are never used for two of these, so those that are over do no harm. */
static _Thread_local struct {
        struct {
                uint64_t word, until_ns;
        } of[STAMPEDE_HELD];
        unsigned next;
} stampede_mine __attribute__((tls_model("initial-exec")));

/* ------------------------------------------------------------------------------------------- the round trip */

/* An estimate of the median by steps: up by a part of itself if the trip took longer, else down by as much, so that it
 * rests where half of them are longer ("frugal streaming", Ma, Muthukrishnan and Sandler 2013; the step in proportion,
 * since trips take from 10 us to seconds). After a change by a factor of ten it needs 38 misses. One word for all
 * processes of the host, so that one that starts knows it; of two that step at once one may be lost. */
void stampede_took(const struct connection *c, uint64_t sent_ns)
{
        uint64_t took_ns = clock_precise_ns() - sent_ns, about_ns = mt_load_relaxed(&c->server->round_trip_ns);

        if (about_ns < STAMPEDE_STEP || about_ns > STAMPEDE_TRIPS_MAX_NS)
                about_ns = took_ns < STAMPEDE_TRIPS_MAX_NS ? took_ns : STAMPEDE_TRIPS_MAX_NS;
        else if (took_ns > about_ns)
                about_ns += about_ns / STAMPEDE_STEP;
        else
                about_ns -= about_ns / (STAMPEDE_STEP + 1);
        mt_store_relaxed(&c->server->round_trip_ns, about_ns);
}

uint64_t stampede_limit_ns(const struct connection *c)
{
        uint64_t trip_ns = mt_load_relaxed(&c->server->round_trip_ns), most_ns = STAMPEDE_TRIPS_MAX_NS;

        if (runtime.options.stampede_wait_ns != 0)
                return runtime.options.stampede_wait_ns;
        return trip_ns < most_ns / STAMPEDE_TRIPS ? trip_ns * STAMPEDE_TRIPS : most_ns;
}

/* ------------------------------------------------------------------------------------------------- the limit */

/* From the first look of a GET on. */
static bool stampede_has_time(struct connection *c)
{
        uint64_t now_ns = clock_precise_ns();

        if (c->wait_until_ns == 0)
                c->wait_until_ns = now_ns + stampede_limit_ns(c);
        return now_ns < c->wait_until_ns;
}

/* ------------------------------------------------------------------------------------------------- the nil */

enum stampede_whose {
        STAMPEDE_OTHERS,
        STAMPEDE_MINE,   /* this thread computes it */
        STAMPEDE_NO_ONES /* this thread was to, and asks again when nobody waits for it any more: it reads, no more */
};

static enum stampede_whose stampede_whose(uint64_t word)
{
        for (unsigned i = 0; i < STAMPEDE_HELD; i++)
                if (l1_hold_same(stampede_mine.of[i].word, word))
                        return clock_precise_ns() < stampede_mine.of[i].until_ns ? STAMPEDE_MINE : STAMPEDE_NO_ONES;
        return STAMPEDE_OTHERS;
}

static void stampede_note_mine(const struct connection *c, uint64_t word)
{
        unsigned at = stampede_mine.next++ % STAMPEDE_HELD;

        stampede_mine.of[at].word = word;
        stampede_mine.of[at].until_ns = clock_precise_ns() + stampede_limit_ns(c);
}

/* Who has taken the place of another, since something had happened to the key, and has a nil himself, knows that it was
 * not the SET. Mostly it was the key's end, which the server announces right behind the nil that found it out. As long
 * as he may he waits on, and the mark stays that of who computes, or is cleared by him if he does not. */
enum stampede_nil stampede_nil(struct connection *c, struct l1_lease *lease)
{
        enum l1_hold        hold = l1_hold_of(lease->held);
        enum stampede_whose whose;
        uint64_t            word = lease->pending;

        if (runtime.options.stampede != STAMPEDE_LEASE || l1_refreshes(lease))
                return STAMPEDE_NIL; /* of a key that was there until now nobody was kept waiting */
        whose = stampede_whose(lease->held);
        if (hold == L1_HOLD_REMOVED && whose == STAMPEDE_OTHERS && c->waits < STAMPEDE_TURNS && stampede_has_time(c)) {
                l1_hold(c->l1, lease, lease->held, L1_HOLD_FIRST);
                c->waits++;
                c->again = true;
                return STAMPEDE_WAITS;
        }
        if (hold == L1_HOLD_SECOND || whose == STAMPEDE_NO_ONES) /* two had their time, or it is not going to be set */
                return STAMPEDE_NIL;
        /* Where the lease was removed meanwhile it has left a mark, or is in the hands of one who looks. */
        l1_hold(c->l1, lease, 0, hold == L1_HOLD_FIRST ? L1_HOLD_SECOND : L1_HOLD_FIRST);
        stampede_note_mine(c, word);
        if (whose == STAMPEDE_OTHERS)
                l1_count(c->l1, COUNTER_computations, 1);
        return STAMPEDE_COMPUTES;
}

/* ------------------------------------------------------------------------------------------------- the wait */

/* How long for this one. */
static uint64_t stampede_until_ns(const struct connection *c)
{
        uint64_t half_ns = clock_precise_ns() + stampede_limit_ns(c) / 2;

        return half_ns < c->wait_until_ns ? half_ns : c->wait_until_ns;
}

static enum stampede_verdict stampede_await(struct connection *c, const struct l1_other *other, uint32_t namespace_id,
                                            struct l1_lease *lease)
{
        uint64_t until_ns = stampede_until_ns(c);

        switch (l1_wait(c->l1, other, until_ns)) {
        case L1_WAITED: return STAMPEDE_AGAIN;
        case L1_WAITED_IN_VAIN: return STAMPEDE_LET_GO;
        case L1_WAITED_LONG: break;
        }
        l1_count(c->l1, COUNTER_wait_timeouts, 1);
        if (l1_take_over(c->l1, other, namespace_id, clock_coarse_ns(), lease)) {
                stampede_end(c); /* nobody before it counts any more: if the reply is nil, it is the one who computes */
                return STAMPEDE_LEASED;
        }
        return until_ns < c->wait_until_ns ? STAMPEDE_AGAIN : STAMPEDE_TRAVEL;
}

static enum stampede_verdict stampede_meet_mark(struct connection *c, const struct l1_other *other,
                                                uint32_t namespace_id, struct l1_lease *lease)
{
        bool takes;

        if (runtime.options.stampede != STAMPEDE_LEASE)
                return STAMPEDE_TRAVEL;
        switch (stampede_whose(other->word)) {
        case STAMPEDE_OTHERS: return stampede_await(c, other, namespace_id, lease);
        case STAMPEDE_MINE: return STAMPEDE_TRAVEL;
        case STAMPEDE_NO_ONES: break;
        }
        takes = l1_take_over(c->l1, other, namespace_id, clock_coarse_ns(), lease);
        return takes ? STAMPEDE_LEASED : STAMPEDE_AGAIN;
}

MT_COLD enum stampede_verdict stampede_meet(struct connection *c, const struct l1_key *key, uint32_t namespace_id,
                                            struct l1_lease *lease)
{
        enum stampede_verdict verdict = STAMPEDE_LET_GO;
        struct l1_other       other;

        if (stampede_inside != 1 || c->waits >= STAMPEDE_TURNS || !stampede_has_time(c))
                return STAMPEDE_TRAVEL;
        switch (l1_other(c->l1, key, &other)) {
        case L1_OTHER_NONE: break;
        case L1_OTHER_FILLED: verdict = STAMPEDE_AGAIN; break;
        case L1_OTHER_HELD: verdict = stampede_meet_mark(c, &other, namespace_id, lease); break;
        case L1_OTHER_FILLING: verdict = stampede_await(c, &other, namespace_id, lease); break;
        }
        c->waits = (uint8_t)(c->waits + (verdict == STAMPEDE_AGAIN || verdict == STAMPEDE_LET_GO));
        return verdict;
}

/* The claim of one who has died is passed over after two seconds: who waits longer finds it so when it looks again. */
MT_COLD enum stampede_verdict stampede_meet_refresh(struct connection *c, uint64_t now_ns, const struct l1_hit *hit)
{
        struct l1_other other;
        enum l1_waited  waited;
        uint64_t        until_ns;

        if (stampede_inside != 0 || c->waits >= STAMPEDE_TURNS || !stampede_has_time(c) ||
            !l1_other_refresh(c->l1, now_ns, hit, &other))
                return STAMPEDE_TRAVEL;
        until_ns = stampede_until_ns(c);
        waited = l1_wait(c->l1, &other, until_ns);
        l1_count(c->l1, COUNTER_wait_timeouts, waited == L1_WAITED_LONG);
        if (waited == L1_WAITED_IN_VAIN || (waited == L1_WAITED_LONG && until_ns >= c->wait_until_ns))
                return STAMPEDE_TRAVEL;
        c->waits++;
        return STAMPEDE_AGAIN;
}
