/* fuzz_segment_race.c - fuzz_segment.c with the hostile process at work all the time, beside the others. */
#define FUZZ_RACE 1
#include "fuzz_segment.c"
