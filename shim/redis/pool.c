/* pool.c - owns the idle contexts, and how one is made.
 * The lock is held for the list and the last reason, never around a wait. A child of a fork finds in the list what its
 * parent had: two processes would read each other's replies, so it is freed there (which closes the child's copy of the
 * descriptor and sends nothing; hiredis ends TLS without a word, too). */
#include "pool.h"

#include "pool_tls.h"

#include "../../l1/base/clock.h"
#include "../../l1/base/forklock.h"
#include "../../l1/base/log.h"
#include "../../l1/base/secret.h"
#include "../hiredis/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { POOL_SAY_AGAIN_S = 60 };

struct pool {
        struct pool_config    config; /* its strings are this pool's */
        const struct hiredis *hiredis;
        struct pool_secure   *secure;
        struct timeval        timeout;

        struct forklock   lock; /* for all that follows */
        int32_t           pid;  /* whose contexts these are */
        unsigned          idle;
        redisContext     *context[POOL_IDLE_MAX]; /* the one that came back last is lent first: the others grow old */
        enum pool_trouble trouble;
        char              why[POOL_WHY_MAX];

        _Atomic uint64_t said_ns[POOL_REFUSED + 1];
};

/* --------------------------------------------------------------------------------------------- its life, its words */

static bool pool_copy(const char **string)
{
        if (*string == NULL)
                return true;
        *string = strdup(*string);
        return *string != NULL;
}

static void pool_free_strings(struct pool_config *c)
{
        const char *own[] = {c->password_file, c->tls.ca_file,  c->tls.ca_dir,
                             c->tls.cert_file, c->tls.key_file, c->tls.server_name};

        for (unsigned i = 0; i < sizeof own / sizeof *own; i++)
                free((char *)(uintptr_t)own[i]);
}

/* All of them are tried, so that none is left that is the caller's. */
static bool pool_copy_strings(struct pool_config *c)
{
        const char **all[] = {&c->password_file, &c->tls.ca_file,  &c->tls.ca_dir,
                              &c->tls.cert_file, &c->tls.key_file, &c->tls.server_name};
        bool         good = true;

        for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
                good &= pool_copy(all[i]);
        return good;
}

struct pool *pool_create(const struct pool_config *config, char *why)
{
        struct pool *pool = calloc(1, sizeof *pool);

        if (pool == NULL) {
                snprintf(why, POOL_WHY_MAX, "no memory");
                return NULL;
        }
        pool->config = *config;
        if (pool->config.idle == 0 || pool->config.idle > POOL_IDLE_MAX)
                pool->config.idle = POOL_IDLE_MAX;
        pool->timeout.tv_sec = config->timeout_ms / 1000;
        pool->timeout.tv_usec = config->timeout_ms % 1000 * 1000;
        pool->pid = getpid();
        if (!pool_copy_strings(&pool->config)) {
                snprintf(why, POOL_WHY_MAX, "no memory");
                goto failed;
        }
        pool->hiredis = next_any();
        if (pool->hiredis == NULL || pool->hiredis->redisConnectWithTimeout == NULL ||
            pool->hiredis->redisConnectUnixWithTimeout == NULL || pool->hiredis->redisGetReplyFromReader == NULL) {
                snprintf(why, POOL_WHY_MAX, "no hiredis is found in this process, or in the system's folders");
                goto failed;
        }
        if (config->address.secured) {
                pool->secure = pool_secure_open(pool->hiredis, &pool->config.tls, config->address.host, why);
                if (pool->secure == NULL)
                        goto failed;
        }
        return pool;
failed:
        pool_free_strings(&pool->config);
        free(pool);
        return NULL;
}

enum pool_trouble pool_say(struct pool *pool, enum pool_trouble trouble, const char *why)
{
        const struct redis_address *a = &pool->config.address;

