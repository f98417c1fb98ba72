/* abi.c - which of the two layouts a loaded hiredis has.
 * The symbols propose, a private reader and a private context dispose: every offset that we use is seen to hold what it
 * should before it is believed. Anything else leaves abi.known false, and the program runs as without us. */
#include "abi.h"

#include "guard.h"
#include "next.h"

#include "../../l1/base/log.h"

#include <dlfcn.h>
#include <string.h>

static const struct abi abi_a = {
        .letter = 'A',
        .reply_size = 48,
        .reply_integer = 8,
        .reply_len = 16,
        .reply_str = 24,
        .reply_elements = 32,
        .reply_element = 40,
        .err = 0,
        .connection_type = 160,
        .unix_path = 200,
        .privctx = 0,
        .fn = 544,
};

static const struct abi abi_b = {
        .letter = 'B',
        .reply_size = 64,
        .reply_integer = 8,
        .reply_len = 24,
        .reply_str = 32,
        .reply_elements = 48,
        .reply_element = 56,
        .err = 8,
        .connection_type = 168,
        .unix_path = 216,
        .privctx = 256,
        .fn = 200,
};

/* freeObject is the last of the reply functions: A has five of them, B seven. */
enum { ABI_FREE_OBJECT_A = 4, ABI_FREE_OBJECT_B = 6 };

static bool abi_same_library(const void *a, const void *b)
{
        Dl_info where_a, where_b;

        return dladdr(a, &where_a) != 0 && dladdr(b, &where_b) != 0 && where_a.dli_fbase == where_b.dli_fbase;
}

/* The table that a new reader points to must lie in the library itself before we look into it. */
static bool abi_default_functions(const struct hiredis *h, struct abi *abi, const redisReader *reader)
{
        const void *const *functions = ABI_FIELD(const void *const *, reader, abi->fn);
        int                last = abi->letter == 'A' ? ABI_FREE_OBJECT_A : ABI_FREE_OBJECT_B;

        if (functions == NULL || !abi_same_library(functions, (const void *)(uintptr_t)h->redisReaderCreate))
                return false;
        /* The library's own, or our door, which the table's relocation finds first unless it was linked -Bsymbolic. */
        if (functions[last] != (const void *)(uintptr_t)h->freeReplyObject && !next_is_ours(functions[last]))
                return false;
        abi->default_fn = functions;
        return true;
}

static bool abi_reader_fits(const struct hiredis *h, struct abi *abi)
{
        static const char list[] = "*1\r\n$3\r\nxyz\r\n";
        redisReader      *reader = h->redisReaderCreate();
        const void       *element;
        void             *reply = NULL;
        bool              fits = false;

        if (reader == NULL)
                return false;
        if (!abi_default_functions(h, abi, reader))
                goto out;
        /* Half of a reply first: what is buffered shows where buf, pos and len are. */
        if (h->redisReaderFeed(reader, list, 7) != REDIS_OK || ABI_FIELD(size_t, reader, ABI_READER_POS) != 0 ||
            ABI_FIELD(size_t, reader, ABI_READER_LEN) != 7 ||
            memcmp(ABI_FIELD(const char *, reader, ABI_READER_BUF), list, 7) != 0)
                goto out;
        if (h->redisReaderFeed(reader, list + 7, sizeof list - 1 - 7) != REDIS_OK ||
            h->redisReaderGetReply(reader, &reply) != REDIS_OK || reply == NULL)
                goto out;
        if (abi_reply_type(reply) == ABI_REPLY_ARRAY && abi_reply_elements(abi, reply) == 1) {
                element = abi_reply_element(abi, reply, 0);
                fits = abi_reply_type(element) == ABI_REPLY_STRING && abi_reply_len(abi, element) == 3 &&
                       memcmp(abi_reply_str(abi, element), "xyz", 4) == 0;
        }
        fits = fits && ABI_FIELD(size_t, reader, ABI_READER_POS) == ABI_FIELD(size_t, reader, ABI_READER_LEN);
        h->freeReplyObject(reply);
out:
        h->redisReaderFree(reader);
        return fits;
}

/* A context around a descriptor number that cannot exist: nothing is connected, nothing is closed. */
static bool abi_context_fits(struct hiredis *h, const struct abi *abi)
{
        enum { NO_SUCH_FD = 0x3fffff1d };
        redisContext *c = h->redisConnectFd(NO_SUCH_FD);
        const char   *obuf;
        const void   *reader;
        bool          fits;

        if (c == NULL)
                return false;
        obuf = ABI_CONTEXT(const char *, abi, c, OBUF);
        reader = ABI_CONTEXT(const void *, abi, c, READER);
        fits = ABI_CONTEXT(int, abi, c, ERR) == 0 && ABI_CONTEXT(int, abi, c, FD) == NO_SUCH_FD && obuf != NULL &&
               obuf[0] == '\0' && reader != NULL && ABI_FIELD(const void *, reader, abi->fn) == abi->default_fn &&
               (abi->privctx == 0 || ABI_FIELD(void *, c, abi->privctx) == NULL);
        if (fits) {
                const char *ping[] = {"PING"};
                unsigned    replies = guard.replies;

                /* Fails, the descriptor being what it is; what matters is by which way it fails. */
                if (h->redisCommandArgv(c, 1, ping, NULL) != NULL)
                        fits = false;
                h->visible = guard.replies != replies;
        }
        h->redisFreeKeepFd(c);
        return fits;
}

void abi_probe(struct hiredis *h, void *alloc_fns, void *push_callback)
{
        h->abi = (struct abi){.letter = '?'};
        if ((alloc_fns == NULL) != (push_callback == NULL)) {
                log_line(LOG_WARN, "this hiredis is neither 0.13-0.14 nor 1.x: nothing is cached");
                return;
        }
        struct abi abi = alloc_fns != NULL ? abi_b : abi_a;

        if (!abi_reader_fits(h, &abi) || !abi_context_fits(h, &abi)) {
                log_line(LOG_WARN,
                         "the structs of this hiredis (layout %c by its symbols) are not where they should be: "
                         "nothing is cached",
                         abi.letter);
                return;
        }
        abi.allocators = alloc_fns;
        abi.known = true;
        h->abi = abi;
}
