#!/bin/bash
# Redis stands still for longer than the bound, and goes on.
. "$(dirname "$0")/lib.sh"
redis_start
stepper_start
watch_start

for _ in 1 2; do
        kill -STOP "$REDIS_PID"
        sleep "$(awk "BEGIN { print 3 * $STALE_MS / 1000 }")" # the fault itself: three bounds
        kill -CONT "$REDIS_PID"
        served_again
done
true_to_bound "SIGSTOP of the server for three bounds"

cli DEBUG SLEEP 1 >/dev/null
served_again
true_to_bound "DEBUG SLEEP"
