/* sides.c - the list of sides, and the workers of those that are in the tables. */
#include "sides.h"

#include <stdio.h>
#include <string.h>

enum { FIELDS = 6 };

static void sides_field(char *to, size_t size, const char *from)
{
        snprintf(to, size, "%s", strcmp(from, "-") == 0 ? "" : from);
}

static void sides_line(struct side *s, char *line)
{
        char *field[FIELDS] = {NULL}, *rest = NULL;
        int   n = 0;

        line[strcspn(line, "\n")] = '\0';
        for (char *at = strtok_r(line, "\t", &rest); at != NULL && n < FIELDS; at = strtok_r(NULL, "\t", &rest))
                field[n++] = at;
        if (n < 4 || (n < FIELDS && strcmp(field[0], "out") != 0))
                driver_fail("a side without its fields: %s", line);
        sides_field(s->name, sizeof s->name, field[1]);
        sides_field(s->label, sizeof s->label, field[2]);
        if (strcmp(field[0], "out") == 0) {
                sides_field(s->left_out, sizeof s->left_out, field[3]);
                return;
        }
        s->aux = strcmp(field[0], "aux") == 0;
        s->wide = strcmp(field[0], "wide") == 0;
        sides_field(s->store, sizeof s->store, field[3]);
        sides_field(s->environment, sizeof s->environment, field[4]);
        sides_field(s->command, sizeof s->command, field[5]);
        s->preloaded = strstr(s->environment, "LD_PRELOAD=") != NULL;
}

void sides_read(struct bench *b, const char *path)
{
        FILE *file = fopen(path, "re");
        char  line[2048];

        if (file == NULL)
                driver_fail("no list of sides: %s", path);
        while (fgets(line, sizeof line, file) != NULL) {
                if (b->sides == SIDES_MAX)
                        driver_fail("more than %d sides", SIDES_MAX);
                sides_line(&b->side[b->sides++], line);
        }
        fclose(file);
}

void sides_start(struct bench *b, bool l1)
{
        for (size_t i = 0; i < b->sides; i++) {
                struct side *s = &b->side[i];
                char         can[256];

                if (!side_in_tables(s) || (strcmp(s->store, "l1") == 0) != l1)
                        continue;
                s->worker = side_start(s, CORE_OURS);
                worker_tell(&s->worker, "can");
                worker_hear_line(&s->worker, can, sizeof can);
                s->threads = strstr(can, "threads") != NULL;
                s->write = strstr(can, "write") != NULL;
                s->memory = strstr(can, "memory") != NULL;
        }
}

void sides_end(struct bench *b)
{
        for (size_t i = 0; i < b->sides; i++)
                worker_end(&b->side[i].worker);
}

struct side *bench_side(struct bench *b, const char *name)
{
        for (size_t i = 0; i < b->sides; i++)
                if (strcmp(b->side[i].name, name) == 0 && b->side[i].left_out[0] == '\0')
                        return &b->side[i];
        return NULL;
}

struct worker side_start(const struct side *s, int core)
{
        return worker_start(s->name, s->environment, s->command, core);
}

bool side_shared(const struct side *s)
{
        return strcmp(s->store, "own") != 0;
}

bool side_in_tables(const struct side *s)
{
        return !s->aux && s->left_out[0] == '\0';
}

const char *bench_path(const struct bench *b, const char *name)
{
        static char path[8][256];
        static int  next;

        next = (next + 1) % 8;
        snprintf(path[next], sizeof path[next], "%s/%s.keys", b->folder, name);
        return path[next];
}
