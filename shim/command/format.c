/* format.c - what redisvFormatCommand() would make of a format, without making it: words where they already stand.
 *
 * A format is words between runs of ' '. A word is pieces without a space between: literal text, %s, %b, %% and the
 * integer conversions of printf. A piece may be empty, and a word of empty pieces is an empty word. A '%' that ends the
 * format is literal. Conversions: flags "#0-+ ", width and precision in digits, lengths hh h l ll, d i o u x X; floats
 * without a length; anything else is refused. One of 14 letters or more is a case of its own there and left to it, as
 * are wide ones, for which printf may allocate. 0.14.1 and 1.2.0 agree: check_command.c passes linked to either.
 *
 * One word at a time is in the making. While it has one piece it points at it; with the second it moves to scratch. */
#include "format.h"

#include "../../l1/base/assert.h"

#include <stdio.h>

struct format {
        const char     *p;
        va_list         ap;
        struct mt_bytes word;
        char           *scratch;
        uint32_t        used;    /* of scratch: by the words before, and by this one if it stands there */
        bool            owned;   /* this word is the last thing in scratch */
        bool            touched; /* it has had a piece */
};

static void format_begin(struct format *f, const char *p, char *scratch)
{
        f->p = p;
        f->scratch = scratch;
        f->used = 0;
}

/* va_copy(). On x86-64 that is a load of 16 bytes which va_start() has just stored as 4, 4 and 8: such a load waits
 * until the stores have left the processor's queue, 8 ns of a hit. Taken field by field each is forwarded at once. */
static inline void format_copy_list(struct format *f, va_list ap)
{
#if defined(__x86_64__) && defined(__LP64__)
        const volatile __typeof__(*ap) *from = ap;

        f->ap->gp_offset = from->gp_offset;
        f->ap->fp_offset = from->fp_offset;
        f->ap->overflow_arg_area = from->overflow_arg_area;
        f->ap->reg_save_area = from->reg_save_area;
#else
        va_copy(f->ap, ap);
#endif
}

/* Make the word the last thing in scratch. False: no room. */
static bool format_own(struct format *f)
{
        char *to = f->scratch + f->used;

        if (f->owned)
                return true;
        if (f->word.len > COMMAND_SCRATCH - f->used)
                return false;
        if (f->word.len > 0)
                memcpy(to, f->word.ptr, f->word.len);
        f->word.ptr = to;
        f->used += (uint32_t)f->word.len;
        f->owned = true;
        return true;
}

static inline bool format_add(struct format *f, const char *piece, size_t len)
{
        f->touched = true;
        if (f->word.len == 0 && !f->owned) {
                f->word = mt_bytes(piece, len);
                return true;
        }
        if (len == 0)
                return true;
        if (!format_own(f) || len > COMMAND_SCRATCH - f->used)
                return false;
        memcpy(f->scratch + f->used, piece, len);
        f->used += (uint32_t)len;
        f->word.len += len;
        return true;
}

/* --------------------------------------------------------------------------------------------------------- numbers */

static unsigned format_count_digits(uint64_t value)
{
        unsigned n = 1;

        for (; value >= 10000; value /= 10000)
                n += 4;
        return n + (value >= 10) + (value >= 100) + (value >= 1000);
}

/* Straight to their place: bytes written one by one and then copied as words would wait for each other. */
static bool format_add_decimal(struct format *f, uint64_t value, bool negative)
{
        unsigned n = format_count_digits(value) + negative;
        char    *at;

        if (!format_own(f) || n > COMMAND_SCRATCH - f->used)
                return false;
        f->touched = true;
        at = f->scratch + f->used;
        f->used += n;
        f->word.len += n;
        if (negative)
                *at = '-';
        for (at += n; value >= 10; value /= 10)
                *--at = (char)('0' + value % 10);
        *--at = (char)('0' + value);
        return true;
}

static bool format_add_signed(struct format *f, int64_t value)
{
        return format_add_decimal(f, value < 0 ? -(uint64_t)value : (uint64_t)value, value < 0);
}

/* One conversion, taken apart. */
struct format_directive {
        char     text[16];   /* from '%' to the conversion, for snprintf */
        unsigned long_count; /* how many l */
        char     conversion;
        bool     plain; /* no flags, width, precision, h */
};

/* Not strchr(), which also finds the end of the string. */
static inline bool format_is_one_of(char c, const char *set)
{
        for (; *set != '\0'; set++)
                if (c == *set)
                        return true;
        return false;
}

static const char *format_skip_digits(const char *p)
{
        while (*p >= '0' && *p <= '9')
                p++;
        return p;
}

/* f->p is at the '%'; it is moved behind the conversion. */
static enum command_parse format_take_directive(struct format *f, struct format_directive *d)
{
        const char *start = f->p + 1, *p = start, *digits;
        bool        wide;

        while (format_is_one_of(*p, "#0-+ "))
                p++;
        digits = p;
        p = format_skip_digits(p);
        wide = p - digits > 2;
        if (*p == '.') {
                digits = ++p;
                p = format_skip_digits(p);
                wide |= p - digits > 2;
        }
        if (format_is_one_of(*p, "eEfFgGaA"))
                return COMMAND_FORMAT;
        d->plain = p == start && *p != 'h';
        d->long_count = 0;
        if (*p == 'h')
                p += p[1] == 'h' ? 2 : 1;
        else
                for (; *p == 'l' && d->long_count < 2; p++)
                        d->long_count++;
        if (!format_is_one_of(*p, "diouxX"))
                return COMMAND_MALFORMED;
        d->conversion = *p++;
        if (wide || p - f->p > 13)
                return COMMAND_FORMAT;
        memcpy(d->text, f->p, (size_t)(p - f->p));
        d->text[p - f->p] = '\0';
        f->p = p;
        return COMMAND_OK;
}

