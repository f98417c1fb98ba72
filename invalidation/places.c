/* places.c - a small table in static memory, and its try-lock. */
#include "places.h"

static struct place     places_table[PLACES_MAX];
static _Atomic uint32_t places_busy;

struct place *places_at(unsigned index)
{
        return &places_table[index];
}

bool places_enter(void)
{
        uint32_t free = 0;

        return mt_cas_acq_rel(&places_busy, &free, 1); /* [P1] pairs with [P2]: what the last one left is seen */
}

void places_leave(void)
{
        mt_store_release(&places_busy, 0); /* [P2] */
}

void places_after_fork(void)
{
        for (unsigned i = 0; i < PLACES_MAX; i++)
                mt_store_relaxed(&places_table[i].state, PLACE_FREE);
        mt_store_release(&places_busy, 0);
}

struct place *places_of(const struct server_shm *server)
{
        for (unsigned i = 0; i < PLACES_MAX; i++)
                if (mt_load_acquire(&places_table[i].state) != PLACE_FREE && places_table[i].server == server)
                        return &places_table[i];
        return NULL;
}

struct place *places_free(void)
{
        struct place *soonest = NULL;

        for (unsigned i = 0; i < PLACES_MAX; i++) {
                struct place *place = &places_table[i];
                uint32_t      state = mt_load_acquire(&place->state);

                if (state == PLACE_FREE)
                        return place;
                if (state == PLACE_OUT &&
                    (!soonest || mt_load_relaxed(&place->out_until_ns) < mt_load_relaxed(&soonest->out_until_ns)))
                        soonest = place;
        }
        return soonest;
}

bool places_led(void)
{
        for (unsigned i = 0; i < PLACES_MAX; i++)
                if (mt_load_acquire(&places_table[i].state) == PLACE_LED)
                        return true;
        return false;
}
