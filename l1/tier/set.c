/* set.c - the life of the set, and what it says of itself. */
#include "set.h"

#include "../base/clock.h"
#include "../base/handover.h"
#include "../base/log.h"
#include "../segment/segment.h"
#include "worker.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#define SET_STOP_NS (1 * NS_PER_MS)

struct tier_shm *set_place(struct tiers *tiers, struct tier *t)
{
        struct tier_shm *shm = mt_load_acquire(&t->place);
        struct l1       *l1;

        if (MT_LIKELY(shm != NULL) || mt_load_acquire(&tiers->l1) == NULL || mt_load_acquire(&tiers->stopped))
                return shm;
        forklock_acquire(&tiers->lock);
        l1 = mt_load_acquire(&tiers->l1);
        shm = mt_load_acquire(&t->place);
        if (l1 != NULL && shm == NULL) {
                const struct debt_name name = {t->setting->spec.kind, t->setting->spec.address, t->setting->prefix,
                                               t->setting->level};

                shm = debt_place(l1, &name);
                if (shm != NULL && atomic_exchange(&t->owed, false))
                        debt_add(shm);
                mt_store_release(&t->place, shm);
        }
        forklock_release(&tiers->lock);
        return shm;
}

void set_report(void *arg, bool well)
{
        struct tier *t = arg;

        if (well && breaker_quiet(&t->breaker))
                return;
        forklock_acquire(&t->breaker_lock);
        breaker_report(&t->breaker, clock_precise_ns(), well);
        forklock_release(&t->breaker_lock);
}

/* ---------------------------------------------------------------------------------------------------------- the set */

struct tiers *set_create(const char *text, const char *plugins, const struct mt_backend *const *built_in)
{
        struct tiers *tiers = mmap(NULL, sizeof *tiers, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (tiers == MAP_FAILED)
                return NULL;
        if (!settings_parse(text, tiers->setting)) {
                munmap(tiers, sizeof *tiers);
                return NULL;
        }
        if (plugins != NULL && snprintf(tiers->folder, sizeof tiers->folder, "%s", plugins) < PATH_MAX)
                tiers->places.folder = tiers->folder;
        tiers->places.built_in = built_in;
        for (unsigned i = 0; i < TIER_MAX; i++) {
                struct tier *t = &tiers->tier[i];

                t->setting = &tiers->setting[i];
                store_init(&t->store, t->setting, &tiers->places, set_report, t);
        }
        return tiers;
}

struct tiers *tiers_create(const char *text, const char *plugins)
{
        int           saved = errno;
        struct tiers *tiers = text[0] != '\0' ? set_create(text, plugins, NULL) : NULL;

