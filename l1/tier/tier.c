/* tier.c - the set, walked downwards.
 *
 * Why what was removed does not come back by promotion. A look-up that may promote takes the upper tier's mark, then
 * asks whether the lower one is closed, then reads it [P]. A removal is noted in all tiers before it is done in any
 * [Q]. If the look-up finds the lower tier open and reads the removed value there, then the removal was not noted
 * yet: it comes to the upper tier after the mark was taken, makes it void, and removes what was put there before. A
 * tier whose removal is late or failed is closed until it has been done, or all been flushed: both make marks void. */
#include "tier.h"

#include "../base/clock.h"
#include "../base/handover.h"
#include "name.h"
#include "set.h"
#include "worker.h"

/* --------------------------------------------------------------------------------------------------------- one tier */

static bool tier_may(struct tier *t)
{
        bool may;

        if (MT_LIKELY(breaker_quiet(&t->breaker)))
                return true;
        forklock_acquire(&t->breaker_lock);
        may = breaker_may(&t->breaker, clock_precise_ns());
        forklock_release(&t->breaker_lock);
        return may;
}

static void tier_add(_Atomic uint64_t *count)
{
        mt_fetch_add_relaxed(count, 1);
}

/* What stores' threads have to say. */
static inline void tier_say(void)
{
        if (MT_UNLIKELY(handover_waiting()))
                handover_print();
}

/* One call of a store: how long it may take, and what came of it. */
struct tier_call {
        struct tier     *t;
        struct tier_shm *shm;
        uint64_t         began_ns, deadline_ns;
};

static struct tier_call tier_begin(struct tier *t, struct tier_shm *shm)
{
        uint64_t timeout_ns = t->setting->timeout_ms * NS_PER_MS;

        return (struct tier_call){t, shm, clock_precise_ns(), clock_read_ns(CLOCK_MONOTONIC) + timeout_ns};
}

/* Half of the time that it has is slow. */
static enum mt_status tier_end(const struct tier_call *call, struct store_answer answer)
{
        uint64_t took_ns = clock_precise_ns() - call->began_ns;

        set_report(call->t, !answer.failed && took_ns <= call->t->setting->timeout_ms * NS_PER_MS / 2);
        if (call->shm != NULL && answer.failed)
                tier_add(answer.late ? &call->shm->timeouts : &call->shm->errors);
        tier_say();
        return answer.status;
}

static void tier_skip(struct tier_shm *shm)
{
        if (shm != NULL)
                tier_add(&shm->skipped);
}

/* A debt is left: whoever finds it flushes, in the background. */
static MT_COLD void tier_mend(struct tier *t, struct tier_shm *shm)
{
        struct debt_flush flush;

        if (debt_owed(shm) && tier_may(t) && debt_flush_begin(shm, clock_coarse_ns(), &flush))
                store_pay(&t->store, shm, &flush);
}

/* May it be asked for this key? */
static bool tier_open(struct tiers *tiers, struct tier *t, struct tier_shm *shm, struct mt_bytes name)
{
        struct l1 *l1 = mt_load_acquire(&tiers->l1);

        if (l1 == NULL || mt_load_acquire(&tiers->stopped))
                return false;
        if (MT_UNLIKELY(debt_closed(l1, shm, debt_tag(name))))
                tier_mend(t, shm);
        else if (mt_load_acquire(&t->place) != shm) /* let go of: what was read there may be zeros */
                return false;
        else if (tier_may(t))
                return true;
        tier_skip(shm);
        tier_say();
        return false;
}

/* ---------------------------------------------------------------------------------------------------------- look up */

/* What goes through here is remembered: a promotion needs it again. */
struct tier_sink {
        struct mt_sink  sink;
        struct mt_sink *to;
        struct mt_bytes value;
};

static char *tier_room(struct mt_sink *sink, size_t len)
{
        struct tier_sink *s = (struct tier_sink *)sink;
        char             *room = s->to->room(s->to, len);

        s->value = mt_bytes(room, len);
        return room;
}

struct tier_look {
        struct tiers          *tiers;
        const struct tier_key *key;
        struct tier_sink       out;
        uint32_t               missed; /* bit level - TIER_FIRST: it was asked, and does not have it */
        uint32_t               marked;
        uint64_t               mark[TIER_MAX];
        uint64_t               ttl_ms, read_ns; /* what remained, when it was asked */
        char                   text[NAME_MAX_BYTES];
};

