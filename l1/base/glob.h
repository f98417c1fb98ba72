/* glob.h - Redis' glob patterns: * ? [a-z] [^x] \x, byte by byte, case counts. As KEYS and PSUBSCRIBE match, quirks
 * included, with one exception: stars alone match the empty key too. Pure; at most pattern x string steps. */
#ifndef MT_BASE_GLOB_H
#define MT_BASE_GLOB_H

#include "bytes.h"

bool glob_match(struct mt_bytes pattern, struct mt_bytes string);

/* How many bytes at the head of the pattern stand for themselves: no star, question mark, class, escape among them. */
size_t glob_literal_prefix(struct mt_bytes pattern);
/* A pattern that matches this string alone, in the room given; ptr NULL: it does not fit. */
struct mt_bytes glob_literal(struct mt_bytes string, char *room, size_t size);

#endif
