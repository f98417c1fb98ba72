#!/bin/bash
# mtshim stat: what the segment says, as text and as JSON, without asking anybody.
. "$(dirname "$0")/lib.sh"
JSON=$PROGS/ctl_json

stat_fails() { # WHAT word...
        "$CTL" stat "${@:2}" >"$T/out" 2>"$T/err"
        [ $? -eq 1 ] || { show "$T/out" "$T/err"; fail "$1: not exit status 1"; }
        [ "$(wc -l <"$T/err")" -eq 1 ] && grep -q '^mtshim' "$T/err" || { show "$T/err"; fail "$1: not one line on stderr"; }
        ok "$1"
}
stat_fails "no segment"
grep -q "'$SEGMENT'" "$T/err" && [ ! -s "$T/out" ] || fail "the line does not name it, or is not alone"
stat_fails "no segment, as JSON" -j
[ "$("$JSON" error <"$T/out")" = "no segment '$SEGMENT' of uid $(id -u) here" ] || { show "$T/out"; fail "no error in it"; }
[ -z "$(segments)" ] || fail "stat has made a segment"

redis_start_tcp
cat >"$T/script" <<'E2'
foreign SET k value
foreign SET x other
connect c
warm c k
repeat 10
hit c k
end
warm c absent
hit c absent
cmd c SET k new
warm c k
cmd c APPEND x y
cmd c MULTI
cmd c GET k
cmd c EXEC
cmd c BLPOP go 30
E2
shim play <"$T/script" >"$T/play.out" 2>&1 &
own
waits() {
        [ "$(cli CLIENT LIST | grep -c 'cmd=blpop')" -eq 1 ]
}
await 10 waits || { show "$T/play.out"; fail "the program does not get so far"; }

"$CTL" stat -j >"$T/json" 2>"$T/err" || { show "$T/err"; fail "stat -j"; }
[ ! -s "$T/err" ] || fail "it writes to stderr"
"$JSON" <"$T/json" || { show "$T/json"; fail "this is no JSON"; }
grep -q '"tiers": \[\]' "$T/json" || { show "$T/json"; fail "no empty list of tiers"; }
ok "it is JSON"
# value NAME; at_least NAME N; is NAME VALUE
value() {
        "$JSON" "$1" <"$T/json" || { show "$T/json"; fail "no $1"; }
}
at_least() {
        [ "$(value "$1")" -ge "$2" ] || fail "$1 is $(value "$1"), less than $2"
}
is() {
        [ "$(value "$1")" = "$2" ] || fail "$1 is $(value "$1"), not $2"
}
at_least hits 11
at_least negative_hits 1
at_least misses 3
at_least fills 3
for name in fills_refused fills_skipped evictions expired reclaims flushes pending; do at_least $name 0; done
at_least removes 2
at_least forwarded 5
at_least bypassed.state 1
for name in disabled unknown pending nonblock reader lease barrier idle rule cluster segment key; do
        at_least bypassed.$name 0
done
for name in segment corrupt memory listener thread pttl; do is errors.$name 0; done
ok "counters, reasons and errors"
at_least items 2
is key_value_bytes $((1 + 3 + 6)) # k and its value, and the name of what is absent
[ "$(value live_bytes)" -ge 10 ] && [ "$(value live_bytes)" -lt "$(value bytes_used)" ] ||
        fail "$(value live_bytes) bytes of the $(value bytes_used) used are live; the first value of k is not"
is bytes_total $((64 * 1024 * 1024))
[ "$(value bytes_taken)" -ge "$(value bytes_used)" ] && [ "$(value bytes_taken)" -le "$(value bytes_total)" ] ||
        fail "bytes: $(value bytes_used) used, $(value bytes_taken) taken, $(value bytes_total) in all"
