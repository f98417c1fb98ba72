/* api_both.c - a program that uses hiredis itself and the C interface, linked to both and not preloaded: what the one
 * writes the other reads, each from the one L1.
 *
 *   api_both SERVER-SOCKET */
// build: -Wl,--no-as-needed -lhiredis
#include <hiredis/hiredis.h>
#include <mtshim.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct mtshim *m;

static void must(int good, const char *what)
{
        if (good)
                return;
        fprintf(stderr, "api_both: %s (%s)\n", what, mtshim_error());
        exit(1);
}

static uint64_t hits(void)
{
        struct mtshim_counts stats = {0};

        mtshim_stats(m, &stats, sizeof stats);
        return stats.hits;
}

/* redisCommand() of this program comes to mtshim by the order of the libraries alone. */
static int by_hiredis(redisContext *context, const char *want)
{
        redisReply *reply = redisCommand(context, "GET %s", "k");
        int         same = reply != NULL && reply->type == REDIS_REPLY_STRING && strcmp(reply->str, want) == 0;

        freeReplyObject(reply);
        return same;
}

static int by_mtshim(const char *want)
{
        struct mtshim_value value;
        int same = mtshim_get(m, mtshim_text("k"), &value) == MTSHIM_OK && strcmp(value.data, want) == 0;

        mtshim_free(value.data);
        return same;
}

/* Again and again until it is a hit: a listener must come first. */
static void until_hit(redisContext *context, const char *want)
{
        for (int tries = 0; tries < 1000; tries++) {
                uint64_t before = hits();

                must(context != NULL ? by_hiredis(context, want) : by_mtshim(want), "a wrong value");
                if (hits() > before)
                        return;
                nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        }
        must(0, context != NULL ? "hiredis is never served by L1" : "mtshim is never served by L1");
}

int main(int argc, char **argv)
{
        struct mtshim_config config = mtshim_defaults(argc > 1 ? argv[1] : NULL);
        redisContext        *context = redisConnectUnix(argc > 1 ? argv[1] : "");

        must(context != NULL && context->err == 0, "no connection");
        must(mtshim_open(&config, &m) == MTSHIM_OK, "open");
        must(mtshim_set(m, mtshim_text("k"), mtshim_text("one")) == MTSHIM_OK, "set");
        until_hit(context, "one");
        until_hit(NULL, "one");
        freeReplyObject(redisCommand(context, "SET %s %s", "k", "two"));
        must(by_mtshim("two"), "mtshim does not see what hiredis wrote");
        until_hit(NULL, "two");
        must(mtshim_set(m, mtshim_text("k"), mtshim_text("three")) == MTSHIM_OK, "set");
        must(by_hiredis(context, "three"), "hiredis does not see what mtshim wrote");
        puts("both read what the other wrote");
        mtshim_close(&m);
        redisFree(context);
        return 0;
}
