/* common.h - what the test programs share: plain C and hiredis, nothing of mtshim, so that each of them is a program
 * that knows nothing of being watched.
 *
 * MT_REDIS names the server: a path, or host:port. MT_SHIMMED is set by the harness when it preloads the shim; only
 * what a program requires of itself depends on it ("this GET must not have travelled"), never what it prints. */
#ifndef TESTS_COMMON_H
#define TESTS_COMMON_H

#include <hiredis/hiredis.h>

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define UNUSED       __attribute__((unused))
#define NS_PER_MS    UINT64_C(1000000)
#define NS_PER_S     UINT64_C(1000000000)
#define NELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

static UNUSED __attribute__((format(printf, 1, 2), noreturn)) void die(const char *format, ...)
{
        va_list ap;

        fflush(stdout);
        va_start(ap, format);
        vfprintf(stderr, format, ap);
        va_end(ap);
        fputc('\n', stderr);
        exit(1);
}

static UNUSED uint64_t now_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static UNUSED void sleep_ms(unsigned ms)
{
        struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};

        while (nanosleep(&ts, &ts) != 0 && errno == EINTR)
                ;
}

static UNUSED bool shimmed(void)
{
        return getenv("MT_SHIMMED") != NULL;
}

static UNUSED const char *server_name(void)
{
        const char *name = getenv("MT_REDIS");

        if (name == NULL)
                die("MT_REDIS is not set");
        return name;
}

/* "127.0.0.1:6379" -> host, port; 0 when it is a path. */
static UNUSED int server_port(char host[64])
{
        const char *name = server_name(), *colon = strrchr(name, ':');

        if (name[0] == '/' || colon == NULL || (size_t)(colon - name) >= 64)
                return 0;
        memcpy(host, name, (size_t)(colon - name));
        host[colon - name] = '\0';
        return atoi(colon + 1);
}

/* ------------------------------------------------------------------------------------------------ by hiredis */

#ifndef SECURE /* tls.h: the same program over TLS */
#define SECURE(c) (c)
#endif

/* May return a context with err set, as hiredis does. */
static UNUSED redisContext *try_connect(void)
{
        char host[64];
        int  port = server_port(host);

        return SECURE(port != 0 ? redisConnect(host, port) : redisConnectUnix(server_name()));
}

static UNUSED redisContext *must_connect(void)
{
        redisContext *c = try_connect();

        for (int tries = 0; c != NULL && c->err != 0 && tries < 200; tries++) { /* the server's backlog may be full */
                redisFree(c);
                sleep_ms(5);
                c = try_connect();
        }
        if (c == NULL || c->err != 0)
                die("cannot connect to %s: %s", server_name(), c != NULL ? c->errstr : "no memory");
        return c;
}

static UNUSED void drop_reply(void *reply)
{
        if (reply != NULL)
                freeReplyObject(reply);
}

/* How many GETs the server has executed, by its own count: what did not come from L1. */
static UNUSED long long server_gets(redisContext *c)
{
        redisReply *r = redisCommand(c, "INFO commandstats");
        long long   n = 0;
        const char *at;

        if (r == NULL || r->type != REDIS_REPLY_STRING)
                die("INFO: %s", r != NULL && r->str != NULL ? r->str : c->errstr);
        if ((at = strstr(r->str, "cmdstat_get:calls=")) != NULL)
                n = atoll(at + strlen("cmdstat_get:calls="));
        freeReplyObject(r);
        return n;
}

/* Read the key until a GET of it does not reach the server. Bare: once. False when that takes longer than the time. */
static UNUSED bool warm(redisContext *c, redisContext *probe, const char *key, size_t len, uint64_t timeout_ns)
{
        uint64_t  deadline_ns = now_ns() + timeout_ns;
        long long before, after;

        do {
                before = server_gets(probe);
                drop_reply(redisCommand(c, "GET %b", key, len));
                after = server_gets(probe);
                if (!shimmed() || (before == after && c->err == 0))
                        return true;
                sleep_ms(1);
        } while (now_ns() < deadline_ns && c->err == 0);
        return false;
}

static UNUSED void print_bytes(FILE *out, const char *p, size_t len)
{
        uint64_t sum = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < len; i++)
                sum = (sum ^ (unsigned char)p[i]) * UINT64_C(0x100000001b3);
        fprintf(out, "%zu:", len);
        for (size_t i = 0; i < len && i < 160; i++) {
                if (p[i] > ' ' && p[i] < 127 && p[i] != '\\')
                        fputc(p[i], out);
                else
                        fprintf(out, "\\x%02x", (unsigned char)p[i]);
        }
        if (len > 160)
                fprintf(out, "...%016llx", (unsigned long long)sum);
}

/* Every field of a reply, on one line. */
static UNUSED void print_reply(FILE *out, const redisReply *r)
{
        if (r == NULL) {
                fputs("NULL", out);
                return;
        }
        fprintf(out, "%d", r->type);
        if (r->integer != 0 || r->type == REDIS_REPLY_INTEGER)
                fprintf(out, " i=%lld", r->integer);
        if (r->str != NULL) {
                fputs(" s=", out);
                print_bytes(out, r->str, r->len);
                if (r->str[r->len] != '\0')
                        fputs(" UNTERMINATED", out);
        } else if (r->len != 0) {
                fprintf(out, " len=%zu", r->len);
        }
#if HIREDIS_MAJOR >= 1
        if (r->dval != 0 || r->type == REDIS_REPLY_DOUBLE)
                fprintf(out, " d=%.17g", r->dval);
        if (r->vtype[0] != '\0')
                fprintf(out, " v=%.3s", r->vtype);
#endif
        if (r->type == REDIS_REPLY_ARRAY || r->elements != 0 || r->element != NULL) {
                fprintf(out, " [%zu]{", r->elements);
                for (size_t i = 0; i < r->elements; i++) {
                        fputc(' ', out);
                        print_reply(out, r->element[i]);
                        fputs(i + 1 < r->elements ? "," : "", out);
                }
                fputs(" }", out);
        }
}
#endif