        forklock_acquire(&pool->lock);
        pool->trouble = trouble;
        snprintf(pool->why, sizeof pool->why, "%s", why);
        forklock_release(&pool->lock);
        if (trouble == POOL_WELL)
                return trouble;
        if (a->path)
                log_limited(&pool->said_ns[trouble], POOL_SAY_AGAIN_S * NS_PER_S, LOG_WARN, "Redis at %s: %s", a->host,
                            why);
        else
                log_limited(&pool->said_ns[trouble], POOL_SAY_AGAIN_S * NS_PER_S, LOG_WARN, "Redis at %s, port %u: %s",
                            a->host, (unsigned)a->port, why);
        return trouble;
}

enum pool_trouble pool_why(struct pool *pool, char *why)
{
        enum pool_trouble trouble;

        forklock_acquire(&pool->lock);
        trouble = pool->trouble;
        memcpy(why, pool->why, POOL_WHY_MAX);
        forklock_release(&pool->lock);
        return trouble;
}

const struct pool_config *pool_config(const struct pool *pool)
{
        return &pool->config;
}

const struct hiredis *pool_hiredis(const struct pool *pool)
{
        return pool->hiredis;
}

/* ----------------------------------------------------------------------------------------------- a context is made */

static void pool_end(struct pool *pool, redisContext *context)
{
        guard_enter(pool->hiredis);
        pool->hiredis->redisFree(context);
        guard_leave();
}

/* One that its owner has been told of. */
static void pool_free(struct pool *pool, redisContext *context)
{
        if (pool->config.gone != NULL)
                pool->config.gone(pool->config.arg, context);
        pool_end(pool, context);
}

static void *pool_command(struct pool *pool, redisContext *context, int argc, const char **argv, const size_t *argvlen)
{
        void *reply;

        if (pool->config.command != NULL)
                return pool->config.command(pool->config.arg, context, argc, argv, argvlen);
        guard_enter(pool->hiredis);
        reply = pool->hiredis->redisCommandArgv(context, argc, argv, argvlen);
        guard_leave();
        return reply;
}

enum pool_trouble pool_trouble_of(struct mt_bytes error)
{
        static const char *const passing[] = {"LOADING", "BUSY ", "MASTERDOWN", "UNBLOCKED",
                                              "ERR max number of clients"};

        for (unsigned i = 0; i < sizeof passing / sizeof *passing; i++)
                if (error.len >= strlen(passing[i]) && memcmp(error.ptr, passing[i], strlen(passing[i])) == 0)
                        return POOL_AWAY;
        return POOL_SAYS;
}

/* A command that must be answered by +OK before anything else is sent. */
static enum pool_trouble pool_demand(struct pool *pool, redisContext *context, int argc, const char **argv,
                                     const size_t *argvlen)
{
        const struct abi *abi = &pool->hiredis->abi;
        enum pool_trouble trouble = POOL_WELL;
        char              why[POOL_WHY_MAX];
        void             *reply = pool_command(pool, context, argc, argv, argvlen);

        if (reply == NULL) {
                snprintf(why, sizeof why, "it does not answer %s: %s", argv[0],
                         &ABI_FIELD(const char, context, abi->err + ABI_CONTEXT_ERRSTR));
                return pool_say(pool, POOL_AWAY, why);
        }
        if (abi_reply_type(reply) != ABI_REPLY_STATUS) {
                struct mt_bytes error = mt_bytes_of("no answer");

                if (abi_reply_type(reply) == ABI_REPLY_ERROR)
                        error = mt_bytes(abi_reply_str(abi, reply), abi_reply_len(abi, reply));
                snprintf(why, sizeof why, "it refuses %s: %.200s", argv[0], error.ptr);
                trouble = pool_say(pool, pool_trouble_of(error) == POOL_AWAY ? POOL_AWAY : POOL_REFUSED, why);
        }
        pool->hiredis->freeReplyObject(reply);
        return trouble;
}

static bool pool_password(struct pool *pool, char password[POOL_SECRET_MAX], size_t *len)
{
        const struct pool_config *config = &pool->config;

        *len = 0;
        if (config->password != NULL)
                return config->password(config->arg, password, POOL_SECRET_MAX, len);
        if (config->password_file != NULL)
                return secret_read_line(config->password_file, password, POOL_SECRET_MAX, len);
        return true; /* a user without a password */
}

