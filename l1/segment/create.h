/* create.h - a new segment: complete before anybody uses it. */
#ifndef MT_SEGMENT_CREATE_H
#define MT_SEGMENT_CREATE_H

#include "segment.h"

enum create_result {
        CREATE_DONE,   /* it stands under its final name */
        CREATE_EXISTS, /* somebody else was faster */
        CREATE_LATER,  /* its index needs more memory than could be taken in the time given */
        CREATE_FAILED, /* a line has said why */
};

/* The file at l1->path, in l1->directory, with the geometry given; stepwise: create_grow() shall do the rest where it
 * can. No descriptor stays open, nothing stays mapped. */
enum create_result create_segment(const struct l1 *l1, const struct segment_geometry *geometry, bool stepwise);
/* Go on with the index of a segment that is SEGMENT_GROWING, open for writing as fd, whoever began it. Any number of
 * processes may do so at the same time, be stopped or die in the middle. Without memory for it the file is removed. */
enum create_result create_grow(const struct l1 *l1, int fd, const struct segment_geometry *geometry, uint64_t until_ns);

#endif
