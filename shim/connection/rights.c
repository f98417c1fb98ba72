/* rights.c - refusals end what L1 holds for a user.
 *
 * Who is refused, and whose values go:
 *   NOPERM, NOAUTH   the connection's user: he could do it once, perhaps, and now he cannot. That he never could, and a
 *                    program that keeps on asking for it, looks the same, and costs its user his cache.
 *   WRONGPASS        the user who was named: he was deleted, turned off, or has another password. Or the caller does
 *                    not know it: then nothing has changed, but nothing tells us so, and a user who was deleted must
 *                    not be served for longer because of that doubt. So wrong passwords in a loop keep a user's part of
 *                    L1 empty; but only those of this uid have this segment, and whoever may write to it could empty it
 *                    anyhow, at once, and for less than the round trip that each wrong password takes. No other uid's
 *                    cache is concerned.
 *   anybody          if the connection's user is not known, the values of all users of the server go.
 *
 * "default" and who never authenticated are one user to the server, and two to L1: an unauthenticated connection may be
 * nobody at all where a password is wanted. Their values go together. */
#include "rights.h"

#include "../runtime/runtime.h"

#include <string.h>

static bool rights_refusal(const struct connection *c, const void *reply)
{
        static const char *const codes[] = {"NOPERM", "NOAUTH", "WRONGPASS"};
        const struct abi        *abi = &c->hiredis->abi;

        if (abi_reply_type(reply) != ABI_REPLY_ERROR)
                return false;
        for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
                size_t len = strlen(codes[i]);

                if (abi_reply_len(abi, reply) >= len && memcmp(abi_reply_str(abi, reply), codes[i], len) == 0)
                        return true;
        }
        return false;
}

/* A process that has not attached yet does so now, if there is a segment: others may be serving from it. From here on
 * who never authenticated shows first that the server lets him in (connection_bind()). */
static bool rights_reach(struct connection *c)
{
        struct server_shm *place;

        if (runtime_l1_there() == NULL || !connection_server(c))
                return false;
        for (uint32_t at = 0; (place = l1_server_alias(c->l1, c->server, &at)) != NULL;)
                atomic_fetch_or_explicit(&place->flags, SERVER_GUARDED, memory_order_acq_rel);
        return true;
}

/* A user, and his rights, are the server's, by whatever address it is reached. */
static void rights_flush(const struct connection *c)
{
        struct server_shm *place;

        for (uint32_t at = 0; (place = l1_server_alias(c->l1, c->server, &at)) != NULL;)
                l1_flush_server(c->l1, place);
}

static void rights_end_user(const struct connection *c, const char *name, size_t len)
{
        struct server_shm *place;
        uint64_t           digest[2];

        l1_user_digest(c->l1, name, len, digest);
        for (uint32_t at = 0; (place = l1_server_alias(c->l1, c->server, &at)) != NULL;)
                l1_flush_user(c->l1, place, digest);
}

static void rights_end(struct connection *c, bool known, struct mt_bytes user)
{
        const struct mt_bytes usual = mt_bytes_of("default");

        if (!rights_reach(c))
                return;
        l1_count(c->l1, COUNTER_refusals, 1);
        if (!known) {
                rights_flush(c);
        } else if (user.ptr == NULL || mt_bytes_equal(user, usual)) {
                rights_end_user(c, NULL, 0);
                rights_end_user(c, usual.ptr, usual.len);
        } else {
                rights_end_user(c, user.ptr, user.len);
        }
}

static struct mt_bytes rights_own(const struct connection *c)
{
        return c->authenticated ? mt_bytes(c->user, c->user_len) : mt_bytes(NULL, 0);
}

void rights_look(struct connection *c, const void *reply)
{
        if (rights_refusal(c, reply))
                rights_end(c, (c->doubt & DOUBT_UNKNOWN) == 0, rights_own(c));
}

void rights_look_named(struct connection *c, const void *reply, struct mt_bytes user)
{
        if (rights_refusal(c, reply))
                rights_end(c, user.ptr != NULL, user);
}

void rights_look_inside(struct connection *c, const void *reply)
{
        const struct abi *abi = &c->hiredis->abi;

        rights_look(c, reply);
        if (abi_reply_type(reply) != ABI_REPLY_ARRAY)
                return;
        for (size_t i = 0; i < abi_reply_elements(abi, reply); i++) {
                const void *answer = abi_reply_element(abi, reply, i);

                if (answer == NULL || !rights_refusal(c, answer))
                        continue;
                /* Once is enough. An AUTH among them: whose name it had is forgotten, and who asks is not certain. */
                rights_end(c, (c->doubt & DOUBT_UNKNOWN) == 0 && !c->multi_unknown, rights_own(c));
                return;
        }
}

void rights_changed(struct connection *c)
{
        if (rights_reach(c))
                rights_flush(c);
}
