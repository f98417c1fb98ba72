#!/bin/bash
# Kamailio: a server whose modules are loaded RTLD_LOCAL, one of which brings hiredis. Its workers answer from
# L1, and a key that redis-cli changes or deletes is seen so within the bound.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/real.sh"
need kamailio kamailio
MODULES=$(echo /usr/lib/*/kamailio/modules)
need "$MODULES/ndb_redis.so" kamailio-redis-modules
readelf -d "$(command -v kamailio)" | grep hiredis >/dev/null && fail "kamailio itself is linked to hiredis"
redis_start_tcp
PORT=$(free_port)
sed -e "s|MODULES|$MODULES/|; s|REDIS_PORT|${MT_REDIS#*:}|; s|:PORT|:$PORT|" \
        "$(dirname "$0")/kamailio/kamailio.cfg" >"$T/kamailio.cfg"

change() {
        echo "redis-cli -s $SOCK $* >>$T/cli.log"
}
# ask WHAT HOW...: what both connections see while the key changes
ask() {
        LOGS=("$T/$1.log")
        start "${@:2}" kamailio -f "$T/kamailio.cfg" -m 16 -M 4 -DD -E -Y "$T" -w "$T" >"$T/$1.log" 2>&1
        await 10 listening "$PORT" || { show "$T/$1.log"; fail "$1: no kamailio"; }
        visit "$1" "$PORT" / 'Accept: */*' '200 one' "$(change SET greeting one)" \
                '200 two' "$(change SET greeting two)" '404 nothing' "$(change DEL greeting)"
}
# What it has logged so far, without process ids. (When it ends, some processes complain of others, or not.)
logged() {
        sed 's/^ *[0-9]*([0-9]*)//' "$T/$1.log" | sort -u >"$T/$1.said"
}

ask bare "${BARE[@]}"
[ "$GETS" -eq "$REQUESTS" ] || fail "bare: $REQUESTS requests, but $GETS GETs"
logged bare
stop "$PID"
ok "bare: $REQUESTS requests, $GETS GETs"

ask shimmed "${SHIM[@]}"
served shimmed
[ "$(stat_of processes)" -ge 2 ] || fail "$(stat_of processes) processes in the segment"
[ "$(stat_of hits)" -ge $((REQUESTS / 3)) ] || fail "$(stat_of hits) hits"
logged shimmed
alike "$T/bare.said" "$T/shimmed.said" || fail "other log than bare"
stop "$PID"
ok "$(stat_of hits) hits; its log is the same, and it ends"
