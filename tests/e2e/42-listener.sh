#!/bin/bash
# The listener's connection is cut, again and again.
. "$(dirname "$0")/lib.sh"
redis_start
stepper_start
watch_start

for _ in 1 2 3 4 5; do
        [ "$(cli CLIENT KILL TYPE pubsub)" -ge 1 ] || fail "nobody listens"
        served_again
done
[ "$(stat_of servers.reconnects)" -ge 5 ] || fail "reconnects: $("$CTL" stat -j)"
true_to_bound "CLIENT KILL TYPE pubsub, five times"

id=$(cli CLIENT LIST TYPE pubsub | sed -n 's/^id=\([0-9]*\).*/\1/p')
[ "$(wc -w <<<"$id")" -eq 1 ] || fail "more than one listener: $id"
cli CLIENT KILL ID "$id" >/dev/null
cli DEBUG SLEEP 0.5 >/dev/null
served_again
true_to_bound "and while the server sleeps"
