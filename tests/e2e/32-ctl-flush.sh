#!/bin/bash
# mtshim flush: what it takes out of L1 travels to Redis again, the rest is served on; Redis itself loses nothing.
. "$(dirname "$0")/lib.sh"

# flush N word...: says that N were removed
flush() {
        local said

        said=$("$CTL" flush "${@:2}" 2>"$T/err") || { show "$T/err"; fail "flush ${*:2}: exit status $?"; }
        [ "$said" = "$1 removed" ] || fail "flush ${*:2}: '$said', not $1"
        [ ! -s "$T/err" ] || { show "$T/err"; fail "flush ${*:2} writes to stderr"; }
}
usage() {
        "$CTL" flush "$@" >"$T/out" 2>"$T/err"
        [ $? -eq 2 ] && grep -q '^usage: mtshim flush' "$T/err" || fail "flush $*: no usage error"
        ok "flush $*: usage"
}
usage
usage --all --key x
usage --key x --key y
usage --all word
usage --key
"$CTL" flush --all >"$T/out" 2>"$T/err"
[ $? -eq 1 ] && [ "$(wc -l <"$T/err")" -eq 1 ] && [ ! -s "$T/out" ] || { show "$T/err"; fail "no segment: not one line and 1"; }
[ -z "$(segments)" ] || fail "flush has made a segment"
ok "without a segment"

redis_start
cli MSET a 1 b 2 user:1 x user:2 y 'user:[odd]' z other 3 >/dev/null
cli -n 1 MSET a one user:1 x1 >/dev/null
cat >"$T/script" <<'E2'
connect c
connect d
cmd d SELECT 1
warm c a
warm d a
warm c b
cmd c BLPOP go1 30
travels c a
travels d a
hit c b
hit c a
hit d a
warm c user:1
warm d user:1
warm c user:2
warm c user:[odd]
warm c other
warm c user:absent
cmd c BLPOP go2 30
hit c user:1
hit c user:2
travels c user:[odd]
cmd c BLPOP go3 30
travels c user:1
travels d user:1
travels c user:2
travels c user:[odd]
travels c user:absent
hit c a
hit d a
hit c other
hit c user:1
cmd c BLPOP go4 30
travels c a
travels d a
travels c b
travels c other
travels c user:1
hit c a
hit c user:1
E2
shim play <"$T/script" >"$T/play.out" 2>&1 &
program=$!
own
# on: the program goes on to its next stop
on() {
        step=$((step + 1))
        cli RPUSH "go$step" x >/dev/null
}
step=0
blocked() {
        [ "$(cli INFO clients | tr -d '\r' | sed -n 's/^blocked_clients://p')" -eq 1 ]
}
stops() {
        await 10 blocked || { show "$T/play.out"; fail "the program does not get to stop $((step + 1))"; }
}

stops
flush 0 --key absent
flush 2 --key a
on
stops
ok "--key, in every database"
flush 0 --pattern 'nothing*'
flush 1 --pattern 'user:\[odd\]'
on
stops
flush 5 -p 'user:*'
on
stops
ok "--pattern, a nil among them"
"$CTL" flush --all >"$T/out" 2>"$T/err" || { show "$T/err"; fail "flush --all"; }
grep -qE '^[1-9][0-9]* removed$' "$T/out" || { show "$T/out"; fail "flush --all says otherwise"; }
on
wait $program || { show "$T/play.out"; fail "after flush --all"; }
ok "--all"
[ "$(cli DBSIZE)" -eq 6 ] && [ "$(cli GET user:2)" = y ] || fail "Redis has lost something: $(cli DBSIZE) keys"
ok "Redis keeps everything"
MTSHIM_SEGMENT=elsewhere-$$ "$CTL" flush -s "$SEGMENT" -a >/dev/null || fail "-s"
ok "-s names the segment"
