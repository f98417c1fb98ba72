/* name.c - one writer of names, which quotes what would mean something in a glob. */
#include "name.h"

struct name {
        char  *to;
        size_t len;
        bool   fits;
};

static void name_add(struct name *n, struct mt_bytes bytes)
{
        n->fits = n->fits && bytes.len <= NAME_MAX_BYTES - n->len;
        if (!n->fits || bytes.len == 0)
                return;
        memcpy(n->to + n->len, bytes.ptr, bytes.len);
        n->len += bytes.len;
}

static void name_add_number(struct name *n, size_t number)
{
        char text[24], *at = text + sizeof text;

        *--at = ':';
        do
                *--at = (char)('0' + number % 10);
        while ((number /= 10) > 0);
        name_add(n, mt_bytes(at, (size_t)(text + sizeof text - at)));
}

static void name_add_quoted(struct name *n, struct mt_bytes bytes)
{
        for (size_t i = 0; i < bytes.len; i++) {
                if (memchr("*?[]\\", bytes.ptr[i], 5) != NULL)
                        name_add(n, mt_bytes_of("\\"));
                name_add(n, mt_bytes(bytes.ptr + i, 1));
        }
}

bool name_key(char to[NAME_MAX_BYTES], bool with_server, const struct tier_key *key, struct mt_bytes *name)
{
        struct name n = {.to = to, .fits = key->key.len <= NAME_KEY_MAX};

        name_add_number(&n, key->database);
        if (with_server) {
                name_add_number(&n, key->server.len);
                name_add(&n, key->server);
                name_add(&n, mt_bytes_of(":"));
        }
        name_add(&n, key->key);
        *name = mt_bytes(to, n.len);
        return n.fits;
}

/* "Every database" may match more than it should, where a key looks like the rest of a name: it is removed too. */
bool name_glob(char to[NAME_MAX_BYTES], bool with_server, struct mt_bytes server, uint32_t database,
               struct mt_bytes glob, struct mt_bytes *name)
{
        struct name n = {.to = to, .fits = true};

        if (database == TIER_EVERY_DATABASE)
                name_add(&n, mt_bytes_of("*:"));
        else
                name_add_number(&n, database);
        if (with_server) {
                name_add_number(&n, server.len);
                name_add_quoted(&n, server);
                name_add(&n, mt_bytes_of(":"));
        }
        name_add(&n, glob);
        *name = mt_bytes(to, n.len);
        return n.fits;
}