static enum pool_trouble pool_authenticate(struct pool *pool, redisContext *context)
{
        const struct pool_config *config = &pool->config;
        char                      password[POOL_SECRET_MAX];
        const char               *argv[3] = {"AUTH", config->address.user, password};
        size_t                    argvlen[3] = {4, strlen(config->address.user)};
        enum pool_trouble         trouble;

        if (config->password == NULL && config->password_file == NULL && config->address.user[0] == '\0')
                return POOL_WELL;
        if (!pool_password(pool, password, &argvlen[2]))
                return pool_say(pool, POOL_REFUSED, "the password cannot be read");
        if (argvlen[1] == 0) { /* AUTH of servers before 6, and of the default user */
                argv[1] = argv[2];
                argvlen[1] = argvlen[2];
                trouble = pool_demand(pool, context, 2, argv, argvlen);
        } else {
                trouble = pool_demand(pool, context, 3, argv, argvlen);
        }
        explicit_bzero(password, sizeof password);
        return trouble;
}

static enum pool_trouble pool_select(struct pool *pool, redisContext *context)
{
        char        number[12];
        const char *argv[2] = {"SELECT", number};
        size_t      argvlen[2] = {6};

        if (pool->config.address.database == 0)
                return POOL_WELL;
        argvlen[1] = (size_t)snprintf(number, sizeof number, "%u", (unsigned)pool->config.address.database);
        return pool_demand(pool, context, 2, argv, argvlen);
}

/* Of a socket whose peer says nothing: neither a read nor a write waits for ever. */
static void pool_limit(struct pool *pool, redisContext *context)
{
        int fd = ABI_CONTEXT(int, &pool->hiredis->abi, context, FD);

        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &pool->timeout, sizeof pool->timeout);
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &pool->timeout, sizeof pool->timeout);
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static bool pool_failed(struct pool *pool, const redisContext *context)
{
        const struct abi *abi = &pool->hiredis->abi;
        char              why[POOL_WHY_MAX];

        if (ABI_CONTEXT(int, abi, context, ERR) == 0)
                return false;
        snprintf(why, sizeof why, "%s", &ABI_FIELD(const char, context, abi->err + ABI_CONTEXT_ERRSTR));
        pool_say(pool, POOL_AWAY, why);
        return true;
}

static redisContext *pool_dial(struct pool *pool)
{
        const struct redis_address *a = &pool->config.address;
        redisContext               *context;

        guard_enter(pool->hiredis);
        context = a->path ? pool->hiredis->redisConnectUnixWithTimeout(a->host, pool->timeout)
                          : pool->hiredis->redisConnectWithTimeout(a->host, a->port, pool->timeout);
        guard_leave();
        return context;
}

static bool pool_secure(struct pool *pool, redisContext *context)
{
        if (pool->secure == NULL || pool_secure_start(pool->secure, context))
                return true;
        if (!pool_failed(pool, context))
                pool_say(pool, POOL_AWAY, "TLS cannot be set up");
        return false;
}

/* NULL: *trouble says what kind. */
static redisContext *pool_connect(struct pool *pool, enum pool_trouble *trouble)
{
        const struct pool_config *config = &pool->config;
        uint64_t                  began_ns = clock_precise_ns();
        redisContext             *context = pool_dial(pool);

        *trouble = POOL_AWAY;
        if (context == NULL) {
                pool_say(pool, POOL_AWAY, "no memory");
                return NULL;
        }
        if (pool_failed(pool, context))
                goto nobody_knows;
        pool_limit(pool, context);
        if (!pool_secure(pool, context))
                goto nobody_knows;
        if (config->made != NULL)
                config->made(config->arg, context, pool->hiredis, began_ns);
        *trouble = pool_authenticate(pool, context);
        if (*trouble == POOL_WELL)
                *trouble = pool_select(pool, context);
        if (*trouble == POOL_WELL) {
                pool_say(pool, POOL_WELL, "");
                return context;
        }
        pool_free(pool, context);
        return NULL;
nobody_knows:
        pool_end(pool, context);
        return NULL;
}

