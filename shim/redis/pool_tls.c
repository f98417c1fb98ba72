/* pool_tls.c - hiredis' own TLS, with what it leaves out: it checks that a certificate is good, and not whose it is. So
 * the SSL object is made here, by the OpenSSL that libhiredis_ssl is linked to, and handed to it.
 *
 * invalidation/tls.c does the same for a listener, in other ways: there a thread that is always there has to mind exits
 * and forks of its host, and no hiredis. */
#include "pool_tls.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

/* OpenSSL's own names for what it hides. */
typedef struct ssl_st               SSL;
typedef struct ssl_ctx_st           SSL_CTX;
typedef struct ssl_method_st        SSL_METHOD;
typedef struct x509_store_ctx_st    X509_STORE_CTX;
typedef struct X509_VERIFY_PARAM_st X509_VERIFY_PARAM;

enum {
#define CONSTANT(name, real, value) POOL_##name = value,
#include "../../invalidation/openssl.def"
#undef CONSTANT
};

#define POOL_TLS_FUNCTIONS(X)                                                                                          \
        X(int, redisInitOpenSSL, (void))                                                                               \
        X(int, redisInitiateSSL, (redisContext *, SSL *))                                                              \
        X(const SSL_METHOD *, TLS_client_method, (void))                                                               \
        X(SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *))                                                                \
        X(void, SSL_CTX_free, (SSL_CTX *))                                                                             \
        X(long, SSL_CTX_ctrl, (SSL_CTX *, int, long, void *))                                                          \
        X(void, SSL_CTX_set_verify, (SSL_CTX *, int, int (*)(int, X509_STORE_CTX *)))                                  \
        X(int, SSL_CTX_load_verify_locations, (SSL_CTX *, const char *, const char *))                                 \
        X(int, SSL_CTX_set_default_verify_paths, (SSL_CTX *))                                                          \
        X(int, SSL_CTX_use_certificate_chain_file, (SSL_CTX *, const char *))                                          \
        X(int, SSL_CTX_use_PrivateKey_file, (SSL_CTX *, const char *, int))                                            \
        X(SSL *, SSL_new, (SSL_CTX *))                                                                                 \
        X(void, SSL_free, (SSL *))                                                                                     \
        X(long, SSL_ctrl, (SSL *, int, long, void *))                                                                  \
        X(int, SSL_set1_host, (SSL *, const char *))                                                                   \
        X(X509_VERIFY_PARAM *, SSL_get0_param, (SSL *))                                                                \
        X(int, X509_VERIFY_PARAM_set1_ip_asc, (X509_VERIFY_PARAM *, const char *))

struct pool_secure {
#define X(ret, name, params) ret(*name) params;
        POOL_TLS_FUNCTIONS(X)
#undef X
        SSL_CTX *context;
        bool     unverified, numeric; /* name is an address */
        char     name[REDIS_ADDRESS_HOST_MAX];
};

/* By the handle of libhiredis_ssl: the linker looks in it, then in what it is linked to. */
static bool pool_secure_resolve(struct pool_secure *s, const struct hiredis *h, char *why)
{
        void *library = next_sibling(h, "_ssl");

        if (library == NULL) {
                snprintf(why, POOL_WHY_MAX, "TLS needs libhiredis_ssl (hiredis 1.0 or later) beside this hiredis");
                return false;
        }
#define X(ret, function, params)                                                                                       \
        s->function = (ret(*) params)(uintptr_t)dlsym(library, #function);                                             \
        if (s->function == NULL) {                                                                                     \
                snprintf(why, POOL_WHY_MAX, "TLS: libhiredis_ssl leads to no " #function);                             \
                return false;                                                                                          \
        }
        POOL_TLS_FUNCTIONS(X)
#undef X
        return true;
}

static bool pool_secure_read(struct pool_secure *s, const struct pool_tls *tls, char *why)
{
        s->SSL_CTX_ctrl(s->context, POOL_TLS_CTRL_MIN_VERSION, POOL_TLS_VERSION_1_2, NULL);
        s->SSL_CTX_set_verify(s->context, tls->unverified ? POOL_TLS_VERIFY_NONE : POOL_TLS_VERIFY_PEER, NULL);
        if (tls->ca_file == NULL && tls->ca_dir == NULL) {
                s->SSL_CTX_set_default_verify_paths(s->context);
        } else if (s->SSL_CTX_load_verify_locations(s->context, tls->ca_file, tls->ca_dir) != 1) {
                snprintf(why, POOL_WHY_MAX, "TLS: no certificates can be read from %.200s",
                         tls->ca_file != NULL ? tls->ca_file : tls->ca_dir);
                return false;
        }
        if (tls->cert_file != NULL && s->SSL_CTX_use_certificate_chain_file(s->context, tls->cert_file) != 1) {
                snprintf(why, POOL_WHY_MAX, "TLS: no certificate can be read from %.200s", tls->cert_file);
                return false;
        }
        if (tls->key_file != NULL &&
            s->SSL_CTX_use_PrivateKey_file(s->context, tls->key_file, POOL_TLS_FILETYPE_PEM) != 1) {
                snprintf(why, POOL_WHY_MAX, "TLS: no key of that certificate can be read from %.200s", tls->key_file);
                return false;
        }
        return true;
}

struct pool_secure *pool_secure_open(const struct hiredis *h, const struct pool_tls *tls, const char *host, char *why)
{
        struct pool_secure *s = calloc(1, sizeof *s);
        unsigned char       address[sizeof(struct in6_addr)];

        if (s == NULL) {
                snprintf(why, POOL_WHY_MAX, "no memory");
                return NULL;
        }
        snprintf(s->name, sizeof s->name, "%s", tls->server_name != NULL ? tls->server_name : host);
        s->numeric = inet_pton(AF_INET, s->name, address) == 1 || inet_pton(AF_INET6, s->name, address) == 1;
        s->unverified = tls->unverified;
        if (!pool_secure_resolve(s, h, why)) {
                free(s);
                return NULL;
        }
        s->redisInitOpenSSL();
        s->context = s->SSL_CTX_new(s->TLS_client_method());
        if (s->context == NULL)
                snprintf(why, POOL_WHY_MAX, "TLS: OpenSSL makes no context");
        else if (pool_secure_read(s, tls, why))
                return s;
        pool_secure_close(s);
        return NULL;
}

void pool_secure_close(struct pool_secure *s)
{
        if (s == NULL)
                return;
        if (s->context != NULL)
                s->SSL_CTX_free(s->context);
        free(s);
}

bool pool_secure_start(struct pool_secure *s, redisContext *context)
{
        SSL *ssl = s->SSL_new(s->context);
        bool named = s->unverified;

        if (ssl == NULL)
                return false;
        if (!named && s->numeric)
                named = s->X509_VERIFY_PARAM_set1_ip_asc(s->SSL_get0_param(ssl), s->name) == 1;
        else if (!named)
                named = s->SSL_set1_host(ssl, s->name) == 1;
        if (named && !s->numeric)
                named = s->SSL_ctrl(ssl, POOL_TLS_CTRL_SERVER_NAME, 0, s->name) == 1;
        if (named && s->redisInitiateSSL(context, ssl) == REDIS_OK)
                return true; /* the object is the context's now */
        s->SSL_free(ssl);
        return false;
}
