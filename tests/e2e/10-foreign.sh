#!/bin/bash
# Writes of others: no read that begins more than the bound after the write was acknowledged sees what was before.
. "$(dirname "$0")/lib.sh"
redis_start

foreign() { # title, the write, what a GET says then
        case_same "$1" <<E2
foreign SET k old
foreign SET x other
connect c
connect d
warm c k
hit d k
foreign $2
await c k $3
await d k $3
warm c k
hit d k
E2
}
foreign "SET" 'SET k new' new
foreign "DEL" 'DEL k' '(nil)'
foreign "a key that L1 knows as absent" 'SETRANGE k 0 n' nld
foreign "RENAME" 'RENAME x k' other
foreign "EVAL" "EVAL return\\sredis.call('set','k','new') 0" new
foreign "PEXPIRE with no time left" 'PEXPIRE k 0' '(nil)'
foreign "FLUSHALL" FLUSHALL '(nil)'
foreign "FLUSHDB" 'FLUSHDB ASYNC' '(nil)'
foreign "RESTORE over it" 'COPY x k REPLACE' other

case_same "a key that was absent" <<'E2'
connect c
warm c k
hit c k
foreign SET k now
await c k now
warm c k
hit c k
E2

case_same "the same key in two databases" <<'E2'
connect c
connect d
cmd d SELECT 1
cmd d SET k one
foreign SET k zero
warm c k
warm d k
foreign SET k zero.2
await c k zero.2
await d k one
E2

blocked() {
        [ "$(cli INFO clients | tr -d '\r' | sed -n 's/^blocked_clients://p')" -ge "$1" ]
}
cat >"$T/watch" <<'E2'
connect c
warm c k
hit c k
cmd c BLPOP go 10
await c k new
E2
cli SET k old >/dev/null
start shim play <"$T/watch" >"$T/first.out" 2>&1
first=$!
start shim play <"$T/watch" >"$T/second.out" 2>&1
second=$!
await 5 stat_at_least processes 2
await 5 blocked 2
cli SET k new >/dev/null
cli RPUSH go 1 2 >/dev/null
wait $first && wait $second || { show "$T"/first.out "$T"/second.out; fail "two processes"; }
ok "two processes that share a segment"

# The server announces SWAPDB to nobody: who sends it does, and be it all that the process ever sends.
sed 's/await c k new/await c k (nil)/' "$T/watch" >"$T/swapped"
cli -n 1 FLUSHDB >/dev/null
cli DEL go >/dev/null
start shim play <"$T/swapped" >"$T/third.out" 2>&1
third=$!
await 5 blocked 1
shim play <<<$'connect c\ncmd c SWAPDB 0 1' >/dev/null || fail "SWAPDB"
cli RPUSH go 1 >/dev/null
wait $third || { show "$T/third.out"; fail "SWAPDB by a process that does nothing else"; }
ok "SWAPDB by a process that does nothing else"

same race 800 </dev/null || fail "reads that race writes"
ok "reads that race writes: $(cat "$T/shim.out")"
