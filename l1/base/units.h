/* units.h - sizes, durations and numbers as people write them: "64M", "300s". Pure; errno kept. */
#ifndef MT_BASE_UNITS_H
#define MT_BASE_UNITS_H

#include "bytes.h"
#include "clock.h"

enum { UNITS_TEXT_MAX = 32 };

/* Without the blanks at both ends. */
struct mt_bytes units_trim(struct mt_bytes text);

/* False: not a number of that kind, or beyond 63 bits. Size: a number and none or one of B K M G T P E (binary, any
 * case). Duration: a number and one of ms s m h d; a bare number is seconds. */
bool units_parse_size(struct mt_bytes text, uint64_t *bytes);
bool units_parse_duration(struct mt_bytes text, uint64_t *ns);
/* "1", "0.25": digits, and up to six more behind a point. In millionths: a fraction of 2 is no fraction of ours. */
bool units_parse_decimal(struct mt_bytes text, uint64_t *millionths);

/* The shortest text that parses back to the same value. */
void units_format_size(uint64_t bytes, char out[UNITS_TEXT_MAX]);
void units_format_duration(uint64_t ns, char out[UNITS_TEXT_MAX]);
void units_format_decimal(uint64_t millionths, char out[UNITS_TEXT_MAX]);

#endif
