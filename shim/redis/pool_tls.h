/* pool_tls.h - a context of hiredis that talks TLS, the server's certificate made out to a name. */
#ifndef MT_REDIS_POOL_TLS_H
#define MT_REDIS_POOL_TLS_H

#include "pool.h"

struct pool_secure;

/* What the files say, read once. Needs the libhiredis_ssl that belongs to h (1.0 and later) and the OpenSSL that it is
 * linked to. NULL: why has one sentence. Thread-safe. */
struct pool_secure *pool_secure_open(const struct hiredis *h, const struct pool_tls *tls, const char *host, char *why);
void                pool_secure_close(struct pool_secure *secure); /* NULL: nothing happens */
/* The handshake, within the socket's time limits. False: the error is in the context. Thread-safe. */
bool pool_secure_start(struct pool_secure *secure, redisContext *context);

#endif