        errno = saved;
        return tiers;
}

void tiers_attach(struct tiers *tiers, struct l1 *l1)
{
        if (tiers == NULL || mt_load_acquire(&tiers->l1) == l1)
                return;
        forklock_acquire(&tiers->lock);
        for (unsigned i = 0; i < TIER_MAX; i++)
                mt_store_release(&tiers->tier[i].place, NULL);
        mt_store_release(&tiers->l1, l1);
        forklock_release(&tiers->lock);
}

/* The one thread of a child. A lock that another thread of the parent held is taken over when next asked for. */
void tiers_after_fork(struct tiers *tiers)
{
        if (tiers == NULL)
                return;
        for (unsigned i = 0; i < TIER_MAX; i++) {
                store_after_fork(&tiers->tier[i].store);
                tiers->tier[i].breaker = (struct breaker){.pause_ns = 0};
        }
}

static bool set_stopped(const struct tiers *tiers)
{
        for (unsigned i = 0; i < TIER_MAX; i++)
                if (!store_stopped(&tiers->tier[i].store))
                        return false;
        return true;
}

void tiers_stop(struct tiers *tiers, uint64_t wait_ns)
{
        const struct timespec moment = {.tv_nsec = SET_STOP_NS};
        struct set_guest      guest;
        uint64_t              until_ns = clock_read_ns(CLOCK_MONOTONIC) + wait_ns;

        if (tiers == NULL)
                return;
        guest = set_enter();
        for (unsigned i = 0; i < TIER_MAX; i++)
                if (set_has(&tiers->tier[i]))
                        set_place(tiers, &tiers->tier[i]); /* while it may be looked for */
        mt_store_release(&tiers->stopped, true);
        for (unsigned i = 0; i < TIER_MAX; i++)
                store_stop(&tiers->tier[i].store, false);
        while (!set_stopped(tiers) && clock_read_ns(CLOCK_MONOTONIC) < until_ns)
                nanosleep(&moment, NULL);
        handover_print();
        set_leave(guest);
}

void tiers_pause(struct tiers *tiers)
{
        struct set_guest guest = set_enter();

        for (unsigned i = 0; tiers != NULL && i < TIER_MAX; i++)
                store_stop(&tiers->tier[i].store, true);
        set_leave(guest);
}

/* ----------------------------------------------------------------------------------------------- for whoever prints */

static void set_row(struct tier_shm *shm, struct tier_stats *row)
{
        uint64_t gets, ns = mt_load_relaxed(&shm->get_ns);
        char     name[sizeof shm->name];

        mt_copy_from_shared(name, shm->name, sizeof name);
        name[sizeof name - 1] = '\0';
        name[strcspn(name, ":")] = '\0';
        snprintf(row->name, sizeof row->name, "%.*s", (int)sizeof row->name - 1, name);
        row->level = (uint8_t)shm->level;
        row->closed = debt_owed(shm);
        row->tripped = false;
        row->hits = mt_load_relaxed(&shm->hits);
        row->misses = mt_load_relaxed(&shm->misses);
        row->errors = mt_load_relaxed(&shm->errors);
        row->timeouts = mt_load_relaxed(&shm->timeouts);
        row->skipped = mt_load_relaxed(&shm->skipped);
        row->sets = mt_load_relaxed(&shm->sets);
        row->removes = mt_load_relaxed(&shm->removes);
        row->promotions = mt_load_relaxed(&shm->promotions);
        gets = row->hits + row->misses;
        row->get_ns_mean = gets > 0 ? ns / gets : 0;
        row->get_ns_max = mt_load_relaxed(&shm->get_ns_max);
}

/* By level, since that is how they are asked. */
static unsigned set_stats_of_segment(const struct l1 *l1, struct tier_stats row[TIER_MAX])
{
        unsigned n = 0;

        for (unsigned level = TIER_FIRST; level <= TIER_LAST; level++)
                for (uint32_t i = 0; i < TIER_SHM_MAX && n < TIER_MAX; i++)
                        if (mt_load_acquire(&l1->tiers[i].state) == SERVER_READY && l1->tiers[i].level == level)
                                set_row(&l1->tiers[i], &row[n++]);
        return n;
}

unsigned tiers_stats(struct tiers *tiers, const struct l1 *l1, struct tier_stats row[TIER_MAX])
{
        unsigned n = 0;

        if (tiers == NULL)
                return l1 != NULL ? set_stats_of_segment(l1, row) : 0;
        for (unsigned i = 0; i < TIER_MAX; i++) {
                struct tier     *t = &tiers->tier[i];
                struct tier_shm *shm = set_has(t) ? set_place(tiers, t) : NULL;

                if (shm == NULL)
                        continue;
                set_row(shm, &row[n]);
                row[n].level = t->setting->level;
                row[n++].tripped = breaker_tripped(&t->breaker);
        }
        return n;
}

bool tiers_health(struct tiers *tiers, unsigned level)
{
        struct set_guest guest;
        struct tier     *t;
        bool             well;

        if (tiers == NULL || level < TIER_FIRST || level > TIER_LAST || !set_has(&tiers->tier[level - TIER_FIRST]))
                return false;
        guest = set_enter();
        t = &tiers->tier[level - TIER_FIRST];
        well = store_health(&t->store, clock_read_ns(CLOCK_MONOTONIC) + t->setting->timeout_ms * NS_PER_MS).status ==
               MT_OK;
        handover_print();
        set_leave(guest);
        return well;
}

bool tiers_named(const struct tiers *tiers, unsigned level, struct mt_bytes *kind, struct mt_bytes *address)
{
        const struct tier *t;

        if (tiers == NULL || level < TIER_FIRST || level > TIER_LAST || !set_has(&tiers->tier[level - TIER_FIRST]))
                return false;
        t = &tiers->tier[level - TIER_FIRST];
        *kind = t->setting->spec.kind;
        *address = t->setting->spec.address;
        return true;
}
