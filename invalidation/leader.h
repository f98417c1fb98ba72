/* leader.h - one listener per host and server: who it is, for how long, and on what terms.
 *
 *   server->leader  0 -> ours          leader_take(): nobody led, or one whose time was over, or a dead one; a new term
 *                   ours -> ours       leader_renew(): the time goes on
 *                   ours -> 0          leader_give_up(), leader_resign()
 *                   ours -> another's  our thread was stopped for too long: leader_holds() is false, it steps down
 *                   another's -> ours  leader_inherit(): an agent takes the place of a program that leads
 *
 * A former leader that wakes up does no harm: keys that it clears were announced, and a time that it proves is
 * absolute. */
#ifndef MT_INVALIDATION_LEADER_H
#define MT_INVALIDATION_LEADER_H

#include "../l1/l1.h"

struct leader {
        struct l1         *l1;
        struct server_shm *server;
        uint32_t           index; /* of the server, for hashes */
        uint32_t           term;
        uint32_t incarnation; /* that of the server's place while we lead: another one means it was given away */
        uint32_t own_bound_ms;
        bool     heir;   /* it does not lead yet: it listens beside whoever does, and waits for leader_inherit() */
        uint32_t family; /* and id: whose the place was when leadership was taken */
        uint64_t id[3];
        uint64_t source; /* likewise: how it listens */
        uint64_t self;   /* owner word */
        uint64_t bound_said_ns;
        uint64_t minute_ns, minute_keys, minute_hits; /* when the present minute began, and the counts then */
        uint64_t keys;                                /* applied since leadership began */
};

/* ------------------------------------------------------------------------------------------------ candidates */

/* Has this process lived, or asked, long enough to be worth a thread? Counts one more call. */
bool leader_long_lived(uint64_t now_ns);
void leader_forget_life(void); /* after a fork */
/* True when the bound was lowered, and the leader should know. */
bool leader_lower_bound(struct server_shm *server, uint32_t bound_ms);
/* May this server be led by somebody else than who leads it now, if any does? *word is what leader_take() replaces. */
bool leader_vacant(const struct l1 *l1, const struct server_shm *server, uint64_t now_ns, uint64_t *word);
bool leader_take(struct leader *leader, struct l1 *l1, struct server_shm *server, uint32_t own_bound_ms, uint64_t word);
/* A handle that leads nothing yet. leader_inherit() makes a leader of it, in the place of *word, alive or not. False:
 * another was faster, or the server, or its place, is not what it was when the heir began. */
bool leader_stand(struct leader *leader, struct l1 *l1, struct server_shm *server, uint32_t own_bound_ms);
bool leader_inherit(struct leader *leader, uint64_t word);
/* Is the place still that of the server that it was when the handle was made? */
bool leader_same_place(const struct leader *leader);

/* ------------------------------------------------------------------------------------------------ the leader */

bool leader_holds(const struct leader *leader);
/* Call at every turn, and not later than after leader_lapse_ns() / 3. */
void leader_renew(struct leader *leader, uint64_t now_ns);
void leader_give_up(struct leader *leader);
/* The same without the handle: if the word is self, nobody leads. */
void leader_resign(struct server_shm *server, uint64_t self);
/* Nobody leads this server before until_ns, for the reason that the flag names. */
void leader_forbid(struct leader *leader, enum server_flag flag, uint64_t until_ns);
void leader_clear_flags(struct leader *leader, uint32_t flags);

/* The server behind the address says who it is. True when it is another than before, and connections of programs that
 * are older must not be served. run_id "": it does not say, and then it is another each time. */
bool leader_identify(struct leader *leader, const char *run_id);
/* The server that was there is gone: whatever connects from now on connects to another. */
void leader_server_gone(struct leader *leader);

/* Once a minute: has L1 cost more (keys cleared) than it gave (hits)? */
bool leader_too_costly(struct leader *leader, uint64_t now_ns);

/* ------------------------------------------------------------------------------------------------ arithmetic */

uint32_t leader_bound_ms(const struct server_shm *server, uint32_t own_bound_ms);
uint64_t leader_period_ns(uint32_t bound_ms); /* from PING to PING */
uint64_t leader_lapse_ns(uint32_t bound_ms);  /* how long leadership lasts without being renewed */
uint64_t leader_costly_ns(uint64_t now_ns);   /* how long L1 stays closed that costs too much: ten to twenty minutes */

#endif
