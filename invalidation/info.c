/* info.c - one field of many lines. */
#include "info.h"

#include <string.h>

struct mt_bytes info_field(struct mt_bytes text, const char *name)
{
        const char *at = text.ptr, *end = at + text.len;
        size_t      skip = strlen(name);

        while (at < end) {
                const char     *newline = memchr(at, '\n', (size_t)(end - at));
                struct mt_bytes line = mt_bytes(at, (size_t)((newline ? newline : end) - at));

                if (line.len >= skip && memcmp(line.ptr, name, skip) == 0) {
                        line = mt_bytes(at + skip, line.len - skip);
                        if (line.len > 0 && at[skip + line.len - 1] == '\r')
                                line.len--;
                        return line;
                }
                at = newline ? newline + 1 : end;
        }
        return mt_bytes(NULL, 0);
}
