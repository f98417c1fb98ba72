/* real_module.c - a module that brings hiredis into a program that knows nothing of it; real_host.c loads it. */
// build: -shared -fPIC -fvisibility=hidden
#include "common.h"

__attribute__((visibility("default"))) int module_run(int rounds);

static void say(redisContext *c, const char *format, ...)
{
        redisReply *reply;
        va_list     ap;

        va_start(ap, format);
        reply = redisvCommand(c, format, ap);
        va_end(ap);
        if (reply == NULL)
                die("%s: %s", format, c->errstr);
        print_reply(stdout, reply);
        putchar('\n');
        freeReplyObject(reply);
}

/* What a program does in a while: writes, reads what it wrote, reads the same many times. Prints every kind of reply
 * once, and the number of the equal ones. */
int module_run(int rounds)
{
        redisContext *c = must_connect(), *probe = must_connect();
        int           equal = 0;

        say(c, "SET module:key %s", "the value");
        say(c, "GET %s", "module:key");
        say(c, "GET %s", "module:absent");
        say(c, "LPUSH module:list one two");
        say(c, "GET module:list");
        if (!warm(c, probe, "module:key", strlen("module:key"), 5 * NS_PER_S))
                die("GETs still reach the server after 5 s");
        for (int i = 0; i < rounds; i++) {
                redisReply *reply = redisCommand(c, "GET module:%s", "key");
                if (reply == NULL)
                        die("GET: %s", c->errstr);
                equal += reply->type == REDIS_REPLY_STRING && strcmp(reply->str, "the value") == 0;
                freeReplyObject(reply);
        }
        printf("%d of %d\n", equal, rounds);
        say(c, "SET module:key %s", "another");
        say(c, "GET module:key");
        say(c, "DEL module:key module:list");
        say(c, "GET module:key");
        redisFree(probe);
        redisFree(c);
        return equal == rounds;
}
