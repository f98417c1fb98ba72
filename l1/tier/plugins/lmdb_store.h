/* lmdb_store.h - private to the lmdb backend: one environment of this process, and what is written in it.
 *
 * The environment ("main" has the names of the others, and two records of ours):
 *   main      "mtshim"              struct store_head: format, the next prefix' number
 *             "clock"               struct store_clock: the latest time that any writer knew
 *   prefixes  prefix                struct store_prefix: its number, and the transaction that last ended its marks
 *   entries   number:4, key         struct store_entry, [the key, if it is too long for LMDB], the value or its head
 *   index     over_us:8, seq:8      the entry's key in `entries`: what ends first comes first
 *   chunks    seq:8, n:4            the rest of a large value, one page each, so that room never has to be in one piece
 *   garbage   kind:1, number:8      chunks of what is gone, and prefixes that were flushed: taken away a step at a time
 *   marks     slot / 128            128 words: the transaction that last removed a key of that slot
 * Numbers in keys are big-endian, so that LMDB's order is theirs; in values they are the machine's.
 *
 * A mark is the number of the last transaction that had been committed when it was taken: it is void if a slot or a
 * prefix says a later one. Removals write that in the transaction in which they remove. seq of an entry is the number
 * of the transaction that wrote it: one writes one entry.
 *
 *   who                 holds                                        waits for
 *   a reader            a slot of LMDB's reader table, for one look   another reader of this process, if 32 are at it
 *   a writer            the gate, then LMDB's own writer's lock       the gate, timeout_ms at most */
#ifndef MT_TIER_PLUGINS_LMDB_STORE_H
#define MT_TIER_PLUGINS_LMDB_STORE_H

#include "lmdb_gate.h"

#include <lmdb.h>
#include <stdatomic.h>
#include <sys/types.h>

enum { STORE_FORMAT = 1, STORE_READERS = 32, STORE_KEY_MAX = 2048, STORE_PREFIX_MAX = 400 };
enum { DB_PREFIXES, DB_ENTRIES, DB_INDEX, DB_CHUNKS, DB_GARBAGE, DB_MARKS, DB_COUNT };
enum { MARK_SLOTS = 65536, MARK_ROW = 128 };

/* Two clocks, in microseconds. `wall` goes on through starts of the machine and never steps back; `boot` cannot be
 * set. */
struct store_now {
        uint64_t wall_us, boot_us;
};

struct store {
        MDB_env          *env;
        MDB_dbi           dbi[DB_COUNT];
        int               folder, data; /* descriptors: of the folder, and LMDB's of data.mdb */
        dev_t             dev;
        ino_t             ino; /* of the folder */
        pid_t             pid;
        unsigned          objects;
        struct store     *next;
        struct lmdb_gate *gate;
        size_t            page_bytes;
        uint64_t          pages, reserve; /* of the map; kept for removals */
        _Atomic bool      stuck;          /* the disk is full: the file did not grow when it should have */
        uint64_t          clock;          /* whose `boot` this is: start of the machine, time namespace; 0: not known */
        _Atomic int64_t   wall_minus_boot; /* at least */
        /* Read transactions that are reset: renewing one writes its slot of the reader table, and asks the kernel for
         * nothing. */
        MDB_txn         *reader[STORE_READERS];
        _Atomic uint64_t idle; /* bit: that reader is there, and nobody has it */
        unsigned         readers;
};

/* The descriptors that open() makes hold the locks by which other processes know that this one lives: they must be
 * there, in some thread's table, as long as anything here is called, reading included. */

/* lmdb_env.c: opened once in a process for each folder, however many objects use it. */
struct store *store_open(const char *folder, uint64_t size_bytes, bool sync, char why[MT_BACKEND_WHY_MAX]);
void          store_close(struct store **store);

/* A look at what is there now. NULL: no reader became free within timeout_ms, or LMDB failed. */
MDB_txn *store_read(struct store *s, uint32_t timeout_ms, unsigned *reader);
void     store_read_end(struct store *s, unsigned reader);

/* The one writer. need: pages that will be written; 0: a removal, which has the reserve. NULL: not within timeout_ms,
 * no room, or LMDB failed. Ends with one of the two. */
