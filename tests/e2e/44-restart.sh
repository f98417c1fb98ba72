#!/bin/bash
# Redis ends and starts again, in order or killed, by path and by port; the program reconnects by redisReconnect.
. "$(dirname "$0")/lib.sh"

errors_above() {
        [ "$(report | sed 's/.* \([0-9]*\) errors.*/\1/')" -gt "$1" ]
}
for way in redis_start redis_start_tcp; do
        unset MT_REDIS
        $way --appendonly yes --appendfsync no
        port=${MT_REDIS##*:}
        stepper_start
        watch_start
        for end in TERM KILL TERM; do
                errors=$(report | sed 's/.* \([0-9]*\) errors.*/\1/')
                redis_stop -$end
                await 5 errors_above "$errors" || fail "the program saw nothing of it"
                case $way in
                redis_start) redis_start --appendonly yes --appendfsync no ;;
                *) redis_start --appendonly yes --appendfsync no --port "$port" --bind 127.0.0.1 ;;
                esac
                served_again "after SIG$end L1"
        done
        true_to_bound "restarts, server at $([ "$way" = redis_start ] && echo a path || echo a port)"
        bare faultloop "$H" stop
        await 5 gone "$WATCH_PID" || fail "the program does not end"
        redis_stop -KILL
        rm -rf "$T"/appendonlydir
done
