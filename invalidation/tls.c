/* tls.c - the functions of OpenSSL, the gate around them, and a link's way through them.
 *
 *   NEW    -> LOADING -> READY   tls_load(), by one thread of the program
 *             LOADING -> FAILED  no OpenSSL: for good
 *             LOADING -> NEW     a fork in between: tls_after_fork() in the child
 *
 * Owns: the table of functions, the gate, and what is made of each set of names (tls_names.context). */
#include "tls.h"

#include "tls_names.h"

#include "../l1/base/assert.h"
#include "../l1/base/forklock.h"
#include "../l1/base/log.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* OpenSSL's own names for what it hides. */
typedef struct ossl_init_settings_st OPENSSL_INIT_SETTINGS;
typedef struct ssl_st                SSL;
typedef struct ssl_ctx_st            SSL_CTX;
typedef struct ssl_method_st         SSL_METHOD;
typedef struct bio_st                BIO;
typedef struct bio_method_st         BIO_METHOD;
typedef struct x509_store_ctx_st     X509_STORE_CTX;
typedef struct X509_VERIFY_PARAM_st  X509_VERIFY_PARAM;

enum {
#define CONSTANT(name, real, value) name = value,
#include "openssl.def"
#undef CONSTANT
};

static struct {
#define OPENSSL(ret, name, params) ret(*name) params;
#include "openssl.def"
#undef OPENSSL
} tls_openssl;

enum tls_state { TLS_NEW, TLS_LOADING, TLS_READY, TLS_FAILED };
static _Atomic int     tls_state;
static struct forklock tls_gate;
static bool            tls_closed;  /* the gate's: nobody goes in any more */
static _Atomic int     tls_waiting; /* forks and exits at the gate: they go before the listener's next step */
static BIO_METHOD     *tls_socket;  /* set while LOADING */

#define TLS_EXIT_WAIT_NS NS_PER_S
enum {
        TLS_BIO_OURS = 127, /* no type of OpenSSL's own */
        TLS_YIELDS = 500
};

/* ----------------------------------------------------------------------------------------------------- the gate */

/* False: not any more. OpenSSL may also have been ended by the program (OPENSSL_cleanup()): it says so itself. */
static bool tls_enter(void)
{
        const struct timespec moment = {.tv_nsec = 20000};

        /* The lock is not fair, and a listener under a flood is back at once. Not for ever: who waits may starve. */
        for (unsigned tries = 0; mt_load_relaxed(&tls_waiting) != 0 && tries < TLS_YIELDS; tries++)
                nanosleep(&moment, NULL);
        /* A raw fork passed the handlers below, and the parent's thread was inside: locks of OpenSSL's may be held here
         * for ever. */
        if (forklock_acquire(&tls_gate))
                tls_closed = true;
        if (!tls_closed && tls_openssl.OPENSSL_init_ssl(TLS_INIT_NO_ATEXIT, NULL) == 1) {
                tls_openssl.ERR_clear_error(); /* SSL_get_error() looks at what is left from before, too */
                return true;
        }
        forklock_release(&tls_gate);
        return false;
}

static void tls_leave(void)
{
        forklock_release(&tls_gate);
}

static void tls_before_fork(void)
{
        mt_fetch_add_relaxed(&tls_waiting, 1);
        if (forklock_acquire(&tls_gate))
                tls_closed = true;
        mt_fetch_add_relaxed(&tls_waiting, -1);
}

/* Registered after OpenSSL's own, so it runs before that. Waits for what never takes long; if it does all the same, the
 * thread does not get to run, and exit must not hang for it. */
static void tls_at_exit(void)
{
        const struct timespec moment = {.tv_nsec = 50000};
        uint64_t              until_ns = clock_precise_ns() + TLS_EXIT_WAIT_NS;
        bool                  taken_over;

        mt_fetch_add_relaxed(&tls_waiting, 1);
        while (!forklock_try(&tls_gate, &taken_over)) {
                if (clock_precise_ns() > until_ns)
                        return;
                nanosleep(&moment, NULL);
        }
        tls_closed = true;
        forklock_release(&tls_gate);
}

/* ------------------------------------------------------------------------------------------------------ loading */

/* The one that is in the process already goes before any other, whatever its version. */
static void *tls_library(void)
{
        static const char *const names[] = {"libssl.so.3", "libssl.so.1.1"};
        static const int         how[] = {RTLD_NOLOAD, 0};

        for (unsigned h = 0; h < 2; h++)
                for (unsigned n = 0; n < 2; n++) {
                        void *library = dlopen(names[n], RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE | how[h]);

                        if (library != NULL)
                                return library;
                }
        return NULL;
}