static void tier_count_get(struct tier_shm *shm, bool hit, uint64_t took_ns)
{
        uint64_t most = mt_load_relaxed(&shm->get_ns_max);

        tier_add(hit ? &shm->hits : &shm->misses);
        mt_fetch_add_relaxed(&shm->get_ns, took_ns);
        while (most < took_ns && !mt_cas_acq_rel(&shm->get_ns_max, &most, took_ns))
                ;
}

static enum mt_status tier_read(struct tier_look *look, struct tier *t, struct tier_shm *shm, struct mt_bytes name)
{
        struct tier_call    call = tier_begin(t, shm);
        struct store_answer answer = store_get(&t->store, name, &look->out.sink, &look->ttl_ms, call.deadline_ns);
        uint64_t            took_ns = clock_precise_ns() - call.began_ns;

        look->read_ns = call.began_ns;
        if (tier_end(&call, answer) == MT_OK && store_remains(look->ttl_ms, look->read_ns) == 0)
                answer.status = MT_MISS;
        if (answer.status != MT_OK && answer.status != MT_MISS)
                return MT_ERROR;
        tier_count_get(shm, answer.status == MT_OK, took_ns);
        return answer.status;
}

/* Marks of the tiers above, that were asked and did not have it. */
static void tier_mark_above(struct tier_look *look, unsigned level)
{
        for (unsigned i = 0; i < level; i++) {
                struct tier        *t = &look->tiers->tier[i];
                struct tier_shm    *shm = mt_load_acquire(&t->place);
                struct mt_bytes     name;
                struct tier_call    call;
                struct store_answer answer;

                if ((look->missed & ~look->marked & 1u << i) == 0 || shm == NULL || store_marks_not(&t->store) ||
                    !name_key(look->text, !t->setting->named, look->key, &name) ||
                    !tier_open(look->tiers, t, shm, name))
                        continue;
                call = tier_begin(t, shm);
                answer = store_mark(&t->store, name, &look->mark[i], call.deadline_ns);
                if (tier_end(&call, answer) == MT_OK)
                        look->marked |= 1u << i;
        }
}

static void tier_promote(struct tier_look *look)
{
        for (unsigned i = 0; i < TIER_MAX; i++) {
                struct tier     *t = &look->tiers->tier[i];
                struct tier_shm *shm = mt_load_acquire(&t->place);
                struct mt_bytes  name;

                if ((look->marked & 1u << i) != 0 && shm != NULL &&
                    name_key(look->text, !t->setting->named, look->key, &name))
                        store_promote(&t->store, shm, name, look->out.value, look->ttl_ms, look->read_ns,
                                      look->mark[i]);
        }
}

/* One in N, of the look-ups that come so far down. */
static bool tier_coin(struct tier *t)
{
        uint64_t n = t->setting->promote;

        return n != 0 && mt_fetch_add_relaxed(&t->looks, 1) % n == n - 1;
}

static enum mt_status tier_get(struct tier_look *look, unsigned i, struct tier_found *found)
{
        struct tier     *t = &look->tiers->tier[i];
        struct tier_shm *shm = set_has(t) ? set_place(look->tiers, t) : NULL;
        enum mt_status   status;
        struct mt_bytes  name;
        bool             coin;

        if (shm == NULL)
                return MT_ERROR;
        coin = tier_coin(t);
        if (coin)
                tier_mark_above(look, i); /* [P] */
        if (!name_key(look->text, !t->setting->named, look->key, &name))
                return MT_MISS;
        if (!tier_open(look->tiers, t, shm, name))
                return MT_ERROR;
        status = tier_read(look, t, shm, name);
        if (status == MT_MISS)
                look->missed |= 1u << i;
        if (status != MT_OK)
                return status;
        if (coin)
                tier_promote(look);
        found->ttl_ms = store_remains(look->ttl_ms, look->read_ns);
        found->level = t->setting->level;
        found->promote = coin;
        return found->ttl_ms != 0 ? MT_OK : MT_MISS;
}

enum mt_status tiers_get(struct tiers *tiers, const struct tier_key *key, struct mt_sink *out, struct tier_found *found)
{
        struct tier_look look;
        struct set_guest guest;
        enum mt_status   all = MT_ERROR;

