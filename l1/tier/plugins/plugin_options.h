/* plugin_options.h - the options of a backend that is built as an object of its own: a table, and what is wrong with
 * one. Pure; errno kept. */
#ifndef MT_TIER_PLUGINS_PLUGIN_OPTIONS_H
#define MT_TIER_PLUGINS_PLUGIN_OPTIONS_H

#include "../backend.h"

enum plugin_option_kind { PLUGIN_NUMBER, PLUGIN_SIZE };

/* One option, an unsigned number: of bytes ("64M"), or of whatever. The table ends with a row without a name. */
struct plugin_option {
        const char             *name;
        enum plugin_option_kind kind;
        uint64_t                least, most;
        size_t                  offset; /* of the uint64_t that receives it */
};

/* Each option of config goes where its row says; what is not named stays. False: why names option and value. */
bool plugin_options_take(const struct mt_backend_config *config, const struct plugin_option *rows, void *to,
                         char why[MT_BACKEND_WHY_MAX]);

/* why = one sentence; false, for the caller to return. */
bool plugin_refuse(char why[MT_BACKEND_WHY_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
