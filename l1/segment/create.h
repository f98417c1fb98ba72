/* create.h - a new segment: complete before anybody can see it. */
#ifndef MT_SEGMENT_CREATE_H
#define MT_SEGMENT_CREATE_H

#include "segment.h"

enum create_result {
        CREATE_DONE,   /* it stands under its final name */
        CREATE_EXISTS, /* somebody else was faster */
        CREATE_FAILED, /* a line has said why */
};

/* The file at l1->path, in l1->directory, with the geometry given. No descriptor stays open, nothing stays mapped. */
enum create_result create_segment(const struct l1 *l1, const struct segment_geometry *geometry);

#endif
