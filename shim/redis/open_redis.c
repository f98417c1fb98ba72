/* open_redis.c - from what MTSHIM_TIERS says of a Redis to a store, or to the sentence that names what is wrong. */
#include "backend_redis.h"
#include "stream_redis.h"

#include "../../l1/base/units.h"

#include <stdio.h>
#include <stdlib.h>

enum { REDIS_TEXT_MAX = 4096 };

/* What MTSHIM_TIERS says, with room for its strings. */
struct redis_settings {
        struct pool_config config;
        uint64_t           item_max;
        char               text[5][REDIS_TEXT_MAX];
        unsigned           texts;
};

static bool redis_option_text(struct redis_settings *s, struct mt_bytes value, const char **to)
{
        if (value.len == 0 || value.len >= REDIS_TEXT_MAX || memchr(value.ptr, '\0', value.len) != NULL)
                return false;
        memcpy(s->text[s->texts], value.ptr, value.len);
        s->text[s->texts][value.len] = '\0';
        *to = s->text[s->texts++];
        return true;
}

static bool redis_option_number(struct mt_bytes value, uint64_t max, uint64_t *number)
{
        return units_parse_size(value, number) && *number <= max;
}

/* One row for each: what it may be, for whoever gives something else. */
enum redis_option {
        REDIS_OPTION_DB,
        REDIS_OPTION_USER,
        REDIS_OPTION_PASSWORD,
        REDIS_OPTION_TLS,
        REDIS_OPTION_CA_FILE,
        REDIS_OPTION_CA_DIR,
        REDIS_OPTION_CERT,
        REDIS_OPTION_KEY,
        REDIS_OPTION_MAX_ITEM,
        REDIS_OPTIONS
};
static const struct {
        const char *name, *is;
} redis_options[REDIS_OPTIONS] = {
        [REDIS_OPTION_DB] = {"db", "the number of a database"},
        [REDIS_OPTION_USER] = {"user", "a name of 1 to 255 bytes"},
        [REDIS_OPTION_PASSWORD] = {"password_file", "the path of a file"},
        [REDIS_OPTION_TLS] = {"tls", "0 or 1"},
        [REDIS_OPTION_CA_FILE] = {"ca_file", "the path of a file"},
        [REDIS_OPTION_CA_DIR] = {"ca_dir", "the path of a folder"},
        [REDIS_OPTION_CERT] = {"cert_file", "the path of a file"},
        [REDIS_OPTION_KEY] = {"key_file", "the path of a file"},
        [REDIS_OPTION_MAX_ITEM] = {"max_item", "a size of at most 512M"},
};

static bool redis_set_option(struct redis_settings *s, enum redis_option option, struct mt_bytes value)
{
        struct redis_address *a = &s->config.address;
        uint64_t              number = 0;

        switch (option) {
        case REDIS_OPTION_DB:
                if (!redis_option_number(value, INT32_MAX, &number))
                        return false;
                a->database = (uint32_t)number;
                return true;
        case REDIS_OPTION_USER:
                if (value.len == 0 || value.len >= sizeof a->user)
                        return false;
                memcpy(a->user, value.ptr, value.len);
                a->user[value.len] = '\0';
                return true;
        case REDIS_OPTION_TLS:
                if (!redis_option_number(value, 1, &number))
                        return false;
                a->secured = number == 1;
                return true;
        case REDIS_OPTION_PASSWORD: return redis_option_text(s, value, &s->config.password_file);
        case REDIS_OPTION_CA_FILE: return redis_option_text(s, value, &s->config.tls.ca_file);
        case REDIS_OPTION_CA_DIR: return redis_option_text(s, value, &s->config.tls.ca_dir);
        case REDIS_OPTION_CERT: return redis_option_text(s, value, &s->config.tls.cert_file);
        case REDIS_OPTION_KEY: return redis_option_text(s, value, &s->config.tls.key_file);
        case REDIS_OPTION_MAX_ITEM: return redis_option_number(value, STORE_ITEM_MAX, &s->item_max) && s->item_max > 0;
        default: return false;
        }
}

static bool redis_read_options(struct redis_settings *s, const struct mt_backend_config *config, char *why)
{
        unsigned seen = 0;

        for (size_t i = 0; i < config->options; i++) {
                const struct mt_option *o = &config->option[i];
                unsigned                row = 0;

                while (row < REDIS_OPTIONS && !mt_bytes_equal(o->name, mt_bytes_of(redis_options[row].name)))
                        row++;
                if (row == REDIS_OPTIONS) {
                        snprintf(why, MT_BACKEND_WHY_MAX, "redis has no option %.*s",
                                 (int)(o->name.len < 127 ? o->name.len : 127), o->name.ptr);
                        return false;
                }
                if (seen & 1u << row) {
                        snprintf(why, MT_BACKEND_WHY_MAX, "%s is given twice", redis_options[row].name);
                        return false;
                }
                seen |= 1u << row;
                if (!redis_set_option(s, (enum redis_option)row, o->value)) {
                        snprintf(why, MT_BACKEND_WHY_MAX, "%s=%.*s is not %s", redis_options[row].name,
                                 (int)(o->value.len < 127 ? o->value.len : 127), o->value.ptr, redis_options[row].is);
                        return false;
                }
        }
        return true;
}

static bool redis_read_address(struct redis_settings *s, struct mt_bytes address, char *why)
{
        char        text[REDIS_TEXT_MAX];
        const char *fault = "it is too long";

        if (address.len < sizeof text) {
                if (address.len > 0)
                        memcpy(text, address.ptr, address.len);
                text[address.len] = '\0';
                fault = redis_address_parse(text, &s->config.address);
                if (fault == NULL)
                        return true;
        }
        snprintf(why, MT_BACKEND_WHY_MAX, "address %.*s: %s", (int)(address.len < 128 ? address.len : 128), address.ptr,
                 fault);
        return false;
}

static enum mt_status redis_open(const struct mt_backend_config *config, void **self, char *why)
{
        struct redis_settings *s = calloc(1, sizeof *s);
        struct redis_store    *store = NULL;

        if (s == NULL) {
                snprintf(why, MT_BACKEND_WHY_MAX, "no memory");
                return MT_ERROR;
        }
        s->config.timeout_ms = config->timeout_ms;
        if (redis_read_address(s, config->address, why) && redis_read_options(s, config, why))
                store = redis_store_open(&s->config, config->prefix, s->item_max, why);
        free(s);
        *self = store;
        return store != NULL ? MT_OK : MT_ERROR;
}

static void redis_close(void *self)
{
        redis_store_close(self);
}

const struct mt_backend backend_redis = {
        .abi = MT_BACKEND_ABI,
        .size = sizeof(struct mt_backend),
        .name = "redis",
        .flags = MT_BACKEND_SHARED,
        .open = redis_open,
        .close = redis_close,
        .ops = &redis_l2_ops,
        .streams = &redis_stream_ops,
};
