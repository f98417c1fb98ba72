/* debt.c - the steps of debt.h, each of them one operation on one word. */
#include "debt.h"

#include "../cache/namespace.h"
#include "../segment/process.h"
#include "../segment/segment.h"

#include <stdio.h>
#include <time.h>

#define DEBT_FLUSH_NS    (2 * NS_PER_S)
#define DEBT_AGAIN_NS    (100 * NS_PER_MS) /* after a flush that failed */
#define DEBT_WAIT_NS     50000
#define DEBT_WAIT_TRIES  20
#define DEBT_TAG_MASK    ((UINT64_C(1) << TIER_TAG_BITS) - 1)
#define DEBT_NUMBER_MASK ((UINT64_C(1) << (32 - TIER_TAG_BITS)) - 1)

/* ------------------------------------------------------------------------------------------------------- the place */

static void debt_digest(const struct debt_name *name, uint64_t id[2])
{
        const struct mt_bytes part[] = {name->kind, name->address, name->prefix};

        for (uint64_t i = 0; i < 2; i++) {
                id[i] = 0;
                for (size_t p = 0; p < sizeof part / sizeof part[0]; p++)
                        id[i] = mt_hash(part[p].ptr, part[p].len, (struct hash_key){{id[i], i + 1}});
        }
}

static struct tier_shm *debt_find(struct l1 *l1, const uint64_t id[2])
{
        for (uint32_t i = 0; i < TIER_SHM_MAX; i++) {
                struct tier_shm *shm = &l1->tiers[i];

                /* Acquire: pairs with the release in debt_claim(). A place is never given to another store. */
                if (mt_load_acquire(&shm->state) == SERVER_READY && shm->id[0] == id[0] && shm->id[1] == id[1])
                        return shm;
        }
        return NULL;
}

/* Between enter and leave. Who died here before state was stored has claimed nothing. */
static struct tier_shm *debt_claim(struct l1 *l1, const struct debt_name *name, const uint64_t id[2])
{
        char text[sizeof l1->tiers->name] = "";

        snprintf(text, sizeof text, "%.*s:%.*s", (int)name->kind.len, name->kind.ptr, (int)name->address.len,
                 name->address.ptr);
        for (uint32_t i = 0; i < TIER_SHM_MAX; i++) {
                struct tier_shm *shm = &l1->tiers[i];

                if (mt_load_relaxed(&shm->state) == SERVER_READY)
                        continue;
                mt_copy_to_shared(shm->id, id, sizeof shm->id);
                mt_copy_to_shared(shm->name, text, sizeof text);
                shm->level = name->level;
                mt_store_release(&shm->state, SERVER_READY);
                return shm;
        }
        log_once(LOG_WARN, "%s: more than %d further tiers in use: %s is not read", l1->path, TIER_SHM_MAX, text);
        return NULL;
}

struct tier_shm *debt_place(struct l1 *l1, const struct debt_name *name)
{
        struct tier_shm *shm;
        uint64_t         id[2];

        debt_digest(name, id);
        shm = debt_find(l1, id);
        if (shm != NULL || !namespace_enter(l1))
                return shm;
        shm = debt_find(l1, id);
        if (shm == NULL)
                shm = debt_claim(l1, name, id);
        namespace_leave(l1);
        return shm;
}

/* --------------------------------------------------------------------------------------------- words in flight */

uint32_t debt_tag(struct mt_bytes key)
{
        uint32_t tag = (uint32_t)(mt_hash(key.ptr, key.len, (struct hash_key){{3, 4}}) & DEBT_TAG_MASK);

        return tag != DEBT_TAG_ALL ? tag : 1;
}

static uint64_t debt_word(uint64_t owner, uint32_t tag)
{
        return (owner & ~UINT64_C(0xffffffff)) | (owner & DEBT_NUMBER_MASK) << TIER_TAG_BITS | tag;
}

static uint64_t debt_owner(uint64_t word)
{
        return (word & ~UINT64_C(0xffffffff)) | (word >> TIER_TAG_BITS & DEBT_NUMBER_MASK);
}

