/* invalidation.h - what makes L1 tell the truth. The only room that may say "this entry is no longer true" and "L1 may
 * be believed now". Knows nothing of hiredis; speaks to Redis with sockets and a parser of its own.
 *
 * One listener thread per process at most, for all servers that the process leads; one leader per host and server. */
#ifndef MT_INVALIDATION_H
#define MT_INVALIDATION_H

#include "../l1/l1.h"
#include "publisher.h"

#include <sys/socket.h>
#include <sys/un.h>

/* How L1 learns of writes, MTSHIM_INVALIDATION, and how where tracking cannot be had, MTSHIM_INVALIDATION_FALLBACK. In
 * the order of the options' words. */
enum invalidation_mode { INVALIDATION_TRACKING, INVALIDATION_PUBSUB, INVALIDATION_STREAM, INVALIDATION_NONE };
enum invalidation_fallback { INVALIDATION_BYPASS, INVALIDATION_FALL_PUBSUB, INVALIDATION_FALL_TTL };

/* How a listener secures its connection: names of files, no secret among them. NULL: none. */
struct invalidation_tls {
        const char *ca_file, *ca_dir;     /* whom to believe; neither: the system's store */
        const char *cert_file, *key_file; /* what is shown to a server that asks */
        const char *server_name;          /* asked for by SNI */
        bool        check_name;           /* the certificate must be made out to server_name, a host or an address */
        bool        unverified;           /* believe whoever answers */
};

enum invalidation_tls_use { INVALIDATION_TLS_AUTO, INVALIDATION_TLS_OFF, INVALIDATION_TLS_ON };
enum invalidation_tls_verify { INVALIDATION_VERIFY_AUTO, INVALIDATION_VERIFY_ON, INVALIDATION_VERIFY_OFF };

struct invalidation_config {
        enum invalidation_mode       mode;
        enum invalidation_fallback   fallback;
        uint64_t                     bound_ns;      /* MTSHIM_MAX_STALENESS */
        bool                         touch;         /* MTSHIM_TOUCH: tell servers what was read here */
        const char                  *user;          /* MTSHIM_USER, or NULL */
        const char                  *password_file; /* MTSHIM_PASSWORD_FILE, or NULL; read when the thread connects */
        enum invalidation_tls_use    tls_use;       /* MTSHIM_TLS */
        enum invalidation_tls_verify tls_verify;    /* MTSHIM_TLS_VERIFY */
        struct invalidation_tls      tls;           /* the names of MTSHIM_TLS_*: they go before a program's own */
        const char                  *channel;       /* MTSHIM_CHANNEL */
        const char                  *stream;        /* MTSHIM_STREAM */
        const char                  *audit_stream;  /* MTSHIM_AUDIT_STREAM, or NULL */
        uint64_t                     audit_maxlen;  /* MTSHIM_AUDIT_MAXLEN: entries */
        struct tiers *(*tiers)(void); /* below Redis, of which messages are true too; NULL, or NULL from it: none */
        /* Who keeps the same ones (publisher.h); NULL: nobody does. */
        uint64_t (*household)(const struct l1 *l1, uint32_t server_index);
};

/* From the constructor: remembers what is inherited (a container's seccomp filter is no sandbox of the program's own).
 * Cheap. */
void invalidation_loaded(void);
/* Once per process (again after a fork: state of the parent's thread is forgotten). Starts nothing. The strings stay
 * the caller's and must outlive the process. */
void invalidation_setup(const struct invalidation_config *config);
void invalidation_after_fork(void);

/* Where fresh_at may lie for a reader with this bound: from the bound less one tick of the coarse clock ago to a second
 * ahead; the width of that. 0: nowhere. */
uint64_t invalidation_window_ns(uint64_t bound_ns);

/* Is everything acknowledged that long ago known to have been applied? The inline check of the hit path; no side
 * effects. mode INVALIDATION_NONE: the caller does not ask. [F1] acquire: pairs with the listener's release of
 * fresh_at_ns in fence.c; whoever sees the new time sees the namespace ids that were changed before it. */
static inline bool invalidation_fresh(const struct server_shm *server, uint64_t window_ns, uint64_t now_ns)
{
        uint64_t fresh_at_ns = mt_load_acquire(&server->fresh_at_ns);

        /* now may lag behind fresh_at by a tick of the coarse clock: that is fresh too. A time further in the future
         * was not written by a listener. */
        return fresh_at_ns != 0 && now_ns + NS_PER_S - fresh_at_ns < window_ns;
}

