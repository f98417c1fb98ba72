/* fallback.c - a small table that only grows. A row is written once, by whoever has drawn its number, and then shown;
 * the same server may be there twice. */
#include "fallback.h"

#include "../l1/base/atomic.h"

#include <string.h>

enum { FALLBACK_MAX = 64 };

static struct fallback_row {
        _Atomic uint32_t shown;
        uint32_t         family;
        uint64_t         id[3];
} fallback_rows[FALLBACK_MAX];
static _Atomic uint32_t fallback_drawn;

bool fallback_noted(uint32_t family, const uint64_t id[3])
{
        uint32_t rows = mt_load_relaxed(&fallback_drawn);

        for (uint32_t i = 0; i < rows && i < FALLBACK_MAX; i++) {
                const struct fallback_row *row = &fallback_rows[i];

                /* [B1] acquire: pairs with [B2], the rest of the row is there */
                if (mt_load_acquire(&row->shown) != 0 && row->family == family &&
                    memcmp(row->id, id, sizeof row->id) == 0)
                        return true;
        }
        return false;
}

void fallback_note(uint32_t family, const uint64_t id[3])
{
        uint32_t at;

        if (fallback_noted(family, id))
                return;
        at = mt_load_relaxed(&fallback_drawn);
        do
                if (at >= FALLBACK_MAX)
                        return;
        while (!mt_cas_acq_rel(&fallback_drawn, &at, at + 1));
        fallback_rows[at].family = family;
        memcpy(fallback_rows[at].id, id, sizeof fallback_rows[at].id);
        mt_store_release(&fallback_rows[at].shown, 1); /* [B2] */
}
