/* setting.h - what MTSHIM_TIERS says of one tier. */
#ifndef MT_TIER_SETTING_H
#define MT_TIER_SETTING_H

#include "spec.h"
#include "tier.h"

#define SETTING_SCALE_ONE 1000u /* ttl_scale=1 */

struct tier_setting {
        uint8_t                  level;   /* 0: no tier */
        bool                     named;   /* prefix= was given: the server's address is no part of a key */
        uint32_t                 promote; /* one look-up in so many; 0: never */
        uint32_t                 scale;   /* of SETTING_SCALE_ONE */
        uint32_t                 timeout_ms;
        struct mt_bytes          prefix; /* before every key, by whoever stores */
        struct mt_backend_config config; /* for open(); points into spec and prefix */
        struct spec              spec;
        char                     prefix_text[256];
};

/* The parts that are good, each at its level's place; level 0: there is none. A bad one has its line in the log. False:
 * none is good. */
bool settings_parse(const char *text, struct tier_setting setting[TIER_MAX]);

#endif
