#!/bin/bash
# Options: what each does, and that a bad one costs a line and nothing else.
. "$(dirname "$0")/lib.sh"
redis_start

cat >"$T/served" <<'E2'
foreign SET k value
connect c
warm c k
hit c k
E2
cat >"$T/unserved" <<'E2'
foreign SET k value
connect c
repeat 100
travels c k
end
sleep 200
repeat 20
travels c k
end
E2
new_segment() {
        rm -f /dev/shm/mtshim.*."$MTSHIM_SEGMENT".*
        MTSHIM_SEGMENT=$SEGMENT-$CHECKS
}
# with NAME=VALUE... SCRIPT: plays it shimmed; its lines are in $T/lines
with() {
        new_segment
        env "${@:1:$#-1}" "${WITH[@]}" MT_SHIMMED=1 LD_PRELOAD="$LIB" "$PROGS/play" <"$T/${!#}" >"$T/out" 2>"$T/lines" ||
                { show "$T/lines"; fail "$*"; }
}

while read -r option; do
        with "$option" served
        [ "$(wc -l <"$T/lines")" -eq 1 ] && grep -q "^mtshim\[[0-9]*\]: ${option%%=*}" "$T/lines" ||
                { show "$T/lines"; fail "$option: not one line that names it"; }
        grep -qF -- "${option#*=}" "$T/lines" || fail "$option: its value is not named"
        ok "$(cut -d: -f2- "$T/lines")"
done <<'E2'
MTSHIM_TIERS=l9=process
MTSHIM_ENABLE=2
MTSHIM_L1_SIZE=banana
MTSHIM_L1_SIZE=1K
MTSHIM_L1_MAX_ITEM=0
MTSHIM_L1_TTL=0
MTSHIM_MAX_STALENESS=-1s
MTSHIM_INVALIDATION=magic
MTSHIM_NEGATIVE=maybe
MTSHIM_LOG_LEVEL=loud
MTSHIM_SHOW_STATS=much
MTSHIM_RULES=session:*
MTSHIM_RULES=a:*=ttl:never
MTSHIM_CONF=/nonexistent/conf
E2
with MTSHIM_NOSUCH=1 served
[ "$(grep -c MTSHIM_NOSUCH "$T/lines")" -eq 1 ] || fail "an unknown variable is not named"
ok "an unknown variable is named"

with MTSHIM_L1_SIZE=banana MTSHIM_ABORT_CONF=1 unserved
with MTSHIM_TIERS='l9=process' MTSHIM_ABORT_CONF=1 unserved
with MTSHIM_TIERS='l9=process' served
ok "MTSHIM_ABORT_CONF=1: nothing is cached after a bad option"
with MTSHIM_ENABLE=0 unserved
[ "$(segments | wc -l)" -eq 0 ] && [ ! -s "$T/lines" ] || fail "MTSHIM_ENABLE=0 leaves a segment"
ok "MTSHIM_ENABLE=0 makes no segment"

printf '# comment\nenable = 0\n' >"$T/conf"
with MTSHIM_CONF="$T/conf" unserved
with MTSHIM_CONF="$T/conf" MTSHIM_ENABLE=1 served
ok "a file, and the environment before it"

cat >"$T/rules" <<'E2'
foreign SET secret:k 1
foreign SET session:k 2
foreign SET other 3
connect c
warm c other
warm c session:k
hit c other
travels c secret:k
travels c secret:k
hit c session:k
advance 11
warm c other
travels c session:k
hit c session:k
E2
LIB=$CLOCKLIB with 'MTSHIM_RULES=secret:*=bypass;session:*=ttl:10s' rules
[ ! -s "$T/lines" ] || { show "$T/lines"; fail "rules"; }
ok "rules: bypass, and a time to live"

# A server's place in the segment begins with term 1, and each leader adds one.
with 'MTSHIM_RULES=k=bypass' unserved
[ "$(stat_of servers.term)" = 1 ] || fail "a host that reads only what a rule passes on was led: term $(stat_of servers.term)"
with 'MTSHIM_RULES=other=bypass' served
[ "$(stat_of servers.term)" = 2 ] || fail "a host that reads other keys too was not: term $(stat_of servers.term)"
ok "rules: no listener where no key is kept"

cat >"$T/negative" <<'E2'
foreign DEL absent
foreign SET k value
connect c
warm c k
travels c absent
travels c absent
hit c k
E2
with MTSHIM_NEGATIVE=0 negative
ok "MTSHIM_NEGATIVE=0: an absent key is asked for each time"

cat >"$T/large" <<'E2'
connect c
cmd c SET small 0123456789
cmd c SET large 01234567890
warm c small
travels c large
travels c large
hit c small
E2
with MTSHIM_L1_MAX_ITEM=10 large
ok "MTSHIM_L1_MAX_ITEM: larger values are not kept"

cat >"$T/none" <<'E2'
foreign SET k value
connect c
warm c k
hit c k
foreign SET k new
hit c k
advance 4
hit c k
advance 2
travels c k
hit c k
E2
LIB=$CLOCKLIB with MTSHIM_INVALIDATION=none MTSHIM_L1_TTL=5s none
[ "$(cli CLIENT LIST TYPE pubsub | grep -c .)" -eq 0 ] || fail "a listener"
ok "MTSHIM_INVALIDATION=none: served, and true only as long as L1_TTL says"

with MTSHIM_L1_SIZE=banana MTSHIM_LOG="$T/log.%p" served
[ ! -s "$T/lines" ] && [ "$(cat "$T"/log.[0-9]* | wc -l)" -eq 1 ] || fail "MTSHIM_LOG"
with MTSHIM_L1_SIZE=banana MTSHIM_LOG=/nonexistent/log served
with MTSHIM_RULES=a:*=nosuch MTSHIM_LOG_LEVEL=error served
[ ! -s "$T/lines" ] || { show "$T/lines"; fail "MTSHIM_LOG_LEVEL=error"; }
ok "lines go where they should"

with MTSHIM_SHOW_STATS=1 served
[ "$(wc -l <"$T/lines")" -eq 1 ] && grep -q 'hits [1-9]' "$T/lines" || { show "$T/lines"; fail "MTSHIM_SHOW_STATS"; }
ok "$(cut -d: -f2- "$T/lines")"
