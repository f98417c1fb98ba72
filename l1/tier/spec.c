/* spec.c - split first, decode then: a separator that was encoded separates nothing. */
#include "spec.h"

static int spec_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decoded, NUL-terminated, behind what is there: at *used, which is moved. NULL, or what is wrong. */
static const char *spec_decode(struct spec *spec, size_t *used, struct mt_bytes raw, struct mt_bytes *out)
{
        char *to = spec->bytes + *used;

        if (raw.len >= sizeof spec->bytes - *used)
                return "it is too long";
        *out = mt_bytes(to, 0);
        for (size_t i = 0; i < raw.len; i++) {
                char c = raw.ptr[i];

                if (c == '%') {
                        int high = i + 2 < raw.len ? spec_digit(raw.ptr[i + 1]) : -1;
                        int low = high >= 0 ? spec_digit(raw.ptr[i + 2]) : -1;

                        if (low < 0)
                                return "a '%' is not followed by two hexadecimal digits";
                        c = (char)(high << 4 | low);
                        i += 2;
                }
                if (c == '\0')
                        return "it holds a NUL";
                to[out->len++] = c;
        }
        to[out->len] = '\0';
        *used += out->len + 1;
        return NULL;
}

static bool spec_is_name(struct mt_bytes name)
{
        for (size_t i = 0; i < name.len; i++) {
                char c = name.ptr[i];

                if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                      c == '-' || c == '.'))
                        return false;
        }
        return name.len > 0;
}

/* What stands before the first such character, *rest: behind it; all of it, and nothing, when there is none. */
static struct mt_bytes spec_cut(struct mt_bytes text, char end, struct mt_bytes *rest)
{
        const char *at = text.len > 0 ? memchr(text.ptr, end, text.len) : NULL;

        if (at == NULL) {
                *rest = mt_bytes(text.ptr + text.len, 0);
                return text;
        }
        *rest = mt_bytes(at + 1, text.len - (size_t)(at - text.ptr) - 1);
        return mt_bytes(text.ptr, (size_t)(at - text.ptr));
}

static const char *spec_parse_option(struct spec *spec, size_t *used, struct mt_bytes part)
{
        struct mt_option *option = &spec->option[spec->options];
        struct mt_bytes   value, name = spec_cut(part, '=', &value);
        const char       *why;

        if (spec->options == SPEC_OPTIONS_MAX)
                return "it has too many options";
        if (name.len == part.len)
                return "an option has no '='";
        if (!spec_is_name(name))
                return "the name of an option is not letters, digits, '_', '-' and '.'";
        why = spec_decode(spec, used, name, &option->name);
        if (why == NULL)
                why = spec_decode(spec, used, value, &option->value);
        if (why != NULL)
                return why;
        for (size_t i = 0; i < spec->options; i++)
                if (mt_bytes_equal(spec->option[i].name, option->name))
                        return "an option is given twice";
        spec->options++;
        return NULL;
}

const char *spec_parse(struct mt_bytes text, struct spec *spec)
{
        struct mt_bytes head, kind, address, options;
        size_t          used = 0;
        const char     *why;

        spec->options = 0;
        if (text.len == 0)
                return "it is empty";
        head = spec_cut(text, '?', &options);
        kind = spec_cut(head, ':', &address);
        if (!spec_is_name(kind))
                return "what stands before ':' is no kind of store";
        why = spec_decode(spec, &used, kind, &spec->kind);
        if (why == NULL)
                why = spec_decode(spec, &used, address, &spec->address);
        if (why == NULL && head.len < text.len && options.len == 0)
                why = "nothing follows the '?'";
        while (why == NULL && options.len > 0) {
                struct mt_bytes part = spec_cut(options, '&', &options);

                why = spec_parse_option(spec, &used, part);
        }
        return why;
}

bool spec_take(struct spec *spec, const char *name, struct mt_bytes *value)
{
        for (size_t i = 0; i < spec->options; i++) {
                if (!mt_bytes_equal(spec->option[i].name, mt_bytes_of(name)))
                        continue;
                *value = spec->option[i].value;
                spec->options--;
                memmove(&spec->option[i], &spec->option[i + 1], (spec->options - i) * sizeof spec->option[0]);
                return true;
        }
        return false;
}

struct mt_backend_config spec_config(struct spec *spec, struct mt_bytes prefix, uint32_t timeout_ms)
{
        struct mt_backend_config config = {.address = spec->address, .prefix = prefix, .timeout_ms = timeout_ms};

        if (mt_bytes_equal(spec->kind, mt_bytes_of("plugin"))) {
                config.address = mt_bytes("", 0);
                spec_take(spec, "address", &config.address);
        }
        config.option = spec->option;
        config.options = spec->options;
        return config;
}
