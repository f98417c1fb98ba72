#!/bin/bash
# MULTI, EXEC, DISCARD, WATCH: nothing is served inside, and what was written is cleared when it happens.
. "$(dirname "$0")/lib.sh"
redis_start

case_same "inside MULTI a GET is queued" <<'E2'
foreign SET k old
connect c
warm c k
cmd c MULTI
cmd c GET k
cmd c SET k new
cmd c GET k
cmd c EXEC
warm c k
hit c k
E2

case_same "EXEC makes the writes, also for another context of the program" <<'E2'
foreign MSET k old l old
connect c
connect d
warm d k
warm d l
cmd c MULTI
cmd c SET k new
cmd c GET k
cmd d GET k
cmd c APPEND l er
cmd c EXEC
cmd d GET k
cmd d GET l
E2

case_same "DISCARD, and a transaction that is refused" <<'E2'
foreign SET k old
connect c
warm c k
cmd c MULTI
cmd c SET k new
cmd c DISCARD
warm c k
hit c k
cmd c MULTI
cmd c SET k
cmd c GET k
cmd c EXEC
warm c k
hit c k
cmd c EXEC
cmd c DISCARD
hit c k
cmd c MULTI
cmd c MULTI
cmd c GET k
cmd c WATCH k
cmd c EXEC
warm c k
hit c k
E2

case_same "a transaction in a pipeline" <<'E2'
foreign SET k old
connect c
connect d
warm c k
append c MULTI
append c SET k new
append c GET k
append c EXEC
reply c
reply c
reply c
reply c
cmd d GET k
append c MULTI
append c SET k newer
reply c
cmd c GET k
cmd c EXEC
reply c
cmd c GET k
cmd d GET k
E2

case_same "while anything is WATCHed a GET travels" <<'E2'
foreign SET k old
connect c
warm c k
cmd c WATCH k
travels c k
cmd c UNWATCH
warm c k
hit c k
cmd c WATCH other
travels c k
cmd c MULTI
cmd c EXEC
warm c k
hit c k
append c WATCH k
reply c
travels c k
cmd c MULTI
cmd c DISCARD
warm c k
hit c k
E2

case_same "SELECT and RESET inside a transaction" <<'E2'
connect c
cmd c SET k zero
warm c k
cmd c MULTI
cmd c SELECT 1
cmd c SET k one
cmd c EXEC
cmd c GET k
cmd c SELECT 0
cmd c GET k
cmd c MULTI
cmd c SELECT 1
cmd c DISCARD
cmd c GET k
cmd c MULTI
cmd c RESET
cmd c GET k
E2

same cas 4 300 </dev/null || fail "compare-and-set"
ok "four threads compare and set one counter: no step is lost"
