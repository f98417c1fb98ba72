/* layout.h - every struct that other processes can see. Change anything here and SEGMENT_ABI moves.
 *
 *   0            header page             struct segment_shm
 *   +4096        servers                 struct server_shm    [SERVER_MAX]
 *                namespaces              struct namespace_shm [NAMESPACE_MAX]
 *                processes               struct process_shm   [PROCESS_MAX]
 *                tiers                   struct tier_shm      [TIER_SHM_MAX]
 *                counter blocks          struct counters_shm  [COUNTERS_MAX]   pages taken as blocks are claimed
 *                log segment descriptors struct logseg_shm    [logseg_count]
 *                index                   struct bucket_shm    [bucket_count]
 *                log segments            logseg_count x logseg_size bytes      taken piece by piece as they fill
 *
 * Fixed-width types, offsets instead of pointers, little-endian hosts with 64-bit atomics. Every array starts on a
 * page. All of it may be hostile: whoever reads a number from here checks it against the handle's own copy of the
 * geometry (struct segment_geometry) before it becomes an address. The magic is stored last, when all else is in
 * place. */
#ifndef MT_SEGMENT_LAYOUT_H
#define MT_SEGMENT_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SEGMENT_MAGIC   UINT64_C(0x4d494853544d0a1a) /* "\x1a\nMTSHIM" */
#define SEGMENT_GROWING UINT64_C(0x6d696873746d0a1a) /* all is there but memory for the whole index: nobody uses it */
#define SEGMENT_ABI     4u                           /* also part of the segment's name */
#define SEGMENT_PAGE    4096u

enum {
        SERVER_MAX = 128,
        NAMESPACE_MAX = 1024,
        PROCESS_MAX = 2048,
        TIER_SHM_MAX = 16, /* stores below Redis that programs of this host use */
        TIER_REMOVALS = 64,
        COUNTERS_MAX = 2048,
        BUCKET_SLOTS = 7,
        COUNTER_SPACE = 63,  /* counters a block has room for; counters.def has fewer */
        LOGSEG_OPEN_MAX = 4, /* log segments of one log that take in appends side by side */
        LOGSEG_LIVES = 32,   /* classes of remaining life that a log segment counts its items by */
        WAIT_MAX = 128,      /* places to wait for a fill */
        CLAIM_MAX = 64,      /* keys whose values are being computed */
};

/* The log is two logs: items that are new, and those that have proved to be read (evict.c). */
enum logseg_kind { LOGSEG_SMALL = 0, LOGSEG_MAIN = 1, LOGSEG_KINDS = 2 };

/* ----------------------------------------------------------------------------------------------------- waiting */

/* Where to wait until a PENDING word leaves its slot (cache/wait.h). Many slots share a place: who is woken looks. */
struct wait_shm {
        _Atomic uint32_t moves;    /* a futex: goes up with each wake */
        _Atomic uint32_t until_ms; /* somebody may be waiting until then, ms since created_ns; 0: nobody ever did */
        _Atomic uint64_t given_up; /* the PENDING word that was last given back here: its reply is not kept */
};
_Static_assert(sizeof(struct wait_shm) == 16, "four places to wait are a cache line");

/* ------------------------------------------------------------------------------------------------------ claims */

/* Somebody computes the value of a key (cache/claim.c).
 *   owner:  63          32 31    12 11       0
 *           | incarnation  |  turn  | slot + 1 |     an owner word (below) with a turn in it, which goes up each time
 *                                                    that the place changes hands; slot + 1 is 0: free */
struct claim_shm {
        _Atomic uint64_t owner;
        _Atomic uint64_t key; /* hash of server, database and key: its upper 44 bits; then the turn that it counts in */
};
_Static_assert(sizeof(struct claim_shm) == 16, "four claims are a cache line");

/* ------------------------------------------------------------------------------------------------------ header */

