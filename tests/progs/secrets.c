/* secrets.c - a program that keeps no password longer than it must: each block that is freed is wiped (those that
 * hiredis frees too), and so is its own copy. What is left of one in its memory is somebody else's.
 *
 *   secrets PASSWORD-FILE TELL [FORM...] [unanswered] [keep]
 *
 * PASSWORD-FILE is alice's password. Authenticates in every FORM (all of them when none is named), reads "k" until L1
 * answers, makes the file TELL and waits until it is gone. unanswered: then it sends another AUTH
 * first, and leaves the answer where it is; keep: and forgets to wipe its copy. */
#include "async.h"

#include <fcntl.h>
#include <malloc.h>

enum { PASSWORD_MAX = 256, HEAD = 3 };

static char          password[PASSWORD_MAX], kept[PASSWORD_MAX];
static redisContext *c;

/* ----------------------------------------------------------------------------- blocks are wiped when they are freed */

void *__libc_malloc(size_t size);
void  __libc_free(void *block);

void free(void *block)
{
        if (block != NULL)
                explicit_bzero(block, malloc_usable_size(block));
        __libc_free(block);
}

void *realloc(void *block, size_t size)
{
        size_t had = block != NULL ? malloc_usable_size(block) : 0;
        void  *moved = __libc_malloc(size);

        if (moved == NULL)
                return NULL;
        if (had > 0)
                memcpy(moved, block, had < size ? had : size);
        free(block);
        return moved;
}

/* ------------------------------------------------------------------------------------------------------------ forms */

static void must(void *reply, const char *form)
{
        redisReply *r = reply;

        if (r == NULL || r->type == REDIS_REPLY_ERROR)
                die("%s: %s", form, r != NULL ? r->str : c->errstr);
        freeReplyObject(r);
}

static void take(const char *form)
{
        void *r = NULL;

        if (redisGetReply(c, &r) != REDIS_OK)
                die("%s: %s", form, c->errstr);
        must(r, form);
}

static void by_format(const char *form)
{
        must(redisCommand(c, "AUTH alice %s", password), form);
}

/* The word is joined from pieces. */
static void by_pieces(const char *form)
{
        must(redisCommand(c, "%s%s al%s %b%s", "AU", "TH", "ice", password, (size_t)HEAD, password + HEAD), form);
}

static void by_joined(const char *form)
{
        must(redisCommand(c, "AUTH alice %b%s", password, (size_t)HEAD, password + HEAD), form);
}

static void by_argv(const char *form)
{
        const char *argv[] = {"AUTH", "alice", password};

        must(redisCommandArgv(c, 3, argv, NULL), form);
}

static void by_pipeline(const char *form)
{
        redisAppendCommand(c, "AUTH %s %s", "alice", password);
        redisAppendCommand(c, "AUTH %s %s", "alice", password);
        redisAppendCommand(c, "HELLO 2 AUTH alice %b%s", password, (size_t)HEAD, password + HEAD);
        take(form);
        take(form);
        take(form);
        if (redisReconnect(c) != REDIS_OK) /* whoever it was is not certain any more */
                die("%s: %s", form, c->errstr);
}

static void by_resp(const char *form)
{
        char *resp;
        int   len = redisFormatCommand(&resp, "AUTH alice %s", password);

        redisAppendFormattedCommand(c, resp, (size_t)len);
        redisFreeCommand(resp);
        take(form);
}

static void by_hello(const char *form)
{
        must(redisCommand(c, "HELLO 2 AUTH alice %s SETNAME secrets", password), form);
}

static void by_transaction(const char *form)
{
        must(redisCommand(c, "MULTI"), form);
        must(redisCommand(c, "AUTH alice %s", password), form);
        must(redisCommand(c, "EXEC"), form);
        if (redisReconnect(c) != REDIS_OK)
                die("%s: %s", form, c->errstr);
}

static void by_mistake(const char *form)
{
        (void)form;
        drop_reply(redisCommand(c, "AUTH bob %s", password));
        drop_reply(redisCommand(c, "AUTH %s", password));
        drop_reply(redisCommand(c, "AUTH alice %s too many", password));
        drop_reply(redisCommand(c, "HELLO 2 AUTH bob %s", password));
        if (redisReconnect(c) != REDIS_OK)
                die("%s: %s", form, c->errstr);
}

static bool async_done;

