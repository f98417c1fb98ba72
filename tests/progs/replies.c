/* replies.c - what programs do with replies before they free them, and after: takes str over, exchanges it, shrinks it
 * in place, keeps many, frees them in other threads, other orders, children and destructors. Whatever it does, the next
 * reply must be whole, and one that is held must not change. */
// build: -pthread
#include "common.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/wait.h>

#if HIREDIS_MAJOR >= 1
#include <hiredis/alloc.h>
#endif

enum { SIZES = 48, HELD = 40 };

static redisContext *context, *probe;
static const int     lengths[] = {0,   1,   7,   8,    23,   24,   25,   56,   100,  103,
                                  104, 105, 500, 1000, 1024, 4000, 4095, 4096, 9000, 200000};

static int length_of(int i)
{
        return i < (int)NELEMENTS(lengths) ? lengths[i] : 90 + i;
}

static char byte_of(int i, int at)
{
        return (char)('a' + (i * 7 + at) % 26);
}

static redisReply *get(redisContext *c, int i)
{
        redisReply *r = redisCommand(c, "GET key:%d", i);

        if (r == NULL || r->type != REDIS_REPLY_STRING || r->len != (size_t)length_of(i) || r->str[r->len] != '\0')
                die("GET key:%d: not what was set", i);
        if (r->integer != 0 || r->elements != 0 || r->element != NULL)
                die("GET key:%d: a field that is not 0", i);
        for (int at = 0; at < length_of(i); at++)
                if (r->str[at] != byte_of(i, at))
                        die("GET key:%d: byte %d is another", i, at);
        return r;
}

static void load(redisContext *c)
{
        static char value[200000];

        for (int i = 0; i < SIZES; i++) {
                char key[32];

                for (int at = 0; at < length_of(i); at++)
                        value[at] = byte_of(i, at);
                drop_reply(redisCommand(c, "SET key:%d %b", i, value, (size_t)length_of(i)));
                snprintf(key, sizeof key, "key:%d", i);
                if (!warm(c, probe, key, strlen(key), 5 * NS_PER_S))
                        die("L1 never answered");
        }
        drop_reply(redisCommand(c, "DEL absent list"));
        drop_reply(redisCommand(c, "RPUSH list one two three four five six seven eight nine ten"));
}

/* ---------------------------------------------------------------------------------------- what is done to one */

static void keep_str(redisReply *r)
{
        free(r->str);
        r->str = NULL;
        freeReplyObject(r);
}
static void exchange_str(redisReply *r)
{
        free(r->str);
        r->str = strdup("x");
        freeReplyObject(r);
}
static void exchange_for_larger(redisReply *r)
{
        free(r->str);
        r->str = malloc(3000);
        memset(r->str, 'x', 3000);
        freeReplyObject(r);
}
static void shrink_str(redisReply *r)
{
        char *str = realloc(r->str, r->len / 3 + 1);

        if (str == NULL)
                die("realloc");
        str[r->len / 3] = '\0';
        r->str = str; /* mostly where it was */
        freeReplyObject(r);
}
static void shrink_as_well(redisReply *r)
{
        shrink_str(r); /* with len left as it was, and with len told: */
}
static void shrink_and_say(redisReply *r)
{
        size_t len = r->len / 2;
        char  *str = realloc(r->str, len + 1);

        if (str == NULL)
                die("realloc");
        str[len] = '\0';
        r->str = str;
        r->len = len;
        freeReplyObject(r);
}
static void grow_str(redisReply *r)
{
        char *str = realloc(r->str, r->len + 400);

        if (str == NULL)
                die("realloc");
        memset(str, 'x', r->len + 400);
        r->str = str;
        freeReplyObject(r);
}
static void lie_about_len(redisReply *r)
{
        r->len = r->len % 2 != 0 ? 0 : r->len * 5 + 1000;
        freeReplyObject(r);
}
static void call_it_integer(redisReply *r)
{
        char *str = r->str;

        r->type = REDIS_REPLY_INTEGER;
        r->integer = 42;
        freeReplyObject(r);
        free(str);
}
static void call_it_nil(redisReply *r)
{
        char *str = r->str;

        r->type = REDIS_REPLY_NIL;
        freeReplyObject(r);
        free(str);
}
static void write_all_over(redisReply *r)
{
        memset(r->str, 0xff, r->len + 1);
        r->integer = -1;
        r->elements = 77;
        freeReplyObject(r);
}
static void free_by_hand(redisReply *r)
{
        free(r->str);
        free(r);
}
static void free_plainly(redisReply *r)
{
        freeReplyObject(r);
}
/* To get, in all likelihood, the same addresses for something smaller. */
static void free_by_hand_and_make(redisReply *r)
{
        redisReply *own;
        size_t      len = r->len / 2 + 1;

        free_by_hand(r);
        own = calloc(1, sizeof *own);
        own->type = REDIS_REPLY_STRING;
        own->str = malloc(len);
        own->len = len - 1;
        memset(own->str, 'o', len);
        freeReplyObject(own);
}

