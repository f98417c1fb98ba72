/* holders.h - does any process have this file mapped? */
#ifndef MT_SEGMENT_HOLDERS_H
#define MT_SEGMENT_HOLDERS_H

#include <stdbool.h>
#include <sys/types.h>

/* Reads the maps of every process that it may read: only for the rare case of a bad segment. A process whose maps
 * cannot be read is of another user or guards itself; it could go on with what it has mapped, so that "no" does it no
 * harm. */
bool holders_any(dev_t dev, ino_t ino);

#endif
