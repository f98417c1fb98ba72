/* servers.c - one program and many servers: a key that all of them have, with another value each, and a key that each
 * has alone. Each GET gets what its own server says.
 *   servers SOCKET...      prints how many GETs of how many the servers did not see */
#include "common.h"

#define WARM_NS UINT64_C(10000000000)

enum { SERVERS_MAX = 100, ROUNDS = 20 };

static struct server {
        redisContext *c, *probe;
        char          own[32], value[64];
} servers[SERVERS_MAX];
static int count;

static redisContext *connect_to(const char *path)
{
        redisContext *c = redisConnectUnix(path);

        if (c == NULL || c->err != 0)
                die("cannot connect to %s: %s", path, c != NULL ? c->errstr : "no memory");
        return c;
}

static void set(struct server *s, int number, const char *what)
{
        snprintf(s->own, sizeof s->own, "own:%d", number);
        snprintf(s->value, sizeof s->value, "%s of %d", what, number);
        drop_reply(redisCommand(s->c, "MSET everybody's %s %s %s", s->value, s->own, s->value));
}

static void check(struct server *s, const char *key)
{
        redisReply *r = redisCommand(s->c, "GET %s", key);

        if (r == NULL || r->type != REDIS_REPLY_STRING || strcmp(r->str, s->value) != 0)
                die("'%s', not '%s'", r != NULL && r->str != NULL ? r->str : s->c->errstr, s->value);
        freeReplyObject(r);
}

static void warm_all(void)
{
        for (int i = 0; i < count; i++) {
                if (!warm(servers[i].c, servers[i].probe, servers[i].own, strlen(servers[i].own), WARM_NS))
                        die("server %d of %d is not served", i, count);
        }
}

/* All in turn, so that each GET follows one of another server. How many GETs of a server's own key travelled. (One
 * that all have may be in L1 for fewer servers than these.) */
static long long check_all(void)
{
        long long seen = 0;

        for (int i = 0; i < count; i++)
                check(&servers[i], "everybody's");
        for (int i = 0; i < count; i++)
                seen -= server_gets(servers[i].probe);
        for (int round = 0; round < ROUNDS; round++) {
                for (int i = 0; i < count; i++)
                        check(&servers[i], servers[i].own);
        }
        for (int i = 0; i < count; i++)
                seen += server_gets(servers[i].probe);
        return seen;
}

int main(int argc, char **argv)
{
        long long seen;

        count = argc - 1;
        if (count < 2 || count > SERVERS_MAX)
                die("usage: servers SOCKET...");
        for (int i = 0; i < count; i++) {
                servers[i].c = connect_to(argv[i + 1]);
                servers[i].probe = connect_to(argv[i + 1]);
                set(&servers[i], i, "first");
        }
        warm_all();
        seen = check_all();
        /* A write to every other one is no other one's. */
        for (int i = 0; i < count; i += 2)
                set(&servers[i], i, "second");
        seen += check_all();
        printf("%lld of %d GETs were served\n", 2LL * count * ROUNDS - seen, 2 * count * ROUNDS);
        for (int i = 0; i < count; i++) {
                redisFree(servers[i].c);
                redisFree(servers[i].probe);
        }
        return !shimmed() || seen < 2LL * count * ROUNDS / 4 ? 0 : 1;
}