struct segment_shm {
        _Atomic uint64_t magic;
        uint32_t         abi;
        uint32_t         header_size;
        uint64_t         fingerprint; /* of the sizes and offsets of every struct below: segment_fingerprint() */
        uint64_t         l1_size;     /* MTSHIM_L1_SIZE of the creator: the ceiling, and the file's size */
        uint64_t         logseg_size; /* these two give every other number of the geometry */
        uint64_t         hash_key[2]; /* secret of the keyed hash */
        uint64_t         created_ns;  /* CLOCK_MONOTONIC; deadlines in items count from here */
        _Atomic uint64_t index_ready; /* bytes of the index that have memory: all, once the magic is SEGMENT_MAGIC */
        uint64_t         spare0[7];

        /* Lines that are written: one each. */
        _Alignas(64) _Atomic uint64_t token_block; /* next block of 2^10 fill tokens; never goes back */
        uint8_t pad0[56];
        _Alignas(64) _Atomic uint32_t namespace_next; /* upper bits of the next namespace id: never 0, never reused */
        _Atomic uint32_t namespaces_high;             /* namespace slots ever claimed: the rest are empty */
        uint8_t          pad1[56];
        _Alignas(64) _Atomic uint64_t seal_next;              /* order in which log segments were sealed */
        _Atomic uint32_t counters_high;                       /* counter blocks whose pages have been taken */
        _Atomic uint32_t open[LOGSEG_KINDS][LOGSEG_OPEN_MAX]; /* 1 + the log segment that takes in appends; 0 = none */
        uint8_t          pad2[20];
        _Alignas(64) _Atomic uint64_t table_owner; /* owner word: who changes the server and namespace tables */
        uint8_t pad3[56];
        _Alignas(64) _Atomic uint64_t forgotten; /* bytes that left the small log unread: the age of ghosts */
        _Atomic uint64_t tended_ns;              /* when somebody last looked for what can be reclaimed without loss */
        uint8_t          pad4[48];
        _Alignas(64) struct wait_shm wait[WAIT_MAX];
        uint64_t         spare1[72];
        struct claim_shm claim[CLAIM_MAX];
};
_Static_assert(sizeof(struct segment_shm) == SEGMENT_PAGE, "the header is one page");
_Static_assert(offsetof(struct segment_shm, token_block) == 128, "segment ABI");
_Static_assert(offsetof(struct segment_shm, seal_next) == 256, "segment ABI");
_Static_assert(offsetof(struct segment_shm, table_owner) == 320, "segment ABI");
_Static_assert(offsetof(struct segment_shm, forgotten) == 384, "segment ABI");
_Static_assert(offsetof(struct segment_shm, wait) == 448, "segment ABI");
_Static_assert(offsetof(struct segment_shm, claim) == 3072, "segment ABI");

/* --------------------------------------------------------------------------------------------------- processes */

/* A process, while it is attached. An owner word (struct logseg_shm, struct counters_shm, leader) names a process as
 *   63           32 31            0
 *   | incarnation  | slot + 1     |     0 = nobody
 * and is that of a dead one if the slot has moved to another incarnation, or its process (pid and start time, so that
 * a reused pid is not taken for it; zombies count as dead) is gone. */
enum process_role { PROCESS_PROGRAM = 0, PROCESS_AGENT = 1 };

struct process_shm {
        _Atomic uint32_t incarnation; /* even: free, odd: claimed; only goes up */
        _Atomic int32_t  pid;
        _Atomic uint64_t start_time; /* field 22 of /proc/pid/stat, clock ticks since boot */
        _Atomic uint64_t attached_ns;
        _Atomic uint32_t role; /* enum process_role; stored before the incarnation is odd */
        uint32_t         pad;
        uint64_t         spare[4];
};
_Static_assert(sizeof(struct process_shm) == 64, "a process is one cache line");

/* Counters of one thread: it alone adds to them, without locked instructions. Block 0 is shared by all that found no
 * block of their own, and takes in the sums of the dead; it is added to atomically. */
struct counters_shm {
        _Atomic uint64_t owner; /* owner word; 0 = free, its counts stay and go on counting for the total */
        _Atomic uint64_t count[COUNTER_SPACE];
};
_Static_assert(sizeof(struct counters_shm) == 512, "a counter block is eight cache lines");

/* ------------------------------------------------------------------------------------- servers and namespaces */