        if (tiers == NULL)
                return MT_ERROR;
        guest = set_enter();
        look.tiers = tiers;
        look.key = key;
        look.out = (struct tier_sink){.sink = {tier_room}, .to = out};
        look.missed = look.marked = 0;
        for (unsigned i = 0; i < TIER_MAX && all != MT_OK; i++) {
                enum mt_status status = tier_get(&look, i, found);

                if (status != MT_ERROR)
                        all = status;
        }
        set_leave(guest);
        return all;
}

/* ------------------------------------------------------------------------------------------------------------ store */

void tiers_mark(struct tiers *tiers, const struct tier_key *key, struct tier_marks *marks)
{
        struct tier_look look;
        struct set_guest guest;

        marks->valid = 0;
        if (tiers == NULL)
                return;
        guest = set_enter();
        look.tiers = tiers;
        look.key = key;
        look.missed = look.marked = 0;
        for (unsigned i = 0; i < TIER_MAX; i++)
                if (set_has(&tiers->tier[i]) && set_place(tiers, &tiers->tier[i]) != NULL)
                        look.missed |= 1u << i;
        tier_mark_above(&look, TIER_MAX);
        memcpy(marks->mark, look.mark, sizeof marks->mark);
        marks->valid = look.marked;
        set_leave(guest);
}

/* 0 stays 0, and the end of times is not reached by multiplying. */
static uint64_t tier_scaled(uint64_t ttl_ms, uint32_t scale)
{
        if (ttl_ms == MT_TTL_NONE)
                return ttl_ms;
        if (ttl_ms > (MT_TTL_NONE - 1) / scale)
                return ttl_ms / SETTING_SCALE_ONE > (MT_TTL_NONE - 1) / scale ? MT_TTL_NONE - 1
                                                                              : ttl_ms / SETTING_SCALE_ONE * scale;
        return ttl_ms * scale / SETTING_SCALE_ONE;
}

unsigned tiers_set(struct tiers *tiers, const struct tier_key *key, struct mt_bytes value, uint64_t ttl_ms,
                   const struct tier_marks *marks)
{
        char             text[NAME_MAX_BYTES];
        struct set_guest guest;
        unsigned         have = 0;

        if (tiers == NULL || marks->valid == 0 || ttl_ms == 0)
                return 0;
        guest = set_enter();
        for (unsigned i = 0; i < TIER_MAX; i++) {
                struct tier        *t = &tiers->tier[i];
                struct tier_shm    *shm = mt_load_acquire(&t->place);
                struct tier_call    call;
                struct store_answer answer;
                struct mt_bytes     name;

                if ((marks->valid & 1u << i) == 0 || shm == NULL || !name_key(text, !t->setting->named, key, &name) ||
                    !tier_open(tiers, t, shm, name))
                        continue;
                call = tier_begin(t, shm);
                answer = store_set(&t->store, name, value, tier_scaled(ttl_ms, t->setting->scale), marks->mark[i],
                                   call.deadline_ns);
                if (tier_end(&call, answer) != MT_OK)
                        continue;
                tier_add(&shm->sets);
                have++;
        }
        set_leave(guest);
        return have;
}

/* ----------------------------------------------------------------------------------------------------------- remove */

/* [Q] */
static void tier_note(struct tiers *tiers, uint32_t tag[TIER_MAX], struct tier_removal *removal)
{
        for (unsigned i = 0; i < TIER_MAX; i++) {
                struct tier *t = &tiers->tier[i];
                struct l1   *l1;

                removal->shm[i] = set_has(t) ? set_place(tiers, t) : NULL;
                removal->place[i] = DEBT_NOWHERE;
                l1 = mt_load_acquire(&tiers->l1);
                if (removal->shm[i] == NULL || l1 == NULL)
                        continue;
                if (mt_load_acquire(&tiers->stopped))
                        debt_add(removal->shm[i]);
                else
                        removal->place[i] = (int8_t)debt_begin(l1, removal->shm[i], tag[i], &removal->word[i]);
        }
}

/* A thread of ours does it: there is one, or may be. */
static bool tier_may_remove(const struct tiers *tiers, struct tier *t)
{
        return !mt_load_acquire(&tiers->stopped) && tier_may(t);
}

/* job NULL: it cannot be handed over, or must not. */
static void tier_remove(struct tier *t, unsigned i, struct worker_job *job, const struct tier_removal *removal)
{
        struct store_debt   debt = {removal->shm[i], removal->place[i], removal->word[i]};
        struct tier_call    call = tier_begin(t, debt.shm);
        struct store_answer answer = store_remove(job, &debt, call.deadline_ns);

        if (job == NULL)
                tier_skip(debt.shm);
        else
                tier_end(&call, answer);
        if (answer.failed && (debt.shm == NULL || mt_load_acquire(&t->place) != debt.shm))
                atomic_store(&t->owed, true);
        else if (answer.failed && job != NULL)
                tier_mend(t, debt.shm);
        else if (!answer.failed && debt.shm != NULL)
                tier_add(&debt.shm->removes);
}

