/* tls_names.h - ways to secure a connection: each is kept once, for good, so that whoever holds a pointer to one needs
 * neither a lock nor to know who else does. Private memory: names of files, never what is in them. */
#ifndef MT_INVALIDATION_TLS_NAMES_H
#define MT_INVALIDATION_TLS_NAMES_H

#include "invalidation.h"

enum { TLS_NAMES_MAX = 32, TLS_NAMES_BYTES = 64 * 1024 };

struct tls_names {
        struct invalidation_tls names;   /* first: what invalidation_tls_intern() gives away */
        void                   *context; /* the listener's thread: what tls.c has made of them */
};

/* What a program does, and what the options say, worked into one: into `settled`. False: a listener is not to, or
 * cannot, do as the program does (invalidation_tls_intern()). Pure. */
bool tls_names_settle(const struct invalidation_config *config, const struct invalidation_tls *wanted,
                      struct invalidation_tls *settled);
/* Programs' threads. NULL: no room for another. */
const struct tls_names *tls_names_keep(const struct invalidation_tls *names);

#endif
