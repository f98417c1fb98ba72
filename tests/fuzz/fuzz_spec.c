/* fuzz_spec.c - how a store is named. What is taken, written again with every byte encoded, means the same. */
#include "l1/tier/spec.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool sound)
{
        if (!sound)
                abort();
}

static char *write_encoded(char *at, struct mt_bytes bytes)
{
        check(bytes.ptr[bytes.len] == '\0' && strlen(bytes.ptr) == bytes.len);
        for (size_t i = 0; i < bytes.len; i++)
                at += sprintf(at, i % 2 ? "%%%02x" : "%%%02X", (unsigned char)bytes.ptr[i]);
        return at;
}

/* The kind and the names stand as they are: they are no bytes that mean anything. */
static size_t write_again(const struct spec *spec, char *to)
{
        char *at = to + sprintf(to, "%s:", spec->kind.ptr);

        at = write_encoded(at, spec->address);
        for (size_t i = 0; i < spec->options; i++) {
                at += sprintf(at, "%c%s=", i == 0 ? '?' : '&', spec->option[i].name.ptr);
                at = write_encoded(at, spec->option[i].value);
        }
        return (size_t)(at - to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct spec first, second;
        static char        text[4 * SPEC_BYTES_MAX];
        char              *exact = malloc(size);

        if (size > 0)
                memcpy(exact, data, size);
        if (spec_parse(mt_bytes(exact, size), &first) == NULL) {
                check(spec_parse(mt_bytes(text, write_again(&first, text)), &second) == NULL);
                check(mt_bytes_equal(first.kind, second.kind) && mt_bytes_equal(first.address, second.address));
                check(first.options == second.options && first.options <= SPEC_OPTIONS_MAX);
                for (size_t i = 0; i < first.options; i++)
                        check(mt_bytes_equal(first.option[i].name, second.option[i].name) &&
                              mt_bytes_equal(first.option[i].value, second.option[i].value));
        }
        free(exact);
        return 0;
}
