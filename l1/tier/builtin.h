/* builtin.h - the backends that are linked in, into the command and the tests, not into the library. */
#ifndef MT_TIER_BUILTIN_H
#define MT_TIER_BUILTIN_H

#include "backend.h"

extern const struct mt_backend backend_process; /* backend_process.c, whose own name for it is mtshim_backend */
extern const struct mt_backend backend_shm;

extern const struct mt_backend *const backends_built_in[]; /* ends with NULL */

#endif
