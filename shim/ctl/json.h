/* json.h - a writer of JSON to a stdio stream: commas, indentation and escapes, nothing else.
 * The caller balances begin and end. Strings may be any bytes: what is not UTF-8 becomes U+FFFD. */
#ifndef MT_CTL_JSON_H
#define MT_CTL_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
        FILE    *out;
        unsigned depth;
        bool     empty; /* nothing has been written yet in the innermost object or array */
};

void json_init(struct json *j, FILE *out);
/* Ends the document with a newline. False when something could not be written. */
bool json_end(struct json *j);

/* name NULL: a value without a name (the document itself, an element of an array). */
void json_object_begin(struct json *j, const char *name);
void json_object_end(struct json *j);
void json_array_begin(struct json *j, const char *name);
void json_array_end(struct json *j);
void json_number(struct json *j, const char *name, uint64_t value);
void json_bool(struct json *j, const char *name, bool value);
void json_string(struct json *j, const char *name, const char *value);

#endif
