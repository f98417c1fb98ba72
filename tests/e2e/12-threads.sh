#!/bin/bash
# Threads, and contexts by the thousand.
. "$(dirname "$0")/lib.sh"
ulimit -n 4096 2>/dev/null
redis_start --maxclients 3000

for mode in own handed many churn; do
        same threads $mode </dev/null || fail $mode
        ok "$(cat "$T/shim.out")"
done
[ "$(stat_of errors.corrupt)" = 0 ] || fail "malformed items: $("$CTL" stat -j)"
