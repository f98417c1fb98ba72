#!/bin/bash
# How long values live in L1: strategies, scale, jitter.
. "$(dirname "$0")/lib.sh"
redis_start
LIB=$CLOCKLIB

# Everything that was written is announced and applied: fresh_at has passed it.
settled() {
        printf '%s\n' 'connect c' 'warm c other' 'advance 1' 'warm c other'
}
# with NAME=VALUE... : plays standard input, shimmed, in a new segment
with() {
        rm -f /dev/shm/mtshim.*."$MTSHIM_SEGMENT".*
        MTSHIM_SEGMENT=$SEGMENT-$CHECKS
        env "$@" "${WITH[@]}" MT_SHIMMED=1 LD_PRELOAD="$LIB" "$PROGS/play" >"$T/out" 2>"$T/lines" ||
                { show "$T/lines"; fail "$*"; }
        [ ! -s "$T/lines" ] || { show "$T/lines"; fail "$*"; }
}

{
        printf 'foreign SET %s v\n' feed:1 short:1 medium:1 long:1 default:1 custom:1 other
        settled
        for key in feed short medium long default custom; do echo "warm c $key:1"; done
        # lives of 10 s, 90 s, 5 min, 5 min, 1 h, 3 h: still there five seconds before, gone five seconds after. Real
        # seconds go by as well.
        gone_at() { # SECONDS KEY...
                printf '%s\n' "advance $(($1 - 5 - now))" 'warm c other'
                printf 'served c %s\n' "${@:2}"
                printf '%s\n' 'advance 10' 'warm c other'
                printf 'travels c %s\n' "${@:2}"
                now=$(($1 + 5))
        }
        now=0
        gone_at 10 feed:1
        gone_at 90 custom:1
        gone_at 300 short:1 default:1
        gone_at 3600 medium:1
        gone_at 10800 long:1
} >"$T/strategies"
rules='feed:*=strategy:realtime;short:*=strategy:short;medium:*=strategy:medium;long:*=strategy:long,tiers'
with MTSHIM_L1_TTL=60s "MTSHIM_RULES=$rules;default:*=strategy:default;custom:*=ttl:90s" <"$T/strategies"
ok "strategies: 10 s, 5 min, 5 min, 1 h, 3 h, custom, also beyond MTSHIM_L1_TTL"

with MTSHIM_TTL_SCALE=0.5 MTSHIM_L1_TTL=100s <<E2
foreign SET k v PX 100000
foreign SET long v PX 100000000
foreign SET forever v
foreign SET other v
$(settled)
warm c k
warm c long
warm c forever
advance 45
warm c other
served c k
served c long
advance 10
warm c other
travels c k
advance 40
warm c other
served c long
served c forever
advance 10
warm c other
travels c long
travels c forever
E2
ok "MTSHIM_TTL_SCALE=0.5: half of what remains; MTSHIM_L1_TTL is the cap, and not scaled"

with MTSHIM_TTL_SCALE=8 <<E2
foreign SET k v PX 10000
foreign SET other v
$(settled)
warm c k
advance 5
warm c other
served c k
advance 10
warm c other
travels c k
E2
ok "MTSHIM_TTL_SCALE=8: never more than what remains"

# 200 keys filled at once. Half of a life of 100 s is left to chance: evenly, so at 75 s 100 are left, by 7 each way (one
# sigma).
mapfile -t keys < <(seq -f 'k%g' 200)
{
        printf 'foreign SET %s v\n' "${keys[@]}" other
        settled
        printf 'warm c %s\n' "${keys[@]}"
        printf '%s\n' 'advance 40' 'warm c other'
        printf 'served c %s\n' "${keys[@]}"
        printf '%s\n' 'advance 35' 'warm c other' "run redis-cli -s $SOCK INFO commandstats >$T/before"
        printf 'cmd c GET %s\n' "${keys[@]}"
        echo "run redis-cli -s $SOCK INFO commandstats >$T/after"
} >"$T/jitter"
with MTSHIM_TTL_JITTER=0.5 MTSHIM_L1_TTL=100s <"$T/jitter"
gets() {
        sed -n 's/^cmdstat_get:calls=\([0-9]*\).*/\1/p' "$1"
}
gone=$(($(gets "$T/after") - $(gets "$T/before")))
[ $gone -gt 65 ] && [ $gone -lt 135 ] || fail "after three quarters of the longest life $gone of 200 are gone"
ok "MTSHIM_TTL_JITTER=0.5: all there at 40 s, $gone of 200 gone at 75"
