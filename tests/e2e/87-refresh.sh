#!/bin/bash
# MTSHIM_EARLY_REFRESH: 64 readers of a hot key, and about one GET for each of its lives.
. "$(dirname "$0")/lib.sh"
redis_start
export MTSHIM_MAX_STALENESS=30s # a machine that is busy elsewhere renews the lease in time all the same

# hot MS OPTION...: lives of 1.6 s; GETS, and REFRESHES of all
hot() {
        rm -f /dev/shm/mtshim.*."$MTSHIM_SEGMENT".*
        MTSHIM_SEGMENT=$SEGMENT-$CHECKS
        cli SET hot value >/dev/null
        env "${@:2}" "MTSHIM_RULES=hot=ttl:1600ms" "${WITH[@]}" MT_SHIMMED=1 LD_PRELOAD="$LIB" "$PROGS/hot" hot "$1" >"$T/out" 2>"$T/err" ||
                { show "$T/err"; fail "$*"; }
        [ ! -s "$T/err" ] && grep -q ' 0 wrong' "$T/out" || { show "$T/out" "$T/err"; fail "$*"; }
        GETS=$(sed 's/ gets.*//' "$T/out")
        REFRESHES=$(stat_of refreshes)
}

hot 1600 MTSHIM_EARLY_REFRESH=0
[ "$REFRESHES" = 0 ] || fail "$REFRESHES refreshes with the option off"
ok "off: $(cat "$T/out")"
hot 6400 MTSHIM_EARLY_REFRESH=1
# Refreshed a little before each end, four to six times; a few more where the machine stood still in just that moment.
[ "$REFRESHES" -ge 4 ] && [ "$GETS" -ge 3 ] && [ "$GETS" -le 9 ] || { cat "$T/out"; fail "$GETS GETs, $REFRESHES refreshes"; }
ok "on: $(cat "$T/out")"
