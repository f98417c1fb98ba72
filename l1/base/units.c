/* units.c - libbsd does the arithmetic; here stands what it is given: digits, then a unit, and nothing else. Its
 * expand_number() alone would read "010" as 8, "-1" as 16 EiB and "64Mumble" as 64M. */
#include "units.h"

#include <bsd/libutil.h>
#include <bsd/stdlib.h>
#include <errno.h>
#include <stdio.h>

struct units_unit {
        const char *name;
        uint64_t    factor;
};

static const struct units_unit units_durations[] = {
        {"d", 86400 * NS_PER_S}, {"h", 3600 * NS_PER_S}, {"m", 60 * NS_PER_S}, {"s", NS_PER_S}, {"ms", NS_PER_MS},
};
static const struct units_unit units_sizes[] = {
        {"T", UINT64_C(1) << 40},
        {"G", UINT64_C(1) << 30},
        {"M", UINT64_C(1) << 20},
        {"K", UINT64_C(1) << 10},
};

struct mt_bytes units_trim(struct mt_bytes text)
{
        while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t'))
                text.ptr++, text.len--;
        while (text.len > 0 &&
               (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t' || text.ptr[text.len - 1] == '\r'))
                text.len--;
        return text;
}

/* The digits at the head of *text, which is moved behind them. */
static bool units_take_number(struct mt_bytes *text, uint64_t *number)
{
        char        digits[UNITS_TEXT_MAX];
        const char *error;
        size_t      n = 0;
        int         saved = errno;

        while (n < text->len && text->ptr[n] >= '0' && text->ptr[n] <= '9')
                n++;
        if (n == 0 || n >= sizeof digits)
                return false;
        memcpy(digits, text->ptr, n);
        digits[n] = '\0';
        *number = (uint64_t)strtonum(digits, 0, INT64_MAX, &error);
        errno = saved;
        text->ptr += n;
        text->len -= n;
        return error == NULL;
}

bool units_parse_size(struct mt_bytes text, uint64_t *bytes)
{
        char     canonical[UNITS_TEXT_MAX];
        uint64_t number;
        int      saved = errno;
        bool     ok;

        if (!units_take_number(&text, &number) || text.len > 1 || (text.len == 1 && text.ptr[0] == ' '))
                return false;
        snprintf(canonical, sizeof canonical, "%llu%.*s", (unsigned long long)number, (int)text.len, text.ptr);
        ok = expand_number(canonical, bytes) == 0 && *bytes <= INT64_MAX;
        errno = saved;
        return ok;
}

bool units_parse_duration(struct mt_bytes text, uint64_t *ns)
{
        uint64_t number;

        if (!units_take_number(&text, &number))
                return false;
        if (text.len == 0)
                text = mt_bytes_of("s");
        for (size_t i = 0; i < sizeof units_durations / sizeof units_durations[0]; i++)
                if (mt_bytes_equal(text, mt_bytes_of(units_durations[i].name)))
                        return !__builtin_mul_overflow(number, units_durations[i].factor, ns) && *ns <= INT64_MAX;
        return false;
}

bool units_parse_decimal(struct mt_bytes text, uint64_t *millionths)
{
        uint64_t whole, fraction = 0;

        if (!units_take_number(&text, &whole) || __builtin_mul_overflow(whole, UINT64_C(1000000), millionths))
                return false;
        if (text.len != 0) {
                char digits[] = "000000";

                if (text.ptr[0] != '.' || text.len < 2 || text.len > sizeof digits)
                        return false;
                memcpy(digits, text.ptr + 1, text.len - 1);
                text = mt_bytes(digits, sizeof digits - 1);
                if (!units_take_number(&text, &fraction) || text.len != 0)
                        return false;
        }
        *millionths += fraction;
        return *millionths <= INT64_MAX;
}

static void units_format(uint64_t value, const struct units_unit *unit, size_t n, char out[UNITS_TEXT_MAX])
{
        for (size_t i = 0; i < n; i++) {
                if (value != 0 && value % unit[i].factor == 0) {
                        snprintf(out, UNITS_TEXT_MAX, "%llu%s", (unsigned long long)(value / unit[i].factor),
                                 unit[i].name);
                        return;
                }
        }
        snprintf(out, UNITS_TEXT_MAX, "%llu", (unsigned long long)value);
}

void units_format_size(uint64_t bytes, char out[UNITS_TEXT_MAX])
{
        units_format(bytes, units_sizes, sizeof units_sizes / sizeof units_sizes[0], out);
}

/* Durations are whole milliseconds wherever they come from a text. */
void units_format_duration(uint64_t ns, char out[UNITS_TEXT_MAX])
{
        units_format(ns - ns % NS_PER_MS, units_durations, sizeof units_durations / sizeof units_durations[0], out);
}

void units_format_decimal(uint64_t millionths, char out[UNITS_TEXT_MAX])
{
        size_t len = (size_t)snprintf(out, UNITS_TEXT_MAX, "%llu.%06llu", (unsigned long long)(millionths / 1000000),
                                      (unsigned long long)(millionths % 1000000));

        while (out[len - 1] == '0')
                out[--len] = '\0';
        if (out[len - 1] == '.')
                out[len - 1] = '\0';
}
