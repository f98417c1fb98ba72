/* fence.c - a thread that ends what writers have left behind. A writer whose connection failed, or who was killed, may
 * have left a command on its way: in a socket's buffer, in a proxy, before a server that stands still. Its key is
 * written again only when the server says that it knows no connection of that name, or has just ended it: a server has
 * one thread, and what it has dropped it does not execute. */
#include "chaos.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fencer {
        struct chaos *chaos;
        pthread_t     thread;
        _Atomic bool  stop;
};

/* Is this line of CLIENT LIST about the connection of that name, or, where wanted, one without a name? Neither the
 * listener nor our own has one; losing it does no harm. */
static bool fence_is_about(const char *line, size_t len, const char *name, bool nameless)
{
        char text[512];

        snprintf(text, sizeof text, "%.*s", (int)len, line);
        return strstr(text, name) != NULL ||
               (nameless && strstr(text, " name= ") != NULL && strstr(text, " cmd=client|list ") == NULL);
}

static bool fence_end(redisContext *c, const char *line)
{
        redisReply *reply = redisCommand(c, "CLIENT KILL ID %llu", strtoull(line + strlen("id="), NULL, 10));
        bool        said = reply != NULL && reply->type == REDIS_REPLY_INTEGER;

        if (reply != NULL)
                freeReplyObject(reply);
        return said;
}

/* True: it is gone. */
static bool fence_pass(redisContext *c, uint64_t serial, bool nameless)
{
        redisReply *reply = redisCommand(c, "CLIENT LIST");
        char        name[48];
        bool        gone = reply != NULL && reply->type == REDIS_REPLY_STRING;

        snprintf(name, sizeof name, " name=coh-%llu ", (unsigned long long)serial);
        for (const char *line = gone ? reply->str : NULL; gone && line != NULL && *line != '\0';) {
                const char *end = strchr(line, '\n');
                size_t      len = end != NULL ? (size_t)(end - line) : strlen(line);

                if (fence_is_about(line, len, name, nameless))
                        gone = fence_end(c, line);
                line = end != NULL ? end + 1 : NULL;
        }
        if (reply != NULL)
                freeReplyObject(reply);
        return gone;
}

static void fence_look(struct fencer *f, struct writer *w)
{
        uint64_t      serial = atomic_load(&w->fence_wanted);
        redisContext *c;

        if (serial == 0 || (c = server_connect(f->chaos->server, 1000)) == NULL)
                return;
        if (fence_pass(c, serial, w->nameless != 0))
                atomic_compare_exchange_strong(&w->fence_wanted, &serial, 0);
        redisFree(c);
}

static void *fence_main(void *arg)
{
        struct fencer *f = arg;

        while (!atomic_load(&f->stop)) {
                for (unsigned i = 0; i < ORACLE_WRITERS; i++)
                        fence_look(f, &f->chaos->oracle->writer[i]);
                usleep(1000);
        }
        return NULL;
}

struct fencer *fencer_start(struct chaos *c)
{
        struct fencer *f = calloc(1, sizeof *f);

        if (f == NULL)
                abort();
        f->chaos = c;
        if (pthread_create(&f->thread, NULL, fence_main, f) != 0)
                abort();
        return f;
}

void fencer_stop(struct fencer **fencer)
{
        atomic_store(&(*fencer)->stop, true);
        pthread_join((*fencer)->thread, NULL);
        free(*fencer);
        *fencer = NULL;
}
