/* traces.c - the table of traces. */
#include "traces.h"

#define TRACES_REQUESTS       300000u
#define TRACES_REQUESTS_QUICK 100000u

/* Zipf's exponent where it is a made one; a file where there is one; else a cluster. */
static const struct {
        const char *name, *file;
        double      exponent;
} traces[TRACES_COUNT] = {
        {"cloudphysics", "cloudphysics.txt.gz", 0},
        {"web12", "web12.txt.gz", 0},
        {"zipf0.8", NULL, 0.8},
        {"zipf1.0", NULL, 1.0},
        {"zipf1.2", NULL, 1.2},
        {"cluster52", NULL, 0},
        {"cluster4", NULL, 0},
        {"cluster8", NULL, 0},
};

const char *traces_name(unsigned number)
{
        return traces[number].name;
}

struct trace *traces_load(unsigned number, const char *directory, bool quick)
{
        uint32_t requests = quick ? TRACES_REQUESTS_QUICK : TRACES_REQUESTS;

        if (traces[number].file != NULL) {
                char         *path = g_build_filename(directory, traces[number].file, NULL);
                struct trace *trace = trace_read(traces[number].name, path);

                g_free(path);
                return trace;
        }
        if (traces[number].exponent > 0)
                return trace_zipf(traces[number].name, traces[number].exponent, requests);
        return trace_cluster(traces[number].name, requests);
}
