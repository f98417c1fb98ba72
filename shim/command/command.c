/* command.c - the table, the search in it, and the keys that a command names.
 * Everything here is read-only data made by the compiler: nothing is initialised when the library is loaded. */
#include "command.h"

#include "../../l1/base/assert.h"
#include "format.h"
#include "resp.h"

#include <endian.h>

/* Where the keys of a command stand. */
enum command_keys {
        COMMAND_KEYS_RANGE,    /* words first..last in steps; a negative last counts from the end */
        COMMAND_KEYS_NUMBERED, /* word `first` says how many follow, one in `step` words; and word `last`, if not 0 */
        COMMAND_KEYS_STREAMS,  /* the first half of what follows STREAMS */
        COMMAND_KEYS_STORE,    /* word `first`, and whatever follows STORE or STOREDIST */
        COMMAND_KEYS_MIGRATE,  /* word `first`, or if that is empty whatever follows KEYS */
};

/* ----------------------------------------------------------------------------------------------------------- table */

const struct command_row command_rows[] = {
#define ROW(verb, name, class, first, last, step, how) {name, COMMAND_##class, first, last, step, COMMAND_KEYS_##how},
#include "commands.def"
};
const unsigned command_row_count = sizeof command_rows / sizeof command_rows[0];

/* The first eight letters of each row's verb as one number that sorts as the letters do; sub-commands have their
 * container's. The search touches this array alone. */
#define COMMAND_LETTER(verb, i) ((uint64_t)(unsigned char)(verb "\0\0\0\0\0\0\0")[i] << (56 - 8 * (i)))
static const uint64_t command_words[] = {
#define ROW(verb, ...)                                                                                                 \
        COMMAND_LETTER(verb, 0) | COMMAND_LETTER(verb, 1) | COMMAND_LETTER(verb, 2) | COMMAND_LETTER(verb, 3) |        \
                COMMAND_LETTER(verb, 4) | COMMAND_LETTER(verb, 5) | COMMAND_LETTER(verb, 6) | COMMAND_LETTER(verb, 7),
#include "commands.def"
};
#undef COMMAND_LETTER

/* Where each letter begins: each row is an enumerator, named by its line, so that the marks between them count rows. */
#define COMMAND_PASTE_(a, b) a##b
#define COMMAND_PASTE(a, b)  COMMAND_PASTE_(a, b)
enum {
#define ROW(...)       COMMAND_PASTE(COMMAND_LINE_, __LINE__),
#define LETTER(letter) COMMAND_LETTER_##letter, COMMAND_BEFORE_##letter = COMMAND_LETTER_##letter - 1,
#include "commands.def"
        COMMAND_LETTER_END
};
#undef COMMAND_PASTE
#undef COMMAND_PASTE_
static const uint16_t command_letters[] = {
#define ROW(...)
#define LETTER(letter) COMMAND_LETTER_##letter,
#include "commands.def"
        COMMAND_LETTER_END,
};
_Static_assert(sizeof command_letters == 27 * sizeof command_letters[0], "A to Z");

/* ---------------------------------------------------------------------------------------------------------- search */

static inline char command_upper(char c)
{
        return c >= 'a' && c <= 'z' ? (char)(c & ~0x20) : c;
}

/* Upper case for each of the eight bytes. A byte's high bit is set by the sums where it lies above or in the range. */
static inline uint64_t command_upper8(uint64_t word)
{
        const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
        uint64_t       low7 = word & ~high;
        uint64_t       from_a = low7 + ones * (0x80 - 'a');
        uint64_t       beyond_z = low7 + ones * (0x7f - 'z');
        uint64_t       is_lower = from_a & ~beyond_z & ~word & high;

        return word & ~(is_lower >> 2);
}

/* The first eight bytes of a verb as in command_words; nothing is read beyond its end. */
static inline uint64_t command_word8(struct mt_bytes verb)
{
        const unsigned char *p = (const unsigned char *)verb.ptr;
        uint64_t             word = 0;
        uint32_t             head, tail;

        if (verb.len >= 8) {
                memcpy(&word, p, 8);
                word = be64toh(word);
        } else if (verb.len >= 4) {
                memcpy(&head, p, 4);
                memcpy(&tail, p + verb.len - 4, 4);
                word = (uint64_t)be32toh(head) << 32 | (uint64_t)be32toh(tail) << (64 - 8 * verb.len);
        } else {
                for (size_t i = 0; i < verb.len; i++)
                        word |= (uint64_t)p[i] << (56 - 8 * i);
        }
        return command_upper8(word);
}

