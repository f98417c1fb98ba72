/* proxy.h - a TCP proxy that misbehaves as networks do: a child process between programs and one server, all of whose
 * connections, the listener's included, go through it. What is sent is never changed (tests/progs/proxy.c does that).
 *
 *   DELAY        what comes in leaves `ms` later, in order
 *   TRICKLE      eight bytes each `ms`
 *   STALL        nothing is read nor sent, nothing is closed: packets vanish
 *   CUT          connections are reset, once
 *   HALF_CLOSE   no more is sent that way, once; the other way goes on
 *
 * A fault concerns the ways that it names and `share` percent of the connections, by lot: those there are, and each new
 * one while it lasts. Not thread-safe; a proxy ends with the process that started it. */
#ifndef MT_COHERENCE_PROXY_H
#define MT_COHERENCE_PROXY_H

#include <stdint.h>
#include <sys/types.h>

enum proxy_kind { PROXY_NONE, PROXY_DELAY, PROXY_TRICKLE, PROXY_STALL, PROXY_CUT, PROXY_HALF_CLOSE };
enum proxy_way { PROXY_TO_SERVER = 1, PROXY_TO_CLIENT = 2, PROXY_BOTH = 3 };

struct proxy_fault {
        enum proxy_kind kind;
        uint32_t        ways; /* enum proxy_way */
        uint32_t        ms;
        uint32_t        share; /* percent */
};

struct proxy {
        pid_t    pid;
        int      control;
        uint16_t port;        /* where programs connect, 127.0.0.1 */
        char     address[32]; /* the same, "127.0.0.1:port" */
};

/* listen_port 0: a free one. target: "a.b.c.d:port". 0, or -1 with errno. */
int  proxy_start(struct proxy *proxy, uint16_t listen_port, const char *target);
void proxy_fault(struct proxy *proxy, const struct proxy_fault *fault);
void proxy_stop(struct proxy *proxy);

#endif