/* The part of a server's identity in the segment (l1_server_id.source) that says how writes to it are learnt: a lease
 * that was proved by messages is worth nothing to who trusts the server alone, so each has a place of its own. Changes
 * when this process falls back for that server. */
uint64_t invalidation_source(const struct l1_server_id *id);
/* The mode that such a word stands for, for whoever prints. */
enum invalidation_mode invalidation_source_mode(uint64_t source);
/* Do values of this server live by their time alone, in this process? */
bool invalidation_trusts_ttl(const struct l1_server_id *id);

/* How to reach the server: the peer's address of a connection that the program made, already numeric. */
struct invalidation_endpoint {
        struct sockaddr_storage        address;
        socklen_t                      length;
        const struct invalidation_tls *tls; /* from invalidation_tls_intern(); NULL: in clear text */
};

/* The one copy, kept for good, of how a listener is to secure its connections where the program, or whoever speaks for
 * it, does so as `wanted` says; the options are worked in. wanted NULL: that the program uses TLS is all that is known
 * of it, and only options that say whom to believe are enough. NULL: not to be had (options, no room; one line), no
 * listener may speak to that server. Paths are taken from the current directory. Thread-safe; errno kept. */
const struct invalidation_tls *invalidation_tls_intern(const struct invalidation_tls *wanted);

/* Somebody on this host wants L1 for this server: called on the slow path, by every GET that found no current lease and
 * by misses. Cheap when a leader is there (two loads). Lowers server->bound_ms to ours; when nobody leads, or the
 * leader's time is over, or it is seen dead, and this process has proved long-lived (age, or GETs sent; see leader.c),
 * takes leadership and starts the thread. now_ns: coarse. errno kept. */
void invalidation_attend(struct l1 *l1, struct server_shm *server, const struct invalidation_endpoint *endpoint,
                         uint64_t now_ns);
/* How a server stands, seen from an agent (`mtshim agent`): a process that is there to lead, whose segment's handle
 * says so (l1_config.agent). */
enum invalidation_standing {
        INVALIDATION_VACANT,     /* nobody leads */
        INVALIDATION_LEADS,      /* this process does */
        INVALIDATION_HEIR,       /* it listens beside a program that does, to take its place */
        INVALIDATION_BY_PROGRAM, /* a program leads */
        INVALIDATION_BY_AGENT,   /* another agent leads */
        INVALIDATION_OUT,        /* the server refused this process, or cannot be reached: not now */
        INVALIDATION_FORBIDDEN,  /* nobody may lead now: a cluster, no tracking, more written than read */
        INVALIDATION_BUSY,       /* not to be told at this moment */
};
enum invalidation_standing invalidation_standing(const struct l1 *l1, const struct server_shm *server, uint64_t now_ns);
/* Lead it, or become the heir of the program that does. What came of it is seen by invalidation_standing(). */
void invalidation_lead(struct l1 *l1, struct server_shm *server, const struct invalidation_endpoint *endpoint,
                       uint64_t now_ns);
/* Lines that threads of ours have to say, printed. Whoever calls invalidation_attend() has no need to. */
void invalidation_say(void);

/* Wake the leader, in whatever process it is, so that fresh_at moves soon (after a script that may have written). */
void invalidation_hurry(struct l1 *l1, struct server_shm *server);

/* What the program itself sent to this server, and the server accepted: kept in private memory, wiped when replaced;
 * used by a listener of this process when no user or password file is configured. user.ptr NULL: the
 * one-argument AUTH; server NULL: it has no place in the segment yet. */
void invalidation_credentials(struct server_shm *server, const struct invalidation_endpoint *endpoint,
                              struct mt_bytes user, struct mt_bytes password);

enum invalidation_stop {
        INVALIDATION_PAUSE,  /* leadership given up, the thread ends; a later attend may start another */
        INVALIDATION_FOREVER /* as above, and none is started in this process any more */
};
/* Give up leadership and ask the thread to end. wait_ns > 0: wait at most so long until it has ended (true when it
 * has). 0: set the flag, clear the leader words that are ours, join nothing (for destructors). */
bool invalidation_stop(enum invalidation_stop how, uint64_t wait_ns);

#endif
