/* fence.h - the freshness lease: until when L1 may be believed, as a proof made of PINGs.
 * One PING outstanding and no other request. PONG n proves that everything acknowledged before PING n-1 was sent has
 * been applied (n itself for a server with one thread; with io-threads an announcement may leave one iteration later).
 * The first PONG of a connection proves nothing; the second PING goes out at once, so that the lease opens within two
 * round trips. */
#ifndef MT_INVALIDATION_FENCE_H
#define MT_INVALIDATION_FENCE_H

#include "../l1/l1.h"

struct fence {
        uint64_t sent_ns;     /* when the outstanding PING was sent; 0 = none */
        uint64_t answered_ns; /* when the last PING that got its PONG was sent; 0 = none on this connection */
        uint64_t last_ns;     /* when the last PING was sent, whatever became of it; 0 = none */
        uint64_t wanted_ns;   /* somebody waits until this time is proved; 0 = nobody */
        bool     rebuffed;    /* the last PING was answered by something else */
};

/* Whoever waits gets two PINGs, one right behind the other, and the next two after this distance: soon enough for a
 * program that has run a script, and no load for the server from one that runs nothing else. */
#define FENCE_HURRY_NS (NS_PER_MS / 4)

void fence_reset(struct fence *fence); /* a new connection; who waits goes on waiting */
void fence_want(struct fence *fence, uint64_t now_ns);
/* When the next PING is to leave; UINT64_MAX while one is outstanding. */
uint64_t fence_due_ns(const struct fence *fence, uint64_t period_ns);
/* before_ns was read from the precise clock before the PING was handed to the socket. */
void fence_sent(struct fence *fence, uint64_t before_ns);
/* PONG: the time up to which all is proved to be applied; 0 = nothing yet. False: no PING was outstanding. */
bool fence_pong(struct fence *fence, uint64_t *proved_ns);
/* The answer to a request other than PING, which may prove by itself: the time when it was sent. rebuffed: not to be
 * asked again at once, whoever waits. */
uint64_t fence_answered(struct fence *fence, bool rebuffed);
/* An answer that is no PONG (-BUSY, -LOADING): proves nothing, not even as the first of two. */
bool fence_refused(struct fence *fence);

/* Move server->fresh_at_ns forward to proved_ns, never back, while holds(arg) is true: a leader whose place in the
 * segment has been given to another must not speak for it. */
void fence_advance(struct server_shm *server, uint64_t proved_ns, bool (*holds)(const void *arg), const void *arg);

#endif
