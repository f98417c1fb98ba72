#!/bin/bash
# A connection that only ever hits sends nothing, and the server or a balancer would close it: after ten seconds
# without a reply its next GET travels.
. "$(dirname "$0")/lib.sh"
redis_start
LIB=$CLOCKLIB
[ -r "$LIB" ] || fail "no $LIB"

case_same "ten seconds without a reply" <<'E2'
foreign SET k value
connect c
connect other
warm c k
hit c k
advance 9
warm other k
hit c k
advance 2
warm other k
travels c k
hit c k
hit other k
E2