/* Is text, in any case, the name up to its end or '|'? */
static bool command_name_is(struct mt_bytes text, const char *name)
{
        for (size_t i = 0; i < text.len; i++, name++)
                if (*name == '\0' || *name == '|' || command_upper(text.ptr[i]) != *name)
                        return false;
        return *name == '\0' || *name == '|';
}

/* The same for a verb whose first eight letters are known to be the name's: a short one needs only its end compared. */
static bool command_is_verb(struct mt_bytes verb, const char *name)
{
        if (verb.len >= 8)
                return command_name_is(verb, name);
        return name[verb.len - 1] != '\0' && name[verb.len - 1] != '|' &&
               (name[verb.len] == '\0' || name[verb.len] == '|');
}

/* The first row of this verb, or COMMAND_LETTER_END. */
static unsigned command_search(struct mt_bytes verb, uint64_t word)
{
        unsigned letter = (unsigned)(word >> 56) - 'A', low, n;

        if (verb.len == 0 || letter > 25)
                return COMMAND_LETTER_END;
        low = command_letters[letter];
        for (n = command_letters[letter + 1] - low; n > 0;) {
                unsigned half = n / 2;

                if (command_words[low + half] < word) {
                        low += half + 1;
                        n -= half + 1;
                } else {
                        n = half;
                }
        }
        /* Verbs that share their first eight letters, and a container's sub-commands, stand side by side. */
        for (; low < COMMAND_LETTER_END && command_words[low] == word; low++)
                if (command_is_verb(verb, command_rows[low].name))
                        return low;
        return COMMAND_LETTER_END;
}

const struct command_row *command_find(struct mt_bytes verb, struct mt_bytes subcommand)
{
        uint64_t word = command_word8(verb);
        unsigned row = command_search(verb, word);

        if (row == COMMAND_LETTER_END)
                return NULL;
        for (unsigned i = row + 1; subcommand.len > 0 && i < COMMAND_LETTER_END && command_words[i] == word; i++) {
                const char *name = command_rows[i].name;

                if (command_name_is(verb, name) && name[verb.len] == '|' &&
                    command_name_is(subcommand, name + verb.len + 1))
                        return &command_rows[i];
        }
        return &command_rows[row];
}

/* A verb with sub-commands is not judged by itself. */
static bool command_reads(struct mt_bytes verb)
{
        uint64_t word = command_word8(verb);
        unsigned row = command_search(verb, word);

        if (row == COMMAND_LETTER_END || command_rows[row].class != COMMAND_READ)
                return false;
        return row + 1 == COMMAND_LETTER_END || command_words[row + 1] != word ||
               command_rows[row + 1].name[verb.len] != '|';
}

bool command_reads_format(const char *format)
{
        size_t len;

        while (*format == ' ')
                format++;
        for (len = 0; format[len] != ' ' && format[len] != '\0'; len++)
                if (format[len] == '%')
                        return false;
        return command_reads(mt_bytes(format, len));
}

bool command_reads_argv(int argc, const char **argv, const size_t *argvlen)
{
        if (argc < 1 || argv[0] == NULL)
                return false;
        return command_reads(mt_bytes(argv[0], argvlen != NULL ? argvlen[0] : strlen(argv[0])));
}

static enum command_parse command_classify(struct command *command)
{
        command->row = command_find(command->token[0], command->argc > 1 ? command->token[1] : mt_bytes("", 0));
        command->class = command->row ? command->row->class : COMMAND_UNKNOWN;
        if (command->class == COMMAND_GET && command->argc != 2)
                command->class = COMMAND_READ; /* the server will only complain */
        return COMMAND_OK;
}

/* ----------------------------------------------------------------------------------------------------------- words */

void command_wipe(const struct command *command)
{
        explicit_bzero((char *)(uintptr_t)command->scratch, sizeof command->scratch);
}

/* Walks the words from any place on; one step is cheap wherever the word stands, a jump is not. */
struct command_cursor {
        const struct command *command;
        uint32_t              next;
        struct mt_bytes       rest; /* RESP bytes from word max(next, ntoken) on */
};

static struct mt_bytes command_argv_word(const struct command *command, uint32_t i)
{
        const char *word = command->argv[i];

        return mt_bytes(word, command->argvlen ? command->argvlen[i] : word ? strlen(word) : 0);
}

