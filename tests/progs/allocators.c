/* allocators.c - hiredisSetAllocators: what the program frees is what its own functions gave, whoever made the reply.
 * The blocks are not libc's: free() of one would crash, and a block of libc's is found out. */
#include "common.h"

#if HIREDIS_MAJOR >= 1
#include <hiredis/alloc.h>

struct head {
        uint64_t magic, size;
};

static const uint64_t magic = UINT64_C(0x6d696e652121);
static long           blocks, made;

static void *own_malloc(size_t size)
{
        struct head *h = malloc(sizeof(*h) + size);

        if (h == NULL)
                return NULL;
        *h = (struct head){magic, size};
        blocks++;
        made++;
        return h + 1;
}

static void *own_calloc(size_t n, size_t size)
{
        void *p = own_malloc(n * size);

        return p != NULL ? memset(p, 0, n * size) : NULL;
}

static void own_free(void *p)
{
        struct head *h = p;

        if (p == NULL)
                return;
        if ((--h)->magic != magic)
                die("a block that is not ours");
        h->magic = 0;
        blocks--;
        free(h);
}

static void *own_realloc(void *p, size_t size)
{
        void *to = own_malloc(size);

        if (p != NULL && to != NULL) {
                size_t old = ((struct head *)p)[-1].size;

                memcpy(to, p, old < size ? old : size);
                own_free(p);
        }
        return to;
}

static char *own_strdup(const char *s)
{
        char *to = own_malloc(strlen(s) + 1);

        return to != NULL ? strcpy(to, s) : NULL;
}

int main(void)
{
        hiredisAllocFuncs own = {own_malloc, own_calloc, own_realloc, own_strdup, own_free};
        redisContext     *c, *probe;
        long              before;

        hiredisSetAllocators(&own);
        c = must_connect();
        probe = must_connect();
        drop_reply(redisCommand(c, "SET k value"));
        if (!warm(c, probe, "k", 1, 5 * NS_PER_S))
                die("L1 never answered");
        before = blocks;
        for (int i = 0; i < 1000; i++) {
                long        now = made;
                redisReply *r = redisCommand(c, i % 2 == 0 ? "GET k" : "GET absent");

                if (r == NULL || made == now)
                        die("a reply that is not from our blocks");
                if (i % 3 == 0 && r->str != NULL) {
                        hi_free(r->str);
                        r->str = NULL;
                }
                freeReplyObject(r);
        }
        printf("%ld blocks more than before\n", blocks - before);
        redisFree(c);
        redisFree(probe);
        printf("%ld blocks are left\n", blocks);
        hiredisResetAllocators();
        c = must_connect();
        drop_reply(redisCommand(c, "GET k"));
        drop_reply(redisCommand(c, "GET k"));
        redisFree(c);
        printf("%ld blocks are left\n", blocks);
        return blocks != 0;
}
#else
int main(void)
{
        puts("this hiredis knows one allocator");
        return 0;
}
#endif
