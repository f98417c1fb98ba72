/* compute.c - get_or_compute: of all who miss a value one computes it, the others wait for that one.
 *
 *   missed     claim (l1_claim())   ours: look once more, since another may have computed it between the two; compute,
 *                                   set, give the claim back. That clears what L1 held ("no such key"), and the look
 *                                   of whoever claims next comes after it.
 *                                   another's: wait
 *   waited     it has ended         look; still missed (he failed, or died): claim
 *              too long             take it over, or wait for who has; after twice the limit, compute alone */
#include "api.h"

#include "../runtime/runtime.h"

#include <errno.h>
#include <stdlib.h>

struct compute {
        struct mtshim       *m;
        struct mtshim_bytes  key;
        uint64_t             ttl_ms, wait_ns, end_ns;
        mtshim_compute_f    *f;
        void                *arg;
        struct mtshim_value *value;
        struct l1           *l1;
        uint64_t             hash;
};

/* Where to claim, and as what: what all processes of the host make of this server, database and key. By the server's
 * address, not by its place in the segment: that cannot be had at every moment. */
static enum mtshim_status compute_place(struct compute *job)
{
        struct api_call    call;
        enum mtshim_status status = api_begin(&call, job->m);
        struct mt_bytes    key = api_bytes(job->key);
        uint64_t           server = job->m->identity;

        if (status != MTSHIM_OK)
                return status;
        if (call.c != NULL && call.c->endpoint.known)
                server = mt_hash((const char *)call.c->endpoint.id.id, sizeof call.c->endpoint.id.id,
                                 (struct hash_key){{job->m->database, 2}});
        job->l1 = call.c != NULL ? runtime_l1_at_once() : NULL;
        job->hash = job->l1 != NULL ? l1_hash(job->l1, (uint32_t)server, key)
                                    : mt_hash(key.ptr, key.len, (struct hash_key){{server, 2}});
        api_end(&call);
        return MTSHIM_OK;
}

/* claim NULL: for this caller alone. */
static enum mtshim_status compute_now(struct compute *job, const struct l1_claim *claim)
{
        struct mtshim_value made = {NULL, 0};
        enum mtshim_status  status = job->f(job->arg, job->key, &made);

        mt_fetch_add_relaxed(&job->m->computed, 1);
        if (status != MTSHIM_OK) {
                free(made.data);
                return status == MTSHIM_MISS ? status : api_say(status, "the value could not be computed");
        }
        if (made.data == NULL && made.len != 0)
                return api_say(MTSHIM_INVALID, "the value was computed to be %zu bytes at NULL", made.len);
        if (claim == NULL || l1_claim_holds(claim))
                api_store_alone(job->m, job->key, mtshim_view(made.data, made.len), job->ttl_ms);
        status = api_value(mt_bytes(made.len != 0 ? made.data : "", made.len), job->value);
        free(made.data);
        return status;
}

static enum mtshim_status compute_claimed(struct compute *job, struct l1_claim *claim)
{
        enum mtshim_status status = api_fetch(job->m, job->key, job->value);

        if (status == MTSHIM_MISS)
                status = compute_now(job, claim);
        l1_unclaim(claim);
        return status;
}

/* Until there is an answer. */
static enum mtshim_status compute_among_others(struct compute *job)
{
        for (;;) {
                struct l1_claim    claim, mine;
                enum l1_claimed    claimed = l1_claim(job->l1, job->hash, &claim);
                uint64_t           now_ns = clock_precise_ns();
                uint64_t           until_ns = now_ns + job->wait_ns;
                enum mtshim_status status;

                if (claimed == L1_CLAIMED)
                        return compute_claimed(job, &claim);
                if (claimed == L1_CLAIMED_FULL || now_ns >= job->end_ns)
                        return compute_now(job, NULL);
                if (!l1_claim_wait(job->l1, &claim, until_ns < job->end_ns ? until_ns : job->end_ns) &&
                    l1_claim_take_over(job->l1, &claim, &mine))
                        return compute_claimed(job, &mine);
                status = api_fetch(job->m, job->key, job->value);
                if (status == MTSHIM_OK)
                        mt_fetch_add_relaxed(&job->m->waited, 1);
                if (status != MTSHIM_MISS)
                        return status;
        }
}

API_EXPORT enum mtshim_status mtshim_get_or_compute(struct mtshim *m, struct mtshim_bytes key, uint64_t ttl_ms,
                                                    unsigned wait_ms, mtshim_compute_f *compute, void *arg,
                                                    struct mtshim_value *value)
{
        struct compute     job = {.m = m, .key = key, .ttl_ms = ttl_ms, .f = compute, .arg = arg, .value = value};
        enum mtshim_status status = api_check(m, &key, 1);

        if (value == NULL || compute == NULL)
                return api_say(MTSHIM_INVALID, "there is no place for the value, or nothing to compute it");
        *value = (struct mtshim_value){NULL, 0};
        if (status == MTSHIM_OK)
                status = api_check_ttl(ttl_ms);
        if (status == MTSHIM_OK)
                status = api_fetch(m, key, value);
        if (status != MTSHIM_MISS)
                return status;
        status = compute_place(&job);
        if (status != MTSHIM_OK)
                return status;
        job.wait_ns = wait_ms * NS_PER_MS;
        job.end_ns = clock_precise_ns() + 2 * job.wait_ns;
        return compute_among_others(&job);
}
