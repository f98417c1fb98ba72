/* glob.c - the matcher. One place to come back to is enough: whatever the last star may swallow, an earlier star need
 * not swallow more, since what stood between the two has been found as far left as it can be. So no recursion. */
#include "glob.h"

/* What a class says about c; *at is moved from behind the '[' to behind the class. A class that nobody closed ends with
 * the pattern; '^' counts only in the first place; "a-]" is a range; a range may be written backwards. */
static bool glob_class(struct mt_bytes pattern, size_t *at, char c)
{
        const char *p = pattern.ptr;
        size_t      i = *at, n = pattern.len;
        bool        negated = i < n && p[i] == '^';
        bool        found = false;

        if (negated)
                i++;
        for (; i < n && p[i] != ']'; i++) {
                if (p[i] == '\\' && i + 1 < n) {
                        found |= p[++i] == c;
                } else if (i + 2 < n && p[i + 1] == '-') {
                        char low = p[i] < p[i + 2] ? p[i] : p[i + 2];
                        char high = p[i] < p[i + 2] ? p[i + 2] : p[i];

                        found |= low <= c && c <= high;
                        i += 2;
                } else {
                        found |= p[i] == c;
                }
        }
        *at = i < n ? i + 1 : n;
        return found != negated;
}

/* Does the element at *at, which is not a star, match c? *at is moved behind it if so. */
static bool glob_element(struct mt_bytes pattern, size_t *at, char c)
{
        size_t i = *at;
        bool   matches;

        switch (pattern.ptr[i]) {
        case '?':
                i++;
                matches = true;
                break;
        case '[':
                i++;
                matches = glob_class(pattern, &i, c);
                break;
        case '\\':
                if (i + 1 < pattern.len)
                        i++;
                /* fall through */
        default: matches = pattern.ptr[i++] == c;
        }
        if (matches)
                *at = i;
        return matches;
}

bool glob_match(struct mt_bytes pattern, struct mt_bytes string)
{
        size_t p = 0, s = 0;
        size_t star = SIZE_MAX, swallowed = 0; /* behind the last star, and where its match ends so far */

        while (s < string.len) {
                if (p < pattern.len && pattern.ptr[p] == '*') {
                        star = ++p;
                        swallowed = s;
                        if (p == pattern.len)
                                return true;
                } else if (p < pattern.len && glob_element(pattern, &p, string.ptr[s])) {
                        s++;
                } else if (star != SIZE_MAX) {
                        p = star;
                        s = ++swallowed;
                } else {
                        return false;
                }
        }
        while (p < pattern.len && pattern.ptr[p] == '*')
                p++;
        return p == pattern.len;
}

size_t glob_literal_prefix(struct mt_bytes pattern)
{
        size_t n = 0;

        while (n < pattern.len && pattern.ptr[n] != '*' && pattern.ptr[n] != '?' && pattern.ptr[n] != '[' &&
               pattern.ptr[n] != '\\')
                n++;
        return n;
}

struct mt_bytes glob_literal(struct mt_bytes string, char *room, size_t size)
{
        size_t n = 0;

        for (size_t i = 0; i < string.len; i++) {
                if (n + 2 > size)
                        return mt_bytes(NULL, 0);
                if (memchr("*?[\\", string.ptr[i], 4) != NULL)
                        room[n++] = '\\';
                room[n++] = string.ptr[i];
        }
        return mt_bytes(room, n);
}
