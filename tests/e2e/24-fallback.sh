#!/bin/bash
# Where tracking is refused: MTSHIM_INVALIDATION_FALLBACK says what then, after one line.
. "$(dirname "$0")/lib.sh"

case_falls() { # title, words that the line must have; the case is on standard input
        MTSHIM_SEGMENT=$SEGMENT-$CHECKS
        cat >"$T/case"
        { echo 'foreign FLUSHALL'; cat "$T/case"; } >"$T/in"
        bare play <"$T/in" >"$T/bare.out" 2>&1 || fail "$1: bare"
        shim play <"$T/in" >"$T/shim.out" 2>"$T/shim.err" || { show "$T/shim.out" "$T/shim.err"; fail "$1"; }
        cmp "$T/bare.out" "$T/shim.out" || fail "$1"
        [ "$(wc -l <"$T/shim.err")" -eq 1 ] && grep -q "$2" "$T/shim.err" || { show "$T/shim.err"; fail "$1: not that one line"; }
        ok "$1: $(cut -d: -f2- "$T/shim.err")"
}
falls() { # title
        MTSHIM_INVALIDATION_FALLBACK=ttl case_falls "ttl, $1" "values live by their time alone" <<'E2'
foreign SET k value PX 400
connect c
warm c k
hit c k
cmd c SET k own
warm c k
hit c k
cmd c PEXPIRE k 200
warm c k
sleep 210
cmd c GET k
E2
        MTSHIM_INVALIDATION_FALLBACK=pubsub case_falls "pubsub, $1" "learnt from the channel alone" <<'E2'
foreign SET k old
connect c
warm c k
hit c k
foreign SET k new
foreign PUBLISH mtshim:invalidate 1U\sx\s1\x0a1:k
await c k new
warm c k
cmd c SET k own
cmd c GET k
E2
        stat_at_least announcements 1 || fail "pubsub, $1: the write was not announced"
        [ "$(stat_of messages)" -ge 1 ] || fail "pubsub, $1: $("$CTL" stat -j)"
}
redis_start --rename-command CLIENT ''
falls "rename-command CLIENT"
redis_stop
redis_start
cli ACL SETUSER default '-client|tracking' >/dev/null
falls "a user without the right"

# Whoever was told by another process of the host that there is no tracking does not ask again; whoever only writes announces.
MTSHIM_SEGMENT=$SEGMENT-writer MTSHIM_INVALIDATION_FALLBACK=pubsub
export MTSHIM_SEGMENT MTSHIM_INVALIDATION_FALLBACK
before=$(cli INFO commandstats | sed -n 's/^cmdstat_publish:calls=\([0-9]*\).*/\1/p')
shim play >/dev/null <<'E2' || fail "a writer"
connect w
cmd w SET k value
E2
[ "$(cli INFO commandstats | sed -n 's/^cmdstat_publish:calls=\([0-9]*\).*/\1/p')" -eq $((before + 1)) ] ||
        fail "a program that only writes does not announce"
ok "a program that only writes announces from the start"
redis_stop

# A wrong password is no reason to fall back: the right one may come.
CLI_AUTH=(-a secret --no-auth-warning)
redis_start --requirepass secret
MTSHIM_SEGMENT=$SEGMENT-password MTSHIM_INVALIDATION_FALLBACK=ttl shim play >"$T/out" 2>&1 <<'E2' || { show "$T/out"; fail "NOAUTH"; }
connect c
repeat 60
cmd c GET k
end
sleep 120
cmd c GET k
E2
! grep -q 'values live' "$T/out" || fail "NOAUTH was taken for a server without tracking"
ok "a password that is missing is no reason"
