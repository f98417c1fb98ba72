#!/bin/bash
# MTSHIM_STAMPEDE=coalesce: when many ask for one key at the same time, the server is asked once; whatever becomes of the one
# who asks. The server is stopped while they come, and counts: nothing here is a matter of luck.
STALE_MS=20000 # the server stands still for a moment, and L1 is to be believed meanwhile
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/agent.sh"
redis_start
cli SET warm 1 >/dev/null
agent_start agent --server "$SOCK"
await 10 led || fail "it does not lead"
export MTSHIM_STAMPEDE_WAIT=20s

number=0
# burst PROCESSES THREADS FATE VALUE [PAUSE_MS]: into $T/out; an empty VALUE is an absent key. A new key each time.
burst() {
        number=$((number + 1))
        [ -z "$4" ] || cli SET "key:$number" "$4" >/dev/null
        shim stampede "$1" "$2" "key:$number" "$3" "$REDIS_PID" "${5:-0}" >"$T/out" 2>"$T/err" || { show "$T/err"; fail "the program"; }
}
# saw WHAT PATTERN: the program's line
saw() {
        grep -qxE "$2" "$T/out" || { show "$T/out" "$T/err"; fail "$1"; }
        ok "$1: $(cat "$T/out"); $(cat "$T/err")"
}
# within MS: nobody took longer
within() {
        [ "$(tr -dc 0-9 <"$T/err")" -lt "$1" ] || { show "$T/out" "$T/err"; fail "somebody took longer than $1 ms"; }
}

burst 4 25 none value
saw "off: each asks for himself" '101 values, 0 nils, 0 errors, 101 GETs'

export MTSHIM_STAMPEDE=coalesce
before=$(stat_of coalesced)
burst 8 125 none value
saw "a thousand and one ask, the server is asked once" '1001 values, 0 nils, 0 errors, 1 GETs'
[ $(($(stat_of coalesced) - before)) -ge 900 ] || fail "coalesced: $before, then $(stat_of coalesced)"
burst 8 25 none ''
saw "an absent key too" '0 values, 201 nils, 0 errors, 1 GETs'

MTSHIM_STAMPEDE_WAIT=4s burst 8 125 kill value
saw "the first is killed: one more" '1000 values, 0 nils, 0 errors, 2 GETs'
within 8000
MTSHIM_STAMPEDE_WAIT=4s burst 8 25 stop value
saw "the first is stopped: one more" '200 values, 0 nils, 0 errors, 2 GETs'
within 8000

# Not kept: who has waited is let go at once, and not when his time is over.
MTSHIM_NEGATIVE=0 burst 4 25 none ''
saw "an absent key that is not kept" '0 values, 101 nils, 0 errors, [0-9]+ GETs'
within 5000
MTSHIM_L1_MAX_ITEM=100 burst 4 25 none "value$(printf '%0200d' 0)"
saw "a value that is too large" '101 values, 0 nils, 0 errors, [0-9]+ GETs'
within 5000

# Four round trips of a server on the same host are long over when this one goes on: all have gone by themselves.
MTSHIM_STAMPEDE_WAIT=0 burst 4 25 none value 1500
saw "without a limit that is set, four round trips" '101 values, 0 nils, 0 errors, (9[0-9]|10[01]) GETs'

cli SET self value >/dev/null
shim selfwait self "$REDIS_PID" >"$T/out" 2>"$T/err" || { show "$T/out" "$T/err"; fail "a thread waits for itself"; }
[ "$(cat "$T/out")" = 'value value' ] || { show "$T/out"; fail "other answers"; }
ok "a thread that is asking does not wait for itself"

# A value that is past its end and kept for when Redis fails stays where it is while one asks, and the others wait for him.
export MTSHIM_L1_TTL=1s MTSHIM_STALE_IF_ERROR=60s
cli SET ended value >/dev/null
printf '%s\n' 'connect c' 'warm c warm' 'warm c ended' | shim play >/dev/null 2>"$T/err" || { show "$T/err"; fail "a value that ends"; }
sleep 1.1 # its life
shim stampede 8 25 ended none "$REDIS_PID" 0 >"$T/out" 2>"$T/err" || { show "$T/err"; fail "the program"; }
saw "a value past its end that is kept" '201 values, 0 nils, 0 errors, 1 GETs'
