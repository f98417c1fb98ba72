#!/bin/bash
# stream: goes on where it was after a reconnect; forgets everything where entries are missing, and only then.
. "$(dirname "$0")/lib.sh"
export MTSHIM_INVALIDATION=stream
redis_start
S=mtshim:invalidations
cli XADD $S '*' m '1U z 1
1:z' >/dev/null

listener() {
        cli CLIENT LIST | sed -n 's/^id=\([0-9]*\) .* cmd=\(xread\|xinfo|stream\) .*/\1/p' | head -n 1
}
# Everything in one piece, so that the listener is away while it happens.
away() {
        local id

        id=$(listener)
        [ -n "$id" ] || fail "nobody listens"
        { echo MULTI; echo "CLIENT KILL ID $id"; cat; echo EXEC; } | cli >"$T/away.out"
}
cat >"$T/wait" <<'E2'
connect c
warm c k
warm c other
hit c k
cmd c BLPOP go 10
await c k new
warm c other
E2
blocked() {
        [ "$(cli CLIENT LIST | grep -c 'cmd=blpop')" -ge 1 ]
}
reader() { # title: what standard input does while the listener is away must be seen
        cli MSET k old other same >/dev/null
        start shim play <"$T/wait" >"$T/wait.out" 2>&1
        waiter=$!
        await 5 blocked || { show "$T/wait.out"; fail "$1: L1 never served"; }
        epoch=$(stat_of servers.epoch) gaps=$(stat_of message_gaps) reconnects=$(stat_of servers.reconnects)
        "${@:2}"
        cli RPUSH go 1 >/dev/null
        wait $waiter || { show "$T/wait.out"; fail "$1"; }
}
flushed() {
        [ "$(stat_of servers.epoch)" -gt "$epoch" ]
}

reader "an announcement while the listener is away" away <<E2
SET k new
XADD $S * m "1U a 1\n1:k"
E2
[ "$(stat_of servers.reconnects)" -gt "$reconnects" ] || fail "it was not away"
! flushed || fail "everything was forgotten without need: $("$CTL" stat -j)"
ok "goes on where it was"

# What is trimmed without having been read.
reader "entries that were trimmed" away <<E2
SET k new
XADD $S * m "1U b 1\n1:k"
XTRIM $S MAXLEN 0
E2
flushed || fail "a gap, and nothing was forgotten"
ok "trimmed while it was away"

reader "a stream that begins anew" away <<E2
SET k new
DEL $S
XADD $S 1-1 m "1U c 1\n1:k"
XADD $S 1-2 m "1U c 2\n5:other"
E2
flushed || fail "another stream, and nothing was forgotten"
ok "another stream of that name while it was away"

# The same under its eyes: the new ids are below the one that it asks from.
here() {
        cli >"$T/here.out"
}
reader "a stream that begins anew, unseen" here <<E2
MULTI
SET k new
DEL $S
XADD $S 1-1 m "1U d 1\n1:k"
EXEC
E2
[ "$(stat_of message_gaps)" -gt "$gaps" ] || fail "it was not noticed: $("$CTL" stat -j)"
ok "another stream of that name"

reader "an entry without a message" here <<E2
SET k new
XADD $S * n hello
E2
[ "$(stat_of errors.message)" -ge 1 ] || fail "it is not counted"
ok "an entry that is no message"

# A longer bound: the server itself waits for the next entry.
MTSHIM_MAX_STALENESS=2s MT_BOUND_MS=2000 MTSHIM_SEGMENT=$SEGMENT-long
export MTSHIM_MAX_STALENESS MT_BOUND_MS MTSHIM_SEGMENT
reader "waiting" here <<E2
SET k new
XADD $S * m "1U e 1\n1:k"
E2
cli INFO commandstats >"$T/stats"
ok "a listener that waits"

# The stream is in database 0, wherever the connection is by the time that the server comes to it.
case_same "SELECT on its way" <<'E2'
connect w
append w SELECT 1
append w SET k value
reply w
reply w
cmd w SELECT 0
cmd w SET k value
cmd w MULTI
cmd w SELECT 1
cmd w SET k value
cmd w EXEC
E2
[ "$(cli -n 1 EXISTS $S)" -eq 0 ] || fail "a stream in database 1"

# Three modes on one host and one server: each has a place of its own, and what it hears.
MTSHIM_MAX_STALENESS=${STALE_MS}ms MT_BOUND_MS=$STALE_MS MTSHIM_SEGMENT=$SEGMENT-mixed
cli SET k old >/dev/null
sed -i '/other/d' "$T/wait"
waiters=()
for mode in tracking pubsub stream; do
        MTSHIM_INVALIDATION=$mode start shim play <"$T/wait" >"$T/$mode.out" 2>&1
        waiters+=($!)
done
all_blocked() {
        [ "$(cli CLIENT LIST | grep -c 'cmd=blpop')" -eq 3 ]
}
await 10 all_blocked || { show "$T"/*.out; fail "three modes: L1 never served"; }
[ "$("$CTL" stat -j | tr -d ' \n' | grep -o '"address"' | wc -l)" -eq 3 ] || fail "not three places: $("$CTL" stat -j)"
cli >/dev/null <<E2
SET k new
PUBLISH mtshim:invalidate "1U f 1\n1:k"
XADD $S * m "1U f 1\n1:k"
RPUSH go 1 2 3
E2
for pid in "${waiters[@]}"; do
        wait "$pid" || { show "$T"/{tracking,pubsub,stream}.out; fail "three modes"; }
done
ok "three modes side by side"