[ "$(du -B1 "$(segments)" | cut -f1)" -eq "$(value bytes_taken)" ] || fail "$(value bytes_taken) taken, but du: $(du -B1 "$(segments)")"
is processes 1
is segment "$(segments)"
ok "items, bytes and processes"
is servers.0.address "$MT_REDIS"
busy=$(value servers.0.listener_pid)
leads "$busy" && [ "$(readlink "/proc/$busy/exe")" = "$(realpath "$PROGS/play")" ] || fail "$busy does not listen"
own "$busy"
is servers.0.bound_ms "$STALE_MS"
at_least servers.0.lease_ms_left 1
[ "$(value servers.0.lease_ms_left)" -le "$STALE_MS" ] || fail "lease of $(value servers.0.lease_ms_left) ms"
is servers.0.state fresh
at_least servers.0.epoch 1
at_least servers.0.term 1
at_least servers.0.incarnation 0
is servers.0.reconnects 0
at_least servers.0.flushes 0
ok "the server"
"$JSON" servers.1.address <"$T/json" >/dev/null && fail "a second server"

before=$(value servers.0.invalidations)
for i in 1 2 3; do cli SET "foreign:$i" x >/dev/null; done
announced=$((before + 3))
more() {
        "$CTL" stat -j >"$T/json"
        [ "$(value servers.0.invalidations)" -ge $announced ] && [ "$(value invalidations)" -ge $announced ]
}
await 5 more || fail "invalidations: $before, then $(value servers.0.invalidations) and $(value invalidations)"
ok "invalidations, of the server and in all"

"$CTL" stat >"$T/text" 2>"$T/err" || fail "stat"
for pattern in "^segment +$(segments)\$" '^processes +1 ' '^memory .* of 64 MiB' '^items +[0-9]+' \
        '^live .* in items: [0-9.]+% of .* used, [0-9.]+% of .* taken, [0-9.]+% of the ceiling$' '^hit ratio +[0-9.]+%$' \
        '^  hits +[1-9][0-9]* +[A-Z]' '^  state +[1-9]' "^  $MT_REDIS +fresh .*listener $busy,"; do
        grep -qE "$pattern" "$T/text" || { show "$T/text"; fail "no line '$pattern'"; }
done
grep -q '^errors' "$T/text" && { show "$T/text"; fail "errors without errors"; }
ok "as text"
MTSHIM_SEGMENT=elsewhere-$$ "$CTL" stat -s "$SEGMENT" -j | "$JSON" segment | grep -qx "$(segments)" || fail "-s"
ok "-s names the segment"
stat_fails "-s goes before the environment" -s "elsewhere-$$"
"$CTL" stat -j >/dev/full 2>"$T/err" && fail "a full disk is not noticed"
ok "a full disk is an error"

kill -STOP "$busy"
lapsed() {
        "$CTL" stat -j >"$T/json" && [ "$(value servers.0.state)" = stale ]
}
await 5 lapsed || fail "a stopped listener's lease does not lapse"
is servers.0.lease_ms_left 0
ok "a lease that lapsed"
kill -CONT "$busy"
kill -KILL "$busy"
wait "$busy" 2>/dev/null
alone() {
        "$CTL" stat -j >"$T/json" && [ "$(value servers.0.listener_pid)" -eq 0 ] && [ "$(value processes)" -eq 0 ]
}
await 5 alone || { show "$T/json"; fail "a dead process is still counted"; }
at_least hits 11
ok "the dead are not counted, what they did is"


# A path of any bytes is quoted as JSON wants it, and does nothing to a terminal.
odd=$(printf '%s/a"b\\c\033[2J\377' "$T")
mkdir "$odd"
redis_stop
SOCK=$odd/s MT_REDIS=$odd/s
export MT_REDIS
redis-server --port 0 --unixsocket "$T/other.sock" --dir "$T" --save '' >>"$T/redis.log" 2>&1 &
own
await 5 test -S "$T/other.sock"
mv "$T/other.sock" "$odd/s"
await 5 answers || fail "the server at an odd path does not answer"
printf 'connect c\nwarm c k\n' | shim play >"$T/play.out" 2>&1 || { show "$T/play.out"; fail "an odd path"; }
"$CTL" stat -j >"$T/json"
is servers.1.address "$T/a\\\"b\\\\c\\u001b[2J\\ufffd/s"
"$CTL" stat >"$T/text"
grep -q "$(printf '\033')" "$T/text" && fail "an escape sequence reaches the terminal"
ok "an address of any bytes"