/* The RESP was whole when it was parsed: if a word is missing now, the caller let somebody change the bytes. */
static struct mt_bytes command_next(struct command_cursor *cursor)
{
        const struct command *command = cursor->command;
        uint32_t              i = cursor->next++;
        struct mt_bytes       word = {0};

        if (i < command->ntoken)
                return command->token[i];
        if (command->argv)
                return command_argv_word(command, i);
        bool whole = resp_take_word(&cursor->rest, &word);

        MT_ASSERT(whole);
        (void)whole;
        return word;
}

static struct command_cursor command_walk(const struct command *command, uint32_t from)
{
        struct command_cursor cursor = {.command = command, .next = from};

        if (command->resp.len > 0) {
                cursor.rest = mt_bytes(command->resp.ptr + command->resp_tail, command->resp.len - command->resp_tail);
                for (cursor.next = command->ntoken < from ? command->ntoken : from; cursor.next < from;)
                        command_next(&cursor);
        }
        return cursor;
}

struct mt_bytes command_word(const struct command *command, uint32_t i)
{
        struct command_cursor cursor;

        if (MT_LIKELY(i < command->ntoken))
                return command->token[i];
        cursor = command_walk(command, i);
        return command_next(&cursor);
}

/* ------------------------------------------------------------------------------------------------------------ keys */

static bool command_keys_range(const struct command *command, command_key_f *f, void *arg)
{
        const struct command_row *row = command->row;
        int64_t                   argc = command->argc;
        int64_t                   last = row->last < 0 ? argc + row->last : row->last;
        struct command_cursor     cursor;

        if (row->first == 0)
                return true;
        if (last < row->first || last >= argc)
                return false;
        cursor = command_walk(command, (uint32_t)row->first);
        for (int64_t i = row->first; i <= last; i++) {
                struct mt_bytes word = command_next(&cursor);

                if ((i - row->first) % row->step == 0)
                        f(arg, word);
        }
        return true;
}

static bool command_keys_numbered(const struct command *command, command_key_f *f, void *arg)
{
        const struct command_row *row = command->row;
        struct command_cursor     cursor;
        uint32_t                  first = (uint32_t)row->first, step = (uint32_t)row->step, n;

        if (command->argc <= first || !resp_parse_number(command_word(command, first), &n) ||
            n > (command->argc - first - 1) / step)
                return false;
        if (row->last != 0)
                f(arg, command_word(command, (uint32_t)row->last));
        cursor = command_walk(command, first + 1);
        for (uint32_t i = 0; i < n * step; i++) {
                struct mt_bytes word = command_next(&cursor);

                if (i % step == 0)
                        f(arg, word);
        }
        return true;
}

/* XREADGROUP GROUP g consumer [COUNT n] [BLOCK ms] [CLAIM ms] [NOACK] STREAMS key... id...: groups and consumers may be
 * named like options, so each option is stepped over with its words. */
static bool command_keys_streams(const struct command *command, command_key_f *f, void *arg)
{
        static const struct {
                const char *name;
                uint32_t    words;
        } options[] = {{"GROUP", 2}, {"COUNT", 1}, {"BLOCK", 1}, {"CLAIM", 1}, {"NOACK", 0}, {"STREAMS", 0}};
        enum { STREAMS = sizeof options / sizeof options[0] - 1 };
        struct command_cursor cursor = command_walk(command, 1);
        uint32_t              option = 0, left;

        while (option != STREAMS) {
                struct mt_bytes word;

                if (cursor.next >= command->argc)
                        return false;
                word = command_next(&cursor);
                for (option = 0; option <= STREAMS && !command_name_is(word, options[option].name); option++)
                        ;
                if (option > STREAMS)
                        return false;
                for (uint32_t skip = options[option].words; skip > 0 && cursor.next < command->argc; skip--)
                        command_next(&cursor);
        }
        left = command->argc - cursor.next;
        for (uint32_t i = 0; i < left / 2; i++)
                f(arg, command_next(&cursor));
        return left > 0 && left % 2 == 0;
}

/* SORT and GEORADIUS: what looks like STORE may be the pattern of a BY or GET; a word is cleared for nothing then. */
static bool command_keys_store(const struct command *command, command_key_f *f, void *arg)
{
        uint32_t              first = (uint32_t)command->row->first;
        struct command_cursor cursor;
        bool                  is_target = true;

        if (command->argc <= first)
                return false;
        for (cursor = command_walk(command, first); cursor.next < command->argc;) {
                struct mt_bytes word = command_next(&cursor);

                if (is_target)
                        f(arg, word);
                is_target = command_name_is(word, "STORE") || command_name_is(word, "STOREDIST");
        }
        return true;
}

