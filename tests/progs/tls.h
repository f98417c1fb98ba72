/* tls.h - for programs that talk TLS by hiredis_ssl: common.h and what it includes connect through this.
 *
 * MT_TLS says how the connection is secured; other words are their own names.
 *   context      redisCreateSSLContext() with MT_TLS_CA, MT_TLS_CERT and MT_TLS_KEY, each of them if it is set
 *   unverified   redisCreateSSLContextWithOptions(), and whoever answers is believed
 *   own          redisInitiateSSL() with an SSL object of the program's
 * Before hiredis 1.0 there is no TLS: then it is clear text. */
#ifndef TESTS_TLS_H
#define TESTS_TLS_H

#include <hiredis/hiredis.h>

#if HIREDIS_MAJOR >= 1
#include <hiredis/hiredis_ssl.h>

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static redisSSLContext *tls_context(const char *how)
{
        redisSSLOptions options = {
                .cacert_filename = getenv("MT_TLS_CA"),
                .cert_filename = getenv("MT_TLS_CERT"),
                .private_key_filename = getenv("MT_TLS_KEY"),
                .server_name = getenv("MT_TLS_NAME"),
                .verify_mode = REDIS_SSL_VERIFY_NONE,
        };
        redisSSLContextError error = REDIS_SSL_CTX_NONE;
        redisSSLContext     *context;

        if (strcmp(how, "unverified") == 0)
                context = redisCreateSSLContextWithOptions(&options, &error);
        else
                context = redisCreateSSLContext(options.cacert_filename, NULL, options.cert_filename,
                                                options.private_key_filename, options.server_name, &error);
        if (context == NULL) {
                fprintf(stderr, "no TLS: %s\n", redisSSLContextGetError(error));
                exit(1);
        }
        return context;
}

/* The SSL object is hiredis' once it is connected. */
static int tls_own(redisContext *c)
{
        SSL_CTX *context = SSL_CTX_new(TLS_client_method());
        SSL     *ssl;
        int      rc;

        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        if (SSL_CTX_load_verify_locations(context, getenv("MT_TLS_CA"), NULL) != 1) {
                fprintf(stderr, "no TLS: MT_TLS_CA\n");
                exit(1);
        }
        ssl = SSL_new(context);
        SSL_CTX_free(context);
        rc = redisInitiateSSL(c, ssl);
        if (rc != REDIS_OK)
                SSL_free(ssl);
        return rc;
}

static redisContext *tls_secure(redisContext *c)
{
        static redisSSLContext *context;
        const char             *how = getenv("MT_TLS");

        if (how == NULL || c == NULL || c->err != 0)
                return c;
        if (strcmp(how, "own") == 0) {
                tls_own(c);
        } else {
                if (context == NULL) {
                        redisInitOpenSSL();
                        context = tls_context(how);
                }
                redisInitiateSSLWithContext(c, context);
        }
        return c;
}
#define SECURE(c) tls_secure(c)
#endif

#endif