/* All keys of a database are so many that they share a tag. */
static void tier_tags(struct tiers *tiers, const struct tier_key *key, size_t keys, uint32_t tag[TIER_MAX])
{
        char            text[NAME_MAX_BYTES];
        struct mt_bytes name;

        for (unsigned i = 0; i < TIER_MAX; i++) {
                tag[i] = DEBT_TAG_ALL;
                if (keys == 1 && set_has(&tiers->tier[i]) && name_key(text, !tiers->tier[i].setting->named, key, &name))
                        tag[i] = debt_tag(name);
        }
}

void tiers_remove_begin(struct tiers *tiers, const struct tier_key *key, size_t keys, struct tier_removal *removal)
{
        struct set_guest guest;
        uint32_t         tag[TIER_MAX];

        if (tiers == NULL)
                return;
        guest = set_enter();
        tier_tags(tiers, key, keys, tag);
        tier_note(tiers, tag, removal);
        set_leave(guest);
}

static struct worker_job *tier_job_of_keys(struct tier *t, const struct tier_key *key, size_t keys)
{
        char               text[NAME_MAX_BYTES];
        struct mt_bytes    name;
        struct worker_job *job;
        size_t             bytes = 0;

        for (size_t k = 0; k < keys; k++)
                if (name_key(text, !t->setting->named, &key[k], &name))
                        bytes += sizeof(uint32_t) + name.len;
        job = store_removal(&t->store, STORE_KEYS, bytes);
        for (size_t k = 0; job != NULL && k < keys; k++)
                if (name_key(text, !t->setting->named, &key[k], &name))
                        store_remove_key(job, name);
        return job;
}

void tiers_remove_end(struct tiers *tiers, const struct tier_key *key, size_t keys, const struct tier_removal *removal)
{
        struct set_guest guest;

        if (tiers == NULL)
                return;
        guest = set_enter();
        for (unsigned i = 0; i < TIER_MAX; i++) {
                struct tier *t = &tiers->tier[i];

                if (set_has(t))
                        tier_remove(t, i, tier_may_remove(tiers, t) ? tier_job_of_keys(t, key, keys) : NULL, removal);
        }
        set_leave(guest);
}

void tiers_remove(struct tiers *tiers, const struct tier_key *key, size_t keys)
{
        struct tier_removal removal;

        if (keys == 0)
                return;
        tiers_remove_begin(tiers, key, keys, &removal);
        tiers_remove_end(tiers, key, keys, &removal);
}

/* A glob that is too long for a name, or one that means everything where nobody else's keys are, is a flush. */
static struct worker_job *tier_job_of_glob(struct tier *t, struct mt_bytes server, uint32_t database,
                                           struct mt_bytes glob)
{
        char               text[NAME_MAX_BYTES];
        struct mt_bytes    name;
        struct worker_job *job;

        if (!name_glob(text, !t->setting->named, server, database, glob, &name))
                return store_removal(&t->store, STORE_ALL, 0);
        job = store_removal(&t->store, STORE_PATTERN, sizeof(uint32_t) + name.len);
        if (job != NULL)
                store_remove_key(job, name);
        return job;
}

void tiers_remove_pattern(struct tiers *tiers, struct mt_bytes server, uint32_t database, struct mt_bytes glob)
{
        uint32_t            tag[TIER_MAX] = {DEBT_TAG_ALL};
        struct tier_removal removal;
        struct set_guest    guest;

        if (tiers == NULL)
                return;
        guest = set_enter();
        tier_note(tiers, tag, &removal);
        for (unsigned i = 0; i < TIER_MAX; i++) {
                struct tier *t = &tiers->tier[i];

                if (set_has(t))
                        tier_remove(t, i,
                                    tier_may_remove(tiers, t) ? tier_job_of_glob(t, server, database, glob) : NULL,
                                    &removal);
        }
        set_leave(guest);
}

void tiers_flush(struct tiers *tiers, struct mt_bytes server, uint32_t database)
{
        tiers_remove_pattern(tiers, server, database, mt_bytes_of("*"));
}