enum server_state { SERVER_FREE = 0, SERVER_CLAIMED = 1, SERVER_READY = 2 };
enum server_flag {
        SERVER_CLUSTER = 1u << 0,     /* redis_mode:cluster: everything is forwarded */
        SERVER_NO_TRACKING = 1u << 1, /* refused CLIENT TRACKING (old, renamed, ACL): nobody leads before retry_ns */
        SERVER_COSTLY = 1u << 2,      /* more keys invalidated than served: closed until costly_until_ns */
        SERVER_GUARDED = 1u << 3,     /* somebody here was refused, or changed rights: see DOUBT_UNPROVED */
        SERVER_SECURED = 1u << 4,     /* programs reach it through TLS: an agent does not try without */
};

/* A Redis server as programs of this host reach it: for TCP the peer's address and port, for a unix socket the
 * socket's device and inode. */
struct server_shm {
        /* What a hit reads: one line. Written by the leader alone. */
        _Atomic uint64_t fresh_at_ns; /* everything acknowledged before this time has been applied to L1 */
        _Atomic uint32_t incarnation; /* moves when the run_id is another, or the slot is given to another server */
        _Atomic uint32_t flags;       /* enum server_flag */
        uint8_t          pad0[48];

        /* Leadership: written by candidates and the leader's thread. */
        _Alignas(64) _Atomic uint64_t leader; /* owner word of the leading process; 0 = nobody */
        _Atomic uint64_t leader_until_ns;     /* the leader renews it; past it anybody may take over */
        _Atomic uint32_t leader_term;         /* goes up with each take-over */
        _Atomic int32_t  leader_tid;          /* the listener's thread id, for the wake-up */
        _Atomic uint32_t ping_wanted;         /* somebody waits for fresh_at_ns to move */
        _Atomic uint32_t bound_ms;            /* smallest MTSHIM_MAX_STALENESS among those attached; 0 = not said */
        _Atomic uint64_t retry_ns;            /* SERVER_NO_TRACKING: not before */
        _Atomic uint64_t costly_until_ns;
        _Atomic uint64_t fresh_was_ns; /* fresh_at_ns when a leader gave up last; then that is 0 */

        /* Identity and what an operator reads. */
        _Alignas(64) _Atomic uint32_t state; /* enum server_state */
        uint32_t         family;             /* AF_UNIX, AF_INET, AF_INET6 */
        uint64_t         id[3];              /* unix: dev, ino, 0; inet: port, address in two words */
        char             address[120];       /* NUL-terminated: "/run/redis.sock", "127.0.0.1:6379" */
        char             run_id[48];         /* of the server last connected to, NUL-terminated; "" = none yet */
        _Atomic uint32_t epoch;              /* how often all its namespaces got new ids */
        uint32_t         pad2;
        _Atomic uint64_t used_ns;       /* last time a connection to it was made or it had a leader */
        _Atomic uint64_t invalidations; /* keys that listeners applied */
        _Atomic uint64_t reconnects;
        _Atomic uint64_t flushes;
        _Atomic uint64_t incarnation_ns; /* when incarnation last moved; stored before it does; 0 = never */
        _Atomic uint64_t source; /* identity too: how writes are learnt, invalidation_source(); 0: the server tells */
        _Atomic uint32_t debt;   /* a write was not announced: the next announcement tells everything */
        uint32_t         pad3;
        _Atomic uint64_t round_trip_ns; /* about the median of what a miss waits for its reply; 0: not known */
        uint64_t         spare[7];
};
_Static_assert(sizeof(struct server_shm) == 512, "a server is eight cache lines");
_Static_assert(offsetof(struct server_shm, leader) == 64, "segment ABI");
_Static_assert(offsetof(struct server_shm, state) == 128, "segment ABI");

/* (server, database, user) -> the id that items of it carry. A flush allots a new id, so that a hit compares one
 * word. */
struct namespace_shm {
        _Atomic uint32_t id;    /* 0 = slot not in use */
        _Atomic uint32_t state; /* enum server_state */
        uint32_t         server;
        uint32_t         database;
        uint64_t         user[2]; /* keyed digest of the identity, never the name */
        uint32_t         server_incarnation;
        uint8_t          pad[28];
};
_Static_assert(sizeof(struct namespace_shm) == 64, "a namespace is one cache line");

