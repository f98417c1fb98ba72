/* spec.h - "kind:address?name=value&name=value": how MTSHIM_TIERS and command lines name a store. Pure.
 *
 *   lmdb:/var/cache/x?size=1G&sync=0      kind lmdb, address /var/cache/x, options size and sync
 *   process                               kind alone: the address is empty
 *   plugin:/opt/x.so?address=db1:7000     the address is the plugin's file; what it calls its address is an option
 *
 * The address and the values are decoded: %3F is '?', %26 '&', %3B ';', %25 '%', by two hexadecimal digits always. A
 * NUL is refused, since most of them become paths and host names. Kinds and names are letters, digits, '_', '-' and
 * '.'. */
#ifndef MT_TIER_SPEC_H
#define MT_TIER_SPEC_H

#include "backend.h"

enum { SPEC_OPTIONS_MAX = 32, SPEC_BYTES_MAX = 4608 };

struct spec {
        struct mt_bytes  kind, address; /* NUL-terminated as well, as are names and values */
        struct mt_option option[SPEC_OPTIONS_MAX];
        size_t           options;
        char             bytes[SPEC_BYTES_MAX]; /* what all of them point into: not to be copied as a struct */
};

/* NULL, or what is wrong with it: a static sentence. */
const char *spec_parse(struct mt_bytes text, struct spec *spec);
/* The value of an option, which is taken out of the list; false: it is not there. */
bool spec_take(struct spec *spec, const char *name, struct mt_bytes *value);
/* What open() is given; points into the spec. A plugin's address is its option "address", which is taken out. */
struct mt_backend_config spec_config(struct spec *spec, struct mt_bytes prefix, uint32_t timeout_ms);

#endif
