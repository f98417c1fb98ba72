/* below.h - what the program's writes mean for the tiers below Redis (l1/tier/tier.h): of the keys whose rule says
 * `tiers`, nothing that was there before a write is there when the program sees the write's reply.
 *
 *   sent        keys are noted, and what lets values of theirs back into Redis, a permit, is deleted before the write
 *   answered    they are removed from the tiers (QUEUED in MULTI: at EXEC); also when no answer comes
 *
 * Permits. A value is put back into Redis (shim/request/through.c) only while a key of Redis' own stands, the permit of
 * the slot to which the hash of the value's key belongs, that has stood for BELOW_SETTLE_MS. Whoever deletes keys
 * deletes their permits right before, on the same connection, and lets the program believe in a deletion only if from
 * before the permit went until the tiers were clean less than BELOW_LATE_NS have passed. A permit that has stood for so
 * long therefore proves that all deletions of its slot that were ever acknowledged, or ever will be, have either left
 * the tiers already or are still to delete the permit; and that is seen by WATCH. Whatever else ends a permit
 * (eviction, FLUSHDB, another server) only keeps values from being put back. tests/tiers/model.c tries all of it.
 *
 * A SET leaves a key behind, which a value that is put back cannot pass unseen; but one whose time may be over before
 * it is answered is a deletion too. It is not made to fail, however late.
 *
 * Inside MULTI nothing of ours may stand: there the permit of the whole database, which every value needs too, is
 * deleted before MULTI. Where replies cannot be told apart no permit is deleted: README names these connections. */
#ifndef MT_BELOW_H
#define MT_BELOW_H

#include "../command/command.h"
#include "../../l1/base/clock.h"
#include "../../l1/tier/tier.h"

#include <stdbool.h>
#include <stdint.h>

struct connection;

/* What stands between a deletion and its being believed, and how long a permit has to stand. Builds whose clock tests
 * can move do not wait for a minute. */
#ifdef MT_TEST_CLOCK
enum { BELOW_SETTLE_MS = 1000 };
#else
enum { BELOW_SETTLE_MS = 60000 };
#endif
#define BELOW_LATE_NS (UINT64_C(9) * BELOW_SETTLE_MS * NS_PER_MS / 10)

/* A permit's life. How long it has stood is what is gone of that: the server's own clock, whoever looks. */
enum { BELOW_PERMIT_LIFE_MS = 86400000 };
/* The permit of a key, or (key.ptr NULL) of the whole database: its name, NUL-terminated. The same in all versions and
 * on all machines. */
enum { BELOW_PERMITS = 16384, BELOW_PERMIT_NAME = 32 };
void below_permit(struct mt_bytes key, char name[BELOW_PERMIT_NAME]);
/* The clock by which BELOW_LATE_NS pass. */
uint64_t below_now_ns(void);

/* Part of struct connection; all zero where nothing is noted. */
struct below {
        char    *bytes;              /* keys that are written, in order: a mapping of its own, or NULL */
        uint32_t head, cursor, tail; /* before cursor: those of the transaction that is open */
        uint32_t capacity;
        uint64_t answered; /* rows of what is owed that are gone */
        uint64_t multi_ns; /* when MULTI was sent, of a transaction that may be open; 0: none is */
        bool     open;     /* MULTI was sent, and what ends it was not */
        bool     async;    /* the command is sent by the asynchronous API */
        bool     behind;   /* the command stands behind another in the same bytes: nothing can go before it */
        bool     through;  /* the command's key is looked after by whoever sends it (through.c) */
        bool     lost;     /* a key could not be noted */
        bool     late;     /* what was answered last is not to be believed */
        bool     denied;   /* this user may not put anything back */
};

/* Is it in the tiers' hands, and what do they call it? False: no rule says so, or the server has no name. */
bool below_names(struct connection *c, struct mt_bytes key, struct tier_key *named);

/* A command is about to be sent, and will have the next row of what is owed. */
void below_sent(struct connection *c, const struct command *command);
/* A row is gone: it was answered. ours: it is of a command of our own; queued: by QUEUED. */
void below_answered(struct connection *c, bool ours, bool queued);
/* The answer to the deletion of a permit. */
void below_permitted(struct connection *c, const void *reply);
/* The transaction has been executed, or given up. another: a MULTI that followed it has not been answered yet. */
void below_executed(struct connection *c, bool another);
/* Of all that is noted, some may have been executed, and their replies be seen before we see them; it stays noted. */
void below_doubted(struct connection *c);
/* The command that has the last row, which is about to be dropped, will not be known to be answered. */
void below_never(struct connection *c);
/* Nothing that is outstanding will be answered. */
void below_ended(struct connection *c);
/* The connection begins, anew perhaps, or ends: nothing is outstanding. */
void below_begin(struct connection *c);
/* The database, or all of the server, has been emptied, or is about to be. */
void below_flush(struct connection *c, bool whole_server);

#endif
