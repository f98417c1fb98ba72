/* options.c - three layers, one table. Each value goes through options_take(), whoever brings it, so that a bad one is
 * told in the same words everywhere and leaves the layer below in force. */
#include "options.h"

#include "log.h"
#include "units.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

const struct option_row option_rows[OPTION_COUNT] = {
#define OPTION(name, kind, field, initial, limits, sentence)                                                           \
        {#name, KIND_##kind, initial, limits, sentence, offsetof(struct options, field)},
#include "options.def"
#undef OPTION
};

/* Names that the documentation of the whole product has and this version does not. */
static const char *const options_later[] = {
        "verify_server",
};

enum { OPTIONS_FILE_MAX = 64 * 1024, OPTIONS_PROGRAM_MAX = 8 * 1024, OPTIONS_QUOTE_MAX = 200 };
static const char options_prefix[] = "MTSHIM_";

/* Where a value comes from, for the line about it. */
struct options_source {
        enum option_origin origin;
        const char        *file;
        unsigned           line;
};

/* Lines of the log's own options come first, so that all others go where the user wants them. */
enum options_pass { PASS_LOG, PASS_REST };

static enum options_pass options_pass_of(int id)
{
        return id == OPTION_log || id == OPTION_log_level ? PASS_LOG : PASS_REST;
}

/* ----------------------------------------------------------------------------------------------------------- names */

static bool options_name_is(struct mt_bytes name, const char *row)
{
        size_t i = 0;

        for (; i < name.len && row[i] != '\0'; i++) {
                char c = name.ptr[i] == '-' ? '_' : (char)tolower((unsigned char)name.ptr[i]);

                if (c != row[i])
                        return false;
        }
        return i == name.len && row[i] == '\0';
}

static struct mt_bytes options_without_prefix(struct mt_bytes name)
{
        size_t n = sizeof options_prefix - 1;

        if (name.len > n && strncasecmp(name.ptr, options_prefix, n) == 0)
                return mt_bytes(name.ptr + n, name.len - n);
        return name;
}

int options_find(struct mt_bytes name)
{
        name = options_without_prefix(name);
        for (int id = 0; id < OPTION_COUNT; id++)
                if (options_name_is(name, option_rows[id].name))
                        return id;
        return -1;
}

void options_variable(enum option_id id, char out[OPTION_VARIABLE_MAX])
{
        const char *name = option_rows[id].name;
        size_t      n = sizeof options_prefix - 1;

        memcpy(out, options_prefix, n);
        while (*name != '\0' && n + 1 < OPTION_VARIABLE_MAX)
                out[n++] = (char)toupper((unsigned char)*name++);
        out[n] = '\0';
}

/* ------------------------------------------------------------------------------------------------------ complaints */

static int options_quote_len(struct mt_bytes text)
{
        return (int)(text.len < OPTIONS_QUOTE_MAX ? text.len : OPTIONS_QUOTE_MAX);
}

/* " (/etc/mtshim.conf, line 3)", or nothing for the environment. */
static const char *options_where(const struct options_source *source, char out[OPTIONS_QUOTE_MAX + 32])
{
        out[0] = '\0';
        if (source->file)
                snprintf(out, OPTIONS_QUOTE_MAX + 32, " (%.*s, line %u)", OPTIONS_QUOTE_MAX, source->file,
                         source->line);
        return out;
}

static MT_COLD void options_bad_value(struct options *options, enum option_id id, struct mt_bytes value,
                                      const struct options_source *source, const char *why)
{
        char variable[OPTION_VARIABLE_MAX], where[OPTIONS_QUOTE_MAX + 32], used[OPTIONS_QUOTE_MAX];

        options_variable(id, variable);
        options_format(options, id, used, sizeof used);
        log_line(LOG_WARN, "%s='%.*s'%s is %s; '%s' is used", variable, options_quote_len(value), value.ptr,
                 options_where(source, where), why, used);
        options->complained = true;
}

static MT_COLD void options_bad_name(struct options *options, struct mt_bytes name, const struct options_source *source)
{
        char            where[OPTIONS_QUOTE_MAX + 32];
        struct mt_bytes bare = options_without_prefix(name);
        const char     *why = "is no option, ignored";

        for (size_t i = 0; i < sizeof options_later / sizeof options_later[0]; i++)
                if (options_name_is(bare, options_later[i]))
                        why = "is not in this version, ignored";
        log_line(LOG_WARN, "%.*s%s %s", options_quote_len(name), name.ptr, options_where(source, where), why);
        options->complained = true;
}

static void options_bad_rule(void *arg, struct mt_bytes rule, const char *why)
{
        struct options *options = arg;

        log_line(LOG_WARN, "MTSHIM_RULES: '%.*s' is skipped: %s", options_quote_len(rule), rule.ptr, why);
        options->complained = true;
}

/* ---------------------------------------------------------------------------------------------------------- values */

/* The place of the word among "a|b|c", or -1. */
static int options_parse_word(struct mt_bytes value, const char *words)
{
        for (int place = 0;; place++) {
                size_t len = strcspn(words, "|");

                if (mt_bytes_equal(value, mt_bytes(words, len)))
                        return place;
                if (words[len] == '\0')
                        return -1;
                words += len + 1;
        }
}

/* "2M..1T": the limits are written in the unit of the value and read by the same parser. */
static bool options_parse_number(const struct option_row *row, struct mt_bytes value, uint64_t *number)
{
        bool (*parse)(struct mt_bytes, uint64_t *) = row->kind == KIND_time      ? units_parse_duration
                                                     : row->kind == KIND_decimal ? units_parse_decimal
                                                                                 : units_parse_size;
        const char *dots = strstr(row->limits, "..");
        uint64_t    parsed, low, high;

        if (!parse(value, &parsed) || !parse(mt_bytes(row->limits, (size_t)(dots - row->limits)), &low) ||
            !parse(mt_bytes_of(dots + 2), &high) || parsed < low || parsed > high)
                return false;
        *number = parsed;
        return true;
}

static bool options_parse_string(struct mt_bytes value, char *out, size_t room)
{
        if (value.len >= room || memchr(value.ptr, '\0', value.len))
                return false;
        memcpy(out, value.ptr, value.len);
        out[value.len] = '\0';
        return true;
}

static bool options_parse_name(struct mt_bytes value, char *out, size_t room)
{
        for (size_t i = 0; i < value.len; i++)
                if (!isalnum((unsigned char)value.ptr[i]) && !memchr("._-", value.ptr[i], 3))
                        return false;
        return options_parse_string(value, out, room);
}

static bool options_parse_key(struct mt_bytes value, char *out)
{
        return value.len > 0 && options_parse_string(value, out, sizeof(option_key));
}

/* Into the field; NULL, or what the value is instead of good. */
static const char *options_parse(struct options *options, const struct option_row *row, struct mt_bytes value)
{
        void *field = (char *)options + row->offset;
        int   place;

        switch (row->kind) {
        case KIND_flag:
        case KIND_word:
                place = options_parse_word(value, row->limits);
                if (place < 0)
                        return "not one of";
                if (row->kind == KIND_flag)
                        *(option_flag *)field = place == 1;
                else
                        *(option_word *)field = (option_word)place;
                return NULL;
        case KIND_size: return options_parse_number(row, value, field) ? NULL : "not a size within";
        case KIND_time: return options_parse_number(row, value, field) ? NULL : "not a duration within";
        case KIND_count:
        case KIND_decimal: return options_parse_number(row, value, field) ? NULL : "not a number within";
        case KIND_key: return options_parse_key(value, field) ? NULL : "not of";
        case KIND_name: return options_parse_name(value, field, sizeof(option_name)) ? NULL : "not";
        case KIND_text: return options_parse_string(value, field, sizeof(option_text)) ? NULL : "longer than";
        case KIND_path: return options_parse_string(value, field, sizeof(option_path)) ? NULL : "longer than";
        case KIND_rules: rules_parse(field, value, options_bad_rule, options); return NULL;
        }
        return "of no kind";
}

static void options_take(struct options *options, enum option_id id, struct mt_bytes value,
                         const struct options_source *source)
{
        const struct option_row *row = &option_rows[id];
        const char              *bad = options_parse(options, row, value);
        char                     why[96];

        if (bad) {
                snprintf(why, sizeof why, "%s %s", bad, row->limits);
                options_bad_value(options, id, value, source, why);
        } else {
                options->origin[id] = (uint8_t)source->origin;
        }
}

int options_format(const struct options *options, enum option_id id, char *out, size_t n)
{
        const struct option_row *row = &option_rows[id];
        const void              *field = (const char *)options + row->offset;
        const char              *word = row->limits;
        char                     number[UNITS_TEXT_MAX];

        switch (row->kind) {
        case KIND_flag: return snprintf(out, n, "%d", *(const option_flag *)field);
        case KIND_word:
                for (unsigned place = *(const option_word *)field; place > 0; place--)
                        word += strcspn(word, "|") + 1;
                return snprintf(out, n, "%.*s", (int)strcspn(word, "|"), word);
        case KIND_size: units_format_size(*(const option_size *)field, number); return snprintf(out, n, "%s", number);
        case KIND_time:
                units_format_duration(*(const option_time *)field, number);
                return snprintf(out, n, "%s", number);
        case KIND_decimal:
                units_format_decimal(*(const option_decimal *)field, number);
                return snprintf(out, n, "%s", number);
        case KIND_rules: return rules_format(field, out, n);
        case KIND_count: return snprintf(out, n, "%llu", (unsigned long long)*(const option_count *)field);
        case KIND_name:
        case KIND_text:
        case KIND_key:
        case KIND_path: break;
        }
        return snprintf(out, n, "%s", (const char *)field);
}

/* ---------------------------------------------------------------------------------------------------------- layers */

/* Through the same door as the others: a default that its own row refuses is a line at the first start. */
static void options_load_defaults(struct options *options)
{
        struct options_source source = {.origin = ORIGIN_DEFAULT};

        memset(options, 0, sizeof *options);
        for (int id = 0; id < OPTION_COUNT; id++)
                options_take(options, (enum option_id)id, mt_bytes_of(option_rows[id].initial), &source);
}

static void options_load_file_line(struct options *options, struct mt_bytes line, const struct options_source *source,
                                   enum options_pass pass)
{
        const char     *equals;
        struct mt_bytes name = units_trim(line), value = {0};
        int             id;

        if (name.len == 0 || name.ptr[0] == '#')
                return;
        equals = memchr(name.ptr, '=', name.len);
        if (equals) {
                value = units_trim(mt_bytes(equals + 1, name.len - (size_t)(equals + 1 - name.ptr)));
                name = units_trim(mt_bytes(name.ptr, (size_t)(equals - name.ptr)));
        }
        id = equals ? options_find(name) : -1;
        if (id < 0 || id == OPTION_conf) {
                if (pass == PASS_REST)
                        options_bad_name(options, name, source);
        } else if (options_pass_of(id) == pass && value.len > 0) {
                options_take(options, (enum option_id)id, value, source);
        }
}

static void options_load_text(struct options *options, struct mt_bytes text, struct options_source source,
                              enum options_pass pass)
{
        while (text.len > 0) {
                const char *end = memchr(text.ptr, '\n', text.len);
                size_t      len = end ? (size_t)(end - text.ptr) : text.len;

                source.line++;
                options_load_file_line(options, mt_bytes(text.ptr, len), &source, pass);
                len += end != NULL;
                text.ptr += len;
                text.len -= len;
        }
}

static void options_load_file(struct options *options, struct mt_bytes text, enum options_pass pass)
{
        options_load_text(options, text, (struct options_source){.origin = ORIGIN_FILE, .file = options->conf}, pass);
}

/* What the program has said, as lines of a file. */
static struct {
        char   text[OPTIONS_PROGRAM_MAX];
        size_t len;
} options_said;

const char *options_program(struct mt_bytes name, struct mt_bytes value)
{
        static struct options scratch; /* too large for a stack that may be small */
        int                   id = options_find(name);
        const char           *bad;

        name = options_without_prefix(name);
        value = units_trim(value);
        if (id < 0 || id == OPTION_conf)
                return "is no option that a program may set";
        if (value.len == 0 || (value.len != 0 && memchr(value.ptr, '\n', value.len) != NULL))
                return "is empty, or has more than one line";
        bad = options_parse(&scratch, &option_rows[id], value);
        if (bad != NULL)
                return bad;
        if (name.len + value.len + 3 > OPTIONS_PROGRAM_MAX - options_said.len)
                return "is too much";
        memcpy(options_said.text + options_said.len, name.ptr, name.len);
        options_said.text[options_said.len + name.len] = '=';
        memcpy(options_said.text + options_said.len + name.len + 1, value.ptr, value.len);
        options_said.len += name.len + value.len + 2;
        options_said.text[options_said.len - 1] = '\n';
        return NULL;
}

static void options_load_program(struct options *options, enum options_pass pass)
{
        options_load_text(options, mt_bytes(options_said.text, options_said.len),
                          (struct options_source){.origin = ORIGIN_PROGRAM, .file = "mtshim_configure()"}, pass);
}

static void options_load_environment(struct options *options, enum options_pass pass)
{
        struct options_source source = {.origin = ORIGIN_ENVIRONMENT};
        char                  variable[OPTION_VARIABLE_MAX];

        for (int id = 0; id < OPTION_COUNT; id++) {
                const char *value;

                if (id == OPTION_conf || options_pass_of(id) != pass)
                        continue;
                options_variable((enum option_id)id, variable);
                value = secure_getenv(variable);
                if (value && value[0] != '\0')
                        options_take(options, (enum option_id)id, mt_bytes_of(value), &source);
        }
}

static void options_check_environment(struct options *options)
{
        struct options_source source = {.origin = ORIGIN_ENVIRONMENT};
        char                  variable[OPTION_VARIABLE_MAX];

        if (getauxval(AT_SECURE))
                return;
        for (char **entry = environ; entry && *entry; entry++) {
                struct mt_bytes name = mt_bytes(*entry, strcspn(*entry, "="));
                int             id;

                if (strncmp(*entry, options_prefix, sizeof options_prefix - 1) != 0)
                        continue;
                id = options_find(name);
                if (id >= 0) /* getenv() knows only the one spelling */
                        options_variable((enum option_id)id, variable);
                if (id < 0 || !mt_bytes_equal(name, mt_bytes_of(variable)))
                        options_bad_name(options, name, &source);
        }
}

/* O_NONBLOCK: a FIFO in its place must not stop the program; it is refused with everything that is no regular file. */
static struct mt_bytes options_read_file(struct options *options, const char **why)
{
        static char buffer[OPTIONS_FILE_MAX + 1];
        size_t      len = 0;
        ssize_t     got = 0;
        struct stat st;
        int         fd = open(options->conf, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

        if (fd < 0) {
                *why = "cannot be opened";
                return mt_bytes(NULL, 0);
        }
        if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
                *why = "is not a regular file";
        } else {
                while (len < sizeof buffer && (got = read(fd, buffer + len, sizeof buffer - len)) > 0)
                        len += (size_t)got;
                if (got < 0)
                        *why = "cannot be read";
                else if (len > OPTIONS_FILE_MAX)
                        *why = "is longer than 64K";
        }
        close(fd);
        return mt_bytes(buffer, *why ? 0 : len);
}

static struct mt_bytes options_open_conf(struct options *options, const char **why)
{
        struct options_source source = {.origin = ORIGIN_ENVIRONMENT};
        const char           *path = secure_getenv("MTSHIM_CONF");

        if (!path || path[0] == '\0')
                return mt_bytes(NULL, 0);
        options_take(options, OPTION_conf, mt_bytes_of(path), &source);
        return options->conf[0] ? options_read_file(options, why) : mt_bytes(NULL, 0);
}

/* An item must leave room for others: what is larger than an eighth of L1 would only push them out. */
static void options_settle(struct options *options)
{
        uint64_t most = options->l1_size_bytes / 8;
        char     is[UNITS_TEXT_MAX], used[UNITS_TEXT_MAX];

        if (options->l1_max_item_bytes > most) {
                units_format_size(options->l1_max_item_bytes, is);
                units_format_size(most, used);
                if (options->origin[OPTION_l1_max_item] != ORIGIN_DEFAULT)
                        log_line(LOG_WARN,
                                 "MTSHIM_L1_MAX_ITEM='%s' is more than an eighth of MTSHIM_L1_SIZE; '%s' is used", is,
                                 used);
                options->l1_max_item_bytes = most;
        }
        if ((options->tls_cert_file[0] != '\0') != (options->tls_key_file[0] != '\0')) {
                log_line(LOG_WARN, "MTSHIM_TLS_CERT_FILE and MTSHIM_TLS_KEY_FILE belong together: '%s' is not used",
                         options->tls_cert_file[0] != '\0' ? options->tls_cert_file : options->tls_key_file);
                options->tls_cert_file[0] = options->tls_key_file[0] = '\0';
                options->complained = true;
        }
        if (options->abort_conf && options->complained) {
                options->refused = true;
                log_line(LOG_ERROR, "MTSHIM_ABORT_CONF=1 and an option is bad: nothing is cached");
        }
}

void options_load(struct options *options)
{
        int             saved = errno;
        const char     *why = NULL;
        struct mt_bytes file;

        options_load_defaults(options);
        options_load_program(options, PASS_LOG);
        file = options_open_conf(options, &why);
        options_load_file(options, file, PASS_LOG);
        options_load_environment(options, PASS_LOG);
        log_configure((enum log_level)options->log_level, options->log);
        if (why) {
                log_line(LOG_WARN, "MTSHIM_CONF='%s' %s, ignored", options->conf, why);
                options->complained = true;
        }
        options_load_program(options, PASS_REST);
        options_load_file(options, file, PASS_REST);
        options_load_environment(options, PASS_REST);
        options_check_environment(options);
        options_settle(options);
        errno = saved;
}
