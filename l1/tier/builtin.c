/* builtin.c - the list of them. */
#include "builtin.h"

#include <stddef.h>

const struct mt_backend *const backends_built_in[] = {&backend_process, &backend_shm, NULL};
