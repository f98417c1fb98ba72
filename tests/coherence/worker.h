/* worker.h - what the pieces of the worker share.
 *
 *   worker.c   connections, reads, forks, life
 *   write.c    the ways to write a key
 *   cli.c      a writer that is redis-cli */
#ifndef MT_COHERENCE_WORKER_H
#define MT_COHERENCE_WORKER_H

#include "oracle.h"

#include <hiredis/hiredis.h>

#include <sys/types.h>

struct thread {
        uint32_t            index;
        bool                bare; /* Redis itself answers: nothing may be old at all */
        bool                up;   /* connected, named, in its database */
        struct seat_thread *note;
        struct writer      *writer; /* NULL: reads alone */
        uint64_t            seed;
        redisContext       *c; /* may be there and not up: then redisReconnect() is to be tried */
        uint64_t            faults_before;
        uint64_t            own[ORACLE_KEYS]; /* sequences that this connection has acknowledged */
        uint64_t           *seen;             /* the newest that this thread has read */
        char               *text;             /* room for a value */
};

extern struct oracle *oracle;
extern struct seat   *seat; /* this process's */

void worker_pause_us(unsigned us);
bool worker_stops(void);
/* The last connection of this writer is gone from the server, and what it had sent is executed or never will be. Waits.
 * False: the run is over. */
bool worker_fence(struct writer *writer);
/* The serial number of a new connection, which is to call itself coh-SERIAL; noted as the writer's, if not NULL. */
uint64_t worker_name(struct writer *writer);
/* The connection is of no use any more. */
void thread_drop(struct thread *t);
void thread_read(struct thread *t, uint32_t key);

void write_key(struct thread *t, uint32_t number);
/* Perhaps write one of the thread's keys, and perhaps read it. */
void write_turn(struct thread *t);
/* Which key, when its turn has come to be written; NO_WRITER: not now. */
uint32_t write_pick(struct thread *t);

void cli_life(struct thread *t);

#endif