/* MIGRATE host port key|"" db timeout [options] [KEYS key...]: a password that reads KEYS makes keys of what follows
 * it. */
static bool command_keys_migrate(const struct command *command, command_key_f *f, void *arg)
{
        uint32_t              first = (uint32_t)command->row->first;
        struct command_cursor cursor;
        bool                  is_key = false;

        if (command->argc <= first + 2)
                return false;
        if (command_word(command, first).len > 0) {
                f(arg, command_word(command, first));
                return true;
        }
        for (cursor = command_walk(command, first + 3); cursor.next < command->argc;) {
                struct mt_bytes word = command_next(&cursor);

                if (is_key)
                        f(arg, word);
                is_key = is_key || command_name_is(word, "KEYS");
        }
        return is_key;
}

bool command_each_key(const struct command *command, command_key_f *f, void *arg)
{
        static bool (*const finders[])(const struct command *, command_key_f *, void *) = {
                [COMMAND_KEYS_RANGE] = command_keys_range,     [COMMAND_KEYS_NUMBERED] = command_keys_numbered,
                [COMMAND_KEYS_STREAMS] = command_keys_streams, [COMMAND_KEYS_STORE] = command_keys_store,
                [COMMAND_KEYS_MIGRATE] = command_keys_migrate,
        };

        if (command->class != COMMAND_WRITE && command->class != COMMAND_SCRIPT)
                return true;
        return finders[command->row->keys](command, f, arg);
}

/* --------------------------------------------------------------------------------------------------------- parsers */

enum command_parse command_from_format(struct command *command, const char *format, va_list ap)
{
        enum command_parse parse = format_words(command, format, ap);

        if (parse != COMMAND_OK)
                return parse;
        command->argv = NULL;
        command->argvlen = NULL;
        command->resp = mt_bytes(NULL, 0);
        return command_classify(command);
}

enum command_parse command_from_argv(struct command *command, int argc, const char **argv, const size_t *argvlen)
{
        if (argc <= 0 || !argv)
                return COMMAND_MALFORMED;
        command->argc = (uint32_t)argc;
        command->ntoken = command->argc < COMMAND_TOKENS_MAX ? command->argc : COMMAND_TOKENS_MAX;
        command->argv = argv;
        command->argvlen = argvlen;
        command->resp = mt_bytes(NULL, 0);
        for (uint32_t i = 0; i < command->ntoken; i++) {
                if (!argv[i] && (!argvlen || argvlen[i] > 0))
                        return COMMAND_MALFORMED;
                command->token[i] = command_argv_word(command, i);
        }
        return command_classify(command);
}

/* The words beyond the tokens are only found whole here, and taken again when somebody asks for them. */
enum command_parse command_from_resp(struct command *command, struct mt_bytes resp, size_t *used)
{
        struct mt_bytes rest = resp, word;

        if (!resp_take_count(&rest, &command->argc) || command->argc == 0)
                return COMMAND_MALFORMED;
        command->ntoken = command->argc < COMMAND_TOKENS_MAX ? command->argc : COMMAND_TOKENS_MAX;
        for (uint32_t i = 0; i < command->argc; i++) {
                if (i == command->ntoken)
                        command->resp_tail = resp.len - rest.len;
                if (!resp_take_word(&rest, i < command->ntoken ? &command->token[i] : &word))
                        return COMMAND_MALFORMED;
        }
        if (command->argc == command->ntoken)
                command->resp_tail = resp.len - rest.len;
        command->argv = NULL;
        command->argvlen = NULL;
        *used = resp.len - rest.len;
        command->resp = mt_bytes(resp.ptr, *used);
        return command_classify(command);
}

bool command_get_argv(int argc, const char **argv, const size_t *argvlen, struct mt_bytes *key)
{
        const char *verb, *word;

        if (argc != 2 || !argv[0] || !argv[1] || (argvlen && argvlen[0] != 3))
                return false;
        verb = argv[0];
        word = argv[1];
        if ((verb[0] | 0x20) != 'g' || (verb[1] | 0x20) != 'e' || (verb[2] | 0x20) != 't' ||
            (!argvlen && verb[3] != '\0'))
                return false;
        *key = mt_bytes(word, argvlen ? argvlen[1] : strlen(word));
        return true;
}
