/* ctl_json.c - is standard input one JSON text (RFC 8259), in UTF-8? Exit status 0 when it is; else 1, and where not.
 * With words ("servers.0.address", "hits"): prints the value at each, a line each; 1 when one is not there. */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 64, TEXT_MAX = 1 << 20 };

static char   text[TEXT_MAX + 1];
static char  *at = text;
static char   path[1024]; /* of the value that is being read: "servers.0.address" */
static int    word_count, words_found;
static char **words;

static bool value(unsigned depth);

static void space(void)
{
        at += strspn(at, " \t\r\n");
}

static bool take(const char *literal)
{
        size_t n = strlen(literal);

        if (strncmp(at, literal, n) != 0)
                return false;
        at += n;
        return true;
}

static size_t utf8(const unsigned char *s)
{
        static const unsigned long least[] = {0, 0, 0x80, 0x800, 0x10000};
        size_t                     n = *s < 0x80 ? 1 : *s >= 0xf0 ? 4 : *s >= 0xe0 ? 3 : 2;
        unsigned long              code = n == 1 ? *s : *s & (0x7fUL >> n);

        if (n > 1 && (*s < 0xc0 || *s > 0xf7))
                return 0;
        for (size_t i = 1; i < n; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
                code = code << 6 | (s[i] & 0x3f);
        }
        return code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : n;
}

static bool string(void)
{
        if (!take("\""))
                return false;
        while (*at != '"') {
                size_t n = utf8((const unsigned char *)at);

                if ((unsigned char)*at < 0x20 || n == 0)
                        return false;
                if (*at == '\\') {
                        if (at[1] == 'u' ? strspn(at + 2, "0123456789abcdefABCDEF") < 4
                                         : !strchr("\"\\/bfnrt", at[1]) || !at[1])
                                return false;
                        n = at[1] == 'u' ? 6 : 2;
                }
                at += n;
        }
        at++;
        return true;
}

static bool digits(void)
{
        size_t n = strspn(at, "0123456789");

        at += n;
        return n > 0;
}

static bool number(void)
{
        take("-");
        if (at[0] == '0' && isdigit((unsigned char)at[1]))
                return false;
        if (!digits() || (take(".") && !digits()))
                return false;
        if (*at == 'e' || *at == 'E') {
                at++;
                at += *at == '+' || *at == '-';
                return digits();
        }
        return true;
}

/* Members of an object or elements of an array. */
static bool members(unsigned depth, bool named)
{
        size_t      here = strlen(path);
        const char *close = named ? "}" : "]";

        space();
        if (take(close))
                return true;
        for (unsigned i = 0;; i++) {
                const char *name = at + 1;
                int         len;

                space();
                name = at + 1;
                if (named && !string())
                        return false;
                len = (int)(at - name) - 1;
                if (named)
                        snprintf(path + here, sizeof path - here, "%s%.*s", here ? "." : "", len, name);
                else
                        snprintf(path + here, sizeof path - here, "%s%u", here ? "." : "", i);
                space();
                if ((named && !take(":")) || !value(depth))
                        return false;
                path[here] = '\0';
                space();
                if (take(close))
                        return true;
                if (!take(","))
                        return false;
        }
}

static bool any(unsigned depth)
{
        if (depth > DEPTH_MAX)
                return false;
        if (take("{"))
                return members(depth + 1, true);
        if (take("["))
                return members(depth + 1, false);
        if (*at == '"')
                return string();
        return take("true") || take("false") || take("null") || number();
}

static bool value(unsigned depth)
{
        space();
        const char *start = at;

        if (!any(depth))
                return false;
        for (int i = 0; i < word_count; i++) {
                if (strcmp(words[i], path) != 0)
                        continue;
                words_found++;
                if (*start == '"')
                        printf("%.*s\n", (int)(at - start) - 2, start + 1);
                else
                        printf("%.*s\n", (int)(at - start), start);
        }
        return true;
}

int main(int argc, char **argv)
{
        size_t n = fread(text, 1, TEXT_MAX, stdin);

        words = argv + 1;
        word_count = argc - 1;
        bool good = strlen(text) == n && value(0);

        space();
        if (!good || *at) {
                fprintf(stderr, "not JSON at byte %td: %.20s\n", at - text, at);
                return 1;
        }
        return words_found < word_count;
}
