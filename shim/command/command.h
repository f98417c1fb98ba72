/* command.h - what is asked: tokens without copies, the class and the keys of every Redis command. Knows RESP and
 * hiredis' format language, nothing of connections. Pure functions; thread-safe; allocate nothing. */
#ifndef MT_COMMAND_H
#define MT_COMMAND_H

#include "../../l1/base/bytes.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

/* What a command does to a connection or to keys, as far as we must know. Rows of commands.def. */
enum command_class {
        COMMAND_UNKNOWN, /* not in the table, a module's, or malformed: may write anything, may change the session */
        COMMAND_READ,    /* writes nothing, changes nothing of the session */
        COMMAND_WRITE,   /* writes the keys that it names (all of them are cleared, read ones too: harmless) */
        COMMAND_SCRIPT,  /* EVAL, EVALSHA, FCALL: numkeys, then keys; may write others: keys are cleared, barrier set */
        COMMAND_OPAQUE,  /* may write, keys not known from its words (e.g. DEBUG, FUNCTION RESTORE): barrier set */
        COMMAND_GET,     /* GET with exactly one key */
        COMMAND_SELECT,
        COMMAND_AUTH,
        COMMAND_HELLO,
        COMMAND_RESET,
        COMMAND_MULTI,
        COMMAND_EXEC,
        COMMAND_DISCARD,
        COMMAND_WATCH,
        COMMAND_UNWATCH,
        COMMAND_SUBSCRIBE, /* any of the family, UNSUBSCRIBE too: one command, any number of replies */
        COMMAND_MONITOR,   /* MONITOR, SYNC, PSYNC, REPLCONF: the stream is no longer request and reply */
        COMMAND_CLIENT_REPLY,
        COMMAND_CLIENT_TRACKING, /* CLIENT TRACKING and CLIENT CACHING */
        COMMAND_CLIENT_NO_TOUCH, /* CLIENT NO-TOUCH, NO-EVICT: forwarded, served as before */
        COMMAND_FLUSHDB,
        COMMAND_FLUSHALL,
        COMMAND_SWAPDB, /* flush: database, server, server */
        COMMAND_QUIT,
        COMMAND_RIGHTS,   /* ACL SETUSER and the like, CONFIG SET: may change who may read what */
        COMMAND_ANNOUNCE, /* none of the program's: what announce.c appends */
};

/* The words of one command. Tokens point into the program's own arguments, into the format string, or into scratch. Not
 * initialised by whoever declares one (it is 1.6 KB): each of the three parsers below fills what it needs. */
enum { COMMAND_TOKENS_MAX = 32, COMMAND_SCRATCH = 1024 };
struct command_row;
struct command {
        enum command_class class;
        const struct command_row *row;    /* NULL: not in the table */
        uint32_t                  argc;   /* of the whole command: may exceed COMMAND_TOKENS_MAX */
        uint32_t                  ntoken; /* tokens present in token[]: min(argc, COMMAND_TOKENS_MAX) */
        struct mt_bytes           token[COMMAND_TOKENS_MAX];
        /* Where the words beyond ntoken are: */
        const char    **argv; /* redisCommandArgv's own arrays, or NULL */
        const size_t   *argvlen;
        struct mt_bytes resp;      /* or the RESP bytes of this command, or empty */
        size_t          resp_tail; /* where in them word ntoken begins */
        char            scratch[COMMAND_SCRATCH];
};

enum command_parse {
        COMMAND_OK,
        /* a format that we do not follow (floats, very long or very many words): let hiredis format it, and parse that
         * by command_from_resp(); hiredis may still refuse it */
        COMMAND_FORMAT,
        /* hiredis will refuse it, or no words at all, or RESP that is no command: forward and doubt */
        COMMAND_MALFORMED,
};

/* hiredis' format language: ' ' alone separates; tab, newline and quotes are literal; %% ; %s and %b; adjacent
 * pieces join into one word; integer conversions. ap is a copy made by the caller (va_copy): it is consumed. Zero-copy
 * where a word is one piece; joined words and numbers go to command->scratch. Then classifies. */
enum command_parse command_from_format(struct command *command, const char *format, va_list ap);
/* argvlen NULL: strlen of each. argc <= 0 is MALFORMED. So are NULL words, unless argvlen says 0: hiredis sends it. */
enum command_parse command_from_argv(struct command *command, int argc, const char **argv, const size_t *argvlen);
/* One command from the head of resp; *used says how many bytes it took (several may follow). Inline commands, a command
 * of no words and one that is not whole are MALFORMED. Points into resp. */
enum command_parse command_from_resp(struct command *command, struct mt_bytes resp, size_t *used);

/* Overwrite the words in scratch of a command that one of the parsers has filled in: no token of it is used any more.
 */
void command_wipe(const struct command *command);

/* Word i < argc of the command, wherever it is (slow beyond COMMAND_TOKENS_MAX for RESP). */
struct mt_bytes command_word(const struct command *command, uint32_t i);

/* The keys that a WRITE or SCRIPT command names, in order; f is called for each, and perhaps for a word that is no key:
 * clearing too much is harmless. False: the keys cannot be told (bad numkeys, wrong arity): treat as OPAQUE, whatever f
 * was called for before. Commands of other classes name none. */
typedef void command_key_f(void *arg, struct mt_bytes key);

bool command_each_key(const struct command *command, command_key_f *f, void *arg);

/* Is it only GET? The quick look of the hit path, for a format string: true when the format is GET, in any case and
 * with any runs of spaces, and one more word ("GET %s", "GET %b", "GET literal", "GET pre:%s:%d"). *key is then that
 * word (in the program's argument, in the format or in scratch). False says nothing: "%s %s" may be a GET too. Takes
 * its own va_copy inside: ap is not consumed. */
bool command_get_format(const char *format, va_list ap, struct mt_bytes *key, char scratch[COMMAND_SCRATCH]);

/* The commonest of all, "GET %s": told by its bytes each time, since a format may stand on the stack, where another
 * follows at the same address. */
static inline bool command_get_plain(const char *format)
{
        return format[0] == 'G' && format[1] == 'E' && format[2] == 'T' && format[3] == ' ' && format[4] == '%' &&
               format[5] == 's' && format[6] == '\0';
}

/* The same for argv: argc == 2 and the verb is GET in any case. */
bool command_get_argv(int argc, const char **argv, const size_t *argvlen, struct mt_bytes *key);

/* Does it begin with the verb of a command that only reads, whatever its other words are? The quick look for what is
 * passed on: no more of it need be known. False says nothing. */
bool command_reads_format(const char *format);
bool command_reads_argv(int argc, const char **argv, const size_t *argvlen);

/* The row of a verb, or of its sub-command where there is one; NULL when not in the table. Case does not count. A
 * sub-command that is not in the table has the row of its container. */
struct command_row {
        /* upper case, sub-command after '|'; in the row itself: pointers would be relocated, three pages of them, in
         * every program that is preloaded */
        char name[32];
        enum command_class class;
        /* see the key finders in command.c; COMMAND_KEYS_RANGE: as COMMAND says */
        int16_t first, last, step;
        /* enum command_keys in command.c: how the keys are found */
        uint8_t keys;
};
const struct command_row *command_find(struct mt_bytes verb, struct mt_bytes subcommand);

extern const struct command_row command_rows[];
extern const unsigned           command_row_count;

#endif
