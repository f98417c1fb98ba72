/* credentials.h - what the listener shows to a server: from MTSHIM_USER and MTSHIM_PASSWORD_FILE, else what the program
 * itself sent and the server accepted. Private memory only, wiped when replaced, left out of core dumps, never in the
 * segment. */
#ifndef MT_INVALIDATION_CREDENTIALS_H
#define MT_INVALIDATION_CREDENTIALS_H

#include "invalidation.h"
#include "link.h"

enum { CREDENTIALS_MAX = 4096 }; /* of user and password together; tokens of cloud providers have 2 KiB */

struct credentials {
        bool     named; /* AUTH user password; else the one-argument AUTH */
        uint32_t user_len, password_len;
        char     bytes[CREDENTIALS_MAX]; /* user, then password */
};

enum credentials_result { CREDENTIALS_NONE, CREDENTIALS_FOUND, CREDENTIALS_UNREADABLE };

/* Programs' threads. They belong to the address, not to a place in the segment, which may be another server's one
 * day. True when they are other than those that were kept. */
bool credentials_keep(const struct invalidation_endpoint *whose, struct mt_bytes user, struct mt_bytes password);
/* The listener's thread. Whoever finds some wipes them after use. */
enum credentials_result credentials_kept(const struct invalidation_endpoint *whose, struct credentials *found);
/* What the listener shows to the server: the configured, else the kept. */
enum credentials_result credentials_find(const struct invalidation_config   *config,
                                         const struct invalidation_endpoint *whose, struct credentials *found);
enum credentials_result credentials_configured(const struct invalidation_config *config, struct credentials *found);

/* Queue AUTH. False: it does not fit. */
bool credentials_send(const struct credentials *credentials, struct link *link);

static inline struct mt_bytes credentials_user(const struct credentials *c)
{
        return mt_bytes(c->bytes, c->user_len);
}

static inline struct mt_bytes credentials_password(const struct credentials *c)
{
        return mt_bytes(c->bytes + c->user_len, c->password_len);
}

#endif
