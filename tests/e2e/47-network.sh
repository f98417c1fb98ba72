#!/bin/bash
# The network goes silent, or drops connections: for the listener alone, or for everybody. By a path and by a port.
. "$(dirname "$0")/lib.sh"
redis_start
server=$MT_REDIS
export MT_WRITER=$server

seconds() {
        awk "BEGIN { print $1 * $STALE_MS / 1000 }"
}
for listen in "$T/proxy.sock" 127.0.0.1:0; do
        mkfifo "$T/tell"
        exec 9<>"$T/tell"
        start bare proxy "$listen" "$server" <&9 >"$T/proxy.out" 2>"$T/proxy.err"
        proxy=$!
        await 5 test -s "$T/proxy.out" || { show "$T/proxy.err"; fail "no proxy"; }
        MT_REDIS=$(cat "$T/proxy.out")
        export MT_REDIS
        stepper_start
        watch_start

        for fault in "stall listener" "drop listener" "stall all" "drop all"; do
                echo "$fault" >&9
                case $fault in
                stall*)
                        sleep "$(seconds 3)" # the fault itself
                        ! { [ "$fault" = "stall listener" ] && MT_BOUND_MS=0 served 0.2; } || fail "$fault: L1 serves without a listener"
                        echo go >&9
                        ;;
                esac
                served_again "after $fault L1"
                true_to_bound "$fault"
        done
        bare faultloop "$H" stop
        await 5 gone "$WATCH_PID" || fail "the program does not end"
        kill "$proxy"
        exec 9>&-
        rm "$T/tell" "$T/proxy.out"
done
