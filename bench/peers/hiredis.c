/* hiredis.c - a plain hiredis program, as users have it. It includes nothing of ours; bare and preloaded it is the same
 * file.
 *
 * Address: a path, or HOST:PORT. Commands of its own:
 *      argv FROM N           GET by redisCommandArgv                                nanoseconds, all together
 *      pipe DEPTH FROM N     N GETs, DEPTH of them sent before the first is read    nanoseconds, all together
 *      hget N | strlen N     a command that is never cached                         nanoseconds, all together
 *      info SECTION FIELD    the number behind "FIELD" in that section of INFO      a number, 0 when there is none */
// build: -lhiredis
#include "../common/clock.h"
#include "../common/peer.h"

#include <hiredis/hiredis.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIPELINED = 512 };

const char *const peer_can = "threads write memory argv pipe forward";

static size_t peer_owed; /* replies to peer_put() that nobody has read; one thread loads */

noreturn static void hiredis_fail(const char *what, const redisContext *c)
{
        peer_fail(what, c == NULL ? "no context" : c->err != 0 ? c->errstr : "unexpected reply");
}

void *peer_open(const char *address)
{
        char          host[128];
        const char   *colon = strrchr(address, ':');
        redisContext *c;

        if (address[0] == '/' || colon == NULL) {
                c = redisConnectUnix(address);
        } else {
                snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
                c = redisConnect(host, atoi(colon + 1));
        }
        if (c == NULL || c->err != 0)
                hiredis_fail(address, c);
        return c;
}

void peer_close(void *handle)
{
        redisFree(handle);
}

static void hiredis_expect(redisContext *c, redisReply *reply, int type, const char *what)
{
        if (reply == NULL || reply->type != type)
                hiredis_fail(what, c);
        freeReplyObject(reply);
}

static void hiredis_next(redisContext *c, int type, const char *what)
{
        redisReply *reply = NULL;

        redisGetReply(c, (void **)&reply);
        hiredis_expect(c, reply, type, what);
}

void peer_room(void *handle, size_t keys, size_t bytes)
{
        (void)handle, (void)keys, (void)bytes;
}

void peer_put(void *handle, const char *key, const void *value, size_t bytes)
{
        redisAppendCommand(handle, "SET %s %b", key, value, bytes);
        if (++peer_owed == PIPELINED)
                peer_flush(handle);
}

void peer_flush(void *handle)
{
        for (; peer_owed > 0; peer_owed--)
                hiredis_next(handle, REDIS_REPLY_STATUS, "load");
}

void peer_set(void *handle, const char *key, const void *value, size_t bytes)
{
        hiredis_expect(handle, redisCommand(handle, "SET %s %b", key, value, bytes), REDIS_REPLY_STATUS, key);
}

static void hiredis_value(redisContext *c, redisReply *reply, const char *key, size_t bytes)
{
        if (reply == NULL || reply->type != REDIS_REPLY_STRING || (size_t)reply->len != bytes)
                hiredis_fail(key, c);
        freeReplyObject(reply);
}

void peer_get(void *handle, const char *key, size_t bytes)
{
        hiredis_value(handle, redisCommand(handle, "GET %s", key), key, bytes);
}

static double hiredis_info(redisContext *c, const char *section, const char *field)
{
        redisReply *reply = redisCommand(c, "INFO %s", section);
        const char *at;
        double      value;

        if (reply == NULL || reply->type != REDIS_REPLY_STRING)
                hiredis_fail("INFO", c);
        at = strstr(reply->str, field);
        value = at == NULL ? 0 : strtod(at + strlen(field), NULL);
        freeReplyObject(reply);
        return value;
}

struct peer_memory peer_memory(void *handle)
{
        return (struct peer_memory){.bytes = hiredis_info(handle, "memory", "used_memory:")};
}

static void hiredis_argv(redisContext *c, size_t from, size_t n)
{
        const char *argv[2] = {"GET", NULL};
        size_t      len[2] = {3, PEER_KEY};

        for (size_t i = 0; i < n; i++) {
                argv[1] = sequence.key[(from + i) % sequence.count].text;
                hiredis_value(c, redisCommandArgv(c, 2, argv, len), argv[1], sequence.bytes);
        }
}

static void hiredis_pipe(redisContext *c, size_t depth, size_t from, size_t n)
{
        for (size_t i = 0; i < n; i += depth) {
                for (size_t k = 0; k < depth; k++)
                        redisAppendCommand(c, "GET %s", sequence.key[(from + i + k) % sequence.count].text);
                for (size_t k = 0; k < depth; k++) {
                        redisReply *reply = NULL;

                        redisGetReply(c, (void **)&reply);
                        hiredis_value(c, reply, "pipeline", sequence.bytes);
                }
        }
}

/* What a miss asks the server, asked by the program itself: how long the value lives and the value, in one write. */
static void hiredis_lifetimes(redisContext *c, size_t from, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                const char *key = sequence.key[(from + i) % sequence.count].text;
                redisReply *reply = NULL;

                redisAppendCommand(c, "PTTL %s", key);
                redisAppendCommand(c, "GET %s", key);
                hiredis_next(c, REDIS_REPLY_INTEGER, key);
                redisGetReply(c, (void **)&reply);
                hiredis_value(c, reply, key, sequence.bytes);
        }
}

static void hiredis_forwarded(redisContext *c, const char *format, int type, size_t n)
{
        for (size_t i = 0; i < n; i++)
                hiredis_expect(c, redisCommand(c, format, sequence.key[0].text), type, format);
}

bool peer_more(void *handle, const char *line)
{
        char     section[32], field[64];
        size_t   depth = 1, from = 0, n = 0;
        uint64_t start = clock_ns();

        if (sscanf(line, "info %31s %63s", section, field) == 2) {
                printf("%.0f\n", hiredis_info(handle, section, field));
                return true;
        }
        if (sequence.count == 0)
                return false;
        if (sscanf(line, "argv %zu %zu", &from, &n) == 2)
                hiredis_argv(handle, from, n);
        else if (sscanf(line, "pipe %zu %zu %zu", &depth, &from, &n) == 3 && depth > 0)
                hiredis_pipe(handle, depth, from, n);
        else if (sscanf(line, "pttl %zu %zu", &from, &n) == 2)
                hiredis_lifetimes(handle, from, n);
        else if (sscanf(line, "hget %zu", &n) == 1)
                hiredis_forwarded(handle, "HGET h:%s field", REDIS_REPLY_NIL, n);
        else if (sscanf(line, "strlen %zu", &n) == 1)
                hiredis_forwarded(handle, "STRLEN %s", REDIS_REPLY_INTEGER, n);
        else
                return false;
        printf("%llu\n", (unsigned long long)(clock_ns() - start));
        return true;
}
