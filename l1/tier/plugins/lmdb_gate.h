/* lmdb_gate.h - one small file beside LMDB's own two ("mtshim.gate"), mapped by everyone who has the folder open. It
 * knows three things that LMDB does not:
 * - who is alone: the first to open a folder decides its size, and may start it anew;
 * - what a machine that stopped without notice may have lost (sync=0): then what is there cannot be believed, not even
 *   its pages, and goes;
 * - how to wait for the one writer with a limit: LMDB's own lock is waited for without end, also when its holder is
 *   stopped. Everyone takes this one first. It is robust: a holder that dies gives it up.
 * The open and the enter/leave calls belong to threads of one descriptor table. Errors: a sentence in why. */
#ifndef MT_TIER_PLUGINS_LMDB_GATE_H
#define MT_TIER_PLUGINS_LMDB_GATE_H

#include "plugin_options.h"

struct lmdb_gate;

/* folder: a descriptor, kept by the caller. *size_bytes: the wish; becomes what holds for everybody who has the folder
 * open. With *alone nobody comes in before lmdb_gate_ready(). NULL: why. */
struct lmdb_gate *lmdb_gate_open(int folder, uint64_t *size_bytes, bool *alone, char why[MT_BACKEND_WHY_MAX]);
/* The environment is open. synced: all that it has is on the disk, and what this process writes is before it counts;
 * otherwise the disk is told first that the next start of the machine must not believe it. */
bool lmdb_gate_ready(struct lmdb_gate *gate, bool synced, char why[MT_BACKEND_WHY_MAX]);
void lmdb_gate_close(struct lmdb_gate **gate);

/* False: not within timeout_ms. Not recursive. */
bool lmdb_gate_enter(struct lmdb_gate *gate, uint32_t timeout_ms);
void lmdb_gate_leave(struct lmdb_gate *gate);

/* Which start of the machine this is, never 0; 0: not known. */
uint64_t lmdb_gate_boot(void);

#endif
