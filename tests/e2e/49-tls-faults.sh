#!/bin/bash
# What goes wrong with a server that is reached through TLS, and what the program does to itself: nothing is older than the
# bound, nothing hangs, and L1 serves again in time.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tls.sh"

issue ca ''
issue server ca -addext subjectAltName=IP:127.0.0.1
issue stranger ''
expired late ca
export MT_TLS=unverified MTSHIM_TLS_CA_FILE=$T/ca.pem MTSHIM_TLS_VERIFY=on # the program goes on where the listener does not
tls_start --appendonly yes --appendfsync no # a restart loses nothing
export MT_WRITER=$SOCK
stepper_start

# A fork past libc (raw) may find the listener in the middle of a record; then the child is left alone: no L1 for it.
for fault in none fork fork-both exec; do
        { MT_BOUND_MS=50 bare tls_faultloop "$H" $fault; echo $?; } 2>"$T/bare.err" | cat >"$T/bare.out"
        { shim tls_faultloop "$H" $fault; echo $?; } 2>"$T/shim.err" | cat >"$T/shim.out"
        cmp -s "$T/bare.out" "$T/shim.out" || { show "$T"/{bare,shim}.{out,err}; fail "$fault"; }
        ! grep -q '^mtshim' "$T/shim.err" || { show "$T/shim.err"; fail "$fault: it is not silent"; }
        true_to_bound "$fault"
done

# watch_start, for a program that talks TLS
tls_watch_start() {
        start shim tls_faultloop "$H" watch >"$T/watch.out" 2>"$T/watch.err"
        WATCH_PID=$!
        served "${1:-5}" || { show "$T/watch.err"; fail "L1 never served"; }
}
watch_stop() {
        bare faultloop "$H" stop
        await 5 gone "$WATCH_PID" || fail "the program does not end"
}
errors_above() {
        [ "$(report | sed 's/.* \([0-9]*\) errors.*/\1/')" -gt "$1" ]
}
# restart CERTIFICATE: the server ends and comes back with that one
restart() {
        local errors

        errors=$(report | sed 's/.* \([0-9]*\) errors.*/\1/')
        redis_stop -TERM
        await 5 errors_above "$errors" || fail "the program saw nothing of it"
        tls_start_at "$TLS_PORT" --appendonly yes --appendfsync no --tls-cert-file "$T/$1.pem" --tls-key-file "$T/$1.key"
}
refused() {
        grep -q "$1" "$T/watch.err"
}

tls_watch_start
for _ in 1 2; do
        [ "$(cli CLIENT KILL TYPE pubsub)" -ge 1 ] || fail "nobody listens"
        served_again
done
true_to_bound "CLIENT KILL TYPE pubsub"
restart server
served_again "after a restart L1"
true_to_bound "a restart"
[ ! -s "$T/watch.err" ] || { show "$T/watch.err"; fail "it is not silent"; }
restart late
await 5 refused "certificate verify failed: certificate has expired" || { show "$T/watch.err"; fail "an expired certificate"; }
MT_BOUND_MS=$STALE_MS served 0.5 && fail "it is served without a listener"
true_to_bound "a restart with an expired certificate"
[ "$(wc -l <"$T/watch.err")" -eq 1 ] || { show "$T/watch.err"; fail "not one line"; }
watch_stop
redis_stop

# A server, or what stands before it, that takes the connection and never says a word.
tls_start
server=$MT_REDIS
mkfifo "$T/tell"
exec 9<>"$T/tell"
start bare proxy 127.0.0.1:0 "$server" <&9 >"$T/proxy.out" 2>"$T/proxy.err"
await 5 test -s "$T/proxy.out" || { show "$T/proxy.err"; fail "no proxy"; }
MT_REDIS=$(cat "$T/proxy.out")
stepper_start
tls_watch_start
echo "stall new" >&9
cli CLIENT KILL TYPE pubsub >/dev/null
sleep "$(awk "BEGIN { print 3 * $STALE_MS / 1000 }")" # the fault itself: three bounds
MT_BOUND_MS=0 served 0.2 && fail "L1 serves without a listener"
echo go >&9
served_again "after a handshake that stalled"
true_to_bound "a handshake that stalls"
watch_stop
redis_stop
