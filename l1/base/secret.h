/* secret.h - a password that a user has put into a file. */
#ifndef MT_BASE_SECRET_H
#define MT_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* The first line of the file without its newline; any bytes, no NUL behind them. False: no such file, not a plain one,
 * or longer than `room`; then `to` holds nothing of it. Whoever has the line wipes it after use. Thread-safe. */
bool secret_read_line(const char *path, char *to, size_t room, size_t *len);

#endif