static void (*const deeds[])(redisReply *) = {
        free_plainly,   keep_str,       exchange_str, exchange_for_larger, shrink_str,
        shrink_as_well, shrink_and_say, grow_str,     lie_about_len,       call_it_integer,
        call_it_nil,    write_all_over, free_by_hand, free_plainly,        free_by_hand_and_make,
};

static void each_deed(void)
{
        redisReply *held[SIZES];

        for (int i = 0; i < SIZES; i++)
                held[i] = get(context, i);
        for (size_t d = 0; d < NELEMENTS(deeds); d++) {
                for (int i = 0; i < SIZES; i++) {
                        deeds[d](get(context, i));
                        deeds[d](get(context, i));
                        freeReplyObject(get(context, (i + 1) % SIZES));
                        freeReplyObject(get(context, i));
                        drop_reply(redisCommand(context, "GET absent"));
                }
        }
        for (int i = 0; i < SIZES; i++) {
                for (int at = 0; at < length_of(i); at++)
                        if (held[i]->str[at] != byte_of(i, at))
                                die("a reply that was held has changed");
                freeReplyObject(held[i]);
        }
        puts("each deed, every size");
}

/* ------------------------------------------------------------------------------------------------- many, others' */

static void many_held(redisContext *c, unsigned seed)
{
        redisReply *held[HELD] = {NULL};
        int         which[HELD];

        for (int n = 0; n < 4000; n++) {
                int at = rand_r(&seed) % HELD;

                if (held[at] != NULL) {
                        if (held[at]->len > 0 &&
                            held[at]->str[held[at]->len - 1] != byte_of(which[at], length_of(which[at]) - 1))
                                die("a reply that was held has changed");
                        deeds[(unsigned)rand_r(&seed) % NELEMENTS(deeds)](held[at]);
                        held[at] = NULL;
                } else {
                        which[at] = rand_r(&seed) % SIZES;
                        if (length_of(which[at]) > 5000)
                                which[at] = 8;
                        held[at] = get(c, which[at]);
                }
        }
        for (int at = 0; at < HELD; at++)
                drop_reply(held[at]);
}

static void others_replies(void)
{
        static const char nested[] = "*3\r\n$3\r\nabc\r\n*1\r\n$-1\r\n:7\r\n", half[] = "*2\r\n$3\r\nabc\r\n$9\r\nhalf";
        const char       *pong[] = {"GET", "list"};
        redisReader      *reader = redisReaderCreate();
        void             *reply = NULL;

        for (int i = 0; i < 200; i++) {
                redisReply *r = redisCommand(context, "LRANGE list 0 -1");

                if (r == NULL || r->type != REDIS_REPLY_ARRAY || r->elements != 10 ||
                    strcmp(r->element[9]->str, "ten") != 0)
                        die("LRANGE");
                freeReplyObject(r);
                drop_reply(redisCommand(context, "STRLEN key:8"));
                drop_reply(redisCommandArgv(context, 2, pong, NULL)); /* an error */
                freeReplyObject(get(context, i % SIZES));
                redisReaderFeed(reader, nested, strlen(nested));
                if (redisReaderGetReply(reader, &reply) != REDIS_OK || reply == NULL)
                        die("reader");
                freeReplyObject(reply);
        }
        redisReaderFeed(reader, half, strlen(half)); /* freed with the reader */
        redisReaderGetReply(reader, &reply);
        redisReaderFree(reader);
        errno = 77;
        freeReplyObject(NULL);
        freeReplyObject(get(context, 8));
        printf("others' replies, errno %d\n", errno);
}

