/* reader.c - a trace from a file: "key size_bytes" a line, compressed by gzip. */
#include "trace.h"

#include <stdio.h>
#include <zlib.h>

#define READER_STEP_MS 1 /* files carry no times */

static void reader_line(struct trace *trace, const char *key, uint32_t size_bytes)
{
        uint32_t number = GPOINTER_TO_UINT(g_hash_table_lookup(trace->numbers, key));

        if (number == 0) {
                number = trace_add_object(trace, key, size_bytes, 0) + 1;
                g_hash_table_insert(trace->numbers, g_strdup(key), GUINT_TO_POINTER(number));
        }
        trace_add_request(trace, number - 1, false, (uint64_t)trace->requests * READER_STEP_MS);
}

struct trace *trace_read(const char *name, const char *path)
{
        gzFile        file = gzopen(path, "rb");
        struct trace *trace;
        char          line[256], key[128];
        unsigned      size;

        if (file == NULL)
                return NULL;
        trace = trace_create(name);
        trace->numbers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        while (gzgets(file, line, sizeof line) != NULL) {
                if (sscanf(line, "%127s %u", key, &size) == 2)
                        reader_line(trace, key, size);
        }
        gzclose(file);
        g_clear_pointer(&trace->numbers, g_hash_table_destroy);
        trace_finish(trace);
        return trace;
}
