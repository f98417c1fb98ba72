/* plugin_options.c - see plugin_options.h. */
#include "plugin_options.h"

#include "../../base/units.h"

#include <stdarg.h>
#include <stdio.h>

enum { PLUGIN_SHOWN = 60 }; /* bytes of a bad value that are repeated */

bool plugin_refuse(char why[MT_BACKEND_WHY_MAX], const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(why, MT_BACKEND_WHY_MAX, format, args);
        va_end(args);
        return false;
}

static int plugin_options_shown(struct mt_bytes text)
{
        return (int)(text.len < PLUGIN_SHOWN ? text.len : PLUGIN_SHOWN);
}

static const struct plugin_option *plugin_options_row(const struct plugin_option *rows, struct mt_bytes name)
{
        for (; rows->name != NULL; rows++)
                if (mt_bytes_equal(name, mt_bytes_of(rows->name)))
                        return rows;
        return NULL;
}

/* A size without a unit is a number. */
static bool plugin_options_number(const struct plugin_option *row, struct mt_bytes value, uint64_t *number)
{
        bool digit = value.len > 0 && value.ptr[value.len - 1] >= '0' && value.ptr[value.len - 1] <= '9';

        return (row->kind == PLUGIN_SIZE || digit) && units_parse_size(value, number);
}

bool plugin_options_take(const struct mt_backend_config *config, const struct plugin_option *rows, void *to,
                         char why[MT_BACKEND_WHY_MAX])
{
        for (size_t i = 0; i < config->options; i++) {
                struct mt_bytes             name = config->option[i].name, value = config->option[i].value;
                const struct plugin_option *row = plugin_options_row(rows, name);
                char                        least[UNITS_TEXT_MAX], most[UNITS_TEXT_MAX];
                uint64_t                    number;

                if (row == NULL)
                        return plugin_refuse(why, "there is no option '%.*s' (value '%.*s')",
                                             plugin_options_shown(name), name.ptr, plugin_options_shown(value),
                                             value.ptr);
                if (!plugin_options_number(row, value, &number) || number < row->least || number > row->most) {
                        units_format_size(row->least, least);
                        units_format_size(row->most, most);
                        return plugin_refuse(why, "%s=%.*s is not %s from %s to %s", row->name,
                                             plugin_options_shown(value), value.ptr,
                                             row->kind == PLUGIN_SIZE ? "a size" : "a number", least, most);
                }
                memcpy((char *)to + row->offset, &number, sizeof number);
        }
        return true;
}
