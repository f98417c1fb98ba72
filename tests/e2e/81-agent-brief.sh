#!/bin/bash
# A thousand processes of five GETs each, with an agent: from the second one on each GET is answered from L1, by the
# server's count and by ours. Without an agent none is, and none attaches.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/agent.sh"
export MTSHIM_MAX_STALENESS=1s
COUNT=${COUNT:-1000}
redis_start
for i in 0 1 2 3 4; do cli SET brief:$i "value of brief:$i" >/dev/null; done

# loop: GETS is how many reached the server, HITS how many L1 answered
loop() {
        local hits

        hits=$(stat_of hits)
        cli CONFIG RESETSTAT >/dev/null
        shim brief loop "$1" >"$T/loop" 2>&1 || { show "$T/loop"; fail "a process fails"; }
        GETS=$(server_gets) HITS=$(($(stat_of hits) - ${hits:-0}))
}

agent_start it --server "$SOCK"
loop "$COUNT"
# While this agent gets no processor for a second, nothing is served: that is the bound at work, and is counted.
lapsed=$(stat_of bypassed.lease)
[ "$HITS" -eq $((5 * (COUNT - 1) - lapsed)) ] && [ "$GETS" -eq $((5 + lapsed)) ] && [ "$lapsed" -le $((COUNT / 20)) ] ||
        { "$CTL" stat; fail "$COUNT processes: $HITS hits, $GETS GETs at the server, $lapsed without a lease"; }
ok "$COUNT processes of five GETs: $HITS hits, $GETS GETs reached the server ($lapsed without a lease)"
sed 's/^/     /' "$T/loop"

# What others write between two of them is seen.
cli SET brief:0 other >/dev/null
sees() { shim brief read >"$T/sees" 2>&1 || grep -q '^brief:0: other$' "$T/sees"; }
sees_other() { sees && [ -s "$T/sees" ]; }
await 1 sees_other || fail "a foreign write is not seen"
cli SET brief:0 "value of brief:0" >/dev/null
await 1 shim brief read || fail "a foreign write back is not seen"
ok "a write by somebody else is seen by the next process within the bound"

# What a process wrote before it attached, it reads, by whatever command that was: each time L1 holds an older value, and
# the agent is stopped, so that nobody clears it. (fresh: with an empty lease nothing would be tried.)
fresh() { [ "$(stat_of servers.lease_ms_left)" -gt 300 ]; }
own_write() {
        cli FLUSHALL >/dev/null
        cli SET own old >/dev/null
        printf 'connect c\n%scmd c GET own\n' "$1" | bare play >"$T/bare.own" || fail "bare: $1"
        cli FLUSHALL >/dev/null
        cli SET own old >/dev/null
        printf 'connect c\nwarm c own\n' | shim play >/dev/null || fail "own: not warm"
        await 2 fresh || fail "no lease"
        kill -STOP $AGENT
        printf 'connect c\n%scmd c GET own\n' "$1" | shim play >"$T/shim.own" || fail "shimmed: $1"
        kill -CONT $AGENT
        cmp -s "$T/bare.own" "$T/shim.own" || { diff "$T/bare.own" "$T/shim.own"; fail "not what it wrote: $1"; }
}
own_write $'cmd c SET own new\n'
own_write $'cmd c EVAL redis.call("set","own","new") 0\n'
own_write $'cmd c FLUSHALL\n'
own_write $'cmd c FLUSHDB\n'
own_write $'cmd c SWAPDB 0 1\n'
own_write $'cmd c MULTI\ncmd c SET own new\ncmd c EXEC\n'
own_write $'append c SET own new\nreply c\n'
own_write $'append c GET x\nappend c FLUSHALL\nreply c\nreply c\n'
cli FLUSHALL >/dev/null
for i in 0 1 2 3 4; do cli SET brief:$i "value of brief:$i" >/dev/null; done
ok "a process of a moment reads what it wrote before it attached"

agent_stop TERM
rm -f /dev/shm/mtshim.*."$SEGMENT"*
loop 20
[ "$HITS" -eq 0 ] && [ "$GETS" -eq 100 ] || fail "without an agent: $HITS hits, $GETS GETs"
ok "without an agent: all 100 GETs of 20 processes go to the server"
