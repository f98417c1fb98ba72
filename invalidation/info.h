/* info.h - what a server says of itself in INFO's text. */
#ifndef MT_INVALIDATION_INFO_H
#define MT_INVALIDATION_INFO_H

#include "../l1/base/bytes.h"

/* The value of "name:value\r\n"; empty when it is not there. `name` has the colon. */
struct mt_bytes info_field(struct mt_bytes text, const char *name);

#endif