/* ------------------------------------------------------------------------------------------------- threads, fork */

static pthread_key_t key;

static void late(void *arg)
{
        redisReply *r = arg;

        freeReplyObject(r); /* after, or before, whatever else ends with the thread */
}

static void *thread(void *arg)
{
        redisContext *c = must_connect();
        redisReply  **slot = arg;

        drop_reply(*slot);
        many_held(c, 5);
        pthread_setspecific(key, get(c, 8));
        *slot = get(c, 9);
        redisFree(c);
        return NULL;
}

static void threads(void)
{
        redisReply *between = NULL;

        pthread_key_create(&key, late);
        for (int i = 0; i < 6; i++) {
                pthread_t t;

                if (pthread_create(&t, NULL, thread, &between) != 0 || pthread_join(t, NULL) != 0)
                        die("thread");
                if (i % 2 == 0) {
                        freeReplyObject(between);
                        between = get(context, 10);
                }
        }
        drop_reply(between);
        puts("threads");
}

static void children(void)
{
        redisReply *r = get(context, 8);
        int         status;
        pid_t       pid;

        freeReplyObject(get(context, 9));
        fflush(stdout);
        pid = fork();
        if (pid == 0) {
                redisContext *c = must_connect();

                freeReplyObject(r);
                many_held(c, 9);
                redisFree(c);
                redisFree(context); /* for the leak check */
                redisFree(probe);
                _exit(0);
        }
        if (waitpid(pid, &status, 0) != pid || status != 0)
                die("child");
        freeReplyObject(r);
        freeReplyObject(get(context, 9));
        puts("a child");
}

#if HIREDIS_MAJOR >= 1
static long made, ended;

static void *own_malloc(size_t n)
{
        char *p = malloc(n + 16);

        made++;
        return p != NULL ? p + 16 : NULL;
}
static void *own_calloc(size_t n, size_t size)
{
        void *p = own_malloc(n * size);

        return p != NULL ? memset(p, 0, n * size) : NULL;
}
static void own_free(void *p)
{
        ended += p != NULL;
        free(p != NULL ? (char *)p - 16 : NULL);
}
static void *own_realloc(void *p, size_t n)
{
        char *to = realloc(p != NULL ? (char *)p - 16 : NULL, n + 16);

        made += p == NULL;
        return to != NULL ? to + 16 : NULL;
}
static char *own_strdup(const char *s)
{
        char *p = own_malloc(strlen(s) + 1);

        return p != NULL ? strcpy(p, s) : NULL;
}

/* In the middle of everything, and back: what was made by one is never freed by the other. */
static void allocators(void)
{
        hiredisAllocFuncs own = {own_malloc, own_calloc, own_realloc, own_strdup, own_free};
        redisContext     *c;

        freeReplyObject(get(context, 8));
        redisFree(context);
        hiredisSetAllocators(&own);
        c = must_connect();
        for (int i = 0; i < 100; i++)
                freeReplyObject(get(c, 8));
        redisFree(c);
        hiredisResetAllocators();
        if (made == 0 || made != ended)
                die("%ld blocks made, %ld ended", made, ended);
        context = must_connect();
        freeReplyObject(get(context, 8));
}
#else
static void allocators(void)
{
}
#endif

static redisReply *last;

__attribute__((destructor)) static void at_the_end(void)
{
        drop_reply(last);
}

int main(void)
{
        freeReplyObject(calloc(1, sizeof(redisReply))); /* before hiredis was asked for anything */
        context = must_connect();
        probe = must_connect();
        load(context);
        each_deed();
        many_held(context, 1);
        others_replies();
        threads();
        children();
        allocators();
        last = get(context, 8);
        redisFree(probe);
        redisFree(context);
        puts("the end");
        return 0;
}
