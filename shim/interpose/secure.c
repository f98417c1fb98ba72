/* secure.c - doors of hiredis_ssl: how the program secures its connections, so that the listener can do the same.
 * None of them changes anything. Of a context the names of its files are kept, of a connection by which context it was
 * secured. A program that makes its own SSL object (redisInitiateSSL) verifies in its own way, which we do not see. */
#include "door.h"

#include "../connection/secured.h"
#include "../runtime/runtime.h"

#include <errno.h>

/* hiredis_ssl.h is not there in 0.14; these are the fields of 1.1, and later ones only stand behind them. */
struct secure_options {
        const char *cacert_filename, *capath, *cert_filename, *private_key_filename, *server_name;
        int         verify_mode;
};
enum { SECURE_CREATE_FAILED = 1, SECURE_VERIFIED = 1 };

void *redisCreateSSLContext(const char *ca_file, const char *ca_dir, const char *cert_file, const char *key_file,
                            const char *server_name, int *error);
void *redisCreateSSLContextWithOptions(struct secure_options *options, int *error);
void  redisFreeSSLContext(void *with);
int   redisInitiateSSL(redisContext *context, void *ssl);
int   redisInitiateSSLWithContext(redisContext *context, void *with);

static void *secure_made(void *with, const struct invalidation_tls *as)
{
        int saved_errno = errno;

        if (with != NULL && runtime_ready())
                secured_made(with, invalidation_tls_intern(as));
        errno = saved_errno;
        return with;
}

static void *secure_not_there(int *error)
{
        if (error != NULL)
                *error = SECURE_CREATE_FAILED;
        return NULL;
}

MT_EXPORT void *redisCreateSSLContext(const char *ca_file, const char *ca_dir, const char *cert_file,
                                      const char *key_file, const char *server_name, int *error)
{
        const struct invalidation_tls      as = {.ca_file = ca_file,
                                                 .ca_dir = ca_dir,
                                                 .cert_file = cert_file,
                                                 .key_file = key_file,
                                                 .server_name = server_name};
        __typeof__(redisCreateSSLContext) *f = next_beside(DOOR_CALLER(), "redisCreateSSLContext");

        return f != NULL ? secure_made(f(ca_file, ca_dir, cert_file, key_file, server_name, error), &as)
                         : secure_not_there(error);
}

MT_EXPORT void *redisCreateSSLContextWithOptions(struct secure_options *o, int *error)
{
        const struct invalidation_tls                 as = {.ca_file = o->cacert_filename,
                                                            .ca_dir = o->capath,
                                                            .cert_file = o->cert_filename,
                                                            .key_file = o->private_key_filename,
                                                            .server_name = o->server_name,
                                                            .unverified = (o->verify_mode & SECURE_VERIFIED) == 0};
        __typeof__(redisCreateSSLContextWithOptions) *f =
                next_beside(DOOR_CALLER(), "redisCreateSSLContextWithOptions");

        return f != NULL ? secure_made(f(o, error), &as) : secure_not_there(error);
}

MT_EXPORT void redisFreeSSLContext(void *with)
{
        __typeof__(redisFreeSSLContext) *f = next_beside(DOOR_CALLER(), "redisFreeSSLContext");

        secured_gone(with);
        if (f != NULL)
                f(with);
}

static int secure_initiated(redisContext *context, int rc, const struct invalidation_tls *as)
{
        struct connection *c = connection_find(context);

        if (rc == REDIS_OK && c != NULL)
                connection_secured(c, as);
        return rc;
}

MT_EXPORT int redisInitiateSSL(redisContext *context, void *ssl)
{
        __typeof__(redisInitiateSSL) *f = next_beside(DOOR_CALLER(), "redisInitiateSSL");

        if (f == NULL)
                return REDIS_ERR;
        return secure_initiated(context, f(context, ssl), runtime_ready() ? invalidation_tls_intern(NULL) : NULL);
}

MT_EXPORT int redisInitiateSSLWithContext(redisContext *context, void *with)
{
        __typeof__(redisInitiateSSLWithContext) *f = next_beside(DOOR_CALLER(), "redisInitiateSSLWithContext");

        return f != NULL ? secure_initiated(context, f(context, with), secured_find(with)) : REDIS_ERR;
}
