/* tell.c - messages of the C interface: what others are to forget, beside what every write tells by itself. */
#include "api.h"

#include "../runtime/runtime.h"

#include "../../invalidation/invalidation.h"
#include "../../l1/tier/tier.h"

#include <stdio.h>

struct tell {
        struct api_call   *call;
        enum mtshim_status status;
};

static void tell_answered(void *arg, const void *reply)
{
        struct tell *tell = arg;

        tell->status = api_status(tell->call, reply);
        if (tell->status != MTSHIM_OK)
                tell->status = MTSHIM_UNTOLD;
}

static enum mtshim_status tell_send(struct api_call *call, struct announcement *what, bool audit)
{
        const struct announcement_origin from = {.number = publisher_origin()};
        bool                             here = call->m->database == 0;
        enum announcement_form           form = here ? ANNOUNCEMENT_HERE : ANNOUNCEMENT_ELSEWHERE;
        struct mt_bytes                  words = announcement_command(what, form, audit, &from, 1);
        struct tell                      tell = {.call = call, .status = MTSHIM_UNTOLD};

        if (words.ptr == NULL)
                return api_say(MTSHIM_UNTOLD, "no memory for a message");
        if (!api_raw(call, words, 1, tell_answered, &tell)) {
                api_status(call, NULL);
                return MTSHIM_UNTOLD;
        }
        return tell.status;
}

/* An origin for this message alone: it comes from no write of this connection, and whether it has arrived is known. If
 * it has not, and writes are announced, the next announcement says that everything has changed. */
enum mtshim_status api_tell(struct api_call *call, enum api_message message, struct mtshim_bytes key)
{
        struct announcement what = {.buffer = NULL};
        enum mtshim_status  status;

        if (call->c == NULL)
                return api_say(MTSHIM_UNTOLD, "MTSHIM_ENABLE=0: this process sends no messages");
        if (message == API_PATTERN)
                announcement_pattern(&what, api_bytes(key));
        else
                announcement_key(&what, api_bytes(key), message == API_REMOVE);
        status = tell_send(call, &what, false);
        if (status == MTSHIM_OK && call->c->announces && publisher_audits())
                tell_send(call, &what, true);
        if (status != MTSHIM_OK && call->c->announces)
                announce_owe(call->c);
        announcement_free(&what);
        return status;
}

API_EXPORT enum mtshim_status mtshim_update_and_broadcast(struct mtshim *m, struct mtshim_bytes key,
                                                          struct mtshim_bytes value, uint64_t ttl_ms)
{
        const struct mtshim_bytes bytes[] = {key, value};
        struct api_call           call;
        enum mtshim_status        status = api_check(m, bytes, 2);

        if (status == MTSHIM_OK)
                status = api_check_ttl(ttl_ms);
        if (status == MTSHIM_OK)
                status = api_begin(&call, m);
        if (status != MTSHIM_OK)
                return status;
        status = api_store(&call, key, value, ttl_ms);
        if (status == MTSHIM_OK && (call.c == NULL || !call.c->announces))
                status = api_tell(&call, API_UPDATE, key);
        api_end(&call);
        return status;
}

static bool tell_below(const struct api_call *call, struct mt_bytes key, struct tier_key *named)
{
        if (call->c == NULL || !call->c->endpoint.known || runtime_tiers() == NULL)
                return false;
        *named = (struct tier_key){mt_bytes_of(call->c->endpoint.id.address), call->m->database, key};
        return true;
}

static void tell_permitted(void *arg, const void *reply)
{
        below_permitted(arg, reply);
}

/* What somebody has found in a tier before it is cleared must not get into Redis after it: below.h. False: the
 * connection broke. */
static bool tell_end_permit(struct api_call *call, const char *permit)
{
        char resp[64 + BELOW_PERMIT_NAME];
        int  len = snprintf(resp, sizeof resp, "*2\r\n$3\r\nDEL\r\n$%zu\r\n%s\r\n", strlen(permit), permit);

        return !runtime.below || api_raw(call, mt_bytes(resp, (size_t)len), 1, tell_permitted, call->c);
}

/* A key, or all that match. */
static enum mtshim_status tell_clear_below(struct api_call *call, struct mt_bytes what, bool pattern)
{
        struct tier_key named;
        char            permit[BELOW_PERMIT_NAME];
        uint64_t        began_ns = below_now_ns();
        bool            ended;

        if (!tell_below(call, what, &named))
                return MTSHIM_OK;
        below_permit(pattern ? mt_bytes(NULL, 0) : what, permit);
        ended = tell_end_permit(call, permit);
        if (pattern)
                tiers_remove_pattern(runtime_tiers(), named.server, named.database, what);
        else
                tiers_remove(runtime_tiers(), &named, 1);
        if (!ended)
                return api_status(call, NULL);
        if (below_now_ns() - began_ns < BELOW_LATE_NS)
                return MTSHIM_OK;
        return api_say(MTSHIM_ERROR, "it took so long that a tier may have brought back what was removed");
}

enum mtshim_status api_remove_below(struct api_call *call, struct mt_bytes glob)
{
        return tell_clear_below(call, glob, true);
}

/* By whatever address it is known here. */
static void tell_clear_here(struct api_call *call, struct mt_bytes key)
{
        struct connection *c = call->c;
        struct server_shm *place;

        if (c == NULL || runtime_l1_there() == NULL || !connection_server(c))
                return;
        for (uint32_t at = 0; (place = l1_server_alias(c->l1, c->server, &at)) != NULL;)
                l1_remove(c->l1, l1_hash(c->l1, l1_server_index(c->l1, place), key));
        l1_count(c->l1, COUNTER_removes, 1);
}

static void tell_clear_matching(struct api_call *call, struct mt_bytes glob)
{
        struct connection *c = call->c;

        if (c != NULL && runtime_l1_there() != NULL)
                l1_count(runtime_l1_now(), COUNTER_removes, l1_remove_pattern(runtime_l1_now(), glob));
}

static enum mtshim_status tell_invalidate(struct mtshim *m, struct mtshim_bytes what, enum api_message message)
{
        struct api_call    call;
        enum mtshim_status status = api_check(m, &what, 1), told;

        if (status == MTSHIM_OK)
                status = api_begin(&call, m);
        if (status != MTSHIM_OK)
                return status;
        status = tell_clear_below(&call, api_bytes(what), message == API_PATTERN);
        if (message == API_PATTERN)
                tell_clear_matching(&call, api_bytes(what));
        else
                tell_clear_here(&call, api_bytes(what));
        told = api_tell(&call, message, what); /* in any case: what cannot be told is owed */
        api_end(&call);
        return status == MTSHIM_OK ? told : status;
}

API_EXPORT enum mtshim_status mtshim_invalidate(struct mtshim *m, struct mtshim_bytes key)
{
        return tell_invalidate(m, key, API_REMOVE);
}

API_EXPORT enum mtshim_status mtshim_invalidate_pattern(struct mtshim *m, struct mtshim_bytes glob)
{
        return tell_invalidate(m, glob, API_PATTERN);
}
