#!/bin/bash
# A value never outlives the time to live that it had when it was read, although Redis announces expiries late.
. "$(dirname "$0")/lib.sh"
redis_start
cli DEBUG SET-ACTIVE-EXPIRE 0 >/dev/null # now Redis announces none of itself

for ttl in 200 450 1000; do
        case_same "gone after $ttl ms" <<E2
foreign SET k value PX $ttl
connect c
warm c k
sleep $((ttl + 10))
cmd c GET k
E2
done

case_same "a time to live that is taken away, or changed" <<'E2'
foreign SET k value PX 500
connect c
warm c k
cmd c PERSIST k
sleep 550
cmd c GET k
warm c k
cmd c PEXPIRE k 200
warm c k
sleep 210
cmd c GET k
E2

LIB=$CLOCKLIB
export MTSHIM_L1_TTL=100s
case_same "MTSHIM_L1_TTL is the longest life" <<'E2'
foreign SET k value
foreign SET other value
connect c
warm c k
hit c k
advance 101
warm c other
travels c k
hit c k
E2
