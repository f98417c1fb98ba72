#!/bin/bash
# MTSHIM_STALE_WHILE_REVALIDATE and MTSHIM_STALE_IF_ERROR: what is served past its end, to whom, and until when.
. "$(dirname "$0")/lib.sh"
LIB=$CLOCKLIB
redis_start

new_segment() {
        rm -f /dev/shm/mtshim.*."$MTSHIM_SEGMENT".*
        MTSHIM_SEGMENT=$SEGMENT-$CHECKS
}

# while_asked AGE EXPECTED OPTION...: a life of 10 s, read at that age while another thread asks
while_asked() {
        new_segment
        env "${@:3}" MTSHIM_INVALIDATION=none MTSHIM_L1_TTL=10s "${WITH[@]}" MT_SHIMMED=1 LD_PRELOAD="$LIB" \
                "$PROGS/stale" "$1" >"$T/out" 2>"$T/err" || { show "$T/err"; fail "stale $1"; }
        [ "$(paste -sd' ' "$T/out")" = "$2" ] && [ ! -s "$T/err" ] || { show "$T/out" "$T/err"; fail "$*"; }
}
while_asked 15 "meanwhile: old after: new" MTSHIM_STALE_WHILE_REVALIDATE=20s
[ "$(stat_of stale_hits)" = 1 ] && [ "$(stat_of refreshes)" = 1 ] || fail "$(stat_of stale_hits) stale hits, $(stat_of refreshes) refreshes"
ok "MTSHIM_STALE_WHILE_REVALIDATE: one asks, the other has the old value at once, and then the new one"
while_asked 35 "meanwhile: new, late after: new" MTSHIM_STALE_WHILE_REVALIDATE=20s
ok "not beyond it"
while_asked 15 "meanwhile: new, late after: new" MTSHIM_STALE_WHILE_REVALIDATE=0
while_asked 15 "meanwhile: new, late after: new" MTSHIM_STALE_IF_ERROR=20s
[ "$(stat_of stale_hits)" = 0 ] || fail "$(stat_of stale_hits) stale hits"
ok "nor when it is off, or the other one is on"

# with OPTION... : plays standard input shimmed, in a new segment, and then has a new server
with() {
        new_segment
        env "$@" "${WITH[@]}" MT_SHIMMED=1 LD_PRELOAD="$LIB" "$PROGS/play" >"$T/out" 2>"$T/err" || { show "$T/err"; fail "$*"; }
        sed -E 's/^[0-9]+ //; s/ err=.*/ err/' "$T/out" >"$T/said"
        redis_stop -KILL 2>/dev/null
        redis_start
}
# says TITLE LINE...: what play has said, without the texts of errors
says() {
        printf '%s\n' "${@:2}" | diff - "$T/said" >"$T/diff" || { cat "$T/diff"; show "$T/err"; fail "$1"; }

        ok "$1"
}
# Everything that was written is announced and applied before the keys are read: k, and short, which lives for 20 s.
settled() {
        printf 'foreign SET %s\n' 'k v' 'gone v' 'other v' 'short v PX 20000'
        printf '%s\n' 'connect c' 'warm c other' 'advance 1' 'warm c other' 'warm c k' 'warm c short' 'warm c gone'
}

with MTSHIM_STALE_IF_ERROR=60s <<E2
$(settled)
run kill -9 $REDIS_PID
advance 5
cmd c GET k
cmd c GET k
fmt c GET short
cmd c GET absent
cmd c SET gone v
cmd c GET gone
cmd c GET k
advance 20
cmd c GET short
advance 34
cmd c GET k
advance 3
cmd c GET k
E2
says "MTSHIM_STALE_IF_ERROR: no server, and what was true 60 s ago, or ended since; not what was written, nor for longer" \
        'cmd 1 s=1:v err' 'cmd 1 s=1:v err' 'fmt 1 s=1:v err' 'cmd NULL err' 'cmd NULL err' 'cmd NULL err' 'cmd 1 s=1:v err' \
        'cmd 1 s=1:v err' 'cmd 1 s=1:v err' 'cmd NULL err'

with MTSHIM_STALE_IF_ERROR=10s <<E2
$(settled)
advance 25
warm c other
run kill -9 $REDIS_PID
advance 5
cmd c GET short
cmd c GET k
E2
says "a value whose life ended longer ago is not answered" 'cmd NULL err' 'cmd 1 s=1:v err'

with MTSHIM_STALE_IF_ERROR=60s <<E2
$(settled)
foreign SET gone new
advance 1
warm c other
run kill -9 $REDIS_PID
advance 5
cmd c GET gone
cmd c SET gone again
cmd c GET gone
cmd c GET k
cmd c SELECT 1
cmd c GET k
E2
says "nothing of what was invalidated, and nothing once the connection may be another's" \
        'cmd NULL err' 'cmd NULL err' 'cmd NULL err' 'cmd 1 s=1:v err' 'cmd NULL err' 'cmd NULL err'

with MTSHIM_STALE_IF_ERROR=60s <<E2
$(settled)
fn c own
run kill -9 $REDIS_PID
advance 5
cmd c GET k
fn c back
cmd c GET k
nonblock c
cmd c GET k
E2
says "nothing to a program that has replies of its own making, nor to one that takes them by other calls" \
        'cmd NULL err' 'cmd 1 s=1:v err' 'cmd NULL err'

for mode in tracking pubsub; do
        with MTSHIM_STALE_IF_ERROR=60s MTSHIM_INVALIDATION=$mode <<E2
$(settled)
cmd c MULTI
run kill -9 $REDIS_PID
advance 5
cmd c SET other w
cmd c GET k
cmd c GET k
E2
        says "nothing in a transaction, nor once it is lost ($mode)" 'cmd 5 s=2:OK' 'cmd NULL err' 'cmd NULL err' 'cmd NULL err'
done

with MTSHIM_STALE_IF_ERROR=0 <<E2
$(settled)
run kill -9 $REDIS_PID
advance 5
cmd c GET k
E2
says "off: the error" 'cmd NULL err'

cli CONFIG SET busy-reply-threshold 10 >/dev/null
with MTSHIM_STALE_IF_ERROR=60s <<E2
$(settled)
advance 25
run redis-cli -s $SOCK EVAL 'while true do end' 0 >/dev/null 2>&1 &
run until redis-cli -s $SOCK PING | grep -q BUSY; do :; done
cmd c GET k
cmd c GET short
unlike c x GET absent
run redis-cli -s $SOCK SCRIPT KILL >/dev/null
cmd c GET short
E2
says "a server that is busy: the value, and the server's own word as soon as it has one" \
        'cmd 1 s=1:v' 'cmd 1 s=1:v' 'cmd 1 s=1:v'

# The reply to a GET that was answered in its place may come still: it is not the next one's. Once where L1 is believed and
# one reader fetches the value anew, once where it is not.
for lapse in 0 5; do
        with MTSHIM_STALE_IF_ERROR=60s <<E2
foreign SET next w
$(settled)
timeout c 200
advance 25
warm c other
run kill -STOP $REDIS_PID
advance $lapse
cmd c GET short
run kill -CONT $REDIS_PID
seterr c 0
timeout c 5000
cmd c GET next
cmd c GET next
E2
        says "a server that is stopped: the value, when the program's time is over; what comes late is nobody's ($lapse)" \
                'cmd 1 s=1:v err' 'cmd 1 s=1:w' 'cmd 1 s=1:w'
        [ "$(stat_of stale_errors)" = 1 ] || fail "$(stat_of stale_errors) stale errors"
done
