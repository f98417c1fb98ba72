#!/bin/bash
# FreeRADIUS opens its modules with RTLD_DEEPBIND, so that rlm_redis finds hiredis before anything preloaded: it runs
# under the shim unharmed and not served, and doctor names the reason, of the program and of the process.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/real.sh"
need freeradius freeradius
need /usr/lib/freeradius/rlm_redis.so freeradius-redis
need radclient freeradius-utils
redis_start_tcp
PORT=$(free_port)
REDIS_PORT=${MT_REDIS#*:}
export T PORT REDIS_PORT
cp "$(dirname "$0")/freeradius/radiusd.conf" "$T"
echo "\$INCLUDE /usr/share/freeradius/dictionary" >"$T/dictionary"

# login USER: what the server says to her
login() {
        printf 'User-Name = "%s"\nUser-Password = "x"\n' "$1" |
                radclient -x -D /usr/share/freeradius -r 1 -t 5 "127.0.0.1:$PORT" auth testing 2>&1 |
                grep -E 'Received|Reply-Message' | sed 's/ Id .*//'
}
everybody() {
        for _ in 1 2 3 4 5; do login alice; login bob; login carol; done
}
# serve WHAT HOW...: the same requests, a value that changes and one that is absent among them
serve() {
        start "${@:2}" freeradius -f -s -d "$T" -D /usr/share/freeradius >"$T/$1.log" 2>&1
        await 10 grep -q 'Ready to process requests' "$T/$1.log" || { show "$T/$1.log"; fail "$1: no freeradius"; }
        cli MSET greeting:alice 'good morning' greeting:bob 'good day' >/dev/null
        everybody >"$T/$1.out"
        cli MSET greeting:alice 'good night' greeting:carol welcome >/dev/null
        everybody >>"$T/$1.out"
        cli DEL greeting:alice greeting:bob greeting:carol >/dev/null
        [ "$(grep -c 'Access-Accept' "$T/$1.out")" -eq 30 ] ||
                { show "$T/$1.out" "$T/$1.log"; fail "$1: not 30 answers"; }
}
# What it logged, without the time of the day.
logged() {
        sed 's/^.* : //' "$T/$1.log"
}
# doctor WHAT: it finds a fault and names it in WHY
doctor() {
        "$CTL" doctor "$1" >"$T/doctor" 2>&1 && { show "$T/doctor"; fail "doctor $1 finds nothing wrong"; }
        WHY=$(grep -i 'FAIL.*RTLD_DEEPBIND' "$T/doctor") ||
                { show "$T/doctor"; fail "doctor $1 does not name the reason"; }
}

serve bare "${BARE[@]}"
stop "$PID"
grep -q 'good night' "$T/bare.out" || fail "the server does not ask Redis"
ok "bare: $(grep -c Reply-Message "$T/bare.out") of 30 answers hold a value"

serve shimmed "${SHIM[@]}"
alike "$T/bare.out" "$T/shimmed.out" || fail "other answers than bare"
doctor "$PID"
ok "shimmed: the same answers; doctor PID: $WHY"
[ -z "$(stat_of hits)" ] || [ "$(stat_of hits)" -eq 0 ] || fail "served, and doctor says it is not"
stop "$PID"
[ "$(logged bare)" = "$(logged shimmed)" ] || { show "$T/bare.log" "$T/shimmed.log"; fail "other log than bare"; }
ok "it ends as bare, and its log is the same"

doctor freeradius
ok "doctor freeradius: $WHY"
