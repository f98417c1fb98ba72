/* plugin.h - from the kind of a store to the table of its functions: linked in, one of our own files, or anybody's.
 *
 *   plugin:/path.so      that file
 *   NAME                 what another room has registered (tier.h), or built_in has, by that name; else
 *                        libmtshim-NAME.so in the plugins' folder
 *
 * What is loaded stays loaded: threads of a library that it brought may outlive every object. Nothing of it is seen by
 * the program (RTLD_LOCAL), and it is bound at once, so that what it lacks is found out here and not in a call.
 * Thread-safe; keeps errno; allocates what dlopen(3) does. */
#ifndef MT_TIER_PLUGIN_H
#define MT_TIER_PLUGIN_H

#include "spec.h"

#define PLUGIN_SYMBOL "mtshim_backend"

struct plugin_places {
        const char                     *folder;   /* NULL: where the object lies that this code is a part of */
        const struct mt_backend *const *built_in; /* ends with NULL; NULL: none */
};

/* The table, good for as long as the process; NULL, and why has one sentence that names the file or the kind. */
const struct mt_backend *plugin_find(const struct spec *spec, const struct plugin_places *places,
                                     char why[MT_BACKEND_WHY_MAX]);

/* What is wrong with a table: its ABI, its size, what is missing. True: nothing. */
bool plugin_check(const struct mt_backend *backend, char why[MT_BACKEND_WHY_MAX]);

#endif
