/* api_aside.c - an example: a cache beside a slow source, in ten lines.
 *
 *   api_aside SERVER USER...     prints what it knows of each, and how often it had to ask the source */
#include <mtshim.h>

#include <stdio.h>
#include <stdlib.h>

static unsigned asked;

static enum mtshim_status from_the_source(struct mtshim_bytes key, struct mtshim_value *value)
{
        value->data = malloc(key.len + 32);
        if (value->data == NULL)
                return MTSHIM_ERROR;
        value->len = (size_t)snprintf(value->data, key.len + 32, "the record of %.*s", (int)key.len, key.data);
        asked++;
        return MTSHIM_OK;
}

static enum mtshim_status user_of(struct mtshim *cache, const char *name, struct mtshim_value *value)
{
        enum mtshim_status status = mtshim_get(cache, mtshim_text(name), value);

        if (status != MTSHIM_MISS) /* there, or the server fails: then the source is not to be asked by everybody */
                return status;
        status = from_the_source(mtshim_text(name), value);
        if (status == MTSHIM_OK)
                status = mtshim_set_with_strategy(cache, mtshim_text(name), mtshim_view(value->data, value->len),
                                                  MTSHIM_SHORT, 0);
        return status;
}

int main(int argc, char **argv)
{
        struct mtshim_config config = mtshim_defaults(argc > 1 ? argv[1] : NULL);
        struct mtshim       *cache;
        struct mtshim_value  value;
        int                  failed = 0;

        if (mtshim_open(&config, &cache) != MTSHIM_OK) {
                fprintf(stderr, "api_aside: %s\n", mtshim_error());
                return 1;
        }
        for (int i = 2; i < argc; i++) {
                enum mtshim_status status = user_of(cache, argv[i], &value);

                if (status == MTSHIM_OK)
                        printf("%s\n", value.data);
                else
                        fprintf(stderr, "api_aside: %s\n", mtshim_error());
                failed |= status != MTSHIM_OK;
                mtshim_free(value.data);
        }
        printf("asked %u\n", asked);
        mtshim_close(&cache);
        return failed;
}