/* Flags, widths and the like: printf itself, in place. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static bool            format_print(struct format *f, const struct format_directive *d)
{
        size_t room;
        char  *to;
        int    n;

        if (!format_own(f))
                return false;
        to = f->scratch + f->used;
        room = COMMAND_SCRATCH - f->used;
        if (d->long_count == 0)
                n = snprintf(to, room, d->text, va_arg(f->ap, int));
        else if (d->long_count == 1)
                n = snprintf(to, room, d->text, va_arg(f->ap, long));
        else
                n = snprintf(to, room, d->text, va_arg(f->ap, long long));
        if (n < 0 || (size_t)n >= room)
                return false;
        f->used += (uint32_t)n;
        f->word.len += (size_t)n;
        return true;
}
#pragma GCC diagnostic pop

static enum command_parse format_number(struct format *f)
{
        struct format_directive d;
        enum command_parse      parse = format_take_directive(f, &d);
        bool                    added;

        if (parse != COMMAND_OK)
                return parse;
        f->touched = true;
        if (d.plain && (d.conversion == 'd' || d.conversion == 'i'))
                added = format_add_signed(f, d.long_count == 0   ? va_arg(f->ap, int)
                                             : d.long_count == 1 ? va_arg(f->ap, long)
                                                                 : va_arg(f->ap, long long));
        else if (d.plain && d.conversion == 'u')
                added = format_add_decimal(f,
                                           d.long_count == 0   ? va_arg(f->ap, unsigned)
                                           : d.long_count == 1 ? va_arg(f->ap, unsigned long)
                                                               : va_arg(f->ap, unsigned long long),
                                           false);
        else
                added = format_print(f, &d);
        return added ? COMMAND_OK : COMMAND_FORMAT;
}

/* ----------------------------------------------------------------------------------------------------------- words */

/* f->p is at a '%' that does not end the format. */
static inline enum command_parse format_piece(struct format *f)
{
        const char *argument;
        bool        added;

        switch (f->p[1]) {
        case 's':
                argument = va_arg(f->ap, const char *);
                added = format_add(f, argument, strlen(argument));
                break;
        case 'b':
                argument = va_arg(f->ap, const char *);
                added = format_add(f, argument, va_arg(f->ap, size_t));
                break;
        case '%': added = format_add(f, f->p, 1); break;
        case 'd': added = format_add_signed(f, va_arg(f->ap, int)); break;
        default: return format_number(f);
        }
        f->p += 2;
        return added ? COMMAND_OK : COMMAND_FORMAT;
}

/* The next word; f->touched is false when there is none. */
static inline enum command_parse format_word(struct format *f)
{
        enum command_parse parse = COMMAND_OK;

        f->word = mt_bytes("", 0);
        f->owned = f->touched = false;
        while (*f->p == ' ')
                f->p++;
        while (*f->p != '\0' && *f->p != ' ' && parse == COMMAND_OK) {
                const char *literal = f->p;

                if (*literal == '%' && literal[1] != '\0') {
                        parse = format_piece(f);
                        continue;
                }
                do
                        f->p++;
                while (*f->p != '\0' && *f->p != ' ' && *f->p != '%');
                if (!format_add(f, literal, (size_t)(f->p - literal)))
                        parse = COMMAND_FORMAT;
        }
        return parse;
}

enum command_parse format_words(struct command *command, const char *format, va_list ap)
{
        enum command_parse parse;
        struct format      f;
        uint32_t           n = 0;

        format_begin(&f, format, command->scratch);
        format_copy_list(&f, ap);
        while ((parse = format_word(&f)) == COMMAND_OK && f.touched) {
                if (n == COMMAND_TOKENS_MAX) {
                        parse = COMMAND_FORMAT;
                        break;
                }
                command->token[n++] = f.word;
        }
        va_end(f.ap);
        command->argc = command->ntoken = n;
        return parse == COMMAND_OK && n == 0 ? COMMAND_MALFORMED : parse;
}

/* The hot path: a hit spends 3 to 5 ns here. Whatever is not exactly GET and one word goes back to the caller. */
bool command_get_format(const char *format, va_list ap, struct mt_bytes *key, char scratch[COMMAND_SCRATCH])
{
        const char   *p = format;
        struct format f;
        bool          is_get;

        while (*p == ' ')
                p++;
        if ((p[0] | 0x20) != 'g' || (p[1] | 0x20) != 'e' || (p[2] | 0x20) != 't' || p[3] != ' ')
                return false;
        for (p += 4; *p == ' ';)
                p++;
        format_copy_list(&f, ap);
        if (MT_LIKELY(p[0] == '%' && (p[1] == 's' || p[1] == 'b') && p[2] == '\0')) {
                key->ptr = va_arg(f.ap, const char *);
                key->len = p[1] == 's' ? strlen(key->ptr) : va_arg(f.ap, size_t);
                va_end(f.ap);
                return true;
        }
        format_begin(&f, p, scratch);
        is_get = format_word(&f) == COMMAND_OK && f.touched;
        va_end(f.ap);
        for (p = f.p; *p == ' ';)
                p++;
        *key = f.word;
        return is_get && *p == '\0';
}
