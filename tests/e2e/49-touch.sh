#!/bin/bash
# Keys that L1 serves survive an eviction storm as they do without the shim: three programs at a time, each with a server
# of its own that has room for some 8,000 keys and is given 16,000; how many of the 200 hot keys are there in the end.
. "$(dirname "$0")/lib.sh"

up() {
        [ "$(redis-cli -s "$T/$1.sock" PING 2>/dev/null)" = PONG ]
}
# case_start NAME bare|shim TOUCH READS option...: a server and a program; how many are left goes to $T/NAME.left
PIDS=()
case_start() {
        redis-server --port 0 --unixsocket "$T/$1.sock" --dir "$T" --save '' --appendonly no --maxmemory 10mb "${@:5}" \
                >>"$T/redis.log" 2>&1 &
        own
        await 10 up "$1" || fail "no server"
        MT_REDIS=$T/$1.sock MTSHIM_SEGMENT=$SEGMENT-$1 MTSHIM_TOUCH=$3 "$2" storm 8 2000 "$4" >"$T/$1.left" 2>"$T/$1.err" &
        own
        PIDS+=($!)
}
calls() { # NAME COMMAND: how often the server executed it
        redis-cli -s "$T/$1.sock" INFO commandstats | sed -n "s/^cmdstat_$2:calls=\([0-9]*\).*/\1/p"
}
policy_start() { # lru|lfu READS option...
        case_start "$1-bare" bare 1 "${@:2}"
        case_start "$1-with" shim 1 "${@:2}"
        case_start "$1-without" shim 0 "${@:2}"
}
policy_judge() {
        local bare with without counts

        bare=$(cat "$T/$1-bare.left") with=$(cat "$T/$1-with.left") without=$(cat "$T/$1-without.left")
        counts="allkeys-$1, hot keys left: bare $bare, with TOUCH $with, without $without"
        [ ! -s "$T/$1-with.err" ] || { show "$T/$1-with.err"; fail "it had something to say"; }
        [ "$bare" = "200 of 200" ] || fail "$counts: the storm is too strong"
        [ "${without%% *}" -lt 100 ] || fail "$counts: that is no storm"
        [ "$with" = "$bare" ] || fail "$counts"
        [ "$(calls "$1-with" touch)" -gt 0 ] || fail "MTSHIM_TOUCH=1 sends none"
        [ -z "$(calls "$1-without" touch)" ] || fail "MTSHIM_TOUCH=0 sends TOUCH"
        ok "$counts"
}

policy_start lru 0 --maxmemory-policy allkeys-lru
# Each read counts one, so that seconds do for minutes; and what is new is read more often than Redis sees of a hot key
# that L1 serves.
policy_start lfu 3 --maxmemory-policy allkeys-lfu --lfu-log-factor 0
for pid in "${PIDS[@]}"; do
        wait "$pid" || { show "$T"/*.err; fail "a program failed"; }
done
policy_judge lru
policy_judge lfu