/* ------------------------------------------------------------------------------------------------------- tiers */

/* What processes of this host tell each other about one store below Redis: tier/debt.h has the protocol.
 * A removal in flight:
 *   63           32 31       20 19       0
 *   | incarnation  | slot + 1  | tag     |     0 = free; the upper two are the owner word; tag 0: every key */
#define TIER_TAG_BITS 20u
struct tier_shm {
        /* What a look-up reads, and the removals below. */
        _Atomic uint64_t debt;     /* removals that nobody can do any more, and that may not have been done */
        _Atomic uint64_t paid;     /* the debt up to which all has been flushed; closed while it is less than debt */
        _Atomic uint64_t flush_ns; /* somebody flushes: nobody else begins to before */
        _Atomic uint32_t state;    /* enum server_state */
        uint32_t         level;
        uint64_t         id[2]; /* digest of kind, address and prefix */
        uint64_t         spare0[2];
        char             name[64]; /* kind and address, cut, NUL-terminated */

        /* What an operator reads. */
        _Atomic uint64_t hits, misses, errors, timeouts, skipped, sets, removes, promotions;
        _Atomic uint64_t get_ns, get_ns_max; /* of hits and misses */
        uint64_t         spare1[38];

        _Alignas(64) _Atomic uint64_t removing[TIER_REMOVALS];
};
_Static_assert(sizeof(struct tier_shm) == 1024, "four tiers are a page");
_Static_assert(offsetof(struct tier_shm, hits) == 128, "segment ABI");
_Static_assert(offsetof(struct tier_shm, removing) == 512, "segment ABI");
_Static_assert(PROCESS_MAX < 1u << (32 - TIER_TAG_BITS), "a process's slot fits into the word of a removal");

/* ------------------------------------------------------------------------------------------------------- index */

/* slot:   63 62 61        48 47                                0
 *   LIVE    | 2 | tag : 14  | generation : 48-n | offset/8 : n   |   offset from the start of the log area
 *   PENDING | 1 | tag : 14  | hold : 2 |    token : 46           |   token never used twice in the segment's life
 *   GHOST   | 3 | 0 : 2 | third : 20 | second : 20 | first : 20  |   as free as EMPTY; what it remembers: ghost.h
 *   EMPTY   | 0   all bits zero                                  |
 *
 * hold: enum l1_hold; 0 while the key is asked for. Else the server has no such key, and who asked is taken to compute
 * it (MTSHIM_STAMPEDE=lease).
 *
 * n is as many bits as offset/8 needs in a log of this size, 17 to 32: segment_geometry.offset_bits. The generation has
 * the rest, 16 to 31, so that it comes round as late as can be (slot.h).
 *
 * mark[i] belongs to slot[i]:
 *   LIVE     7       4 3        2 1       0
 *            | claim  | untold   | reads  |   both up to MARK_MAX: since it was put in or last kept, how often it was
 *                                             read; since Redis was last told of reads (untold.c), how often again
 *            claim (refresh.c): 0 none; 1 to 14 somebody fetches the value anew, since the quarter second of this
 *            number (mod 14); 15 that gains nothing any more. While there is one, reads are not counted.
 *   PENDING  the quarter second of its birth, or when it was held (mod 256): a hint by which a lease left by the dead
 *            is recognised
 * It is no part of the word, so it may be wrong for a moment: harmless, a mark that is wrong costs an eviction, a birth
 * that is wrong costs a fill. A hit writes it while it is not MARK_FULL, so both counts cost what one did. */
struct bucket_shm {
        _Atomic uint64_t slot[BUCKET_SLOTS];
        _Atomic uint8_t  mark[8];
};
#define MARK_MAX             3u
#define MARK_FULL            15u /* both counts say MARK_MAX */
#define SLOT_TAG_BITS        14u
#define SLOT_PLACE_BITS      48u /* generation and offset, together */
#define SLOT_OFFSET_BITS_MIN 17u /* what the smallest log needs; the generation has not more than 31 bits then */
#define SLOT_OFFSET_BITS_MAX 32u
_Static_assert(sizeof(struct bucket_shm) == 64, "a bucket is one cache line");
_Static_assert(offsetof(struct bucket_shm, mark) == 56, "segment ABI");

