/* api_streams.c - an example: work handed out through a stream. A worker that dies leaves what it was given to the
 * others.
 *
 *   api_streams SERVER STREAM add FIELD VALUE [FIELD VALUE]...     prints the entry's id
 *   api_streams SERVER STREAM latest COUNT | after ID COUNT BLOCK-MS
 *   api_streams SERVER STREAM work GROUP CONSUMER COUNT CLAIM-IDLE-MS [die]     die: before it acknowledges */
#include <mtshim.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 16, DONE_MAX = 64 };

static struct done {
        char   id[DONE_MAX][64];
        size_t count;
} done;

static int show(void *arg, struct mtshim_bytes id, const struct mtshim_field *field, size_t fields)
{
        (void)arg;
        for (size_t i = 0; i < fields; i++)
                printf("%s%.*s=%.*s", i > 0 ? " " : "", (int)field[i].name.len, field[i].name.data,
                       (int)field[i].value.len, field[i].value.data);
        printf("\n");
        if (done.count < DONE_MAX)
                snprintf(done.id[done.count++], sizeof done.id[0], "%.*s", (int)id.len, id.data);
        return 1;
}

static enum mtshim_status add(struct mtshim *m, struct mtshim_bytes stream, int words, char **word)
{
        struct mtshim_field field[FIELDS_MAX];
        struct mtshim_value id;
        size_t              fields = 0;
        enum mtshim_status  status;

        for (; words > 1 && fields < FIELDS_MAX; words -= 2, word += 2)
                field[fields++] = (struct mtshim_field){mtshim_text(word[0]), mtshim_text(word[1])};
        status = mtshim_stream_add(m, stream, field, fields, 1000, &id);
        if (status == MTSHIM_OK)
                printf("%s\n", id.data);
        mtshim_free(id.data);
        return status;
}

static enum mtshim_status work(struct mtshim *m, struct mtshim_bytes stream, int words, char **word)
{
        struct mtshim_bytes group = mtshim_text(word[0]), id[DONE_MAX];
        enum mtshim_status  status = mtshim_stream_create_group(m, stream, group, mtshim_text("0"));

        if (status == MTSHIM_OK)
                status = mtshim_stream_read_group(m, stream, group, mtshim_text(word[1]), strtoull(word[2], NULL, 10),
                                                  0, strtoull(word[3], NULL, 10), show, NULL);
        if (status != MTSHIM_OK)
                return status;
        fflush(stdout);
        if (words > 4)
                abort();
        for (size_t i = 0; i < done.count; i++)
                id[i] = mtshim_text(done.id[i]);
        return mtshim_stream_ack(m, stream, group, id, done.count);
}

int main(int argc, char **argv)
{
        struct mtshim_config config = mtshim_defaults(argc > 4 ? argv[1] : NULL);
        struct mtshim       *m;
        enum mtshim_status   status = mtshim_open(&config, &m);
        struct mtshim_bytes  stream = mtshim_text(argc > 4 ? argv[2] : "");

        if (status == MTSHIM_OK && strcmp(argv[3], "add") == 0)
                status = add(m, stream, argc - 4, argv + 4);
        else if (status == MTSHIM_OK && strcmp(argv[3], "latest") == 0)
                status = mtshim_stream_read_latest(m, stream, strtoull(argv[4], NULL, 10), show, NULL);
        else if (status == MTSHIM_OK && strcmp(argv[3], "after") == 0 && argc > 6)
                status = mtshim_stream_read(m, stream, mtshim_text(argv[4]), strtoull(argv[5], NULL, 10),
                                            strtoll(argv[6], NULL, 10), show, NULL);
        else if (status == MTSHIM_OK && strcmp(argv[3], "work") == 0 && argc > 7)
                status = work(m, stream, argc - 4, argv + 4);
        if (status == MTSHIM_MISS)
                printf("nothing\n");
        else if (status != MTSHIM_OK)
                fprintf(stderr, "api_streams: %s\n", mtshim_error());
        mtshim_close(&m);
        return status > MTSHIM_MISS;
}