MDB_txn *store_write(struct store *s, uint32_t timeout_ms, uint64_t need);
bool     store_commit(struct store *s, MDB_txn *txn);
void     store_abort(struct store *s, MDB_txn *txn);

/* Within store_room(): the gate is held already. NULL: LMDB failed. */
MDB_txn *store_begin(struct store *s);

struct store_now store_now(const struct store *s);

/* lmdb_room.c: pages. Is there room for so many, besides the reserve? The gate is held, no transaction is open. Makes
 * it, step by step, each a transaction of its own. */
bool store_room(struct store *s, uint64_t need);
/* Pages in use beyond what may be, once `need` more are; 0: none. */
uint64_t store_excess(struct store *s, MDB_txn *txn, uint64_t need);

/* A number that no prefix has had. LMDB's codes. */
int store_next_prefix(MDB_txn *txn, uint32_t *number);

/* lmdb_entry.c: what is in it. All return LMDB's codes, and are called within a transaction. */

struct store_prefix {
        uint32_t number, spare;
        uint64_t voided; /* the transaction that last ended all marks */
};
struct store_entry {
        uint64_t wall_over_us, boot_over_us; /* UINT64_MAX: never. Over as soon as one of them has come; */
        uint64_t clock;                      /* the second counts where it is that of whoever looks, and known */
        uint64_t seq;
        uint64_t value_bytes;
        uint32_t key_bytes; /* that follow: the whole key, if LMDB's is too short for it; else 0 */
        uint32_t chunks;
};
enum { STORE_LMDB_KEY = 511 };
/* A key as LMDB has it: the prefix' number and the key; of one that is too long the head, and a hash of it all. */
struct store_key {
        struct mt_bytes whole;
        size_t          len;
        char            bytes[STORE_LMDB_KEY];
};

void store_key_init(struct store_key *k, uint32_t prefix, struct mt_bytes key);

/* MDB_NOTFOUND: there is no such prefix. */
int store_prefix_get(struct store *s, MDB_txn *txn, struct mt_bytes prefix, struct store_prefix *p);
/* It is there afterwards. */
int store_prefix_make(struct store *s, MDB_txn *txn, struct mt_bytes prefix, struct store_prefix *p);
/* All marks of the prefix end. flush: everything in it is gone too, and lies about as garbage. */
int store_prefix_void(struct store *s, MDB_txn *txn, struct mt_bytes prefix, bool flush);

/* MDB_NOTFOUND: not there, or over. *inlined: what the entry itself has of the value; all of it if it has no chunks. */
int store_find(struct store *s, MDB_txn *txn, const struct store_key *k, struct store_entry *entry,
               struct mt_bytes *inlined);
/* What remains, rounded down; 0: it is over. */
uint64_t store_left_ms(const struct store *s, const struct store_entry *entry);
/* All value_bytes to that place. */
int store_copy(struct store *s, MDB_txn *txn, const struct store_entry *entry, struct mt_bytes inlined, char *to);

int store_put(struct store *s, MDB_txn *txn, const struct store_key *k, struct mt_bytes value, uint64_t ttl_ms);
/* Pages that store_put() writes at most. */
uint64_t store_need(const struct store *s, struct mt_bytes key, struct mt_bytes value);
/* MDB_SUCCESS also when it is not there. */
int store_drop(struct store *s, MDB_txn *txn, const struct store_key *k);
/* Up to `most` keys that match, of those behind *from, are dropped. *from moves on; *done: none is left. */
int store_drop_matching(struct store *s, MDB_txn *txn, uint32_t prefix, struct mt_bytes glob, struct store_key *from,
                        bool *done);

/* Marks by key: `hash` is of the prefix and the key. */
int store_mark_get(struct store *s, MDB_txn *txn, uint64_t hash, uint64_t *removed);
int store_mark_void(struct store *s, MDB_txn *txn, uint64_t hash);

/* Take away a little: of garbage, of what is over, and what ends first until `need` pages more would be no excess. */
int store_reclaim(struct store *s, MDB_txn *txn, uint64_t need);

#endif