/* --------------------------------------------------------------------------------------------------------- log */

enum logseg_state { LOGSEG_FREE = 0, LOGSEG_OPEN = 1, LOGSEG_SEALED = 2, LOGSEG_RECLAIM = 3 };

/* A log segment. Only its owner writes here or into its bytes; an append is: own, write the item at head, store head,
 * publish the slot by compare-and-swap, disown. Everything in [0, head) is whole at all times, whoever died when. */
struct logseg_shm {
        _Atomic uint64_t owner;      /* owner word; held for one append or one reclaim */
        _Atomic uint32_t state;      /* enum logseg_state */
        _Atomic uint32_t generation; /* goes up at each reclaim; its low bits are in every slot that points here */
        _Atomic uint32_t head;       /* bytes committed */
        _Atomic uint32_t ready;      /* bytes backed by memory (fallocated) */
        _Atomic uint64_t sealed_seq; /* order of sealing: the oldest is reclaimed first */
        _Atomic uint32_t kind;       /* enum logseg_kind: which log it belongs to */
        _Atomic uint32_t items;      /* appended since it was opened */
        _Atomic uint32_t dead;       /* of these, removed or replaced since: a hint, added to by anybody */
        _Atomic uint32_t opened;     /* when, in the units of item deadlines */
        _Atomic uint32_t lists;      /* of the items, how many are lists of pieces */
        uint32_t         pad;
        uint64_t         spare[1];
        _Atomic uint16_t lives[LOGSEG_LIVES]; /* of the items, how many live how long from `opened` on: logseg_life() */
};
_Static_assert(sizeof(struct logseg_shm) == 128, "a log segment's descriptor is two cache lines");
_Static_assert(offsetof(struct logseg_shm, lives) == 64, "segment ABI");

/* An item: 12 bytes, then the key, then the value, padded to 8.
 *   lens:  31        22 21              0
 *          | klen : 10 | vlen : 22      |     klen 1023: the long form, two more words (klen, vlen) follow
 * vlen ITEM_NIL (ITEM_LONG_NIL in the long form): "no such key".
 *
 * A value that is long for a log segment is cut into pieces. They are items of their own (long form, klen with
 * ITEM_PIECE set), which no slot points to; the key of a piece is the 64-bit hash under which its owner stands, and
 * the PENDING word of the lease under which it was written. The owner (long form, klen with ITEM_LIST set) has in the
 * value's place the offsets of the pieces / 8, 32 bits each. */
struct item_shm {
        uint32_t lens; /* first, so that they lie in the first 8 bytes, which never straddle a page */
        uint32_t namespace_id;
        uint32_t deadline; /* in units of 2^ITEM_DEADLINE_SHIFT ns since created_ns, rounded down: 4.5 years */
};
_Static_assert(sizeof(struct item_shm) == 12, "12 bytes an item");
_Static_assert(offsetof(struct item_shm, lens) == 0, "segment ABI");

#define ITEM_ALIGN          8u
#define ITEM_DEADLINE_SHIFT 25 /* 33.5 ms */
#define ITEM_KLEN_LONG      1023u
#define ITEM_NIL            ((UINT32_C(1) << 22) - 1)
#define ITEM_LONG_NIL       UINT32_MAX
#define ITEM_LONG_EXTRA     8u
#define ITEM_LIST           (UINT32_C(1) << 31)
#define ITEM_PIECE          (UINT32_C(1) << 30)
#define ITEM_KEY_MAX        16384u /* longer keys are never kept */
#define ITEM_WHOLE_SHARE    4u     /* an item in one piece takes a quarter of a log segment: sealing wastes little */
#define ITEM_PIECES         8u     /* so many pieces of a longer value fill a log segment */
#define ITEM_PIECES_MAX     1024u  /* longer values are not kept: 32 MiB where a log segment has 256 KiB */
#define ITEM_PIECE_EXTRA    40u    /* what a piece takes beyond its bytes, at most */

#endif