/* The debt stands before the word goes: [T1]. */
void debt_lost(struct tier_shm *shm, int place, uint64_t word)
{
        mt_fetch_add_acq_rel(&shm->debt, 1);
        if (place != DEBT_NOWHERE)
                mt_cas_acq_rel(&shm->removing[place], &word, 0);
}

void debt_done(struct tier_shm *shm, int place, uint64_t word)
{
        if (place != DEBT_NOWHERE)
                mt_cas_acq_rel(&shm->removing[place], &word, 0);
}

void debt_add(struct tier_shm *shm)
{
        mt_fetch_add_acq_rel(&shm->debt, 1);
}

static MT_COLD void debt_bury(struct l1 *l1, struct tier_shm *shm)
{
        for (int i = 0; i < TIER_REMOVALS; i++) {
                uint64_t word = mt_load_acquire(&shm->removing[i]);

                if (word != 0 && l1_owner_dead(l1, debt_owner(word)))
                        debt_lost(shm, i, word);
        }
}

int debt_begin(struct l1 *l1, struct tier_shm *shm, uint32_t tag, uint64_t *word)
{
        struct timespec moment = {.tv_nsec = DEBT_WAIT_NS};
        uint64_t        self = process_self(l1);

        *word = debt_word(self, tag);
        for (int try = 0; self != 0 && try < DEBT_WAIT_TRIES; try++) {
                for (int i = 0; i < TIER_REMOVALS; i++) {
                        uint64_t none = 0;

                        if (mt_load_relaxed(&shm->removing[i]) == 0 && mt_cas_acq_rel(&shm->removing[i], &none, *word))
                                return i;
                }
                if (try == 0)
                        debt_bury(l1, shm);
                else
                        nanosleep(&moment, NULL);
        }
        debt_add(shm);
        return DEBT_NOWHERE;
}

bool debt_closed(struct l1 *l1, struct tier_shm *shm, uint32_t tag)
{
        bool     closed = false, any = false;
        uint64_t debt;

        for (int i = 0; i < TIER_REMOVALS; i++) {
                uint64_t word = mt_load_acquire(&shm->removing[i]);
                uint32_t removed = (uint32_t)(word & DEBT_TAG_MASK);

                if (word == 0)
                        continue;
                any = true;
                closed |= removed == DEBT_TAG_ALL || tag == DEBT_TAG_ALL || removed == tag;
        }
        if (any && process_look_due(l1, clock_coarse_ns()))
                debt_bury(l1, shm);
        debt = mt_load_acquire(&shm->debt); /* [T1]: after the words, and before paid */
        return closed || mt_load_acquire(&shm->paid) < debt;
}

/* ------------------------------------------------------------------------------------------------------ the flush */

bool debt_owed(const struct tier_shm *shm)
{
        uint64_t debt = mt_load_acquire(&shm->debt);

        return mt_load_acquire(&shm->paid) < debt;
}

/* A time far ahead is not one of ours: nobody waits for it. */
bool debt_flush_begin(struct tier_shm *shm, uint64_t now_ns, struct debt_flush *flush)
{
        uint64_t until_ns = mt_load_relaxed(&shm->flush_ns);

        if (!debt_owed(shm) || (now_ns < until_ns && until_ns - now_ns <= DEBT_FLUSH_NS) ||
            !mt_cas_acq_rel(&shm->flush_ns, &until_ns, now_ns + DEBT_FLUSH_NS))
                return false;
        flush->paid = mt_load_acquire(&shm->paid);
        flush->debt = mt_load_acquire(&shm->debt);
        return flush->debt > flush->paid;
}

void debt_flush_end(struct tier_shm *shm, uint64_t now_ns, const struct debt_flush *flush, bool flushed)
{
        uint64_t paid = flush->paid;

        if (flushed)
                mt_cas_acq_rel(&shm->paid, &paid, flush->debt);
        mt_store_relaxed(&shm->flush_ns, flushed ? 0 : now_ns + DEBT_AGAIN_NS); /* a hint: who stored last counts */
}