static bool tls_resolve(void *library)
{
#define OPENSSL(ret, name, params)                                                                                     \
        tls_openssl.name = (ret(*) params)(uintptr_t)dlsym(library, #name);                                            \
        if (tls_openssl.name == NULL)                                                                                  \
                return false;
#include "openssl.def"
#undef OPENSSL
        return true;
}

static int tls_socket_read(BIO *bio, char *to, int room)
{
        struct link *link = tls_openssl.BIO_get_data(bio);
        ssize_t      n;

        tls_openssl.BIO_clear_flags(bio, TLS_BIO_READ | TLS_BIO_WRITE | TLS_BIO_RETRY);
        do
                n = recv(link->fd, to, (size_t)room, 0);
        while (n < 0 && errno == EINTR);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                tls_openssl.BIO_set_flags(bio, TLS_BIO_READ | TLS_BIO_RETRY);
        else if (n <= 0)
                link->ended = true;
        return (int)n;
}

static int tls_socket_write(BIO *bio, const char *from, int len)
{
        struct link *link = tls_openssl.BIO_get_data(bio);
        ssize_t      n;

        tls_openssl.BIO_clear_flags(bio, TLS_BIO_READ | TLS_BIO_WRITE | TLS_BIO_RETRY);
        do
                n = send(link->fd, from, (size_t)len, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                tls_openssl.BIO_set_flags(bio, TLS_BIO_WRITE | TLS_BIO_RETRY);
        else if (n < 0)
                link->ended = true;
        return (int)n;
}

static long tls_socket_ctrl(BIO *bio, int command, long number, void *pointer)
{
        (void)bio, (void)number, (void)pointer;
        return command == TLS_BIO_FLUSH;
}

static bool tls_make_socket(void)
{
        tls_socket = tls_openssl.BIO_meth_new(TLS_BIO_SOURCE | TLS_BIO_OURS, "mtshim");
        return tls_socket != NULL && tls_openssl.BIO_meth_set_read(tls_socket, tls_socket_read) == 1 &&
               tls_openssl.BIO_meth_set_write(tls_socket, tls_socket_write) == 1 &&
               tls_openssl.BIO_meth_set_ctrl(tls_socket, tls_socket_ctrl) == 1;
}

/* A program that uses OpenSSL has it set up, and its exit handler registered, before it has a connection; where it has
 * not, nothing is to happen at its exit that would not have happened without us. */
static bool tls_set_up(void)
{
        static bool
                registered; /* inherited by a child, as the handlers are; set first: twice would hang, never is safe */
        void   *library = tls_library();

        if (library == NULL || !tls_resolve(library) || tls_openssl.OPENSSL_init_ssl(TLS_INIT_NO_ATEXIT, NULL) != 1 ||
            !tls_make_socket())
                return false;
        if (registered)
                return true;
        registered = true;
        return pthread_atfork(tls_before_fork, tls_leave, tls_leave) == 0 && atexit(tls_at_exit) == 0;
}

bool tls_load(void)
{
        int  state = mt_load_acquire(&tls_state), expected = TLS_NEW, saved = errno;
        bool good;

        /* No lock of ours is held around calls of the linker: whoever comes second comes again another time. */
        if (MT_LIKELY(state != TLS_NEW) || !mt_cas_acq_rel(&tls_state, &expected, TLS_LOADING))
                return state == TLS_READY;
        good = tls_set_up();
        if (!good)
                log_line(LOG_WARN, "no OpenSSL (libssl.so.3, libssl.so.1.1) for the listener: what is reached through "
                                   "TLS is not served from L1");
        mt_store_release(&tls_state, good ? TLS_READY : TLS_FAILED); /* pairs with the acquire above; the listener's
                                                                        thread gets its link after */
        errno = saved;
        return good;
}

void tls_after_fork(void)
{
        int loading = TLS_LOADING;

        mt_cas_acq_rel(&tls_state, &loading, TLS_NEW);
        mt_store_relaxed(&tls_waiting, 0); /* other threads of the parent's */
}

/* ------------------------------------------------------------------------------------------------------ reasons */

static void tls_append(struct link *link, const char *text)
{
        size_t at = strlen(link->reason);

        for (; text != NULL && *text != '\0' && at < LINK_REASON_MAX - 1; text++)
                link->reason[at++] = *text >= ' ' && *text <= '~' ? *text : '?';
        link->reason[at] = '\0';
}

static const char *tls_error(void)
{
        const char *text = tls_openssl.ERR_reason_error_string(tls_openssl.ERR_peek_error());

        return text != NULL ? text : "fails in OpenSSL";
}

/* A file or folder that is not as it should be. */
static bool tls_bad_file(struct link *link, const char *what, const char *path)
{
        char buffer[64];

        tls_append(link, what);
        tls_append(link, path);
        tls_append(link, ": ");
        tls_append(link, faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) != 0 ? strerror_r(errno, buffer, sizeof buffer)
                                                                          : tls_error());
        return false;
}

/* ------------------------------------------------------------------------------- what is made of a set of names */

/* A key that wants a passphrase is not for a thread without a terminal. */
static int tls_no_passphrase(char *to, int size, int writing, void *arg)
{
        (void)to, (void)size, (void)writing, (void)arg;
        return -1;
}

/* The system's store takes some 10 ms to read, so not where it is of no use. */
static bool tls_load_authorities(struct link *link, SSL_CTX *context, const struct invalidation_tls *names)
{
        if (names->unverified)
                return true;
        if (names->ca_file == NULL && names->ca_dir == NULL)
                tls_openssl.SSL_CTX_set_default_verify_paths(context);
        if (names->ca_file != NULL && tls_openssl.SSL_CTX_load_verify_locations(context, names->ca_file, NULL) != 1)
                return tls_bad_file(link, "CA file ", names->ca_file);
        if (names->ca_dir != NULL && tls_openssl.SSL_CTX_load_verify_locations(context, NULL, names->ca_dir) != 1)
                return tls_bad_file(link, "CA folder ", names->ca_dir);
        return true;
}

static bool tls_load_certificate(struct link *link, SSL_CTX *context, const struct invalidation_tls *names)
{
        if (names->cert_file == NULL || names->key_file == NULL)
                return true;
        if (tls_openssl.SSL_CTX_use_certificate_chain_file(context, names->cert_file) != 1)
                return tls_bad_file(link, "certificate ", names->cert_file);
        if (tls_openssl.SSL_CTX_use_PrivateKey_file(context, names->key_file, TLS_FILETYPE_PEM) != 1)
                return tls_bad_file(link, "key ", names->key_file);
        return true;
}

static SSL_CTX *tls_context_make(struct link *link)
{
        const struct invalidation_tls *names = link->tls;
        SSL_CTX                       *context = tls_openssl.SSL_CTX_new(tls_openssl.TLS_client_method());

        if (context == NULL) {
                tls_append(link, tls_error());
                return NULL;
        }
        tls_openssl.SSL_CTX_ctrl(context, TLS_CTRL_MODE, TLS_PARTIAL_WRITE | TLS_MOVING_BUFFER | TLS_RELEASE_BUFFERS,
                                 NULL);
        tls_openssl.SSL_CTX_ctrl(context, TLS_CTRL_MIN_VERSION, TLS_VERSION_1_2, NULL); /* as hiredis has it */
        tls_openssl.SSL_CTX_set_options(context, TLS_NO_RENEGOTIATION);
        tls_openssl.SSL_CTX_set_default_passwd_cb(context, tls_no_passphrase);
        tls_openssl.SSL_CTX_set_verify(context, names->unverified ? TLS_VERIFY_NONE : TLS_VERIFY_PEER, NULL);
        if (!tls_load_authorities(link, context, names) || !tls_load_certificate(link, context, names)) {
                tls_openssl.SSL_CTX_free(context);
                return NULL;
        }
        return context;
}

/* Kept from one connection to the next, until one fails: then the files may have been replaced, and are read again. */
static SSL_CTX *tls_context(struct link *link)
{
        struct tls_names *names = (struct tls_names *)(uintptr_t)link->tls;

        if (names->context == NULL)
                names->context = tls_context_make(link);
        return names->context;
}

static void tls_context_drop(struct link *link)
{
        struct tls_names *names = (struct tls_names *)(uintptr_t)link->tls;

        tls_openssl.SSL_CTX_free(names->context); /* links that are up hold on to it */
        names->context = NULL;
}

/* ---------------------------------------------------------------------------------------------------- the link */

static bool tls_is_address(const char *name)
{
        struct in6_addr address;

        return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

/* An address may stand in a certificate, but not in a request for a name. */
static bool tls_name(SSL *ssl, const struct invalidation_tls *names)
{
        bool  address = names->server_name != NULL && tls_is_address(names->server_name);
        void *name = (void *)(uintptr_t)names->server_name;

        if (name == NULL)
                return true;
        if (!address && tls_openssl.SSL_ctrl(ssl, TLS_CTRL_SERVER_NAME, 0, name) != 1)
                return false;
        if (!names->check_name)
                return true;
        return address ? tls_openssl.X509_VERIFY_PARAM_set1_ip_asc(tls_openssl.SSL_get0_param(ssl), name) == 1
                       : tls_openssl.SSL_set1_host(ssl, name) == 1;
}

static SSL *tls_session(struct link *link)
{
        SSL_CTX *context = tls_context(link);
        SSL     *ssl = context != NULL ? tls_openssl.SSL_new(context) : NULL;
        BIO     *bio = ssl != NULL ? tls_openssl.BIO_new(tls_socket) : NULL;

        if (bio != NULL && tls_name(ssl, link->tls)) {
                tls_openssl.BIO_set_data(bio, link);
                tls_openssl.BIO_set_init(bio, 1);
                tls_openssl.SSL_set_bio(ssl, bio, bio); /* the session's now */
                tls_openssl.SSL_set_connect_state(ssl);
                return ssl;
        }
        if (context != NULL)
                tls_append(link, tls_error());
        if (bio != NULL)
                tls_openssl.SSL_set_bio(ssl, bio, bio); /* goes with it */
        tls_openssl.SSL_free(ssl);
        return NULL;
}

bool tls_open(struct link *link)
{
        link->reason[0] = '\0';
        link->ended = !tls_enter();
        if (link->ended)
                return false;
        link->ssl = tls_session(link);
        tls_leave();
        return link->ssl != NULL;
}

/* Inside the gate, after a call that has not done it. */
static enum link_result tls_judge(struct link *link, int rc)
{
        int  error = tls_openssl.SSL_get_error(link->ssl, rc);
        long verified = tls_openssl.SSL_get_verify_result(link->ssl);

        link->wants_write = error == TLS_ERROR_WANT_WRITE;
        if (error == TLS_ERROR_WANT_READ || error == TLS_ERROR_WANT_WRITE)
                return LINK_AGAIN;
        if (error == TLS_ERROR_ENDED || link->ended) /* whatever OpenSSL makes of an end without goodbye */
                return LINK_FAILED;
        tls_append(link, tls_error());
        if (!link->tls->unverified && verified != TLS_VERIFIED) {
                tls_append(link, ": ");
                tls_append(link, tls_openssl.X509_verify_cert_error_string(verified));
        }
        tls_context_drop(link);
        return LINK_FAILED;
}

static enum link_result tls_settle(struct link *link, int rc)
{
        enum link_result result = LINK_OK;

        if (rc <= 0)
                result = tls_judge(link, rc);
        else
                link->wants_write = false;
        tls_leave();
        return result;
}

enum link_result tls_handshake(struct link *link)
{
        return tls_enter() ? tls_settle(link, tls_openssl.SSL_do_handshake(link->ssl)) : LINK_FAILED;
}

/* One record at most: nothing of it stays behind in OpenSSL, which reads no further than it must. Waiting for room to
 * answer something, with no more than a PING of ours on its way, is no state of a server that is well. */
enum link_result tls_read(struct link *link, char *to, size_t room, size_t *got)
{
        int n;

        MT_ASSERT(room >= LINK_RECORD_MAX);
        if (!tls_enter())
                return LINK_FAILED;
        n = tls_openssl.SSL_read(link->ssl, to, (int)room);
        *got = n > 0 ? (size_t)n : 0;
        switch (tls_settle(link, n)) {
        case LINK_OK: return LINK_OK;
        case LINK_AGAIN: return link->wants_write ? LINK_FAILED : LINK_AGAIN;
        case LINK_FAILED: break;
        }
        return LINK_FAILED;
}

/* Where the server has refused us it may have said why, and closed, before this. */
static void tls_last_word(struct link *link)
{
        char byte;

        link->ended = false;
        if (link->reason[0] == '\0' && tls_enter())
                tls_settle(link, tls_openssl.SSL_read(link->ssl, &byte, 1));
}

enum link_result tls_write(struct link *link, const char *from, size_t len, size_t *sent)
{
        enum link_result result;
        int              n;

        if (!tls_enter())
                return LINK_FAILED;
        n = tls_openssl.SSL_write(link->ssl, from, (int)len);
        *sent = n > 0 ? (size_t)n : 0;
        result = tls_settle(link, n);
        if (result == LINK_FAILED)
                tls_last_word(link);
        return result;
}

/* After the gate has closed it is left to the end of the process. */
void tls_close(struct link *link)
{
        if (tls_enter()) {
                tls_openssl.SSL_free(link->ssl);
                tls_leave();
        }
        link->ssl = NULL;
}

/* What OpenSSL keeps for a thread it would free when the thread is gone, at a moment that may be in the middle of an
 * exit. */
void tls_thread_ends(void)
{
        if (mt_load_acquire(&tls_state) != TLS_READY || !tls_enter())
                return;
        tls_openssl.OPENSSL_thread_stop();
        tls_leave();
}
