/* fallback.h - servers of which this process cannot be a tracker, and does as MTSHIM_INVALIDATION_FALLBACK says.
 * Once noted a server stays so in this process, and in its children: whoever came and went between two modes would have
 * to be followed by everybody who writes. */
#ifndef MT_INVALIDATION_FALLBACK_H
#define MT_INVALIDATION_FALLBACK_H

#include <stdbool.h>
#include <stdint.h>

/* Any thread. More than there is room for are not noted: they are passed by, as without the option. */
void fallback_note(uint32_t family, const uint64_t id[3]);
bool fallback_noted(uint32_t family, const uint64_t id[3]);

#endif
