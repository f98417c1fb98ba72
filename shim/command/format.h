/* format.h - hiredis' format language; private to this room. */
#ifndef MT_COMMAND_FORMAT_H
#define MT_COMMAND_FORMAT_H

#include "command.h"

/* The words of a format into command's tokens, with argc and ntoken; nothing else is touched but scratch. Whether ap is
 * consumed is not said. */
enum command_parse format_words(struct command *command, const char *format, va_list ap);

#endif