static void on_auth(redisAsyncContext *ac, void *reply, void *form)
{
        redisReply *r = reply;

        (void)ac;
        if (r == NULL || r->type == REDIS_REPLY_ERROR)
                die("%s", (const char *)form);
        async_done = true;
}

static void by_async(const char *form)
{
        redisAsyncContext *ac = async_connect();

        redisAsyncCommand(ac, on_auth, (void *)(uintptr_t)form, "AUTH alice %b%s", password, (size_t)HEAD,
                          password + HEAD);
        async_until(ac, &async_done);
        redisAsyncFree(ac);
}

static void by_rights(const char *form)
{
        must(redisCommand(c, "ACL SETUSER carol on >%s", password), form);
        must(redisCommand(c, "CONFIG SET requirepass %b%s", password, (size_t)HEAD, password + HEAD), form);
        must(redisCommand(c, "CONFIG SET requirepass %s", ""), form);
}

static const struct {
        const char *name;
        void (*f)(const char *form);
} forms[] = {
        {"format", by_format},     {"pieces", by_pieces}, {"joined", by_joined}, {"argv", by_argv},
        {"pipeline", by_pipeline}, {"resp", by_resp},     {"hello", by_hello},   {"transaction", by_transaction},
        {"mistake", by_mistake},   {"async", by_async},   {"rights", by_rights}, {"again", by_format},
};

/* ------------------------------------------------------------------------------------------------------------ main */

/* What calls have left on this thread's stack and in its vector registers: hiredis copies passwords too. */
static __attribute__((noinline)) void scrub(void)
{
        char below[1 << 18];

        explicit_bzero(below, sizeof(below));
#ifdef __x86_64__
        if (__builtin_cpu_supports("avx"))
                __asm__ volatile("vzeroall" : : : "memory");
        if (__builtin_cpu_supports("avx512f"))
                __asm__ volatile(".irp n,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
                                 "vpxorq %%zmm\\n, %%zmm\\n, %%zmm\\n\n"
                                 ".endr"
                                 :
                                 :
                                 : "memory");
#endif
}

/* A whole one on the stack, where calls that are over have been. Pieces may be: registers that were put there. */
static __attribute__((noinline)) void look_below(const char *form)
{
        enum { DEPTH = 1 << 16 };
        const char *bottom = (const char *)__builtin_frame_address(0) - DEPTH;
        size_t      len = strlen(password);

        for (const char *p = bottom; p < bottom + DEPTH - 512; p++)
                if (*p == *password && memcmp(p, password, len) == 0)
                        die("%s leaves the password on the stack", form);
}

static bool wants(int argc, char **argv, const char *word)
{
        for (int i = 3; i < argc; i++)
                if (strcmp(argv[i], word) == 0)
                        return true;
        return false;
}

static bool wants_any_form(int argc, char **argv)
{
        for (size_t i = 0; i < NELEMENTS(forms); i++)
                if (wants(argc, argv, forms[i].name))
                        return true;
        return false;
}

int main(int argc, char **argv)
{
        redisContext *probe;
        int           done = 0, fd = argc > 2 ? open(argv[1], O_RDONLY) : -1;
        ssize_t       len = read(fd, password, sizeof(password) - 1);

        if (len <= HEAD)
                die("no password");
        close(fd);
        c = must_connect();
        probe = must_connect();
        for (size_t i = 0; i < NELEMENTS(forms); i++)
                if (!wants_any_form(argc, argv) || wants(argc, argv, forms[i].name)) {
                        forms[i].f(forms[i].name);
                        look_below(forms[i].name);
                }
        if (!warm(c, probe, "k", 1, 5 * NS_PER_S))
                die("L1 never answered");
        if (wants(argc, argv, "unanswered")) {
                redisAppendCommand(c, "AUTH alice %s", password);
                while (!done)
                        if (redisBufferWrite(c, &done) != REDIS_OK)
                                die("unanswered: %s", c->errstr);
        }
        if (wants(argc, argv, "keep"))
                memcpy(kept, password, sizeof(kept));
        __asm__ volatile("" : : "r"(kept) : "memory"); /* it is looked at by others */
        explicit_bzero(password, sizeof(password));
        scrub();
        if ((fd = open(argv[2], O_CREAT | O_WRONLY, 0600)) < 0)
                die("%s", argv[2]);
        close(fd);
        while (access(argv[2], F_OK) == 0)
                sleep_ms(2);
        return 0;
}
