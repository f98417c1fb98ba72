/* connection.h - what we know of each context of the program: which hiredis, which server, database and user; whether
 * its GETs may be answered; the replies it is owed, in order.
 *
 *   unknown -> known       connection_made(), connection_remade(): its history is known from here on
 *   known   -> unknown     anything whose effect we cannot tell; stays so until the context reconnects
 *   any     -> gone        connection_gone(): what was owed counts as failed
 *
 * A context belongs to one thread at a time (hiredis' own rule), and so does its connection: fields need no lock.
 * Finding it by address needs one, except through the thread's own cache: a struct connection is never unmapped and
 * holds its context's address, so a cached pointer is right exactly when it still holds the address asked for. That
 * needs no generation, and other threads' connects do not empty the cache. */
#ifndef MT_CONNECTION_H
#define MT_CONNECTION_H

#include "announce.h"
#include "below.h"
#include "endpoint.h"
#include "owed.h"

#include "../hiredis/next.h"
#include "../../l1/base/assert.h"
#include "../../l1/l1.h"

/* Why a GET on this connection is not answered from L1. 0: it may be. */
enum connection_doubt {
        DOUBT_UNBOUND = 1u << 0, /* server and namespace not looked up yet, or to be looked up again */
        DOUBT_UNKNOWN = 1u << 1, /* history not known */
        DOUBT_MULTI = 1u << 2,
        DOUBT_WATCH = 1u << 3,
        DOUBT_STREAM = 1u << 4,      /* subscribed, MONITOR, CLIENT REPLY: replies are not one to one any more */
        DOUBT_TRACKING = 1u << 5,    /* CLIENT TRACKING of the program's own */
        DOUBT_NONBLOCK = 1u << 6,    /* made non-blocking or asynchronous */
        DOUBT_ENDPOINT = 1u << 7,    /* no address that a listener could reach, or not by the same TLS */
        DOUBT_SEGMENT = 1u << 8,     /* no segment, or its tables are full */
        DOUBT_INCARNATION = 1u << 9, /* made before the server behind its address was replaced; verified before use */
        DOUBT_INHERITED = 1u << 10,  /* came through a fork, and its maker is alive */
        DOUBT_FAILED = 1u << 12,     /* UNKNOWN only for what failed when it broke (request/stale.c) */
        DOUBT_UNPROVED = 1u << 11,   /* never authenticated, where that may be asked for, and not yet answered */
};
/* These end with the connection only. */
#define DOUBT_FOR_LIFE (DOUBT_UNKNOWN | DOUBT_STREAM)

struct connection {
        /* What a hit reads. */
        void                 *context; /* its own address: free, which no context has */
        const struct hiredis *hiredis;
        uint32_t              doubt;
        uint32_t              owed; /* replies outstanding */
        bool               inside; /* the thread that uses it is inside hiredis: what comes back is hiredis' own call */
        bool               announces;  /* its writes are told to the others: announce.h */
        bool               trusts_ttl; /* no freshness is asked for: values live by their time */
        struct server_shm *server;
        struct namespace_shm *space;
        uint64_t              replied_ns; /* coarse time of the last reply from the server */
        uint64_t              barrier_ns; /* served again once server->fresh_at_ns has passed this; 0: none */
        uint32_t              server_index;
        uint32_t              incarnation; /* the server's, when this connection was bound */

        /* What changes rarely. */
        struct l1      *l1;
        uint64_t        known_ns;      /* made, or verified, at this time: it talks to the server of then */
        uint64_t        asked_ns;      /* when a doubt was last looked into */
        uint64_t        l1_since_ns;   /* when the process had attached to the segment that it is bound to */
        uint64_t        wait_until_ns; /* of the GET that is being asked (request/stampede.h): no longer than this */
        int32_t         maker_pid;
        uint32_t        database;
        bool            authenticated; /* as user; a connection that never did is an identity of its own */
        bool            proved;        /* it did not, and the server has answered it all the same */
        bool            no_fill;       /* PTTL was refused to this user */
        bool            nonblock;
        bool            wrote;         /* something that may have changed a key, since it was made */
        bool            multi_unknown; /* a queued command whose effect at EXEC we cannot tell */
        uint8_t         waits;         /* how often that GET has waited for another's */
        bool            again;         /* it is to be looked at from the beginning */
        bool            let_go;        /* it travels alone, and comes back if the reply is nil */
        uint16_t        user_len;
        char            user[OWED_SECRET_MAX];
        struct endpoint endpoint;
        const struct invalidation_tls
                          *tls;    /* how the program has secured it; NULL: not, or not in a way that we know */
        struct owed_queue  queue;  /* effects of commands sent and not answered */
        struct owed_queue  multi;  /* keys written inside MULTI, cleared at EXEC */
        struct owed_secret secret; /* credentials on their way */
        struct announce    announce;
        struct below       below; /* where there are tiers */
        struct connection *next_free;
};

/* Thread cache: direct-mapped by address. */
enum { CONNECTION_CACHE = 8 };
extern _Thread_local struct connection *connection_cache[CONNECTION_CACHE];

static inline unsigned connection_cache_index(const void *context)
{
        return (unsigned)((uintptr_t)context >> 6) % CONNECTION_CACHE;
}

/* Around every call of hiredis that takes the context. A jump out of it leaves the mark: then the connection is passed
 * by until it is made anew, like one that was never seen. */
static inline void connection_enter_hiredis(struct connection *c)
{
        c->inside = true;
}

static inline void connection_leave_hiredis(struct connection *c)
{
        c->inside = false;
}

struct connection *connection_find_slow(const void *context);

/* The same by the thread's cache alone; NULL says nothing. */
static inline struct connection *connection_cached(const void *context)
{
        struct connection *c = connection_cache[connection_cache_index(context)];

        return MT_LIKELY(c != NULL && c->context == context) ? c : NULL;
}

/* The connection of a context, NULL if we never saw it. */
static inline struct connection *connection_find(const void *context)
{
        struct connection *c = connection_cached(context);

        return MT_LIKELY(c != NULL) ? c : connection_find_slow(context);
}

/* A context came back from one of the connect functions: its history begins. err != 0 in it is fine. NULL: no memory.
 * began_ns: precise time before it began to connect. */
struct connection *connection_made(void *context, const struct hiredis *h, bool nonblock, uint64_t began_ns);
/* It reconnected: begins anew. */
void connection_remade(struct connection *c, uint64_t began_ns);
/* It talks TLS from here on. tls: as a listener would have to do the same, or NULL: that cannot be told. */
void connection_secured(struct connection *c, const struct invalidation_tls *tls);
/* A context that we meet for the first time without having seen it made: never served, but its writes are noticed. */
struct connection *connection_adopt(void *context, const struct hiredis *h);
/* One that was made around a descriptor of the program's: never served, but replies are in order from here on. */
void connection_foreign(void *context, const struct hiredis *h, uint64_t began_ns);
/* It is about to be freed. */
void connection_gone(struct connection *c);

/* Look up segment, server and namespace: clears DOUBT_UNBOUND, or sets the bit that says why not. Slow path, any time.
 */
void connection_bind(struct connection *c);
/* Has this process fallen back for its server (MTSHIM_INVALIDATION_FALLBACK) since it was bound? Then it is to be bound
 * again. Where nothing is owed. */
bool connection_fell_back(struct connection *c);
/* Make c->l1 and c->server those of now, as far as they can be had; false: there is no L1 that could hold this server's
 * keys. */
bool connection_server(struct connection *c);

/* The process has forked, and this is the child: every connection came through it. */
void connection_after_fork(void);

#endif
