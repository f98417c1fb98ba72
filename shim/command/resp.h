/* resp.h - requests as they stand on the wire: "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n". Strict: what a client library would
 * not write (leading zeros, a bare newline, inline commands) is not taken. Pure; nothing is read beyond the bytes
 * given. */
#ifndef MT_COMMAND_RESP_H
#define MT_COMMAND_RESP_H

#include "../../l1/base/bytes.h"

/* Take "*N\r\n", or "$len\r\n...\r\n", from the head of *rest. False: it is not there, or not whole. */
bool resp_take_count(struct mt_bytes *rest, uint32_t *count);
bool resp_take_word(struct mt_bytes *rest, struct mt_bytes *word);

/* Decimal digits of a number below 2^31, as Redis' own parser wants them. */
bool resp_parse_number(struct mt_bytes text, uint32_t *number);

#endif
