/* json.c - owns commas, indentation and escapes. */
#include "json.h"

#include <string.h>

void json_init(struct json *j, FILE *out)
{
        *j = (struct json){.out = out, .empty = true};
}

bool json_end(struct json *j)
{
        fputc('\n', j->out);
        return fflush(j->out) == 0 && !ferror(j->out);
}

static void json_line(struct json *j)
{
        fputc('\n', j->out);
        for (unsigned i = 0; i < j->depth; i++)
                fputs("  ", j->out);
}

/* Length of the UTF-8 sequence that starts at s, 0 when it is none: no overlong forms, surrogates, or code points past
 * U+10FFFF. Reads no further than the terminating NUL, which is no continuation byte. */
static size_t json_utf8(const unsigned char *s)
{
        unsigned char low = 0x80, high = 0xbf;
        size_t        len;

        if (s[0] < 0x80)
                return 1;
        if (s[0] >= 0xc2 && s[0] <= 0xdf)
                len = 2;
        else if (s[0] >= 0xe0 && s[0] <= 0xef)
                len = 3;
        else if (s[0] >= 0xf0 && s[0] <= 0xf4)
                len = 4;
        else
                return 0;
        switch (s[0]) {
        case 0xe0: low = 0xa0; break;
        case 0xed: high = 0x9f; break;
        case 0xf0: low = 0x90; break;
        case 0xf4: high = 0x8f; break;
        default: break;
        }
        if (s[1] < low || s[1] > high)
                return 0;
        for (size_t i = 2; i < len; i++)
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
        return len;
}

static void json_quoted(struct json *j, const char *text)
{
        const unsigned char *s = (const unsigned char *)text;

        fputc('"', j->out);
        while (*s) {
                size_t len = json_utf8(s);

                if (len == 0) {
                        fputs("\\ufffd", j->out);
                        s++;
                        continue;
                }
                if (*s == '"' || *s == '\\')
                        fprintf(j->out, "\\%c", *s);
                else if (*s < 0x20 || *s == 0x7f)
                        fprintf(j->out, "\\u%04x", (unsigned)*s);
                else
                        fwrite(s, 1, len, j->out);
                s += len;
        }
        fputc('"', j->out);
}

static void json_name(struct json *j, const char *name)
{
        if (!j->empty)
                fputc(',', j->out);
        j->empty = false;
        if (j->depth > 0)
                json_line(j);
        if (name) {
                json_quoted(j, name);
                fputs(": ", j->out);
        }
}

static void json_begin(struct json *j, const char *name, char bracket)
{
        json_name(j, name);
        fputc(bracket, j->out);
        j->depth++;
        j->empty = true;
}

static void json_close(struct json *j, char bracket)
{
        j->depth--;
        if (!j->empty)
                json_line(j);
        fputc(bracket, j->out);
        j->empty = false;
}

void json_object_begin(struct json *j, const char *name)
{
        json_begin(j, name, '{');
}

void json_object_end(struct json *j)
{
        json_close(j, '}');
}

void json_array_begin(struct json *j, const char *name)
{
        json_begin(j, name, '[');
}

void json_array_end(struct json *j)
{
        json_close(j, ']');
}

void json_number(struct json *j, const char *name, uint64_t value)
{
        json_name(j, name);
        fprintf(j->out, "%llu", (unsigned long long)value);
}

void json_bool(struct json *j, const char *name, bool value)
{
        json_name(j, name);
        fputs(value ? "true" : "false", j->out);
}

void json_string(struct json *j, const char *name, const char *value)
{
        json_name(j, name);
        json_quoted(j, value);
}