/* -------------------------------------------------------------------------------------------------- lend and return */

/* A child has none of its own yet. Taken over in the middle of a change, the list is not believed: it leaks. */
static redisContext *pool_take(struct pool *pool)
{
        redisContext *inherited[POOL_IDLE_MAX], *context = NULL;
        unsigned      n = 0;

        if (forklock_acquire(&pool->lock))
                pool->idle = 0;
        if (pool->pid != forklock_self()) {
                n = pool->idle;
                memcpy(inherited, pool->context, sizeof inherited);
                pool->idle = 0;
                pool->pid = forklock_self();
        }
        if (pool->idle > 0)
                context = pool->context[--pool->idle];
        forklock_release(&pool->lock);
        while (n > 0)
                pool_free(pool, inherited[--n]);
        return context;
}

/* Nobody has anything to say to a context that asked for nothing, but that it is the end. */
static bool pool_is_well(struct pool *pool, const redisContext *context)
{
        struct pollfd p = {.fd = ABI_CONTEXT(int, &pool->hiredis->abi, context, FD), .events = POLLIN};

        return poll(&p, 1, 0) == 0;
}

static void pool_hold_sigpipe(struct pool_loan *loan)
{
        sigset_t sigpipe, pending;

        sigemptyset(&sigpipe);
        sigaddset(&sigpipe, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &sigpipe, &loan->sigmask);
        loan->sigpipe = sigismember(&loan->sigmask, SIGPIPE) == 1 && sigpending(&pending) == 0 &&
                        sigismember(&pending, SIGPIPE) == 1;
}

/* One that a write of ours has raised is taken away; it can only have been one that failed. */
static void pool_release_sigpipe(const struct pool_loan *loan, bool whole)
{
        const struct timespec none = {0};
        sigset_t              sigpipe;

        if (!whole && !loan->sigpipe) {
                sigemptyset(&sigpipe);
                sigaddset(&sigpipe, SIGPIPE);
                while (sigtimedwait(&sigpipe, NULL, &none) < 0 && errno == EINTR)
                        ;
        }
        pthread_sigmask(SIG_SETMASK, &loan->sigmask, NULL);
}

enum mt_status pool_lend(struct pool *pool, struct pool_loan *loan)
{
        int saved_errno = errno;

        *loan = (struct pool_loan){.hiredis = pool->hiredis};
        pool_hold_sigpipe(loan);
        while ((loan->context = pool_take(pool)) != NULL && !pool_is_well(pool, loan->context))
                pool_free(pool, loan->context);
        if (loan->context == NULL) {
                loan->context = pool_connect(pool, &loan->trouble);
                loan->fresh = true;
        }
        if (loan->context == NULL)
                pool_release_sigpipe(loan, false);
        errno = saved_errno;
        return loan->context != NULL ? MT_OK : MT_ERROR;
}

void pool_return(struct pool *pool, struct pool_loan *loan, bool whole)
{
        int  saved_errno = errno;
        bool kept = false;

        if (whole && ABI_CONTEXT(int, &pool->hiredis->abi, loan->context, ERR) == 0) {
                forklock_acquire(&pool->lock);
                kept = pool->pid == forklock_self() && pool->idle < pool->config.idle;
                if (kept)
                        pool->context[pool->idle++] = loan->context;
                forklock_release(&pool->lock);
        }
        if (!kept)
                pool_free(pool, loan->context);
        loan->context = NULL;
        pool_release_sigpipe(loan, whole);
        errno = saved_errno;
}

void pool_drop_idle(struct pool *pool)
{
        redisContext *context;
        int           saved_errno = errno;

        while ((context = pool_take(pool)) != NULL)
                pool_free(pool, context);
        errno = saved_errno;
}

void pool_close(struct pool *pool)
{
        if (pool == NULL)
                return;
        pool_drop_idle(pool);
        pool_secure_close(pool->secure);
        pool_free_strings(&pool->config);
        free(pool);
}
