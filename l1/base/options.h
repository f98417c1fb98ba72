/* options.h - what the user asked for. The environment goes before the file named by MTSHIM_CONF, that before what the
 * program itself has said (the C interface), and that before the defaults; a bad value is named in one line and
 * whatever held before it goes on holding. Allocates nothing. */
#ifndef MT_BASE_OPTIONS_H
#define MT_BASE_OPTIONS_H

#include "bytes.h"
#include "rules.h"

#include <limits.h>

typedef bool         option_flag;
typedef unsigned     option_word;
typedef uint64_t     option_size;
typedef uint64_t     option_time;
typedef uint64_t     option_count;
typedef uint64_t     option_decimal; /* millionths */
typedef char         option_name[64];
typedef char         option_text[256];
typedef char         option_key[256];
typedef char         option_path[PATH_MAX];
typedef struct rules option_rules;

enum option_kind {
        KIND_flag,
        KIND_word,
        KIND_size,
        KIND_time,
        KIND_count,
        KIND_decimal,
        KIND_name,
        KIND_text,
        KIND_key,
        KIND_path,
        KIND_rules
};

enum option_id {
#define OPTION(name, kind, field, initial, limits, sentence) OPTION_##name,
#include "options.def"
#undef OPTION
        OPTION_COUNT
};

enum option_origin { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ENVIRONMENT, ORIGIN_PROGRAM };

struct options {
#define OPTION(name, kind, field, initial, limits, sentence) option_##kind field;
#include "options.def"
#undef OPTION
        uint8_t origin[OPTION_COUNT]; /* enum option_origin */
        bool    complained;           /* something was bad, and has had its line */
        bool    refused;              /* ... and MTSHIM_ABORT_CONF=1: cache nothing */
};
/* invalidation, invalidation_fallback, stampede, tls, tls_verify and log_level hold values of enum invalidation_mode,
 * invalidation_fallback, stampede, invalidation_tls_use, invalidation_tls_verify and log_level: the words stand in that
 * order. */

struct option_row {
        const char      *name; /* as in the file; MTSHIM_ and upper case in the environment */
        enum option_kind kind;
        const char      *initial, *limits, *sentence;
        size_t           offset;
};
extern const struct option_row option_rows[OPTION_COUNT];

/* Once per process: it has one buffer for the file. A set-uid program's environment is not looked at. Points the log
 * where the options say. */
void options_load(struct options *options);

/* For the next options_load(): an option as the file has it. NULL, or what is wrong with it: then nothing is
 * remembered. Not thread-safe. */
const char *options_program(struct mt_bytes name, struct mt_bytes value);

/* The value in force, as it would be written in the file; like snprintf. Never a password: only its file's name. */
int options_format(const struct options *options, enum option_id id, char *out, size_t n);

/* "l1_size", "L1-SIZE", "MTSHIM_L1_SIZE" -> OPTION_l1_size; -1 when there is no such option. */
int options_find(struct mt_bytes name);
enum { OPTION_VARIABLE_MAX = 32 };
/* OPTION_l1_size -> "MTSHIM_L1_SIZE" */
void options_variable(enum option_id id, char out[OPTION_VARIABLE_MAX]);

#endif
