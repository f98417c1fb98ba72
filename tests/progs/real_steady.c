/* real_steady.c - a program that stays: reads one key two hundred times a second until it is ended. */
#include "common.h"

int main(int argc, char **argv)
{
        redisContext *c = must_connect();

        for (;;) {
                redisReply *reply = redisCommand(c, "GET %s", argc > 1 ? argv[1] : "steady");
                if (reply == NULL)
                        die("GET: %s", c->errstr);
                freeReplyObject(reply);
                sleep_ms(5);
        }
}
