#!/bin/bash
# MTSHIM_STAMPEDE=lease: of all who find a key gone one computes it, and the others wait for its SET.
STALE_MS=2000
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/agent.sh"
redis_start
cli SET warm 1 >/dev/null
agent_start agent --server "$SOCK"
await 10 led || fail "it does not lead"
export MTSHIM_STAMPEDE_WAIT=4s

# expire WHAT AT_LEAST AT_MOST ARGUMENTS: so many computations in all
expire() {
        local sum

        shim compute "${@:4}" >"$T/out" 2>"$T/err" || { show "$T/err"; fail "$1"; }
        sum=$(sed 's/.*= //' "$T/out")
        [ "$sum" -ge "$2" ] && [ "$sum" -le "$3" ] || { show "$T/out" "$T/err"; fail "$1: $sum computations, not $2 to $3"; }
        ok "$1: $(cat "$T/out"); $(cat "$T/err")"
}
# One who comes when the mark of the first is not there yet, and had not waited, may be a second: half as many are allowed for.
MTSHIM_STAMPEDE=off expire "off: all of 8 x 8 threads compute" 20 64 8 8 1 30
export MTSHIM_STAMPEDE=lease
expire "lease: one of 8 x 8 threads computes, in ten rounds" 10 15 8 8 10 30
[ "$(tr -dc 0-9 <"$T/err")" -lt 1000 ] || fail "who computes waits for himself"
[ "$(stat_of computations)" -ge 10 ] || fail "computations: $(stat_of computations)"
MTSHIM_STAMPEDE_WAIT=3s expire "the first one dies: one more" 2 3 8 8 1 30 die

# A key that nobody ever sets. Who comes when one has it waits, and has nil when the time is over; then all have it at once.
number=0
absent() { # PROCESSES THREADS FATE
        number=$((number + 1))
        shim stampede "$1" "$2" "absent:$number" "$3" "$REDIS_PID" >"$T/out" 2>"$T/err" || { show "$T/err"; fail "the program"; }
        grep -qxE "[0-9]+ values, $4 nils, 0 errors, [0-9]+ GETs" "$T/out" || { show "$T/out" "$T/err"; fail "$5"; }
        [ "$(tr -dc 0-9 <"$T/err")" -lt "$6" ] || { show "$T/out" "$T/err"; fail "$5: somebody took longer than $6 ms"; }
        ok "$5: $(cat "$T/out"); $(cat "$T/err")"
}
MTSHIM_STAMPEDE_WAIT=600ms absent 4 10 none 41 "an absent key that nobody sets" 5000
MTSHIM_STAMPEDE_WAIT=0 absent 4 10 none 41 "the same with four round trips" 5000
MTSHIM_STAMPEDE_WAIT=600ms MTSHIM_NEGATIVE=0 absent 4 10 none 41 "the same where nil is not kept" 5000

# L1 has a nil of another program that this one does not use: it asks, and does not ask for as long as it may wait.
printf '%s\n' 'connect c' 'warm c warm' 'warm c kept' |
        MTSHIM_STAMPEDE=off shim play >/dev/null 2>"$T/err" || { show "$T/err"; fail "a nil that is kept"; }
before=$(server_gets)
printf '%s\n' 'connect c' 'warm c warm' 'cmd c GET kept' |
        MTSHIM_NEGATIVE=0 MTSHIM_STAMPEDE_WAIT=20s shim play >"$T/out" 2>"$T/err" || { show "$T/err"; fail "a nil that another keeps"; }
grep -q 'cmd 4$' "$T/out" && [ $(($(server_gets) - before)) -le 12 ] || { show "$T/out"; fail "$(($(server_gets) - before)) GETs"; }
ok "a nil that another program keeps, and this one does not: $(($(server_gets) - before)) GETs"
