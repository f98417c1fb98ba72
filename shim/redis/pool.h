/* pool.h - connections of our own to one Redis, by whatever hiredis this process has: for the C interface, and for
 * Redis as a tier.
 *
 *   made       pool_lend() found none idle: connected, secured (TLS), made known (config.made), authenticated, its
 *              database selected
 *   lent       to one thread, which has it for itself
 *   idle       pool_return() with `whole`; a few are kept, the rest is freed
 *   freed      broken, or one too many: pool_return() without `whole`, pool_close()
 *
 * A context that has been idle is looked at before it is lent again: one that its server has closed meanwhile is freed.
 * Nothing is connected before it is needed, and nothing is kept open by a thread of ours.
 *
 * Threads: all functions but pool_close() may be called by any number of threads at once. Descriptors belong to the
 * table of the thread that lends: all threads of a pool share one. SIGPIPE is held back from pool_lend() to
 * pool_return(), in that thread, and never reaches the program.
 * Fork: a child drops what its parent had idle at the next pool_lend(): nothing is sent on it. */
#ifndef MT_REDIS_POOL_H
#define MT_REDIS_POOL_H

#include "../../l1/tier/tier.h"
#include "../hiredis/next.h"
#include "address.h"

#include <signal.h>

enum { POOL_IDLE_MAX = 16, POOL_SECRET_MAX = 4096, POOL_WHY_MAX = MT_BACKEND_WHY_MAX };

/* Names of files, for a server that is spoken to through TLS; NULL: none. */
struct pool_tls {
        const char *ca_file, *ca_dir;     /* whom to believe; neither: the system's store */
        const char *cert_file, *key_file; /* what is shown to a server that asks */
        const char *server_name;          /* asked for and checked; NULL: the address' host */
        bool        unverified;           /* believe whoever answers */
};

struct pool_config {
        struct redis_address address;       /* its user and database too */
        const char          *password_file; /* its first line; read anew for each connection; NULL: none */
        /* Instead of the file: the password, at most room bytes, into `to`. False: it cannot be had, and nothing is
         * connected. */
        bool (*password)(void *arg, char *to, size_t room, size_t *len);
        struct pool_tls tls;        /* of rediss:// */
        uint32_t        timeout_ms; /* of connecting, and of each read and write of a socket */
        unsigned        idle;       /* kept at most; 0: POOL_IDLE_MAX */

        /* What the owner of the contexts wants to know of their lives; each may be NULL. Called by the thread that
         * lends or returns, without a lock. made: connected, and secured if the address says so, but not yet
         * authenticated; began_ns: precise time before it began to connect. gone: about to be freed.
         * command: who sends AUTH and SELECT, and returns the reply or NULL; NULL: hiredis itself. */
        void (*made)(void *arg, redisContext *context, const struct hiredis *h, uint64_t began_ns);
        void (*gone)(void *arg, redisContext *context);
        void *(*command)(void *arg, redisContext *context, int argc, const char **argv, const size_t *argvlen);
        void *arg;
};

struct pool;

/* What is wrong with a server, if something is. */
enum pool_trouble {
        POOL_WELL,
        POOL_AWAY,   /* it is not there, or does not answer, or is not ready: worth another attempt */
        POOL_SAYS,   /* it will not do what it was asked to */
        POOL_REFUSED /* it will not have us: a password, a database */
};

/* A context that one thread has. */
struct pool_loan {
        const struct hiredis *hiredis;
        redisContext         *context;
        enum pool_trouble     trouble;
        bool                  fresh;   /* has just been made: the server cannot have closed it while it was idle */
        bool                  sigpipe; /* the pool's: it was blocked, or pending, before */
        sigset_t              sigmask; /* the pool's */
};

/* Strings are copied. NULL: why (POOL_WHY_MAX bytes) has one sentence: no memory, no hiredis, no TLS. A server that is
 * down is no reason. */
struct pool *pool_create(const struct pool_config *config, char *why);
/* Nothing is lent any more. NULL: nothing happens. */
void pool_close(struct pool *pool);

/* MT_ERROR: none can be had; loan->trouble and pool_why() tell, the rest of the loan is void. MT_OK: it goes back by
 * pool_return(), from the same thread. Waits for its timeout to connect, and again for each of TLS, AUTH and SELECT
 * that there are, beside what the resolver takes for a name. Keeps errno. */
enum mt_status pool_lend(struct pool *pool, struct pool_loan *loan);
/* whole: every reply has been read, and the context is as it was. Else it is freed. Keeps errno. */
void pool_return(struct pool *pool, struct pool_loan *loan, bool whole);
/* Free every idle context that there is: its server has gone, as one of them has shown. */
void pool_drop_idle(struct pool *pool);

/* What was wrong the last time, by any thread, and the sentence that goes with it, for a person (POOL_WHY_MAX
 * bytes). */
enum pool_trouble pool_why(struct pool *pool, char *why);
/* Something is wrong: remembered, and said in the log, each kind once a minute. Returns trouble. */
enum pool_trouble pool_say(struct pool *pool, enum pool_trouble trouble, const char *why);
/* What an error means that a server answers: POOL_AWAY, of one that is not ready, or POOL_SAYS. */
enum pool_trouble         pool_trouble_of(struct mt_bytes error);
const struct pool_config *pool_config(const struct pool *pool);
/* The hiredis that all its contexts are of. */
const struct hiredis *pool_hiredis(const struct pool *pool);

#endif
