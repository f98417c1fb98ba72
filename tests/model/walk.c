/* walk.c - every order in which the steps can follow each other. A state is known by two hashes, 128 bits. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 4096 };

/* What has been seen. */
struct print {
        uint64_t word[2];
};

static struct print *seen;
static uint64_t      seen_size, seen_count;

static struct print print_of(const struct state *s)
{
        uint64_t     words[(sizeof *s + 7) / 8] = {0};
        struct print h = {{UINT64_C(0xcbf29ce484222325), UINT64_C(0x9e3779b97f4a7c15)}};

        memcpy(words, s, sizeof *s);
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
                h.word[0] = (h.word[0] ^ words[i]) * UINT64_C(0x9fb21c651e98df25);
                h.word[0] ^= h.word[0] >> 32;
                h.word[1] = (h.word[1] + words[i]) * UINT64_C(0xd6e8feb86659fd93);
                h.word[1] ^= h.word[1] >> 29;
        }
        h.word[0] |= h.word[0] == 0;
        return h;
}

static bool seen_insert(struct print h);

static void seen_grow(void)
{
        struct print *old = seen;
        uint64_t      size = seen_size;

        seen_size = size != 0 ? 2 * size : UINT64_C(1) << 20;
        seen_count = 0;
        seen = calloc(seen_size, sizeof *seen);
        if (seen == NULL) {
                fprintf(stderr, "model: out of memory\n");
                exit(2);
        }
        for (uint64_t i = 0; i < size; i++) {
                if (old[i].word[0] != 0)
                        seen_insert(old[i]);
        }
        free(old);
}

/* True when it is new. */
static bool seen_insert(struct print h)
{
        uint64_t at;

        if (seen_count * 4 >= seen_size * 3)
                seen_grow();
        for (at = h.word[1] & (seen_size - 1); seen[at].word[0] != 0; at = (at + 1) & (seen_size - 1)) {
                if (seen[at].word[0] == h.word[0] && seen[at].word[1] == h.word[1])
                        return false;
        }
        seen[at] = h;
        seen_count++;
        return true;
}

struct frame {
        struct state state;
        unsigned     next;
        const char  *came_by;
};

static struct frame path[DEPTH_MAX];

static void print_path(unsigned depth)
{
        printf("    %s:\n", lie);
        for (unsigned i = 1; i <= depth; i++)
                printf("    %3u  %s\n", i, path[i].came_by);
}

/* Depth first, so that the path is at hand. */
static const char *walk_all(bool trace)
{
        unsigned depth = 0;

        seen_size = seen_count = 0;
        lie = NULL;
        memset(&path[0], 0, sizeof path[0]);
        path[0].state.id = 1;
        path[0].state.connection = CONNECTED;
        seen_insert(print_of(&path[0].state));
        for (;;) {
                struct frame *f = &path[depth];

                if (f->next == STEPS) {
                        if (depth-- == 0)
                                return NULL;
                        continue;
                }
                path[depth + 1].state = f->state;
                if (!step_take(&path[depth + 1].state, f->next++))
                        continue;
                same_settle(&path[depth + 1].state);
                if (lie == NULL && !seen_insert(print_of(&path[depth + 1].state)))
                        continue;
                path[++depth].next = 0;
                path[depth].came_by = step_name;
                if (lie != NULL) {
                        if (trace)
                                print_path(depth);
                        return lie;
                }
                if (depth + 2 == DEPTH_MAX) {
                        fprintf(stderr, "model: a path of %u steps\n", depth);
                        exit(2);
                }
        }
}

const char *walk(bool trace, uint64_t *states)
{
        const char *found = walk_all(trace);

        *states = seen_count;
        free(seen);
        seen = NULL;
        return found;
}
